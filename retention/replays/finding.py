"""Which rows that went are there again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from psycopg2 import sql

from retention.deletions import HASH
from retention.graph import archives_in
from retention.replays.wanted import Change, Wanted
from retention.statements import table
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor

_PORTION = 50_000


@dataclass(frozen=True)
class Found:
    """Rows that are there again, ids as text: to delete, by table; to change, by how."""

    delete: Mapping[TableName, set[str]]
    change: Mapping[Change, set[str]]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return rows by table and action."""
        counted: dict[str, dict[str, int]] = defaultdict(dict)
        for name, ids in self.delete.items():
            counted[str(name)]["delete"] = len(ids)
        for change, ids in self.change.items():
            of = counted[str(change.table)]
            of[change.action] = of.get(change.action, 0) + len(ids)
        return dict(counted)

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(sum(of.values()) for of in self.counts().values())


def find(cursor: Cursor, catalog: Catalog, wanted: Wanted) -> Found:
    """Return which rows are there, as a role that sees the tenant's.

    A row that was archived when the backup was made, or since, has its key in another table.
    """
    delete: dict[TableName, set[str]] = defaultdict(set)
    for name, hashes in wanted.deleted.items():
        for twin in twins(catalog, name):
            delete[twin] |= set(_rows(cursor, wanted, twin, hashes, sql.SQL("")))
    change: dict[Change, set[str]] = {}
    for how, hashes in wanted.changed.items():
        for twin in twins(catalog, how.table):
            columns = catalog.table(twin)
            undone = sql.SQL(" AND NOT ({})").format(
                sql.SQL(" AND ").join(
                    t.is_done(columns.column(t.column), "x") for t in how.treatments
                )
            )
            ids = set(_rows(cursor, wanted, twin, hashes, undone)) - delete[twin]
            if ids:
                change[Change(twin, how.action, how.treatments)] = ids
    return Found({name: ids for name, ids in delete.items() if ids}, change)


def twins(catalog: Catalog, name: TableName) -> tuple[TableName, ...]:
    """Return the tables that a row of this one may be in: itself, what it is archived to, or is
    the archive of. None where the catalog has it no more."""
    if all(known.name != name for known in catalog):
        return ()
    archives = archives_in(catalog)
    homes = [home for home, of in archives.items() if name in of] or [name]
    return tuple(dict.fromkeys((name, *homes, *(a for h in homes for a in archives.get(h, ())))))


def _rows(
    cursor: Cursor,
    wanted: Wanted,
    name: TableName,
    hashes: Collection[bytes],
    condition: sql.Composable,
) -> Iterator[str]:
    query = sql.SQL(
        "SELECT x.id::text FROM {} x WHERE x.tenant_id = %(tenant)s::uuid"
        " AND {} = ANY(%(hashes)s::bytea[]){}"
    ).format(table(name), sql.SQL(HASH.format("x.id")), condition)
    ordered = sorted(hashes)
    for at in range(0, len(ordered), _PORTION):
        portion = ordered[at : at + _PORTION]
        array = "{" + ",".join(f'"\\\\x{one.hex()}"' for one in portion) + "}"
        cursor.execute(query, {"tenant": str(wanted.tenant_id), "hashes": array})
        yield from (row[0] for row in cursor.fetchall())
