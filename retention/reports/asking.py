"""What can be asked of a report, and what there is to be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from retention.reports.drawing import Draw, Presented
from retention.reports.paging import PageRequest
from retention.reports.report import Report
from retention.reports.scope import EVERYTHING, Scope, Ticking
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a report: a period and a tenant, a page of its list; `daily`, of
    verifications, the last one of each day; `sought`, which samples."""

    page: PageRequest
    ticking: Ticking
    scope: Scope = EVERYTHING
    daily: bool = False
    sought: Draw | Presented | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A report: its title, what it is of, and its maker. `of_tenant`: it can be of one tenant,
    and then that tenant's own auditor may read it, too."""

    title: str
    about: str
    make: Callable[[Cursor, Asked], Report]
    of_tenant: bool = True

    def report(self, cursor: Cursor, asked: Asked) -> Report:
        """Return the report as it is asked for, from one snapshot of the evidence."""
        made = self.make(cursor, asked)
        return replace(made, title=self.title, facts=(*asked.scope.facts(), *made.facts))
