"""One batch: a READ COMMITTED transaction that deletes rows and records that it did.

Invariant: the rows that are gone are the rows that are recorded, for both commit together;
and no row goes that was under hold when its batch passed the gate, nor any that such a row
refers to. The order of the steps is what makes it true:

1. the gate, FOR SHARE, in a statement of its own: a hold placed from now on waits for us;
2. the unit, locked under its fence; then whether its run goes on, the holds, the tenant's
   state of the policy, the policy's version: what any of them forbids is not done;
3. due parents, locked: their foreign-key children can neither come nor go any more;
4. what goes along, locked; what somebody else's row still refers to is dropped, and what is
   under hold, each with whatever it refers to (`retention.settling`);
5. children deleted before parents, each DELETE saying tenant and cutoff again and committing
   to the keys it deletes, and to the starting points of the policy's own rows, as they stood
   in the rows that went; a count that differs from what was locked rolls everything back.
   What is archived is copied before, what is changed (anonymised, pseudonymised) is changed
   instead, alike;
6. the record; commit.

Taken in another order, or in a REPEATABLE READ transaction, rows under hold are lost.

Where a table stands alone (nothing goes along, nothing refers to it, no row of it is held by
itself), steps 3 to 5 are one statement, `Statements.sweep`: it passes over rows that are
locked, chooses, commits to the keys and deletes on one snapshot, and rolls back as well if
fewer rows went than were chosen. Then the rows are locked first, as everywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from psycopg2 import sql

from retention import gate
from retention.batch_task import (
    INTERRUPTIONS,
    STEPS,
    Attempt,
    Forbidden,
    Gone,
    Interruption,
    Position,
    Session,
    Step,
    Task,
)
from retention.errors import InvariantError, OvertakenError
from retention.hold_records import standing_holds
from retention.settling import settle, under_hold
from retention.statements import RECORD, STANDING, SWEPT, Params
from retention.units import COUNT, FENCE, lost
from retention.whole_rows import columns_left_behind
from tenants.catalog import TableName
from tenants.connections import RoleConnections

__all__ = ["INTERRUPTIONS", "STEPS", "Attempt", "Position", "Step", "Task", "run_batch"]

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


class _Standing(NamedTuple):
    """What stands in a batch's way. `in_window` is None where another has the unit. `rows_held`:
    some rows are held by themselves, so that each has to be looked at before it goes."""

    in_window: bool | None
    held: bool
    rows_held: bool
    own_state: str | None
    period: str | None
    versions: dict[str, int]
    withdrawn: bool | None
    run_state: str
    stopped: bool
    restored: bool


def run_batch(retention: RoleConnections, task: Task, attempt: Attempt) -> None:
    """Run one batch, and fill in `attempt`; psycopg2's errors pass through, rolled back.

    Raises LeaseLostError, InvariantError, OvertakenError.
    """
    # All that a batch sets is local to it; clearing the session each time would cost a round trip.
    with retention.transaction(task.tenant_id, tidy=True) as cursor:
        # BEGIN and COMMIT are round trips, too.
        attempt.round_trips += 2
        batch = _Batch(Session(cursor, task, attempt))
        deleted = batch.work()
    attempt.deleted = deleted
    task.on_step("committed")


class _Batch:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.task = session.task
        self.attempt = session.attempt
        self.sql = session.sql
        self.root = session.root

    def work(self) -> dict[str, int]:
        """Do it all but the commit; return the rows deleted, or changed, per table."""
        self._pass_gate()
        self.task.on_step("gate")
        standing = self._standing()
        self.attempt.forbidden = self._forbidden(standing)
        self.task.on_step("checked")
        if self.attempt.forbidden:
            return {}
        gone = self._sweep() if self._may_sweep(standing) else self._lock_and_act()
        if self.attempt.at_end:
            # Counting walks over all that was just deleted; sweeps know what they left.
            left = self.attempt.passed_over
            counted = self.session.ask(self.sql.left(), {})[0][0] if left is None else left
            self.attempt.left = counted
        if gone:
            self._record(gone)
        self.task.on_step("recorded")
        return {name: part.rows for name, part in gone.items()}

    # -- before --------------------------------------------------------------------------

    def _pass_gate(self) -> None:
        # SET is no query: the gate is still the first statement that takes a snapshot.
        settings = _SETTINGS.format(int(self.task.lock_timeout_ms))
        if not self.session.ask(sql.SQL(settings + gate.PASSING), {}):
            raise InvariantError(
                f"tenant {self.task.tenant_id} has no gate that tenure_retention could lock"
            )

    def _standing(self) -> _Standing:
        # Asked once the unit is locked: whoever stops a run waits for those who asked before.
        params: Params = {
            "policy": self.task.policy.name,
            "tables": [str(name) for name in self.task.statements.family.members],
            **self.task.claim.params(),
        }
        (row,) = self.session.ask(sql.SQL(f"{FENCE}; {STANDING}"), params)
        standing = _Standing(*row)
        if standing.in_window is None:
            raise lost(self.task.claim)
        if not standing.restored:
            # Who restores turns the gate, and waits for us.
            self.sql = self.session.sql = self.task.statements.where_nothing_is_restored()
        if standing.rows_held:
            self.attempt.round_trips += 1
            found = standing_holds(self.session.cursor, self.task.tenant_id)
            self.session.holds = found.on_rows
        return standing

    def _forbidden(self, standing: _Standing) -> Forbidden | Interruption | None:
        task = self.task
        interruption = _interruption(standing)
        if interruption is not None:
            return interruption
        if standing.held:
            return "held"
        if (standing.own_state or task.policy.state) == "paused":
            return "paused"
        # One that came since then, too: a row may be for it to decide over. One that came back has
        # a version of its own.
        pinned = {name: task.versions.get(name) for name in standing.versions}
        if standing.period != task.period or standing.versions != pinned or standing.withdrawn:
            return "policy changed"
        return None

    # -- what goes -----------------------------------------------------------------------

    def _may_sweep(self, standing: _Standing) -> bool:
        attempt = self.attempt
        return self.sql.may_sweep and not (standing.rows_held or attempt.careful or attempt.waiting)

    def _sweep(self) -> dict[str, Gone]:
        attempt = self.attempt
        attempt.swept = True
        params: Params = {"limit": attempt.limit}
        if attempt.after:
            params["after_starts"] = attempt.after.starts
        statement = sql.SQL(_SWEEPING) + self.sql.sweep(after=attempt.after is not None)
        self.session.run(statement, params)
        rows = self.session.cursor.rowcount
        ((swept,),) = self.session.ask(sql.SQL(SWEPT), {})
        chosen, over, through = int(swept[0]), int(swept[1]), swept[4:]
        if rows != chosen:
            raise OvertakenError(
                f"{self.root}: of {chosen} rows of tenant {self.task.tenant_id}, "
                f"{rows} could be deleted; nothing is"
            )
        # What it passed over it has looked at, too.
        attempt.candidates = rows + over
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
        return {str(self.root): Gone(rows, swept[2], swept[3])}

    def _lock_and_act(self) -> dict[str, Gone]:
        self.attempt.passed_over = None
        roots = self._lock_roots()
        self.task.on_step("selected")
        if not roots:
            return {}
        gone = self._remove(roots) if self.task.policy.removes else self._change(roots)
        self.task.on_step("deleted")
        return gone

    def _lock_roots(self) -> list[str]:
        attempt, ask = self.attempt, self.session.ask
        params: Params = {"limit": attempt.limit}
        if attempt.after:
            params |= {"after_starts": attempt.after.starts, "after_id": attempt.after.id}
        rows = ask(self.sql.due(after=attempt.after is not None, lock=not attempt.waiting), params)
        attempt.candidates = len(rows)
        attempt.at_end = len(rows) < attempt.limit
        if rows:
            attempt.last = Position(rows[-1][1], rows[-1][0])
        ids = [row[0] for row in rows]
        if not attempt.waiting or not ids:
            return ids
        locked = self.session.ids(self.sql.lock(), {"ids": ids})
        if not locked and ask(self.sql.still_due(), {"ids": ids})[0][0]:
            raise InvariantError(
                f"{self.root}: {len(ids)} due rows of tenant {self.task.tenant_id}, none could be "
                "locked, and nobody holds them: has tenure_retention lost its UPDATE policy?"
            )
        return locked

    def _remove(self, roots: Collection[str]) -> dict[str, Gone]:
        going = settle(self.session, roots)
        self.task.on_step("locked")
        if self.task.policy.archive is not None:
            self._archive(going, self.task.policy.archive)
        return self._delete(going)

    def _change(self, roots: Collection[str]) -> dict[str, Gone]:
        held = under_hold(self.session, {self.root: set(roots)})[self.root]
        self.attempt.held += len(held)
        rows = set(roots) - held
        self.task.on_step("locked")
        changed = self._counted(self.sql.change(), {self.root: rows}, "changed") if rows else {}
        return {str(name): gone for name, gone in changed.items()}

    def _archive(self, going: Mapping[TableName, set[str]], schema: str) -> None:
        params = self.session.members("m", going)
        for name, ids in going.items():
            if not ids:
                continue
            self.session.run(self.sql.archive(name, schema, self.task.columns[name]), params)
            if self.session.cursor.rowcount != len(ids):
                raise InvariantError(
                    f"{name}: {len(ids)} rows of tenant {self.task.tenant_id} were locked and "
                    f"{self.session.cursor.rowcount} could be archived; nothing is"
                )
        self.attempt.round_trips += 1
        left = columns_left_behind(
            self.session.cursor,
            {name: {c.name for c in self.task.columns[name]} for name, ids in going.items() if ids},
        )
        if left:
            raise InvariantError(
                f"{', '.join(left)}: no model knows it, and it would be lost; nothing is archived"
            )

    def _delete(self, going: Mapping[TableName, set[str]]) -> dict[str, Gone]:
        deleted: dict[str, Gone] = {}
        for group in self.session.family.order:
            names = [name for name in group if going.get(name)]
            if not names:
                continue
            if self.root in names and deleted:
                self.task.on_step("children_deleted")
            rows = {name: going[name] for name in names}
            gone = self._counted(self.sql.delete(names), rows, "deleted")
            deleted |= {str(name): part for name, part in gone.items()}
        return deleted

    def _counted(
        self, statement: sql.Composable, rows: Mapping[TableName, set[str]], done: str
    ) -> dict[TableName, Gone]:
        """Run what deletes or changes these very rows; raises InvariantError for others."""
        found = {
            self.session.family.members[number]: Gone(*done)
            for number, *done in self.session.ask(statement, self.session.members("m", rows))
        }
        for name, ids in rows.items():
            count = found[name].rows if name in found else 0
            if count != len(ids):
                raise InvariantError(
                    f"{name}: {len(ids)} rows of tenant {self.task.tenant_id} were locked and "
                    f"{count} could be {done}; nothing is"
                )
        return found

    # -- after ---------------------------------------------------------------------------

    def _record(self, gone: Mapping[str, Gone]) -> None:
        attempt, last = self.attempt, self.attempt.last
        rows = sum(part.rows for part in gone.values())
        progress = {"starts": last.starts, "id": last.id} if last else {}
        self.session.run(
            sql.SQL(f"{RECORD}; {COUNT}"),
            {
                "trace": self.task.trace_id,
                "span": attempt.span_id,
                "policy": self.task.policy.name,
                "version": self.task.versions[self.task.policy.name],
                "action": self.task.policy.action,
                "cutoff_instant": self.task.cutoff,
                "rows": rows,
                "counts": json.dumps({name: part.to_json() for name, part in gone.items()}),
                "progress": json.dumps(progress),
                "walk": json.dumps({**attempt.walk, **progress}),
                **self.task.claim.params(),
            },
        )
        if self.session.cursor.rowcount != 1:
            raise lost(self.task.claim)


def _interruption(standing: _Standing) -> Interruption | None:
    if standing.stopped:
        return "stopped"
    if standing.run_state != "running":
        return "run paused" if standing.run_state == "paused" else "run ended"
    return None if standing.in_window else "window closed"
