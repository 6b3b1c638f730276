"""The desk where erasures are handled: what a command or the API may do, by their ids.

Each method is what a person there does; `actor` and clock are the executor's. The API's desk is
at a seat (`retention.seat`): it is of one tenant, and enters requests and decisions; it neither
plans nor erases, and does not see who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.erasures import requests
from retention.erasures.execution import Executor, Result
from retention.erasures.letters import Letter, letter_of
from retention.erasures.planning import ErasurePlan, kept_plan, make_plan
from retention.erasures.records import (
    ENDED,
    STATES,
    Erasure,
    ErasureEvent,
    Person,
    State,
    count_erasures,
    erased_counts,
    erasures,
    events_of,
    find_erasure,
    key_of,
    person_of,
)
from retention.errors import ErasureError
from retention.subject_rows import find_person
from retention.subjects import named
from tenants.context import TenantId


@dataclass(frozen=True)
class File:
    """All there is of one erasure. `key` and `person` are None once it has ended, `person` also
    for those who are not to see who asks."""

    erasure: Erasure
    overdue: bool
    key: UUID | None
    person: Person | None
    events: tuple[ErasureEvent, ...]
    plan: ErasurePlan | None
    erased: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; ids and instants remain what they are."""
        person = self.person
        return {
            **self.erasure.to_json(),
            "overdue": self.overdue,
            "key": self.key,
            "person": None
            if person is None
            else {name: getattr(person, name) for name in person.__slots__},
            "events": [event.to_json() for event in self.events],
            "current_plan": None if self.plan is None else self.plan.to_json(),
            "erased": self.erased,
        }


def _states(*, ended: bool) -> tuple[State, ...] | None:
    return None if ended else tuple(state for state in STATES if state not in ENDED)


@dataclass(frozen=True)
class Desk:
    """Handles erasures of all tenants, or of `tenant_id` alone: others' are not there then.

    With `alone`, who entered a request may approve it, too.
    """

    executor: Executor
    alone: bool = False
    tenant_id: TenantId | None = None

    def request(
        self,
        tenant_id: TenantId,
        subject: str,
        *,
        requester: str,
        key: UUID | None = None,
        lookup: tuple[str, str] | None = None,
        received_at: datetime | None = None,
    ) -> Erasure:
        """Enter a request, about a person by key or by (column, value); return the erasure.

        By key the person need not be there: what is left of them is found all the same. Raises
        SubjectError for a subject that is not declared, or nobody found; ErasureError.
        """
        declared = named(self.executor.subjects, subject)
        if lookup is not None:
            with self.executor.verifier.transaction(None, read_only=True) as cursor:
                column, value = lookup
                catalog = self.executor.catalog
                key = find_person(cursor, declared, catalog, tenant_id, value, column=column)
        if key is None:
            raise ErasureError("a request says whom it is about: a key, or a column and its value")
        now = self.executor.clock.now()
        erasure_id = requests.enter(
            self.executor.retention,
            requests.Request(
                tenant_id=tenant_id,
                subject=subject,
                key=key,
                requester=requester,
                received_at=received_at or now,
                asked_by=None if lookup is None else " = ".join(lookup),
            ),
            actor=self.executor.actor,
            now=now,
        )
        return self.find(erasure_id)

    def find(self, erasure_id: UUID) -> Erasure:
        """Return an erasure; raises ErasureError where there is none at this desk."""
        with self.executor.verifier.transaction(None, read_only=True) as cursor:
            return find_erasure(cursor, erasure_id, self.tenant_id)

    def list(self, *, tenant_id: TenantId | None = None, ended: bool = False) -> list[Erasure]:
        """Return erasures, those due first ahead; with `ended` those that are over, too."""
        with self.executor.verifier.transaction(None, read_only=True) as cursor:
            whose = self.tenant_id or tenant_id
            return erasures(cursor, tenant_id=whose, states=_states(ended=ended))

    def page(
        self, *, limit: int, offset: int, ended: bool = False, with_total: bool = False
    ) -> tuple[Sequence[Erasure], int | None]:
        """Return `limit` of the same, from number `offset` on (from 0), and, `with_total`, how
        many there are."""
        asked: Any = {"tenant_id": self.tenant_id, "states": _states(ended=ended)}
        with self.executor.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            found = erasures(cursor, limit=limit, offset=offset, **asked)
            return found, count_erasures(cursor, **asked) if with_total else None

    def show(self, erasure_id: UUID, *, requester: bool = True) -> File:
        """Return all there is of an erasure, without `requester` but for who asks; raises
        ErasureError."""
        with self.executor.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            erasure = find_erasure(cursor, erasure_id, self.tenant_id)
            return File(
                erasure,
                erasure.is_overdue(self.executor.clock.now()),
                key_of(cursor, erasure),
                person_of(cursor, erasure) if requester else None,
                tuple(events_of(cursor, erasure)),
                None if erasure.plan is None else kept_plan(cursor, erasure),
                erased_counts(cursor, erasure),
            )

    def confirm(self, erasure_id: UUID, *, how: str) -> Erasure:
        """See `requests.confirm`."""
        erasure = self.find(erasure_id)
        return self._named(
            erasure,
            requests.confirm(self.executor.retention, erasure, how=how, actor=self.executor.actor),
        )

    def plan(self, erasure_id: UUID, *, keep: bool = True) -> tuple[ErasurePlan, int | None]:
        """Make a plan, and keep it with `keep`; return it with its number."""
        executor = self.executor
        erasure = self.find(erasure_id)
        made = make_plan(
            executor.verifier,
            erasure_id,
            executor.subjects,
            catalog=executor.catalog,
            policies=executor.policies,
            now=executor.clock.now(),
        )
        if not keep:
            return made, None
        kept = requests.keep_plan(executor.retention, erasure, made, actor=executor.actor)
        return made, kept.plan

    def want_plan(self, erasure_id: UUID) -> Erasure:
        """See `requests.want_plan`."""
        erasure = self.find(erasure_id)
        return self._named(
            erasure,
            requests.want_plan(self.executor.retention, erasure, actor=self.executor.actor),
        )

    def approve(self, erasure_id: UUID, *, plan: int | None = None) -> Erasure:
        """See `requests.approve`; with `plan`, that one only."""
        erasure = self.find(erasure_id)
        if plan is not None and plan != erasure.plan:
            raise ErasureError(f"plan {erasure.plan} of erasure {erasure_id} counts, not {plan}")
        return self._named(
            erasure,
            requests.approve(
                self.executor.retention, erasure, actor=self.executor.actor, alone=self.alone
            ),
        )

    def extend(self, erasure_id: UUID, *, months: int, reason: str) -> Erasure:
        """See `requests.extend`."""
        erasure = self.find(erasure_id)
        return self._named(
            erasure,
            requests.extend(
                self.executor.retention,
                erasure,
                months=months,
                reason=reason,
                actor=self.executor.actor,
                now=self.executor.clock.now(),
            ),
        )

    def refuse(self, erasure_id: UUID, *, ground: str) -> Erasure:
        """See `requests.refuse`."""
        erasure, executor = self.find(erasure_id), self.executor
        return self._named(
            erasure,
            requests.refuse(executor.retention, erasure, ground=ground, actor=executor.actor),
        )

    def withdraw(self, erasure_id: UUID) -> Erasure:
        """See `requests.withdraw`."""
        erasure, executor = self.find(erasure_id), self.executor
        return self._named(
            erasure,
            requests.withdraw(executor.retention, erasure, actor=executor.actor),
        )

    def run(self, erasure_id: UUID) -> Result:
        """See `execution.Executor.run`."""
        self.find(erasure_id)
        return self.executor.run(erasure_id)

    def letter(self, erasure_id: UUID) -> Letter:
        """Return what the person is told as things are."""
        found = self.show(erasure_id, requester=False)
        with self.executor.verifier.transaction(None, read_only=True) as cursor:
            cursor.execute(
                "SELECT name FROM tenure.tenants WHERE id = %s", (str(found.erasure.tenant_id),)
            )
            ((sender,),) = cursor.fetchall()
        return letter_of(
            found.erasure,
            found.events,
            found.erased,
            sender=sender,
            now=self.executor.clock.now(),
            bases={policy.name: policy.legal_basis for policy in self.executor.policies},
        )

    def _named(self, found: Erasure, taken: Erasure) -> Erasure:
        """Return the erasure as it is now, under the name of its tenant."""
        return self.find(taken.id) if found.tenant != taken.tenant else taken
