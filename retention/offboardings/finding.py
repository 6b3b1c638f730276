"""Which of a tenant's rows go in the next batches: children first, so many at a time.

Each question says how far it came, in no list that could grow old: whoever dies, the next one asks
again. Tables that refer to each other, or to themselves, lose the rows that nothing refers to
first; where all are referred to (a circle of rows), a row goes with all that refers to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from psycopg2 import sql

from retention.graph import Edge, deletion_order, edges_of
from retention.replays.batch import Rows
from retention.statements import kind_of, table
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId


def domain_tables(catalog: Catalog) -> tuple[TableName, ...]:
    """Return all tables whose rows are tenants', archives included."""
    return tuple(t.name for t in catalog if t.kind == "tenant")


def deletes_in_order(catalog: Catalog) -> tuple[tuple[TableName, ...], ...]:
    """Return all of them, children first; those of a circle in one group."""
    return deletion_order(domain_tables(catalog), edges_of(catalog))


@dataclass
class Portions:
    """Yields what goes in a batch each, `limit` rows or, in a circle, few more; `kept` are rows
    of circles that a batch left, which are not asked for again."""

    retention: RoleConnections
    tenant_id: TenantId
    catalog: Catalog
    limit: int
    kept: dict[TableName, set[str]] = field(default_factory=dict)

    def all(self) -> Iterator[Rows]:
        """Yield portions until a walk over all tables has come to its end."""
        edges = edges_of(self.catalog)
        for group in deletes_in_order(self.catalog):
            inside = [e for e in edges if e.child in group and e.parent in group]
            yield from self._entangled(group, inside) if inside else self._plain(group[0])

    def _plain(self, name: TableName) -> Iterator[Rows]:
        query = sql.SQL(
            "SELECT r.id::text FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND (%(after)s::uuid IS NULL OR r.id > %(after)s::uuid) ORDER BY r.id LIMIT %(limit)s"
        ).format(table(name))
        after = None
        while True:
            with self._cursor() as cursor:
                found = self._ids(cursor, query, name, after=after)
            if not found:
                return
            yield {name: set(found)}
            after = found[-1]

    def _entangled(self, group: Sequence[TableName], inside: Sequence[Edge]) -> Iterator[Rows]:
        again = True
        while again:
            again = False
            for name in group:
                with self._cursor() as cursor:
                    found = self._leaves(cursor, name, inside)
                if found:
                    again = True
                    yield {name: set(found)}
                    self._leave(name, found)
        for name in group:
            while True:
                with self._cursor() as cursor:
                    rows = self._circle(cursor, name, inside)
                if not rows:
                    break
                yield rows
                for each, ids in rows.items():
                    self._leave(each, ids)

    def _leave(self, name: TableName, ids: Collection[str]) -> None:
        """Whatever is still there of them was left by the batch: ask for it no more."""
        query = sql.SQL(
            "SELECT r.id::text FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[])"
        ).format(table(name))
        with self._cursor() as cursor:
            cursor.execute(query, {"tenant": str(self.tenant_id), "ids": list(ids)})
            left = {row[0] for row in cursor.fetchall()}
        if left:
            self.kept.setdefault(name, set()).update(left)

    def _leaves(self, cursor: Cursor, name: TableName, inside: Sequence[Edge]) -> list[str]:
        unreferenced = [
            sql.SQL(
                " AND NOT EXISTS (SELECT FROM {child} c WHERE c.tenant_id = r.tenant_id"
                " AND {column} = r.id{kind}{other})"
            ).format(
                child=table(e.child),
                column=sql.Identifier("c", e.column),
                kind=kind_of(e),
                other=sql.SQL(" AND c.id <> r.id" if e.child == e.parent else ""),
            )
            for e in inside
            if e.parent == name
        ]
        query = sql.SQL(
            "SELECT r.id::text FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id <> ALL(%(kept)s::uuid[]){} ORDER BY r.id DESC LIMIT %(limit)s"
        ).format(table(name), sql.SQL("").join(unreferenced))
        return self._ids(cursor, query, name)

    def _circle(
        self, cursor: Cursor, name: TableName, inside: Sequence[Edge]
    ) -> dict[TableName, set[str]]:
        """Return rows of `name` with all that refers to them, over any number of references."""
        query = sql.SQL(
            "SELECT r.id::text FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id <> ALL(%(kept)s::uuid[]) ORDER BY r.id DESC LIMIT %(limit)s"
        ).format(table(name))
        seeds = self._ids(cursor, query, name)
        while seeds:
            rows = self._closed(cursor, {name: set(seeds)}, inside)
            if len(seeds) == 1 or sum(map(len, rows.values())) <= 4 * self.limit:
                return rows
            seeds = seeds[: len(seeds) // 2]
        return {}

    def _closed(
        self, cursor: Cursor, rows: Mapping[TableName, set[str]], inside: Sequence[Edge]
    ) -> dict[TableName, set[str]]:
        reached = {each: set(ids) for each, ids in rows.items()}
        fresh = dict(reached)
        while fresh:
            found: dict[TableName, set[str]] = {}
            for edge in inside:
                if not fresh.get(edge.parent):
                    continue
                query = sql.SQL(
                    "SELECT c.id::text FROM {} c WHERE c.tenant_id = %(tenant)s::uuid"
                    " AND {} = ANY(%(ids)s::uuid[]){}"
                ).format(table(edge.child), sql.Identifier("c", edge.column), kind_of(edge))
                known = {"tenant": str(self.tenant_id), "ids": list(fresh[edge.parent])}
                cursor.execute(query, known)
                more = {row[0] for row in cursor.fetchall()} - reached.get(edge.child, set())
                if more:
                    found.setdefault(edge.child, set()).update(more)
            for each, ids in found.items():
                reached.setdefault(each, set()).update(ids)
            fresh = found
        return reached

    def _ids(
        self, cursor: Cursor, query: sql.Composable, name: TableName, after: str | None = None
    ) -> list[str]:
        known = {
            "tenant": str(self.tenant_id),
            "kept": list(self.kept.get(name, ())),
            "limit": self.limit,
            "after": after,
        }
        cursor.execute(query, known)
        return [row[0] for row in cursor.fetchall()]

    def _cursor(self) -> AbstractContextManager[Cursor]:
        return self.retention.transaction(self.tenant_id, read_only=True)
