"""Threads that nobody waits for longer than they want to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Task(Generic[T]):
    """A call in a thread of its own, which does not keep the process alive."""

    def __init__(self, call: Callable[[], T], name: str = "stop") -> None:
        self._call = call
        self._done = threading.Event()
        self._value: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def result(self, seconds: float) -> T:
        """What the call answered, or what it raised. Raises TimeoutError when it takes longer; it goes on then."""
        if not self._done.wait(seconds):
            raise TimeoutError(f"not done within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()


def start(call: Callable[..., object], *arguments: Any, name: str = "stop") -> None:
    """Run a call in a thread that does not keep the process alive; the call takes care of its own errors."""
    threading.Thread(target=call, args=arguments, name=name, daemon=True).start()
