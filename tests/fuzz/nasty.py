"""Values that somebody has tripped over before: numbers, texts, YAML's odd scalars, structures without end."""

from __future__ import annotations

import random
from typing import Any

from fuzz.yaml_text import Raw

# fmt: off
NUMBERS = (
    0, -1, 1, 2, 3, 7, 53, 54, 63, 64, 100, 1000, 65_536, 10**6, 10**9, 2**31 - 1, 2**31, -(2**31) - 1, 2**32,
    2**53 + 1,
    2**63 - 1, 2**63, 2**64, -(2**64), 10**18, 10**30, 10**400, -(10**400), 0.0, -0.0, 0.1, 0.5, 1.0, 1.5, -0.5, 1e-3,
    1e-9, 1e-300, 5e-324, 2.2250738585072014e-308, 1e30, 1e300, 1e308, 1.7976931348623157e308, -1e308, float("inf"),
    float("-inf"), float("nan"), 0.9999999999999999, 1 + 1e-15,
)

ODD_SCALARS = tuple(map(Raw, (
    # numbers of YAML 1.1, and what only looks like one
    "1:30", "1:2.5", "190:20:30", "-1:30", "1:30:00.5", "017", "0o17", "0x1F", "0b101", "1_000", "1__0", "+1", "1.",
    ".5",
    "1e400", "-1e400", "1e-400", "1e", "0x", "0b", "09", "1e1_0", "12e03", "._", "+.inf", ".NaN", "0xG", "-", "+", ".",
    # dates, words, signs
    "2024-01-01", "2024-02-30", "2001-12-14t21:59:43.10-05:00", "0000-00-00", "2024-01-01 25:00:00", "yes", "no", "on",
    "off", "True", "FALSE", "y", "n", "~", "null", "Null", "", "=", "<<", "? a", "- a", "@x", "`x`", "%x", "# nothing",
    # tags
    "!!timestamp xyz", "!!timestamp 2024-13-45", "!!bool maybe", "!!bool ''", "!!int abc", "!!int ''", "!!int '-'",
    "!!int 1:99:99", "!!float ''", "!!float 1e", "!!float '+'", "!!float 1:99:99", "!!binary '%%%'",
    "!!binary aGVsbG8=",
    "!!str 5", "!!null x", "!!merge x", "!!set {a}", "!!omap [{a: 1}]", "!!pairs [{a: 1}]", "!!map [1]", "!!seq {}",
    "!!python/name:os.system", "!!python/object/apply:os.system ['touch MARKER']", "!local x", "!<x:y> z", "! x",
    # escapes, and ends that do not come
    '"\\UFFFFFFFF"', '"\\U00110000"', '"\\ud800"', '"\\x00"', '"\\e[31m"', '"\\a"', '"\\N\\L\\P"', '"\\u202e"', '"\\q"',
    '"\\x4"', "'unfinished", '"unfinished', "[1, 2", "{a: 1", "a: b: c", "|", ">", "|9", "|-", "--- a", "... ",
    # names, keys, structures
    "*x", "&x", "&x [*x]", "&x {a: *x}", "[&y 1, *y, *y]", "{a: 1, a: 2}", "{1: 2, '1': 3}", "{[1, 2]: 3}",
    "{? {a: b} : c}", "{null: 1}", "{true: 1}", "{1.5: 1}", "{2024-01-01: 1}", "{!!binary aGk=: 1}", "{<<: {a: 1}}",
    "{<<: [1]}", "[,]", "[a,,b]", "{,}", "{a}", "- - - 1",
)))

TEXTS = (
    "", " ", ".", "..", "/", "a", "inf", "nan", "None", "true", "1", "-1", "1e5", "0x10", "1:30", "2024-01-01", "yes",
    "null",
    # files
    "../../../MARKER", "x/../../../../MARKER", "/../../MARKER", "a/b/c", "a\\b", "C:\\x", "~", "~root/x", "~nobody",
    "$HOME",
    "con", "nul", "*", "?", "**", "file:///etc/passwd", "http://localhost:1/x", "s3://bucket/x", "-", "-rf", "--output",
    # choices
    "$bits", "$$bits", "$", "${bits}", "$ bits", "$1", "$nothing", "x$bits", "$bits$bits", "$search", "$study",
    # what other languages read: Python, shells, Tcl, HTML, Markdown, C
    "%s%n%d", "{0}", "{0.__class__.__mro__}", "{bits!r:>{width}}", "%(x)s", "{{}}", "{", "}", "\\", "'", '"', "`id`",
    "$(touch MARKER)", "; touch MARKER", "| touch MARKER", "[exec touch MARKER]", "xc${x}y", "a}b{c", "a;b", "a b", "#",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&amp;&lt;", "]]>", "![a](b)", "|a|b|", "**a**",
    "$x^2$",
    "int", "class", "main", "input", "__class__", "__init__", "constructor", "[[1]]", "{a: 1}", "a.b.c",
    # characters
    "a\nb", "a\rb", "a\tb", "\x00", "a\x00b", "\x1b[31mred", "\x07", "\x7f", "\x85", "\u2028", "\u202eabc", "\u200b",
    "\ufeff", "é", "η φ", "日本語", "😀", "e\u0301", "ﬁ", "\ud800", "\U0010ffff", "İ", "ß", "a" * 100, "a" * 1000,
    "é" * 300,
)

KEYS = (
    "bits", "kind", "kinds", "Bits", "bits ", "units", "unit", "", "$bits", "<<", "self", "cls", "__class__",
    "model_config",
    "model_fields", "model_post_init", "format", "weight_format", "role", "example", "a" * 300, "\u202e", "a\nb",
    "a\x1bb",
)
# fmt: on


def nasty_value(rng: random.Random) -> Any:
    """One of the values of this module, or something made of them."""
    draw = rng.random()
    if draw < 0.3:
        return rng.choice(NUMBERS)
    if draw < 0.55:
        return rng.choice(ODD_SCALARS)
    if draw < 0.8:
        return rng.choice(TEXTS)
    if draw < 0.87:
        return rng.choice((None, True, False, [], {}, [[]], [None], [[[]]], {"a": None}))
    if draw < 0.95:
        return [nasty_value(rng) for _ in range(rng.choice((1, 2, 2, 3, 5)))]
    if draw < 0.98:
        return {rng.choice(KEYS): nasty_value(rng) for _ in range(rng.choice((1, 2)))}
    return rng.choice(HUGE)(rng)


def _laughs(rng: random.Random) -> Raw:
    """A billion laughs: each list holds the one before ten times."""
    levels, times = rng.choice(((9, 10), (30, 2), (200, 2), (3, 1000)))
    mappings = rng.random() < 0.5
    parts = ["&a0 [lol]"]
    for level in range(1, levels):
        items = ", ".join((f"k{n}: " if mappings else "") + f"*a{level - 1}" for n in range(times))
        parts.append(f"&a{level} " + (f"{{{items}}}" if mappings else f"[{items}]"))
    return Raw(f"[{', '.join(parts)}]")


def _deep(rng: random.Random) -> Raw:
    """Lists or mappings in each other."""
    depth = rng.choice((20, 100, 500, 5000))
    return Raw(rng.choice(("[" * depth + "]" * depth, "{a: " * depth + "}" * depth, "[" * depth, "- " * depth)))


def _long_text(rng: random.Random) -> str:
    return rng.choice("aé\t\u202e") * rng.choice((3_000, 100_000, 3_000_000))


def _long_list(rng: random.Random) -> Raw:
    item = rng.choice(("1", "[8, 2]", "{kind: flatten}", "x", "null"))
    return Raw("[" + ", ".join([item] * rng.choice((100, 3_000, 30_000))) + "]")


def _long_number(rng: random.Random) -> Raw:
    numbers = ("9" * 400, "9" * 5_000, "0x" + "f" * 100_000, "0b" + "1" * 100_000, "1" + ":59" * 5_000)
    return Raw(rng.choice((*numbers, "0." + "0" * 10_000 + "1")))


HUGE = (_laughs, _deep, _long_text, _long_list, _long_number)
