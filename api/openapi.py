"""OpenAPI 3.1 from the resources: what is documented is what is validated, from one source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.auth.identity import COOKIE
from api.operations import Json, Part
from api.problems import MIMETYPE
from api.query.plan import DEFAULT_LIMIT, MAX_LIMIT
from api.query.tree import OPERATORS
from api.requests import SINGULAR
from api.resources import Attribute, ResourceView

_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
_PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem details, with the members PostgREST's clients read.",
    "required": [
        *("type", "title", "status", "detail", "instance", "trace_id"),
        *("message", "code", "details", "hint"),
    ],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "message": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": ["string", "null"]},
        "hint": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message", "code"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                    "row": {"type": "integer"},
                },
            },
        },
    },
}


def _parameter(name: str, place: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": place, "schema": schema, "description": description}


_TEXT: Json = {"type": "string"}
_PARAMETERS: Json = {
    "id": {**_parameter("id", "path", {"type": "string", "format": "uuid"}, "The row's id")}
    | {"required": True},
    "select": _parameter("select", "query", _TEXT, "Columns, as `id,label:column`"),
    "order": _parameter("order", "query", _TEXT, "As `created_at.desc.nullslast,id`"),
    "limit": _parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 0, "default": DEFAULT_LIMIT},
        f"Rows at most; {MAX_LIMIT} is the most there is",
    ),
    "offset": _parameter(
        "offset", "query", {"type": "integer", "minimum": 0, "default": 0}, "Rows to skip"
    ),
    "and": _parameter("and", "query", _TEXT, "As `(a.gt.1,or(b.is.null,c.eq.x))`"),
    "or": _parameter("or", "query", _TEXT, "As `(a.eq.1,not.and(b.gt.2,c.is.null))`"),
    "columns": _parameter("columns", "query", _TEXT, "The keys to take of each object"),
    "prefer": _parameter(
        "Prefer",
        "header",
        _TEXT,
        "return=minimal|representation|headers-only, count=exact, handling=strict, "
        "max-affected=N, missing=default",
    ),
    "range": _parameter("Range", "header", _TEXT, "As `0-24`; Range-Unit is items"),
    "if_match": _parameter("If-Match", "header", _TEXT, "The ETag the row must still have"),
    "if_none_match": _parameter("If-None-Match", "header", _TEXT, "The ETag already known"),
}


def _refs(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def openapi_document(
    views: Iterable[ResourceView], *, version: str, beside: Iterable[Part] = ()
) -> Json:
    """Return the OpenAPI 3.1 document of these resources, and of what is `beside` them."""
    paths: Json = {}
    schemas: Json = {"Problem": _PROBLEM}
    for part in beside:
        paths |= part.paths
        schemas |= part.schemas
    for view in views:
        name = _schema_name(view.name)
        schemas[name] = _schema(view.attributes)
        schemas[f"{name}Create"] = _body_schema(
            [a for a in view.attributes if a.on_create], partial=False
        )
        schemas[f"{name}Change"] = _body_schema(
            [a for a in view.attributes if a.on_change], partial=True
        )
        paths[f"/v1/{view.name}"] = _collection(view, name)
        paths[f"/v1/{view.name}/{{id}}"] = _single(view, name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tenure",
            "version": version,
            "description": "A tenant's resources, whose collections speak PostgREST's query "
            "dialect; and what beside them there is for its owners.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "responses": {
                "Problem": {
                    "description": "What was wrong",
                    "content": {MIMETYPE: {"schema": _PROBLEM_REF}},
                }
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "tnr_.."},
                "receipt": {"type": "http", "scheme": "bearer", "description": "tnc_.."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"Over HTTPS the cookie is __Host-{COOKIE}.",
                },
            },
        },
    }


def _schema_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def _type(attribute: Attribute) -> Json:
    schema = dict(attribute.form.schema)
    if attribute.nullable and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    if attribute.refers_to is not None:
        schema["description"] = f"The id of one of {attribute.refers_to}"
    return schema


def _schema(attributes: Iterable[Attribute]) -> Json:
    properties = {}
    for attribute in attributes:
        read_only = {} if attribute.on_create or attribute.on_change else {"readOnly": True}
        properties[attribute.name] = _type(attribute) | read_only
    return {"type": "object", "properties": properties}


def _body_schema(attributes: Iterable[Attribute], *, partial: bool) -> Json:
    attributes = list(attributes)
    required = [] if partial else [a.name for a in attributes if a.required]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {attribute.name: _type(attribute) for attribute in attributes},
        **({"required": required} if required else {}),
        **({"minProperties": 1} if partial else {}),
    }


def _filters(view: ResourceView) -> list[Json]:
    known = ", ".join(OPERATORS)
    return [
        _parameter(a.name, "query", _TEXT, f"[not.]operator.value, on {a.type}: {known}")
        for a in view.attributes
    ]


def _json(schema: Json, media: str = "application/json") -> Json:
    return {"content": {media: {"schema": schema}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _rows(name: str) -> Json:
    return {
        "content": {
            "application/json": {"schema": {"type": "array", "items": _ref(name)}},
            SINGULAR: {"schema": _ref(name)},
        }
    }


def _answers(**by_status: Json) -> Json:
    answers: Json = {status.removeprefix("s"): answer for status, answer in by_status.items()}
    return answers | {"default": {"$ref": "#/components/responses/Problem"}}


def _collection(view: ResourceView, name: str) -> Json:
    operand = view.name.replace("-", "_")
    filters = _filters(view)
    logic = _refs("and", "or")
    write = _refs("select", "prefer")
    page = {
        "description": "A page of rows",
        "headers": {"Content-Range": {"schema": _TEXT, "description": "As 0-24/3573 or 0-24/*"}},
        **_rows(name),
    }
    rows = {"description": "The rows, for return=representation", **_rows(name)}
    body = {"oneOf": [_ref(f"{name}Create"), {"type": "array", "items": _ref(f"{name}Create")}]}
    return {
        "get": {
            "operationId": f"list_{operand}",
            "tags": [view.name],
            "summary": f"List {view.name}",
            "parameters": [
                *filters,
                *logic,
                *_refs("select", "order", "limit", "offset", "prefer", "range"),
            ],
            "responses": _answers(
                s200=page, s206={**page, "description": "A page of more rows (count=exact)"}
            ),
        },
        "post": {
            "operationId": f"create_{operand}",
            "tags": [view.name],
            "summary": f"Create one or several {view.name}",
            "parameters": [*write, *_refs("columns")],
            "requestBody": {"required": True, **_json(body)},
            "responses": _answers(s201=rows),
        },
        "patch": {
            "operationId": f"change_{operand}",
            "tags": [view.name],
            "summary": f"Change all {view.name} that match; a filter is required",
            "parameters": [*filters, *logic, *write],
            "requestBody": {"required": True, **_json(_ref(f"{name}Change"))},
            "responses": _answers(s200=rows, s204={"description": "Changed"}),
        },
        "delete": {
            "operationId": f"delete_{operand}",
            "tags": [view.name],
            "summary": f"Delete all {view.name} that match; a filter is required",
            "parameters": [*filters, *logic, *write],
            "responses": _answers(s200=rows, s204={"description": "Deleted"}),
        },
    }


def _single(view: ResourceView, name: str) -> Json:
    operand = view.name.replace("-", "_")
    one = {
        "description": "The row",
        "headers": {"ETag": {"schema": _TEXT, "description": "The row's version"}},
        **_json(_ref(name)),
    }
    return {
        "parameters": _refs("id"),
        "get": {
            "operationId": f"get_one_of_{operand}",
            "tags": [view.name],
            "summary": f"Read one of {view.name}",
            "parameters": _refs("select", "if_none_match"),
            "responses": _answers(s200=one, s304={"description": "Not modified"}),
        },
        "patch": {
            "operationId": f"change_one_of_{operand}",
            "tags": [view.name],
            "summary": f"Change one of {view.name}",
            "parameters": _refs("select", "prefer", "if_match"),
            "requestBody": {"required": True, **_json(_ref(f"{name}Change"))},
            "responses": _answers(s200=one, s204={"description": "Changed"}),
        },
        "delete": {
            "operationId": f"delete_one_of_{operand}",
            "tags": [view.name],
            "summary": f"Delete one of {view.name}",
            "parameters": _refs("if_match"),
            "responses": _answers(s204={"description": "Deleted"}),
        },
    }


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (method, path, summary) of every operation, for a page."""
    return [
        (method.upper(), path, operation["summary"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
