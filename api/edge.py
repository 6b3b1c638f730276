"""What every request meets coming in, and every response going out.

Trace id, log line and figures; security headers. Nothing here knows a resource.
"""

from __future__ import annotations

import secrets
import time

import structlog
from flask import Flask, Response, g, request

from config.logging import get_logger
from config.metrics import Metrics
from config.trace import new_trace_id, parse_traceparent

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HSTS = "max-age=31536000; includeSubDomains"
_OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = get_logger(__name__)


def install_edge(app: Flask, metrics: Metrics) -> None:
    """Trace, log, count and harden everything `app` answers."""

    @app.before_request
    def trace() -> None:
        g.started = time.monotonic()
        # A trace of our own: its id enters evidence, and a caller could choose somebody else's.
        g.trace_id = new_trace_id()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=g.trace_id)
        callers = parse_traceparent(request.headers.get("traceparent"))
        if callers is not None:
            structlog.contextvars.bind_contextvars(caller_trace_id=callers)
        # Whole, before it is asked who sends it: a body may take its time, and who sends it may
        # have been shut out by then.
        request.get_data()

    @app.after_request
    def finish(response: Response) -> Response:
        harden(response, secure=request.is_secure)
        response.headers["traceparent"] = f"00-{g.trace_id}-{secrets.token_hex(8)}-01"
        response.headers["X-Trace-Id"] = g.trace_id
        seconds = time.monotonic() - g.started
        # The pattern, not the path: ids would make a time series each.
        route = request.url_rule.rule if request.url_rule is not None else _OTHER
        method = request.method if request.method in _METHODS else _OTHER
        metrics.request(method, route, response.status_code, seconds)
        _log.info(
            "request",
            method=method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        structlog.contextvars.clear_contextvars()


def harden(response: Response, *, secure: bool) -> None:
    """Set the security headers; what a view has set itself stays."""
    page = response.mimetype == "text/html"
    headers = response.headers
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if page else API_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    # A page's forms are checked for where they come from, which needs the header on this site.
    headers.setdefault("Referrer-Policy", "same-origin" if page else "no-referrer")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    headers.setdefault("Cache-Control", "private, no-cache" if "ETag" in headers else "no-store")
    if secure:
        headers.setdefault("Strict-Transport-Security", _HSTS)
