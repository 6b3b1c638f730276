"""An API request as a value: the first stage of the pipeline, and the only one that sees HTTP.

Request -> `ApiRequest` (here) -> plan (`api.query.plan`) -> query and execution
(`tenants.repository`) -> response (`api.responses`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, cast
from urllib.parse import parse_qsl

from werkzeug import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.errors import Problem, bad_query, bad_range, shorten
from api.query.parse import parse_query
from api.query.tree import ParsedQuery
from api.values import number_of

Shape = Literal["array", "object"]
Return = Literal["minimal", "representation", "headers-only"]

SINGULAR = "application/vnd.pgrst.object+json"
_ARRAYS = frozenset(
    {"*/*", "application/*", "application/json", "application/vnd.pgrst.array+json"}
)
_RANGE = re.compile(r"(\d{1,15})-(\d{0,15})", re.ASCII)
_MAX_PARAMETERS = 1000


@dataclass(frozen=True, slots=True)
class Preferences:
    """The Prefer header (RFC 7240), as far as it is understood. `applied` is the answer to it."""

    returns: Return = "minimal"
    count: bool = False
    max_affected: int | None = None
    applied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What is asked. `rows` is the Range header: first and last (None: open) row, from 0; `flags`
    are parameters beside the dialect's."""

    query: ParsedQuery
    prefer: Preferences
    shape: Shape
    rows: tuple[int, int | None] | None
    flags: Mapping[str, bool] = field(default_factory=dict)


def api_request(request: Request, *, flags: Collection[str] = ()) -> ApiRequest:
    """Read the request but for its body; raises Problem. `flags` names parameters that are true
    or false, and false where they are not given."""
    parameters = _parameters(request.query_string)
    return ApiRequest(
        query=parse_query([(name, value) for name, value in parameters if name not in flags]),
        prefer=preferences(request.headers.getlist("Prefer")),
        shape=_shape(request),
        rows=_range(request.headers.get("Range")) if request.method in ("GET", "HEAD") else None,
        flags={name: _flag(name, [v for n, v in parameters if n == name]) for name in flags},
    )


def _flag(name: str, values: list[str]) -> bool:
    if len(values) > 1 or values not in ([], ["true"], ["false"]):
        raise bad_query(f"{name} parameter", "expecting true or false, once")
    return values == ["true"]


def json_body(request: Request) -> object:
    """Return the body's JSON, fractions as Decimal.

    Raises Problem: 415 for another media type, 413 for one that is too large, 400
    PGRST102 for what is not JSON.
    """
    if request.mimetype != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "PGRST102",
            "The body must be application/json",
            headers={"Accept": "application/json"},
        )
    body = request.get_data()
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(body) >= limit:
        # A body in chunks is cut off at the limit, and nobody is told.
        raise RequestEntityTooLarge
    try:
        return json.loads(
            body.decode(),
            parse_float=number_of,
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "PGRST102",
            "Empty or invalid json",
            "The body is not JSON: UTF-8, no key twice, no NaN, nested with measure.",
        ) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _parameters(query_string: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise bad_query(
            "the query string", f"expecting at most {_MAX_PARAMETERS} parameters in UTF-8"
        ) from None


def _shape(request: Request) -> Shape:
    accepted = [str(media).replace(" ", "").lower() for media, _ in request.accept_mimetypes]
    for media in accepted or ["*/*"]:
        if media == SINGULAR:
            return "object"
        if media.partition(";charset=")[0] in _ARRAYS:
            return "array"
    raise Problem(
        HTTPStatus.NOT_ACCEPTABLE,
        "PGRST107",
        "None of these media types are available: " + shorten(", ".join(accepted), 200),
        hint=f"There are application/json and {SINGULAR}.",
    )


def _range(header: str | None) -> tuple[int, int | None] | None:
    match = _RANGE.fullmatch((header or "").removeprefix("items="))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2]) if match[2] else None
    if last is not None and last < first:
        raise bad_range(
            "The lower boundary must be lower than or equal to the upper boundary in the "
            "Range header."
        )
    return first, last


def preferences(headers: Iterable[str]) -> Preferences:
    """Read Prefer headers: unknown ones are ignored, or refused under handling=strict.

    Raises Problem PGRST122, also for upserts, which would silently be something else.
    """
    given: dict[str, str] = {}
    for token in ",".join(headers).split(","):
        name, _, value = token.strip().partition("=")
        if name:
            given.setdefault(name.strip().lower(), value.strip().strip('"'))
    if "resolution" in given:
        raise _invalid_preference("resolution", "Upsert is not supported.")
    strict = given.get("handling") == "strict"
    understood = {
        name: value
        for name, value in given.items()
        if value in _PREFERENCES.get(name, ())
        or (name == "max-affected" and strict and re.fullmatch(r"[0-9]{1,9}", value))
    }
    unknown = [f"{name}={value}" for name, value in given.items() if name not in understood]
    if strict and unknown:
        raise _invalid_preference(shorten(", ".join(unknown), 200), None)
    return Preferences(
        returns=cast(Return, understood.get("return", "minimal")),
        count="count" in understood,
        max_affected=int(understood["max-affected"]) if "max-affected" in understood else None,
        applied=tuple(f"{name}={value}" for name, value in understood.items()),
    )


_PREFERENCES = {
    "return": ("minimal", "representation", "headers-only"),
    "count": ("exact",),
    "missing": ("default",),
    "handling": ("strict", "lenient"),
}


def _invalid_preference(what: str, hint: str | None) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "PGRST122",
        "Invalid preferences given",
        f"Invalid preferences: {what}",
        hint,
    )
