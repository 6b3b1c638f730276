"""What OpenAPI says of /v1/certificates; the body's schema is made from what checks it."""

from __future__ import annotations

from api.certificates import Of
from api.operations import (
    ID,
    INSTANT,
    MAYBE_INSTANT,
    PAGES,
    PAPERS,
    Json,
    Part,
    answers,
    body_of,
    content,
    object_of,
    pages_of,
    path_id,
    ref,
)
from retention.ledger.orders import STATES

_ID = path_id("The order's id")
_ORDER: Json = {
    "id": ID,
    "kind": {"type": "string", "enum": ["run", "erasure", "tenant"]},
    "subject_id": {**ID, "description": "The run's, the erasure's or the offboarding's"},
    "state": {"type": "string", "enum": list(STATES)},
    "ordered_by": {"type": "string"},
    "ordered_at": INSTANT,
    "problem": {"type": ["string", "null"], "description": "Why none was issued"},
    "certificate_id": {"type": ["string", "null"], "format": "uuid"},
    "ended_at": MAYBE_INSTANT,
}
_ONE = {"description": "The order", **content(ref("CertificateOrder"))}
_PATHS: Json = {
    "/v1/certificates": {
        "get": {
            "operationId": "list_certificate_orders",
            "tags": ["certificates"],
            "summary": "List the certificates that were ordered, the latest first",
            "parameters": list(PAGES),
            "responses": pages_of("Orders", "CertificateOrder"),
        },
        "post": {
            "operationId": "order_certificate",
            "tags": ["certificates"],
            "summary": "Order a certificate of what a run, an erasure or an offboarding deleted",
            "requestBody": body_of(Of),
            "responses": answers("202", _ONE),
        },
    },
    "/v1/certificates/{id}": {
        "parameters": [_ID],
        "get": {
            "operationId": "show_certificate_order",
            "tags": ["certificates"],
            "summary": "Show what became of an order, for thirty days after its end",
            "responses": answers("200", _ONE),
        },
    },
    "/v1/certificates/{id}/document": {
        "parameters": [_ID],
        "get": {
            "operationId": "fetch_certificate",
            "tags": ["certificates"],
            "summary": "The certificate that was issued",
            "responses": answers(
                "200",
                {
                    "description": "The certificate: JSON verifies, the others are for reading",
                    "content": PAPERS,
                },
            ),
        },
    },
}

CERTIFICATES = Part(
    "certificates",
    "For the tenant's owners: what was deleted, with the proof of it.",
    _PATHS,
    {"CertificateOrder": object_of(_ORDER)},
)
