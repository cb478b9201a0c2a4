"""The command line: parse, call one public function, print. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpgaml.errors import FpgamlError, StudyError

if TYPE_CHECKING:
    from rich.progress import Progress

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 if all went well, 1 if a check failed, 2 if the input was wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose > 1 else logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return int(options.call(options))
    except FpgamlError as error:
        print(f"fpgaml: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("fpgaml: interrupted. What was finished is kept: the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fpgaml", description="From data to firmware that keeps the signal efficiency."
    )
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, call: Any, text: str, *, study: bool = False, output: bool = False
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(call=call)
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        if study:
            added.add_argument("study", type=Path, metavar="STUDY", help="a study file (YAML)")
        if output:
            added.add_argument(
                "--output", type=Path, required=True, metavar="DIR", help="what the run knows is kept here"
            )
            added.add_argument(
                "--choose",
                action="append",
                default=[],
                metavar="NAME=VALUE",
                help="a value (YAML) for a choice of the study; may be repeated",
            )
        if not study:
            added.add_argument("output", type=Path, metavar="DIR", help="the --output directory of a run")
        return added

    command("run", _run, "do the whole way: data, training, conversion, csim, report", study=True, output=True)
    command("data", _data, "make or read the data set of a study, and say what is in it", study=True)
    command("train", _train, "make or read the data and train the network and its float twin", study=True, output=True)
    command("convert", _convert, "write the HLS project of a trained network")
    command("csim", _csim, "simulate the HLS project over all test events and compare it with the model")
    command("report", _report, "write summary.json, report.md and the figures")
    doctor = commands.add_parser("doctor", help="say what is installed, what is missing, and what to do about it")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(call=_doctor)
    return parser


def _run(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import run
    from fpgaml.study import Study

    study = Study.load(options.study)
    with _progress() as progress:
        report = run(study, options.output, values=_values(options), command=_command(options), progress=progress)
    return _show(options, report.summary, report.markdown)


def _data(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import describe_dataset
    from fpgaml.study import Study

    study = Study.load(options.study)
    with _progress() as progress:
        dataset = study.task.load(study.data, progress=progress)
    described = describe_dataset(study, dataset)
    lines = [f"task {described['task']}, inputs {tuple(described['input_shape'])}, sha256 {described['sha256']}"]
    lines += [
        f"{split}: {n['signal']} signal, {n['background']} background" for split, n in described["events"].items()
    ]
    if described["rate_khz"]:
        lines.append(f"rate of all background: {described['rate_khz']:.6g} kHz")
    return _show(options, described, "\n".join(lines))


def _train(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import train_stage
    from fpgaml.report import write_report
    from fpgaml.study import Study

    study = Study.load(options.study)
    with _progress() as progress:
        train_stage(study, options.output, values=_values(options), command=_command(options), progress=progress)
    report = write_report(options.output)
    return _show(options, report.summary, report.markdown)


def _convert(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import convert_stage

    project = convert_stage(options.output)
    return _show(options, {"hls_project": str(project.directory), "layers": project.effective}, str(project.directory))


def _csim(options: argparse.Namespace) -> int:
    from fpgaml.pipeline import csim_stage
    from fpgaml.storage import read_json

    with _progress() as progress:
        agrees = csim_stage(options.output, progress=progress)
    (found,) = [read_json(path) for path in sorted((options.output / "csim").glob("*.json"))]
    text = f"{found['mismatches']} of {found['words']} words differ over {found['events']} events"
    _show(options, found, text if agrees else f"{text}; first: {found['first_difference']}")
    return 0 if agrees else 1


def _report(options: argparse.Namespace) -> int:
    from fpgaml.report import write_report

    report = write_report(options.output)
    return _show(options, report.summary, report.markdown)


def _doctor(options: argparse.Namespace) -> int:
    from fpgaml.doctor import examine, exit_code, table, to_json

    findings = examine()
    if options.json:
        print(to_json(findings))
    else:
        from rich.console import Console

        Console().print(table(findings))
    return exit_code(findings)


def _show(options: argparse.Namespace, value: Any, text: str) -> int:
    print(json.dumps(value, indent=2) if options.json else text)
    return 0


def _values(options: argparse.Namespace) -> dict[str, Any] | None:
    """The values given with ``--choose``; None if there are none."""
    import yaml

    values = {}
    for choice in options.choose:
        name, equals, text = choice.partition("=")
        if not equals:
            raise StudyError(f"--choose {choice}: should be NAME=VALUE, such as --choose 'bits=[8, 4]'")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise StudyError(f"--choose {choice}: {text!r} is no YAML value") from error
    return values or None


def _command(options: argparse.Namespace) -> str:
    words = ["fpgaml", "run", str(options.study), "--output", str(options.output)]
    return shlex.join([*words, *(word for choice in options.choose for word in ("--choose", choice))])


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
    sys.exit(main())
