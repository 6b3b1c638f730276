"""What verification found, and the books it keeps, as reports with their charts and queries."""

from __future__ import annotations

from retention.reports import reconciliation as books
from retention.reports import trend
from retention.reports.asking import Asked
from retention.reports.pdf_charts import LineChart, Series
from retention.reports.report import Report, Table
from retention.reports.words import text_of
from tenants.connections import Cursor

_FIGURE_LABELS = {
    "opening": "Opening due", "newly_due": "+ Newly due", "deleted": "= Done by batches",
    "deleted_along": "+ Done along", "removed": "+ Removed", "no_longer_due": "+ No longer due",
    "held": "+ Held", "undeletable": "+ Undeletable", "paused": "+ Paused",
    "still_due": "+ Still due", "difference": "+ Difference",
}  # fmt: skip
_FIGURES = " ".join(_FIGURE_LABELS)
_POPULATION = "Which rows were due at the closing, had come and had left, as tenure_verifier asked"


def verifications(cursor: Cursor, asked: Asked) -> Report:
    """Return verifications, with charts of what they found."""
    found = trend.verifications_report(cursor, asked.page, daily=asked.daily, scope=asked.scope)
    lines = found.verifications
    return Report(
        "verifications",
        "",
        found,
        (
            Table(
                "verifications",
                trend.VerificationLine,
                lines,
                title="Verifications",
                show="finished_at/started_by as_of/seconds findings/account overdue/age_p99_s "
                "unreconciled returned orphans held undeletable paused",
                labels={
                    "finished_at": "Ended",
                    "started_by": "By",
                    "seconds": "Took",
                    "age_p99_s": "Age, 99 %",
                    "unreconciled": "Books miss",
                    "returned": "Back",
                },
                empty="No verification of the period is on this page.",
            ),
        ),
        page=found.page,
        lead="Each looks afresh, with queries of its own, for what retention left undone or did "
        "wrong. Overdue, orphaned, back, and missed by the books must be none; what is held, "
        "undeletable or paused is past its period and kept for a reason.",
        charts=(
            _over_time("Must be none", lines, ("overdue", "orphans", "returned", "unreconciled")),
            _over_time("Past the period, and kept", lines, ("held", "undeletable", "paused")),
        ),
    )


def _over_time(
    title: str, lines: tuple[trend.VerificationLine, ...], figures: tuple[str, ...]
) -> LineChart:
    return LineChart(
        title,
        tuple(
            Series(name, tuple((line.finished_at, getattr(line, name)) for line in lines[::-1]))
            for name in figures
        ),
    )


def reconciliation(cursor: Cursor, asked: Asked) -> Report:
    """Return the books of the period, and the queries that tell their population."""
    found = books.statement_report(cursor, asked.page, asked.scope)
    period = found.period
    facts = [("Result", found.result)]
    if period.closing is not None:
        opened = period.opening
        facts += [
            ("Opened", "with nothing" if opened is None else _mark(opened)),
            ("Closed", _mark(period.closing)),
            ("Accounts", str(period.accounts)),
            ("Longest time between two", text_of(period.longest_gap_s, "span")),
        ]
    return Report(
        "reconciliation",
        "",
        found,
        (
            Table(
                "balances",
                books.Balance,
                found.balances,
                title="Per policy",
                show=f"policy tenants {_FIGURES} uneven",
                labels=_FIGURE_LABELS,
                empty="Not known." if found.even is None else "Nothing was due in this period.",
            ),
            Table(
                "books",
                books.BookLine,
                found.books,
                title="Per tenant",
                show=f"policy tenant {_FIGURES}/uneven_accounts",
                labels=_FIGURE_LABELS | {"uneven_accounts": "In accounts"},
                empty="No book is on this page.",
            ),
            Table(
                "populations",
                books.Population,
                found.populations,
                title="The queries that tell the population",
                note=_POPULATION + ". Each is at the end.",
                show="policy",
                empty="They are shown to the installation's auditors.",
            ),
        ),
        page=found.page,
        facts=tuple(facts),
        lead="Opening due + newly due = done by batches (deleted, archived or changed, as the "
        "policy says) + done along + removed by users + no longer due + held + undeletable + "
        "paused + still due. What is left over is the difference.",
        texts=(
            ("The figures, as they were asked for", found.query),
            *((f"The population of {p.policy}", p.query) for p in found.populations),
        ),
    )


def _mark(mark: books.AccountMark) -> str:
    return f"account {mark.account}, as of {mark.as_of:%Y-%m-%d %H:%M:%S} UTC"
