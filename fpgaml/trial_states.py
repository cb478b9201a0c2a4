"""The states of a trial: what an epoch has changed, and the curves so far, in one file that is whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import OutputError
from fpgaml.storage import atomic_path

_log = logging.getLogger(__name__)

Curves = dict[str, list[float]]
"""One number per epoch, since epoch 1, for each of ``CURVES``."""

CURVES = (
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_auc",
    "signal_efficiency",
    "signal_efficiency_smooth",
)

_STATE = re.compile(r"epoch_(\d+)\.state")


def save_state(directory: Path, epoch: int, variables: Sequence[Any], trial: str, curves: Curves) -> None:
    """Write variables in their order, because the names of some depend on what else the process has built.

    A digest in front tells a file that was torn, or changed in any bit.

    Parameters
    ----------
    directory : Path
        Of the trial.
    epoch : int
        Which has ended.
    variables : sequence of Keras variables
        Everything that an epoch changes.
    trial : str
        Whose they are.
    curves : mapping of name to list
        Since epoch 1.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    buffer = io.BytesIO()
    header = np.frombuffer(json.dumps({"trial": trial, "curves": curves}).encode(), np.uint8)
    arrays = {f"variable_{number}": np.array(variable) for number, variable in enumerate(variables)}
    np.savez(buffer, header=header, **arrays)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays
    content = buffer.getvalue()
    with atomic_path(directory / f"epoch_{epoch:05d}.state") as fresh:
        fresh.write_bytes(hashlib.sha256(content).digest() + content)


def states(directory: Path) -> dict[int, Path]:
    """The states of a trial, by epoch."""
    return {int(match[1]): path for path in directory.glob("*") if (match := _STATE.fullmatch(path.name))}


def restore(variables: Sequence[Any], directory: Path, trial: str, epochs: int) -> tuple[int, Curves]:
    """Give ``variables`` their values after the latest epoch that was saved and is not beyond ``epochs``.

    A state that is broken, or of another trial, is told of and passed over.

    Returns
    -------
    int, dict
        The epoch, 0 if there is no state, and the curves up to there.
    """
    found = states(directory)
    for epoch in sorted((epoch for epoch in found if epoch <= epochs), reverse=True):
        try:
            arrays, curves = read_state(found[epoch], trial, epoch)
            if [(array.shape, array.dtype.name) for array in arrays] != [
                (tuple(variable.shape), str(variable.dtype)) for variable in variables
            ]:
                raise OutputError(f"{found[epoch]}: is a state of another version")
        except OutputError as error:
            _log.warning("%s. It is ignored, and its epochs are trained again", error)
            continue
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return epoch, curves
    return 0, {name: [] for name in CURVES}


def read_state(path: Path, trial: str, epoch: int) -> tuple[list[NDArray[Any]], Curves]:
    """What ``save_state`` wrote: the variables, and the curves.

    Raises
    ------
    OutputError
        It is not that, or not of this trial and epoch.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        raise OutputError(f"{path}: is broken: its digest is another")
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        header = json.loads(saved["header"].tobytes())
        arrays = [saved[name] for name in saved.files if name != "header"]
    lengths = {len(header["curves"].get(name, [])) for name in CURVES}
    if header["trial"] != trial or lengths != {epoch}:
        raise OutputError(f"{path}: is a state of another trial, epoch or version")
    return arrays, {name: header["curves"][name] for name in CURVES}
