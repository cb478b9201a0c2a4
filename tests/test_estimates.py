"""What backends predict of a network, and how searches use it."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

import numpy as np
import pytest
from networks import network, random_model
from small_search import searched, small_study, write_data

from fpgaml.architecture import InputFormat
from fpgaml.backends import get_backend
from fpgaml.cost import cost
from fpgaml.errors import StudyError
from fpgaml.estimates import check_predicted, estimated_costs
from fpgaml.hardware import Hardware, backend_names
from fpgaml.layers import layer_class
from fpgaml.pipeline import plan_search, run
from fpgaml.search_options import ESTIMATES
from fpgaml.search_result import SearchResult
from fpgaml.train import TrainedModel
from fpgaml.winners import train_winners

VIVADO = Hardware()
HLS4ML = [name for name in backend_names() if Hardware(backend=name).through_hls4ml]


def layer(kind, **fields):
    return layer_class(kind)(**fields)


def two_by_two(bits, kernel, inputs=(8, 2)):
    """Two inputs, two outputs, these weights, no biases."""
    dense = layer("dense", units=2, bits=bits, use_bias=False)
    architecture = network((2,), [dense, layer("relu", bits=(6, 2))], InputFormat(bits=inputs))
    return architecture, {"dense_1": {"kernel": np.array(kernel)}}


def predicted(architecture, weights, **hardware):
    return get_backend("vivado").estimate(architecture, weights, Hardware(**hardware))


def test_narrow_weights_take_look_up_tables_alone():
    # Bits used: 3 is 11, two bits; 0.5 and -4 one; 0 none. Inputs have 8 bits, so 8 × (2 + 1 + 1).
    found = predicted(*two_by_two((8, 4), [[3.0, 0.5], [-4.0, 0.0]]))
    assert (found.lut, found.dsp, found.bram_18k) == (32, 0, 0)
    assert found.lut == cost(*two_by_two((8, 4), [[3.0, 0.5], [-4.0, 0.0]])).ebops


def test_wide_weights_take_a_dsp_for_each_product_that_is_no_shift():
    # 10 bits: a DSP each for 3 and 2.75 (1011); 0.5 is a shift, 0 nothing. 8 × (2 + 4 + 1) - 2 × 55 is below zero.
    found = predicted(*two_by_two((10, 4), [[3.0, 2.75], [0.5, 0.0]]))
    assert (found.lut, found.dsp) == (0, 2)


@pytest.mark.parametrize(("inputs", "slices"), [((18, 2), 1), ((27, 2), 1), ((28, 2), 2)])
def test_operands_wider_than_a_dsp_take_several(inputs, slices):
    assert predicted(*two_by_two((18, 4), [[3.0, 0.0], [0.0, 0.0]], inputs)).dsp == slices


def test_products_that_share_a_multiplier():
    architecture, weights = two_by_two((10, 4), [[3.0, 2.75], [0.5, 0.0]])
    found = predicted(architecture, weights, strategy="resource", reuse_factor=2)
    # Weights that change: all four count, in full width. Two multipliers; 40 bits of weights, two words of 36.
    assert (found.dsp, found.bram_18k, found.interval_cycles) == (2, 2, 2)
    assert found.latency_cycles == predicted(architecture, weights).latency_cycles + 1
    assert found.ff < predicted(architecture, weights).ff
    single = predicted(architecture, weights, layers={"dense_1": {"strategy": "resource", "reuse_factor": 2}})
    assert dataclasses.replace(single, origin="") == dataclasses.replace(found, origin="")


@pytest.mark.parametrize(("strategy", "multipliers"), [("latency", 1), ("resource", 2)])
def test_zeros_take_no_shared_multiplier_with_the_strategy_latency(strategy, multipliers):
    # hls4ml's multiplier_limit: ceil(4 / 2) - floor(2 / 2); the strategy resource runs through all weights.
    network_and_weights = two_by_two((10, 4), [[3.0, 2.75], [0.0, 0.0]])
    assert predicted(*network_and_weights, strategy=strategy, reuse_factor=2).dsp == multipliers


def test_a_convolution_computes_some_positions_at_a_time():
    conv = layer("conv2d", filters=2, kernel_size=2, bits=(6, 1))
    score = [layer("relu", bits=(6, 2)), layer("flatten"), layer("dense", units=1, bits=(6, 1))]
    model = random_model(network((5, 5, 1), [conv, *score]), 1)
    found = {
        factor: predicted(model.firmware, model.quantized_weights, parallelization_factor=factor) for factor in (1, 4)
    }
    assert found[1].interval_cycles == 16
    assert found[4].interval_cycles == 4
    assert found[1].lut < found[4].lut < cost(model.firmware, model.quantized_weights).ebops
    streamed = predicted(model.firmware, model.quantized_weights, io_type="io_stream")
    assert streamed.interval_cycles == 16
    assert streamed.ff < found[1].ff


def test_latency_follows_the_clock():
    network_and_weights = two_by_two((8, 4), [[3.0, 0.5], [-4.0, 0.0]])
    slow, fast = (predicted(*network_and_weights, clock_period_ns=period) for period in (10.0, 2.5))
    assert slow.latency_cycles < fast.latency_cycles
    assert fast.latency_ns == fast.latency_cycles * 2.5


def test_more_bits_and_more_units_never_cost_less():
    def total(units, bits):
        dense = [layer("dense", units=units, bits=bits), layer("relu", bits=(6, 2)), layer("dense", units=1, bits=bits)]
        model = random_model(network((6,), dense), 1)
        return predicted(model.firmware, model.quantized_weights)

    found = [total(*choice) for choice in ((2, (4, 1)), (8, (4, 1)), (8, (8, 1)))]
    assert [one.lut for one in found] == sorted(one.lut for one in found)
    assert [one.ff for one in found] == sorted(one.ff for one in found)


@pytest.mark.parametrize("backend", backend_names())
def test_every_backend_tells_what_it_says_it_does(backend):
    if backend == "rtl" and find_spec("da4ml") is None:
        pytest.skip("the extra rtl is not installed")
    model = random_model(network((4,), [layer("dense", units=2, bits=(4, 1))]), 1)
    hardware = Hardware(backend=backend)
    found = get_backend(backend).estimate(model.firmware, model.quantized_weights, hardware)
    assert found.origin.startswith("predicted")
    told = found.to_json()
    assert {name for name in ESTIMATES if told[name] is not None} == set(get_backend(backend).estimates)
    costs = estimated_costs(model.firmware, model.quantized_weights, hardware)
    margins = get_backend(backend).estimate_margins
    assert set(costs) == {*get_backend(backend).estimates, *(f"{name}_at_most" for name in margins)}
    for name, margin in margins.items():
        assert margin > 1
        assert costs[name] <= margin * costs[name] <= costs[f"{name}_at_most"] < margin * costs[name] + 1


def needs_da4ml():
    if find_spec("da4ml") is None:
        pytest.skip("the extra rtl is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("clock_period_ns", [2.0, 5.0, 100.0])
def test_latency_and_registers_of_a_circuit_are_those_of_its_verilog(tmp_path, clock_period_ns):
    needs_da4ml()
    from fpgaml.backends._rtl_trace import trace_network
    from fpgaml.backends._rtl_verilog import write_verilog

    dense = [layer("dense", units=5, bits=(6, 1)), layer("relu", bits=(6, 2)), layer("dense", units=2, bits=(5, 1))]
    model = random_model(network((4,), dense), 1)
    hardware = Hardware(backend="rtl", clock_period_ns=clock_period_ns)
    found = get_backend("rtl").estimate(model.firmware, model.quantized_weights, hardware)
    circuit = trace_network(model.firmware, model.quantized_weights).network()
    written = write_verilog(circuit, tmp_path, "net", clock_period_ns=clock_period_ns)
    assert found.latency_cycles == written.latency_cycles
    assert found.ff == written.register_bits  # all inputs are used: da4ml counts unused ones too
    assert found.dsp == 0


def test_bits_of_a_circuit_by_hand():
    needs_da4ml()
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

    from fpgaml.backends._rtl_estimate import circuit_bits, register_bits

    # x of 4 bits without a sign, y of 3 with one, in places 2 to 4: 4 y.
    x, y = FixedVariableArray.from_kif(np.array([0, 1]), np.array([4, 2]), np.array([0, 0]), hwconf=HWConfig(1, -1, -1))
    summed = comb_trace([x, y], [x + y * 4])
    # Places 2 and 3 have both; y's sign is repeated in the two above, since the sum, -16 … 27, has 6 bits.
    assert circuit_bits(summed) == {"both": 2, "sign": 2, "carry": 0, "inverted": 0, "chosen": 0}
    assert circuit_bits(comb_trace([x, y], [x - y * 4]))["inverted"] == 2
    # One stage: 4 + 3 bits of inputs, 6 of the output.
    assert register_bits(summed, 1) == 4 + 3 + 6


@pytest.fixture
def silent(monkeypatch):
    """A backend that tells of DSPs alone."""
    monkeypatch.setattr(type(get_backend("vivado")), "estimates", ("dsp",))


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    "options",
    [{"limits": ["lut <= 5"]}, {"cost": "lut"}, {"objective": "lut", "cost": "ebops", "limits": ["auc >= 0.5"]}],
)
def test_what_cannot_be_predicted_is_refused_before_anything_is_done(tmp_path, options):
    write_data(tmp_path)
    study = small_study(tmp_path, search={"max_epochs": 3, **options})
    refusal = r"study\.yaml:\d+: search: lut is known after synthesis only: the backend vivado .* It predicts dsp;"
    with pytest.raises(StudyError, match=refusal):
        plan_search(study)
    with pytest.raises(StudyError, match=refusal):
        searched(study, tmp_path / "search")
    assert list((tmp_path / "search").glob("journal*")) == []
    with pytest.raises(StudyError, match=refusal):
        run(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_predicted(small_study(tmp_path, "other", search={"max_epochs": 3, "limits": ["dsp == 0", "ebops <= 5"]}))


@pytest.mark.usefixtures("silent")
def test_all_backends_that_may_be_chosen_are_asked(tmp_path):
    write_data(tmp_path)
    choices = {"bits": [[4, 1]], "units": [3], "backend": ["vitis", "vivado"]}
    hardware = {"backend": "$backend"}
    limits = {"max_epochs": 3, "limits": ["lut <= 5"]}
    with pytest.raises(StudyError, match=r"the backend (vivado|vitis) does not predict it"):
        check_predicted(small_study(tmp_path, choices=choices, hardware=hardware, search=limits))


@pytest.mark.slow
def test_a_search_keeps_limits_on_predictions_and_makes_its_front_of_them(tmp_path):
    write_data(tmp_path)
    bits = [[4, 1], [8, 2], [12, 2]]
    limits = ["dsp == 0", "latency_ns <= 100", "lut <= 700"]
    options = {"algorithm": "grid", "max_epochs": 2, "limits": limits, "cost": "lut"}
    study = small_study(tmp_path, choices={"bits": bits, "units": [3, 12]}, search=options)
    found = searched(study, tmp_path / "search")
    assert len(found.trials) == 6
    for trial in found.trials:
        wide = trial.choices["bits"][0] == 12
        assert (trial.cost["dsp"] > 0) == wide
        assert trial.feasible == (
            trial.cost["dsp"] == 0 and trial.cost["latency_ns"] <= 100 and trial.cost["lut"] <= 700
        )
        assert {"ebops", "lut", "ff", "dsp", "latency_cycles", "latency_ns"} < trial.cost.keys()
    assert {trial.feasible for trial in found.trials} == {True, False}
    assert all(trial.feasible for trial in found.winners(3))
    luts = [trial.cost["lut"] for trial in found.front]
    assert luts == sorted(luts)
    assert isinstance(found, SearchResult)
    assert found.front_cost == "lut"
    assert "predicted LUT" in found._repr_html_()


@pytest.mark.slow
def test_winners_of_a_search_with_a_limit_on_look_up_tables_keep_it_once_synthesized(tmp_path):
    needs_da4ml()
    from fpgaml.backends._rtl_netlist import family_of, synthesize_verilog
    from fpgaml.backends._rtl_trace import trace_network
    from fpgaml.backends._rtl_verilog import write_verilog

    write_data(tmp_path)
    bound = 250
    options = {"algorithm": "grid", "max_epochs": 1, "limits": [f"lut <= {bound}"], "winners": 1, "winner_seeds": [1]}
    study = small_study(
        tmp_path, choices={"bits": [[4, 1]], "units": [3, 9]}, hardware={"backend": "rtl"}, search=options
    )
    found = searched(study, tmp_path / "search")
    assert [trial.feasible for trial in sorted(found.trials, key=lambda trial: trial.choices["units"])] == [True, False]
    won = train_winners(study, found.winners(1), study.dataset(), tmp_path / "search", workers=1).winner.best
    assert won.cost["lut"] < won.cost["lut_at_most"] <= bound
    model, hardware = TrainedModel.load(won.directory), study.point(found.winners(1)[0].choices).hardware
    circuit = trace_network(model.firmware, model.quantized_weights).network()
    (tmp_path / "verilog").mkdir()
    write_verilog(circuit, tmp_path / "verilog", "net", clock_period_ns=hardware.clock_period_ns)
    made = synthesize_verilog(tmp_path / "verilog", "net", family=family_of(hardware.part))
    assert made.lut <= bound
    assert made.lut == pytest.approx(won.cost["lut"], rel=0.3)  # so few that a handful is percents
    assert made.ff <= won.cost["ff"]
    assert (made.dsp, made.latency_cycles) == (won.cost["dsp"], won.cost["latency_cycles"])
