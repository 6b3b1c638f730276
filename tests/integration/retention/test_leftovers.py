"""What the product keeps of its own work goes when its time is over, and nothing else does."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from api.scheduler import RetentionScheduler
from api.wiring import Installation, owner_of
from retention.errors import PolicyError, RunError
from retention.interventions import start, stop
from retention.ledger.audit import audit_ledger
from retention.leftovers import Leftovers, delete_leftovers, deleted, keepings, parse, problems
from retention.policies import Period, cutoff
from tenants import registry
from tenants.context import TenantId

NOW = datetime.now(UTC)
OwnerSql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def plant(
    installation: Installation, make_tenant: Callable[..., TenantId], owner_sql: OwnerSql
) -> Callable[..., None]:
    """`plant("session", -1, 2)`: a session that ended an hour ago, and one that lasts."""
    tenant = make_tenant("acme")
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        login = registry.create_login(cursor, email="a@example.org", password_hash="x")
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")

    def session(*hours: int) -> None:
        for hour in hours:
            owner_sql(
                "INSERT INTO tenure.sessions (digest, login_id, tenant_id, expires_at)"
                " VALUES (%s, %s, %s, now() + %s)",
                (secrets.token_bytes(32), str(login), str(tenant), timedelta(hours=hour)),
            )

    def token(name: str, *, expired: int | None = None, revoked: int | None = None) -> None:
        with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
            token_id, _ = registry.issue_token(cursor, tenant_id=tenant, login_id=login, name=name)
        owner_sql(
            "UPDATE tenure.api_tokens SET expires_at = now() - %s::interval,"
            " revoked_at = now() - %s::interval WHERE id = %s",
            (
                None if expired is None else timedelta(days=expired),
                None if revoked is None else timedelta(days=revoked),
                str(token_id),
            ),
        )

    def planted(kind: str, *args: Any, **more: Any) -> None:
        {"session": session, "token": token}[kind](*args, **more)

    return planted


def test_what_has_ended_goes_and_what_lasts_stays(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, -100, 1, 12)
    plant("token", "lasts")
    plant("token", "will end", expired=-5)
    plant("token", "ended lately", expired=29)
    plant("token", "revoked lately", revoked=1, expired=-5)
    plant("token", "ended", expired=31)
    plant("token", "revoked", revoked=31)
    assert delete_leftovers(installation.retention, NOW) == Leftovers(sessions=2, tokens=2)
    assert owner_sql("SELECT count(*), min(expires_at) > now() FROM tenure.sessions") == [(2, True)]
    assert {name for (name,) in owner_sql("SELECT name FROM tenure.api_tokens")} == {
        *("lasts", "will end", "ended lately", "revoked lately")
    }
    assert delete_leftovers(installation.retention, NOW) == Leftovers()


def test_batches_are_bounded_and_skip_what_is_in_use(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, -2, -3, -4)
    assert delete_leftovers(installation.retention, NOW, at_most=3) == Leftovers(sessions=3)
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        # tenure: allow TS001 because the owner holds every session's row for a moment
        cursor.execute("SELECT 1 FROM tenure.sessions FOR UPDATE")
        assert delete_leftovers(installation.retention, NOW) == Leftovers()
    assert delete_leftovers(installation.retention, NOW) == Leftovers(sessions=1)


def test_the_scheduler_deletes_them(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, 1)
    done = RetentionScheduler(installation).tick()
    assert done is not None
    assert done.leftovers == Leftovers(sessions=1)
    assert owner_sql("SELECT count(*) FROM tenure.sessions") == [(1,)]


def test_who_stopped_retention_stopped_the_deletion_of_these_too(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1)
    plant("token", "ended", expired=31)
    for years in (20, 19):
        owner_sql(
            "INSERT INTO tenure.watches (id, began_at, last_at, ticks, every) SELECT"
            " gen_random_uuid(), at, at, 1, '1 minute' FROM (SELECT now() - %s AS at) t",
            (timedelta(days=365 * years),),
        )
    stop(installation.retention, actor="ann", reason="a backup is restored")
    assert delete_leftovers(installation.retention, NOW) == Leftovers()
    start(installation.retention, actor="ann", reason="it is")
    assert delete_leftovers(installation.retention, NOW) == Leftovers(1, 1, {"watches": 1})


def test_a_stop_waits_for_the_deletion_that_is_open(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1)
    retention = installation.retention
    for statement in (
        "SELECT * FROM tenure.delete_expired(10)",
        "SELECT tenure.delete_leftovers('watches', now(), 10)",
    ):
        with retention.transaction(None) as cursor:
            cursor.execute(statement)
            with pytest.raises(RunError, match="in force, but a batch"):
                stop(retention, actor="ann", reason="a backup is restored", patience_s=0.1)
        start(retention, actor="ann", reason="it is")


def test_nobody_else_may_and_nothing_else_is_reached(
    installation: Installation, plant: Callable[..., None]
) -> None:
    plant("session", -1)
    for connections in (installation.app_connections, installation.verifier, installation.auditor):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            connections.transaction(None) as cursor,
        ):
            cursor.execute("SELECT * FROM tenure.delete_expired(10)")
    for statement in ("DELETE FROM tenure.sessions", "SELECT digest FROM tenure.api_tokens"):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            installation.retention.transaction(None) as cursor,
        ):
            cursor.execute(statement)


# A row of each table that goes by its age, whose time was over so long ago.
PLANTS = {
    "alerts": "INSERT INTO tenure.alerts (id, kind, subject, detail, raised_at, resolved_at)"
    " VALUES (gen_random_uuid(), 'run', gen_random_uuid(), 'd', now() - %(ago)s, now() - %(ago)s)",
    "watches": "INSERT INTO tenure.watches VALUES"
    " (gen_random_uuid(), now() - %(ago)s, now() - %(ago)s, 1)",
    "scheduled": "INSERT INTO tenure.scheduled VALUES ('a', now() - %(ago)s, now() - %(ago)s, 0)",
    "cross_tenant_reads": "INSERT INTO tenure.cross_tenant_reads VALUES"
    " (gen_random_uuid(), now() - %(ago)s, 'login:1', 'why', 'here', 'SELECT 1', 't')",
    "access_changes": "INSERT INTO tenure.access_changes (login_id, what, actor, changed_at)"
    " VALUES (gen_random_uuid(), 'login', 'a', now() - %(ago)s)",
    "inspections": "INSERT INTO tenure.inspections (id, kind, subject, tool, passed, findings,"
    " suppressed, result, digest, recorded_at, recorded_by) VALUES (gen_random_uuid(), 'lint', 's',"
    " 't', true, 0, 0, 'r', encode(sha256('r'), 'hex'), now() - %(ago)s, 'a')",
    "restored_rows": "INSERT INTO tenure.restored_rows SELECT tenant_id, 'lab.x',"
    " gen_random_uuid(), id, now() - %(ago)s FROM tenure.restorations",
}
RESTORATION = (
    "INSERT INTO tenure.policy_versions (policy, version, definition, digest, recorded_by)"
    " VALUES ('p', 1, '{}', 'd', 't')",
    "INSERT INTO tenure.runs (id, trace_id, as_of, plan, state, started_by, started_at,"
    " finished_at) VALUES (md5('r')::uuid, repeat('b', 32), now(), '{}', 'succeeded', 't',"
    " now(), now())",
    "INSERT INTO tenure.batches (run_id, id, trace_id, tenant_id, policy, policy_version, cutoff,"
    " rows_deleted, counts, progress, started_at) SELECT md5('r')::uuid, md5('b')::uuid,"
    " repeat('b', 32), id, 'p', 1, now(), 1, '{}', '{}', now() FROM tenure.tenants",
    "INSERT INTO tenure.restorations (tenant_id, id, run_id, batch_id, counts, reason, restored_by,"
    " kept_until) SELECT id, md5('x')::uuid, md5('r')::uuid, md5('b')::uuid, '{}', 'r', 't', now()"
    " FROM tenure.tenants",
)
BY_AGE = tuple(keeping for keeping in keepings() if keeping.goes_by_age)


@pytest.fixture
def rows(
    make_tenant: Callable[..., TenantId], owner_sql: OwnerSql
) -> Callable[[str, timedelta], None]:
    """`rows("alerts", timedelta(days=400))`: a row whose time was over then."""
    make_tenant("acme")
    for statement in RESTORATION:
        owner_sql(statement)

    def plant(table: str, ago: timedelta) -> None:
        owner_sql(PLANTS[table], {"ago": ago})

    return plant


def age(period: str) -> timedelta:
    return NOW - cutoff(Period.parse(period), NOW)


def test_every_table_of_ours_says_how_long_it_keeps_its_rows(installation: Installation) -> None:
    with installation.verifier.transaction(None, read_only=True) as cursor:
        assert problems(cursor) == []
    assert set(PLANTS) == {keeping.table for keeping in BY_AGE}


def test_a_table_that_says_nothing_and_one_that_is_not_there_are_problems(
    installation: Installation, owner_sql: OwnerSql
) -> None:
    owner_sql("CREATE TABLE tenure.forgotten (id uuid)")
    owner_sql("DROP TABLE tenure.accounted_batches")
    with installation.verifier.transaction(None, read_only=True) as cursor:
        assert problems(cursor) == [
            "tenure.forgotten: add it to retention/leftovers.toml",
            "tenure.accounted_batches: there is no such table; migrate",
        ]


@pytest.mark.parametrize("keeping", BY_AGE, ids=lambda keeping: str(keeping.table))
def test_what_is_older_than_its_period_goes_and_is_recorded(
    installation: Installation,
    owner_sql: OwnerSql,
    rows: Callable[[str, timedelta], None],
    keeping: Any,
) -> None:
    table, period = keeping.table, age(keeping.period)
    named = owner_sql(
        "SELECT 1 FROM tenure.ledger_sources WHERE table_name = %s AND committed <> '{}'", (table,)
    )
    for ago in (period + timedelta(days=2), period + timedelta(days=9), period - timedelta(days=4)):
        rows(table, ago)
    before = owner_sql(f"SELECT to_jsonb(t)::text FROM tenure.{table} t ORDER BY 1")
    assert delete_leftovers(installation.retention, NOW, at_most=1).others == {table: 1}
    assert delete_leftovers(installation.retention, NOW).others == {table: 1}
    assert delete_leftovers(installation.retention, NOW).others == {}
    left = owner_sql(f"SELECT to_jsonb(t)::text FROM tenure.{table} t")
    ((ended,),) = owner_sql(f"SELECT now() - {keeping.ended} FROM tenure.{table}")
    assert period - timedelta(days=5) < ended < period
    recorded = owner_sql(
        "SELECT table_name, rows_deleted, oldest = newest, deleted_by"
        " FROM tenure.leftover_deletions ORDER BY oldest"
    )
    assert recorded == [(table, 1, True, "tenure_retention")] * 2
    # Nobody can try out what they said: no digest of them is kept.
    kept = "".join(
        row
        for (row,) in owner_sql(
            "SELECT to_jsonb(l)::text FROM tenure.leftover_deletions l"
            " UNION ALL SELECT body::text FROM tenure.ledger_entries"
        )
    )
    gone = {hashlib.sha256(row.encode()).hexdigest() for (row,) in set(before) - set(left)}
    assert len(gone) == 2
    assert [digest for digest in gone if digest in kept] == []
    assert deleted(installation.retention)[table].rows == 2
    assert owner_sql("SELECT count(*) FROM tenure.ledger_entries WHERE kind = 'leftovers'") == [
        (2,)
    ]
    # That it went is entered, and nothing says any more whom it named.
    names = (
        {row[0] for row in owner_sql(f"SELECT id::text FROM tenure.{table}")} if named else set()
    )
    # But for rows that were planted in the past.
    assert set(audit_ledger(installation.verifier, None).counts) <= {"instant"}
    left_texts = owner_sql(
        "SELECT DISTINCT e.row_key FROM tenure.ledger_texts t JOIN tenure.ledger_entries e"
        " ON e.id = t.entry_id WHERE e.source = %s",
        (table,),
    )
    assert {key for (key,) in left_texts} == names


def test_what_is_open_or_the_last_of_its_kind_stays_however_old(
    installation: Installation, owner_sql: OwnerSql, rows: Callable[[str, timedelta], None]
) -> None:
    rows("watches", timedelta(days=9000))
    rows("scheduled", timedelta(days=9000))
    owner_sql(
        "INSERT INTO tenure.alerts (id, kind, subject, detail, raised_at)"
        " VALUES (gen_random_uuid(), 'run', 's', 'd', now() - interval '9000 days')"
    )
    assert delete_leftovers(installation.retention, NOW) == Leftovers()


@pytest.mark.parametrize("keeping", BY_AGE, ids=lambda keeping: str(keeping.table))
def test_nothing_younger_than_its_floor_goes_whoever_asks(
    installation: Installation,
    owner_sql: OwnerSql,
    rows: Callable[[str, timedelta], None],
    keeping: Any,
) -> None:
    table = keeping.table
    rows(table, timedelta(days=-1) if table == "restored_rows" else timedelta(days=29))
    rows(table, timedelta(days=-2) if table == "restored_rows" else timedelta(days=28))
    # A clock that is a century ahead.
    ahead = NOW + timedelta(days=36_500)
    assert delete_leftovers(installation.retention, ahead).others == {}
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="a row is kept for"):
        owner_sql(f"DELETE FROM tenure.{table}")
    for change in ("TRUNCATE tenure.{}", "UPDATE tenure.{} SET {} = now()"):
        if change.startswith("TRUNCATE") or table not in ("alerts", "watches"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
                owner_sql(change.format(table, keeping.ended))
    for connections in (installation.retention, installation.app_connections):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"),
            connections.transaction(None) as cursor,
        ):
            cursor.execute(f"DELETE FROM tenure.{table}")
    assert owner_sql(f"SELECT count(*) FROM tenure.{table}") == [(2,)]


def test_what_the_owner_deletes_is_recorded_too(
    owner_sql: OwnerSql, rows: Callable[[str, timedelta], None]
) -> None:
    rows("alerts", timedelta(days=40))
    owner_sql("DELETE FROM tenure.alerts")
    owner_sql("DELETE FROM tenure.alerts")
    assert owner_sql("SELECT table_name, rows_deleted FROM tenure.leftover_deletions") == [
        ("alerts", 1)
    ]


@pytest.mark.parametrize(
    ("which", "at_most"), [("batches", 1), ("deleted_keys", 1), ("alerts", 0), ("alerts", 10_001)]
)
def test_what_stays_for_good_and_unbounded_batches_are_refused(
    installation: Installation, which: str, at_most: int
) -> None:
    with (
        pytest.raises(psycopg2.errors.InvalidParameterValue),
        installation.retention.transaction(None) as cursor,
    ):
        cursor.execute("SELECT tenure.delete_leftovers(%s, now(), %s)", (which, at_most))


def test_nobody_but_retention_may_ask(installation: Installation) -> None:
    for connections in (installation.app_connections, installation.verifier, installation.auditor):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            connections.transaction(None) as cursor,
        ):
            cursor.execute("SELECT tenure.delete_leftovers('alerts', now(), 1)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nended = 'x'\nperiod = 'P1Y'", "a: `kept` alone"),
        ("[a]\nkept = 'x'\nperiod = 'P1Y'", "a: `kept` alone"),
        ("[a]\nended = 'x'\nperiod = '1Y'\nbasis = 'b'", "'1Y' is no ISO 8601"),
        ("[a]\nended = 'x'\nperiod = 'P1Y'\nbasis = 'b'\nby = 'f'", "'f' deletes nothing"),
    ],
)
def test_declarations_that_are_wrong_are_refused(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(said)):
        parse(text)
