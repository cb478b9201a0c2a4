"""Kills, interrupts and full disks at chosen moments of a small run: resumed, it must end as if nothing had been.

A moment is a stage, seen by a line that the command logs or a path that it makes, and a part of the time that the stage
took in an uninterrupted run. That run is stopped for an instant where each stage begins, and its files are copied: so a
run can be begun in front of any stage. By hand: ``python tests/fuzz/kills.py --rounds 3 --full-disks 1 --seed 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))  # where this is run as a program

from small_search import small_study, write_data

from fpgaml.storage import read_arrays

Command = Literal["run", "synthesize"]
COMMANDS: tuple[Command, ...] = ("run", "synthesize")

How = Literal["kill", "kill main", "interrupt", "terminate", "hang up"]

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

TOGETHER = 3
"""Every so manieth stage is interrupted in the same run."""

MESSAGE = 500
"""Characters that a message has at most."""


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
        A pattern of paths that have not been there when the command was started; empty with ``line``.
    """

    name: str
    command: Command
    line: str = ""
    path: str = ""


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
    Stage("csim: compilation", "run", line="stages: csim"),
    Stage("csim: simulation", "run", path="cache/csim/????????????????????????????????"),
    Stage("hand-over", "run", line="stages: hand-over"),
    Stage("hand-over: certificate", "run", path="output/hls_projects/*/README.md"),
    Stage("report", "run", line="stages: report"),
    Stage("report: figures", "run", path="output/figures"),
    Stage("report: pages", "run", path="output/report.md"),
    Stage("synthesis: start", "synthesize"),
    Stage("synthesis: project", "synthesize", line="stages: rtl project"),
    Stage("synthesis: comparison", "synthesize", line="stages: comparison"),
    Stage("synthesis: hand-over", "synthesize", line="stages: hand-over"),
    Stage("synthesis: steps", "synthesize", path="output/rtl_projects/*/certificate.json"),
    Stage("synthesis: Yosys", "synthesize", path="tmp/**/fpgaml-yosys-*"),
)
END = "end"


@dataclass(frozen=True)
class Place:
    """A folder for a run: its output, its cache, its temporary files; and the study, which all runs share."""

    folder: Path
    study: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def begin(self, command: str) -> Attempt:
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
        before = frozenset(path for path in self.folder.rglob("*"))
        process = subprocess.Popen(
            [sys.executable, "-m", "fpgaml.cli", "-v", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.folder,
            start_new_session=True,
            # A shell that has started this in the background has SIGINT ignored, and whatever is started inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        return Attempt(self, process, before)


@dataclass
class Attempt:
    """A command that runs."""

    place: Place
    process: subprocess.Popen[str]
    before: frozenset[Path]
    lines: list[str] = field(default_factory=list)
    family: set[psutil.Process] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

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
            return any(path not in self.before for path in self.place.folder.glob(stage.path))
        return True

    def wait_for(self, stage: Stage) -> bool:
        """Wait until the stage begins; false where the command ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.has_begun(stage):
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stage.name} did not begin: {self.said}")
            time.sleep(0.005)
        return True

    def members(self) -> list[psutil.Process]:
        """All processes that belong to it now; those that were seen are kept in ``family``."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid)
            self.family.update([found, *found.children(recursive=True)])
        return [member for member in self.family if _runs(member)]

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing of it runs in the block."""
        stopped = self.members()
        for member in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.suspend()
        try:
            yield
        finally:
            for member in reversed(stopped):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.resume()

    def send(self, how: How) -> None:
        """Send a signal, to the group or to the main process alone."""
        self.members()
        with contextlib.suppress(ProcessLookupError):
            if how == "kill main":
                self.process.kill()
            else:
                os.killpg(self.process.pid, SIGNALS[how])

    def end(self) -> list[str]:
        """Wait until it has ended, with all that it started; gives what has not ended by itself, and is killed."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            self.members()
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        hanging = [] if self.process.poll() is not None else ["the command itself"]
        _, left = psutil.wait_procs([member for member in self.family if member.pid != self.process.pid], timeout=10)
        left = [member for member in left if _runs(member)]
        hanging += [f"process {member.pid}: {' '.join(member.cmdline())[:100]}" for member in left]
        for member in (*left, psutil.Process(self.process.pid)) if hanging else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return hanging


def _runs(member: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(member.status() != psutil.STATUS_ZOMBIE)
    return False


@dataclass(frozen=True)
class Reference:
    """What an uninterrupted run has come to, and what it held where each stage began.

    Parameters
    ----------
    study : Path
        Of the run.
    content : mapping
        See ``content_of``.
    durations : mapping
        Seconds to the next stage, by stage.
    images : mapping
        A copy of its folder as each stage began.
    """

    study: Path
    content: dict[str, str]
    durations: dict[str, float]
    images: dict[str, Path]

    @classmethod
    def make(cls, folder: Path, *, commands: Sequence[Command] = COMMANDS) -> Reference:
        """Run without interruption in a folder, which keeps all of it; what was kept there before serves again."""
        kept = folder / "reference.json"
        if not kept.exists():
            shutil.rmtree(folder, ignore_errors=True)
            made = cls._run(folder, commands)
            kept.write_text(json.dumps(asdict(made), default=str), encoding="utf-8")
        found = json.loads(kept.read_text(encoding="utf-8"))
        images = {name: Path(path) for name, path in found["images"].items()}
        return cls(Path(found["study"]), found["content"], found["durations"], images)

    @classmethod
    def _run(cls, folder: Path, commands: Sequence[Command]) -> Reference:
        folder.mkdir(parents=True)
        write_data(folder)
        study = small_study(
            folder,
            choices={"bits": [[8, 2]], "units": [3, 4]},
            train={"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "float_epochs": 1},
            search={"algorithm": "hyperband", "max_epochs": 3, "seed": 2, "winners": 2, "winner_seeds": [1, 2]},
        ).source.path
        place = Place(folder / "run", study)
        times: dict[str, float] = {}
        images: dict[str, Path] = {}
        for command in commands:
            attempt = place.begin(command)
            for stage in (stage for stage in STAGES if stage.command == command):
                if not attempt.wait_for(stage):
                    raise RuntimeError(f"{stage.name} has not been seen: {attempt.said}")
                with attempt.standing_still():
                    times[stage.name] = time.monotonic()
                    images[stage.name] = folder / "images" / str(len(images))
                    shutil.copytree(place.folder, images[stage.name], symlinks=True)
            if attempt.end() or attempt.process.returncode:
                raise RuntimeError(attempt.said)
            times[f"{command}: {END}"] = time.monotonic()
        moments = list(times.items())
        durations = {name: later - at for (name, at), (_, later) in pairwise(moments)}
        return cls(study, content_of(place.output), durations, images)


TIMES = {"wall_s", "spent_s", "time", "build_s", "events_per_s", "command", "float_epochs"}
"""Keys of JSON objects that differ between runs: what they took, and so the epochs of a float network in a call."""
TIMED_LINE = re.compile(r"h:mm:ss|\[s\]|\| [\d.]+ \|$|^\| events per second|^fpgaml run ")
"""Lines of the report that differ between runs."""


def content_of(output: Path) -> dict[str, str]:
    """A digest of every file of a run, by its path, without what differs between any two runs: times."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(_content(path).encode("latin-1")).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.suffix not in (".html", ".log")
    }


def _content(path: Path) -> str:
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".jsonl":
        lines = [_timeless(json.loads(line)) for line in text.splitlines()]
        text = "\n".join(json.dumps(line) for line in lines if line["event"] == "finished")
    elif path.suffix == ".json":
        text = json.dumps(_timeless(json.loads(text)))
    elif path.suffix == ".md":
        text = "\n".join(line for line in text.splitlines() if not TIMED_LINE.search(line))
    return text


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _timeless(item) for key, item in value.items() if key not in TIMES}


KEPT = (
    "output/study.yaml",
    "output/dataset.json",
    "output/states/*/*.state",
    "output/search.json",
    "output/winners/*/*seed_*/*",
    "output/winners.json",
    "output/trials/*/scores.npz",
    "output/*_projects/*/fpgaml.json",
    "output/csim/*.json",
    "cache/*/*/*",
)
"""What is made once: where it stands after a kill, it stands untouched in the end."""


def kept_files(folder: Path) -> dict[str, tuple[int, int]]:
    """When the files that are made once were written, and their sizes."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for pattern in KEPT
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    }


def half_files(folder: Path) -> list[str]:
    """Files that are not whole, but for those in hidden folders."""
    wrong = []
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".npz":
                read_arrays(path)
            elif path.suffix == ".state":
                whole = path.read_bytes()
                assert hashlib.sha256(whole[32:]).digest() == whole[:32]
            elif path.stat().st_size == 0 and path.suffix not in (".lock", ".log", ".h", ""):
                raise ValueError("empty")
        except Exception as error:  # noqa: BLE001  whatever it is
            wrong.append(f"{path.relative_to(folder)} is half: {error}")
    return wrong


def leftovers(folder: Path) -> list[str]:
    """Temporary files that have been left."""
    hidden = [path for part in ("output", "cache") for path in (folder / part).rglob(".*") if path.name != ".gitignore"]
    found = [*hidden, *(folder / "tmp").glob("*")]
    return [f"{path.relative_to(path.parents[1])} was left" for path in found]


def trained_twice(output: Path) -> list[str]:
    """Trials of which the journal says twice that they were trained to the same epoch."""
    text = (output / "journal.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    finished = Counter((event["trial"], event["epochs"]) for event in events if event["event"] == "finished")
    return [
        f"trial {trial} was trained {n} times to epoch {epochs}" for (trial, epochs), n in finished.items() if n > 1
    ]


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


def interrupt(place: Place, stage: Stage, delay_s: float, how: How) -> Outcome:
    """Begin, and end the command by a signal in a stage."""
    attempt = place.begin(stage.command)
    happened = attempt.wait_for(stage)
    time.sleep(delay_s if happened else 0)
    happened = happened and attempt.process.poll() is None
    attempt.send(how)
    wrong = [f"goes on: {what}" for what in attempt.end()]
    number, code = SIGNALS[how], attempt.process.returncode
    if happened and code:  # 0: it ended in this very moment
        expected = {-number} if number == signal.SIGKILL or stage.name.endswith("start") else {128 + number}
        expected |= {128 + number}
        wrong += [] if code in expected else [f"exit code {code} after {how}"]
    elif code not in (0, -number):
        wrong.append(f"exit code {code} though nothing happened")
    wrong += _complaints(attempt.said) + half_files(place.output)
    if how not in ("kill", "kill main") and happened:
        wrong += leftovers(place.folder)
    return Outcome(stage.name, how, happened and code != 0, tuple(wrong), _message(attempt.said))


def _complaints(said: str) -> list[str]:
    found = [line for line in said.splitlines() if re.match(r"Traceback|WARNING|ERROR|Exception|\w+Error", line)]
    return [f"said: {said[-2000:]}"] if found else []


def _message(said: str) -> str:
    """What an ended command told, without its log."""
    begin = said.find("fpgaml: ")
    return said[begin:].strip() if begin >= 0 else ""


def resume(place: Place, reference: Reference, kept: dict[str, tuple[int, int]], stage: Stage) -> list[str]:
    """Resume to the end of the command; gives what is not as without interruption."""
    attempt = place.begin(stage.command)
    wrong = [f"goes on: {what}" for what in attempt.end()]
    if attempt.process.returncode:
        wrong.append(f"resumed {stage.command} ended with {attempt.process.returncode}")
    wrong += _complaints(attempt.said)
    after = kept_files(place.folder)
    wrong += [f"{name} was made again" for name, state in kept.items() if after.get(name) != state]
    found, expected = content_of(place.output), dict(reference.content)
    if stage.command == "run":  # what only the other command writes
        expected = {name: digest for name, digest in expected.items() if not name.startswith(("rtl_", "synthesis/"))}
    wrong += [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is too many" for name in found if name not in expected]
    wrong += [f"{name} differs" for name in expected if found.get(name, expected[name]) != expected[name]]
    return wrong + trained_twice(place.output) + leftovers(place.folder) + half_files(place.output)


def check_kills(reference: Reference, folder: Path, plan: list[tuple[Stage, float, How]]) -> list[Outcome]:
    """Interrupt one run several times, from the first stage of the plan on, and resume it to the end.

    ``plan`` says in which stage, after which part of the time it takes, and how.
    """
    place = Place(folder, reference.study)
    first = plan[0][0]
    shutil.copytree(reference.images[first.name], folder, symlinks=True)
    outcomes, kept = [], {}
    for stage, part, how in plan:
        outcomes.append(interrupt(place, stage, part * reference.durations[stage.name], how))
        now = kept_files(folder)
        touched = [f"{name} was made again" for name, state in kept.items() if now.get(name) != state]
        outcomes[-1] = _with(outcomes[-1], touched)
        kept = now
    outcomes[-1] = _with(outcomes[-1], resume(place, reference, kept, plan[-1][0]))
    return outcomes


def _with(outcome: Outcome, wrong: list[str]) -> Outcome:
    return Outcome(outcome.stage, outcome.how, outcome.happened, (*outcome.wrong, *wrong), outcome.message)


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


def check_full_disk(reference: Reference, folder: Path, stage: Stage, part: float) -> Outcome:
    """Fill the disk in a stage, with output, cache and temporary files on it; make room, and resume."""
    folder.mkdir(parents=True)
    if not _mount(folder, "64m"):
        raise RuntimeError("cannot mount a disk here")
    try:
        place = Place(folder / "disk", reference.study)
        shutil.copytree(reference.images[stage.name], place.folder, symlinks=True)
        attempt = place.begin(stage.command)
        happened = attempt.wait_for(stage)
        time.sleep(part * reference.durations[stage.name] if happened else 0)
        ballast = folder / "ballast"
        with attempt.standing_still():
            _fill(ballast)
        wrong = [f"goes on: {what}" for what in attempt.end()]
        code, message = attempt.process.returncode, _message(attempt.said)
        if code not in (0, 2):
            wrong.append(f"exit code {code}")
        if code == 2 and (not re.search(r"/\w", message) or len(message) > MESSAGE + 100):
            wrong.append(f"message: {message}")
        wrong += _complaints(attempt.said) + half_files(place.output)
        ballast.unlink()
        kept = kept_files(place.folder)
        wrong += resume(place, reference, kept, stage)
        return Outcome(stage.name, "full disk", happened and code != 0, tuple(wrong), message)
    finally:
        _unmount(folder)


def _fill(ballast: Path) -> None:
    """Take all the room there is."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def random_plan(draw: random.Random, n: int, hows: tuple[How, ...] = tuple(SIGNALS)) -> list[tuple[Stage, float, How]]:
    """Stages of one command in their order, with parts of their time and signals."""
    command = draw.choice(("run", *COMMANDS))
    stages = [stage for stage in STAGES if stage.command == command]
    chosen = sorted(draw.choices(range(len(stages)), k=n))
    return [(stages[position], draw.random(), draw.choice(hows)) for position in chosen]


def _plans(
    draw: random.Random, stages: list[Stage], how: How | None
) -> Iterator[tuple[str, list[tuple[Stage, float, How]]]]:
    """Plans with every stage once, several of them in one run."""
    for command in COMMANDS:
        chosen = [stage for stage in stages if stage.command == command]
        for number in range(min(TOGETHER, len(chosen))):
            part = [(stage, draw.random(), how or draw.choice(list(SIGNALS))) for stage in chosen[number::TOGETHER]]
            yield f"{command}_{number}", part


def main() -> int:
    """Interrupt in every stage in turn, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to interrupt in each stage")
    parser.add_argument("--full-disks", type=int, default=0, help="how often in each stage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", default="", help="only stages whose name holds this")
    parser.add_argument("--how", choices=SIGNALS, default=None)
    parser.add_argument("--folder", type=Path, default=None, help="keep all in this folder")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fpgaml-kills-"))
    reference = Reference.make(folder / "reference")
    stages = [stage for stage in STAGES if options.stage in stage.name]
    print({name: round(seconds, 2) for name, seconds in reference.durations.items()}, flush=True)
    done: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        done.append(outcome)
        state = "ok" if not outcome.wrong else "WRONG"
        print(f"{outcome.stage:28} {outcome.how:10} {'' if outcome.happened else 'too late'} {state}", flush=True)
        for what in (*outcome.wrong, *filter(None, [outcome.message])):
            print(f"    {what}", flush=True)

    for number in range(options.rounds):
        for name, plan in _plans(draw, stages, options.how):
            place = folder / f"kills_{number}_{name}"
            outcomes = check_kills(reference, place, plan)
            for outcome in outcomes:
                tell(outcome)
            if not any(outcome.wrong for outcome in outcomes):
                shutil.rmtree(place)
    for number in range(options.full_disks * len(stages)):
        tell(check_full_disk(reference, folder / f"full_{number}", stages[number % len(stages)], draw.random() / 2))
    happened = Counter(outcome.stage for outcome in done if outcome.happened)
    print(f"{sum(happened.values())} interruptions, {sum(bool(outcome.wrong) for outcome in done)} wrong: {happened}")
    return int(any(outcome.wrong for outcome in done))


if __name__ == "__main__":
    sys.exit(main())
