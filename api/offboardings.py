"""Offboardings over HTTP, for the owners of a tenant: /v1/offboardings.

They are asked for and taken back as tenure_app at a seat (`retention.seat`), and deletion is the
worker's. The grace is the usual one: whoever has a token makes it no shorter. And nothing goes
before an operator has made a copy of all rows (`tenure tenants offboard export`): no tenant is
deleted by tokens of its own alone, be they stolen.

When the deletion begins, the tenant's access ends, so that nobody asks here what comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask import Blueprint, Response, request, url_for
from werkzeug import Response as BaseResponse

from api.auth.identity import Identity, require_owner
from api.bodies import Body, Text, read
from api.query.plan import plan_list
from api.requests import api_request, json_body
from api.responses import list_response
from retention.errors import UnknownOffboardingError
from retention.offboardings import records
from retention.offboardings.records import Offboarding
from retention.reports.export import jsonable
from retention.seat import Seat
from tenants.context import TenantId

NAME = "offboardings"
PREFIX = f"/v1/{NAME}"

#: Returns the seat of a tenant, for an actor.
Seats = Callable[[TenantId, str], Seat]

# Not the operators' part: their copy, the matters of holds, what became of which table.
_SHOWN = (
    "id", "state", "requested_by", "reason", "requested_at", "grace", "deletes_at",
    "taken_back_by", "taken_back_reason", "started_at", "ended_at",
)  # fmt: skip


class Reasoned(Body):
    """Why the tenant leaves, or stays."""

    reason: Text


def offboardings_blueprint(identity: Identity, seats: Seats) -> Blueprint:
    """Return the routes; `seats` gives each caller a seat of their tenant alone."""
    routes = Blueprint(NAME, __name__, url_prefix=PREFIX)

    def seat() -> Seat:
        """Authenticate and authorise; whatever is asked of another tenant's is not there."""
        principal = identity.authenticate()
        return seats(require_owner(principal), principal.actor)

    @routes.get("")
    def list_all() -> BaseResponse:
        at = seat()
        asked = api_request(request)
        window = plan_list(asked)
        with at.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
            found = records.offboardings(
                cursor, tenant_id=at.tenant_id, limit=window.limit, offset=window.offset
            )
            total = records.count_offboardings(cursor, at.tenant_id) if window.with_total else None
        return list_response([_shown(one) for one in found], total, asked, window.offset)

    @routes.post("")
    def ask() -> Response:
        at = seat()
        asked = read(Reasoned, json_body(request))
        made = records.request(at, at.tenant_id, actor=at.actor, reason=asked.reason)
        response = flask.jsonify(_shown(_find(at, made)))
        response.status_code = HTTPStatus.CREATED
        response.headers["Location"] = url_for("offboardings.show", offboarding_id=str(made))
        return response

    @routes.get("/<offboarding_id>")
    def show(offboarding_id: str) -> Response:
        at = seat()
        return flask.jsonify(_shown(_find(at, _id(offboarding_id))))

    @routes.post("/<offboarding_id>/take-back")
    def take_back(offboarding_id: str) -> Response:
        at = seat()
        asked = read(Reasoned, json_body(request))
        one = _find(at, _id(offboarding_id))
        records.take_back(at, one, actor=at.actor, reason=asked.reason)
        return flask.jsonify(_shown(_find(at, one.id)))

    return routes


def _find(at: Seat, offboarding_id: UUID) -> Offboarding:
    with at.transaction(None, read_only=True) as cursor:
        return records.find_offboarding(cursor, offboarding_id, at.tenant_id)


def _shown(one: Offboarding) -> dict[str, Any]:
    """Return an offboarding as members of JSON; whose tenant's it is goes without saying."""
    shown: dict[str, Any] = jsonable({name: getattr(one, name) for name in _SHOWN})
    return shown | {"waits_for": list(one.waits_for)}


def _id(text: str) -> UUID:
    """Return the id; what is no id is answered as one that is not there."""
    try:
        return UUID(text)
    except ValueError:
        raise UnknownOffboardingError("there is no such offboarding") from None
