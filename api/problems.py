"""Every error as one answer: RFC 9457 problem details that PostgREST's clients can read too.

The one place where statuses are chosen for the database's errors. Nothing of SQL, names of
constraints, values or internals leaves here: of another tenant's rows not even that they are.
Which fields of the caller's own body a constraint was about is told (`api.constraints`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import peewee
import psycopg2
from flask import Flask, Response, g, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests

from api.errors import FieldError, Problem
from config.logging import get_logger
from retention.errors import (
    ErasingError,
    ErasureError,
    HeldError,
    OffboardingError,
    SubjectError,
    UnknownErasureError,
    UnknownOffboardingError,
)
from tenants.errors import MissingParentError, PoolTimeoutError, StaleObjectError, TooMuchError

MIMETYPE = "application/problem+json"
RETRY = {"Retry-After": "1"}

_log = get_logger(__name__)

_INTERNAL = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "The server failed to answer",
    "What happened is in its log under the trace id.",
)
_BUSY = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE, "busy", "The database is not available", headers=RETRY
)
_REFERENCE = Problem(
    HTTPStatus.CONFLICT,
    "23503",
    "A reference does not hold",
    "Either the row refers to one that does not exist, or another row still refers to it.",
)
_HELD = Problem(
    HTTPStatus.CONFLICT,
    "held",
    "The data is under a legal hold",
    "While it is, its rows cannot be changed or deleted, nor what they refer to be deleted.",
)
_ERASING = Problem(
    HTTPStatus.CONFLICT,
    "erasing",
    "The data is of a person who is being erased",
    "Until that is done, it is neither changed nor deleted; what is kept on a legal basis may "
    "change in all but what it refers to.",
)
_NO_ERASURE = Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such erasure")
_NO_OFFBOARDING = Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such offboarding")
_TOO_MUCH = Problem(
    HTTPStatus.BAD_REQUEST,
    "too_much",
    "The answer would be too large",
    hint="Ask for fewer rows or columns, or for none with Prefer: return=minimal.",
)
_STALE = Problem(HTTPStatus.NOT_FOUND, "not_found", "The row is no longer there")

_STATES: Mapping[str, Problem] = {
    "23505": Problem(
        HTTPStatus.CONFLICT, "23505", "A row with the same values in a unique key is there already"
    ),
    "23503": _REFERENCE,
    "23P01": Problem(HTTPStatus.CONFLICT, "23P01", "The row conflicts with another"),
    "23514": Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "23514", "A value is not one of those allowed"
    ),
    "23502": Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "23502", "A value is missing"),
    "40001": Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "40001", "The write met another; try again", headers=RETRY
    ),
    "40P01": Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "40P01", "The write met another; try again", headers=RETRY
    ),
    "55P03": Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "55P03",
        "A row is in use; try again",
        headers=RETRY,
    ),
    "57014": Problem(
        HTTPStatus.GATEWAY_TIMEOUT, "57014", "The query took too long", hint="Ask for less."
    ),
}
_CLASSES: Mapping[str, Problem] = {
    "22": Problem(HTTPStatus.BAD_REQUEST, "22000", "A value cannot be read or is out of range"),
    "54": Problem(HTTPStatus.BAD_REQUEST, "54000", "A value, or the answer, is too large"),
    "08": _BUSY,
    "53": _BUSY,
    "57": _BUSY,
}


_LOST = (peewee.OperationalError, psycopg2.OperationalError, psycopg2.InterfaceError)


def problem_of(error: BaseException) -> Problem:  # noqa: PLR0911, PLR0912 - one per kind
    """Return what a client is told of an error; of one that is not known, nothing."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _of_http(error)
        case PoolTimeoutError():
            return _BUSY
        case ErasingError():
            return _ERASING
        case HeldError():
            return _HELD
        case UnknownErasureError():
            return _NO_ERASURE
        case ErasureError():
            # Their ends name commands, which whoever calls the API has not.
            said = str(error).partition(": tenure ")[0]
            return Problem(HTTPStatus.CONFLICT, "erasure", said)
        case UnknownOffboardingError():
            return _NO_OFFBOARDING
        case OffboardingError():
            return Problem(HTTPStatus.CONFLICT, "offboarding", str(error))
        case SubjectError():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no_person", str(error))
        case MissingParentError():
            return _REFERENCE
        case StaleObjectError():
            return _STALE
        case TooMuchError():
            return _TOO_MUCH
        case peewee.PeeweeException() | psycopg2.Error():
            return _of_database(error)
    return _INTERNAL


def _of_database(error: BaseException) -> Problem:
    state = _sqlstate(error)
    if state is None:
        # Without an SQLSTATE the server did not answer: the connection is broken, or (the
        # interface's error) another thread has found it broken before this one read its rows.
        lost = any(isinstance(e, _LOST) for e in (error, getattr(error, "orig", None)))
        return _BUSY if lost else _INTERNAL
    return _STATES.get(state) or _CLASSES.get(state[:2]) or _INTERNAL


def _sqlstate(error: BaseException) -> str | None:
    """Return the driver's SQLSTATE; peewee keeps the driver's error as `orig`."""
    for candidate in (error, getattr(error, "orig", None)):
        state = getattr(candidate, "pgcode", None)
        if isinstance(state, str):
            return state
    return None


_HTTP: Mapping[int, tuple[str, str]] = {
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing here"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("too_large", "The body is too large"),
    HTTPStatus.TOO_MANY_REQUESTS: ("rate_limited", "Too many attempts; wait a while"),
}


def _of_http(error: HTTPException) -> Problem:
    status = HTTPStatus(error.code or 500)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _INTERNAL
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return Problem(
            status, "PGRST117", f"Unsupported HTTP method: {request.method}", headers=headers
        )
    if isinstance(error, CSRFError):
        return Problem(
            status,
            "csrf",
            "The CSRF token is missing or wrong",
            "A request that a session cookie authenticates and that changes something carries it.",
            "GET /login with Accept: application/json gives one; send it as X-CSRFToken.",
        )
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = "60"
    code, message = _HTTP.get(status, (status.phrase.lower().replace(" ", "_"), status.phrase))
    return Problem(status, code, message, headers=headers)


def problem_response(problem: Problem) -> Response:
    """Return the problem as application/problem+json, for the request at hand."""
    status = HTTPStatus(problem.status)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": problem.message,
        "instance": request.path,
        "trace_id": g.trace_id,
        "message": problem.message,
        "code": problem.code,
        "details": problem.details,
        "hint": problem.hint,
    }
    if problem.errors:
        body["errors"] = [
            {"field": e.field, "message": e.message, "code": e.code}
            | ({} if e.row is None else {"row": e.row})
            for e in problem.errors
        ]
    return Response(
        json.dumps(body, ensure_ascii=False).encode(errors="replace"),
        status=status.value,
        headers=dict(problem.headers),
        content_type=MIMETYPE,
    )


def install_problems(
    app: Flask,
    fields_of: Callable[[str | None, BaseException], tuple[FieldError, ...]] = lambda *_: (),
) -> None:
    """Answer every error of `app` as a problem; log those that are ours.

    `fields_of(resource, error)` says which fields a write to a resource was refused for.
    """

    def handle(error: Exception) -> Response:
        problem = problem_of(error)
        # A refused DELETE has no field that could be wrong.
        if not problem.errors and request.method in ("POST", "PATCH"):
            found = fields_of((request.view_args or {}).get("name"), error)
            problem = replace(problem, errors=found) if found else problem
        if problem is _INTERNAL:
            _log.error("request_failed", path=request.path, code=problem.code, exc_info=error)
        elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Load, not a fault: a line each, and no traceback.
            _log.warning(
                "request_refused",
                path=request.path,
                code=problem.code,
                error=type(error).__name__,
                sqlstate=_sqlstate(error),
            )
        return problem_response(problem)

    app.register_error_handler(Exception, handle)
