"""What is drawn is what was computed, in style, with nothing cut off and nothing left behind."""

from __future__ import annotations

import itertools
import resource

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fpgaml import figures
from fpgaml.comparison import SeedMean
from fpgaml.curves import performance_curve
from fpgaml.drawing import settings, write
from fpgaml.errors import DataError, OutputError
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.fixed_point import FixedPoint
from fpgaml.metrics import Estimate, Target, turn_on_curve
from fpgaml.word_use import word_use

GRID = 1 / 32
PICTURES = (
    "signal_efficiency", "background_rejection", "training", "scores", "pareto_front", "turn_on", "confusion_matrix",
    "weight_histograms", "word_ranges", "winners", "differences",
)  # fmt: skip
TOLERANCE = 1
"""Root mean square of the difference of pixels, of 255. One line less makes 1.7 or more."""


def sample(*, rate):
    generator = np.random.default_rng(3)
    n_signal, n_background = 800, 4_000
    y = np.tile(np.repeat([1, 0], [n_signal, n_background]), 2)
    split = np.repeat([1, 2], n_signal + n_background).astype(np.int8)
    hard = generator.integers(0, 3, len(y)) * (y == 0)
    weights = np.where(y == 1, 1.0, np.array([20.0, 0.3, 0.005])[hard])
    hardness = generator.normal(size=len(y)) + np.where(y == 1, 4.0, 2.0 * hard)
    quantized = np.round(hardness / GRID) * GRID
    valid = split == 1
    events = Events(y=y, split=split, weights=weights if rate else None)
    scores = {
        "float": Scores(validation=hardness[valid], test=hardness[~valid]),
        "qkeras": Scores(validation=quantized[valid], test=quantized[~valid]),
        "csim": Scores(test=quantized[~valid]),
    }
    asked = (10.0, 50.0, 750.0) if rate else (0.01, 0.1)
    kind = "rate_khz" if rate else "background_efficiency"
    return events, scores, evaluate(events, scores, [Target(kind, value) for value in asked], replicas=40)


@pytest.fixture(scope="module", params=[True, False], ids=["rate", "background efficiency"])
def judged(request):
    return sample(rate=request.param)


@pytest.fixture(scope="module")
def drawn(judged):
    """All figures of a run."""
    return draw_all(judged)


@pytest.fixture(scope="module")
def stripped():
    """All without text, in a frame that does not depend on it: builds of FreeType measure and draw it differently."""
    found = draw_all(sample(rate=True))
    for axes in found.values():
        axes.figure.set_layout_engine("none")
        axes.set_position((0.05, 0.05, 0.9, 0.9))
        axes.tick_params(which="both", labelleft=False, labelbottom=False)
        for artist in (axes.xaxis.label, axes.yaxis.label, axes.get_legend(), *axes.texts):
            if artist is not None:
                artist.set_visible(False)
    return found


def draw_all(judged):
    events, scores, evaluation = judged
    tested = events.chosen("test")
    points = evaluation.performances
    history = {
        "loss": [0.7, 0.5, 0.4, 0.35],
        "val_loss": [0.72, 0.55, 0.46, 0.43],
        "phase": ["train"] * 3 + ["fine_tune"],
    }
    return {
        "signal_efficiency": figures.signal_efficiency_curve(evaluation.curves, working_points=points),
        "background_rejection": figures.background_rejection_curve(evaluation.curves, working_points=points),
        "training": figures.training_curves(
            {"float": {"loss": [0.6, 0.4], "val_loss": [0.61, 0.42]}, "qkeras": history}
        ),
        "scores": figures.score_distributions(
            {name: found.test for name, found in scores.items()},
            events.y[tested],
            weights=None if events.weights is None else events.weights[tested],
            threshold=evaluation.performance("qkeras").threshold,
            threshold_label=r"QKeras at $\varepsilon_b$ = 0.01",
        ),
        "pareto_front": figures.pareto_front(SCORES, EBOPS, winner=3, score_label="Score on validation (val loss)"),
        "turn_on": figures.turn_on_curve(turn_ons(judged), quantity="Generated $H_T$ [GeV]"),
        "confusion_matrix": figures.confusion_matrix(
            scores["qkeras"].test,
            events.y[tested],
            threshold=evaluation.performance("qkeras").threshold,
            weights=None if events.weights is None else events.weights[tested],
            rates=events.weights is not None,
        ),
        "weight_histograms": figures.weight_histograms(WEIGHTS),
        "word_ranges": figures.word_ranges(USES),
        "winners": figures.winners(MEANS, winner="first", label=r"Signal efficiency $\varepsilon_s$ at 10 kHz"),
        "differences": figures.differences(DIFFERENCES, told_apart=[True, False, True]),
    }


def turn_ons(judged):
    """Turn-on curves against a quantity that the scores follow, with a bin without events in the middle."""
    events, scores, evaluation = judged
    signal = events.chosen("test", signal=True)
    of_test = events.y[events.chosen("test")] == 1
    ht = 300 + 60 * np.random.default_rng(5).normal(size=signal.sum()) + 40 * scores["float"].test[of_test]
    ht[(ht > 400) & (ht < 450)] += 50
    return {
        name: turn_on_curve(
            found.test[of_test] >= evaluation.performance(name).threshold, ht, edges=np.arange(200, 801, 50)
        )
        for name, found in scores.items()
    }


_drawn = np.random.default_rng(7)
WEIGHTS = {
    "conv2d_1": np.round(_drawn.normal(0, 0.5, 72) * 16) / 16,
    "conv2d_2": np.round(_drawn.normal(0, 0.2, (3, 3, 4, 8)) * 16) / 16,
    "dense_1": np.round(_drawn.normal(0, 0.05, (128, 16)) * 16) / 16,
    "dense_2": np.zeros((16, 1)),
}
USES = [
    word_use("input", FixedPoint(12, 5), _drawn.exponential(0.5, 2_000)),
    word_use("conv2d_1 weights", FixedPoint(8, 3), _drawn.normal(0, 0.5, 72)),
    word_use("relu_1", FixedPoint(6, 2, signed=False), _drawn.normal(0.5, 2.0, 2_000)),
    word_use("dense_1 weights", FixedPoint(8, 4), _drawn.normal(0, 0.05, 2_000)),
    word_use("dense_1 biases", FixedPoint(8, 4), np.zeros(16)),
]


def seed_mean(*per_seed, half):
    value = float(np.mean(per_seed))
    return SeedMean(
        per_seed=per_seed,
        signal_efficiency=Estimate(value, value - half, value + half),
        spread=float(np.std(per_seed, ddof=1)),
    )


MEANS = {
    "first": seed_mean(0.71, 0.72, 0.74, half=0.02),
    "3f2a9c41d07e000002": seed_mean(0.70, 0.72, 0.71, half=0.015),
    "float twin": seed_mean(0.74, 0.745, 0.75, half=0.01),
}
DIFFERENCES = {
    "dropout − batchnorm": Estimate(0.012, 0.008, 0.016),
    "dropout − regularizer": Estimate(-0.001, -0.004, 0.002),
    "batchnorm − regularizer": Estimate(-0.013, -0.018, -0.008),
}


SCORES, EBOPS = [0.2, 0.7, 0.6, 0.8, 0.5], [900, 2_000, 2_500, 40_000, 90_000]


def line(axes, label):
    (found,) = [entry for entry in axes.lines if entry.get_label() == label]
    return found


def band(axes, number):
    """The lower and the upper edge of a band, by x."""
    corners = axes.collections[number].get_paths()[0].vertices
    edges = {}
    for x, y in corners:
        edges.setdefault(x, []).append(y)
    return np.array([[x, min(ys), max(ys)] for x, ys in sorted(edges.items())])


def test_signal_efficiency_is_drawn_as_computed(judged, drawn):
    _, _, evaluation = judged
    axes = drawn["signal_efficiency"]
    for name, label in (("float", "float twin"), ("qkeras", "QKeras"), ("csim", "csim (firmware)")):
        curve = evaluation.curves[name]
        np.testing.assert_array_equal(line(axes, label).get_xydata(), np.c_[curve.background, curve.signal_efficiency])
    # a float32 would do for the eye; a path holds float64
    curve = evaluation.curves["float"]
    expected = np.c_[curve.background, curve.signal_low, curve.signal_high][np.argsort(curve.background)]
    bounded = np.isfinite(expected).all(axis=1)
    assert 0 < bounded.sum() < len(bounded)  # the band ends where too few events pass
    np.testing.assert_allclose(band(axes, 0), expected[bounded])
    assert axes.get_xscale() == "log"


def test_background_rejection_is_drawn_as_computed(judged, drawn):
    _, _, evaluation = judged
    axes = drawn["background_rejection"]
    for name, label in (("float", "float twin"), ("qkeras", "QKeras"), ("csim", "csim (firmware)")):
        curve = evaluation.curves[name]
        expected = np.c_[curve.signal_efficiency, curve.background_rejection]
        np.testing.assert_array_equal(line(axes, label).get_xydata(), expected)
    assert axes.get_yscale() == "log"


def test_working_points_stand_where_they_were_achieved_with_their_intervals(judged, drawn):
    _, _, evaluation = judged
    bars = {
        "signal_efficiency": [(point.achieved, point.signal_efficiency) for point in evaluation.performances],
        "background_rejection": [
            (point.signal_efficiency, point.background_rejection) for point in evaluation.performances
        ],
    }
    for name, expected in bars.items():
        found = drawn[name].containers
        assert len(found) == len(expected) == 3 * len(evaluation.targets)
        for container, (x, y) in zip(found, expected, strict=True):
            marker, _, (across, up) = container.lines
            np.testing.assert_array_equal(marker.get_xydata(), [[x.value, y.value]])
            np.testing.assert_allclose(across.get_segments(), [[[x.low, y.value], [x.high, y.value]]])
            np.testing.assert_allclose(up.get_segments(), [[[x.value, y.low], [x.value, y.high]]])


def test_what_was_asked_for_is_marked(judged, drawn):
    dotted = [entry for entry in drawn["signal_efficiency"].lines if entry.get_linestyle() == ":"]
    assert [entry.get_xdata()[0] for entry in dotted] == [target.value for target in judged[2].targets]


def test_the_csim_is_markers_so_that_the_curve_below_stays_visible(drawn):
    for name in ("signal_efficiency", "background_rejection"):
        firmware, model = line(drawn[name], "csim (firmware)"), line(drawn[name], "QKeras")
        assert (firmware.get_linestyle(), model.get_linestyle()) == ("None", "-")
        assert firmware.get_markerfacecolor() == "none"


def test_labels_have_units_and_definitions(judged, drawn):
    rate = judged[0].weights is not None
    wanted = "Trigger rate [kHz]" if rate else r"Background efficiency $\varepsilon_b$"
    assert drawn["signal_efficiency"].get_xlabel() == wanted
    assert drawn["background_rejection"].get_ylabel() == r"Background rejection $1/\varepsilon_b$"
    assert drawn["training"].get_xlabel() == "Epoch"
    assert drawn["scores"].get_xlabel() == "Score (logit)"


def test_training_curves_are_the_histories_with_the_fine_tuning_shaded(drawn):
    axes = drawn["training"]
    np.testing.assert_array_equal(
        line(axes, "QKeras, training").get_xydata(), np.c_[[1, 2, 3, 4], [0.7, 0.5, 0.4, 0.35]]
    )
    np.testing.assert_array_equal(line(axes, "QKeras, validation").get_ydata(), [0.72, 0.55, 0.46, 0.43])
    np.testing.assert_array_equal(line(axes, "float twin, validation").get_xydata(), np.c_[[1, 2], [0.61, 0.42]])
    (shade,) = axes.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (3.5, 4.5)


def test_training_curves_without_validation_and_of_one_epoch():
    axes = figures.training_curves({"qkeras": {"loss": [0.5]}})
    assert [entry.get_label() for entry in axes.lines] == ["QKeras, training"]
    assert axes.lines[0].get_marker() == "o"  # a line of one point cannot be seen


def test_the_pareto_front_is_a_staircase_to_the_dearest_trial(drawn):
    axes = drawn["pareto_front"]
    np.testing.assert_array_equal(line(axes, "trials").get_xydata(), np.c_[EBOPS, SCORES])
    front = [[900, 0.2], [2_000, 0.7], [40_000, 0.8]]
    np.testing.assert_array_equal(line(axes, "Pareto front").get_xydata(), front)
    np.testing.assert_array_equal(line(axes, "winner").get_xydata(), [[40_000, 0.8]])
    (staircase,) = [entry for entry in axes.lines if entry.get_drawstyle() == "steps-post"]
    np.testing.assert_array_equal(staircase.get_xydata(), [*front, [90_000, 0.8]])
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "EBOPs")
    assert axes.get_legend().get_window_extent().y0 > axes.transData.transform((1, 0.8))[1]  # above all points


def test_the_pareto_front_without_a_winner_or_of_one_trial():
    axes = figures.pareto_front([0.5], [100])
    assert [entry.get_label() for entry in axes.lines if entry.get_label()[0] != "_"] == ["trials", "Pareto front"]


def test_score_distributions_are_weighted_shares(judged, drawn):
    events, scores, evaluation = judged
    tested = events.chosen("test")
    y = events.y[tested]
    weights = np.ones(len(y)) if events.weights is None else events.weights[tested]
    axes = drawn["scores"]
    steps = {patch.get_label(): patch.get_data() for patch in axes.patches if not patch.get_label().startswith("_")}
    for label, chosen in (("signal", y == 1), ("background", y == 0)):
        values, edges, _ = steps[f"{label}, QKeras"]
        assert values.sum() == pytest.approx(1.0)
        expected, _ = np.histogram(scores["qkeras"].test[chosen], edges, weights=weights[chosen])
        np.testing.assert_allclose(values, expected / weights[chosen].sum())
        (markers,) = [found for found in axes.containers if found.get_label() == f"{label}, csim (firmware)"]
        filled = values > 0
        centres = (edges[:-1] + edges[1:]) / 2
        np.testing.assert_allclose(markers.lines[0].get_xydata(), np.c_[centres[filled], values[filled]])
    (threshold,) = [entry for entry in axes.collections if entry.get_label().startswith("QKeras at")]
    assert threshold.get_segments()[0][0][0] == evaluation.performance("qkeras").threshold
    assert axes.get_yscale() == "log"


def test_turn_on_curves_are_drawn_as_computed_and_empty_bins_stay_empty(judged, drawn):
    axes, curves = drawn["turn_on"], turn_ons(judged)
    assert np.isnan(curves["qkeras"].value[4])
    assert np.isfinite(curves["qkeras"].value).sum() > 5
    steps = {patch.get_label(): patch.get_data() for patch in axes.patches}
    for name, label in (("float", "float twin"), ("qkeras", "QKeras")):
        np.testing.assert_array_equal(steps[label].values, curves[name].value)
        np.testing.assert_array_equal(steps[label].edges, curves[name].edges)
    (bars,) = axes.containers
    curve = curves["csim"]
    centres = np.arange(225, 800, 50)
    np.testing.assert_array_equal(bars.lines[0].get_xydata(), np.c_[centres, curve.value])
    there = np.isfinite(curve.value)
    ends = [[[x, low], [x, high]] for x, low, high in zip(centres, curve.low, curve.high, strict=True)]
    found = [segment for segment in bars.lines[2][0].get_segments() if len(segment)]
    np.testing.assert_allclose(np.array(found)[np.isfinite(found).all(axis=(1, 2))], np.array(ends)[there])
    for name, band_drawn in zip(
        ("float", "qkeras"), [patch for patch in axes.patches if patch.get_fill()], strict=True
    ):
        np.testing.assert_array_equal(band_drawn.get_data().values, curves[name].high)
        np.testing.assert_array_equal(band_drawn.get_data().baseline, curves[name].low)
    assert axes.get_xlabel() == "Generated $H_T$ [GeV]"


def test_the_confusion_matrix_holds_shares_events_and_rates(judged, drawn):
    events, scores, evaluation = judged
    axes, performance = drawn["confusion_matrix"], evaluation.performance("qkeras")
    share = performance.signal_efficiency.value, 1 / performance.background_rejection.value
    np.testing.assert_allclose(axes.images[0].get_array()[:, 0], share)
    np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 1)
    tested = events.chosen("test")
    passed, signal = scores["qkeras"].test >= performance.threshold, events.y[tested] == 1
    counts = [(a & b).sum() for a in (signal, ~signal) for b in (passed, ~passed)]
    texts = [text.get_text().split("\n") for text in axes.texts]
    assert [lines[1] for lines in texts] == [f"{count:,} events" for count in counts]
    assert texts[0][0] == rf"$\varepsilon_s$ = {share[0]:.4g}"
    assert texts[2][0] == rf"$\varepsilon_b$ = {share[1]:.4g}"
    rates = [lines[2] for lines in texts[2:] if len(lines) > 2]
    if events.weights is None:
        assert not rates
    else:
        assert float(rates[0].removesuffix(" kHz")) == pytest.approx(performance.achieved.value, rel=1e-3)
        rejected = events.weights[tested][~signal & ~passed].sum()
        assert float(rates[1].removesuffix(" kHz").replace(",", "")) == pytest.approx(rejected, rel=1e-3)


def test_weight_histograms_hold_what_is_not_zero_and_say_how_much_is(drawn):
    axes = drawn["weight_histograms"]
    shown = {patch.get_label(): patch.get_data() for patch in axes.patches}
    assert list(shown) == ["conv2d_1", "conv2d_2", "dense_1"]  # of the last there are only zeros
    for row, (name, data) in enumerate(shown.items()):
        counts = np.histogram(WEIGHTS[name][WEIGHTS[name] != 0], data.edges)[0]
        assert counts.sum() == np.count_nonzero(WEIGHTS[name])
        np.testing.assert_allclose(data.values + row, 0.82 * counts / counts.max())
    zeros = [f"{100 * np.mean(values == 0):.3g} % zero" for values in WEIGHTS.values()]
    assert [text.get_text() for text in axes.texts] == zeros
    assert [text.get_text() for text in axes.get_yticklabels()] == list(WEIGHTS)


def test_word_ranges_are_bits_there_and_bits_in_use(drawn):
    axes = drawn["word_ranges"]
    frames = [patch for patch in axes.patches if not patch.get_fill()]
    for frame, use in zip(frames, USES, strict=True):
        assert 2.0 ** frame.get_x() == use.fixed.step
        assert 2.0 ** (frame.get_x() + frame.get_width()) == use.fixed.maximum + use.fixed.step
    filled = [patch for patch in axes.patches if patch.get_fill()]
    for box, use in zip(filled, USES[:-1], strict=True):  # in the last there are only zeros
        assert 2.0 ** box.get_x() == use.smallest
        assert use.largest / 2 < 2.0 ** (box.get_x() + box.get_width()) / 2 <= use.largest
    for typical, use in zip(axes.lines, USES[:-1], strict=True):
        np.testing.assert_allclose(2 ** np.asarray(typical.get_xdata()), use.typical)
    texts = [text.get_text() for text in axes.texts]
    assert texts[-3:] == ["bits", "saturated", "zeroed"]
    assert texts[0] == f"{USES[0].width_used} of 12"
    assert texts[6:9] == [f"{USES[2].width_used} of 6", f"{100 * USES[2].saturated:.2g} %", texts[8]]
    assert texts[12:15] == ["0 of 8", "0", "0"]


def test_winners_are_means_with_intervals_over_their_trainings(drawn):
    axes = drawn["winners"]
    for row, (container, mean) in enumerate(zip(axes.containers, MEANS.values(), strict=True)):
        interval = mean.signal_efficiency
        assert container.lines[0].get_xydata().tolist() == [[interval.value, -row]]
        np.testing.assert_allclose(
            container.lines[2][0].get_segments(), [[[interval.low, -row], [interval.high, -row]]]
        )
    dots = [entry for entry in axes.lines if entry.get_marker() == "|" and entry.get_color() == "0.6"]
    assert [tuple(entry.get_xdata()) for entry in dots] == [mean.per_seed for mean in MEANS.values()]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(MEANS)
    stressed = [container.lines[0].get_color() for container in axes.containers]
    assert stressed[0] != stressed[1] == stressed[2]


def test_differences_are_drawn_with_their_intervals_and_verdicts(drawn):
    axes = drawn["differences"]
    for row, (container, found) in enumerate(zip(axes.containers, DIFFERENCES.values(), strict=True)):
        assert container.lines[0].get_xydata().tolist() == [[found.value, -row]]
        np.testing.assert_allclose(container.lines[2][0].get_segments(), [[[found.low, -row], [found.high, -row]]])
    assert [container.lines[0].get_marker() for container in axes.containers] == ["D", "o", "D"]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["different (95 %)", "statistically compatible (95 %)"]


def test_differences_without_verdicts_claim_none():
    axes = figures.differences(DIFFERENCES)
    assert {container.lines[0].get_marker() for container in axes.containers} == {"s"}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["difference (95 %)"]


@pytest.mark.parametrize("n_bins", [7, 50, 100_000])
def test_bins_hold_every_score_and_whole_steps(n_bins):
    generator = np.random.default_rng(1)
    on_grid = np.round(generator.normal(0, 3, 500) / GRID) * GRID
    edges = figures.score_edges({"float": generator.normal(0, 3, 500), "qkeras": on_grid}, n_bins=n_bins)
    widths = np.diff(edges)
    assert len(widths) <= n_bins + 1
    assert widths == pytest.approx(widths[0])
    assert widths[0] / GRID == pytest.approx(round(widths[0] / GRID))
    assert edges[0] <= on_grid.min()
    assert edges[-1] >= on_grid.max()


def test_bins_of_one_score():
    np.testing.assert_array_equal(figures.score_edges({"qkeras": np.full(4, 2.0)}, n_bins=10), [1.5, 2.5])


def test_no_text_is_cut_and_no_label_lies_on_another(drawn):
    for name, axes in drawn.items():
        figure = axes.figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        ticks = [text for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels() if text.get_text()]
        labels = [axis.label for axis in (axes.xaxis, axes.yaxis) if axis.label.get_text()]
        texts = [*labels, *axes.texts, *ticks]
        boxes = {text.get_text(): text.get_window_extent(renderer) for text in texts if text.get_visible()}
        left, right = axes.get_window_extent(renderer).intervalx
        low, high = axes.get_window_extent(renderer).intervaly
        for text, box in boxes.items():
            if text in [tick.get_text() for tick in ticks] and not (
                left - 80 <= box.x0 + box.width / 2 <= right + 1 and low - 60 <= box.y0 + box.height / 2 <= high + 1
            ):
                continue  # beyond the limits of the axes: not drawn
            assert box.x0 >= 0, (name, text)
            assert box.y0 >= 0, (name, text)
            assert box.x1 <= figure.bbox.width, (name, text)
            assert box.y1 <= figure.bbox.height, (name, text)
        apart = [text.get_window_extent(renderer) for text in (*labels, *axes.texts)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(apart, 2)), name
        if axes.get_legend() is None:
            continue
        legend = axes.get_legend().get_window_extent(renderer)
        frame = axes.get_window_extent(renderer)
        within = figure.bbox if name in ("winners", "differences", "word_ranges") else frame
        assert within.x0 <= legend.x0, name
        assert legend.x1 <= within.x1, name
        assert within.y0 <= legend.y0, name
        assert not any(legend.overlaps(text) for text in apart), name


def test_no_global_setting_changes_and_no_window_opens(judged):
    import matplotlib.pyplot as plt

    before, opened = dict(mpl.rcParams), plt.get_fignums()
    axes = figures.signal_efficiency_curve(judged[2].curves)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == opened
    assert axes.xaxis.label.get_fontname() == axes.get_legend().get_texts()[0].get_fontname() == "TeX Gyre Heros"


def test_a_figure_goes_where_it_is_asked_to(judged):
    first, second = Figure().subplots(1, 2)
    assert figures.signal_efficiency_curve(judged[2].curves, axes=first) is first
    assert not second.lines


def test_saving_writes_both_formats_with_the_same_bytes_each_time(drawn, tmp_path):
    written = [figures.save(drawn["training"], tmp_path / folder / "training.curves") for folder in ("a", "b")]
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in written[0]] == ["training.curves.png", "training.curves.pdf"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["training.curves.pdf", "training.curves.png"]
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        figures.save(drawn["training"], tmp_path / "taken" / "training")
    with pytest.raises(DataError, match=r"written as \.png or \.pdf, not as \.jpg"):
        figures.write(drawn["training"], tmp_path / "training.jpg")


def test_what_cannot_be_drawn_is_named(judged):
    _, scores, evaluation = judged
    with pytest.raises(DataError, match="no trial to draw"):
        figures.pareto_front([], [])
    empty = turn_on_curve(np.array([True]), [5.0], edges=[0, 1])
    with pytest.raises(DataError, match="no event lies in any bin"):
        figures.turn_on_curve({"qkeras": empty}, quantity="HT [GeV]")
    with pytest.raises(DataError, match="rates need the weights"):
        figures.confusion_matrix(np.ones(2), np.array([0, 1]), threshold=0.0, rates=True)
    with pytest.raises(DataError, match="there is no background"):
        figures.confusion_matrix(np.ones(2), np.array([1, 1]), threshold=0.0)
    with pytest.raises(DataError, match="dense_1 has no weights"):
        figures.weight_histograms({"dense_1": []})
    with pytest.raises(DataError, match="no layer to draw"):
        figures.weight_histograms({})
    with pytest.raises(DataError, match="no number format to draw"):
        figures.word_ranges([])
    with pytest.raises(DataError, match="no network 'frist'; did you mean 'first'"):
        figures.winners(MEANS, winner="frist")
    with pytest.raises(DataError, match="no network to draw"):
        figures.winners({})
    with pytest.raises(DataError, match="nothing to draw"):
        figures.differences({})
    with pytest.raises(DataError, match="nothing to draw"):
        figures.signal_efficiency_curve({})
    with pytest.raises(DataError, match="unknown model 'flaot'; did you mean 'float'"):
        figures.background_rejection_curve({"flaot": evaluation.curves["float"]})
    with pytest.raises(DataError, match="history of qkeras has no loss; did you mean 'los'"):
        figures.training_curves({"qkeras": {"los": [1.0]}})
    with pytest.raises(DataError, match="there is no signal"):
        figures.score_distributions({"float": scores["float"].test}, np.zeros(len(scores["float"].test), int))
    other = "rate_khz" if evaluation.targets[0].kind != "rate_khz" else "background_efficiency"
    y = np.tile([0, 1], 50)
    curve = performance_curve(np.arange(100.0), y, kind=other, weights=np.ones(100))
    with pytest.raises(DataError, match="one figure shows one kind, found background_efficiency and rate_khz"):
        figures.signal_efficiency_curve({**evaluation.curves, "csim": curve})


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.mpl_image_compare(
    baseline_dir="baselines",
    style=settings(),
    savefig_kwargs={"dpi": 40, "metadata": {"Software": None}},
    tolerance=TOLERANCE,
)
def test_picture(stripped, name):
    return stripped[name].figure


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_a_full_disk_is_told(tmp_path, suffix):
    """Both are larger than files may be here, as on a disk that fills up while they are written."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(np.random.default_rng(1).normal(size=1000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match=rf"curve\{suffix}: cannot be written: File too large\. Free some room"):
            write(axes, tmp_path / f"curve{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
