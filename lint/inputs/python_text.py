"""Following a string through Python: constants, concatenation, f-strings, formatting.

What cannot be followed becomes a hole. A name stands for a text only if it is assigned once in
its scope, and nothing else can change it there.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from lint.text.lexer import HOLE, VALUE_HOLE
from lint.text.positions import Lines, Piece, Pieces

FORMAT_FIELD = re.compile(r"\{\{|\}\}|\{([^{}!:]*)[^{}]*\}")
_PERCENT_FIELD = re.compile(r"%%|%(?:\((\w+)\))?[#0\- +]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]")
_PASSING_METHODS = frozenset(("strip", "lstrip", "rstrip", "expandtabs"))
_PASSING_FUNCTIONS = frozenset(("dedent", "cleandoc"))
_QUERY_BUILDERS = frozenset(("select", "insert", "update", "delete", "func", "union", "union_all"))
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Text:
    """A composed text, where its parts stand in the file, and the calls it was made from."""

    value: str
    pieces: Pieces
    consumed: frozenset[int]


_Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


@dataclass(eq=False)
class _Bindings:
    values: dict[str, list[ast.expr | None]] = field(default_factory=dict)

    def bind(self, name: str, value: ast.expr | None) -> None:
        self.values.setdefault(name, []).append(value)


# The nodes that `Names` reads; most of a tree is others.
_BINDING = frozenset(
    (
        ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr,
        ast.For, ast.AsyncFor, ast.comprehension, ast.withitem, ast.ExceptHandler, ast.MatchAs,
        ast.MatchStar, ast.Global, ast.Nonlocal, ast.ClassDef, ast.FunctionDef,
        ast.AsyncFunctionDef, ast.arg,
    )
)  # fmt: skip


class Names:
    """What names of a module stand for. `calls` are its calls, in the order of `ast.walk`."""

    def __init__(self, tree: ast.Module) -> None:
        self.modules: set[str] = set()
        self._parents: dict[ast.AST, ast.AST] = {}
        self._bindings: dict[ast.AST, _Bindings] = {tree: _Bindings()}
        self._imported: dict[str, str] = {}
        self._classes: dict[str, ast.ClassDef] = {}
        self._elsewhere: set[str] = set()
        nodes: list[ast.AST] = [tree]
        for parent in nodes:  # breadth first: the list grows while it is read
            for child in ast.iter_child_nodes(parent):
                self._parents[child] = parent
                nodes.append(child)
        self.calls = [node for node in nodes if isinstance(node, ast.Call)]
        for node in nodes:
            if type(node) in _BINDING:
                self._read(node)

    def _read(self, node: ast.AST) -> None:  # noqa: PLR0912 - one branch per binding
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules.add(alias.name)
                name = alias.asname or alias.name.split(".")[0]
                self._imported[name] = alias.name if alias.asname else name
                self._bind(name, None, node)
        elif isinstance(node, ast.ImportFrom):
            self.modules.add(node.module or "")
            for alias in node.names:
                self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self._bind(alias.asname or alias.name, None, node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, node)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, node.value, node)
        elif isinstance(node, ast.AugAssign):
            self._assign(node.target, None, node)
            self._assign(node.target, None, node)
        elif isinstance(node, ast.NamedExpr | ast.For | ast.AsyncFor | ast.comprehension):
            self._assign(node.target, None, node)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._assign(node.optional_vars, None, node)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            self._bind(node.name, None, node)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self._elsewhere |= set(node.names)
        elif isinstance(node, ast.ClassDef):
            self._classes[node.name] = node
            self._bind(node.name, None, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._bind(node.name, None, node)
        elif isinstance(node, ast.arg):
            owner = self._parents[self._parents[node]]
            self._bindings.setdefault(owner, _Bindings()).bind(node.arg, None)

    def _assign(self, target: ast.expr, value: ast.expr | None, node: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value, node)
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._assign(part, None, node)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, None, node)
        elif isinstance(target, ast.Attribute):
            # `self.QUERY = ..` overrides what the class says.
            self._elsewhere.add(f".{target.attr}")

    def _bind(self, name: str, value: ast.expr | None, node: ast.AST) -> None:
        self._bindings.setdefault(self._scope(node), _Bindings()).bind(name, value)

    def _scope(self, node: ast.AST) -> ast.AST:
        parent = self._parents.get(node)
        while parent is not None and not isinstance(parent, _Scope):
            parent = self._parents.get(parent)
        return node if parent is None else parent

    def value(self, name: ast.Name) -> ast.expr | None:
        """The one expression that a name stands for where it is used, or None."""
        found = self.values(name)
        return found[0] if len(found) == 1 else None

    def values(self, name: ast.Name) -> list[ast.expr]:
        """The expressions of which a name stands for one where it is used; none if unknown."""
        if name.id in self._elsewhere:
            return []
        scope: ast.AST = self._scope(name)
        while True:
            found = self._bindings.get(scope, _Bindings()).values.get(name.id)
            usable = not isinstance(scope, ast.ClassDef) or scope is self._scope(name)
            if found is not None and usable:
                known = [value for value in found if value is not None]
                return known if len(known) == len(found) else []
            if isinstance(scope, ast.Module):
                return []
            scope = self._scope(scope)

    def attribute(self, node: ast.Attribute) -> ast.expr | None:
        """The class constant that `Class.X` stands for, or None."""
        if not isinstance(node.value, ast.Name) or f".{node.attr}" in self._elsewhere:
            return None
        # Not through `self` or `cls`: a subclass may say otherwise.
        owner = self._classes.get(node.value.id)
        if owner is None:
            return None
        found = self._bindings.get(owner, _Bindings()).values.get(node.attr, [])
        return found[0] if len(found) == 1 else None

    def full_name(self, node: ast.expr) -> str:
        """The dotted name of a function, its first part as imported."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self.full_name(node.value)}.{node.attr}"
        return ""

    def makes_text(self, node: ast.Call) -> bool:
        """SQL(..) of psycopg or peewee, text(..) of SQLAlchemy, RawSQL(..) of Django."""
        name = self.full_name(node.func)
        if name.startswith("django.") and name.endswith(".RawSQL"):
            return True
        if name.endswith(".SQL") or name == "SQL":
            return name.startswith(("psycopg", "peewee.", "playhouse.")) or name == "SQL"
        return name.startswith("sqlalchemy") and name.endswith(".text")

    def is_template(self, node: ast.expr) -> bool:
        """Whether it is SQL(..) of psycopg, there or under a name."""
        if isinstance(node, ast.Name):
            value = self.value(node)
            return value is not None and not isinstance(value, ast.Name) and self.is_template(value)
        return isinstance(node, ast.Call) and self.makes_text(node)

    def composes(self, node: ast.Call) -> bool:
        """SQL(..).format(..) of psycopg."""
        called = node.func
        formatted = isinstance(called, ast.Attribute) and called.attr == "format"
        return formatted and isinstance(called, ast.Attribute) and self.is_template(called.value)

    def is_psycopg(self, node: ast.Call) -> bool:
        """Whether psycopg's composition makes it, which only a cursor can run."""
        made: ast.expr = node
        if self.composes(node) and isinstance(node.func, ast.Attribute):
            made = node.func.value
            if isinstance(made, ast.Name):
                made = self.value(made) or made
        return isinstance(made, ast.Call) and self.full_name(made.func).startswith("psycopg")

    def is_mogrified(self, node: ast.expr) -> bool:
        """Whether a cursor's mogrify made it, which is a sink of its own."""
        if isinstance(node, ast.Name):
            found = self.values(node)
            return bool(found) and all(
                not isinstance(value, ast.Name) and self.is_mogrified(value) for value in found
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "decode":
                return self.is_mogrified(node.func.value)
            return node.func.attr == "mogrify"
        return False

    def builds_query(self, node: ast.expr) -> bool:
        """Whether SQLAlchemy's query builder makes it, as in `select(User).where(..)`."""
        while True:
            if isinstance(node, ast.Call):
                name = self.full_name(node.func)
                if name.startswith("sqlalchemy") and name.split(".")[-1] in _QUERY_BUILDERS:
                    return True
                node = node.func
            elif isinstance(node, ast.Attribute):
                node = node.value
            elif isinstance(node, ast.Name):
                value = self.value(node)
                if value is None or not isinstance(value, ast.Call):
                    return False
                node = value
            else:
                return False


# A part of a text: what it says, where it stands in the file (or None), letter by letter or not.
_Part = tuple[str, int | None, bool]


class Composer:
    """Puts the text of an expression together."""

    def __init__(self, text: str, lines: Lines, names: Names) -> None:
        self._file = text
        self._file_lines = text.splitlines(keepends=True)
        self._lines = lines
        self._names = names

    def compose(self, node: ast.expr, at: ast.expr) -> Text:
        """The text of `node`; holes without a place of their own stand at `at`."""
        consumed: set[int] = set()
        fallback = self._offset(at)
        value, pieces = "", []
        for text, origin, exact in self._parts(node, consumed, 0):
            pieces.append(
                Piece(
                    len(value), fallback if origin is None else origin, exact and origin is not None
                )
            )
            value += text
        return Text(value, Pieces(pieces), frozenset(consumed))

    def _parts(self, node: ast.expr, consumed: set[int], depth: int) -> Iterator[_Part]:
        if depth > _MAX_DEPTH:
            yield HOLE, None, False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from self._literal(node, node.value)
        elif isinstance(node, ast.JoinedStr):
            yield from self._joined(node, consumed, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._parts(node.left, consumed, depth + 1)
            yield from self._parts(node.right, consumed, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield from _filled(self._parts(node.left, consumed, depth + 1), _PERCENT_FIELD)
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
        if self._names.makes_text(node) and node.args:
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
        """`.format(..)`: arguments of psycopg's SQL are followed, those of a string are holes."""
        template = list(self._parts(receiver, consumed, depth + 1))
        if not self._names.is_template(receiver):
            yield from _filled(iter(template), FORMAT_FIELD)
            return
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        upcoming = iter(node.args)
        for text, origin, exact in template:
            at = 0
            for match in FORMAT_FIELD.finditer(text):
                yield text[at : match.start()], _moved(origin, at), exact
                at = match.end()
                if match.group() in ("{{", "}}"):
                    yield match.group()[0], _moved(origin, match.start()), False
                    continue
                label = match.group(1) or ""
                if label == "":
                    value = next(upcoming, None)
                elif label.isdigit():
                    value = node.args[int(label)] if int(label) < len(node.args) else None
                else:
                    value = keywords.get(label)
                yield from self._followed(value, consumed, depth + 1)
            yield text[at:], _moved(origin, at), exact

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
                if plain and isinstance(part.value, ast.Constant | ast.Name | ast.Attribute):
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


def _filled(parts: Iterator[_Part], pattern: re.Pattern[str]) -> Iterator[_Part]:
    """A template whose fields become holes. A hole's own text is no template."""
    for text, origin, exact in parts:
        at = 0
        for match in pattern.finditer(text):
            yield text[at : match.start()], _moved(origin, at), exact
            at = match.end()
            doubled = match.group() in ("%%", "{{", "}}")
            yield match.group()[0] if doubled else HOLE, _moved(origin, match.start()), False
        yield text[at:], _moved(origin, at), exact
