"""Certificates over HTTP, for the owners of a tenant: /v1/certificates.

They are ordered as tenure_app at a seat (`retention.seat`), made by whoever ticks, which holds the
ledger's key, and fetched here (`retention.ledger.orders`). Of a run a tenant has what is its own.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask import Blueprint, Response, request, url_for
from werkzeug import Response as BaseResponse

from api.auth.identity import Identity, require_owner
from api.bodies import Body, Text, read
from api.errors import Problem
from api.offboardings import Seats
from api.query.plan import plan_list
from api.requests import api_request, json_body
from api.responses import list_response, paper_response
from retention.errors import LedgerError, UncertifiedError
from retention.ledger.certificate_evidence import find_subject
from retention.ledger.certificate_paper import to_pdf, to_text
from retention.ledger.orders import Order, content_of, count_orders, order, orders
from retention.reports.export import jsonable
from retention.seat import Seat

NAME = "certificates"
PREFIX = f"/v1/{NAME}"


class Of(Body):
    """Of what one is wanted: a run by its id or trace id, an erasure or an offboarding by its
    id."""

    of: Text


def certificates_blueprint(identity: Identity, seats: Seats) -> Blueprint:
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
            found = orders(cursor, at.tenant_id, limit=window.limit, offset=window.offset)
            total = count_orders(cursor, at.tenant_id) if window.with_total else None
        return list_response([_shown(one) for one in found], total, asked, window.offset)

    @routes.post("")
    def ask() -> Response:
        at = seat()
        asked = read(Of, json_body(request))
        try:
            with at.transaction(None, read_only=True) as cursor:
                subject = find_subject(cursor, asked.of, at.tenant_id)
        except UncertifiedError:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "not_found",
                "There is no such run, and no such erasure or offboarding",
            ) from None
        except LedgerError as error:
            raise Problem(HTTPStatus.CONFLICT, "not_ended", str(error)) from None
        made = order(at, at.tenant_id, subject, at.actor)
        response = flask.jsonify(_shown(_find(at, made)))
        response.status_code = HTTPStatus.ACCEPTED
        response.headers["Location"] = url_for("certificates.show", order_id=str(made))
        return response

    @routes.get("/<order_id>")
    def show(order_id: str) -> Response:
        return flask.jsonify(_shown(_find(seat(), _id(order_id))))

    @routes.get("/<order_id>/document")
    def document(order_id: str) -> BaseResponse:
        at = seat()
        one = _find(at, _id(order_id))
        with at.transaction(None, read_only=True) as cursor:
            content = content_of(cursor, at.tenant_id, one.id)
        if content is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "no_certificate",
                "There is no certificate of this order",
                one.problem,
                hint="It is made by the next tick of the scheduler."
                if one.state == "wanted"
                else None,
                headers={"Retry-After": "60"} if one.state == "wanted" else {},
            )
        # As it was checked when it was laid here.
        statement = json.loads(content)["statement"]
        return paper_response(
            content,
            text=lambda: to_text(statement),
            pdf=lambda: to_pdf(statement),
            name=f"certificate-{one.certificate_id}",
        )

    return routes


def _find(at: Seat, order_id: UUID) -> Order:
    with at.transaction(None, read_only=True) as cursor:
        found = orders(cursor, at.tenant_id, order_id)
    if not found:
        raise _nothing()
    return found[0]


def _shown(one: Order) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable({name: getattr(one, name) for name in Order.__slots__})
    return shown


def _id(text: str) -> UUID:
    """Return the id; what is no id is answered as one that is not there."""
    try:
        return UUID(text)
    except ValueError:
        raise _nothing() from None


def _nothing() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such order")
