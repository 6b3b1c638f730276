"""Annotations of GitHub Actions.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from lint.report import Report


def as_github(report: Report) -> str:
    """One command a finding, which the runner turns into an annotation of the line."""
    lines = []
    for finding in report.findings:
        properties = {
            "file": finding.path,
            "line": finding.line,
            "col": finding.column,
            "endLine": finding.end_line,
            # The runner knows columns within one line only.
            **({"endColumn": finding.end_column} if finding.end_line == finding.line else {}),
            "title": f"{finding.code} {finding.name}",
        }
        told = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
        lines.append(f"::error {told}::{_data(finding.message)}")
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
