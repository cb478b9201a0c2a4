"""Generated files of events: valid ones that must be read as they are, and broken ones that must be refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.commands import Said, judge, run_fresh, run_here
from fuzz.hostile_files import BASE, HOSTILE_FILES, odd_arrays
from fuzz.mutations import mutate_bytes, mutate_values
from fuzz.nasty import TEXTS
from fuzz.outcome import Outcome
from fuzz.random_studies import json_or_not
from fuzz.random_tables import SUFFIXES, Table, random_table, write_table
from fuzz.workspace import Workspace
from fuzz.yaml_text import yaml_text

FRESH = 0.01
"""The part of files that a process of its own reads."""

ARRAYS = ("hdf5", "npz")
"""Formats in which a column can hold an array for each event."""


def check_data(seed: int, workspace: Workspace) -> Outcome:
    """Read a generated file. One that is valid must be accepted, with all of its events."""
    rng = random.Random(f"data {seed}")
    draw = rng.random()
    expected = None
    if draw < 0.3:
        expected, data = _valid(workspace.folder, rng)
    elif draw < 0.65:
        data = {**BASE, **rng.choice(HOSTILE_FILES)(workspace.folder, rng)}
    else:
        data = _broken(workspace.folder, rng)
    study = workspace.folder / "study.yaml"
    study.write_text(yaml_text(_sections(data)), encoding="utf-8", errors="surrogatepass")
    before = workspace.snapshot()
    run = run_fresh if rng.random() < FRESH else run_here
    said = run(workspace, "data", study, *(["--json"] if expected else json_or_not(rng)))
    outcome = judge(said, before, workspace)
    return outcome if expected is None else _compare(said, outcome, expected)


def _valid(folder: Path, rng: random.Random) -> tuple[Table, dict[str, Any]]:
    kind = rng.choice(sorted(SUFFIXES))
    table = random_table(rng, arrays=kind in ARRAYS)
    return table, write_table(table, folder, kind, rng)


def _compare(said: Said, outcome: Outcome, table: Table) -> Outcome:
    """Whether what was read is the table that was written."""
    if outcome.verdict != "accepted":
        reason = outcome.reason if outcome.verdict == "failed" else f"a valid file was refused: {outcome.reason}"
        return Outcome("failed", reason, outcome.detail or said.err, outcome.counts)
    read = json.loads(said.out)
    counts = [sum(read["events"][split][name] for split in read["events"]) for name in ("signal", "background")]
    n_signal = int((table.columns[table.options["label"]] == table.options["signal"]).sum())
    if counts != [n_signal, table.n_events - n_signal] or tuple(read["input_shape"]) != table.input_shape:
        reason = f"read {counts} events of shape {read['input_shape']}, wrote others"
        return Outcome("failed", reason, said.out, outcome.counts)
    return outcome


def _broken(folder: Path, rng: random.Random) -> dict[str, Any]:
    """A valid table with odd columns, a file of it with other bytes, or a study that says something else of it."""
    kind = rng.choice(sorted(SUFFIXES))
    table = random_table(rng, arrays=kind in ARRAYS, odd_names=rng.choice((0, 0, 0.3)))
    what = rng.choice(("columns", "columns", "bytes", "bytes", "bytes", "options", "options", "name"))
    if what == "columns":
        table = _odd_table(table, rng)
    try:
        data = write_table(table, folder, kind, rng)
    except Exception:  # noqa: BLE001  the format cannot hold this: another one can
        kind = "npz"
        data = write_table(table, folder, kind, rng)
    path = folder / data["path"]
    if what == "bytes":
        content = path.read_bytes()
        for _ in range(rng.choice((1, 1, 2))):
            content = mutate_bytes(content, rng)
        path.write_bytes(content)
    elif what == "options":
        data = mutate_values({"data": data}, rng).get("data")
    elif what == "name":
        other = rng.choice(
            ("events", "events.CSV", "events.txt", "events.npz", "é.csv", "a b.h5", "events.csv.gz", ".csv")
        )
        path.rename(folder / other)
        data["path"] = other
        if rng.random() < 0.3:
            data["format"] = rng.choice(sorted(SUFFIXES))
    return data


def _odd_table(table: Table, rng: random.Random) -> Table:
    columns, options = dict(table.columns), dict(table.options)
    name = rng.choice(sorted(columns))
    what = rng.randrange(7)
    if what == 0:
        del columns[name]
    elif what == 1:
        columns[name] = odd_arrays(rng)[: table.n_events]
    elif what == 2:
        columns[options["label"]] = np.full_like(columns[options["label"]], rng.choice(columns[options["label"]]))
    elif what == 3:
        columns = {key: column[: rng.choice((0, 1, 2, 5))] for key, column in columns.items()}
    elif what == 4:
        columns[name] = columns[name][:-1]
    elif what == 5:
        new = rng.choice(TEXTS)
        columns = {new if key == name else key: column for key, column in columns.items()}
        options = {key: _renamed(value, name, new) for key, value in options.items()}
    elif columns[name].dtype.kind == "f":
        columns[name] = columns[name] * rng.choice((1e300, 1e308, 1e-320, np.inf, np.nan, -1, 0))
    return Table(columns, options)


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, list):
        return [new if item == old else item for item in value]
    return new if value == old else value


def _sections(data: Any) -> dict[str, Any]:
    """A study with some network for the data."""
    layers = [{"kind": "dense", "units": 1, "bits": [8, 2]}]
    if isinstance(data, dict) and isinstance(data.get("shape"), list) and len(data["shape"]) > 1:
        layers.insert(0, {"kind": "flatten"})
    return {"study": "small", "task": "file", "data": data, "input": {"bits": [12, 4]}, "layers": layers}
