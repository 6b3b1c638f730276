"""Conditions on one row: is this text an expression over the columns of `r`, and nothing more?

What a condition says of a row must hang on that row alone: whoever keeps rows by it relies on a
row neither coming under it nor leaving it while the row itself stays as it is, and on the
condition never failing, whatever comes to stand in the table. So there are no subqueries, no
clock, no functions but a few whose outcome is always the same, no casts of columns, no
arithmetic, no regular expressions; what is not listed here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from lint.errors import CannotProve, CatalogError, SourceError
from lint.prover.prover import Prover
from lint.prover.values import function_name
from lint.schema.catalog import Catalog, Table
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import fold, prepare

ALIAS = "r"

_NODES: tuple[type[exp.Expr], ...] = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.Boolean, exp.Null, exp.Literal, exp.Column,
    exp.Identifier, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.NullSafeEQ,
    exp.NullSafeNEQ, exp.In, exp.Between, exp.Like, exp.ILike, exp.Neg, exp.DPipe, exp.Cast,
    exp.DataType, exp.DataTypeParam, exp.Tuple, exp.Lower, exp.Upper, exp.Coalesce, exp.Nullif,
    exp.Length, exp.StartsWith,
)  # fmt: skip
_CLOCK = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_DATED = ("date", "time")
_REFUSED_KINDS = {
    "param": "it has a placeholder; write the value",
    "params": "it has a placeholder; write the value",
    "hole": "part of it is not known",
    "bad": "part of it cannot be read",
}


def make_row_check(catalog: Catalog) -> Callable[[str, str, str], str | None]:
    """A function of (schema, table, condition) that says None of a condition over the rows of a
    tenant's table, else why it is none. In it, the row is `r`. The function is thread-safe."""
    prover = Prover(catalog)

    def check(schema: str, table: str, condition: str) -> str | None:
        try:
            found = catalog.find(schema, table)
            if not isinstance(found, Table) or found.tenant_column is None:
                return f"{schema}.{table} is no tenant's table"
            _require_expression(condition, found)
        except (CannotProve, CatalogError, SourceError) as error:
            return str(error)
        # The text as it will stand in a query: nothing in it may reach past its parentheses.
        verdict = prover.prove_text(
            f'SELECT {ALIAS}.id FROM "{schema}"."{table}" {ALIAS}'  # noqa: S608 - not run
            f" WHERE {ALIAS}.{found.tenant_column} = (SELECT tenure.current_tenant())"
            f" AND (\n{condition}\n)"
        )
        return None if verdict.scoped and verdict.kind == "source" else verdict.reason

    return check


def _require_expression(condition: str, table: Table) -> None:
    _require_one(condition)
    (query,) = statements(f"SELECT 1 WHERE {condition}", psql=False)
    try:
        tree = parse(prepare(query.tokens))
    except CannotProve as error:
        if error.kind != "unparsed":
            raise
        raise CannotProve("it cannot be read as a condition") from error
    if not isinstance(tree, exp.Select) or {k for k, v in tree.args.items() if v} != {
        "expressions",
        "where",
    }:
        raise CannotProve("it is more than a condition")
    where = tree.args["where"].this
    for node in where.walk():
        _require_node(node, table)
    if _is_dated(where, table):
        for literal in where.find_all(exp.Literal):
            if literal.is_string and _CLOCK.search(str(literal.this)):
                raise CannotProve(f"{str(literal.this)!r} is another instant every day")


def _require_one(condition: str) -> None:
    found = list(statements(condition, psql=False))
    if len(found) != 1 or not found[0].tokens:
        raise CannotProve("it is not one condition")
    if found[0].comments:
        raise CannotProve("it has a comment; leave it out")
    if condition[found[0].end :].strip():
        raise CannotProve("it ends in a semicolon; leave it out")
    depth = 0
    for token in found[0].tokens:
        if token.kind in _REFUSED_KINDS:
            raise CannotProve(f"{_REFUSED_KINDS[token.kind]}: {token.text[:20]!r}")
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            raise CannotProve("it closes a parenthesis that it did not open")


def _is_dated(where: exp.Expr, table: Table) -> bool:
    columns = {column.name: column.type for column in table.columns}
    types = [columns[_name(node.parts[-1])] for node in where.find_all(exp.Column)]
    types += [node.sql().lower() for node in where.find_all(exp.DataType)]
    return any(word in kind for kind in types for word in _DATED)


def _require_node(node: exp.Expr, table: Table) -> None:
    match node:
        case exp.Column():
            _require_column(node, table)
        case exp.Cast() if not isinstance(node.this, exp.Literal):
            raise CannotProve("only a literal may be cast in it: a cast of a column can fail")
        case exp.Neg() if not isinstance(node.this, exp.Literal):
            raise CannotProve("it computes; compare the column itself")
        case exp.Like() | exp.ILike() if not isinstance(node.expression, exp.Literal):
            raise CannotProve("a pattern in it must be a literal: others can fail")
        case exp.Literal() if "\\" in str(node.this):
            raise CannotProve("a backslash is not allowed in it")
        case exp.Subquery() | exp.Select() | exp.Exists():
            raise CannotProve("a subquery is not allowed in it: it looks at other rows")
        case exp.In() if node.args.get("query") or node.args.get("unnest"):
            raise CannotProve("a subquery is not allowed in it: it looks at other rows")
        case exp.Anonymous():
            raise CannotProve(f"the function {function_name(node)}() is not allowed in it")
        case _ if not isinstance(node, _NODES):
            raise CannotProve(f"{node.sql('postgres')!r} is not allowed in it")


def _name(part: exp.Expr) -> str:
    return str(part.this) if part.args.get("quoted") else fold(str(part.this))


def _require_column(node: exp.Column, table: Table) -> None:
    parts = [part for part in node.parts if isinstance(part, exp.Identifier)]
    if len(parts) != len(node.parts) or len(parts) > 2:
        raise CannotProve(f"{node.sql()} is no column of {ALIAS}")
    names = [_name(part) for part in parts]
    if len(names) == 2 and names[0] != ALIAS:
        raise CannotProve(f"it speaks of {names[0]!r}; the row is called {ALIAS}")
    if table.column(names[-1]) is None:
        known = ", ".join(column.name for column in table.columns)
        raise CannotProve(f"{table.name} has no column {names[-1]!r}; it has {known}")
