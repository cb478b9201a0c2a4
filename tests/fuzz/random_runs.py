"""Whole runs of small generated studies: what is accepted must not fail after hours of training."""

from __future__ import annotations

import atexit
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuzz.commands import judge, run_fresh, run_here
from fuzz.outcome import Outcome
from fuzz.random_studies import Sections, sections_for
from fuzz.random_tables import SUFFIXES, random_table, write_table
from fuzz.workspace import Workspace
from fuzz.yaml_text import yaml_text

FRESH = 0.1
"""The part of runs in a process of its own, which loads TensorFlow anew."""

AGAIN = 0.2
"""The part of finished runs that are run a second time, which must change nothing."""

# fmt: off
AWKWARD = {
    # what a study may say, and few have said
    "learning_rate": (1e-300, 1e-9, 10.0, 1e30, 1e308),
    "batch_size": (1, 7, 100_000, 2**31),
    "ebops_weight": (1e-12, 0.1, 1e10, 1e308),
    "seed": (0, 2**31 - 1, 2**32, 2**63),
    "patience": (1, 2**31),
    "rate": (0.0, 1e-300, 0.999999, 0.9999999999999999),
    "momentum": (0.0, 1e-300, 0.9999999999999999),
    "epsilon": (1e-300, 1e-12, 1e30, 1e300),
    "bits": ([2, 0], [2, 5], [2, -9], [16, -20], [12, 12], [1, 1], [24, 3], [8, 30]),
    "bias_bits": ([2, 0], [2, -30], [20, 3], [8, 20]),
    "strides": (2, 3),
    "clock_period_ns": (0.001, 1000),
    "accumulator_bits": (1, 8, 64),
    "background_efficiencies": ([1e-300], [0.5, 0.5], [0.9999999999999999], [0.1] * 20),
    "rates_khz": ([1e-300], [1e308], [1e9, 1e-9]),
    "rate_khz": (1e-300, 1e308),
}
# fmt: on

SHORT = {"epochs": 1, "float_epochs": 0, "fine_tune_epochs": 1, "batch_size": 32, "learning_rate": 0.01}


def check_run(seed: int, workspace: Workspace) -> Outcome:
    """Run a study from its data to its report: no word may differ, and a refusal comes before the training."""
    rng = random.Random(f"run {seed}")
    study = workspace.folder / "study.yaml"
    study.write_text(yaml_text(small_study(rng, workspace.folder)), encoding="utf-8")
    before = workspace.snapshot()
    arguments = ("run", study, "--output", workspace.output, "--json", "--workers", 1)
    said = (run_fresh if rng.random() < FRESH else run_here)(workspace, *arguments)
    atexit._run_exitfuncs()  # what removes TensorFlow's temporary files where a process ends by itself
    outcome = judge(said, before, workspace)
    if outcome.verdict == "refused":
        if said.code == 1:
            return replace(outcome, verdict="failed", reason=f"a check failed: {outcome.reason}", detail=said.err)
        late = any(workspace.output.rglob("trained.json")) or any(workspace.output.rglob("journal.jsonl"))
        return replace(outcome, counts={**outcome.counts, "refused after training": 1}) if late else outcome
    if outcome.verdict == "failed":
        return outcome
    csim = json.loads(said.out)["csim"]
    counts = {**outcome.counts, "words": csim["words"], "words that differ": csim["mismatches"]}
    wrong = [path.name for path in workspace.output.glob("report.*") if "<script>alert" in path.read_text("utf-8")]
    if wrong:
        return Outcome("failed", f"raw markup in {', '.join(wrong)}", said.out, counts)
    if rng.random() < AGAIN:
        again = run_fresh(workspace, *arguments)
        if (again.code, again.out) != (0, said.out):
            reason = f"a second run is another one: exit code {again.code}"
            return Outcome("failed", reason, again.err + again.out, counts)
    return replace(outcome, counts=counts)


def small_study(rng: random.Random, folder: Path) -> Sections:
    """A study whose run takes seconds, and which is awkward in a place or two."""
    kind = rng.choice(sorted(SUFFIXES))
    table = random_table(rng, arrays=kind in ("hdf5", "npz"), odd_names=rng.choice((0, 0.3)))
    try:
        data = write_table(table, folder, kind, rng)
    except Exception:  # noqa: BLE001  a format that cannot hold these names; npz holds any
        data = write_table(table, folder, "npz", rng)
    sections = sections_for("file", data, table.input_shape, rng, train=SHORT)
    spots = [(place, key) for place, key in _options(sections) if key in AWKWARD]
    for place, key in rng.sample(spots, min(rng.choice((0, 0, 1, 1, 2)), len(spots))):
        if not (isinstance(place[key], str) and place[key].startswith("$")):
            place[key] = rng.choice(AWKWARD[key])
    return _shortened(sections)


def _options(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every key in a study, with the mapping that it stands in."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _options(value[key])
    if isinstance(value, list):
        for item in value:
            yield from _options(item)


def _shortened(sections: Sections) -> Sections:
    """The same with few trials and one winner."""
    search = {**sections.get("search", {}), "max_epochs": 1, "winners": 1, "winner_seeds": [1]}
    if "trials" in sections:
        sections["trials"] = sections["trials"][:2]
    elif "choices" in sections:
        sections["choices"] = {name: values[:2] for name, values in sections["choices"].items()}
        search |= {"algorithm": "random", "trials": 2} if search.get("algorithm", "hyperband") != "hyperband" else {}
    return {**sections, "search": search}
