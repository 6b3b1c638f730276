"""Every power is a policy one can read: what each role may do, and who may serve."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import psycopg2
import pytest

from api.wiring import Installation, connections_of, passwords_of, sealer_of
from tenants.connections import Role, RoleConnections, refuse_unsafe_role
from tenants.errors import UnsafeRoleError
from tenants.pool import Pool
from tenants.roles import ROLES, prepare_database

from ...conftest import Cluster
from .conftest import Pair

Rows = list[tuple[Any, ...]]
# Tables of the schema tenure that no policy needs to name: the owner's alone.
OWNERS_ALONE = {"context_key", "logins", "memberships", "api_tokens", "sessions"}


def test_every_table_is_closed_and_forced(owner_sql: Callable[..., Rows]) -> None:
    rows = owner_sql(
        "SELECT c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('tenure', 'shop') AND c.relkind = 'r'"
        " AND c.relname !~ '^migration_'"
    )
    assert len(rows) > 20
    assert [name for name, enabled, forced in rows if not (enabled and forced)] == []


def test_every_tenant_table_has_the_policies_of_every_role(
    installation: Installation, owner_sql: Callable[..., Rows]
) -> None:
    policies = {
        (table, role, command): (using, check)
        for table, role, command, using, check in owner_sql(
            "SELECT tablename, roles[1]::text, cmd, qual, with_check FROM pg_policies"
            " WHERE schemaname = 'shop'"
        )
    }
    own = "(tenant_id = ( SELECT tenure.current_tenant() AS current_tenant))"
    assert {t.kind for t in installation.catalog} == {"tenant"}
    for table in installation.catalog:
        name = table.name.name
        assert policies.pop((name, "tenure_app", "ALL")) == (own, own)
        assert policies.pop((name, "tenure_retention", "ALL")) == (own, own)
        assert policies.pop((name, "tenure_verifier", "SELECT")) == ("true", None)
        assert policies.pop((name, "tenure_owner", "ALL")) == ("true", "true")
    assert policies == {}


# Tables of ours without a column tenant_id, and why that is so.
EXEMPT = {
    "tenants": "the tenants themselves: each sees its own row",
    "context_key": "the owner's alone",
    "context_key_steps": "what was done with the keys, for auditors",
    "logins": "who comes before any tenant; reached by functions",
    "policy_versions": "policies are the installation's",
    "policy_withdrawals": "policies are the installation's",
    "runs": "a run goes over all tenants; its batches name theirs",
    "interventions": "what people did to runs, which serve all tenants",
    "leases": "who plans",
    "verifications": "a verification looks at all tenants; its results name theirs",
    "cross_tenant_reads": "who looked across tenants",
    "access_changes": "who got and lost access, to a tenant or beside all of them",
    "inspections": "what the lint gate and the posture audit said",
    "watches": "when somebody ticked",
    "scheduled": "when which schedule was taken up",
    "alerts": "what operators were warned of",
    "leftover_deletions": "what went of our own rows, by table",
    "forgettings": "who had texts that name a person forgotten, in one tenant or in all",
    "forgotten_texts": "which texts of the ledger were forgotten",
    "ledger_nodes": "hashes over the entries of all tenants",
    "ledger_checkpoints": "one tree over the entries of all tenants",
    "ledger_attestations": "what others said of checkpoints",
    "ledger_key_steps": "which key signs checkpoints",
    "ledger_sources": "which tables feed the ledger",
}


def unaccounted(owner_sql: Callable[..., Rows], installation: Installation) -> set[str]:
    """Tables with neither a tenant nor an exemption with a reason."""
    known = {f"tenure.{name}" for name in EXEMPT} | {str(t.name) for t in installation.catalog}
    return {
        name
        for name, has_tenant in owner_sql(
            "SELECT n.nspname || '.' || c.relname, n.nspname = 'tenure' AND EXISTS (SELECT"
            " FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
            " AND c.relkind IN ('r', 'p') AND c.relname !~ '^migration_'"
        )
        if not has_tenant and name not in known
    }


def test_every_table_has_a_tenant_or_a_reason(
    installation: Installation, owner_sql: Callable[..., Rows]
) -> None:
    assert unaccounted(owner_sql, installation) == set()
    owner_sql("CREATE TABLE shop.stray (id uuid PRIMARY KEY, tenant_id uuid NOT NULL)")
    owner_sql("CREATE TABLE tenure.stray (id uuid PRIMARY KEY)")
    assert unaccounted(owner_sql, installation) == {"shop.stray", "tenure.stray"}


SERVING = [role for role in ROLES if role != "tenure_owner"]


def privileges(owner_sql: Callable[..., Rows], wanted: tuple[str, ...]) -> Rows:
    return owner_sql(
        "SELECT c.oid::regclass::text, r.role, p.privilege FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace,"
        " unnest(%s) r(role), unnest(%s) p(privilege)"
        " WHERE n.nspname IN ('tenure', 'shop') AND c.relkind IN ('r', 'p', 'v')"
        " AND has_table_privilege(r.role, c.oid, p.privilege)",
        (SERVING, list(wanted)),
    )


def test_nobody_but_the_owner_has_powers_that_policies_do_not_bind(
    owner_sql: Callable[..., Rows],
) -> None:
    powers = ["TRUNCATE", "REFERENCES", "TRIGGER"]
    [(version,)] = owner_sql("SELECT current_setting('server_version_num')::int")
    if version >= 170000:
        powers.append("MAINTAIN")
    assert privileges(owner_sql, tuple(powers)) == []
    assert privileges(owner_sql, ("SELECT",)), "the question is asked rightly"
    for role in SERVING:
        for what in ("TEMP", "CREATE"):
            asked = "SELECT has_database_privilege(%s, current_database(), %s)"
            assert owner_sql(asked, (role, what)) == [(False,)]


def test_what_comes_later_is_closed_as_well(owner_sql: Callable[..., Rows]) -> None:
    before = privileges(owner_sql, ("SELECT", "INSERT", "UPDATE", "DELETE"))
    owner_sql("CREATE TABLE shop.later (id int)")
    owner_sql("CREATE VIEW tenure.later AS SELECT * FROM tenure.logins")
    owner_sql("CREATE FUNCTION shop.later() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    owner_sql("CREATE SEQUENCE shop.counter")
    assert privileges(owner_sql, ("SELECT", "INSERT", "UPDATE", "DELETE")) == before
    for role in SERVING:
        for asked in (
            "SELECT has_function_privilege(%s, 'shop.later()', 'EXECUTE')",
            "SELECT has_sequence_privilege(%s, 'shop.counter', 'USAGE, SELECT, UPDATE')",
        ):
            assert owner_sql(asked, (role,)) == [(False,)]


def test_a_tenant_sees_no_other_among_the_tenants(installation: Installation, pair: Pair) -> None:
    for tenant, seen in ((pair.a, [(str(pair.a),)]), (None, [])):
        with installation.app_connections.transaction(tenant) as cursor:
            cursor.execute("SELECT id::text FROM tenure.tenants")
            assert cursor.fetchall() == seen


def test_nobody_bypasses_row_level_security(owner_sql: Callable[..., Rows]) -> None:
    assert (
        owner_sql(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^tenure_'"
            " AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)"
        )
        == []
    )
    assert (
        owner_sql(
            "SELECT member::regrole FROM pg_auth_members WHERE member::regrole::text ~ '^tenure_'"
        )
        == []
    )


def test_identities_are_reached_by_functions_alone(owner_sql: Callable[..., Rows]) -> None:
    granted = owner_sql(
        "SELECT table_name, grantee FROM information_schema.role_table_grants"
        " WHERE table_schema = 'tenure' AND grantee <> 'tenure_owner'"
    )
    assert {table for table, _ in granted} & OWNERS_ALONE == set()


def test_public_may_execute_and_connect_to_nothing(owner_sql: Callable[..., Rows]) -> None:
    assert (
        owner_sql(
            "SELECT p.oid::regprocedure::text FROM pg_proc p"
            " WHERE p.pronamespace = 'tenure'::regnamespace"
            " AND has_function_privilege('public', p.oid, 'EXECUTE')"
        )
        == []
    )
    assert (
        owner_sql(
            "SELECT datacl::text FROM pg_database WHERE datname = current_database()"
            " AND EXISTS (SELECT FROM aclexplode(datacl) a WHERE a.grantee = 0)"
        )
        == []
    )


def test_privileged_functions_fix_their_search_path(owner_sql: Callable[..., Rows]) -> None:
    rows = owner_sql(
        "SELECT p.oid::regprocedure::text, p.proconfig FROM pg_proc p"
        " WHERE p.pronamespace = 'tenure'::regnamespace AND p.prosecdef"
    )
    assert len(rows) >= 8
    assert all(config[0] == "search_path=pg_catalog, pg_temp" for _, config in rows)


MAY_NOT: dict[str, tuple[str, ...]] = {
    "tenure_verifier": (
        "INSERT INTO shop.customers SELECT * FROM shop.customers",
        "UPDATE shop.customers SET name = 'x'",
        "DELETE FROM shop.customers",
        "DELETE FROM tenure.batches",
        "INSERT INTO tenure.movements SELECT * FROM tenure.movements",
    ),
    "tenure_auditor": (
        "SELECT * FROM shop.customers",
        "SELECT * FROM tenure.logins",
        "INSERT INTO tenure.holds SELECT * FROM tenure.holds",
    ),
    "tenure_retention": (
        "INSERT INTO shop.customers SELECT * FROM shop.customers",
        "UPDATE shop.customers SET country = 'x'",
        "UPDATE tenure.batches SET rows_deleted = 0",
        "DELETE FROM tenure.runs",
        "SELECT * FROM tenure.movements",
        "UPDATE tenure.reconciliations SET vanished = 0",
        "SELECT * FROM tenure.logins",
    ),
    "tenure_app": (
        "INSERT INTO tenure.removals SELECT * FROM tenure.removals",
        "SELECT * FROM tenure.runs",
        "SELECT * FROM tenure.batches",
        "SELECT * FROM tenure.removals",
        "INSERT INTO tenure.holds SELECT * FROM tenure.holds",
        "UPDATE tenure.tenants SET name = 'x'",
        "INSERT INTO tenure.cross_tenant_reads SELECT * FROM tenure.cross_tenant_reads",
    ),
}


@pytest.mark.parametrize(
    ("role", "statement"), [(r, s) for r, statements in MAY_NOT.items() for s in statements]
)
def test_a_role_is_denied_what_it_has_no_need_of(
    installation: Installation, pair: Pair, role: str, statement: str
) -> None:
    connection = psycopg2.connect(installation.settings.role_url(cast(Role, role)))
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            connection.cursor().execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "table",
    [
        "policy_versions",
        "policy_withdrawals",
        "batches",
        "deleted_keys",
        "verifications",
        "reconciliations",
        "movements",
        "accounted_batches",
        "removals",
        "leftover_deletions",
        "connector_events",
    ],
)
@pytest.mark.parametrize(
    "change", ["UPDATE tenure.{} SET {}", "DELETE FROM tenure.{}", "TRUNCATE tenure.{}"]
)
def test_evidence_is_append_only_even_for_its_owner(
    owner_sql: Callable[..., Rows], table: str, change: str
) -> None:
    [(column,)] = owner_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'tenure'"
        " AND table_name = %s ORDER BY ordinal_position LIMIT 1",
        (table,),
    )
    statement = change.format(table, f"{column} = {column}")
    if statement.startswith("TRUNCATE"):
        statement += " CASCADE"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        owner_sql(statement)


@pytest.mark.parametrize("role", ["tenure_app", "tenure_retention", "tenure_verifier"])
def test_a_bound_role_may_serve(installation: Installation, role: str) -> None:
    connections = connections_of(installation.settings, cast(Role, role), size=1)
    refuse_unsafe_role(connections)
    connections.pool.close()


def connected_as(installation: Installation, url: str, role: Role) -> RoleConnections:
    return RoleConnections(role, Pool(url, size=1), sealer_of(installation.settings))


def test_a_superuser_may_not_serve(installation: Installation) -> None:
    url = installation.settings.database_url or ""
    connections = connected_as(installation, url, "tenure_app")
    with pytest.raises(UnsafeRoleError):
        refuse_unsafe_role(connections)
    connections.pool.close()


def test_the_owner_may_not_serve(installation: Installation) -> None:
    url = installation.settings.role_url("tenure_owner")
    for role in ("tenure_app", "tenure_owner"):
        connections = connected_as(installation, url, cast(Role, role))
        with pytest.raises(UnsafeRoleError):
            refuse_unsafe_role(connections)
        connections.pool.close()


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT tenure_owner TO {}",
        "GRANT {admin} TO {}",
        "GRANT tenure_verifier TO {}",  # whose policies would be its own
        "GRANT tenure_retention TO {}",
        "GRANT pg_monitor TO {}",
        "ALTER ROLE {} CREATEROLE",
        "ALTER ROLE {} REPLICATION",
        "ALTER ROLE {} SET row_security TO off",
        "ALTER ROLE {} SET default_transaction_read_only TO on",
    ],
)
def test_a_role_that_may_become_another_may_not_serve(
    installation: Installation, grant: str
) -> None:
    """Tried on a role of this test's own: roles belong to the cluster that tests share."""
    admin = psycopg2.connect(installation.settings.database_url or "")
    admin.autocommit = True
    cursor = admin.cursor()
    name = "tenure_test_reaching"
    cursor.execute(f"DROP ROLE IF EXISTS {name}")
    cursor.execute(f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'reaching'")
    cursor.execute("SELECT current_database(), current_user")
    database, superuser = cursor.fetchone() or ("", "")
    try:
        cursor.execute(f'GRANT CONNECT ON DATABASE "{database}" TO {name}')
        cursor.execute(grant.format(name, admin=superuser))
        app = installation.settings.role_url("tenure_app")
        url = f"postgresql://{name}:reaching@{app.rpartition('@')[2]}"
        connections = connected_as(installation, url, cast(Role, name))
        with pytest.raises(UnsafeRoleError):
            refuse_unsafe_role(connections)
        connections.pool.close()
    finally:
        cursor.execute(f"DROP OWNED BY {name}")
        cursor.execute(f"DROP ROLE {name}")
        admin.close()


def test_databases_prepared_at_once_do_not_trip_over_the_shared_roles(
    cluster: Cluster, installation: Installation
) -> None:
    """On a role's password all of them write; the cluster has one row for it."""
    names = [f"prepared_{n}_{installation.app_connections.pool.size}" for n in range(4)]
    for name in names:
        cluster.create_database(name)
    failed: list[BaseException] = []

    def prepare(name: str) -> None:
        try:
            for _ in range(5):
                prepare_database(cluster.url(name), passwords_of(installation.settings))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=prepare, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        cluster.drop_database(name)
    assert failed == []


def test_there_is_a_password_for_every_role_and_it_is_needed(installation: Installation) -> None:
    for role in ROLES:
        url = installation.settings.role_url(role)
        psycopg2.connect(url).close()
        head, _, tail = url.rpartition("@")
        wrong = f"{head.rpartition(':')[0]}:wrong@{tail}"
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(wrong)


def test_what_a_role_sets_for_itself_reaches_no_session_of_ours(
    installation: Installation,
) -> None:
    """SQL injected as tenure_app may change that role's defaults: all tenants would be shut out."""
    app = psycopg2.connect(installation.settings.role_url("tenure_app"))
    app.autocommit = True
    try:
        with app.cursor() as cursor:
            for setting in ("row_security TO off", "default_transaction_read_only TO on"):
                cursor.execute(f"ALTER ROLE tenure_app SET {setting}")
        connections = connections_of(installation.settings, "tenure_app", size=1)
        with connections.pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW row_security")
            assert cursor.fetchone() == ("on",)
            cursor.execute("SHOW transaction_read_only")
            assert cursor.fetchone() == ("off",)
            cursor.execute("SHOW default_transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
        with pytest.raises(UnsafeRoleError, match="RESET"):
            refuse_unsafe_role(connections)
        connections.pool.close()
    finally:
        with app.cursor() as cursor:
            for setting in ("row_security", "default_transaction_read_only"):
                cursor.execute(f"ALTER ROLE tenure_app RESET {setting}")
        app.close()
