"""The retention schedule: who is kept how long, from when, on what legal basis, since which
version. The deletion part of a record of processing activities (GDPR 30(1)(f)), generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from retention.reports.words import period_in_words
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """What becomes of one category of data, by the version in force at the end of the period.

    Rows of `table` (with `along`, and where `condition` says so) are kept for `period`, counted
    from `starts`; then `action` is done, to `columns` where it changes rows. `minimum` and
    `maximum` bound a tenant's own period. `own` names what is this tenant's own (state, period);
    of all tenants, `own_terms` counts those that have any. `in_last_run`: the last run of the
    period was opened under it; None where there was none. `withdrawn_at` is when it was taken out
    of the policy file: its `state` is withdrawn then, and nothing goes by it.
    """

    deletion_class: str
    policy: str
    table: str
    along: tuple[str, ...]
    condition: str | None
    starts: str
    period: str
    period_words: str
    action: str
    columns: tuple[str, ...]
    legal_basis: str
    minimum: str | None
    maximum: str | None
    state: str
    withdrawn_at: datetime | None
    own: tuple[str, ...]
    own_terms: int
    in_last_run: bool | None
    version: int
    digest: str
    recorded_at: datetime
    recorded_by: str


@dataclass(frozen=True, slots=True)
class OwnTerm:
    """A tenant's own state or period of a policy, as of the end of the period."""

    policy: str
    tenant: str
    tenant_name: str
    what: str
    value: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class ScheduleReport:
    """The schedule, by class; and a page of the tenants' own terms, by policy and tenant."""

    schedule: tuple[ScheduleLine, ...]
    own_terms: tuple[OwnTerm, ...]
    page: Page


# What a tenant had said by the end: what came into force once more than it ceased to be, whatever a
# clock said of when (`retention.verification_terms`); and what was said before such changes were
# recorded.
_TERMS = """
WITH latest AS (
    SELECT DISTINCT ON (policy) policy, version, definition, digest, recorded_at, recorded_by
    FROM tenure.policy_versions WHERE recorded_at < %(until)s::timestamptz
    ORDER BY policy, version DESC
), in_force AS (
    SELECT policy, tenant_id, what, value FROM (
        SELECT c.policy, c.tenant_id, c.what, m.value, m.times FROM tenure.policy_changes c
        CROSS JOIN LATERAL (VALUES (c.after, 1), (c.before, -1)) m(value, times)
        WHERE c.changed_at < %(until)s::timestamptz
        UNION ALL
        (SELECT DISTINCT ON (policy, tenant_id, what)
                policy, tenant_id, what, before, 1 FROM tenure.policy_changes c
         WHERE NOT EXISTS (SELECT FROM tenure.policy_changes f
                           WHERE f.policy = c.policy AND f.tenant_id = c.tenant_id
                             AND f.what = c.what AND f.before IS NULL)
         ORDER BY policy, tenant_id, what, changed_at, id)) moved
    WHERE value IS NOT NULL
    GROUP BY policy, tenant_id, what, value HAVING sum(times) > 0
), said AS (
    SELECT DISTINCT ON (policy, tenant_id, what)
           policy, tenant_id, what, value, changed_at, changed_by
    FROM tenure.policy_changes c JOIN in_force f USING (policy, tenant_id, what)
    WHERE c.after = f.value AND c.changed_at < %(until)s::timestamptz
    ORDER BY policy, tenant_id, what, changed_at DESC, id DESC
), terms AS (
    SELECT x.*, l.definition FROM (
        SELECT * FROM said
        UNION ALL
        SELECT s.policy, s.tenant_id, 'state', s.state, s.changed_at, s.changed_by
        FROM tenure.policy_states s
        WHERE s.changed_at < %(until)s::timestamptz AND NOT EXISTS (
            SELECT FROM tenure.policy_changes c
            WHERE c.policy = s.policy AND c.tenant_id = s.tenant_id AND c.what = 'state')
    ) x JOIN latest l ON l.policy = x.policy
    WHERE x.value IS NOT NULL AND x.value IS DISTINCT FROM l.definition->>x.what
      AND (%(tenant)s::uuid IS NULL OR x.tenant_id = %(tenant)s::uuid)
)
"""
_SCHEDULE = f"""{_TERMS}
SELECT l.policy, l.version, l.definition, l.digest, l.recorded_at, l.recorded_by,
       (SELECT count(DISTINCT t.tenant_id) FROM terms t WHERE t.policy = l.policy),
       (SELECT r.versions ? l.policy FROM tenure.runs r
        WHERE r.started_at < %(until)s::timestamptz AND r.versions IS NOT NULL
        ORDER BY r.started_at DESC, r.id DESC LIMIT 1),
       (SELECT CASE w.event WHEN 'withdrawn' THEN w.recorded_at END
        FROM tenure.policy_withdrawals w
        WHERE w.policy = l.policy AND w.recorded_at < %(until)s::timestamptz
        ORDER BY w.number DESC LIMIT 1)
FROM latest l ORDER BY l.definition->>'class', l.policy
"""  # noqa: S608 - a constant
# As many as there are policies: of the lines, whatever page of them is shown below.
_OF_TENANT = f"""{_TERMS}
SELECT t.policy, t.what, t.value FROM terms t
"""  # noqa: S608 - a constant
_OWN = f"""{_TERMS}
SELECT t.policy, n.slug, n.name, t.what, t.value, t.changed_at, t.changed_by
FROM terms t JOIN tenure.tenants n ON n.id = t.tenant_id
ORDER BY t.policy, n.slug, t.what LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant


def schedule_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ScheduleReport:
    """Return the schedule as of the scope's `until` (None: now); two queries, of a tenant three.

    Of one tenant, its own terms stand in the lines.
    """
    cursor.execute(_SCHEDULE, scope.params)
    lines = tuple(_line(row) for row in cursor.fetchall())
    cursor.execute(_OWN, {**scope.params, **wanted.window})
    terms, page = wanted.cut([OwnTerm(*row) for row in cursor.fetchall()])
    if scope.tenant is not None:
        cursor.execute(_OF_TENANT, scope.params)
        own: dict[str, dict[str, str]] = {}
        for policy, what, value in cursor.fetchall():
            own.setdefault(policy, {})[what] = value
        lines = tuple(_for_tenant(line, own.get(line.policy, {})) for line in lines)
    return ScheduleReport(lines, terms, page)


def _line(row: tuple[Any, ...]) -> ScheduleLine:
    policy, version, definition, digest, recorded_at, recorded_by, own_terms, *rest = row
    in_last_run, withdrawn_at = rest
    known: Mapping[str, Any] = definition if isinstance(definition, dict) else {}
    period = str(known.get("period", ""))
    return ScheduleLine(
        deletion_class=str(known.get("class", "")),
        policy=policy,
        table=str(known.get("table", "")),
        along=tuple(map(str, known.get("with") or ())),
        condition=known.get("condition"),
        starts=str(known.get("starts", "")),
        period=period,
        period_words=period_in_words(period),
        action=str(known.get("action", "delete")),
        columns=tuple(sorted(known.get("columns") or ())),
        legal_basis=str(known.get("legal_basis", "")),
        minimum=known.get("minimum"),
        maximum=known.get("maximum"),
        state="withdrawn" if withdrawn_at else str(known.get("state", "")),
        withdrawn_at=withdrawn_at,
        own=(),
        own_terms=own_terms,
        in_last_run=in_last_run,
        version=version,
        digest=digest,
        recorded_at=recorded_at,
        recorded_by=recorded_by,
    )


def _for_tenant(line: ScheduleLine, own: Mapping[str, str]) -> ScheduleLine:
    period = own.get("period", line.period)
    return replace(
        line,
        own=tuple(sorted(own)),
        state=line.state if line.withdrawn_at else own.get("state", line.state),
        period=period,
        period_words=period_in_words(period),
    )
