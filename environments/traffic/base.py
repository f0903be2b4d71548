"""What a traffic router is: the Protocol, its state and its errors. No Django."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class RouterState:
    """What a router answered when it was read.

    epoch: the highest fencing epoch the router has accepted; 0 when none yet.
    weights: server name to its weight now, 0 (no new requests) to 256.
    states: server name to the router's own word for its state ("no_check" is a server that serves;
        "MAINT" one taken out by hand). Not part of equality: it says how, not where, traffic goes.
    """

    epoch: int
    weights: dict[str, int]
    states: dict[str, str] = field(default_factory=dict, compare=False)


class RouterError(Exception):
    """A traffic router did not do what was asked."""


class StaleEpoch(RouterError):
    """The router has accepted a newer epoch: somebody else has taken over, so stop.

    current: the epoch the router holds.
    """

    def __init__(self, current: int) -> None:
        super().__init__(f"the router refused an old epoch; it holds epoch {current}")
        self.current = current


class RouterUnreachable(RouterError):
    """The router could not be reached or did not answer in time; what it did is not known: read it."""


class RouterRefused(RouterError):
    """The router answered and refused: an unknown backend or server, or a weight it cannot take."""


class ReadBackDiffers(RouterError):
    """The router said yes, but reading it back shows other weights than asked.

    asked: the weights asked for. state: what was read.
    """

    def __init__(self, asked: Mapping[str, int], state: RouterState) -> None:
        super().__init__(f"asked the router for {dict(asked)}, but it now has {state.weights}")
        self.asked = dict(asked)
        self.state = state


class TrafficRouter(Protocol):
    """Moves the requests of one environment between its servers, fenced by an epoch."""

    def shift(self, weights: Mapping[str, int], epoch: int) -> RouterState:
        """Set weights (server name to 0..256) and read them back. Running it twice is harmless.

        Servers that are not named keep their weight.
        Raises StaleEpoch, RouterRefused, RouterUnreachable, ReadBackDiffers.
        """

    def read(self) -> RouterState:
        """Read epoch and weights. Raises RouterRefused, RouterUnreachable."""

    def fence(self, epoch: int) -> RouterState:
        """Raise the epoch without moving traffic, so that older holders are refused from now on.

        Raises StaleEpoch, RouterRefused, RouterUnreachable.
        """
