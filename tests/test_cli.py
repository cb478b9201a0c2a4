"""The command line as a person meets it: what it says where, its exit codes, and that mistakes leave nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from small_study import IMAGE_STUDY, STUDY, fpgaml, without_compiler, write_study

import fpgaml as package
from fpgaml.cli import AGAIN_S, _signals, main

TRAIN = "train: {epochs: 2, batch_size: 64, learning_rate: 0.01}"
FIRST, RELU, LAST = "{kind: dense, units: 4, bits: [8, 2]}", "{kind: relu, bits: [8, 3]}", "units: 1, bits: [8, 2]}"
CONV = "{kind: conv2d, filters: 2, kernel_size: [2, 1], bits: [8, 2]}"

BAD_STUDIES = {
    # what: (old text, new text, key, parts of the message); the line is that of the new text, unless a fifth says it
    "unknown section": ("hardware:", "hardwear:", "hardwear", ["did you mean 'hardware'?", "Allowed: choices, data"]),
    "unknown data key": ("label:", "lable:", "data.lable", ["did you mean 'table'?", "data.label: missing"]),
    "unknown layer key": (
        "units: 4",
        "unit: 4",
        "layers[0].unit",
        ["did you mean 'units'?", "Allowed: bias_bits, bits"],
    ),
    "unknown train key": ("epochs", "epoch", "train.epoch", ["did you mean 'epochs'?", "Allowed: batch_size"]),
    "unknown hardware key": ("backend", "backends", "hardware.backends", ["did you mean 'backend'?"]),
    "unknown input key": (
        "input: {bits",
        "input: {bit",
        "input.bit",
        ["did you mean 'bits'?", "Allowed: bits, signed"],
    ),
    "unknown nested key": (
        "label:",
        "split: {tain: 0.5}\n  label:",
        "data.split.tain",
        ["did you mean 'train'?", "Allowed: seed, test, train, validation"],
    ),
    "unknown task": ("task: file", "task: files", "task", ["unknown task 'files'; did you mean 'file'?"]),
    "unknown backend": (
        "vivado",
        "vivaldo",
        "hardware.backend",
        ["'vivaldo'; did you mean 'vivado'?", "vitis, vivado"],
    ),
    "unknown layer kind": ("kind: relu", "kind: rellu", "layers[1]", ["'rellu'; did you mean 'relu'?", "batchnorm"]),
    "unknown optimizer": (
        "epochs: 2",
        "optimizer: adma",
        "train.optimizer",
        ["unknown value 'adma'; did you mean 'adam'? Allowed: adam"],
    ),
    "text for a number": ("units: 4", "units: four", "layers[0].units", ["a valid integer, found 'four'"]),
    "fraction for a whole number": ("epochs: 2", "epochs: 2.5", "train.epochs", ["a valid integer, found 2.5"]),
    "number for a list": ("bits: [8, 3]", "bits: 8", "layers[1].bits", ["should be a list, found 8"]),
    "text for a mapping": (TRAIN, "train: fast", "train", ["should be a mapping, found 'fast'"]),
    "mapping for a list": (
        f"  - {FIRST}\n  - {RELU}\n  - {{kind: dense, {LAST}",
        "  {}",
        "layers",
        ["a list of layers"],
        10,
    ),
    "number out of range": ("epochs: 2", "epochs: 0", "train.epochs", ["greater than or equal to 1, found 0"]),
    "missing key": ("units: 4, ", "", "layers[0].units", ["missing"]),
    "missing section": (
        "input: {bits: [12, 4]}\n",
        "",
        None,
        ["input: missing; a study needs study, task, input, layers"],
    ),
    "name without choice": ("units: 4", "units: $units", "layers[0].units", ["$units is no choice", "no choices"]),
    "name in data": ("label: kind", "label: $kind", "data.label", ["$kind: no choice can stand here"]),
    "one signed bit": ("bits: [8, 2]", "bits: [1, 0]", "layers[0]", ["width 1 is not possible", "2 to 53 bits"]),
    "sums over 53 bits": ("bits: [8, 2]", "bits: [46, 2]", "layers[0]", ["sums need up to", "holds 53", "fewer bits"]),
    "two roundings": (RELU, f"{RELU}\n  - {RELU}", "layers[2]", ["rounding twice differs", "Drop it"]),
    "rounding the input": (FIRST, f"{{kind: quantize, bits: [8, 3]}}\n  - {FIRST}", "layers[0]", ["rounded already"]),
    "missing activation": (f"  - {RELU}\n", "", "layers[1]", ["no number format", "Put a relu or quantize layer"]),
    "batchnorm first": (FIRST, f"{{kind: batchnorm}}\n  - {FIRST}", "layers[0]", ["directly after a dense"]),
    "batchnorm after relu": (RELU, f"{RELU}\n  - {{kind: batchnorm}}", "layers[2]", ["directly after a dense"]),
    "two scores": ("units: 1,", "units: 2,", "layers", ["gives (2,)", "takes one score: end in", "units: 1"], 10),
    "convolution of a list": (FIRST, CONV, "layers[0]", ["(height, width, channels), found (4,)"]),
    "reuse factor": (
        "backend: vivado",
        "strategy: resource, reuse_factor: 3",
        "layers[0]",
        ["reuse_factor 3", "Allowed: 1, 2, 4"],
        11,
    ),
    "no yaml": ("[a, b, c, d]", "[a, b, c, d", None, ["is no YAML"]),
    "key twice": ("task: file", "task: file\ntask: file", None, ["key 'task' stands here a second time"]),
}
BAD_IMAGE_STUDIES = {
    "kernel larger than the image": ("[2, 1]", "5", "layers[0]", ["window (5, 5) is larger", "at most (4, 1)"]),
    "average over 3": (
        CONV,
        "{kind: average_pooling2d, pool_size: [3, 1]}",
        "layers[0]",
        ["over 3 values is not exact", "windows of 2, 4, 8, 16"],
    ),
    "dense on an image": (CONV, FIRST, "layers[0]", ["found (4, 1, 1)", "put a flatten layer"]),
}


def refused(capsys, arguments, *, code=2):
    """Run a command that fails; what it says on stderr, and nothing on stdout."""
    assert main([str(argument) for argument in arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fpgaml: ")
    assert "Traceback" not in said.err
    return said.err.removeprefix("fpgaml: ").rstrip("\n")


def run_refused(capsys, study):
    """``fpgaml run`` refuses a study; its message. Nothing is left where the output would be."""
    output = study.parent / "output"
    before = sorted(study.parent.iterdir())
    message = refused(capsys, ["run", study, "--output", output])
    assert sorted(study.parent.iterdir()) == before
    return message


def check_bad_study(capsys, folder, base, case):
    old, new, key, parts, *given = case
    assert old in base
    text = base.replace(old, new, 1)
    study = write_study(folder, text)
    message = run_refused(capsys, study)
    if key is not None:
        lines = zip(text.splitlines(), base.splitlines(), strict=False)
        changed = next(number for number, (ours, theirs) in enumerate(lines, start=1) if ours != theirs)
        (line,) = given or [changed]
        assert message.startswith((f"{study}:{line}: {key}: ", f"{study}:{line}: {key} (")), message
    assert message.startswith(str(study))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("what", BAD_STUDIES)
def test_a_bad_study_is_refused_before_anything_is_written(capsys, tmp_path, what):
    check_bad_study(capsys, tmp_path, STUDY, BAD_STUDIES[what])


@pytest.mark.parametrize("what", BAD_IMAGE_STUDIES)
def test_a_bad_image_study_is_refused_before_anything_is_written(capsys, tmp_path, what):
    check_bad_study(capsys, tmp_path, IMAGE_STUDY, BAD_IMAGE_STUDIES[what])


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda text: "", ["events.csv: the file is empty"]),
        (lambda text: "a,b,c,d,kind\n", ["events.csv: holds no events"]),
        (lambda text: text.replace("\n", "\nnan,1,2,3,g\n", 1), ["events.csv: 1 of 601 rows hold NaN", "'a'", "row 0"]),
        (lambda text: text.replace("kind", "class", 1), ["events.csv: no column 'kind'", "Allowed: a, b, c, class, d"]),
        (lambda text: text.replace("kind", "kinds", 1), ["no column 'kind'", "did you mean 'kinds'?"]),
        (lambda text: text.replace(",g\n", ",h\n"), ["no event has the label 'g'", "'kind' holds 'h'"]),
        (lambda text: text.replace("\n", "\nfour,1,2,3,g\n", 1), ["column 'a' does not hold numbers", "'four'"]),
        (lambda text: text.replace("\n", "\n1,2\n", 1), ["events.csv: cannot be read as csv"]),
        (None, ["events.csv: no such file"]),
    ],
    ids=["empty", "header only", "NaN", "no label", "other label", "one class", "text", "short row", "no file"],
)
def test_bad_data_are_refused_before_anything_is_written(capsys, tmp_path, change, parts):
    study, events = write_study(tmp_path), tmp_path / "events.csv"
    if change is None:
        events.unlink()
    else:
        events.write_text(change(events.read_text(encoding="utf-8")), encoding="utf-8")
    message = run_refused(capsys, study)
    for part in parts:
        assert part in message


def test_a_missing_compiler_is_noticed_before_any_work(capsys, tmp_path, monkeypatch):
    study = write_study(tmp_path)
    monkeypatch.setenv("PATH", without_compiler(tmp_path / "empty"))
    message = run_refused(capsys, study)
    assert "g++" in message
    assert "not on the PATH" in message


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        ("events.csv", ["events.csv: cannot be written: File exists"]),
        ("events.csv/run", ["run: cannot be written: Not a directory"]),
        ("/proc/run", ["/proc/run: cannot be written"]),  # for every user, root too, and on every Linux
        ("full", ["full: is not empty, and no study has been run in it"]),
        (".", ["holds the run of another study"]),  # the user's own study.yaml
    ],
)
@pytest.mark.parametrize("command", ["run", "train"])
def test_an_output_that_cannot_be_one_is_refused(capsys, tmp_path, command, output, parts):
    study = write_study(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    message = refused(capsys, [command, study, "--output", tmp_path / output])
    assert sorted(tmp_path.rglob("*")) == before
    for part in parts:
        assert part in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_refused(capsys, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    message = refused(capsys, ["run", write_study(tmp_path), "--output", tmp_path / "closed" / "run"])
    assert "cannot be written: Permission denied" in message


def test_a_full_disk_is_noticed_before_any_work(tmp_path):
    # The kernel refuses every byte that this process would write to a file, as it does on a full disk.
    study = write_study(tmp_path)
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
    done = fpgaml("run", study, "--output", tmp_path / "output", **full)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fpgaml: {tmp_path}/output: cannot be written: ")
    assert not (tmp_path / "output").exists()


def test_the_directory_of_another_study_is_left_alone(capsys, tmp_path):
    from fpgaml.study import Study

    study, output = write_study(tmp_path), tmp_path / "output"
    output.mkdir()
    (output / "study.yaml").write_text(Study.load(study).dump(), encoding="utf-8")
    before = (output / "study.yaml").read_bytes()
    study.write_text(STUDY.replace("epochs: 2", "epochs: 3"), encoding="utf-8")
    message = refused(capsys, ["run", study, "--output", output])
    assert message.startswith(f"{output}: holds the run of another study, or of 'small' with other options")
    assert "Choose another --output" in message
    assert [(path.name, path.read_bytes()) for path in output.iterdir()] == [("study.yaml", before)]


def test_a_directory_in_which_another_process_works_is_left_alone(capsys, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    working = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(working, fcntl.LOCK_EX)
        message = refused(capsys, ["run", write_study(tmp_path), "--output", output])
    finally:
        os.close(working)
    assert message.startswith(f"{output}: another fpgaml is at work in it")
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("command", ["convert", "csim", "report"])
@pytest.mark.parametrize("output", ["nothing", "empty", "study.yaml"])
def test_what_is_no_run_is_refused(capsys, tmp_path, command, output):
    write_study(tmp_path)
    (tmp_path / "empty").mkdir()
    message = refused(capsys, [command, tmp_path / output])
    assert message.startswith(f"{tmp_path / output}")
    assert "fpgaml" in message  # the command that makes it one
    assert not (tmp_path / "nothing").exists()
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize(
    ("choose", "part"),
    [
        (["units"], "--choose units: should be NAME=VALUE"),
        (["units=[3"], "--choose units=[3: '[3' is no YAML value"),
        (["units=3", "units=4"], "--choose units=4: units has a value already"),
        (["unit=3"], "unknown choice 'unit'; did you mean 'units'? Allowed: rate, units"),
        (["units=3"], "no value for the choice 'rate'; allowed: [0.01, 0.001]"),
        (["units=5", "rate=1e-3"], "the choice 'units' has no value 5; allowed: [3, 4]"),
        (["units=1:30"], "--choose units=1:30: '1:30': readers of YAML take 1:30 for different things: write 90, or"),
        (["units=!!timestamp xyz"], "the tag !!timestamp is not supported: leave it out"),
    ],
)
def test_choices_that_do_not_fit_are_refused(capsys, tmp_path, choose, part):
    text = STUDY.replace("units: 4", "units: $units").replace("learning_rate: 0.01", "learning_rate: $rate")
    study = write_study(tmp_path, f"{text}choices: {{units: [3, 4], rate: [0.01, 1e-3]}}\n")
    options = [word for choice in choose for word in ("--choose", choice)]
    assert part in refused(capsys, ["run", study, "--output", tmp_path / "output", *options])
    assert not (tmp_path / "output").exists()


def test_one_network_is_trained_where_nothing_is_searched(capsys, tmp_path):
    study = write_study(tmp_path, STUDY.replace("units: 4", "units: $units") + "choices: {units: [3, 4]}\n")
    message = refused(capsys, ["train", study, "--output", tmp_path / "output"])
    assert "has choices (units), and this command trains one network" in message
    assert not (tmp_path / "output").exists()


def test_a_schedule_is_printed_before_anything_starts(capsys, tmp_path):
    study = write_study(tmp_path, STUDY.replace("units: 4", "units: $units") + "choices: {units: [3, 4, 5]}\n")
    assert main(["search", str(study), "--output", str(tmp_path / "output"), "--dry-run"]) == 0
    assert "hyperband: 3 points" in capsys.readouterr().out
    assert not (tmp_path / "output").exists()
    message = refused(capsys, ["search", write_study(tmp_path, STUDY), "--output", tmp_path / "output", "--dry-run"])
    assert "nothing to search" in message


def test_the_schedule_of_hand_picked_trials(capsys, tmp_path):
    text = STUDY.replace("units: 4", "units: $units") + "trials: [{units: 3}, {units: 4}]\n"
    study = write_study(tmp_path, text)
    assert main(["search", str(study), "--output", str(tmp_path / "output"), "--dry-run"]) == 0
    assert "2 trials to epoch 2" in capsys.readouterr().out
    message = refused(capsys, ["train", study, "--output", tmp_path / "output"])
    assert "has 2 trials, and this command trains one network" in message
    single = write_study(tmp_path, text.replace(", {units: 4}", ""))
    assert "nothing to search" in refused(capsys, ["search", single, "--output", tmp_path / "output", "--dry-run"])
    assert not (tmp_path / "output").exists()


def test_data_are_described_for_people_and_for_machines(capsys, tmp_path):
    study = write_study(tmp_path)
    assert main(["data", str(study)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "train: 180 signal, 180 background" in said.out
    assert main(["data", str(study), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["events"]["test"] == {"signal": 60, "background": 60}
    assert described["sha256"] in said.out
    assert "No validation or test event has exactly the inputs of an event in an earlier split." in said.out
    study.write_text(study.read_text().replace("label: kind", "label: kind\n  group: run"))
    events = tmp_path / "events.csv"
    lines = events.read_text().splitlines()
    events.write_text("\n".join(f"{line},{number // 5 if number else 'run'}" for number, line in enumerate(lines)))
    assert main(["data", str(study)]) == 0
    assert re.search(r"test: \d\d groups with signal, \d\d with background", capsys.readouterr().out)
    study.write_text(study.read_text().replace("\n  group: run", ""))
    lines = events.read_text().splitlines()
    events.write_text("\n".join([*lines, *lines[1:300], ""]))  # half of the events stand there twice
    assert main(["data", str(study)]) == 0
    said = capsys.readouterr()
    assert re.search(
        r"\d+ of 180 \([\d.]+ %\) test events have exactly the inputs of an event in training or", said.out
    )


def test_without_a_command_there_is_help(capsys):
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    for command in ("run", "data", "train", "convert", "csim", "report", "doctor"):
        assert f"\n    {command} " in said.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["--version"], 0),
        (["rnu"], 2),
        (["run", "x"], 2),
        (["run", "--out", "x"], 2),
    ],
)
def test_help_version_and_wrong_usage(capsys, arguments, code):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == code
    said = capsys.readouterr()
    assert (said.out == "") == (code == 2)
    if arguments == ["--version"]:
        assert said.out == f"fpgaml {package.__version__}\n"


HOSTILE = "\x1b[31m\u202e" + "x" * 100_000


@pytest.mark.parametrize(
    "arguments", [[HOSTILE], ["data", HOSTILE], ["run", "x", "--output", "y", "--workers", HOSTILE]]
)
def test_an_argument_is_told_without_what_a_terminal_would_obey(capsys, arguments):
    try:
        code = main(arguments)
    except SystemExit as left:
        code = left.code
    message = re.sub(r"\Ausage: .*?^fpgaml", "fpgaml", capsys.readouterr().err, flags=re.DOTALL | re.MULTILINE)
    assert code == 2
    assert all(character.isprintable() or character == "\n" for character in message)
    assert len(message) < 600


def test_a_line_of_the_log_is_told_without_what_a_terminal_would_obey(tmp_path):
    program = """
import logging
from fpgaml.cli import _start_logging
_start_logging(0)
logging.getLogger("fpgaml").warning("a column named %s", "\\x1b[31m\\u202e")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stderr == "WARNING fpgaml: a column named \\x1b[31m\\u202e\n"


@pytest.mark.parametrize("number", ["0", "-1", "1" * 30, "1" * 5000, "x"])
def test_a_count_has_limits(capsys, number):
    with pytest.raises(SystemExit):
        main(["run", "x", "--output", "y", "--workers", number])
    assert re.search("should be 1 to 1000000000|invalid count value", capsys.readouterr().err)


def test_a_reader_that_leaves_is_no_error(tmp_path):
    command = [sys.executable, "-m", "fpgaml.cli", "data", str(write_study(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_results_that_cannot_be_written_are_an_error(tmp_path):
    command = [sys.executable, "-m", "fpgaml.cli", "data", str(write_study(tmp_path))]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "fpgaml: standard output: cannot be written: No space left on device. Free some room there, and run the same "
        "again\n"
    )


def test_progress_goes_to_the_terminal_and_results_to_stdout(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fpgaml.cli", "data", str(write_study(tmp_path)), "--json"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, check=False, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # all has been read
            break
    os.close(ours)
    assert done.returncode == 0
    assert json.loads(done.stdout)["task"] == "file"
    assert b"reading data" in shown
    assert b"1/1" in shown


def test_a_bug_is_told_with_its_traceback(capsys, caplog, tmp_path, monkeypatch):
    def broken(*_arguments):
        raise ZeroDivisionError("no division")

    monkeypatch.setattr("fpgaml.pipeline.describe_dataset", broken)
    assert main(["data", str(write_study(tmp_path))]) == 70
    assert capsys.readouterr().out == ""
    (record,) = caplog.records
    assert "bug" in record.message
    assert record.exc_info[0] is ZeroDivisionError


@pytest.fixture
def interruptible():
    """A process that a shell has started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallows_comes_again(number):
    def swallow():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            return "swallowed"

    with _signals() as received:
        assert swallow() == "swallowed"
        with pytest.raises(KeyboardInterrupt):
            signal.pause()  # until the timer
    assert received == [number]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("interruptible")
def test_what_an_interrupt_makes_the_program_do_is_not_interrupted():
    ended = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2 * AGAIN_S)
            ended.append("well")

    with _signals() as received, pytest.raises(KeyboardInterrupt):
        work()
    assert ended == ["well"]
    assert received == [signal.SIGINT, signal.SIGINT, signal.SIGTERM]


@pytest.mark.usefixtures("interruptible")
def test_an_end_that_takes_too_long_can_be_interrupted(monkeypatch):
    monkeypatch.setattr("fpgaml.cli.PATIENCE_S", 0.1)

    def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the second one was ignored")

    with _signals(), pytest.raises(KeyboardInterrupt):
        work()


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "nohup"])
def test_a_terminal_that_is_closed(handler):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with _signals() as received:
            if handler == signal.SIG_IGN:
                os.kill(os.getpid(), signal.SIGHUP)
            else:
                with pytest.raises(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGHUP)
        assert received == ([] if handler == signal.SIG_IGN else [signal.SIGHUP])
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_command_in_a_terminal_that_is_closed_ends_without_a_trace(tmp_path):
    study, output = write_study(tmp_path), tmp_path / "output"
    (tmp_path / "tmp").mkdir()
    main_end, terminal = os.openpty()

    def own_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may have been started with nohup
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "fpgaml.cli", "-v", "run", str(study), "--output", str(output)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "FPGAML_CACHE_DIR": str(tmp_path / "cache")}
    with subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        preexec_fn=own_terminal,  # noqa: PLW1509
    ) as running:
        os.close(terminal)
        said = b""
        while b"stages: training" not in said:
            said += os.read(main_end, 1000)
        os.close(main_end)
        assert running.wait(timeout=120) == 128 + signal.SIGHUP
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not list(output.rglob(".*"))
    assert (output / "dataset.json").exists()


def test_a_full_disk_that_nobody_has_told_of_is_told(capsys, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError("16 requested and 0 written")  # as numpy says it

    monkeypatch.setattr("fpgaml.pipeline.describe_dataset", full)
    assert main(["data", str(write_study(tmp_path))]) == 2
    assert "the disk may be full (16 requested and 0 written). Free some room there" in capsys.readouterr().err
