"""What the firmware is made for and how: backend, part, clock, interface, strategy."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from fpgaml.errors import did_you_mean


def backend_names() -> list[str]:
    """Names of the backends: the modules of ``fpgaml/backends``, listed without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent / "backends")]) if m.name[0] != "_")


def _known_backend(name: str) -> str:
    if name not in backend_names():
        raise ValueError(f"unknown backend {name!r}; {did_you_mean(name, backend_names())}")
    return name


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
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    backend: Annotated[str, pydantic.AfterValidator(_known_backend)] = "vivado"
    part: Annotated[str, pydantic.StringConstraints(min_length=1)] = "xcvu9p-flga2577-2-e"
    clock_period_ns: Annotated[float, pydantic.Field(gt=0, le=1000)] = 5.0
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    strategy: Literal["latency", "resource"] = "latency"
    reuse_factor: Annotated[int, pydantic.Field(ge=1)] = 1
