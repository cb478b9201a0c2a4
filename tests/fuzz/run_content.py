"""What a run has written: the same as another one's, or half, or left behind."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from fpgaml.storage import read_arrays

TIMES = {"wall_s", "spent_s", "time", "build_s", "events_per_s", "float_epochs"}
"""Keys of JSON objects that differ between any two runs: what something took.

The last: the epochs of a float network in the call that tells of a trial; a call that was killed may have left it.
"""

CELL = r"(?: \| |</td>\n<td>)"
TIMES_IN_REPORT = (
    r"()\d+:\d\d:\d\d(?= \(h:mm:ss\))",  # of the search
    rf"( in epoch \d+{CELL})[\d.]+",  # of a training
    rf"((?:events per second|wall \[s\]|build \[s\]){CELL})[\d.,e+-]+",  # of the C simulation
)
"""Where a report says how long something took, as Markdown or HTML."""

PLACE = (r'( --output )[^ <"&\n]+', r"\1OUTPUT")
"""Of the command that began a run, as ``environment.json`` and the report repeat it: a copy goes on elsewhere."""


def content_of(output: Path) -> dict[str, str]:
    """A digest of every file of a run, by its path, without times, and without the place where the run began."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(_content(path).encode("latin-1")).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> str:
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".jsonl":
        events = [_timeless(json.loads(line)) for line in text.splitlines()]
        # What a kill has met was started, and is started again.
        text = "\n".join(json.dumps(event) for event in events if event["event"] != "started")
    elif path.suffix == ".json":
        text = re.sub(*PLACE, json.dumps(_timeless(json.loads(text))))
    elif path.name in ("report.md", "report.html"):
        for pattern in TIMES_IN_REPORT:
            text = re.sub(pattern, r"\1TIME", text)
        text = re.sub(*PLACE, text)
    return text


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _timeless(item) for key, item in value.items() if key not in TIMES}


KEPT = (
    "output/study.yaml",
    "output/dataset.json",
    "output/states/*/*.state",
    "output/search.json",
    "output/winners/*/*seed_*/*",
    "output/winners.json",
    "output/trials/*/scores.npz",
    "output/*_projects/*/fpgaml.json",
    "output/*_projects/*/certificate.json",
    "output/csim/*.json",
    "cache/*/*/*",
)
"""What is made once: where it stands after a kill, it stands untouched in the end."""


def kept_files(folder: Path) -> dict[str, tuple[int, int]]:
    """When the files that are made once were written, and their sizes."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for pattern in KEPT
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    }


def half_files(folder: Path) -> list[str]:
    """Files that are not whole, but for those in hidden folders."""
    wrong = []
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".npz":
                read_arrays(path)
            elif path.suffix == ".state":
                whole = path.read_bytes()
                assert hashlib.sha256(whole[32:]).digest() == whole[:32]
            elif path.stat().st_size == 0 and path.suffix not in (".lock", ".log", ".h", ""):
                raise ValueError("empty")
        except Exception as error:  # noqa: BLE001  whatever it is
            wrong.append(f"{path.relative_to(folder)} is half: {error}")
    return wrong


def leftovers(folder: Path) -> list[str]:
    """Temporary files that have been left."""
    hidden = [path for part in ("output", "cache") for path in (folder / part).rglob(".*") if path.name != ".gitignore"]
    found = [*hidden, *(folder / "tmp").glob("*")]
    return [f"{path.relative_to(path.parents[1])} was left" for path in found]


def trained_twice(output: Path) -> list[str]:
    """Trials of which the journal says twice that they were trained to the same epoch."""
    text = (output / "journal.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    finished = Counter((event["trial"], event["epochs"]) for event in events if event["event"] == "finished")
    return [
        f"trial {trial} was trained {n} times to epoch {epochs}" for (trial, epochs), n in finished.items() if n > 1
    ]
