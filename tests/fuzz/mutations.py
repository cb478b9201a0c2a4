"""Changes of a valid study: of its values, of its text, of its bytes."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

from fuzz.nasty import KEYS, nasty_value
from fuzz.yaml_text import Raw

Sections = dict[Any, Any]
Spot = tuple[Any, Any]
"""A mapping or a list, and a key or position in it."""

ENORMOUS = 20_000
"""Values and characters in a study."""


def mutate_values(sections: Sections, rng: random.Random) -> Sections:
    """A study with one to four of its values changed, as long as it has not become enormous."""
    changed = copy.deepcopy(sections)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if any(size > ENORMOUS for size in itertools.accumulate(map(_size, _spots(changed)))):
            break
        rng.choice(VALUE_CHANGES)(changed, rng)
    return changed


def mutate_text(text: str, rng: random.Random) -> str:
    """A YAML text with one to three of its lines or characters changed."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(TEXT_CHANGES)(text, rng)
    return text


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """A file that is cut off, has other bytes in some places, or another encoding."""
    return rng.choice(BYTE_CHANGES)(content, rng)


def _spots(value: Any) -> Iterator[Spot]:
    inside = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in inside:
        yield value, key
        yield from _spots(value[key])


def _size(spot: Spot) -> int:
    place, key = spot
    text = place[key].text if isinstance(place[key], Raw) else place[key]
    return 1 + (len(text) if isinstance(text, str) else 0)


def _spot(sections: Sections, rng: random.Random) -> Spot:
    return rng.choice(list(_spots(sections)) or [({"": None}, "")])


def _replace(sections: Sections, rng: random.Random) -> None:
    place, key = _spot(sections, rng)
    place[key] = nasty_value(rng)


def _replace_leaf(sections: Sections, rng: random.Random) -> None:
    leaves = [(place, key) for place, key in _spots(sections) if not isinstance(place[key], (dict, list))]
    if leaves:
        place, key = rng.choice(leaves)
        place[key] = nasty_value(rng)


def _scale(sections: Sections, rng: random.Random) -> None:
    """A number becomes another one of its kind, or a text, or a list."""
    numbers = [(place, key) for place, key in _spots(sections) if type(place[key]) in (int, float)]
    if numbers:
        place, key = rng.choice(numbers)
        value = place[key]
        place[key] = rng.choice(
            (
                -value,
                value + 1,
                value * 10 ** rng.randint(1, 30),
                float(value),
                int(value),
                str(value),
                [value],
                value + 0.5,
                not value,
            )
        )


def _delete(sections: Sections, rng: random.Random) -> None:
    place, key = _spot(sections, rng)
    del place[key]


def _rename(sections: Sections, rng: random.Random) -> None:
    place, key = _spot(sections, rng)
    if isinstance(place, dict):
        other = rng.choice(
            (
                rng.choice(KEYS),
                f"{key}s",
                str(key)[1:],
                str(key).upper(),
                Raw(str(rng.choice((1, 1.5, "~", "true", "<<")))),
            )
        )
        place[other] = place.pop(key)


def _repeat(sections: Sections, rng: random.Random) -> None:
    """A key or an item stands there twice."""
    place, key = _spot(sections, rng)
    if isinstance(place, dict):
        place[Raw(str(key))] = place[key]
    else:
        place.insert(key, place[key])


def _move(sections: Sections, rng: random.Random) -> None:
    source, key = _spot(sections, rng)
    target, other = _spot(sections, rng)
    target[other] = copy.deepcopy(source[key])


def _swap(sections: Sections, rng: random.Random) -> None:
    one, key = _spot(sections, rng)
    two, other = _spot(sections, rng)
    one[key], two[other] = copy.deepcopy(two[other]), copy.deepcopy(one[key])


def _wrap(sections: Sections, rng: random.Random) -> None:
    place, key = _spot(sections, rng)
    value = place[key]
    place[key] = rng.choice(([value], {"bits": value}, [[value]], [value, value], {str(key): value}))


def _refer(sections: Sections, rng: random.Random) -> None:
    """A name of a choice somewhere, which may lead to itself."""
    names = list(sections["choices"]) if isinstance(sections.get("choices"), dict) else []
    place, key = _spot(sections, rng)
    place[key] = f"${rng.choice([*names, 'x', 'bits', 'y'])}"
    if rng.random() < 0.5:
        choices = sections["choices"] = sections["choices"] if isinstance(sections.get("choices"), dict) else {}
        choices |= rng.choice(
            ({"x": ["$y"], "y": ["$x"]}, {"x": ["$x"]}, {"x": [["$y", "$y"]], "y": [["$x", "$x"]]}, {"x": ["$bits", 1]})
        )


def _many_choices(sections: Sections, rng: random.Random) -> None:
    """More choices, values or trials than anyone would write."""
    choices = sections["choices"] = sections["choices"] if isinstance(sections.get("choices"), dict) else {}
    what = rng.randrange(4)
    if what == 0:
        choices |= {f"unused_{number}": [1, 2] for number in range(rng.choice((3, 300, 3000)))}
    elif what == 1:
        choices["x"] = list(range(rng.choice((30, 3000))))
        sections["train"] = {"epochs": "$x"}
    elif what == 2:  # each name is twice the one before
        length = rng.choice((5, 25, 60))
        choices |= {f"x{number}": [[f"$x{number + 1}", f"$x{number + 1}"]] for number in range(length)} | {
            f"x{length}": [1]
        }
        sections["train"] = {"epochs": "$x0"}
    else:
        sections.pop("choices")
        sections["trials"] = [{"x": number} for number in range(1, rng.choice((3, 300, 3000)))]
        sections["train"] = {"epochs": "$x"}


def _many_layers(sections: Sections, rng: random.Random) -> None:
    if isinstance(sections.get("layers"), list) and sections["layers"]:
        at = rng.randrange(len(sections["layers"]))
        sections["layers"][at:at] = [
            copy.deepcopy(rng.choice(sections["layers"])) for _ in range(rng.choice((3, 30, 300)))
        ]


VALUE_CHANGES: tuple[Callable[[Sections, random.Random], None], ...] = (
    *(_replace, _replace, _replace, _replace_leaf, _replace_leaf, _replace_leaf, _replace_leaf, _scale, _scale, _scale),
    *(_delete, _rename, _repeat, _move, _swap, _wrap, _refer, _many_choices, _many_layers),
)


def _change_line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    line = lines[at]
    changed = rng.choice(
        (
            [],
            [line, line],
            [f" {line}"],
            [line[1:]],
            [f"\t{line}"],
            [f"{line}\t"],
            [line.rstrip() + " # a comment"],
            [f"- {line}"],
            [f"? {line}"],
            [f"&x {line}"],
            [line, "---"],
            ["...", line],
            [line[: rng.randrange(len(line) + 1)]],
            [f"{line}: 1"],
            [f"{line} *x"],
            [f"!!str {line}"],
        )
    )
    return "\n".join([*lines[:at], *changed, *lines[at + 1 :]])


def _insert_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return (
        text[:at]
        + rng.choice("[]{}:,-?&*!|>'\"%@`#$\\/ \t\n\r\x00\x07\x1b\x7f\x85\u2028\u202e\ufeff\ud800é😀0-.e_~=<")
        + text[at:]
    )


def _remove_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + text[at + rng.choice((1, 1, 5, 50)) :]


def _directive(text: str, rng: random.Random) -> str:
    first = rng.choice(
        ("%YAML 1.2", "%YAML 1.1", "%YAML 9.9", "%TAG ! tag:x,2000:", "%FOO bar", "%YAML 1.1\n%YAML 1.1", "%TAG !! !")
    )
    return f"{first}\n---\n{text}"


def _anchors(text: str, rng: random.Random) -> str:
    """A value is named, and stands in another place too."""
    return text.replace(": [", ": &x [", 1).replace(": [", rng.choice((": *x #", ": [*x, ", ": &x [")), 1)


TEXT_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    *(_change_line, _change_line, _insert_character, _insert_character, _remove_character, _directive, _anchors),
    lambda text, _: text.replace("\n", "\r\n"),
    lambda text, _: text.replace("\n", "\r"),
    lambda text, _: text.replace("  ", "\t"),
    lambda text, _: text + text,
    lambda text, _: f"{text}---\n{text}",
    lambda text, _: text[::-1],
)


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b" ")
    for _ in range(rng.choice((1, 1, 3, 30))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


BYTE_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _flip),
    lambda content, rng: content[: rng.randrange(len(content) + 1)],
    lambda content, rng: content[: rng.randrange(len(content) + 1)],
    lambda content, rng: content[rng.randrange(len(content) + 1) :],
    lambda content, _: b"\xef\xbb\xbf" + content,
    lambda content, _: b"\xef\xbb\xbf\xef\xbb\xbf" + content,
    lambda content, rng: content.decode("utf-8", "replace").encode(
        rng.choice(("utf-16", "utf-32", "utf-16-be", "latin-1", "utf-7")), "replace"
    ),
    lambda content, rng: content + rng.randbytes(rng.choice((1, 100))),
    lambda _, rng: rng.randbytes(rng.choice((0, 1, 100, 10_000))),
    lambda content, rng: content + bytes(rng.choice((1, 1000))),
    lambda content, _: b"\x1f\x8b" + content,
)
