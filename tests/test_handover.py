"""The folder that firmware engineers get: complete, true after a copy, and it notices every flipped bit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handover_facts import N_TEST, TARGETS, environment, hand_over_hls, hls_hardware, hls_model, make
from hostile_text import EVIL, pictures
from small_study import snapshot

from fpgaml.backends import _vendor
from fpgaml.backends._hls4ml_files import read_layer_options
from fpgaml.convert import HLSProject
from fpgaml.csim import project_digest
from fpgaml.dataset import Dataset
from fpgaml.errors import AgreementError, OutputError
from fpgaml.fixed_point import FixedPoint
from fpgaml.handover import Certified, hand_over, handed_over
from fpgaml.handover.interface import Interface, find_thresholds, input_scaling
from fpgaml.handover.readme import readme
from fpgaml.handover.vectors import choose_events
from fpgaml.metrics import Target, choose_working_point
from fpgaml.synthesis import Resources

REUSE = {"conv2d_1": 1, "dense_1": 4, "dense_2": 2}


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> tuple[HLSProject, Certified]:
    return hand_over_hls(tmp_path_factory.mktemp("made") / "project")


@pytest.fixture
def folder(handed, tmp_path) -> Path:
    """Somewhere else."""
    return shutil.copytree(handed[0].directory, tmp_path / "copied here")


def test_events_are_chosen_for_what_they_show():
    rng = np.random.default_rng(1)
    inputs, outputs = rng.integers(-100, 100, (5000, 10)), rng.integers(-1000, 1000, (5000, 1))
    events, reasons = choose_events(inputs, outputs, [800, 0])
    assert len(events) == len(set(events.tolist())) == 500
    assert set(reasons.tolist()) == {0, 1, 2, 3}
    chosen = outputs[events, 0]
    assert (chosen.min(), chosen.max()) == (outputs.min(), outputs.max())
    assert (inputs[events].min(axis=0) == inputs.min(axis=0)).all()
    assert (inputs[events].max(axis=0) == inputs.max(axis=0)).all()
    for threshold in (800, 0):
        below, above = outputs[outputs < threshold].max(), outputs[outputs >= threshold].min()
        assert {below, above} <= set(chosen.tolist())
    few = choose_events(inputs[:7], outputs[:7], [0])[0]
    assert few.tolist() == list(range(7))


def test_a_threshold_above_scores_that_are_all_zero_lets_none_pass():
    """hls4ml gives sums that are always zero a step of 2^30."""
    data = Dataset(x=np.zeros((4, 1)), y=np.zeros(4), split=np.ones(4, np.int8))
    coarse = FixedPoint(2, 32, signed=False, rounding="TRN", saturation="WRAP")
    targets = (Target("background_efficiency", 0.1), Target("background_efficiency", 1.0))
    assert [threshold.word for threshold in find_thresholds(data, np.zeros(4), targets, coarse)] == [1, 0]


def test_inputs_are_scaled_as_the_data_set_says():
    assert input_scaling({"scale_gev": 4.0}) == ((0.0,), (0.25,), "GeV")
    assert input_scaling({"scaling": {"kind": "maxabs", "offset": [0.0, 0.0], "scale": [2.0, 3.0]}}) == (
        (0.0, 0.0),
        (2.0, 3.0),
        "",
    )
    assert input_scaling({}) == input_scaling({"scaling": {"kind": "none"}}) == ((0.0,), (1.0,), "")


@pytest.mark.parametrize("n_scales", [1, 2])
def test_names_of_columns_and_files_are_only_names(tmp_path, n_scales):
    fixed = FixedPoint(8, 4)
    interface = Interface(
        top="tiny",
        input_shape=(2,),
        input_format=fixed,
        output_format=fixed,
        n_outputs=1,
        names=(EVIL, "b"),
        offsets=(0.0, 1.0)[:n_scales],
        scales=(1.0, 2.0)[:n_scales],
        unit="",
        thresholds=(),
    )
    text = readme(
        HLSProject(
            tmp_path,
            "tiny",
            hls_model().firmware,
            hls_hardware("vivado", "io_parallel"),
            {EVIL: {"type": EVIL, "class": EVIL}},
            {},
        ),
        interface,
        prototype="void tiny();",
        port_notes=(),
        predicted=Resources(origin="nobody"),
        agreement={"events": 1, "words": 1, "mismatches": 0},
        n_vectors=1,
        reasons=(),
        limits=(),
        edited=(EVIL,),
    )
    assert pictures(text) == []
    for line in (line for line in text.split("\n") if line.startswith("| 0 |")):
        assert len(re.findall(r"(?<!\\)\|", line)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vivado", "vitis"])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_three_reuse_factors_agree_arrive_in_the_files_and_check_themselves(tmp_path, backend, io_type, handed):
    project, facts = handed
    if (backend, io_type) != ("vivado", "io_parallel"):
        project, facts = hand_over_hls(tmp_path / "project", backend, io_type)
    assert (facts.agreement["mismatches"], facts.agreement["words"]) == (0, N_TEST)
    written = read_layer_options(project.directory)
    for layer, reuse in REUSE.items():
        assert written[layer]["reuse_factor"] == {str(reuse)}
        assert written[layer]["strategy"] == {"latency" if layer == "conv2d_1" else "resource"}
    assert written["conv2d_1"]["n_partitions"] == {"4" if io_type == "io_parallel" else "16"}
    copied = shutil.copytree(project.directory, tmp_path / "copied here")
    places = environment(**CALLERS["make with variables"], TMPDIR=str(tmp_path / "temporary files"))
    Path(places["TMPDIR"]).mkdir()
    done = make(copied, "check", env=places)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["words: 0 of 500 differ", "check: passed"]
    assert not list(Path(places["TMPDIR"]).iterdir())
    assert snapshot(copied).keys() == snapshot(project.directory).keys()
    if backend == "vitis":
        which_steps_are_taken_does_not_count(copied)


def which_steps_are_taken_does_not_count(folder: Path) -> None:
    steps = folder / "build_opt.tcl"
    text = steps.read_text(encoding="utf-8")
    # As `fpgaml synthesize` writes it.
    chosen = [f"    {option:10} {int(option == 'vsynth')}" for option in _vendor.OPTIONS]
    for written, passes in (
        ("\n".join(["array set opt {", *chosen, "}", ""]), True),
        (text.replace("synth      1", "synth      [exec touch x]"), False),
        (text + "exec touch x\n", False),
        (text.replace("synth      1", "synth      7"), False),
    ):
        assert written != text
        steps.write_text(written, encoding="utf-8")
        told = "files: all" if passes else "build_opt.tcl differs from the certificate"
        assert make(folder, "check-files", env=environment()).stdout.startswith(told)


@pytest.mark.slow
def test_the_folder_is_complete_and_says_what_is_in_it(handed):
    project, facts = handed
    certificate = json.loads((project.directory / "certificate.json").read_text(encoding="utf-8"))
    files = set(snapshot(project.directory))
    assert files == {*certificate["files"], "certificate.json"}
    assert certificate["n_files"] == len(certificate["files"])
    assert certificate["csim"]["words"] == certificate["csim"]["events"] == N_TEST
    assert certificate["edited_since_conversion"] == []
    assert certificate["data"]["sha256"] == facts.dataset.sha256

    readme = (project.directory / "README.md").read_text(encoding="utf-8")
    fraction = int(re.search(r"w × 2\^-(\d+). It is the score", readme)[1])
    words = facts.test_scores * 2**fraction
    background = facts.validation_scores[facts.dataset.part("validation").y == 0]
    for target, found in zip(TARGETS, certificate["working_points"], strict=True):
        placed = choose_working_point(background, kind=target.kind, target=target.value)
        np.testing.assert_array_equal(words >= found["word"], facts.test_scores >= placed.threshold)
        assert 0 < placed.achieved <= target.value
        assert f"| {found['word']} |" in readme
    assert "offset 0.0 GeV, scale 0.02 per GeV" in readme
    for name in files:
        text = (project.directory / name).read_bytes()
        assert str(project.directory.parent).encode() not in text, name

    words = np.loadtxt(project.directory / "vectors" / "inputs.txt", dtype=np.int64)
    numbers = np.loadtxt(project.directory / "tb_data" / "tb_input_features.dat")
    assert words.shape == (500, 30)
    np.testing.assert_array_equal(words * hls_model().firmware.input_format.format.step, numbers)


NO_JOBS_LEFT = " -j8 --jobserver-auth=3,4"
"""What the recipe of a parallel make inherits whose line does not begin with +: the two files are closed."""
CALLERS = {
    "a make": {"MAKELEVEL": "1"},
    "make -w": {"MAKELEVEL": "1", "MAKEFLAGS": "w"},
    "make -w, three deep": {"MAKELEVEL": "3", "MAKEFLAGS": "w"},
    "make -s": {"MAKELEVEL": "1", "MAKEFLAGS": "s"},
    "make -kB": {"MAKELEVEL": "1", "MAKEFLAGS": "Bkw"},
    "make -rR": {"MAKELEVEL": "1", "MAKEFLAGS": "rRw"},
    "make -e": {"MAKELEVEL": "1", "MAKEFLAGS": "ew", "CXX": "/not/here", "SHELL": "/bin/false"},
    "make -j1 -Orecurse": {"MAKELEVEL": "1", "MAKEFLAGS": "w -j1 -Orecurse"},
    "make -j8": {"MAKELEVEL": "1", "MAKEFLAGS": NO_JOBS_LEFT},
    "make with variables": {
        "MAKELEVEL": "1",
        "MAKEFLAGS": "w -- CXX=/not/here CXXFLAGS=-not-a-flag",
        "MAKEOVERRIDES": "CXX=/not/here",
    },
    "a cross compiler's shell": {"CXX": "/not/here", "CXXFLAGS": "-not-a-flag", "CPPFLAGS": "-not-a-flag"},
    "a German": {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"},
    "a strange shell": {"CDPATH": "/:/tmp", "IFS": "/", "POSIXLY_CORRECT": "1", "TERM": "dumb", "ENV": "/not/here"},
}
PARENT = """\
called: ; @$(MAKE) -C '$(FOLDER)' $(TARGET)
apart: ; @cd '$(FOLDER)' && make $(TARGET)
"""


@pytest.mark.slow
def test_the_check_prints_the_same_whoever_calls_it(folder, tmp_path):
    before = snapshot(folder)
    digest = hashlib.sha256((folder / "certificate.json").read_bytes()).hexdigest()
    expected = f"files: all {len(before) - 1} are those of certificate.json, whose SHA-256 is {digest}\n"
    for caller, more in CALLERS.items():
        done = make(folder, "check-files", env=environment(**more))
        assert (caller, done.stdout) == (caller, expected)
        if NO_JOBS_LEFT not in more.get("MAKEFLAGS", ""):
            assert (caller, done.returncode, done.stderr) == (caller, 0, "")
    parent = tmp_path / "parent.mk"
    parent.write_text(PARENT, encoding="utf-8")
    for arguments in (
        ["called"],
        ["-j8", "called"],
        ["-j8", "-w", "called"],
        ["apart"],
        ["-j8", "apart"],
        ["-s", "called"],
    ):
        command = ["make", "-f", str(parent), f"FOLDER={folder}", "TARGET=check-files", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        told = [
            line for line in done.stdout.splitlines(keepends=True) if not line.startswith("make: ")
        ]  # -w was asked for
        assert (arguments, done.returncode, told) == (arguments, 0, [expected])
    # Without a terminal, and where Ctrl-C is ignored, as a batch system may start it.
    command = ["sh", "-c", "trap '' INT; exec make check-files"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert make(folder, "-n", "check", env=environment()).stdout == ": sh check/check.sh\n"
    told = make(folder, "check", "CXX=clang++", env=environment())
    assert (told.returncode, told.stdout) == (2, "")
    assert "make check CHECK_CXX=clang++" in told.stderr
    assert snapshot(folder) == before


def from_the_readme(folder: Path) -> tuple[str, str]:
    """The example of a bench, saved where the README says, and its commands for the shell and for the HLS tool."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## A bench of your own\n")
    section, _, _ = section.partition("\n## ")
    blocks = dict(re.findall(r"```(\w+)\n(.*?)\n```", section, flags=re.DOTALL))
    assert set(blocks) == {"cpp", "sh", "tcl"}
    (folder.parent / "my_bench.cpp").write_text(blocks["cpp"] + "\n", encoding="utf-8")
    return blocks["sh"], blocks["tcl"]


def expected_words(folder: Path) -> str:
    _, _, words = (folder / "vectors" / "outputs.txt").read_text(encoding="utf-8").partition("\n")
    return words


@pytest.mark.slow
def test_the_readme_is_enough_for_a_bench_of_ones_own(folder):
    commands, _ = from_the_readme(folder)
    done = subprocess.run(["sh", "-e"], input=commands, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    words = folder.parent / "my_words.txt"
    assert words.read_text(encoding="utf-8") == expected_words(folder)
    assert make(folder, "check-files", env=environment()).stdout.startswith("files: all ")


def c_simulation(folder: Path, script: str) -> str:
    """What csim_design would do in an HLS tool: compile all files with their flags, and run beside the others."""
    build = folder / "my_bench_prj" / "solution1" / "csim" / "build"
    build.mkdir(parents=True)
    objects = []
    for bench, name, flags in re.findall(r'^add_files (-tb )?(\S+)(?: -cflags "(.*)")?$', script, flags=re.MULTILINE):
        path = folder / name
        if path.is_dir():
            assert bench
            shutil.copytree(path, build / path.name)
            continue
        objects.append(f"{path.stem}.o")
        options = [*flags.replace("[pwd]", str(folder)).split(), f"-I{folder}/firmware/ap_types"]
        subprocess.run(["g++", "-c", *options, str(path), "-o", objects[-1]], cwd=build, check=True)
    subprocess.run(["g++", *objects, "-o", "csim.exe"], cwd=build, check=True)
    return subprocess.run(["./csim.exe"], cwd=build, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_an_hls_tool_can_simulate_that_bench_too(tmp_path):
    """With streams; as far as it can be tried without the tool, and with what hls4ml's own script asks of it."""
    project, _ = hand_over_hls(tmp_path / "project", "vitis", "io_stream")
    folder = project.directory
    _, script = from_the_readme(folder)
    assert c_simulation(folder, script) == expected_words(folder)
    assert make(folder, "check-files", env=environment()).returncode == 0
    commands = {line.split()[0] for line in script.splitlines()}
    assert commands <= {word for line in (folder / "build_prj.tcl").read_text().splitlines() for word in line.split()}
    assert "\nset_top tiny\n" in script
    assert f"\nset_part {{{project.hardware.part}}}\ncreate_clock -period 5\n" in script


@pytest.mark.slow
def test_what_cannot_be_built_is_told(folder):
    told = make(folder, "check-words", "CHECK_CXX=/not/here", env=environment()).stdout
    assert told.startswith("/not/here: not found. Install a C++ compiler")
    told = make(folder, "check-words", "CHECK_CXX=c++ -no-such-option", env=environment()).stdout
    assert told == "words: not compared, because c++ -no-such-option does not compile check/words.cpp with tiny.cpp\n"


@pytest.mark.slow
def test_the_bench_is_built_from_the_files_as_they_are(folder):
    """An edited weight with an old time stamp, and a bench from before or from elsewhere, made words agree."""
    planted = folder / "check" / "build" / "words"
    planted.parent.mkdir()
    planted.write_text("#!/bin/sh\necho words: 0 of 500 differ\n", encoding="utf-8")
    planted.chmod(0o755)
    path = folder / "firmware" / "weights" / "w8.h"
    stamps = path.stat()
    path.write_text(flip_weight(path.read_text(encoding="utf-8")), encoding="utf-8")
    os.utime(path, (stamps.st_atime - 1e8, stamps.st_mtime - 1e8))
    done = make(folder, "check-words")
    assert done.returncode == 2
    assert re.search(WORD, done.stdout)


def flip_weight(text: str) -> str:
    """The last bit of the first weight: 5 fractional bits."""
    before, first, after = re.fullmatch(r"(.*= \{)([-.\d]+)(,.*)", text, flags=re.DOTALL).groups()
    return f"{before}{float(first) + (1 if round(float(first) * 32) % 2 == 0 else -1) / 32:.7f}{after}"


def flip_word(text: str) -> str:
    """The last bit of the first word of the third line."""
    lines = text.split("\n")
    first, *others = lines[2].split(" ")
    lines[2] = " ".join([str(int(first) ^ 1), *others])
    return "\n".join(lines)


def flip_type(text: str) -> str:
    """The last bit of the number of integer bits."""
    return text.replace("ap_ufixed<8,2,AP_RND_CONV", "ap_ufixed<8,3,AP_RND_CONV", 1)


WORD = r"(?m)^vector \d+ \(test event \d+\), output 0: expected word -?\d+, found -?\d+$"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "flip"),
    [
        ("firmware/weights/w8.h", flip_weight),
        ("vectors/outputs.txt", flip_word),
        ("firmware/defines.h", flip_type),
    ],
)
def test_a_flipped_bit_is_named_with_the_words_that_it_changes(folder, file, flip):
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert flip(text) != text
    path.write_text(flip(text), encoding="utf-8")
    done = make(folder, "check")
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == f"{file} differs from the certificate"
    assert re.search(WORD, done.stdout), done.stdout
    assert done.stdout.splitlines()[-1] == "check: FAILED"


@pytest.mark.slow
def test_files_are_compared_whether_or_not_they_change_a_word(folder):
    assert make(folder, "check-files").stdout.startswith("files: all ")
    weights = folder / "firmware" / "weights" / "w8.txt"
    weights.write_text(weights.read_text(encoding="utf-8") + " ", encoding="utf-8")
    (folder / "firmware" / "more.h").write_text("", encoding="utf-8")
    (folder / "vivado_synth.tcl").unlink()
    done = make(folder, "check-files")
    assert done.returncode == 2
    assert set(done.stdout.splitlines()) == {
        "firmware/weights/w8.txt differs from the certificate",
        "vivado_synth.tcl is in the certificate, and cannot be read",
        "firmware/more.h is not in the certificate",
    }
    path = folder / "certificate.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"Makefile": "', '"Makefile": "x', 1), encoding="utf-8")
    assert "certificate.json: has been edited" in make(folder, "check-files").stdout
    path.unlink()
    assert "certificate.json: not found" in make(folder, "check-files").stdout


@pytest.mark.slow
def test_an_edited_project_is_certified_as_it_is_or_not_at_all(handed, folder, caplog):
    project, facts = HLSProject.load(folder), handed[1]
    assert handed_over(project, facts.agreement)
    before = snapshot(folder)
    source = folder / "firmware" / "tiny.cpp"
    source.write_text(source.read_text(encoding="utf-8") + '#include "more.h"\n', encoding="utf-8")
    (folder / "firmware" / "more.h").write_text("// by hand\n", encoding="utf-8")
    (folder / "notes.txt").write_text("", encoding="utf-8")  # of no meaning for the project
    # By an earlier fpgaml, and a signature of the certificate that was.
    for left in ("check/build.mk", "vectors/old.txt", "certificate.json.sig"):
        (folder / left).write_text("", encoding="utf-8")
    assert not handed_over(project, facts.agreement)
    edited = replace(facts, agreement={**facts.agreement, "project_sha256": project_digest(project)})
    hand_over(project, edited)
    certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["edited_since_conversion"] == ["firmware/tiny.cpp", "firmware/more.h"]
    assert "not certified, and named by `make check`: 'notes.txt'" in caplog.text
    assert make(folder, "check-files", env=environment()).stdout == "notes.txt is not in the certificate\n"
    assert not {"check/build.mk", "vectors/old.txt", "certificate.json.sig"} & snapshot(folder).keys()
    assert "**Edited since the conversion**" in (folder / "README.md").read_text(encoding="utf-8")
    assert handed_over(project, edited.agreement)
    unchanged = {"vectors/inputs.txt", "vectors/outputs.txt", "Makefile", "check/words.cpp"}
    assert {name: snapshot(folder)[name][1] for name in unchanged} == {name: before[name][1] for name in unchanged}

    weights = folder / "firmware" / "weights" / "w8.h"
    before_flip = weights.read_text(encoding="utf-8")
    weights.write_text(flip_weight(before_flip), encoding="utf-8")
    with pytest.raises(AgreementError, match=r"w8.h and w8.txt hold different numbers.*not the weights of the model's"):
        hand_over(project, edited)
    assert json.loads((folder / "certificate.json").read_text(encoding="utf-8")) == certificate
    (folder / "firmware" / "a name").write_text("", encoding="utf-8")
    weights.write_text(before_flip, encoding="utf-8")
    with pytest.raises(OutputError, match="'firmware/a name' should be a plain file"):
        hand_over(project, edited)
    with pytest.raises(AgreementError, match="nothing to certify"):
        hand_over(project, replace(facts, agreement={**facts.agreement, "mismatches": 1}))
