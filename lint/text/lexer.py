"""PostgreSQL's lexical rules, so that nothing later has to guess where a string ends.

The parser behind this package reads several dialects and splits some texts differently from
PostgreSQL. A disagreement about where a string or an operator ends would let a predicate be
seen where the server sees none. So the text is cut here, by the server's rules, and the parser
is given only tokens on which both agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from lint.errors import SourceError
from lint.text.migrations import marker
from lint.text.psql import CONDITIONS, SENDING, after_copy_data, command, line_end
from lint.text.words import words
from lint.value import value

# Stands in a text for a part that is not known (a variable in an f-string, say). A private-use
# character: PostgreSQL text has no business containing it.
HOLE = "\ue000"
# Stands for a value that the driver binds or quotes (psycopg2's sql.Literal, sql.Placeholder).
VALUE_HOLE = "\ue001"


class Token(NamedTuple):
    """One token: `text` as written, `value` decoded, offsets in characters of the input.

    kind is one of word, quoted, string, number, param, params (a list of them), op, punct, hole,
    bad. `word` is the text in upper case if it is an unquoted word, else the empty string. A
    tuple, for a text has one for each five or six characters.
    """

    kind: str
    text: str
    value: str
    start: int
    end: int
    word: str = ""

    def other_word(self, text: str) -> Token:
        """An unquoted word that stands where this token stood."""
        return Token("word", text, text, self.start, self.end, text.upper())

    def other(self, kind: str, text: str, value: str) -> Token:
        """A token that is no word and stands where this one stood."""
        return Token(kind, text, value, self.start, self.end)

    def moved(self, start: int, end: int) -> Token:
        return self._replace(start=start, end=end)


# A token of its six parts, without the call that names them.
_made = partial(tuple.__new__, Token)


@value
class Comment:
    text: str
    start: int
    end: int


@value
class RawStatement:
    """The tokens of one statement without its semicolon, and the comments before and inside.

    Comments after the last statement come with one that has no tokens.
    """

    tokens: tuple[Token, ...]
    comments: tuple[Comment, ...] = field(default=())

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end


_SPACE = " \t\r\n\f\v"
_OP_CHARS = "+\\-*/<>=~!@#%^&|`?"
# What is bound or put in before the server reads the text, as drivers, sqlc and jinja write it.
_PLACEHOLDERS = r"""
| (?P<template>\{\{.*?\}\}|\{%.*?%\})
| (?P<remark>\{\#.*?\#\})
| (?P<sqlc>sqlc\.(?:arg|narg|slice|embed)\(\s*['"]?\w+['"]?\s*\))
| (?P<atname>@[^\W\d]\w*)
| (?P<pyformat>%s(?!\w)|%\(\w[\w.]*\)s)
| (?P<percent>%%)
| (?P<psqlvalue>:'[^\W\d]\w*')
| (?P<psqlname>:"[^\W\d]\w*")
| (?P<named>:[^\W\d]\w*)
"""


def _pattern(placeholders: str) -> re.Pattern[str]:
    stop = "%s(?!\\w)|%\\(\\w[\\w.]*\\)s|%%" if placeholders else "(?!)"
    # What is commonest comes first.
    text = rf"""
  (?P<word>(?![eEbBxXnN]'|[uU]&['"]|sqlc\.)[^\W\d][\w$]*)
| (?P<space>[ \t\r\n\f\v]+)
| (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
| (?P<line>--[^\r\n]*)
| (?P<block>/\*)
| (?P<estring>[eE]'(?:[^'\\]|''|\\.)*')
| (?P<unicode>[uU]&['"])
| (?P<pstring>[bBxXnN]'(?:[^']|'')*')
| (?P<string>'(?:[^']|'')*')
| (?P<quoted>"(?:[^"]|"")*")
| (?P<dollar>\$(?:[^\W\d]\w*)?\$)
| (?P<position>\$\d+)
| (?P<cast>::)
| (?P<assign>:=)
{placeholders}
| (?P<name>[^\W\d][\w$]*)
| (?P<op>(?:(?!--|/\*|{stop})[{_OP_CHARS}])+)
| (?P<punct>[()\[\],;.:])
| (?P<hole>{HOLE})
| (?P<value>{VALUE_HOLE})
| (?P<meta>\\)
| (?P<bad>.)
"""
    return re.compile(text, re.VERBOSE | re.DOTALL)


_TOKEN = _pattern(_PLACEHOLDERS)
# What the server itself has read: `$1` is the only placeholder there is.
_SERVER_TOKEN = _pattern("")
_TEMPLATE = re.compile(r"\{\{\s+[^\W\d].*?\}\}", re.DOTALL)
_STDIN = re.compile(r"\bfrom\s+p?stdin\b", re.IGNORECASE)
_BLOCK = re.compile(r"/\*|\*/")

# Operators PostgreSQL ships. A run of operator characters outside this list is one operator to
# the server (`=@` for instance) and two to the parser.
OPERATORS = words(
    "+ - * / < > = % ^ & | # ~ <= >= <> != || -> ->> #> #>> @> <@ ?| ?& ? @? @@ ~~ ~~* !~~ !~~* "
    "!~ ~* !~* << >> && -|- &< &> <<= >>= #- ^@ <-> |/ ||/ => <<| |>> &<| |&> @@@ <% %> <#>"
)
_STICKY = set("~!@#%^&|`?")
# Operators and marks that are what they are, whatever stands around them.
_SURE = frozenset((".", *(op for op in OPERATORS if op in ("+", "-") or op[-1] not in "+-?")))
# After one of these a `?` starts an operand, so it is a placeholder and not jsonb's operator.
_BEFORE_OPERAND = words(
    "SELECT WHERE AND OR NOT ON HAVING IN VALUES LIMIT OFFSET WHEN THEN ELSE LIKE ILIKE BETWEEN "
    "RETURNING SET IS CASE ANY SOME ALL BY FROM SIMILAR TO ESCAPE ARRAY INTERVAL FETCH FIRST NEXT "
    "DISTINCT EXECUTE TOP USING"
)


def statements(text: str, *, psql: bool = True, ran: bool = False) -> Iterator[RawStatement]:
    """Cut `text` into statements. `psql`: backslash commands and COPY data are understood.
    `ran`: it is what the server was given, where `:x`, `?`, `@x` and `%s` are no placeholders.

    A backslash command that runs SQL of its own (`\\copy`, `\\gexec`) comes back as a statement;
    a comment that begins the other way of a migration ends one.
    """
    yield from _Cutter(text, psql=psql, ran=ran).run()


class _Cutter:
    def __init__(self, text: str, *, psql: bool, ran: bool = False) -> None:
        self.text = text
        self.psql = psql
        self.ran = ran
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.brackets = 0
        self.atomic = 0

    def run(  # noqa: PLR0912, PLR0915 - one branch per kind of token, and calls cost
        self,
    ) -> Iterator[RawStatement]:
        position, text = 0, self.text
        scan = (_SERVER_TOKEN if self.ran else _TOKEN).match
        end = len(text)
        while position < end:
            start, mark = position, text[position]
            if mark == " ":  # nearly every other character that a token begins at
                position += 1
                continue
            if mark in "(),":  # and a third of the others
                position += 1
                self.tokens.append(_made(("punct", mark, mark, start, position, "")))
                continue
            match = scan(text, start)
            if match is None:  # the last alternative takes any character
                raise SourceError(f"cannot read the text at offset {start}")
            kind, said, position = match.lastgroup, match.group(), match.end()
            if kind == "space":
                continue
            if kind == "word" and not self.atomic:
                word = said.upper()
                if word == "ATOMIC":
                    self._count(kind, said)
                self.tokens.append(_made((kind, said, said, start, position, word)))
            elif said in _SURE and kind in ("op", "punct"):
                self.tokens.append(_made((kind, said, said, start, position, "")))
            elif kind in ("line", "remark"):
                if self.tokens and not self.ran and marker(said) is not None:
                    yield from self._flush()
                self.comments.append(Comment(said, start, position))
            elif kind == "block":
                position = self._block_end(position)
                self.comments.append(Comment(text[start:position], start, position))
            elif kind == "meta":
                if not self.psql:
                    self._add("bad", start, position)
                    continue
                name, position = command(text, start)
                copies = name == "copy" and _STDIN.search(text, start, position) is not None
                yield from self._meta(name, start, position)
                if copies:
                    position = after_copy_data(text, position)
            elif said == ";" and kind == "punct" and self._splits():
                copies = _copies_in(self.tokens)
                yield from self._flush()
                if copies and self.psql:
                    position, text = self._without_copy_data(position)
            else:
                position = self._token(kind or "bad", said, start, position)
        yield from self._flush()
        if self.comments:
            yield RawStatement((), tuple(self.comments))

    # -- pieces ------------------------------------------------------------------------------

    def _flush(self) -> Iterator[RawStatement]:
        if self.tokens:
            yield RawStatement(tuple(self.tokens), tuple(self.comments))
            self.comments = []
        self.tokens = []
        self.brackets = self.atomic = 0

    def _splits(self) -> bool:
        if self.atomic:
            return False
        return not (self._is_create("RULE") and self._in_parens())

    def _in_parens(self) -> bool:
        marks = [token.text for token in self.tokens if token.kind == "punct"]
        return marks.count("(") > marks.count(")")

    def _is_create(self, *kinds: str) -> bool:
        words = [token.word for token in self.tokens[:5]]
        return bool(words) and words[0] == "CREATE" and any(kind in words for kind in kinds)

    def _block_end(self, position: int) -> int:
        depth = 1
        while depth:
            match = _BLOCK.search(self.text, position)
            if match is None:
                return len(self.text)
            depth += 1 if match.group() == "/*" else -1
            position = match.end()
        return position

    def _without_copy_data(self, position: int) -> tuple[int, str]:
        """Where to go on after a COPY, in which text: what stands on its line is SQL still."""
        text = self.text
        line = line_end(text, position)
        end = after_copy_data(text, line)
        if text[position:line].strip():
            self.text = text[:line] + "\n" * (end - line) + text[end:]
            return position, self.text
        return max(position, end), text

    def _meta(self, name: str, start: int, end: int) -> Iterator[RawStatement]:
        line = self.text[start:end]
        if name == "copy":
            yield from self._flush()
            inner = _Cutter(line[1:], psql=False)
            for raw in inner.run():
                ahead = start + 1
                yield RawStatement(
                    tuple(t.moved(t.start + ahead, t.end + ahead) for t in raw.tokens)
                )
        elif name == ";":
            yield from self._flush()
        elif name in SENDING:
            yield from self._flush()
            if name == "gexec":
                shown = line.rstrip()
                yield RawStatement((Token("hole", shown, shown, start, start + len(shown)),))
        elif name in CONDITIONS and self.tokens:
            # One of two texts, and which is not known.
            self._add("hole", start, end)

    def _token(  # noqa: PLR0911, PLR0912 - one branch per kind of token
        self, kind: str, text: str, start: int, end: int
    ) -> int:
        """Append a token; the position after it."""
        value = text
        if kind == "dollar":
            close = self.text.find(text, end)
            if close < 0:
                return self._add("bad", start, len(self.text))
            return self._add("string", start, close + len(text), self.text[end:close])
        if kind in ("string", "quoted"):
            value = text[1:-1].replace(text[0] * 2, text[0])
            if kind == "string" and self._continues_string(start):
                last = self.tokens.pop()
                return self._add("string", last.start, end, last.value + value)
            return self._add(kind, start, end, value)
        if kind in ("estring", "pstring"):
            # Kept raw: two such strings are equal only if they are written alike.
            return self._add("string", start, end, text)
        if kind == "position":
            return self._add("param", start, end, text)
        if kind == "pyformat":
            return self._add("param", start, end, text[2:-2] if text[1] == "(" else "%s")
        if kind == "percent":
            return self._add("op", start, end, "%")
        if kind == "psqlvalue":
            return self._add("param", start, end, text[2:-1])
        if kind in ("psqlname", "template"):
            return self._add("hole", start, end)
        if kind == "atname":
            return self._add("param", start, end, text[1:])
        if kind == "sqlc":
            return self._sqlc(start, end, text)
        if kind == "named":
            return self._named(start, end, text)
        if kind == "value":
            return self._add("param", start, end, "%s")
        if kind in ("cast", "assign"):
            return self._add("punct", start, end)
        if kind == "op":
            return self._operator(start, text)
        if kind in ("bad", "unicode"):
            return self._add("bad", start, end)
        if kind == "name":
            kind = "word"
        self._count(kind, text)
        return self._add(kind, start, end, value)

    def _add(self, kind: str, start: int, end: int, value: str | None = None) -> int:
        text = self.text[start:end]
        if kind in ("string", "quoted") and self._filled(text):
            kind = "hole"
        word = text.upper() if kind == "word" else ""
        self.tokens.append(Token(kind, text, text if value is None else value, start, end, word))
        return end

    def _filled(self, text: str) -> bool:
        """Whether something is put into a literal: a hole, or jinja's `{{ name }}`."""
        if HOLE in text or VALUE_HOLE in text:
            return True
        return not self.ran and "{{ " in text and _TEMPLATE.search(text) is not None

    def _count(self, kind: str, text: str) -> None:
        if kind == "punct":
            self.brackets += {"[": 1, "]": -1}.get(text, 0)
        elif kind == "word" and (self.atomic or text.upper() == "ATOMIC"):
            word = text.upper()
            if word == "ATOMIC" and self.tokens and self.tokens[-1].word == "BEGIN":
                self.atomic += self._is_create("FUNCTION", "PROCEDURE")
            elif word == "CASE":
                self.atomic += 1
            elif word == "END":
                self.atomic -= 1

    def _continues_string(self, start: int) -> bool:
        """PostgreSQL joins two literals that only space with a line break separates."""
        if not self.tokens or self.tokens[-1].kind != "string":
            return False
        last = self.tokens[-1]
        between = self.text[last.end : start]
        plain = last.text[0] == "'"
        return plain and "\n" in between and not between.strip(_SPACE)

    def _named(self, start: int, end: int, text: str) -> int:
        before = self.text[start - 1] if start else " "
        if self.brackets > 0 or before.isalnum() or before in "_])\"'":
            return self._add("punct", start, start + 1)
        return self._add("param", start, end, text[1:])

    def _sqlc(self, start: int, end: int, text: str) -> int:
        """sqlc's macros: an argument, a list of arguments, all columns of a table."""
        what, _, inner = text.partition("(")
        name = inner.rstrip(")").strip().strip("'\"")
        if what == "sqlc.embed":
            word = Token("word", name, name, start, end, name.upper())
            self.tokens += (word, word.other("punct", ".", "."), word.other("op", "*", "*"))
        else:
            kind = "params" if what == "sqlc.slice" else "param"
            self.tokens.append(Token(kind, text, name, start, end))
        return end

    def _operator(self, start: int, run: str) -> int:
        while len(run) > 1 and run[-1] in "+-" and not _STICKY & set(run):
            run = run[:-1]
        if not self.ran and run.endswith("?") and self._wants_operand(run[:-1]):
            if run == "?":
                return self._add("param", start, start + 1, "?")
            self._add("op", start, start + len(run) - 1)
            return self._add("param", start + len(run) - 1, start + len(run), "?")
        return self._add("op" if run in OPERATORS else "bad", start, start + len(run))

    def _wants_operand(self, before: str) -> bool:
        if before:
            return before in ("=", "<", ">", "<=", ">=", "<>", "!=", "||", "+", "-", "*", "/")
        if not self.tokens:
            return True
        last = self.tokens[-1]
        if last.kind == "op":
            return True
        if last.kind == "punct":
            return last.text in ("(", "[", ",", "::")
        return last.word in _BEFORE_OPERAND


def _copies_in(tokens: list[Token]) -> bool:
    if not tokens or tokens[0].word != "COPY":
        return False
    found = [token.word for token in tokens]
    return any(a == "FROM" and b == "STDIN" for a, b in pairwise(found))
