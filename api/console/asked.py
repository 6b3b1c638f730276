"""What a page's address asks of a report: a period, a tenant, a page of its list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from flask import request

from api.console.formats import wanted_instant, wanted_page
from api.errors import Problem, shorten
from retention.reports.asking import Asked, Entry
from retention.reports.scope import Scope, Ticking
from tenants.connections import Cursor
from tenants.errors import RegistryError
from tenants.registry import TenantRow, find_tenant

_NAMES = ("from", "until", "tenant", "every")
_KNOWN = {*_NAMES, "page", "size", "format", "table"}


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a report's address, read once; its tenant is looked up when it is asked."""

    since: datetime | None
    until: datetime | None
    tenant: str | None
    daily: bool
    given: dict[str, str]

    def of(self, cursor: Cursor, ticking: Ticking) -> Asked:
        """Return what is asked; raises Problem 400 for what is no period or no tenant."""
        try:
            scope = Scope(self.since, self.until, _tenant(cursor, self.tenant))
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "bad_query", str(error)) from None
        return Asked(wanted_page(), ticking, scope, self.daily)


def wanted_query(entry: Entry) -> Query:
    """Return what the request asks of a report; raises Problem 400 for what it cannot answer."""
    for name in sorted(request.args.keys() - _KNOWN):
        # Misspelt, it would silently be a report of something else.
        raise _bad(f"{shorten(name)!r} is none of {', '.join(sorted(_KNOWN))}")
    tenant = request.args.get("tenant") or None
    if tenant is not None and not entry.of_tenant:
        raise _bad(f"{entry.title} are the whole installation's, not a tenant's")
    every = request.args.get("every", "verification")
    if every not in ("verification", "day"):
        raise _bad(f"every {shorten(every)!r} is none of verification, day")
    return Query(
        wanted_instant("from"),
        wanted_instant("until"),
        tenant,
        every == "day",
        {name: request.args[name] for name in _NAMES if request.args.get(name)},
    )


def _tenant(cursor: Cursor, slug: str | None) -> TenantRow | None:
    if slug is None:
        return None
    if "\0" in slug:
        raise _bad("no tenant has such a name")
    try:
        return find_tenant(cursor, slug)
    except RegistryError as error:
        raise _bad(str(error)) from None


def _bad(message: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "bad_query", message)
