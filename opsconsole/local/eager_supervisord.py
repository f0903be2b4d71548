"""supervisord, made to look at its processes at once: `python -P eager_supervisord.py -c FILE`.

Run as a file and with -P, so that neither this folder nor the project is on the path of what it starts.

supervisord 4.3 waits up to one second in poll() before it starts a process again that has died: since Python 3.5
(PEP 475) the signal of its end no longer wakes poll(). Here it waits 50 ms at most.
"""

from typing import Any

from supervisor import poller
from supervisor.supervisord import main

LONGEST_WAIT_SECONDS = 0.05


class EagerPoller(poller.Poller):  # type: ignore[misc]
    """supervisor's poller with a short longest wait."""

    def poll(self, timeout: float) -> Any:
        """Wait for file descriptors; timeout in seconds. Returns (readable, writable)."""
        return super().poll(min(timeout, LONGEST_WAIT_SECONDS))


if __name__ == "__main__":
    # supervisor.options takes the class from the module when it is asked for one.
    poller.Poller = EagerPoller
    main()
