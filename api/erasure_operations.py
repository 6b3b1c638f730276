"""What OpenAPI says of /v1/erasures; the bodies' schemas are made from what checks them."""

from __future__ import annotations

from api import erasure_bodies as bodies
from api.bodies import Body, Nothing
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
from retention.erasures.records import STATES

_ID = path_id("The erasure's id")
_ENDED: Json = {
    "name": "ended",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Those that have ended, too",
}
_ERASURE: Json = {
    "id": ID,
    "subject": {"type": "string", "description": "As the domain declares it"},
    "state": {"type": "string", "enum": list(STATES)},
    "entered_by": {"type": "string"},
    "received_at": INSTANT,
    "due_at": {**INSTANT, "description": "When the person must have an answer"},
    "overdue": {"type": "boolean"},
    "extended_months": {"type": "integer"},
    "plan": {"type": ["integer", "null"], "description": "The number of the plan that counts"},
    "plan_wanted_by": {"type": ["string", "null"], "description": "Who waits for a plan"},
    "waits_until": MAYBE_INSTANT,
    "ended_at": MAYBE_INSTANT,
}
_FILE: Json = {
    "key": {"type": ["string", "null"], "format": "uuid", "description": "Until it has ended"},
    "events": {"type": "array", "items": {"type": "object"}},
    "current_plan": {"type": ["object", "null"]},
    "erased": {"type": "object", "description": "Rows by table and action"},
}
_ONE = {"description": "The erasure", **content(ref("Erasure"))}


def _step(name: str, summary: str, model: type[Body], status: str = "200") -> Json:
    return {
        "parameters": [_ID],
        "post": {
            "operationId": f"{name}_erasure",
            "tags": ["erasures"],
            "summary": summary,
            "requestBody": body_of(model),
            "responses": answers(status, _ONE),
        },
    }


_STEPS = {
    "confirm": _step(
        "confirm", "Record how the requester showed who they are", bodies.Confirmation
    ),
    "plan": _step("plan", "Ask the worker for a plan of what would go", Nothing, "202"),
    "approve": _step("approve", "Approve the plan; its erasure begins", bodies.Approval),
    "extend": _step("extend", "Put the answer off", bodies.Extension),
    "refuse": _step("refuse", "Refuse the request on a ground of the law", bodies.Refusal),
    "withdraw": _step("withdraw", "Record that the person took it back", Nothing),
}
_PATHS: Json = {
    "/v1/erasures": {
        "get": {
            "operationId": "list_erasures",
            "tags": ["erasures"],
            "summary": "List erasures with their clocks, those due first ahead",
            "parameters": [_ENDED, *PAGES],
            "responses": pages_of("Erasures", "Erasure"),
        },
        "post": {
            "operationId": "enter_erasure",
            "tags": ["erasures"],
            "summary": "Enter a person's request to be erased",
            "requestBody": body_of(bodies.Request),
            "responses": answers("201", _ONE),
        },
    },
    "/v1/erasures/{id}": {
        "parameters": [_ID],
        "get": {
            "operationId": "show_erasure",
            "tags": ["erasures"],
            "summary": "Show an erasure, its plan, and what was done",
            "responses": answers(
                "200",
                {
                    "description": "All there is of it",
                    **content(ref("ErasureFile")),
                },
            ),
        },
    },
    "/v1/erasures/{id}/letter": {
        "parameters": [_ID],
        "get": {
            "operationId": "letter_of_erasure",
            "tags": ["erasures"],
            "summary": "What the person is told, as things are",
            "responses": answers(
                "200",
                {
                    "description": "The letter, as JSON, text or PDF",
                    "content": PAPERS,
                },
            ),
        },
    },
    **{f"/v1/erasures/{{id}}/{name}": step for name, step in _STEPS.items()},
}

ERASURES = Part(
    "erasures",
    "For the tenant's owners: people who ask to be erased (GDPR 17).",
    _PATHS,
    {"Erasure": object_of(_ERASURE), "ErasureFile": object_of(_ERASURE | _FILE)},
)
