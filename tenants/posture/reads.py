"""What a query reads beyond the rows of whoever asks: where no policy binds, its own WHERE must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp, parse, parse_one
from sqlglot.errors import SqlglotError

from tenants.policy_sql import Knowledge, Row
from tenants.policy_sql.blocks import Block
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


def is_limited(text: str, tenant_columns: frozenset[str], knowledge: Knowledge) -> bool:
    """Whether every row of a query is the caller's: all of what stands in FROM is limited."""
    try:
        tree = parse_one(text, dialect="postgres")
    except (SqlglotError, RecursionError):
        return False
    return _all_limited(Reader(Row(tenant_columns), knowledge), tree)


def _all_limited(reader: Reader, query: exp.Expr) -> bool:
    if isinstance(query, exp.SetOperation):
        return all(_all_limited(reader, side) for side in (query.left, query.right))
    if not isinstance(query, exp.Select) or query.args.get("with_"):
        return False
    block = Block.of(query, reader.knowledge)
    states = _Reading(reader, {}).states(block)
    return bool(block.sources) and all(states.get(a) == "limited" for a in block.sources)


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
    return _Reading(reader, named).of(query)


@dataclass
class _Reading:
    """A SELECT with the subqueries in its expressions.

    `around` is what is known of the sources of the queries around it: "limited", "unknown".
    """

    reader: Reader
    named: dict[str, dict[str, Found]]
    around: dict[str, str] = field(default_factory=dict)

    def of(self, query: exp.Select) -> dict[str, Found]:
        """What is read of the sources that no condition reaches, by way of equal columns."""
        block = Block.of(query, self.reader.knowledge)
        return _widest(self._all(query, block, self.states(block)))

    def states(self, block: Block) -> dict[str, str]:
        """Of which sources, and of those around, the rows are limited to the caller's."""
        own = set(block.sources)
        state = {alias: kind for alias, kind in self.around.items() if alias not in own}
        for component in block.components():
            found = self._limit(block, component)
            if found:
                state.update(dict.fromkeys(component, found))
        # Of the right side of a LEFT JOIN those rows are shown that match.
        for added, link in block.outer:
            if added not in state and "limited" in {state.get(a) for a in link - {added}}:
                state[added] = "limited"
        for added, part in block.added:
            if added in state or block.aliases(part) != {added}:
                continue
            if self.reader.condition(part).at_most("keyed"):
                state[added] = "limited"
        return state

    def _limit(self, block: Block, component: frozenset[str]) -> str:
        """Whether what is asked of linked sources limits them to the caller's rows."""
        guarded = self.reader.knowledge.guarded
        found = ""
        if any(label(block.sources[alias]) in guarded for alias in component - block.missing):
            found = "limited"
        for part in block.parts:
            aliases = block.aliases(part)
            if not aliases & component:
                continue
            beyond = self._linked_around(block, part) if aliases <= component else ""
            judged = self.reader.condition(part)
            if "limited" in (beyond, found) or judged.at_most("keyed"):
                found = "limited"
            elif beyond or judged.kind == "unknown":
                found = "unknown"
        return found

    def _linked_around(self, block: Block, part: exp.Expr) -> str:
        """What is known of the source around that a condition equals a column to."""
        if not isinstance(part, exp.EQ):
            return ""
        others = {c.table for c in part.find_all(exp.Column)} - set(block.sources)
        return next((self.around[other] for other in others if other in self.around), "")

    def _all(
        self, query: exp.Select, block: Block, state: dict[str, str]
    ) -> Iterator[dict[str, Found]]:
        for alias, source in block.sources.items():
            names = self._of_source(source, state)
            if state.get(alias) == "unknown":
                yield dict.fromkeys(names, "unknown")
            elif alias not in state:
                yield names
        for nested in _nested(query, block):
            yield _Reading(self.reader, self.named, state).of(nested)

    def _of_source(self, source: exp.Expr, state: dict[str, str]) -> dict[str, Found]:
        if isinstance(source, exp.Subquery | exp.Lateral):
            return _of_query(self.reader, source.this, self.named)
        name = label(source)
        return self.named.get(name, {name: "open"}) if name else {}


def _nested(query: exp.Select, block: Block) -> Iterator[exp.Select]:
    """The SELECTs in the expressions of a query: not those in FROM or WITH, nor what WHERE
    demands, which the block has taken in.
    """
    todo: list[exp.Expr] = [
        child
        for key, value in query.args.items()
        if key not in ("from_", "with_", "joins", "where")
        for child in (value if isinstance(value, list) else [value])
        if isinstance(child, exp.Expr)
    ]
    todo += block.parts
    todo += [j.args["on"] for j in query.args.get("joins") or () if j.args.get("side")]
    while todo:
        node = todo.pop()
        if isinstance(node, exp.Select):
            yield node
        elif node is not None:
            todo += list(node.iter_expressions())
