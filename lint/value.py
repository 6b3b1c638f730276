"""Values: what `@dataclass(frozen=True)` makes, for those that are made by the thousand.

A frozen dataclass looks up `object.__setattr__` for each field of each object, which takes four
times as long as to fill the object. Nobody assigns to a field of a `@value`: mypy sees to that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(made: type[_T]) -> type[_T]:
    """A dataclass with slots whose fields are not assigned; hashed by them, or as it says."""
    return dataclass(slots=True, unsafe_hash="__hash__" not in vars(made))(made)
