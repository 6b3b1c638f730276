"""Judging SQL that ran: each form of a statement once, with its calls and the place it came from.

Two texts are of one form if they differ only in literals and comments, and if the same literals
are equal to one another in both (`lint.inputs.forms`). The form is judged with the literals of the
first; where they have a say, so is each other text. Memory grows with the number of forms, up to
a limit.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from lint.declared import Sources
from lint.gate import Gate
from lint.inputs.forms import formed, loosened
from lint.inputs.logs import Ran
from lint.inputs.sources import Source, Statement
from lint.inputs.tags import place_in_tags
from lint.report import FileReport
from lint.text.lexer import RawStatement, Token
from lint.text.lexer import statements as cut
from lint.text.positions import Span
from lint.verdicts import Verdict

_FORMS = 50_000
# Texts whose form is remembered: prepared statements come letter by letter the same.
_TEXTS = 20_000
# And so many values of the literals that have a say, for each form.
_VALUES = 1_000
_EXAMPLE = 160
# How version 18 writes a list of constants in pg_stat_statements.
_SQUASHED = re.compile(r"/\*, \.\.\. \*/")
_TYPED = frozenset(("INTERVAL", "DATE", "TIMESTAMP", "TIME", "TIMESTAMPTZ", "TIMETZ"))


@dataclass(slots=True)
class _Form:
    """`kept` are the numbers of the literals that have a say, None if all have; `judged` are the
    values of them that were looked at, `examples` the texts for the findings."""

    report: FileReport
    kept: frozenset[int] | None
    examples: list[str]
    judged: set[tuple[str, ...]]
    calls: int = 0

    def values(self, literals: tuple[str, ...]) -> tuple[str, ...]:
        if self.kept is None:
            return literals
        return tuple(literals[n] for n in sorted(self.kept) if n < len(literals))


@dataclass(slots=True)
class Seen:
    """What a run over statements has read, beside its reports."""

    statements: int = 0
    forms: int = 0


class Judge:
    """Judges statements that ran, form by form."""

    def __init__(self, gate: Gate, *, forms: int = _FORMS) -> None:
        self._gate = gate
        self._limit = forms
        self._forms: OrderedDict[bytes, _Form] = OrderedDict()
        self._texts: dict[tuple[str, str], bytes] = {}
        self._literals = _literals(gate.prover.sources)
        self._declared = _declared(gate.prover.sources)
        self.seen = Seen()

    def reports(self, statements: Iterable[Ran]) -> Iterator[FileReport]:
        """One report for each form, its findings with the number of calls and an example."""
        for ran in statements:
            self.seen.statements += 1
            key, literals = self._key(ran)
            form = self._forms.get(key)
            if form is None:
                self.seen.forms += 1
                form = self._forms[key] = self._first(ran, key)
                if len(self._forms) > self._limit:
                    yield _told(self._forms.popitem(last=False)[1])
            elif literals and (form.kept is None or form.kept):
                self._another(form, ran, key, literals)
            form.calls += ran.calls
        while self._forms:
            yield _told(self._forms.popitem(last=False)[1])

    def _key(self, ran: Ran) -> tuple[bytes, tuple[str, ...]]:
        """A text's form, and its literals where it is not known from before."""
        bound = ran.detail if self._literals else ""
        known = self._texts.get((ran.text, bound))
        if known is not None:
            return known, ()
        form, literals = formed(ran.text)
        form += "".join(f"\x02{n}" for n in self._tenants(ran))
        place = place_in_tags(ran.text)
        known = blake2b(f"{form}\x03{place}".encode(errors="replace"), digest_size=16).digest()
        if len(self._texts) >= _TEXTS:
            self._texts.clear()
        self._texts[(ran.text, bound)] = known
        return known, literals

    def _first(self, ran: Ran, key: bytes) -> _Form:
        literals = formed(ran.text)[1]
        report, kept = self._judged(ran, key, literals)
        form = _Form(report, kept, [ran.text] * len(report.findings), set())
        form.judged.add(form.values(literals))
        return form

    def _another(self, form: _Form, ran: Ran, key: bytes, literals: tuple[str, ...]) -> None:
        """Judge a text whose literals have a say and are others than before."""
        values = form.values(literals)
        if values in form.judged:
            return
        report, kept = self._judged(ran, key, literals)
        if len(form.judged) >= _VALUES:
            form.judged.clear()
        if kept != form.kept:
            # The first may have been a special case (`LIMIT 0`), this one stands for all.
            form.kept = kept if form.kept is None or kept is None else form.kept | kept
            form.judged.clear()
        form.judged.add(form.values(literals))
        said = {(finding.code, finding.table) for finding in form.report.findings}
        more = [f for f in report.findings if (f.code, f.table) not in said]
        if more:
            form.report = replace(report, findings=(*form.report.findings, *more))
            form.examples += [ran.text] * len(more)

    def _tenants(self, ran: Ran) -> list[int]:
        """The placeholders that were bound to a declared value of the tenant."""
        if not self._literals or not ran.detail:
            return []
        return [number for number, value in ran.values().items() if value in self._literals]

    def _judged(
        self, ran: Ran, key: bytes, literals: tuple[str, ...]
    ) -> tuple[FileReport, frozenset[int] | None]:
        """The report of a text, and the numbers of the literals that have a say in it."""
        tagged = place_in_tags(ran.text)
        path, line = tagged or (ran.path, ran.line)
        span = Span(line, 1, line, 1)
        found = tuple(
            Statement(
                path,
                self._tokens(raw, ran),
                span,
                lambda _start, _end: span,
                normal=key.hex() + str(number),
            )
            for number, raw in enumerate(cut(_unsquashed(ran.text), psql=False, ran=True))
            if raw.tokens
        )
        report = self._gate.judge(Source(path, "", found, (), ran=True))
        numbers = {text: number for number, text in enumerate(literals)}
        kept: frozenset[int] = frozenset()
        for statement, judged in zip(found, report.judged, strict=True):
            loose = loosened(statement.tokens, numbers, self._declared)
            if loose.kept is None:
                return report, None
            if loose.tokens != statement.tokens:
                unknown = self._gate.prover.prove(loose.tokens)
                said = self._outcome(statement.tokens, judged.verdict)
                if self._outcome(loose.tokens, unknown) != said:
                    return report, None
            kept |= loose.kept
        return report, kept

    def _outcome(self, tokens: tuple[Token, ...], verdict: Verdict) -> object:
        """What a verdict comes to, beside its words, and what the rules beside the proof say."""
        standing = [(o.table, o.alias, o.verdict, o.kind) for o in verdict.occurrences]
        faults = self._gate.checks.of_statement(tokens, verdict, ran=True)
        return verdict.verdict, standing, {fault.code for fault in faults}

    def _tokens(self, raw: RawStatement, ran: Ran) -> tuple[Token, ...]:
        tenants = {f"${number}" for number in self._tenants(ran)}
        values = ran.values() if tenants else {}
        tokens: list[Token] = []
        for token in raw.tokens:
            before = tokens[-1].word if tokens else ""
            if token.kind == "param" and token.text in tenants:
                literal = self._literals[values[int(token.text[1:])] or ""]
                tokens.append(literal.moved(token.start, token.end))
            elif token.kind == "param" and before in _TYPED:
                # A constant that pg_stat_statements took out; no parser reads INTERVAL $1.
                tokens.append(token.other("string", token.text, "0"))
            else:
                tokens.append(token)
        return tuple(tokens)


def _told(form: _Form) -> FileReport:
    """The report, its findings' messages with calls and an example."""
    report = form.report
    times = "1 call" if form.calls == 1 else f"{form.calls} calls"
    findings = tuple(
        replace(finding, message=f"{finding.message} ({times}, as in: {_shown(example)})")
        for finding, example in zip(report.findings, form.examples, strict=True)
    )
    return replace(report, findings=findings)


def _shown(text: str) -> str:
    example = " ".join(text.split())
    return example if len(example) <= _EXAMPLE else example[: _EXAMPLE - 3] + "..."


def _unsquashed(text: str) -> str:
    return _SQUASHED.sub(", $65535", text) if "/*, ... */" in text else text


def _literals(sources: Sources) -> dict[str, Token]:
    """The declared tenant values that are literals, by what they say."""
    found: dict[str, Token] = {}
    for expression in sources.expressions:
        for raw in cut(expression, psql=False):
            if raw.tokens and raw.tokens[0].kind in ("string", "number"):
                found[raw.tokens[0].value] = raw.tokens[0]
    return found


def _declared(sources: Sources) -> frozenset[str]:
    """All values that the declared sources are written with."""
    return frozenset(
        token.value
        for expression in sources.expressions
        for raw in cut(expression, psql=False)
        for token in raw.tokens
        if token.kind in ("string", "number")
    )
