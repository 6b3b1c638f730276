"""Which classes of nodes write only what peewee's own do.

peewee lets anybody derive from its nodes, and a node writes into the SQL whatever it likes. One
that does so by a method of its own is raw SQL (see `tenants.scoping`).
"""

from __future__ import annotations

from typing import Any

import peewee
from peewee import Context, Model, Node

_PEEWEE: frozenset[type] = frozenset(v for v in vars(peewee).values() if isinstance(v, type))


def _parameters(method: Any) -> tuple[str, ...]:
    code = getattr(method, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount]


# The methods by which peewee's nodes write: those that are handed the context. (`switch` is
# handed a model that it calls so.)
_WRITING = frozenset(
    name
    for cls in _PEEWEE
    if issubclass(cls, Node | Context)
    for name, method in vars(cls).items()
    if "ctx" in _parameters(method)
) - {"switch"}


def is_peewees(cls: type) -> bool:
    """Return whether a class of nodes has no method of its own that writes."""
    # A model's attributes are columns, whatever they are called.
    writing = frozenset({"__sql__"}) if issubclass(cls, Model) else _WRITING
    return not any(writing & vars(base).keys() for base in cls.__mro__ if base not in _PEEWEE)
