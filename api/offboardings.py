"""Offboardings over HTTP, for the owners of a tenant: /v1/offboardings.

They are asked for and taken back as tenure_app at a seat (`retention.seat`), and deletion is the
worker's. The grace is the usual one: whoever has a token makes it no shorter. And nothing goes
before an operator has made a copy of all rows (`tenure tenants offboard export`): no tenant is
deleted by tokens of its own alone, be they stolen.

When the deletion begins, the tenant's access ends. What comes after it, and the certificate, are
shown to whoever has the receipt that was given for the request (`api.auth.receipts`): as
tenure_app in the tenant's context, without a seat. It has one only to say that it serves no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask import Blueprint, Response, request, url_for
from werkzeug import Response as BaseResponse

from api.auth.identity import Identity, require_owner
from api.auth.receipts import new_receipt, resolve_receipt
from api.bodies import Body, Text, read
from api.errors import Problem
from api.query.plan import plan_list
from api.requests import api_request, json_body
from api.responses import empty_response, list_response, paper_response
from retention.errors import UnknownOffboardingError
from retention.ledger.certificate import issued_before
from retention.ledger.certificate_evidence import Subject
from retention.ledger.certificate_paper import to_pdf, to_text
from retention.offboardings import records
from retention.offboardings.records import Offboarding
from retention.reports.export import jsonable
from retention.seat import Seat
from tenants.connections import RoleConnections
from tenants.context import TenantId

NAME = "offboardings"
PREFIX = f"/v1/{NAME}"

#: Returns the seat of a tenant, for an actor.
Seats = Callable[[TenantId, str], Seat]

# Not the operators' part: their copy, the matters of holds.
_SHOWN = (
    "id", "state", "requested_by", "reason", "requested_at", "grace", "deletes_at",
    "taken_back_by", "taken_back_reason", "started_at", "ended_at", "stays",
)  # fmt: skip


class Reasoned(Body):
    """Why the tenant leaves, or stays."""

    reason: Text


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who may read of one tenant: of all its offboardings, or of the one that `only` names."""

    connections: RoleConnections
    tenant_id: TenantId
    only: UUID | None = None

    def find(self, offboarding_id: UUID) -> Offboarding:
        """Return an offboarding; raises UnknownOffboardingError for all that may not be read."""
        if self.only not in (None, offboarding_id):
            raise UnknownOffboardingError(f"there is no offboarding {offboarding_id}")
        with self.connections.transaction(self.tenant_id, read_only=True) as cursor:
            return records.find_offboarding(cursor, offboarding_id, self.tenant_id)


def offboardings_blueprint(  # noqa: PLR0915 - one function per route
    identity: Identity,
    app: RoleConnections,
    seats: Seats,
    *,
    backups_kept_days: int | None = None,
) -> Blueprint:
    """Return the routes; `seats` gives each caller a seat of their tenant alone, and `app` reads
    for who has a receipt. `backups_kept_days` is what certificates declare."""
    routes = Blueprint(NAME, __name__, url_prefix=PREFIX)

    def seat() -> Seat:
        """Authenticate and authorise; whatever is asked of another tenant's is not there."""
        principal = identity.authenticate()
        return seats(require_owner(principal), principal.actor)

    def reader() -> _Reader:
        """Authenticate by a receipt, or as who may be at the seat."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        found = resolve_receipt(app, secret.strip()) if scheme.lower() == "bearer" else None
        if found is not None:
            return _Reader(app, *found)
        at = seat()
        return _Reader(at, at.tenant_id)

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
        receipt, digest = new_receipt()
        made = records.request(
            at, at.tenant_id, actor=at.actor, reason=asked.reason, receipt=digest
        )
        response = flask.jsonify({**_shown(_find(at, made)), "receipt": receipt})
        response.status_code = HTTPStatus.CREATED
        response.headers["Location"] = url_for("offboardings.show", offboarding_id=str(made))
        return response

    @routes.get("/<offboarding_id>")
    def show(offboarding_id: str) -> Response:
        return flask.jsonify(_shown(reader().find(_id(offboarding_id))))

    @routes.get("/<offboarding_id>/certificate")
    def certificate(offboarding_id: str) -> BaseResponse:
        by = reader()
        one = by.find(_id(offboarding_id))
        issued = None
        if one.state == "completed":
            subject = Subject("tenant", one.id, by.tenant_id)
            with by.connections.transaction(
                by.tenant_id, isolation="REPEATABLE READ", read_only=True
            ) as cursor:
                issued = issued_before(cursor, subject, backups_kept_days, for_tenant=True)
        if issued is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "no_certificate",
                "There is no certificate of this offboarding",
                hint="One is issued by an operator, once the offboarding is completed.",
            )
        statement = issued.certificate.statement
        return paper_response(
            issued.content,
            text=lambda: to_text(statement),
            pdf=lambda: to_pdf(statement),
            name=f"certificate-{one.id}",
        )

    @routes.post("/<offboarding_id>/take-back")
    def take_back(offboarding_id: str) -> Response:
        at = seat()
        asked = read(Reasoned, json_body(request))
        one = _find(at, _id(offboarding_id))
        records.take_back(at, one, actor=at.actor, reason=asked.reason)
        return flask.jsonify(_shown(_find(at, one.id)))

    @routes.post("/<offboarding_id>/revoke-receipt")
    def revoke_receipt(offboarding_id: str) -> BaseResponse:
        by = reader()
        asked = read(Reasoned, json_body(request))
        one = by.find(_id(offboarding_id))
        # Whoever has it may end it: nobody else of the tenant could, once access has ended.
        at = by.connections
        if not isinstance(at, Seat):
            at = seats(by.tenant_id, f"receipt:{one.id}")
        records.revoke_receipt(at, one, actor=at.actor, reason=asked.reason)
        return empty_response()

    return routes


def _find(at: Seat, offboarding_id: UUID) -> Offboarding:
    return _Reader(at, at.tenant_id).find(offboarding_id)


def _shown(one: Offboarding) -> dict[str, Any]:
    """Return an offboarding as members of JSON; whose tenant's it is goes without saying."""
    shown: dict[str, Any] = jsonable({name: getattr(one, name) for name in _SHOWN})
    deleted = None if one.counts is None else one.counts["deleted"]
    return shown | {"deleted": deleted, "waits_for": list(one.waits_for)}


def _id(text: str) -> UUID:
    """Return the id; what is no id is answered as one that is not there."""
    try:
        return UUID(text)
    except ValueError:
        raise UnknownOffboardingError("there is no such offboarding") from None
