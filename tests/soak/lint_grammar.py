"""Statements over the schema of the case table, grown from a grammar by a seeded generator.

Most of a statement keeps the discipline a careful author would: every table is tied to one
tenant, here or further out. A part of the statements is sloppy somewhere: what a near miss
looks like is what the prover must get right. Rows a LIMIT or DISTINCT ON chooses are ordered
by every output column, and windows and aggregates do not depend on the order of ties, so that
a statement has one answer.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

# Integer columns; `org` (`id` of orgs) is the tenant. items is its parent's, of which it tells.
TABLES: dict[str, tuple[str, ...]] = {
    "t": ("org", "id", "sid", "pid", "x"),
    "s": ("org", "id", "x"),
    "g": ("id", "org", "x"),
    "gt": ("org", "id", "gid"),
    "n": ("org", "id", "x"),
    "items": ("id", "gid"),
    "orgs": ("id",),
    "c": ("org", "id", "x"),
}
_WEIGHTS = {"t": 6, "s": 5, "g": 3, "gt": 3, "n": 4, "items": 2, "orgs": 1, "c": 1}
_KEYS = {"t": ("org, id",), "s": ("org, id",), "g": ("id", "org, id"), "gt": ("org, id",),
         "c": ("org, id",)}  # fmt: skip
SOURCE = "tenure.current_tenant()"


@dataclass(frozen=True)
class Source:
    """An item of FROM: its name, its integer columns, the one that is the tenant."""

    alias: str
    columns: tuple[str, ...]
    tenant: str | None
    table: str | None = None
    bound: bool = False

    @property
    def org(self) -> str | None:
        return f"{self.alias}.{self.tenant}" if self.tenant else None


@dataclass(frozen=True)
class Query:
    sql: str
    columns: tuple[str, ...]
    tenant: str | None
    bound: bool


class Grammar:
    """Grows one statement per object."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sloppy = rng.choice((0.0, 0.08, 0.2, 0.4, 0.6, 0.8))
        self.value = rng.choice(("1", "1", "1", SOURCE))
        self.numbers = itertools.count(1)
        self.tables: list[Source] = []  # WITH queries that may be read

    # -- choices -----------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def slips(self) -> bool:
        return self.rng.random() < self.sloppy

    def name(self) -> str:
        return f"a{next(self.numbers)}"

    def column(self, sources: Sequence[Source]) -> str:
        source = self.rng.choice(sources)
        return f"{source.alias}.{self.rng.choice(source.columns)}"

    def literal(self) -> str:
        return str(self.rng.choice((1, 1, 2, 2, 3, 4)))

    # -- statements --------------------------------------------------------------------------

    def statement(self) -> str:
        prefix = self.with_clause() if self.chance(0.3) else ""
        if self.chance(0.72):
            return prefix + self.query(0, ()).sql
        kind = self.rng.choice((self.insert, self.update, self.delete, self.merge))
        return prefix + kind(returning=self.chance(0.5))[0]

    def with_clause(self, *, inner: bool = False) -> str:
        parts = []
        recursive = self.chance(0.2)
        for _ in range(self.rng.choice((1, 1, 2))):
            name = self.name()
            if recursive and not parts:
                query = self.recursion(name)
            elif not inner and not parts and self.chance(0.2):
                kind = self.rng.choice((self.insert, self.update, self.delete))
                sql, columns, tenant = kind(returning=True)
                query = Query(sql, columns, tenant, True)
            else:
                query = self.query(1, (), defer=self.chance(0.5))
            hint = self.rng.choice(("", "", "", "MATERIALIZED ", "NOT MATERIALIZED "))
            columns = query.columns
            listed = ""
            if self.chance(0.15):
                listed = f"({', '.join(columns)})"
            parts.append(f"{name}{listed} AS {hint}({query.sql})")
            self.tables.append(Source(name, columns, query.tenant, None, query.bound))
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    def recursion(self, name: str) -> Query:
        a, b, r = self.name(), self.name(), self.name()
        table = self.rng.choice(("t", "t", "t", "s", "gt"))
        low = {"t": "pid", "s": "x", "gt": "gid"}[table]
        bound = self.chance(0.5)
        base = f"SELECT {a}.org, {a}.id FROM {table} {a}"
        source = Source(a, TABLES[table], "org")
        where = [self.anchor([source], ())] if bound and not self.slips() else []
        if self.chance(0.5):
            where.append(self.condition([source], (), 1))
        base += f" WHERE {' AND '.join(where)}" if where else ""
        link = [f"{b}.{low} = {r}.id"]
        if not self.slips():
            link.append(f"{b}.org = {r}.org")
        if self.chance(0.3):
            link.append(self.condition([Source(b, TABLES[table], "org")], (), 2))
        tenant = self.rng.choice((f"{b}.org", f"{r}.org"))
        output = f"{tenant}, {b}.id"
        if self.slips():
            output = self.rng.choice((f"{b}.id, {b}.org", f"{r}.id, {b}.org", f"{b}.{low}, {b}.id"))
        join = self.rng.choice((f"{table} {b} JOIN {name} {r}", f"{name} {r} JOIN {table} {b}"))
        step = f"SELECT {output} FROM {join} ON {' AND '.join(link)}"
        return Query(f"{base} UNION {step}", ("org", "id"), "org", bound)

    # -- queries -----------------------------------------------------------------------------

    def query(
        self,
        depth: int,
        outer: Sequence[Source],
        *,
        width: int | None = None,
        defer: bool = False,
        tenant_first: bool = False,
    ) -> Query:
        """`defer`: whoever reads it restricts the tenant, so it puts the tenant out."""
        if depth < 2 and self.chance(0.17):
            return self.combined(depth, outer, width=width, defer=defer)
        if 0 < depth < 3 and self.chance(0.05):
            known = list(self.tables)
            prefix = self.with_clause(inner=True)
            body = self.block(depth, outer, width=width, defer=defer, tenant_first=tenant_first)
            self.tables = known
            return Query(prefix + body.sql, body.columns, body.tenant, body.bound)
        return self.block(depth, outer, width=width, defer=defer, tenant_first=tenant_first)

    def combined(
        self, depth: int, outer: Sequence[Source], *, width: int | None, defer: bool
    ) -> Query:
        width = width or self.rng.choice((1, 2, 2, 3))
        first = not self.slips()
        arms = [
            self.block(depth + 1, outer, width=width, defer=defer, tenant_first=first)
            for _ in range(self.rng.choice((2, 2, 3)))
        ]
        sql = f"({arms[0].sql})"
        for arm in arms[1:]:
            kind = self.rng.choice(
                ("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
            )
            sql += f" {kind} ({arm.sql})"
        if self.chance(0.1) and (not defer or self.slips()):
            sql += f" ORDER BY {self.positions(width)} LIMIT {self.literal()}"
        return Query(sql, arms[0].columns, arms[0].tenant, all(a.bound for a in arms))

    def positions(self, width: int) -> str:
        """ORDER BY everything; downwards as well, or the first tenant would always win."""
        return ", ".join(f"{index + 1}{self.rng.choice(('', ' DESC'))}" for index in range(width))

    def block(
        self,
        depth: int,
        outer: Sequence[Source],
        *,
        width: int | None = None,
        defer: bool = False,
        tenant_first: bool = False,
    ) -> Query:
        text, sources, roots = self.from_clause(depth, outer)
        where = [] if defer else [self.anchor([root], outer) for root in roots if not self.slips()]
        if self.chance(0.45):
            where.append(self.condition(sources, outer, depth))
        self.rng.shuffle(where)
        width = width or self.rng.choice((1, 2, 3))
        tenants = [source.org for source in sources if source.org]
        tenant = self.rng.choice(tenants) if tenants else None
        shows = tenant is not None and (defer or tenant_first or self.chance(0.6))
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        if self.chance(0.16):
            return self.grouped(
                f"{text}{filtered}", sources, outer, tenant if shows else None, width, depth,
                defer=defer,
            )  # fmt: skip
        items: list[str] = []
        if shows and tenant and not self.slips():
            items.append(tenant)
        while len(items) < width:
            if self.chance(0.08) and tenant:
                items.append(self.window(sources, None if self.slips() else tenant))
            else:
                items.append(self.expression(sources, outer, depth))
        if defer and len(items) > 1 and self.chance(0.12):
            items[-1] = self.window(sources, tenant if self.chance(0.5) else None)
        order = list(range(len(items)))
        if self.slips():
            self.rng.shuffle(order)
        items = [items[index] for index in order]
        names = ["org" if item == tenant and shows else f"c{i}" for i, item in enumerate(items)]
        if len(set(names)) < len(names):
            names = [f"c{i}" for i in range(len(items))]
        own = names[items.index(tenant)] if tenant in items else None
        if self.slips() and len(names) > 1:
            names[-1], names[0] = names[0], names[-1]
        shown = ", ".join(f"{item} AS {name}" for item, name in zip(items, names, strict=True))
        distinct, tail = "", ""
        if self.chance(0.08):
            distinct = "DISTINCT "
        elif self.chance(0.16 if defer else 0.07) and tenant:
            keys = [] if self.slips() or (defer and self.chance(0.4)) else [tenant]
            keys += [self.column(sources)] if not keys or self.chance(0.6) else []
            distinct = f"DISTINCT ON ({', '.join(keys)}) "
            tail = f" ORDER BY {', '.join(keys)}, {self.positions(width)}"
        if (not defer or self.slips() or self.chance(0.4)) and self.chance(0.12):
            tail = tail or f" ORDER BY {self.positions(width)}"
            tail += f" LIMIT {self.literal()}"
            tail += " OFFSET 1" if self.chance(0.2) else ""
        sql = f"SELECT {distinct}{shown}{text}{filtered}{tail}"
        return Query(sql, tuple(names), own, not defer)

    def grouped(
        self,
        body: str,
        sources: Sequence[Source],
        outer: Sequence[Source],
        tenant: str | None,
        width: int,
        depth: int,
        *,
        defer: bool,
    ) -> Query:
        keys = [tenant] if tenant and not self.slips() else []
        if self.chance(0.6):
            keys.append(self.column(sources))
        keys = list(dict.fromkeys(keys))
        items = list(keys[:width])
        own = 0 if tenant in items else None
        while len(items) < width:
            items.append(self.aggregate(sources))
        names = [f"c{i}" for i in range(len(items))]
        if own is not None:
            names[0] = "org"
        group = ""
        if keys:
            shape = self.rng.choice(("plain", "plain", "plain", "rollup", "cube", "sets"))
            listed = ", ".join(keys)
            group = {
                "plain": f" GROUP BY {listed}",
                "rollup": f" GROUP BY ROLLUP ({listed})",
                "cube": f" GROUP BY CUBE ({listed})",
                "sets": f" GROUP BY GROUPING SETS ({', '.join(f'({key})' for key in keys)})",
            }[shape]
        having = []
        if keys and tenant in keys and self.chance(0.4):
            having.append(self.equals_value(tenant, [], ()))
        if self.chance(0.3):
            having.append(f"{self.aggregate(sources)} {self.operator()} {self.literal()}")
        tail = f" HAVING {' AND '.join(having)}" if having else ""
        shown = ", ".join(f"{item} AS {name}" for item, name in zip(items, names, strict=True))
        return Query(
            f"SELECT {shown}{body}{group}{tail}",
            tuple(names),
            names[own] if own is not None else None,
            not defer,
        )

    def aggregate(self, sources: Sequence[Source]) -> str:
        column = self.column(sources)
        call = self.rng.choice(
            ("count(*)", f"max({column})", f"min({column})", f"sum({column})", f"count({column})",
             f"count(DISTINCT {column})")
        )  # fmt: skip
        if self.chance(0.15):
            call += f" FILTER (WHERE {self.comparison(sources, ())})"
        return call

    def window(self, sources: Sequence[Source], tenant: str | None) -> str:
        column = self.column(sources)
        call = self.rng.choice(
            ("rank()", "dense_rank()", "count(*)", f"sum({column})", f"max({column})")
        )
        keys = [tenant] if tenant else []
        keys += [self.column(sources)] if self.chance(0.3) else []
        partition = f"PARTITION BY {', '.join(keys)} " if keys else ""
        return f"{call} OVER ({partition}ORDER BY {self.column(sources)})"

    # -- FROM --------------------------------------------------------------------------------

    def source(
        self, depth: int, outer: Sequence[Source], left: Sequence[Source]
    ) -> tuple[str, Source]:
        alias = self.name()
        roll = self.rng.random()
        if self.tables and roll < 0.3:
            table = self.rng.choice(self.tables)
            found = Source(alias, table.columns, table.tenant, None, table.bound)
            return f"{table.alias} {alias}", found
        if depth < 2 and roll > 0.8:
            lateral = bool(left) and self.chance(0.4)
            seen = (*outer, *left) if lateral else outer
            defer = self.chance(0.5)
            query = self.query(depth + 1, seen, defer=defer)
            columns, tenant = query.columns, query.tenant
            listed = ""
            if self.chance(0.15):
                fresh = tuple(f"k{i}" for i in range(len(columns)))
                tenant = fresh[columns.index(tenant)] if tenant in columns else None
                columns, listed = fresh, f"({', '.join(fresh)})"
            word = "LATERAL " if lateral else ""
            return (
                f"{word}({query.sql}) {alias}{listed}",
                Source(alias, columns, tenant, None, query.bound),
            )
        if 0.78 < roll <= 0.8 and left:
            if self.chance(0.5):
                rows = f"({self.value}, {self.literal()})"
                if self.chance(0.3):
                    rows += f", ({self.value}, {self.literal()})"
                if self.slips():
                    rows += f", (2, {self.literal()})"
                found = Source(alias, ("org", "id"), "org", None, True)
                return f"(VALUES {rows}) {alias}(org, id)", found
            column = self.column(left)
            return (
                f"generate_series(1, {self.rng.choice(('2', column))}) {alias}(i)",
                Source(alias, ("i",), None, None, True),
            )
        table = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        tenant = {"orgs": "id", "items": None}.get(table, "org")
        return f"{table} {alias}", Source(alias, TABLES[table], tenant, table)

    def from_clause(
        self, depth: int, outer: Sequence[Source]
    ) -> tuple[str, list[Source], list[Source]]:
        """The text, the sources, and those whose tenant WHERE has to restrict."""
        text, first = self.source(depth, outer, ())
        sources, roots = [first], [first]
        if first.tenant is None and first.table == "items" and not self.slips():
            parent = Source(self.name(), TABLES["g"], "org", "g")
            text += f" JOIN g {parent.alias} ON {parent.alias}.id = {first.alias}.gid"
            sources.append(parent)
            roots = [parent]
        count = self.rng.choice((0, 0, 1, 1, 1, 2, 2) if depth == 0 else (0, 0, 0, 1, 1))
        for number in range(count):
            last = number + 1 == count
            text, roots = self.joined(text, sources, roots, depth, outer, last=last)
        roots = [root for root in roots if root.tenant and not (root.bound and self.chance(0.7))]
        return f" FROM {text}", sources, roots

    def joined(
        self,
        text: str,
        sources: list[Source],
        roots: list[Source],
        depth: int,
        outer: Sequence[Source],
        *,
        last: bool,
    ) -> tuple[str, list[Source]]:
        right_text, right = self.source(depth, outer, sources)
        left = self.rng.choice([s for s in sources if s.tenant] or sources)
        kind = self.rng.choice(
            ("JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN",
             "FULL JOIN", ",", "CROSS JOIN", "USING", "FULL USING", "NATURAL")
        )  # fmt: skip
        if not last and kind in (",", "FULL USING"):  # what follows would not see it, or twice
            kind = "JOIN"
        if right_text.startswith(("LATERAL", "generate")) and kind.startswith(("RIGHT", "FULL")):
            kind = "LEFT JOIN"
        plain = len(sources) == 1 and left.table and right.table
        if kind in ("USING", "FULL USING", "NATURAL"):
            shared = [c for c in left.columns if c in right.columns]
            if not plain or "org" not in shared or left.tenant != "org":
                kind = "JOIN"
            else:
                sources.append(right)
                if kind == "NATURAL":
                    word = self.rng.choice(("NATURAL JOIN", "NATURAL LEFT JOIN"))
                    return f"{text} {word} {right_text}", roots
                using = ["org"] if not self.slips() else []
                using += ["id"] if "id" in shared and (not using or self.chance(0.5)) else []
                word = "FULL JOIN" if kind == "FULL USING" else self.rng.choice(
                    ("JOIN", "LEFT JOIN", "RIGHT JOIN"))  # fmt: skip
                if word == "FULL JOIN":
                    roots = [Source("", ("org",), "org")] if using else [*roots, right]
                elif word == "RIGHT JOIN":
                    roots = [right]
                return f"{text} {word} {right_text} USING ({', '.join(using or ['id'])})", roots
        parts = []
        linked = bool(left.org and right.org) and not self.slips()
        if linked:
            parts.append(self.link(left, right))
        if right.table == "items" and not self.slips():
            parent = next((s for s in sources if s.table == "g"), None)
            if parent is None:
                parent = Source(self.name(), TABLES["g"], "org", "g")
                text += f" JOIN g {parent.alias} ON " + (
                    self.link(left, parent) if left.org else "true"
                )
                sources.append(parent)
                if not left.org:
                    roots = [*roots, parent]
            parts.append(f"{right.alias}.gid = {parent.alias}.id")
        if self.chance(0.6):
            parts.append(f"{left.alias}.{self.rng.choice(left.columns)} = "
                         f"{right.alias}.{self.rng.choice(right.columns)}")  # fmt: skip
        if self.chance(0.2):
            parts.append(self.condition([left, right], outer, depth + 1))
        if self.chance(0.2):
            side = self.rng.choice((left, right))
            parts.append(self.anchor([side], outer))
            # Enough in an inner join; ON does not restrict a side that is preserved.
            if self.chance(0.6):
                roots = [root for root in roots if root != side]
        self.rng.shuffle(parts)
        sources.append(right)
        if kind in (",", "CROSS JOIN"):
            extra = [] if right.tenant is None else [right]
            return f"{text}{kind if kind == ',' else ' CROSS JOIN'} {right_text}", roots + extra
        on = " AND ".join(parts) or "true"
        if kind in ("RIGHT JOIN",):
            roots = [right] if linked else [*roots, right]
        elif kind == "FULL JOIN" or not linked:
            roots = [*roots, right]
        return f"{text} {kind} {right_text} ON {on}", roots

    def link(self, left: Source, right: Source) -> str:
        a, b = self.rng.sample((left.org, right.org), 2)
        plain = [f"{a} = {b}"] * 6
        return self.rng.choice(
            [*plain, f"NOT ({a} <> {b})", f"({a} = {b}) IS TRUE", f"{a} IN ({b})",
             f"{a} = ANY (ARRAY[{b}])", f"({a}, {self.literal()}) = ({b}, {self.column([left])})",
             f"{a} IS NOT DISTINCT FROM {b}", f"{a} IN (SELECT {b})"]
        )  # fmt: skip

    # -- conditions --------------------------------------------------------------------------

    def anchor(self, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        """Restrict the tenant of a source, in one of the many ways there are."""
        source = self.rng.choice([s for s in sources if s.tenant] or sources)
        if source.tenant is None:
            return self.comparison(sources, outer)
        column = f"{source.alias}.{source.tenant}" if source.alias else source.tenant
        around = [s.org for s in outer if s.org]
        if around and self.chance(0.6):
            return f"{column} = {self.rng.choice(around)}"
        if self.chance(self.sloppy):
            return self.near_miss(column, sources, outer)
        return self.equals_value(column, sources, outer)

    def equals_value(self, c: str, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        v = self.value
        if self.chance(0.55):
            return self.rng.choice((f"{c} = {v}", f"{c} = {v}", f"{v} = {c}"))
        if self.chance(0.15):  # as good as equality where the column cannot be null
            return self.rng.choice(
                (f"({c} = {v}) IS NOT FALSE", f"NOT ({c} <> {v}) IS TRUE",
                 f"({c} <> {v}) IS NOT TRUE", f"NOT (({c} = {v}) IS FALSE)")
            )  # fmt: skip
        p = self.comparison(sources, outer) if sources and sources[0].alias else "true"
        q = self.comparison(sources, outer) if sources and sources[0].alias else "1 = 1"
        alias = self.name()
        table = self.rng.choice(("t", "s", "g", "gt"))
        forms = [
            f"{c} IN ({v})", f"{c} = ANY (ARRAY[{v}])", f"NOT ({c} <> {v})", f"({c} = {v}) IS TRUE",
            f"({c} = {v}) = true", f"{c} BETWEEN {v} AND {v}", f"COALESCE({c} = {v}, false)",
            f"({c} = {v} AND {p} OR {q} AND {c} = {v})", f"{c} IS NOT DISTINCT FROM {v}",
            f"NOT ({c} <> {v} OR {p})", f"CASE WHEN {c} = {v} THEN {p} ELSE false END",
            f"CASE WHEN {p} THEN {c} = {v} ELSE false END", f"({c}, 1) = ({v}, 1)",
            f"{c} = (SELECT {v})", f"NOT ({c} = {v}) IS FALSE AND {c} = {v}",
            f"(({c} = {v}) IS NOT FALSE AND {c} IS NOT NULL AND {c} = {v})",
            f"{c} IN (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"EXISTS (SELECT 1 FROM {table} {alias} WHERE {alias}.org = {c} AND {alias}.org = {v})",
            f"{c} = (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v} "
            f"ORDER BY 1 LIMIT 1)",
            f"(CASE WHEN {p} THEN {c} = {v} END)", f"({c} = {v} OR ({c} = {v} AND {p}))",
            f"CASE {c} WHEN {v} THEN {p} ELSE false END",
        ]  # fmt: skip
        if v == "1":
            forms += [f"{c}::text = '1'", f"{c} = '1'", f"{c}::bigint = 1"]
        return self.rng.choice(forms)

    def near_miss(self, c: str, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        v = self.value
        p = self.comparison(sources, outer) if sources and sources[0].alias else "1 = 1"
        d = self.column(sources) if sources and sources[0].alias else c
        alias = self.name()
        table = self.rng.choice(("t", "s", "g", "gt", "n"))
        return self.rng.choice((
            f"{c} <> {v}", f"{c} IN ({v}, 2)", f"({c} = {v} OR {p})", f"({c} = {v}) IS NOT FALSE",
            f"{c} = COALESCE({d}, {v})", f"NOT ({c} <> {v} AND {p})", f"{c} >= {v}",
            f"CASE WHEN {p} THEN {c} = {v} ELSE true END", f"({c} = {v} OR {c} IS NULL)",
            f"CASE WHEN {c} = {v} THEN true ELSE {p} END", f"({c}, {d}) >= ({v}, 1)",
            f"NOT ({c} = {v}) IS TRUE", f"({c} = {v}) IS NOT NULL", f"COALESCE({c} = {v}, true)",
            f"{c} = ALL (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} = ALL (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"NOT EXISTS (SELECT 1 FROM {table} {alias} WHERE {alias}.org = {c}"
            f" AND {alias}.org = {v})",
            f"{c} NOT IN (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} = {d}", f"({c}, {d}) <> ({v}, 1)", f"{c} BETWEEN {v} AND 2",
            f"{c} = ANY (SELECT {alias}.id FROM {table} {alias} WHERE {alias}.org = {v})",
            f"EXISTS (SELECT max({alias}.id) FROM {table} {alias} WHERE {alias}.org = {c}"
            f" AND {alias}.org = {v})",
            f"{c} IS NOT DISTINCT FROM {d}", f"NULLIF({c}, {d}) = {v}",
            f"{c} = (SELECT max({alias}.org) FROM {table} {alias} WHERE {alias}.org = {v})",
            f"({c} = {v}) IS DISTINCT FROM {p}", f"({c} = {v}) = ({p})", f"{c} * 1 = {v}",
            f"(SELECT {c} = {v} OR count(*) > 0 FROM {table} {alias} WHERE {alias}.org = {v})",
        ))  # fmt: skip

    def operator(self) -> str:
        return self.rng.choice(("=", "=", "<>", "<", ">", "<=", ">="))

    def comparison(self, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        """A condition without subqueries; now and then about the tenant."""
        every = [*sources, *(outer if self.chance(0.2) else ())]
        c = self.column(every)
        tenants = [s.org for s in sources if s.org and s.alias]
        if tenants and self.chance(0.2):
            return f"{self.rng.choice(tenants)} = {self.rng.choice((self.value, '2', c))}"
        return self.rng.choice((
            f"{c} {self.operator()} {self.literal()}",
            f"{c} {self.operator()} {self.column(every)}",
            f"{c} IS NULL", f"{c} IS NOT NULL", f"{c} IN (1, 3)", f"{c} IS DISTINCT FROM 1",
            f"{c} BETWEEN 1 AND 3", f"({c}, {self.column(every)}) = (1, {self.literal()})",
            f"COALESCE({c}, 1) = 1", f"{c} = {self.literal()}",
        ))  # fmt: skip

    def condition(self, sources: Sequence[Source], outer: Sequence[Source], depth: int) -> str:
        """Any condition. With three levels of subqueries it is over."""
        usable = [s for s in sources if s.alias]
        if not usable:
            return "1 = 1"
        roll = self.rng.random()
        if roll < 0.35:
            return self.comparison(usable, outer)
        inner = lambda: self.condition(usable, outer, depth + 1)  # noqa: E731 - said often
        if roll < 0.66 and depth < 4:
            form = self.rng.choice(
                ("({} AND {})", "({} OR {})", "({} OR {})", "NOT ({})", "({}) IS TRUE",
                 "({}) IS NOT TRUE", "({}) IS FALSE", "({}) IS NOT FALSE", "({}) IS UNKNOWN",
                 "CASE WHEN {} THEN {} ELSE {} END", "CASE WHEN {} THEN {} END",
                 "COALESCE({}, {})", "({}) = ({})", "({}) <> ({})", "NOT ({} OR {})",
                 "NOT ({} AND {})", "({}) = true", "({}) <> true", "({}) IS DISTINCT FROM true")
            )  # fmt: skip
            return form.format(*(inner() for _ in range(form.count("{}"))))
        if depth >= 3:
            return self.comparison(usable, outer)
        seen = (*outer, *usable)
        column = self.column(usable)
        if roll < 0.8:
            word = self.rng.choice(("EXISTS", "EXISTS", "NOT EXISTS"))
            return f"{word} ({self.query(depth + 1, seen, width=1).sql})"
        if roll < 0.9:
            form = self.rng.choice(
                ("{} IN ({})", "{} IN ({})", "{} NOT IN ({})", "{} = ANY ({})", "{} < ALL ({})",
                 "{} = ALL ({})", "{} <> ANY ({})", "{} > ANY ({})")
            )  # fmt: skip
            return form.format(column, self.query(depth + 1, seen, width=1).sql)
        if roll < 0.95:
            tenants = [s.org for s in usable if s.org]
            pair = f"({tenants[0] if tenants else column}, {column})"
            query = self.query(depth + 1, seen, width=2, tenant_first=True, defer=self.chance(0.5))
            return f"{pair} {self.rng.choice(('IN', 'IN', 'NOT IN'))} ({query.sql})"
        return f"{column} {self.operator()} {self.scalar(seen, depth)}"

    # -- expressions -------------------------------------------------------------------------

    def expression(self, sources: Sequence[Source], outer: Sequence[Source], depth: int) -> str:
        every = [*[s for s in sources if s.alias], *(outer if self.chance(0.2) else ())]
        column = self.column(every)
        roll = self.rng.random()
        if roll < 0.72:
            return column
        if roll < 0.78:
            return f"COALESCE({column}, {self.column(every)})"
        if roll < 0.84:
            c = self.comparison(sources, outer)
            return f"CASE WHEN {c} THEN {column} ELSE {self.literal()} END"
        if roll < 0.9 or depth > 1:
            return self.rng.choice((self.literal(), f"{column} + 1", f"NULLIF({column}, 1)"))
        return self.scalar((*outer, *sources), depth)

    def scalar(self, seen: Sequence[Source], depth: int) -> str:
        text, sources, roots = self.from_clause(max(depth + 1, 1), seen)
        where = [self.anchor([root], seen) for root in roots if not self.slips()]
        if self.chance(0.6):
            where.append(f"{self.column(sources)} = {self.column(seen)}")
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        if self.chance(0.7):
            return f"(SELECT {self.aggregate(sources)}{text}{filtered})"
        order = self.positions(1)
        return f"(SELECT {self.column(sources)}{text}{filtered} ORDER BY {order} LIMIT 1)"

    # -- writes ------------------------------------------------------------------------------

    def target(self) -> tuple[str, Source]:
        table = self.rng.choice(("t", "t", "s", "g", "gt", "n", "c"))
        return table, Source(self.name(), TABLES[table], "org", table)

    def returned(self, target: Source, *, wanted: bool) -> tuple[str, tuple[str, ...], str | None]:
        if not wanted:
            return "", (), None
        alias = f"{target.alias}." if target.alias else ""
        extra = ""
        if self.chance(0.1):
            a = self.name()
            tie = "" if self.slips() else f" WHERE {a}.org = {alias or target.table + '.'}org"
            extra = f", (SELECT count(*) FROM s {a}{tie}) AS c2"
        names = ("org", "id", "c2") if extra else ("org", "id")
        sql = f" RETURNING {alias}org AS org, {alias}id AS id{extra}"
        return sql, names, "org"

    def insert(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table = self.target()[0]
        extra = {"gt": "gid"}.get(table, "x")
        names = ["org", "id", extra][: self.rng.choice((2, 3))]
        filled = "NULL::int" if extra == "gid" else self.literal()
        if self.chance(0.4):
            rows = []
            for _ in range(self.rng.choice((1, 1, 2))):
                tenant = self.rng.choice(("2", "id")) if self.slips() else self.value
                tenant = self.literal() if tenant == "id" else tenant
                rows.append([tenant, str(self.rng.randrange(1, 30)), filled])
            body = "VALUES " + ", ".join(f"({', '.join(row[: len(names)])})" for row in rows)
        else:
            text, sources, roots = self.from_clause(1, ())
            where = [self.anchor([root], ()) for root in roots if not self.slips()]
            if self.chance(0.3):
                where.append(self.condition(sources, (), 1))
            tenants = [s.org for s in sources if s.org]
            tenant = self.rng.choice([*tenants, self.value])
            if self.slips():
                tenant = self.column(sources)
            key = self.column(sources)
            key = f"{key} + 10" if self.chance(0.6) else key
            filtered = f" WHERE {' AND '.join(where)}" if where else ""
            shown = ", ".join([tenant, key, filled][: len(names)])
            body = f"SELECT DISTINCT {shown}{text}{filtered}"
        if self.slips():
            names[0], names[1] = names[1], names[0]
        if table == "c" and self.chance(0.3) and body.startswith("VALUES"):
            names, body = ["id"], f"VALUES ({self.rng.randrange(1, 30)})"
        conflict = ""
        if self.chance(0.5):
            conflict = " ON CONFLICT DO NOTHING"
            if table in _KEYS and self.chance(0.7):
                conflict = f" ON CONFLICT ({self.rng.choice(_KEYS[table])}) DO "
                if self.chance(0.2):
                    conflict += "NOTHING"
                else:
                    column = "gid" if extra == "gid" else "x"
                    value = f"EXCLUDED.{column}" if column in names else "NULL"
                    if self.chance(0.2) and extra == "x":
                        a = self.name()
                        org = "" if self.slips() else f" WHERE {a}.org = {table}.org"
                        value = f"(SELECT max({a}.x) FROM s {a}{org})"
                    conflict += f"UPDATE SET {column} = {value}"
                    if self.slips():
                        conflict += ", org = EXCLUDED.org"
                    if self.chance(0.3):
                        conflict += " WHERE " + self.rng.choice(
                            (f"{table}.org = EXCLUDED.org", f"{table}.id > 1",
                             f"EXCLUDED.org = {self.value}", f"{table}.org = {self.value}")
                        )  # fmt: skip
        tail, columns, tenant_name = self.returned(Source("", (), "org", table), wanted=returning)
        sql = f"INSERT INTO {table} ({', '.join(names)}) {body}{conflict}{tail}"
        return sql, columns, tenant_name

    def tied(self, target: Source, sources: Sequence[Source], roots: Sequence[Source]) -> list[str]:
        where = []
        for root in roots:
            if not self.slips():
                where.append(self.link(target, root))
        if (not where or not sources or self.chance(0.7)) and not self.slips():
            where.append(self.anchor([target], ()))
        if self.chance(0.7) and sources:
            where.append(f"{self.column([target])} = {self.column(sources)}")
        if self.chance(0.4):
            where.append(self.condition([target, *sources], (), 1))
        self.rng.shuffle(where)
        return where

    def update(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        column = {"gt": "gid"}.get(table, "x")
        text, sources, roots = "", [], []
        if self.chance(0.45):
            text, sources, roots = self.from_clause(1, ())
        where = self.tied(target, sources, roots)
        value = "NULL" if column == "gid" else self.expression([target, *sources], (), 1)
        sets = [f"{column} = {value}"]
        if self.chance(0.12):
            own = self.rng.choice((self.value, f"{target.alias}.org"))
            if self.slips() or self.chance(0.4):
                own = self.rng.choice(("2", self.column([target, *sources])))
            sets.append(f"org = {own}")
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        tail, columns, tenant = self.returned(target, wanted=returning)
        sql = f"UPDATE {table} {target.alias} SET {', '.join(sets)}{text}{filtered}{tail}"
        return sql, columns, tenant

    def delete(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        text, sources, roots = "", [], []
        if self.chance(0.45):
            text, sources, roots = self.from_clause(1, ())
            text = " USING" + text.removeprefix(" FROM")
        where = self.tied(target, sources, roots)
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        tail, columns, tenant = self.returned(target, wanted=returning)
        return f"DELETE FROM {table} {target.alias}{text}{filtered}{tail}", columns, tenant

    def merge(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        column = {"gt": "gid"}.get(table, "x")
        given = self.name()
        bound = not self.slips()
        inner = Source(self.name(), TABLES["s"], "org", "s")
        keep = f" WHERE {self.anchor([inner], ())}" if bound else ""
        i = inner.alias
        using = f"(SELECT {i}.org, {i}.id, {i}.x FROM s {i}{keep}) {given}"
        if self.chance(0.15):
            using = f"s {given}"
        source = Source(given, ("org", "id", "x"), "org", None, bound)
        on = [f"{target.alias}.id = {given}.id"]
        if not self.slips():
            on.append(self.link(target, source))
        if self.chance(0.3):
            on.append(self.anchor([target], ()))
        clauses = []
        fresh = "NULL" if column == "gid" else f"{given}.x"
        if self.chance(0.8):
            extra = f" AND {self.condition([target, source], (), 2)}" if self.chance(0.3) else ""
            action = self.rng.choice(
                (f"UPDATE SET {column} = {fresh}", f"UPDATE SET {column} = {fresh}", "DELETE",
                 "DO NOTHING", f"UPDATE SET {column} = NULL, org = {given}.org")
            )  # fmt: skip
            clauses.append(f"WHEN MATCHED{extra} THEN {action}")
        if self.chance(0.6) or not clauses:
            extra = f" AND {self.condition([source], (), 2)}" if self.chance(0.3) else ""
            tenant = (
                self.literal() if self.slips() else self.rng.choice((f"{given}.org", self.value))
            )
            key = f"{given}.id" + (" + 10" if self.chance(0.5) else "")
            clauses.append(
                f"WHEN NOT MATCHED{extra} THEN INSERT (org, id, {column})"
                f" VALUES ({tenant}, {key}, {fresh})"
            )
        if self.chance(0.25):
            extra = "" if self.slips() else f" AND {self.anchor([target], ())}"
            action = self.rng.choice(("DELETE", f"UPDATE SET {column} = NULL", "DO NOTHING"))
            clauses.append(f"WHEN NOT MATCHED BY SOURCE{extra} THEN {action}")
        tail = f" RETURNING {target.alias}.org, {target.alias}.id" if returning else ""
        sql = (
            f"MERGE INTO {table} {target.alias} USING {using} ON {' AND '.join(on)} "
            f"{' '.join(clauses)}{tail}"
        )
        return sql, (), None


def grow(rng: random.Random) -> str:
    """A statement. Deeply nested choices may run dry; then another one is grown."""
    while True:
        sql = Grammar(rng).statement()
        if len(sql) < 2500:
            return sql
