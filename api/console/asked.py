"""What a page's address asks of a report: a period, a tenant, a page of its list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from flask import request

from api.console.formats import wanted_instant, wanted_number, wanted_page
from api.errors import Problem, shorten
from retention.reports.asking import Asked
from retention.reports.drawing import Draw, Presented, new_seed
from retention.reports.index import REPORTS
from retention.reports.scope import Scope, Ticking
from tenants.connections import Cursor
from tenants.context import TenantId
from tenants.errors import RegistryError
from tenants.registry import TenantRow, find_tenant, get_tenant

_NAMES = ("from", "until", "tenant", "every", "draw", "seed", "key", "of")
_SOUGHT = ("draw", "seed", "key", "of")
_KNOWN = {*_NAMES, "page", "size", "format", "table"}


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a report's address, read once; its tenant is looked up when it is asked."""

    since: datetime | None
    until: datetime | None
    tenant: str | None
    daily: bool
    sought: Draw | Presented | None
    given: dict[str, str]

    def of(self, cursor: Cursor, ticking: Ticking, audited: TenantId | None) -> Asked:
        """Return what is asked; raises Problem 400 for what is no period or no tenant. Who audits
        one tenant is answered of that one."""
        tenant = _tenant(cursor, self.tenant) if audited is None else get_tenant(cursor, audited)
        try:
            scope = Scope(self.since, self.until, tenant, confined=audited is not None)
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "bad_query", str(error)) from None
        return Asked(wanted_page(), ticking, scope, self.daily, self.sought)


def wanted_query(name: str, now: datetime, audited: TenantId | None) -> Query:
    """Return what the request asks of a report; raises Problem 400 for what it cannot answer.

    A draw has a seed, and an end of its period, whether they were given or not.
    """
    entry = REPORTS[name]
    for strange in sorted(request.args.keys() - _KNOWN):
        # Misspelt, it would silently be a report of something else.
        raise _bad(f"{shorten(strange)!r} is none of {', '.join(sorted(_KNOWN))}")
    tenant = request.args.get("tenant") or None
    if tenant is not None and not entry.of_tenant:
        raise _bad(f"{entry.title} are the whole installation's, not a tenant's")
    if tenant is not None and audited is not None:
        # Whether there is a tenant of that name is not for them.
        raise _bad("a tenant's auditor reads of that tenant alone")
    every = request.args.get("every", "verification")
    if every not in ("verification", "day"):
        raise _bad(f"every {shorten(every)!r} is none of verification, day")
    given = {each: request.args[each] for each in _NAMES if request.args.get(each)}
    if name != "samples" and not given.keys().isdisjoint(_SOUGHT):
        raise _bad(f"{', '.join(_SOUGHT)} are of samples")
    sought = _sought(given)
    since, until = wanted_instant("from"), wanted_instant("until")
    if since is not None and until is None and since >= now:
        raise _bad("the period begins in the future")
    if isinstance(sought, Draw):
        until = until or now
        given |= {"seed": sought.seed, "until": until.isoformat()}
    return Query(since, until, tenant, every == "day", sought, given)


def _sought(given: Mapping[str, str]) -> Draw | Presented | None:
    if "draw" in given and "key" in given:
        raise _bad("either samples are drawn, or one is found by its key")
    try:
        if "draw" in given:
            return Draw(wanted_number("draw", 1), given.get("seed") or new_seed())
        if "key" in given:
            return Presented(_uuid(given["key"]), given.get("of"))
    except ValueError as error:
        raise _bad(str(error)) from None
    if "seed" in given or "of" in given:
        raise _bad("a seed is for a draw, and a table for a key")
    return None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _bad(f"key {shorten(text)!r} is no UUID") from None


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
