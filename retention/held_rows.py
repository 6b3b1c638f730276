"""Which of some rows are under a hold, asked behind the gate by a batch or a write.

Invariant: an answer is worth something only in a transaction that has passed the gate before,
over rows that it has locked. A row is held by key, by a condition on it, or because it is a
subject or refers to one, over any number of rows; and it is needed where a row that is held
refers to it, over any number of rows. Nothing here is decided by what a row was when the hold
was placed: whatever the database says now counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from psycopg2 import sql

from retention.graph import Edge
from retention.hold_records import RowHold, standing_holds
from retention.hold_scopes import below, met, table_of, tables_named
from retention.statements import kind_of, table
from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.context import TenantId

#: Ids, as text, by table.
Rows = Mapping[TableName, Collection[str]]
#: A row: its table, and its id as text.
Node = tuple[TableName, str]
T = TypeVar("T")


@dataclass
class HeldRows:
    """Asks about rows of one tenant. `edges` are all by which a row is held (`held_edges`).

    Of tables that are `closed` to who asks (archives, to the application) nothing is read: which of
    their rows are a held subject's was noted when the hold was placed, and none has come since.
    """

    cursor: Cursor
    tenant_id: TenantId
    edges: Sequence[Edge]
    holds: Sequence[RowHold]
    closed: Collection[TableName] = ()
    round_trips: int = 0

    def among(self, rows: Rows) -> dict[Node, RowHold]:
        """Return those of the rows that are held, each with a hold it is under."""
        found: dict[Node, RowHold] = {}
        for hold in self.holds:
            if hold.scope.kind == "subject":
                continue
            for name in sorted(tables_named(hold.scope, self.edges)):
                ids = list(rows.get(name, ()))
                if ids:
                    asked = self._by_key if hold.scope.kind == "rows" else self._by_condition
                    for row_id in asked(hold, name, ids):
                        found.setdefault((name, row_id), hold)
        for node, hold in self._by_subject(rows).items():
            found.setdefault(node, hold)
        return found

    def needed(self, rows: Rows) -> dict[Node, RowHold]:
        """Return those of the rows that are held, or that a held row refers to over others.

        What is in an archive needs nothing to be whole, and is needed by nothing.
        """
        referred: dict[Node, set[Node]] = defaultdict(set)
        reached: dict[TableName, set[str]] = {name: set(ids) for name, ids in rows.items()}
        leading = self._leading()
        fresh: Rows = reached
        while fresh:
            found: dict[TableName, set[str]] = defaultdict(set)
            for edge in self.edges:
                if edge.child in leading and fresh.get(edge.parent) and not edge.archived:
                    for child, parent in self._children(edge, list(fresh[edge.parent])):
                        referred[edge.child, child].add((edge.parent, parent))
                        if child not in reached.get(edge.child, ()):
                            found[edge.child].add(child)
            fresh = found
            for name, ids in found.items():
                reached[name] = reached.get(name, set()) | ids
        needed = spread(self.among(reached), referred)
        return {(t, i): needed[t, i] for t, ids in rows.items() for i in ids if (t, i) in needed}

    # -- the three ways to be held ---------------------------------------------------------

    def _by_key(self, hold: RowHold, name: TableName, ids: list[str]) -> list[str]:
        asked = sql.SQL(
            "SELECT k.row_id::text FROM tenure.hold_rows k WHERE k.tenant_id = %(tenant)s::uuid"
            " AND k.hold_id = %(hold)s::uuid AND k.table_name = %(table)s"
            " AND k.row_id = ANY(%(ids)s::uuid[])"
        )
        known = {"hold": str(hold.id), "table": str(name), "ids": ids}
        return [row[0] for row in self._ask(asked, known)]

    def _by_condition(self, hold: RowHold, name: TableName, ids: list[str]) -> list[str]:
        asked = sql.SQL(
            "SELECT r.id::text FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {met}"
        ).format(table=table(name), met=met(hold.scope))
        return [row[0] for row in self._ask(asked, {"ids": ids})]

    def _by_subject(self, rows: Rows) -> dict[Node, RowHold]:
        subjects = {
            (table_of(hold.scope), str(hold.scope.subject)): hold
            for hold in reversed(self.holds)
            if hold.scope.kind == "subject"
        }
        below_any: set[TableName] = set()
        for name, _ in subjects:
            below_any |= below(self.edges, name)
        referring: dict[Node, set[Node]] = defaultdict(set)
        reached = {name: set(ids) for name, ids in rows.items() if name in below_any}
        fresh: Mapping[TableName, set[str]] = reached
        while any(fresh.values()):
            found: dict[TableName, set[str]] = defaultdict(set)
            for child, parent in self.references(fresh, below_any):
                referring[parent].add(child)
                if parent[1] not in reached.get(parent[0], ()):
                    found[parent[0]].add(parent[1])
            fresh = found
            for name, ids in found.items():
                reached[name] = reached.get(name, set()) | ids
        met_on_the_way = {n: h for n, h in subjects.items() if n[1] in reached.get(n[0], ())}
        met_on_the_way |= self._noted(reached)
        under = spread(met_on_the_way, referring)
        return {(t, i): under[t, i] for t, ids in rows.items() for i in ids if (t, i) in under}

    def _noted(self, reached: Mapping[TableName, set[str]]) -> dict[Node, RowHold]:
        """Return those rows of closed tables that were a held subject's when it came under hold."""
        holds = {str(hold.id): hold for hold in self.holds if hold.scope.kind == "subject"}
        found: dict[Node, RowHold] = {}
        for name in self.closed:
            if holds and reached.get(name):
                asked = sql.SQL(
                    "SELECT k.row_id::text, k.hold_id::text FROM tenure.hold_rows k"
                    " WHERE k.tenant_id = %(tenant)s::uuid AND k.hold_id = ANY(%(holds)s::uuid[])"
                    " AND k.table_name = %(table)s AND k.row_id = ANY(%(ids)s::uuid[])"
                )
                known = {"holds": list(holds), "table": str(name), "ids": list(reached[name])}
                for row_id, hold_id in self._ask(asked, known):
                    found[name, row_id] = holds[hold_id]
        return found

    # -- references --------------------------------------------------------------------------

    def _leading(self) -> set[TableName]:
        """Return the tables whose rows may be held, or be referred to by one that is."""
        found: set[TableName] = set()
        for hold in self.holds:
            if hold.scope.kind == "subject":
                found |= below(self.edges, table_of(hold.scope))
            else:
                found |= tables_named(hold.scope, self.edges)
        while more := {e.parent for e in self.edges if e.child in found} - found:
            found |= more
        return found

    def _children(self, edge: Edge, ids: list[str]) -> list[tuple[str, str]]:
        asked = sql.SQL(
            "SELECT c.id::text, {column}::text FROM {child} c"
            " WHERE c.tenant_id = %(tenant)s::uuid AND {column} = ANY(%(ids)s::uuid[]){kind}"
        ).format(
            child=table(edge.child), column=sql.Identifier("c", edge.column), kind=kind_of(edge)
        )
        return [(child, parent) for child, parent in self._ask(asked, {"ids": ids})]

    def references(
        self, rows: Mapping[TableName, set[str]], wanted: Collection[TableName]
    ) -> Iterable[tuple[Node, Node]]:
        """Yield (row, what it refers to) for references to tables in `wanted`."""
        for name, ids in rows.items():
            edges = [e for e in self.edges if e.child == name and e.parent in wanted]
            if not ids or not edges or name in self.closed:
                continue
            columns = sorted({c for e in edges for c in (e.column, e.kind_column) if c})
            asked = sql.SQL(
                "SELECT c.id::text, {columns} FROM {child} c"
                " WHERE c.tenant_id = %(tenant)s::uuid AND c.id = ANY(%(ids)s::uuid[])"
            ).format(
                columns=sql.SQL(", ").join(
                    sql.SQL("{}::text").format(sql.Identifier("c", column)) for column in columns
                ),
                child=table(name),
            )
            for row_id, *values in self._ask(asked, {"ids": list(ids)}):
                row = dict(zip(columns, values, strict=True))
                for edge in edges:
                    parent = row[edge.column]
                    if parent and (not edge.kind_column or row[edge.kind_column] == edge.kind):
                        yield (name, row_id), (edge.parent, parent)

    # -- asking ------------------------------------------------------------------------------

    def _ask(self, statement: sql.Composable, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self.round_trips += 1
        self.cursor.execute(statement, {"tenant": str(self.tenant_id), **params})
        return self.cursor.fetchall()


def spread(held: Mapping[Node, T], onward: Mapping[Node, Collection[Node]]) -> dict[Node, T]:
    """Return what `held` reaches by `onward`, itself included, each with what it is held by."""
    found = dict(held)
    todo = list(held)
    while todo:
        node = todo.pop()
        for further in onward.get(node, ()):
            if further not in found:
                found[further] = found[node]
                todo.append(further)
    return found


def held_by(
    cursor: Cursor, edges: Sequence[Edge], tenant_id: TenantId, name: TableName, row_id: UUID
) -> tuple[str, ...]:
    """Return the matters of the holds that keep one row: on its tenant, or else one on the row,
    on what it refers to, or on what refers to it. To look at: there is no gate here."""
    standing = standing_holds(cursor, tenant_id)
    if standing.matters or not standing.on_rows:
        return standing.matters
    node = (name, str(row_id))
    asked = HeldRows(cursor, tenant_id, edges, standing.on_rows)
    found = asked.needed({name: [str(row_id)]}).get(node)
    return () if found is None else (found.matter,)
