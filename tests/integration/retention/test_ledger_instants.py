"""What is said of when something was done: by the database's clock, and close to its entry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from api.wiring import Installation, migrator_of
from retention.alerts import LEDGER, MISSED, VERIFIED, Alert, Looked, raise_alerts
from retention.ledger.audited_instants import DONE, OTHER
from retention.ledger.manifest import shipped
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import INSTANTS
from retention.schedule import Taken, keep_watch, mark
from tenants.context import TenantId

from .test_ledger_audit import Intruder, Scene, audit, checks, scene
from .test_ledger_feeding import down_to, entries
from .test_ledger_publishing import ledger

__all__ = ["ledger", "scene"]

STAMPED = import_module("migrations.0026_evidence").STAMPED
NOW = datetime.now(UTC)


@pytest.mark.parametrize(("table", "role"), STAMPED)
def test_no_role_says_when_it_wrote_evidence(lab: Any, table: str, role: str) -> None:
    connection = psycopg2.connect(lab.installation.settings.role_url(role))
    for column in STAMPED[table, role]:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(f"INSERT INTO tenure.{table} ({column}) VALUES ('2025-01-01')")
        connection.rollback()
    connection.close()


def test_all_instants_that_rows_have_by_default_are_the_databases(lab: Any) -> None:
    """A role with the right to add rows may name every column but these."""
    free = {
        (table, role, column)
        for table, role, column in lab.sql(
            "SELECT c.relname, r.role, a.attname FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_attrdef d ON d.adrelid = c.oid"
            "  AND d.adnum = a.attnum CROSS JOIN unnest(ARRAY['tenure_app', 'tenure_retention',"
            "  'tenure_verifier', 'tenure_auditor']) AS r(role)"
            " WHERE c.relnamespace = 'tenure'::regnamespace"
            "  AND pg_get_expr(d.adbin, d.adrelid) ~ '^(now|clock_timestamp)\\('"
            "  AND has_column_privilege(r.role, c.oid, a.attnum, 'INSERT')"
        )
    }
    assert free == {
        # When it is tried next is no evidence.
        ("connector_requests", "tenure_retention", "next_attempt_at"),
        # The grace is counted from it in the same statement. The ledger's audit compares it.
        ("offboardings", "tenure_retention", "requested_at"),
        ("offboardings", "tenure_app", "requested_at"),
    }


def test_every_instant_that_enters_is_known_to_be_of_then_or_not(lab: Any) -> None:
    instants = {
        (table, column)
        for table, column in lab.sql(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'tenure'::regnamespace AND a.attnum > 0"
            " AND a.atttypid = 'timestamptz'::regtype"
        )
    }
    entered = {
        (table.name, column)
        for table in shipped().tables
        for column in table.plain
        if (table.name, column) in instants
    }
    of_then = {(table, column) for table, columns in DONE.items() for column in columns}
    of_else = {(table, column) for table, columns in OTHER.items() for column in columns}
    assert not of_then & of_else
    assert of_then | of_else == entered


def place_back(intruder: Intruder) -> None:
    """As the owner, for no role that serves may."""
    intruder.lab.sql(
        "INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by, placed_at)"
        " SELECT id, gen_random_uuid(), 'm', 'r', 'a', '2025-01-01' FROM tenure.tenants"
    )


def release_back(intruder: Intruder) -> None:
    ((tenant,),) = intruder.lab.sql("SELECT id FROM tenure.tenants")
    intruder.lab.hold(TenantId(UUID(str(tenant))))
    with intruder.lab.installation.retention.transaction(tenant) as cursor:
        cursor.execute(
            "UPDATE tenure.holds SET released_by = 'x', released_at = '2025-01-01',"
            " effective_at = '2025-01-01' WHERE released_at IS NULL"
        )


def fill_in_a_missed_night(intruder: Intruder) -> None:
    with intruder.lab.installation.retention.transaction(None) as cursor:
        mark(cursor, Taken("verification", NOW - timedelta(days=9), 0), NOW - timedelta(days=9))


def begin_before(intruder: Intruder) -> None:
    """As the owner, for no role that serves may."""
    intruder.lab.sql(
        "INSERT INTO tenure.watches (id, began_at, last_at, ticks)"
        " VALUES (gen_random_uuid(), '2025-01-01', now(), 9)"
    )


def stamp_by_a_default(intruder: Intruder) -> None:
    intruder.lab.sql("ALTER TABLE tenure.interventions ALTER taken_at SET DEFAULT '2025-01-01'")
    intruder.lab.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
    )


def enter_a_nonsense(intruder: Intruder) -> None:
    """What is no instant at all cannot stop the audit."""
    intruder.sql(
        "INSERT INTO tenure.ledger_entries (id, kind, source, row_key, body) VALUES"
        " (gen_random_uuid(), 'intervention', 'interventions', '0', '{\"record\": {\"number\": 0,"
        ' "taken_at": "2026-13-45T99:99:99+00:00"}, "commitments": {}}\')'
    )


@pytest.mark.parametrize(
    "tamper",
    [
        place_back,
        release_back,
        fill_in_a_missed_night,
        begin_before,
        stamp_by_a_default,
        enter_a_nonsense,
    ],
)
def test_what_says_to_have_been_done_long_before_it_was_entered_is_found(
    scene: Scene, tamper: Callable[[Intruder], None]
) -> None:
    tamper(scene.intruder)
    assert "instant" in checks(audit(scene.lab, scene.ledger))


def test_what_is_older_than_the_ledger_was_not_entered_when_it_was_done(
    installation: Installation, lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    lab.case(acme)
    lab.hold(acme)
    lab.run()
    migrator = migrator_of(installation.settings)
    down_to(migrator, "0013")
    lab.sql("UPDATE tenure.holds SET placed_at = placed_at - interval '1 year'")
    lab.owner.rollback()
    migrator.up()
    assert audit(lab, ledger).findings == ()
    lab.sql("UPDATE tenure.holds SET matter = 'another'")
    assert audit(lab, ledger).findings == (), "the year was said before"


# --- Alerts, schedules, watches


def test_an_alert_is_entered_when_it_is_raised_and_when_it_is_resolved(lab: Any) -> None:
    """What is said of it may change at each look: the ledger does not grow by that."""
    retention = lab.installation.retention
    for said in ("3 rows", "3 rows", "4 rows"):
        raise_alerts(retention, [Alert("overdue", "cases", said)], Looked(VERIFIED))
    raise_alerts(retention, [], Looked(VERIFIED))
    found = entries(lab, "alerts")
    assert [e["kind"] for e in found] == ["alert", "alert-changed"]
    assert [e["record"]["subject"] for e in found] == ["cases", "cases"]
    assert [e["record"]["resolved_at"] is None for e in found] == [True, False]


def test_alerts_of_the_ledger_do_not_make_it_grow(lab: Any, ledger: Ledger) -> None:
    """Each attempt to publish says something else of what keeps it from being published."""
    raise_alerts(lab.installation.retention, [Alert("ledger", "checkpoints", "0")], Looked(LEDGER))
    before = lab.sql("SELECT count(*) FROM tenure.ledger_entries")
    for number in range(3):
        alert = Alert("ledger", "checkpoints", f"not the checkpoint of {number}")
        raise_alerts(lab.installation.retention, [alert], Looked(LEDGER))
    assert lab.sql("SELECT count(*) FROM tenure.ledger_entries") == before


def forget_an_alert(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.alerts")


def resolve_an_alert(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.alerts SET resolved_at = now()")


def forget_a_watch(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.watches WHERE began_at = (SELECT max(began_at)"
                 " FROM tenure.watches)")  # fmt: skip


def forget_what_was_missed(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.scheduled SET missed = 0")


@pytest.mark.parametrize(
    "tamper", [forget_an_alert, resolve_an_alert, forget_a_watch, forget_what_was_missed]
)
def test_what_was_warned_of_and_missed_is_compared(
    scene: Scene, tamper: Callable[[Intruder], None]
) -> None:
    raise_alerts(scene.lab.installation.retention, [Alert("missed", "s", "d")], Looked(MISSED))
    with scene.lab.installation.retention.transaction(None) as cursor:
        keep_watch(cursor, timedelta(seconds=60))
        mark(cursor, Taken("verification", NOW, 3), NOW)
    assert audit(scene.lab, scene.ledger).findings == ()
    tamper(scene.intruder)
    assert checks(audit(scene.lab, scene.ledger)) == {"row"}


def test_an_export_is_compared_in_the_same_instants_as_the_database() -> None:
    """The verifier has a list of its own, for it imports nothing of ours."""
    ours = {
        table.kind: DONE[table.name]
        for table in shipped().tables
        if "INSERT" in table.events and table.name in DONE
    }
    assert ours == INSTANTS
