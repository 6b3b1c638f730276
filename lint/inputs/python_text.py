"""Following a string through Python: constants, concatenation, f-strings, formatting.

What cannot be followed becomes a hole.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from lint.inputs.python_libraries import is_template, makes_text
from lint.inputs.python_names import Names
from lint.text.lexer import HOLE, VALUE_HOLE
from lint.text.positions import Lines, Piece, Pieces

FORMAT_FIELD = re.compile(r"\{\{|\}\}|\{([^{}!:]*)[^{}]*\}")
_PERCENT_FIELD = re.compile(r"%%|%(?:\((\w+)\))?[#0\- +]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]")
_PASSING_METHODS = frozenset(("strip", "lstrip", "rstrip", "expandtabs"))
_PASSING_FUNCTIONS = frozenset(("dedent", "cleandoc"))
_MAX_DEPTH = 50
# So many texts of one expression are judged.
_MOST_TEXTS = 8
# What is followed into a string's field: a call there gives whatever its result is written as.
_PLAIN = (ast.Constant, ast.Name, ast.Attribute, ast.IfExp)


@dataclass(frozen=True, slots=True)
class Text:
    """A composed text, where its parts stand in the file, and the calls it was made from.

    `lines`, first and last, are those of parts that do not stand there letter by letter.
    """

    value: str
    pieces: Pieces
    consumed: frozenset[int]
    lines: frozenset[tuple[int, int]] = frozenset()


# A part of a text: what it says, where it stands in the file (or None), letter by letter or not.
_Part = tuple[str, int | None, bool]


class Composer:
    """Puts the text of an expression together."""

    def __init__(self, text: str, lines: Lines, names: Names) -> None:
        self._file = text
        self._file_lines = text.splitlines(keepends=True)
        self._lines = lines
        self._names = names
        self._loose: set[tuple[int, int]] = set()
        # What nodes are to stand for while one of several texts is composed.
        self._given: dict[int, ast.expr] = {}

    def texts(self, node: ast.expr, at: ast.expr) -> list[Text]:
        """The texts that `node` may be: a name in it may stand for one of several, and of
        `a if x else b` it is one."""
        # The nodes that are one thing, by what they are, and what that may be.
        nodes: dict[str, list[ast.AST]] = {}
        options: dict[str, list[ast.expr]] = {}
        for part in ast.walk(node):
            if isinstance(part, ast.IfExp):
                name, found = f"if {id(part)}", [part.body, part.orelse]
            elif isinstance(part, ast.Name):
                name, found = part.id, options.get(part.id) or self._names.values(part)
            else:
                continue
            if len(found) > 1:
                nodes.setdefault(name, []).append(part)
                options[name] = found
        if not options or prod(map(len, options.values())) > _MOST_TEXTS:
            return [self.compose(node, at)]
        made = []
        for chosen in product(*options.values()):
            self._given = {
                id(part): value
                for name, value in zip(options, chosen, strict=True)
                for part in nodes[name]
            }
            made.append(self.compose(node, at))
        self._given = {}
        return made

    def compose(self, node: ast.expr, at: ast.expr) -> Text:
        """The text of `node`; holes without a place of their own stand at `at`."""
        consumed: set[int] = set()
        self._loose = set()
        fallback = self._offset(at)
        value, pieces = "", []
        for text, origin, exact in self._parts(node, consumed, 0):
            pieces.append(
                Piece(
                    len(value), fallback if origin is None else origin, exact and origin is not None
                )
            )
            value += text
        return Text(value, Pieces(pieces), frozenset(consumed), frozenset(self._loose))

    def _parts(self, node: ast.expr, consumed: set[int], depth: int) -> Iterator[_Part]:
        if depth > _MAX_DEPTH:
            yield HOLE, None, False
        elif id(node) in self._given:
            yield from self._parts(self._given[id(node)], consumed, depth + 1)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from self._literal(node, node.value)
        elif isinstance(node, ast.JoinedStr):
            self._loose.add((node.lineno, node.end_lineno or node.lineno))
            yield from self._joined(node, consumed, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._parts(node.left, consumed, depth + 1)
            yield from self._parts(node.right, consumed, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield from self._percent(node, consumed, depth)
        elif isinstance(node, ast.Name):
            value = self._names.value(node)
            yield from self._followed(value, consumed, depth)
        elif isinstance(node, ast.Attribute):
            yield from self._followed(self._names.attribute(node), consumed, depth)
        elif isinstance(node, ast.Call):
            yield from self._call(node, consumed, depth)
        else:
            yield HOLE, None, False

    def _followed(self, value: ast.expr | None, consumed: set[int], depth: int) -> Iterator[_Part]:
        if value is None:
            yield HOLE, None, False
        else:
            yield from self._parts(value, consumed, depth + 1)

    def _call(  # noqa: PLR0911 - one return per kind of call
        self, node: ast.Call, consumed: set[int], depth: int
    ) -> Iterator[_Part]:
        consumed.add(id(node))
        name = self._names.full_name(node.func)
        last = name.split(".")[-1]
        if makes_text(self._names, node) and node.args:
            yield from self._parts(node.args[0], consumed, depth + 1)
            return
        if last in _PASSING_FUNCTIONS and len(node.args) == 1:
            yield from self._parts(node.args[0], consumed, depth + 1)
            return
        if isinstance(node.func, ast.Attribute):
            receiver = node.func.value
            if node.func.attr in _PASSING_METHODS and not node.args:
                yield from self._parts(receiver, consumed, depth + 1)
                return
            if node.func.attr == "format":
                yield from self._formatted(node, receiver, consumed, depth)
                return
            if node.func.attr == "join" and len(node.args) == 1:
                yield from self._joined_list(receiver, node.args[0], consumed, depth)
                return
            if node.func.attr == "bindparams":
                yield from self._parts(receiver, consumed, depth + 1)
                return
        if last in ("Literal", "Placeholder") and name.startswith("psycopg"):
            yield VALUE_HOLE, None, False
            return
        if last == "Identifier" and name.startswith("psycopg"):
            names = [part.value for part in node.args if isinstance(part, ast.Constant)]
            if names and len(names) == len(node.args):
                quoted = ".".join('"' + str(part).replace('"', '""') + '"' for part in names)
                yield quoted, None, False
                return
        yield HOLE, None, False

    def _formatted(
        self, node: ast.Call, receiver: ast.expr, consumed: set[int], depth: int
    ) -> Iterator[_Part]:
        """`.format(..)`. A string's arguments are followed where they are names or constants."""
        composed = is_template(self._names, receiver)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        upcoming = iter(node.args)

        def value(field: re.Match[str]) -> ast.expr | None:
            label = field.group(1)
            if label == "":
                found = next(upcoming, None)
            elif label.isdigit():
                found = node.args[int(label)] if int(label) < len(node.args) else None
            else:
                found = keywords.get(label)
            plain = field.group() == f"{{{label}}}" and isinstance(found, _PLAIN)
            return found if composed or plain else None

        template = self._parts(receiver, consumed, depth + 1)
        yield from self._filled(template, FORMAT_FIELD, value, consumed, depth=depth)

    def _percent(self, node: ast.BinOp, consumed: set[int], depth: int) -> Iterator[_Part]:
        """`template % values`: names and constants among the values are followed."""
        given = node.right
        keywords: dict[str | None, ast.expr] = {}
        if isinstance(given, ast.Dict):
            keywords = {
                key.value: value
                for key, value in zip(given.keys, given.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
        upcoming = iter(given.elts if isinstance(given, ast.Tuple) else [given])

        def value(field: re.Match[str]) -> ast.expr | None:
            label = field.group(1)
            found = next(upcoming, None) if label is None else keywords.get(label)
            plain = field.group() == ("%s" if label is None else f"%({label})s")
            return found if plain and isinstance(found, _PLAIN) else None

        template = self._parts(node.left, consumed, depth + 1)
        yield from self._filled(template, _PERCENT_FIELD, value, consumed, depth=depth)

    def _filled(
        self,
        template: Iterator[_Part],
        fields: re.Pattern[str],
        value: Callable[[re.Match[str]], ast.expr | None],
        consumed: set[int],
        *,
        depth: int,
    ) -> Iterator[_Part]:
        """A template with what its fields stand for, a hole where that is not known."""
        for text, origin, exact in list(template):
            at = 0
            for field in fields.finditer(text):
                yield text[at : field.start()], _moved(origin, at), exact
                at = field.end()
                if field.group() in ("%%", "{{", "}}"):
                    yield field.group()[0], _moved(origin, field.start()), False
                else:
                    yield from self._followed(value(field), consumed, depth + 1)
            yield text[at:], _moved(origin, at), exact

    def _joined_list(
        self, separator: ast.expr, parts: ast.expr, consumed: set[int], depth: int
    ) -> Iterator[_Part]:
        """`" ".join([..])` of parts that are written there: a list under a name may grow."""
        if not isinstance(parts, ast.List | ast.Tuple):
            yield HOLE, None, False
            return
        for index, part in enumerate(parts.elts):
            if index:
                yield from self._parts(separator, consumed, depth + 1)
            yield from self._parts(part, consumed, depth + 1)

    def _joined(self, node: ast.JoinedStr, consumed: set[int], depth: int) -> Iterator[_Part]:
        at = self._offset(node)
        end = self._offset_end(node)
        for part in node.values:
            if isinstance(part, ast.Constant):
                text = str(part.value)
                found = self._file.find(text, at, end)
                if found >= 0:
                    at = found + len(text)
                yield text, found if found >= 0 else at, found >= 0
            elif isinstance(part, ast.FormattedValue):
                plain = part.conversion == -1 and part.format_spec is None
                if plain and isinstance(part.value, _PLAIN):
                    yield from self._parts(part.value, consumed, depth + 1)
                else:
                    yield HOLE, None, False

    def _literal(self, node: ast.Constant, value: str) -> Iterator[_Part]:
        """A literal, which may be several in the file that follow one another."""
        at, end = self._offset(node), self._offset_end(node)
        found = self._file.find(value, at, end)
        if found >= 0:
            yield value, found, True
            return
        self._loose.add((node.lineno, node.end_lineno or node.lineno))
        for piece, start, stop in self._string_tokens(at, end):
            found = self._file.find(piece, start, stop)
            yield piece, found if found >= 0 else start, found >= 0

    def _string_tokens(self, at: int, end: int) -> Iterator[tuple[str, int, int]]:
        """The literals between two offsets: what each says, and where it begins and ends."""
        inner = "(" + self._file[at:end] + ")"
        lines = Lines(inner)
        for token in tokenize.generate_tokens(io.StringIO(inner).readline):
            if token.type == tokenize.STRING:
                start = at - 1 + lines.offset(token.start[0], token.start[1] + 1)
                yield str(ast.literal_eval(token.string)), start, start + len(token.string)

    def _offset(self, node: ast.expr) -> int:
        return self._of_bytes(node.lineno, node.col_offset)

    def _offset_end(self, node: ast.expr) -> int:
        return self._of_bytes(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def _of_bytes(self, line: int, column: int) -> int:
        """ast counts columns in UTF-8 bytes."""
        text = self._file_lines[line - 1] if line <= len(self._file_lines) else ""
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self._lines.offset(line, column + 1)


def _moved(origin: int | None, by: int) -> int | None:
    return None if origin is None else origin + by
