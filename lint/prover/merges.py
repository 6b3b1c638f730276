"""MERGE: a join of source and target, then a write per kind of row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from lint.prover.relation import Output, Standing, Standings, cross, settle
from lint.prover.shape import check_shape
from lint.prover.targets import Values, assignments, kept_tenant, target_of
from lint.schema.catalog import Table


def merge(reader: Reader, node: exp.Merge, env: Env, low: int) -> Output:
    """Source rows without a partner are kept by NOT MATCHED, target rows by BY SOURCE."""
    _, instance, target = target_of(reader, node.this, env)
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
    if not values:
        instance.lost = "ON does not restrict the target to the current tenant"
    kept: list[_Kept] = []
    for clause in clauses:
        if clause.args.get("matched"):
            block, facts = both, matched
        elif clause.args.get("source"):
            block, facts = reader.block(env, low), target.facts
            block.relation = target
        else:
            block, facts = reader.block(env, low), source.facts
            block.relation = source
        keeps = _clause(reader, block, clause, instance=instance, facts=facts, matched=matched)
        if keeps.acts:
            kept.append(keeps)
        standings.update(settle(block.take(), reader.ledger.close(facts)))
    if kept:
        values = frozenset.intersection(*(keeps.tenants for keeps in kept))
    standings[instance.number] = Standing(values)
    standings.update(_by_clause(source.standings, standings, kept))
    if node.args.get("returning") is not None:
        _check_returned(both, node.args["returning"].expressions)
    bare = {number: Standing(standing.values) for number, standing in standings.items()}
    return Output((), NOTHING, bare, low, wide=True)


def _check_returned(block: Block, parts: Sequence[exp.Expr]) -> None:
    if any(is_query(inner) for part in parts for inner in part.walk()):
        raise CannotProve("a subquery in RETURNING of a MERGE")
    for part in parts:
        if not isinstance(part, exp.Star):
            block.visit(part.this if isinstance(part, exp.Alias) else part)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one WHEN keeps to: the tenants of the target's rows that decide about it, that it
    reaches and writes; what holds of the source's rows that decide about it; whether it may do
    anything: if no row of the source decides, it may still be done to every row of the target."""

    tenants: Values
    of_source: Facts
    acts: bool


def _by_clause(source: Standings, known: Standings, kept: list[_Kept]) -> dict[int, Standing]:
    """A source may be restricted to what every WHEN keeps to."""
    each = [settle(source, keeps.of_source) for keeps in kept]
    return {
        number: Standing(
            known[number].values.union(frozenset.intersection(*(s[number].values for s in each)))
        )
        for number in (source if each else ())
    }


def _clause(
    reader: Reader,
    block: Block,
    clause: exp.When,
    *,
    instance: Instance,
    facts: Facts,
    matched: Facts,
) -> _Kept:
    """What one WHEN keeps to. `facts` hold of its rows, `matched` of pairs that ON lets pass.

    A pair that concerns it has its condition fulfilled as well. NOT MATCHED: whether the source's
    row has a partner depends on target rows of such pairs. BY SOURCE: whether the target's row
    has one depends on source rows of such pairs.
    """
    condition, table = clause.args.get("condition"), instance.table
    said = NOTHING
    if condition is not None:
        block.visit(condition)
        said = when_true(block, condition)
    pairs, facts = reader.ledger.close(matched.both(said)), reader.ledger.close(facts.both(said))
    by_source = not clause.args.get("matched") and bool(clause.args.get("source"))
    of_source = pairs if clause.args.get("matched") or by_source else facts
    reached = facts if by_source else pairs
    kept = frozenset() if instance.tenant is None else reached.values(instance.tenant)
    if by_source and not kept and not _does_nothing(clause):
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
        if kept and not kept & inserted:
            note_written(instance, table, [row], frozenset())
        # Without any pair no target row decides about it.
        kept = inserted if pairs.impossible else kept & inserted
    elif not _does_nothing(clause) and str(then.this).upper() != "DELETE":
        raise CannotProve("cannot read what a MERGE does")
    reaches_none = pairs.impossible if clause.args.get("matched") else facts.impossible
    return _Kept(kept, of_source, acts=not (reaches_none or _does_nothing(clause)))


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
