"""Whatever a policy's subquery looks like: what is judged a bound lets nobody see another's rows.

In the tables here no value of one tenant's is equal to one of another's, so that equal columns
never lead across; `ann` is a person of tenant 1000 alone. What is judged to keep a caller to its
own then admits rows of that tenant, none to a stranger, and none where nobody is named.
"""

from __future__ import annotations

import random

import psycopg2
import pytest

from tenants.policy_sql import Knowledge, Row, judge

from .conftest import Bench

EXPRESSIONS = 200  # for each seed
COLUMNS = ("tenant_id", "id", "ref", "person", "flag")
SCHEMA = "CREATE SCHEMA fz;" + "".join(
    f"CREATE TABLE fz.{name} (tenant_id int, id int, ref int, person text, flag boolean);"
    f"INSERT INTO fz.{name} SELECT t, 10 * t + i, 10 * t + 1 + (i + {number}) % 3,"
    " CASE WHEN t = 1000 AND i < 2 THEN 'ann' WHEN t = 2000 AND i < 2 THEN 'bob' END, i % 2 = 0"
    " FROM (VALUES (1000), (2000), (3000)) AS tenants (t), generate_series(1, 3) AS rows (i);"
    f"INSERT INTO fz.{name} VALUES (2000, NULL, NULL, NULL, NULL);"
    for number, name in enumerate("rmop")
)
ME = "current_setting('fz.person', true)"
KNOWN = Knowledge(columns={f"fz.{name}": frozenset(COLUMNS) for name in "rmop"})
ROW = Row(frozenset({"tenant_id"}))


class Maker:
    """Random conditions, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def condition(self, depth: int = 0) -> str:
        kind = self.random.randrange(10)
        if kind < 4 or depth > 1:
            return f"EXISTS ({self.query(self.one('1', 'count(*)', '*', 'max(m.id)'), depth)})"
        if kind == 4:
            return (
                f"r.tenant_id IN ({self.query(self.one('m.tenant_id', 'max(m.tenant_id)'), depth)})"
            )
        if kind == 5:
            value = self.one("m.tenant_id", "min(m.tenant_id)", "coalesce(max(m.tenant_id), 2000)")
            return f"r.tenant_id = ({self.query(value, depth, 'LIMIT 1')})"
        if kind == 6:
            value = self.one(
                "count(*) > 0", "count(*) = 0", "bool_or(m.flag)", "true", "m.flag",
                "every(m.flag)", "coalesce(bool_or(true), true)", f"m.person = {ME}",
                "count(*) >= 0",
                f"count(*) FILTER (WHERE m.person = {ME}) > 0",
            )  # fmt: skip
            return f"({self.query(value, depth, 'LIMIT 1')})"
        if kind == 7:
            return f"NOT ({self.condition(depth + 1)})"
        joined = f" {self.one('AND', 'OR')} ".join(
            f"({self.condition(depth + 1)})" for _ in range(2)
        )
        return f"({joined})"

    def query(self, value: str, depth: int, rest: str = "") -> str:
        source, aliases = self.sources()
        parts = [self.part(aliases, depth) for _ in range(self.random.randrange(1, 5))]
        group = self.one("", "", "", "", "GROUP BY m.id", "HAVING count(*) > 0", "GROUP BY ()")
        if group == "GROUP BY m.id" and value in ("*", "1", "true"):
            value = "m.id > 0" if value == "true" else "m.id"
        return f"SELECT {value} FROM {source} WHERE {' AND '.join(parts)} {group} {rest}"

    def sources(self) -> tuple[str, list[str]]:
        others = self.random.sample(["o", "p"], self.random.randrange(3))
        source, aliases = "fz.m", ["m"]
        for other in others:
            how = self.one(", ", " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ",
                           " CROSS JOIN ", " USING ", " LATERAL ")  # fmt: skip
            on = f"{self.column(aliases)} = {other}.{self.one('id', 'ref', 'tenant_id')}"
            if how == " USING " and len(aliases) == 1:
                source = f"{source} JOIN fz.{other} USING (id)"
            elif how == " LATERAL ":
                source = (
                    f"({source}) CROSS JOIN LATERAL (SELECT * FROM fz.{other} x WHERE"
                    f" {self.one(on.replace(other + '.', 'x.'), f'x.person = {ME}')}) {other}"
                    if len(aliases) > 1
                    else f"{source} CROSS JOIN LATERAL (SELECT * FROM fz.{other} x"
                    f" WHERE {self.one(on.replace(other + '.', 'x.'), f'x.person = {ME}')}) {other}"
                )
            elif how in (", ", " CROSS JOIN ", " USING "):
                source = f"{source} CROSS JOIN fz.{other}"
            else:
                source = f"{source}{how}fz.{other} ON {on}"
            aliases.append(other)
        return source, aliases

    def column(self, aliases: list[str], *names: str) -> str:
        return f"{self.one(*aliases)}.{self.one(*(names or ('id', 'ref', 'tenant_id')))}"

    def part(self, aliases: list[str], depth: int) -> str:
        kind = self.random.randrange(14)
        if kind < 3:
            return f"{self.column(aliases)} = r.{self.one('id', 'ref', 'tenant_id')}"
        if kind == 3:
            return f"{self.one(*aliases)}.tenant_id = r.tenant_id"
        if kind < 7:
            return f"{self.one(*aliases)}.person = {ME}"
        if kind == 7:
            return f"{self.column(aliases)} = {self.column(aliases)}"
        if kind == 8:
            return self.one(
                f"{self.column(aliases)} IS NULL", f"{self.column(aliases)} <> r.id", "r.flag",
                f"{self.column(aliases)} <> {self.column(aliases)}",
                f"{self.column(aliases, 'flag')}", f"{self.column(aliases, 'person')} = 'bob'",
                f"coalesce({self.column(aliases)}, r.tenant_id) = r.tenant_id",
                f"{self.one(*aliases)}.person IS NOT DISTINCT FROM {ME}",
            )  # fmt: skip
        if kind == 9:
            return f"({self.part(aliases, depth)} OR {self.part(aliases, depth)})"
        if kind == 10 and depth < 2:
            inner = f"fz.{self.one('o', 'p')} y"
            asked = f"y.{self.one('id', 'ref', 'tenant_id')}"
            limit = self.one(f"y.person = {ME}", f"y.id = {self.column(aliases)}", "y.flag")
            exists = f"EXISTS (SELECT 1 FROM {inner} WHERE {asked} = {self.column(aliases)} AND"
            return self.one(
                f"{exists} {limit})",
                f"{self.column(aliases)} IN (SELECT {asked} FROM {inner} WHERE {limit})",
                f"NOT {exists} {limit})",
            )
        return f"{self.one(*aliases)}.person = {ME}"


def admitted(bench: Bench, condition: str, person: str | None) -> set[int]:
    value = "NULL" if person is None else f"'{person}'"
    bench.cursor.execute(
        f"SELECT set_config('fz.person', {value}, true);"
        f"SELECT DISTINCT r.tenant_id FROM fz.r WHERE {condition}"
    )
    return {row[0] for row in bench.cursor.fetchall()}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_judged_a_bound_admits_the_callers_rows_alone(empty: Bench, seed: int) -> None:
    empty.execute(SCHEMA)
    maker, kinds = Maker(seed), []
    for _ in range(EXPRESSIONS):
        condition = maker.condition()
        empty.cursor.execute("SAVEPOINT each")
        try:
            seen = admitted(empty, condition, "ann")
            others = admitted(empty, condition, "nobody") | admitted(empty, condition, None)
        except psycopg2.Error:  # not every combination is SQL; how many are is counted below
            empty.cursor.execute("ROLLBACK TO SAVEPOINT each")
            continue
        found = judge(condition, ROW, KNOWN)
        kinds.append(found.kind)
        if found.at_most("keyed"):
            assert seen <= {1000}, (found, condition)
            assert others == set(), (found, condition)
        if found.kind == "closed":
            assert seen == set(), (found, condition)
    assert len(kinds) > EXPRESSIONS / 2
    assert kinds.count("bound") > EXPRESSIONS / 50
