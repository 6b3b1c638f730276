"""Subqueries: what ties them to the row, and whether they depend on who asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from tenants.policy_sql.calls import carried
from tenants.policy_sql.scale import Judgement, narrower
from tenants.policy_sql.trees import bare, joined, label

if TYPE_CHECKING:
    from tenants.policy_sql.reader import Reader


Tie = Literal["", "column", "tenant"]


@dataclass(frozen=True)
class Query:
    """A subquery, as a condition on the row around it.

    `tied` is by which of the row's columns its rows are chosen, `limit` how they are limited
    otherwise; `of_tenant` that they are the caller's tenant's. `sourceless`: without FROM.
    """

    tied: Tie
    limit: Judgement
    of_tenant: bool
    sourceless: bool

    @classmethod
    def of(cls, reader: Reader, query: exp.Select, value: exp.Expr | None) -> Query:
        """Read `EXISTS (query)`, or with a value `value IN (query)`."""
        sources, parts = joined(query)
        names = {source.alias_or_name: label(source) for source in sources}
        inside = replace(reader, inner={**reader.inner, **names}, depth=reader.depth + 1)
        if value is not None and len(query.expressions) == 1:
            one = query.expressions[0].unalias().copy()
            parts.append(exp.EQ(this=carried(reader, value), expression=one))
        ties = [_tie(inside, part) for part in parts]
        limit = narrower(
            inside.condition(part) for part, tie in zip(parts, ties, strict=True) if not tie
        )
        of_tenant = any(_scopes(inside, part) for part in parts)
        if not limit.at_most("keyed") and any(_limited(reader, source) for source in sources):
            limit = Judgement("keyed", "what it reads is limited to the caller's")
            of_tenant = of_tenant or any(label(s) in reader.knowledge.guarded for s in sources)
        return cls(max(ties, key=_TIES.index, default=""), limit, of_tenant, not sources)

    def limited(self) -> bool:
        """Whether its rows depend on who asks."""
        return self.limit.at_most("keyed")

    def verdict(self) -> Judgement:
        """What the row is admitted for."""
        if self.sourceless or self.limit.kind in ("closed", "bound", "unknown"):
            return self.limit
        if not self.tied:
            return Judgement("switch", "a subquery has nothing to do with the row")
        if self.limited():
            tenant = Judgement("bound", "the tenant is one of the caller's")
            return tenant if self.tied == "tenant" or self.of_tenant else self.limit
        return Judgement(
            "open" if self.tied == "tenant" else "partial", "the subquery does not ask who calls"
        )


_TIES: tuple[Tie, ...] = ("", "column", "tenant")


def _tie(reader: Reader, part: exp.Expr) -> Tie:
    """Whether a condition of a subquery chooses its rows by the row around."""
    if not isinstance(part, exp.EQ):
        return ""
    found = {reader.classes(part.this), reader.classes(part.expression)}
    if found == {frozenset({"inner"}), frozenset({"tenant"})}:
        return "tenant"
    return "column" if found == {frozenset({"inner"}), frozenset({"column"})} else ""


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
    if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Select):
        return Query.of(reader, source.this, None).limited()
    if not isinstance(source, exp.Table):
        return False
    if not isinstance(source.this, exp.Identifier):
        return "session" in reader.classes(source.this)
    return label(source) in reader.knowledge.guarded
