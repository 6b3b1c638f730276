"""What is done enters the ledger by itself, says nothing of people, and stays as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import psycopg2
import pytest

from api.wiring import Installation, migrator_of
from config.trace import new_trace_id
from retention.hold_scopes import Scope
from retention.interventions import start, stop
from retention.policy_records import set_state
from tenants.catalog import TableName
from tenants.connections import Role
from tenants.context import TenantId
from tenants.crossing import cross_tenant
from tenants.errors import CatalogError, MigrationError
from tenants.migrate import Migrator
from tenants.registry import create_login
from tenants.roles import ROLES
from tenants.schema import ledger_statement

Rows = list[tuple[Any, ...]]
SECRET = "Zebulon"


def down_to(migrator: Migrator, first: str) -> None:
    """Take down the product's migrations from the last to this one."""
    applied = [s.name for s in migrator.status() if s.package == "tenure" and s.applied_at]
    for name in reversed([name for name in applied if name >= first]):
        assert migrator.down("tenure") == [f"tenure/{name}"]


def cases_scope(ids: list[str]) -> Scope:
    return Scope("rows", TableName("lab", "cases"), rows=tuple(map(UUID, ids)))


def entries(lab: Any, source: str) -> list[dict[str, Any]]:
    """The entries of a table: kind, tenant, record, commitments, in the order of their making."""
    return [
        {"id": entry, "kind": kind, "tenant": tenant, **body}
        for entry, kind, tenant, body in lab.sql(
            "SELECT id::text, kind, tenant_id::text, body FROM tenure.ledger_entries"
            " WHERE source = %s"
            " ORDER BY recorded_at, id",
            (source,),
        )
    ]


def texts(lab: Any, entry: str) -> dict[str, tuple[bytes, str]]:
    return {
        field: (bytes(salt), content)
        for field, salt, content in lab.sql(
            "SELECT field, salt, content FROM tenure.ledger_texts WHERE entry_id = %s", (entry,)
        )
    }


def test_every_batch_and_every_state_of_its_run_is_entered(lab: Any, acme: TenantId) -> None:
    for _ in range(5):
        lab.case(acme, files=1)
    report = lab.run()
    rows = lab.sql("SELECT id::text, counts, trace_id FROM tenure.batches")
    found = entries(lab, "batches")
    assert len(found) == len(rows) == 2
    assert {(e["record"]["id"], e["record"]["trace_id"]) for e in found} == {
        (batch, trace) for batch, _, trace in rows
    }
    assert {e["tenant"] for e in found} == {str(acme)}
    assert [e["record"]["counts"] for e in found if e["record"]["id"] == rows[0][0]] == [rows[0][1]]
    of_run = entries(lab, "runs")
    assert [(e["kind"], e["record"]["state"]) for e in of_run] == [
        ("run", "running"),
        ("run-changed", report.state),
    ]
    ((plan,),) = lab.sql("SELECT plan::text FROM tenure.runs")
    assert of_run[0]["record"]["plan_sha256"] == hashlib.sha256(plan.encode()).hexdigest()
    assert (
        lab.sql("SELECT row_key FROM tenure.ledger_entries WHERE source = 'runs'")
        == [(str(report.run_id),)] * 2
    )


def test_what_is_rolled_back_is_not_entered(lab: Any, acme: TenantId) -> None:
    before = lab.sql("SELECT count(*) FROM tenure.ledger_entries")
    connection = psycopg2.connect(lab.installation.settings.role_url("tenure_retention"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
        )
    connection.rollback()
    connection.close()
    assert lab.sql("SELECT count(*) FROM tenure.ledger_entries") == before
    assert lab.sql("SELECT count(*) FROM tenure.ledger_texts WHERE content = 'r'") == [(0,)]


def test_commitments_open_to_the_texts_beside_them(lab: Any, acme: TenantId) -> None:
    lab.hold(acme, matter="M-77")
    lab.hold(acme, matter="M-77")
    one, other = entries(lab, "holds")
    opened = texts(lab, one["id"])
    assert opened["matter"][1] == "M-77"
    assert set(one["commitments"]) == {"matter", "reason", "placed_by"} == set(opened)
    for field, (salt, content) in opened.items():
        digest = hashlib.sha256(salt + content.encode()).hexdigest()
        assert one["commitments"][field] == digest
    assert one["commitments"]["matter"] != other["commitments"]["matter"], "each has its salt"


def people_do_everything(lab: Any, acme: TenantId) -> None:
    """Leave SECRET wherever somebody may write something."""
    installation = lab.installation
    case = lab.case(acme)
    with lab.owner, lab.owner.cursor() as cursor:
        login = create_login(cursor, email=f"{SECRET}@example.org", password_hash="none")
        cursor.execute(
            "INSERT INTO tenure.memberships (tenant_id, login_id, role) VALUES (%s, %s, 'viewer')",
            (acme, login),
        )
        cursor.execute("UPDATE tenure.memberships SET role = 'owner' WHERE login_id = %s", (login,))
        cursor.execute("DELETE FROM tenure.memberships WHERE login_id = %s", (login,))
        cursor.execute(
            "UPDATE tenure.tenants SET name = %s, slug = %s WHERE id = %s",
            (SECRET, SECRET.lower(), acme),
        )
        cursor.execute(
            "INSERT INTO tenure.context_key_steps (id, step, key_id, actor)"
            " VALUES (gen_random_uuid(), 'begun', '0123456789abcdef', %s)",
            (SECRET,),
        )
    hold = lab.hold(acme, cases_scope([case]), matter=SECRET)
    lab.release(hold)
    stop(installation.retention, actor=SECRET, reason=SECRET)
    start(installation.retention, actor=SECRET, reason=SECRET)
    with cross_tenant(
        installation.verifier,
        installation.retention,
        reason=SECRET,
        actor=SECRET,
        trace_id=new_trace_id(),
    ) as reader:
        reader.read(f"SELECT '{SECRET}'")
    shop = lab.shop()
    shop.record()
    set_state(installation.retention, acme, "cases", "paused", actor=SECRET)
    lab.run()
    lab.verify()
    lab.sql("UPDATE tenure.runs SET detail = %s", (SECRET,))


def test_no_entry_says_anything_of_people(lab: Any, acme: TenantId) -> None:
    people_do_everything(lab, acme)
    for column in ("body", "row_key", "kind", "source"):
        assert (
            lab.sql(
                f"SELECT {column} FROM tenure.ledger_entries WHERE {column}::text ILIKE %s",
                (f"%{SECRET}%",),
            )
            == []
        )
    ((login,),) = lab.sql(
        "SELECT id::text FROM tenure.logins WHERE email ILIKE %s", (f"{SECRET}%",)
    )
    assert (
        lab.sql("SELECT 1 FROM tenure.ledger_entries WHERE body::text LIKE %s", (f"%{login}%",))
        == []
    )
    kept = {
        field
        for (field,) in lab.sql(
            "SELECT DISTINCT field FROM tenure.ledger_texts WHERE content ILIKE %s",
            (f"%{SECRET}%",),
        )
    }
    assert kept == {"actor", "reason", "matter", "email", "slug", "name", "changed_by", "detail"}
    kinds = {kind for (kind,) in lab.sql("SELECT DISTINCT kind FROM tenure.ledger_entries")}
    assert {
        "login", "membership", "membership-changed", "membership-deleted", "tenant",
        "tenant-changed", "context-key", "hold", "hold-changed", "hold-event", "intervention",
        "cross-tenant-read", "policy-version", "policy-change", "run", "run-changed",
        "verification", "ledger-source",
    } <= kinds  # fmt: skip


def test_the_ids_under_a_hold_enter_as_a_digest(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme) for _ in range(3)]
    lab.hold(acme, cases_scope(cases))
    (hold,) = entries(lab, "holds")
    assert hold["record"]["rows_count"] == 3
    lines = sorted(json.dumps(["lab.cases", case]) for case in cases)
    assert hold["record"]["rows_sha256"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_verification_enters_with_a_digest_of_its_results(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.shop().record()
    lab.verify()
    (found,) = entries(lab, "verifications")
    ((count,),) = lab.sql("SELECT count(*) FROM tenure.verification_results")
    assert found["record"]["results_count"] == count > 0


def test_a_record_is_the_same_in_every_time_zone(lab: Any, acme: TenantId) -> None:
    connection = psycopg2.connect(
        lab.installation.settings.role_url("tenure_owner"), options="-c timezone=Asia/Kolkata"
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE tenure.tenants SET name = 'Acme too' WHERE id = %s", (acme,))
    connection.close()
    made, changed = entries(lab, "tenants")
    assert changed["record"]["created_at"] == made["record"]["created_at"]
    assert changed["record"]["created_at"].endswith("+00:00")


def test_a_text_that_goes_is_entered_as_gone(lab: Any, acme: TenantId) -> None:
    lab.hold(acme)
    (hold,) = entries(lab, "holds")
    lab.sql(
        "DELETE FROM tenure.ledger_texts WHERE entry_id = %s AND field = 'reason'", (hold["id"],)
    )
    assert set(texts(lab, hold["id"])) == {"matter", "placed_by"}
    (gone,) = entries(lab, "ledger_texts")
    assert (gone["kind"], gone["tenant"]) == ("text-deleted", str(acme))
    assert gone["record"] == {"entry_id": hold["id"], "field": "reason"}


LEDGER = {
    "ledger_entries": "id, kind, tenant_id, source, row_key, body",
    "ledger_texts": "entry_id, field, tenant_id, salt, content",
    "ledger_nodes": "level, position, hash",
    "ledger_checkpoints": "size, root, note",
    "ledger_attestations": "id, size, kind, name, content",
    "ledger_key_steps": "id, step, vkey, actor",
    "ledger_sources": "table_name, kind, events, key_columns, plain, committed, digested, children",
}
#: What is done with these, in tests of their own.
MAY = {
    ("tenure_owner", "ledger_texts", "DELETE"),
    *((role, "ledger_" + table, "INSERT") for role in ("tenure_retention", "tenure_owner")
      for table in ("nodes", "checkpoints", "attestations", "key_steps")),
    ("tenure_owner", "ledger_sources", "INSERT"),
    # A row decides: see below.
    ("tenure_owner", "ledger_checkpoints", "UPDATE"),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", LEDGER)
def test_nobody_rewrites_the_ledger(lab: Any, acme: TenantId, role: str, table: str) -> None:
    """As every role, the owner among them (who would have to say so in DDL)."""
    lab.hold(acme)
    columns = LEDGER[table]
    first = columns.partition(",")[0]
    tries = {
        "UPDATE": f"UPDATE tenure.{table} SET {first} = {first}",
        "DELETE": f"DELETE FROM tenure.{table}",
        "TRUNCATE": f"TRUNCATE tenure.{table} CASCADE",
        "INSERT": f"INSERT INTO tenure.{table} ({columns}) SELECT {columns} FROM tenure.{table}",
    }
    connection = psycopg2.connect(lab.installation.settings.role_url(cast(Role, role)))
    for verb, statement in tries.items():
        if (role, table, verb) in MAY:
            continue
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
        connection.rollback()
    connection.close()


GIVE = (
    "UPDATE tenure.ledger_entries SET position = 0, leaf = 'x', leaf_hash = sha256('x')"
    " WHERE id = %s"
)


@pytest.mark.parametrize("role", ["tenure_owner", "tenure_retention"])
def test_an_entry_is_given_its_position_once_and_nothing_else(
    lab: Any, acme: TenantId, role: str
) -> None:
    lab.hold(acme)
    entry = entries(lab, "holds")[0]["id"]
    connection = psycopg2.connect(lab.installation.settings.role_url(cast(Role, role)))
    with connection, connection.cursor() as cursor:
        cursor.execute(GIVE, (entry,))
    for again in (
        "UPDATE tenure.ledger_entries SET position = 1 WHERE id = %s",
        "UPDATE tenure.ledger_entries SET position = NULL, leaf = NULL, leaf_hash = NULL"
        " WHERE id = %s",
        "UPDATE tenure.ledger_entries SET leaf = 'y' WHERE id = %s",
        "UPDATE tenure.ledger_entries SET body = body WHERE id = %s",
        GIVE.replace("0, leaf", "1, kind = 'other', leaf"),
    ):
        with (
            connection.cursor() as cursor,
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
        ):
            cursor.execute(again, (entry,))
        connection.rollback()
    connection.close()


def test_a_checkpoint_is_exported_once_and_does_not_change(lab: Any, acme: TenantId) -> None:
    with lab.installation.retention.transaction(None) as cursor:
        cursor.execute(GIVE, (entries(lab, "tenants")[0]["id"],))
    lab.sql(
        "INSERT INTO tenure.ledger_key_steps (id, step, vkey, actor)"
        " VALUES (gen_random_uuid(), 'installed', 'ledger+0+0', 'test')"
    )
    lab.sql(
        "INSERT INTO tenure.ledger_checkpoints (size, root, note) VALUES (1, sha256('x'),"
        " E'ledger\\n1\\n' || encode(sha256('x'), 'base64') || E'\\n\\nsigned')"
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        lab.sql("UPDATE tenure.ledger_checkpoints SET note = 'other'")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        lab.sql("UPDATE tenure.ledger_checkpoints SET exported_at = now(), note = 'other'")
    lab.sql("UPDATE tenure.ledger_checkpoints SET exported_at = now()")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        lab.sql("UPDATE tenure.ledger_checkpoints SET exported_at = now()")


@pytest.mark.parametrize("role", [role for role in ROLES if role != "tenure_owner"])
def test_no_role_can_have_something_entered(lab: Any, acme: TenantId, role: str) -> None:
    connection = psycopg2.connect(lab.installation.settings.role_url(cast(Role, role)))
    for call in (
        "SELECT tenure.enter_row('runs', 'run', '{}', '{}', '{}', '{}', '{}', '{}')",
        "SELECT tenure.feed_ledger('runs', 'run', '{INSERT}', '{id}', '{}', '{}', '{}', NULL)",
    ):
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(call)
        connection.rollback()
    connection.close()


def test_evidence_that_is_older_than_the_ledger_is_entered(
    installation: Installation, lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    lab.hold(acme)
    report = lab.run()
    migrator = migrator_of(installation.settings)
    down_to(migrator, "0013")
    assert lab.sql("SELECT to_regclass('tenure.ledger_entries')") == [(None,)]
    lab.owner.rollback()
    migrator.up()
    (run,) = entries(lab, "runs")
    assert (run["kind"], run["record"]["id"]) == ("run", str(report.run_id))
    (hold,) = entries(lab, "holds")
    ((placed, entered),) = lab.sql(
        "SELECT h.placed_at < e.recorded_at, (e.body -> 'record' ->> 'placed_at')::timestamptz"
        " = h.placed_at FROM tenure.holds h, tenure.ledger_entries e WHERE e.source = 'holds'"
    )
    assert placed
    assert entered
    assert texts(lab, hold["id"])["matter"][1] == "M-1"
    assert len(entries(lab, "tenants")) == 1


def test_an_ordered_ledger_is_not_taken_down(
    installation: Installation, lab: Any, acme: TenantId
) -> None:
    entry = entries(lab, "tenants")[0]["id"]
    with lab.installation.retention.transaction(None) as cursor:
        cursor.execute(GIVE, (entry,))
    migrator = migrator_of(installation.settings)
    with pytest.raises(MigrationError, match="others may hold proofs of"):
        down_to(migrator, "0013")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"table": "runs; DROP"}, "not a name"),
        ({"kind": "Run"}, "not a name"),
        ({"plain": ("id", "a'b")}, "not a name"),
        ({"on": "UPDATE OF state"}, "fed on INSERT"),
        ({"plain": ("id", "id")}, "twice"),
    ],
)
def test_a_feed_that_says_nonsense_is_refused(wrong: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"table": "runs", "kind": "run", "plain": ("id",), **wrong}
    with pytest.raises(CatalogError, match=says):
        ledger_statement(given.pop("table"), given.pop("kind"), **given)


@pytest.mark.parametrize(
    ("plain", "says"), [(("id", "colour"), "no columns"), (("state",), "primary key")]
)
def test_a_feed_of_columns_that_are_not_there_or_without_the_key_is_refused(
    owner_sql: Callable[..., Rows], plain: tuple[str, ...], says: str
) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match=says):
        owner_sql(ledger_statement("runs", "run", plain=plain))
