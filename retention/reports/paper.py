"""A report on paper: the same figures as on its page, as a PDF that says what it is of."""

from __future__ import annotations

from datetime import datetime

from retention.reports.paging import Page
from retention.reports.pdf import Column, Document
from retention.reports.pdf_charts import LineChart
from retention.reports.report import Heading, Report, Table, lines_of
from retention.reports.words import text_of

SUBJECT = "Evidence of retention, read as tenure_auditor; no tenant's data"
OWN_SUBJECT = "Evidence of retention of one tenant, read as tenure_app in its context"


def to_pdf(report: Report, generated_at: datetime, *, confined: bool = False) -> bytes:
    """Return the report as a PDF; equal reports at equal instants give equal bytes. `confined`: it
    was read for a tenant's own auditor."""
    document = Document(
        report.title,
        at=generated_at,
        subject=OWN_SUBJECT if confined else SUBJECT,
        reference=report.name,
        landscape=True,
    )
    if report.lead:
        document.paragraph(report.lead)
    document.facts([*report.facts, ("Read", f"{text_of(generated_at)} UTC")])
    if report.page is not None:
        _say_which(document, report.page)
    for chart in report.charts:
        if isinstance(chart, LineChart):
            document.line_chart(chart)
        else:
            document.bar_chart(chart)
    for table in report.tables:
        _table(document, table)
    for title, text in report.texts:
        document.heading(title, 2)
        document.code(text)
    document.note("All times are UTC.")
    return document.build()


def _say_which(document: Document, page: Page) -> None:
    if page.next is not None or page.number > 1:
        more = f"; there is more on page {page.next}" if page.next is not None else ""
        document.note(
            f"Of its longest list this is page {page.number}, of {page.size} rows at most{more}."
        )


def _table(document: Document, table: Table) -> None:
    document.heading(table.title or table.name.replace("_", " ").capitalize())
    if table.note:
        document.paragraph(table.note)
    headings = table.headings
    document.table(
        [_column(heading) for heading in headings],
        [["\n".join(lines_of(row, h)) for h in headings] for row in table.rows],
        empty=table.empty,
    )


def _column(heading: Heading) -> Column:
    return Column(
        heading.label,
        align="right" if heading.kind in ("number", "span") else "left",
        mono=heading.kind == "code",
    )
