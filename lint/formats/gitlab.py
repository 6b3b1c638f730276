"""GitLab's code quality report.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256

from lint.report import Finding, Report


def as_gitlab(report: Report) -> str:
    """A list of issues. A fingerprint stays when lines move, so that a merge request shows what
    it adds."""
    seen: Counter[str] = Counter()
    issues = []
    for finding in report.findings:
        print_ = _fingerprint(finding)
        seen[print_] += 1
        issues.append(
            {
                "description": f"{finding.code} {finding.name}: {finding.message}",
                "check_name": finding.code,
                "fingerprint": sha256(f"{print_}\0{seen[print_]}".encode()).hexdigest(),
                "severity": "major",
                "location": {
                    "path": finding.path,
                    "lines": {"begin": finding.line, "end": finding.end_line},
                },
            }
        )
    return json.dumps(issues, indent=1, ensure_ascii=False) + "\n"


def _fingerprint(finding: Finding) -> str:
    return "\0".join((finding.path, finding.code, finding.table, finding.statement))
