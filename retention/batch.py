"""One batch: a READ COMMITTED transaction that deletes rows and records that it did.

Invariant: the rows that are gone are the rows that are recorded, for both commit together;
and no row of a tenant goes that was under hold when its batch passed the gate. The order
of the steps is what makes it true:

1. the gate, FOR SHARE, in a statement of its own: a hold placed from now on waits for us;
2. the fence, the holds, the tenant's state of the policy, the policy's version, read after
   the gate: what any of them forbids is not done;
3. due parents, locked: their foreign-key children can neither come nor go any more;
4. what goes along, locked; what somebody else's row still refers to is dropped;
5. children deleted before parents, each DELETE saying tenant and cutoff again and committing
   to the keys it deletes; a count that differs from what was locked rolls everything back;
6. the record; commit.

Taken in another order, or in a REPEATABLE READ transaction, rows under hold are lost.

Where a table stands alone (nothing goes along, nothing refers to it, no row of it is held by
itself), steps 3 to 5 are one statement, `Statements.sweep`: it passes over rows that are
locked, chooses, commits to the keys and deletes on one snapshot, and rolls back as well if
fewer rows went than were chosen. Then the rows are locked first, as everywhere else.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg2 import sql

from retention.errors import InvariantError, OvertakenError
from retention.graph import Edge
from retention.lease import Lease, check_fence
from retention.policies import Policy
from retention.statements import GATE, RECORD, STANDING, SWEPT, Params, Statements
from tenants.catalog import TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

# Rows of the policy's own table that are due and refer to a batch's rows are pulled into
# the batch, up to this multiple of its size; a tree that is larger goes over several passes.
_PULL_FACTOR = 4

# Before the gate. A batch is many short statements: compiling or sharing one out costs more than
# it gains.
_SETTINGS = "SET LOCAL lock_timeout = {}; SET LOCAL jit = off; "
# Before a sweep. The order of the index is what bounds it, whatever statistics say, and nobody is
# waited for.
_SWEEPING = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
    " SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL lock_timeout = 50; "
)
_LOWEST_ID = str(UUID(int=0))

Step = Literal[
    "gate", "checked", "selected", "locked", "children_deleted", "deleted", "recorded", "committed"
]
STEPS: tuple[Step, ...] = (
    "gate", "checked", "selected", "locked", "children_deleted", "deleted", "recorded", "committed",
)  # fmt: skip
Forbidden = Literal["held", "paused", "policy changed"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a batch resumes: behind this starting point (as text) and id."""

    starts: str
    id: str


class Gone(NamedTuple):
    """Rows of one table that a batch deleted; `sha256` is over the hashes of their keys."""

    rows: int
    sha256: str


class _Standing(NamedTuple):
    """What stands in a batch's way. `rows_held`: some rows are held by themselves, so that each
    has to be looked at before it goes."""

    held: bool
    rows_held: bool
    own_state: str | None
    version: int | None


@dataclass(frozen=True)
class Task:
    """What the batches of one unit have in common."""

    run_id: str
    trace_id: str
    tenant_id: TenantId
    policy: Policy
    version: int
    cutoff: datetime
    cutoff_value: datetime | date
    statements: Statements
    lease: Lease
    lock_timeout_ms: int
    on_step: Callable[[Step], None]


@dataclass
class Attempt:
    """What one batch came to; filled in as it goes, so that a failed one can be told apart.

    With `careful`, rows are locked before they are deleted even where a sweep would do;
    `swept` says that a sweep was tried. `passed_over` counts rows that sweeps let be in this
    pass, before and with this batch; None when not all its batches were sweeps.
    """

    limit: int
    waiting: bool
    after: Position | None
    careful: bool = False
    passed_over: int | None = 0
    swept: bool = False
    forbidden: Forbidden | None = None
    last: Position | None = None
    candidates: int = 0
    at_end: bool = False
    left: int | None = None
    deleted: dict[str, int] = field(default_factory=dict)
    round_trips: int = 0

    @property
    def rows(self) -> int:
        """Rows deleted, all tables together."""
        return sum(self.deleted.values())


def run_batch(retention: RoleConnections, task: Task, attempt: Attempt) -> None:
    """Run one batch, and fill in `attempt`; psycopg2's errors pass through, rolled back.

    Raises LeaseLostError, InvariantError, OvertakenError.
    """
    # All that a batch sets is local to it; clearing the session each time would cost a round trip.
    with retention.transaction(task.tenant_id, tidy=True) as cursor:
        # BEGIN and COMMIT are round trips, too.
        attempt.round_trips += 2
        batch = _Batch(cursor, task, attempt)
        deleted = batch.work()
    attempt.deleted = deleted
    task.on_step("committed")


class _Batch:
    def __init__(self, cursor: Cursor, task: Task, attempt: Attempt) -> None:
        self.cursor = cursor
        self.task = task
        self.attempt = attempt
        self.sql = task.statements
        self.family = task.statements.family
        self.root = self.family.root
        self.batch_id = str(new_id())

    def work(self) -> dict[str, int]:
        """Do it all but the commit; return the rows deleted per table."""
        self._pass_gate()
        self.task.on_step("gate")
        standing = self._standing()
        self.attempt.forbidden = self._forbidden(standing)
        self.task.on_step("checked")
        if self.attempt.forbidden:
            return {}
        deleted = self._sweep() if self._may_sweep(standing) else self._lock_and_delete()
        if self.attempt.at_end:
            # Counting walks over all that was just deleted; sweeps know what they left.
            left = self.attempt.passed_over
            self.attempt.left = self._ask(self.sql.left(), {})[0][0] if left is None else left
        if deleted:
            self._record(deleted)
        self.task.on_step("recorded")
        return {name: gone.rows for name, gone in deleted.items()}

    def _may_sweep(self, standing: _Standing) -> bool:
        attempt = self.attempt
        return self.sql.is_alone and not (standing.rows_held or attempt.careful or attempt.waiting)

    def _lock_and_delete(self) -> dict[str, Gone]:
        self.attempt.passed_over = None
        roots = self._lock_roots()
        self.task.on_step("selected")
        if not roots:
            return {}
        going = self._settle(roots)
        self.task.on_step("locked")
        deleted = self._delete(going)
        self.task.on_step("deleted")
        return deleted

    # -- steps ---------------------------------------------------------------------------

    def _pass_gate(self) -> None:
        # SET is no query: the gate is still the first statement that takes a snapshot.
        settings = _SETTINGS.format(int(self.task.lock_timeout_ms))
        if not self._ask(sql.SQL(settings + GATE), {}):
            raise InvariantError(
                f"tenant {self.task.tenant_id} has no gate that tenure_retention could lock"
            )

    def _standing(self) -> _Standing:
        self.attempt.round_trips += 1
        check_fence(self.cursor, self.task.lease)
        (row,) = self._ask(sql.SQL(STANDING), {"policy": self.task.policy.name})
        return _Standing(*row)

    def _forbidden(self, standing: _Standing) -> Forbidden | None:
        if standing.held:
            return "held"
        if (standing.own_state or self.task.policy.state) == "paused":
            return "paused"
        if standing.version != self.task.version:
            return "policy changed"
        return None

    def _sweep(self) -> dict[str, Gone]:
        attempt = self.attempt
        attempt.swept = True
        params: Params = {"limit": attempt.limit}
        if attempt.after:
            params["after_starts"] = attempt.after.starts
        statement = sql.SQL(_SWEEPING) + self.sql.sweep(after=attempt.after is not None)
        self._run(statement, params)
        rows = self.cursor.rowcount
        ((swept,),) = self._ask(sql.SQL(SWEPT), {})
        chosen, over, sha256, through = int(swept[0]), int(swept[1]), swept[2], swept[3:]
        if rows != chosen:
            raise OvertakenError(
                f"{self.root}: of {chosen} rows of tenant {self.task.tenant_id}, "
                f"{rows} could be deleted; nothing is"
            )
        attempt.candidates = rows
        attempt.at_end = rows + over < attempt.limit
        if attempt.passed_over is not None:
            attempt.passed_over += over
        if through:
            # More rows may have this very starting point: the next batch begins with it.
            attempt.last = Position(through[0], _LOWEST_ID)
        self.task.on_step("selected")
        if not rows:
            return {}
        self.task.on_step("locked")
        self.task.on_step("deleted")
        return {str(self.root): Gone(rows, sha256)}

    def _lock_roots(self) -> list[str]:
        attempt = self.attempt
        params: Params = {"limit": attempt.limit}
        if attempt.after:
            params |= {"after_starts": attempt.after.starts, "after_id": attempt.after.id}
        rows = self._ask(
            self.sql.due(after=attempt.after is not None, lock=not attempt.waiting), params
        )
        attempt.candidates = len(rows)
        attempt.at_end = len(rows) < attempt.limit
        if rows:
            attempt.last = Position(rows[-1][1], rows[-1][0])
        ids = [row[0] for row in rows]
        if not attempt.waiting or not ids:
            return ids
        locked = self._ids(self.sql.lock(), {"ids": ids})
        if not locked and self._ask(self.sql.still_due(), {"ids": ids})[0][0]:
            raise InvariantError(
                f"{self.root}: {len(ids)} due rows of tenant {self.task.tenant_id}, none could be "
                "locked, and nobody holds them: has tenure_retention lost its UPDATE policy?"
            )
        return locked

    def _settle(self, roots: Collection[str]) -> dict[TableName, set[str]]:
        """Return what goes: the roots and what goes along, minus what somebody keeps."""
        going = self._closure(roots)
        for _ in range(_PULL_FACTOR * max(1, self.attempt.limit)):
            pulled = self._pull(going)
            if not pulled:
                break
            going = self._closure(going[self.root] | pulled)
        stays = self._staying(going)
        if not stays:
            return going
        return self._closure(going[self.root] - stays)

    def _closure(self, roots: Iterable[str]) -> dict[TableName, set[str]]:
        going: dict[TableName, set[str]] = defaultdict(set)
        going[self.root] |= set(roots)
        fresh: Mapping[TableName, set[str]] = {self.root: going[self.root]}
        while edges := [edge for edge in self.family.along if fresh.get(edge.parent)]:
            found = self._by_member(self.sql.along(edges), self._members("m", fresh))
            fresh = {table: ids - going[table] for table, ids in found.items()}
            for table, ids in fresh.items():
                going[table] |= ids
        return going

    def _pull(self, going: Mapping[TableName, set[str]]) -> set[str]:
        pulled: set[str] = set()
        roots = list(going[self.root])
        room = _PULL_FACTOR * self.attempt.limit - len(roots)
        for edge in self._own_edges():
            if room > 0 and going.get(edge.parent):
                pulled |= set(
                    self._ids(
                        self.sql.pull(edge, skip_locked=not self.attempt.waiting),
                        {"ids": list(going[edge.parent]), "not": roots, "limit": room},
                    )
                )
        return pulled

    def _own_edges(self) -> list[Edge]:
        return [edge for edge in self.family.keeping if edge.child == self.root]

    def _staying(self, going: Mapping[TableName, set[str]]) -> set[str]:
        """Return the roots that stay: somebody refers to them, or to what would go along.

        A row that stays keeps what it refers to, and so on upwards to the roots.
        """
        among = self._members("m", going)
        edges = [edge for edge in self.family.keeping if going.get(edge.parent)]
        fresh = self._by_member(self.sql.kept(edges), among) if edges else {}
        stays: dict[TableName, set[str]] = defaultdict(set)
        while fresh:
            for table, ids in fresh.items():
                stays[table] |= ids
            edges = [e for e in self.family.inner if fresh.get(e.child) and going.get(e.parent)]
            if not edges:
                break
            params = {**among, **self._members("f", fresh)}
            found = self._by_member(self.sql.referred(edges), params)
            fresh = {t: new for t, ids in found.items() if (new := ids - stays[t])}
        return stays[self.root]

    def _delete(self, going: Mapping[TableName, set[str]]) -> dict[str, Gone]:
        deleted: dict[str, Gone] = {}
        params = self._members("m", going)
        for group in self.family.order:
            names = [name for name in group if going.get(name)]
            if not names:
                continue
            if self.root in names and deleted:
                self.task.on_step("children_deleted")
            gone = {
                self.family.members[number]: Gone(rows, sha256)
                for number, rows, sha256 in self._ask(self.sql.delete(names), params)
            }
            for name in names:
                rows = gone[name].rows if name in gone else 0
                if rows != len(going[name]):
                    raise InvariantError(
                        f"{name}: {len(going[name])} rows of tenant {self.task.tenant_id} were "
                        f"locked and {rows} could be deleted; nothing is"
                    )
                deleted[str(name)] = gone[name]
        return deleted

    def _record(self, deleted: Mapping[str, Gone]) -> None:
        last = self.attempt.last
        counts = {name: gone._asdict() for name, gone in deleted.items()}
        progress = {"starts": last.starts, "id": last.id} if last else {}
        self._run(
            sql.SQL(RECORD),
            {
                "trace": self.task.trace_id,
                "policy": self.task.policy.name,
                "version": self.task.version,
                "cutoff_instant": self.task.cutoff,
                "rows": sum(gone.rows for gone in deleted.values()),
                "counts": json.dumps(counts),
                "progress": json.dumps(progress),
            },
        )

    # -- statements ----------------------------------------------------------------------

    def _run(self, statement: sql.Composable, params: Params) -> None:
        self.attempt.round_trips += 1
        self.cursor.execute(
            statement,
            {
                "tenant": str(self.task.tenant_id),
                "cutoff": self.task.cutoff_value,
                "run": self.task.run_id,
                "batch": self.batch_id,
                **{key: _array(v) if isinstance(v, _IDS) else v for key, v in params.items()},
            },
        )

    def _ask(self, statement: sql.Composable, params: Params) -> list[tuple[Any, ...]]:
        self._run(statement, params)
        return self.cursor.fetchall()

    def _ids(self, statement: sql.Composable, params: Params) -> list[str]:
        return [row[0] for row in self._ask(statement, params)]

    def _by_member(self, statement: sql.Composable, params: Params) -> dict[TableName, set[str]]:
        """Return the ids that a statement returns with their member's number."""
        found: dict[TableName, set[str]] = defaultdict(set)
        for number, row_id in self._ask(statement, params):
            found[self.family.members[number]].add(row_id)
        return found

    def _members(self, prefix: str, ids: Mapping[TableName, set[str]]) -> Params:
        """Return members' ids as parameters: %(m0)s those of the first, and so on."""
        return {f"{prefix}{self.sql.number(name)}": of for name, of in ids.items()}


_IDS = (list, set)


def _array(ids: Collection[str]) -> str:
    """Return ids as the text of an array: a list would be adapted one by one, and slowly."""
    return "{" + ",".join(ids) + "}"
