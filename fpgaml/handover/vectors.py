"""Which test events become the vectors of a hand-over, and the files that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpgaml.storage import write_text

Words = NDArray[np.int64]

N_EVENTS = 500
AROUND = 60
"""Events on either side of a threshold."""
EXTREMES = 120
"""Events with an input at the end of its range, at most."""

REASONS = ("an output is smallest or largest", "around a threshold", "an input is smallest or largest", "drawn")
FOLDER = "vectors"


@dataclass(frozen=True, eq=False)
class Vectors:
    """Test events and what the network makes of them, as integer words.

    Parameters
    ----------
    events : int64, shape (n_events,)
        Positions among the test events.
    reasons : int64, shape (n_events,)
        Why each was chosen: positions in ``REASONS``.
    inputs : int64, shape (n_events, n_inputs)
    outputs : int64, shape (n_events, n_outputs)
        Expected.
    """

    events: Words
    reasons: Words
    inputs: Words
    outputs: Words

    def write(self, project: Path, *, number_files: Sequence[str], input_fraction: int, output_fraction: int) -> None:
        """Write the folder ``vectors``, and the two ``number_files`` where there are some.

        A tool's own bench reads numbers where ``vectors`` has integer words: a word times 2^-fraction.
        """
        numbers = (_numbers(self.inputs, input_fraction), _numbers(self.outputs, output_fraction))
        written = {
            f"{FOLDER}/inputs.txt": _text("input words of one event a line", self.inputs),
            f"{FOLDER}/outputs.txt": _text("expected output words of one event a line", self.outputs),
            f"{FOLDER}/events.txt": _text(
                "position among the test events, and why it is here: "
                + ", ".join(f"{number} {reason}" for number, reason in enumerate(REASONS)),
                np.stack([self.events, self.reasons], axis=1),
            ),
            **dict(zip(number_files, numbers, strict=False)),
        }
        for name, text in written.items():
            write_text(project / name, text)


def choose_events(
    inputs: Words, outputs: Words, thresholds: Sequence[int], *, n_events: int = N_EVENTS, seed: int = 1
) -> tuple[Words, Words]:
    """Events that show the most: extremes of outputs and inputs, those around each threshold, and some at random.

    Parameters
    ----------
    inputs : int64, shape (n, n_inputs)
        Input words of all test events.
    outputs : int64, shape (n, n_outputs)
        Output words.
    thresholds : sequence of int
        Words of the first output, the most important first.
    n_events : int
        At most so many are chosen; all where there are no more.
    seed : int
        For the draw.

    Returns
    -------
    events, reasons : int64, shape (n_chosen,)
        In ascending order of events. Reasons are positions in ``REASONS``.
    """
    chosen: dict[int, int] = {}

    def take(events: Iterable[int], reason: int) -> None:
        for event in events:
            if len(chosen) < n_events:
                chosen.setdefault(int(event), reason)

    take(np.concatenate([outputs.argmin(axis=0), outputs.argmax(axis=0)]), 0)
    around = max(1, min(AROUND, n_events // (4 * max(1, len(thresholds)))))
    for threshold in thresholds:
        order = np.argsort(outputs[:, 0], kind="stable")
        passing = int(np.searchsorted(outputs[order, 0], threshold))  # the first that passes
        take(order[max(0, passing - around) : passing + around], 1)
    extremes = np.unique(np.concatenate([inputs.argmin(axis=0), inputs.argmax(axis=0)]))
    take([inputs.sum(axis=1).argmin(), inputs.sum(axis=1).argmax(), *extremes[:: max(1, len(extremes) // EXTREMES)]], 2)
    take(np.random.default_rng(seed).permutation(len(inputs)), 3)
    events = np.array(sorted(chosen), dtype=np.int64)
    return events, np.array([chosen[event] for event in events.tolist()], dtype=np.int64)


def _text(title: str, words: Words) -> str:
    return f"# {title}\n" + "".join(" ".join(map(str, row)) + "\n" for row in words.tolist())


def _numbers(words: Words, fraction: int) -> str:
    return "".join(" ".join(map(repr, row)) + "\n" for row in (words * 2.0**-fraction).tolist())
