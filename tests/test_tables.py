"""Text from outside shows as it is in Markdown, wherever it stands, and does nothing else."""

from __future__ import annotations

import re

import markdown_it
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpgaml.errors import did_you_mean, listed, printable
from fpgaml.tables import code, code_block, escape, quantity_text, table

HOSTILE = (
    "<script>alert(1)</script>", "</td></table><b>", "<!-- x", "<?php", "<a@b.c>", "<http://evil.example>", "&lt;b&gt;",
    "[x](http://evil.example)", "![x](http://evil.example/y.png)", "[x][y]", "[x]: http://evil.example", "a](b", "a] b",
    "| a | b |", "a|b", "a\\|b", "a\\", "`x`", "``` x", "a`b``c", "*x*", "**x**", "__x__", "_x_", "~~x~~", "# x", "> x",
    "- x", "+ x", "* x", "1. x", "2) x", "---", "===", "    x", "a  \nb", "a\n\n# b", "a\r\nb", "\tx", "a\0b",
    "a\x1b[31mb", "\u202ex", "$x$", "{role}`x`", "% x", ":::x", "http://evil.example", "www.evil.example",
    "@somebody", "\u2028x", "é_é", "a_b_c", "&", "x <= 1",
)  # fmt: skip

PLACES = {
    "a line": lambda text: f"before {text} after",
    "a cell": lambda text: table(["one", text], [[text, "x"], ["x", text]]),
    "a heading": lambda text: f"# {text}",
    "a list": lambda text: f"- {text}\n- x",
    "in bold": lambda text: f"**{text}**",
    "a caption": lambda text: f"![{text}](figures/x.png)\n\n*{text}*",
}


def rendered(markdown: str, *, html: bool) -> str:
    return markdown_it.MarkdownIt("commonmark", {"html": html}).enable(["table", "strikethrough"]).render(markdown)


def bare(html: str) -> str:
    """The same with every text between tags, and in an image's ``alt``, left out."""
    return re.sub(r">[^<]*", ">", re.sub(r'alt="[^"]*"', "", html))


def read(html: str) -> str:
    """What is read of it, without blanks."""
    text = " ".join([*re.findall(r'alt="([^"]*)"', html), re.sub(r"<[^>]+>", " ", html)])
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, character)
    return "".join(text.split())


def check(text: str, place: str, shown: str) -> None:
    for html in (False, True):
        found = rendered(PLACES[place](shown), html=html)
        assert bare(found) == bare(rendered(PLACES[place]("x"), html=html)), found
        wanted = "".join(printable(text, 400).split())
        assert read(found).count(wanted) >= (3 if place == "a cell" else 1), (wanted, found)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_is_only_text(text, place):
    check(text, place, escape(text))


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("ab1 <>[]()!*_`~#|\\&;:/-+.=${}%@\n\x00\u202e"), min_size=1, max_size=12))
def test_no_text_gets_out(text, place):
    if text.strip():
        check(text, place, escape(text))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("ab <>[]!*_`\\&#\n"), min_size=1, max_size=12))
def test_code_is_only_code(text):
    found = rendered(f"a {code(text)} b", html=True)
    if text.strip():
        assert found.startswith("<p>a ")
        assert not re.search(r"<(?!/?(p|code)>)", found)
        assert "".join(printable(text, 400).split()) in read(found)


def test_a_block_of_code_ends_where_it_should():
    text = "fpgaml run 'a\n```\n<script>' --output\x1b[31m b"
    found = rendered(f"{code_block(text)}\n\nafter", html=True)
    assert found.count("<pre>") == 1
    assert "<script>" not in found
    assert "\x1b" not in found
    assert found.endswith("</code></pre>\n<p>after</p>\n")


def test_ordinary_text_stays_readable():
    for text in (
        "jet_pt",
        "bits: (8, 2), pool: none",
        "-1.5",
        "rate [kHz] 29,000",
        "a >= 0.4",
        "1.5 (1.2 to 1.8)",
        "R&D",
    ):
        assert escape(text) in (text, text.replace("&", "\\&"))


def test_lists_of_names_in_messages_end():
    assert listed(["a", "b"]) == "a, b"
    many = [f"column_{number}" for number in range(10_000)]
    assert len(listed(many)) < 250
    assert listed(many).endswith("(10,000 in all)")
    assert len(did_you_mean("column_77x", many)) < 350
    assert "did you mean 'column_77'" in did_you_mean("column_77x", many)
    assert len(did_you_mean("x" * 10**6, ["y" * 10**6])) < 200
    assert "\x1b" not in did_you_mean("a\x1b", ["a\x1bb"])
    assert quantity_text("ht_gev") == "HT [GeV]"
    assert quantity_text("a\x1bb") == "a\\x1bb"
