"""Responses of the resources, as PostgREST gives them: statuses, Content-Range, preferences."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import request
from werkzeug import Response

from api.errors import bad_range
from api.query.plan import expect_single
from api.requests import SINGULAR, ApiRequest, Preferences, Shape
from tenants.repository import Row, Rows

JSON = "application/json"


def page_response(found: Rows, offset: int, prefer: Preferences, shape: Shape) -> Response:
    """Answer a listing from number `offset` on: 200, or 206 where the total is known to be more."""
    total = found.total
    if total is not None and offset > total:
        raise bad_range(f"An offset of {offset} was requested, but there are only {total} rows.")
    partial = total is not None and found.count < total
    status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
    response = _body(found, shape, status)
    response.headers["Content-Range"] = content_range(offset, found.count, total)
    return _prefer(response, prefer)


def list_response(
    shown: Sequence[Mapping[str, Any]], total: int | None, asked: ApiRequest, offset: int
) -> Response:
    """Answer a listing of what is no resource's, as `page_response` does."""
    found = Rows(json.dumps(list(shown), ensure_ascii=False), len(shown), total)
    return page_response(found, offset, asked.prefer, asked.shape)


def paper_response(
    written: bytes, *, text: Callable[[], str], pdf: Callable[[], bytes], name: str
) -> Response:
    """Answer with what is for programs (JSON) or for people, as the request accepts it."""
    kind = request.accept_mimetypes.best_match((JSON, "text/plain", "application/pdf"), JSON)
    if kind == "text/plain":
        response = Response(text(), content_type="text/plain; charset=utf-8")
    elif kind == "application/pdf":
        response = Response(pdf(), content_type="application/pdf")
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    else:
        response = Response(written, content_type=JSON)
    response.vary.update(("Accept", "Authorization", "Cookie"))
    return response


def row_response(row: Row, prefer: Preferences, shape: Shape) -> Response:
    """Answer one row that is named by its id, with its version as ETag."""
    mimetype = SINGULAR if shape == "object" else JSON
    response = Response(row.json, HTTPStatus.OK, content_type=f"{mimetype}; charset=utf-8")
    response.set_etag(row.version)
    return _prefer(response, prefer)


def created_response(
    inserted: Rows, location: str | None, prefer: Preferences, shape: Shape
) -> Response:
    """Answer an insert: 201, with the rows where they are asked for."""
    if prefer.returns == "representation":
        response = _body(inserted, shape, HTTPStatus.CREATED)
    else:
        response = Response(b"", HTTPStatus.CREATED)
        del response.headers["Content-Type"]
    if location is not None:
        response.headers["Location"] = location
    total = inserted.count if prefer.count else None
    response.headers["Content-Range"] = content_range(1, 0, total)
    return _prefer(response, prefer)


def changed_response(
    changed: Rows, prefer: Preferences, shape: Shape, *, first: int = 0
) -> Response:
    """Answer an update or, with `first` 1, a delete: 200 with the rows, or 204."""
    if prefer.returns == "representation":
        response = _body(changed, shape, HTTPStatus.OK)
    else:
        response = empty_response()
    total = changed.count if prefer.count else None
    shown = changed.count if first == 0 else 0
    response.headers["Content-Range"] = content_range(first, shown, total)
    return _prefer(response, prefer)


def empty_response() -> Response:
    """Answer 204."""
    response = Response(b"", HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    return response


def content_range(first: int, count: int, total: int | None) -> str:
    """Return the Content-Range of `count` rows from `first` of `total` (None: not counted)."""
    rows = f"{first}-{first + count - 1}" if count > 0 and total != 0 else "*"
    return f"{rows}/{'*' if total is None else total}"


def _body(rows: Rows, shape: Shape, status: HTTPStatus) -> Response:
    if shape == "array":
        return Response(rows.json, status, content_type=f"{JSON}; charset=utf-8")
    expect_single(rows.count)
    # An array of one object, as PostgreSQL writes it: its text between the brackets.
    return Response(rows.json[1:-1], status, content_type=f"{SINGULAR}; charset=utf-8")


def _prefer(response: Response, prefer: Preferences) -> Response:
    if prefer.applied:
        response.headers["Preference-Applied"] = ", ".join(prefer.applied)
    return response
