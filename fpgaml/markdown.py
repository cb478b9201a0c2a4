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
from fpgaml.preparation import GROUPS, NO_REPEATS, REPEATS, few_groups_text, repeats_text
from fpgaml.runs import Run
from fpgaml.search_section import choices_text, search_sections
from fpgaml.synthesis_section import synthesis_section
from fpgaml.tables import code, code_block, escape, estimate_text, plain, quantity_text, table, target_text, words

NAMES = {"float": "float twin", "qkeras": "QKeras", "csim": "csim"}
CURVES = """\
On test events. Large markers are working points, with the intervals of both axes; where no background passes, a point
has no place here and stands in the table only."""

THRESHOLDS = """\
Thresholds are logits, chosen on validation background; an event passes with score ≥ threshold. Equal scores pass or
fail together, so what is achieved may lie below what is asked. The csim is judged at the QKeras model's thresholds,
which are those the firmware carries."""

INTERVALS = """\
All intervals are central at {level:.2f} %, one standard deviation.

- **Signal efficiency** and **differences** hold two independent parts, added in quadrature: the finite test signal
  (Clopper–Pearson, or Bonett–Price for paired differences) and the finite validation background that placed the
  threshold ({replicas} Poisson replicas of it, by groups of dependent events, the threshold chosen again on each, both
  models of a difference together). They say how well the efficiency *at what was asked for* is known. "Test statistics
  only" leaves the second part out: how well the efficiency *of this threshold* is known.
- **Achieved rate**, **background efficiency** and **background rejection** hold test background only: they are those
  of this one threshold. Rates: Garwood's interval on the effective count; efficiencies: Clopper–Pearson, with weights
  or groups on the effective count. Where nothing passes, the limit is one-sided.
- Events of one group (they share a generated event, or what the study's `group` says) count as dependent in every
  interval.
- Only the intervals under Winners hold the spread between trainings. None holds anything systematic, such as how well a
  simulation describes the detector, cross sections or pile-up."""

LIMITS = """\
- The csim is bit-true C++ of the HLS project, not RTL (with the backend `rtl` it is the simulated Verilog), and not a
  device. Synthesis, where it has run, estimates timing and resources; they are known only after place and route, which
  is no part of this report.
- Agreement is shown on the events that were simulated, and claimed for no others.
- A threshold that stands on a few validation events, or on a few heavy ones, is uncertain in a way that no resampling
  sees.
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
            "What the intervals mean": INTERVALS.format(level=100 * evaluation.level, replicas=evaluation.replicas),
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
    found += [
        f"No test background passes the threshold of {NAMES[point.model]} at {target_text(point.target)}: its "
        "background rejection is a one-sided limit, and has no point in the figures."
        for point in evaluation.performances
        if math.isnan(point.background_rejection.value)
    ]
    few = [point for point in evaluation.performances if point.validation_events < 20 and point.model != "csim"]
    return found + [
        f"The threshold of {NAMES[point.model]} at {target_text(point.target)} stands on {point.validation_events} "
        "validation background events: its uncertainty is itself uncertain."
        for point in few
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
                f"{point.validation_events:,}",
            ]
        )
    headers = [
        f"asked [{unit}]", "model", "threshold", f"achieved on test [{unit}]", "relative error", "signal efficiency",
        "background rejection 1/ε_b", "validation background above threshold",
    ]  # fmt: skip
    scores = ", ".join(
        f"{NAMES[model]} {evaluation.accuracy[model]:.4f} and {evaluation.auc[model]:.4f}"
        for model in evaluation.models
    )
    return (
        f"{table(headers, rows)}\n\n"
        f"{THRESHOLDS}\n\n"
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
        f"reading at {100 * evaluation.level:.0f} %",
    ]
    return (
        f"Paired: on the same test events, with thresholds from the same validation events.\n\n{table(headers, rows)}"
    )


def _verdict(found: Difference) -> str:
    interval = found.signal_efficiency
    if interval.low <= 0 <= interval.high:
        return "not told apart"
    return f"{NAMES[found.model]} is {'higher' if interval.value > 0 else 'lower'}"


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
