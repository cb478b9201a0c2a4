"""What synthesis says: values that are stored and shown, and events that are compared before."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fpgaml.dataset import Dataset
from fpgaml.errors import AgreementError, OutputError, ToolError
from fpgaml.fixed_point import FixedPoint
from fpgaml.network_synthesis import NetworkSynthesis
from fpgaml.synthesis import Resources, StepReport, Synthesis
from fpgaml.synthesis_stage import events_to_compare

CSYNTH = Resources(origin="first", lut=3000, ff=0, dsp=2, latency_cycles=9, clock_period_ns=2.5, clock_estimate_ns=2.0)
LOGIC = Resources(origin="second", lut=2000, ff=10, clock_period_ns=2.5)
FOUND = Synthesis(
    backend="vivado",
    tool="vivado_hls",
    version="2019.2",
    part="xcvu9p",
    clock_period_ns=2.5,
    steps=(
        StepReport(
            step="csynth", status="done", wall_s=61.0, resources=CSYNTH, utilisation={"dsp": 0.25, "lut": 0.003}
        ),
        StepReport(step="cosim", status="failed", message="It said no.", wall_s=1.0),
        StepReport(step="logic", status="done", wall_s=2.0, resources=LOGIC),
    ),
)
AGREEMENT = {"events": 7, "words": 14, "mismatches": 0, "composition": {"test": 4, "other": 0, "drawn": 3}}


def network_synthesis(tmp_path, **changes):
    known = {"agreement": AGREEMENT, "synthesis": FOUND, "project_sha256": "ab", "backend": "vivado"}
    return NetworkSynthesis(network="n", project=tmp_path / "hls_projects" / "n", **{**known, **changes})


def test_values_survive_json():
    assert Synthesis.from_json(json.loads(json.dumps(FOUND.to_json()))) == FOUND
    assert Resources.from_json(json.loads(json.dumps(LOGIC.to_json()))) == LOGIC


def test_latency_needs_cycles_and_clock():
    assert CSYNTH.latency_ns == 22.5
    assert CSYNTH.to_json()["latency_ns"] == 22.5
    assert LOGIC.latency_ns is None
    assert Resources(origin="x", latency_cycles=3).latency_ns is None


def test_each_figure_is_the_last_that_is_known():
    merged = FOUND.resources
    assert (merged.lut, merged.ff, merged.dsp, merged.latency_cycles) == (2000, 10, 2, 9)
    assert merged.origin == "second; first"
    nothing = Synthesis.from_json({**FOUND.to_json(), "steps": [FOUND.steps[1].to_json()]})
    assert nothing.resources is None


def test_figures_of_a_step_that_failed_do_not_count():
    failed = StepReport(step="logic", status="failed", resources=Resources(origin="third", lut=1))
    steps = [*FOUND.to_json()["steps"][:2], failed.to_json()]
    assert Synthesis.from_json({**FOUND.to_json(), "steps": steps}).resources.lut == 3000


def test_shown_to_people():
    text = str(FOUND)
    assert "vivado project, vivado_hls 2019.2, xcvu9p, clock period 2.5 ns" in text
    assert "csynth: done in 61 s" in text
    assert "LUT 3,000, FF 0, DSP 2, latency (cycles) 9, latency (ns) 22.5" in text
    assert "of the part: LUT 0.30%, DSP 25.00%" in text
    assert "cosim: failed in 1 s. It said no." in text
    page = FOUND._repr_html_()
    assert "2,000" in page
    assert "second; first" in page


@pytest.mark.parametrize(
    ("value", "told"),
    [({"step": "a", "status": "good"}, "allowed: done, failed"), ({"status": "done"}, "no step of a synthesis")],
)
def test_what_is_no_step(value, told):
    with pytest.raises(OutputError, match=told):
        StepReport.from_json({"resources": None, **value})


def test_utilisation_is_of_resources():
    with pytest.raises(OutputError, match="names speed"):
        StepReport(step="a", status="done", utilisation={"speed": 1.0})


@pytest.mark.parametrize("value", [{}, {"steps": 3}, {**FOUND.to_json(), "more": 1}])
def test_what_is_no_synthesis(value):
    with pytest.raises(OutputError, match="no synthesis"):
        Synthesis.from_json(value)


def test_stored_and_read(tmp_path):
    found = network_synthesis(tmp_path)
    (tmp_path / "file").write_text(json.dumps(found.to_json()), encoding="utf-8")
    read = NetworkSynthesis.load(tmp_path / "file")
    assert (read.synthesis, read.agreement, read.project_sha256) == (FOUND, AGREEMENT, "ab")
    assert found.to_json()["project"] == "hls_projects/n"
    assert found.to_json()["resources"]["lut"] == 2000
    (tmp_path / "file").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match=r"file: holds no synthesis.*Remove it"):
        NetworkSynthesis.load(tmp_path / "file")


def test_it_says_what_was_compared(tmp_path):
    text = str(network_synthesis(tmp_path))
    assert "0 of 14 words differ over 7 events: 4 test events, 3 drawn over the input's words" in text


def test_what_is_not_well_is_raised(tmp_path):
    network_synthesis(tmp_path).check(["csynth", "logic"])
    with pytest.raises(AgreementError, match="a check has failed: cosim"):
        network_synthesis(tmp_path).check()
    failed = StepReport(step="logic", status="timed out")
    synthesis = Synthesis.from_json({**FOUND.to_json(), "steps": [failed.to_json()]})
    with pytest.raises(ToolError, match=r"not done: logic \(timed out\)\. What was finished is kept$"):
        network_synthesis(tmp_path, synthesis=synthesis).check()
    stopped = StepReport(step="cosim", status="not run", message="a.v: the disk may be full")
    synthesis = Synthesis.from_json({**FOUND.to_json(), "steps": [stopped.to_json()]})
    with pytest.raises(ToolError, match=r"cosim \(not run\)\..* is kept\. cosim: a\.v: the disk may be full$"):
        network_synthesis(tmp_path, synthesis=synthesis).check()
    failed = StepReport(step="logic", status="failed", message="a.v: No space left on device. Free some\nin all")
    synthesis = Synthesis.from_json({**FOUND.to_json(), "steps": [failed.to_json()]})
    with pytest.raises(
        ToolError, match=r"logic \(failed\)\..* is kept\. logic: a\.v: No space left on device\. Free some$"
    ):
        network_synthesis(tmp_path, synthesis=synthesis).check()
    differs = {**AGREEMENT, "mismatches": 2, "first_difference": {"layer": "relu_1", "event": 5, "lsb": -1.0}}
    with pytest.raises(AgreementError, match=r"2 of 14 words. The first is in event 5, where layer relu_1.*by -1 LSB"):
        network_synthesis(tmp_path, agreement=differs).check([])
    differs = {**AGREEMENT, "first_difference": None, "interpreter_mismatches": 3}
    with pytest.raises(AgreementError, match=r"model and interpreter differ in 3 of 14 words"):
        network_synthesis(tmp_path, agreement=differs).check([])


def test_nothing_compared_is_neither_agreement_nor_difference(tmp_path):
    assert network_synthesis(tmp_path, agreement=None).agrees is None
    assert network_synthesis(tmp_path).agrees is True


@pytest.mark.parametrize("backend", ["vivado", "rtl"])
def test_the_next_best_thing_to_a_tool_that_is_missing(backend, tmp_path):
    missing = StepReport(step="yosys", status="tool not found")
    synthesis = Synthesis.from_json({**FOUND.to_json(), "steps": [missing.to_json()]})
    with pytest.raises(ToolError) as told:
        network_synthesis(tmp_path, synthesis=synthesis, backend=backend).check()
    assert ("--backend rtl" in str(told.value)) == (backend != "rtl")


@pytest.fixture
def dataset() -> Dataset:
    n = 60
    return Dataset(
        x=np.random.default_rng(2).normal(size=(n, 3, 2)).astype(np.float32),
        y=np.arange(n) % 2,
        split=(np.arange(n) % 3).astype(np.int8),
    )


@pytest.mark.parametrize(
    ("n", "counts"), [(None, (20, 0, 0)), (7, (7, 0, 0)), (20, (20, 0, 0)), (35, (20, 15, 0)), (5000, (20, 40, 4940))]
)
def test_test_events_come_first(dataset, n, counts):
    x, composition = events_to_compare(dataset, FixedPoint(6, 3), n)
    assert tuple(composition.values()) == counts
    assert len(x) == sum(counts)
    test = dataset.part("test").x
    np.testing.assert_array_equal(x[: counts[0]], test[: counts[0]])
    others = {tuple(event.ravel()) for event in dataset.x} - {tuple(event.ravel()) for event in test}
    assert len({tuple(event.ravel()) for event in x[20:60]} & others) == counts[1]


@pytest.mark.parametrize("fixed", [FixedPoint(6, 3), FixedPoint(4, 4, signed=False), FixedPoint(30, 2)])
def test_draws_reach_every_corner_of_the_format(dataset, fixed):
    x, composition = events_to_compare(dataset, fixed, 5000)
    drawn = x[-composition["drawn"] :].astype(np.float64)
    np.testing.assert_array_equal(fixed.quantize(drawn), drawn)
    if fixed.width < 10:
        assert (drawn.min(), drawn.max()) == (fixed.minimum, fixed.maximum)
    assert drawn.mean() == pytest.approx((fixed.minimum + fixed.maximum) / 2, abs=fixed.maximum / 30)
    again, _ = events_to_compare(dataset, fixed, 5000)
    np.testing.assert_array_equal(again, x)
