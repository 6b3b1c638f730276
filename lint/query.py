"""Reading queries: SELECT, VALUES, set operations. The rules are those of relation.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from lint.block import Block, Statics, has_aggregate, is_query, local_nodes, name_of
from lint.catalog import View
from lint.ctes import renamed, with_clause
from lint.env import CommonTable, Env
from lint.errors import CannotProve
from lint.facts import NOTHING, Facts, Term
from lint.from_items import from_clause
from lint.predicates import when_true
from lint.relation import Col, Output, Relation, Standings, keep, settle
from lint.setops import combine
from lint.shape import check_shape
from lint.views import Views

# How deep views, CTEs and subqueries may nest in one another.
MAX_DEPTH = 60


@dataclass(eq=False)
class Reader:
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
        """Read the CTEs nothing refers to, so that every table is accounted for."""
        while any(not table.used for table in self.defined):
            for table in list(self.defined):
                if not table.used:
                    table.used = True
                    self.ledger.settle_for_good(table.read().standings)

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
            return self._cut(combine(self.ledger, kind, left, right, low), node)
        if isinstance(node, exp.Subquery):
            if node.args.get("joins"):
                raise CannotProve("cannot read a join here")
            return replace(self._cut(self.query(node.this, inner.nested()), node), low=low)
        raise CannotProve(f"{type(node).__name__} is not a query that is understood")

    def parenthesis(self, node: exp.Subquery, env: Env) -> Output:
        """`(query)` in FROM: its alias and joins are the caller's business."""
        inner = self.with_of(node, env)
        return self._cut(self.query(node.this, inner.nested()), node)

    def view(self, view: View, node: int, env: Env) -> Output:
        """A view's query, read as it stands in the catalog: it sees nothing of the statement."""
        if env.depth > MAX_DEPTH:
            raise CannotProve("views nested too deeply")
        around = Env(path=(*env.path, node), depth=env.depth + 1)
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
        columns = []
        for index in range(len(rows[0])):
            terms: set[Term | None] = set()
            family = None
            for row in rows:
                block.visit(row[index])
                typed = block.typed(row[index])
                terms.add(typed[0] if typed else None)
                family = typed[1] if typed else None
            only = next(iter(terms)) if len(terms) == 1 else None
            term = self.ledger.column() if only is None else only
            columns.append(Col(f"column{index + 1}", term, family if only is not None else None))
        return Output(tuple(columns), NOTHING, block.take(), low)

    # -- SELECT ------------------------------------------------------------------------------

    def _select(self, node: exp.Select, env: Env, low: int) -> Output:
        block = self.block(env, low)
        block.relation = from_clause(self, node.args.get("from_"), node.args.get("joins"), env)
        self.restrict(block, node.args.get("where"))
        self._visit_rest(block, node)
        if self._grouped(node):
            self._group(block, node)
        having = node.args.get("having")
        if having is not None:
            self.assume(block, when_true(block, having.this))
        self._windows(block, node)
        self._distinct_on(block, node)
        columns, wide = self.project(block, node.expressions)
        shown = {col.term for col in columns}
        standings = self._lose(
            block.relation.standings,
            lambda carrier: carrier < low or carrier in shown,
            "" if env.top else "its tenant column is not among the subquery's columns",
        )
        output = Output(tuple(columns), block.relation.facts, standings, low, wide)
        return self._cut(output, node)

    def restrict(self, block: Block, where: exp.Where | None) -> None:
        """WHERE: its facts hold of every row that is left."""
        facts = NOTHING
        if where is not None:
            block.visit(where.this)
            facts = when_true(block, where.this)
        self.attach(block)
        self.assume(block, facts)

    def attach(self, block: Block) -> None:
        """Subqueries that were just walked become part of the relation."""
        relation = block.relation
        block.relation = replace(relation, standings={**relation.standings, **block.take()})

    def assume(self, block: Block, facts: Facts) -> None:
        relation = block.relation
        known = self.ledger.close(relation.facts.both(facts))
        standings = settle(relation.standings, known)
        self.ledger.observe(standings, known)
        block.relation = replace(relation, facts=known, standings=standings)

    def _visit_rest(self, block: Block, node: exp.Select) -> None:
        for item in node.expressions:
            if not isinstance(item, exp.Star):
                block.visit(item.this if isinstance(item, exp.Alias) else item)
        having, order = node.args.get("having"), node.args.get("order")
        if having is not None:
            block.visit(having.this)
        names = {name_of(i.args["alias"]) for i in node.expressions if isinstance(i, exp.Alias)}
        for ordered in order.expressions if order is not None else ():
            key = ordered.this if isinstance(ordered, exp.Ordered) else ordered
            plain = isinstance(key, exp.Column) and not key.table
            if not (plain and name_of(key.this) in names):
                block.visit(key)
        for window in node.args.get("windows") or ():
            for part in window.args.get("partition_by") or ():
                block.visit(part)
            if window.args.get("order"):
                block.visit(window.args["order"])
        for part in self._bounds(node):
            block.visit(part)
        self.attach(block)
        self.assume(block, NOTHING)

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

    @staticmethod
    def _grouped(node: exp.Select) -> bool:
        if node.args.get("group") or node.args.get("having"):
            return True
        order = node.args.get("order")
        return any(
            has_aggregate(part) for part in (*node.expressions, *((order,) if order else ()))
        )

    def _group(self, block: Block, node: exp.Select) -> None:
        group = node.args.get("group")
        keys, sets = _group_keys(group.expressions) if group is not None else ([], False)
        relation, low = block.relation, block.low
        if not keys and not sets:
            # One row comes out even of nothing: no fact survives.
            standings = self._lose(
                relation.standings, lambda c: c < low, "an aggregate without GROUP BY mixes tenants"
            )
            block.relation = replace(relation, facts=NOTHING, standings=standings)
            return
        terms = {self._key(block, node, key, alias_first=False) for key in keys}
        why = "its tenant column is not among the GROUP BY keys"
        standings = self._lose(relation.standings, lambda c: c < low or c in terms, why)
        if not sets:
            block.relation = replace(relation, standings=standings)
            return
        parts = [
            *node.expressions,
            *(node.args[k] for k in ("having", "order") if node.args.get(k)),
        ]
        if any(is_query(inner) for part in parts for inner in part.walk()):
            raise CannotProve("a subquery beside grouping sets")
        # A key is null in the rows of sets without it: another column than before.
        new: dict[int, int] = {}

        def moved(col: Col) -> Col:
            if isinstance(col.term, int) and col.term >= low:
                return replace(col, term=new.setdefault(col.term, self.ledger.column()))
            return replace(col, term=self.ledger.column(), family=None)

        entries = tuple(
            replace(entry, columns=tuple(moved(col) for col in entry.columns))
            for entry in relation.entries
        )
        visible = tuple(moved(col) for col in relation.visible)
        standings = {
            number: replace(
                s,
                carriers=frozenset(
                    c if c < low else new[c] for c in s.carriers if c < low or c in new
                ),
            )
            for number, s in standings.items()
        }
        block.relation = Relation(entries, visible, NOTHING, standings, relation.low)

    def _key(
        self, block: Block, node: exp.Select, key: exp.Expr, *, alias_first: bool
    ) -> Term | None:
        """The term a GROUP BY or DISTINCT ON item is, by PostgreSQL's rules for its name."""
        while isinstance(key, exp.Paren):
            key = key.this
        if isinstance(key, exp.Literal) and not key.is_string:
            index = int(key.this) - 1 if str(key.this).isdigit() else -1
            if not 0 <= index < len(node.expressions) or any(
                isinstance(item, exp.Star) or item.is_star for item in node.expressions
            ):
                raise CannotProve("cannot tell which column a position means")
            item = node.expressions[index]
            return self._term(block, item.this if isinstance(item, exp.Alias) else item)
        if isinstance(key, exp.Column) and not key.table:
            name = name_of(key.this)
            aliased = [
                item.this
                for item in node.expressions
                if isinstance(item, exp.Alias) and name_of(item.args["alias"]) == name
            ]
            here = block.local(name, key)[0]
            if aliased and (alias_first or not here):
                return self._term(block, aliased[0]) if len(aliased) == 1 else None
        block.visit(key)
        return self._term(block, key)

    @staticmethod
    def _term(block: Block, node: exp.Expr) -> Term | None:
        typed = block.typed(node)
        return None if typed is None else typed[0]

    def _windows(self, block: Block, node: exp.Select) -> None:
        named = {name_of(w.this): w for w in node.args.get("windows") or ()}
        order = node.args.get("order")
        for part in (*node.expressions, *((order,) if order else ())):
            for window in local_nodes(part):
                if not isinstance(window, exp.Window):
                    continue
                keys = {self._term(block, key) for key in _partition(window, named, depth=0)}
                relation = block.relation
                standings = self._lose(
                    relation.standings,
                    lambda carrier, keys=keys: carrier < block.low or carrier in keys,  # type: ignore[misc]  # bound now
                    "a window function is not partitioned by its tenant column",
                )
                block.relation = replace(relation, standings=standings)

    def _distinct_on(self, block: Block, node: exp.Select) -> None:
        distinct = node.args.get("distinct")
        on = distinct.args.get("on") if distinct is not None else None
        if on is None:
            return
        keys = on.expressions if isinstance(on, exp.Tuple) else [on]
        terms = {self._key(block, node, key, alias_first=True) for key in keys}
        relation = block.relation
        standings = self._lose(
            relation.standings,
            lambda carrier: carrier < block.low or carrier in terms,
            "its tenant column is not among the DISTINCT ON keys",
        )
        block.relation = replace(relation, standings=standings)

    def project(self, block: Block, items: Sequence[exp.Expr]) -> tuple[list[Col], bool]:
        """The output columns, and whether there are more than can be told."""
        columns: list[Col] = []
        wide = False
        for item in items:
            if isinstance(item, exp.Star):
                check_shape(item)
                columns += block.relation.visible
                wide = wide or block.relation.open
                continue
            if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
                check_shape(item.this)
                entry = block.entry(item)
                columns += entry.columns
                wide = wide or entry.open
                continue
            if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Star):
                wide = True
                continue
            columns.append(self._output_column(block, item))
        return columns, wide

    def _output_column(self, block: Block, item: exp.Expr) -> Col:
        name: str | None = None
        node = item
        if isinstance(item, exp.Alias):
            name, node = name_of(item.args["alias"]), item.this
        else:
            inner = item
            while isinstance(inner, exp.Cast | exp.Paren):
                inner = inner.this
            if isinstance(inner, exp.Column):
                name = name_of(inner.this)
        typed = block.typed(node)
        if typed is None:
            return Col(name, self.ledger.column(), None)
        return Col(name, typed[0], typed[1])

    # -- ends --------------------------------------------------------------------------------

    def _cut(self, output: Output, node: exp.Expr) -> Output:
        """ORDER BY and LIMIT around a query: which rows are left depends on all of them."""
        order = node.args.get("order")
        if not isinstance(node, exp.Select):
            parts = [*self._bounds(node), *((order,) if order else ())]
            if any(is_query(inner) for part in parts for inner in part.walk()):
                raise CannotProve("a subquery in ORDER BY or LIMIT of a combined query")
        if not node.args.get("limit") and not node.args.get("offset"):
            return output
        standings = self._lose(
            output.standings,
            lambda carrier: carrier < output.low,
            "LIMIT chooses among the rows of all tenants",
        )
        return replace(output, standings=standings)

    def _lose(self, before: Standings, kept: Callable[[int], bool], why: str) -> Standings:
        after = keep(before, kept)
        self.ledger.lose(before, after, why)
        return after


def _group_keys(items: Sequence[exp.Expr]) -> tuple[list[exp.Expr], bool]:
    """The grouping expressions, and whether there are several grouping sets."""
    keys: list[exp.Expr] = []
    sets = False
    for item in items:
        if isinstance(item, exp.Rollup | exp.Cube | exp.GroupingSets):
            sets = True
            keys += _group_keys(item.expressions)[0]
        elif isinstance(item, exp.Tuple):
            sets = sets or not item.expressions
            keys += _group_keys(item.expressions)[0]
        else:
            keys.append(item)
    return keys, sets


def _partition(
    window: exp.Window, named: dict[str, exp.Window], *, depth: int
) -> Iterator[exp.Expr]:
    check_shape(window)
    yield from window.args.get("partition_by") or ()
    base = window.args.get("alias")
    if base is not None:
        known = named.get(name_of(base))
        if known is None or depth > len(named):
            raise CannotProve("a window that is not defined")
        yield from _partition(known, named, depth=depth + 1)
