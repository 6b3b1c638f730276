"""Tenants' own terms, as verification sees them: what is in force must be what was recorded last,
and a period must lie within its policy's bounds.

Retention goes by `tenure.policy_states` and `tenure.policy_periods`; people read
`tenure.policy_changes`. Whoever writes the former alone pauses or prolongs what nobody was told of.

Changes follow on one another, each from what was in force before it: what came into force once more
than it ceased to be is in force now, whatever a clock said of when. (A first change that is not
from nothing is from before changes were recorded.)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from retention.errors import PolicyError
from retention.policies import Policy
from retention.policy_records import check_period

OWN_TERMS = """SELECT tenant_id::text AS tenant, policy, what, own.value AS in_force,
       said.value AS recorded
FROM (SELECT policy, tenant_id, 'state' AS what, state AS value FROM tenure.policy_states
      UNION ALL
      SELECT policy, tenant_id, 'period', period FROM tenure.policy_periods) AS own
FULL JOIN (SELECT policy, tenant_id, what, value
           FROM (SELECT c.policy, c.tenant_id, c.what, m.value, m.times FROM tenure.policy_changes c
                 CROSS JOIN LATERAL (VALUES (c.after, 1), (c.before, -1)) AS m(value, times)
                 UNION ALL
                 (SELECT DISTINCT ON (policy, tenant_id, what)
                         policy, tenant_id, what, before, 1 FROM tenure.policy_changes c
                  WHERE NOT EXISTS (SELECT FROM tenure.policy_changes f
                                    WHERE f.policy = c.policy AND f.tenant_id = c.tenant_id
                                      AND f.what = c.what AND f.before IS NULL)
                  ORDER BY policy, tenant_id, what, changed_at, id)) AS moved
           WHERE value IS NOT NULL
           GROUP BY policy, tenant_id, what, value HAVING sum(times) > 0) AS said
    USING (policy, tenant_id, what)
ORDER BY tenant_id, policy, what"""

UNRECORDED = "not what was recorded last"
OUTSIDE = "outside of its policy's bounds"


class Term(NamedTuple):
    """A row of OWN_TERMS: what is in force for a tenant, `what` being a state or a period, and
    what was recorded last; None where there is nothing of its own."""

    tenant: str
    policy: str
    what: str
    in_force: str | None
    recorded: str | None


def wrong_terms(terms: Collection[Term], policies: Collection[Policy]) -> dict[str, dict[str, int]]:
    """Return how many of a tenant's terms must not be as they are, by tenant and reason: one of
    UNRECORDED, OUTSIDE."""
    known = {policy.name: policy for policy in policies}
    wrong: dict[str, dict[str, int]] = {}
    for term in terms:
        reason = None
        if term.in_force != term.recorded:
            reason = UNRECORDED
        elif term.what == "period" and _is_outside(known.get(term.policy), term.in_force):
            reason = OUTSIDE
        if reason is not None:
            of_tenant = wrong.setdefault(term.tenant, {})
            of_tenant[reason] = of_tenant.get(reason, 0) + 1
    return wrong


def _is_outside(policy: Policy | None, period: str | None) -> bool:
    if policy is None or period is None:
        return False
    try:
        check_period(policy, period)
    except PolicyError:
        return True
    return False
