"""For those who run the process: does it live, can it serve, what has it done."""

from __future__ import annotations

import hmac
import ipaddress
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


def health_blueprint(
    connections: RoleConnections, catalog: Catalog, metrics: Metrics, metrics_token: str | None
) -> Blueprint:
    """Return /healthz, /readyz and /metrics."""
    views = Blueprint("health", __name__)

    @views.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @views.get("/readyz")
    def readyz() -> Response:
        checks = {"database": "ok", "schema": "ok"}
        try:
            if not is_migrated(connections, catalog):
                checks["schema"] = "not migrated"
        except (psycopg2.Error, peewee.PeeweeException, TenantError) as error:
            _log.warning("not_ready", error=type(error).__name__)
            checks = {"database": "unreachable", "schema": "unknown"}
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
                "Metrics are read from this machine, or with the metrics token",
            )
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)

    return views


def _may_read_metrics(token: str | None) -> bool:
    if token is not None:
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {token}".encode())
    # Behind a proxy on this machine everybody's address is a loopback one.
    if {"Forwarded", "X-Forwarded-For"} & set(request.headers.keys()):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
