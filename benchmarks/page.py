"""The figures of the last whole run as a page that people read: `docs/performance.md`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_HEAD = """\
# What it costs

`make bench` measures, on the machine at hand, against named alternatives that take turns with ours
in the same run; ratios count, absolute figures are for orientation. This page is written by a whole
run: of {measured_at}, Python {python}, {machine}. *Bound*: what fails the run. *Aim*: where the
figure should be; **missed** and **short of the aim** stand where it is not. Behind a figure stands
what a ratio is made of, and how far single turns were apart.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page in Markdown, of what stands in `results.json`."""
    parts = [_HEAD.format_map(results)]
    for name, figures in results["figures"].items():
        parts.append(f"## {name.capitalize()}\n\n{_introduction(name)}\n")
        parts.append("| figure | | bound | aim | |\n|---|---:|---:|---:|---|\n" + _rows(figures))
    return "\n".join(parts)


def _introduction(name: str) -> str:
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _rows(figures: list[dict[str, Any]]) -> str:
    return "".join(
        f"| {_cell(f['name'])} | {_number(f['value'])} {f['unit']} "
        f"| {_bound(f)} | {_aim(f)} | {_said(f)} |\n"
        for f in figures
    )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}"


def _bound(figure: dict[str, Any]) -> str:
    if figure["ceiling"] is not None:
        return f"≤ {figure['ceiling']:g}"
    return f"≥ {figure['floor']:g}" if figure["floor"] is not None else ""


def _aim(figure: dict[str, Any]) -> str:
    if figure["aim"] is None:
        return ""
    return f"{'≥' if figure['floor'] is not None else '≤'} {figure['aim']:g}"


def _said(figure: dict[str, Any]) -> str:
    verdict = ""
    if not figure["passed"]:
        verdict = "**missed**"
    elif figure["aim"] is not None and not _reached(figure):
        verdict = "**short of the aim**"
    return "; ".join(said for said in (verdict, _cell(figure["note"])) if said)


def _reached(figure: dict[str, Any]) -> bool:
    if figure["floor"] is not None:
        return bool(figure["value"] >= figure["aim"])
    return bool(figure["value"] <= figure["aim"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
