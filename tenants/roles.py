"""The database roles, and what an administrator does once for a database.

Needs CREATEROLE and ownership of the database (or a superuser); afterwards nothing here
runs as anything but the roles below.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from tenants.connections import Role

ROLES: tuple[Role, ...] = (
    "tenure_owner",
    "tenure_app",
    "tenure_retention",
    "tenure_verifier",
    "tenure_auditor",
)

_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


# Roles belong to the cluster, and no lock of one database keeps another's session out: two
# databases prepared at once meet in these, and the later one tries again.
_MET = (
    psycopg2.errors.UniqueViolation,
    psycopg2.errors.DuplicateObject,
    psycopg2.errors.InternalError_,  # "tuple concurrently updated"
    psycopg2.errors.SerializationFailure,
    psycopg2.errors.DeadlockDetected,
)
_TRIES = 20
_PAUSE_S = 0.1


def prepare_database(admin_url: str, passwords: Mapping[Role, str]) -> None:
    """Create the roles that are missing, set their passwords, and close the database.

    Passwords travel as SCRAM verifiers, so that no server log can hold one. Safe to repeat.
    """
    connection = psycopg2.connect(admin_url)
    try:
        for tries_left in reversed(range(_TRIES)):
            try:
                with connection, connection.cursor() as cursor:
                    for role in ROLES:
                        _prepare_role(connection, cursor, role, passwords[role])
                    _close_database(cursor)
            except _MET:
                if not tries_left:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return
    finally:
        connection.close()


def close_database(admin_url: str) -> None:
    """Let only our roles into a database, and none but the owner make anything in it.

    Part of `prepare_database`; a copy made from a template needs it anew.
    """
    connection = psycopg2.connect(admin_url)
    try:
        with connection, connection.cursor() as cursor:
            _close_database(cursor)
    finally:
        connection.close()


def _prepare_role(connection: Any, cursor: Any, role: Role, password: str) -> None:
    name = sql.Identifier(role)
    cursor.execute("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %s)", (role,))
    if not cursor.fetchone()[0]:
        cursor.execute(sql.SQL("CREATE ROLE {} " + _ATTRIBUTES).format(name))
        for setting, value in _SESSION_DEFAULTS:
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET {} TO " + value).format(name, sql.Identifier(setting))
            )
    verifier = extensions.encrypt_password(password, role, connection, "scram-sha-256")
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(name), (verifier,))


# Nothing resolves through a schema that others may write to; pg_temp comes last.
_SESSION_DEFAULTS = (("search_path", "pg_catalog, pg_temp"), ("timezone", "'UTC'"))


def _close_database(cursor: Any) -> None:
    cursor.execute("SELECT pg_catalog.current_database()")
    name = sql.Identifier(cursor.fetchone()[0])
    everyone = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    # PUBLIC could connect, and make temporary tables that shadow real ones.
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, everyone))
    cursor.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO tenure_owner").format(name))
    cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    cursor.execute("SELECT pg_catalog.current_setting('is_superuser') = 'on'")
    if cursor.fetchone()[0]:
        # Only a superuser may; elsewhere they stay as the server's administrator left them.
        for keepers, functions in _CLOSED_FUNCTIONS:
            listed = sql.SQL(functions)
            cursor.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(listed))
            kept = sql.SQL(keepers)
            cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(listed, kept))


# Open to everybody by default, and blind to tenants: sessions of one role read and end one
# another, and large objects are a store that all tenants would share. (Who keeps them, what.)
_CLOSED_FUNCTIONS = (
    (
        "pg_read_all_stats, tenure_owner",
        "pg_catalog.pg_stat_get_activity(integer),"
        " pg_catalog.pg_stat_get_backend_activity(integer)",
    ),
    (
        "pg_signal_backend, tenure_owner",
        "pg_catalog.pg_terminate_backend(integer, bigint), pg_catalog.pg_cancel_backend(integer)",
    ),
    (
        "tenure_owner",
        "pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer),"
        " pg_catalog.lo_from_bytea(oid, bytea), pg_catalog.lo_get(oid),"
        " pg_catalog.lo_get(oid, bigint, integer), pg_catalog.lo_put(oid, bigint, bytea),"
        " pg_catalog.lo_open(oid, integer), pg_catalog.lo_unlink(oid)",
    ),
)
