"""Judging SQL that ran: each form of a statement once, with its calls and the place it came from.

Two texts are of one form if they differ only in literals and comments, and if the same literals
are equal to one another in both: what the prover says of one, it says of the other. The form is
judged with the literals of the first. Memory grows with the number of forms, up to a limit.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from lint.declared import Sources
from lint.gate import Gate
from lint.inputs.logs import Ran
from lint.inputs.sources import Source, Statement
from lint.inputs.tags import place_in_tags
from lint.report import FileReport
from lint.text.lexer import RawStatement, Token
from lint.text.lexer import statements as cut
from lint.text.positions import Span

_FORMS = 50_000
# Texts whose form is remembered: prepared statements come letter by letter the same.
_TEXTS = 20_000
_EXAMPLE = 160
_VARIABLE = re.compile(
    r"(?<![\w$\x01])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|'(?:[^']|'')*'|/\*.*?\*/|--[^\n]*"
    r'|"[^"]*"|\$(\w*)\$.*?\$\1\$',
    re.DOTALL,
)
# A string with escapes, which ends by other rules.
_ESCAPED = re.compile(r"(?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_LIST = re.compile(r"\bIN\s*\(\s*\x01\d+(?:\s*,\s*\x01\d+)+\s*\)", re.IGNORECASE)
# How version 18 writes a list of constants in pg_stat_statements.
_SQUASHED = re.compile(r"/\*, \.\.\. \*/")
_TYPED = frozenset(("INTERVAL", "DATE", "TIMESTAMP", "TIME", "TIMESTAMPTZ", "TIMETZ"))


@dataclass(slots=True)
class _Form:
    first: Ran
    report: FileReport
    calls: int = 0


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
        self.seen = Seen()

    def reports(self, statements: Iterable[Ran]) -> Iterator[FileReport]:
        """One report for each form, its findings with the number of calls and an example."""
        for ran in statements:
            self.seen.statements += 1
            key = self._key(ran)
            form = self._forms.get(key)
            if form is None:
                self.seen.forms += 1
                form = self._forms[key] = _Form(ran, self._judged(ran, key))
                if len(self._forms) > self._limit:
                    yield _told(self._forms.popitem(last=False)[1])
            form.calls += ran.calls
        while self._forms:
            yield _told(self._forms.popitem(last=False)[1])

    def _key(self, ran: Ran) -> bytes:
        bound = ran.detail if self._literals else ""
        known = self._texts.get((ran.text, bound))
        if known is None:
            form = form_of(ran.text) + "".join(f"\x02{n}" for n in self._tenants(ran))
            place = place_in_tags(ran.text)
            known = blake2b(f"{form}\x03{place}".encode(errors="replace"), digest_size=16).digest()
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            self._texts[(ran.text, bound)] = known
        return known

    def _tenants(self, ran: Ran) -> list[int]:
        """The placeholders that were bound to a declared value of the tenant."""
        if not self._literals or not ran.detail:
            return []
        return [number for number, value in ran.values().items() if value in self._literals]

    def _judged(self, ran: Ran, key: bytes) -> FileReport:
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
        return self._gate.judge(Source(path, "", found, (), ran=True))

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


def form_of(text: str) -> str:
    """A text without comments and literals; equal literals keep one number."""
    numbers: dict[str, str] = {}

    def put(match: re.Match[str]) -> str:
        found = match.group()
        known = numbers.get(found)
        if known is not None:
            return known
        first = found[0]
        if first in "/-":
            return " "
        if first == '"':
            return found
        known = numbers[found] = f"\x01{len(numbers)}"
        return known

    if "E'" in text or "e'" in text:
        text = _ESCAPED.sub(put, text)
    form = _VARIABLE.sub(put, text)
    return _LIST.sub("IN (\x01, \x01)", form) if "," in form else form


def _told(form: _Form) -> FileReport:
    """The report, its findings' messages with calls and an example."""
    report = form.report
    if not report.findings:
        return report
    example = " ".join(form.first.text.split())
    if len(example) > _EXAMPLE:
        example = example[: _EXAMPLE - 3] + "..."
    times = "1 call" if form.calls == 1 else f"{form.calls} calls"
    findings = tuple(
        replace(finding, message=f"{finding.message} ({times}, as in: {example})")
        for finding in report.findings
    )
    return replace(report, findings=findings)


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
