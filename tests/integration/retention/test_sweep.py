"""A table that stands alone is swept: choosing, committing to the keys and deleting are one
statement. What others do to its rows meanwhile must cost them nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention import deletions, holds
from retention.executor import Options, RunReport
from retention.jobs import run_once
from retention.plan import Plan
from retention.rules import rule_of
from retention.statements import Statements
from tenants.catalog import TableName
from tenants.context import TenantId

CITATIONS = TableName("lab", "citations")
WAIT_S = 10.0


class Citations:
    """Citations of one page, and runs of their policy alone, three rows a batch."""

    def __init__(self, lab: Any, tenant: TenantId) -> None:
        self.lab, self.tenant = lab, tenant
        lab.case(tenant, opened=lab.lately, files=1)
        self.page = min(lab.ids("pages"))
        (self.policy,) = (p for p in lab.policies if p.name == "citations")

    def add(self, count: int, *, apart: timedelta = timedelta(days=1)) -> list[str]:
        """Add expired rows; return their ids, in the order of their starting points."""
        return [
            self.lab.add(
                "citations",
                self.tenant,
                page_id=self.page,
                cited_at=self.lab.long_ago + number * apart,
            )
            for number in range(count)
        ]

    def run(self, **options: Any) -> RunReport:
        chosen = Options(**{"batch_size": 3, "lock_timeout_ms": 300, **options})
        report: RunReport = self.lab.run(self.lab.shop(policies=(self.policy,), options=chosen))
        return report

    def assert_recorded(self, gone: list[str]) -> None:
        """Exactly these rows are in the records, by count, digest and key."""
        assert self.lab.recorded() == ({"lab.citations": len(gone)} if gone else {})
        for row in gone:
            with self.lab.installation.auditor.transaction(None) as cursor:
                assert len(deletions.find(cursor, self.tenant, CITATIONS, UUID(row))) == 1
        assert self.lab.sql(
            "SELECT count(*) FROM tenure.deleted_keys k JOIN tenure.batches b ON b.id = k.batch_id"
            " WHERE (b.counts->k.table_name->>'rows')::int <> octet_length(k.hashes) / 16"
            " OR b.counts->k.table_name->>'sha256' <> encode(sha256(k.hashes), 'hex')"
        ) == [(0,)]


@pytest.fixture
def citations(lab: Any, acme: TenantId) -> Citations:
    return Citations(lab, acme)


def test_what_is_due_goes_and_is_recorded_by_its_keys(lab: Any, citations: Citations) -> None:
    gone = citations.add(7)
    young = lab.add("citations", citations.tenant, page_id=citations.page, cited_at=lab.lately)
    undated = lab.add("citations", citations.tenant, page_id=citations.page, cited_at=None)
    report = citations.run()
    assert (report.state, report.rows, report.units[0].left) == ("succeeded", 7, 0)
    assert lab.ids("citations") == {young, undated}
    assert report.units[0].batches == 3
    citations.assert_recorded(gone)


def test_a_batch_costs_seven_round_trips(citations: Citations) -> None:
    citations.add(2)
    one = citations.run().round_trips
    citations.add(8)
    assert citations.run().round_trips - one == 2 * 7


def test_rows_of_one_starting_point_go_over_many_batches(lab: Any, citations: Citations) -> None:
    gone = citations.add(10, apart=timedelta(0))
    assert citations.run().rows == 10
    assert lab.ids("citations") == set()
    citations.assert_recorded(gone)


def test_rows_that_were_locked_once_go_all_the_same(lab: Any, citations: Citations) -> None:
    # More of them than a batch has, of one starting point: a sweep alone would never get on.
    gone = citations.add(8, apart=timedelta(0))
    lab.sql("SELECT FROM lab.citations FOR UPDATE")
    ((locked_once,),) = lab.sql("SELECT count(*) FROM lab.citations WHERE xmax <> '0'::xid")
    assert locked_once == 8
    report = citations.run()
    assert (report.state, report.rows) == ("succeeded", 8)
    citations.assert_recorded(gone)


def test_a_sweep_that_comes_to_nothing_ends_no_slice(lab: Any, citations: Citations) -> None:
    """Where each batch takes as long as a slice, whoever has the next would sweep in vain again."""
    gone = citations.add(8, apart=timedelta(0))
    lab.sql("SELECT FROM lab.citations FOR UPDATE")
    batches = 0

    def stop() -> bool:
        return batches > 40

    def count(step: str) -> None:
        nonlocal batches
        batches += step == "gate"

    report = citations.run(slice_s=0, stop=stop, on_step=count)
    assert (report.state, report.rows) == ("succeeded", 8)
    citations.assert_recorded(gone)


def test_a_locked_row_is_passed_over_and_then_waited_for(lab: Any, citations: Citations) -> None:
    rows = citations.add(5)
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM lab.citations WHERE id = %s FOR UPDATE", (rows[1],))
        steps: list[str] = []
        report = citations.run(on_step=steps.append)
        assert lab.ids("citations") == {rows[1]}
        assert report.state == "succeeded_with_skips"
        assert "locked by others (1 rows)" in report.detail
        # The sweep over it went through at the first attempt.
        assert steps[2:7] == ["selected", "locked", "deleted", "recorded", "committed"]
    finally:
        other.close()
    assert citations.run().rows == 1
    citations.assert_recorded(rows)


def sleep_at(lab: Any, row: str) -> None:
    """Have the deletion of one row take a second, under a lock that shows it."""
    lab.sql(
        "CREATE FUNCTION lab.sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
        " PERFORM pg_advisory_xact_lock(1), pg_sleep(1); RETURN OLD; END'"
    )
    lab.sql(
        "CREATE TRIGGER sleep BEFORE DELETE ON lab.citations FOR EACH ROW"
        f" WHEN (OLD.id = '{row}') EXECUTE FUNCTION lab.sleep()"
    )


def wait_for_sleep(lab: Any) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if lab.sql(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ):
            return
        pause.wait(0.01)
    raise AssertionError("nobody sleeps")


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ("UPDATE lab.citations SET cited_at = %s WHERE id = %s", True),
        # Still due, and no longer the row that was chosen.
        ("UPDATE lab.citations SET cited_at = %s - interval '3000 days' WHERE id = %s", False),
    ],
)
def test_a_row_that_is_changed_between_choosing_and_deleting_is_looked_at_again(
    lab: Any, citations: Citations, change: str, stays: bool
) -> None:
    rows = citations.add(3)
    sleep_at(lab, rows[0])
    steps: list[str] = []
    reports: list[RunReport] = []
    runner = threading.Thread(target=lambda: reports.append(citations.run(on_step=steps.append)))
    runner.start()
    wait_for_sleep(lab)
    lab.sql(change, (lab.lately, rows[2]))
    runner.join(WAIT_S)
    # The sweep found one row fewer than it had chosen, and was done again under locks.
    assert steps[:5] == ["gate", "checked", "gate", "checked", "selected"]
    assert reports[0].state == "succeeded", reports[0].detail
    assert lab.ids("citations") == ({rows[2]} if stays else set())
    citations.assert_recorded(rows[: 2 if stays else 3])


def test_a_row_that_is_deleted_between_choosing_and_deleting_is_not_recorded(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(3)
    sleep_at(lab, rows[0])
    runner = threading.Thread(target=citations.run)
    runner.start()
    wait_for_sleep(lab)
    lab.sql("DELETE FROM lab.citations WHERE id = %s", (rows[2],))
    runner.join(WAIT_S)
    assert lab.ids("citations") == set()
    citations.assert_recorded(rows[:2])


def test_a_row_that_is_locked_between_choosing_and_deleting_is_not_waited_for_long(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(3)
    sleep_at(lab, rows[0])
    reports: list[RunReport] = []
    runner = threading.Thread(target=lambda: reports.append(citations.run()))
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        runner.start()
        wait_for_sleep(lab)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM lab.citations WHERE id = %s FOR UPDATE", (rows[2],))
        runner.join(WAIT_S)
        assert lab.ids("citations") == {rows[2]}
        assert reports[0].state == "succeeded_with_skips"
    finally:
        other.close()
    citations.assert_recorded(rows[:2])


def test_a_foreign_key_unknown_to_the_catalog_costs_its_row_and_no_other(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(9)
    options = Options(batch_size=3, lock_timeout_ms=300)
    shop = lab.shop(policies=(citations.policy,), options=options)

    def planned() -> Plan:
        # After the policies were checked against the database, which finds such a key.
        lab.sql(
            "CREATE TABLE lab.stowaways (tenant_id uuid, citation_id uuid,"
            " FOREIGN KEY (tenant_id, citation_id) REFERENCES lab.citations (tenant_id, id))"
        )
        lab.sql("INSERT INTO lab.stowaways VALUES (%s, %s)", (str(citations.tenant), rows[4]))
        made: Plan = shop.plan()
        return made

    report = run_once(shop, planned)
    assert lab.ids("citations") == {rows[4]}
    assert report.state == "succeeded_with_skips"
    assert "foreign key that is not in the catalog (1 rows)" in report.detail
    citations.assert_recorded([row for row in rows if row != rows[4]])


def test_rows_that_can_be_seen_and_not_deleted_are_a_failure(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(2)
    lab.sql("DROP POLICY retention ON lab.citations")
    lab.sql("CREATE POLICY r ON lab.citations FOR SELECT TO tenure_retention USING (true)")
    report = citations.run()
    assert report.state == "failed"
    assert "lost its UPDATE policy" in report.detail
    assert lab.ids("citations") == set(rows)
    citations.assert_recorded([])


def test_a_hold_waits_for_the_open_sweep_and_then_nothing_more_goes(
    lab: Any, citations: Citations
) -> None:
    rows = citations.add(6)
    reached, proceed, placed = threading.Event(), threading.Event(), threading.Event()

    def on_step(step: str) -> None:
        if step == "deleted" and not reached.is_set():
            reached.set()
            assert proceed.wait(WAIT_S)
        if step == "committed" and not placed.is_set():
            assert placed.wait(WAIT_S)

    def hold() -> None:
        holds.place(lab.installation.retention, citations.tenant, matter="m", reason="r", actor="t")
        placed.set()

    runner = threading.Thread(target=lambda: citations.run(on_step=on_step, lock_timeout_ms=5000))
    runner.start()
    assert reached.wait(WAIT_S)
    placer = threading.Thread(target=hold)
    placer.start()
    lab.wait_for_a_waiter()
    assert not placed.is_set(), "the hold went past an open batch"
    proceed.set()
    placer.join(WAIT_S)
    runner.join(WAIT_S)
    assert lab.ids("citations") == set(rows[3:])
    citations.assert_recorded(rows[:3])


def test_the_sweep_says_tenant_and_cutoff_again(lab: Any, citations: Citations) -> None:
    family = citations.policy.family(lab.catalog)
    statements = Statements(family, rule_of(citations.policy, (), lab.catalog, lab.now))
    assert statements.may_sweep
    chosen, _, deleted = (
        statements.sweep(after=True).as_string(lab.owner).partition(') DELETE FROM "lab"')
    )
    for part in (chosen, deleted):
        assert "tenant_id = %(tenant)s::uuid" in part
        assert '"cited_at" < %(cutoff)s' in part


def test_a_table_to_which_something_refers_is_not_swept(lab: Any) -> None:
    for policy in lab.policies:
        family = policy.family(lab.catalog)
        rule = rule_of(policy, (), lab.catalog, lab.now)
        assert Statements(family, rule).may_sweep == (policy.name == "citations")
