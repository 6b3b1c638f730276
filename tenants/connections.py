"""Connections of one database role, and the way the tenant's context reaches the server.

A lone statement travels as one message, `SELECT set_config('tenure.context', ..); <statement>`,
an implicit transaction: one round trip. In a transaction the context rides on the BEGIN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args

from psycopg2 import extensions, extras
from psycopg2.sql import Composable

from tenants.comments import comment_for_driver, comment_of, span_in_force, trace_in_force
from tenants.context import TenantId, open_transaction
from tenants.errors import UnsafeRoleError
from tenants.pool import Connection, Limits, Pool
from tenants.residue import text_leaves_nothing
from tenants.retries import run_with_retries
from tenants.seal import Sealer

R = TypeVar("R")
Cursor = extensions.cursor

# UUIDs are UUIDs on both sides, as peewee has it too.
extras.register_uuid()  # type: ignore[no-untyped-call]  # the stubs leave it out

Role = Literal[
    "tenure_owner", "tenure_app", "tenure_retention", "tenure_verifier", "tenure_auditor"
]
Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


def _unwatched(name: str) -> Any:
    method = getattr(extensions.cursor, name)

    def call(cursor: _Cursor, *args: Any, **kwargs: Any) -> Any:
        cursor.connection.tidy = False
        return method(cursor, *args, **kwargs)

    return call


class _Cursor(extensions.cursor):
    """A cursor of the pool's connections: it notes what the session may keep of a statement, and
    with `comments` its statements end with the trace (see `tenants.comments`). Without `watches`
    whoever borrowed it vouches for what it sends.
    """

    comments = True
    watches = True
    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:
        if isinstance(query, Composable):
            query = query.as_string(self)
        leaves_nothing = isinstance(query, str) and text_leaves_nothing(query)
        if self.watches and not leaves_nothing:
            self.connection.tidy = False
        self.send(query, vars)

    def send(self, query: Any, vars: Any = None) -> None:
        """Execute what is known to leave nothing."""
        if self.comments and isinstance(query, str):
            # Ids and fixed texts, percent-encoded: nothing in it is a value of anybody's.
            in_force = trace_in_force(), span_in_force()
            query += comment_of(*in_force) if vars is None else comment_for_driver(*in_force)
        super().execute(query, vars)

    executemany = _unwatched("executemany")
    callproc = _unwatched("callproc")
    copy_expert = _unwatched("copy_expert")
    copy_from = _unwatched("copy_from")
    copy_to = _unwatched("copy_to")


class RoleConnections:
    """A pool of connections that belong to one role, and transactions on them.

    With `comments`, statements carry the trace id to the server. `on_retry` is called for each
    transaction that is tried again.
    """

    def __init__(self, role: Role, pool: Pool, sealer: Sealer, *, comments: bool = True) -> None:
        self.role = role
        self.pool = pool
        self.sealer = sealer
        self.comments = comments
        self.on_retry: Callable[[], None] | None = None

    def before_statement(self, connection: extensions.connection, tenant_id: TenantId) -> str:
        """Return the SQL that a lone statement's message begins with."""
        return self.sealer.before_statement(tenant_id, connection.get_backend_pid())

    def in_transaction(self, connection: extensions.connection, tenant_id: TenantId) -> str:
        """Return the SQL that puts `tenant_id` into the transaction that its message begins."""
        return self.sealer.in_transaction(tenant_id, connection.get_backend_pid())

    @contextmanager
    def transaction(
        self,
        tenant_id: TenantId | None,
        *,
        isolation: Isolation = "READ COMMITTED",
        read_only: bool = False,
        tidy: bool = False,
    ) -> Iterator[Cursor]:
        """Run the block in one transaction, under `tenant_id` or, with None, under no tenant.

        Without a tenant the policies of this role decide what is visible: for the verifier
        every row, for the others no tenant's row at all. Commits at the end, rolls back on
        an exception. Yields a psycopg2 cursor. With `tidy` the block vouches that nothing it
        sends outlives the transaction, see `Pool.connection`.
        """
        begin = begin_statement(isolation, read_only=read_only)
        with self.pool.connection(tidy=True) as connection, open_transaction(tenant_id):
            cursor = connection.cursor(cursor_factory=_Cursor)
            cursor.comments = self.comments
            cursor.watches = not tidy
            if tenant_id is not None:
                begin += "; " + self.in_transaction(connection, tenant_id)
            cursor.send(begin)
            # On an exception the pool rolls back as it takes the connection.
            yield cursor
            cursor.send("COMMIT")

    def run(
        self,
        tenant_id: TenantId | None,
        work: Callable[[Cursor], R],
        *,
        isolation: Isolation = "READ COMMITTED",
        read_only: bool = False,
        retries: int = 3,
    ) -> R:
        """Return `work(cursor)`, done in a transaction of its own, see `transaction`.

        When PostgreSQL breaks it off because of another one (SQLSTATE 40001, 40P01), the whole
        of it is done again, at most `retries` times: `work` must bear that.
        """

        def attempt() -> R:
            with self.transaction(tenant_id, isolation=isolation, read_only=read_only) as cursor:
                return work(cursor)

        return run_with_retries(attempt, retries=retries, on_retry=self.on_retry)


def begin_statement(isolation: str | None, *, read_only: bool) -> str:
    """Return a BEGIN; `set_tenant` knows these forms as a message's beginning, and no others.

    Raises ValueError for an isolation level that does not exist. None is the server's default.
    """
    begin = "BEGIN"
    if isolation is not None:
        if isolation.upper() not in get_args(Isolation):
            raise ValueError(f"unknown isolation level {isolation!r}")
        begin += f" ISOLATION LEVEL {isolation.upper()}"
    return f"{begin} READ ONLY" if read_only else begin


#: What every session of ours starts from. Nothing resolves through a schema that others may
#: write to, and pg_temp comes last.
SESSION_DEFAULTS = (
    ("search_path", "pg_catalog,pg_temp"),
    ("timezone", "UTC"),
    ("datestyle", "ISO"),
    # A role may change its own defaults, SQL injected as that role, too.
    ("row_security", "on"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
)


def connect_role(
    role: Role,
    url: str | Callable[[], str],
    sealer: Sealer,
    *,
    size: int = 8,
    limits: Limits | None = None,
    application_name: str = "tenure",
    session: Mapping[str, int] | None = None,
    pooled: bool = False,
    comments: bool = True,
) -> RoleConnections:
    """Return the connections of `role` at `url` (a libpq URL that logs in as that role, or what
    returns it when the first connection is made).

    `session` are server settings for each connection, such as timeouts in milliseconds. With
    `pooled`, a pooler in transaction mode stands between: it takes no settings at the start of
    a connection (the roles have them, see `tenants.roles`), and clears its sessions itself.
    """
    options = {}
    if not pooled:
        listed = [*SESSION_DEFAULTS, *(session or {}).items()]
        options["options"] = " ".join(
            f"-c {name}=" + str(value).replace(" ", "\\ ") for name, value in listed
        )
    pool = Pool(
        url,
        size=size,
        limits=limits or Limits(),
        discards=not pooled,
        application_name=application_name,
        **options,
    )
    return RoleConnections(role, pool, sealer, comments=comments)


_ROLE_CHECK = """
SELECT r.rolname,
       EXISTS (SELECT 1 FROM pg_catalog.pg_roles p
               WHERE (p.rolsuper OR p.rolbypassrls OR p.rolcreaterole OR p.rolreplication)
                 AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER')) AS reaches_bypass,
       EXISTS (SELECT 1 FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
                 AND pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER')) AS owns_relations,
       (SELECT min(p.rolname) FROM pg_catalog.pg_roles p
        WHERE p.oid <> r.oid AND p.rolname ~ '^(tenure|pg)_'
          -- Who works in batches may look at the server's load; others' statements have tokens.
          AND NOT (p.rolname = 'pg_read_all_stats' AND r.rolname <> 'tenure_app')
          AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER')) AS is_also,
       (SELECT min(split_part(entry, '=', 1))
        FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) entry
        WHERE s.setrole = r.oid AND split_part(entry, '=', 1) = ANY(%s)) AS overridden
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
# What a role that serves has no business to have as a default of its own; it could have set them.
_OVERRIDES = [
    *("row_security", "role", "session_authorization", "session_replication_role"),
    *("local_preload_libraries", "session_preload_libraries"),
    *("default_transaction_read_only", "default_transaction_isolation"),
]


def refuse_unsafe_role(connections: RoleConnections) -> None:
    """Raise UnsafeRoleError unless the connected role is bound by row-level security.

    A superuser, a role with BYPASSRLS or one that makes roles, one that may become such a role or
    another one of ours (whose policies would be its own, too), one that owns (or may act as the
    owner of) relations, or one that was given other defaults could read every tenant's rows, or
    shut everybody out.
    """
    with connections.pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute(_ROLE_CHECK, (_OVERRIDES,))
        row = cursor.fetchone()
    if row is None:
        raise UnsafeRoleError("the connected role is not in pg_roles")
    name, reaches_bypass, owns, is_also, overridden = row
    if name != connections.role:
        raise UnsafeRoleError(f"connected as {name!r}, but this service runs as {connections.role}")
    if reaches_bypass:
        raise UnsafeRoleError(
            f"role {name!r} is superuser, BYPASSRLS, CREATEROLE or REPLICATION, or is a member of "
            "such a role: row-level security would not bind it"
        )
    if owns:
        raise UnsafeRoleError(f"role {name!r} owns relations: owners can switch policies off")
    if is_also is not None:
        raise UnsafeRoleError(
            f"role {name!r} is a member of {is_also!r}, and has that one's powers: "
            f"REVOKE {is_also} FROM {name}"
        )
    if overridden is not None:
        raise UnsafeRoleError(
            f"role {name!r} has a default of its own for {overridden}, which is not ours: "
            f"ALTER ROLE {name} RESET {overridden}, and find out who set it"
        )
