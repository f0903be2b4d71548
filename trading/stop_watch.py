"""Parts of the monitor: keeps what a stop needs ready, follows its files, and goes on with one whose process died.

What concerns the exchange asks no database: the snapshot stays warm and the dead man's switch armed while it is away.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments.models import Environment
from trading import stop_files, stop_records, stops
from trading.exchange.base import ExchangeError
from trading.exchange.open import open_exchange
from trading.stop import engine, snapshot, tasks
from trading.stop.files import write_json
from trading.stop.settings import StopSettings

logger = logging.getLogger(__name__)
SETTINGS_SECONDS, TEND_SECONDS, FOLLOW_SECONDS = 2.0, 0.5, 0.5
WARM_SECONDS = 2.0
TAKE_OVER_SECONDS = 1.0
LOST_LOOKS = 4
"""So many looks in a row a latch file must be missing before it is written again: 2 s."""
DEAD_MAN = "dead_man.json"
Loop = tuple[str, Callable[[], object], float]


@dataclass(slots=True)
class Post:
    """One environment, as it is tended; the lock is held by the thread that tends it."""

    settings: StopSettings
    busy: threading.Lock = field(default_factory=threading.Lock)
    exchange: Any = None
    warmed_at: float = 0.0
    looked_at: float = 0.0
    armed_at: float = 0.0
    problem: str = ""


class StopWatch:
    """All environments that can be stopped."""

    def __init__(self) -> None:
        self._posts: dict[str, Post] = {}
        self._seen: dict[Path, tuple[int, int]] = {}
        self._missing: dict[int, int] = {}
        for path in stop_files.root().glob("*/settings.json"):  # known before the database answers
            found = stop_files.written(path.parent.name)
            if found is not None:
                self._posts[found.environment] = Post(found)

    def loops(self) -> list[Loop]:
        """Name, function and pause in seconds of each; each runs in a thread of its own."""
        return [
            ("stop settings", self.settings, SETTINGS_SECONDS),
            ("stop tending", self.tend, TEND_SECONDS),
            ("stop records", self.follow, FOLLOW_SECONDS),
        ]

    def settings(self) -> None:
        """Bring the settings file of each environment to its rows."""
        known: dict[str, Post] = {}
        for environment in Environment.objects.all():
            if not environment.exchange:
                continue
            stop_files.write_settings(environment)
            found, before = stop_files.written(environment.name), self._posts.get(environment.name)
            if found is not None:
                known[environment.name] = before if before is not None and before.settings == found else Post(found)
        self._posts = known

    def tend(self) -> None:
        """Begin what is due at each exchange, each in a thread: one that hangs delays no other."""
        for post in list(self._posts.values()):
            if post.busy.acquire(blocking=False):
                tasks.start(self._tend, post, name=f"stop-tend-{post.settings.environment}")

    def _tend(self, post: Post) -> None:
        try:
            self.tend_one(post)
            post.problem = ""
        except (ExchangeError, OSError) as error:
            if str(error) != post.problem:
                post.problem = str(error)
                logger.warning("%s: the exchange cannot be looked after: %s", post.settings.environment, error)
        except Exception:
            logger.exception("%s: the exchange cannot be looked after", post.settings.environment)
        finally:
            post.busy.release()

    def tend_one(self, post: Post) -> None:
        """Go on with a stop whose process died; else keep the snapshot warm and the dead man's switch armed.

        Raises:
            ExchangeError: the exchange does not answer, or refuses.
            OSError: the folder cannot be used.
        """
        now, name = time.monotonic(), post.settings.environment
        latched = stop_files.held_latch(name) is not None
        if latched and now - post.looked_at >= TAKE_OVER_SECONDS:
            post.looked_at = now
            self._take_over(post.settings)
        if latched and stop_files.running(name) is not None:
            return  # what may be asked of the exchange is the stop's
        if now - post.warmed_at < WARM_SECONDS:
            return
        post.warmed_at = now
        post.exchange = post.exchange or open_exchange(post.settings.exchange)
        snapshot.refresh(post.settings.exchange, post.settings.snapshot_path, post.exchange)
        self._dead_man(post, latched)

    def _take_over(self, settings: StopSettings) -> None:
        pressed = engine.take_over(settings)
        if pressed is not None:
            logger.error("%s: goes on with the emergency stop %s", settings.environment, pressed.id)
            tasks.start(stops.run, settings, pressed, name=f"stop-{settings.environment}")

    def _dead_man(self, post: Post, latched: bool) -> None:
        """Arm it again at each third of its time; not while latched, when nothing is left to be cancelled.

        Switched off in the definition it is disarmed once: else it would cancel every order later, with nobody dead.
        """
        seconds, path = int(post.settings.exchange.get("dead_man_seconds") or 0), post.settings.folder / DEAD_MAN
        if not seconds:
            if _armed_until(path) > time.time():
                post.exchange.arm_dead_man(None)
            path.unlink(missing_ok=True)
            return
        if latched or time.monotonic() - post.armed_at < seconds / 3:
            return
        until = time.time() + seconds
        write_json(path, {"until": until}, durable=False)  # before: a lost answer may have armed it
        post.exchange.arm_dead_man(until)
        post.armed_at = time.monotonic()

    def follow(self) -> None:
        """Bring rows, audit trail and alerts to the files. One query, and those of what changed."""
        for environment in Environment.objects.all():
            for file in stop_files.journals(environment.name):
                self._follow(environment, file)
            missing = environment.latched_at is not None and stop_files.held_latch(environment.name) is None
            looks = self._missing[environment.pk] = self._missing.get(environment.pk, 0) + 1 if missing else 0
            try:
                stop_records.follow_latch(environment, may_restore=looks >= LOST_LOOKS)
            except OSError as error:
                logger.error("%s: the latch file cannot be written: %s", environment, error)

    def _follow(self, environment: Environment, file: stop_files.JournalFile) -> None:
        try:
            found = file.path.stat()
        except OSError:
            return
        stamp = (found.st_mtime_ns, found.st_size)
        if self._seen.get(file.path) != stamp:
            stop_records.keep(environment, file)
            self._seen[file.path] = stamp


def _armed_until(path: Path) -> float:
    try:
        return float(json.loads(path.read_text())["until"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
