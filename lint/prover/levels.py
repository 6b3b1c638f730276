"""To which query level an aggregate belongs.

PostgreSQL: to the innermost of those whose columns stand in its arguments, subqueries in them
included. One that belongs to a query around this one makes a single row there, of all.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.env import Level
from lint.prover.nodes import QUERIES, name_of


def check_level(here: Level, around: Sequence[Level], call: exp.Expr) -> None:
    """Raises CannotProve unless an aggregate is of the level `here`, as far as can be told."""
    if not around:
        return
    columns = [c for c in _outside(call) if isinstance(c, exp.Column)]
    queries = [q for q in _outside(call) if isinstance(q, QUERIES)]
    if any(_is_of(here, column) for column in columns):
        return
    if any(_names_row_of(here, query) for query in queries):
        return
    if columns or queries:
        raise CannotProve("an aggregate of an outer query's columns")


def _outside(call: exp.Expr) -> list[exp.Expr]:
    """The nodes of a call, but not what is in its subqueries."""
    return list(call.walk(prune=lambda node: isinstance(node, QUERIES)))


def _is_of(here: Level, column: exp.Column) -> bool:
    """Whether a column, or the row an alias stands for, is surely of this level."""
    if isinstance(column.this, exp.Star):
        return _has(here, name_of(column.args["table"]))
    name = name_of(column.this)
    found, known = here.local(name, column)
    if column.table or (found and known is not None):
        return found
    # An item of FROM whose columns are not all known may have it, or a level around.
    return not found and _has(here, name)


def _has(here: Level, alias: str) -> bool:
    return any(entry.alias == alias for entry in here.relation.entries)


def _names_row_of(here: Level, query: exp.Expr) -> bool:
    """Whether a subquery says `alias.column` of this level, and has no such alias of its own."""
    hidden = {name_of(node.this) for node in query.find_all(exp.TableAlias) if node.this}
    hidden |= {
        name_of(node.this)
        for node in query.find_all(exp.Table)
        if isinstance(node.this, exp.Identifier)
    }
    return any(
        column.table
        and not column.args.get("db")
        and name_of(column.args["table"]) not in hidden
        and _has(here, name_of(column.args["table"]))
        for column in query.find_all(exp.Column)
    )
