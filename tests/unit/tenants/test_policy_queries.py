"""Subqueries of policies: aggregates, what is joined with what, and whose the rows are."""

from __future__ import annotations

import pytest

from tenants.policy_sql import Knowledge, Routine, Row, judge

ROW = Row(frozenset({"tenant_id"}), frozenset({"tenant_id"}))
ME = "current_setting('app.person')"
OF_ROW = "m.tenant_id = invoices.tenant_id"
MINE = f"m.person = {ME}"


def helper(body: str) -> Routine:
    return Routine("sql", ("t",), body)


KNOWN = Knowledge(
    functions={
        ("shop.none_blocked", 1): helper(
            f"SELECT count(*) = 0 FROM shop.b WHERE b.tenant_id = t AND b.person = {ME}"
        ),
        ("shop.whatever", 1): helper(
            f"SELECT coalesce(bool_or(true), true) FROM shop.m WHERE m.tenant_id = t AND {MINE}"
        ),
        ("shop.any", 1): helper(
            f"SELECT coalesce(bool_or(true), false) FROM shop.m WHERE m.tenant_id = t AND {MINE}"
        ),
        ("shop.counted", 1): helper(
            f"SELECT count(*) FILTER (WHERE {MINE}) > 0 FROM shop.m WHERE m.tenant_id = t"
        ),
        ("shop.counted_all", 1): helper(
            f"SELECT count(*) >= 0 FROM shop.m WHERE m.tenant_id = t AND {MINE}"
        ),
        ("shop.admin", 1): helper(
            f"SELECT m.role = 'admin' FROM shop.m WHERE m.tenant_id = t AND {MINE}"
        ),
        ("shop.owns", 1): helper(f"SELECT m.person = {ME} FROM shop.m WHERE m.tenant_id = t"),
        ("shop.united", 1): helper(
            f"SELECT true FROM shop.m WHERE m.tenant_id = t AND {MINE} UNION ALL SELECT true"
        ),
        ("shop.mine", 0): Routine("sql", (), f"SELECT m.tenant_id FROM shop.m WHERE {MINE}"),
        ("shop.mine_and_others", 0): Routine(
            "sql", (), f"SELECT o.tenant_id FROM shop.m, shop.o WHERE {MINE}"
        ),
        ("shop.total", 1): Routine("internal", ("",), "aggregate_dummy"),
        ("shop.twice", 1): Routine("plpgsql", ("",), "BEGIN RETURN $1; END"),
    },
    columns={
        "shop.m": frozenset({"id", "tenant_id", "person", "role", "o_id"}),
        "shop.o": frozenset({"id", "tenant_id", "person"}),
        "shop.b": frozenset({"tenant_id", "person"}),
        "shop.p": frozenset({"id", "tenant_id", "m_id"}),
    },
    guarded=frozenset({"shop.g"}),
)


def exists(source: str, *conditions: str, select: str = "1", rest: str = "") -> str:
    where = " AND ".join(f"({c})" for c in conditions)
    return f"(EXISTS ( SELECT {select} FROM {source} WHERE ({where}) {rest}))"


BOUND = [
    "shop.any(tenant_id)",
    "shop.counted(tenant_id)",
    "shop.admin(tenant_id)",
    "(tenant_id IN ( SELECT shop.mine() AS mine))",
    # Having a row is the question; how many there are is not asked.
    exists("shop.m", OF_ROW, MINE, select="count(*)", rest="GROUP BY m.role"),
    exists("shop.m", OF_ROW, MINE, select="1", rest="HAVING count(*) > 0"),
    exists("shop.m", OF_ROW, MINE, select="count(*) OVER ()"),
    exists("shop.m", OF_ROW, MINE, select="shop.twice(m.id)"),
    f"( SELECT (count(*) > 0) FROM shop.m WHERE (({OF_ROW}) AND ({MINE})))",
    f"( SELECT (0 < count(m.id)) FROM shop.m WHERE (({OF_ROW}) AND ({MINE})))",
    f"( SELECT bool_and({MINE}) FROM shop.m WHERE ({OF_ROW}))",
    f"( SELECT every({MINE}) FROM shop.m WHERE ({OF_ROW}))",
    f"(tenant_id = ( SELECT max(m.tenant_id) AS max FROM shop.m WHERE ({MINE})))",
    f"(tenant_id IN ( SELECT max(m.tenant_id) AS max FROM shop.m WHERE ({MINE})))",
    # Joined in whatever form.
    exists("(shop.m JOIN shop.o ON ((o.id = m.o_id)))", OF_ROW, f"o.person = {ME}"),
    exists("(shop.m JOIN shop.o USING (id))", OF_ROW, f"o.person = {ME}"),
    exists("(shop.m NATURAL JOIN shop.o)", OF_ROW, f"o.person = {ME}"),
    exists("(shop.m LEFT JOIN shop.o ON ((o.id = m.o_id)))", OF_ROW, f"o.person = {ME}"),
    exists("shop.m, shop.o", OF_ROW, "o.id = m.o_id", f"o.person = {ME}"),
    exists("shop.m, shop.o", OF_ROW, "o.id = ANY (ARRAY[m.o_id])", f"o.person = {ME}"),
    exists("shop.m", OF_ROW, f"m.o_id IN ( SELECT o.id FROM shop.o WHERE (o.person = {ME}))"),
    exists("shop.m", OF_ROW, exists("shop.o", "o.id = m.o_id", f"o.person = {ME}")),
    exists("shop.m", OF_ROW, f"m.o_id IN ( SELECT o.id FROM shop.o WHERE (o.person = {ME})"
           f" UNION SELECT b.id FROM shop.b WHERE (b.person = {ME}))"),
    exists("shop.m, LATERAL ( SELECT o.id FROM shop.o"
           f" WHERE ((o.id = m.o_id) AND (o.person = {ME}))) s", OF_ROW),
    exists("shop.m, shop.g", OF_ROW, "g.id = m.o_id"),
    exists("unnest(shop.mine()) u(id)", "u.id = invoices.tenant_id"),
]  # fmt: skip

WIDE = [
    ("open", exists("shop.m", OF_ROW, MINE, select="count(*)")),
    ("open", exists("shop.m", OF_ROW, MINE, select="jsonb_agg(m.id)")),
    ("open", exists("shop.m", OF_ROW, MINE, select="every(true)")),
    ("open", exists("shop.m", OF_ROW, MINE, select="pg_catalog.xmlagg(m.id)")),
    ("open", exists("shop.m", OF_ROW, MINE, select="shop.total(m.id)")),
    ("open", exists("shop.m", OF_ROW, MINE, select="1", rest="ORDER BY max(m.id)")),
    ("open", exists("shop.m", OF_ROW, MINE, rest="GROUP BY ROLLUP (m.id)")),
    ("open", exists("shop.m", OF_ROW, MINE, rest="GROUP BY ()")),
    ("open", "shop.united(tenant_id)"),
    ("unknown", exists("shop.m", OF_ROW, MINE, rest="HAVING count(*) < 5")),
    ("unknown", "shop.none_blocked(tenant_id)"),
    ("unknown", "shop.whatever(tenant_id)"),
    ("unknown", "shop.counted_all(tenant_id)"),
    ("unknown", f"( SELECT (count(*) = 0) FROM shop.b WHERE ((b.person = {ME})))"),
    ("unknown", f"(tenant_id IN ( SELECT count(*) AS count FROM shop.m WHERE ({MINE})))"),
    ("keyed", "shop.owns(user_id)"),
    # Not joined: who has any row of `o` sees every row that has one of `m`.
    ("switch", exists("shop.m, shop.o", OF_ROW, f"o.person = {ME}")),
    ("switch", exists("(shop.m CROSS JOIN shop.o)", OF_ROW, f"o.person = {ME}")),
    ("switch", exists("(shop.m LEFT JOIN shop.p ON ((p.m_id = m.id))), shop.o", OF_ROW,
                      f"o.person = {ME}")),
    ("switch", exists("shop.m, shop.o", OF_ROW, f"o.person = {ME}", "o.id <> m.o_id")),
    ("switch", exists("shop.m", OF_ROW, exists("shop.o", f"o.person = {ME}"))),
    ("switch", exists("shop.m, shop.g", OF_ROW)),
    ("partial", f"(tenant_id = ( SELECT o.tenant_id FROM shop.m, shop.o WHERE ({MINE}) LIMIT 1))"),
    ("partial", "(tenant_id = ANY (ARRAY( SELECT shop.mine_and_others() AS m)))"),
    # What an outer join adds need not be there.
    ("open", exists("(shop.m LEFT JOIN shop.g ON ((g.id = m.o_id)))", OF_ROW)),
    ("open", exists("(shop.m LEFT JOIN LATERAL ( SELECT o.id FROM shop.o"
                    f" WHERE (o.person = {ME})) s ON (true))", OF_ROW)),
    ("switch", exists("((shop.m CROSS JOIN shop.o) LEFT JOIN shop.p"
                       " ON (((p.m_id = m.id) AND (p.id = o.id))))", OF_ROW, f"o.person = {ME}")),
    ("unknown", exists("(shop.m FULL JOIN shop.o ON ((o.id = m.o_id)))", OF_ROW,
                       f"o.person = {ME}")),
    ("unknown", exists("shop.m, shop.o", OF_ROW, f"o.person = {ME}",
                       "(o.id = m.o_id) OR (o.id IS NULL)")),
    ("unknown", exists("shop.m", f"({OF_ROW} AND {MINE}) OR (m.role = 'x')")),
]  # fmt: skip


@pytest.mark.parametrize("expression", BOUND)
def test_a_subquery_that_ties_the_tenant_to_who_asks_binds(expression: str) -> None:
    found = judge(expression, ROW, KNOWN)
    assert found.kind == "bound", found


@pytest.mark.parametrize(("kind", "expression"), WIDE)
def test_one_that_does_not_or_may_not_is_never_bound(kind: str, expression: str) -> None:
    found = judge(expression, ROW, KNOWN)
    assert found.kind == kind, found


def test_two_conditions_that_have_nothing_to_do_with_each_other_both_hold() -> None:
    both = exists("shop.m, shop.o", OF_ROW, MINE, "o.id = invoices.order_id")
    assert judge(both, ROW, KNOWN).kind == "bound"
