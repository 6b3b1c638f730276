"""Parsing, and small questions to a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from sqlglot import exp, parse, parse_one
from sqlglot.errors import SqlglotError

from tenants.policy_sql.scale import Routine

# Qualifies a row's column inside a function's body; no identifier can hold it.
ROW_MARK = "\0row"


@lru_cache(maxsize=4096)
def parsed(expression: str) -> exp.Expr | None:
    """The tree of an expression, which callers must not change; None if it cannot be parsed."""
    try:
        return parse_one(expression, dialect="postgres")
    except (SqlglotError, RecursionError):
        return None


def tables_of(tree: exp.Expr) -> frozenset[str]:
    """The tables an expression reads, `schema.name` or `name` as written."""
    found = (
        ".".join(part.name for part in table.parts)
        for table in tree.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier)
    )
    return frozenset(found)


def calls_of(tree: exp.Expr) -> frozenset[tuple[str, int]]:
    """The functions an expression calls that the parser does not know: (name, arguments)."""
    return frozenset(
        (name, len(call.expressions))
        for call in tree.find_all(exp.Anonymous)
        for name in (function_name(call),)
    )


def function_name(call: exp.Anonymous) -> str:
    """A called function's name, with its schema where it is written."""
    parent = call.parent
    if isinstance(parent, exp.Dot) and parent.expression is call:
        return f"{parent.this.name}.{call.name}"
    return call.name


@lru_cache(maxsize=4096)
def body_of(routine: Routine) -> exp.Expr | None:
    """The one expression or query that a function in SQL returns, which callers must not change;
    None if it is not so simple.
    """
    if routine.language != "sql":
        return None
    text = routine.body.strip()
    lowered = text.lower()
    if lowered.startswith("begin atomic"):
        text = text[len("begin atomic") :].strip().removesuffix("END").strip()
    elif lowered.startswith("return "):
        text = "SELECT " + text[len("return ") :]
    try:
        statements = [tree for tree in parse(text, dialect="postgres") if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    return statements[0] if len(statements) == 1 else None


@lru_cache(maxsize=4096)
def defaults_of(routine: Routine) -> tuple[exp.Expr, ...]:
    """The values of the last arguments where a call leaves them out, not to be changed."""
    tree = parsed(f"SELECT {routine.defaults}") if routine.defaults else None
    return () if tree is None else tuple(tree.expressions)


def conjuncts(expression: str) -> list[str]:
    """The parts of an expression that all have to hold, as texts."""
    tree = parsed(expression)
    if tree is None:
        return [expression]
    return [part.sql(dialect="postgres") for part in flattened([tree])]


def bare(node: exp.Expr) -> exp.Expr:
    """Without parentheses, casts and collations, and out of `(SELECT value)`."""
    while True:
        if isinstance(node, exp.Paren | exp.Cast | exp.Collate):
            node = node.this
        elif isinstance(node, exp.Subquery) and only_value(node.this) is not None:
            node = only_value(node.this) or node
        else:
            return node


def only_value(node: exp.Expr) -> exp.Expr | None:
    """The value of `SELECT value`, without FROM or anything else."""
    present = {key for key, value in node.args.items() if value}
    if isinstance(node, exp.Select) and present == {"expressions"} and len(node.expressions) == 1:
        value: exp.Expr = node.expressions[0].unalias()
        return value
    return None


def flattened(conditions: Iterable[exp.Expr]) -> Iterator[exp.Expr]:
    """The parts of conditions that all have to hold."""
    for condition in conditions:
        plain = condition.unnest()
        if isinstance(plain, exp.And):
            yield from flattened(plain.flatten())
        else:
            yield plain


def label(source: exp.Expr) -> str:
    """The table that stands in FROM; "" for what is none."""
    if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
        return ".".join(part.name for part in source.parts)
    return ""


def called(node: exp.Expr) -> tuple[str, list[exp.Expr]]:
    """A call's name and arguments, whether its schema is written or not."""
    call = node.expression if isinstance(node, exp.Dot) else node
    name = call.name if isinstance(call, exp.Anonymous) else call.key
    if isinstance(node, exp.Dot):
        name = f"{node.this.name}.{name}"
    arguments = call.expressions if isinstance(call, exp.Anonymous) else call.iter_expressions()
    return name, list(arguments)


def element(node: exp.Expr) -> exp.Expr:
    """The one element of `ARRAY[x]`, else the array itself."""
    found = bare(node)
    if isinstance(found, exp.Array) and len(found.expressions) == 1:
        element: exp.Expr = found.expressions[0]
        return element
    return node


def sides(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    return node.this, node.expression


def is_null(node: exp.Expr) -> bool:
    return isinstance(bare(node), exp.Null)


def node_text(*nodes: exp.Expr) -> str:
    """The text of expressions, short."""
    text = " and ".join(node.sql(dialect="postgres").replace(f"{ROW_MARK}.", "") for node in nodes)
    return text if len(text) <= 60 else text[:57] + "..."
