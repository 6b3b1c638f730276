"""What users delete is recorded in the transaction that does it, in nobody else's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from api.wiring import Installation
from config.trace import new_trace_id
from retention.removals import record_removals
from tenants.context import TenantId, tenant_scope
from tenants.errors import TransactionError
from tenants.models import new_id

ADA, BOB = "login:ada", "login:bob"
OwnerSql = Callable[..., list[tuple[Any, ...]]]

DIRECT = (
    "INSERT INTO tenure.removals (tenant_id, id, table_name, hashes, actor, trace_id)"
    " VALUES (tenure.current_tenant(), %(id)s, %(table)s, %(keys)s, %(actor)s, %(trace)s)"
)
CALL = "SELECT tenure.record_removal(%(id)s, %(table)s, %(keys)s, %(actor)s, %(trace)s, %(seal)s)"


@pytest.fixture
def acme(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def globex(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("globex")


def record(installation: Installation, tenant: TenantId, *, end: bool = True) -> dict[str, Any]:
    """Record a removal of ada's; return what was sent, with its seal. Without `end` it is rolled
    back."""
    sent: list[dict[str, Any]] = []
    app: Any = installation.app
    sealer = app.connections.sealer
    with pytest.MonkeyPatch.context() as patch:
        seals: list[tuple[str, str]] = []

        def mac(self: Any, message: str) -> str:
            seals.append((message, original(self, message)))
            return seals[-1][1]

        original = type(sealer).mac
        patch.setattr(type(sealer), "mac", mac)
        trace = new_trace_id()
        with tenant_scope(tenant, actor=ADA, trace_id=trace), app.atomic() as open_one:
            row = new_id()
            record_removals(app, "shop.notes", [row])
            if not end:
                open_one.rollback()
        ((message, seal),) = seals
    sent.append(
        {
            "id": message.split(":")[2],
            "table": "shop.notes",
            "keys": hashlib.sha256(row.bytes).digest()[:16],
            "actor": ADA,
            "trace": trace,
            "seal": seal,
        }
    )
    return sent[0]


def injected(installation: Installation, tenant: TenantId, statement: str, values: Any) -> None:
    with installation.app_connections.transaction(tenant) as cursor:
        cursor.execute("SELECT set_config('tenure.actor', 'login:ada', true)")
        cursor.execute(statement, values)


def test_it_is_recorded_and_nowhere_but_in_a_transaction(
    installation: Installation, acme: TenantId, owner_sql: OwnerSql
) -> None:
    sent = record(installation, acme)
    ((tenant, table, keys, actor, trace),) = owner_sql(
        "SELECT tenant_id::text, table_name, hashes, actor, trace_id FROM tenure.removals"
    )
    assert (tenant, table, bytes(keys)) == (str(acme), "shop.notes", sent["keys"])
    assert (actor, trace) == (ADA, sent["trace"])
    with (
        tenant_scope(acme, actor=ADA, trace_id=new_trace_id()),
        pytest.raises(TransactionError),
    ):
        record_removals(installation.app, "shop.notes", [new_id()])


@pytest.mark.parametrize(
    "change",
    [
        {"actor": BOB},
        {"table": "shop.customers"},
        {"keys": b"0" * 16},
        {"trace": "0" * 32},
        {"id": str(UUID(int=1))},
        {"seal": "0" * 64},
        {"seal": ""},
        {"seal": None},
        # What stands on one side of a border does not move to the other.
        {"table": "shop.note", "trace": "s"},
    ],
    ids="-".join,
)
def test_injected_sql_records_nothing_and_in_nobodys_name(
    installation: Installation, acme: TenantId, owner_sql: OwnerSql, change: dict[str, Any]
) -> None:
    sent = record(installation, acme, end=False)
    assert owner_sql("SELECT * FROM tenure.removals") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        injected(installation, acme, DIRECT, {**sent, **change})
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"):
        injected(installation, acme, CALL, {**sent, **change})
    assert owner_sql("SELECT * FROM tenure.removals") == []


def test_a_seal_serves_its_own_tenant_and_once(
    installation: Installation, acme: TenantId, globex: TenantId, owner_sql: OwnerSql
) -> None:
    sent = record(installation, acme)
    for tenant, refusal in (
        (globex, psycopg2.errors.InsufficientPrivilege),
        (None, psycopg2.errors.InsufficientPrivilege),
        (acme, psycopg2.errors.UniqueViolation),
    ):
        with pytest.raises(refusal), installation.app_connections.transaction(tenant) as cursor:
            cursor.execute(CALL, sent)
    assert len(owner_sql("SELECT * FROM tenure.removals")) == 1


@pytest.mark.parametrize("role", ["retention", "verifier", "auditor"])
def test_no_other_role_records_them(installation: Installation, acme: TenantId, role: str) -> None:
    sent = record(installation, acme, end=False)
    for statement in (DIRECT, CALL):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"),
            getattr(installation, role).transaction(None) as cursor,
        ):
            cursor.execute(statement, sent)
