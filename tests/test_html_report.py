"""The report as a page: what it holds, and what a real browser makes of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import pytest
import yaml
from test_report import TRIAL, write_run, write_search

from fpgaml import pipeline
from fpgaml.cost import cost
from fpgaml.errors import OutputError
from fpgaml.html_report import render_html
from fpgaml.html_report.page_facts import confusion, curve_figures, score_shares
from fpgaml.html_report.performance_charts import efficiency_chart, rejection_chart, score_chart
from fpgaml.html_report.search_view import search_view
from fpgaml.html_report.training_charts import front_chart
from fpgaml.journal import Journal
from fpgaml.layer_profile import LayerProfile, profile_layers
from fpgaml.layers import layer_class
from fpgaml.markdown import report_text
from fpgaml.report import load_run, write_report
from fpgaml.storage import read_json, write_json
from fpgaml.study import Study
from fpgaml.tables import choice_text
from fpgaml.turn_on import turn_on_curves

REPOSITORY = Path(__file__).parents[1]
IDS = ("headline", "efficiency", "search", "training", "layers", "synthesis", "scores", "turn-on", "study", "method")
TALLEST = 300
"""Trials of the largest search that the page has to hold."""


def write_journal(directory, *, n_trials=TALLEST, longest=27):
    """A journal of a search by successive halving, and the ``search.json`` that it comes to."""
    rng = np.random.default_rng(5)
    lines = [{"event": "header", "version": 1, "space": "0"}]
    compared = []
    for number in range(n_trials):
        epochs = longest if number < max(1, n_trials // 12) else int(rng.choice([3, 9]))
        ebops = int(10 ** rng.uniform(4, 6.5))
        score = 0.3 + 0.08 * np.log10(ebops) + rng.normal(0, 0.03)
        bits, pool = [[4, 1], [6, 1], [8, 2]][number % 3], [None, {"kind": "max_pooling2d", "pool_size": 2}][number % 2]
        trial = f"{number:018x}" if number else f"{TRIAL}000001"
        gap = np.exp(-np.arange(epochs) / 8) + rng.normal(0, 0.01, (3, epochs))
        curves = {
            "loss": (0.2 + 0.3 * gap[0]).tolist(),
            "val_loss": (0.22 + 0.3 * gap[1]).tolist(),
            "val_accuracy": (0.9 - 0.2 * gap[0]).tolist(),
            "signal_efficiency": [None, *(score - 0.3 * gap[2][1:]).tolist()],
            "signal_efficiency_smooth": (score - 0.3 * gap[1]).tolist(),
        }
        entry = {"trial": trial, "choices": {"bits": bits, "pool": pool}, "score": float(score)}
        entry["cost"] = {"ebops": ebops, "parameters": ebops // 100, "lut": ebops // 20}
        efficiency = {"value": score, "low": score - 0.01, "high": score + 0.01}
        event = {"event": "finished", **entry, "epochs": epochs, "curves": curves, "signal_efficiency": efficiency}
        if epochs > 3:
            lines.append({**event, "epochs": 3, "curves": {name: curve[:3] for name, curve in curves.items()}})
        lines.append(event)
        compared += [entry] if epochs == longest else []
    (directory / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = json.loads((directory / "search.json").read_text(encoding="utf-8"))
    front, best = [], -np.inf
    for entry in sorted(compared, key=lambda entry: entry["cost"]["ebops"]):
        if entry["score"] > best:
            front, best = [*front, entry], entry["score"]
    found |= {"trials": n_trials, "failed": 0, "pareto_front": front}
    found["compared"] = {
        "epochs": longest,
        "trials": [entry["trial"] for entry in compared],
        "scores": [entry["score"] for entry in compared],
        "ebops": [entry["cost"]["ebops"] for entry in compared],
    }
    write_json(directory / "search.json", found)
    return directory


def write_network(directory):
    """Weights where a run has them; the model that they make."""
    dense, relu = layer_class("dense"), layer_class("relu")
    layers = [dense(units=6, bits=(6, 1)), relu(bits=(8, 3)), dense(units=1, bits=(7, 2), bias_bits=(9, 3))]
    trained = networks.random_model(networks.network((5,), layers), 3)
    rng, epochs = np.random.default_rng(1), np.arange(10)
    history = {
        **{
            name: (0.3 + 0.4 * np.exp(-epochs / 3) + rng.normal(0, 0.004, 10)).tolist() for name in ("loss", "val_loss")
        },
        **{name: (0.9 - 0.2 * np.exp(-epochs / 3)).tolist() for name in ("accuracy", "val_accuracy")},
        "phase": ["train"] * 8 + ["fine_tune"] * 2,
    }
    trained = replace(trained, history=history, seed=1, wall_s=20.0)
    trained.save(directory / "trials" / TRIAL)
    return trained


def page_inputs():
    return networks.inputs_for(networks.network((5,), [networks.DENSE]), 500, seed=2)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run with everything: search, winners, network, csim."""
    directory = write_journal(write_search(write_run(tmp_path_factory.mktemp("searched") / "run")))
    write_network(directory)
    return directory, write_report(directory, replicas=50, inputs=page_inputs)


@pytest.fixture(scope="module")
def page(searched):
    return (searched[0] / "report.html").read_text(encoding="utf-8")


def text_of(html):
    """What is read on the page, without scripts and tags."""
    bare = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def test_the_page_holds_every_section_and_every_word_of_the_report(searched, page):
    _, report = searched
    for name in IDS:
        assert f'<section id="{name}">' in page
        assert f'href="#{name}"' in page
    shown = text_of(page).replace(" ", "")
    cells = re.findall(r"\| ([^|\n]+?) (?=\|)", report.markdown)
    assert len(cells) > 300
    for cell in cells:
        plain = re.sub(r"[`*]", "", cell).replace(" ", "").replace("&", "&amp;")
        plain = plain.replace("<", "&lt;").replace(">", "&gt;")
        assert plain in shown or set(plain) <= set("-"), cell
    assert "fpgaml run synthetic.yaml --output runs/synthetic" in page
    assert "![" not in shown


def test_the_page_is_small_whole_and_asks_no_host(searched, page):
    assert len(page.encode()) < 5_000_000
    bare = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"", bare)
    assert "url(" not in bare
    assert "@import" not in bare
    assert page.count("</script>") == 3


def test_the_same_run_gives_the_same_page(searched, page, tmp_path):
    again = shutil.copytree(searched[0], tmp_path / "again")
    write_report(again, replicas=50)  # what the layers hold is kept, and not looked at again
    assert (again / "report.html").read_text(encoding="utf-8") == page


def test_curves_are_those_of_the_evaluation(searched):
    evaluation = searched[1].evaluation
    for spec, (x, y) in (
        (efficiency_chart(evaluation), ("background", "signal_efficiency")),
        (rejection_chart(evaluation), ("signal_efficiency", "background_rejection")),
    ):
        drawn = [row for row in spec["data"]["values"] if row["model"] == "QKeras"]
        curve = evaluation.curves["qkeras"]
        kept = np.isfinite(getattr(curve, y)) & (curve.background > 0)
        np.testing.assert_allclose([row["x"] for row in drawn], getattr(curve, x)[kept], rtol=1e-4)
        np.testing.assert_allclose([row["y"] for row in drawn], getattr(curve, y)[kept], rtol=1e-4)
        banded = [row for row in drawn if row["low"] is not None]
        assert len(banded) == np.isfinite(curve.signal_low[kept]).sum() > 10
        assert all(row["low"] <= row["y"] <= row["high"] for row in banded)
    marks = efficiency_chart(evaluation)["layer"][-1]["data"]["values"]
    assert [mark["y"] for mark in marks] == pytest.approx(
        [point.signal_efficiency.value for point in evaluation.performances if point.achieved.low > 0], rel=1e-4
    )


def test_confusion_and_scores_are_those_of_the_test_events(searched):
    directory, report = searched
    run = load_run(directory)
    found = {entry.model: entry for entry in confusion(run, report.evaluation)}
    qkeras, point = found["qkeras"], report.evaluation.performance("qkeras")
    assert qkeras.signal_passed + qkeras.signal_rejected == 400
    assert qkeras.background_passed + qkeras.background_rejected == 2_000
    assert qkeras.signal_share == pytest.approx(point.signal_efficiency.value)
    assert qkeras.background_khz[0] == pytest.approx(point.achieved.value)
    assert 1 / qkeras.background_share == pytest.approx(point.background_rejection.value)
    shares, edges = score_shares(run, report.evaluation)
    for by_class in shares.values():
        for share in by_class.values():
            assert share.sum() == pytest.approx(1.0)
    drawn = score_chart(shares, edges, threshold=point.threshold, threshold_label="here")["data"]["values"]
    signal = [row["share"] for row in drawn if (row["model"], row["class"]) == ("QKeras", "signal")]
    np.testing.assert_allclose(signal, shares["qkeras"]["signal"], rtol=1e-4, atol=1e-12)


def test_turn_on_curves_hold_the_signal_that_passes(searched):
    directory, report = searched
    found = turn_on_curves(load_run(directory), report.evaluation)
    assert list(found) == ["ht_gev"]
    curve = found["ht_gev"]["qkeras"]
    assert curve.value[-1] > curve.value[0]
    assert 360 <= curve.events.sum() <= 400
    assert curve.events.min() > 0


def test_trials_are_told_after_their_most_epochs(searched):
    run = load_run(searched[0])
    view = search_view(run)
    assert len(view.trials) == TALLEST
    assert [row.figures["epochs"] for row in view.trials][:25] == [27] * 25
    assert {row.trial for row in view.trials if row.compared} == set(run.search["compared"]["trials"])
    assert view.winner == f"{TRIAL}000001"
    assert [row.trial for row in view.trials if row.winner] == [view.winner]
    assert view.values == {"bits": ("(4, 1)", "(6, 1)", "(8, 2)"), "pool": ("max_pooling2d pool_size 2", "none")}
    lines = [line.split(",") for line in view.curves.splitlines()]
    assert lines[0] == ["trial", "epoch", "loss", "val_loss", "signal_efficiency", "signal_efficiency_smooth"]
    assert sum(line[0] == view.winner for line in lines) == 27
    assert next(line for line in lines if line[0] == view.winner)[4] == ""  # null is nothing, not zero
    best = next(row for row in view.trials if row.trial == view.winner)
    events = [json.loads(line) for line in (searched[0] / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [event for event in events if event.get("trial") == view.winner][-1]
    gap = np.array(told["curves"]["val_loss"]) - told["curves"]["loss"]
    assert best.figures["stdev"] == pytest.approx(np.sqrt((gap**2).sum() / 26))
    assert best.figures["volatility"] == pytest.approx(100 / 27 * (np.diff(gap) ** 2).sum())
    drawn = front_chart(view)["data"]["values"]
    assert {row["trial"] for row in drawn if row["front"]} == set(view.front)


def test_a_front_against_predicted_luts(searched, tmp_path):
    directory = shutil.copytree(searched[0], tmp_path / "run")
    found = read_json(directory / "search.json")
    luts = [ebops // 20 for ebops in found["compared"]["ebops"]]
    write_json(
        directory / "search.json", {**found, "front_cost": "lut", "compared": {**found["compared"], "lut": luts}}
    )
    view = search_view(load_run(directory))
    assert (view.cost, view.columns["lut"]) == ("lut", "predicted LUT")
    spec = front_chart(view)
    assert spec["layer"][-1]["encoding"]["x"]["title"] == "predicted LUT"
    assert sorted(row["lut"] for row in spec["data"]["values"]) == sorted(float(f"{lut:.5g}") for lut in luts)


def test_a_choice_is_told_briefly():
    assert choice_text({"kind": "conv1d", "bits": [8, 2]}) == "conv1d bits (8, 2)"
    assert [choice_text(value) for value in (None, True, 0.5, [8, 2])] == ["none", "yes", "0.5", "(8, 2)"]


def test_a_profile_adds_up_and_comes_back(searched, tmp_path):
    trained = write_network(tmp_path)
    found = profile_layers(trained, page_inputs())
    assert sum(entry.ebops for entry in found.costs) == cost(trained.firmware, trained.quantized_weights).ebops
    assert [use.name for use in found.uses] == [
        "input", "dense_1 weights", "dense_1 biases", "relu_1", "dense_2 weights", "dense_2 biases",
    ]  # fmt: skip
    assert LayerProfile.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found == LayerProfile.from_json(read_json(searched[0] / "trials" / TRIAL / "layers.json"))
    bare = profile_layers(trained)
    assert bare.events == 0
    assert bare.uses == tuple(use for use in found.uses if use.name.startswith("dense"))
    words = trained.quantized_weights["dense_1"]["kernel"]
    histogram = found.weights[0]
    np.testing.assert_array_equal(np.histogram(words, histogram.edges)[0], histogram.counts)


def test_losses_of_one_epoch_have_no_figures():
    assert [found.volatility for found in curve_figures({"float": {"loss": [0.3], "val_loss": [0.4]}})] == [None]
    assert curve_figures({"float": {"loss": [0.3, 0.2], "val_loss": [0.4, 0.4]}})[0].volatility == pytest.approx(0.5)


def pages_with_less(folder):
    """Runs that lack something, and what their page says of it."""
    bare = write_run(folder / "bare", with_float=False, with_csim=False)
    for history in bare.glob("trials/*/history_*.json"):
        history.unlink()
    yield (
        bare,
        (
            "Nothing was searched",
            "Not simulated yet",
            "No float twin was trained",
            "No training curves were kept",
            "nothing is known of its layers",
        ),
    )
    yield write_run(folder / "plain", rate=False), ("background efficiency 0.01", "hold no quantity, such as HT")
    unlike = write_run(folder / "unlike", mismatches=3)
    yield unlike, ("✗ Firmware and model differ", "MODEL DISAGREE: 3 of 2,400")
    yield (
        write_search(write_run(folder / "no_journal")),
        ("because of the journal: ", "journal.jsonl: not found", "No curves of trials were kept"),
    )
    lost = write_search(write_run(folder / "lost"))
    Journal(lost / "journal.jsonl", space="a").append({"event": "started", "trial": "a"})
    yield lost, ("because of the journal: ", "holds no finished trial")
    # one trial that has won, of one that was searched
    one = write_journal(write_search(write_run(folder / "one")), n_trials=1)
    yield one, ("1 of 1 trials",)
    weights = write_run(folder / "weights")
    write_network(weights)
    yield weights, ("Only weights are shown",)
    yield (
        nothing_passes(write_run(folder / "nothing", with_float=False, with_csim=False)),
        ("No test background passes the threshold of QKeras at 10 kHz", "&gt; "),
    )


def nothing_passes(directory):
    """All test background far below any threshold."""
    folder = directory / "trials" / TRIAL
    with np.load(folder / "scores.npz") as scores, np.load(directory / "events.npz") as events:
        columns = dict(scores)
        columns["qkeras_test"][events["y"][events["split"] == 2] == 0] = -50.0
    np.savez(folder / "scores.npz", **columns)
    return directory


@pytest.fixture(scope="module")
def less(tmp_path_factory):
    """These runs with their reports."""
    found = dict(pages_with_less(tmp_path_factory.mktemp("less")))
    for directory in found:
        write_report(directory, replicas=20)
    return found


@pytest.mark.slow
def test_what_a_run_does_not_have_is_said(less):
    for directory, sentences in less.items():
        shown = text_of((directory / "report.html").read_text(encoding="utf-8"))
        for sentence in sentences:
            assert sentence in shown, directory.name


def test_the_trial_of_a_search_has_a_page_of_its_own(tmp_path):
    directory = write_journal(write_search(write_run(tmp_path / "run"), winners=False), n_trials=24)
    report = write_report(directory, trial=TRIAL, replicas=20)
    assert report.page == directory / "reports" / TRIAL / "report.html"
    assert "No winner has been trained afresh yet" in text_of(report.page.read_text(encoding="utf-8"))


def test_words_of_a_study_cannot_break_the_page(searched, tmp_path):
    directory = shutil.copytree(searched[0], tmp_path / "run")
    (directory / "study.yaml").write_text(
        "study: '</script><script>alert(1)</script>'\ntask: trigger\n", encoding="utf-8"
    )
    run, evaluation = load_run(directory), searched[1].evaluation
    note = "</script><b>no</b>"
    summary = {**searched[1].summary, "study": note}
    text = report_text(run, evaluation, summary, profile=None, profile_note=note, turn_on=())
    page = render_html(run, evaluation, text=text, profile=None, turn_on={})
    assert page.count("</script>") == 3
    assert "<b>no" not in page


def test_a_report_shows_itself_in_a_notebook(searched):
    directory, report = searched
    shown = report._repr_html_()
    assert "Signal efficiency at 10 kHz: float twin 0." in shown
    assert f'href="{(directory / "report.html").as_posix()}"' in shown
    assert len(shown) < 1_000


def test_a_broken_profile_is_an_error_of_its_file(searched, tmp_path):
    directory = shutil.copytree(searched[0], tmp_path / "run")
    path = directory / "trials" / TRIAL / "layers.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match=r"layers\.json"):
        read_json(path)
    write_report(directory, replicas=20)
    shown = text_of((directory / "report.html").read_text(encoding="utf-8"))
    assert "Only weights are shown, because of this:" in shown
    assert "layers.json" in shown


# In a browser


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium; on a continuous-integration machine it has to be there."""
    reason = "needs Chromium and playwright: apt install chromium, pip install playwright"
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        executable = None
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page in the browser, and what went on while it was open."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(viewport={"width": 1366, "height": 900}, **options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]", state="attached", timeout=30_000)

    def curve(self):
        """The thick line of the chosen trial's loss."""
        lines = self.page.locator("#chart-trial-loss g.mark-line path").evaluate_all(
            "paths => paths.filter(path => path.getAttribute('stroke-width') === '2.5')"
            ".map(path => path.getAttribute('d'))"
        )
        assert lines
        return lines

    def column(self, heading):
        """The values of a column of the trials that are shown, from top to bottom."""
        headings = self.page.locator("#trials thead button").all_inner_texts()
        number = 1 + headings.index(heading)
        cells = self.page.locator(f"#trials tbody tr:not([hidden]) > :nth-child({number})")
        return cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")


def page_opens_quietly_and_alone(opened, path):
    assert opened.requests == [path.as_uri()]
    for name in IDS:
        assert opened.page.locator(f"section#{name} h2").first.is_visible()
    empty = opened.page.locator(".canvas").evaluate_all(
        "places => places.filter(place => !place.querySelector('svg .mark-group path[d], svg .mark-symbol path'))"
        ".map(place => place.id)"
    )
    assert empty == []


def click_on_the_front_changes_the_curves(opened):
    before, chosen = opened.curve(), opened.page.locator("#picker").input_value()
    points = opened.page.locator("#chart-front g.mark-symbol.role-mark").last.locator("path")
    other = next(
        points.nth(number)
        for number in range(points.count())
        if points.nth(number).evaluate("path => path.__data__.datum.front && path.__data__.datum.trial")
        not in (False, chosen)
    )
    other.click()
    opened.page.wait_for_function("old => document.getElementById('picker').value !== old", arg=chosen)
    opened.page.wait_for_timeout(200)
    assert opened.curve() != before
    now = opened.page.locator("#picker").input_value()
    assert opened.page.locator("#trials tr.chosen").get_attribute("data-trial") == now
    assert now in opened.page.locator("#chosen").inner_text()


def keys_change_the_curves(opened, front):
    """On the chart from one end of the front to the other, then in the list."""
    assert len(front) > 1
    seen = [opened.curve()]
    opened.page.locator("#chart-front").focus()
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", -1), ("ArrowLeft", -2)):
        before = opened.page.locator("#picker").input_value()
        opened.page.keyboard.press(key)
        opened.page.wait_for_timeout(100)
        now = opened.page.locator("#picker").input_value()
        assert now == front[place]
        assert (opened.curve() != seen[-1]) == (now != before)
        seen.append(opened.curve())
    assert len({tuple(curve) for curve in seen}) > 1
    opened.page.locator("#picker").focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.wait_for_timeout(100)
    assert opened.page.locator("#picker").input_value() != front[-2]
    assert opened.curve() != seen[-1]


def table_sorts_and_filters(opened, choices):
    """By EBOPs, down and up; then only the trials with these values; then all again."""
    heading = opened.page.locator("#trials thead button", has_text="EBOPs")
    n_trials = len(opened.column("EBOPs"))
    heading.focus()
    opened.page.keyboard.press("Enter")
    values = [float(value) for value in opened.column("EBOPs")]
    assert values == sorted(values, reverse=True)
    heading.click()
    assert [float(value) for value in opened.column("EBOPs")] == values[::-1]
    for name, value in choices.items():
        opened.page.get_by_label(name, exact=True).select_option(value)
        assert set(opened.column(name)) == {value}
    left = len(opened.column("EBOPs"))
    assert 0 < left < n_trials
    assert opened.page.locator("#count").inner_text() == f"{left} of {n_trials} trials"
    opened.page.get_by_role("button", name="Show all").click()
    opened.page.wait_for_timeout(100)
    assert len(opened.column("EBOPs")) == n_trials


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (colour) => rgb(colour).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = (colour) => {
    const l = light(colour);
    return (Math.max(l, paper) + .05) / (Math.min(l, paper) + .05);
  };
  const words = [...document.querySelectorAll("p, td, th, h1, h2, h3, figcaption, nav a, .canvas svg text")];
  const lines = [...document.querySelectorAll(".canvas svg .mark-line path, .canvas svg .mark-symbol path[stroke]")]
    .filter((line) => line.getAttribute("opacity") !== "0" && !getComputedStyle(line).stroke.startsWith("none"));
  return {
    paper,
    words: Math.min(...words.map((word) => ratio(getComputedStyle(word)[word.ownerSVGElement ? "fill" : "color"]))),
    lines: Math.min(...lines.map((line) => ratio(getComputedStyle(line).stroke))),
  };
}"""


def page_is_legible(opened, *, dark):
    contrast = opened.page.evaluate(CONTRASTS)
    assert (contrast["paper"] < 0.1) == dark
    assert contrast["words"] >= 4.5  # WCAG 2.1, 1.4.3
    assert contrast["lines"] >= 3.0  # WCAG 2.1, 1.4.11


TOO_WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest(".wide, pre, svg, .vg-tooltip"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 80))"""


def narrow_window_scrolls_in_one_direction_only(opened):
    """Tables and listings may be wider, in boxes that scroll by themselves."""
    opened.page.set_viewport_size({"width": 400, "height": 900})
    opened.page.wait_for_timeout(500)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert opened.page.evaluate(TOO_WIDE) == []


def front_of(directory):
    return [entry["trial"] for entry in read_json(directory / "search.json")["pareto_front"]]


@pytest.fixture
def opened(browser, searched):
    found = Opened(browser, searched[0] / "report.html")
    yield found
    found.context.close()
    assert found.complaints == []


@pytest.mark.slow
def test_it_opens_quietly_and_alone(opened, searched):
    page_opens_quietly_and_alone(opened, searched[0] / "report.html")
    assert opened.page.locator("#chart-front g.mark-symbol.role-mark").last.locator("path").count() == 25


@pytest.mark.slow
def test_a_click_on_the_front_changes_the_curves(opened):
    click_on_the_front_changes_the_curves(opened)


@pytest.mark.slow
def test_keys_on_the_front_and_in_the_list_change_the_curves(opened, searched):
    keys_change_the_curves(opened, front_of(searched[0]))


@pytest.mark.slow
def test_the_table_sorts_and_filters(opened):
    table_sorts_and_filters(opened, {"bits": "(6, 1)", "pool": "none"})


@pytest.mark.slow
def test_values_show_on_hover(opened):
    points = opened.page.locator("#chart-efficiency g.mark-symbol.role-mark").last.locator("path")
    points.last.hover()  # drawn last: nothing covers it
    shown = opened.page.locator("#vg-tooltip-element.visible")
    shown.wait_for()
    assert "Trigger rate [kHz]" in shown.inner_text()
    assert "68 % interval" in shown.inner_text()


@pytest.mark.slow
def test_the_command_can_be_copied(opened):
    opened.page.get_by_role("button", name="Copy the command").click()
    opened.page.wait_for_function("document.getElementById('copied').value !== ''")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "switch", "dark"),
    [("light", None, False), ("dark", None, True), ("light", "dark", True), ("dark", "light", False)],
)
def test_light_and_dark_are_legible(browser, searched, system, switch, dark):
    found = Opened(browser, searched[0] / "report.html", color_scheme=system)
    if switch:
        found.page.locator(f"#colours-{switch}").check()
    page_is_legible(found, dark=dark)
    found.context.close()
    assert found.complaints == []


@pytest.mark.slow
def test_a_narrow_window_scrolls_in_one_direction_only(opened):
    narrow_window_scrolls_in_one_direction_only(opened)


SMALLER = {
    "data": {
        "n_signal": 3_000, "n_background": 9_000, "n_validation_signal": 1_500, "n_validation_background": 6_000,
        "n_test_signal": 1_500, "n_test_background": 6_000, "n_soft_collisions": 3_000, "n_hard_collisions": 4_000,
        "n_signal_collisions": 1_500, "seed": 1,
    },
    "train": {"epochs": 3, "float_epochs": 1, "batch_size": 256},
    "search": {"max_epochs": 4, "factor": 2, "training_fraction": 1.0, "winners": 1, "winner_seeds": [1]},
}  # fmt: skip
"""What of the demo is smaller in its test: numbers only. The collisions are those of ``trigger_quick``, which the tests
generate once."""


@pytest.mark.slow
def test_the_page_of_the_demo(browser, tmp_path):
    demo = yaml.safe_load((REPOSITORY / "search_spaces" / "trigger_demo.yaml").read_text(encoding="utf-8"))
    study, directory = tmp_path / "demo.yaml", tmp_path / "run"
    study.write_text(yaml.safe_dump(demo | {name: demo[name] | less for name, less in SMALLER.items()}), "utf-8")
    pipeline.run(Study.load(study), directory, workers=1)

    path, front = directory / "report.html", front_of(directory)
    found = Opened(browser, path)
    page_opens_quietly_and_alone(found, path)
    assert found.page.locator("h1").inner_text() == "trigger_demo"
    assert (
        found.page.locator("#picker").input_value() == read_json(directory / "winners.json")["winner"]["search_trial"]
    )
    assert found.page.locator("#trials tbody tr").count() == read_json(directory / "search.json")["trials"]
    assert "✓ Firmware and model agree" in found.page.locator(".certificate").inner_text()
    assert "over 2,000 validation events" in found.page.locator("section#layers").inner_text()
    click_on_the_front_changes_the_curves(found)
    keys_change_the_curves(found, front)
    table_sorts_and_filters(found, {"bits": found.column("bits")[0]})
    page_is_legible(found, dark=False)
    found.page.locator("#colours-dark").check()
    page_is_legible(found, dark=True)
    narrow_window_scrolls_in_one_direction_only(found)
    found.context.close()
    assert found.complaints == []


@pytest.mark.slow
def test_pages_with_less_open_without_complaint(browser, less):
    for directory in less:
        found = Opened(browser, directory / "report.html")
        empty = found.page.locator(".canvas").evaluate_all(
            "places => places.filter(place => !place.querySelector('svg path[d]')).map(place => place.id)"
        )
        found.context.close()
        assert (found.complaints, empty) == ([], []), directory.name
