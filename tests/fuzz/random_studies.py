"""Generated studies: valid ones of all kinds; and these, and those that come with fpgaml, after changes."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fpgaml.hardware import Hardware, LayerHardware, backend_names
from fpgaml.search_options import SearchOptions
from fpgaml.study import Study
from fpgaml.tasks.trigger import TriggerOptions
from fpgaml.train_options import TrainOptions
from fuzz.commands import judge, run_fresh, run_here
from fuzz.mutations import mutate_bytes, mutate_text, mutate_values
from fuzz.outcome import Outcome
from fuzz.random_layers import random_bits, random_layers
from fuzz.random_tables import random_table, write_table
from fuzz.random_values import random_fields
from fuzz.workspace import Workspace
from fuzz.yaml_text import yaml_text

Sections = dict[str, Any]

SEARCH_SPACES = Path(__file__).parents[2] / "search_spaces"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FRESH = 0.01
"""The part of studies that a process of its own reads, as a user's does; starting it takes longer than the rest."""

NOTHING_TO_SEARCH = "there is nothing to search"


def check_study(seed: int, workspace: Workspace) -> Outcome:
    """Plan a generated study, and read its data where it has a file of them."""
    rng = random.Random(f"study {seed}")
    study = workspace.folder / "study.yaml"
    study.write_bytes(random_study(rng, workspace.folder))
    before = workspace.snapshot()
    run = run_fresh if rng.random() < FRESH else run_here
    said = run(workspace, "search", study, "--output", workspace.output, "--dry-run", *json_or_not(rng))
    outcome = judge(said, before, workspace)
    if outcome.verdict == "refused" and NOTHING_TO_SEARCH in outcome.reason:
        outcome = Outcome("accepted", counts=outcome.counts)
    if outcome.verdict != "accepted":
        return outcome
    loaded = Study.load(study)
    wrong = _reload(loaded, workspace)
    if wrong:
        return Outcome("failed", wrong, loaded.dump(), outcome.counts)
    if loaded.task.name == "file":
        return judge(run(workspace, "data", study, *json_or_not(rng)), before, workspace)
    return outcome


def json_or_not(rng: random.Random) -> list[str]:
    """The option ``--json`` in half of the cases."""
    return ["--json"] if rng.random() < 0.5 else []


def random_study(rng: random.Random, folder: Path) -> bytes:
    """A study file, with its data in the folder."""
    if rng.random() < 0.3:
        path = rng.choice(sorted(SEARCH_SPACES.glob("*.yaml")))
        content = path.read_bytes()
        sections = yaml.load(content, Loader=LOADER)
        if sections["task"] == "file":
            _write_headless(folder / sections["data"]["path"], sections["data"]["header"], sections["data"]["signal"])
    else:
        sections = valid_study(rng, folder)
        content = None
    draw = rng.random()
    if draw < 0.2:
        pass
    elif draw < 0.75:
        content = None
        sections = mutate_values(sections, rng)
    text = yaml_text(sections).encode("utf-8", "surrogatepass") if content is None else content
    if draw > 0.9:
        return mutate_bytes(text, rng)
    if draw > 0.72:  # a few have changed values and changed lines
        return mutate_text(text.decode("utf-8", "surrogatepass"), rng).encode("utf-8", "surrogatepass")
    return text


def valid_study(rng: random.Random, folder: Path) -> Sections:
    """A study that should be accepted, or refused for what only the package can know, such as a size."""
    if rng.random() < 0.25:
        return sections_for("trigger", *_trigger(rng), rng)
    kind = rng.choice(("csv", "npz"))
    table = random_table(rng, arrays=kind == "npz")
    return sections_for("file", write_table(table, folder, kind, rng), table.input_shape, rng)


def sections_for(
    task: str,
    data: Mapping[str, Any],
    shape: tuple[int, ...],
    rng: random.Random,
    train: Mapping[str, Any] | None = None,
) -> Sections:
    """The study of some data whose inputs have this shape; with ``train``, trained in this way beside other options."""
    sections: Sections = {
        "study": rng.choice(("small", "a study", "x-1.2", "Int", "main")),
        "task": task,
        "data": dict(data),
        "input": {"bits": random_bits(rng), **({"signed": rng.random() < 0.5} if rng.random() < 0.5 else {})},
        "layers": random_layers(shape, rng),
    }
    if train or rng.random() < 0.6:
        sections["train"] = {**random_fields(TrainOptions, rng, given=TRAIN), **(train or {})}
    if rng.random() < 0.7:
        sections["hardware"] = random_hardware(rng, sections["layers"])
    if rng.random() < 0.6:
        _choose(sections, rng)
    if rng.random() < 0.6:
        sections["search"] = _search(rng, random_fields(SearchOptions, rng, given=SEARCH), trials="trials" in sections)
    return sections


def _trigger(rng: random.Random) -> tuple[Mapping[str, Any], tuple[int, ...]]:
    shapes = ((20, 12), (4, 6), (10, 3), (1, 1), (2, 72), (40, 2))
    given = {
        "image_shape": lambda rng: list(rng.choice(shapes)),
        "energy_tev": lambda rng: rng.choice((13, 14, 13.6)),
        "signal_mass_gev": lambda rng: rng.choice((300, 400.0, 1e3)),
        "bunches": lambda rng: rng.choice((1000, 2760)),
        "revolution_khz": lambda rng: rng.choice((11, 11.2455)),
        "rates_khz": lambda rng: rng.sample((1, 10.0, 50.0, 1e4), rng.randint(1, 4)),
    }
    data = random_fields(TriggerOptions, rng, given=given)
    return data, (*data.get("image_shape", (20, 12)), 1)


def random_hardware(rng: random.Random, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a network is for: mostly a device and a clock, sometimes options of single layers."""
    parts = ("xcvu9p-flga2577-2-e", "xcvu13p-flga2577-2-e", "xc7z020clg400-1", "xcku115-flvb2104-2-i")
    given = {
        "backend": lambda rng: rng.choice(backend_names()),
        "part": lambda rng: rng.choice(parts),
        "clock_period_ns": lambda rng: rng.choice((5, 2.5, 10.0)),
        "reuse_factor": lambda rng: rng.choice((1, 1, 2, 3)),
        "parallelization_factor": lambda rng: rng.choice((1, 1, 2)),
        "accumulator_bits": lambda rng: rng.choice((24, 48)),
        "layers": lambda rng: {f"{rng.choice(layers)['kind']}_1": random_fields(LayerHardware, rng, given={})},
    }
    return random_fields(Hardware, rng, given=given, optional=0.25)


TRAIN: Mapping[str, Any] = {
    "learning_rate": lambda rng: rng.choice((0.01, 1e-3, 3e-5)),
    "ebops_weight": lambda rng: rng.choice((0, 1e-6, 1e-3)),
}
SEARCH: Mapping[str, Any] = {
    "objective": lambda rng: rng.choice(
        ("signal_efficiency", "accuracy", "auc", "val_loss", "ebops", "parameters", "lut")
    ),
    "cost": lambda rng: rng.choice(("ebops", "bops", "weight_bits", "lut", "latency_ns")),
    "limits": lambda rng: rng.choice(
        ("ebops <= 20000", ["auc >= 0.5", "parameters < 100"], ["val_loss <= 1"], "dsp == 0", [])
    ),
    "winner_seeds": lambda rng: rng.sample(range(9), rng.randint(1, 3)),
    "trials": None,
}


def _search(rng: random.Random, options: dict[str, Any], *, trials: bool) -> dict[str, Any]:
    """Search options that fit each other."""
    if trials:
        return {key: value for key, value in options.items() if key not in ("algorithm", "factor", "promote")}
    algorithm = options.get("algorithm", "hyperband")
    if algorithm in ("random", "bayesian"):
        options["trials"] = rng.randint(1, 10)
    if algorithm != "hyperband":
        options.pop("promote", None)
    if options.get("objective") in ("ebops", "parameters", "lut"):
        options["limits"] = ["auc >= 0.6"]
    return options


def _choose(sections: Sections, rng: random.Random) -> None:
    """Let some values be chosen, by search or by hand."""
    names = iter(("bits", "width", "x", "layer_1", "rate"))
    choices: dict[str, list[Any]] = {}
    for _ in range(rng.randint(1, 4)):
        place, key = rng.choice(_chosen_spots(sections))
        if isinstance(place[key], str) and place[key].startswith("$"):
            continue
        name = next(names)
        choices[name] = _alternatives(place[key], key, rng)
        place[key] = f"${name}"
    if choices and rng.random() < 0.3:
        trials = [{name: rng.choice(values) for name, values in choices.items()} for _ in range(rng.randint(1, 4))]
        sections["trials"] = [trial for number, trial in enumerate(trials) if trial not in trials[:number]]
    elif choices:
        sections["choices"] = choices


def _chosen_spots(sections: Sections) -> list[tuple[Any, Any]]:
    """Where a value may be chosen: keys of the input, of layers, of training, and whole layers but the last."""
    layers = sections["layers"]
    spots: list[tuple[Any, Any]] = [(sections["input"], key) for key in sections["input"]]
    spots += [(layer, key) for layer in layers[:-1] if isinstance(layer, dict) for key in layer if key != "kind"]
    spots += [(layers[-1], "bits"), *((sections["train"], key) for key in sections.get("train", ()))]
    return spots + [
        (layers, number)
        for number, layer in enumerate(layers[:-1])
        if isinstance(layer, dict) and layer["kind"] == "dropout"
    ]


def _alternatives(value: Any, key: Any, rng: random.Random) -> list[Any]:
    """The value, and others of its kind."""
    if isinstance(value, dict):
        others: list[Any] = [None, {"kind": "dropout", "rate": 0.4}]
    elif isinstance(value, bool):
        others = [not value]
    elif key in ("bits", "bias_bits"):
        others = [random_bits(rng) for _ in range(3)]
    elif isinstance(value, int):
        others = [value + 1, value + 2]
    elif isinstance(value, float):
        others = [value / 2]
    else:
        others = []
    values = [value, *rng.sample(others, rng.randint(0, len(others)))]
    return [copy.deepcopy(item) for number, item in enumerate(values) if item not in values[:number]]


def _write_headless(path: Path, header: Sequence[str], signal: str) -> None:
    """A small table with the columns of a study that comes with fpgaml, whose own is not there."""
    draws = np.random.default_rng(1)
    labels = [signal if number % 3 else f"not {signal}" for number in range(90)]
    rows = [[*(f"{value:.3f}" for value in draws.normal(size=len(header) - 1)), label] for label in labels]
    path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")


def _reload(study: Study, workspace: Workspace) -> str:
    """What is wrong with an accepted study as a run keeps it: ``dump`` must be the same study again."""
    again = workspace.top / "dumped.yaml"
    again.write_text(study.dump(), encoding="utf-8")
    try:
        loaded = Study.load(again)
    except Exception as error:  # noqa: BLE001  whatever it is, it comes too late for the user
        return f"its dump does not load: {error}"
    if loaded.dump() != study.dump():
        return "its dump's dump is another one"
    first = next(iter(study.grid()))
    if study.architecture(first).hash != loaded.architecture(first).hash:
        return "its dump is another network"
    study._repr_html_()
    return ""
