"""Changing statements by their tree: to look for near misses, and to make a find smaller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import sqlglot
from sqlglot import exp

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.GTE)
_SIDES = (None, None, "LEFT", "RIGHT", "FULL")


def _parsed(sql: str) -> exp.Expr | None:
    try:
        return sqlglot.parse_one(sql, read="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None


def mutated(sql: str, rng: random.Random) -> str:
    """The statement with one to three small changes; as it is where nothing can be changed."""
    tree = _parsed(sql)
    if tree is None:
        return sql
    for _ in range(rng.choice((1, 2, 3, 4))):
        nodes = list(tree.walk())
        for node in rng.sample(nodes, len(nodes)):
            if _mutate(node, rng):
                break
    return str(tree.sql("postgres"))


def _mutate(node: exp.Expr, rng: random.Random) -> bool:
    if node.parent is None or node.find_ancestor(
        exp.Order, exp.OnConflict, exp.Distinct, exp.Group
    ):
        return False
    if isinstance(node, exp.And | exp.Or):
        other = exp.Or if isinstance(node, exp.And) else exp.And
        changed = rng.choice((node.this, node.expression, None))
        if changed is None:
            changed = exp.Paren(
                this=other(this=node.this.copy(), expression=node.expression.copy())
            )
        node.replace(changed.copy())
        return True
    if isinstance(node, _COMPARISONS):
        if isinstance(node.parent, exp.Update) or rng.random() < 0.5:
            return False
        change = rng.choice(("operator", "not", "null"))
        if change == "operator":
            kind = rng.choice(_COMPARISONS)
            node.replace(kind(this=node.this.copy(), expression=node.expression.copy()))
        elif change == "not":
            node.replace(exp.Not(this=exp.Paren(this=node.copy())))
        else:
            either = exp.Or(
                this=node.copy(), expression=exp.Is(this=node.this.copy(), expression=exp.Null())
            )
            node.replace(exp.Paren(this=either))
        return True
    if isinstance(node, exp.Join) and not node.args.get("using") and node.args.get("on"):
        node.set("side", rng.choice(_SIDES))
        node.set("kind", None)
        return True
    if isinstance(node, exp.Not):
        node.replace(exp.Paren(this=node.this.copy()))
        return True
    if isinstance(node, exp.Column) and node.table and rng.random() < 0.5:
        columns = [
            c
            for c in node.root().find_all(exp.Column)
            if c.table == node.table and c.name != node.name
        ]
        if columns:
            node.replace(rng.choice(columns).copy())
            return True
    if isinstance(node, exp.Where) and rng.random() < 0.3:
        joins = node.parent.args.get("joins") if isinstance(node.parent, exp.Select) else None
        if joins and joins[-1].args.get("on") is not None:
            joined = exp.And(
                this=exp.Paren(this=joins[-1].args["on"].copy()),
                expression=exp.Paren(this=node.this.copy()),
            )
            joins[-1].set("on", joined)
            node.pop()
            return True
    if isinstance(node, exp.Union | exp.Intersect | exp.Except) and rng.random() < 0.3:
        node.set("distinct", not node.args.get("distinct"))
        return True
    if isinstance(node, exp.Literal) and not node.is_string and rng.random() < 0.3:
        node.replace(exp.Literal.number(rng.choice((1, 2))))
        return True
    return False


def shrunk(sql: str, holds: Callable[[str], bool], *, budget: int = 4000) -> str:
    """The smallest statement that can be reached by leaving out, for which `holds` still does."""
    tried: set[str] = set()
    smaller = True
    while smaller and len(tried) < budget:
        smaller = False
        for candidate in _smaller(sql):
            if candidate in tried or len(candidate) >= len(sql):
                continue
            tried.add(candidate)
            if holds(candidate):
                sql, smaller = candidate, True
                break
            if len(tried) >= budget:
                break
    return sql


def _smaller(sql: str) -> Iterator[str]:
    tree = _parsed(sql)
    if tree is None:
        return
    count = len(list(tree.walk()))
    for index in range(count):
        for change in range(12):
            copy = tree.copy()
            node = list(copy.walk())[index]
            if not _leave_out(node, change):
                if change > 5:
                    break
                continue
            try:
                yield str(copy.sql("postgres"))
            except (sqlglot.errors.SqlglotError, ValueError, AttributeError):
                continue


def _leave_out(node: exp.Expr, change: int) -> bool:
    if change == 0:
        for key in ("where", "having", "returning", "conflict", "distinct"):
            if node.args.get(key) and not (key == "distinct" and not isinstance(node, exp.Select)):
                node.set(key, None)
                return True
        return False
    if change == 1:
        if not isinstance(node, exp.And | exp.Or | exp.SetOperation):
            return False
        if node.parent is None:
            return False
        node.replace(node.this.copy())
        return True
    if change == 2:
        if not isinstance(node, exp.And | exp.Or | exp.SetOperation) or node.parent is None:
            return False
        node.replace(node.expression.copy())
        return True
    if change == 3:
        if isinstance(node, exp.Paren | exp.Not | exp.Subquery) and node.parent is not None:
            if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Subquery):
                return False
            node.replace(node.this.copy())
            return True
        return False
    if change == 4:
        if node.args.get("limit") and node.args.get("order"):
            node.set("limit", None)
            node.set("offset", None)
            node.set("order", None)
            return True
        if node.args.get("with_"):
            node.set("with_", None)
            return True
        return False
    if change == 5:
        simple = (exp.Column, exp.Literal, exp.Boolean, exp.Null, exp.Identifier, exp.Table)
        inside = node.parent is not None and isinstance(node.parent, exp.Expr)
        if inside and isinstance(node, exp.Condition) and not isinstance(node, simple):
            node.replace(exp.true() if isinstance(node, exp.Predicate) else exp.Literal.number(1))
            return True
        return False
    lists = [
        value
        for key, value in node.args.items()
        if isinstance(value, list) and value and key in ("joins", "expressions", "whens", "using")
    ]
    places = [(part, index) for part in lists for index in range(len(part))]
    if change - 6 >= len(places) or isinstance(node, exp.Order):
        return False
    part, index = places[change - 6]
    del part[index]
    return True
