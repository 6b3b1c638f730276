"""What a hold is on, as values, and the SQL for the rows under it.

A tenant; a subject, which is a row and all that refers to it, over any number of references,
softly or by foreign key, and what was archived of that; the rows of a table, and of its archives,
that meet a condition; or rows by key. Pure: made from the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from psycopg2 import sql

from retention.errors import HoldError
from retention.graph import Edge
from retention.statements import kind_of, table
from tenants.catalog import Catalog, TableName
from tenants.errors import CatalogError

ScopeKind = Literal["tenant", "subject", "table", "rows"]
SCOPES: tuple[ScopeKind, ...] = get_args(ScopeKind)

#: Keys that a hold may name, and keys that are kept of one when it is placed.
MOST_KEYS = 100_000

#: Takes a schema, a table and a condition; returns None, or why it is none on the row `r` alone.
ConditionCheck = Callable[[str, str, str], str | None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold is on: `table` but for a tenant, and what its kind needs beside it."""

    kind: ScopeKind = "tenant"
    table: TableName | None = None
    subject: UUID | None = None
    condition: str | None = None
    rows: tuple[UUID, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case "tenant":
                return "all rows of the tenant"
            case "subject":
                return f"{self.table} {self.subject} and all that refers to it"
            case "table":
                return f"{self.table} where {self.condition}"
        return f"rows of {self.table}"


TENANT = Scope()


@dataclass(frozen=True)
class Ground:
    """What a scope is checked against: the tables there are, and the prover of conditions."""

    catalog: Catalog
    check: ConditionCheck

    def checked(self, scope: Scope) -> Scope:
        """Return the scope; raises HoldError for one that is on nothing there is."""
        if scope.kind == "tenant":
            return scope
        try:
            found = self.catalog.table(scope.table or "")
        except CatalogError as error:
            raise HoldError(str(error)) from error
        if found.kind != "tenant":
            raise HoldError(f"{found.name} is a global table: no tenant's rows are in it")
        if scope.condition is not None:
            wrong = self.check(found.name.schema, found.name.name, scope.condition)
            if wrong is not None:
                raise HoldError(f"the condition is refused: {wrong}")
        if scope.kind == "rows" and not 0 < len(scope.rows) <= MOST_KEYS:
            raise HoldError(
                f"a hold on rows names 1 to {MOST_KEYS} of them, got {len(scope.rows)}; "
                "hold more by a condition"
            )
        return scope


def numbered(catalog: Catalog, first: Iterable[TableName] = ()) -> dict[TableName, int]:
    """Return a number for every tenant table, those of `first` in their order before others."""
    names = dict.fromkeys([*first, *(t.name for t in catalog if t.kind == "tenant")])
    return {name: number for number, name in enumerate(names)}


def below(edges: Iterable[Edge], top: TableName) -> frozenset[TableName]:
    """Return the tables whose rows may refer to rows of `top`, over others; `top` is one."""
    edges = tuple(edges)
    found = {top}
    while more := {e.child for e in edges if e.parent in found} - found:
        found |= more
    return frozenset(found)


def leading_to(edges: Iterable[Edge], tables: Collection[TableName]) -> tuple[Edge, ...]:
    """Return the edges by which rows of these tables are reached from above, over others."""
    edges = tuple(edges)
    wanted = set(tables)
    while more := {e.parent for e in edges if e.child in wanted} - wanted:
        wanted |= more
    return tuple(edge for edge in edges if edge.child in wanted)


def rows_under(
    scope: Scope,
    edges: Iterable[Edge],
    numbers: Mapping[TableName, int],
    *,
    tenant: sql.Composable,
    hold: sql.Composable,
) -> sql.Composable:
    """Return a query for (number of the table, id) of the rows under a hold, each once.

    `edges` are those by which a subject's, and archives, are found; `tenant` and `hold` are
    expressions. A hold
    on rows is asked for what `tenure.hold_rows` has of it.
    """
    match scope.kind:
        case "tenant":
            parts = [
                sql.SQL("SELECT {number}, r.id FROM {table} r WHERE r.tenant_id = {tenant}").format(
                    number=sql.Literal(number), table=table(name), tenant=tenant
                )
                for name, number in numbers.items()
            ]
            return sql.SQL(" UNION ALL ").join(parts)
        case "table":
            return sql.SQL(" UNION ALL ").join(
                sql.SQL("{select} AND {met}").format(
                    select=_of_table(name, numbers, tenant), met=met(scope)
                )
                for name in sorted(tables_named(scope, edges))
            )
        case "rows":
            return sql.SQL(
                "SELECT {number}, k.row_id FROM tenure.hold_rows k WHERE k.tenant_id = {tenant}"
                " AND k.hold_id = {hold} AND k.table_name = {name}"
            ).format(
                number=sql.Literal(numbers[table_of(scope)]),
                tenant=tenant,
                hold=hold,
                name=sql.Literal(str(scope.table)),
            )
    return _under_subject(scope, edges, numbers, tenant)


def met(scope: Scope) -> sql.Composable:
    """Return the condition of a hold on a table, on the row `r`, for a query with parameters."""
    # Proven when the hold was placed: it cannot reach past its parentheses.
    text = (scope.condition or "false").replace("%", "%%")
    return sql.SQL("(\n" + text + "\n)")


def _under_subject(
    scope: Scope, edges: Iterable[Edge], numbers: Mapping[TableName, int], tenant: sql.Composable
) -> sql.Composable:
    top = table_of(scope)
    first = sql.SQL("{select} AND r.id = {subject}::uuid").format(
        select=_of_table(top, numbers, tenant), subject=sql.Literal(str(scope.subject))
    )
    return rows_from(first, top, edges, numbers, tenant=tenant)


def rows_from(
    first: sql.Composable,
    top: TableName,
    edges: Iterable[Edge],
    numbers: Mapping[TableName, int],
    *,
    tenant: sql.Composable,
) -> sql.Composable:
    """Return a query for (number of the table, id) of what `first` selects of `top`, and of all
    that refers to it over these edges, each once."""
    edges = tuple(edges)
    reached = below(edges, top)
    steps = [
        sql.SQL(
            "SELECT {child_no}, c.id FROM {child} c WHERE u.t = {parent_no}"
            " AND c.tenant_id = {tenant} AND {column} = u.id{kind}"
        ).format(
            child_no=sql.Literal(numbers[edge.child]),
            child=table(edge.child),
            parent_no=sql.Literal(numbers[edge.parent]),
            tenant=tenant,
            column=sql.Identifier("c", edge.column),
            kind=kind_of(edge),
        )
        for edge in edges
        if edge.parent in reached
    ]
    if not steps:
        return first
    return sql.SQL(
        "WITH RECURSIVE u(t, id) AS ({first} UNION SELECT e.* FROM u CROSS JOIN LATERAL"
        " ({steps}) e) SELECT t, id FROM u"
    ).format(first=first, steps=sql.SQL(" UNION ALL ").join(steps))


def _of_table(
    name: TableName, numbers: Mapping[TableName, int], tenant: sql.Composable
) -> sql.Composable:
    return sql.SQL("SELECT {number}, r.id FROM {table} r WHERE r.tenant_id = {tenant}").format(
        number=sql.Literal(numbers[name]), table=table(name), tenant=tenant
    )


def tables_named(scope: Scope, edges: Iterable[Edge]) -> frozenset[TableName]:
    """Return the tables whose rows a hold on less than a tenant is on by itself: its own, and that
    table's archives where it has a condition. (What was archived of a subject is under it over the
    edges; a row that is held by its key is there.)"""
    name = table_of(scope)
    if scope.kind != "table":
        return frozenset({name})
    return frozenset({name, *(e.child for e in edges if e.is_copy and e.parent == name)})


def table_of(scope: Scope) -> TableName:
    """Return the table of a hold on less than a tenant; raises HoldError without one."""
    if scope.table is None:
        raise HoldError(f"a hold on a {scope.kind} names its table")
    return scope.table
