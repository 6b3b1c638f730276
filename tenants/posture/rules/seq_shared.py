"""The app can read or set back a sequence that all tenants share."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.mending import revoke
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield sequences of tenant tables with more than USAGE; an owner's own cannot be closed."""
    facts = subject.facts
    for sequence in facts.relations.values():
        table = facts.relations.get(sequence.owned_by)
        if table is None or table.oid not in subject.tables:
            continue
        grants = facts.grants_on("relation", sequence.oid)
        fix = revoke(subject, f"SEQUENCE {sequence.sql}", grants, ("UPDATE", "SELECT"))
        if fix is None or any(sequence.owner in facts.acts_as(a) for a in subject.apps):
            continue
        if subject.apps_that(sequence, "UPDATE"):
            yield Problem(
                sequence.label,
                f"the app may set it back: then no tenant can insert into {table.label}",
                fix,
            )
        elif subject.apps_that(sequence, "SELECT"):
            yield Problem(
                sequence.label,
                f"last_value tells how many rows all tenants together add to {table.label}",
                fix,
                "info",
            )


RULE = Rule(
    name="seq-shared",
    severity="warning",
    group="Constraints",
    title="The app can set back a sequence that all tenants share",
    why=(
        "A sequence knows no tenant. UPDATE on it allows `setval`: set back, it hands out numbers "
        "that are taken, and no tenant can insert. SELECT shows `last_value`, and so how much the "
        "others do (info); with USAGE alone, which inserting needs, the numbers handed out tell "
        "it roughly. Identity columns need no grant at all; random uuids tell nothing."
    ),
    sources=("https://www.postgresql.org/docs/current/functions-sequence.html",),
    bad="""
ALTER TABLE shop.customers ADD COLUMN number bigserial;
GRANT ALL ON SEQUENCE shop.customers_number_seq TO shop_app;
""",
    good="""
ALTER TABLE shop.customers ADD COLUMN number bigserial;
GRANT USAGE ON SEQUENCE shop.customers_number_seq TO shop_app;
""",
    check=check,
)
