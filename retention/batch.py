"""One batch: a READ COMMITTED transaction that deletes rows and records that it did.

Invariant: the rows that are gone are the rows that are recorded, for both commit together;
and no row of a tenant goes that was under hold when its batch passed the gate. The order
of the steps is what makes it true:

1. the gate, FOR SHARE, in a statement of its own: a hold placed from now on waits for us;
2. the fence, the holds, the tenant's state of the policy, the policy's version, read after
   the gate: what any of them forbids is not done;
3. due parents, locked: their foreign-key children can neither come nor go any more;
4. what goes along, locked; what somebody else's row still refers to is dropped;
5. children deleted before parents, each DELETE saying tenant and cutoff again; a count
   that differs from what was locked rolls everything back;
6. the record; commit.

Taken in another order, or in a REPEATABLE READ transaction, rows under hold are lost.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg2 import sql

from retention.errors import InvariantError
from retention.graph import Edge
from retention.lease import Lease, check_fence
from retention.policies import Policy
from retention.statements import GATE, RECORD, RECORD_KEYS, STANDING, Params, Statements
from tenants.catalog import TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

# Rows of the policy's own table that are due and refer to a batch's rows are pulled into
# the batch, up to this multiple of its size; a tree that is larger goes over several passes.
_PULL_FACTOR = 4

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
    """What one batch came to; filled in as it goes, so that a failed one can be told apart."""

    limit: int
    waiting: bool
    after: Position | None
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

    Raises LeaseLostError, InvariantError.
    """
    with retention.transaction(task.tenant_id) as cursor:
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

    def work(self) -> dict[str, int]:
        """Do it all but the commit; return the rows deleted per table."""
        self._pass_gate()
        self.task.on_step("gate")
        self.attempt.forbidden = self._forbidden()
        self.task.on_step("checked")
        if self.attempt.forbidden:
            return {}
        roots = self._lock_roots()
        self.task.on_step("selected")
        deleted: dict[str, list[str]] = {}
        if roots:
            going = self._settle(roots)
            self.task.on_step("locked")
            deleted = self._delete(going)
            self.task.on_step("deleted")
        if self.attempt.at_end:
            self.attempt.left = self._ask(self.sql.left(), {})[0][0]
        if deleted:
            self._record(deleted)
        self.task.on_step("recorded")
        return {name: len(ids) for name, ids in deleted.items()}

    # -- steps ---------------------------------------------------------------------------

    def _pass_gate(self) -> None:
        # SET is no query: the gate is still the first statement that takes a snapshot.
        timeout = f"SET LOCAL lock_timeout = {int(self.task.lock_timeout_ms)}; "
        if not self._ask(sql.SQL(timeout + GATE), {}):
            raise InvariantError(
                f"tenant {self.task.tenant_id} has no gate that tenure_retention could lock"
            )

    def _forbidden(self) -> Forbidden | None:
        self.attempt.round_trips += 1
        check_fence(self.cursor, self.task.lease)
        ((holds, own_state, version),) = self._ask(
            sql.SQL(STANDING), {"policy": self.task.policy.name}
        )
        if holds:
            return "held"
        if (own_state or self.task.policy.state) == "paused":
            return "paused"
        if version != self.task.version:
            return "policy changed"
        return None

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
        while fresh:
            found: dict[TableName, set[str]] = defaultdict(set)
            for edge in self.family.along:
                if fresh.get(edge.parent):
                    params = {"ids": list(fresh[edge.parent])}
                    found[edge.child] |= set(self._ids(self.sql.along(edge), params))
                    found[edge.child] -= going[edge.child]
            fresh = {table: ids for table, ids in found.items() if ids}
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
        fresh: dict[TableName, set[str]] = defaultdict(set)
        for edge in self.family.keeping:
            if going.get(edge.parent):
                params = {"ids": list(going[edge.parent]), "not": list(going[self.root])}
                fresh[edge.parent] |= set(self._ids(self.sql.kept(edge), params))
        stays: dict[TableName, set[str]] = defaultdict(set)
        while any(fresh.values()):
            for table, ids in fresh.items():
                stays[table] |= ids
            found: dict[TableName, set[str]] = defaultdict(set)
            for edge in self.family.inner:
                if fresh.get(edge.child) and going.get(edge.parent):
                    params = {"ids": list(fresh[edge.child]), "among": list(going[edge.parent])}
                    referred = self._ids(self.sql.referred(edge), params)
                    found[edge.parent] |= set(referred) - stays[edge.parent]
            fresh = found
        return stays[self.root]

    def _delete(self, going: Mapping[TableName, set[str]]) -> dict[str, list[str]]:
        deleted: dict[str, list[str]] = {}
        for group in self.family.order:
            names = [name for name in group if going.get(name)]
            if not names:
                continue
            if self.root in names and deleted:
                self.task.on_step("children_deleted")
            params = {f"ids{number}": list(going[name]) for number, name in enumerate(names)}
            gone: dict[TableName, list[str]] = {name: [] for name in names}
            for number, row_id in self._ask(self.sql.delete(names), params):
                gone[names[number]].append(row_id)
            for name in names:
                if len(gone[name]) != len(going[name]):
                    raise InvariantError(
                        f"{name}: {len(going[name])} rows of tenant {self.task.tenant_id} were "
                        f"locked and {len(gone[name])} could be deleted; nothing is"
                    )
                deleted[str(name)] = gone[name]
        return deleted

    def _record(self, deleted: Mapping[str, list[str]]) -> None:
        last = self.attempt.last
        hashes = {name: key_hashes(ids) for name, ids in deleted.items()}
        counts = {
            name: {"rows": len(ids), "sha256": keys_digest(ids)} for name, ids in deleted.items()
        }
        batch_id = str(new_id())
        progress = {"starts": last.starts, "id": last.id} if last else {}
        self._run(
            sql.SQL(RECORD),
            {
                "run": self.task.run_id,
                "batch": batch_id,
                "trace": self.task.trace_id,
                "policy": self.task.policy.name,
                "version": self.task.version,
                "cutoff_instant": self.task.cutoff,
                "rows": sum(map(len, deleted.values())),
                "counts": json.dumps(counts),
                "progress": json.dumps(progress),
            },
        )
        for name, keys in hashes.items():
            key = {"run": self.task.run_id, "batch": batch_id, "table": name, "hashes": keys}
            self._run(sql.SQL(RECORD_KEYS), key)

    # -- statements ----------------------------------------------------------------------

    def _run(self, statement: sql.Composable, params: Params) -> None:
        self.attempt.round_trips += 1
        self.cursor.execute(
            statement,
            {
                "tenant": str(self.task.tenant_id),
                "cutoff": self.task.cutoff_value,
                **params,
            },
        )

    def _ask(self, statement: sql.Composable, params: Params) -> list[tuple[Any, ...]]:
        self._run(statement, params)
        return self.cursor.fetchall()

    def _ids(self, statement: sql.Composable, params: Params) -> list[str]:
        return [row[0] for row in self._ask(statement, params)]


def key_hashes(ids: Iterable[str]) -> bytes:
    """Return the first 16 bytes of SHA-256 over each key's bytes, ascending, concatenated."""
    return b"".join(sorted(hashlib.sha256(UUID(key).bytes).digest()[:16] for key in ids))


def keys_digest(ids: Iterable[str]) -> str:
    """Return SHA-256, as hex, over `key_hashes`."""
    return hashlib.sha256(key_hashes(ids)).hexdigest()
