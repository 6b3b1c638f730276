"""Which of a person's rows go now, which stay for the while, and why.

Invariant: nothing is judged to go that is under a hold or a policy's minimum, nor anything
deleted that such a row refers to, over any number of rows: of others, who lose a reference, a
minimum keeps what its own row refers to, a hold also what is referred to over more. A judgement
says what is there now; it binds nobody: who acts on it has passed the gate before, locks the
rows, and judges again.

The same judgement makes the plan (as tenure_verifier, without locks) and each batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from psycopg2 import sql

from retention.graph import Edge, edges_of, held_edges
from retention.held_rows import HeldRows, Node, spread
from retention.hold_records import RowHold
from retention.policies import Period, Policy, due_if_ever
from retention.rules import minimum_of
from retention.starting_points import readable
from retention.statements import kind_of
from retention.statements import table as quoted
from retention.subject_rows import rows_of
from retention.subjects import Reach, Subject, SubjectTable
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor
from tenants.context import TenantId

Rows = Mapping[TableName, Collection[str]]


@dataclass(frozen=True)
class Case:
    """What a judgement is about: whose rows, by which declaration, under which policies.

    `seeds` are rows that went before, see `retention.subject_rows.rows_of`.
    """

    tenant_id: TenantId
    subject: Subject
    key: UUID
    catalog: Catalog
    policies: Sequence[Policy]
    now: datetime
    seeds: Mapping[TableName, set[str]] = field(default_factory=dict)

    @property
    def reach(self) -> Reach:
        """The tables that hold the person's rows."""
        return self.subject.reach(self.catalog)

    def of(self, name: TableName) -> SubjectTable:
        """What is declared of a table."""
        return self.subject.of(name)


@dataclass(frozen=True, slots=True)
class Minimum:
    """A row under a policy's minimum. `until`: when that is over, None where nobody can say."""

    policy: str
    until: datetime | None


@dataclass(frozen=True)
class Judgement:
    """A person's rows by table, ids as text: all that are `there`; those that were changed
    before, as they should be (`done`); those `going` now, to be deleted or changed.

    `cut` are other people's rows with what they refer to, by the reference that they lose
    because that goes. `held` and `minimum` say why rows stay for the while, each with one reason:
    the row itself, or one that refers to it.
    """

    there: Mapping[TableName, set[str]]
    done: Mapping[TableName, set[str]]
    going: Mapping[TableName, set[str]]
    cut: Mapping[Edge, set[tuple[str, str]]]
    held: Mapping[Node, UUID | None]
    minimum: Mapping[Node, Minimum]

    @property
    def rows(self) -> int:
        """How many rows go now, others' that lose a reference left out."""
        return sum(map(len, self.going.values()))

    @property
    def waits(self) -> bool:
        """True where rows stay that are to go once what keeps them has ended."""
        return bool(self.held or self.minimum)

    @property
    def waits_until(self) -> datetime | None:
        """When the last minimum ends; None with a hold, or where nobody can say."""
        ends = [kept.until for kept in self.minimum.values()]
        if self.held or not ends or None in ends:
            return None
        return max(end for end in ends if end is not None)


def judge(
    cursor: Cursor, case: Case, holds: Sequence[RowHold], *, tenant_held: bool = False
) -> Judgement:
    """Judge a person's rows, as retention in the tenant's context or as verifier.

    `holds` are those in force on less than the tenant; with `tenant_held` one is on all of it.
    """
    return _Judge(cursor, case, holds, tenant_held=tenant_held).judgement()


class _Judge:
    def __init__(
        self, cursor: Cursor, case: Case, holds: Sequence[RowHold], *, tenant_held: bool
    ) -> None:
        self.cursor = cursor
        self.case = case
        self.reach = case.reach
        self.tenant_held = tenant_held
        self.held_rows = HeldRows(cursor, case.tenant_id, held_edges(case.catalog), holds)
        self.references = HeldRows(cursor, case.tenant_id, edges_of(case.catalog), ())

    def judgement(self) -> Judgement:
        case = self.case
        there = rows_of(self.cursor, self.reach, case.tenant_id, case.key, seeds=case.seeds)
        done = {name: self._done(name, ids) for name, ids in there.items()}
        todo = {
            name: ids - done[name] for name, ids in there.items() if case.of(name).action != "keep"
        }
        referring = self._referring(todo)
        others: dict[TableName, set[str]] = defaultdict(set)
        for edge, rows in referring.items():
            others[edge.child] |= {row for row, _ in rows}
        everything = {name: there.get(name, set()) | others.get(name, set())
                      for name in {*there, *others}}  # fmt: skip
        held = self._held(there, others, todo)
        minimum = self._minimum(
            {n: todo.get(n, set()) | others.get(n, set()) for n in {*todo, *others}}
        )
        stays_held, stays_minimum = self._staying(held, minimum, everything, todo)
        going = {
            name: {i for i in ids if (name, i) not in stays_held and (name, i) not in stays_minimum}
            for name, ids in todo.items()
        }
        return Judgement(
            there,
            {name: ids for name, ids in done.items() if ids},
            {name: ids for name, ids in going.items() if ids},
            {
                edge: {pair for pair in rows if pair[1] in going[edge.parent]}
                for edge, rows in referring.items()
            },
            stays_held,
            stays_minimum,
        )

    def _done(self, name: TableName, ids: set[str]) -> set[str]:
        treatments = self.case.of(name).treatments
        if not treatments:
            return set()
        table = self.case.catalog.table(name)
        query = sql.SQL(
            "SELECT x.id::text FROM {table} x WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY(%(ids)s::uuid[]) AND {done}"
        ).format(
            table=quoted(name),
            done=sql.SQL(" AND ").join(t.is_done(table.column(t.column), "x") for t in treatments),
        )
        return {row[0] for row in self._ask(query, ids)}

    def _referring(self, todo: Rows) -> dict[Edge, list[tuple[str, str]]]:
        """Return (row, what it refers to) of others' rows that refer to rows to be deleted."""
        found = {}
        for edge in self.reach.cut:
            ids = todo.get(edge.parent, ())
            if ids and self.case.of(edge.parent).action == "delete":
                query = sql.SQL(
                    "SELECT c.id::text, {column}::text FROM {child} c"
                    " WHERE c.tenant_id = %(tenant)s::uuid AND {column} = ANY(%(ids)s::uuid[])"
                    "{kind}"
                ).format(
                    child=quoted(edge.child),
                    column=sql.Identifier("c", edge.column),
                    kind=kind_of(edge),
                )
                rows = [(row[0], row[1]) for row in self._ask(query, ids)]
                # Of the person's own rows those that go need not lose it first.
                own = todo.get(edge.child, ()) if self._deletes(edge.child) else ()
                found[edge] = [pair for pair in rows if pair[0] not in own]
        return found

    def _deletes(self, name: TableName) -> bool:
        return name in self.reach.tables and self.case.of(name).action == "delete"

    def _held(self, there: Rows, others: Rows, todo: Rows) -> dict[Node, UUID | None]:
        if self.tenant_held:
            return {(name, row): None for name, ids in todo.items() for row in ids}
        if not self.held_rows.holds:
            return {}
        # All that refers to the person's rows is theirs, but for others' over what is cut.
        held = self.held_rows.needed(others) | self.held_rows.among(there)
        return {node: hold.id for node, hold in held.items()}

    def _minimum(self, rows: Rows) -> dict[Node, Minimum]:
        found: dict[Node, Minimum] = {}
        for policy in self.case.policies:
            minimum = minimum_of(policy, self.case.catalog, self.case.now)
            ids = rows.get(policy.table, ())
            if minimum is None or policy.minimum is None or not ids:
                continue
            query = sql.SQL(
                "SELECT r.id::text, {started} FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
                " AND r.id = ANY(%(ids)s::uuid[]) AND {keeps}"
            ).format(
                started=readable(minimum.started("r")),
                table=quoted(policy.table),
                keeps=minimum.keeps("r"),
            )
            period = Period.parse(policy.minimum)
            for row, started in self._ask(query, ids):
                kept = Minimum(policy.name, _until(period, started))
                node = (policy.table, row)
                found[node] = _longer(found.get(node), kept)
        return found

    def _staying(
        self,
        held: Mapping[Node, UUID | None],
        minimum: Mapping[Node, Minimum],
        everything: Mapping[TableName, set[str]],
        todo: Rows,
    ) -> tuple[dict[Node, UUID | None], dict[Node, Minimum]]:
        """Return which rows to do stay: of themselves, or for what refers to them."""
        if not held and not minimum:
            return {}, {}
        onward: dict[Node, set[Node]] = defaultdict(set)
        for child, parent in self.references.references(everything, set(todo)):
            if parent[1] in todo[parent[0]]:
                onward[child].add(parent)
        found_held = {
            node: hold
            for node, hold in spread(held, onward).items()
            if self._is_to_do(node, todo) and (node in held or self._ties(node[0]))
        }
        found_minimum = {
            node: kept
            for node, kept in spread(minimum, onward).items()
            if self._is_to_do(node, todo) and (node in minimum or self._deletes(node[0]))
        }
        return found_held, {n: k for n, k in found_minimum.items() if n not in found_held}

    @staticmethod
    def _is_to_do(node: Node, todo: Rows) -> bool:
        return node[1] in todo.get(node[0], ())

    def _ties(self, name: TableName) -> bool:
        """Tell whether doing a row takes away what a held row needs: the row, or its references."""
        columns = {edge.column for edge in self.references.edges if edge.child == name}
        return self._deletes(name) or any(
            t.column in columns for t in self.case.of(name).treatments
        )

    def _ask(self, query: sql.Composable, ids: Collection[str]) -> Iterator[tuple[str, ...]]:
        array = "{" + ",".join(ids) + "}"
        self.cursor.execute(query, {"tenant": str(self.case.tenant_id), "ids": array})
        yield from self.cursor.fetchall()


def _until(period: Period, started: object) -> datetime | None:
    """Return when a row that started then is kept no more."""
    return due_if_ever(period, started) if isinstance(started, date) else None


def _longer(one: Minimum | None, other: Minimum) -> Minimum:
    if one is None or other.until is None:
        return other
    return one if one.until is None or one.until >= other.until else other
