"""What every project carries with it to check itself; how words are compared is the backend's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent


def bench_files(words: str, bench: str) -> Mapping[str, Path]:
    """Files of a check by their place in a project.

    Parameters
    ----------
    words : str
        The script that builds and runs the bench.
    bench : str
        Its source.
    """
    return {
        "Makefile": HERE / "check.mk",
        "check/check.sh": HERE / "check.sh",
        "check/files.sh": HERE / "check_files.sh",
        "check/signature.sh": HERE / "check_signature.sh",
        "check/words.sh": HERE / words,
        f"check/words{Path(bench).suffix}": HERE / bench,
    }
