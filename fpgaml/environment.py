"""What a run runs on: versions, machine, command; and TensorFlow, loaded without its noise."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

PACKAGES = ("tensorflow", "keras", "qkeras-v3", "hls4ml", "keras-tuner", "numpy", "scipy", "pythia8mc")

_log = logging.getLogger(__name__)
_kept: list[TextIO] = []


def load_tensorflow() -> None:
    """Import TensorFlow, which takes seconds, and keep from stderr what its C++ parts always write there.

    These lines come before TensorFlow reads ``TF_CPP_MIN_LOG_LEVEL``, so stderr itself is caught, for this import only.
    What was caught is logged, at level DEBUG. Python's own ``sys.stderr`` goes on as before.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Never closed: what TensorFlow logs later goes to the stream that it has found while it was imported.
    stderr = open(os.dup(2), "w", buffering=1, encoding="utf-8")  # noqa: PTH123, SIM115  a descriptor
    _kept.append(stderr)
    with tempfile.TemporaryFile() as caught:
        try:
            os.dup2(caught.fileno(), 2)
            with contextlib.redirect_stderr(stderr):
                import tensorflow as tf  # noqa: F401
        finally:
            os.dup2(stderr.fileno(), 2)
        caught.seek(0)
        _log.debug("TensorFlow: %s", caught.read().decode(errors="replace"))


def describe_environment(*, seed: int, command: str) -> dict[str, Any]:
    """Versions of everything that decides a result, the machine, the seed and the command, as JSON values."""
    import psutil

    return {
        "fpgaml": version("fpgaml"),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "platform": platform.platform(),
        },
        "seed": seed,
        "command": command,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name, which Python itself does not give on Linux."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
