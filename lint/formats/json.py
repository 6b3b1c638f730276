"""JSON, in the form that `docs/lint/README.md` describes."""

from __future__ import annotations

import json
from typing import Any

from lint.report import Finding, Judged, Report


def as_json(report: Report) -> str:
    """Everything there is to say of a run."""
    document: dict[str, Any] = {
        "statements": [_statement(item) for item in report.judged],
        "findings": [_finding(finding) for finding in report.findings],
        "summary": report.summary(),
    }
    if report.suppressed:
        document["suppressed"] = [
            {
                **_finding(finding),
                "reason": finding.allowed,
                **({"until": finding.until} if finding.until else {}),
            }
            for finding in report.suppressed
        ]
    if report.baselined:
        document["baselined"] = [_finding(finding) for finding in report.baselined]
    if report.notes:
        document["notes"] = list(report.notes)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "code": finding.code,
        "message": finding.message,
    }


def _statement(item: Judged) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "path": item.path,
        "line": item.line,
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
