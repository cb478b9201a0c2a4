"""Which score of a search predicts the final test efficiency? Rank correlations over trials that were trained in full.

    python benchmarks/estimator.py [--study search_spaces/trigger_regularizer.yaml] [--trials 48] [--max-epochs 15]
                                   [--output DIR] [--json FILE] [--markdown FILE]

Random points of a study are trained, all for the same number of epochs. Each one's last state is judged as a report
judges a network: threshold on validation background, signal efficiency at the headline target on test events.
Estimators see the journal's validation curves only: all of them, and as they were after a third and a ninth of the
epochs. Intervals (95 %) come from a bootstrap over trials. With --output, an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import stats

from fpgaml.dataset import Dataset
from fpgaml.environment import describe_environment, load_tensorflow
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.journal import JOURNAL, Journal
from fpgaml.ranking import score
from fpgaml.search import search
from fpgaml.study import Study
from fpgaml.trial import load_trial

STUDY = Path(__file__).parent.parent / "search_spaces" / "trigger_regularizer.yaml"
Curves = Mapping[str, Sequence[float]]
Floats = NDArray[np.float64]


def last_third(curve: Sequence[float]) -> float:
    """Mean over the last third of the epochs, at least one."""
    return float(np.mean(curve[-max(1, len(curve) // 3) :]))


LOG = "best epoch's accuracy"
"""What the log ranked by, and what the others are compared with."""

ESTIMATORS: Mapping[str, Callable[[Curves], float]] = {
    LOG: lambda curves: max(curves["val_accuracy"]),
    "last epoch's accuracy": lambda curves: curves["val_accuracy"][-1],
    "best epoch's efficiency": lambda curves: max(curves["signal_efficiency"]),
    "last epoch's efficiency": lambda curves: curves["signal_efficiency"][-1],
    "efficiency, mean of last third": lambda curves: last_third(curves["signal_efficiency"]),
    "fpgaml's score": lambda curves: score(curves, "signal_efficiency"),
    "last epoch's AUC": lambda curves: curves["val_auc"][-1],
    "last epoch's -loss": lambda curves: -curves["val_loss"][-1],
}
LENGTHS = {"all epochs": 1, "a third": 3, "a ninth": 9}


@dataclass(frozen=True)
class Trained:
    """A trial that was trained in full: its validation curves, and its test signal efficiency with the interval."""

    trial: str
    choices: Mapping[str, Any]
    batch_normalized: bool
    curves: Curves
    efficiency: float
    low: float
    high: float


def main() -> None:
    """Train, judge, and print which estimator orders trials as test events do."""
    options = _options()
    environment = describe_environment(seed=options.seed, command=" ".join(["python", *sys.argv]))
    print(f"{json.dumps(environment['machine'])}\n{json.dumps(environment['packages'])}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        output = options.output or Path(temporary)
        output.mkdir(parents=True, exist_ok=True)
        study = write_study(options, output)
        dataset = study.dataset()
        started = time.perf_counter()
        search(study, dataset, output, workers=options.workers)
        wall_s = time.perf_counter() - started
        trained = judge(study, dataset, output)
    print(f"{len(trained)} trials of {options.max_epochs} epochs, {wall_s:.0f} s", flush=True)
    results = [
        row
        for group, chosen in groups_of(trained).items()
        for length, divisor in LENGTHS.items()
        for row in compare(chosen, divisor, options, {"group": group, "epochs": length})
    ]
    print(table(results, "plain"))
    if options.markdown:
        options.markdown.write_text(table(results, "markdown") + "\n", encoding="utf-8")
    if options.json:
        trials = [{**vars(found), "curves": dict(found.curves)} for found in trained]
        content = {"environment": environment, "options": vars(options), "results": results, "trials": trials}
        options.json.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=STUDY, metavar="FILE")
    parser.add_argument("--trials", type=int, default=48, metavar="N")
    parser.add_argument("--max-epochs", type=int, default=15, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of the draw of points and of the bootstrap")
    parser.add_argument("--float-epochs", type=int, metavar="N", help="default: the study's")
    parser.add_argument("--workers", type=int, metavar="N", help="default: what the machine allows")
    for name, events in (("", (15_000, 45_000)), ("validation-", (10_000, 50_000)), ("test-", (25_000, 100_000))):
        parser.add_argument(f"--{name}signal", type=int, default=events[0], metavar="N", help="events; trigger task")
        parser.add_argument(
            f"--{name}background", type=int, default=events[1], metavar="N", help="events; trigger task"
        )
    parser.add_argument("--quick-pools", action="store_true", help="few Pythia events: for trying out, not for numbers")
    parser.add_argument("--bootstraps", type=int, default=1000, metavar="N")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keeps journal and states, and goes on from there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    return parser.parse_args()


def write_study(options: argparse.Namespace, output: Path) -> Study:
    """The study with a random search of the asked size, as a file in ``output``."""
    content = yaml.safe_load(options.study.read_text(encoding="utf-8"))
    if content["task"] == "trigger":
        content["data"] |= {
            f"n_{name}{kind}": getattr(options, f"{name}{kind}")
            for name in ("", "validation_", "test_")
            for kind in ("signal", "background")
        }
        if options.quick_pools:
            content["data"] |= {"n_soft_collisions": 3000, "n_hard_collisions": 4000, "n_signal_collisions": 1500}
    content["search"] = {
        "algorithm": "random",
        "trials": options.trials,
        "max_epochs": options.max_epochs,
        "seed": options.seed,
    }
    if options.float_epochs is not None:
        content["train"]["float_epochs"] = options.float_epochs
    path = output / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Study.load(path)


def judge(study: Study, dataset: Dataset, output: Path) -> list[Trained]:
    """Every finished trial with the test efficiency of its last state."""
    load_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of as many models as are judged
    events = Events.of(dataset)
    parts = {split: dataset.part(split).x for split in ("validation", "test")}
    trained = []
    for event in Journal(output / JOURNAL).read():
        if event["event"] != "finished":
            continue
        point = study.point(event["choices"])
        network = load_trial(point, output / "states" / event["trial"], event["epochs"])
        scores = Scores(**{split: network.predict(x)[:, 0] for split, x in parts.items()})
        found = evaluate(events, {"qkeras": scores}, study.targets[:1]).performance("qkeras").signal_efficiency
        normalized = point.architecture.batch_normalized
        interval = found.value, found.low, found.high
        trained.append(Trained(event["trial"], event["choices"], normalized, event["curves"], *interval))
    return trained


def groups_of(trained: Sequence[Trained]) -> dict[str, list[Trained]]:
    """All trials, and those with and without batch normalisation where there are enough of both."""
    groups = {
        "all": list(trained),
        "batch normalisation": [found for found in trained if found.batch_normalized],
        "none": [found for found in trained if not found.batch_normalized],
    }
    if min(map(len, groups.values())) < 4:
        del groups["batch normalisation"], groups["none"]
    return groups


def compare(
    trained: Sequence[Trained], divisor: int, options: argparse.Namespace, place: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One row per estimator, which sees the curves up to a ``divisor``-th of the epochs."""
    truth = np.array([found.efficiency for found in trained])
    epochs = max(1, options.max_epochs // divisor)
    seen = [{name: curve[:epochs] for name, curve in found.curves.items()} for found in trained]
    estimates = {name: np.array([estimate(c) for c in seen]) for name, estimate in ESTIMATORS.items()}
    # The same draws for all, so that differences are paired; the first is the sample itself.
    n_trials = len(trained)
    generator = np.random.default_rng(options.seed)
    draws = np.vstack([np.arange(n_trials), generator.integers(n_trials, size=(options.bootstraps, n_trials))])
    measured = {
        name: {
            "spearman": spearman(values[draws], truth[draws]),
            "kendall": kendall(values[draws], truth[draws]),
            "regret": regret(values[draws], truth[draws]),
        }
        for name, values in estimates.items()
    }
    rows = []
    for name, found in measured.items():
        row: dict[str, Any] = {**place, "seen_epochs": epochs, "trials": n_trials, "estimator": name}
        for measure, values in found.items():
            row[measure] = interval_of(values)
            row[f"{measure}_less_log"] = interval_of(values - measured[LOG][measure])
        row["favourite"] = trained[int(np.argmax(estimates[name]))].trial
        rows.append(row)
    return rows


def spearman(estimates: Floats, truth: Floats) -> Floats:
    """Spearman's ρ of every row, shape (n_draws,): the correlation of mean ranks. NaN where all values are the same."""
    ranks = [stats.rankdata(values, axis=1) for values in (estimates, truth)]
    return cosine(*(values - values.mean(axis=1, keepdims=True) for values in ranks))


def kendall(estimates: Floats, truth: Floats) -> Floats:
    """Kendall's τ_b of every row, shape (n_draws,): the correlation of the signs of all pairs' differences."""
    first, second = np.triu_indices(estimates.shape[1], k=1)
    return cosine(*(np.sign(values[:, first] - values[:, second]) for values in (estimates, truth)))


def cosine(one: Floats, other: Floats) -> Floats:
    """Of the angle between the rows."""
    norms = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    found: Floats = np.divide((one * other).sum(axis=1), norms, out=np.full(len(one), np.nan), where=norms > 0)
    return found


def regret(estimates: Floats, truth: Floats) -> Floats:
    """Test efficiency lost by taking each row's favourite instead of its best; equal favourites are averaged."""
    favourites = estimates == estimates.max(axis=1, keepdims=True)
    return np.asarray(truth.max(axis=1) - (truth * favourites).sum(axis=1) / favourites.sum(axis=1))


def interval_of(values: Floats) -> dict[str, float | None]:
    """The value of the sample, which is the first, and the central 95 % of the draws; None where it has no value."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist() if drawn.size else (None, None)
    return {"value": float(values[0]) if np.isfinite(values[0]) else None, "low": low, "high": high}


def table(results: Sequence[Mapping[str, Any]], style: str) -> str:
    """The results for people, or as Markdown for the documentation."""
    header = ["trials", "seen", "estimator", "Spearman ρ", "ρ less the log's", "Kendall τ", "regret"]
    measures = ("spearman", "spearman_less_log", "kendall", "regret")
    rows = [
        [
            f"{row['group']} ({row['trials']})",
            f"{row['epochs']} ({row['seen_epochs']})",
            row["estimator"],
            *(text_of(row[measure]) for measure in measures),
        ]
        for row in results
    ]
    if style == "markdown":
        return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])
    widths = [max(len(cells[column]) for cells in [header, *rows]) for column in range(len(header))]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(cells, widths, strict=True)) for cells in [header, *rows])


def text_of(found: Mapping[str, float | None]) -> str:
    """A value with its interval."""
    value, low, high = (found[name] for name in ("value", "low", "high"))
    return "–" if value is None or low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
