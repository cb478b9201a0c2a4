"""Scalars without quotes: a number, a text, or refused with how to write what is meant."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fpgaml.yaml_scalars import MAX_INTEGER, plain_value
from fpgaml.yaml_source import dump_yaml, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-17", -17),
        ("+3", 3),
        ("100_000", 100_000),
        ("0x1F", 31),
        (str(MAX_INTEGER), MAX_INTEGER),
        ("1.", 1.0),
        (".5e-3", 0.0005),
        ("1_000.25", 1000.25),
        ("1e3", 1000.0),
        ("1e-400", 0.0),
        ("true", True),
        ("FALSE", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("n", "n"),  # columns have such names
        ("Y", "Y"),
        ("yEs", "yEs"),
        ("1__0", "1__0"),
        ("1_", "1_"),
        ("_1", "_1"),
        ("1:75", "1:75"),  # no digit to base 60
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("nan", "nan"),
        ("2024-01-01_events.csv", "2024-01-01_events.csv"),
        ("=", "="),
        ("e3", "e3"),
    ],
)
def test_what_a_plain_scalar_is(text, value):
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("yes", "write true, or 'yes' in quotes for a text"),
        ("Off", "write false, or 'Off' in quotes for a text"),
        ("NO", "write false, or 'NO' in quotes for a text"),
        ("1:30", "write 90, or '1:30' in quotes for a text"),
        ("-1:30:05", "write -5405, or '-1:30:05' in quotes for a text"),
        ("1:2.5", "write 62.5, or '1:2.5' in quotes for a text"),
        ("0:30", "write 30, or '0:30' in quotes for a text"),
        ("1" + ":1" * 1000, "in quotes for a text"),
        ("017", "write it without the leading 0, or '017' in quotes for a text"),
        ("08", "write it without the leading 0"),
        ("0_7", "write it without the leading 0"),
        ("0o17", "write 15, or '0o17' in quotes for a text"),
        ("0b101", "write 5, or '0b101' in quotes for a text"),
        ("-0x1F", "write -31, or '-0x1F' in quotes for a text"),
        ("0b" + "1" * 4000, "in quotes for a text"),
        ("2024-01-01", "write '2024-01-01' in quotes for a text"),
        ("2024-13-45", "write '2024-13-45' in quotes for a text"),
        ("2024-01-01 10:00:00", "write '2024-01-01 10:00:00' in quotes for a text"),
        (".inf", "a number here is finite"),
        ("-.Inf", "a number here is finite"),
        (".NaN", "a number here is finite"),
        ("1e999", "numbers go up to 1.797e308 here"),
        (str(MAX_INTEGER + 1), "whole numbers go from -2^63 + 1 to 2^63 - 1 here"),
        ("-" + "9" * 400, "whole numbers go from -2^63 + 1 to 2^63 - 1 here"),
        ("0x" + "f" * 100_000, "whole numbers go from -2^63 + 1 to 2^63 - 1 here"),
    ],
)
def test_what_readers_of_yaml_disagree_on_is_refused_with_how_to_write_it(text, how):
    with pytest.raises(ValueError, match=re.escape(how)) as raised:
        plain_value(text)
    assert len(str(raised.value)) < 250


SURPRISING = st.sampled_from(
    ["yes", "1e3", "017", "08", "0o17", "1:30", "2024-01-01", "null", "~", "", "=", "<<", "1_0"]
)
TEXTS = SURPRISING | st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"]), max_size=60)
SCALARS = TEXTS | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_what_is_written_is_read_back_as_it_was(value):
    assert parse_value(dump_yaml(value)) == value
