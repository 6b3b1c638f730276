"""Policies in the database: versioned definitions, and each tenant's own state and period.

A version is a row that nobody changes; a run pins the version it was planned under. A policy
that was taken out of the file and put in again has a new one, for no plan has reckoned with it. A
tenant's state (paused while an import is being checked, say) wins over the policy's own, and
so does its period, within the policy's bounds. Each change is recorded with who made it.

Of several processes with different policies, as of two releases side by side, those count that were
recorded last; who began before that, and has others, is superseded (`Seen`): it records none and
plans nothing, for it would take rows away that are to be kept. A process that begins anew is taken
at its word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.errors import PolicyError, SupersededError
from retention.gate import turn_gate
from retention.policies import STATES, Period, Policy, State, never_longer
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

WITHDRAWN = """coalesce(mod((SELECT max(w.number) FROM tenure.policy_withdrawals w
                            WHERE w.policy = v.policy), 2) = 1, false)"""
"""In SQL: whether the policy of a version `v` is out of the file. The first event is that it was
taken out, the second that it is in again, .."""

_LATEST = f"""
SELECT DISTINCT ON (v.policy) v.policy, v.version, v.digest, v.definition, {WITHDRAWN}
FROM tenure.policy_versions v WHERE v.policy = ANY(%s) ORDER BY v.policy, v.version DESC
"""  # noqa: S608 - a constant is put in
_ADD = """
INSERT INTO tenure.policy_versions (policy, version, definition, digest, recorded_by, changes)
SELECT %(policy)s, coalesce(max(v.version), 0) + 1, %(definition)s, %(digest)s, %(actor)s,
       %(changes)s
FROM tenure.policy_versions v WHERE v.policy = %(policy)s
HAVING (array_agg(v.digest ORDER BY v.version DESC))[1] IS DISTINCT FROM %(digest)s
    OR (SELECT mod(max(number), 2) FROM tenure.policy_withdrawals WHERE policy = %(policy)s) = 1
ON CONFLICT (policy, version) DO NOTHING
"""
# Of policies that are recorded, those that are not in the file and were, or are and were not.
_WITHDRAW = """
INSERT INTO tenure.policy_withdrawals (policy, number, event, version, recorded_by)
SELECT v.policy, coalesce(w.number, 0) + 1,
       CASE WHEN v.policy = ANY(%(names)s) THEN 'returned' ELSE 'withdrawn' END, v.version,
       %(actor)s
FROM (SELECT policy, max(version) AS version FROM tenure.policy_versions GROUP BY policy) v
LEFT JOIN (SELECT policy, max(number) AS number FROM tenure.policy_withdrawals GROUP BY policy) w
    USING (policy)
WHERE (v.policy = ANY(%(names)s)) = (coalesce(w.number, 0) %% 2 = 1)
ON CONFLICT (policy, number) DO NOTHING
"""
_TRIES = 10
# Nothing is ever taken out of either: who finds as many as before finds the same.
_RECORDED = """
SELECT (SELECT count(*) FROM tenure.policy_versions)
     + (SELECT count(*) FROM tenure.policy_withdrawals)
"""
_LAST_RECORDED = """
SELECT recorded_by, recorded_at FROM (
    SELECT recorded_by, recorded_at FROM tenure.policy_versions
    UNION ALL SELECT recorded_by, recorded_at FROM tenure.policy_withdrawals) r
ORDER BY recorded_at DESC LIMIT 1
"""
# Who records waits for who does so now, and then sees what that was.
_IN_TURN = "SELECT pg_advisory_xact_lock(7308339912)"


@dataclass(frozen=True, slots=True)
class RecordedVersion:
    """The latest version of a policy in the database; `withdrawn`: it is in force no more."""

    version: int
    digest: str
    definition: Mapping[str, Any]
    withdrawn: bool

    def has(self, policy: Policy) -> bool:
        """Tell whether this very policy is in force."""
        return self.digest == policy.digest and not self.withdrawn


@dataclass
class Seen:
    """What a process has seen recorded of policies, by how much there was of it when it began, or
    when it last found, or made, its own to be in force; None before it has looked."""

    recorded: int | None = None

    def begin(self, cursor: Cursor) -> None:
        """See what there is, unless it was seen before."""
        if self.recorded is None:
            self.recorded = _recorded(cursor)

    def is_behind(self, cursor: Cursor) -> bool:
        """Tell whether anything was recorded since. (A database that was restored has less.)"""
        return self.recorded is not None and _recorded(cursor) > self.recorded


def _recorded(cursor: Cursor) -> int:
    cursor.execute(_RECORDED)
    ((count,),) = cursor.fetchall()
    return int(count)


@dataclass(frozen=True, slots=True)
class TenantState:
    """A policy's state for one tenant, where it differs from the policy's own."""

    policy: str
    tenant_id: TenantId
    state: State
    changed_at: datetime
    changed_by: str


def latest_versions(cursor: Cursor, names: Iterable[str]) -> dict[str, RecordedVersion]:
    """Return the latest recorded version of each named policy that has one."""
    cursor.execute(_LATEST, (list(names),))
    return {policy: RecordedVersion(*version) for policy, *version in cursor}


def changes_between(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return (before, after) of each key that differs; None where a key is not there."""
    return {
        key: (before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    }


def record_policies(
    retention: RoleConnections, policies: Iterable[Policy], *, actor: str, seen: Seen | None = None
) -> dict[str, int]:
    """Record what has changed as new versions, and which policies are not among these any more, or
    are again; return the version of each by name. `policies` are all there are.

    Any number of processes may do this at once: a version number is taken once, and a
    definition that is the latest already is not recorded again. Raises SupersededError where others
    recorded different ones after what this process has `seen`, PolicyError when they keep doing so.
    """
    wanted = {policy.name: policy for policy in policies}
    seen = Seen() if seen is None else seen
    for _ in range(_TRIES):
        with retention.transaction(None) as cursor:
            cursor.execute(_IN_TURN)
            is_behind = seen.is_behind(cursor)
            latest = latest_versions(cursor, wanted)
            changed = [
                policy
                for name, policy in wanted.items()
                if name not in latest or not latest[name].has(policy)
            ]
            for policy in changed:
                recorded = latest.get(policy.name)
                before = recorded.definition if recorded else {}
                changes = changes_between(before, policy.definition())
                cursor.execute(
                    _ADD,
                    {
                        "policy": policy.name,
                        "definition": json.dumps(policy.definition(), ensure_ascii=False),
                        "changes": json.dumps(changes, ensure_ascii=False),
                        "digest": policy.digest,
                        "actor": actor,
                    },
                )
            cursor.execute(_WITHDRAW, {"names": list(wanted), "actor": actor})
            if is_behind and (changed or cursor.rowcount):
                raise SupersededError(_superseded(cursor))
            recorded_now = _recorded(cursor)
        seen.recorded = recorded_now
        if not changed:
            return {name: latest[name].version for name in wanted}
    names = ", ".join(policy.name for policy in changed)
    raise PolicyError(
        f"policies {names}: other processes keep recording a different definition; are two "
        "releases running side by side?"
    )


def superseded(cursor: Cursor, policies: Iterable[Policy], seen: Seen) -> str:
    """Return who recorded other policies than these after what was `seen`, and when, as it is
    said to people; "" where nobody did. As any role that reads them."""
    if not seen.is_behind(cursor):
        return ""
    wanted = {policy.name: policy for policy in policies}
    cursor.execute("SELECT DISTINCT policy FROM tenure.policy_versions")
    recorded = [name for (name,) in cursor.fetchall()]
    latest = latest_versions(cursor, {*wanted, *recorded})
    in_force = {name for name, version in latest.items() if not version.withdrawn}
    if in_force == wanted.keys() and all(latest[n].has(p) for n, p in wanted.items()):
        return ""
    return _superseded(cursor)


def _superseded(cursor: Cursor) -> str:
    cursor.execute(_LAST_RECORDED)
    ((actor, at),) = cursor.fetchall()
    return (
        f"{actor} recorded other policies at {at.isoformat(timespec='seconds')}, after this "
        "process had begun; it goes by its own no more: restart it with those that are to count"
    )


def set_state(
    retention: RoleConnections, tenant_id: TenantId, policy: str, state: State, *, actor: str
) -> None:
    """Pause or activate a policy for one tenant.

    Waits for the tenant's open batch: once this returns, no batch deletes under another
    state. Raises PolicyError for a policy that is not recorded, NoTenantError.
    """
    if state not in STATES:
        raise PolicyError(f"{state!r} is no state; there are {', '.join(STATES)}")
    with retention.transaction(tenant_id) as cursor:
        _at_the_gate(cursor, tenant_id, policy)
        cursor.execute(
            "SELECT state FROM tenure.policy_states WHERE tenant_id = %s AND policy = %s",
            (str(tenant_id), policy),
        )
        before = cursor.fetchone()
        cursor.execute(
            "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (policy, tenant_id) DO UPDATE"
            " SET state = excluded.state, changed_by = excluded.changed_by, changed_at = now()",
            (policy, str(tenant_id), state, actor),
        )
        _record(cursor, tenant_id, policy, ("state", before[0] if before else None, state), actor)


def pause_where_unsaid(
    cursor: Cursor, tenant_id: TenantId, policies: Iterable[str], *, actor: str
) -> int:
    """Pause these policies for one tenant where nobody has set a state; return how many.

    In the caller's transaction, as a role that may write the tenant's terms. Waits for the
    tenant's open batch. The policies need not be recorded yet. Raises PlanError for a tenant that
    does not exist.
    """
    turn_gate(cursor, tenant_id)
    paused = 0
    for policy in policies:
        cursor.execute(
            "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
            " VALUES (%s, %s, 'paused', %s) ON CONFLICT (policy, tenant_id) DO NOTHING",
            (policy, str(tenant_id), actor),
        )
        if cursor.rowcount:
            _record(cursor, tenant_id, policy, ("state", None, "paused"), actor)
            paused += 1
    return paused


def set_period(
    retention: RoleConnections,
    tenant_id: TenantId,
    policy: Policy,
    period: str | None,
    *,
    actor: str,
) -> None:
    """Give a tenant a period of its own under a policy; None gives it back the policy's.

    Waits for the tenant's open batch: once this returns, no batch deletes under another
    period. Raises PolicyError for a period outside of the policy's bounds (where one is not
    set, the policy's own period is the bound), and as `set_state` does.
    """
    if period is not None:
        check_period(policy, period)
    with retention.transaction(tenant_id) as cursor:
        _at_the_gate(cursor, tenant_id, policy.name)
        cursor.execute(
            "DELETE FROM tenure.policy_periods WHERE tenant_id = %s AND policy = %s"
            " RETURNING period",
            (str(tenant_id), policy.name),
        )
        before = cursor.fetchone()
        if period is not None:
            cursor.execute(
                "INSERT INTO tenure.policy_periods (policy, tenant_id, period, changed_by)"
                " VALUES (%s, %s, %s, %s)",
                (policy.name, str(tenant_id), period, actor),
            )
        _record(
            cursor, tenant_id, policy.name, ("period", before[0] if before else None, period), actor
        )


def check_period(policy: Policy, period: str) -> None:
    """Raise PolicyError unless a tenant may have this period under the policy."""
    try:
        wanted = Period.parse(period)
    except ValueError as error:
        raise PolicyError(str(error)) from error
    shortest, longest = policy.minimum or policy.period, policy.maximum or policy.period
    if not (
        never_longer(Period.parse(shortest), wanted) and never_longer(wanted, Period.parse(longest))
    ):
        raise PolicyError(
            f"policy {policy.name!r}: a tenant's own period lies between {shortest} and {longest} "
            f"(its minimum and maximum), and {period} does not"
        )


def _at_the_gate(cursor: Cursor, tenant_id: TenantId, policy: str) -> None:
    turn_gate(cursor, tenant_id)
    if policy not in latest_versions(cursor, [policy]):
        raise PolicyError(f"there is no recorded policy {policy!r}")


def _record(
    cursor: Cursor,
    tenant_id: TenantId,
    policy: str,
    change: tuple[str, str | None, str | None],
    actor: str,
) -> None:
    what, before, after = change
    if before == after:
        return
    cursor.execute(
        "INSERT INTO tenure.policy_changes (tenant_id, id, policy, what, before, after, changed_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (str(tenant_id), str(new_id()), policy, what, before, after, actor),
    )


def tenant_periods(cursor: Cursor) -> dict[tuple[str, TenantId], str]:
    """Return all tenants' own periods (as verifier or auditor), by policy and tenant."""
    # tenure: allow TS001 because plans and reports ask for every tenant, as verifier or auditor
    cursor.execute("SELECT policy, tenant_id::text, period FROM tenure.policy_periods")
    return {(policy, TenantId(UUID(tenant))): period for policy, tenant, period in cursor}


def tenant_states(cursor: Cursor) -> dict[tuple[str, TenantId], TenantState]:
    """Return all tenants' states (as verifier or auditor), by policy and tenant."""
    # tenure: allow TS001 because plans and reports ask for every tenant, as verifier or auditor
    cursor.execute(
        "SELECT policy, tenant_id::text, state, changed_at, changed_by FROM tenure.policy_states"
        " ORDER BY policy, tenant_id"
    )
    states = [TenantState(p, TenantId(UUID(t)), s, at, by) for p, t, s, at, by in cursor]
    return {(state.policy, state.tenant_id): state for state in states}


def effective_state(
    policy: Policy, tenant_id: TenantId, states: Mapping[tuple[str, TenantId], TenantState]
) -> State:
    """Return the tenant's state of a policy: its own where there is one."""
    own = states.get((policy.name, tenant_id))
    return policy.state if own is None else own.state
