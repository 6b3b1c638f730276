"""A policy believes a table that the app may write."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import WRITES
from tenants.posture.grants import granted, revoke
from tenants.posture.policies import label_of
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies that believe a table which the app itself may write without limit."""
    facts = subject.facts
    by_name = {relation.label: relation for relation in facts.relations.values()}
    for relation in facts.relations.values():
        by_name.setdefault(relation.name, relation)
    for policy, relation in subject.policies:
        tables, _ = subject.policies_judged.reads(policy)
        for role in subject.app_roles:
            if policy not in facts.policies_for(role.oid, relation):
                continue
            for name in sorted(tables):
                read = by_name.get(name)
                if read is None or not read.is_table:
                    continue
                free = [
                    command
                    for command in granted(facts, role, read, WRITES)
                    if not subject.admits(role, read, command, check=command != "DELETE").at_most(
                        "unknown"
                    )
                ]
                if free and subject.policies_judged.rests_on(policy, relation, role, {name}):
                    yield Problem(
                        label_of(policy, relation),
                        f"it believes {read.label}, in which {role.name} may {' and '.join(free)}"
                        " any row",
                        revoke(facts, role, read, free),
                    )


RULE = Rule(
    name="policy-xref",
    severity="error",
    group="Tables and policies",
    title="A policy believes a table that the app may write",
    why=(
        "The policy looks up who belongs to which tenant. Where the app's role can write that "
        "table without a policy, it makes itself a member of any tenant first. A look-up that only "
        "narrows what the rest of the condition bounds is not believed in that sense."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
CREATE TABLE shop.members (account uuid PRIMARY KEY, person text NOT NULL);
ALTER TABLE shop.members OWNER TO shop_owner;
GRANT SELECT, INSERT ON shop.members TO shop_app;
ALTER POLICY app ON shop.invoices USING (tenant_id IN (
    SELECT account FROM shop.members WHERE person = current_setting('app.person', true)
));""",
    good="""\
CREATE TABLE shop.members (account uuid PRIMARY KEY, person text NOT NULL);
ALTER TABLE shop.members OWNER TO shop_owner;
GRANT SELECT ON shop.members TO shop_app;
ALTER POLICY app ON shop.invoices USING (tenant_id IN (
    SELECT account FROM shop.members WHERE person = current_setting('app.person', true)
));""",
    check=check,
)
