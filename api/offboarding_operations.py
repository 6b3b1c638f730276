"""What OpenAPI says of /v1/offboardings; the bodies' schemas are made from what checks them."""

from __future__ import annotations

from api.offboardings import Reasoned
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
from retention.offboardings.records import CAUSES, STATES

_ID = path_id("The offboarding's id")
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_OFFBOARDING: Json = {
    "id": ID,
    "state": {"type": "string", "enum": list(STATES)},
    "requested_by": {"type": "string"},
    "reason": {"type": "string"},
    "requested_at": INSTANT,
    "grace": {"type": "string", "description": "An ISO 8601 duration"},
    "deletes_at": {
        **INSTANT,
        "description": "When the grace is over, and the deletion may begin",
    },
    "taken_back_by": _MAYBE_TEXT,
    "taken_back_reason": _MAYBE_TEXT,
    "started_at": {**MAYBE_INSTANT, "description": "When the deletion began, and access ended"},
    "ended_at": MAYBE_INSTANT,
    "deleted": {"type": ["object", "null"], "description": "Rows by table and action, at the end"},
    "stays": {"type": ["object", "null"], "description": "By table, how many and why, at the end"},
    "waits_for": {
        "type": "array",
        "items": {"type": "string", "enum": list(CAUSES)},
        "description": "What is in its way; export: an operator's copy of all rows",
    },
}
_RECEIPT: Json = {
    "type": "string",
    "description": "Told once. As a bearer token it reads this offboarding and its certificate, "
    "also when the tenant has no access any more, and serves for nothing else",
}
_READERS: list[Json] = [{"token": []}, {"session": []}, {"receipt": []}]
_ONE = {"description": "The offboarding", **content(ref("Offboarding"))}
_PATHS: Json = {
    "/v1/offboardings": {
        "get": {
            "operationId": "list_offboardings",
            "tags": ["offboardings"],
            "summary": "List the tenant's offboardings, the latest first",
            "parameters": list(PAGES),
            "responses": pages_of("Offboardings", "Offboarding"),
        },
        "post": {
            "operationId": "ask_for_offboarding",
            "tags": ["offboardings"],
            "summary": "Ask that the tenant leaves; its grace begins",
            "requestBody": body_of(Reasoned),
            "responses": answers(
                "201",
                {
                    "description": "The offboarding, and a receipt",
                    **content(object_of({**_OFFBOARDING, "receipt": _RECEIPT})),
                },
            ),
        },
    },
    "/v1/offboardings/{id}": {
        "parameters": [_ID],
        "get": {
            "operationId": "show_offboarding",
            "tags": ["offboardings"],
            "summary": "Show an offboarding, its grace, and what it waits for",
            "security": _READERS,
            "responses": answers("200", _ONE),
        },
    },
    "/v1/offboardings/{id}/certificate": {
        "parameters": [_ID],
        "get": {
            "operationId": "certificate_of_offboarding",
            "tags": ["offboardings"],
            "summary": "The certificate that was issued, once it is completed",
            "security": _READERS,
            "responses": answers(
                "200",
                {
                    "description": "The certificate: JSON verifies, the others are for reading",
                    "content": PAPERS,
                },
            ),
        },
    },
    "/v1/offboardings/{id}/revoke-receipt": {
        "parameters": [_ID],
        "post": {
            "operationId": "revoke_receipt",
            "tags": ["offboardings"],
            "summary": "Have the receipt serve for nothing any more, at once and for good",
            "security": _READERS,
            "requestBody": body_of(Reasoned),
            "responses": answers("204", {"description": "It serves no more"}),
        },
    },
    "/v1/offboardings/{id}/take-back": {
        "parameters": [_ID],
        "post": {
            "operationId": "take_back_offboarding",
            "tags": ["offboardings"],
            "summary": "Take an offboarding back, before its deletion begins",
            "requestBody": body_of(Reasoned),
            "responses": answers("200", _ONE),
        },
    },
}

OFFBOARDINGS = Part(
    "offboardings",
    "For the tenant's owners: all of the tenant goes, after a grace.",
    _PATHS,
    {"Offboarding": object_of(_OFFBOARDING)},
)
