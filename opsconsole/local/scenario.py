"""``make scenario``: the story of good and bad releases on a fresh stack, measured from outside.

What counts is not what the console says of itself: failed requests are counted by the request stream, writers by the
exchange's own log. Prints a timeline and a table, writes ``var/scenario.json``, and exits 1 if an expectation fails.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.exchange.journal import read_log
from demo.exchange.writers import find_writers
from opsconsole.config import ROOT
from opsconsole.local.client import Console
from opsconsole.local.demo import bring_up
from opsconsole.local.stack import Ports, Stack
from opsconsole.local.stream import Stream

RATE = 400
WINDOWS = {"OPSC_DEMO_WATCH": "10", "OPSC_DEMO_STABLE": "14", "OPSC_DEMO_BASELINE": "20"}
OLD, GOOD = "v1.2.4", "v1.2.5"
MISMATCH = "trading_position_mismatches "
RESULT = ROOT / "var" / "scenario.json"


@dataclass(slots=True)
class Chapter:
    """One release and what came of it."""

    release: str
    story: str
    status: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Expectations that do not hold."""

    def expect(self, holds: bool, text: str) -> None:
        """Note an expectation that does not hold."""
        if not holds:
            self.broken.append(text)


class Story:
    """The chapters, one after the other, on one stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.began = stack, time.monotonic()
        self.chapters: list[Chapter] = []
        self.console = Console.as_role(stack.url, stack.keys)

    def say(self, text: str) -> None:
        """One line of the timeline."""
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def tell(self) -> list[Chapter]:
        """Every chapter."""
        self.good()
        self.back_by_itself("v1.2.6", "5 % errors", 2000, _from_first_failure)
        self.back_by_itself("v1.2.7", "dies 5 s after it goes live", 2000, _from_first_failure)
        self.back_by_itself("v1.2.8", "position mismatch after it goes live", 2000, _from_mismatch)
        self.never_gets_traffic()
        self.back_by_itself("v1.3.1", "hangs after it goes live", 3000, _from_silence)
        self.one_click_back()
        self.one_writer()
        return self.chapters

    def good(self) -> None:
        """A good release is promoted and no request fails."""
        chapter = self._begin(GOOD, "good")
        with self._stream() as stream:
            found = self.console.wait(self._deploy(GOOD), timeout=90)
        self._end(chapter, found)
        stats = stream.stats
        chapter.figures |= {
            "requests": stats["sent"],
            "failed_requests": stats["failed"],
            "requests_per_second": round(stats["sent"] / (stats["at"] - stats["started_at"])),
        }
        chapter.expect(
            found["status"] == "succeeded", f"promoted, but it is {found['status']}: {found['failure_reason']}"
        )
        chapter.expect(stats["failed"] == 0, f"no failed request, but {stats['failed']} failed: {stats['errors']}")
        chapter.expect(chapter.figures["requests_per_second"] >= 200, "at least 200 requests a second")
        chapter.expect((found["timings"]["writer_gap_ms"] or 1e9) < 1000, "writer gap under a second")

    def back_by_itself(
        self,
        release: str,
        story: str,
        limit_ms: float,
        fault_to_back: Callable[[Stream, str, str, float], float | None],
    ) -> None:
        """A bad release goes live and is rolled back by the guard."""
        chapter = self._begin(release, story)
        old, new = self._slots()
        with self._stream() as stream, _MismatchWatch(self._instance_url(new)) as mismatch:
            deployment = self._deploy(release)
            found = self.console.wait(deployment, timeout=90)
            self._settle(stream)
        self._end(chapter, found)
        measured = fault_to_back(stream, old, new, mismatch.seen_at or 0.0)
        chapter.figures |= {
            "failed_requests": stream.stats["failed"],
            "fault_to_traffic_back_ms": None if measured is None else round(measured),
            "as_the_console_says_ms": _rounded(found["timings"]["fault_to_traffic_back_ms"]),
            "why": found["failure_reason"],
        }
        chapter.expect(found["status"] == "rolled_back", f"rolled back, but it is {found['status']}")
        chapter.expect(
            measured is not None and measured <= limit_ms, f"traffic back within {limit_ms} ms, not {measured}"
        )
        chapter.expect(self._live_version() == GOOD, f"{GOOD} is live again")

    def never_gets_traffic(self) -> None:
        """A release that does not start is never reached by a request."""
        chapter = self._begin("v1.2.9", "does not start")
        _, new = self._slots()
        with self._stream() as stream:
            found = self.console.wait(self._deploy("v1.2.9"), timeout=60)
        self._end(chapter, found)
        chapter.figures |= {"failed_requests": stream.stats["failed"], "why": found["failure_reason"]}
        chapter.expect(found["status"] == "failed", f"failed before promotion, but it is {found['status']}")
        chapter.expect("trading system cannot start" in found["failure_reason"], "the failure names the cause")
        chapter.expect(stream.last_answer_of(new) is None, "it never gets traffic")
        chapter.expect(stream.stats["failed"] == 0, "no failed request")

    def one_click_back(self) -> None:
        """A slow release is not rolled back by itself: a recommendation, and one click."""
        chapter = self._begin("v1.3.0", "latency x 6")
        old, new = self._slots()
        with self._stream() as stream:
            deployment = self._deploy("v1.3.0")
            advised = self.console.wait(deployment, lambda found: _advised(found) or _over(found), timeout=60)
            self.say("v1.3.0: rollback recommended; one click takes it back")
            chapter.expect(advised["status"] == "watching", f"it waits for a decision, but it is {advised['status']}")
            clicked = time.time()
            self.console.post(f"deployments/{deployment}/rollback/", {"reason": "Latency is six times the baseline"})
            found = self.console.wait(deployment, timeout=30)
            self._settle(stream)
        self._end(chapter, found)
        back = stream.last_answer_of(new)
        chapter.figures |= {
            "failed_requests": stream.stats["failed"],
            "click_to_last_request_ms": None if back is None else round(max(0.0, back - clicked) * 1000),
            "why": next(v["reason"] for v in advised["verdicts"] if v["kind"] == "latency"),
        }
        chapter.expect(found["status"] == "rolled_back", f"rolled back by one click, but it is {found['status']}")
        chapter.expect(stream.stats["failed"] == 0, "no failed request")

    def one_writer(self) -> None:
        """The exchange's own log: never two writers, and how long there was none."""
        chapter = self._begin("all", "the exchange's own log of orders")
        writers = find_writers(read_log(self.stack.exchange_log), "production")
        gaps = sorted(change.gap_ms for change in writers.changes)
        chapter.status = "one writer at a time" if not writers.overlaps else "TWO WRITERS"
        chapter.figures |= {
            "orders": writers.orders,
            "changes_of_writer": len(writers.changes),
            "orders_of_two_writers": writers.overlaps,
            "writer_gap_ms_median": _rounded(gaps[len(gaps) // 2]) if gaps else None,
            "writer_gap_ms_max": _rounded(gaps[-1]) if gaps else None,
        }
        chapter.expect(
            writers.overlaps == 0, f"never two writers, but {writers.overlaps} orders: {writers.violations[:2]}"
        )
        chapter.expect(len(writers.changes) >= 7, "the log shows the hand-overs")
        self.say(f"exchange log: {writers.orders} orders, {writers.overlaps} of two writers, gaps {gaps} ms")

    def _begin(self, release: str, story: str) -> Chapter:
        chapter = Chapter(release, story)
        self.chapters.append(chapter)
        self.say(f"{release}: {story}")
        return chapter

    def _end(self, chapter: Chapter, found: dict[str, Any]) -> None:
        chapter.status = found["status"]
        chapter.figures |= {key: _rounded(found["timings"][key]) for key in ("shift_ms", "writer_gap_ms")}
        for step in found["steps"]:
            if step["started_at"]:
                self.say(f"    {step['name']:16} {step['status']:10} {step['detail']}")
        self.say(f"{chapter.release}: {found['status']} {found['failure_reason']}".rstrip())

    def _deploy(self, release: str) -> int:
        self.console.write_reports("production")  # whoever took the last one back says why before the next one goes out
        return self.console.deploy("production", release, f"Scenario: {release}")

    def _stream(self) -> Stream:
        return Stream(self.stack.front("production"), RATE, self.stack.var / "load" / "chapter.json")

    def _settle(self, stream: Stream) -> None:
        """Until the stream has counted for a second after the end."""
        until = time.time() + 1.0
        while stream.now()["at"] < until:
            time.sleep(0.1)

    def _slots(self) -> tuple[str, str]:
        environment = self.console.get("environments/production/")
        live = environment["live_slot"]
        names = {slot["name"]: slot["instances"][0]["name"] for slot in environment["slots"]}
        return names[live], next(name for slot, name in names.items() if slot != live)

    def _instance_url(self, instance: str) -> str:
        return f"http://127.0.0.1:{self.stack.ports.instance('production', instance.split('-')[1])}"

    def _live_version(self) -> str:
        return httpx.get(f"{self.stack.front('production')}/quote/BTC", timeout=5).headers["X-Version"]


class _MismatchWatch:
    """Notes when an instance first reports a position mismatch, by asking it itself."""

    def __init__(self, url: str) -> None:
        self.seen_at: float | None = None
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _MismatchWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with httpx.Client(timeout=1) as http:
            while not self._stop.wait(0.05) and self.seen_at is None:
                try:
                    lines = http.get(f"{self._url}/metrics").text.splitlines()
                except httpx.HTTPError:
                    continue
                if any(line.startswith(MISMATCH) and float(line.split()[1]) > 0 for line in lines):
                    self.seen_at = time.time()


def _from_first_failure(stream: Stream, old: str, new: str, _: float) -> float | None:
    """From the first failed request to the last request that the bad slot got or failed."""
    first, last = stream.first_failure_at(), stream.last_failure_at()
    answered = stream.last_answer_of(new)
    return None if first is None or last is None or answered is None else (max(last, answered) - first) * 1000


def _from_mismatch(stream: Stream, old: str, new: str, seen_at: float) -> float | None:
    """From the first mismatch that the system reports to the last answer of the bad slot."""
    answered = stream.last_answer_of(new)
    return None if not seen_at or answered is None else max(0.0, answered - seen_at) * 1000


def _from_silence(stream: Stream, old: str, new: str, _: float) -> float | None:
    """From the last answer of the hanging slot to the first answer of the old one."""
    silent = stream.last_good_answer_of(new)
    back = None if silent is None else stream.first_answer_after(old, silent)
    return None if silent is None or back is None else (back - silent) * 1000


def _advised(found: dict[str, Any]) -> bool:
    return bool(found["recommendation"]["verb"] == "roll_back")


def _over(found: dict[str, Any]) -> bool:
    return found["finished_at"] is not None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def report(chapters: list[Chapter]) -> str:
    """The table of figures."""
    lines = [
        "",
        f"{'release':8} {'status':22} {'failed':>7} {'shift ms':>9} {'gap ms':>7} {'fault→back ms':>14}  story",
    ]
    for chapter in chapters:
        figures = chapter.figures
        cells = [
            figures.get(key) for key in ("failed_requests", "shift_ms", "writer_gap_ms", "fault_to_traffic_back_ms")
        ]
        failed, shift, gap, back = ("" if cell is None else str(cell) for cell in cells)
        lines.append(
            f"{chapter.release:8} {chapter.status:22} {failed:>7} {shift:>9} {gap:>7} {back:>14}  {chapter.story}"
        )
        lines += [f"         NOT AS EXPECTED: {text}" for text in chapter.broken]
    return "\n".join(lines)


def main() -> int:
    """Tell the story on a stack of its own; the exit status is 1 if an expectation fails."""
    with tempfile.TemporaryDirectory(prefix="opsconsole-scenario-") as folder:
        stack = Stack(Path(folder), Ports.free(), variables=WINDOWS, load={"production": RATE})
        try:
            began = time.monotonic()
            stack.start(lambda text: print(f"  {time.monotonic() - began:6.1f} s  {text}", flush=True))
            story = Story(stack)
            bring_up(story.console, stack, story.say)
            stack.trading.stop("load-production")
            chapters = story.tell()
        finally:
            stack.stop()
            stack.remove_data()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(chapter) for chapter in chapters], indent=2) + "\n")
    print(report(chapters))
    broken = sum(len(chapter.broken) for chapter in chapters)
    verdict = "every expectation holds" if not broken else f"{broken} expectations fail"
    print(f"\n{RESULT.relative_to(ROOT)} written; {verdict}.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
