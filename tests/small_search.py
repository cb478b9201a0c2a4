"""A search that takes seconds, its data, and a process of its own for it: ``python small_search.py STUDY OUTPUT …``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fpgaml.errors import FpgamlError
from fpgaml.journal import JOURNAL
from fpgaml.run_directory import working_in
from fpgaml.search import search
from fpgaml.search_result import SearchResult
from fpgaml.study import Study

SECTIONS: dict[str, Any] = {
    "study": "small search",
    "task": "file",
    "data": {
        "path": "events.csv",
        "inputs": ["a", "b", "c"],
        "label": "y",
        "signal": 1,
        "background_efficiencies": [0.1],
    },
    "choices": {"bits": [[4, 1], [8, 2]], "units": [3, 6]},
    "input": {"bits": [8, 2]},
    "layers": [
        {"kind": "dense", "units": "$units", "bits": "$bits"},
        {"kind": "relu", "bits": [6, 2]},
        {"kind": "dropout", "rate": 0.1},
        {"kind": "dense", "units": 1, "bits": "$bits"},
    ],
    "train": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "search": {"algorithm": "hyperband", "max_epochs": 3, "seed": 2},
}


def write_data(folder: Path) -> None:
    """900 events in two overlapping classes."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(900, 3))
    label = (inputs[:, 0] + inputs[:, 1] ** 2 + rng.normal(size=900) > 1).astype(int)
    table = np.column_stack([inputs, label])
    np.savetxt(folder / "events.csv", table, delimiter=",", header="a,b,c,y", comments="", fmt="%.6g")


def small_study(folder: Path, name: str = "study", **sections: object) -> Study:
    """The study, with other sections where some are given, written to a file of this name."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**SECTIONS, **sections}), encoding="utf-8")
    return Study.load(path)


def searched(study: Study, output: Path, *, workers: int | None = 1, scheduler: str | None = None) -> SearchResult:
    """What a search in ``output`` finds."""
    with working_in(output, make=True):
        return search(study, study.dataset(), output, workers=workers, scheduler=scheduler)


def start_search(
    study: Study, output: Path, *options: str, preexec_fn: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    """The same in a process group of its own; prints the result as JSON, or says what is wrong and ends with 2."""
    return subprocess.Popen(
        [sys.executable, __file__, str(study.source.path), str(output), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=preexec_fn,  # noqa: PLW1509  resource.setrlimit and nothing else
    )


def events_of(output: Path, kind: str) -> list[dict[str, Any]]:
    """What the journal holds of a kind, as other processes see it now."""
    path = output / JOURNAL
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    events = [json.loads(line) for line in text.split("\n")[:-1]]
    return [event for event in events if event["event"] == kind]


def outcome(result: SearchResult) -> Any:
    """Trials, scores, order and front, as JSON gives them back."""
    found = result.to_json()
    return json.loads(json.dumps({name: found[name] for name in ("trials", "pareto_front", "failed", "epochs")}))


def main() -> int:
    study, output, workers, *scheduler = sys.argv[1:]
    try:
        found = searched(
            Study.load(Path(study)), Path(output), workers=int(workers), scheduler=scheduler[0] if scheduler else None
        )
    except FpgamlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(outcome(found)))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    sys.exit(main())
