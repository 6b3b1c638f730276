"""The rows under a hold when it is placed: counted, and noted by key.

What is noted is for whoever asks later whether a row that was held is still there; of a hold on
rows it is the hold itself. Everything runs in the placing transaction, behind the gate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention.errors import HoldError
from retention.graph import held_edges
from retention.hold_scopes import Ground, Scope, numbered, rows_under, table_of
from retention.statements import table
from tenants.connections import Cursor
from tenants.context import TenantId


def count_rows(cursor: Cursor, tenant_id: TenantId, scope: Scope, ground: Ground) -> dict[str, int]:
    """Return how many rows per table a hold of this checked scope would be on now.

    As tenure_retention under the tenant. Raises HoldError where a row that is named is not there.
    """
    if scope.kind == "rows":
        _require_rows(cursor, tenant_id, scope, scope.rows)
        return {str(scope.table): len(set(scope.rows))}
    if scope.subject is not None:
        _require_rows(cursor, tenant_id, scope, (scope.subject,))
    numbers = numbered(ground.catalog)
    asked = sql.SQL("SELECT u.t, count(*) FROM ({under}) u(t, id) GROUP BY u.t").format(
        under=_under(scope, ground)
    )
    cursor.execute(asked, {"tenant": str(tenant_id)})
    found = dict(cursor.fetchall())
    return {str(name): found[number] for name, number in numbers.items() if number in found}


def _under(scope: Scope, ground: Ground) -> sql.Composable:
    return rows_under(
        scope,
        held_edges(ground.catalog),
        numbered(ground.catalog),
        tenant=sql.SQL("%(tenant)s::uuid"),
        hold=sql.SQL("%(hold)s::uuid"),
    )


def _require_rows(cursor: Cursor, tenant_id: TenantId, scope: Scope, ids: Collection[UUID]) -> None:
    asked = sql.SQL(
        "SELECT w.id::text FROM unnest(%(ids)s::uuid[]) w(id) WHERE NOT EXISTS"
        " (SELECT FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid AND r.id = w.id)"
        " ORDER BY w.id LIMIT 4"
    ).format(table=table(table_of(scope)))
    cursor.execute(asked, {"tenant": str(tenant_id), "ids": list(map(str, ids))})
    missing = [row[0] for row in cursor.fetchall()]
    if missing:
        more = ", .." if len(missing) > 3 else ""
        raise HoldError(f"{scope.table} of this tenant has no row {', '.join(missing[:3])}{more}")


def keep_keys(cursor: Cursor, scope: Scope, ground: Ground, known: Mapping[str, Any]) -> None:
    """Note the keys of the rows under a hold; `known` has its tenant, hold and table."""
    if scope.kind == "rows":
        keys: sql.Composable = sql.SQL(
            "SELECT DISTINCT %(table)s, w.id FROM unnest(%(ids)s::uuid[]) w(id)"
        )
        known = {**known, "ids": list(map(str, scope.rows))}
    else:
        names = [
            sql.SQL("({}, {})").format(sql.Literal(number), sql.Literal(str(name)))
            for name, number in numbered(ground.catalog).items()
        ]
        keys = sql.SQL(
            "SELECT n.name, u.id FROM ({under}) u(t, id) JOIN (VALUES {names}) n(t, name)"
            " ON n.t = u.t"
        ).format(under=_under(scope, ground), names=sql.SQL(", ").join(names))
    cursor.execute(
        sql.SQL(
            "INSERT INTO tenure.hold_rows (tenant_id, hold_id, table_name, row_id)"
            " SELECT %(tenant)s::uuid, %(hold)s::uuid, k.name, k.id FROM ({keys}) k(name, id)"
        ).format(keys=keys),
        known,
    )
