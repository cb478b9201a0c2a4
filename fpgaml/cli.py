"""The command line: parse, call one public function, print. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from fpgaml import __version__
from fpgaml.arguments import chosen_values, count, minutes, picture, sha256
from fpgaml.child_process import GROUP_SIGNALS
from fpgaml.errors import FpgamlError, escaped, message_text
from fpgaml.temporary_paths import FULL, own_temporary_files, unwritable

if TYPE_CHECKING:
    from rich.progress import Progress

    from fpgaml.search_plan import Schedule

DESCRIPTION = "From data to firmware that keeps the signal efficiency."
EXIT_CODES = (
    "exit codes: 0 done, and every check held; 1 a check failed, such as a word of the C simulation that differs; 2 "
    "the input is wrong; 70 a bug of fpgaml; 130 interrupted (Ctrl-C), 143 terminated, 129 its terminal closed. What "
    "was finished is kept, and the same command goes on from there."
)
BUG = 70
AGAIN_S = 0.5
PATIENCE_S = 10.0

_log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with an argument as every error is told: not at length, and on lines of its own."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message; exit code 2."""
        super().error(message_text(message))


class _Lines(logging.Formatter):
    """Lines of the log, in which a user's own text may stand."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or with a traceback the lines, without anything that a terminal would act on."""
        return escaped(super().format(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return _run_command(arguments, contextlib.nullcontext())


def program() -> None:
    """The command ``fpgaml``: what ``main`` does, in a process of its own that then ends."""
    try:
        sys.exit(_run_command(None, own_temporary_files()))
    finally:
        for number in GROUP_SIGNALS:  # nothing is left to be interrupted, but Python would say where it was
            signal.signal(number, signal.SIG_IGN)
        for stream in filter(None, (sys.stdout, sys.stderr)):
            _give_up_on_unwritable(stream)


def _give_up_on_unwritable(stream: TextIO) -> None:
    """Send what a stream still holds nowhere if it cannot be written: Python would end with an exit code of its own."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _run_command(arguments: Sequence[str] | None, around: AbstractContextManager[None]) -> int:
    with _signals() as received:
        try:
            parser = _parser()
            options = parser.parse_args(arguments)
            if not hasattr(options, "call"):
                parser.print_help(sys.stderr)
                return 2
            _start_logging(options.verbose)
            with around:
                return int(options.call(options))
        except (FpgamlError, OSError, MemoryError, KeyboardInterrupt) as error:
            return _explain(error, received)
        except Exception as error:  # noqa: BLE001  nothing is lost: it is told, or logged with its traceback
            if received:  # an interrupted library may raise anything
                return _explain(error, received)
            _log.exception("this is a bug of fpgaml")
            return BUG


def _explain(error: BaseException, received: Sequence[int]) -> int:
    """Say on stderr what happened; returns the exit code."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    if received or isinstance(error, KeyboardInterrupt):
        _log.debug("interrupted", exc_info=error)
        _complain("interrupted. What was finished is kept: the same command goes on from there")
        return 128 + (received[0] if received else signal.SIGINT)
    if isinstance(error, OSError) and (error.errno in FULL or not error.strerror):  # whatever has met the full disk
        error = unwritable(error.filename or "a file", error)
    _complain(str(error) or type(error).__name__)
    return error.exit_code if isinstance(error, FpgamlError) else FpgamlError.exit_code


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is closed, or the disk of the log is full
        print(f"fpgaml: {message_text(message)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Turn Ctrl-C, a batch system's SIGTERM and a closed terminal into KeyboardInterrupt; gives those that came.

    Some libraries swallow it (pyarrow does, while it imports pandas), so it is raised again every ``AGAIN_S`` seconds
    until it arrives. What it makes the program do in the end is not interrupted, but by a signal ``PATIENCE_S`` later.
    """
    received: list[int] = []
    first: list[float] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        first.append(now)
        if number != signal.SIGALRM:
            received.append(number)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        urgent = number != signal.SIGALRM and now > first[0] + PATIENCE_S
        if urgent or not _is_interrupt(sys.exception()):
            raise KeyboardInterrupt

    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()  # by nohup
    numbers = (GROUP_SIGNALS | {signal.SIGALRM}) - ignored
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield received
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether what is being handled comes of an interrupt: the program is on its way to its end."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _start_logging(verbosity: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbosity > 1 else logging.WARNING, handlers=[handler])
    if verbosity:
        logging.getLogger("fpgaml").setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fpgaml", description=DESCRIPTION, epilog=EXIT_CODES, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fpgaml {__version__}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(name: str, call: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(call=call)
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        return added

    def study(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("study", type=Path, metavar="STUDY", help="a study file (YAML)")
        return added

    def study_and_output(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        study(added).add_argument("--output", type=Path, required=True, metavar="DIR", help="where the run is kept")
        return added

    def choices(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text = "a value (YAML) for a choice of the study; may be repeated"
        added.add_argument("--choose", action="append", default=[], metavar="NAME=VALUE", help=text)
        return added

    def run(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("output", type=Path, metavar="DIR", help="the --output directory of a run")
        return added

    def trial(added: argparse.ArgumentParser) -> None:
        text = "a trial as the search trained it, by its id; what the run has come to if not given"
        added.add_argument("--trial", metavar="ID", help=text)

    def workers(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text = "processes that train side by side in a search; what cores and memory allow if not given"
        added.add_argument("--workers", type=count, metavar="N", help=text)
        text = "the address of a Dask scheduler whose workers train instead, such as tcp://host:8786"
        added.add_argument("--scheduler", metavar="ADDRESS", help=text)
        return added

    def signing(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text = "a key of OpenSSH that signs the certificate of the project, so that others can tell who made it"
        added.add_argument("--sign", type=Path, metavar="KEY", help=text)
        return added

    running = command("run", _run, "do the whole way: data, search, winners, csim, report")
    signing(workers(choices(study_and_output(running))))
    searching = workers(study_and_output(command("search", _search, "search the choices of a study, or go on with it")))
    searching.add_argument("--dry-run", action="store_true", help="print the schedule and stop")
    study(command("data", _data, "make or read the data set of a study, and say what is in it"))
    choices(
        study_and_output(command("train", _train, "make or read the data and train the network and its float twin"))
    )
    trial(run(command("convert", _convert, "write the HLS project of a trained network")))
    text = "simulate the HLS project over all test events and compare it with the model"
    trial(signing(run(command("csim", _csim, text))))
    synthesizing = run(command("synthesize", _synthesize, "run synthesis tools on the project and read their figures"))
    trial(signing(synthesizing))
    text = "another backend than the study's, such as rtl, which needs no vendor's tool"
    synthesizing.add_argument("--backend", metavar="NAME", help=text)
    text = "all if not given; csynth, cosim, logic for vivado and vitis, verilog, simulation, yosys for rtl"
    synthesizing.add_argument("--steps", nargs="+", metavar="STEP", help=text)
    text = "minutes for each step, after which its tool is killed; no limit if not given"
    synthesizing.add_argument("--timeout", type=minutes, metavar="MIN", help=text)
    text = "events to compare with the model first: test events, others of the data set, then drawn ones"
    synthesizing.add_argument("--events", type=count, metavar="N", help=text)
    trial(run(command("report", _report, "write summary.json, report.md and the figures")))
    verifying = command("verify", _verify, "compare a handed-over folder with its certificate, running nothing of it")
    verifying.add_argument("folder", type=Path, metavar="FOLDER", help="a project that was handed over")
    text = "what certificate.json should have: 64 digits, from report.md or summary.json"
    verifying.add_argument("--sha256", type=sha256, metavar="DIGITS", help=text)
    text = "whose keys may have signed it: a file with a name and a public key in each line, as OpenSSH has them"
    verifying.add_argument("--signers", type=Path, metavar="FILE", help=text)
    log = command("log", _log_book, "print a search as a logbook, the best trials first")
    run(log)
    log.add_argument("--format", choices=("markdown", "myst"), default="markdown")
    log.add_argument("--best", type=count, default=10, metavar="N", help="how many trials")
    comparing = command("compare", _compare, "compare networks of several runs, on the same test events")
    text = "the --output directory of a run, or in it winners/ID or trials/ID; two or more"
    comparing.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=text)
    text = "draw the differences into this file, .png or .pdf"
    comparing.add_argument("--figure", type=picture, metavar="FILE", help=text)
    command("doctor", _doctor, "say what is installed, what is missing, and what to do about it")
    return parser


def _run(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import plan_search, run
    from fpgaml.stages import searches
    from fpgaml.study import Study

    study, values = Study.load(options.study), chosen_values(options.choose)
    with _progress() as progress:
        if searches(study, values):
            _announce(plan_search(study, workers=options.workers), progress)
        report = run(
            study,
            options.output,
            values=values,
            command=_command(options),
            workers=options.workers,
            scheduler=options.scheduler,
            sign=options.sign,
            progress=progress,
        )
    return _show(options, report.summary, report.markdown)


def _search(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import plan_search, search_stage
    from fpgaml.study import Study

    study = Study.load(options.study)
    planned = plan_search(study, workers=options.workers)
    if options.dry_run:
        return _show(options, planned.to_json(), str(planned))
    with _progress() as progress:
        _announce(planned, progress)
        found = search_stage(
            study,
            options.output,
            command=_command(options),
            workers=options.workers,
            scheduler=options.scheduler,
            progress=progress,
        )
    return _show(options, found.to_json(), str(found))


def _log_book(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import journal_events, read_log

    if options.json:
        return _show(options, journal_events(options.output), "")
    _print(read_log(options.output, style=options.format, n=options.best))
    return 0


def _data(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import describe_dataset
    from fpgaml.preparation import GROUPS, NO_REPEATS, REPEATS, repeats_text
    from fpgaml.study import Study

    study = Study.load(options.study)
    with _progress() as progress:
        dataset = study.dataset(progress=progress)
    described = describe_dataset(study, dataset)
    lines = [f"task {described['task']}, inputs {tuple(described['input_shape'])}, sha256 {described['sha256']}"]
    lines += [
        f"{split}: {n['signal']} signal, {n['background']} background" for split, n in described["events"].items()
    ]
    if described["rate_khz"]:
        lines.append(f"rate of all background: {described['rate_khz']:.6g} kHz")
    for split, n in described["metadata"].get(GROUPS, {}).items():
        lines.append(f"{split}: {n['signal']} groups with signal, {n['background']} with background")
    if REPEATS in described["metadata"]:
        lines.append(repeats_text(described["metadata"][REPEATS]) or NO_REPEATS)
    return _show(options, described, "\n".join(lines))


def _train(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import train_stage
    from fpgaml.study import Study

    study, values = Study.load(options.study), chosen_values(options.choose)
    with _progress() as progress:
        report = train_stage(study, options.output, values=values, command=_command(options), progress=progress)
    return _show(options, report.summary, report.markdown)


def _convert(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import convert_stage

    with _progress() as progress:
        project = convert_stage(options.output, trial=options.trial, progress=progress)
    return _show(options, {"hls_project": str(project.directory), "layers": project.effective}, str(project.directory))


def _csim(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import check_agreement, csim_stage

    with _progress() as progress:
        found = csim_stage(options.output, trial=options.trial, sign=options.sign, progress=progress)
    _show(options, found, f"{found['mismatches']} of {found['words']} words differ over {found['events']} events")
    check_agreement(found, options.output)
    return 0


def _synthesize(options: argparse.Namespace) -> int:
    from fpgaml.synthesis_stage import synthesize

    with _progress() as progress:
        found = synthesize(
            options.output,
            trial=options.trial,
            backend=options.backend,
            steps=options.steps,
            timeout_s=None if options.timeout is None else 60 * options.timeout,
            events=options.events,
            sign=options.sign,
            progress=progress,
        )
    _show(options, found.to_json(), str(found))
    found.check(options.steps)
    return 0


def _report(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import report_stage

    with _progress() as progress:
        report = report_stage(options.output, trial=options.trial, progress=progress)
    return _show(options, report.summary, report.markdown)


def _verify(options: argparse.Namespace) -> int:
    from fpgaml.handover.verification import verify

    found = verify(options.folder, sha256=options.sha256, signers=options.signers)
    _show(options, found.to_json(), str(found))
    found.check()
    return 0


def _compare(options: argparse.Namespace) -> int:
    from fpgaml.compare_runs import compare_runs
    from fpgaml.drawing import write

    with _progress() as progress:
        progress.add_task("compare", total=None)
        found = compare_runs(options.runs)
    if options.figure is not None:
        write(found.figure(), options.figure)
    return _show(options, found.to_json(), found.markdown)


def _doctor(options: argparse.Namespace) -> int:
    from fpgaml.doctor import examine, exit_code, table, to_json

    findings = examine()
    if options.json:
        _print(to_json(findings))
    else:
        from rich.console import Console

        console = Console()
        with console.capture() as shown:
            console.print(table(findings))
        _print(shown.get())
    return exit_code(findings)


def _announce(planned: Schedule, progress: Progress) -> None:
    """Say what a search will do: on a terminal, or in the log."""
    if progress.disable:
        _log.info("%s", planned)
    else:
        progress.console.print(str(planned), highlight=False, markup=False)


def _show(options: argparse.Namespace, value: Any, text: str) -> int:
    _print(json.dumps(value, indent=2, allow_nan=False) if options.json else text)
    return 0


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader of stdout has left, as `head` does
        _give_up_on_unwritable(sys.stdout)
    except OSError as error:
        raise unwritable("standard output", error) from error


def _command(options: argparse.Namespace) -> str:
    words = ["fpgaml", "run", str(options.study), "--output", str(options.output)]
    return shlex.join([*words, *(word for choice in getattr(options, "choose", []) for word in ("--choose", choice))])


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """Progress bars on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


if __name__ == "__main__":
    program()
