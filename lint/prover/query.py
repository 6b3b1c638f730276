"""Reading queries: SELECT, VALUES, set operations. The rules are those of relation.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block, Statics
from lint.prover.ctes import renamed, with_clause
from lint.prover.env import CommonTable, Env
from lint.prover.facts import IMPOSSIBLE, NOTHING
from lint.prover.from_items import from_clause
from lint.prover.grouping import (
    distinct_on,
    group,
    is_grouped,
    keys_of_distinct_on,
    windows,
)
from lint.prover.narrowing import narrow
from lint.prover.nodes import is_query, name_of
from lint.prover.predicates import restrict, when_true
from lint.prover.projection import project
from lint.prover.reader import Reader
from lint.prover.relation import Col, Output, settle
from lint.prover.setops import combine, position_family
from lint.prover.shape import check_shape
from lint.schema.catalog import View
from lint.schema.views import Views

# How deep views, CTEs and subqueries may nest in one another.
MAX_DEPTH = 60


@dataclass(eq=False)
class StatementReader:
    """Reads the queries of one statement. `write` reads a data-modifying statement."""

    statics: Statics
    views: Views
    write_with: Callable[[Reader, exp.Expr, Env], Output]
    defined: list[CommonTable] = field(default_factory=list)
    # Table nodes that were read, by id: the statement's others would have been overlooked.
    seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ledger = self.statics.ledger

    def write(self, node: exp.Expr, env: Env) -> Output:
        return self.write_with(self, node, env)

    def block(self, env: Env, low: int) -> Block:
        return Block(self.statics, env, low, self.query)

    def with_of(self, node: exp.Expr, env: Env) -> Env:
        clause = node.args.get("with_")
        return env if clause is None else with_clause(self, clause, env)

    def read_unused(self) -> None:
        """Read the CTEs nothing refers to, so that every table is accounted for.

        The server does not run them (those that write are another matter, and read where they
        are defined), nor those that only they refer to: no row of their tables is read.
        """
        while any(not table.used for table in self.defined):
            for table in list(self.defined):
                if not table.used:
                    table.used = True
                    self.ledger.settle_for_good(settle(table.read().standings, IMPOSSIBLE))

    def query(self, node: exp.Expr, env: Env) -> Output:
        """Read a query expression. Raises CannotProve for what is not understood."""
        if env.depth > MAX_DEPTH:
            raise CannotProve("nested too deeply")
        check_shape(node)
        if isinstance(node, exp.Values):
            if node.args.get("alias") or node.args.get("joins"):
                raise CannotProve("cannot read VALUES here")
            return self.values(node, env)
        low = self.ledger.mark()
        inner = self.with_of(node, env)
        if isinstance(node, exp.Select):
            return self._select(node, inner, low)
        if isinstance(node, exp.SetOperation):
            kind = type(node).__name__.upper()
            left = self.query(node.this, inner.nested())
            right = self.query(node.expression, inner.nested())
            return self._cut(combine(self.ledger, kind, left, right, low), node, inner)
        if isinstance(node, exp.Subquery):
            if node.args.get("joins"):
                raise CannotProve("cannot read a join here")
            return replace(self._cut(self.query(node.this, inner.nested()), node, inner), low=low)
        raise CannotProve(f"{type(node).__name__} is not a query that is understood")

    def parenthesis(self, node: exp.Subquery, env: Env) -> Output:
        """`(query)` in FROM: its alias and joins are the caller's business."""
        inner = self.with_of(node, env)
        return self._cut(self.query(node.this, inner.nested()), node, inner)

    def view(self, view: View, node: int, env: Env) -> Output:
        """A view's query, read as it stands in the catalog: it sees nothing of the statement."""
        if env.depth > MAX_DEPTH:
            raise CannotProve("views nested too deeply")
        snapshot = (*env.snapshot, view.name) if view.materialized else env.snapshot
        around = Env(path=(*env.path, node), depth=env.depth + 1, snapshot=snapshot)
        output = self.query(self.views.tree(view), around)
        return renamed(output, list(view.columns))

    def values(self, node: exp.Values, env: Env) -> Output:
        low = self.ledger.mark()
        block = self.block(env, low)
        rows = [
            row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions
        ]
        if not rows or len({len(row) for row in rows}) != 1:
            raise CannotProve("rows of VALUES have different lengths")
        columns: list[Col] = []
        for index in range(len(rows[0])):
            name = f"column{index + 1}"
            column: Col | None = None
            for row in rows:
                block.visit(row[index])
                typed = block.typed(row[index])
                field_ = Col(name, *typed) if typed else Col(name, self.ledger.column(), None)
                if column is None or column.term == field_.term:
                    column = field_
                else:
                    column = Col(name, self.ledger.column(), position_family(column, field_))
            if column is not None:
                columns.append(column)
        return Output(tuple(columns), NOTHING, block.take(), low)

    # -- SELECT ------------------------------------------------------------------------------

    def _select(self, node: exp.Select, env: Env, low: int) -> Output:
        block = self.block(env, low)
        block.relation = from_clause(self, node.args.get("from_"), node.args.get("joins"), env)
        restrict(block, node.args.get("where"))
        self._visit_rest(block, node)
        if is_grouped(node):
            group(block, node)
        having = node.args.get("having")
        if having is not None:
            block.assume(when_true(block, having.this))
        windows(block, node)
        distinct_on(block, node)
        columns, wide = project(block, node.expressions)
        shown = frozenset([col.term for col in columns if isinstance(col.term, int)])
        why = "" if env.top else "its tenant column is not among the subquery's columns"
        standings = narrow(block, shown, why)
        output = Output(tuple(columns), block.relation.facts, standings, low, wide)
        return self._cut(output, node, env)

    def _visit_rest(self, block: Block, node: exp.Select) -> None:
        for item in node.expressions:
            if not isinstance(item, exp.Star):
                block.visit(item.this if isinstance(item, exp.Alias) else item)
        having, order = node.args.get("having"), node.args.get("order")
        if having is not None:
            block.visit(having.this)
        names = _output_names(node) if order is not None else set()
        for ordered in order.expressions if order is not None else ():
            # A plain name in ORDER BY means an output column before it means a table's.
            key = ordered.this if isinstance(ordered, exp.Ordered) else ordered
            plain = isinstance(key, exp.Column) and not key.table
            if not (plain and name_of(key.this) in names):
                block.visit(key)
        for key in keys_of_distinct_on(node):
            # A plain name means an output column before it means a table's, and a number one.
            if not (isinstance(key, exp.Column) and not key.table):
                block.visit(key)
        for window in node.args.get("windows") or ():
            for part in window.args.get("partition_by") or ():
                block.visit(part)
            for key in ("order", "spec"):
                if window.args.get(key):
                    block.visit(window.args[key])
        for part in self._bounds(node):
            block.visit(part)
        block.attach()
        block.assume(NOTHING)

    @staticmethod
    def _bounds(node: exp.Expr) -> list[exp.Expr]:
        parts = []
        for key in ("limit", "offset"):
            clause = node.args.get(key)
            if clause is None:
                continue
            check_shape(clause)
            inner = clause.args.get("expression") or clause.args.get("count")
            if inner is not None:
                parts.append(inner)
        return parts

    def _check_ends(self, node: exp.Expr, env: Env) -> None:
        """ORDER BY and LIMIT of a combined query, or of one in parentheses.

        Behind a query in parentheses ORDER BY is the query's own: an aggregate there would make
        one row of all. Of LIMIT no column of the query is seen, but a function may be called.
        """
        order, bounds = node.args.get("order"), self._bounds(node)
        if order is not None and not all(map(_is_plain, order.expressions)):
            raise CannotProve("an expression in ORDER BY around a query")
        if any(is_query(inner) for part in bounds for inner in part.walk()):
            raise CannotProve("a subquery in LIMIT of a combined query")
        block = self.block(env, self.ledger.mark())
        for part in bounds:
            block.visit(part)

    # -- ends --------------------------------------------------------------------------------

    def _cut(self, output: Output, node: exp.Expr, env: Env) -> Output:
        """ORDER BY and LIMIT around a query: which rows are left depends on all of them."""
        if not isinstance(node, exp.Select):
            self._check_ends(node, env)
        if not node.args.get("limit") and not node.args.get("offset"):
            return output
        alike: frozenset[int] = frozenset()
        if not all(standing.values for standing in output.standings.values()):
            # All rows have the same in these: they are T in all or in none.
            alike = self.ledger.determined((), output.facts, output.low)
        standings = self.ledger.narrow(
            output.standings,
            lambda carrier: carrier < output.low or carrier in alike,
            "LIMIT chooses among the rows of all tenants",
        )
        if _no_rows(node.args.get("limit")):
            standings = settle(standings, IMPOSSIBLE)
        return replace(output, standings=standings)


def _is_plain(item: exp.Expr) -> bool:
    """Whether an ORDER BY item is a name or a position."""
    key = item.this if isinstance(item, exp.Ordered) else item
    return isinstance(key, exp.Column | exp.Literal)


def _output_names(node: exp.Select) -> set[str]:
    names = {name_of(i.args["alias"]) for i in node.expressions if isinstance(i, exp.Alias)}
    return names | {
        name_of(i.this)
        for i in node.expressions
        if isinstance(i, exp.Column) and not isinstance(i.this, exp.Star)
    }


def _no_rows(limit: exp.Expr | None) -> bool:
    """Whether it is LIMIT 0, with which applications ask for the columns alone."""
    count = limit.args.get("expression") if isinstance(limit, exp.Limit) else None
    return isinstance(count, exp.Literal) and not count.is_string and count.this == "0"
