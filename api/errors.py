"""Errors of the api package. A `Problem` is an answer, in the sense of RFC 9457.

Codes are PostgREST's (PGRST..) and PostgreSQL's (SQLSTATE) where they apply, for clients
that know those; ours are words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a body: where (`field`, and `row` in an array), and what."""

    field: str
    message: str
    code: str
    row: int | None = None


class ApiError(Exception):
    """Root of what `api` raises."""


class ResourceError(ApiError):
    """A resource's declaration cannot be shown as JSON; found at start."""


@dataclass(eq=False)
class Problem(ApiError):
    """A request is answered with an error; everything in it is shown to the client."""

    status: HTTPStatus
    code: str
    message: str
    details: str | None = None
    hint: str | None = None
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)


def bad_query(what: str, details: str, hint: str | None = None) -> Problem:
    """The query string is not in the dialect: 400, PGRST100."""
    return Problem(HTTPStatus.BAD_REQUEST, "PGRST100", f"failed to parse {what}", details, hint)


def unknown_column(column: str, resource: str) -> Problem:
    """A column that is not there, or is hidden, which looks the same: 400, PGRST204."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "PGRST204",
        f"Could not find the {shorten(column)!r} column of {resource!r}",
    )


def bad_value(column: str, type_name: str, reason: str, hint: str | None = None) -> Problem:
    """A filter's value is none of the column's type: 400, SQLSTATE 22P02."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "22P02",
        f"invalid value for column {column!r} of type {type_name}",
        reason,
        hint,
    )


def bad_range(details: str) -> Problem:
    """Rows were asked for that cannot be: 416, PGRST103."""
    return Problem(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        "PGRST103",
        "Requested range not satisfiable",
        details,
    )


def not_found(resource: str) -> Problem:
    """No such row for this tenant; whether others have one is not said."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"There is no such row in {resource!r}")


def shorten(text: str, limit: int = 60) -> str:
    """Cut what a client sent to a length that can be repeated to it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
