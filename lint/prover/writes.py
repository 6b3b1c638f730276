"""UPDATE and DELETE, and the way to INSERT and MERGE.

A write's target is an obligation of its own: the rows it reads are the current tenant's, and
the tenant it writes is the current one. Whatever encloses the statement cannot bound it any
more, so a standing here is its values alone.
"""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.env import Env
from lint.prover.facts import NOTHING, Facts, Term
from lint.prover.from_items import from_clause, item
from lint.prover.inserts import insert
from lint.prover.merges import merge
from lint.prover.narrowing import correlate
from lint.prover.predicates import restrict
from lint.prover.reader import Reader
from lint.prover.relation import Col, Output, Relation, Standing, cross, same_family
from lint.prover.shape import check_shape
from lint.prover.targets import (
    Assignments,
    assignments,
    is_default,
    kept_tenant,
    made_anew,
    returning,
    target_of,
)
from lint.schema.catalog import Table


def write(reader: Reader, node: exp.Expr, env: Env) -> Output:
    """Read a data-modifying statement; the output is what RETURNING gives."""
    check_shape(node)
    low = reader.ledger.mark()
    inner = reader.with_of(node, env)
    if isinstance(node, exp.Insert):
        return insert(reader, node, inner, low)
    if isinstance(node, exp.Update):
        return _update(reader, node, inner, low)
    if isinstance(node, exp.Delete):
        return _delete(reader, node, inner, low)
    if isinstance(node, exp.Merge):
        return merge(reader, node, inner, low)
    raise CannotProve(f"{type(node).__name__} is not supported")


def _update(reader: Reader, node: exp.Update, env: Env, low: int) -> Output:
    table, instance, target = target_of(reader, node.this, env)
    block = reader.block(env, low)
    source = from_clause(reader, node.args.get("from_"), (), env)
    block.relation = replace(cross(target, source), low=low)
    restrict(block, node.args.get("where"))
    written = assignments(block, table, node.expressions)
    block.attach()
    block.assume(NOTHING)
    correlate(block)
    standings = dict(block.relation.standings)
    kept, why = kept_tenant(block, table, written)
    if kept is not None:
        values = standings[instance.number].values & kept
        instance.lost = instance.lost or ("" if values else why)
        standings[instance.number] = Standing(values)
    if node.args.get("returning") is not None:
        block.relation = _rewritten(block, table, target, written)
    return returning(reader, node, block, low, standings)


def _rewritten(block: Block, table: Table, target: Relation, written: Assignments) -> Relation:
    """RETURNING sees the new row: an assigned column is another than the one read before, and
    one that is generated from it."""
    relation, facts = block.relation, block.relation.facts
    new: dict[Term, int] = {}
    made = made_anew(table, written)
    for col in target.visible:
        if col.name in made:
            new[col.term] = block.ledger.column()
        if col.name in written:
            new[col.term] = block.ledger.column()
            value = written[col.name]
            typed = None if value is None or is_default(value) else block.typed(value)
            if typed is not None and same_family(col, Col(None, *typed)):
                facts = facts.both(Facts((frozenset((new[col.term], typed[0])),)))

    def renew(col: Col) -> Col:
        return col.again(new[col.term]) if col.term in new else col

    first, *others = relation.entries  # the target comes first
    first = replace(first, columns=tuple(renew(col) for col in first.columns))
    visible = tuple(renew(col) for col in relation.visible)
    return replace(relation, entries=(first, *others), visible=visible, facts=facts)


def _delete(reader: Reader, node: exp.Delete, env: Env, low: int) -> Output:
    _, _, relation = target_of(reader, node.this, env)
    for part in node.args.get("using") or ():
        relation = cross(relation, item(reader, part, env, None))
    block = reader.block(env, low)
    block.relation = replace(relation, low=low)
    restrict(block, node.args.get("where"))
    correlate(block)
    return returning(reader, node, block, low, dict(block.relation.standings))
