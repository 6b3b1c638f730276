"""A person's data over HTTP, for the owners of the tenant: POST /subjects/NAME/export.

By what the person is found stands in the body, for addresses are logged. The zip is written to
a file without a name first, so that no slow reader keeps a snapshot open, and so that what is
handed out is whole, and on record.
"""

from __future__ import annotations

import tempfile
from http import HTTPStatus
from uuid import UUID

import flask
from flask import Blueprint, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug import Response

from api.auth.identity import Identity, require_owner
from api.errors import Problem, shorten
from api.requests import json_body
from retention.errors import ExportError, SubjectError
from retention.exports.records import exports
from retention.jobs import Workshop
from retention.reports.export import jsonable
from retention.subject_rows import find_person

_MOST_LISTED = 200


class Asked(BaseModel):
    """The body: the person's `key`, or `by` (a lookup column) and `value`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)

    key: str | None = Field(None, max_length=36)
    by: str | None = Field(None, max_length=63)
    value: str | None = Field(None, max_length=1000)
    reason: str | None = Field(None, max_length=1000)


def subjects_blueprint(identity: Identity, shop: Workshop) -> Blueprint:
    """Return /subjects/NAME/export, and /subjects/exports, which lists what was handed out."""
    routes = Blueprint("subjects", __name__, url_prefix="/subjects")

    @routes.post("/<name>/export")
    def export(name: str) -> Response:
        principal = identity.authenticate()
        tenant_id = require_owner(principal)
        asked = _asked()
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
                key = _key(asked.key)
            else:
                with shop.retention.transaction(tenant_id, read_only=True) as cursor:
                    key = find_person(
                        cursor, subject, shop.catalog, tenant_id, asked.value or "",
                        column=asked.by,
                    )  # fmt: skip
            made = shop.exporter.of_subject(
                out, tenant_id, subject, key, actor=principal.actor, reason=asked.reason
            )
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
        tenant_id = require_owner(identity.authenticate())
        with shop.retention.transaction(tenant_id, read_only=True) as cursor:
            found = exports(cursor, tenant_id=tenant_id, most=_MOST_LISTED)
        return flask.jsonify([jsonable(one.to_json()) for one in found])

    return routes


def _asked() -> Asked:
    try:
        asked = Asked.model_validate(json_body(request))
    except ValidationError:
        asked = Asked(key=None, by=None, value=None, reason=None)
    if (asked.key is None) == (asked.by is None) or (asked.by is None) != (asked.value is None):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_body",
            'Send {"key": ".."}, or {"by": "..", "value": ".."}, and "reason" if there is one',
        )
    return asked


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_body", "key is a UUID") from None
