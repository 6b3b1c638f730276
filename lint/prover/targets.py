"""What the data-modifying statements share: targets, assignments, RETURNING."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.env import Env
from lint.prover.facts import Const, Facts, Term
from lint.prover.from_items import base_table, find_relation
from lint.prover.ledger import Instance
from lint.prover.nodes import name_of, parts_of_row
from lint.prover.operands import opened
from lint.prover.projection import project
from lint.prover.reader import Reader
from lint.prover.relation import Col, Entry, Output, Relation, Standing, settle
from lint.prover.shape import check_shape
from lint.schema.catalog import Column, Table, View
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import clip, fold, prepare

Values = frozenset[Const]
# Column -> the value written, None for one that is not a plain expression.
Assignments = dict[str, exp.Expr | None]


def target_of(reader: Reader, node: exp.Expr, env: Env) -> tuple[Table, Instance, Relation]:
    """The table a statement writes to, its entry in the ledger, and it as a relation."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise CannotProve("cannot read what is written to")
    check_shape(node)
    reader.seen.add(id(node))
    name = name_of(node.this)
    schema = name_of(node.args["db"]) if node.args.get("db") else None
    found = find_relation(reader, schema, name)
    if isinstance(found, View):
        raise CannotProve(f"writing through the view {name} is not supported")
    if found is None or node.args.get("joins"):
        raise CannotProve(f"cannot read what is written to {name}")
    alias = node.args.get("alias")
    shown = name_of(alias.this) if alias is not None else None
    relation, number = base_table(reader, found, node, alias=shown, names=(), env=env)
    return found, reader.ledger.instances[number], relation


def returning(
    reader: Reader, node: exp.Expr, block: Block, low: int, settled: dict[int, Standing]
) -> Output:
    """RETURNING; its subqueries see the written row. Nothing outside bounds a write."""
    columns: list[Col] = []
    wide = False
    clause = node.args.get("returning")
    if clause is not None:
        check_shape(clause)
        block.relation = _old_and_new(reader, block.relation)
        for part in clause.expressions:
            if not isinstance(part, exp.Star):
                block.visit(part.this if isinstance(part, exp.Alias) else part)
        columns, wide = project(block, clause.expressions)
    facts = reader.ledger.close(block.relation.facts)
    standings = {**settled, **settle(block.take(), facts)}
    bare = {number: Standing(standing.values) for number, standing in standings.items()}
    return Output(tuple(columns), facts, bare, low, wide)


def _old_and_new(reader: Reader, relation: Relation) -> Relation:
    """The names `old` and `new`: the target's row before and after. Nothing is known of them."""
    taken = {entry.alias for entry in relation.entries}
    target = relation.entries[0]  # the target comes first
    states = tuple(
        Entry(name, tuple([col.again(reader.ledger.column()) for col in target.columns]))
        for name in ("old", "new")
        if name not in taken
    )
    return replace(relation, entries=(*relation.entries, *states))


def assignments(block: Block, table: Table, items: Sequence[exp.Expr]) -> Assignments:
    """What SET writes; the values are walked, the columns are not."""
    written: Assignments = {}
    for one in items:
        if not isinstance(one, exp.EQ):
            raise CannotProve("cannot read SET")
        value = one.expression
        if not is_default(value):
            block.visit(value)
        if not isinstance(one.this, exp.Tuple | exp.Paren):
            _assign(block, written, table, one.this, value)
            continue
        places = one.this.expressions if isinstance(one.this, exp.Tuple) else [one.this.this]
        values = parts_of_row(value) or _one_row(block, value)
        fitting = values is not None and len(values) == len(places)
        for index, place in enumerate(places):
            part = values[index] if values is not None and fitting else None
            _assign(block, written, table, place, part)
    return written


def _one_row(block: Block, node: exp.Expr) -> Sequence[exp.Expr] | None:
    """The fields of `(SELECT a, b)`, which has one row whatever there is; else None.

    Without FROM and WHERE nothing takes the row away but a set-returning function: only columns
    and values are read.
    """
    query = opened(node)
    query = query.this if isinstance(query, exp.Subquery) else query
    clauses = {key for key, value in query.args.items() if value}
    if not isinstance(query, exp.Select) or clauses != {"expressions"}:
        return None
    if any(item.is_star for item in query.expressions):
        return None
    fields = [item.this if isinstance(item, exp.Alias) else item for item in query.expressions]
    return fields if all(_is_plain(block, field) for field in fields) else None


def _is_plain(block: Block, node: exp.Expr) -> bool:
    if isinstance(opened(node), exp.Column | exp.Null):
        return True
    typed = block.typed(node)
    return typed is not None and isinstance(typed[0], Const)


def _assign(
    block: Block, written: Assignments, table: Table, place: exp.Expr, value: exp.Expr | None
) -> None:
    inner = place
    while isinstance(inner, exp.Bracket | exp.Dot | exp.Paren):
        for subscript in inner.expressions:
            block.visit(subscript)
        inner = inner.this
    if not isinstance(inner, exp.Column) or inner.args.get("db"):
        raise CannotProve("cannot read what SET writes")
    # `SET a.b = 1` writes field b of column a.
    name = name_of(inner.args["table"] if inner.table else inner.this)
    if table.column(name) is None:
        raise CannotProve(f"{table.name} has no column {name}")
    plain = inner is place and not inner.table and name not in written
    written[name] = value if plain else None


def is_default(node: exp.Expr) -> bool:
    """The keyword DEFAULT, which the parser takes for a column or a variable."""
    if isinstance(node, exp.Column):
        quoted = node.this.args.get("quoted")
        return not node.table and not quoted and str(node.this.this).upper() == "DEFAULT"
    return isinstance(node, exp.Var) and str(node.this).upper() == "DEFAULT"


def value_of(block: Block, node: exp.Expr | None, column: Column | None) -> Values:
    """The values an expression, written to `column`, equals in every row."""
    if node is None:
        return frozenset()
    if is_default(node):
        return default_of(block, column)
    typed = block.typed(node)
    return frozenset() if typed is None else values_of(typed[0], block.relation.facts)


def values_of(term: Term, facts: Facts) -> Values:
    known = facts.values(term)
    return known | {term} if isinstance(term, Const) else known


def default_of(block: Block, column: Column | None) -> Values:
    """The value of a column's DEFAULT, if that is the tenant source."""
    if column is None or column.default is None:
        return frozenset()
    try:
        raw = next(statements(column.default, psql=False))
        tree = parse(prepare(raw.tokens))
    except (StopIteration, CannotProve):
        return frozenset()
    value = block.statics.values.read(tree, {})
    return frozenset((value,)) if value is not None and value.kind == "source" else frozenset()


def made_anew(table: Table, written: Container[str]) -> frozenset[str]:
    """The generated columns that may be others once the columns `written` are."""
    return frozenset(
        column.name
        for column in table.columns
        if column.generated is not None
        and any(name in written for name in _names(column.generated))
    )


@lru_cache(maxsize=1024)
def _names(expression: str) -> frozenset[str]:
    """What may be names in an expression."""
    found = {
        clip(fold(token.text) if token.kind == "word" else token.value)
        for raw in statements(expression, psql=False)
        for token in raw.tokens
        if token.kind in ("word", "quoted")
    }
    return frozenset(found)


def kept_tenant(block: Block, table: Table, written: Assignments) -> tuple[Values | None, str]:
    """What an assignment leaves of the tenant: None if untouched, else its values and why."""
    made = made_anew(table, written)
    if table.tenant_column in made:
        return frozenset(), "the tenant column is generated from a column that is changed"
    if table.parent is not None and not made.isdisjoint(table.parent.columns):
        return frozenset(), "the column that names its parent is generated from a changed one"
    if table.tenant_column is not None and table.tenant_column in written:
        column = table.column(table.tenant_column)
        values = value_of(block, written[table.tenant_column], column)
        return values, "the tenant column is changed"
    if table.parent is not None and set(table.parent.columns) & set(written):
        terms = {
            name: None if value is None or is_default(value) else block.typed(value)
            for name, value in written.items()
        }
        values = parent_tenant(
            block,
            table,
            {name: None if typed is None else typed[0] for name, typed in terms.items()},
            block.relation.facts,
        )
        return values, "the column that names its parent is changed"
    return None, ""


def parent_tenant(
    block: Block, table: Table, terms: Mapping[str, Term | None], facts: Facts
) -> Values:
    """The tenants of a row that is put under a parent, if that is a row that was read."""
    if table.parent is None:
        return frozenset()
    for other in block.ledger.instances.values():
        if other.table.name != table.parent.table or other.tenant is None or other.snapshot:
            continue
        pairs = zip(table.parent.columns, table.parent.references, strict=True)
        if all(
            (term := terms.get(own)) is not None and facts.equal(term, other.columns[theirs])
            for own, theirs in pairs
        ):
            return facts.values(other.tenant)
    return frozenset()
