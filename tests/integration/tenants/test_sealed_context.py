"""SQL injected under the application's role cannot reach another tenant.

Each attack runs as tenure_app, on a connection that legitimately serves tenant a.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation, sealer_of
from tenants.connections import Cursor

from .conftest import Pair

COUNT = "SELECT count(*) FROM shop.customers"


@pytest.fixture
def as_app(installation: Installation) -> Iterator[Any]:
    connection = psycopg2.connect(installation.settings.role_url("tenure_app"))
    connection.autocommit = True
    yield connection
    connection.close()


def enter(connection: Any, installation: Installation, tenant: Any) -> str:
    token = sealer_of(installation.settings).token(tenant, connection.info.backend_pid)
    return f"SELECT tenure.set_tenant('{token}')"


def count(cursor: Cursor) -> int:
    cursor.execute(COUNT)
    row = cursor.fetchone()
    assert row
    return int(row[0])


def test_no_tenant_sees_no_row(as_app: Any, pair: Pair) -> None:
    assert count(as_app.cursor()) == 0


def test_a_tenant_sees_its_rows_and_only_in_its_transaction(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    cursor = as_app.cursor()
    cursor.execute(f"{enter(as_app, installation, pair.a)}; {COUNT}")
    assert cursor.fetchone() == (2,)
    assert count(cursor) == 0
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.b)}")
    assert count(cursor) == 3
    cursor.execute("COMMIT")
    assert count(cursor) == 0


def test_a_setting_made_by_hand_is_refused(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    cursor = as_app.cursor()
    for forged in (str(pair.b), f"{pair.b}:", f"{pair.b}:{'0' * 64}"):
        cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
        cursor.execute("SELECT set_config('tenure.context', %s, true)", (forged,))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="forged"):
            count(cursor)
        cursor.execute("ROLLBACK")


def test_anothers_id_with_my_seal_is_refused(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    cursor = as_app.cursor()
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
    cursor.execute("SELECT current_setting('tenure.context')")
    mine = cursor.fetchone()[0]
    cursor.execute(
        "SELECT set_config('tenure.context', %s, true)", (mine.replace(str(pair.a), str(pair.b)),)
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        count(cursor)


def test_a_setting_replayed_in_a_later_transaction_is_refused(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    cursor = as_app.cursor()
    cursor.execute(
        f"{enter(as_app, installation, pair.b)}; SELECT current_setting('tenure.context')"
    )
    old = cursor.fetchone()[0]
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
    cursor.execute("SELECT set_config('tenure.context', %s, true)", (old,))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        count(cursor)


def test_a_token_of_another_backend_or_with_another_tenant_is_refused(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    sealer = sealer_of(installation.settings)
    cursor = as_app.cursor()
    pid = as_app.info.backend_pid
    mine = sealer.token(pair.a, pid)
    for token in (
        sealer.token(pair.b, pid + 1),
        mine.replace(str(pair.a), str(pair.b)),
        str(pair.b),
        f"{pair.b}:",
        "",
        None,
    ):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.DataError)):
            cursor.execute("SELECT tenure.set_tenant(%s)", (token,))
    assert count(cursor) == 0


@pytest.mark.parametrize(
    "attack",
    [
        "SELECT * FROM tenure.context_key",
        "SELECT * FROM tenure.logins",
        "SELECT * FROM tenure.api_tokens",
        "SELECT * FROM tenure.memberships",
        "SELECT * FROM tenure.sessions",
        "SELECT tenure.is_sealed('x', 'y')",
        "SET ROLE tenure_owner",
        "SET ROLE tenure_verifier",
        "SET SESSION AUTHORIZATION tenure_owner",
        "ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.customers NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON shop.customers USING (true)",
        "TRUNCATE shop.invoice_lines",
        "CREATE TEMP TABLE customers (id int)",
        "CREATE TABLE public.t (id int)",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "UPDATE shop.customers SET tenant_id = tenant_id",
        "CREATE OR REPLACE FUNCTION tenure.current_tenant() RETURNS uuid"
        " LANGUAGE sql AS 'SELECT 1'",
        "COPY shop.customers TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_what_the_application_must_not_do_is_denied(
    as_app: Any, installation: Installation, pair: Pair, attack: str
) -> None:
    cursor = as_app.cursor()
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InvalidSchemaName)):
        cursor.execute(attack)


def test_a_row_of_another_tenant_cannot_be_written(
    as_app: Any, installation: Installation, pair: Pair
) -> None:
    cursor = as_app.cursor()
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        cursor.execute(
            "INSERT INTO shop.customers (id, tenant_id, number, name, country, created_at)"
            " VALUES (gen_random_uuid(), %s, 'x', 'x', 'DE', now())",
            (str(pair.b),),
        )


def test_a_foreign_key_does_not_tell_whether_anothers_row_exists(
    as_app: Any, installation: Installation, pair: Pair, owner_sql: Any
) -> None:
    """Foreign-key checks do not obey row-level security; the composite key makes up for it."""
    [(foreign,)] = owner_sql(
        "SELECT id FROM shop.customers WHERE tenant_id = %s LIMIT 1", (str(pair.b),)
    )
    messages = []
    for customer in (foreign, "00000000-0000-7000-8000-000000000000"):
        cursor = as_app.cursor()
        cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
        with pytest.raises(psycopg2.errors.ForeignKeyViolation) as caught:
            cursor.execute("UPDATE shop.invoices SET customer_id = %s", (customer,))
        messages.append(str(caught.value.diag.message_primary))
        cursor.execute("ROLLBACK")
    assert messages[0] == messages[1]


def test_parallel_plans_keep_the_context(
    as_app: Any, installation: Installation, pair: Pair, owner_sql: Any
) -> None:
    owner_sql(
        "INSERT INTO shop.customers (id, tenant_id, number, name, country, created_at)"
        " SELECT gen_random_uuid(), %s, 'n' || n, 'x', 'DE', now()"
        " FROM generate_series(1, 20000) n",
        (str(pair.a),),
    )
    owner_sql("ANALYZE shop.customers")
    cursor = as_app.cursor()
    cursor.execute(f"BEGIN; {enter(as_app, installation, pair.a)}")
    cursor.execute(
        "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;"
        "SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL enable_indexonlyscan = off;"
        "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"
    )
    cursor.execute("EXPLAIN SELECT count(*) FROM shop.customers WHERE country = 'DE'")
    assert "Parallel Seq Scan" in "\n".join(row[0] for row in cursor.fetchall())
    cursor.execute("SELECT count(*) FROM shop.customers WHERE country = 'DE'")
    assert cursor.fetchone() == (20002,)
