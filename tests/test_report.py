"""The report over output directories that the test writes: complete, incomplete, and wrong."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hostile_text import EVIL, pictures, tokens

from fpgaml.curves import performance_curve
from fpgaml.errors import OutputError
from fpgaml.evaluation import evaluate
from fpgaml.events import Events
from fpgaml.handover.certificate import Certificate
from fpgaml.markdown import report_text
from fpgaml.metrics import Estimate, choose_working_point
from fpgaml.project_files import file_hashes
from fpgaml.report import Report, load_run, summarize, write_report
from fpgaml.storage import write_json
from fpgaml.synthesis import Resources, StepReport, Synthesis
from fpgaml.tables import estimate_text

TRIAL = "3f2a9c41d07e"
RATES_KHZ = np.array([29_000.0, 1_850.0, 115.0, 11.0])


def synthetic_events(*, n_signal, n_background, seed=1):
    """Trigger-like events: background in four slices of hardness, whose weights span decades, and shared pools."""
    generator = np.random.default_rng(seed)
    columns = {"y": [], "split": [], "weights": [], "groups": [], "hardness": []}
    for split in (1, 2):
        hard = generator.choice(4, n_background, p=[0.25, 0.25, 0.25, 0.25])
        per_event = RATES_KHZ / np.bincount(hard, minlength=4)
        background = generator.gamma(2.0, 0.35, n_background) + np.array([-4.0, -1.0, 1.2, 3.0])[hard]
        columns["y"].append(np.repeat([1, 0], [n_signal, n_background]))
        columns["split"].append(np.full(n_signal + n_background, split, np.int8))
        columns["weights"].append(np.concatenate([np.ones(n_signal), per_event[hard]]))
        pools = np.concatenate(
            [generator.integers(0, n_signal, n_signal), generator.integers(0, n_background, n_background)]
        )
        columns["groups"].append(pools + split * 10_000_000 + np.repeat([0, 5_000_000], [n_signal, n_background]))
        columns["hardness"].append(np.concatenate([generator.normal(4.0, 1.5, n_signal), background]))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    hardness = joined.pop("hardness")
    return Events(**joined, quantities={"ht_gev": 100 * np.exp(hardness / 4)}), hardness, generator


def write_run(directory, *, n_signal=400, n_background=2_000, with_float=True, with_csim=True, mismatches=0, rate=True):
    """An output directory as the stages leave it."""
    events, hardness, generator = synthetic_events(n_signal=n_signal, n_background=n_background)
    if not rate:
        events = Events(y=events.y, split=events.split)
    validation, test = events.chosen("validation"), events.chosen("test")
    logits = {
        "float": hardness + generator.normal(0, 0.3, len(hardness)),
        "qkeras": np.round((hardness + generator.normal(0, 0.35, len(hardness))) * 64) / 64,
    }
    trial = directory / "trials" / TRIAL
    trial.mkdir(parents=True)
    events.save(directory / "events.npz")
    kept = {name: logits[name] for name in (("float", "qkeras") if with_float else ("qkeras",))}
    np.savez(
        trial / "scores.npz",
        **{f"{name}_validation": column[validation] for name, column in kept.items()},
        **{f"{name}_test": column[test] for name, column in kept.items()},
    )
    (directory / "study.yaml").write_text(yaml.safe_dump({"study": "synthetic", "task": "trigger"}), encoding="utf-8")
    write_json(
        directory / "environment.json",
        {
            "fpgaml": "0.1.0",
            "python": "3.11.9",
            "packages": {"numpy": "2.4.6", "hls4ml": "1.3.0"},
            "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 7.8, "platform": "Linux"},
            "seed": 1,
            "command": "fpgaml run synthetic.yaml --output runs/synthetic",
        },
    )
    kind = "rate_khz" if rate else "background_efficiency"
    write_json(
        directory / "dataset.json",
        {
            "task": "trigger",
            "sha256": "ab" * 32,
            "rate_khz": 30_976.0 if rate else None,
            "input_shape": [20, 12, 1],
            "events": {
                split: {"signal": n_signal, "background": n_background} for split in ("train", "validation", "test")
            },
            "targets": [{"kind": kind, "value": value} for value in ((10, 50, 100, 750) if rate else (0.01, 0.1))],
            "metadata": {"pile_up": 200, "strata": [{"name": "soft", "rate_khz": 29_000.0}], "scale_gev": 41.5},
        },
    )
    write_json(
        trial / "architecture.json",
        {
            "hash": TRIAL,
            "input_shape": [20, 12, 1],
            "input": {"bits": [12, 4], "signed": False},
            "layers": [
                {"kind": "conv2d", "filters": 4, "kernel_size": [3, 3], "bits": [8, 2], "bias_bits": [12, 4]},
                {"kind": "relu", "bits": [12, 4]},
                {"kind": "flatten"},
                {"kind": "dense", "units": 1, "bits": [8, 2], "bias_bits": None},
            ],
            "choices": {"bits": [8, 2]},
        },
    )
    cost = {"parameters": 1_234, "multiply_accumulates": 56_789, "ebops": 1_000_001, "bops": 1_200_000}
    write_json(
        trial / "trained.json",
        {
            "trial": TRIAL,
            "seed": 1,
            "cost": cost,
            "epochs": {"float": 8, "qkeras": 10},
            "wall_s": {"float": 8.5, "qkeras": 20.0},
        },
    )
    for name, n_epochs in (("float", 8), ("qkeras", 10)):
        if name in kept:
            loss = 0.2 + 0.5 * np.exp(-np.arange(n_epochs) / 3) + generator.normal(0, 0.005, (2, n_epochs))
            phase = ["train"] * 8 + ["fine_tune"] * (n_epochs - 8)
            write_json(
                trial / f"history_{name}.json", {"loss": loss[0].tolist(), "val_loss": loss[1].tolist(), "phase": phase}
            )
    if with_csim:
        (directory / "csim").mkdir()
        (directory / "hls_projects" / TRIAL).mkdir(parents=True)
        words = logits["qkeras"][test].copy()
        words[:mismatches] += 1 / 64
        np.savez(directory / "csim" / f"{TRIAL}.npz", csim_test=words)
        first = {"layer": "dense_1", "event": 0, "lsb": 1.0} if mismatches else None
        n_test = int(test.sum())
        write_json(
            directory / "csim" / f"{TRIAL}.json",
            {
                "events": n_test,
                "words": n_test,
                "mismatches": mismatches,
                "events_per_s": 15_000.0,
                "wall_s": 8.3,
                "processes": 2,
                "first_difference": first,
            },
        )
    return directory


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp("complete"))
    return directory, write_report(directory, replicas=50)


def first_line(markdown):
    return next(line for line in markdown.splitlines() if line.startswith("**"))


def test_summary_has_what_the_design_asks_for(complete):
    directory, report = complete
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    assert summary == report.summary
    assert summary["study"] == "synthetic"
    assert summary["task"] == "trigger"
    assert summary["dataset"] == {"sha256": "ab" * 32, "test_signal": 400, "test_background": 2_000}
    assert summary["search"] == {"trials": 1, "epochs": 18, "wall_s": 28.5}
    assert {key: summary["winner"][key] for key in ("trial", "choices", "parameters", "ebops")} == {
        "trial": TRIAL,
        "choices": {"bits": [8, 2]},
        "parameters": 1_234,
        "ebops": 1_000_001,
    }
    assert summary["working_point"] == {"rate_khz": 10.0}
    assert summary["hls_project"] == f"hls_projects/{TRIAL}"
    assert {"events": 2_400, "words": 2_400, "mismatches": 0, "events_per_s": 15_000.0}.items() <= summary[
        "csim"
    ].items()
    for model in ("float", "qkeras", "csim"):
        found = summary["signal_efficiency"][model]
        assert 0 < found["low"] < found["value"] < found["high"] < 1
        assert found["achieved_rate_khz_low"] < found["achieved_rate_khz"] < found["achieved_rate_khz_high"]
    assert summary["signal_efficiency"]["csim"] == summary["signal_efficiency"]["qkeras"]
    assert summary["csim"]["scores_differing"] == 0
    assert report.agrees is True


def test_numbers_are_those_of_the_files(complete):
    directory, report = complete
    with np.load(directory / "events.npz") as events, np.load(directory / "trials" / TRIAL / "scores.npz") as scores:
        y, split, weights = events["y"], events["split"], events["weights"]
        background, signal = (y == 0)[split == 1], (y == 1)[split == 2]
        point = choose_working_point(
            scores["qkeras_validation"][background],
            kind="rate_khz",
            target=10.0,
            weights=weights[split == 1][background],
            groups=events["groups"][split == 1][background],
        )
        passed = scores["qkeras_test"] >= point.threshold
        found = report.summary["signal_efficiency"]["qkeras"]
        assert found["threshold"] == point.threshold
        assert found["value"] == passed[signal].mean()
        assert found["achieved_rate_khz"] == pytest.approx(weights[split == 2][passed & ~signal].sum(), rel=1e-12)


def test_report_begins_with_the_numbers_and_holds_every_section(complete):
    _, report = complete
    estimate = report.evaluation.performance("csim").signal_efficiency
    line = first_line(report.markdown)
    assert line.startswith("**Signal efficiency at 10 kHz: float twin 0.")
    assert (
        f"csim {estimate_text(estimate)}. Firmware and QKeras model agree: 0 of 2,400 words differ over 2,400 events.**"
        in line
    )
    assert report.markdown.index(line) < report.markdown.index("## ")
    for piece in (
        "| 750 | csim |",
        "QKeras − float twin",
        "csim − QKeras",
        "| 1 | conv2d | filters 4, kernel size (3, 3) | bits (8, 2), bias bits (12, 4) |",
        "| 0 | input | signed no | bits (12, 4) |",
        "| ebops | 1,000,001 |",
        "| parameters | 1,234 |",
        "| validation | 400 | 2,000 |",
        "| scale [GeV] | 41.5 |",
        "| events per second | 15,000 |",
        "of them 2 of fine-tuning",
        "hls4ml 1.3.0",
        "fpgaml run synthetic.yaml --output runs/synthetic",
        "Bayesian bootstrap",
        "not RTL",
        "| none: one training each |",
        "| statistically compatible; a difference of 0.",
        "all verdicts are at 95 %",
    ):
        assert piece in report.markdown, piece


def test_the_weight_behind_a_working_point_is_told(complete):
    directory, report = complete
    with np.load(directory / "events.npz") as events, np.load(directory / "trials" / TRIAL / "scores.npz") as scores:
        chosen = (events["y"] == 0)[events["split"] == 2]
        weights, groups = (events[name][events["split"] == 2][chosen] for name in ("weights", "groups"))
        passed = scores["qkeras_test"][chosen] >= report.summary["signal_efficiency"]["qkeras"]["threshold"]
    sums = np.bincount(groups[passed] - groups.min(), weights[passed])
    effective, largest = sums.sum() ** 2 / (sums**2).sum(), sums.max() / sums.sum()
    found = report.summary["signal_efficiency"]["qkeras"]["test_background"]
    assert found["events"] == passed.sum()
    assert (found["effective"], found["largest_share"]) == pytest.approx((effective, largest))
    assert found["heaviest"] >= sums.max() * (1 - 1e-12)
    text = f"| {passed.sum():,} events, {effective:,.3g} effective, largest {100 * largest:.2g} % |"
    (row,) = [line for line in report.markdown.splitlines() if line.startswith("| 10 | QKeras |")]
    assert row.endswith(text)
    assert "rests on few effective background events" not in report.markdown


def test_a_thin_working_point_is_warned_of(tmp_path):
    directory = write_run(tmp_path / "run", n_background=600)
    text, _ = text_and_summary(directory)
    run = load_run(directory)
    points = evaluate(run.events, run.scores, run.targets, replicas=20).performances
    thin = [point for point in points if point.is_thin and point.model != "csim"]
    assert 0 < len(thin) < 8
    for point in thin:
        sides = point.validation_background, point.test_background
        assert min(min(side.effective, side.effective_with_one_more) for side in sides) < 10
        assert f"at {point.target.value:g} kHz rests on few effective background events" in text
    assert text.count("rests on few effective background events") == len(thin)


def test_every_table_is_a_table_and_every_picture_is_there(complete):
    directory, report = complete
    for block in report.markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", report.markdown)
    assert pictures == [
        f"figures/{name}.png"
        for name in (
            "signal_efficiency",
            "background_rejection",
            "scores",
            "confusion_matrix",
            "turn_on_ht_gev",
            "training",
        )
    ]
    for picture in pictures:
        assert (directory / picture).read_bytes().startswith(b"\x89PNG")
        assert (directory / picture).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert {path.name for path in report.figures} == {path.name for path in (directory / "figures").iterdir()}


def test_the_same_run_gives_the_same_bytes(complete, tmp_path):
    again = shutil.copytree(complete[0], tmp_path / "elsewhere")
    shutil.rmtree(again / "figures")
    write_report(again, replicas=50)
    for path in (again / "report.md", again / "summary.json", *(again / "figures").iterdir()):
        assert path.read_bytes() == (complete[0] / path.relative_to(again)).read_bytes(), path


def text_and_summary(directory):
    """What ``write_report`` would write, without the pictures."""
    run = load_run(directory)
    evaluation = evaluate(run.events, run.scores, run.targets, replicas=20)
    summary = summarize(run, evaluation)
    text = report_text(run, evaluation, summary, profile=None, turn_on=run.events.quantities)
    return text.markdown({}), summary


def write_search(directory, *, winners=True):
    """What search and winners leave beside the rest of a run."""

    def trial(name, score, ebops):
        cost = {"ebops": ebops, "parameters": ebops // 10}
        return {"trial": name, "choices": {"bits": [8, 2], "pool": None}, "score": score, "cost": cost}

    write_json(
        directory / "search.json",
        {
            "best": f"{TRIAL}000001",
            "objective": "signal_efficiency",
            "trials": 12,
            "failed": 1,
            "epochs": 1_234,
            "wall_s": 3_725.4,
            "pareto_front": [trial("small", 0.7, 500), trial(f"{TRIAL}000001", 0.8, 2_000)],
            "hypervolume": {"value": 150.0, "score": 0.6, "ebops": 3_000},
            "compared": {
                "epochs": 27,
                "trials": ["small", "large", f"{TRIAL}000001"],
                "scores": [0.7, 0.6, 0.8],
                "ebops": [500, 3_000, 2_000],
            },
        },
    )
    test = {"per_seed": [0.7, 0.8], "signal_efficiency": {"value": 0.75, "low": 0.7, "high": 0.8}, "spread": 0.0707}
    common = {"eligible": True, "failed": {}, "validation": 0.77, "test": test}
    apart = {"value": -0.1, "low": -0.2, "high": -0.05, "told_apart": True, "smallest_visible": 0.07}
    alike = {"value": -0.01, "low": -0.2, "high": 0.1, "told_apart": False, "smallest_visible": 0.21}
    failed = {"eligible": False, "failed": {"2": "it diverged"}, "test": None, "difference_to_winner": None}
    candidates = [
        {**trial(f"{TRIAL}000001", 0.8, 2_000), **common, "difference_to_winner": None},
        {**trial("alike", 0.79, 900), **common, "difference_to_winner": alike},
        {**trial("apart", 0.78, 800), **common, "difference_to_winner": apart},
        {**trial("failed", 0.77, 700), **common, **failed, "validation": None},
    ]
    facts = {
        "winner": {"trial": TRIAL, "search_trial": f"{TRIAL}000001", "seed": 2},
        "choices": {"bits": [8, 2]},
        "target": {"kind": "rate_khz", "value": 10.0},
        "seeds": [1, 2],
        "level": 0.6827,
        "level_apart": 0.95,
        "replicas": 500,
        "winners": candidates,
        "float_twin": {**test, "failed": {}, "qkeras_minus_float": alike},
    }
    if winners:
        write_json(directory / "winners.json", facts)
    return directory


def test_a_search_and_its_winners_are_told(tmp_path):
    directory = write_search(write_run(tmp_path / "run"))
    report = write_report(directory, replicas=20)
    pictures = re.findall(r"!\[.*?\]\(figures/(.*?)\.png\)", report.markdown)
    assert pictures[-3:] == ["pareto_front", "winners", "training"]
    for piece in (
        "12 trials, of which 1 failed, 1,234 epochs, 1:02:05 (h:mm:ss)",
        "3 trials were trained for 27 epochs. The other 8 were stopped earlier",
        "| `small` | bits: (8, 2), pool: none | 0.7000 | 500 | 50 |",
        "Hypervolume: 150, the area that the front covers against the lowest score (0.6000)",
        f"**The winner is trial {TRIAL}000001. Statistically compatible with it: alike.**",
        f"| `{TRIAL}000001` (winner) | bits: (8, 2), pool: none | 2,000 | 0.7700 | 0.7500 | 0.0707 | 0.7000 to ",
        "| -0.0100 (-0.2000 to 0.1000) | statistically compatible; a difference of 0.2100 would have been seen |",
        "| -0.1000 (-0.2000 to -0.0500) | lower |",
        "failed, and so out: seed 2: it diverged |",
        "over 2 seeds: 0.7500 (0.7000 to 0.8000). QKeras − float twin: -0.0100 (-0.2000 to 0.1000): statistically",
        "their intervals are at 95 %",
        "for the 3 differences here by Holm's method: the chance of any false verdict among them is at most 5 %",
        "![Score against EBOPs",
    ):
        assert piece in report.markdown, piece
    for block in report.markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block
    assert "compared" not in report.summary["search"]
    assert len(report.summary["winners"]) == 4
    assert (directory / "figures" / "pareto_front.png").exists()


def test_a_search_without_winner_has_no_report_but_its_trials_have(tmp_path):
    directory = write_search(write_run(tmp_path / "run"), winners=False)
    with pytest.raises(OutputError, match="was searched, and has no winner yet"):
        load_run(directory)
    report = write_report(directory, trial=TRIAL, replicas=20)
    assert report.directory == directory / "reports" / TRIAL
    assert "No winner has been trained afresh yet" in report.markdown
    assert (report.directory / "figures" / "pareto_front.png").exists()
    assert not (directory / "report.md").exists()


def test_what_synthesis_found_is_told(tmp_path):
    directory = write_run(tmp_path / "run")
    assert "Not synthesized yet: `fpgaml synthesize` does it" in text_and_summary(directory)[0]
    figures = Resources(origin="Yosys 0.70, before place and route", lut=37_000, ff=8_900, dsp=0, latency_cycles=8)
    done = StepReport(step="yosys", status="done", wall_s=81.4, resources=figures, utilisation={"lut": 0.031})
    late = [StepReport(step=step, status="timed out", message="Give it longer.") for step in ("csynth", "cosim")]
    found = Synthesis(backend="rtl", tool="yosys", version="0.70", part="xcvu9p", clock_period_ns=5.0, steps=(done,))
    agreement = {"events": 5, "words": 5, "mismatches": 0, "composition": {"test": 2, "other": 0, "drawn": 3}}
    facts = {"backend": "rtl", "project": f"rtl_projects/{TRIAL}", "agreement": agreement}
    write_json(directory / "synthesis" / f"{TRIAL}-rtl.json", {**facts, "synthesis": found.to_json()})
    other = {**found.to_json(), "version": None, "steps": [step.to_json() for step in late]}
    facts |= {"backend": "vitis", "project": f"hls_projects/{TRIAL}", "agreement": None}
    write_json(directory / "synthesis" / f"{TRIAL}-vitis.json", {**facts, "synthesis": other})
    text, _ = text_and_summary(directory)
    for piece in (
        f"Project `rtl_projects/{TRIAL}`: 0 of 5 words differ over 5 events (2 test events, 3 drawn over the words",
        "yosys 0.70; part `xcvu9p`, clock period 5 ns.",
        "| yosys | done | 81 | 37,000 (3.1 %) | 8,900 | 0 | 8 | Yosys 0.70, before place and route |",
        f"`hls_projects/{TRIAL}`, which has not been compared with the model.",
        "- csynth, cosim: Give it longer.",
    ):
        assert piece in text, piece


def test_the_certificate_of_the_project_is_told_and_whether_it_still_holds(tmp_path):
    directory = write_run(tmp_path / "run")
    assert "ertificate" not in text_and_summary(directory)[0]
    project = directory / "hls_projects" / TRIAL
    (project / "Makefile").write_text("check:\n", encoding="utf-8")
    (project / "README.md").write_text(f"SHA-256 of `certificate.json`: `{'0' * 64}`\n", encoding="utf-8")
    certificate = Certificate.of(
        {
            "model": {"weights_sha256": "a1" * 32},
            "data": {"sha256": "b2" * 32},
            "csim": {"events": 1200, "words": 2400, "mismatches": 0, "project_sha256": "c3" * 32},
            "vectors": {"events": 500, "words": 1000},
            "left_out": ["tiny_prj/"],
            "n_files": 2,
            "files": file_hashes(project, ["Makefile", "README.md"]),
        }
    )
    digest = f"SHA-256 of `certificate.json`: `{certificate.sha256}`\n"
    (project / "README.md").write_text(digest, encoding="utf-8")
    (project / "certificate.json").write_text(certificate.text, encoding="utf-8")
    other = directory / "rtl_projects" / TRIAL / "certificate.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}", encoding="utf-8")
    text, summary = text_and_summary(directory)
    assert "**Certified**: when this report was written, every file was as `certificate.json` lists it, and no" in text
    assert f"\n\n{digest}\n" in text
    assert summary["certificates"] == {
        f"hls_projects/{TRIAL}": certificate.sha256,
        f"rtl_projects/{TRIAL}": hashlib.sha256(b"{}").hexdigest(),
    }
    assert f"`rtl_projects/{TRIAL}/certificate.json`: `{hashlib.sha256(b'{}').hexdigest()}`" in text
    assert "| words compared | 2,400 over 1,200 events, 0 differ |" in text
    assert "| weights, SHA-256 | `a1a1a1a1a1a1…` |" in text
    (project / "Makefile").write_text("check: all\n", encoding="utf-8")
    (project / "firmware.h").write_text("", encoding="utf-8")
    text, _ = text_and_summary(directory)
    assert "**Certificate: no longer valid.** Makefile differs from the certificate; firmware.h is not in the" in text
    write_json(project / "certificate.json", {"files": {}, "left_out": []})
    with pytest.raises(OutputError, match="is no certificate"):
        text_and_summary(directory)


def test_disagreement_is_loud(tmp_path):
    directory = write_run(tmp_path / "run", mismatches=3)
    text, summary = text_and_summary(directory)
    assert "DISAGREE: 3 of 2,400 words differ" in first_line(text)
    assert "`dense_1`, in event 0, by 1 LSB" in first_line(text)
    assert summary["csim"]["mismatches"] == summary["csim"]["scores_differing"] == 3
    nothing = {"directory": directory, "evaluation": None, "markdown": text, "figures": ()}
    assert Report(summary=summary, **nothing).agrees is False


def test_an_agreement_that_the_scores_contradict_is_doubted(tmp_path):
    directory = write_run(tmp_path / "run", mismatches=3)
    path = directory / "csim" / f"{TRIAL}.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"mismatches": 0})
    text, _ = text_and_summary(directory)
    assert "csim scores of 3 test events are not the QKeras scores" in text


def test_a_run_that_stopped_after_training_is_reported(tmp_path):
    report = write_report(write_run(tmp_path / "run", with_float=False, with_csim=False), replicas=20)
    assert report.agrees is None
    assert report.summary["csim"] is None
    assert report.summary["hls_project"] is None
    assert report.summary["signal_efficiency"]["float"] is None
    assert report.summary["signal_efficiency"]["csim"] is None
    assert "`fpgaml csim` does it" in first_line(report.markdown)
    assert "No float twin was trained" in report.markdown
    assert "`fpgaml convert` writes it" in report.markdown
    assert "nothing to compare" in report.markdown
    assert "Nothing was searched" in report.markdown
    assert "nothing is known of its layers" in report.markdown


def test_a_task_without_rate_is_judged_by_background_efficiency(tmp_path):
    text, summary = text_and_summary(write_run(tmp_path / "run", rate=False))
    assert summary["working_point"] == {"background_efficiency": 0.01}
    assert summary["signal_efficiency"]["qkeras"]["achieved_background_efficiency"] <= 0.02
    assert "Signal efficiency at background efficiency 0.01" in first_line(text)
    assert "kHz" not in text.split("## Efficiency and rate")[0]
    assert "the data hold no quantity, such as HT" in text


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("study.yaml", "fpgaml train"),
        ("environment.json", "fpgaml train"),
        ("dataset.json", "fpgaml train"),
        ("events.npz", "fpgaml train"),
        ("trials", "fpgaml train"),
        (f"trials/{TRIAL}/scores.npz", "fpgaml train"),
        (f"trials/{TRIAL}/architecture.json", "fpgaml train"),
        (f"csim/{TRIAL}.npz", "fpgaml csim"),
        (f"csim/{TRIAL}.json", "fpgaml csim"),
    ],
)
def test_a_missing_stage_is_named_with_its_command(complete, tmp_path, missing, command):
    directory = shutil.copytree(complete[0], tmp_path / "run")
    gone = directory / missing
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(OutputError) as raised:
        load_run(directory)
    assert str(gone) in str(raised.value)
    assert command in str(raised.value)


def test_files_that_do_not_belong_together_are_refused(complete, tmp_path):
    directory = shutil.copytree(complete[0], tmp_path / "run")
    np.savez(directory / "csim" / f"{TRIAL}.npz", csim_test=np.zeros(7))
    with pytest.raises(OutputError, match=r"needs csim_test of shape \(2400,\), found csim_test \(7,\)"):
        load_run(directory)
    np.savez(directory / "trials" / TRIAL / "scores.npz", qkeras_validation=np.zeros(3), qkeras_test=np.zeros(2_400))
    with pytest.raises(OutputError, match=r"qkeras_validation has shape \(3,\), events.npz 2400 such events"):
        load_run(directory)


def test_no_such_directory_and_no_such_trial(complete, tmp_path):
    with pytest.raises(OutputError, match="no such directory"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=f"no trained trial '3f2a'.*Allowed: {TRIAL}"):
        load_run(complete[0], trial="3f2a")
    directory = shutil.copytree(complete[0], tmp_path / "run")
    shutil.copytree(directory / "trials" / TRIAL, directory / "trials" / "another")
    with pytest.raises(OutputError, match=f"2 trained trials, name one: {TRIAL}, another"):
        load_run(directory)
    assert load_run(directory, trial=TRIAL).trial == TRIAL


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dataset.json", "[]", "must hold a JSON object, found list"),
        ("dataset.json", '{"targets": [{"kind": "rate", "value": 1}]}', "`targets` must be a list"),
        ("dataset.json", '{"targets": []}', "`targets` is empty"),
        ("study.yaml", "a: [", "study.yaml:1: is no YAML"),
        ("events.npz", "no archive", "cannot be read as npz"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(complete, tmp_path, name, content, message):
    directory = shutil.copytree(complete[0], tmp_path / "run")
    (directory / name).write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=message):
        load_run(directory)


def test_a_limit_is_shown_as_a_limit():
    assert estimate_text(Estimate(float("nan"), 5432.1, float("nan")), digits=0) == "> 5432"
    assert estimate_text(Estimate(0.5, 0.4, 0.6), digits=2) == "0.50 (0.40 to 0.60)"


def test_curves_in_the_evaluation_are_those_of_the_test_events(complete):
    directory, report = complete
    run = load_run(directory)
    tested = run.events.chosen("test")
    expected = performance_curve(
        run.scores["float"].test,
        run.events.y[tested],
        kind="rate_khz",
        weights=run.events.weights[tested],
        groups=run.events.groups[tested],
    )
    np.testing.assert_array_equal(report.evaluation.curves["float"].signal_efficiency, expected.signal_efficiency)
    np.testing.assert_array_equal(report.evaluation.curves["float"].background, expected.background)


def hostile_run(directory):
    """A run whose every word from outside is ``EVIL``, and whose quantities are called after other folders."""
    write_run(directory / "run")
    run = directory / "run"
    events = Events.load(run / "events.npz")
    ht = events.quantities["ht_gev"]
    names = ("x/../../../../NAME", "a/b", "a_b 日本", EVIL)
    replace(events, quantities=dict.fromkeys(names, ht)).save(run / "events.npz")
    for path, changes in {
        run / "dataset.json": {"task": EVIL, "metadata": {"inputs": [EVIL, "ok"], "label": EVIL, "signal": EVIL}},
        run / "environment.json": {
            "command": f"fpgaml run '{EVIL}\n```\n<script>' --output x",
            "machine": {"cpu": EVIL},
        },
        run / "trials" / TRIAL / "architecture.json": {"choices": {EVIL: {"kind": EVIL, EVIL: [EVIL]}}},
    }.items():
        write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})
    name = EVIL.translate(dict.fromkeys(map(ord, "\x1b\u202e")))  # those two, a study's file may not hold
    (run / "study.yaml").write_text(yaml.safe_dump({"study": name, "task": "trigger"}), encoding="utf-8")
    return run


def test_words_from_outside_are_words_and_stay_inside(tmp_path, recwarn):
    run = hostile_run(tmp_path)
    report = write_report(run, replicas=20)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    figures = {path.name for path in (run / "figures").iterdir()}
    assert figures == {path.name for path in report.figures}
    assert all(path.is_file() for path in (run / "figures").iterdir())
    assert len([name for name in figures if name.startswith("turn_on_")]) == 2 * 4
    assert {path.name for path in run.iterdir()} >= {"report.md", "report.html", "summary.json"}
    shown = {run / picture for picture in pictures(report.markdown)}
    assert shown == {path for path in report.figures if path.suffix == ".png"}
    headings = [token for token in tokens(report.markdown, html=False) if token.type == "heading_open"]
    assert sum(token.tag == "h1" for token in headings) == 1
    assert not recwarn.list
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert 'src="http' not in page


def test_groups_and_repeated_inputs_of_the_data_are_told(tmp_path):
    directory = write_run(tmp_path / "run")
    assert "No validation or test event" not in text_and_summary(directory)[0]  # nobody has looked
    described = json.loads((directory / "dataset.json").read_text(encoding="utf-8"))
    described["metadata"] |= {
        "group": "run",
        "groups": {
            "train": {"signal": 30, "background": 60},
            "validation": {"signal": 10, "background": 20},
            "test": {"signal": 9, "background": 21},
        },
        "repeated_inputs": {
            "train": {"events": 1000, "repeated": 10},
            "validation": {"events": 400, "repeated": 0, "other_label": 0},
            "test": {"events": 400, "repeated": 8, "other_label": 2},
        },
    }
    write_json(directory / "dataset.json", described)
    text, _ = text_and_summary(directory)
    assert "| test | 9 | 21 |" in text
    assert "**Note:** there are only 9 groups of test signal: intervals from fewer than 10 groups are uncertain" in text
    assert (
        "8 of 400 (2 %) test events have exactly the inputs of an event in training or validation (2 of them of one of "
        "the other class). Within training, it is 10 of 1,000 (1 %) events."
    ) in text
    described["metadata"]["repeated_inputs"]["test"]["repeated"] = 0
    write_json(directory / "dataset.json", described)
    assert "No validation or test event has exactly the inputs" in text_and_summary(directory)[0]
