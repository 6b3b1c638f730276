"""The resources over HTTP: /v1/{name} and /v1/{name}/{id}.

Every view runs in the scope of the caller's tenant, opened here and nowhere else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from flask import Blueprint, g, request, url_for
from werkzeug import Response

from api.auth.identity import Identity, require_member
from api.errors import Problem, not_found, shorten
from api.query.plan import (
    expect_at_most,
    expect_single,
    plan_delete,
    plan_insert,
    plan_page,
    plan_single,
    plan_update,
)
from api.requests import ApiRequest, api_request, json_body
from api.resources import ResourceView
from api.responses import (
    changed_response,
    created_response,
    empty_response,
    page_response,
    row_response,
)
from api.values import uuid_of
from tenants.context import tenant_scope
from tenants.models import new_id
from tenants.repository import Repository

PREFIX = "/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """What a view is given: the resource asked for, its rows, and the request."""

    view: ResourceView
    repository: Repository
    asked: ApiRequest


def resources_blueprint(
    views: Mapping[str, ResourceView],
    repositories: Mapping[str, Repository],
    identity: Identity,
) -> Blueprint:
    """Return the routes of all resources. Both mappings are by the resource's name."""
    routes = Blueprint("v1", __name__, url_prefix=PREFIX)

    @contextmanager
    def entered(name: str) -> Iterator[Call]:
        """Authenticate, authorise, and serve the caller's tenant for the length of the block."""
        principal = identity.authenticate()
        require_member(principal, request.method)
        if name not in views:
            raise Problem(
                HTTPStatus.NOT_FOUND, "PGRST205", f"There is no resource {shorten(name)!r}"
            )
        assert principal.tenant_id is not None  # noqa: S101 - a member has a tenant
        asked = api_request(request)
        with tenant_scope(principal.tenant_id, actor=principal.actor, trace_id=g.trace_id):
            yield Call(views[name], repositories[name], asked)

    @routes.get("/<name>")
    def list_rows(name: str) -> Response:
        with entered(name) as call:
            query = plan_page(call.asked, call.view)
            return page_response(
                call.repository.page(query), query.offset, call.asked.prefer, call.asked.shape
            )

    @routes.post("/<name>")
    def insert_rows(name: str) -> Response:
        with entered(name) as call:
            return _insert(call)

    @routes.patch("/<name>")
    def update_rows(name: str) -> Response:
        with entered(name) as call:
            change = plan_update(call.asked, call.view, json_body(request))
            changed = call.repository.update(
                change.where, change.changes, change.columns, expect=_expectation(call.asked)
            )
            return changed_response(changed, call.asked.prefer, call.asked.shape)

    @routes.delete("/<name>")
    def delete_rows(name: str) -> Response:
        with entered(name) as call:
            change = plan_delete(call.asked, call.view)
            deleted = call.repository.delete(
                change.where, change.columns, expect=_expectation(call.asked)
            )
            return changed_response(deleted, call.asked.prefer, call.asked.shape, first=1)

    @routes.get("/<name>/<row_id>")
    def get_row(name: str, row_id: str) -> Response:
        with entered(name) as call:
            row = call.repository.get(_id(row_id, call.view), plan_single(call.asked, call.view))
            if row is None:
                raise not_found(call.view.name)
            response = row_response(row, call.asked.prefer, call.asked.shape)
            response.vary.update(("Accept", "Authorization", "Cookie"))
            return response.make_conditional(request)

    @routes.patch("/<name>/<row_id>")
    def update_row(name: str, row_id: str) -> Response:
        with entered(name) as call:
            columns = plan_single(call.asked, call.view)
            changes = call.view.changes(json_body(request))
            row = call.repository.update_one(
                _id(row_id, call.view), changes, columns, require=_requirement()
            )
            if row is None:
                raise not_found(call.view.name)
            if call.asked.prefer.returns == "representation":
                return row_response(row, call.asked.prefer, call.asked.shape)
            response = empty_response()
            response.set_etag(row.version)
            return response

    @routes.delete("/<name>/<row_id>")
    def delete_row(name: str, row_id: str) -> Response:
        with entered(name) as call:
            plan_single(call.asked, call.view)
            if not call.repository.delete_one(_id(row_id, call.view), require=_requirement()):
                raise not_found(call.view.name)
            return empty_response()

    return routes


def _insert(call: Call) -> Response:
    asked = call.asked
    plan = plan_insert(asked, call.view, json_body(request))
    if asked.shape == "object":
        expect_single(len(plan.rows))
    if not plan.rows:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_body", "The body holds no rows")
    rows = [{"id": new_id(), **row} for row in plan.rows]
    inserted = call.repository.insert(rows, plan.columns)
    location = None
    if len(rows) == 1:
        location = url_for("v1.get_row", name=call.view.name, row_id=str(rows[0]["id"]))
    return created_response(inserted, location, asked.prefer, asked.shape)


def _expectation(asked: ApiRequest) -> Callable[[int], None]:
    """Return what to require of the number of rows before a write is committed."""

    def expect(rows: int) -> None:
        if asked.prefer.max_affected is not None:
            expect_at_most(asked.prefer.max_affected, rows)
        if asked.shape == "object":
            expect_single(rows)

    return expect


def _requirement() -> Callable[[str], None] | None:
    """Return the check of If-Match against a row's version; None without the header."""
    if "If-Match" not in request.headers:
        return None

    def require(version: str) -> None:
        if not request.if_match.contains(version):
            raise Problem(
                HTTPStatus.PRECONDITION_FAILED,
                "stale",
                "The row has changed since it was read",
                hint="Read it again, and send its new ETag as If-Match.",
            )

    return require


def _id(text: str, view: ResourceView) -> uuid.UUID:
    """Return the id; what is no id is answered as one that is not there."""
    try:
        return uuid_of(text)
    except ValueError:
        raise not_found(view.name) from None
