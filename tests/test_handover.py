"""The folder that firmware engineers get: complete, true after a copy, and it notices every flipped bit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handover_facts import certified
from networks import inputs_for, network, random_model
from small_study import snapshot

from fpgaml.backends._hls4ml_files import read_layer_options
from fpgaml.convert import HLSProject, convert
from fpgaml.csim import project_digest
from fpgaml.dataset import Dataset
from fpgaml.errors import AgreementError
from fpgaml.fixed_point import FixedPoint
from fpgaml.handover import Certified, hand_over, handed_over
from fpgaml.handover.interface import find_thresholds, input_scaling
from fpgaml.handover.vectors import choose_events
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class
from fpgaml.metrics import Target, choose_working_point

N_EVENTS = 900
LAYERS = [
    layer_class("conv2d")(filters=2, kernel_size=(3, 2), bits=(6, 1)),
    layer_class("relu")(bits=(8, 2)),
    layer_class("flatten")(),
    layer_class("dense")(units=4, bits=(7, 1)),
    layer_class("relu")(bits=(8, 2)),
    layer_class("dense")(units=1, bits=(7, 1)),
]
TRAINED = random_model(network((6, 5, 1), LAYERS), seed=2)
TARGETS = (Target("background_efficiency", 0.1), Target("background_efficiency", 0.5))
REUSE = {"conv2d_1": 1, "dense_1": 4, "dense_2": 2}
"""Three reuse factors: two layers have one of their own."""


def hardware(backend: str, io_type: str) -> Hardware:
    convolution = {"strategy": "latency", "reuse_factor": 1}
    if io_type == "io_parallel":
        convolution["parallelization_factor"] = 4
    return Hardware(
        backend=backend,
        io_type=io_type,
        strategy="resource",
        reuse_factor=2,
        layers={"conv2d_1": convolution, "dense_1": {"reuse_factor": 4}},
    )


def dataset() -> Dataset:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 0.7, (N_EVENTS, 6, 5, 1)).astype(np.float32)
    x[-10:] = inputs_for(TRAINED.firmware, 10, seed=3)
    return Dataset(
        x=x,
        y=rng.integers(0, 2, N_EVENTS),
        split=np.repeat(np.array([0, 1, 2], np.int8), [20, 200, N_EVENTS - 220]),
        metadata={"task": "drawn", "scale_gev": 50.0},
    )


def make(folder: Path, target: str = "check") -> subprocess.CompletedProcess[str]:
    """Unoptimized, because compiling takes longer than running."""
    command = ["make", target, "CXXFLAGS=-O0"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> tuple[HLSProject, Certified]:
    project = convert(
        TRAINED, hardware("vivado", "io_parallel"), tmp_path_factory.mktemp("made") / "project", name="tiny"
    )
    facts = certified(project, trained=TRAINED, dataset=dataset(), targets=TARGETS)
    hand_over(project, facts)
    return project, facts


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


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vivado", "vitis"])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_three_reuse_factors_agree_arrive_in_the_files_and_check_themselves(tmp_path, backend, io_type, handed):
    project, facts = handed
    if (backend, io_type) != ("vivado", "io_parallel"):
        project = convert(TRAINED, hardware(backend, io_type), tmp_path / "project", name="tiny")
        facts = certified(project, trained=TRAINED, dataset=dataset(), targets=TARGETS)
        hand_over(project, facts)
    assert (facts.agreement["mismatches"], facts.agreement["words"]) == (0, N_EVENTS - 220)
    written = read_layer_options(project.directory)
    for layer, reuse in REUSE.items():
        assert written[layer]["reuse_factor"] == {str(reuse)}
        assert written[layer]["strategy"] == {"latency" if layer == "conv2d_1" else "resource"}
    assert written["conv2d_1"]["n_partitions"] == {"4" if io_type == "io_parallel" else "16"}
    copied = shutil.copytree(project.directory, tmp_path / "copied here")
    done = make(copied)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["words: 0 of 500 differ", "check: passed"]


@pytest.mark.slow
def test_the_folder_is_complete_and_says_what_is_in_it(handed):
    project, facts = handed
    certificate = json.loads((project.directory / "certificate.json").read_text(encoding="utf-8"))
    files = {name for name in snapshot(project.directory) if not name.startswith("check/build/")}
    assert files == {*certificate["files"], "certificate.json"}
    assert certificate["n_files"] == len(certificate["files"])
    assert certificate["csim"]["words"] == certificate["csim"]["events"] == N_EVENTS - 220
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
    np.testing.assert_array_equal(words * TRAINED.firmware.input_format.format.step, numbers)


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
    done = make(folder)
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
def test_an_edited_project_is_certified_as_it_is_or_not_at_all(handed, folder):
    project, facts = HLSProject.load(folder), handed[1]
    assert handed_over(project, facts.agreement)
    before = snapshot(folder)
    source = folder / "firmware" / "tiny.cpp"
    source.write_text(source.read_text(encoding="utf-8") + "// by hand\n", encoding="utf-8")
    assert not handed_over(project, facts.agreement)
    edited = replace(facts, agreement={**facts.agreement, "project_sha256": project_digest(project)})
    hand_over(project, edited)
    certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["edited_since_conversion"] == ["firmware/tiny.cpp"]
    assert "**Edited since the conversion**" in (folder / "README.md").read_text(encoding="utf-8")
    assert handed_over(project, edited.agreement)
    unchanged = {"vectors/inputs.txt", "vectors/outputs.txt", "Makefile", "check/words.cpp"}
    assert {name: snapshot(folder)[name][1] for name in unchanged} == {name: before[name][1] for name in unchanged}

    weights = folder / "firmware" / "weights" / "w8.h"
    weights.write_text(flip_weight(weights.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(AgreementError, match=r"w8.h and w8.txt hold different numbers.*not the weights of the model's"):
        hand_over(project, edited)
    assert json.loads((folder / "certificate.json").read_text(encoding="utf-8")) == certificate
    with pytest.raises(AgreementError, match="nothing to certify"):
        hand_over(project, replace(facts, agreement={**facts.agreement, "mismatches": 1}))
