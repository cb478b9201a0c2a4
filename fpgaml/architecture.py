"""A network with every choice made: its layers, checked to fit each other and to be exact."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pydantic

from fpgaml.errors import ExactnessError, FpgamlError, OutputError, StudyError, did_you_mean
from fpgaml.fixed_point import MAX_WIDTH, FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer, Bits, Layer, QuantizerLayer, Shape, Values, layer_class
from fpgaml.storage import read_json, write_json

HLS4ML_SUM_BITS = 48
"""hls4ml takes a logarithm in float64 to count the bits of a sum; from 50 bits on it sometimes misses one."""

WIDTHS = ("bits", "bias_bits")
"""Keys of a layer that are widths."""

MAX_VALUE_EXPONENT = 120
"""Of all values and their steps, as powers of two: hls4ml's own types reach from 2^-126 to 2^126."""


class InputFormat(pydantic.BaseModel):
    """The ``input:`` section of a study: the number format that inputs are quantized to.

    Parameters
    ----------
    bits : (int, int)
        QKeras' (bits, integer).
    signed : bool
        False for inputs that are never negative.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    bits: Bits
    signed: bool = True

    @pydantic.model_validator(mode="after")
    def _possible(self) -> InputFormat:
        try:
            _ = self.format
        except ExactnessError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def format(self) -> FixedPoint:
        """The same as an ``ap_fixed`` type."""
        return FixedPoint.from_qkeras(*self.bits, signed=self.signed)


@dataclass(frozen=True)
class Step:
    """One layer in its place: its name, and the shape and values of its inputs and outputs."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    input_values: Values
    output_values: Values


@dataclass(frozen=True)
class Architecture:
    """A sequence of layers that fit each other and whose firmware can be exact.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one event's inputs.
    input_format : InputFormat
        What inputs are quantized to.
    layers : tuple of Layer
        From input to output; the output is the score.
    choices : mapping
        The values of the study's choices that led here.

    Raises
    ------
    StudyError
        Shapes that do not fit.
    ExactnessError
        Layers in an order, or with widths, that cannot be exact. Both errors have the position of the layer in
        ``layer``.
    """

    input_shape: Shape
    input_format: InputFormat
    layers: tuple[Layer, ...]
    choices: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        _check_order(self.layers)
        _ = self.steps

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The layers in their places; layers of a kind are numbered from 1, so that folding changes no name."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[Step]:
        shape, values = self.input_shape, Values.of(self.input_format.format)
        _check_range(values, section="input")
        count: Counter[str] = Counter()
        for position, (layer, folded) in enumerate(zip(self.layers, _with_biases(self.layers), strict=True)):
            count[layer.kind] += 1
            with _at_layer(position, layer):
                output_shape = layer.output_shape(shape)
                output_values = folded.output_values(values, shape)
                _check_range(output_values)
                if output_values.width > MAX_WIDTH:
                    raise ExactnessError(
                        f"its sums need up to {output_values.width} bits, and float64, in which the reference is "
                        f"evaluated, holds {MAX_WIDTH}. Use fewer bits for its weights, or in the activation before it"
                    )
            yield Step(f"{layer.kind}_{count[layer.kind]}", layer, shape, output_shape, values, output_values)
            shape, values = output_shape, output_values

    @property
    def output_shape(self) -> Shape:
        """Shape of one event's output."""
        return self.steps[-1].output_shape

    @property
    def batch_normalized(self) -> bool:
        """Whether there is batch normalisation to fold."""
        return any(layer.role == "normalization" for layer in self.layers)

    def folded(self) -> Architecture:
        """The architecture that the firmware has: batch normalisation folded into the layers before it."""
        if not self.batch_normalized:
            return self
        layers = tuple(layer for layer in _with_biases(self.layers) if layer.role != "normalization")
        return Architecture(self.input_shape, self.input_format, layers, self.choices)

    def check_hardware(self, hardware: Hardware) -> None:
        """Refuse what cannot be exact on this hardware, and options of layers that do not have them.

        Raises
        ------
        ExactnessError
            With the reason and what would work.
        StudyError
            ``hardware.layers`` names a layer that is not there or has no such option.
        """
        self._check_layer_options(hardware)
        for position, step in enumerate(self.steps):
            reason = step.layer.refusal(step.input_shape, hardware.for_layer(step.name))
            if not reason and hardware.through_hls4ml and step.output_values.width > HLS4ML_SUM_BITS:
                reason = (
                    f"its sums need up to {step.output_values.width} bits, and hls4ml counts the bits of sums right up "
                    f"to {HLS4ML_SUM_BITS}. Use fewer bits for its weights, or in the activation before it"
                )
            if reason:
                with _at_layer(position, step.layer):
                    raise ExactnessError(reason)

    def _check_layer_options(self, hardware: Hardware) -> None:
        with_options = {
            step.name: step.layer.positions(step.input_shape)
            for step in self.steps
            if isinstance(step.layer, ArithmeticLayer)
        }
        for name, own in hardware.layers.items():
            if name not in with_options:
                raise StudyError(
                    f"hardware.layers: no layer {name!r} that multiplies; {did_you_mean(name, with_options)}"
                )
            if own.parallelization_factor is not None and with_options[name] == 1:
                raise StudyError(
                    f"hardware.layers.{name}: has no parallelization_factor, which is for convolutions: their window "
                    "stands at several positions"
                )

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "input_shape": list(self.input_shape),
            "input": self.input_format.model_dump(mode="json"),
            "layers": [{"kind": layer.kind, **layer.model_dump(mode="json")} for layer in self.layers],
            "choices": dict(self.choices),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """The architecture that ``to_json`` gave."""
        layers = tuple(
            layer_class(entry["kind"])(**{key: item for key, item in entry.items() if key != "kind"})
            for entry in value["layers"]
        )
        return cls(tuple(value["input_shape"]), InputFormat(**value["input"]), layers, value["choices"])

    @cached_property
    def hash(self) -> str:
        """Twelve digits that name the network, whatever choices led to it."""
        content = {key: item for key, item in self.to_json().items() if key != "choices"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def formats(self) -> tuple[FixedPoint, ...]:
        """Number formats of the inputs and of every quantizer, from input to output."""
        return (self.input_format.format, *(fixed for layer in self.layers for fixed in layer.formats))

    @cached_property
    def shape_hash(self) -> str:
        """Twelve digits that are the same for networks that differ in widths only."""
        return self._hash_without(WIDTHS)

    @cached_property
    def float_hash(self) -> str:
        """Twelve digits that are the same for networks whose float twins are the same: rounding is no part of those."""
        return self._hash_without((*WIDTHS, "rounding"))

    def _hash_without(self, left_out: tuple[str, ...]) -> str:
        content = self.to_json()
        layers = [{key: item for key, item in entry.items() if key not in left_out} for entry in content["layers"]]
        signs = [(fixed.signed, fixed.saturation) for fixed in self.formats]
        shape = json.dumps([content["input_shape"], layers, signs], sort_keys=True)
        return hashlib.sha256(shape.encode()).hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Write JSON."""
        write_json(path, {"hash": self.hash, **self.to_json()})

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read what ``save`` wrote.

        Raises
        ------
        OutputError
            The file is not there, or holds something else.
        """
        try:
            return cls.from_json(read_json(path))
        except (KeyError, TypeError, pydantic.ValidationError) as error:
            raise OutputError(f"{path}: holds no architecture: {error}") from error


def _check_range(values: Values, *, section: str | None = None) -> None:
    """Raise ExactnessError where training in float32 or hls4ml's types cannot hold values, a layer's or a section's."""
    if values.fraction <= MAX_VALUE_EXPONENT and values.largest <= 2.0**MAX_VALUE_EXPONENT:
        return
    error = ExactnessError(
        f"{f'{section}: ' if section else ''}its values are multiples of 2^{-values.fraction} up to "
        f"{values.largest:.3g}. Training and hls4ml hold multiples of 2^-{MAX_VALUE_EXPONENT} up to "
        f"2^{MAX_VALUE_EXPONENT}: use integer bits nearer to 0"
    )
    error.section = section
    raise error


class _at_layer:  # noqa: N801  a context manager, used as a statement
    """Name the layer in errors raised inside."""

    def __init__(self, position: int, layer: Layer) -> None:
        self.position, self.layer = position, layer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, FpgamlError):
            named = type(error)(f"layers[{self.position}] ({self.layer.kind}): {error}")
            named.layer = self.position
            raise named from error


def _with_biases(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """The layers, where those before batch normalisation have the biases that folding it will give them."""
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        folds = following is not None and following.role == "normalization"
        yield layer.model_copy(update={"use_bias": True}) if folds else layer


def _check_order(layers: tuple[Layer, ...]) -> None:
    """Every sum is quantized once, by the next activation, or is the output.

    Raises
    ------
    StudyError
        There are no layers.
    ExactnessError
        A sum that nothing quantizes, two roundings in a row, or batch normalisation that cannot be folded.
    """
    if not layers:
        raise StudyError("layers: there are none")
    waiting: Layer | None = None  # a sum that no activation has quantized yet
    rounded = True  # nothing has been computed since the last rounding; inputs are rounded
    before: Layer | None = None
    for position, layer in enumerate(layers):
        with _at_layer(position, layer):
            if layer.role == "normalization" and not isinstance(before, ArithmeticLayer):
                raise ExactnessError(
                    "batch normalisation is exact only when folded into weights. Put it directly after a dense or "
                    "convolution layer"
                )
            if waiting and layer.role in ("arithmetic", "pooling", "reshape"):
                raise ExactnessError(
                    f"the sums of the {waiting.kind} layer before it have no number format. Put a relu or quantize "
                    "layer with its bits between them"
                )
            if isinstance(layer, QuantizerLayer):
                if rounded:
                    raise ExactnessError(
                        "its inputs are rounded already, and rounding twice differs from rounding once. Drop it, or "
                        "give its bits to the rounding before it"
                    )
                waiting, rounded = None, True
            elif isinstance(layer, ArithmeticLayer):
                waiting, rounded = layer, False
            elif layer.role == "pooling":
                rounded = False
        before = layer
