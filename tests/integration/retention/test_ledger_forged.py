"""Evidence that goes, or becomes another, with an entry made for it by hand: nothing makes such an
entry, or what it says of itself cannot be so."""

from __future__ import annotations

import io
from datetime import timedelta

import psycopg2
import pytest

from retention.interventions import start
from retention.ledger import tree
from retention.ledger.verifier import Trust, VerifierError, verify_export
from tenants.context import TenantId

from .test_ledger_audit import Intruder, Scene, audit, checks, exported, scene
from .test_ledger_publishing import enter, ledger

__all__ = ["ledger", "scene"]

_FORGE = """
SELECT tenure.enter_row(%(t)s, s.kind || '-' || %(what)s, to_jsonb(e), s.key_columns, s.plain,
                        s.committed, s.digested, '{}')
FROM tenure.{t} e, LATERAL (SELECT * FROM tenure.ledger_sources WHERE table_name = %(t)s
                            ORDER BY number DESC LIMIT 1) s
"""


def forge(intruder: Intruder, table: str, what: str) -> None:
    """Have it entered of each row that it was changed, or deleted."""
    ((count,),) = intruder.sql(f"SELECT count(*) FROM tenure.{table}")
    assert count
    intruder.sql(_FORGE.replace("{t}", table), {"t": table, "what": what})


@pytest.mark.parametrize(
    "table", ["hold_events", "interventions", "batches", "policy_versions", "runs", "holds"]
)
def test_that_a_row_went_of_which_none_goes_is_found(scene: Scene, table: str) -> None:
    assert audit(scene.lab, scene.ledger).findings == ()
    forge(scene.intruder, table, "deleted")
    scene.intruder.sql(f"DELETE FROM tenure.{table}")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


def test_that_a_row_changed_of_which_none_changes_is_found(scene: Scene) -> None:
    scene.intruder.sql("UPDATE tenure.interventions SET action = 'start'")
    forge(scene.intruder, "interventions", "changed")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


READ = (
    "INSERT INTO tenure.cross_tenant_reads (id, read_at, actor, reason, place, statement, trace_id)"
    " VALUES (gen_random_uuid(), clock_timestamp() - %s, 'login:1', 'why', 'here', 'SELECT 1', 't')"
)
LEFTOVERS = (
    "INSERT INTO tenure.leftover_deletions (table_name, rows_deleted, oldest, newest)"
    " SELECT 'cross_tenant_reads', count(*), now() - interval '2 years', now() - interval '2 years'"
    " FROM tenure.cross_tenant_reads HAVING count(*) > 0"
)


@pytest.mark.parametrize(
    ("age", "recorded"), [(timedelta(days=730), False), (timedelta(0), False), (timedelta(0), True)]
)
def test_that_a_row_went_by_its_age_is_held_against_the_record_and_the_age(
    scene: Scene, age: timedelta, recorded: bool
) -> None:
    """Such rows go, but not these: nobody counted them, or they are younger than any that goes."""
    scene.lab.sql(READ, (age,))
    assert "entry" not in checks(audit(scene.lab, scene.ledger))
    forge(scene.intruder, "cross_tenant_reads", "deleted")
    if recorded:
        scene.lab.sql(LEFTOVERS)
    scene.intruder.sql("DELETE FROM tenure.cross_tenant_reads")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


def test_a_tenant_that_went_explains_nothing(scene: Scene, acme: TenantId) -> None:
    """No tenant's row goes, nor any evidence of it: offboarding keeps both."""
    children = [
        child
        for (child,) in scene.lab.sql(
            "SELECT conrelid::regclass::text FROM pg_constraint"
            " WHERE confrelid = 'tenure.tenants'::regclass AND contype = 'f'"
        )
    ]
    for child in children:
        scene.intruder.sql(f"DELETE FROM {child} WHERE tenant_id = %s", (acme,))
    scene.lab.sql("DELETE FROM tenure.tenants WHERE id = %s", (acme,))
    scene.ledger.publish()
    found = audit(scene.lab, scene.ledger)
    gone = {f.subject.split()[0] for f in found.findings if f.detail.endswith("and is gone")}
    assert gone >= {"tenure.holds", "tenure.batches", "tenure.units"}


# --- Back-dated, with nobody's word of the time


def set_default(intruder: Intruder, table: str, column: str, value: str) -> None:
    intruder.lab.sql(f"ALTER TABLE tenure.{table} ALTER {column} SET DEFAULT {value}")


def test_a_late_entry_that_says_to_be_old_is_found_in_the_database_and_in_an_export(
    scene: Scene,
) -> None:
    """The defaults are put back; what was done is of long ago, all of it says."""
    for table, column in (("ledger_entries", "recorded_at"), ("interventions", "taken_at")):
        set_default(scene.intruder, table, column, "'2026-01-02'")
    enter(scene.lab, 3)
    for table, column in (("ledger_entries", "recorded_at"), ("interventions", "taken_at")):
        set_default(scene.intruder, table, column, "clock_timestamp()")
    enter(scene.lab, 1)
    scene.ledger.publish()
    found = audit(scene.lab, scene.ledger, since=(scene.held, "held"))
    assert found.counts == {"order": 3}
    with pytest.raises(VerifierError, match="it was back-dated"):
        verify_export(io.BytesIO(exported(scene.lab)), Trust((scene.key,)), scene.held)


def test_a_default_that_is_not_the_releases_is_found(scene: Scene) -> None:
    set_default(scene.intruder, "batches", "recorded_at", "'2026-01-02'")
    (finding,) = audit(scene.lab, scene.ledger).findings
    assert (finding.check, finding.subject) == ("trigger", "tenure.batches")
    scene.lab.sql("ALTER TABLE tenure.batches ALTER recorded_at DROP DEFAULT")
    (finding,) = audit(scene.lab, scene.ledger).findings
    assert "recorded_at is not the release's, but none" in finding.detail


def test_an_entry_of_no_time_does_not_stop_the_audit(scene: Scene) -> None:
    scene.intruder.sql(
        "UPDATE tenure.ledger_entries SET recorded_at = 'infinity' WHERE position = 3"
    )
    scene.intruder.hash_again()
    assert checks(audit(scene.lab, scene.ledger)) >= {"entry", "checkpoint"}


# --- What others were asked for, and what the books go by


@pytest.fixture
def asked(scene: Scene, acme: TenantId) -> Scene:
    """As retention asks: a request to a connector, of an offboarding."""
    with scene.lab.installation.retention.transaction(acme) as cursor:
        cursor.execute(
            "INSERT INTO tenure.connector_requests"
            " (tenant_id, id, connector, cause, cause_id, requested_by, due_at)"
            " VALUES (%s, gen_random_uuid(), 'crm', 'offboarding', gen_random_uuid(), 'test',"
            " clock_timestamp() + interval '1 day')",
            (str(acme),),
        )
    assert audit(scene.lab, scene.ledger).findings == ()
    return scene


@pytest.mark.parametrize(
    "change",
    [
        "due_at = due_at + interval '1 year'",
        "told_at = clock_timestamp(), delivered_at = clock_timestamp(), state = 'delivered'",
        "ended_at = clock_timestamp(), state = 'acknowledged'",
    ],
)
def test_a_request_to_a_connector_is_as_it_was_entered(asked: Scene, change: str) -> None:
    asked.intruder.sql(f"UPDATE tenure.connector_requests SET {change}")
    assert checks(audit(asked.lab, asked.ledger)) == {"row"}


def test_what_becomes_of_a_request_enters_and_what_is_tried_does_not(
    asked: Scene, acme: TenantId
) -> None:
    with asked.lab.installation.retention.transaction(acme) as cursor:
        cursor.execute("UPDATE tenure.connector_requests SET failures = 1, problem = 'none'")
        cursor.execute("UPDATE tenure.connector_requests SET told_at = clock_timestamp()")
    kinds = asked.lab.sql(
        "SELECT kind FROM tenure.ledger_entries WHERE source = 'connector_requests'"
        " ORDER BY recorded_at"
    )
    assert kinds == [("connector-request",), ("connector-request-changed",)]
    assert audit(asked.lab, asked.ledger).findings == ()


_LAST = "SELECT run_id, id, tenant_id FROM tenure.batches ORDER BY recorded_at DESC LIMIT 1"
_COUNT = (
    "INSERT INTO tenure.accounted_batches (run_id, batch_id, tenant_id, account)"
    " VALUES (%s, %s, %s, %s)"
)


@pytest.fixture
def uncounted(scene: Scene, acme: TenantId) -> Scene:
    """A batch that no account has counted yet, after one that has."""
    start(scene.lab.installation.retention, actor="test", reason="more to go")
    scene.lab.case(acme)
    scene.lab.run()
    ((count,),) = scene.lab.sql(
        "SELECT count(*) FROM tenure.batches b WHERE NOT EXISTS (SELECT FROM"
        " tenure.accounted_batches a WHERE a.batch_id = b.id)"
    )
    assert count
    assert audit(scene.lab, scene.ledger).findings == ()
    return scene


@pytest.mark.parametrize("account", [0, 1, 99])
def test_no_batch_is_counted_by_will(uncounted: Scene, account: int) -> None:
    retention = uncounted.lab.installation.retention
    (batch,) = uncounted.lab.sql(_LAST)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege, match="when its account is made"),
        retention.transaction(None) as cursor,
    ):
        cursor.execute(_COUNT, (*batch, account))
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        uncounted.lab.sql(
            "INSERT INTO tenure.accounted_batches SELECT gen_random_uuid(), gen_random_uuid(), id,"
            " 1 FROM tenure.tenants"
        )
    uncounted.intruder.sql(_COUNT, (*batch, account))
    found = audit(uncounted.lab, uncounted.ledger)
    assert found.counts == {"row": 2 if account == 1 else 1}, "the batch, and the verification"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM tenure.accounted_batches WHERE account = 2",
        "UPDATE tenure.accounted_batches SET account = 2",
        "UPDATE tenure.movements SET movement = 'vanished'",
        "UPDATE tenure.movements SET hashes = substr(sha256(hashes), 1, 16)",
    ],
)
def test_an_account_holds_which_batches_it_counted_and_which_keys_moved(
    uncounted: Scene, acme: TenantId, change: str
) -> None:
    uncounted.lab.case(acme)
    uncounted.lab.verify()
    assert audit(uncounted.lab, uncounted.ledger).findings == ()
    uncounted.intruder.sql(change)
    assert checks(audit(uncounted.lab, uncounted.ledger)) == {"row"}


# --- What retention cannot do to the ledger


def refused(scene: Scene, statement: str, params: tuple[object, ...] = ()) -> str:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege) as error,
        scene.lab.installation.retention.transaction(None) as cursor,
    ):
        cursor.execute(statement, params)
    return str(error.value)


def test_retention_cannot_keep_the_ledger_from_being_signed(scene: Scene) -> None:
    enter(scene.lab, 2)
    place = (
        "UPDATE tenure.ledger_entries SET position = %s, leaf = 'x', leaf_hash = sha256('x')"
        " WHERE id = (SELECT id FROM tenure.ledger_entries WHERE position IS NULL LIMIT 1)"
    )
    ((size,),) = scene.lab.sql("SELECT max(position) + 1 FROM tenure.ledger_entries")
    for position in (10**12, size + 1):
        assert "entries in order" in refused(scene, place, (position,))
    checkpoint = "INSERT INTO tenure.ledger_checkpoints (size, root, note) VALUES (%s, {}, {})"
    assert "not of this tree" in refused(
        scene, checkpoint.format("sha256('x')", "'junk'"), (10**12,)
    )
    assert "not of this tree" in refused(scene, checkpoint.format("sha256('x')", "'junk'"), (2,))
    root = (
        "(SELECT sha256('\\x01'::bytea || a.leaf_hash || b.leaf_hash) FROM tenure.ledger_entries a,"
        " tenure.ledger_entries b WHERE a.position = 0 AND b.position = 1)"
    )
    assert "does not say so" in refused(scene, checkpoint.format(root, "'junk'"), (2,))
    other = f"E'other\\n2\\n' || encode({root}, 'base64') || E'\\n\\nsigned'"
    assert "does not say so" in refused(scene, checkpoint.format(root, other), (2,))
    node = "INSERT INTO tenure.ledger_nodes (level, position, hash) VALUES (%s, %s, sha256('x'))"
    for level, position in ((1, size // 2), (1, 10**12), (7, 0)):
        assert "not what is below it" in refused(scene, node, (level, position))
    assert scene.ledger.publish().signed
    assert audit(scene.lab, scene.ledger).findings == ()


def test_retention_erases_no_text_of_the_ledger(scene: Scene) -> None:
    refused(scene, "DELETE FROM tenure.ledger_texts")


def test_the_databases_root_is_the_trees(scene: Scene) -> None:
    enter(scene.lab, 70)
    scene.ledger.publish()
    hashes = [
        bytes(hashed)
        for (hashed,) in scene.lab.sql(
            "SELECT leaf_hash FROM tenure.ledger_entries WHERE position IS NOT NULL"
            " ORDER BY position"
        )
    ]
    assert len(hashes) > 80
    for size in range(1, len(hashes) + 1):
        ((root,),) = scene.lab.sql("SELECT tenure.ledger_root(%s)", (size,))
        assert bytes(root) == tree.root_of(hashes[:size]), size
    assert scene.lab.sql("SELECT tenure.ledger_root(%s)", (10**6,)) == [(None,)]
