"""A study: its choices and trials, what is checked before work starts, and how it is written down."""

from __future__ import annotations

import itertools
import re
import time

import pytest
import yaml
from small_study import IMAGE_STUDY, STUDY, write_study

from fpgaml.errors import ExactnessError, FpgamlError, StudyError
from fpgaml.fixed_point import FixedPoint
from fpgaml.layers.dense import Dense
from fpgaml.layers.dropout import Dropout
from fpgaml.study import Study

CHOICES = """\
study: choices
task: file
data: {path: events.csv, inputs: [a, b, c, d], label: kind, signal: g}
choices:
  bits: [[8, 2], [6, 1]]
  inputs: [[12, 4], [10, 4]]
  units: [4, 8]
  extra: [null, {kind: dropout, rate: $rate}]
  rate: [0.1, 0.2]
  schedule: [constant, cosine]
  hardware: [{backend: vivado}, {backend: vitis, clock_period_ns: 3.0}]
input: {bits: $inputs}
layers:
  - {kind: dense, units: $units, bits: $bits}
  - {kind: relu, bits: [8, 3]}
  - $extra
  - {kind: dense, units: 1, bits: $bits}
train: {epochs: 2, schedule: $schedule}
hardware: $hardware
"""
FIRST = {
    "bits": [8, 2],
    "inputs": [12, 4],
    "units": 4,
    "extra": None,
    "rate": 0.1,
    "schedule": "constant",
    "hardware": {"backend": "vivado"},
}


def load(folder, text=STUDY):
    return Study.load(write_study(folder, text))


def refusal(folder, text, kind=StudyError):
    path = write_study(folder, text)
    with pytest.raises(FpgamlError) as raised:
        Study.load(path)
    assert type(raised.value) is kind
    return str(raised.value).replace(f"{path}", "STUDY")


def test_a_study_without_choices_is_one_network(tmp_path):
    study = load(tmp_path)
    assert study.names == ()
    assert list(study.grid()) == [{}]
    point = study.point()
    assert point.architecture.input_shape == (4,)
    assert [layer.kind for layer in point.architecture.layers] == ["dense", "relu", "dense"]
    assert (point.train.epochs, point.train.seed, point.hardware.backend) == (2, 1, "vivado")
    assert study.architecture() == point.architecture


def test_an_image_study_is_fine(tmp_path):
    assert load(tmp_path, IMAGE_STUDY).architecture().input_shape == (4, 1, 1)


def test_sections_may_be_left_out(tmp_path):
    text = STUDY.replace("train: {epochs: 2, batch_size: 64, learning_rate: 0.01}", "train:").replace(
        "hardware: {backend: vivado}\n", ""
    )
    point = load(tmp_path, text).point()
    assert (point.train.epochs, point.hardware.strategy) == (20, "latency")


def test_choices_stand_anywhere(tmp_path):
    study = load(tmp_path, CHOICES)
    point = study.point(FIRST)
    assert point.architecture.choices == FIRST
    assert point.architecture.layers[0] == Dense(units=4, bits=(8, 2))
    assert [layer.kind for layer in point.architecture.layers] == ["dense", "relu", "dense"]  # null leaves a layer out
    assert point.train.schedule == "constant"

    other = {
        **FIRST,
        "inputs": [10, 4],
        "bits": [6, 1],
        "extra": {"kind": "dropout", "rate": "$rate"},
        "rate": 0.2,
        "schedule": "cosine",
        "hardware": {"backend": "vitis", "clock_period_ns": 3.0},
    }
    point = study.point(other)
    assert point.architecture.input_format.format == FixedPoint.from_qkeras(10, 4)
    assert point.architecture.layers[2] == Dropout(rate=0.2)  # a name inside a chosen value
    assert {point.architecture.layers[0].bits, point.architecture.layers[3].bits} == {(6, 1)}  # the same name twice
    assert point.train.schedule == "cosine"
    assert (point.hardware.backend, point.hardware.clock_period_ns) == ("vitis", 3.0)


def test_the_grid_has_every_combination(tmp_path):
    points = list(load(tmp_path, CHOICES).grid())
    assert len(points) == 2**7
    assert points[0] == FIRST
    assert all(points.count(point) == 1 for point in points)


TRIALS = STUDY.replace("units: 4", "units: $units").replace("epochs: 2", "epochs: $epochs")


def test_trials_are_points(tmp_path):
    study = load(tmp_path, TRIALS + "trials:\n  - {units: 3, epochs: 1}\n  - {units: 5, epochs: 4}\n")
    assert study.names == ("units", "epochs")
    assert list(study.grid()) == [{"units": 3, "epochs": 1}, {"units": 5, "epochs": 4}]
    assert [study.point(trial).train.epochs for trial in study.grid()] == [1, 4]


def test_trials_may_pick_from_choices(tmp_path):
    study = load(tmp_path, TRIALS + "choices: {units: [3, 5], epochs: [1, 4]}\ntrials: [{units: 3, epochs: 4}]\n")
    assert list(study.grid()) == [{"units": 3, "epochs": 4}]


PICKED = "trials:\n  - {units: 3, epochs: 1}\n  - {units: 5, epochs: 4}\n"


def test_trials_are_trained_for_as_long_as_the_study_says(tmp_path):
    assert load(tmp_path, TRIALS + PICKED).search.max_epochs == 4  # the most that train.epochs is
    assert load(tmp_path, TRIALS + PICKED + "search: {objective: auc}").search.max_epochs == 4
    study = load(tmp_path, TRIALS + PICKED + "search: {max_epochs: 7, winners: 2, winner_seeds: [3], seed: 5}")
    search = study.search
    assert (search.max_epochs, search.winners, search.winner_seeds, search.seed) == (7, 2, (3,), 5)
    assert load(tmp_path, TRIALS + "choices: {units: [3, 5], epochs: [1, 4]}").search.max_epochs == 27


@pytest.mark.parametrize("added", [PICKED, "choices: {units: [3, 5], epochs: [1, 4]}\n"])
def test_the_dump_has_the_search(tmp_path, added):
    text = f"{TRIALS}{added}search: {{training_fraction: 0.5, limits: ebops < 9}}"
    study = load(tmp_path, text)
    dumped = yaml.safe_load(study.dump())["search"]
    assert dumped == study.search.model_dump(mode="json", exclude={"algorithm", "factor", "trials"}) | (
        {} if "trials" in added else {"algorithm": "hyperband", "factor": 3, "trials": None}
    )
    (tmp_path / "dump.yaml").write_text(study.dump(), encoding="utf-8")
    again = Study.load(tmp_path / "dump.yaml")
    assert again.search == study.search
    assert again.dump() == study.dump()
    (tmp_path / "point.yaml").write_text(study.dump({"units": 3, "epochs": 1} if "trials" in added else None))
    assert Study.load(tmp_path / "point.yaml").search == study.search


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no value for the choice 'bits'; allowed: [[8, 2], [6, 1]]"),
        ({**FIRST, "unit": 3}, "unknown choice 'unit'; did you mean 'units'?"),
        ({**FIRST, "units": 5}, "the choice 'units' has no value 5; allowed: [4, 8]"),
    ],
)
def test_a_point_has_one_of_the_values_of_every_choice(tmp_path, values, message):
    study = load(tmp_path, CHOICES)
    with pytest.raises(StudyError) as raised:
        study.point(values)
    assert message in str(raised.value)


def test_a_study_without_choices_takes_no_values(tmp_path):
    with pytest.raises(StudyError, match="unknown choice 'units'; the study has no choices"):
        load(tmp_path).point({"units": 4})


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("choices: [1]", "STUDY:16: choices: should be a mapping of a name to a list of values"),
        ("choices:\n  units: 3", "STUDY:17: choices.units: should be a list of values, found 3"),
        ("choices: {units: []}", "STUDY:16: choices.units: should be a list of values, found []"),
        (
            "choices:\n  units: [3, 4]\n  epochs:\n    - 1\n    - 2\n    - 1",
            "STUDY:21: choices.epochs: the value 1 stands here a second time. Leave one out",
        ),
        (
            "trials:\n  - {units: 3, epochs: 1}\n  - {units: 4, epochs: 1}\n  - {epochs: 1, units: 3}",
            "STUDY:19: trials[2]: is trials[0] once more. Leave one out",
        ),
        (
            "trials: [{units: 3, epochs: 1}]\nsearch:\n  max_epochs: 2\n  factor: 3",
            (
                "STUDY:19: search.factor: decides nothing: the study has trials, and trains all of them. Leave it out, "
                "or the trials"
            ),
        ),
        ("trials: {units: 3}", "STUDY:16: trials: should be a list of mappings of a choice to its value"),
        ("trials: [3]", "STUDY:16: trials: should be a list of mappings of a choice to its value"),
        (
            "choices:\n  units: [3]\n  epochs: [1]\ntrials:\n  - {unit: 3, epochs: 1}",
            "STUDY:20: trials[0]: unknown choice 'unit'; did you mean 'units'? Allowed: epochs, units",
        ),
        (
            "choices:\n  units: [3]\n  epochs: [1]\ntrials:\n  - {units: 3}",
            "STUDY:20: trials[0]: no value for the choice 'epochs'",
        ),
        (
            "choices:\n  units: [3]\n  epochs: [1]\ntrials:\n  - {units: 4, epochs: 1}",
            "STUDY:20: trials[0].units: should be one of [3], found 4",
        ),
        (
            "trials:\n  - {units: 4, epochs: 1}\n  - {units: 4}",
            "STUDY:18: trials[1]: no value for the choice 'epochs'",
        ),
        (
            "choices: {units: [3], epochs: [1], bits: [[8, 2]]}",
            "STUDY:16: choices.bits: decides nothing: $bits stands nowhere in input, layers, train, hardware",
        ),
        (
            "trials: [{units: 3, epochs: 1, bits: [8, 2]}]",
            "STUDY:16: trials[0].bits: decides nothing: $bits stands nowhere in input, layers, train, hardware",
        ),
        ("choices: {units: [3]}", "STUDY:14: train.epochs: $epochs is no choice; Allowed: units"),
        (
            "choices: {units: [3, x], epochs: [1]}",
            "STUDY:11: layers[0].units: should be a valid integer, found 'x' (with units: x, epochs: 1)",
        ),
        ("choices: {units: [$units], epochs: [1]}", "STUDY:11: layers[0].units: $units is no choice; Allowed: epochs"),
    ],
)
def test_choices_and_trials_are_checked(tmp_path, added, message):
    assert refusal(tmp_path, f"{TRIALS}{added}\n") == message


def test_every_value_of_a_choice_is_tried_before_work_starts(tmp_path):
    text = STUDY.replace("units: 4, bits: [8, 2]", "units: 4, bits: $bits") + "choices:\n  bits: [[8, 2], [50, 1]]\n"
    message = refusal(tmp_path, text, ExactnessError)
    assert message.startswith("STUDY:11: layers[0] (dense): its sums need up to 64 bits")
    assert message.endswith("(with bits: [50, 1])")


def choices_in_choices(value, n):
    """``x0`` holds ``x1`` in it, and so on, up to a number."""
    names = ", ".join(f"x{number}: [{value.replace('x', f'$x{number + 1}')}]" for number in range(n))
    return STUDY.replace("epochs: 2", "epochs: $x0") + f"choices: {{{names}, x{n}: [1]}}\n"


@pytest.mark.parametrize(
    ("value", "n", "reason"),
    [
        ("[x, x]", 25, "lists and mappings stand more than 16 deep in each other"),
        ("{a: x, b: x}", 60, "lists and mappings stand more than 16 deep in each other"),
        ("[" + ", ".join(["x"] * 50) + "]", 3, "there are more than 10,000 values"),
        ("[[x, x], [x, x], [x, x], [x, x]]", 5, "there are more than 10,000 values"),
    ],
)
def test_names_in_names_do_not_grow_without_end(tmp_path, value, n, reason):
    began = time.process_time()
    message = refusal(tmp_path, choices_in_choices(value, n))
    assert message.startswith("STUDY:14: train.epochs")
    assert f": with names written out, {reason}" in message
    assert time.process_time() - began < 2


def test_names_may_stand_in_names(tmp_path):
    assert load(tmp_path, choices_in_choices("x", 30)).n_points == 1


def test_rounding_is_a_choice_with_a_name(tmp_path):
    text = STUDY.replace("bits: [8, 3]", "bits: [8, 3], rounding: $rounding")
    study = load(tmp_path, text + "choices: {rounding: [RND_CONV, RND, TRN]}\n")
    formats = [study.point(values).architecture.layers[1].formats[0] for values in study.grid()]
    assert [fixed.rounding for fixed in formats] == ["RND_CONV", "RND", "TRN"]
    message = "STUDY:12: layers[1].rounding: unknown value {}; {}Allowed: RND, RND_CONV, TRN"
    assert refusal(tmp_path, text.replace("$rounding", "floor")) == message.format("'floor'", "")
    assert refusal(tmp_path, text.replace("$rounding", "RND_CON")) == message.format(
        "'RND_CON'", "did you mean 'RND_CONV'? "
    )


def test_the_position_of_a_layer_counts_those_left_out(tmp_path):
    text = STUDY.replace("  - {kind: relu", "  - null\n  - {kind: flatten, bits: [1, 1]}\n  - {kind: relu")
    assert refusal(tmp_path, text).startswith("STUDY:13: layers[2].bits: unknown key")
    text = STUDY.replace("  - {kind: relu, bits: [8, 3]}\n", "  - null\n")
    assert refusal(tmp_path, text, ExactnessError).startswith(
        "STUDY:13: layers[2] (dense): the sums of the dense layer"
    )


def test_an_unknown_section_with_a_line_break_makes_no_line_of_its_own(tmp_path):
    message = refusal(tmp_path, STUDY + '"a\\nSTUDY:1: b": 1\n')
    assert message.startswith(r"STUDY:16: a\nSTUDY:1: b: unknown key; Allowed: choices, data,")


@pytest.mark.parametrize("name", ["1st", "", "a/b", "two\nlines", "3", "[x]", "größe", "x" * 65])
def test_a_study_has_a_name(tmp_path, name):
    assert "STUDY:1: study: should be a name" in refusal(tmp_path, STUDY.replace("small", repr(name), 1))


def test_the_dump_is_the_study_with_its_defaults(tmp_path):
    study = load(tmp_path)
    dumped = yaml.safe_load(study.dump())
    assert dumped["data"]["path"] == [str(tmp_path / "events.csv")]  # holds wherever the dump lies
    assert dumped["data"]["scaling"] == "none"
    assert dumped["train"]["patience"] == study.point().train.patience
    assert dumped["train"]["epochs"] == 2
    assert dumped["hardware"]["part"] == study.point().hardware.part
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "study.yaml").write_text(study.dump(), encoding="utf-8")
    again = Study.load(tmp_path / "elsewhere" / "study.yaml")
    assert again.point() == study.point()
    assert again.data == study.data
    assert again.dump() == study.dump()


def test_the_dump_of_a_point_is_that_point(tmp_path):
    study = load(tmp_path, CHOICES)
    last = list(study.grid())[-1]
    (tmp_path / "dump.yaml").write_text(study.dump(last), encoding="utf-8")
    again = Study.load(tmp_path / "dump.yaml")
    assert list(again.grid()) == [last]
    assert again.point(last) == study.point(last)
    assert study.dump(last) != study.dump(FIRST)


def test_comments_and_order_of_keys_leave_the_dump_as_it_is(tmp_path):
    plain = load(tmp_path / "plain").dump()
    text = STUDY.replace("epochs: 2, batch_size: 64", "batch_size: 64, epochs: 2  # few\n  ")
    text = "hardware: {backend: vivado}\n" + text.replace("hardware: {backend: vivado}\n", "")
    commented = load(tmp_path / "commented", text).dump()
    assert commented.replace("commented", "plain") == plain


@pytest.mark.parametrize("text", ["1e3", "yes", "017", "1:30", "2024-01-01", "null", "08", "0o7"])
def test_a_text_that_looks_like_something_else_stays_a_text_in_the_dump(tmp_path, text):
    study = load(tmp_path, STUDY.replace("signal: g", f"signal: '{text}'"))
    (tmp_path / "dump.yaml").write_text(study.dump(), encoding="utf-8")
    assert Study.load(tmp_path / "dump.yaml").data.signal == text


@pytest.mark.parametrize("section", ["data", "choices", "trials", "search", "train", "hardware"])
@pytest.mark.parametrize("value", ["0", "false", "''", "3", "text"])
def test_a_section_of_another_type_is_no_empty_section(tmp_path, section, value):
    others = re.sub(rf"^{section}:.*\n(  .*\n)*", "", STUDY, flags=re.MULTILINE)
    message = refusal(tmp_path, f"{others}{section}: {value}\n")
    assert re.match(rf"STUDY:\d+: {section}: should be a (mapping|list)", message)


FAR_OUT = "9223372036854775807"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("units: 4", f"units: {FAR_OUT}", "layers[0].units: should be less than or equal to 65536, found 92233"),
        ("units: 4", f"units: {'9' * 400}", "layers[0].units: found 999"),
        ("units: 4", f"units: 0x{'f' * 4000}", "layers[0].units: found 0xfff"),
        ("epochs: 2", f"epochs: {FAR_OUT}", "train.epochs: should be less than or equal to 100000"),
        ("epochs: 2", "epochs: 1:30", "train.epochs: readers of YAML take 1:30 for different things: write 90"),
        ("batch_size: 64", f"batch_size: {FAR_OUT}", "train.batch_size: should be less than or equal to 1000000"),
        ("batch_size: 64", "float_epochs: -1", "train.float_epochs: should be greater than or equal to 0"),
        ("batch_size: 64", "seed: -1", "train.seed: should be greater than or equal to 0, found -1"),
        ("batch_size: 64", "seed: 4_294_967_296", "train.seed: should be less than or equal to 4294967295"),
        ("batch_size: 64", "ebops_weight: 1e30", "train.ebops_weight: should be less than or equal to 1, found 1e+30"),
        ("learning_rate: 0.01", "learning_rate: 1e308", "train.learning_rate: should be less than or equal to 3e+38"),
        (
            "learning_rate: 0.01",
            "learning_rate: 1e-300",
            "train.learning_rate: should be greater than or equal to 1e-08, found 1e-300",
        ),
        ("learning_rate: 0.01", "learning_rate: .inf", "train.learning_rate: found .inf: a number here is finite"),
        (
            "signal: g",
            "signal: g\n  split: {seed: -1}",
            "data.split.seed: should be greater than or equal to 0, found -1",
        ),
        (
            "signal: g",
            "signal: g\n  rate_khz: 1e308",
            "data.rate_khz: should be less than or equal to 1e+12, found 1e+308",
        ),
        (
            "backend: vivado",
            "reuse_factor: 2147483648",
            "hardware.reuse_factor: should be less than or equal to 16777216",
        ),
        (
            "backend: vivado",
            "accumulator_bits: 9999",
            "hardware.accumulator_bits: should be less than or equal to 1024",
        ),
        (
            "backend: vivado",
            "clock_period_ns: 1e-300",
            "hardware.clock_period_ns: should be greater than or equal to 0.1",
        ),
        ("[12, 4]", "[12, 2147483648]", "input.bits[1]: should be less than or equal to 126, found 2147483648"),
        ("[12, 4]", "[12, -126]", "input: 12 bits of which -126 are integer bits without the sign are not possible"),
        ("[8, 2]", "[8, 2000]", "layers[0].bits[1]: should be less than or equal to 126, found 2000"),
        ("[8, 2]", "[53, -1100]", "layers[0].bits[1]: should be greater than or equal to -126, found -1100"),
        ("[8, 3]", "[53, 2147483648]", "layers[1].bits[1]: should be less than or equal to 126"),
        ("[8, 3]", "[8, -126]", "layers[1]: 8 bits of which -126 are integer bits"),
    ],
)
def test_numbers_far_out_are_refused_before_anything_is_made_of_them(tmp_path, before, after, message):
    assert f": {message}" in refusal(tmp_path, STUDY.replace(before, after, 1))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "units: 4",
            "units: 65_536, bits: [8, 2]}\n  - {kind: relu, bits: [8, 2]}\n  - {kind: dense, units: 300",
            "13: layers[2] (dense): up to here the network has 19,988,780 weights and biases; allowed: 16,777,216. ",
        ),
        ("[a, b, c, d]", "[x]\n  shape: [2000, 2000, 1]", "3: data: an event has 4,000,000 inputs; allowed: 1,048,576"),
        ("[a, b, c, d]", f"[x]\n  shape: {[1] * 9}", "3: data: inputs have 9 dimensions; allowed: 8"),
        (
            "epochs: 2, batch_size: 64",
            "batch_size: 1_000_000",
            None,  # few values for an event
        ),
        (
            "units: 4, bits: [8, 2]",
            "units: 1000, bits: [8, 2]}\n  - {kind: relu, bits: [8, 2]}\n  - {kind: dense, units: 4, bits: [8, 2]",
            None,
        ),
    ],
)
def test_the_size_of_a_network_is_checked_before_anything_is_allocated(tmp_path, before, after, message):
    text = STUDY.replace(before, after, 1).replace("vivado", "vitis")
    if message is None:
        assert load(tmp_path, text)
    else:
        assert refusal(tmp_path, text).startswith(f"STUDY:{message}")


def test_inputs_that_training_cannot_hold_are_refused(tmp_path):
    message = refusal(tmp_path, STUDY.replace("[12, 4]", "[12, 122]"), ExactnessError)
    assert message.startswith(
        "STUDY:9: input: its values are multiples of 2^111 up to 5.32e+36. Training and hls4ml hold"
    )


def test_a_batch_is_checked_before_anything_is_allocated(tmp_path):
    text = (
        STUDY.replace("units: 4", "units: 1000")
        .replace("batch_size: 64", "batch_size: 1_000_000")
        .replace("vivado", "vitis")
    )
    assert refusal(tmp_path, text) == (
        "STUDY:14: train.batch_size: should be at most 267,766, as layers have 2,005 inputs and outputs for an event, "
        "found 1,000,000"
    )


def test_products_of_a_network_are_counted_before_they_are_made(tmp_path):
    layers = "conv2d, filters: 8, kernel_size: 100, padding: same"
    text = IMAGE_STUDY.replace("[a, b, c, d]\n  shape: [4, 1, 1]", "[x]\n  shape: [200, 200, 1]").replace(
        "vivado", "vitis"
    )
    message = refusal(tmp_path, text.replace("conv2d, filters: 2, kernel_size: [2, 1]", layers))
    assert ": layers[0] (conv2d): up to here the network has 3,200,000,000 products for an event; allowed: " in message


def test_choices_that_decide_nothing_are_told_at_once(tmp_path):
    started = time.process_time()
    choices = "\n".join(f"  c{number}: [1, 2]" for number in range(3000))
    message = refusal(tmp_path, f"{STUDY}choices:\n{choices}\n")
    assert message == "STUDY:16: choices: should be at most 100 choices, found 3000"
    choices = "\n".join(f"  c{number}: {list(range(10))}" for number in range(100))
    assert "choices.c0: decides nothing" in refusal(tmp_path, f"{STUDY}choices:\n{choices}\n")
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (
            f"choices: {{units: {list(range(1, 2000))}, epochs: [1]}}",
            "STUDY:16: choices: should be at most 1000 values of all choices together, found 2000",
        ),
        (
            f"trials: [{'{units: 3, epochs: 1}, ' * 2000}]",
            "STUDY:16: trials: should be at most 1000 trials, found 2000",
        ),
        (
            f"trials: [{{{', '.join(f'c{number}: 1' for number in range(500))}}}]",
            "STUDY:16: trials: should be at most 100 choices, found 500",
        ),
    ],
)
def test_the_number_of_choices_has_a_limit(tmp_path, added, message):
    assert refusal(tmp_path, f"{TRIALS}{added}\n") == message


def test_the_number_of_layers_has_a_limit(tmp_path):
    relus = "  - {kind: flatten}\n" * 127
    assert refusal(tmp_path, STUDY.replace("train:", f"{relus}train:")) == (
        "STUDY:10: layers: should be at most 128, found 130"
    )


def test_a_message_names_the_choice_that_was_tried_and_not_all_of_them(tmp_path):
    names = [f"choice_number_{number}" for number in range(60)]
    layers = "".join(
        f"  - {{kind: dense, units: ${name}, bits: [4, 2]}}\n  - {{kind: relu, bits: [4, 2]}}\n" for name in names
    )
    choices = "".join(f"  {name}: [3, x]\n" for name in names)
    text = STUDY.replace("layers:\n", f"layers:\n{layers}") + f"choices:\n{choices}"
    message = refusal(tmp_path, text)
    assert message.startswith(
        "STUDY:11: layers[0].units: should be a valid integer, found 'x' (with choice_number_0: x, "
    )
    assert message.endswith(", … (60 in all))")


def test_what_is_read_once_can_be_read_again_with_its_defaults(tmp_path, monkeypatch):
    for module in ("study", "yaml_source"):
        monkeypatch.setattr(f"fpgaml.{module}.MAX_LINES", 100)
    outcomes = []
    for n in range(1, 100, 7):
        columns = ", ".join(f"column_{number}" for number in range(n))
        path = write_study(tmp_path, STUDY.replace("[a, b, c, d]", f"[{columns}]"))
        try:
            study = Study.load(path)
        except StudyError as error:
            outcomes.append(
                "defaults" if "as the options that are left to their defaults count too" in str(error) else "file"
            )
        else:
            path.write_text(study.dump(), encoding="utf-8")
            assert Study.load(path).dump() == study.dump()
            outcomes.append("fits")
    assert [outcome for outcome, _ in itertools.groupby(outcomes)] == ["fits", "defaults", "file"]


def test_every_value_is_tried_once(tmp_path, monkeypatch):
    made = []
    point = Study._point
    monkeypatch.setattr(Study, "_point", lambda *arguments: made.append(1) or point(*arguments))

    def n_tried(n):
        layers = "".join(
            f"  - {{kind: dense, units: 4, bits: $bits_{i}}}\n  - {{kind: relu, bits: [8, 3]}}\n" for i in range(n)
        )
        choices = "".join(f"  bits_{i}: {[[bits, 2] for bits in range(8, 18)]}\n" for i in range(n))
        text = STUDY.replace("layers:\n", f"layers:\n{layers}") + f"choices:\n{choices}"
        made.clear()
        load(tmp_path, text)
        return len(made)

    assert [n_tried(n) for n in (2, 5, 20)] == [1 + 9 * 2, 1 + 9 * 5, 1 + 9 * 20]
