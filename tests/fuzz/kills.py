"""Kills, interrupts and full disks at chosen moments of a small run: resumed, it must end as if nothing had been.

A moment is a stage, seen by a line that the command logs or a path that it makes, and a part of the processor time that
the stage took in an uninterrupted run: a busy machine changes no moment. That run is stopped for an instant where each
stage begins, and its files are copied: so a run can be begun in front of any stage. By hand:
``PYTHONPATH=tests python -m fuzz.kills --rounds 3 --full-disks 1 --seed 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import psutil
from small_search import small_study, write_data

from fuzz.run_content import content_of, half_files, kept_files, leftovers, trained_twice

Command = Literal["run", "synthesize"]
COMMANDS: tuple[Command, ...] = ("run", "synthesize")

How = Literal["kill", "kill main", "interrupt", "terminate", "hang up", "full disk"]

SIGNALS: dict[How, signal.Signals] = {
    "kill": signal.SIGKILL,
    "kill main": signal.SIGKILL,
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "hang up": signal.SIGHUP,
}
"""All but "kill main" reach every process of the group, as Ctrl-C in a terminal does."""

PATIENCE_S = 900
"""For a command to end, or a stage to begin, on a machine that does much else."""

SHORT_S = 0.02
"""What takes no more than that is not measured: the clock of processor time has steps of 10 ms."""

GONE_S = 60
"""For what an ended command has started to end, too."""

TOGETHER = 2
"""Every so manieth stage is interrupted in the same run."""

DISK = "64m"
"""Of which a run takes a part, until it is full."""

INTERRUPTED = "fpgaml: interrupted. What was finished is kept: the same command goes on from there"
NO_ROOM = r"(?=.{1,508}$)(?=.*(?:No space left on device|disk may be full))(?=.*[Ff]ree some)fpgaml: .*/\w.*"
"""A line of at most 500 characters, beside the program's name: which place is full, and what to do."""


@dataclass(frozen=True)
class Stage:
    """A stage of the work, and how its beginning is seen.

    Parameters
    ----------
    name : str
        For people.
    command : {"run", "synthesize"}
        To which it belongs.
    line : str
        A text that the command logs, once; empty where a path is looked for.
    path : str
        A pattern of paths, one of which is new or another than when the command was started; empty with ``line``.
    compiles : bool
        Whether a simulation is compiled, or was in this command: without it a kept build may be there before.
    """

    name: str
    command: Command
    line: str = ""
    path: str = ""
    compiles: bool = False

    @property
    def is_start(self) -> bool:
        """Whether it begins with the command."""
        return not (self.line or self.path)


STAGES = (
    Stage("start", "run"),
    Stage("data", "run", line="stages: data"),
    Stage("worker's start", "run", path="output/.search-data.*/search-data"),
    Stage("search: float epochs", "run", path="output/states/*.lock"),
    Stage("search: epochs", "run", path="output/states/*/epoch_*.state"),
    Stage("search: later trials", "run", path="output/states/*/epoch_00003.state"),
    Stage("winners", "run", line="seed_trainings: winners"),
    Stage("winners: later trainings", "run", path="output/winners/*/seed_1"),
    Stage("float twins", "run", line="seed_trainings: float twins"),
    Stage("winner's place", "run", path="output/winners.json"),
    Stage("HLS project", "run", line="stages: HLS project"),
    Stage("csim: compilation", "run", line="stages: csim", compiles=True),
    Stage("csim: simulation", "run", path="cache/csim/????????????????????????????????", compiles=True),
    Stage("hand-over", "run", line="stages: hand-over"),
    Stage("hand-over: certificate", "run", path="output/hls_projects/*/README.md"),
    Stage("report", "run", line="stages: report"),
    Stage("report: figures", "run", path="output/figures"),
    Stage("report: pages", "run", path="output/report.md"),
    Stage("synthesis: start", "synthesize"),
    Stage("synthesis: project", "synthesize", line="stages: rtl project"),
    Stage("synthesis: comparison", "synthesize", line="stages: comparison", compiles=True),
    Stage("synthesis: hand-over", "synthesize", line="stages: hand-over"),
    Stage("synthesis: steps", "synthesize", path="output/rtl_projects/*/certificate.json"),
    Stage("synthesis: Yosys", "synthesize", path="tmp/**/fpgaml-yosys-*"),
)
END = "end"


def stages_of(command: Command) -> list[Stage]:
    """The stages of a command, in their order."""
    return [stage for stage in STAGES if stage.command == command]


@dataclass(frozen=True)
class Place:
    """A folder for a run: its output, its cache, its temporary files; and the study, which all runs share."""

    folder: Path
    study: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def begin(self, command: Command) -> Attempt:
        """Start a command in a process group of its own."""
        for name in ("cache", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        arguments = {
            "run": ["run", self.study, "--output", self.output, "--workers", "1"],
            "synthesize": ["synthesize", self.output, "--backend", "rtl", "--events", "300"],
        }[command]
        environment = {
            **os.environ,
            "FPGAML_CACHE_DIR": str(self.folder / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        before = self.matching(command)
        process = subprocess.Popen(
            [sys.executable, "-m", "fpgaml.cli", "-v", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=_hear_signals,  # noqa: PLW1509
        )
        return Attempt(self, command, process, before)

    def matching(self, command: Command) -> frozenset[tuple[Path, int, int]]:
        """The paths by which stages are seen, each with what is another where it was written again."""
        found = [path for stage in stages_of(command) if stage.path for path in self.folder.glob(stage.path)]
        return frozenset(filter(None, map(_stamp, found)))


def _hear_signals() -> None:
    """Undo what ``nohup``, or a shell that starts things in the background, has had ignored: that is inherited."""
    for number in SIGNALS.values():
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)


def _stamp(path: Path) -> tuple[Path, int, int] | None:
    with contextlib.suppress(OSError):  # temporary, and gone
        found = path.stat()
        return path, found.st_ino, found.st_mtime_ns
    return None


@dataclass
class Attempt:
    """A command that runs."""

    place: Place
    command: Command
    process: subprocess.Popen[str]
    before: frozenset[tuple[Path, int, int]]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    @property
    def said(self) -> str:
        """All that it has written to stderr."""
        return "".join(list(self.lines))

    def has_begun(self, stage: Stage) -> bool:
        """Whether the command has come to a stage."""
        if stage.line:
            return stage.line in self.said
        if stage.path:
            found = filter(None, map(_stamp, self.place.folder.glob(stage.path)))
            return any(stamp not in self.before for stamp in found)
        return True

    def stage(self) -> Stage:
        """The last stage that has begun."""
        return next(stage for stage in reversed(stages_of(self.command)) if self.has_begun(stage))

    def wait_for(self, stage: Stage) -> bool:
        """Wait until a stage begins, or one behind it where it has nothing to do; false where the command ends."""
        stages = stages_of(self.command)
        awaited = stages[stages.index(stage) :]
        return self._wait(lambda: any(map(self.has_begun, awaited)), 0.01)

    def wait_until_used(self, seconds: float) -> bool:
        """Wait until it has used so much processor time more; false where the command ends before."""
        begin = self.used_s()
        return self._wait(lambda: self.used_s() >= begin + seconds, max(0.01, seconds / 100))

    def _wait(self, condition: Callable[[], bool], poll_s: float) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                self.end(patience_s=0)
                raise TimeoutError(f"nothing happens: {self.said}")
            time.sleep(poll_s)
        return self.process.poll() is None

    def used_s(self) -> float:
        """Processor time of the command and all that it has started."""
        with contextlib.suppress(psutil.Error):
            main = psutil.Process(self.process.pid)
            return sum(sum(member.cpu_times()[:4]) for member in (main, *main.children(recursive=True)))
        return float("inf")  # it has ended

    def members(self) -> list[psutil.Process]:
        """All processes that belong to it now, those without a parent included: what they inherit tells them."""
        return [process for process in psutil.process_iter() if self._is_member(process)]

    def _is_member(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            found = process.environ().get("FPGAML_CACHE_DIR") == str(self.place.folder / "cache")
            return found and process.status() != psutil.STATUS_ZOMBIE
        return False

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing of it runs in the block; what it is sent there, it hears behind."""
        stopped: list[psutil.Process] = []
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGSTOP)  # at once: to find the others takes longer than some stages
        while running := [member for member in self.members() if member not in stopped]:
            for member in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.suspend()
            stopped += running
        try:
            yield
        finally:
            for member in reversed(stopped):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.resume()
            self.process.send_signal(signal.SIGCONT)

    def send(self, how: How) -> None:
        """Send a signal, to the group or to the main process alone."""
        with contextlib.suppress(ProcessLookupError):
            if how == "kill main":
                self.process.kill()
            else:
                os.killpg(self.process.pid, SIGNALS[how])

    def end(self, patience_s: float = PATIENCE_S) -> list[str]:
        """Wait until it has ended, with all that it started; gives what has not ended by itself, and is killed."""
        wrong = []
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            wrong.append("goes on: the command itself")
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + GONE_S
        while (left := self.members()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                wrong.append(f"goes on: process {member.pid}: {' '.join(member.cmdline())[:100]}")
                member.kill()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return wrong


@dataclass(frozen=True)
class Reference:
    """What an uninterrupted run has come to, and what it held where each stage began.

    Parameters
    ----------
    study : Path
        Of the run.
    cache : Path
        Of the run: simulations that were compiled.
    content : mapping
        See ``content_of``.
    used_s : mapping
        Processor time to the next stage, by stage.
    images : mapping
        A copy of its folder as each stage began.
    """

    study: Path
    cache: Path
    content: dict[str, str]
    used_s: dict[str, float]
    images: dict[str, Path]

    @classmethod
    def make(cls, folder: Path) -> Reference:
        """Run without interruption in a folder, which keeps all of it; what was kept there before serves again."""
        kept = folder / "reference.json"
        if not kept.exists():
            shutil.rmtree(folder, ignore_errors=True)
            made = cls._run(folder)
            kept.write_text(json.dumps(asdict(made), default=str), encoding="utf-8")
        found = json.loads(kept.read_text(encoding="utf-8"))
        images = {name: Path(path) for name, path in found["images"].items()}
        return cls(Path(found["study"]), Path(found["cache"]), found["content"], found["used_s"], images)

    @classmethod
    def _run(cls, folder: Path) -> Reference:
        folder.mkdir(parents=True)
        write_data(folder)
        study = small_study(
            folder,
            choices={"bits": [[8, 2]], "units": [3, 4]},
            train={"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "float_epochs": 1},
            search={"algorithm": "hyperband", "max_epochs": 3, "seed": 2, "winners": 2, "winner_seeds": [1, 2]},
        ).source.path
        place = Place(folder / "run", study)
        used_s: dict[str, float] = {}
        images: dict[str, Path] = {}
        for command in COMMANDS:
            attempt = place.begin(command)
            used: dict[str, float] = {}
            for stage in stages_of(command):
                if not attempt.wait_for(stage) or not attempt.has_begun(stage):
                    raise RuntimeError(f"{stage.name} has not been seen: {attempt.said}")
                with attempt.standing_still():
                    used[stage.name] = attempt.used_s()
                    images[stage.name] = folder / "images" / str(len(images))
                    shutil.copytree(place.folder, images[stage.name], symlinks=True)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if attempt.end() or attempt.process.returncode:
                raise RuntimeError(attempt.said)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used[END] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            used_s |= {name: max(0.0, later - at) for (name, at), (_, later) in pairwise(used.items())}
        return cls(study, place.folder / "cache", content_of(place.output), used_s, images)

    def prepare(self, folder: Path, first: Stage, others: Sequence[Stage] = ()) -> Place:
        """A folder as the run's was where the ``first`` stage began.

        Where neither this stage nor one of the ``others`` compiles, what will be compiled is in the cache already, as
        if another run had been there: that saves time.
        """
        shutil.copytree(self.images[first.name], folder, symlinks=True)
        if not any(stage.compiles for stage in (first, *others)):
            shutil.copytree(self.cache, folder / "cache", symlinks=True, dirs_exist_ok=True)
        return Place(folder, self.study)


@dataclass(frozen=True)
class Outcome:
    """What came of an interruption, and what is wrong with it.

    Parameters
    ----------
    stage : str
        In which it came.
    how : str
        A signal, or "full disk".
    happened : bool
        False where the command had ended before.
    wrong : tuple of str
        What is not as it should be.
    message : str
        What the command said, where it could.
    """

    stage: str
    how: str
    happened: bool
    wrong: tuple[str, ...]
    message: str = ""

    def but(self, wrong: Sequence[str]) -> Outcome:
        """The same with more that is wrong."""
        return replace(self, wrong=(*self.wrong, *wrong))


def interrupt(place: Place, stage: Stage, used_s: float, how: How) -> Outcome:
    """Begin, and send the command a signal in a stage, or fill its disk, once it has used so much processor time there.

    In the end there is room again on the disk.
    """
    attempt, ballast = place.begin(stage.command), place.folder.parent / "ballast"
    reached = attempt.wait_for(stage) and (used_s < SHORT_S or attempt.wait_until_used(used_s))
    with attempt.standing_still():
        hit, kept = attempt.stage(), kept_files(place.folder)
        reached = reached and attempt.process.poll() is None
        if how == "full disk":
            _fill(ballast)
        else:
            attempt.send(how)
    wrong = attempt.end() + changes(kept, place.folder)
    ballast.unlink(missing_ok=True)
    code, message = attempt.process.returncode, _message(attempt.said)
    if code and not (reached and _is_good_end(how, hit, code, message)):
        wrong.append(f"ended with {code} after {how}: {message}")
    if SIGNALS.get(how) != signal.SIGKILL:
        wrong += leftovers(place.folder)
    # Python itself may say where it was when a signal came before the first line of the program.
    wrong += [] if hit.is_start and code == -SIGNALS.get(how, 0) else _complaints(attempt.said)
    wrong += half_files(place.output)
    return Outcome(hit.name, how, reached and code != 0, tuple(wrong), message)


def _is_good_end(how: How, stage: Stage, code: int, message: str) -> bool:
    """Whether a command that was interrupted in a stage has ended as it should."""
    if how == "full disk":
        return code == 2 and re.fullmatch(NO_ROOM, message) is not None
    number = SIGNALS[how]
    if number != signal.SIGKILL and (code, message) == (128 + number, INTERRUPTED):
        return True
    return (number == signal.SIGKILL or stage.is_start) and (code, message) == (-number, "")


def changes(kept: dict[str, tuple[int, int]], folder: Path) -> list[str]:
    """What was finished before, and has been lost or made again."""
    now = kept_files(folder)
    lost = [f"{name} was lost" for name in kept if name not in now]
    return lost + [f"{name} was made again" for name in kept if name in now and now[name] != kept[name]]


def _complaints(said: str) -> list[str]:
    found = [line for line in said.splitlines() if re.match(r"Traceback|WARNING|ERROR|Exception|\w+Error", line)]
    return [f"said: {said[-2000:]}"] if found else []


def _message(said: str) -> str:
    """What an ended command told, without its log."""
    begin = said.find("fpgaml: ")
    return said[begin:].strip() if begin >= 0 else ""


def resume(place: Place, reference: Reference, kept: dict[str, tuple[int, int]], command: Command) -> list[str]:
    """Resume to the end of the command; gives what is not as without interruption."""
    attempt = place.begin(command)
    wrong = attempt.end()
    if attempt.process.returncode:
        wrong.append(f"resumed {command} ended with {attempt.process.returncode}")
    wrong += _complaints(attempt.said) + changes(kept, place.folder)
    found, expected = content_of(place.output), dict(reference.content)
    if command == "run":  # what only the other command writes
        expected = {name: digest for name, digest in expected.items() if not name.startswith(("rtl_", "synthesis/"))}
    wrong += [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is too many" for name in found if name not in expected]
    wrong += [f"{name} differs" for name in expected if found.get(name, expected[name]) != expected[name]]
    return wrong + trained_twice(place.output) + leftovers(place.folder) + half_files(place.output)


Plan = list[tuple[Stage, float, How]]
"""In which stage, after which part of the processor time that it takes, and how."""


def check_plan(reference: Reference, folder: Path, plan: Plan) -> list[Outcome]:
    """Interrupt one run several times, from the first stage of the plan on, and resume it to the end."""
    stages = [stage for stage, _, _ in plan]
    folder.mkdir(parents=True)
    with _disk(folder) if any(how == "full disk" for _, _, how in plan) else contextlib.nullcontext():
        place = reference.prepare(folder / "run", stages[0], stages[1:])
        outcomes, kept = [], kept_files(place.folder)
        for stage, part, how in plan:
            outcome = interrupt(place, stage, part * reference.used_s[stage.name], how)
            outcomes.append(outcome.but(changes(kept, place.folder)))
            kept = kept_files(place.folder)
        outcomes[-1] = outcomes[-1].but(resume(place, reference, kept, stages[-1].command))
    return outcomes


def can_mount() -> bool:
    """Whether a disk of a certain size can be made here."""
    with tempfile.TemporaryDirectory() as folder:
        return _mount(Path(folder), "1m") and _unmount(Path(folder))


def _mount(folder: Path, size: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


def _unmount(folder: Path) -> bool:
    return subprocess.run(["umount", "--lazy", str(folder)], check=False).returncode == 0


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A disk of a certain size in a folder."""
    if not _mount(folder, DISK):
        raise RuntimeError(f"{folder}: cannot mount a disk here")
    try:
        yield
    finally:
        _unmount(folder)


def _fill(ballast: Path) -> None:
    """Take all the room there is."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def random_plan(draw: random.Random, n: int) -> Plan:
    """Stages of one command in their order, with parts of their time and signals."""
    stages = stages_of(draw.choice(("run", *COMMANDS)))
    chosen = sorted(draw.choices(range(len(stages)), k=n))
    return [(stages[position], draw.random(), draw.choice(list(SIGNALS))) for position in chosen]


def _plans(draw: random.Random, stages: list[Stage], how: How | None, *, at_start: bool = False) -> Iterator[Plan]:
    """Plans with every stage once, several of them in one run; as each begins, or anywhere in it."""
    for command in COMMANDS:
        chosen = [stage for stage in stages if stage.command == command]
        for number in range(min(TOGETHER, len(chosen))):
            part = chosen[number::TOGETHER]
            yield [(stage, 0.0 if at_start else draw.random(), how or draw.choice(list(SIGNALS))) for stage in part]


class Tally:
    """Prints outcomes as they come, and counts them."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def tell(self, outcome: Outcome) -> None:
        """Print one, with all that is wrong."""
        self.outcomes.append(outcome)
        state = "ok" if not outcome.wrong else "WRONG"
        print(f"{outcome.stage:28} {outcome.how:10} {'' if outcome.happened else 'too late '}{state}", flush=True)
        for what in (*outcome.wrong, *filter(None, [outcome.message])):
            print(f"    {what}", flush=True)

    def sum_up(self) -> int:
        """Print the counts; the number of outcomes that are wrong."""
        happened = [outcome for outcome in self.outcomes if outcome.happened]
        full = Counter(outcome.stage for outcome in happened if outcome.how == "full disk")
        ended = Counter(outcome.stage for outcome in happened if outcome.how != "full disk")
        wrong = sum(bool(outcome.wrong) for outcome in self.outcomes)
        used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
        used_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
        for stage in STAGES:
            print(f"{stage.name:28} {ended[stage.name]:3} signals {full[stage.name]:3} full disks")
        print(Counter(outcome.how for outcome in happened))
        print(
            f"{ended.total()} signals in {len(ended)} of {len(STAGES)} stages, {full.total()} full disks in "
            f"{len(full)}, {wrong} wrong, {used_s:.0f} s of processor time"
        )
        return wrong


def main() -> int:
    """Interrupt in every stage in turn, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to interrupt in each stage")
    parser.add_argument("--full-disks", type=int, default=0, help="how often in each stage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", default="", help="only stages whose name holds this")
    parser.add_argument("--how", choices=SIGNALS, default=None, help="one signal only")
    parser.add_argument("--folder", type=Path, default=None, help="keep all in this folder")
    options = parser.parse_args()
    draw, tally = random.Random(options.seed), Tally()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fpgaml-kills-"))
    reference = Reference.make(folder / "reference")
    stages = [stage for stage in STAGES if options.stage in stage.name]
    print({name: round(seconds, 2) for name, seconds in reference.used_s.items()}, flush=True)
    plans = [plan for _ in range(options.rounds) for plan in _plans(draw, stages, options.how)]
    for number in range(options.full_disks):
        # First as the stages begin, when all that they write is still to be written.
        plans += _plans(draw, stages, "full disk", at_start=number == 0)
    for number, plan in enumerate(plans):
        place = folder / f"plan_{options.seed}_{number}"
        outcomes = check_plan(reference, place, plan)
        for outcome in outcomes:
            tally.tell(outcome)
        if not any(outcome.wrong for outcome in outcomes):
            shutil.rmtree(place)
    return int(tally.sum_up() > 0)


if __name__ == "__main__":
    sys.exit(main())
