"""Runs side by side: the numbers are those of the comparison, the words say what they mean, unlike data are refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from hostile_text import EVIL, pictures
from test_report import TRIAL, write_run

from fpgaml import metrics
from fpgaml.cli import main
from fpgaml.compare_runs import compare_runs
from fpgaml.comparison import compare
from fpgaml.drawing import write
from fpgaml.errors import DataError, OutputError
from fpgaml.metrics import Target
from fpgaml.runs import load_run
from fpgaml.storage import read_json, write_json

WON = f"{TRIAL}000001"


def change(path, **values):
    write_json(path, read_json(path) | values)


def blurred(columns, noise, seed):
    """Scores of a network that sees less: those of another with noise on top."""
    generator = np.random.default_rng(seed)
    return {name: column + generator.normal(0, noise, len(column)) for name, column in columns.items()}


def another(run, directory, *, noise, ebops):
    """The same run with another network on the same events."""
    shutil.copytree(run, directory)
    trial = directory / "trials" / TRIAL
    with np.load(trial / "scores.npz") as kept:
        columns = dict(kept)
    np.savez(trial / "scores.npz", **blurred(columns, noise, 1))
    change(trial / "trained.json", cost={"parameters": 77, "ebops": ebops})
    shutil.rmtree(directory / "csim")
    return directory


def add_winners(directory, noises, *, seeds=(1, 2, 3)):
    """Winners with a blur each, the first of which is the run's network."""
    with np.load(directory / "trials" / TRIAL / "scores.npz") as kept:
        columns = {split: kept[f"qkeras_{split}"] for split in ("validation", "test")}
    candidates = []
    for number, (name, noise) in enumerate(noises.items()):
        for seed in seeds:
            place = directory / "winners" / name / f"seed_{seed}"
            place.mkdir(parents=True)
            np.savez(place / "scores.npz", **blurred(columns, noise, 10 * number + seed))
        trainings = [{"seed": seed, "validation": 0.7 + seed / 100, "within_limits": seed != 3} for seed in seeds]
        cost = {"ebops": 1_000 * (number + 1), "parameters": 50}
        failed = {"2": "it diverged"} if name == "failed" else {}
        candidates.append(
            {"trial": name, "choices": {"bits": [8, 2]}, "cost": cost, "failed": failed, "trainings": trainings}
        )
    won = {"trial": TRIAL, "search_trial": next(iter(noises)), "seed": seeds[0]}
    write_json(directory / "winners.json", {"winner": won, "winners": candidates})
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, one whose network is worse, and one with the very same network."""
    folder = tmp_path_factory.mktemp("runs")
    good = write_run(folder / "good")
    return good, another(good, folder / "blurred", noise=1.5, ebops=4_000_004), shutil.copytree(good, folder / "twin")


@pytest.fixture(scope="module")
def compared(runs):
    return compare_runs(runs, replicas=50)


@pytest.fixture(scope="module")
def seeded(runs, tmp_path_factory):
    """The same three, trained with five seeds each."""
    folder = tmp_path_factory.mktemp("seeded")
    blurs = {"good": 0.05, "blurred": 1.0, "twin": 0.05}
    places = [shutil.copytree(run, folder / name) for run, name in zip(runs, blurs, strict=True)]
    for place, noise in zip(places, blurs.values(), strict=True):
        add_winners(place, {WON: noise}, seeds=range(1, 6))
        # at 10 kHz a single soft event, of 58 kHz, would decide
        change(place / "dataset.json", targets=[{"kind": "rate_khz", "value": 750}])
    change(places[1] / "winners.json", winners=[{**winners(places[1])[0], "cost": {"ebops": 4_000}}])
    return compare_runs(places, replicas=200)


def winners(directory):
    return read_json(directory / "winners.json")["winners"]


def plain_efficiency(run, target):
    """Signal efficiency on test events at the threshold of validation, in as few words as can be."""
    events, scores = run.events, run.scores["qkeras"]
    validation = events.y[events.chosen("validation")] == 0
    columns = {name: getattr(events, name)[events.chosen("validation", signal=False)] for name in ("weights", "groups")}
    point = metrics.choose_working_point(
        scores.validation[validation], kind=target.kind, target=target.value, **columns
    )
    return float((scores.test[events.y[events.chosen("test")] == 1] >= point.threshold).mean())


def test_the_numbers_are_those_of_the_comparison_and_of_plain_counting(runs, compared):
    loaded = {name: load_run(path) for name, path in zip(("good", "blurred", "twin"), runs, strict=True)}
    scores = {name: [run.scores["qkeras"]] for name, run in loaded.items()}
    pairs = [("good", "blurred"), ("good", "twin"), ("blurred", "twin")]
    target = Target("rate_khz", 10.0)
    expected = compare(loaded["good"].events, scores, target, pairs=pairs, replicas=50)
    assert compared.comparison == expected
    assert compared.target == target
    for name, run in loaded.items():
        found = compared.comparison.means[name].signal_efficiency.value
        assert found == pytest.approx(plain_efficiency(run, target), abs=1e-12)


def test_a_difference_is_told_by_the_better_network_first(seeded):
    found = seeded.comparison.differences["good", "blurred"].signal_efficiency
    assert found.low > 0  # else the test says nothing
    interval = f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
    assert seeded.verdict("good", "blurred") == f"good is better than blurred by {interval}, with 0.25 times the EBOPs"
    # the other pair is (blurred, twin): the better comes second, and the interval is turned round
    turned = seeded.comparison.differences["blurred", "twin"].signal_efficiency
    interval = f"{-turned.value:.4f} ({-turned.high:.4f} to {-turned.low:.4f})"
    assert seeded.verdict("blurred", "twin").startswith(f"twin is better than blurred by {interval}, with ")


def test_the_same_network_is_compatible_with_itself(seeded):
    difference = seeded.comparison.differences["good", "twin"]
    found, smallest = difference.signal_efficiency, difference.smallest_visible
    assert found.value == 0
    assert found.low < 0 < found.high < smallest
    verdict = seeded.verdict("good", "twin")
    seen = f"a difference of {smallest:.4f} would have been seen"
    assert verdict.startswith(f"good and twin are statistically compatible; {seen}: good − twin is 0.0000 (-0.")
    assert verdict.endswith("; good has as many EBOPs")
    text = " ".join(seeded.markdown.split())
    assert "corrected for 3 pairs by Holm's method, with a chance of any false verdict of at most 5 %" in text


def test_one_training_each_has_no_verdict(compared):
    assert {found.told_apart for found in compared.comparison.differences.values()} == {None}
    assert compared.comparison.differences["good", "blurred"].signal_efficiency.low > 0  # however clear it looks
    assert compared.verdict("good", "blurred").startswith("No verdict with one training each: good − blurred is 0.")
    assert "there is no verdict" in " ".join(compared.markdown.split())
    assert "Holm" not in compared.markdown


def test_one_training_each_is_said_and_has_no_spread(compared):
    assert compared.seeds == ()
    assert "each stands for one training" in " ".join(compared.markdown.split())
    assert "spread over seeds" not in compared.markdown
    assert compared.to_json()["runs"][0]["spread"] is None


def test_the_table_has_costs_and_what_is_known_of_the_firmware(compared):
    (rows,) = [block for block in compared.markdown.split("\n\n") if block.startswith("|")]
    assert len({line.count("|") for line in rows.splitlines()}) == 1
    good, blurred, _ = rows.splitlines()[2:]
    assert good.startswith("| good | synthetic | bits: (8, 2) | 0.")
    assert good.endswith("| 1,000,001 | 1,234 | 0 words differ |")
    assert blurred.endswith("| 4,000,004 | 77 | not simulated |")


def test_everything_is_in_the_json(runs, compared):
    found = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert [run["name"] for run in found["runs"]] == ["good", "blurred", "twin"]
    assert [run["directory"] for run in found["runs"]] == [str(path) for path in runs]
    assert [run["cost"]["ebops"] for run in found["runs"]] == [1_000_001, 4_000_004, 1_000_001]
    assert [run["mismatches"] for run in found["runs"]] == [0, None, 0]
    assert found["target"] == {"kind": "rate_khz", "value": 10.0}
    pairs = [("good", "blurred"), ("good", "twin"), ("blurred", "twin")]
    assert [(one["first"], one["second"]) for one in found["differences"]] == pairs
    assert [one["told_apart"] for one in found["differences"]] == [None, None, None]
    assert [one["verdict"] for one in found["differences"]] == list(compared.verdicts)


def test_verdicts_are_in_the_json(seeded):
    found = json.loads(json.dumps(seeded.to_json(), allow_nan=False))
    assert found["level_apart"] == 0.95
    assert [one["told_apart"] for one in found["differences"]] == [True, False, True]
    assert all(one["smallest_visible"] > 0 for one in found["differences"])


def test_a_notebook_shows_verdicts_and_table(compared):
    shown = compared._repr_html_()
    assert all(
        text in shown for text in ("<strong>No verdict with one training each: good − blurred is", ">4,000,004</td>")
    )
    assert shown.count("<tr>") == 4


def test_the_figure_shows_the_differences(compared):
    axes = compared.figure()
    values = [found.signal_efficiency.value for found in compared.comparison.differences.values()]
    assert [container.lines[0].get_xdata()[0] for container in axes.containers] == values
    names = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert names == ["good − blurred", "good − twin", "blurred − twin"]
    assert axes.get_xlabel() == r"Difference in signal efficiency $\varepsilon_s$ at 10 kHz"


def test_winners_are_compared_over_the_seeds_that_they_share(runs, tmp_path):
    first = add_winners(shutil.copytree(runs[0], tmp_path / "a"), {WON: 0.0, "second": 1.5})
    other = add_winners(shutil.copytree(runs[0], tmp_path / "b"), {"else": 0.1}, seeds=(2, 3, 4))
    found = compare_runs([first, first / "winners" / "second", other], replicas=30)
    assert found.seeds == (2, 3)
    assert [run.name for run in found.runs] == ["a", "second", "b"]
    assert [run.trial for run in found.runs] == [WON, "second", "else"]
    assert [run.cost["ebops"] for run in found.runs] == [1_000, 2_000, 1_000]
    # a second place has not been converted
    assert [run.mismatches for run in found.runs] == [0, None, 0]
    for name in ("a", "second", "b"):
        mean = found.comparison.means[name]
        assert len(mean.per_seed) == 2
        assert mean.signal_efficiency.value == pytest.approx(np.mean(mean.per_seed))
    assert "trained with the seeds 2, 3, and its number is the mean over them" in " ".join(found.markdown.split())
    assert "| spread over seeds |" in found.markdown


def test_a_winner_against_a_run_without_search_is_the_training_that_won(runs, tmp_path):
    searched = add_winners(shutil.copytree(runs[0], tmp_path / "searched"), {WON: 0.5, "second": 1.5})
    plain_run = runs[1]
    by_directory = compare_runs([searched, plain_run], replicas=30)
    assert by_directory.seeds == ()
    won = np.load(searched / "winners" / WON / "seed_1" / "scores.npz")
    run = load_run(searched)
    signal = run.events.y[run.events.chosen("test")] == 1
    # the same by hand, with the scores of the seed that winners.json names
    chosen = run.events.chosen("validation", signal=False)
    at = metrics.choose_working_point(
        won["validation"][run.events.y[run.events.chosen("validation")] == 0],
        kind="rate_khz",
        target=10.0,
        weights=run.events.weights[chosen],
        groups=run.events.groups[chosen],
    ).threshold
    found = by_directory.comparison.means["searched"].signal_efficiency.value
    assert found == pytest.approx((won["test"][signal] >= at).mean(), abs=1e-12)
    # by its place among the trials, or among the winners, it is the same network
    for place in (searched / "trials" / TRIAL, searched / "winners" / WON):
        (mean, _) = compare_runs([place, plain_run], replicas=30).comparison.means.values()
        assert mean.signal_efficiency.value == found


def test_names_are_as_short_as_can_be(runs, tmp_path):
    paths = [shutil.copytree(runs[0], tmp_path / name / "run") for name in ("x", "y")]
    assert [run.name for run in compare_runs(paths, replicas=5).runs] == ["x/run", "y/run"]


def test_the_first_common_working_point_is_taken(runs, tmp_path):
    other = shutil.copytree(runs[0], tmp_path / "other")
    change(other / "dataset.json", targets=[{"kind": "rate_khz", "value": value} for value in (5, 100, 50)])
    assert compare_runs([runs[0], other], replicas=5).target == Target("rate_khz", 50.0)
    change(other / "dataset.json", targets=[{"kind": "rate_khz", "value": 5}])
    with pytest.raises(DataError, match=r"no working point in common: good 10 kHz, 50 kHz.*; other 5 kHz"):
        compare_runs([runs[0], other])


def test_runs_of_other_data_are_refused(runs, tmp_path):
    other = shutil.copytree(runs[0], tmp_path / "other")
    change(other / "dataset.json", sha256="cd" * 32)
    with pytest.raises(DataError, match=r"good and other were judged on different events.*abababababab and cdcdcd"):
        compare_runs([runs[0], other])
    smaller = write_run(tmp_path / "smaller", n_signal=300)  # whatever its sha256 says
    with pytest.raises(DataError, match="good and smaller were judged on different events"):
        compare_runs([runs[0], smaller])


def test_what_cannot_be_compared_is_named(runs, tmp_path):
    with pytest.raises(DataError, match="two runs or more, found 1"):
        compare_runs(runs[:1])
    with pytest.raises(DataError, match="good: is named twice"):
        compare_runs([runs[0], runs[1], runs[0] / "." / "trials" / ".."])
    with pytest.raises(OutputError, match="nowhere: no such directory"):
        compare_runs([runs[0], tmp_path / "nowhere"])
    with pytest.raises(OutputError, match="has no winners, only the network"):
        compare_runs([runs[0], runs[1] / "winners" / "second"])
    searched = add_winners(shutil.copytree(runs[0], tmp_path / "searched"), {WON: 0.5, "second": 1.5, "failed": 1.0})
    with pytest.raises(OutputError, match="no winner 'secnd'; did you mean 'second'"):
        compare_runs([runs[0], searched / "winners" / "secnd"])
    with pytest.raises(OutputError, match="failed: failed with seed 2"):
        compare_runs([runs[0], searched / "winners" / "failed"])


def test_the_command_prints_text_or_json_and_draws(runs, tmp_path, capsys):
    arguments = ["compare", *map(str, runs[:2])]
    picture = tmp_path / "difference.png"
    assert main([*arguments, "--figure", str(picture)]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "-"))) <= 120
    assert text.startswith(
        "# good and blurred at 10 kHz\n\n- **No verdict with one training each: good − blurred is 0."
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert re.sub("^- ", "", f"**{found['differences'][0]['verdict']}.**") in text


def test_the_command_refuses_before_it_works(runs, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["compare", *map(str, runs[:2]), "--figure", str(tmp_path / "difference.jpg")])
    assert left.value.code == 2
    assert "should end in .png or .pdf" in capsys.readouterr().err
    assert main(["compare", str(runs[0])]) == 2
    assert capsys.readouterr().err == "fpgaml: a comparison needs two runs or more, found 1\n"


def test_names_of_folders_are_only_names(runs, tmp_path):
    evil = [shutil.copytree(run, tmp_path / f"{number} {EVIL.replace('/', '')}") for number, run in enumerate(runs[:2])]
    found = compare_runs(evil, replicas=20)
    assert pictures(found.markdown) == []
    assert "<script>" not in found._repr_html_()
    write(found.figure(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
