"""Charts on paper: lines over time, bars of a few amounts. Drawn, not pasted: labels are text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retention.reports.pdf_text import FONTS, one_line

MAX_SERIES = 4
_HEIGHT, _TOP, _BOTTOM, _LEFT, _SIZE = 150.0, 26.0, 20.0, 46.0, 7.0
# Told apart in black and white, too: by dashes, and by shade.
_STROKES = (("#1a4f8b", None), ("#b3261e", (4, 2)), ("#3a6b35", (1, 2)), ("#6b6b6b", (6, 2, 1, 2)))


@dataclass(frozen=True, slots=True)
class Series:
    """Amounts at instants, oldest first; a None is a gap in the line."""

    name: str
    points: tuple[tuple[datetime, float | None], ...]


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over one axis of time. Requires one to MAX_SERIES series; raises ValueError."""

    title: str
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.series) <= MAX_SERIES:
            raise ValueError(f"{len(self.series)} series are not from 1 to {MAX_SERIES}")


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar for each label, top to bottom, with its amount."""

    title: str
    bars: tuple[tuple[str, float], ...]


def scale(most: float) -> tuple[float, ...]:
    """Return round ticks from 0 to at least `most`, three to six of them."""
    if not most > 1e-9:
        return (0.0, 1.0)
    raw = most / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999999)
    if most >= 1:
        step = max(1.0, math.ceil(step))
    count = math.ceil(most / step - 1e-9)
    return tuple(step * i for i in range(count + 1))


def amount(value: float) -> str:
    """Return an amount with its thousands apart by thin spaces."""
    text = f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"
    return text.replace(",", "\N{NO-BREAK SPACE}")


def draw_lines(chart: LineChart, width: float) -> Any:
    """Return the chart as a reportlab drawing of the width, in points."""
    from reportlab.graphics.shapes import Drawing, Line

    drawing = Drawing(width, _HEIGHT, initialFontName=FONTS["text"])
    _write(drawing, 0, _HEIGHT - 10, chart.title, size=9, face="bold")
    instants = [at for series in chart.series for at, _ in series.points]
    values = [v for series in chart.series for _, v in series.points if v is not None]
    if not values:
        _write(drawing, _LEFT, _HEIGHT / 2, "No figures in this period.")
        return drawing
    first, last = min(instants), max(instants)
    span = (last - first).total_seconds()
    ticks = scale(max(values))
    right = width - 8

    def x(at: datetime) -> float:
        share = (at - first).total_seconds() / span if span else 0.5
        return _LEFT + share * (right - _LEFT)

    def y(value: float) -> float:
        return _BOTTOM + value / ticks[-1] * (_HEIGHT - _TOP - _BOTTOM)

    for tick in ticks:
        drawing.add(Line(_LEFT, y(tick), right, y(tick), strokeColor=_grey(), strokeWidth=0.4))
        _write(drawing, _LEFT - 4, y(tick) - 2.5, amount(tick), anchor="end")
    for at, anchor in _dates(first, last):
        _write(drawing, x(at), 6, _date(at, span), anchor=anchor)
    for number, series in enumerate(chart.series):
        _draw_series(
            drawing, number, [(x(at), v if v is None else y(v)) for at, v in series.points]
        )
    _legend(drawing, chart, right)
    return drawing


def _draw_series(drawing: Any, number: int, points: Sequence[tuple[float, float | None]]) -> None:
    from reportlab.graphics.shapes import Circle, PolyLine
    from reportlab.lib.colors import HexColor

    colour, dash = _STROKES[number]
    for part in _unbroken(points):
        if len(part) == 1:
            drawing.add(Circle(*part[0], 1.6, fillColor=HexColor(colour), strokeColor=None))
            continue
        drawing.add(
            PolyLine(
                [c for point in part for c in point],
                strokeColor=HexColor(colour),
                strokeWidth=1.1,
                strokeDashArray=dash,
            )
        )


def _unbroken(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _legend(drawing: Any, chart: LineChart, right: float) -> None:
    from reportlab.graphics.shapes import Line
    from reportlab.lib.colors import HexColor
    from reportlab.pdfbase.pdfmetrics import stringWidth

    x = right
    for number, series in reversed(list(enumerate(chart.series))):
        colour, dash = _STROKES[number]
        name = one_line(series.name)
        x -= stringWidth(name, FONTS["text"], _SIZE)
        _write(drawing, x, _HEIGHT - 10, name)
        drawing.add(
            Line(
                x - 20, _HEIGHT - 7.5, x - 4, _HEIGHT - 7.5,
                strokeColor=HexColor(colour), strokeWidth=1.1, strokeDashArray=dash,
            )
        )  # fmt: skip
        x -= 30


def _dates(first: datetime, last: datetime) -> Iterator[tuple[datetime, str]]:
    if first == last:
        yield first, "middle"
        return
    count = 4
    for i in range(count + 1):
        anchor = "start" if i == 0 else "end" if i == count else "middle"
        yield first + (last - first) * (i / count), anchor


def _date(at: datetime, span: float) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d" if span >= 4 * 86_400 else "%Y-%m-%d %H:%M")


def draw_bars(chart: BarChart, width: float) -> Any:
    """Return the chart as a reportlab drawing of the width, in points; a line for each bar."""
    from reportlab.graphics.shapes import Drawing, Rect
    from reportlab.lib.colors import HexColor
    from reportlab.pdfbase.pdfmetrics import stringWidth

    line = 14.0
    height = _TOP + line * max(1, len(chart.bars))
    drawing = Drawing(width, height, initialFontName=FONTS["text"])
    _write(drawing, 0, height - 10, chart.title, size=9, face="bold")
    if not chart.bars:
        _write(drawing, 0, 4, "No figures in this period.")
        return drawing
    names = [one_line(name) for name, _ in chart.bars]
    widest = max(stringWidth(name, FONTS["text"], _SIZE) for name in names)
    left = min(widest, width * 0.4) + 8
    most = max(0, *(value for _, value in chart.bars)) or 1
    for i, (name, (_, value)) in enumerate(zip(names, chart.bars, strict=True)):
        y = height - _TOP - line * (i + 1) + 4
        _write(drawing, left - 6, y + 1.5, _cut(name, left - 8), anchor="end")
        length = max(value, 0) / most * (width - left - 60)
        drawing.add(Rect(left, y, length, 8, fillColor=HexColor(_STROKES[0][0]), strokeColor=None))
        _write(drawing, left + length + 4, y + 1.5, amount(value))
    return drawing


def _cut(name: str, width: float) -> str:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    if stringWidth(name, FONTS["text"], _SIZE) <= width:
        return name
    while name and stringWidth(f"{name}…", FONTS["text"], _SIZE) > width:
        name = name[:-1]
    return f"{name}…"


def _grey() -> Any:
    from reportlab.lib.colors import HexColor

    return HexColor("#cccccc")


def _write(
    drawing: Any,
    x: float,
    y: float,
    text: str,
    *,
    size: float = _SIZE,
    face: str = "text",
    anchor: str = "start",
) -> None:
    from reportlab.graphics.shapes import String

    font = FONTS["bold" if face == "bold" else "text"]
    drawing.add(String(x, y, one_line(text), fontName=font, fontSize=size, textAnchor=anchor))
