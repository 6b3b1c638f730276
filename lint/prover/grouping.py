"""What makes one row of many: GROUP BY, window functions, DISTINCT ON.

A tenant column survives only among the keys, for otherwise rows of several tenants meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.facts import NOTHING, Term
from lint.prover.nodes import has_aggregate, is_query, local_nodes, name_of
from lint.prover.relation import Col, Relation
from lint.prover.shape import check_shape


def is_grouped(node: exp.Select) -> bool:
    if node.args.get("group") or node.args.get("having"):
        return True
    order = node.args.get("order")
    return any(has_aggregate(part) for part in (*node.expressions, *((order,) if order else ())))


def group(block: Block, node: exp.Select) -> None:
    group = node.args.get("group")
    keys, sets = _group_keys(group.expressions) if group is not None else ([], False)
    relation, low = block.relation, block.low
    if not keys and not sets:
        # One row comes out even of nothing: no fact survives.
        standings = block.ledger.narrow(
            relation.standings, lambda c: c < low, "an aggregate without GROUP BY mixes tenants"
        )
        block.relation = replace(relation, facts=NOTHING, standings=standings)
        return
    terms = [_key(block, node, key, alias_first=False) for key in keys]
    why = "its tenant column is not among the GROUP BY keys"
    kept = _determined(block, terms)
    standings = block.ledger.narrow(relation.standings, lambda c: c < low or c in kept, why)
    if not sets:
        block.relation = replace(relation, standings=standings)
        return
    parts = [
        *node.expressions,
        *(node.args[k] for k in ("having", "order") if node.args.get(k)),
    ]
    if any(is_query(inner) for part in parts for inner in part.walk()):
        raise CannotProve("a subquery beside grouping sets")
    # A key is null in the rows of sets without it: another column than before.
    new: dict[int, int] = {}

    def moved(col: Col) -> Col:
        if isinstance(col.term, int) and col.term >= low:
            return replace(col, term=new.setdefault(col.term, block.ledger.column()))
        return replace(col, term=block.ledger.column(), family=None)

    entries = tuple(
        replace(entry, columns=tuple(moved(col) for col in entry.columns))
        for entry in relation.entries
    )
    visible = tuple(moved(col) for col in relation.visible)
    standings = {
        number: replace(
            s,
            carriers=frozenset(c if c < low else new[c] for c in s.carriers if c < low or c in new),
        )
        for number, s in standings.items()
    }
    block.relation = Relation(entries, visible, NOTHING, standings, relation.low)


def _key(block: Block, node: exp.Select, key: exp.Expr, *, alias_first: bool) -> Term | None:
    """The term a GROUP BY or DISTINCT ON item is, by PostgreSQL's rules for its name."""
    while isinstance(key, exp.Paren):
        key = key.this
    if isinstance(key, exp.Literal) and not key.is_string:
        index = int(key.this) - 1 if str(key.this).isdigit() else -1
        if not 0 <= index < len(node.expressions) or any(
            isinstance(item, exp.Star) or item.is_star for item in node.expressions
        ):
            raise CannotProve("cannot tell which column a position means")
        item = node.expressions[index]
        return _term(block, item.this if isinstance(item, exp.Alias) else item)
    if isinstance(key, exp.Column) and not key.table:
        name = name_of(key.this)
        aliased = [
            item.this
            for item in node.expressions
            if isinstance(item, exp.Alias) and name_of(item.args["alias"]) == name
        ]
        here = block.local(name, key)[0]
        if aliased and (alias_first or not here):
            return _term(block, aliased[0]) if len(aliased) == 1 else None
    block.visit(key)
    return _term(block, key)


def _determined(block: Block, keys: Iterable[Term | None]) -> frozenset[int]:
    """The columns that rows share which share the keys."""
    known = [key for key in keys if key is not None]
    return block.ledger.determined(known, block.relation.facts, block.low)


def _term(block: Block, node: exp.Expr) -> Term | None:
    typed = block.typed(node)
    return None if typed is None else typed[0]


def windows(block: Block, node: exp.Select) -> None:
    named = {name_of(w.this): w for w in node.args.get("windows") or ()}
    order = node.args.get("order")
    for part in (*node.expressions, *((order,) if order else ())):
        if isinstance(part, exp.Column) or part.find(exp.Window) is None:
            continue
        for window in local_nodes(part):
            if not isinstance(window, exp.Window):
                continue
            keys = _determined(
                block, [_term(block, key) for key in _partition(window, named, depth=0)]
            )
            relation = block.relation
            standings = block.ledger.narrow(
                relation.standings,
                lambda carrier, keys=keys: carrier < block.low or carrier in keys,  # type: ignore[misc]  # bound now
                "a window function is not partitioned by its tenant column",
            )
            block.relation = replace(relation, standings=standings)


def distinct_on(block: Block, node: exp.Select) -> None:
    distinct = node.args.get("distinct")
    on = distinct.args.get("on") if distinct is not None else None
    if on is None:
        return
    keys = on.expressions if isinstance(on, exp.Tuple) else [on]
    terms = _determined(block, [_key(block, node, key, alias_first=True) for key in keys])
    relation = block.relation
    standings = block.ledger.narrow(
        relation.standings,
        lambda carrier: carrier < block.low or carrier in terms,
        "its tenant column is not among the DISTINCT ON keys",
    )
    block.relation = replace(relation, standings=standings)


def _group_keys(items: Sequence[exp.Expr]) -> tuple[list[exp.Expr], bool]:
    """The grouping expressions, and whether there are several grouping sets."""
    keys: list[exp.Expr] = []
    sets = False
    for item in items:
        if isinstance(item, exp.Rollup | exp.Cube | exp.GroupingSets):
            sets = True
            keys += _group_keys(item.expressions)[0]
        elif isinstance(item, exp.Tuple):
            sets = sets or not item.expressions
            keys += _group_keys(item.expressions)[0]
        else:
            keys.append(item)
    return keys, sets


def _partition(
    window: exp.Window, named: dict[str, exp.Window], *, depth: int
) -> Iterator[exp.Expr]:
    check_shape(window)
    yield from window.args.get("partition_by") or ()
    base = window.args.get("alias")
    if base is not None:
        known = named.get(name_of(base))
        if known is None or depth > len(named):
            raise CannotProve("a window that is not defined")
        yield from _partition(known, named, depth=depth + 1)
