"""The logbook that a search writes: from journal events to tables that people and MyST can read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hostile_text import EVIL, pictures
from hypothesis import given
from hypothesis import strategies as st

from fpgaml.logbook import curve_stdev, logbook, volatility

HEADER = {"event": "header", "version": 1, "space": "ab12"}
COST = {
    "parameters": 1234,
    "multiply_accumulates": 9,
    "bops": 8,
    "ebops": 56789,
    "weight_bits": 7,
    "activation_bits": 6,
}


def chosen(bits, layer=None):
    return {"bits": bits, "layer": layer, "rate": 0.2}


CHOICES = {
    "aa": chosen([16, 4]),
    "bb": chosen([8, 4], {"kind": "batchnorm"}),
    "cc": chosen([10, 4], {"kind": "dropout", "rate": 0.5}),
    "dd": chosen([8, 4]),
}


def curves(n, *, offset=0.0):
    """Losses a constant ``offset`` apart, and metrics that say in which epoch they were taken."""
    loss = [2.0**-epoch for epoch in range(n)]
    return {
        "loss": loss,
        "val_loss": [value + offset for value in loss],
        "val_accuracy": [0.9 + epoch / 1000 for epoch in range(1, n + 1)],
        "signal_efficiency": [0.5 + epoch / 1000 for epoch in range(1, n + 1)],
    }


def event(kind, trial, epochs, *, before=0, minute=0, **rest):
    time = f"2026-11-02T10:{minute:02}:00"
    common = {"event": kind, "trial": trial, "choices": CHOICES[trial], "epochs": epochs, "from_epochs": before}
    return {**common, "time": time, **rest}


def finished(trial, epochs, score, **rest):
    return event("finished", trial, epochs, score=score, **{"curves": curves(epochs), "cost": COST, **rest})


SEARCH = [
    HEADER,
    event("started", "aa", 3, minute=1),
    finished("aa", 3, 0.80, minute=2),
    event("started", "bb", 3, minute=3),
    finished("bb", 3, 0.70, minute=4),
    finished("cc", 3, 0.60, minute=5),
    finished("aa", 9, 0.55, before=3, minute=6),  # promoted, and worse than it looked
    finished("bb", 9, 0.75, before=3, minute=7, curves=curves(9, offset=0.5)),
    event("failed", "dd", 3, minute=8, reason="loss is not finite | in epoch\n2"),
]


def markdown_tables(text):
    """Every table of plain Markdown as rows of cells; only a bar without a backslash before it divides cells."""
    blocks = [block for block in text.split("\n\n") if block.startswith("| ")]
    tables = []
    for block in blocks:
        lines = [
            [cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")] for line in block.splitlines()
        ]
        assert set(lines.pop(1)) == {"---"}
        tables.append([[cell.replace("\0", "|") for cell in line] for line in lines])
    return tables


def myst_tables(text):
    """Every list-table of MyST as rows of cells."""
    tables = []
    for block in text.split("```{list-table} ")[1:]:
        _, _, body = block.split("\n```", maxsplit=1)[0].partition("\n\n")
        tables.append([row.removeprefix("- ").split("\n  - ") for row in body.removeprefix("* ").split("\n* ")])
    return tables


TABLES = {"markdown": markdown_tables, "myst": myst_tables}


def best_table(events, *, n=5, **options):
    """Rows of the table of best trials, as mappings of header to cell."""
    headers, *rows = markdown_tables(logbook(events, format="markdown", n=n, **options))[1]
    return [dict(zip(headers, row, strict=True)) for row in rows]


def test_a_search_in_markdown():
    text = logbook(SEARCH, format="markdown", n=2, title="trigger_demo", target="10 kHz")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["# trigger_demo", "## Values tried", "## The best 2 trials", "## Failed"]
    assert "4 trials: 3 finished, 1 failed. 21 epochs trained, from 2026-11-02T10:01:00 to 2026-11-02T10:08:00." in text
    tried, best, failed = markdown_tables(text)
    assert tried == [
        ["choice", "values"],
        ["bits", "(8,4), (10,4), (16,4)"],
        ["layer", "batchnorm, dropout (rate 0.5), none"],
        ["rate", "0.2"],
    ]
    assert best == [
        ["trial", "bits", "layer", "rate", "epochs", "score", "accuracy", "signal efficiency at 10 kHz", "parameters",
         "EBOPs", "stdev", "volatility"],
        ["bb", "(8,4)", "batchnorm", "0.2", "9", "0.75000", "0.90900", "0.5090", "1,234", "56,789", "0.5303", "0"],
        ["aa", "(16,4)", "none", "0.2", "9", "0.55000", "0.90900", "0.5090", "1,234", "56,789", "0", "0"],
    ]  # fmt: skip
    assert failed == [
        ["trial", "bits", "layer", "rate", "epochs", "reason"],
        ["dd", "(8,4)", "none", "0.2", "3", "loss is not finite | in epoch 2"],
    ]


def test_both_formats_say_the_same():
    found = {style: tables(logbook(SEARCH, format=style, n=3)) for style, tables in TABLES.items()}
    assert len(found["myst"]) == 3
    assert found["myst"] == found["markdown"]


def test_list_tables_are_as_myst_wants_them():
    text = logbook(SEARCH, format="myst", n=1)
    block = text.split("## The best trial\n\n")[1].split("\n\n`")[0]
    assert block.startswith("```{list-table} The best trial\n:header-rows: 1\n:name: best-aa\n\n* - trial\n  - bits\n")
    assert "\n* - bb\n  - (8,4)\n  - batchnorm\n" in block
    names = [line for line in text.splitlines() if line.startswith(":name:")]
    assert len(set(names)) == 3
    assert text.count("```") == 2 * 3


def test_the_event_with_most_epochs_counts_wherever_it_stands():
    for events in (SEARCH, SEARCH[::-1]):
        assert [(row["trial"], row["epochs"], row["score"]) for row in best_table(events)] == [
            ("bb", "9", "0.75000"),
            ("aa", "9", "0.55000"),  # not its 0.8 of 3 epochs
            ("cc", "3", "0.60000"),  # last, because scores after fewer epochs do not compare
        ]


def test_hand_picked_trials_have_the_numbers_of_the_study():
    trials = [CHOICES["dd"], CHOICES["bb"], CHOICES["aa"]]  # not the third of the search
    assert [(row["trial"], row["number"]) for row in best_table(SEARCH[1:], n=5, trials=trials)] == [
        ("bb", "2"),
        ("aa", "3"),
        ("cc", "–"),
    ]
    text = logbook(SEARCH, format="markdown", n=5, trials=trials)
    assert "The study lists 3 trials, picked by hand." in text
    assert markdown_tables(text)[2][1][:2] == ["dd", "1"]
    assert "by hand" not in logbook(SEARCH, format="markdown", n=5)


def test_equal_scores_are_in_the_order_of_ids():
    events = [finished(trial, 1, 0.5) for trial in ("cc", "aa", "bb")]
    assert [row["trial"] for row in best_table(events)] == ["aa", "bb", "cc"]
    assert [row["trial"] for row in best_table(events, n=2)] == ["aa", "bb"]


def test_an_efficiency_has_its_interval_where_one_is_known():
    known = finished("aa", 3, 0.8, signal_efficiency={"value": 0.51, "low": 0.5, "high": 0.52})
    without = finished("bb", 3, 0.7, signal_efficiency={"value": 0.49, "low": None, "high": None})
    assert [row["signal efficiency"] for row in best_table([known, without])] == ["0.5100 (0.5000 to 0.5200)", "0.4900"]


MISSING = {"accuracy": "–", "signal efficiency": "–", "stdev": "–", "volatility": "–"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"curves": {}}, MISSING),
        ({"curves": None}, MISSING),
        ({"curves": {"loss": [0.3, 0.2], "val_accuracy": [0.8, None]}}, MISSING),
        ({"curves": {**curves(3), "val_loss": [0.1, 0.2]}}, {"accuracy": "0.90300", "stdev": "–", "volatility": "–"}),
        ({"curves": {"loss": [1.0, None], "val_loss": [1.0, 1.0]}}, MISSING),
        ({"curves": curves(1)}, {"accuracy": "0.90100", "stdev": "–", "volatility": "–"}),
        ({"cost": {}}, {"parameters": "–", "EBOPs": "–", "accuracy": "0.90300"}),
    ],
)
def test_what_was_not_measured_has_a_dash(changed, expected):
    (row,) = best_table([finished("aa", 3, 0.8, **changed)])
    assert {name: row[name] for name in expected} == expected
    assert row["score"] == "0.80000"


def test_events_may_lack_curves_altogether():
    bare = {"event": "finished", "trial": "aa", "choices": {"bits": [8, 4]}, "epochs": 2, "score": 0.5}
    (row,) = best_table([bare])
    assert (
        row
        == {"trial": "aa", "bits": "(8,4)", "epochs": "2", "score": "0.50000", "parameters": "–", "EBOPs": "–"}
        | MISSING
    )


def test_a_failure_that_a_later_attempt_got_over_is_none():
    failed = event("failed", "aa", 3, reason="a worker died")
    text = logbook([failed, finished("aa", 3, 0.8)], format="markdown", n=1)
    assert "1 trial: 1 finished, 0 failed." in text
    assert "a worker died" not in text


def test_a_trial_may_fail_after_it_has_finished_with_fewer_epochs():
    events = [finished("aa", 3, 0.8), event("failed", "aa", 9, before=3, reason="out of memory")]
    text = logbook(events, format="markdown", n=1)
    assert "1 trial: 1 finished, 1 failed (1 of them after finishing with fewer epochs)." in text
    assert markdown_tables(text)[1][1][0] == markdown_tables(text)[2][1][0] == "aa"


def test_trials_that_go_on_are_counted():
    events = [event("started", "aa", 3), event("started", "bb", 3), event("failed", "bb", 3, reason="disk full")]
    text = logbook(events, format="markdown", n=1)
    assert "2 trials: 0 finished, 1 failed, 1 begun and not ended. 0 epochs trained" in text
    assert "best" not in text


@pytest.mark.parametrize("events", [[], [HEADER]])
def test_a_search_that_has_not_begun(events):
    assert logbook(events, format="myst", n=5) == "# Logbook\n\nNo trial has begun.\n"


def test_a_study_without_choices_has_no_table_of_them():
    text = logbook([{**finished("aa", 3, 0.8), "choices": {}}], format="markdown", n=5)
    assert "Values tried" not in text
    assert markdown_tables(text)[0][0][:2] == ["trial", "epochs"]


def test_events_are_read_once():
    assert logbook(iter(SEARCH), format="markdown", n=3) == logbook(SEARCH, format="markdown", n=3)


@pytest.mark.parametrize(("options", "message"), [({"format": "html", "n": 1}, "markdown, myst"), ({"n": 0}, "n = 0")])
def test_knobs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        logbook(SEARCH, **{"format": "myst", **options})


losses = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=20)


@given(losses)
def test_the_curve_figures_are_the_groups_formulas(found):
    loss, val_loss = zip(*found, strict=True)
    n = len(found)
    squares = sum((a - b) ** 2 for a, b in found)
    moves = sum(((val_loss[i] - val_loss[i - 1]) - (loss[i] - loss[i - 1])) ** 2 for i in range(1, n))
    assert curve_stdev(loss, val_loss) == pytest.approx(math.sqrt(squares / (n - 1)))
    assert volatility(loss, val_loss) == pytest.approx(100 / n * moves, rel=1e-9, abs=1e-9)


def test_the_curve_figures_by_hand():
    loss, val_loss = np.array([3.0, 2.0, 1.0, 1.0]), np.array([3.0, 3.0, 1.0, 2.0])
    assert curve_stdev(loss, val_loss) == math.sqrt(2 / 3)
    assert volatility(loss, val_loss) == 100 / 4 * (1 + 1 + 1)


@pytest.mark.parametrize("curve", [[], [0.5]])
def test_one_epoch_has_no_curve(curve):
    assert math.isnan(curve_stdev(curve, curve))
    assert math.isnan(volatility(curve, curve))


@pytest.mark.parametrize("style", TABLES)
def test_words_from_outside_are_only_words(style):
    choices = {EVIL: EVIL, "kind": {"kind": EVIL, EVIL: [EVIL]}}
    events = [
        {**finished("aa", 3, 0.8), "choices": choices},
        {**event("failed", "dd", 3, reason=f"{EVIL}\n```\n<b>"), "choices": choices},
    ]
    text = logbook(events, format=style, n=5, title=EVIL)
    assert pictures(text) == []
    if style == "myst":  # what MyST reads inside a list-table
        for block in text.split("```{list-table}")[1:]:
            assert pictures(block.split("\n\n", 1)[1].rsplit("\n```", 1)[0]) == []
    else:
        assert len({line.replace("\\|", "").count("|") for line in text.split("\n") if line.startswith("| aa")}) == 1
