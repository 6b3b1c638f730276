"""What OpenAPI says of /subjects; the body's schema is made from what checks it."""

from __future__ import annotations

from api.operations import (
    ID,
    INSTANT,
    MAYBE_INSTANT,
    PAGES,
    Json,
    Part,
    answers,
    body_of,
    object_of,
    pages_of,
)
from api.subjects import Asked

_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_NAME: Json = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": _TEXT,
    "description": "The subject's, as the domain declares it",
}
_EXPORT: Json = {
    "id": ID,
    "kind": {"type": "string", "enum": ["subject", "tenant"]},
    "subject": _MAYBE_TEXT,
    "requested_by": _TEXT,
    "reason": _MAYBE_TEXT,
    "received_at": {**MAYBE_INSTANT, "description": "When the person asked, if it was said"},
    "state": {"type": "string", "enum": ["begun", "finished", "failed"]},
    "began_at": INSTANT,
    "as_of": MAYBE_INSTANT,
    "counts": {"type": ["object", "null"], "description": "Rows by table"},
    "bytes": {"type": ["integer", "null"]},
    "manifest_sha256": _MAYBE_TEXT,
    "ended_at": MAYBE_INSTANT,
    "problem": _MAYBE_TEXT,
}
_ZIP: Json = {
    "description": "A zip of all that there is of the person",
    "headers": {
        "Tenure-Export": {"schema": ID, "description": "The record's id"},
        "Tenure-Manifest-SHA256": {
            "schema": _TEXT,
            "description": "The digest of the manifest in the zip",
        },
    },
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}
_PATHS: Json = {
    "/subjects/{name}/export": {
        "parameters": [_NAME],
        "post": {
            "operationId": "export_subject",
            "tags": ["subjects"],
            "summary": "Hand out a copy of a person's data",
            "requestBody": body_of(Asked),
            "responses": answers("200", _ZIP),
        },
    },
    "/subjects/exports": {
        "get": {
            "operationId": "list_exports",
            "tags": ["subjects"],
            "summary": "List what was handed out, the latest first",
            "parameters": list(PAGES),
            "responses": pages_of("Exports", "Export"),
        },
    },
}

SUBJECTS = Part(
    "subjects",
    "For the tenant's owners: copies of a person's data (GDPR 15).",
    _PATHS,
    {"Export": object_of(_EXPORT)},
)
