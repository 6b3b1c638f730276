"""Reports as text, as JSON and as SARIF."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from config import sarif
from tenants.posture.audit import Report
from tenants.posture.pages import page
from tenants.posture.rule import SEVERITIES, Finding, Rule, Severity

_COLOURS = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[36m"}
_DIM, _RESET = "\x1b[2m", "\x1b[0m"


def as_json(report: Report) -> str:
    """The report in the form that `docs/posture/README.md` describes."""
    document = {
        "findings": [_finding(finding) for finding in report.findings],
        "assumed": report.assumed,
        "checked": report.checked,
        "suppressed": [
            {
                **_finding(finding),
                "reason": by.reason,
                "expires": by.expires.isoformat() if by.expires else None,
            }
            for finding, by in report.suppressed
        ],
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "object": finding.object,
        "message": finding.message,
        "fix_sql": finding.fix_sql,
    }


_LEVELS: dict[Severity, sarif.Level] = {"error": "error", "warning": "warning", "info": "note"}


def as_sarif(report: Report, rules: Sequence[Rule]) -> str:
    """The report as SARIF 2.1.0: objects are logical locations, suppressed findings marked."""
    results = [_result(finding, ()) for finding in report.findings]
    results += [
        _result(finding, (sarif.Suppressed(by.reason, in_source=False),))
        for finding, by in report.suppressed
    ]
    shown = [
        sarif.Rule(rule.name, rule.name, rule.title, rule.why, page(rule), _LEVELS[rule.severity])
        for rule in rules
    ]
    return json.dumps(sarif.log("tenure posture", shown, results), indent=1) + "\n"


def _result(finding: Finding, suppressed: tuple[sarif.Suppressed, ...]) -> sarif.Result:
    return sarif.Result(
        finding.rule,
        f"{finding.object}: {finding.message}",
        object=finding.object,
        fingerprint=f"{finding.rule}:{finding.object}:{finding.message}",
        suppressed=suppressed,
        level=_LEVELS[finding.severity],
    )


def as_text(report: Report, *, colour: bool) -> str:
    """The findings with what mends them, what was assumed, and a line of counts."""
    lines: list[str] = []
    for finding in report.findings:
        mark: str = finding.severity
        if colour:
            mark = f"{_COLOURS[mark]}{mark}{_RESET}"
        lines.append(f"{mark}[{finding.rule}] {finding.object}: {finding.message}")
        for line in (finding.fix_sql or "").splitlines():
            lines.append(f"    {_DIM}{line}{_RESET}" if colour else f"    {line}")
    lines += [f"note: {note}" for note in report.notes]
    lines += _assumptions(report.assumed)
    lines.append(_summary(report))
    return "\n".join(lines) + "\n"


def _assumptions(assumed: Mapping[str, object]) -> Iterator[str]:
    for key, value in assumed.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            names = value.get("names") or [value.get("name")]
            shown = ", ".join(str(n) for n in names if n) or "none"
            yield f"assumed {name}: {shown} ({value.get('why')})"
        else:
            yield f"assumed {name}: {value}"


def _summary(report: Report) -> str:
    if report.checked.get("nothing_to_check"):
        return "nothing to check: no table has a tenant column"
    counted = Counter(finding.severity for finding in report.findings)
    counts = ", ".join(f"{counted[severity]} {severity}" for severity in SEVERITIES)
    text = f"{report.checked['tenant_tables']} tenant tables, {report.checked['rules']} rules: "
    text += counts
    return text + (f"; {len(report.suppressed)} suppressed" if report.suppressed else "")
