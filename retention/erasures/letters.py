"""What the person is told: received, put off, erased, waiting, or refused and why (GDPR 12, 17).

One place decides what a letter says; it is rendered as text and as a PDF. It is addressed by
reference alone: who the person is, is not known here any more once the erasure has ended.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retention.erasures.records import Erasure, ErasureEvent
from retention.erasures.requests import GROUNDS, REASONS
from retention.reports.pdf import Column, Document

_WIDTH = 78
_DONE = {
    "delete": "deleted",
    "anonymise": "made anonymous",
    "pseudonymise": "made pseudonymous",
    "cut": "reference to you removed",
}
_REMEDIES = (
    "You have the right to lodge a complaint with a supervisory authority (Art. 77 GDPR) and to "
    "seek a judicial remedy (Art. 79 GDPR)."
)
_BEYOND = (
    "This letter speaks of our database, in which the data was deleted or changed (logical "
    "deletion). Copies that were made for recovery before are not altered; they are kept apart, "
    "and end in their own time."
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a letter, under their heads: the data, how many records, and one or two texts, of
    which the second says until when."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, rendered or not. `parts` are paragraphs and tables, in order."""

    sender: str
    reference: str
    title: str
    at: datetime
    parts: tuple[str | Table, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; the instant remains one."""
        return {
            "sender": self.sender,
            "reference": self.reference,
            "title": self.title,
            "at": self.at,
            "parts": [
                part
                if isinstance(part, str)
                else [dict(zip(part.heads, row, strict=True)) for row in part.rows]
                for part in self.parts
            ],
        }

    def text(self) -> str:
        """Return it as text, in lines of 78 characters."""
        head = [self.sender, f"{_day(self.at)}, reference: {self.reference}", "", self.title, ""]
        lines = [*head, "To the person who made the request,", ""]
        for part in self.parts:
            if isinstance(part, str):
                lines += textwrap.wrap(part, _WIDTH)
            else:
                lines += _lines(part)
            lines.append("")
        return "\n".join([*lines, self.sender, ""])

    def pdf(self) -> bytes:
        """Return it as a PDF document; the same bytes for the same letter."""
        document = Document(self.title, at=self.at, subject=self.sender, reference=self.reference)
        document.facts(
            [("From", self.sender), ("Date", _day(self.at)), ("Reference", self.reference)]
        )
        document.paragraph("To the person who made the request,")
        for part in self.parts:
            if isinstance(part, str):
                document.paragraph(part)
            else:
                columns = [
                    Column(head, align="right" if head == "Records" else "left")
                    for head in part.heads
                ]
                document.table(columns, part.rows)
        document.paragraph(self.sender)
        return document.build()


def letter_of(
    erasure: Erasure,
    events: Sequence[ErasureEvent],
    erased: Mapping[str, Mapping[str, int]],
    *,
    sender: str,
    now: datetime,
) -> Letter:
    """Return the letter that an erasure asks for as it is.

    `events` are all of it, `erased` rows by table and action; `sender` is the tenant's name.
    """
    title, parts = _content(erasure, events, erased)
    return Letter(sender, str(erasure.id), title, now, tuple(parts))


def _content(
    erasure: Erasure, events: Sequence[ErasureEvent], erased: Mapping[str, Mapping[str, int]]
) -> tuple[str, Iterator[str | Table]]:
    match erasure.state:
        case "completed":
            return "Your data has been erased", _completed(erasure, events, erased)
        case "refused":
            return "Your request for erasure is refused", _refused(erasure, events)
        case "withdrawn":
            return "Your request for erasure is withdrawn", _withdrawn(erasure)
        case "deferred":
            return "Your request for erasure: what has to wait", _deferred(erasure, events, erased)
    if erasure.extended_months:
        return "Your request for erasure takes longer", _extended(erasure, events)
    return "We received your request for erasure", _received(erasure)


def _asked(erasure: Erasure) -> str:
    return f"On {_day(erasure.received_at)} you asked us to erase your personal data (Art. 17 GDPR)"


def _received(erasure: Erasure) -> Iterator[str | Table]:
    due = _day(erasure.due_at)
    yield f"{_asked(erasure)}. You will have our answer by {due} (Art. 12(3) GDPR)."
    if erasure.state == "received":
        yield (
            "So that we erase nobody's data but yours, we ask you to confirm your identity "
            "(Art. 12(6) GDPR), quoting the reference above."
        )


def _extended(erasure: Erasure, events: Sequence[ErasureEvent]) -> Iterator[str | Table]:
    reasons = dict.fromkeys(_facts(events, "extended", "reason"))
    why = " and ".join(REASONS[reason] for reason in reasons)
    yield (
        f"{_asked(erasure)}. In view of {why}, we need longer than a month; you will have our "
        f"answer by {_day(erasure.due_at)} (Art. 12(3) GDPR)."
    )
    yield _REMEDIES


def _completed(
    erasure: Erasure, events: Sequence[ErasureEvent], erased: Mapping[str, Mapping[str, int]]
) -> Iterator[str | Table]:
    if erased:
        yield f"{_asked(erasure)}. We have done so, and verified it."
        yield _erased(erased)
    else:
        yield f"{_asked(erasure)}. We found no data of yours that was left to be erased."
    kept = [table for tables in _facts(events, "completed", "kept") for table in tables]
    if kept:
        yield "We keep, because the law says so, and use for nothing else:"
        yield Table(
            ("Data", "Records", "On what ground", "Until"),
            tuple((t["table"], str(t["rows"]), t["basis"], _until(t["ends"])) for t in kept),
        )
        yield _REMEDIES
    others = sorted(of for each in _facts(events, "completed", "elsewhere") for of in each.items())
    said = ", ".join(f"{name}: {state}" for name, state in others if state != "withdrawn")
    if said:
        yield f"Others who hold data for us were asked to erase it, too, and answered: {said}."
    silent = ", ".join(name for name, state in others if state == "withdrawn")
    if silent:
        yield (
            "From these others, who hold data for us, we had no answer, and have stopped asking; "
            f"whether they have erased yours we cannot say: {silent}."
        )
        if not kept:
            yield _REMEDIES
    yield _BEYOND


def _deferred(
    erasure: Erasure, events: Sequence[ErasureEvent], erased: Mapping[str, Mapping[str, int]]
) -> Iterator[str | Table]:
    yield (
        f"{_asked(erasure)}. Part of it has to wait; we use it for nothing else, and erase it as "
        "soon as that can be, without your asking again."
    )
    rows = []
    for tables in list(_facts(events, "deferred", "waiting"))[-1:]:
        for table, reasons in tables.items():
            for one in reasons:
                why = (
                    "needed for legal claims (Art. 17(3)(e) GDPR)"
                    if one["hold"]
                    else "must be kept for a minimum period (Art. 17(3)(b) GDPR)"
                )
                until = _day(datetime.fromisoformat(one["until"])) if one["until"] else ""
                rows.append((table, str(one["rows"]), why, until or "the ground has ended"))
    if rows:
        yield Table(("Data", "Records", "Why", "Until"), tuple(rows))
    others = list(_facts(events, "deferred", "connectors"))[-1:]
    if others and others[0]:
        names = ", ".join(others[0])
        yield f"We have asked others who hold data of yours for us, and wait for them: {names}."
    if erased:
        yield "Erased so far:"
        yield _erased(erased)
    yield _REMEDIES


def _refused(erasure: Erasure, events: Sequence[ErasureEvent]) -> Iterator[str | Table]:
    grounds = [GROUNDS[ground] for ground in _facts(events, "refused", "ground")]
    yield f"{_asked(erasure)}. We do not do so, because {'; and '.join(grounds)}."
    yield _REMEDIES


def _withdrawn(erasure: Erasure) -> Iterator[str | Table]:
    yield (
        f"{_asked(erasure)}. You have taken this request back, and nothing was erased by it. You "
        "may ask again at any time."
    )


def _erased(erased: Mapping[str, Mapping[str, int]]) -> Table:
    return Table(
        ("Data", "Records", "What was done"),
        tuple(
            (table, str(rows), _DONE[action])
            for table, of in sorted(erased.items())
            for action, rows in sorted(of.items())
        ),
    )


def _facts(events: Sequence[ErasureEvent], event: str, name: str) -> Iterator[Any]:
    for one in events:
        if one.event == event and name in one.facts:
            yield one.facts[name]


def _until(ends: Sequence[Mapping[str, Any]]) -> str:
    known = [datetime.fromisoformat(end["until"]) for end in ends if end["until"]]
    return _day(max(known)) if known else "the end of what they belong to"


def _day(instant: datetime) -> str:
    return f"{instant.day} {instant:%B %Y}"


def _lines(table: Table) -> Iterator[str]:
    """Yield a table as items, wrapped: no line of a letter is as wide as a ground of the law."""
    for name, records, *rest in table.rows:
        what = "; until ".join(rest)
        many = "record" if records == "1" else "records"
        yield from textwrap.wrap(
            f"- {name}, {records} {many}: {what}", _WIDTH, subsequent_indent="  "
        )
