"""Deb's rule as an order and as one number: feasible trials first, by the objective; the others by what they miss."""

from __future__ import annotations

from functools import cmp_to_key
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_search import SECTIONS, events_of, outcome, searched, small_study, write_data

from fpgaml.candidates import Candidate, Training
from fpgaml.errors import StudyError
from fpgaml.logbook import logbook
from fpgaml.ranking import known_of, merit, missed_text, trial_score
from fpgaml.search_options import COSTS, ESTIMATES, SearchOptions, meets
from fpgaml.search_result import Evaluated, SearchResult
from fpgaml.storage import read_json
from fpgaml.study import Study
from fpgaml.winners import _ranked, train_winners

LIMITS = ("signal_efficiency >= 0.4", "parameters <= 100")
CURVES = ("val_accuracy", "val_auc", "val_loss", "signal_efficiency_smooth")


def event(trial: str, efficiency: float, ebops: float, parameters: int = 50, *, options: SearchOptions) -> dict:
    """A finished trial of six epochs whose last two have this efficiency."""
    curves = {name: [0.5] * 6 for name in CURVES} | {"signal_efficiency": [0.0] * 4 + [efficiency] * 2}
    cost = {"ebops": ebops, "parameters": parameters}
    found = {"event": "finished", "trial": trial, "choices": {}, "epochs": 6, "curves": curves, "cost": cost}
    found["score"] = trial_score(curves, options)
    found["merit"] = merit(found["score"], known_of(curves, cost, options), options)
    return found


@pytest.mark.parametrize("objective", COSTS + ESTIMATES)
def test_every_cost_is_an_objective_and_the_cost_of_the_front(objective):
    options = SearchOptions(objective=objective, limits=["auc >= 0.8"])
    assert (options.minimises_cost, options.feasible_first, options.metric) == (True, True, "auc")
    assert options.cost == objective
    assert options.predicted == ((objective,) if objective in ESTIMATES else ())
    assert SearchOptions(**options.model_dump(mode="json")) == options
    other = SearchOptions(objective=objective, limits=["auc >= 0.8"], cost="bops")
    assert (other.cost, SearchOptions(**other.model_dump(mode="json"))) == ("bops", other)


def test_searches_without_a_cost_or_a_metric_to_limit_are_what_they_were():
    options = SearchOptions(limits=["ebops <= 100", "lut <= 3"])
    assert (options.feasible_first, options.metric, options.cost) == (False, "signal_efficiency", "ebops")
    assert merit(0.25, {"ebops": 1000, "lut": 9}, options) == 0.25
    assert SearchOptions(limits=["val_loss < 0.5"]).feasible_first


def test_the_order_is_that_of_the_rule_written_out():
    """Against a comparison of pairs, as the rule is published, over random trials with many ties."""
    options = SearchOptions(objective="ebops", limits=LIMITS)
    generator = np.random.default_rng(1)
    trials = [
        event(f"{n:02}", generator.choice([0.3, 0.39, 0.4, 0.6]), int(generator.choice([0, 9, 99, 10**9])),
              int(generator.choice([10, 100, 150])), options=options)
        for n in range(60)
    ]  # fmt: skip

    def missed(found: dict) -> float:
        efficiency, parameters = found["curves"]["signal_efficiency"][-1], found["cost"]["parameters"]
        return max(0.0, 0.4 - efficiency) / 0.4 + max(0, parameters - 100) / 100

    def compared(one: dict, other: dict) -> int:
        ours, theirs = missed(one), missed(other)
        if ours or theirs:
            return int(np.sign(ours - theirs)) if abs(ours - theirs) > 1e-12 else 0
        return int(np.sign(one["cost"]["ebops"] - other["cost"]["ebops"]))

    ranked = SearchResult.of(trials, options, wall_s=0.0).trials
    by_id = {found["trial"]: found for found in trials}
    ordered = [by_id[found.trial] for found in ranked]
    rule = sorted(trials, key=cmp_to_key(compared))
    assert [compared(one, other) for one, other in zip(ordered, rule, strict=True)] == [0] * 60
    assert [found.feasible for found in ranked] == sorted((not missed(found) for found in trials), reverse=True)
    for one, other in pairwise(ranked):  # of equal costs, the better metric
        if one.feasible and other.feasible and one.cost["ebops"] == other.cost["ebops"]:
            assert one.score >= other.score


@pytest.mark.parametrize("objective", ["signal_efficiency", "accuracy", "auc", "val_loss", "ebops"])
def test_no_trial_that_misses_a_limit_ranks_as_one_that_keeps_all(objective):
    options = SearchOptions(objective=objective, limits=["signal_efficiency > 0.4"])
    worst = [-1e30, -41.0, 0.0] if objective == "val_loss" else [0.0, 1.0]
    costs = [{"ebops": value} for value in (0, 1e6, 1e11)]
    kept = [merit(value, {**cost, "signal_efficiency": 0.41}, options) for value in worst for cost in costs]
    missing = [
        merit(value, {**cost, "signal_efficiency": found}, options)
        for value in (-1e30, 0.0, 1.0)
        for cost in costs
        for found in (0.0, 0.399999, 0.4)
    ]
    assert min(kept) >= max(missing)
    assert merit(0.0, {"ebops": 10, "signal_efficiency": 0.41}, options) > max(missing)
    assert np.isfinite(kept + missing).all()


def test_a_bound_of_zero_is_missed_by_what_is_there():
    options = SearchOptions(objective="lut", limits=["auc >= 0.5", "dsp == 0"])
    some, more = (merit(0.6, {"auc": 0.6, "lut": 5, "dsp": dsp}, options) for dsp in (1, 3))
    assert more < some < merit(0.6, {"auc": 0.6, "lut": 5, "dsp": 0}, options)
    assert missed_text({"auc": 0.4, "lut": 5, "dsp": 3}, options) == "auc >= 0.5 (it has 0.4), dsp == 0 (it has 3)"


def test_a_limit_on_the_efficiency_is_about_the_target_itself_over_the_last_third():
    curves = {"signal_efficiency": [0.0, 0.0, 0.0, 0.0, 0.3, 0.5], "signal_efficiency_smooth": [0.9] * 6}
    options = SearchOptions(objective="ebops", limits=["signal_efficiency >= 0.4"])
    assert trial_score(curves, options) == 0.4
    assert known_of(curves, {"ebops": 3}, options) == {"ebops": 3, "signal_efficiency": 0.4}
    by_metric = SearchOptions(limits=["signal_efficiency >= 0.4"])
    assert trial_score(curves, by_metric) == pytest.approx(0.9)
    assert trial_score({"val_loss": [0.5]}, SearchOptions(objective="lut", limits=["val_loss <= 1"])) == -0.5


def test_the_logbook_and_the_result_say_what_was_minimised():
    options = SearchOptions(objective="ebops", limits=LIMITS)
    events = [event("cheap", 0.3, 10, options=options), event("good", 0.6, 90, options=options)]
    text = logbook(events, format="markdown", n=2, options=options)
    assert "The search minimises EBOPs with signal_efficiency >= 0.4, parameters <= 100." in text
    assert "| trial | epochs | EBOPs | limits kept | score (signal efficiency) |" in text
    assert text.index("| good | 6 | 90 | yes | 0.60000 |") < text.index("| cheap | 6 | 10 | no | 0.30000 |")
    found = SearchResult.of(events, options, wall_s=0.0)
    assert "best: good with EBOPs 90, signal_efficiency 0.6000" in str(found)
    assert "score (signal efficiency)" in found._repr_html_()
    assert {trial.trial for trial in found.front} == {"good", "cheap"}


def test_where_no_trial_keeps_the_limits_the_nearest_is_told():
    options = SearchOptions(objective="ebops", limits=LIMITS)
    events = [event("far", 0.1, 10, options=options), event("near", 0.39, 90, options=options)]
    found = SearchResult.of(events, options, wall_s=0.0)
    with pytest.raises(StudyError, match=r"near came nearest, .*signal_efficiency >= 0.4 \(it has 0.39\).*convert"):
        found.winners(1)
    assert "which no trial keeps" in str(found)


@pytest.mark.parametrize(
    ("section", "line", "told"),
    [
        ("objective: lut", 1, 'the objective lut alone .*limits: \\["signal_efficiency >= 0.4"\\]'),
        ("objective: lut\n  limits: [dsp == 0]", 1, "would choose the smallest network"),
        ("objective: luts", 2, "unknown objective 'luts'; did you mean 'lut'"),
        ("objective: lut\n  limits:\n    - signal_efficiency <= 0.4", 4, "higher, so a limit on it has >= or >"),
        ("objective: lut\n  limits:\n    - auc == 0.4", 4, "higher, so a limit on it has >= or >"),
        ("objective: lut\n  limits:\n    - val_loss >= 0.4", 4, "lower, so a limit on it has <= or <"),
        ("objective: lut\n  limits:\n    - accuracy >= 40", 4, "between 0 and 1, and 40 is not"),
        ("objective: lut\n  limits:\n    - efficiency >= 0.4", 4, "unknown cost or metric 'efficiency'"),
    ],
)
def test_what_cannot_be_searched_for_is_told_with_its_line(tmp_path, section, line, told):
    write_data(tmp_path)
    head = yaml.safe_dump({name: value for name, value in SECTIONS.items() if name != "search"})
    path = tmp_path / "study.yaml"
    path.write_text(f"{head}search:\n  {section}\n", encoding="utf-8")
    first = head.count("\n")
    with pytest.raises(StudyError, match=f"study.yaml:{first + line}: .*{told}"):
        Study.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("ranking")
    write_data(directory)
    return directory


def check_brute_force(output: Path, found: SearchResult, objective: str, bound: float) -> None:
    """That trials stand as a loop over the journal would have them; some keep the limit, and some do not."""
    longest = max(known["epochs"] for known in events_of(output, "finished"))
    ended = [known for known in events_of(output, "finished") if known["epochs"] == longest]
    late = slice(-max(1, longest // 3), None)
    efficiency = {known["trial"]: np.mean(known["curves"]["signal_efficiency"][late]) for known in ended}
    good = {known["trial"]: known["cost"][objective] for known in ended if efficiency[known["trial"]] >= bound}
    assert 0 < len(good) < len(ended)
    best = found.trials[0]
    assert (best.trial in good, best.cost[objective]) == (True, min(good.values()))
    assert min(known["cost"][objective] for known in ended) < best.cost[objective]  # the smallest is not good enough
    assert best.score == pytest.approx(efficiency[best.trial])


GRID = {"choices": {"bits": [[2, 0], [4, 1], [8, 2]], "units": [1, 4, 8]}}


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ebops", "lut"])
def test_the_winner_is_the_cheapest_that_keeps_the_limit(folder, objective):
    """Of all nine points, by a loop over the journal."""
    if objective == "lut":
        pytest.importorskip("da4ml")
    search = {"algorithm": "grid", "max_epochs": 3, "objective": objective, "limits": ["signal_efficiency >= 0.2"]}
    sections = {**GRID, "search": search, "hardware": {"backend": "rtl" if objective == "lut" else "vivado"}}
    found = searched(small_study(folder, f"cheapest_{objective}", **sections), folder / f"cheapest_{objective}")
    check_brute_force(folder / f"cheapest_{objective}", found, objective, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("promote", ["objective", "front"])
def test_hyperband_goes_on_with_what_keeps_the_limit_and_does_it_again(folder, promote):
    search = {"max_epochs": 3, "objective": "ebops", "limits": ["auc >= 0.75"], "promote": promote, "seed": 2}
    study = small_study(folder, f"hyperband_{promote}", **GRID, search=search)
    first = searched(study, folder / f"hyperband_{promote}_1")
    if promote == "objective":
        assert outcome(first) == outcome(searched(study, folder / f"hyperband_{promote}_2"))
    merits = [trial.merit for trial in first.trials if trial.epochs == first.trials[0].epochs]
    assert merits == sorted(merits, reverse=True)
    if promote == "objective":
        rounds = [known for known in events_of(folder / f"hyperband_{promote}_1", "finished") if known["epochs"] == 1]
        promoted = {known["trial"] for known in events_of(folder / f"hyperband_{promote}_1", "finished")
                    if known["from_epochs"] == 1}  # fmt: skip
        assert promoted == {known["trial"] for known in sorted(rounds, key=lambda k: -k["merit"])[: len(promoted)]}


def candidate(name: str, trainings: list[tuple[float, int]], options: SearchOptions) -> Candidate:
    """One with these signal efficiencies and EBOPs."""
    known = [({"signal_efficiency": efficiency}, {"ebops": ebops}) for efficiency, ebops in trainings]
    made = tuple(
        Training(seed, Path(name), *metrics.values(), cost, meets(options.limits, cost | metrics), metrics)
        for seed, (metrics, cost) in enumerate(known, 1)
    )
    return Candidate(name, name, {}, 0.5, made, {}, options)


def test_the_cheapest_training_that_keeps_the_limits_wins_if_the_mean_keeps_them_too():
    options = SearchOptions(objective="ebops", limits=["signal_efficiency >= 0.4", "ebops <= 100"])
    dear = candidate("dear", [(0.9, 90), (0.8, 80)], options)
    cheap = candidate("cheap", [(0.5, 30), (0.45, 40)], options)
    lucky = candidate("lucky", [(0.5, 10), (0.1, 10)], options)
    mixed = candidate("mixed", [(0.39, 20), (0.6, 25)], options)
    big = candidate("big", [(0.9, 101), (0.9, 102)], options)
    ranked = _ranked([dear, lucky, cheap, mixed, big])
    assert [found.trial for found in ranked] == ["mixed", "cheap", "dear", "lucky", "big"]
    assert (ranked[0].best.seed, dear.best.seed) == (2, 2)  # not the cheaper one, which misses the limit
    assert [found.eligible for found in ranked] == [True, True, True, False, False]
    with pytest.raises(StudyError, match=r"none of 1 keeps .*trial lucky came nearest: signal_efficiency 0.3000 over"):
        _ranked([lucky])
    with pytest.raises(StudyError, match=r"trial big came nearest: .*ebops 101 at least.*are kept in winners/"):
        _ranked([lucky, big])


def test_beside_a_metric_the_best_mean_wins_among_those_that_keep_the_limits():
    options = SearchOptions(objective="auc", limits=["signal_efficiency >= 0.4"])
    found = _ranked([candidate("low", [(0.45, 3)], options), candidate("high", [(0.6, 9)], options)])
    assert [ranked.trial for ranked in found] == ["high", "low"]


@pytest.mark.slow
def test_winners_are_judged_by_the_limits_when_trained_in_full(folder):
    def studied(bound: float) -> Study:
        limits = [f"signal_efficiency >= {bound}", "val_loss <= 5"]
        search = {"algorithm": "grid", "max_epochs": 1, "objective": "ebops", "limits": limits, "winner_seeds": [1, 2]}
        return small_study(folder, "winners", **GRID, search=search, train={"epochs": 3, "learning_rate": 0.01})

    points = [{"bits": [8, 2], "units": 8}, {"bits": [4, 1], "units": 4}, {"bits": [8, 2], "units": 4}]
    best = [Evaluated(f"trial{n}", point, 1, 0.5, {}, {}, feasible=True) for n, point in enumerate(points)]
    study = studied(0.1)
    output = folder / "afresh"
    output.mkdir()
    found = train_winners(study, best, study.dataset(), output, workers=1)
    cost = {c.trial: min(t.cost["ebops"] for t in c.trainings) for c in found.candidates}
    assert found.winner.trial == min(cost, key=cost.__getitem__) != "trial0"
    assert found.winner.best.cost["ebops"] == cost[found.winner.trial]
    told = found.to_json()
    assert (told["objective"], told["limits"]) == ("ebops", ["signal_efficiency >= 0.1", "val_loss <= 5"])
    for training in found.winner.trainings:  # the loss is that which the training has seen of the epoch that it kept
        history = read_json(training.directory / "history_qkeras.json")
        assert min(abs(training.metrics["val_loss"] - seen) for seen in history["val_loss"]) < 1e-5
        assert training.metrics["signal_efficiency"] == training.validation
    with pytest.raises(StudyError, match=r"none of 3 keeps the limits.*came nearest: signal_efficiency 0\.\d+ over"):
        train_winners(studied(1.0), best, study.dataset(), output, workers=1)
    assert len(list((output / "winners").glob("trial*/seed_*/scores.npz"))) == 6
