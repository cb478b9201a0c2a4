"""What the firmware is made for and how: backend, part, clock, interface, strategy."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from fpgaml.errors import StudyError, did_you_mean

HLS4ML_BACKENDS = ("vivado", "vitis")
"""Backends for which hls4ml writes the project."""

PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{,63}")
"""Letters, digits and dashes, which mean nothing to the shells, Tcl scripts and files that a part's name goes into."""

FULL_PART = re.compile(
    r"x[a-z0-9]+?"  # device
    r"(-?[a-z]{2,5}\d{2,4}-[1-9][a-z]{,3}|-[1-9][a-z]?-?[a-z]{2,5}\d{2,4})"  # package and speed grade, in either order
    r"(-[a-z0-9]{1,4}){,3}",  # temperature, static screen, engineering sample
    re.IGNORECASE,
)
"""What AMD's tools build for: a device alone names no pins and no timing."""

Strategy = Literal["latency", "resource"]
Factor = Annotated[int, pydantic.Field(ge=1, le=2**24)]
Width = Annotated[int, pydantic.Field(ge=1, le=1024)]
"""As wide as ``ap_fixed`` is by default."""


@cache
def backend_names() -> tuple[str, ...]:
    """Names of the backends: the modules of ``fpgaml/backends``, listed without importing them."""
    found = pkgutil.iter_modules([str(Path(__file__).parent / "backends")])
    return tuple(sorted(module.name for module in found if module.name[0] != "_"))


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
    accumulator_bits: Width | None = None


class Hardware(pydantic.BaseModel):
    """The ``hardware:`` section of a study.

    Parameters
    ----------
    backend : str
        A module of ``fpgaml/backends``.
    part : str
        The FPGA part, as the vendor writes it; vivado and vitis need device, package and speed grade.
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
    part: str = "xcvu9p-flga2577-2-e"
    clock_period_ns: Annotated[float, pydantic.Field(ge=0.1, le=1000)] = 5.0
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    strategy: Strategy = "latency"
    reuse_factor: Factor = 1
    parallelization_factor: Factor = 1
    accumulator_bits: Width | None = None
    layers: Mapping[str, LayerHardware] = pydantic.Field(default_factory=dict)

    @pydantic.field_validator("part")
    @classmethod
    def _possible_part(cls, part: str, info: pydantic.ValidationInfo) -> str:
        if not PART.fullmatch(part):
            raise ValueError("should be a part's name, letters, digits and dashes, such as xcvu9p-flga2577-2-e")
        if info.data.get("backend") in HLS4ML_BACKENDS and not FULL_PART.fullmatch(part):
            raise ValueError(
                "should be a part of AMD with device, package and speed grade, such as xcvu9p-flga2577-2-e, "
                "xcu50-fsvh2104-2-e or xc7z020clg400-1"
            )
        return part

    @property
    def through_hls4ml(self) -> bool:
        """Whether hls4ml writes the project, so that its rules and those of the vendor's HLS tool hold."""
        return self.backend in HLS4ML_BACKENDS

    def for_backend(self, backend: str) -> Hardware:
        """The same for another backend; hls4ml's options to share hardware mean nothing where hls4ml is not used.

        Raises
        ------
        StudyError
            The other backend needs more of the part's name.
        """
        own = self.model_dump(exclude_defaults=True) if backend in HLS4ML_BACKENDS else {}
        try:
            return Hardware(**{**own, "backend": backend, "part": self.part, "clock_period_ns": self.clock_period_ns})
        except pydantic.ValidationError as error:
            reasons = (f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
            raise StudyError(f"hardware for {backend}: {'; '.join(reasons)}") from error

    def for_layer(self, name: str) -> Hardware:
        """What holds for one layer: the model's options, and in their place those that the layer has of its own."""
        if not self.layers:
            return self
        own = self.layers.get(name)
        given = {} if own is None else own.model_dump(exclude_none=True)
        return self.model_copy(update={**given, "layers": {}})
