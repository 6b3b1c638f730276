"""What a verdict says: the kind of each occurrence, and by which equalities, or what is missing."""

from __future__ import annotations

import pytest
from lint_support import prover


def said(sql: str) -> dict[str, tuple[str, str]]:
    return {o.alias: (o.kind, o.reason) for o in prover().prove_text(sql).occurrences}


def test_one_step_needs_no_trace() -> None:
    assert said("SELECT * FROM t WHERE org=$1") == {"t": ("parameter", "t.org is $1")}


@pytest.mark.parametrize(
    ("sql", "alias", "steps"),
    [
        ("SELECT * FROM t JOIN s ON s.org=t.org WHERE t.org=1", "s", "s.org = t.org = 1"),
        ("SELECT * FROM t JOIN s USING (org) WHERE org=1", "s", "s.org = t.org = 1"),
        ("SELECT * FROM gt JOIN g ON g.id=gt.gid WHERE gt.org=1", "g", "g.org = gt.org = 1"),
        (
            "SELECT * FROM items i JOIN g ON g.id=i.gid WHERE g.org=tenure.current_tenant()",
            "i",
            "the tenant of i = g.org = the current tenant",
        ),
        (
            "DELETE FROM t USING s, gt WHERE gt.org=s.org AND s.org=t.org AND gt.org=:tenant_id",
            "t",
            "t.org = s.org = gt.org = the current tenant",
        ),
        (
            "SELECT * FROM t WHERE org IN (SELECT s.org FROM s WHERE s.org=1)",
            "t",
            "t.org = s.org = 1",
        ),
    ],
)
def test_the_trace_names_each_equality(sql: str, alias: str, steps: str) -> None:
    assert said(sql)[alias][1].endswith(f"({steps})")


def test_an_equality_of_one_branch_is_no_step() -> None:
    found = said("SELECT * FROM t, s WHERE (s.org=t.org OR s.x=1) AND t.org=1")
    assert found["s"] == ("open", "s.org is not restricted")


@pytest.mark.parametrize(
    ("sql", "alias", "reason"),
    [
        ("SELECT * FROM t", "t", "t.org is not restricted"),
        (
            "SELECT * FROM t JOIN s ON s.org=t.org",
            "t",
            "t.org is not restricted: nor is s.org, which it equals",
        ),
        (
            "SELECT * FROM (SELECT * FROM t LIMIT 5) q WHERE org=1",
            "t",
            "t.org is not restricted: LIMIT chooses among the rows of all tenants",
        ),
        (
            "SELECT * FROM (SELECT id FROM t) q WHERE id=1",
            "t",
            "t.org is not restricted; only a key of its own fixes its rows",
        ),
        (
            "UPDATE t SET org=2 WHERE org=1",
            "t",
            "t.org is not restricted: the tenant column is changed",
        ),
    ],
)
def test_the_reason_says_what_is_missing(sql: str, alias: str, reason: str) -> None:
    assert said(sql)[alias][1] == reason


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("SELECT * FROM t WHERE org=tenure.current_tenant()", {"t": "source"}),
        ("SELECT * FROM t WHERE org=$1", {"t": "parameter"}),
        ("SELECT * FROM country", {"country": "exempt"}),
        ("SELECT * FROM t, s WHERE t.org=1", {"t": "parameter", "s": "open"}),
        ("UPDATE t SET x=1 WHERE id=$1", {"t": "by-key"}),
        ("SELECT * FROM t, s WHERE t.org=$1 AND s.org=$2", {"t": "two-tenants", "s": "parameter"}),
        ("SELECT * FROM t WHERE org=ANY($1)", {"t": "opaque"}),
        ("SELECT f(x) FROM t WHERE org=1", {"t": "unsupported"}),
        ("SELECT * FROM t WHERE false", {"t": "source"}),
    ],
)
def test_each_occurrence_has_its_kind(sql: str, kinds: dict[str, str]) -> None:
    assert {alias: kind for alias, (kind, _) in said(sql).items()} == kinds
