"""A person's data over HTTP, for the owners of the tenant: POST /subjects/NAME/export.

By what the person is found stands in the body, for addresses are logged. The zip is written to
a file without a name first, so that no slow reader keeps a snapshot open, and so that what is
handed out is whole, and on record. All of it is done as tenure_app, at a seat (`retention.seat`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

import flask
from flask import Blueprint, request
from pydantic import AwareDatetime, Field
from werkzeug import Response

from api.auth.identity import Identity, require_owner
from api.bodies import EARLIEST, About, Text, read
from api.errors import Problem, shorten
from api.query.plan import plan_list
from api.requests import api_request, json_body
from api.responses import list_response
from retention.errors import ExportError, SubjectError
from retention.exports.records import Export, count_exports, exports
from retention.reports.export import jsonable
from retention.subject_rows import find_person
from retention.workshop import Workshop
from tenants.context import TenantId

# Whose tenant's it is goes without saying.
_SHOWN = tuple(name for name in Export.__slots__ if name != "tenant_id")

#: Returns the workshop at a seat of the tenant's, for an actor.
Workshops = Callable[[TenantId, str], Workshop]


class Asked(About):
    """Of whom a copy is wanted, why, for the record, and since when, if not now."""

    reason: Text | None = None
    received_at: Annotated[AwareDatetime, Field(ge=EARLIEST)] | None = None


def subjects_blueprint(identity: Identity, workshops: Workshops) -> Blueprint:
    """Return /subjects/NAME/export, and /subjects/exports, which lists what was handed out."""
    routes = Blueprint("subjects", __name__, url_prefix="/subjects")

    def at_seat() -> tuple[TenantId, Workshop]:
        """Authenticate and authorise; return whose owner asks, and their workshop."""
        principal = identity.authenticate()
        tenant_id = require_owner(principal)
        return tenant_id, workshops(tenant_id, principal.actor)

    @routes.post("/<name>/export")
    def export(name: str) -> Response:
        tenant_id, shop = at_seat()
        asked = read(Asked, json_body(request))
        try:
            subject = shop.subject(name)
        except SubjectError:
            raise Problem(
                HTTPStatus.NOT_FOUND, "not_found", f"There is no subject {shorten(name)!r}"
            ) from None
        # Without a name from the start: nothing of it is left, however this ends.
        out = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the response
        try:
            if asked.key is not None:
                key = asked.key
            else:
                with shop.verifier.transaction(tenant_id, read_only=True) as cursor:
                    key = find_person(
                        cursor, subject, shop.catalog, tenant_id, asked.value or "",
                        column=asked.by,
                    )  # fmt: skip
            made = shop.exporter.of_subject(
                out, tenant_id, subject, key, actor=shop.actor, reason=asked.reason,
                received_at=asked.received_at,
            )  # fmt: skip
        except SubjectError as error:
            out.close()
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no_person", str(error)) from None
        except ExportError as error:
            out.close()
            raise Problem(
                HTTPStatus.CONFLICT, "no_export", str(error), headers={"Retry-After": "5"}
            ) from None
        except BaseException:
            out.close()
            raise
        out.seek(0)
        response = flask.send_file(
            out,
            mimetype="application/zip",
            as_attachment=True,
            download_name=f"{subject.name}-{made.id}.zip",
        )
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Length"] = str(made.bytes)
        response.headers["Tenure-Export"] = str(made.id)
        response.headers["Tenure-Manifest-SHA256"] = str(made.manifest_sha256)
        return response

    @routes.get("/exports")
    def listed() -> Response:
        tenant_id, shop = at_seat()
        asked = api_request(request)
        window = plan_list(asked)
        with shop.verifier.transaction(
            tenant_id, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            found = exports(cursor, tenant_id=tenant_id, most=window.limit, offset=window.offset)
            total = count_exports(cursor, tenant_id) if window.with_total else None
        return list_response([_shown(one) for one in found], total, asked, window.offset)

    return routes


def _shown(one: Export) -> dict[str, Any]:
    return {name: jsonable(getattr(one, name)) for name in _SHOWN}
