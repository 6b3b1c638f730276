"""In which form a report is wanted, and its answer in that form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

from flask import Response, render_template, request

from api.errors import Problem, shorten
from config.clock import parse_instant
from config.errors import InstantError
from retention.reports.export import to_csv, to_json
from retention.reports.paging import DEFAULT_SIZE, Page, PageRequest

Format = Literal["html", "json", "csv"]
T = TypeVar("T")
_MIMETYPES: dict[str, Format] = {
    "text/html": "html",
    "application/json": "json",
    "text/csv": "csv",
}
_SUFFIXES: dict[str, Format] = {".json": "json", ".csv": "csv"}
# What an address may end in, for its route.
SUFFIX = "<any('.json', '.csv'):_suffix>"
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a report, as CSV has it: rows of one dataclass."""

    name: str
    row_type: type
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Report:
    """A report to be answered. The first of `tables` is its CSV unless another is named;
    `page` belongs to those of its lists that are cut into pages, `query` is what was asked
    beside the page, for the links to its other forms and pages."""

    name: str
    template: str
    value: Any
    tables: tuple[Table, ...]
    page: Page | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def split_suffix(path: str) -> tuple[str, Format | None]:
    """Return a path without .json or .csv at its end, and that ending's format."""
    for suffix, wanted in _SUFFIXES.items():
        if path.endswith(suffix):
            return path.removesuffix(suffix), wanted
    return path, None


def wanted_format() -> Format:
    """Return the form that the request asks for: by ?format=, by suffix, by Accept.

    Raises Problem 400 for a format that is none.
    """
    asked = request.args.get("format")
    if asked is None:
        return _implied_format()
    for known in _MIMETYPES.values():
        if asked == known:
            return known
    raise _bad(f"format {shorten(asked)!r} is none of {', '.join(_MIMETYPES.values())}")


def format_of_errors() -> Format:
    """Return the form in which an error is told; asked for what is none, the implied one."""
    asked = request.args.get("format")
    return wanted_format() if asked in _MIMETYPES.values() else _implied_format()


def _implied_format() -> Format:
    suffix = split_suffix(request.path)[1]
    if suffix is not None:
        return suffix
    best = request.accept_mimetypes.best_match(list(_MIMETYPES), default="text/html")
    return _MIMETYPES[best]


def wanted_page() -> PageRequest:
    """Return the page that ?page= and ?size= ask for; raises Problem 400."""
    try:
        return PageRequest(_number("page", 1), _number("size", DEFAULT_SIZE))
    except ValueError as error:
        raise _bad(str(error)) from None


def wanted_instant(name: str) -> datetime | None:
    """Return the instant that ?name= asks for, None without it; raises Problem 400.

    A date means its midnight in UTC.
    """
    text = request.args.get(name)
    if not text:
        return None
    try:
        return parse_instant(text)
    except InstantError as error:
        raise _bad(f"{name}: {error}") from None


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise _bad(f"{name} {shorten(text)!r} is no number")
    return int(text)


def _bad(message: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "bad_query", message)


def here(wanted: Format, query: Mapping[str, object]) -> str:
    """Return the address of the page at hand in a form, and with a query of its own."""
    path = quote(split_suffix(request.path)[0].rstrip("/"), safe="/")
    if wanted != "html":
        path += f".{wanted}"
    return f"{path}?{urlencode(query)}" if query else path


def page_query(page: Page | None, number: int | None) -> dict[str, object]:
    """Return the query for a page of the list at hand, without what is the default anyway."""
    if page is None:
        return {}
    query: dict[str, object] = {}
    if number is not None and number != 1:
        query["page"] = number
    if page.size != DEFAULT_SIZE:
        query["size"] = page.size
    return query


def answer(report: Report, wanted: Format, generated_at: datetime) -> Response:
    """Return the report in the form that is wanted; raises Problem 400 for no such table."""
    if wanted == "json":
        response = Response(
            to_json(report.name, report.value, generated_at), content_type="application/json"
        )
    elif wanted == "csv":
        response = _csv(report)
    else:
        response = Response(
            render_template(
                report.template,
                report=report.value,
                name=report.name,
                page=report.page,
                generated_at=generated_at,
                export=_Exports(report),
            )
        )
    if report.page is not None and report.page.next is not None:
        table = {"table": request.args["table"]} if "table" in request.args else {}
        following = here(
            wanted, {**report.query, **table, **page_query(report.page, report.page.next)}
        )
        response.headers["Link"] = f'<{following}>; rel="next"'
    response.vary.add("Accept")
    response.vary.add("Cookie")
    return response


def _csv(report: Report) -> Response:
    asked = request.args.get("table", report.tables[0].name)
    for table in report.tables:
        if table.name == asked:
            response = Response(
                to_csv(table.row_type, table.rows),
                content_type="text/csv; charset=utf-8; header=present",
            )
            response.headers["Content-Disposition"] = (
                f'attachment; filename="tenure-{report.name}-{table.name}.csv"'
            )
            return response
    names = ", ".join(table.name for table in report.tables)
    raise _bad(f"table {shorten(asked)!r} is none of {names}")


class _Exports:
    """Addresses of the page's other forms, for its links: the same page of the same list."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def json(self) -> str:
        """Return the address of the report as JSON."""
        return here("json", self._query())

    def csv(self, table: str) -> str:
        """Return the address of one table as CSV."""
        return here("csv", {"table": table, **self._query()})

    def newer(self) -> str:
        """Return the address of the page before."""
        assert self.report.page is not None  # noqa: S101 - only lists ask
        before = page_query(self.report.page, self.report.page.number - 1)
        return here("html", {**self.report.query, **before})

    def older(self) -> str:
        """Return the address of the next page."""
        assert self.report.page is not None  # noqa: S101 - only lists ask
        following = page_query(self.report.page, self.report.page.next)
        return here("html", {**self.report.query, **following})

    def _query(self) -> dict[str, object]:
        page = self.report.page
        shown = page_query(page, None if page is None else page.number)
        return {**self.report.query, **shown}


def there(found: T | None, message: str) -> T:
    """Return what was found; raises Problem 404 with the message for None."""
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", message)
    return found
