"""Which collisions Pythia generates, with which settings, and in chunks of how many."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from fpgaml.errors import ToolError

FORMAT = 1
"""Goes into every cache key: raise it whenever generated events or their file format change."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One kind of collision.

    Parameters
    ----------
    name : str
        "soft", "hard_20" (after its lower edge) or "signal".
    settings : tuple of str
        Pythia's settings, beside those that all processes share.
    energy_tev : float
        Centre-of-mass energy.
    chunk_events : int
        Events generated with one seed: 10 to 20 s of one core.
    """

    name: str
    settings: tuple[str, ...]
    energy_tev: float
    chunk_events: int


def soft_process(*, energy_tev: float) -> Process:
    """All inelastic collisions; its own hard ones are vetoed when crossings are mixed."""
    return Process(name="soft", settings=("SoftQCD:inelastic = on",), energy_tev=energy_tev, chunk_events=8000)


def hard_process(low_gev: float, high_gev: float, *, energy_tev: float) -> Process:
    """QCD 2→2 scattering with transverse momentum between two edges (infinite ``high_gev``: no upper edge)."""
    upper = -1.0 if np.isinf(high_gev) else high_gev  # Pythia's "no upper limit"
    settings = ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {low_gev:g}", f"PhaseSpace:pTHatMax = {upper:g}")
    return Process(name=f"hard_{low_gev:g}", settings=settings, energy_tev=energy_tev, chunk_events=2500)


def signal_process(*, mass_gev: float, energy_tev: float) -> Process:
    """A narrow heavy H in gg → H → hh → 4b: Pythia's stand-in for gg → HH, which it does not have."""
    settings = (
        "Higgs:useBSM = on",
        "HiggsBSM:gg2H2 = on",
        f"35:m0 = {mass_gev:g}",
        "35:mWidth = 0.01",
        "35:doForceWidth = on",
        f"35:mMin = {mass_gev - 10:g}",
        f"35:mMax = {mass_gev + 10:g}",
        "35:onMode = off",
        "35:onIfMatch = 25 25",
        "25:onMode = off",
        "25:onIfMatch = 5 -5",
    )
    return Process(name="signal", settings=settings, energy_tev=energy_tev, chunk_events=2500)


def pythia_version() -> str:
    """Version of pythia8mc.

    Raises
    ------
    ToolError
        pythia8mc, or awkward through which its events are read in bulk, is not installed.
    """
    try:
        version("awkward")
        return version("pythia8mc")
    except PackageNotFoundError as error:
        raise ToolError(
            f"task trigger: the package {error.name} is not installed, and its events are generated with it. "
            "Install it with: pip install 'fpgaml[trigger]'"
        ) from error


def chunk_sizes(process: Process, n_events: int) -> list[int]:
    """Sizes of the chunks that ``n_events`` are generated in: full ones, and a rest."""
    full, rest = divmod(n_events, process.chunk_events)
    return [process.chunk_events] * full + ([rest] if rest else [])


def chunk_seed(process: Process, *, seed: int, chunk: int) -> int:
    """Pythia's seed (1 to 900,000,000) of a chunk.

    It depends on the process, the user's seed and the chunk's number only.
    """
    name = int.from_bytes(hashlib.sha256(process.name.encode()).digest()[:8], "big")
    return int(np.random.SeedSequence([seed, name, chunk]).generate_state(1)[0]) % 900_000_000 + 1


def cache_key(process: Process, *, seed: int) -> str:
    """Name of the folder that keeps the chunks: the process's name and a hash of all that its events depend on."""
    content = [FORMAT, pythia_version(), process.name, process.settings, process.energy_tev, seed]
    return f"{process.name}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"
