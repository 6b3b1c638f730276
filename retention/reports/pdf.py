"""A small builder of PDF documents: headings, paragraphs, facts, tables, code, charts.

    document = Document("Certificate", at=clock.now(), reference="run 3f2a..")
    document.heading("What was deleted")
    document.facts([("Run", "3f2a.."), ("Rows", "12")])
    document.table([Column("Policy"), Column("Rows", align="right")], [["invoices", "12"]])
    pdf = document.build()

All text is text: markup in it is printed, not obeyed; characters that the fonts lack are printed as
code points, and then the document says so (`pdf_text`). Equal calls give equal bytes: nothing
is asked of the clock or the environment (zlib's version is the one thing left). Fonts are embedded.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from retention.reports.pdf_charts import BarChart, LineChart, draw_bars, draw_lines
from retention.reports.pdf_text import FONTS, Face, install_fonts, markup, one_line, replaced

PRODUCT = "Tenure"
_MARGIN = 42.0
# A heading, and below it a table's head and a few lines, or a chart.
_BEGINNING = 110.0
_SUBSTITUTED = (
    "Where ⟨U+…⟩ stands, this document's fonts lack the character, or it would not show or "
    "is written from right to left; its Unicode code point is printed instead."
)
# reportlab keeps a font's subsets of all documents in one place.
_building = threading.Lock()


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column. Its width follows from what is in it."""

    title: str
    align: Literal["left", "right"] = "left"
    mono: bool = False


class Document:
    """A document on A4, made up piece by piece. `at` is the instant that it speaks of, `reference`
    stands at each page's foot. Requires `at` with a time zone; raises ValueError without."""

    def __init__(
        self,
        title: str,
        *,
        at: datetime,
        subject: str = "",
        reference: str = "",
        landscape: bool = False,
    ) -> None:
        from reportlab.lib.pagesizes import A4

        if at.tzinfo is None:
            raise ValueError(f"{at} has no time zone")
        install_fonts()
        self.title, self.subject = one_line(title), one_line(subject)
        self._at = at.astimezone(UTC)
        self._reference = one_line(reference)
        self._size = (A4[1], A4[0]) if landscape else A4
        self._width = self._size[0] - 2 * _MARGIN
        self._story: list[Any] = []
        self._substituted = False
        self._headings = 0
        self._add(self._text(title, _style("title", "bold", 17, after=10)))

    def heading(self, text: str, level: int = 1) -> None:
        """Add a heading; level 1 or 2. It stays with the beginning of what follows, and stands in
        the outline."""
        from reportlab.platypus import CondPageBreak

        size = 12.5 if level == 1 else 10.5
        style = _style(f"heading{level}", "bold", size, before=12, after=5)
        self._add(CondPageBreak(_BEGINNING))
        paragraph = self._text(text, style)
        self._headings += 1
        paragraph.outline = (one_line(text), f"h{self._headings}", min(level, 2) - 1)
        self._add(paragraph)

    def paragraph(self, text: str) -> None:
        """Add running text; line ends are kept."""
        self._add(self._text(text, _style("body", "text", 9.5, after=6)))

    def note(self, text: str) -> None:
        """Add small print."""
        self._add(self._text(text, _style("note", "text", 7.5, after=6, colour="#555555")))

    def code(self, text: str) -> None:
        """Add text in a fixed pitch on grey: a query, a proof. Lines and indents are kept."""
        style = _style("code", "mono", 7, before=4, after=8, back="#f2f2f2")
        self._add(self._text(text, style, "mono"))

    def facts(self, pairs: Iterable[tuple[str, str]], *, mono: Sequence[str] = ()) -> None:
        """Add names with their values, a line for each; those named in `mono` in a fixed pitch."""
        rows = [
            [
                self._text(name, _style("name", "text", 8.5, colour="#555555")),
                self._text(value, *_cell_style(8.5, mono=name in mono)),
            ]
            for name, value in pairs
        ]
        if rows:
            self._grid(rows, [self._width * 0.26, self._width * 0.74], head=0)

    def table(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[str]],
        *,
        empty: str = "None.",
    ) -> None:
        """Add a table that breaks over pages, its head again on each; without rows, `empty`.

        Requires as many cells in each row as there are columns; raises ValueError.
        """
        lines = [list(row) for row in rows]
        for line in lines:
            if len(line) != len(columns):
                raise ValueError(f"{len(line)} cells in a table of {len(columns)} columns: {line}")
        if not lines:
            self.paragraph(empty)
            return
        widths = _widths(columns, lines, self._width)
        head = [
            self._text(c.title, _style(f"th-{c.align}", "bold", 7, align=c.align)) for c in columns
        ]
        cells = [
            [
                self._text(cell, *_cell_style(7.5, mono=c.mono, align=c.align))
                for c, cell in zip(columns, line, strict=True)
            ]
            for line in lines
        ]
        self._grid([head, *cells], widths, head=1)

    def line_chart(self, chart: LineChart) -> None:
        """Add lines over time."""
        self._draw(draw_lines(chart, self._width), [chart.title, *(s.name for s in chart.series)])

    def bar_chart(self, chart: BarChart) -> None:
        """Add bars."""
        self._draw(draw_bars(chart, self._width), [chart.title, *(name for name, _ in chart.bars)])

    def page_break(self) -> None:
        """Go on on a new page."""
        from reportlab.platypus import PageBreak

        self._add(PageBreak())

    def build(self) -> bytes:
        """Return the document. A document is built once."""
        from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

        if self._substituted:
            self._add(self._plain(_SUBSTITUTED))
        out = io.BytesIO()
        frame = Frame(
            _MARGIN, _MARGIN + 14, self._width, self._size[1] - 2 * _MARGIN - 14,
            leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
        )  # fmt: skip
        with _building:
            template = BaseDocTemplate(
                out, pagesize=self._size, invariant=1, pageCompression=1, lang="en-GB",
                title=self.title, author=PRODUCT, subject=self.subject, creator=PRODUCT,
                producer="reportlab", keywords=self._reference,
            )  # fmt: skip
            template.addPageTemplates(PageTemplate("page", [frame]))
            template.afterFlowable = _outline_of(template)
            template.build(self._story, canvasmaker=self._canvas)
        return out.getvalue()

    def _canvas(self, *args: Any, **kwargs: Any) -> Any:
        from reportlab.pdfgen.canvas import Canvas

        foot = f"{PRODUCT} · {self.title}"
        reference = " · ".join(x for x in (self._reference, f"{self._at:%Y-%m-%d %H:%M} UTC") if x)
        made = f"D:{self._at:%Y%m%d%H%M%S}+00'00'"
        width = self._size[0]

        class Numbered(Canvas):  # type: ignore[misc] # reportlab has no stubs
            """Holds pages back until it is known how many there are."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **{**kwargs, "initialFontName": FONTS["text"]})
                self.setDateFormatter(lambda *_: made)
                # The file's id begins with the environment's SOURCE_DATE_EPOCH otherwise.
                self._doc.signature = hashlib.md5(made.encode(), usedforsecurity=False)
                self.pages: list[dict[str, Any]] = []

            def showPage(self) -> None:
                self.pages.append(dict(self.__dict__))
                self._startPage()

            def save(self) -> None:
                count = len(self.pages)
                for number, page in enumerate(self.pages, 1):
                    self.__dict__.update(page)
                    self.setFont(FONTS["text"], 7)
                    self.setFillGray(0.35)
                    self.drawString(_MARGIN, _MARGIN - 12, _fit(foot, width * 0.42))
                    self.drawRightString(
                        width - _MARGIN, _MARGIN - 12,
                        f"{_fit(reference, width * 0.34)} · page {number} of {count}",
                    )  # fmt: skip
                    super().showPage()
                super().save()

        return Numbered(*args, **kwargs)

    def _add(self, flowable: Any) -> None:
        self._story.append(flowable)

    def _text(self, text: str, style: Any, face: Face = "text") -> Any:
        from reportlab.platypus import Paragraph

        shown = markup(text, face)
        self._substituted = self._substituted or replaced(shown)
        return Paragraph(shown, style)

    def _plain(self, text: str) -> Any:
        from reportlab.platypus import Paragraph

        return Paragraph(text, _style("note", "text", 7.5, before=6, colour="#555555"))

    def _draw(self, drawing: Any, texts: Iterable[str]) -> None:
        from reportlab.platypus import Spacer

        self._substituted = self._substituted or any(replaced(one_line(text)) for text in texts)
        self._story += [drawing, Spacer(1, 8)]

    def _grid(self, rows: list[list[Any]], widths: list[float], *, head: int) -> None:
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import LongTable, Spacer

        lines: list[tuple[Any, ...]] = [
            ("FONT", (0, 0), (-1, -1), FONTS["text"]),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, HexColor("#cccccc")),
        ]
        if head:
            lines += [
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, HexColor("#333333")),
                ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            ]
        # A row may be longer than a page (a query, a reason of somebody's): it is broken, too.
        self._story += [
            LongTable(
                rows, colWidths=widths, repeatRows=head, splitInRow=1, style=lines, hAlign="LEFT"
            ),
            Spacer(1, 8),
        ]


def digest(pdf: bytes) -> str:
    """Return the SHA-256 of a document, in hex."""
    return hashlib.sha256(pdf).hexdigest()


def _outline_of(template: Any) -> Callable[[Any], None]:
    def after(flowable: Any) -> None:
        entry = getattr(flowable, "outline", None)
        if entry is not None:
            text, key, level = entry
            template.canv.bookmarkPage(key)
            # The outline may not skip a level.
            before = template.canv._doc.outline.currentlevel
            template.canv.addOutlineEntry(text, key, min(level, before + 1))

    return after


def _style(
    name: str,
    face: Face,
    size: float,
    *,
    before: float = 0,
    after: float = 0,
    colour: str = "#111111",
    back: str | None = None,
    align: str = "left",
) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    return ParagraphStyle(
        name, fontName=FONTS[face], fontSize=size, leading=size * 1.3, spaceBefore=before,
        spaceAfter=after, textColor=HexColor(colour),
        backColor=None if back is None else HexColor(back), borderPadding=4 if back else 0,
        alignment=TA_RIGHT if align == "right" else TA_LEFT,
    )  # fmt: skip


def _cell_style(size: float, *, mono: bool = False, align: str = "left") -> tuple[Any, Face]:
    face: Face = "mono" if mono else "text"
    return _style(f"cell-{face}-{align}", face, size * (0.9 if mono else 1), align=align), face


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: float) -> list[float]:
    """Share the width by what is in the columns: each its longest word, if all of them fit; what
    is left by how much more there is to be shown."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    words, whole = [], []
    for i, column in enumerate(columns):
        font, size = (FONTS["mono"], 6.75) if column.mono else (FONTS["text"], 7.5)
        head = max(stringWidth(w, FONTS["bold"], 7) for w in one_line(column.title).split() or [""])
        texts = [one_line(row[i], "mono" if column.mono else "text")[:200] for row in rows[:300]]
        longest = [max(text.split(), key=len, default="") for text in texts]
        words.append(max(head, min(130, max(stringWidth(w, font, size) for w in longest))) + 8)
        whole.append(max(words[-1], min(280, max(stringWidth(t, font, size) for t in texts) + 8)))
    if sum(words) > width:
        return [w * width / sum(words) for w in words]
    spare = [b - a for a, b in zip(words, whole, strict=True)]
    left = width - sum(words)
    if sum(spare) <= left:
        more = (left - sum(spare)) / sum(whole)
        return [w * (1 + more) for w in whole]
    return [a + s * left / sum(spare) for a, s in zip(words, spare, strict=True)]


def _fit(text: str, width: float) -> str:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    if stringWidth(text, FONTS["text"], 7) <= width:
        return text
    while text and stringWidth(f"{text}…", FONTS["text"], 7) > width:
        text = text[:-1]
    return f"{text}…"
