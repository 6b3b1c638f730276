"""What OpenAPI says of /v1/erasures; the bodies' schemas are made from what checks them."""

from __future__ import annotations

from typing import Any

from api import erasure_bodies as bodies
from retention.erasures.records import STATES

Json = dict[str, Any]

_ID: Json = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "The erasure's id",
}
_ENDED: Json = {
    "name": "ended",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Those that have ended, too",
}
_INSTANT: Json = {"type": "string", "format": "date-time"}
_ERASURE: Json = {
    "id": {"type": "string", "format": "uuid"},
    "subject": {"type": "string", "description": "As the domain declares it"},
    "state": {"type": "string", "enum": list(STATES)},
    "entered_by": {"type": "string"},
    "received_at": _INSTANT,
    "due_at": {**_INSTANT, "description": "When the person must have an answer"},
    "overdue": {"type": "boolean"},
    "extended_months": {"type": "integer"},
    "plan": {"type": ["integer", "null"], "description": "The number of the plan that counts"},
    "plan_wanted_by": {"type": ["string", "null"], "description": "Who waits for a plan"},
    "waits_until": {"type": ["string", "null"], "format": "date-time"},
    "ended_at": {"type": ["string", "null"], "format": "date-time"},
}
_FILE: Json = {
    "key": {"type": ["string", "null"], "format": "uuid", "description": "Until it has ended"},
    "events": {"type": "array", "items": {"type": "object"}},
    "current_plan": {"type": ["object", "null"]},
    "erased": {"type": "object", "description": "Rows by table and action"},
}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _body(model: type[bodies.Body]) -> Json:
    schema = model.model_json_schema()
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _content(schema: Json) -> Json:
    return {"content": {"application/json": {"schema": schema}}}


def _answers(status: str, answer: Json) -> Json:
    return {status: answer, "default": {"$ref": "#/components/responses/Problem"}}


_ONE = {"description": "The erasure", **_content({"$ref": "#/components/schemas/Erasure"})}


def _step(name: str, summary: str, model: type[bodies.Body], status: str = "200") -> Json:
    return {
        "parameters": [_ID],
        "post": {
            "operationId": f"{name}_erasure",
            "tags": ["erasures"],
            "summary": summary,
            "requestBody": _body(model),
            "responses": _answers(status, _ONE),
        },
    }


_LIST = {"type": "array", "items": {"$ref": "#/components/schemas/Erasure"}}
_STEPS = {
    "confirm": _step(
        "confirm", "Record how the requester showed who they are", bodies.Confirmation
    ),
    "plan": _step("plan", "Ask the worker for a plan of what would go", bodies.Nothing, "202"),
    "approve": _step("approve", "Approve the plan; its erasure begins", bodies.Approval),
    "extend": _step("extend", "Put the answer off", bodies.Extension),
    "refuse": _step("refuse", "Refuse the request on a ground of the law", bodies.Refusal),
    "withdraw": _step("withdraw", "Record that the person took it back", bodies.Nothing),
}
_PATHS: Json = {
    "/v1/erasures": {
        "get": {
            "operationId": "list_erasures",
            "tags": ["erasures"],
            "summary": "List erasures with their clocks, those due first ahead",
            "parameters": [_ENDED],
            "responses": _answers("200", {"description": "Erasures", **_content(_LIST)}),
        },
        "post": {
            "operationId": "enter_erasure",
            "tags": ["erasures"],
            "summary": "Enter a person's request to be erased",
            "requestBody": _body(bodies.Request),
            "responses": _answers("201", _ONE),
        },
    },
    "/v1/erasures/{id}": {
        "parameters": [_ID],
        "get": {
            "operationId": "show_erasure",
            "tags": ["erasures"],
            "summary": "Show an erasure, its plan, and what was done",
            "responses": _answers(
                "200",
                {
                    "description": "All there is of it",
                    **_content({"$ref": "#/components/schemas/ErasureFile"}),
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
            "responses": _answers(
                "200",
                {
                    "description": "The letter, as JSON, text or PDF",
                    "content": {
                        "application/json": {"schema": {"type": "object"}},
                        "text/plain": {"schema": {"type": "string"}},
                        "application/pdf": {"schema": {"type": "string", "format": "binary"}},
                    },
                },
            ),
        },
    },
    **{f"/v1/erasures/{{id}}/{name}": step for name, step in _STEPS.items()},
}

#: Paths, and the schemas that they refer to.
ERASURES: tuple[Json, Json] = (
    _PATHS,
    {"Erasure": _object(_ERASURE), "ErasureFile": _object(_ERASURE | _FILE)},
)
