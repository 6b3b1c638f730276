"""What the names of a Python module stand for: its bindings, imports and classes.

A name stands for the texts that are assigned to it in its scope, each as long as what is added
to it says, and only if nothing else can change it there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

# Of a text to which more pieces than that may be added or not, nothing is said.
_MOST_TEXTS = 8

_Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


@dataclass(frozen=True, slots=True)
class _Binding:
    """What `node` gives a name: a value, or something that is not known. `added`: it is put
    behind what the name stood for."""

    node: ast.AST
    value: ast.expr | None
    added: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return getattr(self.node, "lineno", 0), getattr(self.node, "col_offset", 0)


@dataclass(eq=False)
class _Bindings:
    names: dict[str, list[_Binding]] = field(default_factory=dict)

    def bind(self, name: str, binding: _Binding) -> None:
        self.names.setdefault(name, []).append(binding)


# Of these there is one each, which stands wherever it is meant.
_MARKS = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
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
            for name in parent._fields:
                value = getattr(parent, name, None)
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, ast.AST) and not isinstance(child, _MARKS):
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
            plus = isinstance(node.op, ast.Add)
            self._assign(node.target, node.value if plus else None, node, added=plus)
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
            self._bindings.setdefault(owner, _Bindings()).bind(node.arg, _Binding(node, None))

    def _assign(
        self, target: ast.expr, value: ast.expr | None, node: ast.AST, *, added: bool = False
    ) -> None:
        if isinstance(target, ast.Name):
            rest = None if value is None else _behind(value, target.id)
            self._bind(target.id, value if rest is None else rest, node, added=added or bool(rest))
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._assign(part, None, node)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, None, node)
        elif isinstance(target, ast.Attribute):
            # `self.QUERY = ..` overrides what the class says.
            self._elsewhere.add(f".{target.attr}")

    def _bind(
        self, name: str, value: ast.expr | None, node: ast.AST, *, added: bool = False
    ) -> None:
        held = self._bindings.setdefault(self._scope(node), _Bindings())
        held.bind(name, _Binding(node, value, added))

    def _scope(self, node: ast.AST) -> ast.AST:
        parent = self._parents.get(node)
        while parent is not None and not isinstance(parent, _Scope):
            parent = self._parents.get(parent)
        return node if parent is None else parent

    def function(self, node: ast.AST) -> str:
        """The name of the outermost function that a node stands in; empty if in none."""
        found = ""
        parent = self._parents.get(node)
        while parent is not None:
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
                found = parent.name
            parent = self._parents.get(parent)
        return found

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
            found = self._bindings.get(scope, _Bindings()).names.get(name.id)
            usable = not isinstance(scope, ast.ClassDef) or scope is self._scope(name)
            if found is not None and usable:
                return self._texts(found, name, scope)
            if isinstance(scope, ast.Module):
                return []
            scope = self._scope(scope)

    def _texts(self, bindings: list[_Binding], name: ast.Name, scope: ast.AST) -> list[ast.expr]:
        added = [binding for binding in bindings if binding.added]
        plain = [binding for binding in bindings if not binding.added]
        if added and scope is not self._scope(name):
            return []  # when the function runs, and how often, is not known
        texts: list[ast.expr] = []
        for base in plain:
            if base.value is None:
                return []
            # Up to where the name surely stands for something else.
            end = (name.lineno, name.col_offset)
            if added and base.place > end and self._loop(name) is not None:
                return []  # what an earlier round has left
            anew = (p.place for p in plain if p.place > base.place and self._surely(p, base))
            end = min((end, *anew))
            grown: list[ast.expr] = [base.value]
            for more in sorted(added, key=lambda binding: binding.place):
                if self._loop(more.node) is not self._loop(base.node) or more.value is None:
                    return []
                if base.place < more.place < end and not self._apart(more.node, base.node):
                    kept = [] if self._surely(more, base) else grown
                    grown = [*kept, *(ast.BinOp(text, ast.Add(), more.value) for text in grown)]
            texts += grown
            if len(texts) > _MOST_TEXTS:
                return []
        return texts

    def _surely(self, later: _Binding, first: _Binding) -> bool:
        """Whether nothing but an exception or a return leads from one past the other: they stand
        in one block, or the first in a block inside."""
        block = self._block(later.node)
        while isinstance(block[0], ast.With | ast.AsyncWith):
            block = self._block(block[0])
        node: ast.AST | None = first.node
        while node is not None:
            if self._block(node) == block:
                return True
            node = self._parents.get(node)
        return False

    def _apart(self, one: ast.AST, other: ast.AST) -> bool:
        """Whether they stand in the two branches of an `if` that runs once."""
        if self._loop(one) is not None:
            return False
        ifs = dict(self._branches(one))
        return any(ifs.get(parent, part) != part for parent, part in self._branches(other))

    def _branches(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        at: ast.AST | None = node
        while at is not None:
            parent, part = self._block(at)
            if isinstance(parent, ast.If):
                yield parent, part
            at = parent

    def _block(self, node: ast.AST) -> tuple[ast.AST | None, str]:
        """The statement that a statement is in, and in which of its parts."""
        parent = self._parents.get(node)
        for part in ("body", "orelse", "finalbody", "handlers"):
            if node in (getattr(parent, part, None) or ()):
                return parent, part
        return parent, ""

    def _loop(self, node: ast.AST) -> ast.AST | None:
        """The innermost loop of its scope that a node stands in."""
        parent = self._parents.get(node)
        while parent is not None and not isinstance(parent, _Scope):
            if isinstance(parent, ast.For | ast.AsyncFor | ast.While):
                return parent
            parent = self._parents.get(parent)
        return None

    def attribute(self, node: ast.Attribute) -> ast.expr | None:
        """The class constant that `Class.X` stands for, or None."""
        if not isinstance(node.value, ast.Name) or f".{node.attr}" in self._elsewhere:
            return None
        # Not through `self` or `cls`: a subclass may say otherwise.
        owner = self._classes.get(node.value.id)
        if owner is None:
            return None
        found = self._bindings.get(owner, _Bindings()).names.get(node.attr, [])
        return found[0].value if len(found) == 1 else None

    def full_name(self, node: ast.expr) -> str:
        """The dotted name of a function, its first part as imported."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self.full_name(node.value)}.{node.attr}"
        return ""


def _behind(value: ast.expr, name: str) -> ast.expr | None:
    """What `name = name + ..` or `name = f"{name} .."` puts behind what the name stood for."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        if isinstance(value.left, ast.Name) and value.left.id == name:
            return value.right
        rest = _behind(value.left, name)
        return None if rest is None else ast.BinOp(rest, ast.Add(), value.right)
    if isinstance(value, ast.JoinedStr) and value.values:
        first, *others = value.values
        if (
            isinstance(first, ast.FormattedValue)
            and isinstance(first.value, ast.Name)
            and first.value.id == name
            and first.conversion == -1
            and first.format_spec is None
        ):
            return ast.copy_location(ast.JoinedStr(others), value)
    return None
