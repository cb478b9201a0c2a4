"""Random networks on all targets, compared word by word: see ``random_networks``."""

from __future__ import annotations

from fuzz.outcome import Outcome
from fuzz.random_networks import check_network
from fuzz.workspace import Workspace


def check_exactness(seed: int, workspace: Workspace) -> Outcome:
    """Train a step, convert and simulate a network with random weights; no word may differ."""
    found = check_network(seed)
    counts = {"words": found.words, f"networks on {found.target}": 1}
    if found.verdict == "exact":
        return Outcome("accepted", counts=counts)
    if found.verdict == "refused":
        return Outcome("refused", found.text, counts=counts)
    return Outcome("failed", f"{found.verdict}: {found.text.strip().splitlines()[-1]}", found.text, counts)
