"""Runs that are killed, interrupted or terminated in stages drawn at random, and resumed: see ``kills``."""

from __future__ import annotations

import fcntl
import random

from fuzz.kills import Reference, check_plan, random_plan
from fuzz.outcome import Outcome
from fuzz.workspace import Workspace


def check_kill(seed: int, workspace: Workspace) -> Outcome:
    """Interrupt one run up to three times; resumed, it must come to what the uninterrupted one has come to."""
    rng = random.Random(f"kill {seed}")
    plan = random_plan(rng, rng.randint(1, 3))
    with (workspace.shared / "kills.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes the reference, and the others wait for it
        reference = Reference.make(workspace.shared / "kills")
    outcomes = check_plan(reference, workspace.folder / "kill", plan)
    wrong = [f"{outcome.how} in {outcome.stage}: {what}" for outcome in outcomes for what in outcome.wrong]
    counts = {"interruptions": sum(outcome.happened for outcome in outcomes)}
    if wrong:
        return Outcome("failed", wrong[0], "\n".join(wrong), counts)
    return Outcome("accepted", counts=counts)
