"""Looks afresh, as tenure_verifier, how much of what went is there: with keys hashed and compared
in another way than what has them go, and values looked at with the verification's own eyes."""

from __future__ import annotations

from collections.abc import Collection

from psycopg2 import sql

from retention.replays.finding import twins
from retention.replays.wanted import Wanted
from retention.verification_queries import name_of
from retention.verification_rules import is_treated
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor

_PORTION = 20_000


def still_there(cursor: Cursor, catalog: Catalog, wanted: Wanted) -> dict[str, int]:
    """Return per table, and for changes what they were, how many rows are there that went."""
    found: dict[str, int] = {}
    deleted: dict[TableName, set[bytes]] = {}
    for name, hashes in wanted.deleted.items():
        for twin in twins(catalog, name):
            deleted.setdefault(twin, set()).update(hashes)
            count = _count(cursor, wanted, twin, hashes, sql.SQL("true"))
            found[str(twin)] = found.get(str(twin), 0) + count
    for how, hashes in wanted.changed.items():
        for twin in twins(catalog, how.table):
            columns = catalog.table(twin)
            undone = sql.SQL("NOT ({})").format(
                sql.SQL(" AND ").join(
                    is_treated(t, columns.column(t.column), "x") for t in how.treatments
                )
            )
            left = hashes - deleted.get(twin, set())
            what = f"{twin}: not changed"
            found[what] = found.get(what, 0) + _count(cursor, wanted, twin, left, undone)
    return {what: count for what, count in found.items() if count}


def _count(
    cursor: Cursor,
    wanted: Wanted,
    name: TableName,
    hashes: Collection[bytes],
    condition: sql.Composable,
) -> int:
    """Count rows whose key is among these, portion by portion, by a join."""
    query = sql.SQL(
        "SELECT count(*) FROM (SELECT encode(sha256(uuid_send(x.id)), 'hex') AS digest"
        " FROM {} x WHERE x.tenant_id = %(tenant)s::uuid AND {}) there"
        " JOIN unnest(%(keys)s::text[]) k(begins) ON left(there.digest, 32) = k.begins"
    ).format(name_of(name), condition)
    ordered, total = sorted(hashes), 0
    for at in range(0, len(ordered), _PORTION):
        keys = [one.hex() for one in ordered[at : at + _PORTION]]
        cursor.execute(query, {"tenant": str(wanted.tenant_id), "keys": keys})
        ((count,),) = cursor.fetchall()
        total += count
    return total
