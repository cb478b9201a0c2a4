"""What a report says of a search and of its winners, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from fpgaml.metrics import Estimate, Target
from fpgaml.runs import Run
from fpgaml.search_options import METRICS, Limit
from fpgaml.tables import (
    aim_text,
    choice_text,
    code,
    compatible_text,
    cost_text,
    escape,
    estimate_text,
    plain,
    score_text,
    table,
    target_text,
)

METHOD = """\
Each was trained afresh on all training events with the seeds {seeds}. {rule} Test events decided nothing.

*Mean* and *spread* (standard deviation, n − 1) are over seeds, on test events, each training at the threshold that its
own validation background sets. The interval of the mean, at {level:.0f} %, adds three parts in quadrature: the test
signal (all seeds pooled, copies of one event counted as dependent) and the validation background ({replicas}
bootstrap replicas, the same for all networks), both as far as the seeds share them, and {spread}. Differences are
paired: same test events, same replicas, same seeds; their intervals are at {level_apart:.0f} %. {verdicts} The
validation events that chose the winner have placed its threshold as well: its true rate is a little above the requested
one, and its efficiency with it. No interval holds that."""

VERDICTS = """\
Two networks differ where the interval of their difference leaves out zero, at a level that is corrected for the {n}
differences here by Holm's method: the chance of any false verdict among them is at most {chance:.0f} %. Else they are
*statistically compatible*; a true difference as large as the one named beside it would have been seen in 80 % of such
samples."""
NO_VERDICTS = "One seed allows no verdict: another training may turn a difference round."

NOT_SEARCHED = (
    "Nothing was searched: the study trains one network, so there is no front, no table of trials and no winner."
)
NO_WINNERS = "No winner has been trained afresh yet: `fpgaml run` goes on to it."

BEST = (
    "The winner is the one with the best mean over seeds on validation events, and all figures of this report are of "
    "its training with the best value there."
)
GOOD_ENOUGH = " Limits on metrics hold for the mean over seeds and for that training itself, on validation events."
CHEAPEST = (
    "The winner is the one with the training of the lowest cost, {cost}, that keeps the limits ({limits}), and all "
    "figures of this report are of that training."
)

SPREAD = "the spread over seeds (Student's t times s/√n)"
ONE_SEED = "nothing for the spread over seeds, of which one seed says nothing"


def search_sections(run: Run) -> dict[str, str]:
    """The sections about search, front and winners by their headings, as far as there is something to tell."""
    if run.search is None:
        return {"Search": NOT_SEARCHED}
    found = {"Search": "\n\n".join([_account(run.search), "### Pareto front", *_front(run.search)])}
    found["Winners"] = NO_WINNERS if run.winners is None else "\n\n".join(_winners(run.winners))
    return found


def _account(found: Mapping[str, Any]) -> str:
    compared = found["compared"]
    failed = f", of which {found['failed']} failed" if found["failed"] else ""
    stopped = found["trials"] - found["failed"] - len(compared["trials"])
    earlier = f" The other {stopped} were stopped earlier, and their scores do not compare." if stopped else ""
    wall = timedelta(seconds=round(found["wall_s"]))
    return (
        f"{found['trials']} trials{failed}, {found['epochs']:,} epochs, {wall} (h:mm:ss) in the call that ended it. "
        f"{_aim(found)} "
        f"{len(compared['trials'])} trials were trained for {compared['epochs']} epochs.{earlier} `fpgaml log` prints "
        "them all."
    )


def _aim(found: Mapping[str, Any]) -> str:
    """What the score is, and what ranks."""
    metric, limits = found.get("metric", found["objective"]), found.get("limits", [])
    if found["objective"] in METRICS and not any(Limit.parse(text).about_metric for text in limits):
        return f"The score estimates the objective, `{metric}`, on validation events."
    kept = sum(found["compared"]["feasible"])
    aim = aim_text(found["objective"], list(map(code, limits)))
    return (
        f"The search {aim}. Trials that keep all limits "
        f"rank first, which {kept} of those with most epochs do. The score estimates `{metric}` on validation events."
    )


def _front(found: Mapping[str, Any]) -> list[str]:
    cost = found.get("front_cost", "ebops")
    columns = list(dict.fromkeys([cost, "ebops", "parameters"]))
    rows = [
        [
            code(trial["trial"]),
            escape(choices_text(trial["choices"])),
            f"{trial['score']:.4f}",
            *(plain(trial["cost"].get(name)) for name in columns),
        ]
        for trial in found["pareto_front"]
    ]
    volume = found["hypervolume"]
    shown = score_text(found["objective"], found.get("metric", found["objective"]))
    return [
        table(["trial", "choices", shown, *map(cost_text, columns)], rows),
        (
            f"No other trial of as many epochs has both a higher score and a lower cost ({cost_text(cost)}). "
            f"Hypervolume: {volume['value']:.6g}, the area that the front covers against the lowest score "
            f"({volume['score']:.4f}) and the highest cost ({volume[cost]:,}) among them. "
            "`fpgaml convert DIR --trial ID` writes the HLS project of any trial as the search trained it, and "
            "`fpgaml csim` and `fpgaml report` take the same option."
        ),
    ]


def _winners(found: Mapping[str, Any]) -> list[str]:
    objective = found.get("objective", "signal_efficiency")
    costs = list(dict.fromkeys([*([] if objective in METRICS else [objective]), "ebops"]))
    rows = []
    for place, candidate in enumerate(found["winners"]):
        test, difference = candidate["test"], candidate["difference_to_winner"]
        mean = "" if test is None else f"{test['signal_efficiency']['value']:.4f}"
        spread = "" if test is None else "unknown" if test["spread"] is None else f"{test['spread']:.4f}"
        interval = "" if test is None else "{low:.4f} to {high:.4f}".format_map(test["signal_efficiency"])
        rows.append(
            [
                code(candidate["trial"]) + (" (winner)" if place == 0 else ""),
                escape(choices_text(candidate["choices"])),
                *(plain(candidate["cost"].get(name)) for name in costs),
                "" if candidate["validation"] is None else f"{candidate['validation']:.4f}",
                mean,
                spread,
                interval,
                "" if difference is None else estimate_text(_estimate(difference)),
                _verdict(candidate, place),
            ]
        )
    target = Target(found["target"]["kind"], found["target"]["value"])
    headers = [
        "trial", "choices", *map(cost_text, costs), "validation: mean", "test: mean", "spread", "interval",
        "difference to the winner", "verdict",
    ]  # fmt: skip
    method = METHOD.format(
        rule=_rule(found),
        seeds=", ".join(map(str, found["seeds"])),
        level=100 * found["level"],
        level_apart=100 * found["level_apart"],
        replicas=found["replicas"],
        spread=SPREAD if len(found["seeds"]) > 1 else ONE_SEED,
        verdicts=_verdicts(found),
    )
    return [
        f"**{_reading(found['winners'])}**",
        f"Signal efficiency at {target_text(target)}:",
        table(headers, rows),
        *_twin(found["float_twin"], len(found["seeds"])),
        method,
    ]


def _rule(found: Mapping[str, Any]) -> str:
    """How the winner was chosen."""
    objective, limits = found.get("objective", "signal_efficiency"), found.get("limits", [])
    text = BEST
    if objective not in METRICS:
        text = CHEAPEST.format(cost=cost_text(objective), limits=", ".join(map(code, limits)))
    return text + (GOOD_ENOUGH if any(Limit.parse(limit).about_metric for limit in limits) else "")


def _reading(candidates: Sequence[Mapping[str, Any]]) -> str:
    """Which of the candidates are compatible with the winner."""
    differences = {found["trial"]: found["difference_to_winner"] for found in candidates[1:]}
    verdicts = {trial: difference["told_apart"] for trial, difference in differences.items() if difference}
    first = f"The winner is trial {candidates[0]['trial']}."
    if not verdicts or None in verdicts.values():
        return first
    if alike := [trial for trial, apart in verdicts.items() if not apart]:
        return f"{first} Statistically compatible with it: {', '.join(alike)}."
    return f"{first} It differs from all others."


def _verdict(candidate: Mapping[str, Any], place: int) -> str:
    if candidate["failed"]:
        reasons = "; ".join(f"seed {seed}: {escape(reason)}" for seed, reason in candidate["failed"].items())
        return f"failed, and so out: {reasons}"
    difference = candidate["difference_to_winner"]
    if place == 0 or difference is None:
        return ""
    text = _verdict_text(difference)
    return text if candidate["eligible"] else f"{text}; beyond the limits, and so out"


def _verdict_text(difference: Mapping[str, Any]) -> str:
    """What a difference on test events means; those of earlier versions name no smallest visible one."""
    if difference["told_apart"] is None:
        return "none: one seed"
    if not difference["told_apart"]:
        return compatible_text(difference.get("smallest_visible"))
    return "higher on test" if difference["value"] > 0 else "lower"


def _verdicts(found: Mapping[str, Any]) -> str:
    """How verdicts came to be."""
    differences = [candidate["difference_to_winner"] for candidate in found["winners"]]
    differences.append(found["float_twin"].get("qkeras_minus_float"))
    there = [difference for difference in differences if difference]
    if any(difference["told_apart"] is None for difference in there):
        return NO_VERDICTS
    return VERDICTS.format(n=len(there), chance=100 * (1 - found["level_apart"])).replace("\n", " ") if there else ""


def _twin(twin: Mapping[str, Any], n_seeds: int) -> list[str]:
    if twin["failed"]:
        reasons = "; ".join(f"seed {seed}: {escape(reason)}" for seed, reason in twin["failed"].items())
        return [f"> **Note:** the winner's float twin could not be trained with every seed: {reasons}"]
    difference, over = twin["qkeras_minus_float"], f"over {n_seeds} seeds" if n_seeds > 1 else "with one seed"
    value = estimate_text(_estimate(twin["signal_efficiency"]))
    apart = f"QKeras − float twin: {estimate_text(_estimate(difference))}: {_verdict_text(difference)}"
    return [f"The winner's float twin, {over}: {value}. {apart}."]


def choices_text(choices: Mapping[str, Any]) -> str:
    """Choices in a row, as they are: not yet Markdown."""
    return ", ".join(f"{name}: {choice_text(value)}" for name, value in choices.items())


def _estimate(found: Mapping[str, Any]) -> Estimate:
    return Estimate(found["value"], found["low"], found["high"])
