"""WITH: each reference reads the query anew; writes are read once; recursion is a fixpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.env import CommonTable, Env
from lint.prover.facts import Const, Facts, translate
from lint.prover.nodes import name_of
from lint.prover.reader import Reader
from lint.prover.relation import Col, Output, Standing
from lint.prover.setops import by_position, carried, position_family

_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


def with_clause(reader: Reader, clause: exp.With, env: Env) -> Env:
    """The environment in which the query that carries this WITH is read."""
    recursive = bool(clause.args.get("recursive"))
    names = [name_of(cte.args["alias"].this) for cte in clause.expressions]
    if len(set(names)) != len(names):
        raise CannotProve("two WITH queries of one name")
    inner = env
    for index, (name, cte) in enumerate(zip(names, clause.expressions, strict=True)):
        visible = inner
        if recursive:
            # PostgreSQL lets them refer to later ones; then the order is another.
            for later in names[index + 1 :]:
                visible = visible.with_table(CommonTable(later, _refuse(later)))
        columns = [name_of(column) for column in cte.args["alias"].columns]
        table = _common_table(reader, name, cte.this, columns, visible, recursive=recursive)
        inner = inner.with_table(table)
    return inner


def _common_table(
    reader: Reader,
    name: str,
    body: exp.Expr,
    columns: list[str],
    visible: Env,
    *,
    recursive: bool,
) -> CommonTable:
    if isinstance(body, _WRITES):
        if not visible.top:
            raise CannotProve("a write in a WITH that is not outermost")
        written = reader.write(body, visible.nested())
        reader.ledger.settle_for_good(written.standings)
        return CommonTable(name, lambda: renamed(_copy(reader, written), columns), used=True)
    nested = visible.nested()
    if recursive and isinstance(body, exp.Union) and _mentions(body, name):
        table = CommonTable(name, lambda: recursion(reader, name, body, columns, nested))
    else:
        if recursive:
            nested = nested.with_table(CommonTable(name, _refuse(name)))
        table = CommonTable(name, lambda: renamed(reader.query(body, nested), columns))
    reader.defined.append(table)
    return table


def _refuse(name: str) -> Callable[[], Output]:
    def refuse() -> Output:
        raise CannotProve(f"WITH query {name} refers to itself or to a later one")

    return refuse


def _mentions(body: exp.Expr, name: str) -> bool:
    return any(
        isinstance(table.this, exp.Identifier)
        and not table.args.get("db")
        and name_of(table.this) == name
        for table in body.find_all(exp.Table)
    )


def renamed(output: Output, names: list[str]) -> Output:
    """With the column names of an alias list, which may be shorter than the columns."""
    if not names:
        return output
    if output.wide or len(names) > len(output.columns):
        raise CannotProve("a column list does not fit the columns")
    columns = tuple(
        replace(col, name=names[index]) if index < len(names) else col
        for index, col in enumerate(output.columns)
    )
    return replace(output, columns=columns)


def _copy(reader: Reader, output: Output) -> Output:
    """The rows of a write as one reference sees them: columns of its own, nothing to prove."""
    low = reader.ledger.mark()
    targets = [reader.ledger.column() for _ in output.columns]
    columns = tuple(
        col.again(target) if isinstance(col.term, int) else col
        for col, target in zip(output.columns, targets, strict=True)
    )
    return Output(columns, by_position(output, targets, 0), {}, low, output.wide)


def recursion(reader: Reader, name: str, body: exp.Union, names: list[str], env: Env) -> Output:
    """`base UNION [ALL] step`, where the step names the result.

    Facts: the greatest set that holds of the base and, assumed of the result, of the step.
    Carriers: a position carries if the step makes its rows with T there only out of rows with
    T there; by induction over the rounds that is true of the result.
    """
    if any(body.args.get(key) for key in ("with_", "order", "limit", "offset")):
        raise CannotProve("ORDER BY, LIMIT or WITH around a recursive UNION")
    ledger = reader.ledger
    low = ledger.mark()
    base_env = env.with_table(CommonTable(name, _refuse(name)))
    base = renamed(reader.query(body.this, base_env), names)
    if base.wide:
        raise CannotProve("a recursive query whose columns are not known")
    # The base decides the types: a value that stands alone there has that of its own.
    base = replace(
        base,
        columns=tuple(
            replace(c, family=c.family or (c.term.alone if isinstance(c.term, Const) else None))
            for c in base.columns
        ),
    )
    positions = [ledger.column() for _ in base.columns]
    assumed = by_position(base, positions, low)
    for _ in range(2 * len(positions) + 3):
        step, probes = _step(
            reader,
            name,
            body.expression,
            base=base,
            positions=positions,
            assumed=assumed,
            env=env,
            low=low,
        )
        held = assumed.either(ledger.close(by_position(step, positions, low)))
        if _same(held, assumed):
            return _result(
                reader,
                base,
                step,
                probes=probes,
                positions=positions,
                assumed=assumed,
                low=low,
            )
        assumed = held
    raise CannotProve("recursion does not settle")


def _step(
    reader: Reader,
    name: str,
    body: exp.Expr,
    *,
    base: Output,
    positions: list[int],
    assumed: Facts,
    env: Env,
    low: int,
) -> tuple[Output, list[int]]:
    """Read the step once. The probes are pretended occurrences, one per position."""
    ledger = reader.ledger
    probes = [ledger.column() for _ in positions]
    table = CommonTable(name, _refuse(name))
    reads: list[int] = []

    def read() -> Output:
        if reads:
            raise CannotProve(f"recursive query {name} is read twice in one step")
        start = ledger.mark()
        reads.append(start)
        columns = tuple(Col(col.name, ledger.column(), col.family) for col in base.columns)
        copies = {
            position: [col.term]
            for position, col in zip(positions, columns, strict=True)
            if isinstance(col.term, int)
        }
        outer = {t for g in assumed.classes for t in g if isinstance(t, int) and t < low}
        outer |= {column for column in assumed.not_null if column < low}
        standings = {
            probe: Standing(frozenset(), frozenset((col.term,)))
            for probe, col in zip(probes, columns, strict=True)
            if isinstance(col.term, int)
        }
        return Output(columns, translate(assumed, copies, outer), standings, start)

    table.read = read
    step = reader.query(body, env.with_table(table))
    if step.wide or len(step.columns) != len(base.columns):
        raise CannotProve("the step of a recursive query has other columns than its base")
    return step, probes


def _same(one: Facts, other: Facts) -> bool:
    return set(one.classes) == set(other.classes) and one.not_null == other.not_null


def _result(
    reader: Reader,
    base: Output,
    step: Output,
    *,
    probes: list[int],
    positions: list[int],
    assumed: Facts,
    low: int,
) -> Output:
    columns: list[Col] = []
    carrying: list[int | None] = []
    for index, (one, other) in enumerate(zip(base.columns, step.columns, strict=True)):
        position = positions[index]
        family = position_family(one, other)
        columns.append(Col(one.name, position, family))
        standing = step.standings.get(probes[index], Standing())
        survives = family is not None and other.term in standing.carriers
        carrying.append(position if survives else None)
    standings = {**carried(base, carrying, low), **carried(step, carrying, low)}
    for probe in probes:
        standings.pop(probe, None)
    return Output(tuple(columns), reader.ledger.close(assumed), standings, low)
