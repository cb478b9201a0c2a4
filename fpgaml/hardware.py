"""What the firmware is made for and how: backend, part, clock, interface, strategy."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from fpgaml.errors import did_you_mean

HLS4ML_BACKENDS = ("vivado", "vitis")
"""Backends for which hls4ml writes the project."""

Strategy = Literal["latency", "resource"]
Factor = Annotated[int, pydantic.Field(ge=1)]


def backend_names() -> list[str]:
    """Names of the backends: the modules of ``fpgaml/backends``, listed without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent / "backends")]) if m.name[0] != "_")


def _known_backend(name: str) -> str:
    if name not in backend_names():
        raise ValueError(f"unknown backend {name!r}; {did_you_mean(name, backend_names())}")
    return name


class LayerHardware(pydantic.BaseModel):
    """What one layer has instead of what the model has; whatever is not given stays as the model's.

    Parameters
    ----------
    strategy : {"latency", "resource"}, optional
    reuse_factor, parallelization_factor, accumulator_bits : int, optional
        As under ``hardware``.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    strategy: Strategy | None = None
    reuse_factor: Factor | None = None
    parallelization_factor: Factor | None = None
    accumulator_bits: Factor | None = None


class Hardware(pydantic.BaseModel):
    """The ``hardware:`` section of a study.

    Parameters
    ----------
    backend : str
        A module of ``fpgaml/backends``.
    part : str
        The FPGA part, as the vendor writes it.
    clock_period_ns : float
        Clock period in ns.
    io_type : {"io_parallel", "io_stream"}
        All values of an event at once, or as a stream.
    strategy : {"latency", "resource"}
        hls4ml's strategy for products: unrolled, or sharing multipliers.
    reuse_factor : int
        How many products share a multiplier.
    parallelization_factor : int
        With io_parallel: how many positions of a convolution's window are computed at the same time. It divides the
        number of positions.
    accumulator_bits : int, optional
        The widest that any layer's accumulator may be. Accumulators have as many bits as exact sums need, which is
        known when the weights are; a layer that needs more is an error then.
    layers : mapping
        Options of single layers, by the layer's name: ``{dense_1: {reuse_factor: 4}}``. Layers of a kind are numbered
        from 1, from input to output. A layer can have a strategy, reuse_factor, parallelization_factor and
        accumulator_bits of its own.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    backend: Annotated[str, pydantic.AfterValidator(_known_backend)] = "vivado"
    part: Annotated[str, pydantic.StringConstraints(min_length=1)] = "xcvu9p-flga2577-2-e"
    clock_period_ns: Annotated[float, pydantic.Field(gt=0, le=1000)] = 5.0
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    strategy: Strategy = "latency"
    reuse_factor: Factor = 1
    parallelization_factor: Factor = 1
    accumulator_bits: Factor | None = None
    layers: Mapping[str, LayerHardware] = pydantic.Field(default_factory=dict)

    @property
    def through_hls4ml(self) -> bool:
        """Whether hls4ml writes the project, so that its rules and those of the vendor's HLS tool hold."""
        return self.backend in HLS4ML_BACKENDS

    def for_layer(self, name: str) -> Hardware:
        """What holds for one layer: the model's options, and in their place those that the layer has of its own."""
        own = self.layers.get(name)
        given = {} if own is None else own.model_dump(exclude_none=True)
        return self.model_copy(update={**given, "layers": {}})
