"""In which form a report is wanted, and its answer in that form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

from flask import Response, render_template, request
from flask_login import current_user

from api.errors import Problem, shorten
from config.clock import parse_instant
from config.errors import InstantError
from retention.reports.export import to_csv, to_json
from retention.reports.paging import DEFAULT_SIZE, MAX_SIZE, Page, PageRequest
from retention.reports.paper import to_pdf
from retention.reports.report import Report

Format = Literal["html", "json", "csv", "pdf"]
T = TypeVar("T")
_MIMETYPES: dict[str, Format] = {
    "text/html": "html",
    "application/json": "json",
    "text/csv": "csv",
    "application/pdf": "pdf",
}
_SUFFIXES: dict[str, Format] = {".json": "json", ".csv": "csv", ".pdf": "pdf"}
# What an address may end in, for its route.
SUFFIX = "<any('.json', '.csv', '.pdf'):_suffix>"
PAGES = "console_report.html"
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def split_suffix(path: str) -> tuple[str, Format | None]:
    """Return a path without .json, .csv or .pdf at its end, and that ending's format."""
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
    """Return the page that ?page= and ?size= ask for; raises Problem 400.

    On paper a page of a list is as long as may be, unless a size is asked for.
    """
    size = MAX_SIZE if wanted_format() == "pdf" else DEFAULT_SIZE
    try:
        return PageRequest(wanted_number("page", 1), wanted_number("size", size))
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


def wanted_number(name: str, default: int) -> int:
    """Return the number that ?name= asks for; raises Problem 400 for what is none."""
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


def answer(
    report: Report,
    wanted: Format,
    generated_at: datetime,
    *,
    template: str = PAGES,
    query: Mapping[str, str] | None = None,
) -> Response:
    """Return the report in the form that is wanted; raises Problem 400 for no such table.

    `query` is what was asked beside the page, for the links to its other forms and pages.
    """
    asked = query or {}
    if wanted == "json":
        response = Response(
            to_json(report.name, report.value, generated_at), content_type="application/json"
        )
    elif wanted == "csv":
        response = _csv(report)
    elif wanted == "pdf":
        pdf = to_pdf(report, generated_at, confined=current_user.audited is not None)
        response = Response(pdf, content_type="application/pdf")
        response.headers["Content-Disposition"] = f'inline; filename="tenure-{report.name}.pdf"'
    else:
        response = Response(
            render_template(
                template,
                report=report.value,
                sheet=report,
                name=report.name,
                page=report.page,
                asked=asked,
                generated_at=generated_at,
                export=_Exports(report, asked),
            )
        )
    if report.page is not None and report.page.next is not None:
        table = {"table": request.args["table"]} if "table" in request.args else {}
        following = here(wanted, {**asked, **table, **page_query(report.page, report.page.next)})
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

    def __init__(self, report: Report, query: Mapping[str, str]) -> None:
        self.report = report
        self.query = query

    def json(self) -> str:
        """Return the address of the report as JSON."""
        return here("json", self._query())

    def pdf(self) -> str:
        """Return the address of the report as PDF; all of its list, as far as it may be."""
        return here("pdf", self.query)

    def csv(self, table: str) -> str:
        """Return the address of one table as CSV."""
        return here("csv", {"table": table, **self._query()})

    def newer(self) -> str:
        """Return the address of the page before."""
        assert self.report.page is not None  # noqa: S101 - only lists ask
        before = page_query(self.report.page, self.report.page.number - 1)
        return here("html", {**self.query, **before})

    def older(self) -> str:
        """Return the address of the next page."""
        assert self.report.page is not None  # noqa: S101 - only lists ask
        following = page_query(self.report.page, self.report.page.next)
        return here("html", {**self.query, **following})

    def _query(self) -> dict[str, object]:
        page = self.report.page
        shown = page_query(page, None if page is None else page.number)
        return {**self.query, **shown}


def there(found: T | None, message: str) -> T:
    """Return what was found; raises Problem 404 with the message for None."""
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", message)
    return found
