"""Reading a condition: every construct that is understood, and `unknown` for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from tenants.policy_sql.calls import expanded
from tenants.policy_sql.comparisons import compared, different, equal, null_safe
from tenants.policy_sql.query import contains, exists, holds, told
from tenants.policy_sql.scale import (
    NOTHING,
    OWN,
    Class,
    Judgement,
    Kind,
    Knowledge,
    Row,
    narrower,
    wider,
)
from tenants.policy_sql.trees import ROW_MARK, bare, called, element, node_text, only_value

# Built-in functions that the parser does not know, and that depend on their arguments alone.
_PURE = frozenset(("md5", "gen_random_uuid", "row", "to_jsonb", "concat_ws", "jsonb_build_object"))
_KEYWORDS = frozenset({"current_role", "current_catalog", "user"})
_SESSION = (exp.CurrentUser, exp.SessionUser, exp.CurrentRole, exp.CurrentSchema)


@dataclass(frozen=True)
class Reader:
    """Reads one expression. `inner` are the range names of the subqueries around: name -> table."""

    row: Row
    knowledge: Knowledge
    inner: Mapping[str, str | None] = field(default_factory=dict)
    in_function: bool = False
    depth: int = 0

    # Conditions

    def condition(self, node: exp.Expr) -> Judgement:
        """Judge a boolean expression."""
        node = node.unnest() if isinstance(node, exp.Paren) else node
        if isinstance(node, exp.And):
            return narrower(self.condition(part) for part in node.flatten())
        if isinstance(node, exp.Or):
            return wider(self.condition(part) for part in node.flatten())
        reader = _CONDITIONS.get(type(node))
        return reader(self, node) if reader is not None else self.other(node)

    def not_(self, node: exp.Expr) -> Judgement:
        """Judge the negation of a boolean expression."""
        plain = node.unnest()
        if isinstance(plain, exp.And):
            return wider(self.not_(part) for part in plain.flatten())
        if isinstance(plain, exp.Or):
            return narrower(self.not_(part) for part in plain.flatten())
        if isinstance(plain, exp.Not):
            return self.condition(plain.this)
        if isinstance(plain, exp.Is):
            return self._is(plain, negate=True)
        return self._negated(plain)

    def _negated(self, node: exp.Expr) -> Judgement:
        inner = self.condition(node)
        text = f"NOT {node_text(node)}"
        of_kind: dict[Kind, Judgement] = {
            "closed": Judgement("open", "it is true for every row"),
            "bound": Judgement("open", "it admits the rows that are not the tenant's"),
            "keyed": Judgement("partial", f"{text} does not ask for the tenant"),
            "fixed": Judgement("open", "it admits the rows of every tenant but one"),
            "shared": Judgement("open", "it admits the rows that are not the tenant's"),
            "partial": Judgement("partial", f"{text} does not ask for the tenant"),
            "switch": inner,
        }
        if isinstance(node, exp.Boolean):
            return NOTHING if node.this else of_kind["closed"]
        return of_kind.get(inner.kind, Judgement("unknown", f"{text} is not followed"))

    def _boolean(self, node: exp.Expr) -> Judgement:
        return Judgement("open", "it is true for every row") if node.this else NOTHING

    def _is(self, node: exp.Expr, *, negate: bool = False) -> Judgement:
        negated = bool(node.args.get("negate")) != negate
        what = bare(node.expression)
        if isinstance(what, exp.Boolean):
            if negated:  # IS NOT FALSE is true for a comparison with a missing context
                return Judgement("open", "what is unknown counts as true")
            return self.condition(node.this) if what.this else self.not_(node.this)
        return self._null_test(node, negated=negated)

    def _null_test(self, node: exp.Expr, *, negated: bool) -> Judgement:
        classes, column = self.classes(node.this), self.column(node.this)
        if not classes & {"tenant", "column", "inner", "unknown"}:
            state = "with any context" if negated else "without a context"
            return Judgement("open", f"{state} it admits every row")
        if column is None:
            return self.other(node)
        known = column.name in self.row.not_null and "inner" not in classes
        if known:
            return Judgement("open", f"{column.name} is never null") if negated else NOTHING
        if "tenant" in classes and negated:
            return Judgement("open", "it admits the rows of every tenant")
        return Judgement("partial", f"it admits rows by whether their {column.name} is null")

    def _coalesce(self, node: exp.Expr) -> Judgement:
        return wider(self.condition(part) for part in (node.this, *node.expressions))

    def _case(self, node: exp.Expr) -> Judgement:
        if node.this is not None:
            return Judgement("unknown", "CASE with an operand is not followed")
        default = node.args.get("default")
        branches = [
            narrower((self.condition(b.this), self.condition(b.args["true"])))
            for b in node.args["ifs"]
        ]
        return wider([*branches, *([self.condition(default)] if default is not None else [])])

    def _like(self, node: exp.Expr) -> Judgement:
        pattern = bare(node.expression)
        if node.args.get("negate") or isinstance(pattern, exp.Literal):
            return self.other(node)
        if self.classes(node.this) & OWN:
            return Judgement("keyed", "it compares by a pattern")
        return self.other(node)

    def _array(self, node: exp.Expr) -> Judgement:
        """`@>`, `<@`, `&&`: one side the row's, the other the session's."""
        return compared(self, element(node.this), element(node.expression))

    def _in(self, node: exp.Expr) -> Judgement:
        if node.args.get("negate"):
            return self._different_in(node)
        query = node.args.get("query")
        if query is not None:
            return self.among(node.this, query)
        return wider(compared(self, node.this, item) for item in node.expressions)

    def _different_in(self, node: exp.Expr) -> Judgement:
        if "tenant" in self.classes(node.this):
            return Judgement("open", "it admits the rows that are not the tenant's")
        return self.other(node)

    def among(self, value: exp.Expr, collection: exp.Expr) -> Judgement:
        """Judge `value IN (query)` and `value = ANY (array)`."""
        while isinstance(collection, exp.Paren | exp.Cast):
            collection = collection.this
        if isinstance(collection, exp.Subquery):
            collection = collection.this
        if isinstance(collection, exp.Select | exp.SetOperation | exp.Subquery):
            return self._of_query(collection, lambda query: contains(self, query, value))
        if isinstance(collection, exp.Array | exp.Tuple):
            return wider(compared(self, value, item) for item in collection.expressions)
        return compared(self, value, collection)

    def _exists(self, node: exp.Expr) -> Judgement:
        return self._of_query(node.this, lambda query: exists(self, query))

    def _value(self, node: exp.Expr) -> Judgement:
        """Judge a query whose value is the condition."""
        return self._of_query(node, lambda query: holds(self, query))

    def _of_query(self, query: exp.Expr, judged: Callable[[exp.Select], Judgement]) -> Judgement:
        while isinstance(query, exp.Subquery):
            query = query.this
        if isinstance(query, exp.Union):
            return wider(self._of_query(side, judged) for side in (query.left, query.right))
        if not isinstance(query, exp.Select) or query.args.get("with_"):
            return Judgement("unknown", "a subquery is not followed")
        return judged(query)

    def call(self, node: exp.Expr) -> Judgement:
        """Judge a function that answers yes or no: by its body where that is SQL."""
        name, arguments = called(node)
        found = expanded(self, node)
        if found is None:
            told = frozenset().union(*(self.classes(argument) for argument in arguments))
            if not told & (OWN | {"unknown"}) and name != "row":
                return Judgement("switch", f"{name}() asks about the session alone")
            return Judgement("unknown", f"the body of {name}() is not read")
        reader, body = found
        value = only_value(body)
        if value is not None:
            return reader.condition(value)
        return reader._value(body)

    def _call(self, node: exp.Expr) -> Judgement:
        return self.call(node)

    def other(self, node: exp.Expr) -> Judgement:
        """Judge what no construct's own reading covers, by what it depends on."""
        classes = self.classes(node)
        if "unknown" in classes or ({"session", "loose"} & classes and len(classes) > 1):
            return Judgement("unknown", f"{node_text(node)} is not followed")
        if classes & OWN:
            return Judgement("partial", f"{node_text(node)} does not ask who calls")
        if classes:
            return Judgement("switch", f"{node_text(node)} asks about the session alone")
        return Judgement("unknown", f"{node_text(node)} is not followed")

    # Values

    def classes(self, node: exp.Expr) -> frozenset[Class]:
        """What a value depends on; nothing for a constant."""
        return frozenset(self._classes(node))

    def _classes(self, node: exp.Expr) -> Iterator[Class]:
        if isinstance(node, exp.Column):
            yield self.class_of(node)
        elif isinstance(node, exp.Select | exp.SetOperation):
            yield from self._classes_of_query(node)
        elif isinstance(node, exp.Anonymous) or (
            isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func)
        ):
            yield from self._classes_of_call(node)
        elif isinstance(node, _SESSION):
            yield "session"
        elif isinstance(node, exp.Parameter | exp.Placeholder):
            yield "unknown"
        else:
            for child in node.iter_expressions():
                yield from self._classes(child)

    def _classes_of_call(self, node: exp.Expr) -> Iterator[Class]:
        name, arguments = called(node)
        for argument in arguments:
            yield from self._classes(argument)
        found = expanded(self, node)
        if found is not None:
            yield from found[0].classes(found[1])
        elif name.lower() not in _PURE:
            yield "session"

    def _classes_of_query(self, node: exp.Expr) -> Iterator[Class]:
        if only_value(node) is not None:
            yield from self._classes(only_value(node) or node)
            return
        if isinstance(node, exp.SetOperation):
            for side in (node.left, node.right):
                yield from self._classes(side)
        elif node.args.get("with_"):
            yield "unknown"
        elif isinstance(node, exp.Select):
            yield from told(self, node)

    def class_of(self, column: exp.Column) -> Class:
        """Whose column it is."""
        table, name = column.table, column.name
        if not table and name.lower() in _KEYWORDS and not column.this.args.get("quoted"):
            return "session"
        if table in self.inner:
            return "inner"
        if not table and self.inner:
            known = [self.knowledge.columns.get(t) for t in self.inner.values() if t]
            if len(known) < len(self.inner) or any(c is None or name in c for c in known):
                return "inner"
        if self.in_function and table != ROW_MARK:
            return "unknown"
        return "tenant" if name in self.row.tenant_columns else "column"

    def column(self, node: exp.Expr) -> exp.Column | None:
        """The column that a value is, but for casts and parentheses."""
        found = bare(node)
        return found if isinstance(found, exp.Column) else None

    def never_null(self, *nodes: exp.Expr) -> bool:
        """Whether one of these values is a column that is never null."""
        columns = [self.column(node) for node in nodes]
        return any(column is not None and column.name in self.row.not_null for column in columns)


_CONDITIONS: dict[type[exp.Expr], Callable[[Reader, exp.Expr], Judgement]] = {
    exp.Boolean: Reader._boolean,
    exp.Null: lambda _, __: NOTHING,
    exp.Cast: lambda reader, node: reader.condition(node.this),
    exp.Not: lambda reader, node: reader.not_(node.this),
    exp.EQ: equal,
    exp.NullSafeEQ: null_safe,
    exp.NEQ: different,
    exp.NullSafeNEQ: different,
    exp.Is: Reader._is,
    exp.Coalesce: Reader._coalesce,
    exp.Case: Reader._case,
    exp.Like: Reader._like,
    exp.ILike: Reader._like,
    exp.ArrayContainsAll: Reader._array,
    exp.ArrayContainedBy: Reader._array,
    exp.ArrayOverlaps: Reader._array,
    exp.In: Reader._in,
    exp.Exists: Reader._exists,
    exp.Anonymous: Reader._call,
    exp.Dot: Reader._call,
    exp.Subquery: lambda reader, node: (
        reader.condition(bare(node)) if bare(node) is not node else reader._value(node)
    ),
}
