"""Subqueries: what ties them to the row, and whether they depend on who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from tenants.policy_sql.aggregates import chosen, collapses, presupposed
from tenants.policy_sql.blocks import APART, Block
from tenants.policy_sql.calls import carried
from tenants.policy_sql.scale import OWN, Class, Judgement, narrower
from tenants.policy_sql.trees import bare, label

if TYPE_CHECKING:
    from tenants.policy_sql.reader import Reader


# By which of the row's columns: of the query around where that is another subquery.
Tie = Literal["", "doubtful", "around", "column", "tenant"]
_TIES: tuple[Tie, ...] = ("", "doubtful", "around", "column", "tenant")
_rank = _TIES.index
_ALWAYS = Judgement("open", "an aggregate has a row, whatever its condition says")
_UNTIED = Judgement("switch", "a subquery has nothing to do with the row")
_APART = Judgement("switch", "what asks who calls is not joined with what is tied to the row")
# What has a value where what it asks for has none.
_ELSE = (exp.Coalesce, exp.Case, exp.If, exp.Count)
_NOT_READ = Judgement("unknown", "what an aggregate comes to is not followed")


def exists(reader: Reader, query: exp.Select) -> Judgement:
    """Judge `EXISTS (query)`."""
    known = reader.knowledge
    if not collapses(query, known):
        return Query.of(reader, query).verdict()
    having = query.args.get("having")
    if having is None:
        return _ALWAYS
    met = presupposed(having.this, known)
    return _NOT_READ if met is None else Query.of(reader, query, met).verdict()


def holds(reader: Reader, query: exp.Select) -> Judgement:
    """Judge a query whose value is the condition: `(SELECT value FROM ..)`.

    It is true where a row meets WHERE and the value is true of it; without a row it is NULL.
    """
    known = reader.knowledge
    if len(query.expressions) != 1:
        return Judgement("unknown", "a query with several values is not followed")
    value = query.expressions[0].unalias()
    if not collapses(query, known):
        return Query.of(reader, query, [value]).verdict()
    having = query.args.get("having")
    for condition in (value, *((having.this,) if having is not None else ())):
        met = presupposed(condition, known)
        if met is not None:
            return Query.of(reader, query, met).verdict()
    return _NOT_READ


def contains(reader: Reader, query: exp.Select, value: exp.Expr) -> Judgement:
    """Judge `value IN (query)`."""
    if len(query.expressions) != 1:
        return exists(reader, query)
    one = chosen(query, reader.knowledge)
    if one is None:
        return _NOT_READ
    equal = exp.EQ(this=carried(reader, value), expression=one.copy())
    return Query.of(reader, query, [equal]).verdict()


def told(reader: Reader, query: exp.Select) -> Iterator[Class]:
    """What the values of a query depend on: on who asks, where it is limited to the caller."""
    found = Query.of(reader, query)
    if found.verdict().kind == "unknown":
        yield "unknown"
        return
    for value in query.expressions:
        plain = found.block.named(value.unalias())
        of_value = found.reader.classes(plain)
        yield from of_value - {"inner"}
        if "inner" in of_value and plain.find(*_ELSE):
            yield "unknown"  # a value of its own where there is none of the caller's
        elif "inner" in of_value or not of_value:
            star = isinstance(plain, exp.Star)
            sources = frozenset(found.block.sources) if star else found.block.aliases(plain)
            yield "session" if found.limits(sources) else "loose"


@dataclass(frozen=True)
class Component:
    """Sources of a query that are linked with one another.

    `tied` is by which of the row's columns their rows are chosen, `limit` how they are limited
    otherwise; `of_tenant` that they are the caller's tenant's.
    """

    sources: frozenset[str]
    tied: Tie
    limit: Judgement
    of_tenant: bool

    def verdict(self) -> Judgement:
        """What the row is admitted for."""
        if self.limit.kind in ("closed", "bound", "unknown"):
            return self.limit
        limited = self.limit.at_most("keyed")
        if self.tied == "doubtful":
            return Judgement("unknown", "how a subquery is tied to the row is not followed")
        if not self.tied:
            return _UNTIED
        if limited and self.tied != "around" and (self.tied == "tenant" or self.of_tenant):
            return Judgement("bound", "the tenant is one of the caller's")
        if limited:
            return self.limit
        asks = Judgement("partial", "the subquery does not ask who calls")
        return replace(asks, kind="open") if self.tied == "tenant" else asks


@dataclass(frozen=True)
class Query:
    """A subquery, as a condition on the row around it: `of_row` is what it asks of that alone."""

    reader: Reader
    block: Block
    components: tuple[Component, ...]
    of_row: Judgement

    @classmethod
    def of(cls, reader: Reader, query: exp.Select, asked: Iterable[exp.Expr] = ()) -> Query:
        """Read a query, with further conditions on its rows."""
        block = Block.of(query, reader.knowledge, asked)
        names: dict[str, str | None] = dict(block.names())
        inside = replace(reader, inner={**reader.inner, **names}, depth=reader.depth + 1)
        components = tuple(_component(inside, block, found) for found in block.components())
        alone = (part for part in block.parts if not block.aliases(part))
        return cls(inside, block, components, narrower(inside.condition(p) for p in alone))

    def limits(self, sources: frozenset[str]) -> bool:
        """Whether the rows of these sources depend on who asks; of none, those of any."""
        if not sources:
            return any(component.limit.at_most("keyed") for component in self.components)
        return all(c.limit.at_most("keyed") for c in self.components if c.sources & sources)

    def verdict(self) -> Judgement:
        """What the row is admitted for: by every one of the components."""
        asking = [c for c in self.components if c.tied or c.limit.kind != "open"]
        found = narrower([*(component.verdict() for component in asking), self.of_row])
        if found.at_most("unknown"):
            return found
        tied = {a for c in asking if c.tied for a in c.sources}
        limited = {a for c in asking if c.limit.at_most("keyed") for a in c.sources}
        if any(link & tied and link & limited for link in self.block.doubtful):
            return Judgement("unknown", "what links the tables of a subquery is not followed")
        if tied and limited and found.kind == "switch":
            return _APART
        return found if asking or not self.components else _UNTIED


def _component(reader: Reader, block: Block, sources: frozenset[str]) -> Component:
    ties: list[Tie] = []
    limits: list[Judgement] = []
    of_tenant = False
    for part in block.parts:
        if not block.aliases(part) & sources:
            continue
        tie = _tie(reader, block, part)
        ties.append(tie)
        if tie in ("", "doubtful") and block.aliases(part) <= sources:
            limits.append(reader.condition(part))
        of_tenant = of_tenant or _scopes(reader, part)
    for alias in sources - block.missing:
        source = block.sources[alias]
        if _limited(reader, source):
            limits.append(Judgement("keyed", "what it reads is limited to the caller's"))
            of_tenant = of_tenant or label(source) in reader.knowledge.guarded
    return Component(sources, max(ties, key=_rank, default=""), narrower(limits), of_tenant)


def _tie(reader: Reader, block: Block, part: exp.Expr) -> Tie:
    """Whether a condition of a subquery chooses its rows by the row around."""
    around = _of_row(reader, block, part)
    if not around or isinstance(part, APART):
        return ""
    if not isinstance(part, exp.EQ):
        return "doubtful"
    for own, other in ((part.this, part.expression), (part.expression, part.this)):
        # `m.tenant_id = invoices.tenant_id`, or `ANY (m.tenants)`.
        column = reader.column(own.this if isinstance(own, exp.Any) else own)
        if column is not None and column.table in block.sources and not block.aliases(other):
            # Of something made of the tenant it is not known whether it is one's alone.
            return around if reader.column(other) is not None else min(around, "column", key=_rank)
    return "doubtful"


def _of_row(reader: Reader, block: Block, part: exp.Expr) -> Tie:
    """What of the row around a condition mentions, without its own subqueries' columns."""
    nested = {s.alias_or_name for s in part.find_all(exp.Table, exp.Subquery, exp.Lateral)}
    found: Tie = ""
    for column in part.find_all(exp.Column):
        if column.table in block.sources or column.table in nested:
            continue
        if nested and not column.table:
            continue
        place = reader.class_of(column)
        tie: Tie = place if place in ("column", "tenant") else "around" if place in OWN else ""
        found = max(found, tie, key=_rank)
    return found


def _scopes(reader: Reader, part: exp.Expr) -> bool:
    """Whether a condition of a subquery compares a tenant column of its own with the session."""
    if not isinstance(part, exp.EQ):
        return False
    for own, other in ((part.this, part.expression), (part.expression, part.this)):
        column = bare(own)
        if isinstance(column, exp.Column) and column.name in reader.row.tenant_columns:
            return reader.classes(own) == {"inner"} and reader.classes(other) == {"session"}
    return False


def _limited(reader: Reader, source: exp.Expr) -> bool:
    """Whether what stands in FROM is the caller's alone: guarded, asked for, or a function's."""
    inner = source.this.this if isinstance(source, exp.Lateral) else source.this
    if isinstance(source, exp.Subquery | exp.Lateral) and isinstance(inner, exp.Select):
        return set(told(reader, inner)) == {"session"}
    if isinstance(source, exp.Unnest):
        return "session" in reader.classes(source)
    if not isinstance(source, exp.Table) or source.this is None:
        return False
    if not isinstance(source.this, exp.Identifier):
        return "session" in reader.classes(source.this)
    return label(source) in reader.knowledge.guarded
