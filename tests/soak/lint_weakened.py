"""Rules of the prover, taken away or weakened one at a time: the fuzz has to see each.

A fault is a change of a function's text, so that the table reads as what a careless hand might
have written. Where a fault is found, the statement that tells is the reason for the rule.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from lint_faults import FAULTS

from lint.prover.facts import Rule
from lint.prover.relation import Standing, settle
from lint.prover.values import SOURCE

Patch = pytest.MonkeyPatch
# What a changed text may name, imported by its module or not.
_LENT = {"Rule": Rule, "SOURCE": SOURCE, "Standing": Standing, "settle": settle}
_ANNOTATIONS = 0x1000000  # __future__.annotations, as compile() wants it


@dataclass(frozen=True)
class Edit:
    """In the function `place` (`module.function` or `module.Class.method`) `old`, which stands
    there once, becomes `new`."""

    place: str
    old: str
    new: str


def edits(name: str) -> list[Edit]:
    """The edits of a fault of the table."""
    found = FAULTS[name]
    parts = [found] if isinstance(found[0], str) else list(found)
    return [Edit(*part) for part in parts]


def weaken(patch: Patch, name: str) -> None:
    """Put a fault into the running prover. Raises ValueError if the text is not there once."""
    for edit in edits(name):
        _apply(patch, edit)


def _apply(patch: Patch, edit: Edit) -> None:
    module, owner, name = _found(edit.place)
    original = inspect.getattr_static(owner, name)
    source = textwrap.dedent(inspect.getsource(original))
    if source.count(edit.old) != 1:
        raise ValueError(f"{edit.place} has {edit.old!r} {source.count(edit.old)} times, not once")
    changed = source.replace(edit.old, edit.new)
    code = compile(changed, f"<weakened {edit.place}>", "exec", flags=_ANNOTATIONS)
    for lent, value in _LENT.items():
        if lent not in module.__dict__:
            patch.setattr(module, lent, value, raising=False)
    names: dict[str, Any] = {}
    exec(code, module.__dict__, names)
    _put(patch, edit.place, names[name])


def watch(patch: Patch, called: set[str]) -> None:
    """Note in `called` the places of the table that are come past."""
    for place in sorted({edit.place for fault in FAULTS for edit in edits(fault)}):
        _, owner, name = _found(place)
        _put(patch, place, _noting(inspect.getattr_static(owner, name), place, called))


def _noting(original: Callable[..., Any], place: str, called: set[str]) -> Callable[..., Any]:
    def noting(*args: Any, **rest: Any) -> Any:
        called.add(place)
        return original(*args, **rest)

    return noting


def _found(place: str) -> tuple[Any, Any, str]:
    """The module, the module or class that holds the function, and its name there."""
    module_name, *rest = place.split(".")
    homes = (f"lint.{package}.{module_name}" for package in ("prover", "schema", "text"))
    module = import_module(next(home for home in homes if find_spec(home)))
    owner: Any = module
    for part in rest[:-1]:
        owner = getattr(owner, part)
    return module, owner, rest[-1]


def _put(patch: Patch, place: str, made: Callable[..., Any]) -> None:
    module, owner, name = _found(place)
    original = inspect.getattr_static(owner, name)
    patch.setattr(owner, name, made)
    if owner is not module:
        return
    # Others have imported it by name.
    for other in [m for n, m in sys.modules.items() if n.startswith("lint.")]:
        for known, value in list(vars(other).items()):
            if value is original:
                patch.setattr(other, known, made)
