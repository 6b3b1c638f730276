"""When the period of each row ran from that went: kept beside its key's hash, in one order, of the
rows that went and no others; and whoever changes it is found."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention.deletions import key_hash
from retention.explain import Explanation, Question, explain
from retention.hold_scopes import Scope
from retention.ledger.audit import audit_ledger
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.publishing import Ledger, Outside
from retention.policy_records import set_period
from retention.reports.drawing import Draw, Presented
from retention.reports.samples import Sample, SamplesReport, samples_report
from retention.reports.scope import EVERYTHING
from tenants.catalog import TableName
from tenants.context import TenantId

from .test_reconciliation import findings
from .test_sweep import Citations, citations, sleep_at, wait_for_sleep

__all__ = ["citations"]

UNLIKE = "starting points that are not those of its record"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def kept(lab: Any, table: str) -> dict[str, date | None]:
    """Return when each row that went started, by its key's hash; read by the format alone."""
    found: dict[str, date | None] = {}
    for hashes, starts in lab.sql(
        "SELECT hashes, starts FROM tenure.deleted_keys WHERE table_name = %s", (table,)
    ):
        parts = [bytes(hashes)[at : at + 16].hex() for at in range(0, len(bytes(hashes)), 16)]
        if starts is None:
            found |= dict.fromkeys(parts)
        elif len(bytes(starts)) == 4 * len(parts):
            days = struct.unpack(f">{len(parts)}i", bytes(starts))
            found |= {p: EPOCH.date() + timedelta(d) for p, d in zip(parts, days, strict=True)}
        else:
            instants = struct.unpack(f">{len(parts)}q", bytes(starts))
            found |= {
                p: EPOCH + timedelta(microseconds=i) for p, i in zip(parts, instants, strict=True)
            }
    return found


def there(lab: Any, table: str, column: str) -> dict[str, date | None]:
    return {
        key_hash(UUID(row)).hex(): started
        for row, started in lab.sql(f"SELECT id::text, {column} FROM {table}")
    }


def ask(lab: Any, asked: Draw | Presented) -> SamplesReport:
    with lab.installation.auditor.transaction(
        None, isolation="REPEATABLE READ", read_only=True
    ) as cursor:
        return samples_report(cursor, EVERYTHING, datetime.now(UTC), asked)


def sample(lab: Any, key: str) -> Sample:
    (found,) = ask(lab, Presented(UUID(key))).samples
    return found


@pytest.fixture
def ledger(lab: Any, tmp_path: Path) -> Ledger:
    (tmp_path / "checkpoints").mkdir()
    create_key(tmp_path / "ledger.key", "ledger.example/acme")
    outside = Outside(
        "ledger.example/acme", tmp_path / "ledger.key", Folder(tmp_path / "checkpoints")
    )
    return Ledger(lab.installation.retention, outside, "test")


# -- what is kept, of which rows


def test_a_sweep_keeps_when_each_of_its_rows_started(lab: Any, citations: Citations) -> None:
    citations.add(7, apart=timedelta(days=1, microseconds=123_457))
    before = there(lab, "lab.citations", "cited_at")
    citations.run()
    assert kept(lab, "lab.citations") == before
    assert len(set(before.values())) == 7


def test_where_rows_are_locked_one_by_one_the_same_is_kept(lab: Any, acme: TenantId) -> None:
    for number in range(7):
        lab.case(acme, opened=lab.long_ago - timedelta(days=number), files=1)
    before = there(lab, "lab.cases", "opened")
    lab.run()
    assert kept(lab, "lab.cases") == before
    assert set(kept(lab, "lab.pages").values()) == {None}


def test_days_before_the_epoch_and_instants_long_before_are_kept(
    lab: Any, acme: TenantId, citations: Citations
) -> None:
    lab.case(acme, opened=datetime(1848, 3, 18, tzinfo=UTC))
    lab.add("citations", acme, page_id=citations.page, cited_at=datetime(1, 1, 2, 3, tzinfo=UTC))
    cases = {k: v for k, v in there(lab, "lab.cases", "opened").items() if v != lab.lately.date()}
    cited = there(lab, "lab.citations", "cited_at")
    lab.run()
    assert kept(lab, "lab.cases") == cases
    assert kept(lab, "lab.citations") == cited


@pytest.mark.parametrize("started", ["-infinity", "4000-01-01 BC"])
def test_what_python_has_no_date_for_goes_and_is_called_unknown(
    lab: Any, citations: Citations, started: str
) -> None:
    row = lab.add("citations", citations.tenant, page_id=citations.page, cited_at=started)
    assert citations.run().rows == 1
    ((starts,),) = lab.sql("SELECT starts FROM tenure.deleted_keys")
    assert lab.sql("SELECT timestamptz_send(%s)", (started,)) == [(starts,)]
    found = sample(lab, row)
    assert (found.started_at, found.due_at, found.was_due) == (None, None, None)


def test_a_row_that_a_sweep_passed_over_has_none(lab: Any, citations: Citations) -> None:
    rows = citations.add(5)
    before = there(lab, "lab.citations", "cited_at")
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT FROM lab.citations WHERE id = %s FOR UPDATE", (rows[1],))
        citations.run()
    locked = key_hash(UUID(rows[1])).hex()
    assert kept(lab, "lab.citations") == {k: v for k, v in before.items() if k != locked}


def test_a_row_that_started_anew_in_mid_batch_has_none_and_the_others_their_own(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(3)
    before = there(lab, "lab.citations", "cited_at")
    sleep_at(lab, rows[0])
    runner = threading.Thread(target=citations.run)
    runner.start()
    wait_for_sleep(lab)
    lab.sql("UPDATE lab.citations SET cited_at = %s WHERE id = %s", (lab.lately, rows[2]))
    lab.sql(
        "UPDATE lab.citations SET cited_at = cited_at - interval '1 year' WHERE id = %s",
        (rows[1],),
    )
    runner.join(20)
    hashes = [key_hash(UUID(row)).hex() for row in rows]
    moved = before[hashes[1]]
    assert isinstance(moved, datetime)
    assert kept(lab, "lab.citations") == {
        hashes[0]: before[hashes[0]],
        hashes[1]: moved.replace(year=moved.year - 1),
    }


def test_rows_under_hold_or_referred_to_have_none(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme, opened=lab.long_ago - timedelta(days=n), files=1) for n in range(3)]
    lab.hold(acme, Scope("rows", table=TableName("lab", "cases"), rows=(UUID(cases[0]),)))
    ((page,),) = lab.sql(
        "SELECT min(p.id::text) FROM lab.pages p JOIN lab.files f ON f.id = p.file_id"
        " WHERE f.case_id = %s",
        (cases[1],),
    )
    lab.add("citations", acme, page_id=page, cited_at=lab.lately)
    before = there(lab, "lab.cases", "opened")
    lab.run()
    went = key_hash(UUID(cases[2])).hex()
    assert kept(lab, "lab.cases") == {went: before[went]}


def test_as_many_as_there_are_hashes_or_nothing_commits(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.case(acme)
    lab.run()
    lab.sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER append_only")
    for starts in (
        "starts || starts || starts", "substr(starts, 5)", "''::bytea", "starts || '\\x00'::bytea",
    ):  # fmt: skip
        with pytest.raises(psycopg2.errors.CheckViolation):
            lab.sql(f"UPDATE tenure.deleted_keys SET starts = {starts}")


def test_the_batch_is_committed_to_them(lab: Any, acme: TenantId, citations: Citations) -> None:
    citations.add(4)
    lab.case(acme, files=1)
    lab.run()
    rows = lab.sql(
        "SELECT k.table_name, b.counts->k.table_name->>'starts_sha256',"
        " encode(sha256(k.starts), 'hex'), e.body->'record'->'counts' = b.counts"
        " FROM tenure.deleted_keys k JOIN tenure.batches b ON b.id = k.batch_id"
        " JOIN tenure.ledger_entries e ON e.row_key = b.run_id || '/' || b.id"
    )
    assert {table for table, *_ in rows} >= {"lab.cases", "lab.citations", "lab.pages"}
    for table, said, computed, entered in rows:
        assert said == computed
        assert (said is None) == (table not in ("lab.cases", "lab.citations"))
        assert entered


# -- what is said of a row


def explained(lab: Any, table: str, key: str) -> Explanation:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        (found,) = explain(
            cursor,
            Question(TableName("lab", table), UUID(key)),
            catalog=lab.catalog,
            policies=lab.policies,
            held_by=lambda *_: (),
            now=lab.now,
        )
    return found


def test_a_key_leads_to_when_its_period_began_and_when_it_was_due(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, opened=datetime(2020, 1, 31, tzinfo=UTC), files=1)
    page = min(lab.ids("pages"))
    lab.case(acme, opened=datetime(2019, 5, 6, tzinfo=UTC))
    lab.run()
    found = sample(lab, case)
    assert (found.started_at, found.along_from, found.along_until) == (
        date(2020, 1, 31), None, None,
    )  # fmt: skip
    due = datetime(2021, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert (found.due_at, found.was_due) == (due, True)
    assert found.due_at < found.due_by < found.purged_at
    along = sample(lab, page)
    assert (along.started_at, along.along_from, along.along_until) == (
        None, date(2019, 5, 6), date(2020, 1, 31),
    )  # fmt: skip
    assert (along.due_at, along.was_due) == (due, True)
    for table, key, said in (("cases", case, found), ("pages", page, along)):
        (deletion,) = explained(lab, table, key).to_json()["deletions"]
        names = ("started_at", "along_from", "along_until", "due_at")
        assert [deletion[name] for name in names] == [getattr(said, name) for name in names]


def test_a_tenants_own_period_says_when_a_row_of_its_was_due(lab: Any, acme: TenantId) -> None:
    policies = tuple(replace(p, minimum="P1D", maximum="P9Y") for p in lab.policies)
    shop = lab.shop(policies=policies)
    shop.record()
    (policy,) = (p for p in policies if p.name == "cases")
    case = lab.case(acme, opened=datetime(2020, 1, 31, tzinfo=UTC))
    set_period(lab.installation.retention, acme, policy, "P2M", actor="test")
    lab.run(shop)
    due = datetime(2020, 3, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert sample(lab, case).due_at == due
    assert explained(lab, "cases", case).deletions[0].due_at == due


def test_each_form_of_the_report_says_it(lab: Any, acme: TenantId, tenure: Any) -> None:
    case = lab.case(acme, opened=datetime(2020, 1, 31, tzinfo=UTC))
    lab.run()
    asked = ("report", "samples", "--key", case)
    text = tenure(*asked).stdout
    assert "which was 2020-01-31" in text
    assert "2021-01-31 23:59:59" in text
    header, line, *_ = tenure(*asked, "--format", "csv").stdout.splitlines()
    row = dict(zip(header.split(","), line.split(","), strict=False))
    assert row["started_at"] == "2020-01-31"
    assert json.loads(tenure(*asked, "--format", "json").stdout)["samples"][0]["started_at"] == (
        "2020-01-31"
    )
    tenure(*asked, "--proofs", "proofs", "--format", "pdf", "--output", "s.pdf")


def test_drawn_samples_have_each_their_own(lab: Any, citations: Citations) -> None:
    citations.add(9, apart=timedelta(hours=7))
    before = there(lab, "lab.citations", "cited_at")
    citations.run()
    drawn = ask(lab, Draw(9, "q3")).samples
    assert {s.key_hash: s.started_at for s in drawn} == before
    assert all(s.was_due for s in drawn)


# -- who changes it is found


@pytest.fixture
def intruder(lab: Any) -> Iterator[Any]:
    """A superuser, whom no trigger stops."""
    with closing(psycopg2.connect(lab.installation.settings.database_url)) as connection:
        connection.autocommit = True

        def sql(statement: str) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")
                cursor.execute(statement)

        yield sql


TAMPERINGS = {
    "one day earlier": "SET starts = date_send('2015-12-06'::date) || substr(starts, 5)",
    "two rows' exchanged": "SET starts = substr(starts, 5, 4) || substr(starts, 1, 4)"
    " || substr(starts, 9)",
    "taken away": "SET starts = NULL",
    "given to who went along": "SET starts = substr(hashes, 1, octet_length(hashes) / 4)",
}


@pytest.mark.parametrize("change", TAMPERINGS)
def test_a_starting_point_that_was_changed_is_found(
    lab: Any, acme: TenantId, ledger: Ledger, intruder: Any, change: str, tenure: Any
) -> None:
    along = change == "given to who went along"
    cases = [
        lab.case(acme, opened=lab.long_ago - timedelta(days=n), files=int(along)) for n in range(3)
    ]
    lab.run()
    ledger.publish(wait=True)
    asked = min(lab.sql("SELECT id::text FROM lab.pages"), default=(cases[1],))[0]
    assert sample(lab, asked).proof == "proven"
    assert audit_ledger(lab.installation.verifier, ledger.outside).findings == ()
    table = "lab.pages" if along else "lab.cases"
    intruder(f"UPDATE tenure.deleted_keys {TAMPERINGS[change]} WHERE table_name = '{table}'")
    (finding,) = audit_ledger(lab.installation.verifier, ledger.outside).findings
    assert (finding.check, table in finding.subject) == ("keys", True)
    assert finding.detail == UNLIKE
    done = tenure("ledger", "verify")
    assert done.exit_code == 1
    assert UNLIKE in done.output
    if not along:
        assert "starting points" in sample(lab, asked).proof
    assert {kind for kind, _ in findings(lab.verify())} == {"records"}


def test_the_bounds_of_a_row_that_went_along_are_proven_or_are_not(
    lab: Any, acme: TenantId, ledger: Ledger, intruder: Any
) -> None:
    lab.case(acme, files=1)
    page = min(lab.ids("pages"))
    lab.run()
    ledger.publish(wait=True)
    assert sample(lab, page).proof == "proven"
    intruder(
        "UPDATE tenure.deleted_keys SET starts = date_send('1999-01-01') WHERE starts IS NOT NULL"
    )
    found = sample(lab, page)
    assert found.along_from == date(1999, 1, 1)
    assert "starting points" in found.proof


# -- what was there before


def test_batches_from_before_are_as_good_as_they_were(
    lab: Any, acme: TenantId, ledger: Ledger, intruder: Any
) -> None:
    """As migration 0025 finds them: without the column, and with no word of it in the entry."""
    case = lab.case(acme)
    lab.run()
    intruder("UPDATE tenure.deleted_keys SET starts = NULL")
    intruder("UPDATE tenure.batches SET counts = jsonb_set(counts, '{lab.cases}',"
             " (counts->'lab.cases') - 'starts_sha256'::text)")  # fmt: skip
    intruder("UPDATE tenure.ledger_entries SET body = jsonb_set(body,"
             " '{record,counts,lab.cases}', (body->'record'->'counts'->'lab.cases')"
             " - 'starts_sha256'::text) WHERE kind = 'batch'")  # fmt: skip
    ledger.publish(wait=True)
    assert audit_ledger(lab.installation.verifier, ledger.outside).findings == ()
    assert lab.verify().findings == 0
    found = sample(lab, case)
    assert found.proof == "proven"
    assert (found.started_at, found.due_at, found.was_due) == (None, None, None)
    (deletion,) = explained(lab, "cases", case).deletions
    assert (deletion.started.at, deletion.due_at) == (None, None)


def test_dates_that_are_put_into_a_batch_from_before_are_found(
    lab: Any, acme: TenantId, ledger: Ledger, intruder: Any
) -> None:
    lab.case(acme, files=1)
    lab.run()
    ledger.publish(wait=True)
    intruder("UPDATE tenure.deleted_keys SET starts = date_send('2015-01-01')"
             " WHERE table_name = 'lab.files'")  # fmt: skip
    (finding,) = audit_ledger(lab.installation.verifier, ledger.outside).findings
    assert finding.detail == UNLIKE
