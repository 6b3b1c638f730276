"""From a source to its report: prove each statement, ask the rules, subtract what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from lint.assembly import assemble
from lint.checks import Checks, Fault, is_dump
from lint.codes import CODE_OF_KIND, CODES
from lint.inputs.sources import Note, Source, Statement
from lint.prover.prover import Prover
from lint.report import Counts, FileReport, Finding, Judged, Report
from lint.suppressions import BadSuppression, Suppression, covers, read
from lint.text.lexer import Token
from lint.text.positions import Lines, Span
from lint.text.prepare import fold
from lint.verdicts import SCOPED, UNDECIDABLE, Verdict
from lint.views_asked import ASKED, is_asked_for_one

# A source line that is shown with a finding; a minified file's only line is not worth keeping.
_SHOWN = 2000
_PARAMETER = "it is one value, but not one that is declared to be the current tenant"


class Gate:
    """Judges sources against one catalog. `strict`: only declared sources count as the tenant."""

    def __init__(self, prover: Prover, *, strict: bool = False) -> None:
        self.prover = prover
        self.strict = strict
        self.checks = Checks(prover.catalog, prover.sources)

    def judge(self, source: Source) -> FileReport:
        """The report of one source."""
        return _Sheet(self, source).report()


def judge(sources: Iterable[Source], prover: Prover, *, strict: bool = False) -> Report:
    """Judge every statement of every source, in order. Suppressions count until they expire."""
    gate = Gate(prover, strict=strict)
    return assemble([gate.judge(source) for source in sources])


@dataclass(slots=True)
class _Draft:
    """A finding of a statement, with offsets in its text."""

    finding: Finding
    start: int
    end: int
    of_proof: bool = False


@dataclass(slots=True)
class _Entry:
    statement: Statement
    verdict: Verdict
    index: int
    drafts: list[_Draft] = field(default_factory=list)
    key: str = ""


class _Sheet:
    """One source while it is judged."""

    def __init__(self, gate: Gate, source: Source) -> None:
        self._gate = gate
        self._source = source
        self._dump = is_dump(source.text)
        self._lines: list[str] | None = None
        self._findings: list[Finding] = []

    def report(self) -> FileReport:
        suppressions = self._suppressions()
        entries = [self._entry(*numbered) for numbered in enumerate(self._source.statements)]
        # What ran comes statement by statement: nothing shows what was mended after it.
        script = [] if self._source.ran else [e.statement.tokens for e in entries]
        parts = [entry.statement.part for entry in entries]
        for fault in self._gate.checks.of_script(script, parts):
            self._add(entries[fault.problem.statement], fault)
        judged = self._subtract(entries, suppressions)
        found = {
            # Two statements made of one constant say the same of the same place.
            (f.line, f.column, f.end_line, f.end_column, f.code, f.message, f.allowed): f
            for f in reversed(self._findings)
        }
        findings = sorted(found.values(), key=lambda f: (f.line, f.column, f.code))
        return FileReport(self._source.path, Counts.of(judged), tuple(findings), tuple(judged))

    # -- findings ----------------------------------------------------------------------------

    def _entry(self, index: int, statement: Statement) -> _Entry:
        gate = self._gate
        if statement.opaque:
            verdict = Verdict(UNDECIDABLE, "opaque", statement.opaque)
        else:
            verdict = gate.prover.prove(statement.tokens)
            if not verdict.scoped and is_asked_for_one(statement.tokens, verdict, gate.prover):
                verdict = ASKED
        entry = _Entry(statement, verdict, index)
        self._prove(entry)
        for fault in gate.checks.of_statement(
            statement.tokens, verdict, dump=self._dump, ran=self._source.ran
        ):
            self._add(entry, fault)
        return entry

    def _prove(self, entry: _Entry) -> None:
        statement, verdict = entry.statement, entry.verdict
        strict = self._gate.strict
        if verdict.verdict == SCOPED and not (strict and verdict.kind == "parameter"):
            return
        failing = [
            o
            for o in verdict.occurrences
            if o.verdict != SCOPED or (strict and o.kind == "parameter")
        ]
        alike = {(o.kind, o.reason) for o in failing}
        apart = failing and all(o.reason.startswith(f"{o.table}:") for o in failing)
        whole = alike <= {(verdict.kind, verdict.reason)} and not apart
        if verdict.verdict == UNDECIDABLE and whole:
            # One reason for the whole statement is said once.
            tokens = statement.tokens
            ends = (tokens[0].start, tokens[-1].end) if tokens else (0, 0)
            code = CODE_OF_KIND[verdict.kind]
            finding = self._finding(entry, statement.span, code, verdict.reason)
            table = failing[0].table if failing else ""
            entry.drafts.append(_Draft(replace(finding, table=table), *ends, of_proof=True))
            return
        for o in failing:
            reason = f"{o.reason}: {_PARAMETER}" if o.kind == "parameter" else o.reason
            span = statement.place(o.start, o.end)
            finding = self._finding(entry, span, CODE_OF_KIND[o.kind], reason)
            finding = replace(finding, table=o.table)
            entry.drafts.append(_Draft(finding, o.start, o.end, of_proof=True))

    def _add(self, entry: _Entry, fault: Fault) -> None:
        problem = fault.problem
        if problem.instead is not None:
            low, high = problem.instead
            entry.drafts = [
                d for d in entry.drafts if not (d.of_proof and d.start < high and low < d.end)
            ]
        span = entry.statement.place(problem.start, problem.end)
        finding = self._finding(entry, span, fault.code, problem.message)
        entry.drafts.append(_Draft(finding, problem.start, problem.end))

    def _finding(self, entry: _Entry, span: Span, code: str, message: str) -> Finding:
        if not entry.key:
            entry.key = self._key(entry.statement)
        whole = entry.statement.span
        return Finding(
            self._source.path,
            span.line,
            span.column,
            span.end_line,
            span.end_column,
            code,
            message,
            CODES[code].name,
            first=whole.line,
            last=whole.end_line,
            shown=self._line(span.line),
            statement=entry.key,
            index=entry.index,
        )

    def _key(self, statement: Statement) -> str:
        """A digest of the statement that survives reformatting and comments."""
        if statement.normal:
            return _digest(statement.normal)
        if statement.tokens:
            text = " ".join(_plain(token) for token in statement.tokens)
        else:
            lines = Lines(self._source.text)
            span = statement.span
            start = lines.offset(span.line, span.column)
            text = " ".join(
                self._source.text[start : lines.offset(span.end_line, span.end_column)].split()
            )
        return _digest(text)

    def _line(self, number: int) -> str:
        if self._lines is None:
            # As the lexers count: only a line feed ends a line.
            self._lines = self._source.text.split("\n")
        line = self._lines[number - 1] if 0 < number <= len(self._lines) else ""
        return line.rstrip("\r") if len(line) <= _SHOWN else ""

    # -- suppressions ------------------------------------------------------------------------

    def _suppressions(self) -> list[Suppression]:
        found: list[Suppression] = []
        for note in self._source.notes:
            said = read(note)
            if isinstance(said, BadSuppression):
                self._about_note(note, "TS010", said.message)
            elif said is not None:
                found.append(said)
        return found

    def _subtract(self, entries: list[_Entry], suppressions: list[Suppression]) -> list[Judged]:
        comments = frozenset(note.line for note in self._source.notes if note.alone)
        used: set[tuple[int, str]] = set()
        judged: list[Judged] = []
        for entry in entries:
            span = entry.statement.span
            if entry.drafts and suppressions:
                above = _above(span.line, comments)
                near = [
                    (index, suppression)
                    for index, suppression in enumerate(suppressions)
                    if covers(suppression, span.line, span.end_line, above)
                ]
                for draft in entry.drafts:
                    allowing = [(i, s) for i, s in near if draft.finding.code in s.codes]
                    used.update((i, draft.finding.code) for i, _ in allowing)
                    if allowing:
                        # Of several, the one that lasts longest.
                        chosen = max((s for _, s in allowing), key=lambda s: s.until or "9")
                        draft.finding = replace(
                            draft.finding, allowed=chosen.reason, until=chosen.until
                        )
            self._findings += [draft.finding for draft in entry.drafts]
            place = (self._source.path, span.line, span.end_line)
            made = entry.statement.made
            judged.append(Judged(*place, entry.verdict, entry.index, made=made))
        for index, suppression in enumerate(suppressions):
            for code in suppression.codes:
                if (index, code) not in used:
                    message = f"nothing here is {code}; remove it"
                    self._about_note(suppression.note, "TS011", message)
        return judged

    def _about_note(self, note: Note, code: str, message: str) -> None:
        lines = note.text.count("\n")
        last = note.text.rpartition("\n")[2]
        end = note.column + len(note.text) if not lines else len(last) + 1
        self._findings.append(
            Finding(
                self._source.path,
                note.line,
                note.column,
                note.line + lines,
                end,
                code,
                message,
                CODES[code].name,
                first=note.line,
                last=note.line + lines,
                shown=self._line(note.line),
                statement=_digest(" ".join(note.text.split())),
            )
        )


def _plain(token: Token) -> str:
    return fold(token.text) if token.kind == "word" else token.text


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _above(line: int, comments: frozenset[int]) -> frozenset[int]:
    """The lines of the comments that lead up to a line without a gap."""
    found = set()
    while line - 1 in comments:
        line -= 1
        found.add(line)
    return frozenset(found)
