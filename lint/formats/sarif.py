"""SARIF: findings, and those that are suppressed or in the baseline, marked as such."""

from __future__ import annotations

import json
from collections.abc import Iterator

from config import sarif
from lint.codes import CODES
from lint.pages import page
from lint.report import Finding, Report
from lint.rule import Rule


def as_sarif(report: Report) -> str:
    """The run as a SARIF 2.1.0 log. All rules are described, found or not."""
    rules = [_rule(rule) for rule in CODES.values()]
    return json.dumps(sarif.log("tenure lint", rules, list(_results(report))), indent=1) + "\n"


def _results(report: Report) -> Iterator[sarif.Result]:
    for finding in report.findings:
        yield _result(finding, ())
    for finding in report.suppressed:
        reason = finding.allowed + (f" (until {finding.until})" if finding.until else "")
        yield _result(finding, (sarif.Suppressed(reason, in_source=not finding.external),))
    for finding in report.baselined:
        yield _result(finding, (sarif.Suppressed("in the baseline", in_source=False),))


def _result(finding: Finding, suppressed: tuple[sarif.Suppressed, ...]) -> sarif.Result:
    return sarif.Result(
        finding.code,
        finding.message,
        path=finding.path,
        region=sarif.Region(finding.line, finding.column, finding.end_line, finding.end_column),
        object=finding.table or None,
        fingerprint=f"{finding.code}:{finding.table}:{finding.statement}",
        suppressed=suppressed,
    )


def _rule(rule: Rule) -> sarif.Rule:
    return sarif.Rule(rule.code, rule.name, rule.what, rule.why, page(rule))
