"""What a query reads beyond the rows of whoever asks: where no policy binds, its own WHERE must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from tenants.policy_sql import Knowledge, Row
from tenants.policy_sql.reader import Reader
from tenants.policy_sql.trees import label

Found = Literal["open", "unknown"]


def unlimited(
    text: str, tenant_columns: frozenset[str], knowledge: Knowledge
) -> dict[str, Found] | None:
    """The relations that a text of queries reads beyond the rows of whoever asks.

    By their names as written: "open" where no condition asks for the session, "unknown" where
    one does that cannot be followed. None where the text is not queries alone, or not readable.
    """
    try:
        trees = [tree for tree in parse(text, dialect="postgres") if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    if not trees or not all(isinstance(tree, exp.Query) for tree in trees):
        return None
    reader = Reader(Row(tenant_columns), knowledge)
    return _widest(_of_query(reader, tree, {}) for tree in trees)


def _widest(found: Iterator[dict[str, Found]]) -> dict[str, Found]:
    joined: dict[str, Found] = {}
    for part in found:
        for name, kind in part.items():
            if joined.get(name) != "open":
                joined[name] = kind
    return joined


def _of_query(
    reader: Reader, query: exp.Expr, around: dict[str, dict[str, Found]]
) -> dict[str, Found]:
    while isinstance(query, exp.Subquery):
        query = query.this
    named = dict(around)
    with_ = query.args.get("with_")
    for cte in with_.expressions if with_ is not None else ():
        named[cte.alias] = {}  # a recursive one reads itself: what it began with
        named[cte.alias] = _of_query(reader, cte.this, named)
    if isinstance(query, exp.SetOperation):
        return _widest(_of_query(reader, side, named) for side in (query.left, query.right))
    if not isinstance(query, exp.Select):
        return {}
    block = _Block(reader, named)
    block.enter(query)
    return block.result()


@dataclass
class _Block:
    """A SELECT with the subqueries in its expressions: sources, and what limits which of them."""

    reader: Reader
    named: dict[str, dict[str, Found]]
    sources: dict[str, dict[str, Found]] = field(default_factory=dict)
    columns: dict[str, frozenset[str]] = field(default_factory=dict)
    links: list[frozenset[str]] = field(default_factory=list)
    limits: list[tuple[frozenset[str], Literal["limited", "unknown"]]] = field(default_factory=list)

    def enter(self, query: exp.Select) -> None:
        conditions: list[exp.Expr] = []
        first = query.args.get("from_")
        if first is not None:
            self._source(first.this, conditions)
        for join in query.args.get("joins") or ():
            self._join(join, conditions)
        where = query.args.get("where")
        if where is not None:
            conditions.append(where.this)
        for condition in conditions:
            self._condition(condition)
        for nested in _nested(query):
            self.enter(nested)

    def _source(self, node: exp.Expr, conditions: list[exp.Expr]) -> None:
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Subquery | exp.Table):
            self._source(node.this, conditions)
        elif isinstance(node, exp.Subquery | exp.Lateral):
            self.sources[node.alias_or_name] = _of_query(self.reader, node.this, self.named)
        elif isinstance(node, exp.Table) and label(node):
            name = label(node)
            found: dict[str, Found] = {name: "open"}
            self.sources[node.alias_or_name] = self.named.get(name, found)
            self.columns[node.alias_or_name] = self.reader.knowledge.columns.get(name, frozenset())
        for join in node.args.get("joins") or ():
            self._join(join, conditions)

    def _join(self, join: exp.Expr, conditions: list[exp.Expr]) -> None:
        self._source(join.this, conditions)
        on = join.args.get("on")
        for column in join.args.get("using") or ():
            self.links.append(
                frozenset(a for a, known in self.columns.items() if column.name in known)
            )
        if on is None:
            return
        if not join.args.get("side"):
            conditions.append(on)
        elif join.args["side"] == "LEFT":
            # Rows that the right side adds are those that match; none that it kept back is shown.
            for part in _parts(on):
                self._link(part)

    def _condition(self, condition: exp.Expr) -> None:
        for part in _parts(condition):
            self._link(part)
            judged = self.reader.condition(part)
            if judged.at_most("keyed"):
                self.limits.append((self._aliases(part), "limited"))
            elif judged.kind == "unknown":
                self.limits.append((self._aliases(part), "unknown"))

    def _link(self, part: exp.Expr) -> None:
        if isinstance(part, exp.EQ):
            aliases = self._aliases(part)
            if len(aliases) > 1:
                self.links.append(aliases)

    def _aliases(self, part: exp.Expr) -> frozenset[str]:
        found: set[str] = set()
        for column in part.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is not part.find_ancestor(exp.Select):
                continue
            if column.table:
                found.add(column.table)
            elif len(self.sources) == 1:
                found.update(self.sources)
            else:
                found.update(a for a, known in self.columns.items() if column.name in known)
        return frozenset(found)

    def result(self) -> dict[str, Found]:
        """What is read of the sources that no condition reaches, by way of equal columns."""
        state: dict[str, str] = {}
        for kind in ("unknown", "limited"):  # the latter wins
            reached = {a for aliases, k in self.limits if k == kind for a in aliases}
            grown = True
            while grown:
                before = len(reached)
                for link in self.links:
                    if link & reached:
                        reached |= link
                grown = len(reached) > before
            state.update(dict.fromkeys(reached, kind))

        def seen() -> Iterator[dict[str, Found]]:
            for alias, names in self.sources.items():
                if state.get(alias) == "unknown":
                    yield dict.fromkeys(names, "unknown")
                elif alias not in state:
                    yield names

        return _widest(seen())


def _parts(condition: exp.Expr) -> Iterator[exp.Expr]:
    plain = condition.unnest()
    if isinstance(plain, exp.And):
        for part in plain.flatten():
            yield from _parts(part)
    else:
        yield plain


def _nested(query: exp.Select) -> Iterator[exp.Select]:
    """The SELECTs in the expressions of a query, not those in FROM or WITH, and not theirs."""
    todo = [
        child
        for key, value in query.args.items()
        if key not in ("from_", "with_", "joins")
        for child in (value if isinstance(value, list) else [value])
        if isinstance(child, exp.Expr)
    ]
    todo += [j.args["on"] for j in query.args.get("joins") or () if j.args.get("on") is not None]
    while todo:
        node = todo.pop()
        if isinstance(node, exp.Select):
            yield node
        else:
            todo += list(node.iter_expressions())
