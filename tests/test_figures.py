"""What is drawn is what was computed, in style, with nothing cut off and nothing left behind."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fpgaml import figures
from fpgaml.curves import performance_curve
from fpgaml.errors import DataError, OutputError
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.metrics import Target

GRID = 1 / 32


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
    """All four figures of a run."""
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
    }


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
    np.testing.assert_allclose(
        band(axes, 0), np.c_[curve.background, curve.signal_low, curve.signal_high][np.argsort(curve.background)]
    )
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
        texts = [axes.xaxis.label, axes.yaxis.label, *ticks]
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
        legend = axes.get_legend().get_window_extent(renderer)
        frame = axes.get_window_extent(renderer)
        assert frame.x0 <= legend.x0, name
        assert legend.x1 <= frame.x1, name
        assert frame.y0 <= legend.y0, name
        labels = [boxes[axis.label.get_text()] for axis in (axes.xaxis, axes.yaxis)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(labels, 2)), name


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


def test_what_cannot_be_drawn_is_named(judged):
    _, scores, evaluation = judged
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
