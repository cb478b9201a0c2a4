"""Layer kinds: one module each, found by listing this folder.

A kind's spec is a frozen pydantic model whose fields are the YAML keys. It knows its QKeras layer, its output shape,
the range of its values, its cost, and its node in an hls4ml graph.
"""

from __future__ import annotations

import abc
import importlib
import itertools
import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import pydantic
from numpy.typing import NDArray

from fpgaml.errors import ExactnessError, StudyError, did_you_mean
from fpgaml.fixed_point import MAX_EXPONENT, MAX_WIDTH, FixedPoint, Rounding
from fpgaml.hardware import Hardware

Shape = tuple[int, ...]
HlsNode = dict[str, Any]
QUANTIZER_CLASS = "FpgamlQuantizer"
SHOWN_FACTORS = 20
HLS4ML_BITS = 32
"""How far from the binary point hls4ml looks for the first and the last bit of a weight."""
Weights = Mapping[str, NDArray[np.float64]]
Role = Literal["arithmetic", "normalization", "quantizer", "pooling", "reshape", "dropout"]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Bits = Annotated[
    tuple[
        Annotated[int, pydantic.Field(ge=1, le=MAX_WIDTH)],
        Annotated[int, pydantic.Field(ge=-MAX_EXPONENT, le=MAX_EXPONENT)],
    ],
    pydantic.BeforeValidator(_as_tuple),
]
"""(bits, integer) as QKeras counts them: bits with the sign, integer without."""
Size = Annotated[int, pydantic.Field(ge=1, le=65_536)]


def _as_pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else _as_tuple(value)


Pair = Annotated[tuple[Size, Size], pydantic.BeforeValidator(_as_pair)]
"""(height, width), or one number for both."""


@dataclass(frozen=True)
class Values:
    """What values a tensor can have: multiples of 2^-``fraction`` from ``minimum`` to ``maximum``."""

    minimum: float
    maximum: float
    fraction: int

    @classmethod
    def of(cls, fixed: FixedPoint) -> Values:
        """All values of a fixed-point format."""
        return cls(fixed.minimum, fixed.maximum, fixed.fraction)

    def any_in(self, fixed: FixedPoint) -> bool:
        """Whether any of the values becomes something else than zero in a format."""
        return bool(fixed.quantize([self.minimum, self.maximum]).any())

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.minimum, self.maximum)

    @property
    def width(self) -> int:
        """Bits of the shortest word that holds any of the values, with a sign only if some are negative."""
        largest, smallest = (int(value * 2.0**self.fraction) for value in (self.maximum, self.minimum))
        negative = (-smallest - 1).bit_length() if smallest < 0 else 0
        return max(largest.bit_length(), negative) + (smallest < 0)


class Arithmetic(Protocol):
    """What arrays of numpy, or of anything that behaves like them, cannot do exactly by themselves."""

    def matmul(self, rows: Any, matrix: NDArray[np.float64]) -> Any:
        """``rows`` times ``matrix``, shapes (n_rows, n_in) and (n_in, n_out), every sum exact."""

    def quantize(self, values: Any, fixed: FixedPoint) -> Any:
        """``values`` of any shape in the format ``fixed``."""


@dataclass(frozen=True)
class Example:
    """Layers of one kind that follow each other, for the tests that every kind must pass and for its documentation.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of the first one's inputs.
    fields : tuple of mappings
        The fields of each.
    """

    input_shape: Shape
    fields: tuple[dict[str, Any], ...]


class Layer(pydantic.BaseModel, abc.ABC):
    """One layer with every choice made."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: ClassVar[str]
    role: ClassVar[Role]
    example: ClassVar[Example]

    @abc.abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one event's output.

        Raises
        ------
        StudyError
            The layer does not fit inputs of this shape.
        """

    @abc.abstractmethod
    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """The QKeras layer, or with ``quantized=False`` its float twin; None where inputs pass unchanged.

        What it draws, weights or what is dropped, comes from ``seed`` alone.
        """

    def output_values(self, values: Values, input_shape: Shape) -> Values:
        """What the layer makes of ``values``; the same values unless a kind says otherwise."""
        return values

    @property
    def formats(self) -> tuple[FixedPoint, ...]:
        """Number formats that the layer's quantizers have, in the order of its Keras layer's."""
        return ()

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """Why this layer cannot be exact on this hardware, and what would be; None if it can."""
        return None

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """The layer's nodes of an hls4ml graph, from its quantized ``weights``; none where no hardware is needed."""
        return []

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """What the layer hands on, from one event's ``values``, an array of the input shape, and quantized ``weights``.

        The array may be numpy's or hold symbols of a circuit: only indexing, reshaping, ``np.concatenate``, ``np.max``,
        ``np.sum``, sums with arrays and products with powers of two may be used, and ``arithmetic``. By default the
        values are handed on.
        """
        return values

    def parameters(self, input_shape: Shape) -> int:
        """Number of trained numbers in the firmware."""
        return 0

    def multiply_accumulates(self, input_shape: Shape) -> int:
        """Number of products for one event."""
        return 0


class ArithmeticLayer(Layer):
    """A layer that sums products of its inputs and trained weights.

    Parameters
    ----------
    bits : (int, int)
        QKeras' (bits, integer) of the weights.
    bias_bits : (int, int), optional
        The same of the biases; as the weights if not given.
    use_bias : bool
        Whether there are biases.
    """

    role: ClassVar[Role] = "arithmetic"

    bits: Bits
    bias_bits: Bits | None = None
    use_bias: bool = True

    def model_post_init(self, context: Any) -> None:
        """Check the widths."""
        _check_formats(self, "weight_format", "bias_format")

    @property
    def weight_format(self) -> FixedPoint:
        """Fixed-point format of the weights."""
        return FixedPoint.from_qkeras(*self.bits)

    @property
    def bias_format(self) -> FixedPoint:
        """Fixed-point format of the biases."""
        return FixedPoint.from_qkeras(*(self.bias_bits or self.bits))

    @abc.abstractmethod
    def fan_in(self, input_shape: Shape) -> int:
        """Products summed for one output value."""

    @abc.abstractmethod
    def fan_out(self, input_shape: Shape) -> int:
        """Output values that share one set of inputs: the columns of the weight matrix."""

    def positions(self, input_shape: Shape) -> int:
        """How often the matrix of weights is applied to one event."""
        return 1

    def uses(self, input_shape: Shape) -> NDArray[np.int64]:
        """How often each weight meets an input in one event, in a shape that broadcasts to the kernel's.

        A product with a zero of padding is none.
        """
        return np.array(1, dtype=np.int64)

    def parameters(self, input_shape: Shape) -> int:
        """Weights and biases."""
        return (self.fan_in(input_shape) + self.use_bias) * self.fan_out(input_shape)

    def multiply_accumulates(self, input_shape: Shape) -> int:
        """Products for one event."""
        return self.fan_in(input_shape) * math.prod(self.output_shape(input_shape))

    def output_values(self, values: Values, input_shape: Shape) -> Values:
        """Range of the sums: the most extreme product, as often as there are products, plus a bias."""
        weight = Values.of(self.weight_format)
        products = [x * w for x in (values.minimum, values.maximum) for w in (weight.minimum, weight.maximum)]
        n_products = self.fan_in(input_shape)
        minimum, maximum = min(products) * n_products, max(products) * n_products
        fraction = values.fraction + weight.fraction
        if self.use_bias:
            bias = Values.of(self.bias_format)
            minimum, maximum, fraction = minimum + bias.minimum, maximum + bias.maximum, max(fraction, bias.fraction)
        return Values(minimum, maximum, fraction)

    def reuse_factors(self, input_shape: Shape, hardware: Hardware) -> list[int]:
        """Reuse factors with which hls4ml's resource strategy is right."""
        return valid_reuse_factors(self.fan_in(input_shape), self.fan_out(input_shape))

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """Weights that hls4ml would cut off, or a reuse factor that it would replace."""
        if not hardware.through_hls4ml:
            return None
        for fixed in self.formats:
            if max(fixed.fraction, fixed.integer) > HLS4ML_BITS:
                return (
                    f"hls4ml cannot hold weights or biases with bits [{fixed.width}, {fixed.integer - 1}]. Allowed: "
                    f"[{fixed.width}, {fixed.width - 1 - HLS4ML_BITS}] to [{fixed.width}, {HLS4ML_BITS - 1}]"
                )
        if hardware.strategy != "resource":
            return None
        valid = self.reuse_factors(input_shape, hardware)
        if hardware.reuse_factor in valid:
            return None
        allowed = factors_text(valid, hardware.reuse_factor)
        return f"reuse_factor {hardware.reuse_factor} does not divide its products as hls4ml can. Allowed: {allowed}"

    def quantizer_arguments(self, *, quantized: bool, seed: int, weight: str = "kernel") -> dict[str, Any]:
        """Arguments of a QKeras layer, or of the float twin's, which begins with the same weights."""
        import keras

        initial = {"use_bias": self.use_bias, f"{weight}_initializer": keras.initializers.HeNormal(seed)}
        if not quantized:
            return initial
        from fpgaml.quantizers import WithinRange

        quantizers = {weight: self.weight_format.qkeras_quantizer(), "bias": self.bias_format.qkeras_quantizer()}
        return {
            **initial,
            **{f"{name}_quantizer": quantizer for name, quantizer in quantizers.items()},
            **{f"{name}_constraint": WithinRange(quantizer) for name, quantizer in quantizers.items()},
        }

    @property
    def formats(self) -> tuple[FixedPoint, ...]:
        """Of weights and biases."""
        return (self.weight_format, self.bias_format)


class QuantizerLayer(Layer):
    """An activation: its output has a number format of its own.

    Parameters
    ----------
    bits : (int, int)
        QKeras' (bits, integer).
    rounding : {"RND_CONV", "RND", "TRN"}
        Half to even, as QKeras; half up; or down, which takes the least hardware.
    """

    role: ClassVar[Role] = "quantizer"

    bits: Bits
    rounding: Rounding = "RND_CONV"

    def model_post_init(self, context: Any) -> None:
        """Check the widths."""
        _check_formats(self, "format")

    @pydantic.model_serializer(mode="wrap")
    def _without_qkeras_rounding(self, dump: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave QKeras' own rounding out, so that hashes and files stay those from when there was no other."""
        fields: dict[str, Any] = dump(self)
        if self.rounding == "RND_CONV":
            fields.pop("rounding", None)
        return fields

    @property
    @abc.abstractmethod
    def format(self) -> FixedPoint:
        """Fixed-point format of the outputs."""

    @abc.abstractmethod
    def float_layer(self, name: str, dtype: str) -> Any:
        """What the float twin has in its place; None for nothing."""

    @property
    def formats(self) -> tuple[FixedPoint, ...]:
        """Of the outputs."""
        return (self.format,)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape

    def output_values(self, values: Values, input_shape: Shape) -> Values:
        """All values of the format.

        Raises
        ------
        StudyError
            Its step is so large that all of ``values`` are rounded to zero.
        """
        if not values.any_in(self.format):
            finer = (replace(self.format, integer=self.format.integer - less) for less in itertools.count(1))
            fitting = next(fixed for fixed in finer if values.any_in(fixed))
            bits, integer = self.bits
            raise StudyError(
                f"it gives nothing but zero: its step is {self.format.step:g}, and its inputs, from {values.minimum:g} "
                f"to {values.maximum:g}, are all rounded to zero. Allowed with bits: [{bits}, …]: at most "
                f"{integer + fitting.integer - self.format.integer} integer bits"
            )
        return Values.of(self.format)

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """``QActivation``, or the float layer."""
        if not quantized:
            return self.float_layer(name, dtype)
        import qkeras

        return qkeras.QActivation(self.format.qkeras_quantizer(), name=name, dtype=dtype)

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """A quantizer node."""
        return [quantizer_node(self.format)]

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """The values in the layer's format."""
        return arithmetic.quantize(values, self.format)


def quantizer_node(fixed: FixedPoint) -> HlsNode:
    """The node that quantizes to ``fixed``; its presence switches on hls4ml's derivation of exact types."""
    sign, width, integer = (np.array([value], dtype=np.int16) for value in (fixed.signed, fixed.width, fixed.integer))
    return {
        "class_name": QUANTIZER_CLASS,
        "mask_kbi": (sign, width, integer),
        "RND": fixed.rounding,
        "SAT": fixed.saturation,
        "fusible": None,
        "overrides": {},
    }


def _check_formats(layer: Layer, *properties: str) -> None:
    """Have pydantic report a number format that cannot be."""
    for name in properties:
        try:
            getattr(layer, name)
        except ExactnessError as error:
            raise ValueError(str(error)) from error


def valid_reuse_factors(n_in: int, n_out: int) -> list[int]:
    """Reuse factors that hls4ml's resource strategy takes as they are for an (n_in, n_out) matrix.

    The rule is that of hls4ml's dense layer: a factor divides the number of products, and is either a multiple of
    ``n_in`` or smaller and leaves whole columns of products.
    """
    products = n_in * n_out
    lower = [factor for factor in range(1, math.isqrt(products) + 1) if products % factor == 0]
    return [
        factor
        for factor in sorted({*lower, *(products // factor for factor in lower)})
        if (factor % n_in == 0 if factor >= n_in else (products // factor) % n_out == 0)
    ]


def factors_text(factors: Sequence[int], wanted: int) -> str:
    """Factors for a message: all, or those next to the one that was asked for, and how many more there are."""
    nearest = sorted(sorted(factors, key=lambda factor: max(factor / wanted, wanted / factor))[:SHOWN_FACTORS])
    more = len(factors) - len(nearest)
    return ", ".join(map(str, nearest)) + (f" and {more} more" if more else "")


@cache
def layer_kinds() -> tuple[str, ...]:
    """Names of all layer kinds."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))


@cache
def layer_class(kind: str) -> type[Layer]:
    """The spec of a layer kind.

    Raises
    ------
    StudyError
        No such kind.
    """
    if kind not in layer_kinds():
        raise StudyError(f"unknown layer kind {kind!r}; {did_you_mean(kind, layer_kinds())}")
    module = importlib.import_module(f"{__name__}.{kind}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Layer) and value.__module__ == module.__name__
    )
    return found


def require_rank(layer: Layer, input_shape: Shape, rank: int, layout: str) -> None:
    """Raise StudyError unless one event's inputs have ``rank`` dimensions."""
    if len(input_shape) != rank:
        advice = "put a flatten layer before it" if rank == 1 else "look at the layers before it"
        raise StudyError(f"{layer.kind} takes inputs of shape {layout}, found {input_shape}; {advice}")
