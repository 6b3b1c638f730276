"""For those who run the process: does it live, can it serve, what has it done."""

from __future__ import annotations

import hmac
import threading
import time
from http import HTTPStatus

import peewee
import psycopg2
from flask import Blueprint, Response, jsonify, request

from api.errors import Problem
from config.logging import get_logger
from config.metrics import CONTENT_TYPE, Metrics
from tenants.catalog import Catalog
from tenants.connections import RoleConnections
from tenants.errors import TenantError
from tenants.rls import knows_message

_log = get_logger(__name__)

# Visible to every role: names only, no rows. What a schema lacks is seen before a user does.
_PRESENT = """
SELECT n.nspname || '.' || c.relname || '.' || a.attname
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_FUNCTION = "SELECT to_regprocedure('tenure.resolve_token(bytea)') IS NOT NULL"
_CONTEXT = """
SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = to_regprocedure('tenure.current_tenant()')
"""


def is_migrated(connections: RoleConnections, catalog: Catalog) -> bool:
    """Tell whether the database has every table and column of the catalog, and a context function
    that takes what these connections send.
    """
    wanted = {f"{table.name}.{column.name}" for table in catalog for column in table.columns}
    schemas = sorted({table.name.schema for table in catalog})
    with connections.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(_PRESENT, (schemas,))
        if not wanted <= {name for (name,) in cursor.fetchall()}:
            return False
        cursor.execute(_FUNCTION)
        row = cursor.fetchone()
        if row is None or not row[0]:
            return False
        cursor.execute(_CONTEXT)
        body = cursor.fetchone()
    return body is not None and (not connections.sealer.in_message or knows_message(body[0]))


#: For how long an answer of readiness serves those who ask meanwhile, in seconds: anybody may ask,
#: and each look is three queries over the catalogs.
KEPT_S = 1.0


class _Readiness:
    """What a probe is told; one looks, and the others are told the same for a moment."""

    def __init__(self, connections: RoleConnections, catalog: Catalog) -> None:
        self._connections = connections
        self._catalog = catalog
        self._lock = threading.Lock()
        self._looked: tuple[float, dict[str, str]] | None = None

    def checks(self) -> dict[str, str]:
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked[0] >= KEPT_S:
                found = self._look()
                self._looked = time.monotonic(), found
            return self._looked[1]

    def _look(self) -> dict[str, str]:
        try:
            migrated = is_migrated(self._connections, self._catalog)
        except (psycopg2.Error, peewee.PeeweeException, TenantError) as error:
            _log.warning("not_ready", error=type(error).__name__)
            return {"database": "unreachable", "schema": "unknown"}
        return {"database": "ok", "schema": "ok" if migrated else "not migrated"}


def health_blueprint(
    connections: RoleConnections, catalog: Catalog, metrics: Metrics, metrics_token: str | None
) -> Blueprint:
    """Return /healthz, /readyz and /metrics."""
    views = Blueprint("health", __name__)
    readiness = _Readiness(connections, catalog)

    @views.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @views.get("/readyz")
    def readyz() -> Response:
        checks = readiness.checks()
        ready = set(checks.values()) == {"ok"}
        response = jsonify(status="ready" if ready else "unavailable", checks=checks)
        response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return response

    @views.get("/metrics")
    def figures() -> Response:
        if not _may_read_metrics(metrics_token):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "metrics",
                "Metrics are read with the metrics token",
                hint="Send the setting TENURE_METRICS_TOKEN as Authorization: Bearer ..",
            )
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)

    return views


def _may_read_metrics(token: str | None) -> bool:
    # Not by the caller's address: behind a proxy on this machine everybody's is a loopback one,
    # and not every proxy says that it is there.
    if token is None:
        return False
    given = request.headers.get("Authorization", "").encode()
    return hmac.compare_digest(given, f"Bearer {token}".encode())
