"""The pages of verifications, and of the books they keep."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, TypeVar
from uuid import UUID

from flask import Blueprint, Response, request

from api.console.formats import SUFFIX, Report, Table, there, wanted_instant, wanted_page
from api.errors import Problem, shorten
from retention.reports import reconciliation, trend, verification
from tenants.connections import Cursor

T = TypeVar("T")


class Read(Protocol):
    """Answers a question from one snapshot of the evidence."""

    def __call__(self, question: Callable[[Cursor], T]) -> T:
        """Return the answer."""


def verification_views(views: Blueprint, read: Read, shown: Callable[[Report], Response]) -> None:
    """Add the pages to the blueprint."""

    @views.get("/console/verifications")
    @views.get(f"/console/verifications{SUFFIX}")
    def verification_list(_suffix: str = "") -> Response:
        wanted = wanted_page()
        every = request.args.get("every", "verification")
        if every not in ("verification", "day"):
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "bad_query",
                f"every {shorten(every)!r} is none of verification, day",
            )
        daily = every == "day"
        found = read(lambda cursor: trend.verifications_report(cursor, wanted, daily=daily))
        table = Table("verifications", trend.VerificationLine, found.verifications)
        return shown(
            Report(
                "verifications",
                "console_verifications.html",
                found,
                (table,),
                found.page,
                {"every": "day"} if daily else {},
            )
        )

    @views.get("/console/reconciliation")
    @views.get(f"/console/reconciliation{SUFFIX}")
    def statement(_suffix: str = "") -> Response:
        wanted = wanted_page()
        since, until = wanted_instant("from"), wanted_instant("to")
        found = read(
            lambda cursor: reconciliation.statement_report(cursor, wanted, since=since, until=until)
        )
        tables = (
            Table("balances", reconciliation.Balance, found.balances),
            Table("books", reconciliation.BookLine, found.books),
            Table("populations", reconciliation.Population, found.populations),
        )
        asked = {name: request.args[name] for name in ("from", "to") if request.args.get(name)}
        return shown(
            Report(
                "reconciliation", "console_reconciliation.html", found, tables, found.page, asked
            )
        )

    @views.get("/console/verifications/<uuid:verification_id>")
    @views.get(f"/console/verifications/<uuid:verification_id>{SUFFIX}")
    def one_verification(verification_id: UUID, _suffix: str = "") -> Response:
        wanted = wanted_page()
        found = there(
            read(lambda cursor: verification.verification_report(cursor, verification_id, wanted)),
            f"There is no verification {verification_id}",
        )
        tables = (
            Table("results", verification.Result, found.results),
            Table("checks", verification.Check, found.checks),
        )
        return shown(Report("verification", "console_verification.html", found, tables, found.page))
