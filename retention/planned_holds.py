"""What the planner counts as held: the rows under holds on less than a tenant, as sets.

The planner looks at many tenants in one statement; the batches, which decide, ask again row by
row (`retention.held_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql

from retention.graph import Edge, Family, held_edges
from retention.hold_records import Hold
from retention.hold_scopes import below, leading_to, numbered, rows_under, table_of, tables_named
from tenants.catalog import Catalog, TableName

#: Stands where `blocked` names who refers to a row.
HELD = "a legal hold"


def held_among_reach(
    holds: Sequence[Hold], family: Family, catalog: Catalog
) -> list[sql.Composable]:
    """Return a query per hold for the rows under it among `reach`, as `blocked` has them.

    Tables have their numbers in the family. Holds that none of its tables can be under are
    left out.
    """
    numbers = numbered(catalog, family.members)
    edges = held_edges(catalog)
    # Ways that lead to none of its tables are not walked.
    leading = leading_to(edges, family.members)
    return [
        sql.SQL(
            "SELECT w.t, w.tenant_id, w.id, {held} FROM reach w"
            " JOIN ({under}) h(t, id) ON h.t = w.t AND h.id = w.id AND w.tenant_id = {tenant}"
        ).format(
            held=sql.Literal(HELD),
            under=rows_under(
                hold.scope, leading, numbers, tenant=_uuid(hold.tenant_id), hold=_uuid(hold.id)
            ),
            tenant=_uuid(hold.tenant_id),
        )
        for hold in holds
        if not _tables_under(hold, edges).isdisjoint(family.members)
    ]


def _tables_under(hold: Hold, edges: Sequence[Edge]) -> frozenset[TableName]:
    if hold.scope.kind == "subject":
        return below(edges, table_of(hold.scope))
    return tables_named(hold.scope, edges)


def _uuid(value: object) -> sql.Composable:
    return sql.SQL("{}::uuid").format(sql.Literal(str(value)))
