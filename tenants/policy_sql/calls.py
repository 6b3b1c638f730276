"""Calls of functions in SQL: the body in place of the call, with the arguments put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from tenants.policy_sql.scale import Knowledge, Routine
from tenants.policy_sql.trees import ROW_MARK, body_of, called, defaults_of, label

if TYPE_CHECKING:
    from tenants.policy_sql.reader import Reader

_DEPTH = 6


def expanded(reader: Reader, node: exp.Expr) -> tuple[Reader, exp.Expr] | None:
    """The body of a called function with its arguments put in; None if it is not readable."""
    name, arguments = called(node)
    known = reader.knowledge
    routine = known.functions.get((name, len(arguments)))
    body = None if routine is None or reader.depth >= _DEPTH else body_of(routine)
    if routine is None or body is None:
        return None
    if routine.definer:
        # The body runs as somebody else, whom the policies of the tables may not bind.
        known = replace(known, guarded=frozenset(), role=None)
    inside = replace(reader, inner={}, in_function=True, depth=reader.depth + 1, knowledge=known)
    left_out = len(routine.arguments) - len(arguments)
    values = [carried(reader, argument) for argument in arguments]
    values += [value.copy() for value in defaults_of(routine)[-left_out:]] if left_out else []
    return inside, body.transform(_put_in(routine, values, known), copy=True)


def carried(reader: Reader, argument: exp.Expr) -> exp.Expr:
    """An argument as it may stand in another text: the row's columns marked as such."""

    def mark(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and reader.class_of(node) in ("tenant", "column"):
            return exp.column(exp.to_identifier(node.name), table=exp.to_identifier(ROW_MARK))
        return node

    return argument.transform(mark, copy=True)


def _put_in(
    routine: Routine, values: list[exp.Expr], known: Knowledge
) -> Callable[[exp.Expr], exp.Expr]:
    names = {name: value for name, value in zip(routine.arguments, values, strict=False) if name}

    def put_in(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter) and isinstance(node.this, exp.Literal):
            number = int(node.this.this)
            return exp.paren(values[number - 1]) if 0 < number <= len(values) else node
        if not isinstance(node, exp.Column) or node.name not in names:
            return node
        if node.table:  # `f.argument` is one in the body of f, unless a table has that name
            return exp.paren(names[node.name]) if _is_own(routine, node) else node
        # In SQL functions a column goes before an argument of the same name.
        select = node.find_ancestor(exp.Select)
        for table in select.find_all(exp.Table) if select is not None else ():
            if node.name in known.columns.get(label(table), ()):
                return node
        return exp.paren(names[node.name])

    return put_in


def _is_own(routine: Routine, column: exp.Column) -> bool:
    if column.table != routine.name:
        return False
    node: exp.Expr | None = column
    while node is not None:
        node = node.find_ancestor(exp.Select)
        if node is not None and any(
            t.alias_or_name == routine.name for t in node.find_all(exp.Table)
        ):
            return False
    return True
