"""SQL for rows that are written out: as JSON's text, and as cells for CSV.

PostgreSQL writes the values, so that none is squeezed through a type of Python's: dates before
Christ, instants that are infinite, numbers of any length. In JSON, numbers that others might
round (numeric, bigint) are texts; in CSV all are as in JSON. Every query names the tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from retention.hold_scopes import rows_from
from retention.statements import table as quoted
from retention.subjects import Reach
from tenants.catalog import Column, Table

#: Numbers that JSON's readers would take for binary floating point, and round.
_EXACT = ("numeric", "bigint")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision", "real")


@dataclass(frozen=True)
class Selection:
    """Rows of a table: those `r` for which `where` holds, in the order of their keys."""

    table: Table
    where: sql.Composable
    params: Mapping[str, Any]

    def as_json(self) -> sql.Composable:
        """Return a query for each row as the text of a JSON object."""
        values = [
            sql.SQL("{} AS {}").format(_json_value(c), sql.Identifier(c.name))
            for c in self.table.columns
        ]
        return sql.SQL("SELECT (SELECT row_to_json(x)::text FROM (SELECT {}) x) {}").format(
            sql.SQL(", ").join(values), self._rest()
        )

    def as_cells(self) -> sql.Composable:
        """Return a query for each row's values as texts, in the order of the columns."""
        cells = sql.SQL(", ").join(map(_cell, self.table.columns))
        return sql.SQL("SELECT {} {}").format(cells, self._rest())

    def _rest(self) -> sql.Composable:
        return sql.SQL("FROM {} r WHERE {} ORDER BY {}").format(
            quoted(self.table.name), self.where, sql.Identifier("r", self.table.primary_key[-1])
        )


def is_number(column: Column) -> bool:
    """Tell whether a column's values are numbers, so that no cell of it is a formula."""
    return _base(column) in _NUMBERS


def of_tenant(table: Table, tenant_id: str) -> Selection:
    """Return all rows of a tenant's table that are its."""
    return Selection(table, sql.SQL("r.tenant_id = %(tenant)s::uuid"), {"tenant": tenant_id})


def of_subject(table: Table, reach: Reach, tenant_id: str, key: str) -> Selection:
    """Return the rows of a reached table that are the subject's whose key this is.

    Only the ways that lead to this table are walked.
    """
    wanted = {table.name}
    while more := {e.parent for e in reach.edges if e.child in wanted} - wanted:
        wanted |= more
    edges = [e for e in reach.edges if e.child in wanted and e.parent in wanted]
    numbers = reach.numbers()
    first = sql.SQL("SELECT {}, %(subject)s::uuid").format(sql.Literal(numbers[reach.top]))
    tenant = sql.SQL("%(tenant)s::uuid")
    where = sql.SQL(
        "r.tenant_id = {tenant} AND r.id IN (SELECT s.id FROM ({every}) s(t, id) WHERE s.t = {no})"
    ).format(
        tenant=tenant,
        every=rows_from(first, reach.top, edges, numbers, tenant=tenant),
        no=sql.Literal(numbers[table.name]),
    )
    return Selection(table, where, {"tenant": tenant_id, "subject": key})


def _base(column: Column) -> str:
    return column.type.partition("(")[0]


def _json_value(column: Column) -> sql.Composable:
    value = sql.Identifier("r", column.name)
    return sql.SQL("{}::text").format(value) if _base(column) in _EXACT else value


def _cell(column: Column) -> sql.Composable:
    # Only instants have another form in JSON than as text.
    form = "to_json({}) #>> '{{}}'" if _base(column).startswith("timestamp") else "{}::text"
    return sql.SQL(form).format(sql.Identifier("r", column.name))
