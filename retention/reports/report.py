"""A report as a value: what JSON has of it, its tables, and what paper shows beside them.

How a field is written follows from its type, its heading from its name; so pages, paper and CSV
need no list of columns each.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from retention.reports.paging import Page
from retention.reports.pdf_charts import BarChart, LineChart
from retention.reports.words import text_of

Kind = Literal["text", "code", "state", "number", "span", "instant", "flag"]
_CODES = frozenset(
    {
        "trace_id",
        "digest",
        "sha256",
        "export_sha256",
        "manifest_sha256",
        "statement_sha256",
        "statement",
        "query",
        "place",
        "condition",
        "root",
        "key",
        "key_hash",
    }
)
_STATES = frozenset({"state", "outcome", "proof"})


@dataclass(frozen=True, slots=True)
class Heading:
    """A column of a table: the row's field, what stands above it, how it is written; and the
    fields that stand below it in the same cell."""

    name: str
    label: str
    kind: Kind
    below: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a report: rows of one dataclass.

    CSV has all its fields; page and paper those in `show` (without it, all of them), headed by
    their names or by `labels`: "policy period/starts" are two columns, with `starts` below the
    period.
    """

    name: str
    row_type: type
    rows: Sequence[Any]
    title: str = ""
    show: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    empty: str = "None."

    @property
    def headings(self) -> tuple[Heading, ...]:
        """What page and paper show; raises KeyError for what is no field."""
        kinds = _kinds(self.row_type)

        def heading(names: str) -> Heading:
            name, *below = names.split("/")
            label = self.labels.get(name, _label(name))
            return Heading(name, label, kinds[name], tuple(map(heading, below)))

        return tuple(map(heading, self.show.split() or kinds))


@dataclass(frozen=True, slots=True)
class Report:
    """A report. Its first table is its CSV unless another is named; `page` belongs to those of
    its lists that are cut into pages, and `cut` names others of which only the latest MAX_SIZE
    rows are there. `texts` are titled texts to be copied: queries."""

    name: str
    title: str
    value: Any
    tables: tuple[Table, ...]
    page: Page | None = None
    cut: tuple[str, ...] = ()
    lead: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    charts: tuple[LineChart | BarChart, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


def _label(name: str) -> str:
    return name.removesuffix("_s").replace("_", " ").capitalize()


@cache
def _kinds(row_type: type) -> dict[str, Kind]:
    hints = get_type_hints(row_type)
    return {f.name: _kind(f.name, hints[f.name]) for f in fields(row_type)}


def _kind(name: str, hint: Any) -> Kind:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        hint = rest[0] if len(rest) == 1 else hint
    if hint is bool:
        return "flag"
    if hint is float or (hint is int and name.endswith("_s")):
        return "span"
    if hint is int:
        return "number"
    if hint in (date, datetime):
        return "instant"
    if hint is UUID or name in _CODES:
        return "code"
    return "state" if name in _STATES else "text"


def lines_of(row: Any, heading: Heading) -> list[str]:
    """Return a cell as lines of text: the field's own, then those below with their labels."""
    values = [(below, getattr(row, below.name)) for below in heading.below]
    return [
        text_of(getattr(row, heading.name), heading.kind),
        *(
            f"{below.label.lower()} {text_of(value, below.kind)}"
            for below, value in values
            if value not in (None, "", ())
        ),
    ]
