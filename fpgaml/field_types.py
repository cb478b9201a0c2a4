"""Types of fields that several sections of a study have."""

from __future__ import annotations

from typing import Annotated

import pydantic

Seed = Annotated[int, pydantic.Field(ge=0, le=2**32 - 1)]
"""What numpy, TensorFlow and Pythia can all begin from is less; those that hold fewer bits draw theirs from it."""

Epochs = Annotated[int, pydantic.Field(ge=1, le=100_000)]
