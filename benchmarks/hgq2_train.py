"""The part of hgq2.py that runs where HGQ2 is installed: train one network under growing pressure, keep its front.

    python hgq2_train.py --data data.npz --output DIR --units 64 32 --seed 1 --epochs 600 [--beta 1e-6 1e-3]

HGQ2 ships a package that is called `qkeras`, so this file imports nothing of fpgaml. It reads the events that hgq2.py
wrote (train, validation and test inputs on one fixed-point grid, labels), trains a multilayer perceptron with one
trained width for every weight, bias and value, while the weight of the EBOPs in the loss, beta, grows from one end of
--beta to the other, and writes:

- history.json: loss, EBOPs and the selection's efficiency after every epoch;
- network_<n>.json: da4ml's CombLogic of a network, of the last part of the front that no other epoch beats in both;
- networks.json: for each, the epoch, EBOPs and efficiency on validation events, and the input's formats;
- network_<n>.npz: scores of validation and test events, and inputs in the formats that the network wants.

Efficiencies here only choose epochs: the mean signal efficiency of validation events at half, once and twice the
background efficiency --target, which is how fpgaml's search scores its trials.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hgq
import keras
import numpy as np
from da4ml.converter.hgq2 import trace_model
from da4ml.trace import FixedVariableArray, HWConfig, comb_trace
from hgq.config import QuantizerConfig, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, FreeEBOPs

INPUT = (1, 4, 7)
"""Sign, integer and fractional bits of the grid that all inputs lie on: QKeras' (12, 4)."""


def main() -> None:
    """Train, choose, trace, check and write."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    with np.load(options.data) as arrays:
        events = {name: arrays[name] for name in arrays.files}
    keras.utils.set_random_seed(options.seed)
    started = time.perf_counter()
    model = build(options.units, events["x_train"].shape[1])
    front = Front(events["x_validation"], events["y_validation"], options.target, options.warm_up)
    history = train(model, events, front, options)
    trained_s = time.perf_counter() - started
    facts = {
        "versions": {"HGQ2": hgq.__version__, "keras": keras.__version__, "backend": keras.backend.backend()},
        "units": options.units,
        "seed": options.seed,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "cycle": options.cycle,
        "beta": options.beta,
        "target": options.target,
        "parameters": int(sum(np.prod(layer.kernel.shape) + layer.units for layer in _dense(model))),
        "training_s": trained_s,
    }
    networks = [
        {**write(model, kept, events, options.output, number), **facts}
        for number, kept in enumerate(spread(front.kept, options.networks))
    ]
    (options.output / "history.json").write_text(json.dumps(history), encoding="utf-8")
    (options.output / "networks.json").write_text(json.dumps(networks, indent=1), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--units", type=int, nargs="+", default=[64, 32], help="of the hidden layers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--warm-up", type=int, default=20, help="epochs before any is kept")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="falls to a twentieth in every cycle")
    parser.add_argument("--cycle", type=int, default=100, help="epochs of a cosine of the learning rate")
    parser.add_argument("--beta", type=float, nargs=2, default=[3e-6, 2e-4], metavar=("FIRST", "LAST"))
    parser.add_argument("--target", type=float, default=0.1, help="background efficiency that epochs are chosen at")
    parser.add_argument("--networks", type=int, default=6, help="of the front, that are traced")
    return parser.parse_args()


def build(units: Sequence[int], n_inputs: int) -> Any:
    """HGQ2's own defaults but for the first widths: one width per weight, bias and value, all of them trained."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM", round_mode="RND"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP", round_mode="RND"),
    ):
        first = QuantizerConfig(place="datalane", i0=INPUT[1], f0=4)
        layers = [QDense(n, activation="relu", iq_conf=None if k else first) for k, n in enumerate(units)]
        return keras.Sequential([keras.layers.Input((n_inputs,)), *layers, QDense(1)])


class Front(keras.callbacks.Callback):
    """Keeps the weights of every epoch that no other beats in both EBOPs and efficiency on validation events."""

    def __init__(self, x: Any, y: Any, target: float, warm_up: int) -> None:
        super().__init__()
        self.x, self.y, self.target, self.warm_up = x, y, target, warm_up
        self.kept: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judge the epoch; EBOPs are in the logs already."""
        assert logs is not None
        scores = self.model.predict(self.x, batch_size=len(self.x), verbose=0).ravel()
        logs["efficiency"] = selection_efficiency(scores, self.y, self.target)
        found = {"epoch": epoch + 1, "ebops": float(logs["ebops"]), "efficiency": logs["efficiency"]}
        if epoch < self.warm_up or any(_beats(other, found) for other in self.kept):
            return
        weights = [np.asarray(variable) for variable in self.model.variables]
        self.kept = [other for other in self.kept if not _beats(found, other)] + [found | {"weights": weights}]


def _beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["ebops"] <= other["ebops"] and one["efficiency"] >= other["efficiency"]


def selection_efficiency(scores: Any, y: Any, target: float) -> float:
    """Mean signal efficiency at half, once and twice the background efficiency ``target``; higher scores are signal."""
    background = np.sort(scores[y == 0])[::-1]
    found = []
    for multiple in (0.5, 1.0, 2.0):
        allowed = int(multiple * target * len(background) * (1 + 1e-12))
        # Events of one score pass or fail together: the threshold lies above the first that does not fit.
        found.append(float((scores[y == 1] > background[allowed]).mean()))
    return float(np.mean(found))


def train(model: Any, events: dict[str, Any], front: Front, options: argparse.Namespace) -> dict[str, list[float]]:
    """All epochs; curves by name."""
    # Restarts, so that networks late on the way, where the pressure is high, have learned as much as early ones.
    steps = min(options.cycle, options.epochs) * -(-len(events["x_train"]) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecayRestarts(options.learning_rate, steps, t_mul=1.0, alpha=0.05)
    model.compile(
        optimizer=keras.optimizers.Adam(rate), loss=keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=True
    )
    first, last = options.beta
    growing = BetaScheduler(lambda epoch: first * (last / first) ** (epoch / max(1, options.epochs - 1)))
    fitted = model.fit(
        events["x_train"],
        events["y_train"].astype(np.float32)[:, None],
        epochs=options.epochs,
        batch_size=options.batch_size,
        callbacks=[growing, FreeEBOPs(), front],
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in fitted.history.items()}


def spread(kept: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """At most ``n`` of the front, about evenly apart in the logarithm of their EBOPs; the cheapest first."""
    found = sorted((entry for entry in kept if entry["ebops"] > 0), key=lambda entry: entry["ebops"])
    if len(found) <= n:
        return found
    logs = np.log([entry["ebops"] for entry in found])
    chosen = {int(np.argmin(abs(logs - at))) for at in np.linspace(logs[0], logs[-1], n)}
    return [found[position] for position in sorted(chosen)]


def write(model: Any, kept: dict[str, Any], events: dict[str, Any], output: Path, number: int) -> dict[str, Any]:
    """Trace a network, check it against Keras on validation and test events, and write both."""
    for variable, value in zip(model.variables, kept["weights"], strict=True):
        variable.assign(value)
    # Values wrap around: their integer bits are what the training events need.
    ebops = trace_minmax(model, events["x_train"], batch_size=len(events["x_train"]), verbose=0)
    signs, integers, fractions = input_formats(model)
    # The circuit begins with words in these formats, as fpgaml's begins with words of its input format.
    symbols = FixedVariableArray.from_kif(signs, integers, fractions, hwconf=HWConfig(1, -1, -1))
    inputs, outputs = trace_model(model, inputs=(symbols,))
    logic = comb_trace(inputs, outputs, keep_dead_inputs=True)
    columns: dict[str, Any] = {}
    for split in ("validation", "test"):
        x = events[f"x_{split}"]
        words = rounded(x, signs, integers, fractions)
        scores = np.asarray(logic.predict(words)).ravel()
        expected = np.asarray(model.predict(x, batch_size=len(x), verbose=0)).ravel()
        different = int((scores != expected).sum())
        if different:
            raise SystemExit(f"epoch {kept['epoch']}: {different} of {len(x)} {split} scores differ from Keras'")
        columns |= {f"x_{split}": words, split: scores}
    name = f"network_{number}"
    logic.save(output / f"{name}.json")
    np.savez(output / f"{name}.npz", **columns)
    return {
        "network": name,
        "epoch": kept["epoch"],
        "ebops": ebops,
        "validation": kept["efficiency"],
        "zero_weights": int(sum((np.asarray(layer.qkernel) == 0).sum() for layer in _dense(model))),
        "input_bits": (signs + integers + fractions).tolist(),
    }


def _dense(model: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, QDense)]


def input_formats(model: Any) -> tuple[Any, Any, Any]:
    """Sign, integer and fractional bits of every input, as the first layer quantizes it; all 0 for one not used."""
    quantizer = _dense(model)[0].iq.quantizer
    shape = (1, *model.input_shape[1:])
    found = [np.asarray(quantizer.bw_mapper.bw_to_x(part, shape))[0].astype(np.int64) for part in quantizer.kif]
    used = sum(found) > 0
    return tuple(np.where(used, part, 0) for part in found)  # type: ignore[return-value]


def rounded(x: Any, signs: Any, integers: Any, fractions: Any) -> Any:
    """Inputs half up to the given formats, wrapped around as HGQ2 does."""
    steps = 2.0 ** -fractions.astype(float)
    words = np.floor(x / steps + 0.5)
    size = 2.0 ** (signs + integers + fractions)
    low = np.where(signs > 0, -size / 2, 0.0)
    return np.where(size > 1, ((words - low) % size + low) * steps, 0.0)


if __name__ == "__main__":
    main()
