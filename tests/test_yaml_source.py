"""A YAML file: its values, its lines, and its check against pydantic models."""

from __future__ import annotations

import itertools
import re
import time
from typing import Annotated, Literal

import pydantic
import pytest

from fpgaml.errors import StudyError
from fpgaml.yaml_source import checked, found_text, parse_value, path_text, read_yaml


def source_of(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def test_every_value_has_its_line(tmp_path):
    source = source_of(tmp_path, "a: 1\n# a comment\nb:\n  - {c: 2,\n     d: 3}\n  -\n    e: 4\n")
    assert source.value == {"a": 1, "b": [{"c": 2, "d": 3}, {"e": 4}]}
    lines = {("a",): 1, ("b",): 3, ("b", 0): 4, ("b", 0, "c"): 4, ("b", 0, "d"): 5, ("b", 1): 7, ("b", 1, "e"): 7}
    assert {place: source.lines[place] for place in lines} == lines
    assert source.where(("b", 0, "d")) == f"{tmp_path}/file.yaml:5"


def test_what_has_no_line_has_that_of_the_nearest_value_around_it(tmp_path):
    source = source_of(tmp_path, "a: 1\nb:\n  - {c: 2}\n")
    assert source.where(("b", 0, "nothing", 3)).endswith("file.yaml:3")
    assert source.where(("nothing",)).endswith("file.yaml:1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("2.5e4", 25000.0),
        (".5e-3", 0.0005),
        ("-1E+2", -100.0),
        ("100_000", 100000),
        ("0.001", 0.001),
        ("e3", "e3"),
        ("1e", "1e"),
        ("[8, 4]", [8, 4]),
        ("true", True),
        ("", None),
    ],
)
def test_numbers_are_numbers(tmp_path, text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)
    assert source_of(tmp_path, f"key: {text}").value == {"key": value}


@pytest.mark.parametrize("text", ["[8", "{a: ", "*nothing", "a\0b", '"\\UFFFFFFFF"'])
def test_a_piece_that_is_no_yaml_is_refused(text):
    with pytest.raises(StudyError, match="is no YAML value"):
        parse_value(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/name:os.system", "the tag !!python/name:os.system is not supported: leave it out"),
        ("2024-13-45", "write '2024-13-45' in quotes for a text"),
        ("[4, 1:30]", "[1]: readers of YAML take 1:30 for different things: write 90, or '1:30' in quotes for a text"),
        ("{a: !!bool maybe}", "a: the tag !!bool is not supported: leave it out"),
        ("&x [*x]", "[0]: is no YAML: it holds itself"),
    ],
)
def test_a_piece_is_read_by_the_rules_for_files(text, message):
    with pytest.raises(StudyError) as raised:
        parse_value(text)
    assert str(raised.value).startswith(f"{text!r}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("a: [1\nb: 2", ":2: is no YAML: ", "expected ',' or ']'"),
        ("a:\n\tb: 1", ":2: is no YAML: ", "'\\t'"),
        ("a: 1\nb: 2\na: 3", ":3: ", "key 'a' stands here a second time"),
        ("a: &x 1\nb: &x 2", ":2: ", "is no YAML: found duplicate anchor 'x'"),
        ("a: {b: 1, b: 2}", ":1: ", "key 'b' stands here a second time"),
        ("a: *b", ":1: is no YAML: ", "undefined alias"),
        ("a: 1\n---\nb: 2", ":2: is no YAML: ", "another document"),
        ("a: 1\nb: &x [*x]", ":2: b[0]: is no YAML: ", "it holds itself"),
        ("a: 1\nb: 2024-02-30", ":2: b: ", "write '2024-02-30' in quotes for a text"),
        ("a:\n- 1\n- 1:30", ":3: a[1]: ", "write 90, or '1:30' in quotes for a text"),
        ("a: !!timestamp xyz", ":1: a: ", "the tag !!timestamp is not supported: leave it out"),
        ("a: !!bool maybe", ":1: a: ", "the tag !!bool is not supported: leave it out"),
        ("a: !!binary eA==", ":1: a: ", "the tag !!binary is not supported: leave it out"),
        ("!!int 1: 2", ":1: ", "a key should be a text, without a tag"),
        ("a: 1\nb: {[1]: 2}", ":2: b: ", "a key should be a text, without a tag"),
        ('a: 1\nb: "\\UFFFFFFFF"', ":2: is no YAML: ", "Unicode does not have"),
        ('a: 1\nb: "\\U00110000"', ":2: is no YAML: ", "Unicode does not have"),
        ('a: "\\0"', ":1: a: ", r"'\x00' holds '\x00', which no text may: leave it out"),
        ('a: "\\e[31m"', ":1: a: ", r"holds '\x1b', which no text may"),
        ('a: "\\uD800"', ":1: a: ", r"holds '\ud800', which no text may"),
        ("a: x\u202ey", ":1: a: ", r"holds '\u202e', which no text may"),
        ("a: 1\nx\u2066y: 1", ":2: ", r"holds '\u2066', which no text may"),
        (b"a: 1\nb: \xff", ": is no text file: ", "line 2 is not UTF-8"),
        ("a: &x {b: 1}\nc:\n  <<: *x", ":3: ", "<< is not supported"),
        ("a: 1\nb: !!python/object/apply:os.getcwd []", ":2: ", "python/object/apply:os.getcwd is not supported"),
        ("a: !!set {b, c}", ":1: ", "set is not supported"),
        ("a: !!python/name:os.getcwd", ":1: a: ", "python/name:os.getcwd is not supported"),
        ("a: 1\nb: \0", ":2: is no YAML: ", r"control character '\x00'"),
        (b"\x80\xff", ": ", "is no text file"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(tmp_path, text, where, reason):
    with pytest.raises(StudyError) as raised:
        source_of(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path}/file.yaml{where}")
    assert reason in str(raised.value)


def test_anchors_and_a_byte_order_mark_are_fine(tmp_path):
    text = "a: &bits [8, 4]\nb: *bits\n"
    assert source_of(tmp_path, b"\xef\xbb\xbf" + text.encode()).value == {"a": [8, 4], "b": [8, 4]}


def _laughs(first, line):
    """Nine times nine times nine of the ``first`` value, as ``line`` repeats the one before."""
    names = "abcdefghi"
    repeated = (f"{name}: &{name} {line.format(before)}" for before, name in itertools.pairwise(names))
    return "\n".join([f"a: &a {first}", *repeated])


NINE = ", ".join(["*{0}"] * 9)
LAUGHS = [
    _laughs("[x, y]", f"[{NINE}]"),
    _laughs("{x: 1}", "{{" + ", ".join(f"k{number}: *{{0}}" for number in range(9)) + "}}"),
    _laughs("{x: [1, 2]}", f"[{NINE.replace('*{0}', '{{z: *{0}}}')}]"),
    _laughs("x", "\n" + "\n".join(["- *{0}"] * 9)),
    f"a: &a {'x' * 4000}\nb: &b [{'*a, ' * 900}]\nc: [{'*b, ' * 900}]",
    "a: &a {x: 1, y: 2}\n" + "".join(f"k{number}: *a\n" for number in range(4000)),
    _laughs("[" + "1, " * 9 + "]", f"[[{NINE}], *{{0}}]"),
]


@pytest.mark.parametrize("text", LAUGHS, ids=range(len(LAUGHS)))
def test_aliases_do_not_fill_the_memory(tmp_path, text):
    started = time.process_time()
    with pytest.raises(StudyError, match=r"file.yaml:\d+: \w+: with aliases written out, .* more than 10,000 lines"):
        source_of(tmp_path, text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * (2**20 + 1), "file.yaml: is too large for a study: more than 1024 KiB"),
        ("x" * 10_000_000, "file.yaml: is too large for a study"),
        (f"a: 1\nb: {'x' * 5000}", "file.yaml:2: b: 'xxx.* has 5000 characters; allowed: 4096"),
        (f"a: 1\n? {'x' * 5000}\n: 1", "file.yaml:2: 'xxx.* has 5000 characters; allowed: 4096"),
        ("a:\n" + "- 1\n" * 15_000, r"file.yaml:1: a: .*more than 10,000 lines"),
        ("a:\n" + "- 1\n" * 30_000, r"file.yaml:20\d\d\d: is no YAML: .*more than 10,000 lines"),
        ("a: 1\nb: " + "[" * 500 + "]" * 500, "file.yaml:2: is no YAML: .* more than 16 deep in each other"),
        ("- " * 100_000, "file.yaml:1: is no YAML: .* more than 16 deep in each other"),
        ("? " * 100_000, "file.yaml:1: is no YAML: .* more than 16 deep in each other"),
        (
            "a: &x0 [1]\n" + "".join(f"b{number}: &x{number + 1} [*x{number}]\n" for number in range(20)),
            r"file.yaml:1: b14\[0\].*: lists and mappings stand more than 16 deep in each other",
        ),
        ("a: *" + "x" * 100_000, "file.yaml:1: is no YAML: found undefined alias 'xxx"),
    ],
    ids=range(11),
)
def test_the_size_of_a_file_has_a_limit(tmp_path, text, message):
    with pytest.raises(StudyError, match=message) as raised:
        source_of(tmp_path, text)
    assert len(str(raised.value)) <= 500


def test_keys_are_texts_as_they_are_written(tmp_path):
    text = "yes: 1\non: 2\nnull: 3\n017: 4\n1.0: 5\n'a b': 6\n"
    assert list(source_of(tmp_path, text).value) == ["yes", "on", "null", "017", "1.0", "a b"]


@pytest.mark.parametrize(
    ("path", "reason"), [("nothing.yaml", "No such file"), (".", "Is a directory"), ("file.yaml/x", "Not a directory")]
)
def test_a_file_that_cannot_be_read(tmp_path, path, reason):
    source_of(tmp_path, "a: 1")
    with pytest.raises(StudyError, match=f"cannot be read: {reason}"):
        read_yaml(tmp_path / path)


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    share: float = 0.5


def _no_thirteen(value):
    if value == 13:
        raise ValueError(f"{value} brings bad luck")
    if value == 14:
        raise ValueError("too near to 13")
    return value


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    number: Annotated[int, pydantic.Field(ge=1), pydantic.AfterValidator(_no_thirteen)]
    kind: Literal["parallel", "stream"] = "parallel"
    either: int | str | None = None
    pair: Annotated[tuple[int, int], pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = (
        1,
        1,
    )
    some: Annotated[
        tuple[str, ...],
        pydantic.Field(min_length=1),
        pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
    ] = ("a",)
    inner: Inner | None = None

    @pydantic.model_validator(mode="after")
    def _fits(self):
        if self.number == 99:
            raise ValueError("99 does not go with anything")
        return self


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("number: '3'", ["2: top.number: should be a valid integer, found '3'"]),
        ("number: 0", ["2: top.number: should be greater than or equal to 1, found 0"]),
        ("number:", ["2: top.number: should be a valid integer, found nothing"]),
        ("number: 13", ["2: top.number: 13 brings bad luck"]),
        ("number: 14", ["2: top.number: too near to 13, found 14"]),
        ("number: 99", ["1: top: 99 does not go with anything"]),
        ("kind: stream", ["1: top.number: missing"]),
        (
            "number: 1\n  kind: streams",
            ["3: top.kind: unknown value 'streams'; did you mean 'stream'? Allowed: parallel, stream"],
        ),
        (
            "number: 1\n  numbr: 2",
            ["3: top.numbr: unknown key; did you mean 'number'? Allowed: either, inner, kind, number, pair, some"],
        ),
        ("number: 1\n  inner: {shar: 1.0}", ["3: top.inner.shar: unknown key; did you mean 'share'? Allowed: share"]),
        ("number: 1\n  inner:\n    share: x", ["4: top.inner.share: should be a valid number, found 'x'"]),
        (
            "number: 1\n  either: [1]",
            ["3: top.either: should be a valid integer, or should be a valid string, found [1]"],
        ),
        ("number: 1\n  pair: 3", ["3: top.pair: should be a list, found 3"]),
        ("number: 1\n  pair: [1, 2, 3]", ["3: top.pair: should have at most 2 items, found [1, 2, 3]"]),
        ("number: 1\n  pair: [1]", ["3: top.pair[1]: missing"]),
        ("number: 1\n  some: []", ["3: top.some: should have at least 1 item, found []"]),
        ("number: 1\n  some: [2]", ["3: top.some[0]: should be a valid string, found 2"]),
        ("number: 1\n  pair:\n  - 1\n  - x", ["5: top.pair[1]: should be a valid integer, found 'x'"]),
        (
            "number: 1.5\n  pair: 3",
            ["2: top.number: should be a valid integer, found 1.5", "3: top.pair: should be a list, found 3"],
        ),
    ],
)
def test_findings_name_line_key_what_was_found_and_what_is_allowed(tmp_path, text, messages):
    source = source_of(tmp_path, f"top:\n  {text}\n")
    # The line of a mapping that stands below its key is that of its first key.
    with pytest.raises(StudyError) as raised:
        checked(Outer, source.value["top"], source, ("top",))
    assert str(raised.value) == "\n".join(f"{tmp_path}/file.yaml:{message}" for message in messages)


def test_of_many_findings_the_first_are_told(tmp_path):
    keys = "\n".join(f"  key_{number}: 1" for number in range(300))
    source = source_of(tmp_path, f"top:\n{keys}\n")
    with pytest.raises(StudyError) as raised:
        checked(Outer, source.value["top"], source, ("top",))
    first, *_, last = str(raised.value).split("\n")
    assert first == f"{tmp_path}/file.yaml:2: top.key_0: unknown key; Allowed: either, inner, kind, number, pair, some"
    assert re.fullmatch(r"and 29\d more", last)
    assert len(str(raised.value)) <= 500


def test_a_key_with_a_line_break_makes_no_line_of_its_own(tmp_path):
    source = source_of(tmp_path, 'top: {"x\\nfpgaml: all is well": 1, number: 1}')
    with pytest.raises(StudyError) as raised:
        checked(Outer, source.value["top"], source, ("top",))
    assert "\n" not in str(raised.value)


def test_something_else_than_a_mapping_is_refused(tmp_path):
    source = source_of(tmp_path, "top: [1]")
    with pytest.raises(StudyError, match=r"file.yaml:1: top: should be a mapping, found \[1\]"):
        checked(Outer, source.value["top"], source, ("top",))


def test_the_checked_value_is_the_model(tmp_path):
    source = source_of(tmp_path, "top: {number: 2, pair: [3, 4], inner: {share: 0.1}}")
    assert checked(Outer, source.value["top"], source, ("top",)) == Outer(number=2, pair=(3, 4), inner=Inner(share=0.1))


def test_texts_for_messages():
    assert path_text(("layers", 3, "bits", 0)) == "layers[3].bits[0]"
    assert found_text(None) == "nothing"
    assert found_text("x") == "'x'"
    assert len(found_text(list(range(1000)))) == 80
