"""Reading a condition: every construct that is understood, and `unknown` for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlglot import exp

from tenants.policy_sql.query import Query
from tenants.policy_sql.scale import (
    NOTHING,
    Judgement,
    Kind,
    Knowledge,
    Routine,
    Row,
    narrower,
    wider,
)
from tenants.policy_sql.trees import (
    ROW_MARK,
    bare,
    body_of,
    called,
    element,
    is_null,
    label,
    node_text,
    only_value,
    sides,
)

_DEPTH = 6
# Built-in functions that the parser does not know, and that depend on their arguments alone.
_PURE = frozenset(("md5", "gen_random_uuid", "row", "to_jsonb", "concat_ws", "jsonb_build_object"))
_KEYWORDS = frozenset({"current_role", "current_catalog", "user"})
_SESSION = (exp.CurrentUser, exp.SessionUser, exp.CurrentRole, exp.CurrentSchema)
Class = Literal["tenant", "column", "inner", "session", "loose", "unknown"]
_OWN: frozenset[Class] = frozenset({"tenant", "column", "inner"})


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
        return reader(self, node) if reader is not None else self._other(node)

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
            "partial": Judgement("partial", f"{text} does not ask for the tenant"),
            "switch": inner,
        }
        if isinstance(node, exp.Boolean):
            return NOTHING if node.this else of_kind["closed"]
        return of_kind.get(inner.kind, Judgement("unknown", f"{text} is not followed"))

    def _boolean(self, node: exp.Expr) -> Judgement:
        return Judgement("open", "it is true for every row") if node.this else NOTHING

    def _equal(self, node: exp.Expr) -> Judgement:
        left, right = node.this, node.expression
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
            pairs = zip(left.expressions, right.expressions, strict=False)
            return narrower(self.compared(a, b) for a, b in pairs)
        return self.compared(left, right)

    def _null_safe(self, node: exp.Expr) -> Judgement:
        found = self.compared(node.this, node.expression)
        if found.kind == "bound" and not self._never_null(node.this, node.expression):
            return Judgement("partial", "without a context it admits the rows that have no tenant")
        return found

    def compared(  # noqa: PLR0911 - one return per kind of comparison
        self, left: exp.Expr, right: exp.Expr
    ) -> Judgement:
        """Judge `left = right`, or `= ANY (right)`."""
        for one, other in ((left, right), (right, left)):
            if isinstance(other, exp.Any):
                return self.among(one, other.this)
        if is_null(left) or is_null(right):
            return NOTHING
        a, b = self.classes(left), self.classes(right)
        if bare(left).sql() == bare(right).sql() and "session" not in a | b:
            same = "it compares a value with itself"
            return Judgement("open" if self._never_null(left) or not a else "partial", same)
        if not (a | b) & {"tenant", "column", "inner", "unknown"}:
            return self._of_session(left, right)
        # The row's side first, and of two the one that is a column and nothing else.
        if not a & _OWN or (b & _OWN and self._column(left) is None):
            left, right, a, b = right, left, b, a
        column = self._column(left)
        if b & _OWN:
            return self._with_itself(right, b)
        if "loose" in b:
            return Judgement("partial", "it compares with a query that does not ask who calls")
        if column is None or "unknown" in a | b:
            return Judgement("unknown", f"{node_text(left, right)} is not followed")
        return self._told(column, told="session" in b)

    def _told(self, column: exp.Column, *, told: bool) -> Judgement:
        """A column compared with the session's value, or else with a constant."""
        place, name = self._class_of(column), column.name
        if place == "tenant" and not told:
            return Judgement("keyed", "it admits one fixed tenant")
        if not told:
            return Judgement("partial", f"it admits rows by their {name}")
        if place == "tenant":
            return Judgement("bound", "it compares the tenant with the session's")
        return Judgement("keyed", f"it compares {name} with the session's")

    def _with_itself(self, node: exp.Expr, told: frozenset[Class]) -> Judgement:
        """A comparison with something else of the row's, or made of it."""
        if "tenant" in told and node.find(exp.Coalesce, exp.Case, exp.If):
            why = "it compares the tenant with itself where the context is missing"
            return Judgement("open", why)
        if told <= _OWN:
            return Judgement("partial", "it compares columns with one another")
        return Judgement("unknown", f"{node_text(node)} is not followed")

    def _of_session(self, left: exp.Expr, right: exp.Expr) -> Judgement:
        """A comparison in which no row has a part."""
        users = [n for n in (bare(left), bare(right)) if isinstance(n, exp.CurrentUser)]
        texts = [n.this for n in (bare(left), bare(right)) if isinstance(n, exp.Literal)]
        if users and texts and self.knowledge.role is not None:
            if self.knowledge.role == texts[0]:
                return Judgement("open", f"it is true for {texts[0]}")
            return NOTHING
        if len(texts) == 2:
            return NOTHING if texts[0] != texts[1] else Judgement("open", "it is always true")
        if texts == [""]:
            return Judgement("open", "without a context it admits every row")
        return Judgement("switch", f"{node_text(left, right)} asks about the session alone")

    def _different(self, node: exp.Expr) -> Judgement:
        a, b = self.classes(node.this), self.classes(node.expression)
        named = [self._column(side) for side in sides(node)]
        if any(column is not None and self._class_of(column) == "tenant" for column in named):
            return Judgement("open", "it admits the rows that are not the tenant's")
        if _OWN & (a | b):
            return self._other(node)
        if any(isinstance(bare(n), exp.Literal) and bare(n).this == "" for n in sides(node)):
            return Judgement("open", "with any context it admits every row")
        return Judgement("switch", f"{node_text(node)} asks about the session alone")

    def _is(self, node: exp.Expr, *, negate: bool = False) -> Judgement:
        negated = bool(node.args.get("negate")) != negate
        what = bare(node.expression)
        if isinstance(what, exp.Boolean):
            if negated:  # IS NOT FALSE is true for a comparison with a missing context
                return Judgement("open", "what is unknown counts as true")
            return self.condition(node.this) if what.this else self.not_(node.this)
        return self._null_test(node, negated=negated)

    def _null_test(self, node: exp.Expr, *, negated: bool) -> Judgement:
        classes, column = self.classes(node.this), self._column(node.this)
        if not classes & {"tenant", "column", "inner", "unknown"}:
            state = "with any context" if negated else "without a context"
            return Judgement("open", f"{state} it admits every row")
        if column is None:
            return self._other(node)
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
            return self._other(node)
        if self.classes(node.this) & _OWN:
            return Judgement("keyed", "it compares by a pattern")
        return self._other(node)

    def _array(self, node: exp.Expr) -> Judgement:
        """`@>`, `<@`, `&&`: one side the row's, the other the session's."""
        return self.compared(element(node.this), element(node.expression))

    def _in(self, node: exp.Expr) -> Judgement:
        if node.args.get("negate"):
            return self._different_in(node)
        query = node.args.get("query")
        if query is not None:
            return self.among(node.this, query)
        return wider(self.compared(node.this, item) for item in node.expressions)

    def _different_in(self, node: exp.Expr) -> Judgement:
        if "tenant" in self.classes(node.this):
            return Judgement("open", "it admits the rows that are not the tenant's")
        return self._other(node)

    def among(self, value: exp.Expr, collection: exp.Expr) -> Judgement:
        """Judge `value IN (query)` and `value = ANY (array)`."""
        while isinstance(collection, exp.Paren | exp.Cast):
            collection = collection.this
        if isinstance(collection, exp.Subquery):
            return self.exists(collection.this, value)
        if isinstance(collection, exp.Select | exp.SetOperation):
            return self.exists(collection, value)
        if isinstance(collection, exp.Array | exp.Tuple):
            return wider(self.compared(value, item) for item in collection.expressions)
        return self.compared(value, collection)

    def _exists(self, node: exp.Expr) -> Judgement:
        return self.exists(node.this, None)

    def exists(self, query: exp.Expr, value: exp.Expr | None) -> Judgement:
        """Judge `EXISTS (query)`, or with a value `value IN (query)`."""
        while isinstance(query, exp.Subquery):
            query = query.this
        if isinstance(query, exp.Union):
            return wider(self.exists(side, value) for side in (query.left, query.right))
        if not isinstance(query, exp.Select) or query.args.get("with_"):
            return Judgement("unknown", "a subquery is not followed")
        return Query.of(self, query, value).verdict()

    def call(self, node: exp.Expr) -> Judgement:
        """Judge a function that answers yes or no: by its body where that is SQL."""
        name, arguments = called(node)
        expanded = self.expanded(node)
        if expanded is None:
            if not any(self.classes(argument) for argument in arguments) and name == "row":
                return Judgement("unknown", "a row is not followed")
            return Judgement("unknown", f"the body of {name}() is not read")
        reader, body = expanded
        value = only_value(body)
        if value is not None:
            return reader.condition(value)
        return reader.exists(body, None)

    def _call(self, node: exp.Expr) -> Judgement:
        return self.call(node)

    def _other(self, node: exp.Expr) -> Judgement:
        classes = self.classes(node)
        if "unknown" in classes or ({"session", "loose"} & classes and len(classes) > 1):
            return Judgement("unknown", f"{node_text(node)} is not followed")
        if classes & _OWN:
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
            yield self._class_of(node)
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
        expanded = self.expanded(node)
        if expanded is not None:
            yield from expanded[0].classes(expanded[1])
        elif name.lower() not in _PURE:
            yield "session"

    def _classes_of_query(self, node: exp.Expr) -> Iterator[Class]:
        if only_value(node) is not None:
            yield from self._classes(only_value(node) or node)
            return
        verdict = self.exists(node, None)
        if verdict.kind == "unknown":
            yield "unknown"
        elif isinstance(node, exp.Select) and Query.of(self, node, None).limited():
            yield "session"
        else:
            yield "loose"

    def _class_of(self, column: exp.Column) -> Class:
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

    def _column(self, node: exp.Expr) -> exp.Column | None:
        found = bare(node)
        return found if isinstance(found, exp.Column) else None

    def _never_null(self, *nodes: exp.Expr) -> bool:
        columns = [self._column(node) for node in nodes]
        return any(column is not None and column.name in self.row.not_null for column in columns)

    # Functions

    def expanded(self, node: exp.Expr) -> tuple[Reader, exp.Expr] | None:
        """The body of a called function with its arguments put in; None if it is not readable."""
        name, arguments = called(node)
        routine = self.knowledge.functions.get((name, len(arguments)))
        body = None if routine is None or self.depth >= _DEPTH else body_of(routine)
        if routine is None or body is None:
            return None
        known = self.knowledge
        if routine.definer:
            # The body runs as somebody else, whom the policies of the tables may not bind.
            known = replace(known, guarded=frozenset(), role=None)
        reader = replace(self, inner={}, in_function=True, depth=self.depth + 1, knowledge=known)
        values = [self.carried(argument) for argument in arguments]
        return reader, body.transform(_put_in(routine, values, known), copy=True)

    def carried(self, argument: exp.Expr) -> exp.Expr:
        """An argument as it may stand in another text: the row's columns marked as such."""

        def mark(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and self._class_of(node) in ("tenant", "column"):
                return exp.column(exp.to_identifier(node.name), table=exp.to_identifier(ROW_MARK))
            return node

        return argument.transform(mark, copy=True)


def _put_in(
    routine: Routine, values: list[exp.Expr], known: Knowledge
) -> Callable[[exp.Expr], exp.Expr]:
    names = {name: value for name, value in zip(routine.arguments, values, strict=False) if name}

    def put_in(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter) and isinstance(node.this, exp.Literal):
            number = int(node.this.this)
            return exp.paren(values[number - 1]) if 0 < number <= len(values) else node
        if isinstance(node, exp.Column) and not node.table and node.name in names:
            # In SQL functions a column goes before an argument of the same name.
            select = node.find_ancestor(exp.Select)
            for table in select.find_all(exp.Table) if select is not None else ():
                if node.name in known.columns.get(label(table), ()):
                    return node
            return exp.paren(names[node.name])
        return node

    return put_in


_CONDITIONS: dict[type[exp.Expr], Callable[[Reader, exp.Expr], Judgement]] = {
    exp.Boolean: Reader._boolean,
    exp.Null: lambda _, __: NOTHING,
    exp.Cast: lambda reader, node: reader.condition(node.this),
    exp.Not: lambda reader, node: reader.not_(node.this),
    exp.EQ: Reader._equal,
    exp.NullSafeEQ: Reader._null_safe,
    exp.NEQ: Reader._different,
    exp.NullSafeNEQ: Reader._different,
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
        reader.condition(bare(node)) if bare(node) is not node else reader.exists(node, None)
    ),
}
