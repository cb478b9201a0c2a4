"""Runs cases in worker processes, keeps the failures, and sums up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fuzz.kinds import Kind
from fuzz.outcome import Outcome

TESTS = Path(__file__).parents[1]
ALIKE = 5
"""Failures of a kind with the same reason whose folders are kept."""


@dataclass
class Tally:
    """What the cases of a kind came to."""

    verdicts: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    refusals: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    clock_s: float = 0.0
    longest: tuple[float, int] = (0.0, 0)
    largest: tuple[float, int] = (0.0, 0)

    @property
    def cases(self) -> int:
        """How many there were."""
        return sum(self.verdicts.values())

    def cells(self) -> list[str]:
        """Its row in the summary; seconds are of processor time but for the mean, memory is the largest process's."""
        verdicts = [self.verdicts[verdict] for verdict in ("accepted", "refused", "failed")]
        extremes = [
            f"{value:.1f} {unit} [{seed}]" for (value, seed), unit in ((self.longest, "s"), (self.largest, "GB"))
        ]
        return [*map(str, (self.cases, *verdicts)), f"{self.clock_s / max(self.cases, 1):.2f}", *extremes]

    def add(self, seed: int, answer: Mapping[str, Any]) -> None:
        """Count a case."""
        self.verdicts[answer["verdict"]] += 1
        self.counts.update(answer["counts"])
        self.clock_s += answer["clock_s"]
        self.longest = max(self.longest, (answer["seconds"], seed))
        self.largest = max(self.largest, (answer["gigabytes"], seed))
        if answer["verdict"] == "failed":
            self.failures[answer["reason_class"]].append(seed)
        elif answer["verdict"] == "refused":
            self.refusals[answer["reason_class"]].append(f"[{seed}] {answer['reason']}")


class Run:
    """Cases of several kinds, made from consecutive seeds.

    Parameters
    ----------
    kinds : mapping of str to Kind
        What to make.
    seed : int
        The first one of each kind.
    folder : Path
        Where failures and messages are written.
    workers : int
        Processes that run cases side by side.
    cases : mapping of str to int, optional
        How many of each kind; without it, until the time is over.
    minutes : float, optional
        After which no case is begun.
    tell : function of a str
        Is called with every failure, at once.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        *,
        seed: int,
        folder: Path,
        workers: int = 1,
        cases: Mapping[str, int] | None = None,
        minutes: float | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.kinds, self.seed, self.folder, self.workers, self.cases = kinds, seed, folder, workers, cases
        self.tallies = {name: Tally() for name in kinds}
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._tell = tell
        self._begun: Counter[str] = Counter()
        self._used_s: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def failed(self) -> int:
        """How many cases failed."""
        return sum(tally.verdicts["failed"] for tally in self.tallies.values())

    def run(self) -> None:
        """Run all cases; returns when the last one has ended. Ctrl-C lets those that have begun end."""
        (self.folder / "shared").mkdir(parents=True, exist_ok=True)
        threads = [threading.Thread(target=self._work) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            try:
                thread.join()
            except KeyboardInterrupt:
                self._end = time.monotonic()
                thread.join()
        messages = self.folder / "messages.txt"
        messages.write_text(self.messages(), encoding="utf-8", errors="backslashreplace")

    def _work(self) -> None:
        """Give cases to a worker process, and to another one if it should die."""
        worker = _Worker(self.folder / "shared")
        while (case := self._next()) is not None:
            name, seed = case
            kept = self.folder / "failures" / f"{name}-{seed}"
            started = time.monotonic()
            answer = worker.examine({"kind": asdict(self.kinds[name]), "seed": seed, "kept": str(kept)})
            if answer is None:
                outcome = Outcome("failed", "the worker died")
                took = {"seconds": 0.0, "clock_s": time.monotonic() - started, "gigabytes": 0.0}
                answer, worker = (
                    {**outcome.to_json(), "reason_class": outcome.reason, **took},
                    _Worker(self.folder / "shared"),
                )
            self._add(name, seed, answer)
        worker.end()

    def _next(self) -> tuple[str, int] | None:
        """The next case: of the kind that has had the smallest part of its share."""
        with self._lock:
            left = [name for name in self.kinds if self.cases is None or self._begun[name] < self.cases[name]]
            if not left or (self._end is not None and time.monotonic() > self._end):
                return None
            name = min(left, key=lambda name: (self._used_s[name] / self.kinds[name].share, self._begun[name]))
            number = self._begun[name]
            self._begun[name] += 1
            return name, self.seed + number

    def _add(self, name: str, seed: int, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._used_s[name] += answer["clock_s"]
            tally = self.tallies[name]
            tally.add(seed, answer)
            with (self.folder / "outcomes.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": name, "seed": seed, **answer, "detail": ""}) + "\n")
            if answer["verdict"] == "failed":
                self._tell(f"{name} {seed}: {_printable(answer['reason'])}")
                if len(tally.failures[answer["reason_class"]]) > ALIKE:
                    shutil.rmtree(self.folder / "failures" / f"{name}-{seed}", ignore_errors=True)

    def summary(self) -> str:
        """What came of every kind, and the failures by reason with their first seeds."""
        titles = ("cases", "accepted", "refused", "failed", "s/case", "longest", "largest")
        rows = [("kind", *titles), *((name, *tally.cells()) for name, tally in self.tallies.items())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        for name, tally in self.tallies.items():
            lines += [f"{name}: {count} {what}" for what, count in sorted(tally.counts.items())]
        for name, tally in self.tallies.items():
            for reason, seeds in sorted(tally.failures.items(), key=lambda item: -len(item[1])):
                shown = ", ".join(map(str, seeds[:ALIKE])) + (", …" if len(seeds) > ALIKE else "")
                lines.append(f"FAILED {name} × {len(seeds)} [{shown}]: {_printable(reason)}")
        return "\n".join(lines)

    def messages(self) -> str:
        """Every distinct refusal with its count and the first that was like it, to be read by eye."""
        lines = []
        for name, tally in self.tallies.items():
            lines.append(f"== {name}: {len(tally.refusals)} distinct refusals of {tally.verdicts['refused']}")
            lines += [f"{len(alike):6} × {alike[0]}" for _, alike in sorted(tally.refusals.items())]
        return "\n".join(lines) + "\n"


class _Worker:
    """A ``fuzz.worker`` process; Ctrl-C in a terminal does not reach it."""

    def __init__(self, shared: Path) -> None:
        paths = (str(TESTS), os.environ.get("PYTHONPATH"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "FUZZ_SHARED": str(shared),
            },
        )

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """What became of a case; None if the worker died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self._process.stdout.readline()
        return json.loads(answer) if answer else None

    def end(self) -> None:
        """Let the process end, which has nothing left to do."""
        self._process.communicate()


def _printable(text: str) -> str:
    return text[:300].encode("ascii", "backslashreplace").decode("ascii").replace("\n", " ")
