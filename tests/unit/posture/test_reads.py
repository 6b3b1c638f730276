"""What a query reads beyond the caller's rows."""

from __future__ import annotations

import pytest

from tenants.policy_sql import Knowledge, Routine
from tenants.posture.reads import unlimited

KNOWN = Knowledge(
    {
        ("shop.current_tenant", 0): Routine(
            "sql", (), "SELECT nullif(current_setting('app.tenant_id', true), '')::uuid"
        ),
        ("shop.is_mine", 1): Routine("plpgsql", ("tenant",), "BEGIN RETURN true; END"),
    },
    frozenset(),
    {
        "shop.t": frozenset({"tenant_id", "id"}),
        "shop.u": frozenset({"tenant_id", "id", "t_id"}),
        "shop.m": frozenset({"tenant_id", "login"}),
    },
)
MINE = "tenant_id = shop.current_tenant()"

LIMITED = [
    f"SELECT * FROM shop.t WHERE {MINE}",
    "SELECT * FROM shop.t WHERE tenant_id = (SELECT shop.current_tenant())",
    f"SELECT * FROM shop.t WHERE id > 5 AND {MINE}",
    "SELECT * FROM shop.t JOIN shop.u ON u.t_id = t.id WHERE t.tenant_id = shop.current_tenant()",
    "SELECT * FROM shop.t JOIN shop.u USING (tenant_id) WHERE u.tenant_id = shop.current_tenant()",
    "SELECT * FROM shop.t LEFT JOIN shop.u ON u.t_id = t.id"
    " WHERE t.tenant_id = shop.current_tenant()",
    "SELECT (SELECT count(*) FROM shop.u WHERE u.t_id = t.id) FROM shop.t"
    " WHERE t.tenant_id = shop.current_tenant()",
    "WITH x AS (SELECT * FROM shop.t) SELECT * FROM x WHERE x.tenant_id = shop.current_tenant()",
    "SELECT * FROM (SELECT * FROM shop.t) s WHERE s.tenant_id = shop.current_tenant()",
    f"SELECT * FROM shop.t WHERE {MINE} UNION ALL SELECT id FROM shop.u WHERE {MINE}",
    "SELECT * FROM shop.t WHERE tenant_id IN"
    " (SELECT m.tenant_id FROM shop.m WHERE m.login = current_setting('app.login'))",
    # What WHERE demands of a row of another table.
    "SELECT * FROM shop.t WHERE EXISTS (SELECT 1 FROM shop.u"
    " WHERE u.t_id = t.id AND u.tenant_id = shop.current_tenant())",
    "SELECT * FROM shop.t WHERE t.id IN (SELECT u.t_id FROM shop.u"
    " WHERE u.tenant_id = shop.current_tenant())",
    "SELECT 1",
]


@pytest.mark.parametrize("query", LIMITED)
def test_a_condition_on_the_session_limits_what_it_reaches(query: str) -> None:
    assert unlimited(query, frozenset({"tenant_id"}), KNOWN) == {}


OPEN = [
    ("SELECT * FROM shop.t", {"shop.t"}),
    ("SELECT * FROM shop.t WHERE id = 5", {"shop.t"}),
    ('SELECT * FROM shop.t WHERE tenant_id = "$argument"', {"shop.t"}),
    ('SELECT * FROM shop.t WHERE id = "$argument"', {"shop.t"}),
    (f"SELECT * FROM shop.t WHERE {MINE} OR shop.current_tenant() IS NULL", {"shop.t"}),
    (f"SELECT * FROM shop.t WHERE NOT ({MINE})", {"shop.t"}),
    ("SELECT * FROM shop.t, shop.u WHERE u.tenant_id = shop.current_tenant()", {"shop.t"}),
    (
        "SELECT * FROM shop.t LEFT JOIN shop.u ON t.tenant_id = shop.current_tenant()",
        {"shop.t", "shop.u"},
    ),
    (
        "SELECT * FROM shop.t FULL JOIN shop.u ON u.t_id = t.id"
        " WHERE t.tenant_id = shop.current_tenant()",
        {"shop.u"},
    ),
    (
        "SELECT (SELECT count(*) FROM shop.u) FROM shop.t"
        " WHERE t.tenant_id = shop.current_tenant()",
        {"shop.u"},
    ),
    ("WITH x AS (SELECT * FROM shop.t) SELECT * FROM x", {"shop.t"}),
    # What a column counts is limited; the rows that it stands beside are not.
    (
        "SELECT t.id, (SELECT count(*) FROM shop.u"
        " WHERE u.t_id = t.id AND u.tenant_id = shop.current_tenant()) FROM shop.t",
        {"shop.t"},
    ),
    (
        "SELECT * FROM shop.t WHERE t.id > 5 OR EXISTS (SELECT 1 FROM shop.u"
        " WHERE u.t_id = t.id AND u.tenant_id = shop.current_tenant())",
        {"shop.t"},
    ),
    (
        "SELECT * FROM shop.t WHERE NOT EXISTS (SELECT 1 FROM shop.u"
        " WHERE u.t_id = t.id AND u.tenant_id = shop.current_tenant())",
        {"shop.t"},
    ),
    (
        "SELECT * FROM shop.t LEFT JOIN shop.u"
        " ON u.t_id = t.id AND u.tenant_id = shop.current_tenant()",
        {"shop.t"},
    ),
    (f"SELECT id FROM shop.t WHERE {MINE} UNION ALL SELECT id FROM shop.u", {"shop.u"}),
    ("WITH RECURSIVE x AS (SELECT id FROM shop.t UNION SELECT id FROM x) TABLE x", {"shop.t"}),
    ("SELECT * FROM shop.t, LATERAL (SELECT * FROM shop.u) s", {"shop.t", "shop.u"}),
]


@pytest.mark.parametrize(("query", "tables"), OPEN)
def test_what_no_condition_reaches_is_open(query: str, tables: set[str]) -> None:
    found = unlimited(query, frozenset({"tenant_id"}), KNOWN)
    assert found == dict.fromkeys(tables, "open")


def test_a_condition_that_cannot_be_followed_is_unknown() -> None:
    found = unlimited(
        "SELECT * FROM shop.t WHERE shop.is_mine(tenant_id)", frozenset({"tenant_id"}), KNOWN
    )
    assert found == {"shop.t": "unknown"}


@pytest.mark.parametrize("text", ["DELETE FROM shop.t", "BEGIN RETURN 1; END", "", "SELECT ((("])
def test_what_is_no_query_is_not_judged(text: str) -> None:
    assert unlimited(text, frozenset({"tenant_id"}), KNOWN) is None
