"""A process that generates chunks of events for the one that started it.

It is started as a plain program (``python -m fpgaml.trigger_data.worker``) and not through multiprocessing: forking a
process in which TensorFlow has started its threads may hang, and spawning would run the user's script a second time.
It takes one JSON request per line from its standard input and answers each with one line. When that input closes,
because whoever asked is gone (killed, even), it ends at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fpgaml import errors
from fpgaml.errors import FpgamlError, ToolError
from fpgaml.storage import atomic_path
from fpgaml.trigger_data.processes import Process
from fpgaml.trigger_data.pythia_events import generate


class Worker:
    """One worker process, seen from the one that asks it."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)}
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fpgaml.trigger_data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C in a terminal reaches the asking process alone, which decides what to do
            env=environment,
        )

    def generate(self, process: Process, *, seed: int, chunk: int, n_events: int, path: Path) -> None:
        """Have one chunk generated and written to ``path``; returns when it is there.

        Raises
        ------
        FpgamlError
            What stopped the worker: Pythia failed (ToolError), the cache cannot be written (OutputError).
        """
        request = {"process": asdict(process), "seed": seed, "chunk": chunk, "n_events": n_events, "path": str(path)}
        answer = ""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is not None and stdout is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):  # a dead or stopped worker also answers nothing
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()
                answer = stdout.readline()
        if not answer:
            code = self._process.wait()
            raise ToolError(f"the process that generates {process.name} events ended by itself (exit code {code})")
        failure = json.loads(answer)
        if failure:
            raise getattr(errors, failure["error"])(failure["message"])

    def stop(self) -> None:
        """End the process, whatever it is doing; what it has finished is kept."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


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


def main() -> None:
    """Answer requests until the standard input closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Pythia's and FastJet's banners are no answers
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answers.write(json.dumps(answer_request(json.loads(requests.get()))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
