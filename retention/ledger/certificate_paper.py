"""A certificate for people: what it states, as text and as PDF, in the same order and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from retention.ledger.certificate_of_erasure import sections_of_erasure
from retention.ledger.certificate_of_offboarding import sections_of_offboarding
from retention.ledger.certificate_of_run import sections_of_run
from retention.ledger.certificate_section import Section
from retention.reports.pdf import Document

_WRAP = 96  # characters of a line of text

_SECTIONS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Section]]] = {
    "run": sections_of_run,
    "erasure": sections_of_erasure,
    "tenant": sections_of_offboarding,
}


def sections(statement: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what a statement says (`verifier.statement_of`)."""
    return _SECTIONS[statement["kind"]](statement)


def to_pdf(statement: Mapping[str, Any]) -> bytes:
    """Return the certificate as a PDF; the same bytes each time."""
    document = Document(
        "Certificate of deletion",
        at=datetime.fromisoformat(statement["issued"]["at"]),
        reference=f"certificate {statement['issued']['id']}",
        landscape=True,
    )
    for number, section in enumerate(sections(statement)):
        if number:
            document.heading(section.title)
        if section.facts:
            document.facts(section.facts)
        if section.columns:
            document.table(section.columns, section.rows, empty=section.empty)
        for sentence in section.sentences:
            document.paragraph(sentence)
    document.note("Instants are in UTC.")
    return document.build()


def to_text(statement: Mapping[str, Any]) -> str:
    """Return the certificate as text."""
    lines = ["CERTIFICATE OF DELETION (instants in UTC)"]
    for number, section in enumerate(sections(statement)):
        lines += ["", section.title] if number else []
        width = max((len(name) for name, _ in section.facts), default=0)
        lines += [f"  {name.ljust(width)}  {value}" for name, value in section.facts]
        if section.columns:
            lines += _table(section) if section.rows else [f"  {section.empty}"]
        for sentence in section.sentences:
            lines += wrap(sentence, _WRAP, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _table(section: Section) -> Iterator[str]:
    """Yield a table's lines; a cell may have several."""
    cells = [[column.title] for column in section.columns]
    rows = [cells, *([cell.split("\n") for cell in row] for row in section.rows)]
    widths = [max(len(line) for row in rows for line in row[n]) for n in range(len(cells))]
    for row in rows:
        for lines in zip_longest(*row, fillvalue=""):
            each = (
                line.rjust(width) if column.align == "right" else line.ljust(width)
                for line, width, column in zip(lines, widths, section.columns, strict=True)
            )
            yield ("  " + "  ".join(each)).rstrip()
