"""Predicted against synthesized LUTs of the backend rtl, over many small trained networks.

    python benchmarks/lut_prediction.py train     DIRECTORY --magic magic04.data [--networks 39]
    python benchmarks/lut_prediction.py netlists  DIRECTORY
    python benchmarks/lut_prediction.py table     DIRECTORY [--json FILE]

``train`` trains perceptrons on the MAGIC gamma data and convolutional networks on images of the trigger task, binned
to 10 x 6 cells: thirteen shapes, each with widths drawn at random. All networks of a shape begin with one float network
and are then trained quantized, four epochs each; coarse weights make many of them zero. ``netlists`` makes Verilog of
each, has Yosys map it to the look-up tables of an UltraScale+, the smallest first, and goes on where it was
interrupted: about 6 s of one core for 1000 look-up tables. ``table`` predicts every network from a fit to the *other
shapes*: no network of the same shape, whatever its widths, was used for its prediction. It does the same for EBOPs
alone, whose one factor is fitted in the same way, and prints the factors of a fit to all networks, which are those of
``fpgaml.backends._rtl_estimate``. DIRECTORY/networks may hold other trained networks too, as ``TrainedModel.save``
writes them; the name of a network up to its first dot is that of its shape.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.backends._rtl_estimate import circuit_bits, estimate
from fpgaml.backends._rtl_netlist import family_of, synthesize_verilog
from fpgaml.backends._rtl_trace import trace_network
from fpgaml.backends._rtl_verilog import write_verilog
from fpgaml.cost import cost
from fpgaml.dataset import Dataset
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class
from fpgaml.storage import read_json, write_json
from fpgaml.study import Study
from fpgaml.synthesis import Resources
from fpgaml.train import TrainedModel
from fpgaml.train_options import TrainOptions
from fpgaml.training_graph import TrainingEvents, TrainingGraph, epoch_order

_log = logging.getLogger("lut_prediction")
SEARCH_SPACES = Path(__file__).parent.parent / "search_spaces"
HIDDEN = {
    "mlp_8": (8,),
    "mlp_16": (16,),
    "mlp_8_4": (8, 4),
    "mlp_16_8": (16, 8),
    "mlp_24_8": (24, 8),
    "mlp_12_12": (12, 12),
    "mlp_32_16": (32, 16),
    "mlp_16_16_8": (16, 16, 8),
}
"""Units of the hidden layers of the perceptrons."""

IMAGES = ("conv_pool", "conv_stride", "conv_mean", "depthwise", "conv1d")
FLOAT_EPOCHS, EPOCHS = 4, 4
CLOCK_PERIOD_NS = 5.0
Fit = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def perceptron(units: tuple[int, ...], draw: random.Random) -> Architecture:
    """Ten inputs, hidden layers, one output; every width drawn by itself."""
    layers: list[Any] = []
    for n in units:
        layers += [dense(n, draw), relu(draw)]
    layers.append(dense(1, draw))
    bits = draw.choice([6, 7, 8, 9, 10])
    return Architecture((10,), InputFormat(bits=(bits, 3)), tuple(layers))


def convolutional(kind: str, draw: random.Random) -> Architecture:
    """Images of 10 x 6 cells, or ten steps of six channels."""
    shape: tuple[int, ...] = (10, 6) if kind == "conv1d" else (10, 6, 1)
    if kind == "conv_pool":
        first = [conv("conv2d", draw, filters=2, kernel_size=3), relu(draw), layer_class("max_pooling2d")(pool_size=2)]
    elif kind == "conv_stride":
        first = [conv("conv2d", draw, filters=4, kernel_size=3, strides=2), relu(draw)]
    elif kind == "conv_mean":
        pooling = layer_class("average_pooling2d")(pool_size=(2, 1))
        first = [conv("conv2d", draw, filters=3, kernel_size=2, strides=2), relu(draw), pooling]
    elif kind == "depthwise":
        depthwise = conv("depthwise_conv2d", draw, kernel_size=(2, 3), strides=(2, 1))
        first = [depthwise, relu(draw), conv("conv2d", draw, filters=3, kernel_size=1, strides=2), relu(draw)]
    else:
        first = [conv("conv1d", draw, filters=4, kernel_size=3), relu(draw), layer_class("max_pooling1d")(pool_size=2)]
    head = [dense(draw.choice([4]), draw), relu(draw)] if kind in ("conv_pool", "conv1d") else []
    bits = draw.choice([4, 5, 6, 7, 8])
    layers = (*first, layer_class("flatten")(), *head, dense(1, draw))
    return Architecture(shape, InputFormat(bits=(bits, 2), signed=False), layers)


def dense(units: int, draw: random.Random) -> Any:
    """With 3 to 7 bits for a weight."""
    bits = draw.choice([3, 4, 4, 5, 5, 6, 7])
    return layer_class("dense")(units=units, bits=(bits, draw.choice([0, 1])), bias_bits=(bits + 2, 1))


def conv(kind: str, draw: random.Random, **fields: Any) -> Any:
    """With 3 to 7 bits for a weight."""
    bits = draw.choice([3, 4, 4, 5, 5, 6, 7])
    return layer_class(kind)(bits=(bits, draw.choice([0, 1])), bias_bits=(bits + 2, 1), **fields)


def relu(draw: random.Random) -> Any:
    """With 3 to 8 bits."""
    bits = draw.choice([3, 4, 5, 6, 7, 8])
    return layer_class("relu")(bits=(bits, draw.choice([1, 2, 3])))


def networks(number: int) -> Iterator[tuple[str, Architecture]]:
    """Names, which begin with that of the shape, and networks; shape after shape, again and again."""
    shapes = [*HIDDEN, *IMAGES]
    for position in range(number):
        shape, sample = shapes[position % len(shapes)], position // len(shapes)
        draw = random.Random(f"{shape} {sample}")
        network = perceptron(HIDDEN[shape], draw) if shape in HIDDEN else convolutional(shape, draw)
        yield f"{shape}.{sample}", network


def magic(path: Path) -> Dataset:
    """The MAGIC data as the study in search_spaces/ prepares them."""
    text = (SEARCH_SPACES / "magic_mlp.yaml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "magic.yaml"
        study.write_text(text.replace("path: magic04.data", f"path: {path.resolve()}"), encoding="utf-8")
        return Study.load(study).dataset()


def trigger_images() -> Dataset:
    """Images of the quick trigger study, four cells in one, scaled to stay mostly below 4."""
    data = Study.load(SEARCH_SPACES / "trigger_quick.yaml").dataset()
    x = data.x.reshape(len(data), 10, 2, 6, 2).sum(axis=(2, 4), dtype=np.float32)
    x /= np.quantile(x, 0.999) / 4
    return Dataset(x=x[..., None], y=data.y, split=data.split)


def train(directory: Path, path: Path, number: int) -> None:
    """Train what is not there yet."""
    trained = directory / "networks"
    missing = [found for found in networks(number) if not (trained / found[0] / "trained.json").exists()]
    for shape in dict.fromkeys(name.split(".")[0] for name, _ in missing):
        data = magic(path) if shape in HIDDEN else trigger_images()
        if shape == "conv1d":
            data = Dataset(x=data.x[..., 0], y=data.y, split=data.split)
        of_shape = [(name, network) for name, network in missing if name.startswith(f"{shape}.")]
        train_shape(directory, of_shape, TrainingEvents.of(data))


def train_shape(directory: Path, of_shape: list[tuple[str, Architecture]], events: TrainingEvents) -> None:
    """Networks of one shape, from the weights of one float network."""
    options = TrainOptions(batch_size=512, learning_rate=0.005)
    graph = TrainingGraph(of_shape[0][1], options, events, quantized=False)
    graph.start(of_shape[0][1], options)
    run_epochs(graph, options, FLOAT_EPOCHS)
    weights = graph.weights()
    quantized = TrainingGraph(of_shape[0][1], options, events)
    for name, network in of_shape:
        started = time.perf_counter()
        quantized.start(network, options, weights)
        curves = run_epochs(quantized, options, EPOCHS)
        folder = directory / "networks" / name
        folder.mkdir(parents=True, exist_ok=True)
        wall_s = time.perf_counter() - started
        TrainedModel(network, quantized.weights(), curves, options.seed, wall_s).save(folder)
        _log.info("%s: loss %.4f, %.1f s", name, curves["loss"][-1], wall_s)


def run_epochs(graph: TrainingGraph, options: TrainOptions, epochs: int) -> dict[str, list[Any]]:
    """Train on; the curves that a history has."""
    rates = graph.constant_rates(options.learning_rate)
    orders = (epoch_order(options.seed, epoch, len(graph.events)) for epoch in range(1, epochs + 1))
    return {"loss": [graph.epoch(order, rates)["loss"] for order in orders]}


@dataclass(frozen=True)
class Netlist:
    """A network as Yosys made it, and what is known of it before.

    Parameters
    ----------
    name : str
        Its shape and the number of its widths.
    bits : mapping of name to number
        See ``circuit_bits``.
    ebops : int
        Effective bit operations.
    zeros : float
        Fraction of the weights that are zero.
    estimated : Resources
        What the package predicts.
    synthesized : Resources
        What came of it.
    """

    name: str
    bits: Mapping[str, float]
    ebops: int
    zeros: float
    estimated: Resources
    synthesized: Resources

    @property
    def shape(self) -> str:
        """Its shape: what a fit that predicts it must not have seen."""
        return self.name.split(".")[0]


def netlists(directory: Path) -> None:
    """Synthesize what has not been, the smallest first."""
    hardware = Hardware(clock_period_ns=CLOCK_PERIOD_NS)
    found = {}
    for folder in sorted((directory / "networks").iterdir()):
        model = TrainedModel.load(folder)
        circuit = trace_network(model.firmware, model.quantized_weights).network()
        found[folder.name] = circuit
    (directory / "netlists").mkdir(exist_ok=True)
    for name, circuit in sorted(found.items(), key=lambda item: float(item[1].cost)):
        place, started = directory / "netlists" / f"{name}.json", time.perf_counter()
        if place.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_verilog(circuit, Path(folder), "net", clock_period_ns=hardware.clock_period_ns)
            resources = synthesize_verilog(Path(folder), "net", family=family_of(hardware.part))
        write_json(place, resources.to_json())
        _log.info("%s: %s, in %.0f s", name, resources, time.perf_counter() - started)


def read_netlists(directory: Path) -> list[Netlist]:
    """Everything that has been synthesized, the smallest first."""
    found = []
    for place in sorted((directory / "netlists").glob("*.json")):
        model = TrainedModel.load(directory / "networks" / place.stem)
        circuit = trace_network(model.firmware, model.quantized_weights).network()
        kernels = [by_name["kernel"].ravel() for by_name in model.quantized_weights.values()]
        hardware = Hardware(clock_period_ns=CLOCK_PERIOD_NS)
        found.append(
            Netlist(
                name=place.stem,
                bits=circuit_bits(circuit),
                ebops=cost(model.firmware, model.quantized_weights).ebops,
                zeros=float((np.concatenate(kernels) == 0).mean()),
                estimated=estimate(model.firmware, model.quantized_weights, hardware),
                synthesized=Resources.from_json(read_json(place)),
            )
        )
    return sorted(found, key=lambda netlist: netlist.synthesized.lut or 0)


def fit(rows: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors, none negative, with the least squares of relative errors: shapes (n, k), (n,) to (k,)."""
    factors, _ = optimize.nnls(rows / wanted[:, None], np.ones(len(wanted)))
    return np.asarray(factors)


def median_factor(rows: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The one factor for which half of the predictions are too low: least squares would follow a few outliers."""
    return np.array([np.median(wanted / rows[:, 0])])


def cross_validated(
    rows: NDArray[np.float64], wanted: NDArray[np.float64], shapes: list[str], fitted: Fit = fit
) -> NDArray[np.float64]:
    """Predictions, each from a fit to the networks of all other shapes."""
    found = np.empty(len(wanted))
    for shape in sorted(set(shapes)):
        left_out = np.array([other == shape for other in shapes])
        found[left_out] = rows[left_out] @ fitted(rows[~left_out], wanted[~left_out])
    return found


def accuracy(predicted: NDArray[np.float64], wanted: NDArray[np.float64]) -> dict[str, float]:
    """Absolute relative errors and the rank correlation (Spearman's)."""
    errors = np.abs(predicted / wanted - 1)
    return {
        "median_error": float(np.median(errors)),
        "error_90_percent": float(np.quantile(errors, 0.9)),
        "largest_error": float(errors.max()),
        "largest_ratio": float((wanted / predicted).max()),
        "rank_correlation": float(stats.spearmanr(predicted, wanted).statistic),
    }


def compare(found: list[Netlist]) -> dict[str, Any]:
    """Predictions of what no fit has seen, how good they are, and the factors of a fit to all."""
    shapes = [netlist.shape for netlist in found]
    kinds = sorted(found[0].bits)
    luts = np.array([netlist.synthesized.lut for netlist in found], dtype=np.float64)
    circuits = np.array([[netlist.bits[kind] for kind in kinds] for netlist in found], dtype=np.float64)
    ebops = np.array([[netlist.ebops] for netlist in found], dtype=np.float64)
    flip_flops = np.array([netlist.synthesized.ff for netlist in found], dtype=np.float64)
    wanted = {"circuit": luts, "ebops": luts, "ff": flip_flops}
    predictions = {
        "circuit": cross_validated(circuits, luts, shapes),
        "ebops": cross_validated(ebops, luts, shapes, median_factor),
        "ff": np.array([netlist.estimated.ff for netlist in found], dtype=np.float64),  # counted, not fitted
    }
    rows = [
        {
            "network": netlist.name,
            "zeros": netlist.zeros,
            "ebops": netlist.ebops,
            "lut": netlist.synthesized.lut,
            "ff": netlist.synthesized.ff,
            "latency_cycles": netlist.synthesized.latency_cycles,
            "latency_predicted": netlist.estimated.latency_cycles,
            "lut_in_package": netlist.estimated.lut,
            **{f"predicted_{way}": float(values[position]) for way, values in predictions.items()},
        }
        for position, netlist in enumerate(found)
    ]
    return {
        "networks": rows,
        "accuracy": {way: accuracy(predictions[way], wanted[way]) for way in wanted},
        "latency_wrong": sum(row["latency_cycles"] != row["latency_predicted"] for row in rows),
        "factors": {
            "circuit": dict(zip(kinds, fit(circuits, luts).tolist(), strict=True)),
            "ebops": median_factor(ebops, luts).tolist(),
        },
    }


def show(found: Mapping[str, Any]) -> Iterator[str]:
    """The comparison as Markdown."""
    yield "| network | weights 0 | EBOPs | LUT | predicted | error | by EBOPs | error | FF | predicted | cycles |"
    yield "|---" * 11 + "|"
    for row in found["networks"]:
        lut, by_circuit, by_ebops = row["lut"], row["predicted_circuit"], row["predicted_ebops"]
        yield (
            f"| {row['network']} | {row['zeros']:.0%} | {row['ebops']:,} | {lut:,} | {by_circuit:,.0f} | "
            f"{by_circuit / lut - 1:+.1%} | {by_ebops:,.0f} | {by_ebops / lut - 1:+.1%} | {row['ff']:,} | "
            f"{row['predicted_ff']:,.0f} | {row['latency_cycles']} |"
        )
    yield ""
    yield "| prediction | median error | 90 % below | largest | synthesized / predicted, at most | rank correlation |"
    yield "|---" * 6 + "|"
    for way, text in {"circuit": "LUT by the circuit", "ebops": "LUT by EBOPs alone", "ff": "FF, counted"}.items():
        one = found["accuracy"][way]
        yield (
            f"| {text} | {one['median_error']:.1%} | {one['error_90_percent']:.1%} | {one['largest_error']:.1%} | "
            f"{one['largest_ratio']:.3f} | {one['rank_correlation']:.4f} |"
        )
    yield ""
    yield f"{len(found['networks'])} networks; latency wrong for {found['latency_wrong']} of them."
    yield f"Factors of a fit to all: {json.dumps(found['factors'])}"


def main() -> int:
    """Do one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "netlists", "table"])
    parser.add_argument("directory", type=Path, help="holds networks and netlists")
    parser.add_argument("--magic", type=Path, help="the MAGIC gamma data, magic04.data; for train")
    parser.add_argument("--networks", type=int, default=39, help="how many, 13 shapes in turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="where to write the table as JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.step == "train":
        if arguments.magic is None:
            parser.error("train needs --magic, the path of magic04.data")
        train(arguments.directory, arguments.magic, arguments.networks)
    elif arguments.step == "netlists":
        netlists(arguments.directory)
    else:
        found = compare(read_netlists(arguments.directory))
        print("\n".join(show(found)))
        if arguments.json:
            write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
