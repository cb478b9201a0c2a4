"""Random networks with random weights on a random target: exact in every word, or refused before training.

``check_network`` makes the network of a seed, of any layer kinds, shapes and widths that stand in some order, and takes
it the way that a user's goes. Architecture and hardware are checked; both models, quantized and float, make a forward
pass and a gradient; costs are estimated; a project is written, simulated, and compared word by word. What is not
refused before training must be exact: an error that comes later has cost somebody the training.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
from networks import inputs_for, values_for
from numpy.typing import NDArray

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.backends import _hls4ml, get_backend
from fpgaml.builder import ModelWeights, build_model, model_weights
from fpgaml.convert import convert
from fpgaml.cost import cost
from fpgaml.csim import compare
from fpgaml.environment import load_tensorflow
from fpgaml.errors import FpgamlError
from fpgaml.fixed_point import ROUNDING, FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.hls_limits import check_limits
from fpgaml.layers import ArithmeticLayer, Layer, layer_class
from fpgaml.network_limits import check_network as check_size
from fpgaml.train import TrainedModel
from fpgaml.yaml_source import YamlSource, checked
from fuzz.integer_twin import scores_of

TARGETS = (
    *itertools.product(("vivado", "vitis"), ("io_parallel", "io_stream"), ("latency", "resource")),
    ("rtl", "io_parallel", "latency"),
)
"""Backend, interface and strategy; seed after seed takes the next one."""

N_EVENTS = 400
N_TWIN_EVENTS = 8
LONGEST_MESSAGE = 500

Verdict = Literal["exact", "refused", "differs", "crashed"]
Entry = dict[str, Any]


@dataclass(frozen=True)
class NetworkOutcome:
    """What became of one random network.

    Parameters
    ----------
    verdict : {"exact", "refused", "differs", "crashed"}
        Every word agrees; refused before training, as a user should be told; or one of two faults.
    target : str
        Backend, interface and strategy.
    text : str
        The message of a refusal, or the network and what is wrong with it.
    words : int
        Output words that were compared.
    """

    verdict: Verdict
    target: str
    text: str = ""
    words: int = 0


def check_network(seed: int) -> NetworkOutcome:
    """Make the network of a seed and judge it; the same seed makes the same one."""
    rng = np.random.default_rng(seed)
    backend, io_type, strategy = TARGETS[seed % len(TARGETS)]
    outcome = NetworkOutcome("exact", f"{backend} {io_type} {strategy}")
    shape, input_format, entries = random_network(rng)
    described = f"input {shape} {input_format}, layers {entries}"
    try:
        architecture = made_network(shape, input_format, entries)
        hardware = random_hardware(rng, architecture, backend=backend, io_type=io_type, strategy=strategy)
        described += f", hardware {hardware.model_dump(exclude_defaults=True)}"
        architecture.check_hardware(hardware)
        check_limits(architecture, hardware)
        check_size(architecture, batch_size=1)
    except FpgamlError as error:
        if len(str(error)) > LONGEST_MESSAGE:
            return replace(outcome, verdict="crashed", text=f"a message of {len(str(error))} characters: {error}")
        return replace(outcome, verdict="refused", text=str(error))
    except Exception:  # noqa: BLE001  whatever it is
        return replace(outcome, verdict="crashed", text=f"{described}\n{traceback.format_exc()}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
            train_a_step(architecture)
            trained = random_weights(rng, architecture)
            cost(trained.firmware, trained.quantized_weights)
            get_backend(backend).estimate(trained.firmware, trained.quantized_weights, hardware)
            words, wrong = _compared(trained, hardware, inputs_for(architecture, N_EVENTS, seed), seed)
    except Exception:  # noqa: BLE001  after training, every error is one too many
        return replace(outcome, verdict="crashed", text=f"{described}\n{traceback.format_exc()}")
    if wrong:
        return replace(outcome, verdict="differs", text=f"{wrong}: {described}", words=words)
    return replace(outcome, words=words)


def _compared(trained: TrainedModel, hardware: Hardware, x: NDArray[np.float32], seed: int) -> tuple[int, str]:
    """Words that were compared, and what differs, if anything does."""
    reference = trained.predict(x)
    for number, event in enumerate(x[:N_TWIN_EVENTS]):
        twin = scores_of(trained.firmware, trained.weights, event)
        if twin != [Fraction(score) for score in reference[number].ravel().tolist()]:
            return reference.size, f"the model differs from its twin in event {number}: {reference[number]}, not {twin}"
    with tempfile.TemporaryDirectory(prefix="fpgaml-fuzz-") as folder, _small_builds(Path(folder), seed):
        project = convert(trained, hardware, Path(folder) / "project")
        backend = get_backend(hardware.backend)
        # Compiling Verilog takes a minute or two; the interpreter of the circuit takes none.
        interpreted = backend.interpret(project.directory, x.reshape(len(x), -1).astype(np.float64))
        if interpreted is not None and seed % 5:
            differing = int((interpreted != reference.reshape(len(x), -1)).sum())
            return interpreted.size, f"{differing} words of the interpreter" if differing else ""
        agreement = compare(project, trained, x, processes=1)
        return agreement.words, "" if agreement.exact else str(agreement)


@contextlib.contextmanager
def _small_builds(folder: Path, seed: int) -> Iterator[None]:
    """Keep builds in ``folder``, and compile most of them in less time: with the same sources, but fewer passes."""
    flags = _hls4ml.FLAGS if seed % 7 == 0 else ("-O1", *_hls4ml.FLAGS[1:])
    with (
        mock.patch.dict("os.environ", FPGAML_CACHE_DIR=str(folder / "cache")),
        mock.patch.object(_hls4ml, "FLAGS", flags),
    ):
        yield


def train_a_step(architecture: Architecture) -> None:
    """A forward pass and a gradient of the quantized model and of its float twin."""
    load_tensorflow()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()  # as training does
    x = tf.constant(inputs_for(architecture, 4, 1))
    for quantized in (True, False):
        model = build_model(architecture, quantized=quantized)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(x, training=True))
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
        ):
            assert gradient is not None, variable.name
            assert gradient.shape == variable.shape, variable.name


def made_network(shape: tuple[int, ...], input_format: Entry, entries: list[Entry]) -> Architecture:
    """The architecture, with the errors that a study would give."""
    source = YamlSource(Path("random.yaml"), {"input": input_format, "layers": entries}, {})
    layers: list[Layer] = []
    for number, entry in enumerate(entries):
        fields = {key: value for key, value in entry.items() if key != "kind"}
        layers.append(checked(layer_class(entry["kind"]), fields, source, ("layers", number)))
    return Architecture(shape, checked(InputFormat, input_format, source, ("input",)), tuple(layers))


def random_hardware(rng: np.random.Generator, architecture: Architecture, **fixed: Any) -> Hardware:
    """Hardware with options of single layers here and there; most reuse factors are possible ones."""
    layers: dict[str, Any] = {}
    for step in architecture.steps if fixed["backend"] != "rtl" else ():
        if not isinstance(step.layer, ArithmeticLayer):
            continue
        own: dict[str, Any] = {}
        if _chance(rng, 0.3):
            valid = step.layer.reuse_factors(step.input_shape, Hardware(**fixed))
            own["reuse_factor"] = _pick(rng, valid) if _chance(rng, 0.9) else int(rng.integers(1, 9))
        if _chance(rng, 0.1):
            own["strategy"] = _pick(rng, ["latency", "resource"])
        positions = step.layer.positions(step.input_shape)
        if positions > 1 and fixed["io_type"] == "io_parallel" and _chance(rng, 0.2):
            own["parallelization_factor"] = _pick(rng, [n for n in range(1, positions + 1) if positions % n == 0])
        if own:
            layers[step.name] = own
    return Hardware(**fixed, layers=layers)


# Networks


def random_network(rng: np.random.Generator) -> tuple[tuple[int, ...], Entry, list[Entry]]:
    """Input shape, input format and layers, as they would stand in a study."""
    rank = int(rng.integers(0, 3))
    image = [int(rng.integers(1, 8)) for _ in range(rank)]
    shape = (*image, int(rng.integers(1, 5 if rank else 9)))
    input_format = {"bits": random_bits(rng), "signed": _chance(rng, 0.6)}
    sketch = _Sketch(rng, shape)
    for _ in range(int(rng.integers(1, 7))):
        sketch.add_layer()
    if _chance(rng, 0.8):
        sketch.finish()
    return shape, input_format, sketch.entries


def random_bits(rng: np.random.Generator) -> list[int]:
    """QKeras' (bits, integer): mostly ordinary, some narrow, coarse, fine, wide or at the end of what can be."""
    low, high, integer_low, integer_high = _pick(rng, _WIDTHS, _WIDTH_SHARES)
    bits = int(rng.integers(low, high + 1))
    if bits < 2 and _chance(rng, 0.8):
        bits = 2  # one bit with a sign is refused
    coarse = bits if (low, integer_low) == (2, 1) else 0
    return [bits, int(rng.integers(integer_low, integer_high + 1)) + coarse]


_WIDTHS = ((2, 10, -2, 4), (1, 3, -1, 2), (2, 8, 1, 6), (2, 8, -12, -2), (12, 26, 0, 8), (1, 53, -40, 40))
"""Fewest and most bits, fewest and most integer bits; the third counts integer bits from ``bits``."""
_WIDTH_SHARES = (0.62, 0.12, 0.08, 0.08, 0.07, 0.03)


class _Sketch:
    """A network in the making, which mostly puts layers where they can stand."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        self.rng, self.shape = rng, shape
        self.entries: list[Entry] = []
        self.unrounded = False
        """Whether sums wait for an activation."""

    def add_layer(self) -> None:
        """Add a layer, and mostly the activation that it needs."""
        rank = len(self.shape) - 1
        if _chance(self.rng, 0.02):
            kind = _pick(self.rng, list(FIELDS))  # wherever
        elif rank == 0:
            kind = _pick(self.rng, ["dense", "dropout", "flatten"], [0.85, 0.1, 0.05])
        else:
            kinds = [kind for kind in FIELDS if kind.endswith(f"{rank}d")]
            kind = _pick(self.rng, [*kinds, "flatten", "dropout"])
        self.add(kind)
        if self.unrounded and _chance(self.rng, 0.2):
            self.add("batchnorm")
        wanted = 0.97 if self.unrounded else 0.3 if "pooling" in kind else 0.02
        if _chance(self.rng, wanted):
            self.add(_pick(self.rng, ["relu", "quantize"]))

    def finish(self) -> None:
        """End in a dense layer, as a classifier does."""
        if self.unrounded:
            self.add("quantize")
        if len(self.shape) > 1:
            self.add("flatten")
        self.add("dense")

    def add(self, kind: str) -> None:
        """Add one layer with random fields, and follow the shape as long as there is one."""
        entry = {"kind": kind, **FIELDS[kind](self.rng, self.shape)}
        self.entries.append(entry)
        self.unrounded = kind in ("dense", "conv1d", "conv2d", "depthwise_conv2d") or (
            self.unrounded and kind in ("batchnorm", "dropout")
        )
        with contextlib.suppress(FpgamlError, ValueError):
            layer = layer_class(kind)(**{key: value for key, value in entry.items() if key != "kind"})
            self.shape = layer.output_shape(self.shape)


def _arithmetic(rng: np.random.Generator) -> Entry:
    fields: Entry = {"bits": random_bits(rng)}
    if _chance(rng, 0.3):
        fields["bias_bits"] = random_bits(rng)
    if _chance(rng, 0.3):
        fields["use_bias"] = False
    return fields


def _sizes(rng: np.random.Generator, image: tuple[int, ...], most: int, rank: int) -> Any:
    """One number, or one for each axis; now and then more than there is."""
    largest = [min(most, size + _chance(rng, 0.05)) for size in image] or [most]
    sizes = [int(rng.integers(1, size + 1)) for size in (*largest, *largest)[:rank]]
    return min(sizes) if rank == 1 or _chance(rng, 0.6) else sizes


def _convolution(rank: int, *, filters: bool) -> Any:
    def fields(rng: np.random.Generator, shape: tuple[int, ...]) -> Entry:
        found = _arithmetic(rng) | {"kernel_size": _sizes(rng, shape[:-1], 4, rank)}
        if filters:
            found["filters"] = int(rng.integers(1, 5))
        if _chance(rng, 0.4):
            found["strides"] = _sizes(rng, (4,) * rank, 4, rank)
        if _chance(rng, 0.4):
            found["padding"] = "same"
        return found

    return fields


def _pooling(rank: int, *, mean: bool) -> Any:
    def fields(rng: np.random.Generator, shape: tuple[int, ...]) -> Entry:
        found: Entry = {"pool_size": _sizes(rng, shape[:-1], 4, rank)}
        if mean and _chance(rng, 0.8):
            found["pool_size"] = [int(_pick(rng, [1, 2, 4])) for _ in range(rank)]
            if rank == 1:
                (found["pool_size"],) = found["pool_size"]
        if _chance(rng, 0.3):
            found["strides"] = _sizes(rng, (4,) * rank, 4, rank)
        return found

    return fields


def _activation(rng: np.random.Generator, shape: tuple[int, ...]) -> Entry:
    return {"bits": random_bits(rng), "rounding": _pick(rng, ROUNDING)}


FIELDS: Mapping[str, Any] = {
    "dense": lambda rng, shape: _arithmetic(rng) | {"units": int(rng.integers(1, 7))},
    "conv1d": _convolution(1, filters=True),
    "conv2d": _convolution(2, filters=True),
    "depthwise_conv2d": _convolution(2, filters=False),
    **{f"max_pooling{rank}d": _pooling(rank, mean=False) for rank in (1, 2)},
    **{f"average_pooling{rank}d": _pooling(rank, mean=True) for rank in (1, 2)},
    **{f"global_{kind}_pooling{rank}d": lambda rng, shape: {} for kind in ("max", "average") for rank in (1, 2)},
    "batchnorm": lambda rng, shape: {},
    "dropout": lambda rng, shape: {"rate": 0.5},
    "flatten": lambda rng, shape: {},
    "relu": _activation,
    "quantize": _activation,
}
"""By kind, what makes the fields of a layer that is fed with a shape."""


# Weights


def random_weights(rng: np.random.Generator, architecture: Architecture) -> TrainedModel:
    """The folded network with weights of some kind in each layer."""
    firmware = architecture.folded()
    layers = {step.name: step.layer for step in firmware.steps if isinstance(step.layer, ArithmeticLayer)}
    weights: ModelWeights = {}
    for name, arrays in model_weights(build_model(firmware)).items():
        formats = {"kernel": layers[name].weight_format, "bias": layers[name].bias_format}
        weights[name] = {
            key: _pick(rng, _WEIGHTS)(formats[key], array.shape, rng).astype(np.float32)
            for key, array in arrays.items()
        }
    return TrainedModel(firmware, weights)


def _single(fixed: FixedPoint, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    values = np.zeros(math.prod(shape))
    values[rng.integers(values.size)] = rng.choice([fixed.minimum, fixed.maximum, fixed.step, -fixed.step])
    return values.reshape(shape)


def _one_channel_empty(fixed: FixedPoint, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.uniform(fixed.minimum, fixed.maximum, shape)
    values[..., rng.integers(shape[-1])] = 0
    return values


_WEIGHTS = (
    values_for,  # from everywhere in the format, beyond it, and on ties
    values_for,
    lambda fixed, shape, rng: rng.normal(0, fixed.maximum / 3 + fixed.step / 3, shape),
    lambda fixed, shape, rng: np.zeros(shape),
    _single,
    lambda fixed, shape, rng: rng.choice([fixed.minimum, fixed.maximum], shape),
    lambda fixed, shape, rng: rng.uniform(fixed.minimum, fixed.maximum, shape) * (rng.uniform(size=shape) < 0.1),
    lambda fixed, shape, rng: rng.uniform(-0.5, 0.5, shape) * fixed.step,  # all zero once they are rounded
    lambda fixed, shape, rng: rng.choice([-1, 1], shape) * fixed.step * 2.0 ** rng.integers(0, fixed.width, shape),
    lambda fixed, shape, rng: np.full(shape, rng.choice([fixed.minimum, fixed.maximum])),
    lambda fixed, shape, rng: rng.integers(-1, 2, shape) * fixed.step,
    _one_channel_empty,
)
"""What makes weights of some kind in a format: the trained ones of networks that learned, and of those that did not."""


def _chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.uniform() < probability)


def _pick(rng: np.random.Generator, choices: Any, shares: Any = None) -> Any:
    return choices[int(rng.choice(len(choices), p=shares))]
