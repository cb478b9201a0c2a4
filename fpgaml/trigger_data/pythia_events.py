"""Pythia itself: one chunk of collisions, read from it in bulk.

``nextBatch`` hands over all particles of many events as one array, so that no Python code runs per particle. Only the
jets need the event while Pythia still holds it: a hook that Pythia calls once per event finds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import ToolError
from fpgaml.trigger_data.event_pool import ETA_MAX, FINE_SHAPE, TRACKER_ETA_MAX, EventPool
from fpgaml.trigger_data.processes import Process, chunk_seed

JET_RADIUS = 0.4
JET_PT_GEV = 30.0
JET_ETA_MAX = 2.4
BATCH_EVENTS = 500  # bounds the memory for full event records: about 1 kB a particle record


def fine_cells(eta: NDArray[Any], phi: NDArray[Any]) -> NDArray[np.uint16]:
    """Cells of the 120×72 grid; ``eta`` must be in (-5, 5), ``phi`` is any angle in radians and wraps around.

    Rounding must not carry a value at an edge out of its ring: the phi index is taken modulo 72, the eta index is
    clipped.
    """
    n_eta, n_phi = FINE_SHAPE
    eta_index = np.clip(np.floor((eta + ETA_MAX) * (n_eta / (2 * ETA_MAX))), 0, n_eta - 1).astype(np.int64)
    phi_index = np.floor((phi + np.pi) * (n_phi / (2 * np.pi))).astype(np.int64) % n_phi
    return (eta_index * n_phi + phi_index).astype(np.uint16)


def generate(process: Process, *, seed: int, chunk: int, n_events: int) -> EventPool:
    """Generate chunk number ``chunk`` of a process.

    Raises
    ------
    ToolError
        Pythia refuses a setting, cannot start, or fails on most events.
    """
    pythia, jets = _start(process, seed=chunk_seed(process, seed=seed, chunk=chunk))
    batches, done = [], 0
    while done < n_events:
        batch = pythia.nextBatch(min(BATCH_EVENTS, n_events - done))
        if len(batch) == 0:
            raise ToolError(f"Pythia generates no events of the process {process.name} at {process.energy_tev:g} TeV")
        batches.append(_particles(batch, pythia.particleData))
        done += len(batch)
    if len(jets.events) != done:
        raise ToolError(
            f"Pythia finished {len(jets.events)} events of the process {process.name} but handed over {done}"
        )
    counts, cell, pt, tracked, scale, quarks = (list(column) for column in zip(*batches, strict=True))
    info = pythia.infoPython()
    return EventPool(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
        cell=np.concatenate(cell),
        pt_gev=np.concatenate(pt),
        tracked=np.concatenate(tracked),
        hard_scale_gev=np.concatenate(scale),
        ht_gev=np.array([_ht(event) for event in jets.events], dtype=np.float32),
        m4b_gev=_m4b(jets.events, [event for batch in quarks for event in batch]),
        sigma_mb=float(info.sigmaGen()),
        n_tried=int(info.nTried()),
    )


def _start(process: Process, *, seed: int) -> tuple[Any, Any]:
    """Pythia, ready to generate, and the hook that collects jets as rows (px, py, pz, e) of every finished event."""
    import pythia8mc

    class Jets(pythia8mc.UserHooks):  # type: ignore[misc]
        def __init__(self) -> None:
            pythia8mc.UserHooks.__init__(self)
            self.events: list[list[tuple[float, float, float, float]]] = []
            self.latest: list[tuple[float, float, float, float]] = []
            # anti-kt (-1) on visible particles (2) with their own masses (1)
            self.finder = pythia8mc.SlowJet(-1, JET_RADIUS, JET_PT_GEV, ETA_MAX, 2, 1)

        def canVetoAfterHadronization(self) -> bool:  # noqa: N802  the name is Pythia's
            return True

        def doVetoAfterHadronization(self, event: Any) -> bool:  # noqa: N802
            self.finder.analyze(event)
            found = [self.finder.p(i) for i in range(self.finder.sizeJet())]
            self.latest = [(p.px(), p.py(), p.pz(), p.e()) for p in found if abs(p.rap()) < JET_ETA_MAX]
            return False

        def onEndEvent(self, status: Any) -> None:  # noqa: N802
            if int(status) == int(pythia8mc.UserHooks.Status.COMPLETE):  # an event may fail after its hadronization
                self.events.append(self.latest)

    pythia = pythia8mc.Pythia("", False)  # noqa: FBT003  its own data, no banner
    shared = (
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        f"Beams:eCM = {1000 * process.energy_tev:g}",
    )
    for line in (*shared, *process.settings):
        if not pythia.readString(line):
            raise ToolError(f"Pythia does not accept the setting {line!r}")
    jets = Jets()
    pythia.setUserHooksPtr(jets)
    if not pythia.init():
        raise ToolError(f"Pythia cannot be started for the process {process.name} at {process.energy_tev:g} TeV")
    return pythia, jets


def _particles(batch: Any, particle_data: Any) -> tuple[Any, ...]:
    """What is kept of one batch.

    Returns
    -------
    counts : particles kept, per event
    cell, pt, tracked : per particle kept
    hard_scale : GeV, per event
    quarks : per event, the b quarks of the hardest process as rows (px, py, pz)
    """
    import awkward as ak

    particles = batch.prt
    n_events = len(particles)
    event = np.repeat(np.arange(n_events), ak.to_numpy(ak.num(particles.status)))
    status, identity = (ak.to_numpy(ak.flatten(column)) for column in (particles.status, particles.id))
    px, py, pz = (ak.to_numpy(ak.flatten(column)) for column in (particles.p.px, particles.p.py, particles.p.pz))
    pt = np.hypot(px, py)

    # Outgoing partons of the hardest scattering (23) and of further ones (33).
    outgoing = np.isin(np.abs(status), (23, 33))
    scale = np.zeros(n_events)
    np.maximum.at(scale, event[outgoing], pt[outgoing])
    quark = (np.abs(status) == 23) & (np.abs(identity) == 5)
    momenta = np.stack([px[quark], py[quark], pz[quark]], axis=1)
    quarks = np.split(momenta, np.cumsum(np.bincount(event[quark], minlength=n_events))[:-1])

    kinds, kind = np.unique(identity, return_inverse=True)
    visible = np.array([particle_data.isVisible(int(number)) for number in kinds])[kind]
    charged = np.array([particle_data.chargeType(int(number)) != 0 for number in kinds])[kind]
    chosen = (status > 0) & visible & (pt > 0)
    eta = np.arcsinh(np.divide(pz, pt, out=np.full_like(pz, np.inf), where=pt > 0))
    chosen &= np.abs(eta) < ETA_MAX
    return (
        np.bincount(event[chosen], minlength=n_events),
        fine_cells(eta[chosen], np.arctan2(py[chosen], px[chosen])),
        pt[chosen].astype(np.float32),
        (charged & (np.abs(eta) < TRACKER_ETA_MAX))[chosen],
        scale.astype(np.float32),
        quarks,
    )


def _ht(jets: list[tuple[float, float, float, float]]) -> float:
    return float(sum(np.hypot(px, py) for px, py, _, _ in jets))


def _m4b(
    events: list[list[tuple[float, float, float, float]]], quarks: list[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Mass of the four jets nearest to the four b quarks, each within the jet radius.

    NaN where these are not four different jets.
    """
    masses = np.full(len(events), np.nan, dtype=np.float32)
    for i, (found, momenta) in enumerate(zip(events, quarks, strict=True)):
        if len(momenta) != 4 or len(found) < 4:
            continue
        jets = np.array(found)
        d_eta = _eta(jets)[:, None] - _eta(momenta)[None, :]
        d_phi = np.arctan2(jets[:, 1], jets[:, 0])[:, None] - np.arctan2(momenta[:, 1], momenta[:, 0])[None, :]
        distance = np.hypot(d_eta, (d_phi + np.pi) % (2 * np.pi) - np.pi)
        nearest = distance.argmin(axis=0)
        if len(set(nearest.tolist())) == 4 and (distance.min(axis=0) < JET_RADIUS).all():
            px, py, pz, energy = jets[nearest].sum(axis=0)
            masses[i] = np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0))
    return masses


def _eta(momenta: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.arcsinh(momenta[:, 2] / np.hypot(momenta[:, 0], momenta[:, 1])))
