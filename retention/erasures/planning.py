"""The plan of an erasure: what each table would lose, keep and wait for. Changes nothing.

Read as tenure_verifier in one state of the database. It can be printed and is frozen: what is
approved is this plan, whose declaration (which table, what becomes of it, on what basis) is what
is carried out. Its figures are of its instant: rows that come later are erased like the others.
There is nothing about the person in it, nor the matter of a hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention.erasures.judging import Case, Judgement, judge
from retention.erasures.records import Erasure, find_erasure, key_of, remembered
from retention.errors import ErasureError
from retention.hold_records import standing_holds
from retention.policies import Period, Policy, digest_of, due_if_ever
from retention.rules import beside, rule_of
from retention.starting_points import readable
from retention.statements import table as quoted
from retention.subjects import Action, Subject, reference
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that stay for the while: for a hold (by its id; "tenant" for one on all of the
    tenant), or for a policy's minimum, until when."""

    hold: str | None
    policy: str | None
    rows: int
    until: datetime | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        until = None if self.until is None else self.until.isoformat()
        return {"hold": self.hold, "policy": self.policy, "rows": self.rows, "until": until}


@dataclass(frozen=True, slots=True)
class Ending:
    """When kept rows end: the policy that takes them, and when it takes the last of them."""

    policy: str
    until: datetime | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {"policy": self.policy, "until": self.until and self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What becomes of the person's rows of one table.

    Of `rows`, `going` go now, `done` are as they should be, `waiting` stay for the while; where
    the action is keep, all are kept on the `basis`, and `ends` says until when.
    """

    table: str
    action: Action
    rows: int
    going: int
    done: int
    waiting: tuple[Waiting, ...] = ()
    basis: str | None = None
    ends: tuple[Ending, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {
            "table": self.table,
            "action": self.action,
            "rows": self.rows,
            "going": self.going,
            "done": self.done,
            "waiting": [one.to_json() for one in self.waiting],
            "basis": self.basis,
            "ends": [one.to_json() for one in self.ends],
        }


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """The plan. `cut` counts other people's rows by the reference that they lose."""

    erasure_id: UUID
    definition: Mapping[str, Any]
    as_of: datetime
    tables: tuple[TablePlan, ...]
    cut: tuple[tuple[str, int], ...]

    @property
    def going(self) -> int:
        """Rows that go now."""
        return sum(table.going for table in self.tables)

    @property
    def waiting(self) -> int:
        """Rows that are to go, and stay for the while."""
        return sum(one.rows for table in self.tables for one in table.waiting)

    @property
    def digest(self) -> str:
        """SHA-256 over it as canonical JSON, as hex."""
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {
            "erasure": str(self.erasure_id),
            "as_of": self.as_of.isoformat(),
            "definition": dict(self.definition),
            "tables": [table.to_json() for table in self.tables],
            "cut": [{"reference": name, "rows": rows} for name, rows in self.cut],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ErasurePlan:
        """Read what `to_json` wrote."""
        return cls(
            UUID(value["erasure"]),
            value["definition"],
            datetime.fromisoformat(value["as_of"]),
            tuple(
                TablePlan(
                    table=t["table"], action=t["action"], rows=t["rows"], going=t["going"],
                    done=t["done"], basis=t["basis"],
                    waiting=tuple(
                        Waiting(w["hold"], w["policy"], w["rows"], _instant(w["until"]))
                        for w in t["waiting"]
                    ),
                    ends=tuple(Ending(e["policy"], _instant(e["until"])) for e in t["ends"]),
                )
                for t in value["tables"]
            ),
            tuple((c["reference"], c["rows"]) for c in value["cut"]),
        )  # fmt: skip


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def make_plan(
    verifier: RoleConnections,
    erasure_id: UUID,
    subjects: Sequence[Subject],
    *,
    catalog: Catalog,
    policies: Sequence[Policy],
    now: datetime,
) -> ErasurePlan:
    """Return what an erasure would do now, by the declaration as it is now.

    Raises ErasureError for one that has ended, or a subject that is declared no more.
    """
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        erasure = find_erasure(cursor, erasure_id)
        key = key_of(cursor, erasure)
        if key is None:
            raise ErasureError(f"erasure {erasure_id} is {erasure.state}: it has ended")
        subject = declared(subjects, erasure)
        seeds = remembered(cursor, erasure.tenant_id, erasure.id)
        case = Case(erasure.tenant_id, subject, key, catalog, policies, now, seeds)
        standing = standing_holds(cursor, erasure.tenant_id)
        judged = judge(cursor, case, standing.on_rows, tenant_held=bool(standing.matters))
        return ErasurePlan(
            erasure.id,
            subject.definition(),
            now.astimezone(UTC),
            tuple(tables_of(cursor, case, judged)),
            tuple((reference(edge), len(rows)) for edge, rows in judged.cut.items() if rows),
        )


def declared(subjects: Sequence[Subject], erasure: Erasure) -> Subject:
    """Return the declaration of an erasure's subject; raises ErasureError without one."""
    for subject in subjects:
        if subject.name == erasure.subject:
            return subject
    raise ErasureError(f"there is no subject {erasure.subject!r} any more in the subjects' file")


def kept_plan(cursor: Cursor, erasure: Erasure) -> ErasurePlan:
    """Return the plan that counts; raises ErasureError where there is none yet."""
    cursor.execute(
        "SELECT plan FROM tenure.erasure_plans WHERE tenant_id = %s AND erasure_id = %s"
        " AND number = %s",
        (str(erasure.tenant_id), str(erasure.id), erasure.plan),
    )
    row = cursor.fetchone()
    if row is None:
        raise ErasureError(
            f"erasure {erasure.id} has no plan yet: tenure erasure plan {erasure.id}"
        )
    return ErasurePlan.from_json(row[0])


def tables_of(cursor: Cursor, case: Case, judged: Judgement) -> Iterator[TablePlan]:
    """Yield what becomes of each table, as it is judged now; as verifier, or retention in the
    tenant's context."""
    for name in case.reach.tables:
        declared_of = case.of(name)
        rows = judged.there.get(name, set())
        keeps = declared_of.action == "keep"
        yield TablePlan(
            str(name),
            declared_of.action,
            len(rows),
            len(judged.going.get(name, ())),
            len(judged.done.get(name, ())),
            () if keeps else tuple(waiting_in(judged, name)),
            declared_of.basis,
            tuple(_ends(cursor, case, name, rows)) if keeps and rows else (),
        )


def waiting_in(judged: Judgement, name: TableName) -> Iterator[Waiting]:
    """Yield what rows of a table wait for, by hold and by policy."""
    holds = Counter(
        "tenant" if hold is None else str(hold)
        for (table, _), hold in judged.held.items()
        if table == name
    )
    for hold, rows in sorted(holds.items()):
        yield Waiting(hold, None, rows, None)
    minimums = [kept for (table, _), kept in judged.minimum.items() if table == name]
    for policy in sorted({kept.policy for kept in minimums}):
        ends = [kept.until for kept in minimums if kept.policy == policy]
        known = [end for end in ends if end is not None]
        yield Waiting(None, policy, len(ends), max(known) if len(known) == len(ends) else None)


def _ends(cursor: Cursor, case: Case, name: TableName, rows: set[str]) -> Iterator[Ending]:
    """Yield the policies that take a table's rows, with when they take the last of these."""
    for policy in case.policies:
        if not policy.removes or name not in (policy.table, *policy.along):
            continue
        if policy.table != name:
            yield Ending(policy.name, None)
            continue
        rule = rule_of(policy, beside(policy, case.policies), case.catalog, case.now)
        query = sql.SQL(
            "SELECT max({started})::timestamptz, (SELECT s.period FROM tenure.policy_periods s"
            " WHERE s.tenant_id = %(tenant)s::uuid AND s.policy = %(policy)s)"
            " FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {matches}"
        ).format(started=readable(rule.started("r")), table=quoted(name), matches=rule.matches("r"))
        cursor.execute(
            query,
            {
                "tenant": str(case.tenant_id),
                "policy": policy.name,
                "ids": "{" + ",".join(rows) + "}",
            },
        )
        row = cursor.fetchone()
        if row is not None and row[0] is not None:
            yield Ending(policy.name, due_if_ever(Period.parse(row[1] or policy.period), row[0]))
