"""Valid networks as a study says them, of whatever layer kinds fpgaml has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pydantic

from fpgaml.errors import FpgamlError
from fpgaml.layers import Layer, layer_class, layer_kinds
from fuzz.random_values import random_fields

Entry = dict[str, Any]


def random_bits(rng: random.Random) -> list[int]:
    """QKeras' (bits, integer), mostly ordinary ones."""
    if rng.random() < 0.1:
        return [rng.choice((2, 3, 16, 24)), rng.randint(-6, 8)]
    return [rng.randint(3, 10), rng.randint(0, 3)]


GIVEN = {"bits": random_bits, "bias_bits": random_bits}


def random_layers(shape: Sequence[int], rng: random.Random) -> list[Entry]:
    """The layers of a network from inputs of a shape to one score.

    Roles follow each other as they must: products, maybe normalization and dropout, then an activation; pooling where
    values have a number format. Kinds are taken if they fit the shape.
    """
    at: tuple[int, ...] = tuple(shape)
    layers: list[Entry] = []

    def add(*roles: str) -> bool:
        nonlocal at
        found = _fitting(at, roles, rng)
        if found is None:
            return False
        entry, at = found
        layers.append(entry)
        return True

    for _ in range(rng.randint(0, 3)):
        draw = rng.random()
        if draw < 0.25 and add("pooling"):
            if rng.random() < 0.3:
                add("quantizer")
        elif draw < 0.35:
            add("dropout")
        elif add("arithmetic"):
            _finish(add, rng)
    if len(at) > 1:
        add("reshape")
    if rng.random() < 0.5:
        layers.append(_dense(rng.randint(1, 6), rng))
        _finish(add, rng)
    layers.append(_dense(1, rng))
    return layers


def _finish(add: Any, rng: random.Random) -> None:
    """What stands between products and the next layer."""
    if rng.random() < 0.25:
        add("normalization")
    if rng.random() < 0.15:
        add("dropout")
    add("quantizer")


def _dense(units: int, rng: random.Random) -> Entry:
    return {"kind": "dense", **random_fields(layer_class("dense"), rng, given={**GIVEN, "units": lambda _: units})}


def _fitting(
    shape: tuple[int, ...], roles: tuple[str, ...], rng: random.Random
) -> tuple[Entry, tuple[int, ...]] | None:
    """A layer of one of the roles that takes inputs of this shape, and the shape of its outputs."""
    kinds = [kind for kind in layer_kinds() if layer_class(kind).role in roles]
    for _ in range(20):
        kind = rng.choice(kinds)
        fields = random_fields(layer_class(kind), rng, given=GIVEN)
        try:
            layer: Layer = layer_class(kind)(**fields)
            return {"kind": kind, **fields}, layer.output_shape(shape)
        except (FpgamlError, pydantic.ValidationError):
            continue
    return None
