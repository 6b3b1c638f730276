"""Reports without a database: words, exports, judgements, and that every key is documented."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from retention.plan import Kept, Unit
from retention.reports import (
    alerts,
    commitments,
    connectors,
    erasures,
    handouts,
    inspections,
    offboardings,
    overview,
    paging,
    policies,
    presented,
    purged,
    reconciliation,
    registers,
    replays,
    restorations,
    run,
    runs,
    samples,
    schedule,
    trend,
    units,
    verification,
)
from retention.reports import changes as change_log
from retention.reports.export import jsonable, to_csv, to_json
from retention.reports.paging import MAX_SIZE, Page, PageRequest
from retention.reports.policies import Change, changes
from retention.reports.units import Done, outcome
from retention.reports.words import period_in_words, seconds_between, span_in_words
from tenants.context import TenantId

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "auditor.md"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("P10Y", "10 years"),
        ("P1Y", "1 year"),
        ("P18M", "1 year and 6 months"),
        ("P30D", "30 days"),
        ("P2W", "14 days"),
        ("P1Y2M3DT4H5M6S", "1 year, 2 months, 3 days, 4 hours, 5 minutes and 6 seconds"),
        ("PT90M", "1 hour and 30 minutes"),
        ("PT0.5S", "PT0.5S"),
        ("for ever", "for ever"),
        ("", ""),
    ],
)
def test_period_in_words(period, words):
    assert period_in_words(period) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0421, "42 ms"),
        (1, "1.0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 400, "400 d"),
        (-5, "-5.0 s"),
    ],
)
def test_span_in_words(seconds, words):
    assert span_in_words(timedelta(seconds=seconds)) == words


def test_seconds_between_is_none_without_an_end():
    assert seconds_between(NOON, None) is None
    assert seconds_between(NOON, NOON + timedelta(milliseconds=1500)) == 1.5


@dataclass(frozen=True)
class _Inner:
    rows: int


@dataclass(frozen=True)
class _Row:
    name: str | None
    at: datetime
    flag: bool
    share: float
    names: tuple[str, ...]
    inner: tuple[_Inner, ...]


def _row(name: str | None) -> _Row:
    return _Row(name, NOON, True, 0.5, ("a", "b"), (_Inner(1), _Inner(2)))


def test_instants_in_json_are_utc_with_z():
    berlin = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    assert jsonable(berlin) == "2026-01-31T12:00:00Z"
    value = uuid.UUID(int=7)
    assert jsonable({"id": value}) == {"id": "00000000-0000-0000-0000-000000000007"}


def test_json_starts_with_name_format_and_instant():
    report = json.loads(to_json("rows", _row("ä"), NOON))
    assert list(report)[:3] == ["report", "format", "generated_at"]
    assert report["name"] == "ä"
    assert report["inner"] == [{"rows": 1}, {"rows": 2}]


def test_csv_has_a_header_and_plain_cells():
    header, row = csv.reader(io.StringIO(to_csv(_Row, [_row(None)]), newline=""))
    assert header == ["name", "at", "flag", "share", "names", "inner"]
    assert row == ["", "2026-01-31T12:00:00Z", "true", "0.5", "a; b", '[{"rows": 1}, {"rows": 2}]']


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "－1"])
def test_csv_defuses_formulas(text):
    _, row = csv.reader(io.StringIO(to_csv(_Row, [_row(text)]), newline=""))
    assert row[0] == "'" + text


@pytest.mark.parametrize("text", ["a=1", "'=1", " x", "2026-01-31", "<b>", 'say "no"', "a,b\r\nc"])
def test_csv_leaves_other_texts_alone(text):
    _, row = csv.reader(io.StringIO(to_csv(_Row, [_row(text)]), newline=""))
    assert row[0] == text


def test_negative_numbers_are_numbers_in_csv():
    assert to_csv(_Inner, [_Inner(-3)]) == "rows\r\n-3\r\n"


@pytest.mark.parametrize(("number", "size"), [(0, 1), (1, 0), (1, MAX_SIZE + 1), (10**6, 1)])
def test_pages_are_bounded(number, size):
    with pytest.raises(ValueError, match=r"(page|size) \d+ is not from 1"):
        PageRequest(number, size)


def test_page_knows_whether_there_is_a_next():
    wanted = PageRequest(2, 3)
    assert wanted.window == {"limit": 4, "offset": 3}
    assert wanted.cut([1, 2, 3, 4]) == ((1, 2, 3), Page(2, 3, 3))
    assert wanted.cut([1, 2, 3]) == ((1, 2, 3), Page(2, 3, None))


def test_changes_name_what_differs():
    assert changes({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4, "d": None, "e": 5}) == (
        Change("b", 2, 4),
        Change("c", 3, None),
        Change("e", None, 5),
    )
    assert changes("text", {"a": 1}) == (Change("", "text", None), Change("a", None, 1))


def _unit(due: int, goes: tuple[tuple[str, int], ...], *kept: Kept) -> Unit:
    return Unit("p", TenantId(uuid.UUID(int=1)), "acme", due, goes, kept, 0)


GOES = _unit(2, (("shop.lines", 4), ("shop.invoices", 2)))
HELD = _unit(4, (), Kept("held", 4))
PAUSED = _unit(4, (), Kept("paused", 4))


@pytest.mark.parametrize(
    ("unit", "deleted", "roots", "same_terms", "expected"),
    [
        (GOES, 6, 2, True, "as planned"),
        (GOES, 3, 1, True, "fewer"),
        (GOES, 7, 2, True, "more"),
        (GOES, 9, 3, True, "beyond due"),
        (GOES, 6, 2, False, "other terms"),
        (_unit(0, ()), 0, 0, True, "kept"),
        (HELD, 0, 0, True, "kept"),
        (HELD, 1, 1, True, "beyond due"),
        (PAUSED, 2, 0, True, "beyond due"),
    ],
)
def test_outcome_of_a_unit(unit, deleted, roots, same_terms, expected):
    assert outcome(unit, deleted, roots, same_terms=same_terms) == expected


# Each dataclass of a report, and the heading under which docs/auditor.md has its keys.
DOCUMENTED = {
    overview.Overview: "Overview",
    runs.RunsReport: "Runs",
    runs.RunLine: "runs, run",
    run.RunReport: "A run",
    run.PlanLine: "plan",
    units.UnitLine: "units",
    run.InterventionLine: "interventions",
    units.KeptLine: "units",
    units.TableLine: "tables",
    units.RunTotals: "totals of a run",
    run.TableCount: "batches",
    run.BatchLine: "batches",
    run.BatchTableLine: "batch_tables",
    policies.PolicyReport: "A policy",
    policies.PolicyLine: "policies, current",
    policies.PolicyVersion: "versions",
    policies.Change: "versions",
    policies.TenantException: "exceptions",
    trend.VerificationsReport: "Verifications",
    trend.VerificationLine: "verifications, verification",
    trend.PolicyPoint: "trend",
    samples.SamplesReport: "Samples",
    samples.Population: "population",
    samples.Sample: "samples",
    presented.ErasedRow: "erased rows",
    presented.PurgedRow: "purged rows",
    commitments.Commitment: "commitments",
    commitments.Entered: "entries",
    reconciliation.StatementReport: "Reconciliation",
    reconciliation.Period: "period",
    reconciliation.AccountMark: "period",
    reconciliation.Balance: "balances",
    reconciliation.BookLine: "books",
    reconciliation.Population: "populations",
    verification.VerificationReport: "A verification",
    verification.Verification: "verifications, verification",
    verification.Check: "checks",
    verification.Totals: "totals of a verification",
    verification.Result: "results",
    registers.HoldsReport: "Holds",
    registers.HoldLine: "holds",
    registers.HoldEventLine: "events",
    registers.ReadsReport: "Reads",
    registers.ReadLine: "reads",
    paging.Page: "page",
    runs.GapLine: "gaps",
    runs.MissedLine: "missed",
    runs.NextLine: "next",
    runs.StopLine: "stops",
    schedule.ScheduleReport: "Schedule",
    schedule.ScheduleLine: "schedule",
    schedule.OwnTerm: "own_terms",
    alerts.AlertsReport: "Alerts",
    alerts.AlertLine: "alerts",
    change_log.ChangesReport: "Changes",
    change_log.ChangeLine: "changes",
    inspections.InspectionsReport: "Inspections",
    inspections.InspectionLine: "inspections, latest",
    erasures.ErasuresReport: "Erasures",
    erasures.ErasureLine: "erasures",
    erasures.WaitingLine: "waiting",
    erasures.ErasedLine: "erased",
    erasures.KeptLine: "kept",
    erasures.ErasureEventLine: "events of erasures",
    connectors.ConnectorsReport: "Connectors",
    connectors.ConnectorLine: "connectors",
    connectors.RequestLine: "requests",
    connectors.RequestEventLine: "events of connectors",
    handouts.ExportsReport: "Copies handed out",
    handouts.ExportLine: "exports",
    handouts.CertificateLine: "certificates",
    restorations.RestorationsReport: "Restorations",
    restorations.RestorationLine: "restorations",
    offboardings.OffboardingsReport: "Offboardings",
    offboardings.OffboardingLine: "offboardings",
    offboardings.StaysLine: "stays",
    replays.ReplaysReport: "Replays",
    replays.ReplayLine: "replays",
    replays.LeftLine: "left",
    replays.RecordLine: "records",
    purged.PurgedLine: "purged",
}


def test_every_report_has_its_place_in_the_document():
    modules = (
        overview, runs, run, units, policies, verification, trend, reconciliation, registers,
        paging, schedule, alerts, change_log, inspections, erasures, connectors, samples,
        commitments, presented, purged, offboardings, replays, handouts, restorations,
    )  # fmt: skip
    values = {
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, "__dataclass_fields__")
        and not name.startswith("_")
    }
    assert values - {PageRequest, Done, units.Worked, reconciliation.Figures} - {
        presented.Proven,
        commitments.Place,
    } == set(DOCUMENTED)


@pytest.mark.parametrize("value", DOCUMENTED, ids=lambda value: value.__name__)
def test_every_key_is_documented(value):
    sections = re.split(r"^### (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    text = dict(zip(sections[1::2], sections[2::2], strict=True))[DOCUMENTED[value]]
    named = set(re.findall(r"`([a-z_0-9]+)`", text))
    assert {field.name for field in fields(value)} <= named
