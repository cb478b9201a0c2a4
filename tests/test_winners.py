"""The best trials of a search trained with several seeds: what wins, what is kept, and that nothing is done twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzz.kills import STAGES, How, Reference, can_mount, check_plan
from fuzz.run_content import content_of
from small_study import STUDY, snapshot, write_study

from fpgaml.cli import main
from fpgaml.errors import StudyError
from fpgaml.events import Events
from fpgaml.metrics import choose_working_point
from fpgaml.pipeline import convert_stage, csim_stage, report_stage, run
from fpgaml.search_result import Evaluated
from fpgaml.storage import read_json
from fpgaml.study import Study
from fpgaml.winners import train_winners

pytestmark = pytest.mark.slow

SEEDS = (1, 2)
TRIALS = [{"units": 2, "rate": 0.01}, {"units": 4, "rate": 0.02}, {"units": 6, "rate": 0.02}]
LAYERS = STUDY.replace("units: 4", "units: $units").replace("learning_rate: 0.01", "learning_rate: $rate")
SEARCH = "search: {max_epochs: 2, winners: 2, winner_seeds: [1, 2]}\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a study of three trials that has been run whole into ``output``. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("winners")
    study = Study.load(write_study(folder, f"{LAYERS}trials: {json.dumps(TRIALS)}\n{SEARCH}"))
    run(study, folder / "output", workers=1)
    return folder


@pytest.fixture
def study(finished) -> Study:
    return Study.load(finished / "study.yaml")


@pytest.fixture
def output(finished, tmp_path) -> Path:
    """A copy of the finished run, free to be changed."""
    return shutil.copytree(finished / "output", tmp_path / "output")


def efficiency(events: Events, scores: np.lib.npyio.NpzFile, split: str) -> float:
    """Signal efficiency of a split at the headline target, the slow and obvious way."""
    validation = events.y[events.chosen("validation")] == 0
    point = choose_working_point(scores["validation"][validation], kind="background_efficiency", target=0.1)
    signal = events.y[events.chosen(split)] == 1
    return float((scores[split][signal] >= point.threshold).mean())


def test_the_best_mean_on_validation_wins_and_its_best_seed_is_converted(finished):
    output, facts = finished / "output", read_json(finished / "output" / "winners.json")
    events = Events.load(output / "events.npz")
    assert len(facts["winners"]) == 2
    for candidate in facts["winners"]:
        kept = [np.load(output / "winners" / candidate["trial"] / f"seed_{seed}" / "scores.npz") for seed in SEEDS]
        validation = [efficiency(events, scores, "validation") for scores in kept]
        assert [found["validation"] for found in candidate["trainings"]] == pytest.approx(validation)
        assert candidate["validation"] == pytest.approx(np.mean(validation))
        tested = [efficiency(events, scores, "test") for scores in kept]
        assert candidate["test"]["per_seed"] == pytest.approx(tested)
        assert candidate["test"]["spread"] == pytest.approx(np.std(tested, ddof=1))
    first, second = facts["winners"]
    assert first["validation"] >= second["validation"]
    assert facts["winner"]["search_trial"] == first["trial"]
    best = max(first["trainings"], key=lambda found: found["validation"])
    assert facts["winner"]["seed"] == best["seed"]

    won, source = output / "trials" / facts["winner"]["trial"], output / "winners" / first["trial"]
    for name, origin in (("qkeras", f"seed_{best['seed']}"), ("float", f"float_seed_{best['seed']}")):
        ours, theirs = (np.load(place / f"weights_{name}.npz") for place in (won, source / origin))
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours.files)
        scores = np.load(source / origin / "scores.npz")
        assert np.array_equal(np.load(won / "scores.npz")[f"{name}_test"], scores["test"])
    assert read_json(won / "trained.json")["seed"] == best["seed"]
    assert read_json(output / "csim" / f"{won.name}.json")["mismatches"] == 0


def test_differences_are_those_of_the_means(finished):
    facts = read_json(finished / "output" / "winners.json")
    first, second = facts["winners"]
    assert first["difference_to_winner"] is None
    means = [found["test"]["signal_efficiency"]["value"] for found in (first, second)]
    assert second["difference_to_winner"]["value"] == pytest.approx(means[1] - means[0])
    twin = facts["float_twin"]
    assert twin["failed"] == {}
    difference = means[0] - twin["signal_efficiency"]["value"]
    assert twin["qkeras_minus_float"]["value"] == pytest.approx(difference)


def test_summary_report_and_search_tell_of_it(finished):
    output = finished / "output"
    facts, summary = read_json(output / "winners.json"), read_json(output / "summary.json")
    assert summary["winners"] == facts["winners"]
    assert summary["winner"]["trial"] == facts["winner"]["trial"]
    assert summary["search"]["trials"] == 3
    found = read_json(output / "search.json")
    ebops = [trial["cost"]["ebops"] for trial in found["pareto_front"]]
    scores = [trial["score"] for trial in found["pareto_front"]]
    assert ebops == sorted(ebops)
    assert scores == sorted(scores)
    assert [trial["choices"] in TRIALS for trial in found["pareto_front"]] == [True] * len(ebops)
    text = (output / "report.md").read_text(encoding="utf-8")
    for part in ("## Search", "### Pareto front", "## Winners", "figures/pareto_front.png", "with the seeds 1, 2"):
        assert part in text
    assert (output / "figures" / "pareto_front.pdf").exists()


def test_a_finished_run_looks_at_no_data(study, output, monkeypatch):
    def loaded(*_arguments, **_options):
        raise AssertionError("the data were loaded")

    monkeypatch.setattr(Study, "dataset", loaded)
    before = snapshot(output)
    run(study, output)
    after = snapshot(output)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert all(name.startswith(("report.html", "report.md", "summary.json", "figures/")) for name in changed)


def test_interrupted_in_late_stages_it_comes_to_the_same_and_does_nothing_twice(finished, tmp_path):
    """From the winners on; earlier stages are in the tests of the search, and a single network's in those of a run."""
    image = tmp_path / "image"
    shutil.copytree(finished / "output", image / "output")
    later = ("winners", "winners.json", "trials", "hls_projects", "csim", "figures", "report.*", "summary.json")
    for path in [path for pattern in later for path in (image / "output").glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    stages, first = {stage.name: stage for stage in STAGES}, "winners: later trainings"
    reference = Reference(
        study=finished / "study.yaml",
        cache=tmp_path,
        content=content_of(finished / "output"),
        used_s=dict.fromkeys(stages, 0.0),  # a signal comes where its stage begins
        images={first: image},
    )
    hows: dict[str, How] = {
        first: "kill main",
        "csim: compilation": "terminate",
        "hand-over": "full disk" if can_mount() else "interrupt",  # only root may mount, and not in every container
        "report: figures": "kill",
    }
    outcomes = check_plan(reference, tmp_path / "run", [(stages[name], 0.0, how) for name, how in hows.items()])
    assert [outcome.wrong for outcome in outcomes] == [()] * len(hows)
    assert [outcome.happened for outcome in outcomes] == [True] * len(hows)
    assert ("/hls_projects/" in outcomes[2].message) == (outcomes[2].how == "full disk")


def test_any_trial_is_converted_by_its_id(capsys, finished, output):
    facts, found = read_json(output / "winners.json"), read_json(output / "search.json")
    (trial,) = set(found["compared"]["trials"]) - {candidate["trial"] for candidate in facts["winners"]}
    assert main(["csim", str(output), "--trial", trial]) == 2
    assert f"`fpgaml convert {output} --trial {trial}` does" in capsys.readouterr().err
    assert convert_stage(output, trial=trial).directory.name == trial
    agreement = csim_stage(output, trial=trial)
    assert (agreement["events"], agreement["mismatches"]) == (120, 0)
    report = report_stage(output, trial=trial)
    assert report.directory == output / "reports" / trial
    assert report.summary["winner"]["trial"] == trial
    assert f"This report is of trial `{trial}`" in report.markdown
    assert "](figures/pareto_front.png)" in report.markdown
    theirs = (finished / "output" / "report.md").read_text(encoding="utf-8")
    assert (output / "report.md").read_text(encoding="utf-8") == theirs  # that of the winner stays

    assert main(["convert", str(output), "--trial", facts["winner"]["trial"]]) == 0
    capsys.readouterr()
    for command in ("convert", "csim", "report"):
        assert main([command, str(output), "--trial", trial[:-1] + "x"]) == 2
        assert f"no finished trial '{trial[:-1]}x'; did you mean '{trial}'?" in capsys.readouterr().err


def test_a_search_without_winner_says_so(capsys, output):
    (output / "winners.json").unlink()
    for command in ("convert", "csim", "report"):
        assert main([command, str(output)]) == 2
        assert "has no winner yet. `fpgaml run STUDY" in capsys.readouterr().err
    trial = read_json(output / "search.json")["best"]
    (output / "search.json").unlink()
    assert main(["convert", str(output), "--trial", trial]) == 2
    assert "its search has not ended" in capsys.readouterr().err


def test_a_candidate_that_fails_with_a_seed_cannot_win(tmp_path):
    # Weights and activations are clipped, so only the scale of a batch normalisation can run away.
    text = LAYERS.replace("  - {kind: relu", "  - {kind: batchnorm}\n  - {kind: relu", 1)
    trials = [{"units": 4, "rate": 1e38}, {"units": 4, "rate": 0.01}]
    study = Study.load(write_study(tmp_path, f"{text}trials: {json.dumps(trials)}\n{SEARCH}"))
    best = [Evaluated(f"trial{n}", choices, 2, 1.0 - n, {}, {}, feasible=True) for n, choices in enumerate(trials)]
    found = train_winners(study, best, study.dataset(), tmp_path, workers=1)
    assert [candidate.trial for candidate in found.candidates] == ["trial1", "trial0"]
    out = found.to_json()["winners"][1]
    assert set(out["failed"]) == {"1", "2"}
    assert "learning_rate" in out["failed"]["1"]
    assert (out["eligible"], out["test"], out["difference_to_winner"]) == (False, None, None)


def test_limits_hold_for_what_was_trained_afresh(study, output):
    facts = read_json(output / "winners.json")
    best = [Evaluated(c["trial"], c["choices"], 2, c["score"], {}, {}, feasible=True) for c in facts["winners"]]

    def limited(bound: int) -> Study:
        return replace(study, search=study.search.model_copy(update={"limits": (f"ebops <= {bound}",)}))

    cheapest = {c["trial"]: min(found["ebops"] for found in c["trainings"]) for c in facts["winners"]}
    trial = min(cheapest, key=cheapest.__getitem__)
    assert max(cheapest.values()) > cheapest[trial]
    found = train_winners(limited(cheapest[trial]), best, study.dataset(), output, workers=1)
    assert found.winner.trial == trial
    assert found.winner.best.cost["ebops"] == cheapest[trial]
    assert [candidate.eligible for candidate in found.candidates] == [True, False]
    with pytest.raises(StudyError, match="none of 2 keeps the limits"):
        train_winners(limited(1), best, study.dataset(), output, workers=1)
