"""What the person is told: received, put off, erased, waiting, or refused and why (GDPR 12, 17).

One place decides what a letter says; it is rendered as text and as a PDF. It is addressed by
reference alone: who the person is, is not known here any more once the erasure has ended. It says
what is so, and what nothing here sees to it does not promise: not that data is used for nothing
else, nor for what a hold is. Only what was deleted or made anonymous is called erased.
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
    "cut": "reference to you removed",
}
_REMEDIES = (
    "You have the right to lodge a complaint with a supervisory authority (Art. 77 GDPR) and to "
    "seek a judicial remedy (Art. 79 GDPR)."
)
_BEYOND = (
    "This letter speaks of our database, in which the data was deleted or changed (logical "
    "deletion). Copies that were made for recovery before are not altered by it."
)
_SILENT = "withdrawn"
#: What is kept so that whose it is can be told, by a key.
_KEPT_SO = "pseudonymise"


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
    bases: Mapping[str, str] | None = None,
) -> Letter:
    """Return the letter that an erasure asks for as it is.

    `events` are all of it, `erased` rows by table and action; `sender` is the tenant's name,
    `bases` are the policies' legal bases, by name.
    """
    title, parts = _content(erasure, events, erased, bases or {})
    return Letter(sender, str(erasure.id), title, now, tuple(parts))


def _content(
    erasure: Erasure,
    events: Sequence[ErasureEvent],
    erased: Mapping[str, Mapping[str, int]],
    bases: Mapping[str, str],
) -> tuple[str, Iterator[str | Table]]:
    match erasure.state:
        case "completed":
            done = _Completed(erasure, events, erased)
            return done.title, done.parts()
        case "refused":
            return "Your request for erasure is refused", _refused(erasure, events)
        case "withdrawn":
            return "Your request for erasure is withdrawn", _withdrawn(erasure)
        case "deferred":
            parts = _deferred(erasure, events, erased, bases)
            return "Your request for erasure: what has to wait", parts
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


class _Completed:
    """What became of all of it: erased, kept, and what others answered."""

    def __init__(
        self,
        erasure: Erasure,
        events: Sequence[ErasureEvent],
        erased: Mapping[str, Mapping[str, int]],
    ) -> None:
        self.erasure = erasure
        went = (
            (name, {a: n for a, n in of.items() if a != _KEPT_SO}) for name, of in erased.items()
        )
        self.erased = {name: of for name, of in went if of}
        self.kept = [t for tables in _facts(events, "completed", "kept") for t in tables]
        self.pseudonymous = {n: of[_KEPT_SO] for n, of in erased.items() if _KEPT_SO in of}
        said = [of for each in _facts(events, "completed", "elsewhere") for of in each.items()]
        by_hand = {name for names in _facts(events, "completed", "by_hand") for name in names}
        self.refused = sorted(name for name, state in said if state == "refused")
        self.silent = sorted(name for name, state in said if state == _SILENT)
        done = sorted(name for name, state in said if state not in ("refused", _SILENT))
        self.done = [name for name in done if name not in by_hand]
        self.by_hand = [name for name in done if name in by_hand]

    @property
    def is_whole(self) -> bool:
        """True where all of it was erased, here and elsewhere, as far as others say."""
        return not (self.kept or self.pseudonymous or self.refused or self.silent)

    @property
    def title(self) -> str:
        if not self.is_whole:
            return "Your request for erasure: what was erased, and what was not"
        if self.erased or self.done or self.by_hand:
            return "Your data has been erased"
        return "Your request for erasure: we found no data of yours"

    def parts(self) -> Iterator[str | Table]:
        asked = _asked(self.erasure)
        if self.erased and self.is_whole:
            yield f"{asked}. We have done so, and verified it."
        elif self.erased:
            yield f"{asked}. We have done so, and verified it, for:"
        else:
            yield f"{asked}. We found no data of yours that was left to be erased."
        if self.erased:
            yield _erased(self.erased)
        yield from self._kept()
        yield from self._elsewhere()
        if not self.is_whole:
            yield _REMEDIES
        yield _BEYOND

    def _kept(self) -> Iterator[str | Table]:
        if self.kept:
            yield "We keep, on the grounds that are named:"
            yield Table(
                ("Data", "Records", "On what ground", "Until"),
                tuple((t["table"], str(t["rows"]), t["basis"], _until(t["ends"]))
                      for t in self.kept),
            )  # fmt: skip
        if self.pseudonymous:
            subject = self.erasure.planned_subject
            bases = {str(t.table): t.basis or "not stated" for t in subject.tables}
            yield (
                "We keep in pseudonymised form, on the grounds that are named; by a key that we "
                "have it can still be told whose it is:"
            )
            yield Table(
                ("Data", "Records", "On what ground"),
                tuple((name, str(rows), bases.get(name, "not stated"))
                      for name, rows in sorted(self.pseudonymous.items())),
            )  # fmt: skip

    def _elsewhere(self) -> Iterator[str]:
        if self.done:
            yield (
                "Others who hold data for us were asked to erase it, too, and have answered that "
                f"they did, or had none: {', '.join(self.done)}."
            )
        if self.by_hand:
            yield (
                "Of these others, who hold data for us, the answer that they have erased it, or "
                "had none, came on another way, and one of us entered it: "
                f"{', '.join(self.by_hand)}."
            )
        if self.refused:
            yield (
                "These others, who hold data for us, refused to erase it, so that it is still "
                f"there: {', '.join(self.refused)}."
            )
        if self.silent:
            yield (
                "From these others, who hold data for us, we had no answer, and have stopped "
                "asking; whether they have erased yours we cannot say: "
                f"{', '.join(self.silent)}."
            )


def _deferred(
    erasure: Erasure,
    events: Sequence[ErasureEvent],
    erased: Mapping[str, Mapping[str, int]],
    bases: Mapping[str, str],
) -> Iterator[str | Table]:
    yield (
        f"{_asked(erasure)}. Part of it has to wait; it is dealt with as soon as that can be, "
        "without your asking again."
    )
    rows = []
    for tables in list(_facts(events, "deferred", "waiting"))[-1:]:
        for table, reasons in tables.items():
            for one in reasons:
                why = "is under a legal hold"
                if not one["hold"]:
                    basis = bases.get(one["policy"] or "")
                    on = f": {basis}" if basis else ""
                    why = f"must be kept for a minimum period{on}"
                until = _day(datetime.fromisoformat(one["until"])) if one["until"] else ""
                rows.append((table, str(one["rows"]), why, until or "the ground has ended"))
    if rows:
        yield Table(("Data", "Records", "Why", "Until"), tuple(rows))
    others = list(_facts(events, "deferred", "connectors"))[-1:]
    if others and others[0]:
        names = ", ".join(others[0])
        yield f"We have asked others who hold data of yours for us, and wait for them: {names}."
    if erased:
        yield "Done so far:"
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
            (table, str(rows), _DONE.get(action, "kept in pseudonymised form"))
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
