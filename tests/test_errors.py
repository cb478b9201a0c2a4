"""Messages: short enough to be read, and with nothing in them that a terminal would obey."""

from __future__ import annotations

import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fpgaml.errors import MESSAGE_LIMIT, FpgamlError, StudyError, did_you_mean, escaped, listed, printable


@given(st.text(max_size=600))
def test_a_message_can_be_printed_whatever_stands_in_it(text):
    message = str(StudyError(text))
    assert len(message) <= MESSAGE_LIMIT
    assert all(character.isprintable() or character == "\n" for character in message)
    message.encode("utf-8")


def test_what_is_long_loses_its_middle():
    message = str(FpgamlError("study.yaml:3: " + "x" * 10_000 + " Allowed: 7"))
    assert len(message) == MESSAGE_LIMIT
    assert message.startswith("study.yaml:3: xxx")
    assert message.endswith("xxx Allowed: 7")
    assert str(FpgamlError("x" * MESSAGE_LIMIT)) == "x" * MESSAGE_LIMIT


def test_what_has_no_shape_is_escaped():
    assert printable("a\0b\x1b[31m\u202e\ud800\n\x85") == "a\\x00b\\x1b[31m\\u202e\\ud800\\n\\x85"
    assert escaped("größe, 束\n\t") == "größe, 束\n\\t"


def test_an_error_survives_the_way_between_processes():
    error = StudyError("a\0" + "b" * 1000)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(StudyError(error)) == str(error)


def test_a_list_ends_where_the_message_would_be_too_long():
    assert listed([]) == ""
    assert did_you_mean("a", []) == "Allowed: nothing, there is none"
    assert did_you_mean("x", ["", "b"]) == "Allowed: '', b"
    assert listed(["a", 2]) == "a, 2"
    assert listed(range(10, 20), 20) == "10, 11, 12, 13, 14, … (10 in all)"
    assert len(listed(["x" * 100_000, *range(100_000)])) < 250


@pytest.mark.parametrize("found", ["name_7x", "x" * 100_000])
def test_the_nearest_name_is_told_among_many(found):
    told = did_you_mean(found, [f"name_{number}" for number in range(3000)])
    assert len(told) < 300
    assert told.endswith("(3,000 in all)")
    assert ("did you mean 'name_7'?" in told) == (found == "name_7x")
