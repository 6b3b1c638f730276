"""Every case of the case table and of the hostile list, against its verdict."""

from __future__ import annotations

import pytest
from lint_support import Case, cases, prover

_ALL = [*cases("table.sql"), *cases("hostile.sql"), *cases("near_misses.sql")]


@pytest.mark.parametrize("case", _ALL, ids=lambda case: case.title)
def test_verdict(case: Case) -> None:
    verdict = prover().prove_text(case.sql)
    told = f"{verdict.verdict} ({verdict.kind}): {verdict.reason}"
    assert verdict.verdict == case.verdict, f"{case.sql}\n{told}"
    if case.kind is not None:
        assert verdict.kind == case.kind, f"{case.sql}\n{told}"


def test_titles_are_unique() -> None:
    titles = [case.title for case in _ALL]
    assert len(set(titles)) == len(titles)


def _weakened(sql: str) -> str:
    """The statement with every plain comparison of a tenant column taken away."""
    for value in ("=1", " = 1", "=$1", "=:tenant_id", "=%(tenant_id)s", "=%(org)s", "='1'"):
        sql = sql.replace(f"org{value}", "org IS NOT NULL")
    return sql.replace("org=tenure.current_tenant()", "org IS NOT NULL")


@pytest.mark.parametrize(
    "case",
    [c for c in _ALL if c.verdict == "scoped" and _weakened(c.sql) != c.sql],
    ids=lambda case: case.title,
)
def test_a_scoped_statement_is_no_more_so_once_its_predicates_are_gone(case: Case) -> None:
    weaker = _weakened(case.sql)
    assert prover().prove_text(weaker).verdict != "scoped", weaker
