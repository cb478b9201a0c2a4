"""A search two ways in one go: plain Keras-Tuner with QKeras, as their documentation shows it, and fpgaml.

    python benchmarks/search.py [--signal 10000] [--background 30000] [--repeats 3] [--max-epochs 9] [--json FILE]

Both search the space of search_spaces/trigger_dropout.yaml with Hyperband, on the same arrays, with the same epochs and
seeds, each in a process of its own; which one comes first alternates. The clock starts with the process, and reading
the arrays does not count. Both are judged by the same yardstick: every trial that was trained in full is rebuilt as
fpgaml's exact model, its threshold is set on validation background, and its signal efficiency counted on test events.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import yaml
from scipy import stats

from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.environment import describe_environment, load_tensorflow
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.journal import Journal
from fpgaml.pareto import hypervolume, pareto_front
from fpgaml.study import Study
from fpgaml.train import TrainedModel
from fpgaml.trial import load_trial
from fpgaml.workers import default_workers

STUDY = Path(__file__).parent.parent / "search_spaces" / "trigger_dropout.yaml"
SIDES = ("keras_tuner", "fpgaml")
PARTS = ("building", "tracing", "training", "validation", "saving", "between trials")
"""Where Keras-Tuner spends its time; loading a promoted trial's weights is part of building."""

CHECKED = 1000
"""Validation events on which Keras' scores are compared with those of the rebuilt network."""


@dataclass(frozen=True)
class Judged:
    """A trial that was trained in full, judged: its test signal efficiency with an interval, and its EBOPs."""

    trial: str
    choices: Mapping[str, Any]
    efficiency: float
    low: float
    high: float
    ebops: int


def main() -> None:
    """Run both as often as asked for, and print who was faster and who found what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, events in (("", (10_000, 30_000)), ("validation-", (10_000, 30_000)), ("test-", (25_000, 100_000))):
        parser.add_argument(f"--{name}signal", type=int, default=events[0], metavar="N")
        parser.add_argument(f"--{name}background", type=int, default=events[1], metavar="N")
    parser.add_argument("--max-epochs", type=int, default=9, metavar="N")
    parser.add_argument("--factor", type=int, default=3, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="with the seeds 1 to N")
    parser.add_argument("--fpgaml-max-epochs", type=int, metavar="N", help="fpgaml's own schedule; default: the same")
    parser.add_argument("--float-epochs", type=int, default=0, metavar="N", help="of fpgaml, and counted")
    parser.add_argument("--patience", type=int, metavar="N", help="Keras-Tuner with EarlyStopping on val_loss")
    parser.add_argument("--quick-pools", action="store_true", help="few Pythia events: for trying out, not for numbers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        search_with = search_with_keras_tuner if options.side == "keras_tuner" else search_with_fpgaml
        found = search_with(options.folder, started=options.started)
        (options.folder / f"{options.side}.json").write_text(json.dumps(found), encoding="utf-8")
        return

    environment = describe_environment(seed=1, command=" ".join(["python", "benchmarks/search.py", *sys.argv[1:]]))
    print(f"{json.dumps(environment['machine'])}\n{json.dumps(environment['packages'])}")
    repeats = []
    with tempfile.TemporaryDirectory() as directory:
        folders = prepare(options, Path(directory))
        dataset = read_dataset(folders[0].parent)
        print(f"{describe(dataset)}; {Study.load(folders[0] / 'fpgaml.yaml').n_points} points", flush=True)
        for number, folder in enumerate(folders):
            for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                run_side(side, folder)
            repeats.append(judge(folder, dataset))
            print(text_of(number + 1, repeats[-1]), flush=True)
    summary = summarize(repeats)
    print(text_of_summary(summary))
    if options.json:
        content = {"environment": environment, "options": vars(options), "repeats": repeats, "summary": summary}
        options.json.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")


def prepare(options: argparse.Namespace, directory: Path) -> list[Path]:
    """Make the data, and a folder with the study for every repeat."""
    content = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    content["data"] |= {
        f"n_{name}{kind}": getattr(options, f"{name}{kind}")
        for name in ("", "validation_", "test_")
        for kind in ("signal", "background")
    }
    if options.quick_pools:
        content["data"] |= {"n_soft_collisions": 3000, "n_hard_collisions": 4000, "n_signal_collisions": 1500}
    content["search"] |= {"algorithm": "hyperband", "factor": options.factor, "training_fraction": 1.0}
    folders = []
    for seed in range(1, options.repeats + 1):
        content["train"]["seed"] = content["search"]["seed"] = seed
        folder = directory / f"repeat_{seed}"
        folder.mkdir()
        for side, max_epochs, float_epochs in (
            ("keras_tuner", options.max_epochs, 0),
            ("fpgaml", options.fpgaml_max_epochs or options.max_epochs, options.float_epochs),
        ):
            content["search"]["max_epochs"], content["train"]["float_epochs"] = max_epochs, float_epochs
            (folder / f"{side}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        (folder / "options.json").write_text(json.dumps({"patience": options.patience}), encoding="utf-8")
        folders.append(folder)
    dataset = Study.load(folders[0] / "fpgaml.yaml").dataset()
    columns = {name: column for name, column in dataset.columns().items() if not name.startswith("quantities.")}
    np.savez(directory / "data.npz", rate_khz=np.array(dataset.rate_khz), **columns)
    return folders


def read_dataset(directory: Path) -> Dataset:
    """What ``prepare`` wrote."""
    with np.load(directory / "data.npz") as archive:
        columns = {name: archive[name] for name in archive.files}
    return Dataset(rate_khz=float(columns.pop("rate_khz")), **columns)


def describe(dataset: Dataset) -> str:
    """How many events there are."""
    parts = {split: dataset.part(split) for split in ("train", "validation", "test")}
    return ", ".join(f"{name}: {(p.y == 1).sum()} + {(p.y == 0).sum()} events" for name, p in parts.items())


def run_side(side: str, folder: Path) -> None:
    """Search in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--started", str(time.monotonic())]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{side} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")


def search_with_fpgaml(folder: Path, *, started: float) -> dict[str, Any]:
    """``fpgaml search`` as it is, with as many workers as it takes by itself."""
    from fpgaml.search import search

    reading = time.monotonic()
    dataset = read_dataset(folder.parent)
    started += time.monotonic() - reading
    study = Study.load(folder / "fpgaml.yaml")
    workers = default_workers(dataset)
    start_s = time.monotonic() - started
    result = search(study, dataset, folder / "fpgaml")
    wall_s = time.monotonic() - started
    full = [trial.trial for trial in result.trials if trial.epochs == study.search.max_epochs]
    return {"wall_s": wall_s, "start_s": start_s, "full": full, "first": result.trials[0].trial, "workers": workers}


def search_with_keras_tuner(folder: Path, *, started: float) -> dict[str, Any]:
    """Hyperband of https://keras.io/keras_tuner with layers of https://github.com/google/qkeras; default threads.

    The data is an argument of ``search``, the objective the accuracy on validation data. Where the time goes is taken
    by a callback and around the function that builds.
    """
    reading = time.monotonic()
    dataset = read_dataset(folder.parent)
    training, validation = dataset.part("train"), dataset.part("validation")
    train_weights, validation_weights = training.loss_weights, validation.loss_weights
    study = Study.load(folder / "keras_tuner.yaml")
    started += time.monotonic() - reading

    import keras
    import keras_tuner

    options = study.search
    point = study.point(next(iter(study.grid())))
    patience = json.loads((folder / "options.json").read_text(encoding="utf-8"))["patience"]
    keras.utils.set_random_seed(point.train.seed)
    watch = stopwatch()
    start_s = time.monotonic() - started
    tuner = keras_tuner.Hyperband(
        watch.around(model_builder(study.choices, dataset.input_shape, point.train.learning_rate)),
        objective="val_accuracy",
        max_epochs=options.max_epochs,
        factor=options.factor,
        seed=oracle_seed(options.seed),
        directory=folder,
        project_name="keras_tuner",
    )
    stop = [] if patience is None else [keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience)]
    tuner.search(
        training.x,
        training.y[:, None],
        sample_weight=train_weights,
        validation_data=(validation.x, validation.y[:, None], validation_weights),
        epochs=options.max_epochs,
        batch_size=point.train.batch_size,
        callbacks=[watch, *stop],
        verbose=0,
    )
    wall_s, times, epochs = time.monotonic() - started, dict(watch.times), watch.epochs
    ranked = tuner.oracle.get_best_trials(len(tuner.oracle.trials))
    full = [trial for trial in ranked if trial.hyperparameters.get("tuner/epochs") == options.max_epochs]
    for trial in {trial.trial_id: trial for trial in (ranked[0], *full)}.values():
        model = tuner.load_model(trial)
        scores = model.predict(validation.x[:CHECKED], verbose=0)[:, 0]
        arrays = {f"array_{n}": np.array(weight) for n, weight in enumerate(model.get_weights())}
        np.savez(folder / f"keras_tuner_{trial.trial_id}.npz", scores=scores, **arrays)
    choices = {trial.trial_id: chosen(trial.hyperparameters.values, study.choices) for trial in ranked}
    return {
        "wall_s": wall_s,
        "full": [trial.trial_id for trial in full],
        "first": ranked[0].trial_id,
        "choices": choices,
        "epochs": epochs,
        "times": {"start": start_s, **times, "rest": wall_s - start_s - sum(times.values())},
    }


def oracle_seed(seed: int) -> int:
    """What fpgaml hands to Keras-Tuner's oracle for a seed: so both draw the same points, and have the same luck.

    How many points are the same in the end is printed; it would be few if fpgaml did it in another way.
    """
    import hashlib

    return 1 + int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]) % (2**32 - 1)


def model_builder(choices: Mapping[str, Sequence[Any]], shape: tuple[int, ...], learning_rate: float) -> Any:
    """The function that Keras-Tuner calls for every trial: the network of the study, in QKeras' own layers."""
    import keras
    from keras.layers import Dropout, Flatten, MaxPooling2D
    from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu

    def build(hp: Any) -> Any:
        # Keras-Tuner chooses among numbers and texts, not among pairs
        value = chosen({name: hp.Choice(name, offered(values)) for name, values in choices.items()}, choices)

        def quantizers() -> dict[str, Any]:
            names = ("kernel_quantizer", "bias_quantizer")
            return {name: quantized_bits(*value["bits"], alpha=1) for name in names}

        model = keras.Sequential(
            [
                keras.Input(shape),
                QActivation(quantized_relu(12, 4)),
                QConv2D(value["filters_1"], 3, **quantizers()),
                QActivation(quantized_relu(*value["act_bits"])),
                MaxPooling2D(2),
                QConv2D(value["filters_2"], 3, **quantizers()),
                QActivation(quantized_relu(*value["act_bits"])),
                MaxPooling2D(2),
                Flatten(),
                QDense(64, **quantizers()),
                QActivation(quantized_relu(*value["act_bits"])),
                Dropout(value["dropout"]),
                QDense(1, **quantizers()),
            ]
        )
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate),
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
        )
        return model

    return build


def offered(values: Sequence[Any]) -> list[Any]:
    """Values as Keras-Tuner takes them: lists as texts."""
    return [str(value) if isinstance(value, list) else value for value in values]


def chosen(values: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Values of the study for values of Keras-Tuner."""
    return {name: given[offered(given).index(values[name])] for name, given in choices.items()}


def stopwatch() -> Any:
    """A callback that adds up where ``fit`` spends its time.

    ``tracing`` is how much longer the first batch takes than the others do. Beginnings of batches suffice: a callback
    that waits for their ends would make Keras wait, too.
    """
    import keras

    class Stopwatch(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times = dict.fromkeys(PARTS, 0.0)
            self.epochs = 0
            self._new = {"training": True, "validation": True}  # its graph is not traced
            self._since = time.perf_counter()
            self._begun = self._first = self._second = 0.0
            self._batches = 0

        def __deepcopy__(self, memory: Any) -> Stopwatch:
            """Keras-Tuner copies callbacks for each trial; there is one watch."""
            return self

        def around(self, build: Any) -> Any:
            """``build``, from whose call on time counts as building, until ``fit`` begins its first epoch."""

            def timed(hp: Any) -> Any:
                self._lap("between trials")
                return build(hp)

            return timed

        def on_train_begin(self, logs: Any = None) -> None:
            self._lap("building")
            self._new = {"training": True, "validation": True}

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._lap("saving")
            self.epochs += 1
            self._begin()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self._batch()

        def on_test_begin(self, logs: Any = None) -> None:
            self._end("training")
            self._begin()

        def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
            self._batch()

        def on_test_end(self, logs: Any = None) -> None:
            self._end("validation")
            self._since = time.perf_counter()  # callbacks come next, and Keras-Tuner's last one saves the best epoch

        def on_train_end(self, logs: Any = None) -> None:
            self._lap("saving")

        def _lap(self, part: str) -> None:
            now = time.perf_counter()
            self.times[part] += now - self._since
            self._since = now

        def _begin(self) -> None:
            self._begun, self._batches = time.perf_counter(), 0

        def _batch(self) -> None:
            self._batches += 1
            if self._batches == 1:
                self._first = time.perf_counter()
            elif self._batches == 2:
                self._second = time.perf_counter()

        def _end(self, part: str) -> None:
            now = time.perf_counter()
            tracing = 0.0
            if self._new[part] and self._batches > 1:
                other = (now - self._second) / (self._batches - 1)
                tracing = max(0.0, self._second - self._first - other)
                self._new[part] = False
            self.times["tracing"] += tracing
            self.times[part] += now - self._begun - tracing

    return Stopwatch()


def judge(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Both sides of one repeat by the same yardstick."""
    load_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of as many models as are judged
    study = Study.load(folder / "fpgaml.yaml")
    found = {side: json.loads((folder / f"{side}.json").read_text(encoding="utf-8")) for side in SIDES}
    journal = Journal(folder / "fpgaml" / "journal.jsonl").read()
    last = last_events(journal)
    found["fpgaml"]["choices"] = {trial: event["choices"] for trial, event in last.items()}
    found["fpgaml"] |= spent_by_fpgaml(journal, found["fpgaml"])
    for side in SIDES:
        names = dict.fromkeys([found[side]["first"], *found[side]["full"]])
        rebuild = rebuilt_keras_tuner if side == "keras_tuner" else rebuilt_fpgaml
        judged = {
            name: worth(rebuild(study, folder, name, found[side]["choices"][name], dataset), name, study, dataset)
            for name in names
        }
        found[side]["ranked_first"] = asdict(judged[found[side]["first"]])
        found[side]["judged"] = [asdict(judged[name]) for name in found[side]["full"]]
    points = [{json.dumps(values) for values in found[side]["choices"].values()} for side in SIDES]
    every = [trial for side in SIDES for trial in found[side]["judged"]]
    reference = (min(trial["efficiency"] for trial in every), max(trial["ebops"] for trial in every))
    # what one network would cover that is as good as the best and as cheap as the cheapest
    ideal = (max(t["efficiency"] for t in every) - reference[0]) * (reference[1] - min(t["ebops"] for t in every))
    for side in SIDES:
        efficiencies = [trial["efficiency"] for trial in found[side]["judged"]]
        costs = [trial["ebops"] for trial in found[side]["judged"]]
        covered = hypervolume(efficiencies, costs, reference)
        found[side] |= {
            "front": [found[side]["judged"][position]["trial"] for position in pareto_front(efficiencies, costs)],
            "best_efficiency": max(efficiencies),
            "hypervolume": covered,
            "hypervolume_fraction": covered / ideal if ideal else 0.0,
        }
    return {**found, "reference": reference, "points": [*map(len, points)], "same_points": len(points[0] & points[1])}


def last_events(journal: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What is known of every trial after its most epochs."""
    finished = sorted((event for event in journal if event["event"] == "finished"), key=lambda event: event["epochs"])
    return {event["trial"]: event for event in finished}


def rebuilt_fpgaml(study: Study, folder: Path, trial: str, choices: Mapping[str, Any], _: Dataset) -> TrainedModel:
    """A trial's network as its last saved state has it."""
    return load_trial(study.point(choices), folder / "fpgaml" / "states" / trial)


def rebuilt_keras_tuner(
    study: Study, folder: Path, trial: str, choices: Mapping[str, Any], dataset: Dataset
) -> TrainedModel:
    """A trial's network with the weights that Keras-Tuner kept: those of its best epoch."""
    architecture = study.architecture(choices)
    with np.load(folder / f"keras_tuner_{trial}.npz") as saved:
        scores, arrays = saved["scores"], [saved[name] for name in saved.files if name != "scores"]
    arithmetic = [step.name for step in architecture.steps if step.layer.role == "arithmetic"]
    arrays = [array for array in arrays if array.dtype.kind == "f"]  # others are seeds
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    weights = {name: {"kernel": k, "bias": b} for name, (k, b) in zip(arithmetic, pairs, strict=True)}
    trained = TrainedModel(architecture, weights)
    # Keras computes in float32: now and then a sum that lies between two words is rounded to the other one
    other = np.abs(trained.predict(dataset.part("validation").x[:CHECKED])[:, 0] - scores) > 1e-4
    if other.mean() > 0.02:
        raise SystemExit(f"{choices}: Keras and fpgaml differ in {other.sum()} of {len(other)} events: not one network")
    return trained


def worth(trained: TrainedModel, trial: str, study: Study, dataset: Dataset) -> Judged:
    """Test signal efficiency of the exact network at the headline target, and its EBOPs."""
    scores = Scores(**{split: trained.predict(dataset.part(split).x)[:, 0] for split in ("validation", "test")})
    evaluation = evaluate(Events.of(dataset), {"qkeras": scores}, study.targets[:1])
    found = evaluation.performance("qkeras").signal_efficiency
    ebops = cost(trained.firmware, trained.quantized_weights).ebops
    return Judged(trial, dict(trained.architecture.choices), found.value, found.low, found.high, ebops)


def spent_by_fpgaml(journal: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs that were trained, and where the workers' time went, from the journal.

    What workers had and did not spend in trials is their start, and waiting.
    """
    finished = [event for event in journal if event["event"] == "finished"]
    parts = ("tracing", "training", "validation", "waiting")
    spent = {part: sum(event["spent_s"].get(part, 0.0) for event in finished) for part in parts}
    in_trials = sum(event["wall_s"] for event in finished)
    float_epochs = sum(event["float_epochs"] for event in finished)
    return {
        "epochs": sum(len(event["curves"]["loss"]) - event["from_epochs"] for event in finished) + float_epochs,
        "float_epochs": float_epochs,
        "times": {
            "start": found["workers"] * found["start_s"],
            **spent,
            "rest of trials": in_trials - sum(spent.values()),
            "start of workers and waiting": found["workers"] * (found["wall_s"] - found["start_s"]) - in_trials,
        },
    }


def summarize(repeats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and 95 % t interval over repeats of what compares the two."""

    def difference(name: str) -> list[float]:
        return [repeat["fpgaml"][name] - repeat["keras_tuner"][name] for repeat in repeats]

    ranked = [
        r["fpgaml"]["ranked_first"]["efficiency"] - r["keras_tuner"]["ranked_first"]["efficiency"] for r in repeats
    ]
    return {
        "wall_ratio": estimate([repeat["keras_tuner"]["wall_s"] / repeat["fpgaml"]["wall_s"] for repeat in repeats]),
        "epochs_ratio": estimate([repeat["fpgaml"]["epochs"] / repeat["keras_tuner"]["epochs"] for repeat in repeats]),
        "efficiency_ranked_first": estimate(ranked),
        "efficiency_best": estimate(difference("best_efficiency")),
        "hypervolume_fraction": estimate(difference("hypervolume_fraction")),
    }


def estimate(values: Sequence[float]) -> dict[str, Any]:
    """The mean with its t interval, which one value does not have."""
    mean = float(np.mean(values))
    low = high = None
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
        low, high = mean - half, mean + half
    return {"mean": mean, "low": low, "high": high, "values": list(map(float, values))}


def text_of(number: int, repeat: Mapping[str, Any]) -> str:
    """One repeat for people."""
    lines = [
        f"repeat {number}: {repeat['points'][0]} and {repeat['points'][1]} points, {repeat['same_points']} the same",
        f"  {'':12} {'wall':>8} {'epochs':>7} {'full':>5} {'ranked first':>13} {'best':>7} {'hypervolume':>12}",
    ]
    for side in SIDES:
        found = repeat[side]
        lines.append(
            f"  {side:12} {found['wall_s']:6.1f} s {found['epochs']:7} {len(found['judged']):5} "
            f"{found['ranked_first']['efficiency']:13.4f} {found['best_efficiency']:7.4f} "
            f"{found['hypervolume_fraction']:12.3f}"
        )
    for side in SIDES:
        workers = repeat[side].get("workers", 1)
        total = sum(repeat[side]["times"].values())
        parts = ", ".join(f"{name} {s:.1f} s ({s / total:.0%})" for name, s in repeat[side]["times"].items())
        lines.append(f"  {side} spent, {workers} process{'es' * (workers > 1)}: {parts}")
    ratio = repeat["keras_tuner"]["wall_s"] / repeat["fpgaml"]["wall_s"]
    return "\n".join([*lines, f"  ratio of wall times: {ratio:.2f}"])


def text_of_summary(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The result for people."""
    names = {
        "wall_ratio": "wall time, Keras-Tuner / fpgaml",
        "epochs_ratio": "epochs, fpgaml / Keras-Tuner",
        "efficiency_ranked_first": "test efficiency of the trial ranked first, fpgaml - Keras-Tuner",
        "efficiency_best": "best test efficiency of the front, fpgaml - Keras-Tuner",
        "hypervolume_fraction": "hypervolume as a fraction of the ideal, fpgaml - Keras-Tuner",
    }
    lines = []
    for key, name in names.items():
        found = summary[key]
        interval = "" if found["low"] is None else f" [{found['low']:.4g}, {found['high']:.4g}], 95 % over repeats"
        lines.append(f"{name}: {found['mean']:.4g}{interval}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
