"""JUnit's XML, as continuous integration servers read it: a test case a statement or finding."""

from __future__ import annotations

import re
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from lint.report import Finding, Report

# Characters that XML 1.0 does not have, even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> str:
    """A suite a file with findings, a failed case a finding; one that passed if there is none."""
    suites: list[str] = []
    for path, found in groupby(report.findings, key=lambda finding: finding.path):
        cases = [_case(finding) for finding in found]
        suites.append(
            f"  <testsuite name={_attribute(path)} tests={_attribute(len(cases))} "
            f'failures={_attribute(len(cases))} errors="0" skipped="0">\n'
            + "".join(cases)
            + "  </testsuite>\n"
        )
    total = len(report.findings)
    if not suites:
        suites.append(
            '  <testsuite name="tenure lint" tests="1" failures="0" errors="0" skipped="0">\n'
            f'    <testcase classname="tenure lint" name={_attribute(_passed(report))}/>\n'
            "  </testsuite>\n"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="tenure lint" tests={_attribute(max(total, 1))} '
        f'failures={_attribute(total)} errors="0">\n' + "".join(suites) + "</testsuites>\n"
    )


def _case(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}:{finding.column}"
    name = f"{finding.code} {finding.name} at {finding.line}:{finding.column}"
    text = f"{place}: {finding.code} {finding.name}: {finding.message}\n{finding.shown}"
    return (
        f"    <testcase classname={_attribute(finding.path)} name={_attribute(name)} "
        f"file={_attribute(finding.path)} line={_attribute(finding.line)}>\n"
        f"      <failure type={_attribute(finding.code)} message={_attribute(finding.message)}>"
        f"{escape(_NOT_XML.sub('?', text))}</failure>\n"
        "    </testcase>\n"
    )


def _passed(report: Report) -> str:
    return f"{report.counts.statements} statements in {len(report.paths)} files"


def _attribute(value: object) -> str:
    return quoteattr(_NOT_XML.sub("?", str(value)))
