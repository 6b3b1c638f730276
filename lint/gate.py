"""From sources to findings: prove each statement, subtract what is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lint.codes import CODE_OF_KIND
from lint.positions import Span
from lint.prover import Prover
from lint.sources import Note, Source, Statement
from lint.suppressions import BadSuppression, Suppression, covers, read
from lint.verdicts import SCOPED, UNDECIDABLE, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement and its verdict. `allowed` are the reasons of suppressions that apply."""

    statement: Statement
    verdict: Verdict
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    judged: tuple[Judged, ...]
    findings: tuple[Finding, ...]
    texts: dict[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, int]:
        counted = Counter(item.verdict.verdict for item in self.judged)
        return {
            "files": len(self.texts),
            "statements": len(self.judged),
            "scoped": counted["scoped"],
            "unscoped": counted["unscoped"],
            "undecidable": counted["undecidable"],
            "suppressed": sum(bool(item.allowed) for item in self.judged),
            "findings": len(self.findings),
        }


def judge(sources: Iterable[Source], prover: Prover) -> Report:
    """Judge every statement of every source, in order."""
    judged: list[Judged] = []
    findings: list[Finding] = []
    texts: dict[str, str] = {}
    for source in sources:
        texts[source.path] = source.text
        ours, theirs = _judge_source(source, prover)
        judged += ours
        findings += sorted(theirs, key=lambda f: (f.line, f.column, f.code))
    return Report(tuple(judged), tuple(findings), texts)


def _judge_source(source: Source, prover: Prover) -> tuple[list[Judged], list[Finding]]:
    findings: list[Finding] = []
    suppressions: list[Suppression] = []
    for note in source.notes:
        found = read(note)
        if isinstance(found, BadSuppression):
            findings.append(_about_note(source.path, note, "TS010", found.message))
        elif found is not None:
            suppressions.append(found)
    comments = frozenset(note.line for note in source.notes if note.alone)
    used: set[tuple[int, str]] = set()
    judged: list[Judged] = []
    for statement in source.statements:
        verdict = (
            Verdict(UNDECIDABLE, "opaque", statement.opaque)
            if statement.opaque
            else prover.prove(statement.tokens)
        )
        near = [
            (index, suppression)
            for index, suppression in enumerate(suppressions)
            if covers(
                suppression,
                statement.span.line,
                statement.span.end_line,
                _above(statement.span.line, comments),
            )
        ]
        reasons: list[str] = []
        for finding in _findings(statement, verdict):
            allowing = [(i, s) for i, s in near if finding.code in s.codes]
            if not allowing:
                findings.append(finding)
            for index, suppression in allowing:
                used.add((index, finding.code))
                reasons.append(suppression.reason)
        judged.append(Judged(statement, verdict, tuple(dict.fromkeys(reasons))))
    for index, suppression in enumerate(suppressions):
        for code in suppression.codes:
            if (index, code) not in used:
                message = f"nothing here is {code}; remove it"
                findings.append(_about_note(source.path, suppression.note, "TS011", message))
    return judged, findings


def _above(line: int, comments: frozenset[int]) -> frozenset[int]:
    """The lines of the comments that lead up to a line without a gap."""
    found = set()
    while line - 1 in comments:
        line -= 1
        found.add(line)
    return frozenset(found)


def _findings(statement: Statement, verdict: Verdict) -> list[Finding]:
    if verdict.verdict == SCOPED:
        return []
    failing = [o for o in verdict.occurrences if o.verdict != SCOPED]
    alike = {(o.kind, o.reason) for o in failing}
    if verdict.verdict == UNDECIDABLE and alike <= {(verdict.kind, verdict.reason)}:
        # One reason for the whole statement is said once.
        return [_finding(statement, statement.span, verdict.kind, verdict.reason)]
    return [_finding(statement, statement.place(o.start, o.end), o.kind, o.reason) for o in failing]


def _finding(statement: Statement, span: Span, kind: str, reason: str) -> Finding:
    return Finding(
        statement.path,
        span.line,
        span.column,
        span.end_line,
        span.end_column,
        CODE_OF_KIND[kind],
        reason,
    )


def _about_note(path: str, note: Note, code: str, message: str) -> Finding:
    lines = note.text.count("\n")
    last = note.text.rpartition("\n")[2]
    end = note.column + len(note.text) if not lines else len(last) + 1
    return Finding(path, note.line, note.column, note.line + lines, end, code, message)
