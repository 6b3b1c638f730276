"""Reports as text and as JSON. Formatters see values, never trees or files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lint.codes import CODES
from lint.gate import Finding, Judged, Report

_RED, _DIM, _BOLD, _RESET = "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_WIDTH = 160


def as_text(report: Report, *, colour: bool, verdicts: bool) -> str:
    """Findings with their source lines, then a line of counts; `verdicts` lists all statements."""
    paint = _Paint(colour)
    lines: list[str] = []
    if verdicts:
        for item in report.judged:
            lines += _verdict_lines(item, paint)
        if lines:
            lines.append("")
    cache: dict[str, list[str]] = {}
    for finding in report.findings:
        if finding.path not in cache:
            cache[finding.path] = report.texts.get(finding.path, "").splitlines()
        lines += _finding_lines(finding, cache[finding.path], paint)
    lines.append(_summary_line(report))
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> str:
    """The report in the form `docs/lint/README.md` describes."""
    document = {
        "statements": [_statement_out(item) for item in report.judged],
        "findings": [
            {
                "path": finding.path,
                "line": finding.line,
                "column": finding.column,
                "end_line": finding.end_line,
                "end_column": finding.end_column,
                "code": finding.code,
                "message": finding.message,
            }
            for finding in report.findings
        ],
        "summary": report.summary(),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _statement_out(item: Judged) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "path": item.statement.path,
        "line": item.statement.span.line,
        "verdict": item.verdict.verdict,
        "kind": item.verdict.kind,
        "reason": item.verdict.reason,
        "occurrences": [
            {
                "table": occurrence.table,
                "alias": occurrence.alias,
                "verdict": occurrence.verdict,
                "kind": occurrence.kind,
                "reason": occurrence.reason,
            }
            for occurrence in item.verdict.occurrences
        ],
    }
    if item.allowed:
        entry["allowed_because"] = list(item.allowed)
    return entry


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._on else text


def _verdict_lines(item: Judged, paint: _Paint) -> Iterator[str]:
    where = f"{item.statement.path}:{item.statement.span.line}"
    yield f"{where}: {item.verdict.verdict} ({item.verdict.kind}): {item.verdict.reason}"
    for occurrence in item.verdict.occurrences:
        name = occurrence.table
        if occurrence.alias != name.rpartition(".")[2]:
            name += f" {occurrence.alias}"
        text = f"    {name}: {occurrence.verdict} ({occurrence.kind}): {occurrence.reason}"
        yield paint(text, _DIM)
    for reason in item.allowed:
        yield paint(f"    allowed because {reason}", _DIM)


def _finding_lines(finding: Finding, source: list[str], paint: _Paint) -> Iterator[str]:
    name = CODES[finding.code].name
    code = paint(f"{finding.code} {name}", _RED)
    yield f"{finding.path}:{finding.line}:{finding.column}: {code}: {finding.message}"
    if not 0 < finding.line <= len(source):
        return
    line = source[finding.line - 1]
    expanded = line.expandtabs(4)
    if len(expanded) > _WIDTH:
        return
    start = len(line[: finding.column - 1].expandtabs(4))
    end = len(expanded)
    if finding.end_line == finding.line:
        end = len(line[: finding.end_column - 1].expandtabs(4))
    gutter = f"{finding.line:>6} | "
    yield paint(gutter, _DIM) + expanded
    yield " " * (len(gutter) + start) + paint("^" * max(end - start, 1), _BOLD)


def _summary_line(report: Report) -> str:
    s = report.summary()
    counts = f"{s['scoped']} scoped, {s['unscoped']} unscoped, {s['undecidable']} undecidable"
    text = f"{s['statements']} statements in {s['files']} files: {counts}; {s['findings']} findings"
    return text + (f", {s['suppressed']} statements suppressed" if s["suppressed"] else "")
