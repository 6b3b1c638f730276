"""/openapi.json, and /docs, a page of the same for people."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify, redirect, render_template
from werkzeug.wrappers import Response as WerkzeugResponse

from api.certificate_operations import CERTIFICATES
from api.erasure_operations import ERASURES
from api.offboarding_operations import OFFBOARDINGS
from api.openapi import openapi_document, operations
from api.query.plan import DEFAULT_LIMIT, MAX_LIMIT
from api.query.tree import OPERATORS
from api.resources import ResourceView
from api.subject_operations import SUBJECTS

_PARTS = (CERTIFICATES, ERASURES, OFFBOARDINGS, SUBJECTS)


def documents_blueprint(views: Mapping[str, ResourceView], *, version: str) -> Blueprint:
    """Return the routes; the document is made once."""
    routes = Blueprint("documents", __name__)
    document = openapi_document(views.values(), version=version, beside=_PARTS)
    by_resource = {
        name: [
            operation
            for operation in operations(document)
            if operation[1] in (f"/v1/{name}", f"/v1/{name}/{{id}}")
        ]
        for name in views
    }
    beside = [(part, operations({"paths": part.paths})) for part in _PARTS]

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document)

    @routes.get("/")
    def root() -> WerkzeugResponse:
        return redirect("/docs")

    @routes.get("/docs")
    def docs() -> str:
        return render_template(
            "docs.html",
            views=views.values(),
            operations=by_resource,
            beside=beside,
            operators=OPERATORS,
            default_limit=DEFAULT_LIMIT,
            max_limit=MAX_LIMIT,
            version=version,
        )

    return routes
