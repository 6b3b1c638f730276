"""What makes one row of many: GROUP BY, window functions, DISTINCT ON.

A tenant column survives only among the keys, for otherwise rows of several tenants meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.block import Block
from lint.prover.choices import column_of
from lint.prover.facts import NOTHING, Const, Facts, Term, equality, guarded, translate
from lint.prover.labels import may_be
from lint.prover.narrowing import narrow
from lint.prover.nodes import has_aggregate, local_nodes, name_of
from lint.prover.operands import opened
from lint.prover.projection import project
from lint.prover.relation import Col, Relation
from lint.prover.shape import check_shape


def is_grouped(node: exp.Select) -> bool:
    if node.args.get("group") or node.args.get("having"):
        return True
    return any(has_aggregate(part) for part in _parts(node))


def _parts(node: exp.Select) -> list[exp.Expr]:
    """What is made of rows once they are grouped."""
    clauses = [node.args[key] for key in ("having", "order") if node.args.get(key)]
    windows = node.args.get("windows") or ()
    return [*node.expressions, *clauses, *keys_of_distinct_on(node), *windows]


def group(block: Block, node: exp.Select) -> None:
    group = node.args.get("group")
    items = group.expressions if group is not None else []
    keys, sets = _group_keys(items)
    relation, low = block.relation, block.low
    if not keys and not sets:
        # One row comes out even of nothing: no fact survives but those of what is not null.
        facts = _extremes(block, node, None)
        having = node.args.get("having")
        if having is not None and _asks_for_a_row(having.this):
            facts = facts.both(relation.facts)
        standings = narrow(block, frozenset(), "an aggregate without GROUP BY mixes tenants")
        block.relation = replace(relation, facts=facts, standings=standings)
        return
    terms = [_key(block, node, key, alias_first=False) for key in keys]
    why = "its tenant column is not among the GROUP BY keys"
    kept = _determined(block, terms)
    standings = narrow(block, kept, why)
    relation = block.relation
    if not sets:
        _extremes(block, node, kept)
        block.relation = replace(relation, standings=standings)
        return
    if any(block.is_read(inner) for part in _parts(node) for inner in part.walk()):
        raise CannotProve("a subquery beside grouping sets")
    # A key is null in the rows of sets without it: another column than before.
    new: dict[int, int] = {}
    everywhere = _in_every_set(items, dict(zip(map(id, keys), terms, strict=True)))

    def moved(col: Col) -> Col:
        if col.term in everywhere:
            return col
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
            carriers=frozenset(
                new.get(c, c) for c in s.carriers if c < low or c in new or c in everywhere
            ),
        )
        for number, s in standings.items()
    }
    # The empty set has a row even of nothing: then no fact survives.
    facts = translate(relation.facts, {}, everywhere) if everywhere else NOTHING
    block.relation = Relation(entries, visible, facts, standings, relation.low)


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
    if isinstance(key, exp.Column) and not key.table and not block.is_keyword(key):
        name = name_of(key.this)
        if alias_first or not block.local(name, key)[0]:
            shown = _shown(block, node, name)
            if shown:
                return shown[0] if len(set(shown)) == 1 else None
    block.visit(key)
    return _term(block, key)


def _shown(block: Block, node: exp.Select, name: str) -> list[Term | None]:
    """The output columns that have a name, or may have it (None: opaque)."""
    found: list[Term | None] = []
    for item in node.expressions:
        if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Star):
            found.append(None)
        elif item.is_star:
            columns, more = project(block, [item])
            known = [col.term for col in columns if col.name == name]
            unknown = more or any(col.name is None for col in columns)
            found += known or ([None] if unknown else [])
        elif may_be(item, name):
            found.append(_term(block, item.this if isinstance(item, exp.Alias) else item))
    return found


def _determined(block: Block, keys: Iterable[Term | None]) -> frozenset[int]:
    """The columns that rows share which share the keys."""
    known = [key for key in keys if key is not None]
    return block.ledger.determined(known, block.relation.facts, block.low)


def _term(block: Block, node: exp.Expr) -> Term | None:
    typed = column_of(block, node)
    return None if typed is None else typed[0]


def windows(block: Block, node: exp.Select) -> None:
    named = {name_of(w.this): w for w in node.args.get("windows") or ()}
    order = node.args.get("order")
    keys_on = keys_of_distinct_on(node)
    for part in (*node.expressions, *((order,) if order else ()), *keys_on):
        if isinstance(part, exp.Column) or part.find(exp.Window) is None:
            continue
        for window in local_nodes(part):
            if not isinstance(window, exp.Window):
                continue
            keys = _determined(
                block, [_term(block, key) for key in _partition(window, named, depth=0)]
            )
            if _is_extreme(block, window, keys):
                continue
            if part is order and _chooses_not(block, node, window):
                continue
            standings = narrow(
                block, keys, "a window function is not partitioned by its tenant column"
            )
            block.relation = replace(block.relation, standings=standings)


def _is_extreme(block: Block, window: exp.Window, keys: frozenset[int]) -> bool:
    """Whether it is max() or min() of a column and the column itself, whatever rows there are:
    the partition shares it; or the rows come in its order, up to this one and its equals. A frame
    may be empty, and then it is null: so there must be none."""
    call = window.this
    plain = isinstance(call, exp.Max | exp.Min) and not call.expressions
    if not plain or window.args.get("spec") or window.args.get("alias"):
        return False
    typed = block.typed(call.this)
    if typed is None:
        return False
    shared = isinstance(typed[0], Const) or typed[0] in keys
    if not (shared or _comes_last(block, window, typed[0])):
        return False
    block.extremes[id(window)] = Col(None, *typed)
    return True


def _comes_last(block: Block, window: exp.Window, term: Term) -> bool:
    """Whether max() (min()) is asked of rows that ascend (descend) by it, none of them null."""
    order = window.args.get("order")
    first = order.expressions[0] if order is not None else None
    if not isinstance(first, exp.Ordered) or not block.never_null(term):
        return False
    by = block.typed(first.this)
    down = bool(first.args.get("desc"))
    return by is not None and by[0] == term and down == isinstance(window.this, exp.Min)


def _chooses_not(block: Block, node: exp.Select, window: exp.Window) -> bool:
    """Whether a window in ORDER BY does not tell apart the rows of which DISTINCT ON takes one.

    They are equal in its keys. If by those alone the window is divided and ordered, they are
    peers, and an aggregate up to the last peer is the same for them.
    """
    keys = keys_of_distinct_on(node)
    aggregate = isinstance(window.this, exp.Sum | exp.Count | exp.Avg | exp.Max | exp.Min)
    if not keys or not aggregate or any(window.args.get(key) for key in ("spec", "alias")):
        return False
    terms = _determined(block, [_key(block, node, key, alias_first=True) for key in keys])
    order = window.args.get("order")
    parts = [*(window.args.get("partition_by") or ()), *(order.expressions if order else ())]
    used = [_term(block, p.this if isinstance(p, exp.Ordered) else p) for p in parts]
    return all(isinstance(term, Const) or term in terms for term in used)


def keys_of_distinct_on(node: exp.Select) -> list[exp.Expr]:
    """None without DISTINCT ON."""
    distinct = node.args.get("distinct")
    on = distinct.args.get("on") if distinct is not None else None
    if on is None:
        return []
    return list(on.expressions) if isinstance(on, exp.Tuple) else [on]


def distinct_on(block: Block, node: exp.Select) -> None:
    keys = keys_of_distinct_on(node)
    if not keys:
        return
    terms = _determined(block, [_key(block, node, key, alias_first=True) for key in keys])
    standings = narrow(block, terms, "its tenant column is not among the DISTINCT ON keys")
    block.relation = replace(block.relation, standings=standings)


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


def _in_every_set(items: Sequence[exp.Expr], terms: dict[int, Term | None]) -> frozenset[int]:
    """The columns by which every grouping set divides, and which so are never filled with null.

    The sets of several items are combined: what is in every set of one is in every set of all.
    """
    found: frozenset[int] = frozenset()
    for item in items:
        if isinstance(item, exp.GroupingSets):
            each = [_in_every_set([part], terms) for part in item.expressions]
            found |= frozenset.intersection(*each) if each else frozenset()
        elif isinstance(item, exp.Tuple):
            found |= _in_every_set(item.expressions, terms)
        elif not isinstance(item, exp.Rollup | exp.Cube):
            term = terms[id(item)]
            found |= frozenset((term,)) if isinstance(term, int) else frozenset()
    return found


def _extremes(block: Block, node: exp.Select, keys: frozenset[int] | None) -> Facts:
    """Note what max() and min() are of what is the same in all rows of a group: just that.

    `keys`: what groups share; None if there is one group, which may be empty, and then they are
    null. Returns what holds where they are not.
    """
    known, facts = block.relation.facts, NOTHING
    for part in _parts(node):
        if isinstance(part, exp.Column) or part.find(exp.Max, exp.Min) is None:
            continue
        for call in local_nodes(part):
            if not isinstance(call, exp.Max | exp.Min) or call.expressions:
                continue
            typed = block.typed(call.this)
            if typed is None:
                continue
            term, family = typed
            if keys is not None:
                if isinstance(term, Const) or term in keys:
                    block.extremes[id(call)] = Col(None, term, family)
                continue
            same = [t for t in known.group(term) if isinstance(t, Const) or t < block.low]
            if same:
                column = block.ledger.column()
                block.extremes[id(call)] = Col(None, column, family)
                equal = NOTHING.both(*(equality(column, other) for other in same))
                facts = facts.both(guarded([frozenset((column,))], equal))
    return facts


def _asks_for_a_row(node: exp.Expr) -> bool:
    """Whether HAVING lets a group pass only if there is a row in it: of none, every count is 0,
    and other aggregates are null, with which a comparison is not TRUE."""
    node = opened(node)
    if isinstance(node, exp.And):
        return _asks_for_a_row(node.this) or _asks_for_a_row(node.expression)
    if not isinstance(node, exp.EQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.NEQ):
        return False
    left, right = opened(node.this), opened(node.expression)
    if not isinstance(right, exp.Literal) or right.is_string:
        return False
    if isinstance(left, exp.Max | exp.Min | exp.Sum | exp.Avg):
        return True
    least = {exp.GT: 0, exp.GTE: 1, exp.EQ: 1}.get(type(node))
    counts = isinstance(left, exp.Count) and least is not None and right.this.isdecimal()
    return counts and int(right.this) >= (least or 0)


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
