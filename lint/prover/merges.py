"""MERGE: a join of source and target, then a write per kind of row."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.env import Env
from lint.prover.facts import NOTHING, Facts
from lint.prover.from_items import item
from lint.prover.inserts import Row, note_written, written_tenant, written_values
from lint.prover.ledger import Instance
from lint.prover.nodes import is_query, name_of
from lint.prover.predicates import when_true
from lint.prover.reader import Reader
from lint.prover.relation import Output, Standing, cross, settle
from lint.prover.shape import check_shape
from lint.prover.targets import Values, assignments, kept_tenant, target_of
from lint.schema.catalog import Table


def merge(reader: Reader, node: exp.Merge, env: Env, low: int) -> Output:
    """Source rows without a partner are kept by NOT MATCHED, target rows by BY SOURCE."""
    table, instance, target = target_of(reader, node.this, env)
    source = item(reader, node.args["using"], env, None)
    clauses = node.args["whens"].expressions
    for clause in clauses:
        check_shape(clause)
    keeps_source = any(
        not c.args.get("matched") and not c.args.get("source") and not _does_nothing(c)
        for c in clauses
    )
    keeps_target = any(not c.args.get("matched") and c.args.get("source") for c in clauses)

    both = reader.block(env, low)
    both.relation = replace(cross(source, target), low=low)
    both.visit(node.args["on"])
    on = when_true(both, node.args["on"])
    matched = reader.ledger.close(source.facts.both(target.facts, on))
    inside = both.take()
    if keeps_target and inside:
        raise CannotProve("a subquery in ON of a MERGE with NOT MATCHED BY SOURCE")
    reader.ledger.observe(target.standings, matched)
    standings = dict(settle({**target.standings, **inside}, matched))
    standings.update(source.standings if keeps_source else settle(source.standings, matched))
    values = standings[instance.number].values
    # Whether a source row has a partner depends on all target rows; where nothing is done to
    # those without, it is enough that each WHEN keeps to the tenant's rows.
    by_clause = not values and not keeps_source
    if not values:
        instance.lost = "ON does not restrict the target to the current tenant"
    kept: list[Values] = []
    for clause in clauses:
        if clause.args.get("matched"):
            block, facts = both, matched
        elif clause.args.get("source"):
            block, facts = reader.block(env, low), target.facts
            block.relation = target
        else:
            block, facts = reader.block(env, low), source.facts
            block.relation = source
        clause_keeps = _clause(
            reader,
            block,
            clause,
            table=table,
            instance=instance,
            facts=facts,
            values=None if by_clause else values,
        )
        if not _does_nothing(clause):
            kept.append(clause_keeps)
        standings.update(settle(block.take(), reader.ledger.close(facts)))
    values = frozenset.intersection(*kept, *(() if by_clause and kept else (values,)))
    standings[instance.number] = Standing(values)
    if node.args.get("returning") is not None:
        parts = node.args["returning"].expressions
        if any(is_query(inner) for part in parts for inner in part.walk()):
            raise CannotProve("a subquery in RETURNING of a MERGE")
        for part in parts:
            if not isinstance(part, exp.Star):
                both.visit(part.this if isinstance(part, exp.Alias) else part)
    bare = {number: Standing(standing.values) for number, standing in standings.items()}
    return Output((), NOTHING, bare, low, wide=True)


def _clause(
    reader: Reader,
    block: Block,
    clause: exp.When,
    *,
    table: Table,
    instance: Instance,
    facts: Facts,
    values: Values | None,
) -> Values:
    """The tenants that one WHEN is known to keep to; `values`: those of ON, None to go by the
    WHEN's own condition."""
    condition = clause.args.get("condition")
    if condition is not None:
        block.visit(condition)
        facts = facts.both(when_true(block, condition))
    facts = reader.ledger.close(facts)
    if values is None:
        values = frozenset() if instance.tenant is None else facts.values(instance.tenant)
    kept = values
    if not clause.args.get("matched") and clause.args.get("source"):
        if _does_nothing(clause):
            return values
        kept = frozenset() if instance.tenant is None else facts.values(instance.tenant)
        if not kept & values:
            instance.lost = "NOT MATCHED BY SOURCE reaches rows of other tenants"
    block.relation = replace(block.relation, facts=facts)
    then = clause.args["then"]
    if isinstance(then, exp.Update):
        written = assignments(block, table, then.expressions)
        left, why = kept_tenant(block, table, written)
        if left is not None:
            if kept and not kept & left:
                instance.lost = why
            kept &= left
    elif isinstance(then, exp.Insert):
        row = _row(block, then, table)
        inserted = written_tenant(block, table, [row])
        if kept & values and not kept & values & inserted:
            note_written(instance, table, [row], frozenset())
        kept &= inserted
    elif not _does_nothing(clause) and str(then.this).upper() != "DELETE":
        raise CannotProve("cannot read what a MERGE does")
    return kept


def _does_nothing(clause: exp.When) -> bool:
    return str(clause.args["then"].this).upper() == "DO NOTHING"


def _row(block: Block, then: exp.Insert, table: Table) -> Row:
    check_shape(then)
    columns = then.args.get("this")
    if columns is None:
        listed = [column.name for column in table.columns]
    else:
        parts = columns.expressions if isinstance(columns, exp.Tuple | exp.Schema) else [columns]
        listed = [name_of(p.this if isinstance(p, exp.Column) else p) for p in parts]
    for name in listed:
        if table.column(name) is None:
            raise CannotProve(f"{table.name} has no column {name}")
    body = then.args.get("expression")
    if body is None:
        return Row({}, NOTHING)
    if isinstance(body, exp.Values):
        (body,) = body.expressions
    items = body.expressions if isinstance(body, exp.Tuple) else [body]
    return written_values(block, items, listed)
