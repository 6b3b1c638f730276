"""What is retained how long: the recorded policies, their versions, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retention.policies import digest_of
from retention.reports.paging import Page, PageRequest
from retention.reports.trend import PolicyPoint, policy_points
from retention.reports.verification import Check, Verification, last_verification
from retention.reports.words import period_in_words
from tenants.connections import Cursor

MAX_VERSIONS = 200
_NAMED_TENANTS = 5


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """A policy as last recorded.

    `along` are the tables whose rows go along. `exceptions` counts the tenants whose own
    state differs from `state`, `exception_tenants` names the first few. `in_last_run` tells
    whether the latest run's plan has the policy, None while there was no run. `withdrawn_at` is
    when it was taken out of the policy file, None while it is in it.
    """

    policy: str
    version: int
    table: str
    starts: str
    period: str
    period_words: str
    along: tuple[str, ...]
    legal_basis: str
    deletion_class: str
    state: str
    exceptions: int
    exception_tenants: tuple[str, ...]
    in_last_run: bool | None
    withdrawn_at: datetime | None
    recorded_at: datetime
    recorded_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the definition that a version changed; None where it was not there."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A recorded version. `changes` is against the one before, None for the first.

    `digest_matches`: the definition still has the digest recorded with it.
    """

    version: int
    recorded_at: datetime
    recorded_by: str
    digest: str
    digest_matches: bool
    changes: tuple[Change, ...] | None
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TenantException:
    """A tenant whose own state of the policy differs from the policy's."""

    tenant: str
    tenant_name: str
    state: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy with its versions, newest first (`older_versions`: there are more), what the
    last verification found for it and the ones before (`trend`, newest first), and a page of its
    exceptions, by tenant."""

    current: PolicyLine
    verification: Verification | None
    checks: tuple[Check, ...]
    trend: tuple[PolicyPoint, ...]
    versions: tuple[PolicyVersion, ...]
    older_versions: bool
    exceptions: tuple[TenantException, ...]
    page: Page


# A policy's own state stands in its definition; a tenant's own wins over it.
_LINES = """
WITH latest AS (
    SELECT DISTINCT ON (policy) policy, version, definition, recorded_at, recorded_by
    FROM tenure.policy_versions
    WHERE %(policy)s::text IS NULL OR policy = %(policy)s
    ORDER BY policy, version DESC
), last_run AS MATERIALIZED (
    SELECT plan->'policies' AS policies FROM tenure.runs ORDER BY started_at DESC, id DESC LIMIT 1
)
SELECT l.policy, l.version, l.definition, l.recorded_at, l.recorded_by,
       (SELECT count(*) FROM tenure.policy_states s
        WHERE s.policy = l.policy AND s.state IS DISTINCT FROM l.definition->>'state'),
       ARRAY(SELECT t.name FROM tenure.policy_states s
             JOIN tenure.tenants t ON t.id = s.tenant_id
             WHERE s.policy = l.policy AND s.state IS DISTINCT FROM l.definition->>'state'
             ORDER BY t.name LIMIT %(named)s),
       (SELECT r.policies @> jsonb_build_array(
                   jsonb_build_object('definition', jsonb_build_object('name', l.policy)))
        FROM last_run r),
       (SELECT CASE w.event WHEN 'withdrawn' THEN w.recorded_at END
        FROM tenure.policy_withdrawals w WHERE w.policy = l.policy
        ORDER BY w.number DESC LIMIT 1)
FROM latest l
ORDER BY l.policy
"""

_VERSIONS = """
SELECT version, recorded_at, recorded_by, digest, definition
FROM tenure.policy_versions WHERE policy = %(policy)s ORDER BY version DESC LIMIT %(limit)s
"""

_EXCEPTIONS = """
SELECT t.slug, t.name, s.state, s.changed_at, s.changed_by
FROM tenure.policy_states s JOIN tenure.tenants t ON t.id = s.tenant_id
WHERE s.policy = %(policy)s AND s.state IS DISTINCT FROM %(state)s
ORDER BY t.slug LIMIT %(limit)s OFFSET %(offset)s
"""


def policy_lines(cursor: Cursor, policy: str | None = None) -> tuple[PolicyLine, ...]:
    """Return every policy as last recorded (or the one named), by name; one query."""
    cursor.execute(_LINES, {"policy": policy, "named": _NAMED_TENANTS})
    return tuple(_line(row) for row in cursor.fetchall())


def _line(row: tuple[Any, ...]) -> PolicyLine:
    policy, version, definition, recorded_at, recorded_by, exceptions, names, *rest = row
    in_last_run, withdrawn_at = rest
    fields = definition if isinstance(definition, dict) else {}
    period = _text(fields, "period")
    along = fields.get("with")
    return PolicyLine(
        policy=policy,
        version=version,
        table=_text(fields, "table"),
        starts=_text(fields, "starts"),
        period=period,
        period_words=period_in_words(period),
        along=tuple(map(str, along)) if isinstance(along, list) else (),
        legal_basis=_text(fields, "legal_basis"),
        deletion_class=_text(fields, "class"),
        state=_text(fields, "state"),
        exceptions=exceptions,
        exception_tenants=tuple(names),
        in_last_run=in_last_run,
        withdrawn_at=withdrawn_at,
        recorded_at=recorded_at,
        recorded_by=recorded_by,
    )


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return "" if value is None else str(value)


def policy_report(cursor: Cursor, policy: str, wanted: PageRequest) -> PolicyReport | None:
    """Return a policy with all about it, None where none was ever recorded; six queries."""
    lines = policy_lines(cursor, policy)
    if not lines:
        return None
    cursor.execute(_VERSIONS, {"policy": policy, "limit": MAX_VERSIONS + 1})
    rows = cursor.fetchall()
    cursor.execute(_EXCEPTIONS, {"policy": policy, "state": lines[0].state, **wanted.window})
    exceptions, page = wanted.cut([TenantException(*row) for row in cursor.fetchall()])
    verification, checks = last_verification(cursor, policy)
    return PolicyReport(
        current=lines[0],
        verification=verification,
        checks=checks,
        trend=policy_points(cursor, policy),
        versions=tuple(
            _version(row, rows[i + 1][4] if i + 1 < len(rows) else None)
            for i, row in enumerate(rows[:MAX_VERSIONS])
        ),
        older_versions=len(rows) > MAX_VERSIONS,
        exceptions=exceptions,
        page=page,
    )


def _version(row: tuple[Any, ...], before: Any) -> PolicyVersion:
    version, recorded_at, recorded_by, digest, definition = row
    return PolicyVersion(
        version=version,
        recorded_at=recorded_at,
        recorded_by=recorded_by,
        digest=digest,
        digest_matches=digest_of(definition) == digest,
        changes=None if before is None else changes(before, definition),
        definition=definition if isinstance(definition, dict) else {"": definition},
    )


def changes(before: Any, after: Any) -> tuple[Change, ...]:
    """Return the fields in which two definitions differ, by name."""
    old = before if isinstance(before, dict) else {"": before}
    new = after if isinstance(after, dict) else {"": after}
    return tuple(
        Change(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )
