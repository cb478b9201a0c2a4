"""Valid values for the fields of a pydantic model, from its own types and bounds: a new option needs nothing here."""

from __future__ import annotations

import random
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic

SPREAD = 4
"""How far above its lower bound a whole number is drawn: networks and runs stay small."""


def random_fields(
    model: type[pydantic.BaseModel], rng: random.Random, *, given: Mapping[str, Any], optional: float = 0.3
) -> dict[str, Any]:
    """Values for the required fields of a model, and for some of the optional ones.

    Parameters
    ----------
    model : type of pydantic.BaseModel
    rng : random.Random
    given : mapping
        A function of ``rng`` for fields whose type does not say enough; None for a field that shall be left out.
    optional : float
        Probability of each field that has a default.
    """
    fields = {}
    for name, field in model.model_fields.items():
        if not field.is_required() and rng.random() > optional:
            continue
        if name in given:
            if given[name] is not None:
                fields[name] = given[name](rng)
            continue
        fields[name] = random_value(field.annotation, field.metadata, rng)
    return fields


def random_value(annotation: Any, metadata: list[Any], rng: random.Random) -> Any:
    """A value that a field of this type takes."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return random_value(inside[0], [*metadata, *_flat(inside[1:])], rng)
    if origin in (Union, types.UnionType):
        return random_value(rng.choice(inside), metadata, rng)
    if origin is Literal:
        return rng.choice(inside)
    if origin is tuple:
        if len(inside) == 2 and inside[1] is Ellipsis:
            return [random_value(inside[0], [], rng) for _ in range(rng.randint(1, 3))]
        return [random_value(item, [], rng) for item in inside]
    if annotation is bool:
        return rng.random() < 0.5
    if annotation in (int, float):
        return _number(annotation, metadata, rng)
    if annotation is type(None):
        return None
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return random_fields(annotation, rng, given={})
    return rng.choice(("a", "b", "x_1"))


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    return [item for entry in metadata for item in getattr(entry, "metadata", [entry])]


def _number(kind: type, metadata: list[Any], rng: random.Random) -> float:
    bounds = {
        name: value
        for entry in metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(entry, name, None)) is not None
    }
    low = bounds.get("ge", bounds.get("gt", 0))
    high = bounds.get("le", bounds.get("lt", low + SPREAD))
    if kind is int:
        return rng.randint(low + ("gt" in bounds), min(high - ("lt" in bounds), low + SPREAD))
    return rng.choice((low + (high - low) * rng.uniform(0.01, 0.99), low if "ge" in bounds else (low + high) / 2))
