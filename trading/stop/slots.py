"""Channel C: end the processes of the slots through their supervisor, and read back that they are gone. No waiting for
a process that does not answer: it is killed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trading.stop.settings import InstanceSettings, StopSettings
from trading.stop.system import Post

if TYPE_CHECKING:
    from environments.drivers.base import InstanceSpec
    from environments.drivers.supervisord import SupervisordDriver

AGAIN_SECONDS = 5.0
STAYS_DOWN = frozenset({"stopped", "fatal"})
"""States in which the supervisor has no process, and will start none by itself."""


def has_no_process(settings: StopSettings, instance: InstanceSettings) -> bool:
    """Whether the supervisor says that the instance has no process and gets none; False when it does not answer."""
    try:
        driver, spec = _open(settings, instance)
        status = driver.status(spec)
    except Exception:  # whatever it is: the process is not known to be gone
        return False
    return status.pid is None and status.state in STAYS_DOWN


def stop(settings: StopSettings, instance: InstanceSettings, over: threading.Event, post: Post) -> None:
    """Kill the instance's process until it is read as gone, or ``over`` is set.

    Posts ``slot_stopped`` and ``halted``, or ``slot_failed`` (each reason once in a row).
    """
    said = ""
    while not over.is_set():
        try:
            driver, spec = _open(settings, instance)
            before = driver.status(spec).pid
            driver.stop(spec, force=True)
            status = driver.status(spec)
            if status.pid is not None:
                raise RuntimeError(f"process {status.pid} is there again")
            post("slot_stopped", pid=before, state=status.state)
            post("halted", by="process")
            return
        except Exception as error:  # whatever it is, it is said, and tried again
            if str(error) != said:
                said = str(error)
                post("slot_failed", error=said)
        over.wait(AGAIN_SECONDS)


def _open(settings: StopSettings, instance: InstanceSettings) -> tuple[SupervisordDriver, InstanceSpec]:
    """The driver, and the instance as it knows it. Raises RuntimeError without a supervisor."""
    if not settings.driver.get("socket"):
        raise RuntimeError("no supervisor is known for this environment: end its process by hand")
    # Read here only: a stop that needs no supervisor does not wait for it (0.1 s).
    from environments.drivers.supervisord import SupervisordDriver, instance_spec

    root = Path(settings.driver["root"])
    driver = SupervisordDriver(Path(settings.driver["socket"]), root)
    return driver, instance_spec(root, instance.name, urlsplit(instance.url).port or 0)
