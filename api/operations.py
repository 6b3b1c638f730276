"""What OpenAPI says beside the resources: its parts, and what their operations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.bodies import Body

Json = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part of the document: its name, what it is for, its paths, and the schemas that these
    refer to."""

    name: str
    lead: str
    paths: Json
    schemas: Json


INSTANT: Json = {"type": "string", "format": "date-time"}
MAYBE_INSTANT: Json = {"type": ["string", "null"], "format": "date-time"}
ID: Json = {"type": "string", "format": "uuid"}
#: Which rows of a list.
PAGES: tuple[Json, ...] = tuple(
    {"$ref": f"#/components/parameters/{name}"} for name in ("limit", "offset", "prefer", "range")
)

#: What is for programs, or for people.
PAPERS: Json = {
    "application/json": {"schema": {"type": "object"}},
    "text/plain": {"schema": {"type": "string"}},
    "application/pdf": {"schema": {"type": "string", "format": "binary"}},
}


def path_id(of: str) -> Json:
    """Return the parameter `id` of a path."""
    return {"name": "id", "in": "path", "required": True, "schema": ID, "description": of}


def ref(schema: str) -> Json:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{schema}"}


def object_of(properties: Json) -> Json:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def content(schema: Json) -> Json:
    """Return what is answered as JSON."""
    return {"content": {"application/json": {"schema": schema}}}


def body_of(model: type[Body]) -> Json:
    """Return what is sent, from what checks it."""
    return {"required": True, **content(model.model_json_schema())}


def answers(status: str, answer: Json) -> Json:
    """Return an operation's responses."""
    return {status: answer, "default": {"$ref": "#/components/responses/Problem"}}


def pages_of(what: str, schema: str) -> Json:
    """Return the responses of a list that comes in pages."""
    page = {
        "description": what,
        "headers": {
            "Content-Range": {
                "schema": {"type": "string"},
                "description": "As 0-24/3573 or 0-24/*",
            }
        },
        **content({"type": "array", "items": ref(schema)}),
    }
    return {**answers("200", page), "206": {**page, "description": f"{what}; there are more"}}
