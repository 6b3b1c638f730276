"""One query level: resolving names, walking expressions, collecting their subqueries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.env import Env
from lint.prover.facts import IMPOSSIBLE, NOTHING, NULL, Const, Facts, Term, equality
from lint.prover.functions import SAFE, SET_RETURNING
from lint.prover.kinds import kind_of
from lint.prover.ledger import Ledger
from lint.prover.levels import check_level
from lint.prover.nodes import (
    bare,
    called,
    has_aggregate,
    has_empty_set,
    is_aggregate,
    may_give_rows,
    name_of,
    parts_of_row,
)
from lint.prover.relation import Col, Entry, Output, Relation, Standing, settle
from lint.prover.values import Values, alike, cast_family, function_name, is_said
from lint.text.prepare import Parameter
from lint.text.words import words

_SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"))
_NAME = frozenset(("this", "table", "db"))
_KEYWORD_VALUES = words(
    "current_role current_catalog current_schema current_user session_user user localtime "
    "localtimestamp current_time current_date current_timestamp"
)
# The fields of a row that is made without names.
_FIELD = re.compile(r"f[1-9][0-9]*")
# What of a query leaves the one row of an aggregate.
_OF_ONE_ROW = frozenset(("expressions", "from_", "joins", "where", "group", "having", "order"))


@dataclass(frozen=True, slots=True)
class Statics:
    """What a proof is given, and what all its levels share."""

    values: Values
    parameters: Mapping[int, Parameter]
    functions: frozenset[str]
    ledger: Ledger
    # Of a routine: what a name means that no column has.
    arguments: Mapping[str, Const] = field(default_factory=dict)


@dataclass(eq=False)
class Block:
    """A query level while it is read. `relation` is what its names refer to."""

    statics: Statics
    env: Env
    low: int
    query: Callable[[exp.Expr, Env], Output]
    relation: Relation = field(default_factory=Relation)
    outputs: dict[int, Output] = field(default_factory=dict)
    # The columns of values that may be null, by the expression's node.
    scalars: dict[int, Col] = field(default_factory=dict)
    # What calls of max() and min() are, by their nodes, once the rows are grouped.
    extremes: dict[int, Col] = field(default_factory=dict)
    # The columns around a subquery that an occurrence in it is equated with: where one of them is
    # null it has no row, and the subquery does not depend on it.
    correlated: dict[int, frozenset[int]] = field(default_factory=dict)
    # Where the subqueries walked so far stand: taken and cleared by `take`.
    pending: dict[int, Standing] = field(default_factory=dict)
    # Whether more may be known once more is known of the rows: which columns are not null, ..
    doubted: bool = False
    # The relation as it was when all that is known of it had been used.
    _settled: Relation | None = None
    # Names of this level that were resolved: by the node's id, for what they were resolved in.
    _resolved: dict[int, tuple[tuple[Entry, ...], tuple[Col, ...], Col | None]] = field(
        default_factory=dict
    )

    # -- names -------------------------------------------------------------------------------

    def resolve(self, column: exp.Column) -> Col | None:
        """The column meant, innermost level first; None if it is one whose value says nothing.

        Raises CannotProve for an unknown or ambiguous name.
        """
        entries, visible = self.relation.entries, self.relation.visible
        known = self._resolved.get(id(column))
        if known is not None and known[0] is entries and known[1] is visible:
            return known[2]
        args = column.args
        if not _NAME.issuperset(args) and (args.get("catalog") or args.get("join_mark")):
            raise CannotProve(f"cannot read the name {column.sql(dialect='postgres')}")
        if isinstance(args["this"], exp.Star):
            self.entry(column)
            return None
        name = name_of(args["this"])
        if self.is_keyword(column):
            return None
        for level in (self, *reversed(self.env.outers)):
            found, hit = level.local(name, column)
            if found:
                if level is self:
                    self._resolved[id(column)] = entries, visible, hit
                return hit
        if not column.table and self._row(name) is not None:
            return None  # a whole row
        if not column.table and name in self.statics.arguments:
            return Col(name, self.statics.arguments[name], None)
        shown = f"{name_of(column.args['table'])}.{name}" if column.table else name
        raise CannotProve(f"column {shown} is not known")

    def is_keyword(self, column: exp.Column) -> bool:
        """Whether a name is the server's keyword, whatever column has that name, too."""
        alone = not column.args.get("table") and not column.this.args.get("quoted")
        return alone and name_of(column.this) in _KEYWORD_VALUES

    def local(self, name: str, column: exp.Column) -> tuple[bool, Col | None]:
        """Whether this level has the column, and which it is (None: it cannot be told)."""
        relation = self.relation
        if column.args.get("table") is None:
            hits = [col for col in relation.visible if col.name == name]
            if len(hits) > 1:
                raise CannotProve(f"column {name} is ambiguous")
            if hits:
                return True, hits[0]
            unknown = relation.open or any(col.name is None for col in relation.visible)
            system = name in _SYSTEM_COLUMNS and any(entry.base for entry in relation.entries)
            return unknown or system, None
        alias = name_of(column.args["table"])
        schema = name_of(column.args["db"]) if column.args.get("db") else None
        entries = [
            entry
            for entry in relation.entries
            if entry.alias == alias and (schema is None or entry.schema == schema)
        ]
        if len(entries) > 1:
            raise CannotProve(f"table name {alias} is ambiguous")
        if not entries:
            return False, None
        hits = [col for col in entries[0].columns if col.name == name]
        if len(hits) == 1:
            return True, hits[0]
        unknown = entries[0].open or any(col.name is None for col in entries[0].columns)
        if len(hits) > 1 or not (unknown or (entries[0].base and name in _SYSTEM_COLUMNS)):
            raise CannotProve(f"column {alias}.{name} is not known to be one")
        return True, None

    def _row(self, name: str) -> Entry | None:
        """The FROM item whose row a name means that no column has."""
        for level in (self, *reversed(self.env.outers)):
            for entry in level.relation.entries:
                if entry.alias == name:
                    return entry
        return None

    def field(self, node: exp.Dot) -> Col | None:
        """The column that `(alias).name` means; None for the field of another value.

        Raises CannotProve unless the name is surely a field: `(alias).name` may call a function
        of that name, which reads what it likes.
        """
        name, value = name_of(node.expression), bare(node.this)
        if isinstance(value, exp.Column) and not isinstance(value.this, exp.Star):
            known = self.resolve(value)
            entry = None if known or value.table else self._row(name_of(value.this))
            hits = [col for col in entry.columns if col.name == name] if entry is not None else []
            if len(hits) == 1:
                return hits[0]
        elif parts_of_row(value) is not None or called(value) in SET_RETURNING:
            fields = SET_RETURNING.get(called(value)) or ()
            if name in fields or _FIELD.fullmatch(name):
                return None
        if name in self.statics.functions:
            return None
        raise CannotProve(f"{name} may be a field, or a function that reads any table")

    def entry(self, column: exp.Column) -> Entry:
        """The FROM item that `alias.*` means."""
        if column.args.get("db") or column.args.get("catalog"):
            raise CannotProve("a schema-qualified star")
        alias = name_of(column.args["table"])
        for level in (self, *reversed(self.env.outers)):
            found = [entry for entry in level.relation.entries if entry.alias == alias]
            if len(found) == 1:
                return found[0]
        raise CannotProve(f"table {alias} is not known")

    # -- values ------------------------------------------------------------------------------

    def typed(  # noqa: PLR0911 - one return per form
        self, node: exp.Expr
    ) -> tuple[Term, str | None] | None:
        """The term an expression is, and its type's family; None if it is opaque."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Column):
            col = self.resolve(node)
            return None if col is None else (col.term, col.family)
        value = self.fixed(node)
        if value is not None:
            return value, value.family
        if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
            inner = self.typed(node.this)
            if inner is None or not isinstance(inner[0], int):
                return None
            goal = cast_family(inner[1], node.to)
            return None if goal is None else (inner[0], goal)
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
            field_ = self.field(node)
            return None if field_ is None else (field_.term, field_.family)
        if isinstance(node, exp.Coalesce):
            first = self.typed(node.this)
            if first is None or not all(self._keeps_type(first[1], e) for e in node.expressions):
                return None
            return first if self.never_null(first[0]) else None
        known = self.extremes.get(id(node)) or self._scalar(node)
        return None if known is None else (known.term, known.family)

    def _keeps_type(self, first: str | None, other: exp.Expr) -> bool:
        """Whether COALESCE leaves its first value of its type: it may make it a float, which is
        the same for several whole numbers."""
        typed = self.typed(other)
        if typed is None:
            return isinstance(other, exp.Null)
        return typed[1] == first or (typed[1] is None and isinstance(typed[0], Const))

    def fixed(self, node: exp.Expr) -> Const | None:
        """The value that an expression is, of one that is the same whenever it is asked for."""
        value = self.statics.values.read(node, self.statics.parameters)
        if value is not None and self.env.snapshot and not is_said(value):
            return None  # it was another for whoever refreshed the view
        return value

    def _scalar(self, node: exp.Expr) -> Col | None:
        """A scalar subquery's value: a column of its own, for without a row it is null."""
        output = self.outputs.get(id(node)) if isinstance(node, exp.Subquery) else None
        if output is None or output.wide or len(output.columns) != 1:
            return None
        if id(node) not in self.scalars:
            self.scalars[id(node)] = output.columns[0].under(self.ledger.column())
        return self.scalars[id(node)]

    def found(self, node: exp.Expr) -> Facts:
        """What holds where the value of a scalar subquery is not null: it has found a row."""
        if not self.outputs:
            return NOTHING
        while isinstance(node, (exp.Paren, exp.Cast)):
            node = node.this
        scalar = self._scalar(node)
        if scalar is None:
            return NOTHING
        output = self.outputs[id(node)]
        return output.facts.both(equality(scalar.term, output.columns[0].term))

    def never_null(self, term: Term) -> bool:
        for level in (self, *self.env.outers):
            if level.relation.facts.never_null(term):
                return True
        self.doubted = True
        return False

    # -- walking -----------------------------------------------------------------------------

    def visit(self, node: exp.Expr) -> None:
        """Check every node of an expression and read its subqueries, each once."""
        kind = kind_of(type(node))  # type: ignore[arg-type]  # a class has a hash
        if kind is exp.Column:
            self.resolve(node)  # type: ignore[arg-type]  # its kind says that it is one
        elif self.statics.values.read(node, self.statics.parameters) is not None:
            return
        elif kind is exp.Query:
            self.subquery(node)
        elif kind is exp.Dot:
            self._dot(node)  # type: ignore[arg-type]  # as above
        elif kind is exp.Collate:
            self.visit(node.this)
        elif kind is exp.Table:
            raise CannotProve(f"{type(node).__name__} is not supported here")
        elif kind is exp.Literal:
            return
        elif kind is exp.Func:
            # `<> ALL (array)` comes as a call; unquoted it is the keyword.
            if isinstance(node, exp.Anonymous) and str(node.args["this"]).upper() != "ALL":
                self._called(function_name(node))
            if is_aggregate(node):
                check_level(self, self.env.outers, node)
            self._children(node)
            if self.outputs:
                self._asked(node)
        else:
            raise CannotProve(f"{type(node).__name__} is not supported")

    def _children(self, node: exp.Expr) -> None:
        for key, value in node.args.items():
            if key in ("alias", "_type"):
                continue
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, exp.Expr) and not isinstance(child, exp.Identifier):
                    self.visit(child)

    def _dot(self, node: exp.Dot) -> None:
        """A field of a composite value, or a function with its schema."""
        called = node.expression
        if isinstance(called, exp.Func):
            if not isinstance(node.this, exp.Identifier):
                raise CannotProve("a function's name has too many parts")
            self.qualified(node.this, called)
            return
        if not isinstance(called, exp.Identifier | exp.Star):
            raise CannotProve("cannot read an expression with a dot")
        self.visit(node.this)
        if isinstance(called, exp.Identifier):
            self.field(node)

    def qualified(self, schema: exp.Identifier, called: exp.Expr) -> None:
        """A function with its schema. One that has a built-in's name need not be it."""
        if not isinstance(called, exp.Anonymous):
            raise CannotProve(f"function {called.key} under a schema")
        self._called(function_name(called), name_of(schema))
        if is_aggregate(called):
            check_level(self, self.env.outers, called)
        self._children(called)

    def _called(self, name: str, schema: str | None = None) -> None:
        qualified = f"{schema}.{name}" if schema else name
        if qualified in self.statics.functions:
            return
        if schema not in (None, "pg_catalog") or name not in SAFE:
            raise CannotProve(f"function {qualified} may read any table")

    def subquery(self, node: exp.Expr) -> Output:
        """Read a subquery of an expression (once), and take over how its tables stand."""
        known = self.outputs.get(id(node))
        if known is not None:
            return known
        output = self.query(node, self.env.inside(self))
        self.outputs[id(node)] = output
        for number, standing in output.standings.items():
            if outer := frozenset([c for c in standing.carriers if NULL < c < output.low]):
                self.correlated[number] = outer
        # Its columns are carriers still: where the condition around it holds only with one of
        # its rows, that row's column is equated with one of ours; elsewhere nothing speaks of it.
        self.pending.update(output.standings)
        return output

    def _asked(self, node: exp.Expr) -> None:
        """How what asks for rows of a subquery depends on its tables."""
        if isinstance(node, exp.Exists):
            self._always(node.this)
        elif isinstance(node, exp.In | exp.EQ | exp.NEQ):
            self._sought(node)

    def _always(self, query: exp.Expr) -> None:
        """`EXISTS (SELECT count(*) ..)` is TRUE: a row comes out of whatever there is, as it does
        for the empty grouping set."""
        having = query.args.get("having")
        if having is not None and not (isinstance(having.this, exp.Boolean) and having.this.this):
            return
        group = query.args.get("group")
        for_all = any(has_aggregate(item) for item in query.expressions)
        if group is not None:
            for_all = len(group.expressions) == 1 and has_empty_set(group.expressions[0])
        clauses = {key for key, value in query.args.items() if value}
        shown = (*query.expressions, *(query.args[k] for k in ("order",) if query.args.get(k)))
        if clauses <= _OF_ONE_ROW and for_all and not any(map(may_give_rows, shown)):
            self.pending.update(settle(self.outputs[id(query)].standings, IMPOSSIBLE))

    def _sought(self, node: exp.Expr) -> None:
        """`a IN (query)`, `a = ANY (query)`, `a <> ALL (query)`: a column of ours may carry.

        The first two are the OR of a comparison with each row, the last is the AND of its
        opposite. A row that differs from `a`, neither being null, gives FALSE to the one and TRUE
        to the other, and changes nothing, whatever its other fields: only the rows with `a` in
        that field matter. With a null it would: then the whole may be null.
        """
        query = node.args.get("query")
        if isinstance(node, exp.In):
            members = node.expressions
            query = members[0] if query is None and len(members) == 1 else query
        elif isinstance(node.expression, exp.Any if isinstance(node, exp.EQ) else exp.All):
            query = node.expression.this
        output = self.outputs.get(id(query))
        fields = parts_of_row(node.this) or [node.this]
        if output is None or output.wide or len(fields) != len(output.columns):
            return
        for field_, col in zip(fields, output.columns, strict=True):
            one = self.typed(field_)
            if one is None or not alike(one, (col.term, col.family)):
                continue
            if not (self.never_null(one[0]) and output.facts.never_null(col.term)):
                continue
            for number, standing in output.standings.items():
                known = self.pending.get(number)
                if known is None or col.term not in standing.carriers:
                    continue
                if isinstance(one[0], int):
                    self.pending[number] = replace(known, carriers=known.carriers | {one[0]})
                else:
                    self.pending[number] = replace(known, values=known.values | {one[0]})

    @property
    def ledger(self) -> Ledger:
        return self.statics.ledger

    def is_read(self, node: exp.Expr) -> bool:
        """Whether a node is a subquery that was read, and no value."""
        return id(node) in self.outputs

    def attach(self) -> None:
        """Subqueries that were just walked become part of the relation."""
        if self.pending:
            relation = self.relation
            standings = {**relation.standings, **self.take()}
            self.relation = replace(relation, standings=standings)

    def assume(self, facts: Facts) -> None:
        """These facts hold of every row that is left."""
        relation = self.relation
        known = self.ledger.close(relation.facts.both(facts))
        if known is relation.facts and relation is self._settled:
            return
        standings = settle(relation.standings, known)
        self.ledger.observe(standings, known)
        self.relation = self._settled = Relation(
            relation.entries, relation.visible, known, standings, relation.low
        )

    def take(self) -> dict[int, Standing]:
        pending, self.pending = self.pending, {}
        return pending
