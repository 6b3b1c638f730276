"""The database roles, and what an administrator does once for a database.

Needs CREATEROLE and ownership of the database (or a superuser); afterwards nothing here
runs as anything but the roles below.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

import psycopg2
from psycopg2 import extensions

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


def prepare_database(
    admin_url: str,
    passwords: Mapping[Role, str],
    *,
    sessions: Mapping[Role, Mapping[str, int]] | None = None,
) -> None:
    """Create the roles that are missing, set their passwords, and close the database.

    Passwords travel as SCRAM verifiers, so that no server log can hold one. `sessions` are
    settings, such as timeouts in milliseconds, that roles have in this database where their
    connections bring none. Safe to repeat.
    """
    connection = psycopg2.connect(admin_url)
    try:
        verifiers = {
            role: extensions.encrypt_password(passwords[role], role, connection, "scram-sha-256")
            for role in ROLES
        }
        statements = [
            *role_statements(verifiers),
            *session_statements(sessions or {}),
            *closing_statements(),
        ]
        for tries_left in reversed(range(_TRIES)):
            try:
                with connection, connection.cursor() as cursor:
                    for statement in statements:
                        cursor.execute(statement)
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
            for statement in closing_statements():
                cursor.execute(statement)
    finally:
        connection.close()


def role_statements(verifiers: Mapping[Role, str | None]) -> list[str]:
    """Return what makes the roles that are missing, and sets those passwords that are given.

    `verifiers` are SCRAM verifiers (see `scram_verifier`); with None the password is left.
    """
    defaults = "; ".join(
        f"ALTER ROLE {{role}} SET {name} TO {value}" for name, value in _SESSION_DEFAULTS
    )
    statements = []
    for role in ROLES:
        statements.append(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}')"
            f" THEN CREATE ROLE {role} {_ATTRIBUTES}; {defaults.format(role=role)};"
            " END IF; END $$"
        )
        # Only a superuser may take such an attribute away; where there is none, `tenure posture`
        # tells, and no such role serves.
        statements.append(
            "DO $$ BEGIN IF pg_catalog.current_setting('is_superuser') = 'on' AND EXISTS (SELECT"
            f" FROM pg_catalog.pg_roles WHERE rolname = '{role}' AND (rolsuper OR rolcreatedb OR"
            " rolcreaterole OR rolreplication OR rolbypassrls))"
            f" THEN ALTER ROLE {role} {_ATTRIBUTES}; END IF; END $$"
        )
        verifier = verifiers[role]
        if verifier is not None:
            quoted = extensions.QuotedString(verifier).getquoted().decode()
            statements.append(f"ALTER ROLE {role} PASSWORD {quoted}")
    return statements


def session_statements(sessions: Mapping[Role, Mapping[str, int]]) -> list[str]:
    """Return what gives roles these settings in the current database.

    Behind a pooler no connection brings its own.
    """
    return [
        "DO $$ BEGIN EXECUTE pg_catalog.format("
        f"'ALTER ROLE {role} IN DATABASE %I SET {name} TO {int(value)}',"
        " pg_catalog.current_database()); END $$"
        for role, session in sessions.items()
        for name, value in session.items()
    ]


def closing_statements() -> list[str]:
    """Return what lets our roles alone into the current database."""
    everyone = ", ".join(ROLES)
    database = [
        # PUBLIC could connect, and make temporary tables that shadow real ones.
        "REVOKE ALL ON DATABASE %I FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE %I TO {everyone}",
        "GRANT CREATE ON DATABASE %I TO tenure_owner",
    ]
    # Only a superuser may; elsewhere they stay as the server's administrator left them.
    superusers = "; ".join(
        f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC;"
        f" GRANT EXECUTE ON FUNCTION {functions} TO {keepers}"
        for keepers, functions in _CLOSED_FUNCTIONS
    )
    return [
        *(
            f"DO $$ BEGIN EXECUTE pg_catalog.format('{statement}',"
            " pg_catalog.current_database()); END $$"
            for statement in database
        ),
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "DO $$ BEGIN IF pg_catalog.current_setting('is_superuser') = 'on' THEN"
        f" {superusers}; END IF; END $$",
    ]


_ITERATIONS = 4096


def scram_verifier(password: str, *, salt: bytes | None = None) -> str:
    """Return what PostgreSQL stores for a password: RFC 5803, SCRAM-SHA-256.

    Raises ValueError for a password that is not ASCII: RFC 4013 would have to prepare it.
    """
    if not (password.isascii() and password.isprintable()):
        raise ValueError("the password has characters that are not printable ASCII")
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


# Nothing resolves through a schema that others may write to; pg_temp comes last. Those who come
# through a pooler have nothing else.
_SESSION_DEFAULTS = (
    ("search_path", "pg_catalog, pg_temp"),
    ("timezone", "'UTC'"),
    ("datestyle", "'ISO'"),
)


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
