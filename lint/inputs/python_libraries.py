"""What the libraries make SQL of: psycopg, peewee, SQLAlchemy, Django."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from lint.inputs.python_names import Names

_SQLALCHEMY = ("sqlalchemy", "sqlmodel")
_QUERY_BUILDERS = frozenset(("select", "insert", "update", "delete", "func", "union", "union_all"))


def makes_text(names: Names, node: ast.Call) -> bool:
    """SQL(..) of psycopg or peewee, text(..) of SQLAlchemy, RawSQL(..) of Django."""
    name = names.full_name(node.func)
    if name.startswith("django.") and name.endswith(".RawSQL"):
        return True
    if name.endswith(".SQL") or name == "SQL":
        return name.startswith(("psycopg", "peewee.", "playhouse.")) or name == "SQL"
    return name.startswith(_SQLALCHEMY) and name.endswith(".text")


def is_template(names: Names, node: ast.expr) -> bool:
    """Whether it is SQL(..) of psycopg, there or under a name."""
    if isinstance(node, ast.Name):
        value = names.value(node)
        return value is not None and not isinstance(value, ast.Name) and is_template(names, value)
    return isinstance(node, ast.Call) and makes_text(names, node)


def composes(names: Names, node: ast.Call) -> bool:
    """SQL(..).format(..) of psycopg."""
    called = node.func
    formatted = isinstance(called, ast.Attribute) and called.attr == "format"
    return formatted and isinstance(called, ast.Attribute) and is_template(names, called.value)


def is_psycopg(names: Names, node: ast.Call) -> bool:
    """Whether psycopg's composition makes it, which only a cursor can run."""
    made: ast.expr = node
    if composes(names, node) and isinstance(node.func, ast.Attribute):
        made = node.func.value
        if isinstance(made, ast.Name):
            made = names.value(made) or made
    return isinstance(made, ast.Call) and names.full_name(made.func).startswith("psycopg")


def is_mogrified(names: Names, node: ast.expr) -> bool:
    """Whether a cursor's mogrify made it, which is a sink of its own."""
    if isinstance(node, ast.Name):
        found = names.values(node)
        return bool(found) and all(
            not isinstance(value, ast.Name) and is_mogrified(names, value) for value in found
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "decode":
            return is_mogrified(names, node.func.value)
        return node.func.attr == "mogrify"
    return False


def builds_query(names: Names, node: ast.expr, taken: Mapping[str, bool] | None = None) -> bool:
    """Whether SQLAlchemy's query builder makes it, as in `select(User).where(..)`.

    A name may be given several queries, and ones made of itself: `q = q.where(..)`. `taken` says
    what to take a name for that is being followed.
    """
    taken = taken or {}
    while True:
        if isinstance(node, ast.Call):
            name = names.full_name(node.func)
            if name.startswith(_SQLALCHEMY) and name.split(".")[-1] in _QUERY_BUILDERS:
                return True
            if name.endswith("session.query"):
                return True
            node = node.func
        elif isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node, ast.Name) and node.id in taken:
            return taken[node.id]
        elif isinstance(node, ast.Name):
            found = names.values(node)
            made = [value for value in found if isinstance(value, ast.Call)]
            one, every = ({**taken, node.id: so} for so in (False, True))
            return (
                len(made) == len(found)
                and any(builds_query(names, value, one) for value in made)
                and all(builds_query(names, value, every) for value in made)
            )
        else:
            return False
