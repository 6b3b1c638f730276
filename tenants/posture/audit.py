"""Running the rules over a subject, and what comes out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenants.posture.rule import SEVERITIES, Finding, Rule, Severity
from tenants.posture.subject import Subject
from tenants.posture.suppressions import Suppression


@dataclass(frozen=True)
class Report:
    """`findings` are those that stand, the gravest first; `suppressed` those that do not.

    `notes` are about the suppressions: unused, expired. `assumed` and `checked` say what the
    findings rest on.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, Suppression], ...] = ()
    notes: tuple[str, ...] = ()
    assumed: Mapping[str, object] = field(default_factory=dict)
    checked: Mapping[str, object] = field(default_factory=dict)

    def fails(self, severity: Severity) -> bool:
        """Whether a finding is at least as grave as this."""
        limit = SEVERITIES.index(severity)
        return any(SEVERITIES.index(f.severity) <= limit for f in self.findings)


def run(
    subject: Subject,
    rules: Sequence[Rule],
    suppressions: Sequence[Suppression] = (),
    *,
    today: datetime.date,
) -> Report:
    """Judge a subject by each rule. Without tenant tables there is nothing to judge."""
    found = sorted(
        {
            Finding(
                rule.name, problem.severity or rule.severity, problem.object, problem.message,
                problem.fix_sql,
            )
            for rule in rules
            if subject.tables
            for problem in rule.check(subject)
        },
        key=lambda f: (SEVERITIES.index(f.severity), f.rule, f.object, f.message),
    )  # fmt: skip
    standing: list[Finding] = []
    suppressed: list[tuple[Finding, Suppression]] = []
    for finding in found:
        by = next((s for s in suppressions if s.covers(finding, today)), None)
        if by is None:
            standing.append(finding)
        else:
            suppressed.append((finding, by))
    used = {by for _, by in suppressed}
    notes = [
        f"the suppression of {s} expired on {s.expires}"
        if s.expired(today)
        else f"the suppression of {s} matches no finding"
        for s in suppressions
        if s not in used
    ]
    return Report(
        tuple(standing), tuple(suppressed), tuple(notes), subject.assumed, _checked(subject, rules)
    )


def _checked(subject: Subject, rules: Sequence[Rule]) -> dict[str, object]:
    facts = subject.facts
    return {
        "database": facts.server.database,
        "server_version": facts.server.version,
        "as_role": facts.server.user,
        "rules": len(rules),
        "relations": len(facts.relations),
        "tenant_tables": len(subject.tables),
        "policies": len(facts.policies),
        "functions": len(facts.functions),
        "nothing_to_check": not subject.tables,
    }
