"""FROM: tables, views, CTEs, subqueries, functions, and how they are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from sqlglot import exp

from lint.errors import CannotProve, CatalogError
from lint.prover.env import Env
from lint.prover.facts import Facts, not_null
from lint.prover.functions import SET_RETURNING
from lint.prover.nodes import name_of
from lint.prover.predicates import when_true
from lint.prover.reader import Reader
from lint.prover.relation import (
    Col,
    Entry,
    Merge,
    Output,
    Relation,
    Standing,
    common_names,
    cross,
    join,
    merges,
)
from lint.prover.shape import check_shape
from lint.prover.system import is_system
from lint.prover.values import family, function_name
from lint.schema.catalog import Table, View


def from_clause(
    reader: Reader, clause: exp.From | None, joins: Sequence[exp.Join] | None, env: Env
) -> Relation:
    """The relation of `FROM first joins..`; of no FROM, one row without columns."""
    if clause is None:
        if joins:
            raise CannotProve("a join without FROM")
        return Relation(low=reader.ledger.mark())
    check_shape(clause)
    return item(reader, clause.this, env, None, further=joins or ())


def _is_comma(node: exp.Join) -> bool:
    args = node.args
    return not (args.get("on") or any(args.get(k) for k in ("side", "kind", "method", "using")))


def _join(reader: Reader, left: Relation, node: exp.Join, env: Env, lateral: Relation) -> Relation:
    kind, side, method = (str(node.args.get(k) or "").upper() for k in ("kind", "side", "method"))
    known = kind in ("", "INNER", "OUTER", "CROSS") and method in ("", "NATURAL")
    if not known or side not in ("", "LEFT", "RIGHT", "FULL"):
        raise CannotProve(f"{method} {side} {kind} JOIN is not supported")
    right = item(reader, node.this, env, lateral)
    merged: list[Merge] = []
    if method == "NATURAL":
        merged = merges(left, right, common_names(left, right))
    elif node.args.get("using"):
        merged = merges(left, right, [name_of(_plain(part)) for part in node.args["using"]])
    reader.ledger.said += [(merge.left.term, merge.right.term) for merge in merged]
    block = reader.block(env, left.low)
    block.relation = cross(left, right)
    on = Facts()
    if node.args.get("on") is not None:
        block.visit(node.args["on"])
        on = when_true(block, node.args["on"])
        if block.doubted:
            # What one part of the condition says helps another.
            facts = reader.ledger.close(block.relation.facts.both(on))
            block.relation = replace(block.relation, facts=facts)
            on = on.both(when_true(block, node.args["on"]))
    ledger = reader.ledger
    joined = join(
        left,
        right,
        side=side,
        on=on,
        inside=block.take(),
        merged=merged,
        new_column=ledger.column,
        close=ledger.close,
        unsure=ledger.unsure() if side else frozenset(),
    )
    ledger.observe(joined.standings, ledger.close(joined.facts))
    return joined


def _plain(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Column) else node


def item(
    reader: Reader,
    node: exp.Expr,
    env: Env,
    beside: Relation | None,
    *,
    further: Sequence[exp.Join] = (),
) -> Relation:
    """One FROM item with the joins nested into it, and `further` ones.

    Commas separate; a join binds only what stands since the last one. `beside` is what LATERAL
    sees besides the items to its left.
    """
    check_shape(node)
    low = reader.ledger.mark()
    current = _single(reader, node, env, beside, low)
    done: Relation | None = None
    for part in (*(node.args.get("joins") or ()), *further):
        check_shape(part)
        left = current if done is None else cross(done, current)
        lateral = left if beside is None else cross(beside, left)
        if _is_comma(part):
            done, current = left, item(reader, part.this, env, lateral)
        else:
            current = _join(reader, current, part, env, lateral)
    return current if done is None else cross(done, current)


def _single(  # noqa: PLR0911 - one return per kind of item
    reader: Reader, node: exp.Expr, env: Env, beside: Relation | None, low: int
) -> Relation:
    alias, names = _alias(node)
    if isinstance(node, exp.Table):
        if isinstance(node.this, exp.Identifier):
            return _named(reader, node, alias, names, env=env, low=low)
        if node.args.get("catalog") is not None:
            raise CannotProve("a function's name has too many parts")
        return _function(
            reader,
            node.this,
            alias,
            names,
            around=_around(reader, env, beside),
            low=low,
            schema=node.args.get("db"),
        )
    if isinstance(node, exp.Unnest):
        return _unnest(reader, node, alias, names, around=_around(reader, env, beside), low=low)
    if isinstance(node, exp.Values):
        return _derived(reader.values(node, env.nested()), alias, names, low)
    if isinstance(node, exp.Lateral):
        around = _around(reader, env, beside)
        if isinstance(node.this, exp.Subquery):
            return _derived(reader.query(node.this, around), alias, names, low)
        return _function(reader, node.this, alias, names, around=around, low=low)
    if isinstance(node, exp.Subquery):
        if _is_item(node.this):
            if any(node.args.get(key) for key in ("with_", "order", "limit", "offset")):
                raise CannotProve("cannot read a parenthesis in FROM")
            return _covered(item(reader, node.this, env, beside), alias, names)
        return _derived(reader.parenthesis(node, env.nested()), alias, names, low)
    raise CannotProve(f"{type(node).__name__} in FROM is not supported")


def _is_item(node: exp.Expr) -> bool:
    """Whether what stands in parentheses is no query but a table or a join, as in the nested
    parentheses in which PostgreSQL shows a view's joins."""
    if isinstance(node, exp.Table):
        return True
    if not isinstance(node, exp.Subquery | exp.Values | exp.Lateral | exp.Unnest):
        return False
    if node.args.get("alias") or node.args.get("joins"):
        return True
    return isinstance(node, exp.Subquery) and _is_item(node.this)


def _alias(node: exp.Expr) -> tuple[str | None, list[str]]:
    alias = node.args.get("alias")
    if alias is None:
        return None, []
    if not isinstance(alias, exp.TableAlias):
        raise CannotProve("cannot read an alias")
    names = [
        name_of(column.this if isinstance(column, exp.ColumnDef) else column)
        for column in alias.args.get("columns") or ()
    ]
    return (name_of(alias.this) if alias.this is not None else None), names


def _around(reader: Reader, env: Env, beside: Relation | None) -> Env:
    """What a LATERAL item sees: the items before it, then the levels around."""
    if beside is None:
        return env.nested()
    level = reader.block(env, beside.low)
    level.relation = beside
    return env.inside(level)


def _renamed(columns: Sequence[Col], names: Sequence[str]) -> tuple[Col, ...]:
    if not names:
        return tuple(columns)
    if len(names) > len(columns):
        raise CannotProve("a column list does not fit the columns")
    return tuple(
        replace(col, name=names[index]) if index < len(names) else col
        for index, col in enumerate(columns)
    )


def _derived(output: Output, alias: str | None, names: Sequence[str], low: int) -> Relation:
    if names and output.wide:
        raise CannotProve("a column list for columns that are not known")
    columns = _renamed(output.columns, names)
    entry = Entry(alias, columns, open=output.wide)
    return Relation((entry,), columns, output.facts, output.standings, low)


def _covered(inside: Relation, alias: str | None, names: Sequence[str]) -> Relation:
    """A join in parentheses; an alias hides the names inside."""
    if alias is None:
        return inside
    columns = _renamed(inside.visible, names)
    entry = Entry(alias, columns, open=inside.open)
    return replace(inside, entries=(entry,), visible=columns)


def _named(
    reader: Reader, node: exp.Table, alias: str | None, names: list[str], *, env: Env, low: int
) -> Relation:
    name = name_of(node.this)
    schema = name_of(node.args["db"]) if node.args.get("db") else None
    reader.seen.add(id(node))
    if schema is None and name in env.tables:
        table = env.tables[name]
        table.used = True
        return _derived(table.read(), alias or name, names, low)
    found = find_relation(reader, schema, name)
    if found is None:
        columns = tuple(Col(n, reader.ledger.column(), None) for n in names)
        entry = Entry(alias or name, columns, None if alias else schema, open=True)
        return Relation((entry,), columns, low=low)
    if isinstance(found, View):
        return _derived(reader.view(found, id(node), env), alias or name, names, low)
    relation, _ = base_table(reader, found, node, alias=alias, names=names, env=env)
    return relation


def find_relation(reader: Reader, schema: str | None, name: str) -> Table | View | None:
    """None for a system catalog that shows no rows of tables. Raises CannotProve if unknown."""
    try:
        found = reader.views.catalog.find(schema, name)
    except CatalogError as error:
        raise CannotProve(str(error)) from error
    if found is not None:
        return found
    if is_system(schema, name):
        return None
    shown = f"{schema}.{name}" if schema else name
    raise CannotProve(f"table {shown} is not in the schema")


def base_table(
    reader: Reader,
    table: Table,
    node: exp.Table,
    *,
    alias: str | None,
    names: Sequence[str],
    env: Env,
) -> tuple[Relation, int]:
    """The relation of a base table and the number of its instance in the ledger."""
    ledger = reader.ledger
    if table.exempt is not None and table.inherited and not node.args.get("only"):
        raise CannotProve(f"{table.name} shows the rows of tables that inherit from it, too")
    low = ledger.columns(len(table.columns))
    terms, columns, facts = _columns(table, low)
    shown = alias or table.name.name
    key = (*env.path, id(node))
    instance = ledger.open_instance(key, table, shown, terms, snapshot=env.snapshot)
    columns = _renamed(columns, names)
    schema = None if alias else table.name.schema
    entry = Entry(shown, columns, schema, base=True)
    carriers = frozenset(() if instance.tenant is None else (instance.tenant,))
    standings = {instance.number: Standing(frozenset(), carriers)}
    return Relation((entry,), columns, facts, standings, low), instance.number


# The tables of a statement get the same numbers in the next.
@lru_cache(maxsize=4096)
def _columns(table: Table, low: int) -> tuple[Mapping[str, int], tuple[Col, ...], Facts]:
    """A table's columns by name, numbered from `low`; the same as those of a relation; what is
    known of them."""
    terms = {column.name: low + number for number, column in enumerate(table.columns)}
    columns = tuple(Col(c.name, terms[c.name], family(c.type)) for c in table.columns)
    return terms, columns, not_null(terms[c.name] for c in table.columns if not c.nullable)


def _function(
    reader: Reader,
    node: exp.Expr,
    alias: str | None,
    names: list[str],
    *,
    around: Env,
    low: int,
    schema: exp.Expr | None = None,
) -> Relation:
    """A function in FROM: its arguments may name the items before it; its rows are opaque."""
    block = reader.block(around, low)
    if isinstance(schema, exp.Identifier):
        block.qualified(schema, node)
    else:
        block.visit(node)
    called = node.expression if isinstance(node, exp.Dot) else node
    own = function_name(called) if isinstance(called, exp.Anonymous) else None
    if isinstance(called, exp.GenerateSeries):
        own = "generate_series"
    shown = alias or own
    if schema is not None and name_of(schema) != "pg_catalog":
        own = None  # what it returns is not what the built-in of its name does
    fields: tuple[str, ...] | None = SET_RETURNING.get(own) if own is not None else None
    single = own in ("generate_series", "generate_subscripts") and shown is not None
    labels = names or list(fields or ((shown,) if single and shown else ()))
    columns = tuple(Col(label, reader.ledger.column(), None) for label in labels)
    # A name that is not listed may still be one of the function's own.
    entry = Entry(shown, columns, open=not single and not names)
    return Relation((entry,), columns, standings=block.take(), low=low)


def _unnest(
    reader: Reader,
    node: exp.Unnest,
    alias: str | None,
    names: list[str],
    *,
    around: Env,
    low: int,
) -> Relation:
    block = reader.block(around, low)
    for part in node.expressions:
        block.visit(part)
    offset = node.args.get("offset")
    labels = [*names]
    if isinstance(offset, exp.Identifier):
        labels.append(name_of(offset))
    elif len(node.expressions) == 1 and not names and not offset:
        labels.append(alias or "unnest")
    columns = tuple(Col(label, reader.ledger.column(), None) for label in labels)
    entry = Entry(alias or "unnest", columns, open=len(names) < len(node.expressions))
    return Relation((entry,), columns, standings=block.take(), low=low)
