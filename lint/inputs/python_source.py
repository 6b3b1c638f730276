"""SQL in Python files, found where it is handed to a database.

A call is looked at if it is a known sink; its text is followed through constants, concatenation,
f-strings and formatting. What cannot be followed becomes a hole, and a statement with a hole is
reported as opaque: nothing that reaches a sink is passed over.
"""

from __future__ import annotations

import ast
import io
import re
import symtable
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lint.errors import SourceError
from lint.inputs.python_libraries import (
    builds_query,
    composes,
    is_mogrified,
    is_psycopg,
    makes_text,
)
from lint.inputs.python_names import Names
from lint.inputs.python_text import FORMAT_FIELD, Composer, Text
from lint.inputs.sinks import Sinks
from lint.inputs.sources import MENTIONS, Note, Source, Statement
from lint.text.lexer import HOLE, VALUE_HOLE, RawStatement, statements
from lint.text.migrations import leads_back
from lint.text.positions import Lines, Pieces, Span
from lint.text.words import words

_KEYWORDS = ("sql", "query", "statement", "operation")
# Arguments that are a connection and not a text, as in peewee's `query.execute(database)`.
_CONNECTIONS = words("db database conn connection engine session self cls")
_BEGINS = words(
    "SELECT WITH INSERT UPDATE DELETE MERGE VALUES TABLE TRUNCATE COPY PREPARE EXPLAIN DECLARE "
    "CREATE ALTER DROP SET BEGIN COMMIT ROLLBACK DO CALL EXECUTE GRANT REVOKE LOCK"
)
_READS = words("SELECT FROM JOIN INTO UPDATE TABLE")
_SINKS = Sinks()
_ROWS = re.compile(r"\bVALUES\s+(%s)", re.IGNORECASE)
_IN_LITERAL = re.compile(r"%s|%\(\w+\)s")


def python_source(path: str, text: str, sinks: Sinks = _SINKS) -> Source:
    """The SQL of a Python file. Raises SourceError for a file that Python cannot parse."""
    try:
        if not sinks.likely(text):
            _check(text)
            return Source(path, text, (), ())
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not Python: {error}") from error
    finder = _Finder(path, text, tree, sinks)
    return Source(path, text, tuple(finder.run()), tuple(_notes(text)))


def _check(text: str) -> None:
    """Read a file in which no SQL is looked for: what is no Python was not looked at.

    A symbol table is made in a quarter of the time of a tree. Raises as `ast.parse` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        symtable.symtable(text, "<file>", "exec")


def _notes(text: str) -> Iterator[Note]:
    if "tenure:" not in text.casefold() or not MENTIONS.search(text):
        return  # comments matter for what they suppress, and reading them takes its time
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                line, column = token.start
                alone = not token.line[:column].strip()
                yield Note(token.string, line, alone, column + 1)
    except tokenize.TokenError:
        return  # ast has read the file; only comments after the odd place are lost


@dataclass(frozen=True, slots=True)
class _Call:
    node: ast.Call
    argument: ast.expr
    bound: bool
    """Whether values are passed along, so that %s inside the text is replaced."""
    rows: bool = False
    """Whether `VALUES %s` stands for rows, as in psycopg2's execute_values."""


class _Finder:
    def __init__(self, path: str, text: str, tree: ast.Module, sinks: Sinks) -> None:
        self.path = path
        self.sinks = sinks
        self.lines = Lines(text)
        self.names = Names(tree)
        self.composer = Composer(text, self.lines, self.names)
        self.consumed: set[int] = set()
        self.modules = frozenset(module.split(".")[0] for module in self.names.modules)

    def run(self) -> Iterator[Statement]:
        calls = sorted(self.names.calls, key=lambda node: (node.lineno, node.col_offset))
        for node in calls:
            sink = self._sink(node)
            if sink is not None:
                yield from self._statements(sink)
                back = self._way_back(node)
                if back is not None:
                    made = self._statements(_Call(node, back, bound=False))
                    yield from (replace(statement, part=None) for statement in made)
        for node in calls:
            if id(node) in self.consumed:
                continue
            if composes(self.names, node) or (makes_text(self.names, node) and node.args):
                yield from self._fragment(node)

    def _sink(self, node: ast.Call) -> _Call | None:
        called = node.func
        if not isinstance(called, ast.Attribute | ast.Name):
            return None
        name = called.attr if isinstance(called, ast.Attribute) else called.id
        index, certain = self.sinks.place(name, self.names.full_name(called), self.modules)
        if index == -1:
            return None
        argument = self._argument(node, index)
        if argument is None or self._no_text(argument):
            return None
        if not certain and not self._begins_like_sql(argument):
            return None
        if name == "mogrify" and self._is_piece(argument):
            return None
        after = index + 1 if isinstance(index, int) else 1
        bound = len(node.args) > after or len(node.keywords) > 0
        return _Call(node, argument, bound, rows=name == "execute_values")

    def _way_back(self, node: ast.Call) -> ast.expr | None:
        """What Django's RunSQL runs to take a migration out again."""
        called = node.func
        if not isinstance(called, ast.Attribute | ast.Name):
            return None
        if (called.attr if isinstance(called, ast.Attribute) else called.id) != "RunSQL":
            return None
        found = next((k.value for k in node.keywords if k.arg == "reverse_sql"), None)
        if found is None and len(node.args) > 1:
            found = node.args[1]
        nothing = isinstance(found, ast.Constant) and found.value is None
        nothing |= isinstance(found, ast.Attribute) and found.attr == "noop"
        return None if nothing else found

    def _no_text(self, argument: ast.expr) -> bool:
        if isinstance(argument, ast.Name) and argument.id in _CONNECTIONS:
            return True
        return builds_query(self.names, argument) or is_mogrified(self.names, argument)

    def _is_piece(self, argument: ast.expr) -> bool:
        """Whether it is a piece of a statement, as `(%s, %s)`: it is put in elsewhere."""
        text = self.composer.compose(argument, argument)
        first = next(statements(text.value, psql=False), None)
        start = [token for token in first.tokens if token.text != "("][:1] if first else []
        return bool(start) and start[0].kind == "param"

    def _begins_like_sql(self, argument: ast.expr) -> bool:
        text = self.composer.compose(argument, argument)
        first = next(statements(text.value, psql=False), None)
        return first is not None and bool(first.tokens) and first.tokens[0].word in _BEGINS

    @staticmethod
    def _argument(node: ast.Call, index: int | str) -> ast.expr | None:
        if isinstance(index, int) and len(node.args) > index:
            argument = node.args[index]
            return argument.value if isinstance(argument, ast.Starred) else argument
        for keyword in node.keywords:
            if keyword.arg == index or (isinstance(index, int) and keyword.arg in _KEYWORDS):
                return keyword.value
        return None

    def _statements(self, call: _Call) -> Iterator[Statement]:
        for argument in self._several(call.argument):
            for made in self.composer.texts(argument, call.node):
                self.consumed |= made.consumed
                text = self._with_rows(made, call.node) if call.rows else made
                yield from self._cut(call.node, text, bound=call.bound)

    def _several(self, argument: ast.expr) -> list[ast.expr]:
        """The texts that an argument may be: those assigned to a name, each of which is judged;
        or a list of texts, or of (text, values), as Django's RunSQL takes it."""
        if isinstance(argument, ast.Name):
            return self.names.values(argument) or [argument]
        if not isinstance(argument, ast.List):
            return [argument]
        return [e.elts[0] if isinstance(e, ast.Tuple) and e.elts else e for e in argument.elts]

    def _with_rows(self, text: Text, node: ast.Call) -> Text:
        """`VALUES %s` with the rows that a template makes: two, for there may be several."""
        given = next((k.value for k in node.keywords if k.arg == "template"), None)
        place = _ROWS.search(text.value)
        if given is None or place is None:
            return text
        template = self.composer.compose(given, node).value
        start, end = place.span(1)
        rows = f"{template}, {template}"
        value = text.value[:start] + rows + text.value[end:]
        pieces = text.pieces.spliced(start, end, len(rows))
        return Text(value, pieces, text.consumed, text.lines)

    def _cut(self, node: ast.Call, text: Text, *, bound: bool) -> Iterator[Statement]:
        found = list(statements(text.value, psql=False))
        if not found or not text.value.replace(HOLE, "").replace(VALUE_HOLE, "").strip():
            if HOLE in text.value:
                yield self._opaque(node, "the SQL text is not known here")
            return
        for raw in found:
            if bound and any(
                t.kind == "string" and _IN_LITERAL.search(t.value) for t in raw.tokens
            ):
                yield self._opaque(node, "a placeholder stands inside a literal")
                continue
            hole = any(token.kind == "hole" for token in raw.tokens)
            hidden = any(HOLE in comment.text for comment in raw.comments)
            reason = "part of the text is not known before it runs" if hole or hidden else ""
            if not raw.tokens:
                if hidden:
                    yield self._opaque(node, reason)
                continue
            yield self._statement(raw, text, node, reason)

    def _fragment(self, node: ast.Call) -> Iterator[Statement]:
        """SQL(..) or text(..) that no sink was seen to take."""
        text = self.composer.compose(node, node)
        self.consumed |= text.consumed
        found = list(statements(text.value, psql=False))
        if not found or not found[0].tokens:
            return
        begins = found[0].tokens[0].word in _BEGINS
        if is_psycopg(self.names, node) and not begins:
            return  # it runs nowhere but in a sink, and what the sink is given is judged there
        if not composes(self.names, node) and FORMAT_FIELD.search(text.value):
            yield self._opaque(node, "a template; what is put in is not known here")
        elif begins:
            yield from self._cut(node, text, bound=False)
        elif any(token.kind == "hole" for raw in found for token in raw.tokens):
            yield self._opaque(node, "the SQL text is not known here")
        elif any(token.word in _READS for raw in found for token in raw.tokens):
            reason = "a fragment that reads a table; what it becomes part of is not known"
            yield self._opaque(node, reason)

    # -- positions ---------------------------------------------------------------------------

    def _span(self, node: ast.expr) -> Span:
        end_line = node.end_lineno or node.lineno
        return Span(node.lineno, node.col_offset + 1, end_line, (node.end_col_offset or 0) + 1)

    def _part(self, node: ast.expr) -> str | None:
        name = self.names.function(node)
        return None if leads_back(name) else name

    def _opaque(self, node: ast.expr, reason: str) -> Statement:
        span = self._span(node)
        return Statement(
            self.path, (), span, lambda _start, _end: span, reason, part=self._part(node)
        )

    def _statement(self, raw: RawStatement, text: Text, node: ast.expr, reason: str) -> Statement:
        pieces: Pieces = text.pieces
        lines = self.lines

        def place(start: int, end: int) -> Span:
            first = pieces.origin(start)
            last = pieces.origin(max(end - 1, start)) + 1
            return lines.span(first, max(last, first))

        span = self._span(node)
        spans = (lines.span(*ends) for ends in pieces.ranges(raw.start, raw.end))
        found = {*text.lines, *((one.line, one.end_line) for one in spans)}
        made = (ends for ends in sorted(found) if ends[0] < span.line or ends[1] > span.end_line)
        return Statement(
            self.path, raw.tokens, span, place, reason, part=self._part(node), made=tuple(made)
        )
