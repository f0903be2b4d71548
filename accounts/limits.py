"""What an API key leaves of its owner's rights: a key can do less than its owner, never more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from accounts.roles import APPROVE, CHECKLISTS, CONFIGURE, DEPLOY, PERMISSION_WORDS, REPORT, REQUEST, RESUME, STOP, VIEW

MANAGE_PEOPLE = "manage_people"
"""Users, roles and keys of others. It belongs to no environment: Admins have it."""
SCOPES = (*PERMISSION_WORDS, MANAGE_PEOPLE)
"""What a key can be made for: each permission of the role table is a scope. Every key may look (``VIEW``)."""
SCOPE_WORDS = {
    **PERMISSION_WORDS,
    VIEW: "see environments, deployments and the audit trail",
    CHECKLISTS: "tick checklists and run runbooks",
    DEPLOY: "register releases, deploy, promote, hold, abort and roll back",
    REQUEST: "ask for deployments that somebody else approves",
    APPROVE: "approve and reject the deployments of others",
    REPORT: "report tests, reviews and benchmarks of releases, as a build system does",
    STOP: "stop trading in an emergency",
    RESUME: "resume trading after a stop",
    CONFIGURE: "change the configuration",
    MANAGE_PEOPLE: "manage people, and the keys of others",
}
"""Every scope, as it reads after "may"."""
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one API key."""

    scopes: frozenset[str]
    """Permissions that the key may use, as far as its owner has them."""
    environments: frozenset[str] | None
    """Names of the environments it reaches; None for every one that its owner reaches."""
    networks: tuple[str, ...] = ()
    """Networks (CIDR) it may come from; none means anywhere."""
    ends_at: datetime | None = None
    """No key made with it may live longer; None for a command line sign-in, which a person has just made."""

    def permits(self, permission: str) -> bool:
        """Whether the key may use a permission at all."""
        return permission == VIEW or permission in self.scopes

    def reaches(self, environment: str) -> bool:
        """Whether an environment is within the key's."""
        return self.environments is None or environment in self.environments

    def covers(self, other: Limits) -> bool:
        """Whether a key with other bounds could do nothing that this one cannot."""
        return (
            all(self.permits(scope) for scope in other.scopes)
            and (
                self.environments is None
                or (other.environments is not None and other.environments <= self.environments)
            )
            and _within(other.networks, self.networks)
        )


def read_network(text: str) -> Network:
    """A network from CIDR notation, IPv4 or IPv6; a single address is a network of one.

    Raises:
        ValueError: it is none, or bits are set behind the prefix; the message says which.
    """
    return ip_network(text.strip(), strict=True)


def is_from(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks; no networks admit every address."""
    wanted = [ip_network(text) for text in networks]
    if not wanted:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:  # an IPv4 caller on a socket that speaks both
        found = found.ipv4_mapped
    return any(found in network for network in wanted)


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    if not outer:
        return True
    bounds = [ip_network(text) for text in outer]
    return bool(inner) and all(any(_is_part(ip_network(text), bound) for bound in bounds) for text in inner)


def _is_part(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network) and inner.subnet_of(outer)
