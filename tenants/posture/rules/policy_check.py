"""WITH CHECK admits rows of other tenants."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.policies import alter, label_of
from tenants.posture.records import Policy, Relation, Role
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies whose WITH CHECK lets the app write what is not its tenant's."""
    yield from _shared(subject)
    judged = subject.policies_judged
    for policy, relation in subject.policies:
        if not policy.permissive or policy.check is None:
            continue
        for role in subject.app_roles:
            facts = subject.facts
            if not facts.bound_by(role.oid, relation):
                continue
            if policy not in facts.policies_for(role.oid, relation):
                continue
            alone = judged.of(policy, relation, role, check=True)
            if alone.at_most("unknown") or all(
                subject.admits(role, relation, command, check=True).at_most("unknown")
                for command in _commands(subject, role, policy, relation)
            ):
                continue
            bounded = policy.using and judged.of(policy, relation, role).at_most("keyed")
            right = policy.using if bounded else judged.usual(relation)
            added = relation.oid == subject.registry
            # Whoever signs up adds a tenant, and reaches no other one's row with that.
            signing_up = added and policy.command == "INSERT"
            severity: Severity = "error" if alone.kind == "open" and not signing_up else "warning"
            yield Problem(
                label_of(policy, relation),
                f"{role.name} may "
                + (
                    "add tenants"
                    if signing_up
                    else "add tenants, or change others"
                    if added
                    else "write rows of other tenants"
                )
                + f": {alone.reason}",
                alter(policy, relation, f"WITH CHECK ({right})") if right else None,
                severity,
            )


def _commands(subject: Subject, role: Role, policy: Policy, relation: Relation) -> Iterator[str]:
    """The commands by which a role may leave rows behind that this policy admits."""
    held = subject.facts.privileges(role.oid, relation)
    if policy.command in ("ALL", "INSERT") and "INSERT" in held:
        yield "INSERT"
    if policy.command not in ("ALL", "UPDATE") or "UPDATE" not in held:
        return
    # Who may not change the tenant leaves behind no other tenant's row but those it finds.
    name = subject.tenant_column(relation)
    columns = {column.number for column in relation.columns if column.name == name}
    found = subject.admits(role, relation, "UPDATE")
    if not found.at_most("keyed") or "UPDATE" in subject.facts.privileges_on(
        role.oid, relation, columns
    ):
        yield "UPDATE"


def _shared(subject: Subject) -> Iterator[Problem]:
    """Policies by which each tenant writes rows of one that all read."""
    judged = subject.policies_judged
    for policy, relation in subject.policies:
        if not policy.permissive or policy.command in ("SELECT", "DELETE"):
            continue
        for role in subject.app_roles:
            kind = judged.of(policy, relation, role, check=True).kind
            if (
                subject.facts.bound_by(role.oid, relation)
                and policy in subject.facts.policies_for(role.oid, relation)
                and kind in ("fixed", "shared")
                and any(
                    subject.admits(role, relation, command, check=True).kind == "shared"
                    for command in _commands(subject, role, policy, relation)
                )
            ):
                usual = judged.usual(relation)
                yield Problem(
                    label_of(policy, relation),
                    f"{role.name} may write, as any tenant, rows of the one that it names",
                    alter(policy, relation, f"WITH CHECK ({usual})") if usual else None,
                    "warning",
                )


RULE = Rule(
    name="policy-check",
    severity="error",
    group="Tables and policies",
    title="WITH CHECK admits rows of other tenants",
    why=(
        "USING says which rows are seen, WITH CHECK which may be written. Where the second is "
        "weaker, a tenant inserts rows into another's data, or hands its own over. Left out, "
        "WITH CHECK is what USING is: a policy that shows everybody the rows of one tenant "
        "(`tenant_id = 0 OR ..`) lets everybody write them, too (a warning)."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
ALTER POLICY app ON shop.invoices WITH CHECK (true);""",
    good="""\
ALTER POLICY app ON shop.invoices WITH CHECK (tenant_id = (SELECT shop.current_tenant()));""",
    check=check,
)
