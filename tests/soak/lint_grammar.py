"""Statements over the schema of the case table, grown from a grammar by a seeded generator.

Most of a statement keeps the discipline a careful author would: every table is tied to one
tenant, here or further out. A part of the statements is sloppy somewhere: what a near miss
looks like is what the prover must get right. Rows a LIMIT or DISTINCT ON chooses are ordered
by every output column, and windows and aggregates do not depend on the order of ties, so that
a statement has one answer.
"""

from __future__ import annotations

import random
import re

from lint_conditions import Conditions
from lint_drills import drilled
from lint_queries import Queries
from lint_sources import Sources
from lint_words import SOURCE, TABLES, Query, Source
from lint_writes import Writes

__all__ = ["SOURCE", "Grammar", "grow"]


class Grammar(Queries, Sources, Conditions, Writes):
    """Grows one statement per object."""

    # -- statements --------------------------------------------------------------------------

    def statement(self) -> str:
        roll = self.rng.random()
        if roll < 0.5:
            return drilled(self.value, self.rng)
        return self.small() if roll < 0.7 else self.large()

    def small(self) -> str:
        """A table or two and one slip, if any: nothing else hides what it does."""
        self.sloppy = 0.0
        self.single = self.rng.choice((1, 2, 2, 2, 2, 3, 3, 4))
        if self.chance(0.3):
            return self.outer_join()
        if self.chance(0.6):
            return self.block(2, ()).sql
        inner = self.block(2, (), defer=True)
        name = self.name()
        if inner.tenant is None:
            return inner.sql
        keep = self.anchor([Source(name, inner.columns, inner.tenant)], ())
        return f"SELECT * FROM ({inner.sql}) {name} WHERE {keep}"

    def outer_join(self) -> str:
        """What holds of the rows that an outer join fills with nulls, and what does not."""
        a, b, v = self.name(), self.name(), self.value
        left, right = (self.rng.choice(("t", "s", "gt", "n", "k", "g")) for _ in "ab")
        ours, theirs = Source(a, TABLES[left], "org"), Source(b, TABLES[right], "org")
        side = self.rng.choice(("LEFT", "LEFT", "RIGHT", "FULL"))
        ties = [f"{b}.org = {a}.org"] if self.chance(0.8) else []
        ties += [
            f"{self.column([ours, theirs])} = {self.column([ours, theirs])}"
            for _ in range(self.rng.choice((0, 1, 2)))
        ]
        ties += [f"{a}.org = {v}"] if self.chance(0.4) else []
        c = self.column([ours, theirs])
        keep = self.rng.choice((
            f"COALESCE({c}, 1) = 1", f"{c} IS DISTINCT FROM 5", f"({c} IS NULL) > false",
            f"{c} IS NULL", f"{c} > 0", f"{c} = {v}", f"{c} = {v}", f"{a}.org = {v}",
            f"(NULLIF({a}.org, 2) = {v}) IS NOT FALSE", f"({c} = {v}) IS NOT FALSE",
        ))  # fmt: skip
        joined = f"{right} {b}"
        if self.chance(0.2):
            joined = f"(SELECT {v} AS one, org, id FROM {right} WHERE org = {v}) {b}"
            ties = [f"{b}.id = {self.column([ours])}"]
            keep = self.rng.choice((f"({a}.org = {b}.one) IS NOT FALSE", f"{a}.org = {b}.one",
                                    f"{a}.org IS NOT DISTINCT FROM {b}.one"))  # fmt: skip
        on = f"ON {' AND '.join(ties) or 'true'}"
        if self.chance(0.15) and "one" not in joined:
            on = self.rng.choice(("USING (org)", "USING (id)", "USING (org, id)"))
            keep = self.rng.choice((f"org = {v}", f"id = {v}", f"{a}.org = {v}", f"{b}.id = {v}"))
        return f"SELECT {a}.org, {a}.id FROM {left} {a} {side} JOIN {joined} {on} WHERE {keep}"

    def large(self) -> str:
        prefix = self.with_clause() if self.chance(0.3) else ""
        if self.chance(0.72):
            sql = self.query(0, ()).sql
        else:
            kind = self.rng.choice((self.insert, self.update, self.delete, self.merge))
            sql = kind(returning=self.chance(0.5))[0]
        # The server does not run a WITH query that nothing reads, though the prover asks of it.
        unread = prefix and not any(re.search(rf"\b{t.alias}\b", sql) for t in self.tables)
        return sql if unread and self.chance(0.9) else prefix + sql

    def with_clause(self, *, inner: bool = False) -> str:
        parts = []
        recursive = self.chance(0.2)
        for _ in range(self.rng.choice((1, 1, 2))):
            name = self.name()
            if not inner and not recursive and self.chance(0.04):
                name = self.rng.choice(("s", "n", "c"))  # a table's name, which it hides
                if any(table.alias == name for table in self.tables):
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


def grow(rng: random.Random) -> str:
    """A statement. Deeply nested choices may run dry; then another one is grown."""
    while True:
        sql = Grammar(rng).statement()
        if len(sql) < 2500:
            return sql
