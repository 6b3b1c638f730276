"""INSERT: the written tenant is the current one, and an upsert changes no other's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.env import Env
from lint.prover.facts import NOTHING, NULL, Facts, Term, equality
from lint.prover.ledger import Instance, Ledger
from lint.prover.nodes import name_of
from lint.prover.predicates import when_true
from lint.prover.reader import Reader
from lint.prover.relation import Col, Entry, Output, Relation, Standing, cross, same_family, settle
from lint.prover.shape import check_shape
from lint.prover.targets import (
    Values,
    assignments,
    default_of,
    is_default,
    kept_tenant,
    parent_tenant,
    returning,
    target_of,
    values_of,
)
from lint.prover.values import family
from lint.schema.catalog import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One written row, or all rows of a query: a term per column (None: opaque), their facts.

    A column that is not in `terms` gets its default.
    """

    terms: dict[str, Term | None]
    facts: Facts


def insert(reader: Reader, node: exp.Insert, env: Env, low: int) -> Output:
    place = node.this
    names: list[str] | None = None
    if isinstance(place, exp.Schema):
        check_shape(place)
        names = [name_of(column) for column in place.expressions]
        place = place.this
    table, instance, target = target_of(reader, place, env)
    listed = [column.name for column in table.columns] if names is None else names
    for name in listed:
        if table.column(name) is None:
            raise CannotProve(f"{table.name} has no column {name}")
    block = reader.block(env, low)
    rows, standings = _rows(reader, block, node, env, listed)
    values = written_tenant(block, table, rows)
    note_written(instance, table, rows, values)
    conflict = node.args.get("conflict")
    if conflict is not None and not _does_nothing(conflict):
        # What comes back may be the row that stood in the way.
        rows = []
        values = _upsert(reader, block, conflict, instance=instance, target=target, values=values)
        standings.update(block.take())
    standings[instance.number] = Standing(values)
    written = _written(table, rows)
    if table.tenant_column is not None:
        written[table.tenant_column] = values
    block.relation = _written_row(reader.ledger, target, written, low)
    return returning(reader, node, block, low, standings)


def _rows(
    reader: Reader, block: Block, node: exp.Insert, env: Env, listed: Sequence[str]
) -> tuple[list[Row], dict[int, Standing]]:
    body = node.args.get("expression")
    if body is None:
        if not node.args.get("default"):
            raise CannotProve("an INSERT without rows")
        return [Row({}, NOTHING)], {}
    if isinstance(body, exp.Values):
        if body.args.get("alias") or body.args.get("joins"):
            raise CannotProve("cannot read VALUES here")
        rows = [
            written_values(
                block, part.expressions if isinstance(part, exp.Tuple) else [part], listed
            )
            for part in body.expressions
        ]
        return rows, settle(block.take(), NOTHING)
    output = reader.query(body, env.nested())
    if output.wide:
        raise CannotProve("the columns of the inserted query are not known")
    if len(output.columns) > len(listed):
        raise CannotProve("more columns are inserted than listed")
    terms: dict[str, Term | None] = {
        name: col.term for name, col in zip(listed, output.columns, strict=False)
    }
    facts = reader.ledger.close(output.facts)
    return [Row(terms, facts)], dict(output.standings)


def written_values(block: Block, items: Sequence[exp.Expr], listed: Sequence[str]) -> Row:
    """One row of VALUES for the listed columns."""
    if len(items) > len(listed):
        raise CannotProve("more values are inserted than columns listed")
    terms: dict[str, Term | None] = {}
    for name, value in zip(listed, items, strict=False):
        if is_default(value):
            continue
        block.visit(value)
        typed = block.typed(value)
        terms[name] = None if typed is None else typed[0]
    return Row(terms, block.relation.facts)


def written_tenant(block: Block, table: Table, rows: Sequence[Row]) -> Values:
    """The tenants that every written row is known to belong to."""
    found: Values | None = None
    for row in rows:
        values = _tenant_of_row(block, table, row)
        found = values if found is None else found & values
    return found or frozenset()


def _tenant_of_row(block: Block, table: Table, row: Row) -> Values:
    if table.tenant_column is not None:
        if table.tenant_column not in row.terms:
            return default_of(block, table.column(table.tenant_column))
        term = row.terms[table.tenant_column]
        return frozenset() if term is None else values_of(term, row.facts)
    return parent_tenant(block, table, row.terms, row.facts)


def note_written(instance: Instance, table: Table, rows: Sequence[Row], values: Values) -> None:
    """Word why the tenant of the written rows is not known."""
    if values:
        return
    if table.tenant_column is not None:
        column = table.tenant_column
        left_out = any(column not in row.terms for row in rows)
        instance.lost = (
            f"{column} is left to its default"
            if left_out
            else f"the value written to {column} is not one known tenant"
        )
    elif table.parent is not None:
        given = all(row.terms.get(c) is not None for row in rows for c in table.parent.columns)
        instance.by_key = given
        instance.lost = f"the tenant of the {table.parent.table} it is put under is not known"


def _written(table: Table, rows: Sequence[Row]) -> dict[str, Values]:
    """The values that columns have in every written row. What is left out is not among them: its
    default may be made by a rule of the column that the catalog does not know."""
    found: dict[str, Values] = {}
    for column in table.columns:
        terms = [row.terms.get(column.name) for row in rows]
        col = Col(column.name, NULL, family(column.type))
        if terms and all(
            term is not None
            and (isinstance(term, int) or same_family(col, Col(None, term, term.family)))
            for term in terms
        ):
            found[column.name] = frozenset.intersection(
                *(
                    values_of(term, row.facts)
                    for term, row in zip(terms, rows, strict=True)
                    if term is not None
                )
            )
    return found


def _written_row(
    ledger: Ledger, target: Relation, written: Mapping[str, Values], low: int
) -> Relation:
    """The target as RETURNING sees it: columns of their own, of which only values are known."""
    (entry,) = target.entries
    new = tuple([col.again(ledger.column()) for col in entry.columns])
    classes = [
        frozenset((col.term, *values))
        for col in new
        if col.name is not None and (values := written.get(col.name, frozenset()))
    ]
    facts = NOTHING.both(*(Facts((group,)) for group in classes))
    return Relation((replace(entry, columns=new),), new, facts, {}, low)


def _upsert(
    reader: Reader,
    block: Block,
    conflict: exp.OnConflict,
    *,
    instance: Instance,
    target: Relation,
    values: Values,
) -> Values:
    """ON CONFLICT. The row that stands in the way is another row: it is the current tenant's
    if the arbiter holds the tenant column, or if WHERE says so."""
    action = str(conflict.args["action"].this).upper()
    if action != "DO UPDATE":
        raise CannotProve(f"ON CONFLICT {action} is not supported")
    table = instance.table
    ledger = reader.ledger
    excluded = tuple([col.again(ledger.column()) for col in target.visible])
    proposed = {col.name: col.term for col in excluded}
    facts = target.facts
    if table.tenant_column is not None and values:
        facts = facts.both(Facts((frozenset((proposed[table.tenant_column], *values)),)))
    arbiter = _arbiter(conflict, table)
    for name in arbiter:
        facts = facts.both(equality(instance.columns[name], proposed[name]))
    both = cross(target, Relation((Entry("excluded", excluded),), (), NOTHING))
    block.relation = replace(both, facts=facts)
    where = conflict.args.get("where")
    if where is not None:
        block.visit(where.this)
        facts = facts.both(when_true(block, where.this))
    facts = ledger.close(facts)
    block.relation = replace(block.relation, facts=facts)
    written = assignments(block, table, conflict.expressions)
    block.pending = settle(block.take(), facts)
    if table.parent is not None and set(table.parent.columns) <= set(arbiter):
        reached = values
    elif instance.tenant is not None:
        reached = facts.values(instance.tenant)
    else:
        reached = frozenset()
    if not values & reached and values:
        instance.lost = "the row in conflict may be another tenant's: its key has no tenant column"
    kept, why = kept_tenant(block, table, written)
    if kept is not None:
        if values & reached and not values & reached & kept:
            instance.lost = why
        reached &= kept
    return values & reached


def _does_nothing(conflict: exp.OnConflict) -> bool:
    check_shape(conflict)
    return str(conflict.args["action"].this).upper() == "DO NOTHING"


def _arbiter(conflict: exp.OnConflict, table: Table) -> list[str]:
    """Plain columns of the key that decides about a conflict."""
    constraint = conflict.args.get("constraint")
    if constraint is not None:
        name = name_of(constraint)
        found = next((key for key in table.keys if key.name == name), None)
        return [] if found is None else list(found.columns)
    names = []
    for key in conflict.args.get("conflict_keys") or ():
        inner = key.this if isinstance(key, exp.Ordered) else key
        if isinstance(inner, exp.Column) and not inner.table:
            name = name_of(inner.this)
            if table.column(name) is None:
                raise CannotProve(f"{table.name} has no column {name}")
            names.append(name)
    return names
