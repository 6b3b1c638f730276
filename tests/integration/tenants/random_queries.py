"""Random queries over the graph's models, as hypothesis draws them.

A query's columns are numbers, so that any query fits wherever one is asked for: in FROM, in a
set operation, after IN, as a scalar. What it tells is a bag of rows: where it is cut off by a
LIMIT it is ordered by all of its columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import strategies as st
from peewee import (
    JOIN,
    OP,
    Case,
    Cast,
    Context,
    Entity,
    Expression,
    Join,
    PostgresqlDatabase,
    Select,
    Table,
    Value,
    ValuesList,
    fn,
)

from tenants.models import database

from .graph import Article, Comment, Measure, Membership, Passport, Person, Remark, Team, Unit

Draw = Callable[..., Any]

#: A model's columns: numbers, texts, and keys that are worth comparing.
COLUMNS: dict[Any, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    Person: (("rank",), ("name", "unit"), ("id",)),
    Team: (("size",), ("name",), ("id", "parent_id")),
    Passport: ((), ("number",), ("holder_id",)),
    Membership: (("since",), (), ("person_id", "team_id")),
    Remark: ((), ("body", "subject_type"), ("subject_id",)),
    Article: (("words",), ("title",), ("id",)),
    Comment: ((), ("body",), ("article_id",)),
    Unit: (("factor",), ("code",), ("id",)),
    Measure: (("amount",), (), ("unit_id",)),
}
#: What may be deleted without breaking a reference, most often.
LEAVES = (Passport, Membership, Remark, Comment, Measure)


@dataclass(frozen=True)
class Source:
    """Something to read from: as it stands in FROM, and what can be said of its columns."""

    item: Any
    numbers: tuple[Any, ...]
    keys: tuple[Any, ...] = ()
    ctes: tuple[Any, ...] = ()


@dataclass
class Writer:
    """Draws queries; `names` makes each alias another."""

    draw: Draw
    names: Any = field(default_factory=lambda: count(1))

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def often(self, out_of: int = 2) -> bool:
        return bool(self.draw(st.integers(0, out_of - 1)) == 0)

    def name(self, kind: str) -> str:
        # Names of tables and columns, too: they must not be taken for those.
        return self.one_of("people", "tenant_id", "q") + f"_{kind}{next(self.names)}"

    # -- sources -----------------------------------------------------------------------

    def source(self, depth: int, outer: tuple[Source, ...] = ()) -> Source:
        kinds = ["model", "alias", "model", "alias", "table", "aliased table"]
        if depth > 0:
            kinds += ["query", "query", "union", "cte", "values", "writing cte", "recursive cte"]
        kind = self.one_of(*kinds)
        if kind in ("model", "alias", "table", "aliased table"):
            return self.table(kind)
        if kind == "values":
            rows = self.draw(st.lists(st.tuples(st.integers(0, 4)), min_size=1, max_size=3))
            values = ValuesList(rows, columns=["n"]).alias(self.name("v"))
            return Source(values, (values.c.n,))
        if kind in ("query", "union"):
            query = self.query(depth - 1, 2) if kind == "query" else self.union(depth - 1, 2)
            query = query.alias(self.name("s"))
            return Source(query, (query.c.c0, query.c.c1))
        if kind == "cte":
            materialized = self.one_of(None, True, False)
            cte = self.query(depth - 1, 2).cte(self.name("c"), materialized=materialized)
        elif kind == "recursive cte":
            cte = self.recursive(depth)
        else:
            cte = self.write(depth - 1).cte(self.name("w"), columns=("c0", "c1"))
        return Source(cte, (cte.c.c0, cte.c.c1), ctes=(cte,))

    def table(self, kind: str) -> Source:
        model = self.one_of(*COLUMNS)
        numbers, texts, keys = COLUMNS[model]
        item: Any = model
        if kind == "alias":
            item = model.alias(self.one_of(None, self.name("a")))
        elif kind != "model":
            item = Table(model._meta.table_name, schema="atlas")
            item = item.alias(self.name("t")) if kind == "aliased table" else item
        attributes = {f.column_name: f.name for f in model._meta.sorted_fields}

        def column(name: str) -> Any:
            if isinstance(item, Table):
                return getattr(item.c, name)
            return getattr(item, attributes[name])

        found = [column(n) for n in numbers] + [fn.length(column(n)) for n in texts]
        return Source(item, tuple(found), tuple(column(n) for n in keys))

    def recursive(self, depth: int) -> Any:
        first = self.query(max(depth - 1, 0), 2)
        base = first.cte(self.name("r"), recursive=True, columns=("c0", "c1"))
        other = self.table("alias")
        step = Select(
            [Join(other.item, base, on=(other.numbers[0] == base.c.c0))],
            [Cast(base.c.c0 + 1, "integer"), other.numbers[-1]],
        ).where(base.c.c0 < 3)
        return base.union(step)

    # -- expressions -------------------------------------------------------------------

    def number(self, sources: tuple[Source, ...], depth: int) -> Any:
        kind = self.one_of("column", "column", "column", "value", "sum", "case", "scalar")
        column = self.one_of(*(n for s in sources for n in s.numbers))
        if kind == "value":
            return Value(self.draw(st.integers(0, 4)))
        if kind == "sum":
            return column + self.draw(st.integers(1, 2))
        if kind == "case":
            when = (self.condition(sources, depth), column)
            return Case(None, (when,), Value(self.draw(st.integers(0, 3))))
        if kind == "scalar" and depth > 0:
            source = self.source(0)
            query = Select([source.item], [self.one_of(fn.max, fn.min)(source.numbers[0])])
            if self.often():
                query = query.where(self.comparison((source,), sources))
            return fn.coalesce(query, 0) if self.often() else query
        return column

    def comparison(self, left: tuple[Source, ...], right: tuple[Source, ...]) -> Any:
        mine = [k for s in left for k in s.keys]
        theirs = [k for s in right for k in s.keys]
        if mine and theirs and self.often():
            return self.one_of(*mine) == self.one_of(*theirs)
        a = self.one_of(*(n for s in left for n in s.numbers))
        b = self.one_of(*(n for s in right for n in s.numbers))
        return self.one_of(a == b, a == b, a < b, a >= b, a != b)

    def condition(self, sources: tuple[Source, ...], depth: int) -> Any:
        kinds = ["compare", "value", "value", "null"]
        if depth > 0:
            kinds += ["in", "not in", "exists", "not exists", "any", "all", "and", "or", "not"]
            kinds += ["flat or"]
        kind = self.one_of(*kinds)
        column = self.one_of(*(n for s in sources for n in s.numbers))
        if kind == "compare":
            return self.comparison(sources, sources)
        if kind == "value":
            return column >= self.draw(st.integers(0, 8))
        if kind == "null":
            return column.is_null(self.often())
        if kind in ("and", "or", "not", "flat or"):
            a, b = (self.condition(sources, depth - 1) for _ in range(2))
            flat = Expression(a, OP.OR, b, flat=True)
            return {"and": a & b, "or": a | b, "not": ~a, "flat or": flat}[kind]
        if kind in ("exists", "not exists"):
            inner = self.source(depth - 1)
            query = Select([inner.item], [Value(1)]).where(self.comparison((inner,), sources))
            found = fn.EXISTS(query.with_cte(*inner.ctes) if inner.ctes else query)
            return found if kind == "exists" else ~found
        query = self.query(depth - 1, 1)
        if kind in ("any", "all"):
            return column >= (fn.ANY if kind == "any" else fn.ALL)(query)
        return column.in_(query) if kind == "in" else column.not_in(query)

    # -- queries -----------------------------------------------------------------------

    def joined(self, depth: int) -> tuple[Any, tuple[Source, ...]]:
        sources = [self.source(depth)]
        item = sources[0].item
        for _ in range(self.draw(st.integers(0, 2))):
            if self.often(5):
                other = self.lateral(tuple(sources))
                join, on = self.one_of(JOIN.LATERAL, JOIN.LEFT_LATERAL), Value(True)
            else:
                other = self.source(depth)
                if any(s.item is other.item for s in sources):
                    other = self.table("alias")
                join = self.one_of(
                    JOIN.INNER, JOIN.LEFT_OUTER, JOIN.RIGHT_OUTER, JOIN.FULL_OUTER, JOIN.CROSS
                )
                # FULL JOIN takes an equality only.
                on = self.comparison((other,), tuple(sources))
                if join == JOIN.FULL_OUTER:
                    on = other.numbers[0] == sources[0].numbers[0]
                elif self.often(3):
                    on = on & self.condition((other, *sources), depth)
            item = Join(item, other.item, join, None if join == JOIN.CROSS else on)
            sources.append(other)
        return item, tuple(sources)

    def lateral(self, outer: tuple[Source, ...]) -> Source:
        inner = self.table("alias")
        query = Select([inner.item], [n.alias(f"c{i}") for i, n in enumerate(inner.numbers)])
        query = query.where(self.comparison((inner,), outer)).alias(self.name("l"))
        return Source(query, tuple(getattr(query.c, f"c{i}") for i in range(len(inner.numbers))))

    def query(self, depth: int, width: int) -> Any:
        item, sources = self.joined(depth)
        ctes = [cte for s in sources for cte in s.ctes]
        how = self.one_of("plain", "plain", "distinct", "group", "aggregate", "window")
        numbers = [self.number(sources, depth) for _ in range(width)]
        if how == "group":
            by = self.one_of(*(n for s in sources for n in s.numbers))
            numbers = [by, fn.count(numbers[-1])][-width:]
        elif how == "aggregate":
            numbers = [fn.count(numbers[0]), fn.max(numbers[-1])][:width]
        elif how == "window":
            over = self.one_of(*(n for s in sources for n in s.numbers))
            numbers[-1] = fn.count(Value(1)).over(partition_by=[over])
        columns = [n.alias(f"c{i}") for i, n in enumerate(numbers)]
        query = self.select(item, columns)
        if self.often():
            query = query.where(self.condition(sources, depth))
        if self.often(5):
            query = query.orwhere(self.condition(sources, depth))
        if how == "group":
            query = query.group_by(by)
            if self.often():
                query = query.having(fn.count(Value(1)) > 1)
        if how == "distinct":
            query = query.distinct()
        if self.often(4):
            query = query.order_by(*(Entity(f"c{i}") for i in range(len(columns))))
            query = query.limit(self.draw(st.integers(1, 5)))
        return query.with_cte(*ctes) if ctes else query

    def select(self, item: Any, columns: list[Any]) -> Any:
        if isinstance(item, type) and self.often():
            return item.select(*columns)
        if isinstance(item, Table) and item._alias is None and self.often(3):
            # The same table by its bare name.
            return item.select(*columns)
        return Select([item], columns)

    def union(self, depth: int, width: int) -> Any:
        left, right = self.query(depth, width), self.query(depth, width)
        how = self.one_of("union", "union_all", "intersect", "except_")
        return getattr(left, how)(right)

    # -- writes ------------------------------------------------------------------------

    def write(self, depth: int) -> Any:
        """A write that returns two numbers."""
        kind = self.one_of("update", "update from", "delete", "upsert", "insert from")
        if kind in ("upsert", "insert from"):
            return self.insert(kind, depth)
        model = self.one_of(*LEAVES) if kind == "delete" else self.one_of(Person, Team, Membership)
        numbers, texts, keys = COLUMNS[model]
        fields = {f.column_name: f for f in model._meta.sorted_fields}
        target = Source(
            model,
            tuple(fields[n] for n in numbers) + tuple(fn.length(fields[n]) for n in texts),
            tuple(fields[n] for n in keys),
        )
        if kind == "delete":
            query = model.delete()
        elif kind == "update":
            query = model.update({fields[numbers[0]]: self.number((target,), depth)})
        else:
            # One row to each, or it would be chance which one is taken.
            source = self.source(0)
            highest = Select([source.item], [fn.max(source.numbers[0]).alias("top")])
            highest = highest.alias(self.name("f"))
            query = model.update({fields[numbers[0]]: fn.coalesce(highest.c.top, 0)}).from_(highest)
        condition = self.condition((target,), depth)
        if self.often(3):
            # Without parentheses of its own: whatever is put beside it must not become a part.
            condition = Expression(condition, OP.OR, self.condition((target,), 0), flat=True)
        query = query.where(condition)
        if self.often(5):
            query = query.orwhere(self.condition((target,), depth))
        shown = [target.numbers[0].alias("c0"), target.numbers[-1].alias("c1")]
        return query.returning(*shown)

    def insert(self, kind: str, depth: int) -> Any:
        if kind == "insert from":
            query = self.query(depth, 2).alias(self.name("i"))
            rows = Select(
                [query], [Cast(query.c.c0, "text").concat("!"), fn.max(fn.coalesce(query.c.c1, 0))]
            ).group_by(query.c.c0)
            write = Team.insert_from(rows.where(query.c.c0.is_null(False)), [Team.name, Team.size])
            if self.often():
                write = write.on_conflict_ignore()
            return write.returning(Team.size.alias("c0"), fn.length(Team.name).alias("c1"))
        start = self.draw(st.integers(0, 9))
        write = Person.insert_many(
            [{"name": f"name {start + n}", "rank": n} for n in range(self.draw(st.integers(1, 4)))]
        )
        person = Source(Person, (Person.rank, fn.length(Person.name)), (Person.id,))
        if self.often(3):
            write = write.on_conflict_ignore()
        else:
            write = write.on_conflict(
                conflict_target=[Person.name],
                update={Person.rank: self.number((person,), depth)},
                where=self.condition((person,), depth),
            )
        return write.returning(Person.rank.alias("c0"), fn.length(Person.name).alias("c1"))


@dataclass(frozen=True)
class Drawn:
    """A query, which is shown as the SQL that plain peewee makes of it."""

    query: Any

    def __repr__(self) -> str:
        text, values = Context(**OPTIONS).sql(self.query).query()
        return f"{text[:4000]} {values[:100]}"

    def ask(self) -> Any:
        """Run it on the database that is bound."""
        return sorted(self.query.clone().bind(database.obj).tuples().execute(), key=repr)


OPTIONS = PostgresqlDatabase(None).get_context_options()


@st.composite
def reads(draw: Draw) -> Drawn:
    """A query that reads; one of its parts may write."""
    writer = Writer(draw)
    depth = draw(st.integers(0, 2))
    if draw(st.integers(0, 4)) == 0:
        return Drawn(writer.union(depth, 2))
    return Drawn(writer.query(depth, draw(st.integers(1, 3)) if depth == 0 else 2))


@st.composite
def writes(draw: Draw) -> Drawn:
    """An UPDATE, DELETE or INSERT that returns rows."""
    return Drawn(Writer(draw).write(draw(st.integers(0, 2))))
