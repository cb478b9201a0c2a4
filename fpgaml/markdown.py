"""The text of a report, as plain Markdown."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fpgaml.certificate_section import certificate_section
from fpgaml.evaluation import Difference, Evaluation
from fpgaml.layer_profile import LayerProfile
from fpgaml.layer_section import layer_section
from fpgaml.passing import FEW, Passing
from fpgaml.preparation import GROUPS, NO_REPEATS, REPEATS, few_groups_text, repeats_text
from fpgaml.runs import Run
from fpgaml.search_section import choices_text, search_sections
from fpgaml.synthesis_section import synthesis_section
from fpgaml.tables import (
    code,
    code_block,
    compatible_text,
    escape,
    estimate_text,
    plain,
    quantity_text,
    table,
    target_text,
    words,
)
from fpgaml.verdicts import LEVEL_APART

NAMES = {"float": "float twin", "qkeras": "QKeras", "csim": "csim"}
CURVES = """\
On test events. Large markers are working points, with the intervals of both axes; where no background passes, a point
has no place here and stands in the table only. Bands begin where five effective background events pass, also with one
more as heavy as any near the threshold: above, the data do not bound the curve."""

THRESHOLDS = """\
Thresholds are logits, chosen on validation background; an event passes with score ≥ threshold. Equal scores pass or
fail together, so what is achieved may lie below what is requested; where background events differ in weight, a little
is left free below it, so that the true rate is the requested one on average. The csim is judged at the QKeras model's
thresholds, which are those the firmware carries. *Effective* events are (Σw)²/Σw², with dependent events added first;
below {few}, read the intervals as orders of magnitude."""

INTERVALS = """\
All intervals are central at {level:.2f} %, one standard deviation; all verdicts are at {level_apart:.0f} %.

- **Signal efficiency** and **differences** hold two independent parts, added in quadrature: the finite test signal
  (Clopper–Pearson, or Bonett–Price for paired differences) and the finite validation background that placed the
  threshold ({replicas} replicas of a Bayesian bootstrap, by groups of dependent events, half of them with one heavy
  event more than was seen; the threshold chosen again on each, both models of a difference together). They say how well
  the efficiency *at what was requested* is known. "Test statistics only" leaves the second part out: how well the
  efficiency *of this threshold* is known.
- **Achieved rate** or **background efficiency** holds test background only: it is that of this one threshold. The
  interval is the mid-P one of a Poisson or binomial count of effective events, and allows for one unseen event as heavy
  as the heaviest near the threshold. **Background rejection** is the same number turned round, with the same interval.
  Where nothing passes, the limit is one-sided.
- **Verdicts**: a difference is there where its interval leaves out zero at {level_apart:.0f} %, corrected for the
  number of verdicts by Holm's method; else the two are statistically compatible, and beside that stands the smallest
  difference that would have been seen in 80 % of such samples. One training each allows no verdict.
- Events of one group (they share a generated event, or what the study's `group` says) count as dependent in every
  interval. So do crossings that draw from the same part of the generated collisions: how much parts differ tells how
  far other collisions would move a figure.
- Only the intervals under Winners hold the spread between trainings. None holds anything systematic, such as how well a
  simulation describes the detector, cross sections or pile-up."""

LIMITS = """\
- The csim is bit-true C++ of the HLS project, not RTL (with the backend `rtl` it is the simulated Verilog), and not a
  device. Synthesis, where it has run, estimates timing and resources; they are known only after place and route, which
  is no part of this report.
- Agreement is shown on the events that were simulated, and claimed for no others.
- A kind of background that is heavier than any near a threshold, and that no sample of this size holds there, is in no
  interval.
- Test data have been used for this report. Choosing among models by these numbers would spoil them.
- The data are what the task made or read, as listed under Data, and no better."""


@dataclass(frozen=True, kw_only=True)
class ReportText:
    """The words of a report, to be put into a file or on a page.

    Parameters
    ----------
    title : str
        The study's name.
    headline : str
        The efficiencies, and whether firmware and model agree.
    notes : tuple of str
        What a reader must know first.
    sections : mapping of heading to Markdown
        In order. What a run does not have is said in its section.
    """

    title: str
    headline: str
    notes: tuple[str, ...]
    sections: Mapping[str, str]

    def markdown(self, pictures: Mapping[str, Sequence[str]]) -> str:
        """The whole report as one text, with the pictures of each section, as Markdown, at its head."""
        parts = [f"# {escape(self.title)}: report", self.headline, *(f"> **Note:** {note}" for note in self.notes)]
        for heading, text in self.sections.items():
            parts += [f"## {heading}", *pictures.get(heading, ()), text]
        return "\n\n".join(filter(None, parts)) + "\n"


def report_text(
    run: Run,
    evaluation: Evaluation,
    summary: Mapping[str, Any],
    *,
    profile: LayerProfile | None,
    profile_note: str = "",
    turn_on: Collection[str],
) -> ReportText:
    """What a report says.

    Parameters
    ----------
    run, evaluation
        What it is about.
    summary : mapping
        What ``summary.json`` holds.
    profile : LayerProfile, optional
        What the layers do with their bits.
    profile_note : str
        What of it is not known, and why.
    turn_on : collection of str
        Quantities that there are turn-on curves for.
    """
    return ReportText(
        title=summary["study"],
        headline=_headline(evaluation, summary),
        notes=tuple(_notes(run, evaluation, summary)),
        sections={
            "Working points": _working_points(evaluation),
            "Differences in signal efficiency": _differences(evaluation),
            "Efficiency and rate": CURVES,
            "Scores": "",
            "Turn-on curves": "" if turn_on else _no_turn_on(run),
            "Layers": layer_section(profile, profile_note),
            "Network": _network(run),
            **search_sections(run),
            "Data": _data(run),
            "Training": _training(run),
            "C-simulation": _simulation(run),
            "Synthesis": synthesis_section(run.syntheses),
            "Environment": _environment(run),
            "What the intervals mean": INTERVALS.format(
                level=100 * evaluation.level, level_apart=100 * LEVEL_APART, replicas=evaluation.replicas
            ),
            "Limits": LIMITS,
        },
    )


def agreement_text(agreement: Mapping[str, Any] | None) -> str:
    """Whether firmware and model agree, in a sentence or two."""
    if agreement is None:
        return "No C-simulation has run yet: `fpgaml csim` does it, and nothing is known of the firmware before."
    events, words, mismatches = (int(agreement[name]) for name in ("events", "words", "mismatches"))
    if mismatches == 0:
        return f"Firmware and QKeras model agree: 0 of {words:,} words differ over {events:,} events."
    text = f"FIRMWARE AND QKERAS MODEL DISAGREE: {mismatches:,} of {words:,} words differ over {events:,} events."
    first = agreement.get("first_difference")
    if first:
        layer, event = code(first["layer"]), first["event"]
        text += f" The first layer that differs is {layer}, in event {event}, by {first['lsb']:g} LSB."
    return text + " Do not use this project: the efficiencies of the model are not those of the firmware."


def _headline(evaluation: Evaluation, summary: Mapping[str, Any]) -> str:
    chain = " → ".join(
        f"{NAMES[model]} {estimate_text(evaluation.performance(model).signal_efficiency)}"
        for model in evaluation.models
    )
    return (
        f"**Signal efficiency at {target_text(evaluation.targets[0])}: {chain}. {agreement_text(summary['csim'])}**\n\n"
        f"In parentheses: {100 * evaluation.level:.0f} % intervals; what they hold is said below."
    )


def _notes(run: Run, evaluation: Evaluation, summary: Mapping[str, Any]) -> list[str]:
    found = []
    if run.winners is not None and run.trial != run.winners["winner"]["trial"]:
        found.append(f"This report is of trial {code(run.trial)}, as the search trained it, not of the winner.")
    if "float" not in evaluation.models:
        found.append("No float twin was trained: what quantization cost is not known.")
    csim = summary["csim"]
    if csim is not None and csim["mismatches"] == 0 and csim["scores_differing"]:
        found.append(
            f"On disk the csim scores of {csim['scores_differing']:,} test events are not the QKeras scores, although "
            "the comparison found no word that differs. One of the two files is of something else: run `fpgaml csim` "
            "again."
        )
    if csim is not None and csim["events"] != run.events.count("test", signal=True) + run.events.count(
        "test", signal=False
    ):
        found.append(f"The C-simulation was compared over {csim['events']:,} events, which are not all test events.")
    if (
        run.events.groups is not None
        and run.events.groups.ndim == 2
        and len(set(run.events.groups[:, -1].tolist())) == 1
    ):
        found.append(
            "The generated collisions are too few to divide them into parts (`n_soft_collisions` and the others under "
            "`data`): how far other collisions would move the figures is in no interval, and it may be farther than "
            "these say."
        )
    found += [
        f"No test background passes the threshold of {NAMES[point.model]} at {target_text(point.target)}: its "
        "background rejection is a one-sided limit, and has no point in the figures."
        for point in evaluation.performances
        if math.isnan(point.background_rejection.value)
    ]
    thin = [point for point in evaluation.performances if point.is_thin and point.model != "csim"]
    return found + [
        f"{NAMES[point.model]} at {target_text(point.target)} rests on few effective background events: its threshold "
        f"on validation ({_thin_text(point.validation_background)}), what it achieves on test "
        f"({_thin_text(point.test_background)}; shares of the weight above the threshold, the next being the heaviest "
        "event near it). Their intervals hold their level only roughly."
        for point in thin
    ]


def _working_points(evaluation: Evaluation) -> str:
    unit = "kHz" if evaluation.targets[0].kind == "rate_khz" else "ε_b"
    rows = []
    for point in evaluation.performances:
        digits = 2 if point.target.kind == "rate_khz" else 5
        error = point.achieved_relative_error
        rejection = point.background_rejection
        rows.append(
            [
                f"{point.target.value:g}",
                NAMES[point.model],
                f"{point.threshold:.6g}",
                estimate_text(point.achieved, digits=digits),
                "" if math.isnan(error) else f"±{100 * error:.1f} %",
                estimate_text(point.signal_efficiency),
                estimate_text(rejection, digits=0 if rejection.low >= 100 else 2),
                _passing_text(point.validation_background),
                _passing_text(point.test_background),
            ]
        )
    headers = [
        f"requested [{unit}]", "model", "threshold", f"achieved on test [{unit}]", "relative error",
        "signal efficiency", "background rejection 1/ε_b", "validation background above threshold",
        "test background above threshold",
    ]  # fmt: skip
    scores = ", ".join(
        f"{NAMES[model]} {evaluation.accuracy[model]:.4f} and {evaluation.auc[model]:.4f}"
        for model in evaluation.models
    )
    return (
        f"{table(headers, rows)}\n\n"
        f"{THRESHOLDS.format(few=FEW)}\n\n"
        f"For comparison with other tools, accuracy at logit 0 (unweighted) and area under the ROC curve: {scores}. "
        "Neither ranks triggers."
    )


def _differences(evaluation: Evaluation) -> str:
    if not evaluation.differences:
        return "There is only one model: nothing to compare."
    rows = [
        [
            target_text(found.target),
            f"{NAMES[found.model]} − {NAMES[found.reference]}",
            estimate_text(found.signal_efficiency),
            estimate_text(found.signal_efficiency_test_only),
            _verdict(found),
        ]
        for found in evaluation.differences
    ]
    headers = [
        "at",
        "difference",
        "value and interval",
        "test statistics only",
        f"verdict at {100 * LEVEL_APART:.0f} %",
    ]
    return (
        "Paired: on the same test events, with thresholds from the same validation events. QKeras model and float twin "
        "are one training each here: another seed may turn their difference round, so it has no verdict.\n\n"
        f"{table(headers, rows)}"
    )


def _verdict(found: Difference) -> str:
    if found.told_apart is None:
        return "none: one training each"
    if not found.told_apart:
        return compatible_text(found.smallest_visible)
    return f"{NAMES[found.model]} is {'higher' if found.signal_efficiency.value > 0 else 'lower'}"


def _passing_text(passing: Passing) -> str:
    """Events, and how many effective ones where they differ in weight or depend on each other."""
    if not passing.events:
        return "0 events"
    text = f"{passing.events:,} events"
    if passing.effective > 0.995 * passing.events:
        return text
    return f"{text}, {passing.effective:,.3g} effective, largest {100 * passing.largest_share:.2g} %"


def _thin_text(passing: Passing) -> str:
    """The same, and how heavy the next event may be."""
    share = passing.heaviest / passing.total if passing.total else math.inf
    return f"{_passing_text(passing)}" + (f", the next {100 * share:.2g} %" if math.isfinite(share) else "")


def _no_turn_on(run: Run) -> str:
    if not run.events.quantities:
        return (
            "No curves: the data hold no quantity, such as HT, that signal efficiency could be drawn against. A task "
            "gives it as `quantities`."
        )
    names = ", ".join(escape(quantity_text(name)) for name in run.events.quantities)
    return f"No curves: too few test signal events have a value of {names}, or all have the same."


def _network(run: Run) -> str:
    layers = list(run.architecture.get("layers", []))
    if "input" in run.architecture:
        layers.insert(0, {"kind": "input", **run.architecture["input"]})
    rows = []
    for number, layer in enumerate(layers):
        bits = [
            f"{words(key)} {escape(plain(value))}"
            for key, value in layer.items()
            if "bits" in key and value is not None
        ]
        rest = [
            f"{words(key)} {escape(plain(value))}"
            for key, value in layer.items()
            if key != "kind" and "bits" not in key and value is not None
        ]
        rows.append([str(number), escape(layer.get("kind")), ", ".join(rest), ", ".join(bits)])
    cost = [[words(key), plain(value)] for key, value in run.trained.get("cost", {}).items()]
    choices = escape(choices_text(run.architecture.get("choices", {})))
    parts = [
        f"Trial {code(run.trial)}" + (f", choices: {choices}." if choices else "; the study leaves no choices."),
        table(["", "layer", "settings", "number formats"], rows),
        "Number formats are QKeras' (bits, integer): the sign counts in bits, not in integer.",
    ]
    if cost:
        parts.append(table(["cost", ""], cost))
        parts.append("EBOPs: bits of the input × bits of the weight, summed over the products of the trained network.")
    return "\n\n".join(parts)


def _data(run: Run) -> str:
    counts = run.dataset.get("events", {})
    rows = [[split, *(f"{counts[split].get(kind, 0):,}" for kind in ("signal", "background"))] for split in counts]
    rate = run.dataset.get("rate_khz")
    facts = [
        f"Task {code(run.dataset.get('task'))}; inputs of shape {plain(run.dataset.get('input_shape'))}; "
        + (f"all background together comes at {rate:,g} kHz." if rate else "there is no rate.")
    ]
    parts = [*facts, table(["split", "signal", "background"], rows)]
    metadata = dict(run.dataset.get("metadata", {}))
    repeats, groups = metadata.pop(REPEATS, None), metadata.pop(GROUPS, None)
    if metadata:
        came = [[words(key), escape(plain(value))] for key, value in metadata.items()]
        parts.append(table(["how it came to be", ""], came))
    if groups is not None:
        cells = [[part, f"{found['signal']:,}", f"{found['background']:,}"] for part, found in groups.items()]
        parts.append(table(["groups", "with signal", "with background"], cells))
        if told := few_groups_text(groups):
            parts.append(f"**Note:** {told}.")
    if repeats is not None:
        parts.append(repeats_text(repeats) or NO_REPEATS)
    parts.append(f"SHA-256 of the data set: `{run.dataset.get('sha256')}`")
    return "\n\n".join(parts)


def _training(run: Run) -> str:
    rows = []
    wall = run.trained.get("wall_s", {})
    for model, history in run.histories.items():
        loss, validation = history.get("loss", []), history.get("val_loss", [])
        tuned = sum(phase == "fine_tune" for phase in history.get("phase", []))
        best = (
            f"{min(validation):.5g} in epoch {validation.index(min(validation)) + 1}" if validation else "not measured"
        )
        rows.append(
            [
                NAMES[model],
                str(len(loss)) + (f", of them {tuned} of fine-tuning" if tuned else ""),
                best,
                f"{wall[model]:.1f}" if model in wall else "",
            ]
        )
    headers = ["model", "epochs", "lowest validation loss", "seconds"]
    seed = run.trained.get("seed")
    return (table(headers, rows) if rows else "No history was kept.") + (
        f"\n\nSeed {seed}." if seed is not None else ""
    )


def _simulation(run: Run) -> str:
    project = (
        f"HLS project: {code(run.hls_project.relative_to(run.directory).as_posix())}."
        if run.hls_project is not None
        else "No HLS project yet: `fpgaml convert` writes it."
    )
    if run.agreement is None:
        return f"{agreement_text(None)} {project}"
    keys = ("events", "words", "mismatches", "events_per_s", "wall_s", "build_s", "processes")
    rows = [[words(key), plain(run.agreement[key])] for key in keys if key in run.agreement]
    certified = certificate_section(run.directory, run.trial)
    parts = [f"{agreement_text(run.agreement)} {project}", table(["", ""], rows), certified]
    return "\n\n".join(filter(None, parts))


def _environment(run: Run) -> str:
    found = run.environment
    packages = ", ".join(f"{name} {version}" for name, version in found.get("packages", {}).items())
    machine = ", ".join(f"{words(key)} {escape(plain(value))}" for key, value in found.get("machine", {}).items())
    return (
        f"fpgaml {found.get('fpgaml')}, Python {found.get('python')}; {packages}.\n\nMachine: {machine}.\n\n"
        f"Seed {found.get('seed')}. Reproduce with\n\n{code_block(str(found.get('command')))}"
    )
