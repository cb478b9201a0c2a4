"""Keras-Tuner's oracles, driven with a score that is a function of the point: no training."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fpgaml.errors import StudyError
from fpgaml.oracles import _seed, _unchecked
from fpgaml.pareto import front_order
from fpgaml.proposals import WAIT, Proposal, Proposer, Schedule, schedule
from fpgaml.search_options import SearchOptions

ALGORITHMS = ("hyperband", "random", "bayesian", "grid")
WIDE = {
    "bits": [[4, 0], [6, 1], [8, 2], [12, 2], [16, 6]],
    "filters": [2, 4, 8, 16],
    "norm": [True, False, None],
    "n": list(range(20)),
}


def options(algorithm: str = "hyperband", **more: Any) -> SearchOptions:
    if algorithm in ("random", "bayesian"):
        more = {"trials": 12, **more}
    return SearchOptions(algorithm=algorithm, **more)


def score(proposal: Proposal) -> float:
    """Some number that depends on the point and, a little, on the epochs."""
    digits = hashlib.sha256(repr(sorted(proposal.choices.items())).encode()).digest()[:4]
    return int.from_bytes(digits) / 2**32 + 0.001 * math.log(proposal.epochs)


def cost(proposal: Proposal) -> float:
    """Another such number, the same after every number of epochs."""
    return 1.0 + int.from_bytes(hashlib.sha256(point(proposal).encode()).digest()[4:8]) % 1000


def point(proposal: Proposal) -> str:
    return repr(proposal.choices)


def drive(proposer: Proposer, *, workers: int = 1, order: int = 0, fails: Callable[[Proposal], bool] = lambda _: False):
    """All proposals of a search with ``workers`` open proposals, whose results come in a random order."""
    generator = random.Random(order)
    proposals: list[Proposal] = []
    opened: list[Proposal] = []
    while True:
        proposal = None
        while len(opened) < workers and isinstance(proposal := proposer.propose(), Proposal):
            proposals.append(proposal)
            opened.append(proposal)
        if not opened:
            assert proposal is None  # never waits for nothing
            assert proposer.propose() is None  # and has ended for good
            return proposals
        done = opened.pop(generator.randrange(len(opened)))
        if fails(done):
            proposer.fail(done)
        else:
            proposer.tell(done, score(done), cost(done))


def counted(proposals: list[Proposal]) -> Counter[tuple[int, int, int, int]]:
    return Counter((p.bracket, p.round, p.epochs, p.from_epochs) for p in proposals)


def planned(found: Schedule) -> Counter[tuple[int, int, int, int]]:
    return Counter(
        {
            (bracket.number, number, part.epochs, part.from_epochs): part.trials
            for bracket in found.brackets
            for number, part in enumerate(bracket.rounds)
        }
    )


def plain_hyperband(settings: SearchOptions, tmp_path) -> list[tuple[dict[str, Any], int, int]]:
    """Keras-Tuner's own oracle as it is: choices, epochs and first epoch of its trials."""
    import keras_tuner

    parameters = keras_tuner.HyperParameters()
    for name, values in WIDE.items():
        parameters.Choice(name, list(range(len(values))))
    oracle = keras_tuner.oracles.HyperbandOracle(
        objective=keras_tuner.Objective("merit", "max"),
        max_epochs=settings.max_epochs,
        factor=settings.factor,
        seed=_seed(settings.seed),
        hyperparameters=parameters,
    )
    oracle._set_project_dir(str(tmp_path), "plain")
    oracle.verbose = 0
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        while (trial := oracle.create_trial("one")).status == "RUNNING":
            values = trial.hyperparameters.values
            choices = {name: offered[values[name]] for name, offered in WIDE.items()}
            found.append((choices, values["tuner/epochs"], values["tuner/initial_epoch"]))
            proposal = Proposal(0, choices, values["tuner/epochs"], 0, 0, 0)
            oracle.update_trial(trial.trial_id, {"merit": score(proposal)})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    assert trial.status == "STOPPED"
    return found


@pytest.mark.parametrize(("max_epochs", "factor"), [(27, 3), (50, 3), (9, 3), (1, 3), (10, 2), (16, 4)])
def test_in_a_wide_space_hyperband_is_keras_tuners_own(tmp_path, max_epochs, factor):
    settings = options(max_epochs=max_epochs, factor=factor)
    found = drive(Proposer(settings, WIDE))
    assert [(p.choices, p.epochs, p.from_epochs) for p in found] == plain_hyperband(settings, tmp_path)
    assert [p.number for p in found] == list(range(len(found)))


@pytest.mark.parametrize(("max_epochs", "trials", "epochs"), [(27, 70, 375), (50, 90, 922), (100, 254, 2672)])
def test_the_schedule_has_the_known_size(max_epochs, trials, epochs):
    found = schedule(options(max_epochs=max_epochs), 1200)
    assert (found.trials, found.epochs) == (trials, epochs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n_points", [1, 2, 5, 30, 45, 60])
@pytest.mark.parametrize("max_epochs", [4, 27])
def test_the_schedule_is_what_happens(algorithm, n_points, max_epochs):
    settings = options(algorithm, max_epochs=max_epochs)
    found = drive(Proposer(settings, {"n": list(range(n_points))}))
    expected = schedule(settings, n_points)
    assert counted(found) == planned(expected)
    assert len(found) == expected.trials
    assert sum(p.epochs - p.from_epochs for p in found) == expected.epochs
    assert len({point(p) for p in found}) == expected.points


@pytest.mark.parametrize(("max_epochs", "factor"), [(27, 3), (50, 3), (10, 2), (16, 4)])
def test_hyperbands_schedule_in_a_wide_space_is_what_happens(max_epochs, factor):
    settings = options(max_epochs=max_epochs, factor=factor)
    assert counted(drive(Proposer(settings, WIDE))) == planned(schedule(settings, 1200))


def test_the_schedule_as_text_and_as_json():
    found = schedule(options(max_epochs=9), 1200)
    assert str(found).splitlines() == [
        "hyperband: 17 points in 23 trials, 75 epochs",
        "  bracket 2: 9 to epoch 1, then 3 to epoch 3, then 1 to epoch 9",
        "  bracket 1: 5 to epoch 3, then 2 to epoch 9",
        "  bracket 0: 3 to epoch 9",
    ]
    assert found.to_json()["brackets"][1]["rounds"][1] == {"trials": 2, "epochs": 9, "from_epochs": 3}
    assert str(schedule(options("grid"), 6)).splitlines() == [
        "grid: 6 points in 6 trials, 162 epochs",
        "  6 to epoch 27",
    ]


@pytest.mark.parametrize("workers", [1, 2, 7, 100])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_any_number_of_open_proposals(algorithm, workers):
    found = drive(
        Proposer(options(algorithm), {"a": [1, 2, 3], "b": ["x", "y"], "c": [0.5, None, [1]]}), workers=workers
    )
    assert counted(found) == planned(schedule(options(algorithm), 18))
    assert len({point(p) for p in found if not p.round}) == sum(not p.round for p in found)


@pytest.mark.parametrize("workers", [1, 4])
def test_promotions_go_on_where_the_round_before_ended_and_take_the_best(workers):
    found = drive(Proposer(options(), WIDE), workers=workers)
    rounds: dict[tuple[int, int], dict[str, Proposal]] = {}
    for proposal in found:
        rounds.setdefault((proposal.bracket, proposal.round), {})[point(proposal)] = proposal
    promotions = [p for p in found if p.round]
    assert len(promotions) == 9 + 3 + 1 + 4 + 2 + 2
    for promoted in promotions:
        before = rounds[promoted.bracket, promoted.round - 1][point(promoted)]
        assert (before.choices, before.epochs) == (promoted.choices, promoted.from_epochs)
        assert before.number < promoted.number
    assert all(p.from_epochs == 0 for p in found if not p.round)
    if workers == 1:
        for (bracket, number), promoted_points in rounds.items():
            if number:
                ranked = sorted(rounds[bracket, number - 1].values(), key=score, reverse=True)
                assert set(promoted_points) == {point(p) for p in ranked[: len(promoted_points)]}


def test_hyperband_waits_for_results_that_decide():
    proposer = Proposer(options(max_epochs=9), WIDE)
    opened = []
    while isinstance(proposal := proposer.propose(), Proposal):
        opened.append(proposal)
    assert proposal is WAIT
    assert counted(opened) == Counter({(2, 0, 1, 0): 9, (1, 0, 3, 0): 5, (0, 0, 9, 0): 3})
    assert proposer.propose() is WAIT
    # 9 compete for 3 places: the best of 7 is among the best 3, whatever the other 2 score.
    for number in range(6):
        proposer.tell(opened[number], float(number), 1.0)
        assert proposer.propose() is WAIT
    proposer.tell(opened[6], -1.0, 1.0)
    promoted = proposer.propose()
    assert isinstance(promoted, Proposal)
    assert (promoted.choices, promoted.bracket, promoted.round) == (opened[5].choices, 2, 1)
    assert (promoted.from_epochs, promoted.epochs, promoted.number) == (1, 3, 17)
    assert proposer.propose() is WAIT


@pytest.mark.parametrize("workers", [1, 3])
def test_hyperband_for_fronts_keeps_the_rounds(workers):
    found = drive(Proposer(options(max_epochs=9, promote="front"), WIDE), workers=workers)
    best = drive(Proposer(options(max_epochs=9), WIDE), workers=workers)
    assert counted(found) == counted(best)
    if workers > 1:
        return  # a round's trials are then compared before all of them have ended
    rounds: dict[tuple[int, int], dict[str, Proposal]] = {}
    for proposal in found:
        rounds.setdefault((proposal.bracket, proposal.round), {})[point(proposal)] = proposal
    for (bracket, number), promoted in rounds.items():
        if number:
            before = list(rounds[bracket, number - 1].values())
            order = front_order([score(p) for p in before], [cost(p) for p in before])
            assert set(promoted) == {point(before[place]) for place in order[: len(promoted)]}


def test_grid_search_gives_all_points_at_once_and_in_order():
    choices = {"a": [3, 1, 2], "b": ["x", "y"], "c": [None]}
    proposer = Proposer(options("grid"), choices)
    found = [proposer.propose() for _ in range(6)]
    assert [tuple(p.choices.values()) for p in found] == list(itertools.product(*choices.values()))
    assert proposer.propose() in (WAIT, None)


PICKED = [{"bits": [8, 2], "n": 3}, {"bits": [4, 0], "n": 1}, {"bits": [8, 2], "n": None}]


@pytest.mark.parametrize("choices", [{}, {"bits": [[4, 0], [8, 2]], "n": [1, 3, None, 5]}])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_hand_picked_trials_are_proposed_once_each_and_in_their_order(choices, algorithm, workers):
    proposer = Proposer(options(algorithm, max_epochs=9), choices, PICKED)
    found = drive(proposer, workers=workers, fails=lambda p: p.choices["n"] == 1)
    assert [p.choices for p in found] == PICKED
    assert {(p.epochs, p.from_epochs, p.bracket, p.round) for p in found} == {(9, 0, 0, 0)}
    assert [p.number for p in found] == [0, 1, 2]
    assert proposer.schedule == schedule(options(algorithm, max_epochs=9), 8, trials=3)


def test_the_schedule_of_hand_picked_trials():
    found = schedule(options(max_epochs=27), 13, trials=13)
    assert (found.points, found.trials, found.epochs) == (13, 13, 13 * 27)
    assert str(found) == "trials: 13 trials to epoch 27"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_proposals(algorithm, workers):
    first, again = (drive(Proposer(options(algorithm), WIDE), workers=workers, order=5) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("algorithm", ["hyperband", "random", "bayesian"])
def test_other_seeds_have_nothing_in_common(algorithm):
    choices = {"n": list(range(5000))}
    drawn = []
    for seed in range(6):
        found = drive(
            Proposer(options(algorithm, seed=seed, **({"max_epochs": 9} if algorithm == "hyperband" else {})), choices)
        )
        drawn.append([p.choices["n"] for p in found if not p.round][:3])  # what Bayesian search draws at random
    assert len(set(itertools.chain.from_iterable(drawn))) == 18


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_replayed_goes_on_as_if_never_interrupted(algorithm):
    choices = {"a": [1, 2, 3, 4], "b": ["x", "y", "z"], "c": [1, 2, 3]}

    def fails(proposal: Proposal) -> bool:
        return score(proposal) % 0.01 < 0.003

    whole = drive(Proposer(options(algorithm), choices), fails=fails)
    assert any(map(fails, whole))
    known = {(point(p), p.epochs): None if fails(p) else score(p) for p in whole}
    for end in (0, 1, len(whole) // 2, len(whole) - 1):
        resumed = Proposer(options(algorithm), choices)
        replayed = []
        for _ in range(end):
            proposal = resumed.propose()
            replayed.append(proposal)
            found = known[point(proposal), proposal.epochs]
            resumed.fail(proposal) if found is None else resumed.tell(proposal, found, cost(proposal))
        assert replayed + drive(resumed, fails=fails) == whole


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_failed_trials_are_not_proposed_again_and_cost_no_other_trial(algorithm, workers):
    def fails(proposal: Proposal) -> bool:
        return proposal.choices["n"] % 3 == 0

    choices = {"n": list(range(60))}
    found = drive(Proposer(options(algorithm), choices), workers=workers, fails=fails)
    assert any(map(fails, found))
    assert not [p for p in found if p.round and fails(p)]
    assert counted(found) == planned(schedule(options(algorithm), 60))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_in_which_all_trials_fail_ends(algorithm, workers):
    choices = {"n": list(range(60))}
    found = drive(Proposer(options(algorithm), choices), workers=workers, fails=lambda _: True)
    assert len(found) == len({point(p) for p in found}) == schedule(options(algorithm), 60).points


def test_where_few_trials_have_a_score_all_of_them_go_on():
    def fails(proposal: Proposal) -> bool:
        return proposal.bracket == 3 and proposal.number % 9 != 0  # 3 of 27 for 9 places

    found = [p for p in drive(Proposer(options(), WIDE), fails=fails) if p.bracket == 3]
    assert Counter(p.round for p in found)[0] == 27
    kept = {point(p) for p in found if not p.round and p.number % 9 == 0}
    assert {point(p) for p in found if p.round == 1} == kept


def test_bayesian_search_finds_the_best_point_without_proposing_one_twice():
    proposer = Proposer(options("bayesian", trials=25), {"a": list(range(10)), "b": list(range(10))})
    scores = {}
    while (proposal := proposer.propose()) is not None:
        a, b = proposal.choices["a"], proposal.choices["b"]
        assert (a, b) not in scores
        scores[a, b] = -float((a - 7) ** 2 + (b - 2) ** 2)
        proposer.tell(proposal, scores[a, b], 1.0)
    assert len(scores) == 25
    assert scores.get((7, 2)) == 0.0


def test_bayesian_search_looks_around_the_best_point_once_that_is_known():
    proposer = Proposer(options("bayesian", trials=11), {"n": list(range(40))})
    found = []
    while (proposal := proposer.propose()) is not None:
        found.append(proposal.choices["n"])
        proposer.tell(proposal, -float((found[-1] - 23) ** 2), 1.0)
    assert len(set(found)) == 11
    assert {22, 23, 24} <= set(found)
    assert all(abs(n - 23) <= 4 for n in found[-5:])


def test_predictions_without_checks_are_scikit_learns_own():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    generator = np.random.default_rng(1)
    known, values = generator.random((30, 5)), generator.random(30)
    kernel = Matern(nu=2.5, length_scale=0.5, length_scale_bounds="fixed")
    settings = {"kernel": kernel, "normalize_y": True, "alpha": 1e-4}
    own, checked = (kind(**settings) for kind in (_unchecked(), GaussianProcessRegressor))
    for points in (generator.random((1, 5)), known[:3].tolist(), generator.random((200, 5))):
        for _ in ("before fitting", "after"):
            pairs = zip(*(each.predict(points, return_std=True) for each in (own, checked)), strict=True)
            for found, expected in pairs:  # means, then deviations
                np.testing.assert_array_equal(found, expected)
            own.fit(known, values)
            checked.fit(known, values)
    np.testing.assert_array_equal(own.predict(known), checked.predict(known))


def test_bayesian_search_ends_in_a_space_with_fewer_points_than_trials():
    found = drive(Proposer(options("bayesian", trials=100), {"a": list(range(4)), "b": list(range(4))}), workers=3)
    assert len(found) == len({point(p) for p in found}) == 16


def test_more_points_than_a_machine_word_can_count():
    choices = {f"layer {number}": list(range(10)) for number in range(25)}
    settings = options("random", trials=5)
    assert len({point(p) for p in drive(Proposer(settings, choices))}) == schedule(settings, 10**25).points == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_is_written_and_nothing_printed(algorithm, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    drive(Proposer(options(algorithm), {"n": list(range(5))}), fails=lambda p: p.choices["n"] == 2)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_wrong_calls_are_told():
    proposer = Proposer(options("grid"), {"n": [1, 2]})
    proposal = proposer.propose()
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="is not finite: use fail"):
            proposer.tell(proposal, number, 1.0)
    proposer.tell(proposal, 1.0, 1.0)
    for call in (lambda: proposer.tell(proposal, 1.0, 1.0), lambda: proposer.fail(proposal)):
        with pytest.raises(ValueError, match="proposal 0 is not open"):
            call()


@pytest.mark.parametrize("choices", [{}, {"n": []}])
def test_nothing_to_choose_is_told(choices):
    with pytest.raises(StudyError, match="nothing to search"):
        Proposer(options(), choices)
    with pytest.raises(StudyError, match="nothing to search"):
        schedule(options(), 0)


def in_a_new_process(script: str, **environment: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_importing_and_planning_load_neither_keras_tuner_nor_tensorflow():
    script = """
import sys
import fpgaml.journal, fpgaml.proposals, fpgaml.search_options
fpgaml.proposals.schedule(fpgaml.search_options.SearchOptions(), 100)
print(sorted({"keras_tuner", "tensorflow", "keras", "sklearn", "scipy"} & set(sys.modules)))
"""
    assert in_a_new_process(script) == "[]\n"


@pytest.mark.slow
def test_another_process_proposes_the_same():
    script = """
from fpgaml.proposals import Proposer
from fpgaml.search_options import SearchOptions
for algorithm in ("hyperband", "random", "bayesian"):
    trials = None if algorithm == "hyperband" else 20
    proposer = Proposer(SearchOptions(algorithm=algorithm, trials=trials), {"a": list(range(30)), "b": list(range(7))})
    while proposal := proposer.propose():
        print(proposal)
        proposer.tell(proposal, (proposal.choices["a"] * 17 % 30 + proposal.choices["b"]) * 1.0, 1.0)
"""
    first, again = (in_a_new_process(script, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == again
    assert first.count("Proposal(") == 70 + 20 + 20
