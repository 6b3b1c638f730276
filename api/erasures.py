"""Erasures over HTTP, for the owners of a tenant: /v1/erasures.

What is entered here are requests and decisions, as tenure_app at a seat
(`retention.seat`); plans are made, and rows erased, by the worker. Of whom an erasure is
about the key is shown; who asks, and how they showed who they are, is taken and not given back.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask import Blueprint, Response, request, url_for
from werkzeug import Response as BaseResponse

from api import erasure_bodies as bodies
from api.auth.identity import Identity, require_owner
from api.bodies import Nothing, read
from api.query.plan import plan_list
from api.requests import api_request, json_body
from api.responses import list_response, paper_response
from retention.erasures.desk import Desk, File
from retention.erasures.records import Erasure
from retention.errors import UnknownErasureError
from retention.reports.export import jsonable
from tenants.context import TenantId

NAME = "erasures"
PREFIX = f"/v1/{NAME}"

#: Returns the desk of a tenant, for an actor.
Desks = Callable[[TenantId, str], Desk]


def erasures_blueprint(identity: Identity, desks: Desks) -> Blueprint:
    """Return the routes; `desks` gives each caller a desk of their tenant alone."""
    routes = Blueprint(NAME, __name__, url_prefix=PREFIX)

    def desk() -> Desk:
        """Authenticate and authorise; whatever is asked of another tenant's is not there."""
        principal = identity.authenticate()
        return desks(require_owner(principal), principal.actor)

    @routes.get("")
    def list_all() -> BaseResponse:
        at = desk()
        asked = api_request(request, flags=("ended",))
        window = plan_list(asked)
        found, total = at.page(
            limit=window.limit,
            offset=window.offset,
            with_total=window.with_total,
            ended=asked.flags["ended"],
        )
        return list_response([_shown(at, e) for e in found], total, asked, window.offset)

    @routes.post("")
    def enter() -> Response:
        at = desk()
        asked = read(bodies.Request, json_body(request))
        assert at.tenant_id is not None  # noqa: S101 - a desk of the API's is a tenant's
        erasure = at.request(
            at.tenant_id,
            asked.subject,
            requester=asked.requester,
            key=asked.key,
            lookup=None if asked.by is None or asked.value is None else (asked.by, asked.value),
            received_at=asked.received_at,
        )
        response = _answer(at, erasure, HTTPStatus.CREATED)
        response.headers["Location"] = url_for("erasures.show", erasure_id=str(erasure.id))
        return response

    @routes.get("/<erasure_id>")
    def show(erasure_id: str) -> Response:
        at = desk()
        return flask.jsonify(_file(at, at.show(_id(erasure_id), requester=False)))

    @routes.get("/<erasure_id>/letter")
    def letter(erasure_id: str) -> BaseResponse:
        at = desk()
        written = at.letter(_id(erasure_id))
        return paper_response(
            flask.json.dumps(jsonable(written.to_json())).encode(),
            text=written.text,
            pdf=written.pdf,
            name=f"letter-{written.reference}",
        )

    @routes.post("/<erasure_id>/confirm")
    def confirm(erasure_id: str) -> Response:
        at = desk()
        asked = read(bodies.Confirmation, json_body(request))
        return _answer(at, at.confirm(_id(erasure_id), how=asked.how))

    @routes.post("/<erasure_id>/plan")
    def plan(erasure_id: str) -> Response:
        at = desk()
        read(Nothing, json_body(request))
        return _answer(at, at.want_plan(_id(erasure_id)), HTTPStatus.ACCEPTED)

    @routes.post("/<erasure_id>/approve")
    def approve(erasure_id: str) -> Response:
        at = desk()
        asked = read(bodies.Approval, json_body(request))
        return _answer(at, at.approve(_id(erasure_id), plan=asked.plan))

    @routes.post("/<erasure_id>/extend")
    def extend(erasure_id: str) -> Response:
        at = desk()
        asked = read(bodies.Extension, json_body(request))
        return _answer(at, at.extend(_id(erasure_id), months=asked.months, reason=asked.reason))

    @routes.post("/<erasure_id>/refuse")
    def refuse(erasure_id: str) -> Response:
        at = desk()
        asked = read(bodies.Refusal, json_body(request))
        return _answer(at, at.refuse(_id(erasure_id), ground=asked.ground))

    @routes.post("/<erasure_id>/withdraw")
    def withdraw(erasure_id: str) -> Response:
        at = desk()
        read(Nothing, json_body(request))
        return _answer(at, at.withdraw(_id(erasure_id)))

    return routes


def _answer(at: Desk, erasure: Erasure, status: HTTPStatus = HTTPStatus.OK) -> Response:
    response = flask.jsonify(_shown(at, erasure))
    response.status_code = status
    return response


def _shown(at: Desk, erasure: Erasure) -> dict[str, Any]:
    """Return an erasure as members of JSON; whose tenant's it is goes without saying."""
    shown: dict[str, Any] = jsonable(erasure.to_json())
    del shown["tenant_id"], shown["tenant"]
    return shown | {"overdue": erasure.is_overdue(at.executor.clock.now())}


def _file(at: Desk, found: File) -> dict[str, Any]:
    more: dict[str, Any] = jsonable(
        {
            "key": found.key,
            "events": [event.to_json() for event in found.events],
            "current_plan": None if found.plan is None else found.plan.to_json(),
            "erased": found.erased,
        }
    )
    return _shown(at, found.erasure) | more


def _id(text: str) -> UUID:
    """Return the id; what is no id is answered as one that is not there."""
    try:
        return UUID(text)
    except ValueError:
        raise UnknownErasureError("there is no such erasure") from None
