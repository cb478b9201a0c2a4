"""The search's options are checked when they are made, and limits mean what they say."""

from __future__ import annotations

from dataclasses import fields

import pydantic
import pytest

from fpgaml.cost import Cost
from fpgaml.errors import StudyError
from fpgaml.search_options import COSTS, ESTIMATES, OPERATORS, Limit, SearchOptions, meets
from fpgaml.synthesis import Resources


def test_the_default_is_hyperband_by_signal_efficiency():
    options = SearchOptions()
    assert (options.algorithm, options.max_epochs, options.factor) == ("hyperband", 27, 3)
    assert (options.objective, options.limits, options.trials) == ("signal_efficiency", (), None)
    assert options.seed == 1
    assert (options.winners, options.winner_seeds, options.training_fraction) == (3, (1, 2, 3), 1.0)


def test_what_is_read_from_yaml_and_what_was_dumped_give_the_same():
    options = SearchOptions(algorithm="random", trials=5, limits=["ebops <= 20000"])
    assert options.limits == ("ebops <= 20000",)
    assert SearchOptions(winner_seeds=[3, 1]).winner_seeds == (3, 1)
    assert SearchOptions(**options.model_dump(mode="json")) == options
    assert SearchOptions(algorithm="random", trials=5, limits="ebops <= 20000") == options


def test_frozen():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        SearchOptions().seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"algorithm": "random"}, "random search needs to know how many points"),
        ({"algorithm": "bayesian"}, "bayesian search needs to know how many points"),
        ({"trials": 5}, "hyperband's number of trials follows from max_epochs and factor"),
        ({"algorithm": "grid", "trials": 5}, "a grid has all points"),
        ({"algorithm": "genetic"}, "'hyperband', 'random', 'bayesian' or 'grid'"),
        ({"objective": "loss"}, "unknown objective 'loss'; did you mean 'val_loss'"),
        ({"factor": 1}, "greater than or equal to 2"),
        ({"factor": 3.5}, "valid integer"),
        ({"factor": 10**400}, "less than or equal to 1000"),
        ({"max_epochs": 10**400}, "less than or equal to 100000"),
        ({"algorithm": "random", "trials": 10**9}, "less than or equal to 100000"),
        ({"winners": 2**31}, "less than or equal to 100"),
        ({"seed": 2**32}, "less than or equal to 4294967295"),
        ({"winner_seeds": list(range(200))}, "at most 100 items"),
        ({"limits": ["ebops <= 1"] * 200}, "at most 100 items"),
        ({"max_epochs": 0}, "greater than or equal to 1"),
        ({"max_epochs": True}, "valid integer"),
        ({"algorithm": "random", "trials": 0}, "greater than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"winners": 0}, "greater than or equal to 1"),
        ({"winner_seeds": []}, "at least 1 item"),
        ({"winner_seeds": 3}, "valid tuple"),
        ({"winner_seeds": [1, -2]}, "greater than or equal to 0"),
        ({"winner_seeds": [4, 1, 4]}, "the same seed gives the same network: 4 stands there more than once"),
        ({"training_fraction": 0.0}, "greater than 0"),
        ({"training_fraction": 1.01}, "less than or equal to 1"),
        ({"training_fraction": float("nan")}, "less than or equal to 1"),
        ({"epochs": 3}, "Extra inputs are not permitted"),
        ({"limits": ("ebops <= 1", "ebobs <= 1")}, "did you mean 'ebops'"),
        ({"cost": "luts"}, "unknown cost 'luts'; did you mean 'lut'"),
    ],
)
def test_what_is_wrong_is_told(wrong, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        SearchOptions(**wrong)


@pytest.mark.parametrize("fraction", [1, 1.0, 1e-6])
def test_trials_may_see_all_training_events_or_few(fraction):
    assert SearchOptions(training_fraction=fraction).training_fraction == fraction


def test_the_place_of_a_wrong_limit_is_known():
    with pytest.raises(pydantic.ValidationError) as caught:
        SearchOptions(limits=["ebops <= 1", "ebops is small"])
    assert [error["loc"] for error in caught.value.errors()] == [("limits", 1)]


def test_limits_are_about_the_costs_there_are():
    assert sorted(field.name for field in fields(Cost)) == sorted(COSTS)
    assert set(ESTIMATES) < Resources(origin="").to_json().keys()


def test_what_a_backend_has_to_predict_is_known():
    assert SearchOptions(limits=["ebops <= 3"]).predicted == ()
    assert SearchOptions(limits=["latency_ns <= 100", "lut <= 3", "lut > 1"]).predicted == ("latency_ns", "lut")
    assert SearchOptions(cost="lut").predicted == ("lut",)


def test_an_upper_limit_is_held_by_a_prediction_with_its_margin_and_a_lower_one_by_itself():
    cost = {"lut": 100, "lut_at_most": 110, "ff": 105}
    assert meets(["lut <= 110", "lut == 100", "lut >= 100", "ff <= 105"], cost)
    assert not meets(["lut <= 109"], cost)
    assert not meets(["lut < 110"], cost)
    assert not meets(["lut >= 101"], cost)


@pytest.mark.parametrize("text", ["ebops<=20000", " ebops  <=  20000 ", "ebops <= 2e4", "ebops <= 20_000"])
def test_spaces_and_ways_to_write_a_number_do_not_matter(text):
    assert Limit.parse(text) == Limit("ebops", "<=", 20000.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no limit"),
        ("ebops", "is no limit"),
        ("ebops = 3", "is no limit"),
        ("ebops != 3", "is no limit"),
        ("20000 >= ebops", "is no limit"),
        ("ebops <= 3 or so", "is no limit"),
        ("cost < 3", "unknown cost or metric 'cost'.*Allowed: accuracy, activation_bits, auc, bops"),
        ("uram == 0", "unknown cost or metric 'uram'.*Allowed: .*, bram_18k, dsp, ebops, ff, "),
        ("latency <= 100", "did you mean 'latency_"),
        ("parameter < 3", "did you mean 'parameters'"),
        ("ebops <= many", "'many' is no finite number"),
        ("ebops <= nan", "'nan' is no finite number"),
        ("ebops < inf", "'inf' is no finite number"),
        ("ebops <== 3", "'=3?' is no finite number|is no limit"),
    ],
)
def test_what_is_no_limit_is_told(text, told):
    with pytest.raises(StudyError, match=told):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("<=", (True, True, False)),
        ("<", (True, False, False)),
        ("==", (False, True, False)),
        (">=", (False, True, True)),
        (">", (False, False, True)),
    ],
)
def test_every_operator_below_at_and_above_the_bound(operator, expected):
    assert tuple(meets([f"bops {operator} 10"], {"bops": cost}) for cost in (9, 10, 11)) == expected
    assert operator in OPERATORS


def test_all_limits_must_hold():
    cost = {"ebops": 5, "parameters": 7}
    assert meets([], cost)
    assert meets(["ebops < 6", "parameters < 8"], cost)
    assert not meets(["ebops < 6", "parameters < 7"], cost)
    assert not meets(["ebops < 5", "parameters < 8"], cost)
