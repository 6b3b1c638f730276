"""Suppressions that end, and those of the configuration."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from lint_support import prover

from lint.allowances import Allowance
from lint.assembly import View, assemble
from lint.gate import Gate
from lint.inputs.sources import sql_source
from lint.report import Report

TODAY = datetime.date(2026, 6, 15)
LAST, GONE = TODAY, TODAY - datetime.timedelta(days=1)


def run(
    tmp_path: Path,
    *allowances: Allowance,
    text: str = "SELECT * FROM t",
    name: str = "reports/a.sql",
    complete: bool = True,
) -> Report:
    gate = Gate(prover())
    (tmp_path / "tenure.toml").write_text('[[lint.suppress]]\npath = "reports"\n')
    view = View(allowances, tmp_path, tmp_path / "tenure.toml", today=TODAY, complete=complete)
    return assemble([gate.judge(sql_source(str(tmp_path / name), text))], view)


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


def test_a_path_is_allowed_with_its_reason(tmp_path: Path) -> None:
    report = run(tmp_path, Allowance("reports", ("TS001",), "they cover all tenants"))
    assert codes(report) == []
    (finding,) = report.suppressed
    assert (finding.allowed, finding.external) == ("they cover all tenants", True)
    assert report.judged[0].allowed == ("they cover all tenants",)
    assert report.summary()["suppressed"] == 1


@pytest.mark.parametrize(
    ("path", "given", "found"),
    [("reports/*.sql", "TS002", ["TS011", "TS001"]), ("other", "TS001", ["TS011", "TS001"])],
)
def test_another_path_or_code_is_not_allowed_and_the_entry_is_unused(
    tmp_path: Path, path: str, given: str, found: list[str]
) -> None:
    assert sorted(codes(run(tmp_path, Allowance(path, (given,), "so")))) == sorted(found)


def test_an_unused_entry_is_found_where_it_stands(tmp_path: Path) -> None:
    report = run(tmp_path, Allowance("reports", ("TS001", "TS006"), "so"))
    (finding,) = report.findings
    assert (finding.code, finding.line) == ("TS011", 2)
    assert Path(finding.path) == tmp_path / "tenure.toml"
    assert "TS006" in finding.message
    assert finding.shown == 'path = "reports"'


def test_a_part_of_the_files_does_not_say_what_is_unused(tmp_path: Path) -> None:
    assert codes(run(tmp_path, Allowance("x", ("TS001",), "so"), complete=False)) == ["TS001"]


@pytest.mark.parametrize(("expires", "expected"), [(LAST, []), (GONE, ["TS001"]), (None, [])])
def test_an_entry_ends_after_its_day(
    tmp_path: Path, expires: datetime.date | None, expected: list[str]
) -> None:
    report = run(tmp_path, Allowance("reports", ("TS001",), "so", expires))
    assert codes(report) == expected
    if expected:
        assert f"allowed until {GONE}" in report.findings[0].message


def test_of_two_entries_the_one_that_lasts_counts(tmp_path: Path) -> None:
    entries = (
        Allowance("reports", ("TS001",), "old", GONE),
        Allowance("*.sql", ("TS001",), "new", LAST),
    )
    assert codes(run(tmp_path, *entries)) == []


@pytest.mark.parametrize(("until", "expected"), [(LAST, []), (GONE, ["TS001"])])
def test_a_comment_ends_after_its_day(
    tmp_path: Path, until: datetime.date, expected: list[str]
) -> None:
    text = f"-- tenure: allow TS001 until {until} because so\nSELECT * FROM t"
    report = run(tmp_path, text=text)
    assert codes(report) == expected
    assert report.judged[0].allowed == (() if expected else ("so",))


@pytest.mark.parametrize("until", ["2026-13-01", "tomorrow", "20260101"])
def test_a_comment_with_no_day_is_a_finding(tmp_path: Path, until: str) -> None:
    text = f"-- tenure: allow TS001 until {until} because so\nSELECT * FROM t"
    assert codes(run(tmp_path, text=text)) == ["TS010", "TS001"]


def test_of_two_comments_the_one_that_lasts_counts(tmp_path: Path) -> None:
    text = (
        f"-- tenure: allow TS001 until {GONE} because old\n"
        "-- tenure: allow TS001 because new\nSELECT * FROM t"
    )
    assert codes(run(tmp_path, text=text)) == []
