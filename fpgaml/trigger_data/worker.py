"""A process that generates chunks of events for the one that started it.

Requests and answers are JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fpgaml import errors
from fpgaml.child_process import Child, ChildDied, answer_parent
from fpgaml.errors import FpgamlError, ToolError
from fpgaml.storage import atomic_path
from fpgaml.trigger_data.processes import Process
from fpgaml.trigger_data.pythia_events import generate


class Worker(Child):
    """One worker process, seen from the one that asks it."""

    def __init__(self) -> None:
        super().__init__(__name__, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

    def generate(self, process: Process, *, seed: int, chunk: int, n_events: int, path: Path) -> None:
        """Have one chunk generated and written to ``path``; returns when it is there.

        Raises
        ------
        FpgamlError
            What stopped the worker: Pythia failed (ToolError), the cache cannot be written (OutputError).
        """
        request = {"process": asdict(process), "seed": seed, "chunk": chunk, "n_events": n_events, "path": str(path)}
        try:
            failure = json.loads(self.ask(json.dumps(request).encode()))
        except ChildDied as error:
            raise ToolError(f"the process that generates {process.name} events ended by itself ({error})") from error
        if failure:
            raise getattr(errors, failure["error"])(failure["message"])


def answer_request(request: dict[str, Any]) -> dict[str, str]:
    """Generate and write one chunk; returns what went wrong, empty when nothing did."""
    process = Process(**{**request["process"], "settings": tuple(request["process"]["settings"])})
    path = Path(request["path"])
    try:
        # The place is tried before the work: events that cannot be kept are not worth generating.
        with atomic_path(path.with_suffix(".writable")) as fresh:
            fresh.touch()
        path.with_suffix(".writable").unlink(missing_ok=True)
        pool = generate(process, seed=request["seed"], chunk=request["chunk"], n_events=request["n_events"])
        with atomic_path(path) as fresh:
            pool.save(fresh)
    except FpgamlError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {}


if __name__ == "__main__":
    answer_parent(lambda request: json.dumps(answer_request(json.loads(request))).encode())
