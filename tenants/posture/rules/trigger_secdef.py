"""A trigger of the app's writes runs as an owner whom no policy limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenants.posture.bodies import without_comments
from tenants.posture.facts import WRITES
from tenants.posture.records import Relation
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield triggers that reach tenant tables as an owner without a look at the row's tenant."""
    reached = {reach.function.oid: reach for reach in subject.reach.functions}
    for trigger in subject.facts.triggers:
        reach = reached.get(trigger.function)
        relation = subject.facts.relations.get(trigger.relation)
        if reach is None or relation is None or not trigger.enabled:
            continue
        if reach.dynamic and subject.apps_that(relation, *WRITES):
            handed = reach.dynamic == "argument"
            what = "with values of the row in it" if handed else "that it puts together"
            owner = subject.facts.role_name(reach.function.owner)
            yield Problem(
                f"trigger {trigger.name} on {relation.label}",
                f"{reach.function.label} runs SQL {what} as {owner}, who sees every tenant's rows",
                f"ALTER FUNCTION {reach.function.sql} SECURITY INVOKER;" if handed else None,
                None if handed else "info",
            )
        if reach.shows != "open":
            continue
        column = subject.tenant_column(relation)
        body = without_comments(reach.function.body)
        if column and _carries(body, column):
            continue
        # By its whole key a trigger of a table's own finds the row that set it off, and no other.
        key = _primary_key(subject, relation)
        if reach.tables == (relation,) and key and all(_carries(body, name) for name in key):
            continue
        if subject.apps_that(relation, *WRITES):
            tables = listed([table.label for table in reach.tables])
            owner = subject.facts.role_name(reach.function.owner)
            yield Problem(
                f"trigger {trigger.name} on {relation.label}",
                f"{reach.function.label} runs as {owner}, who sees every tenant's rows in "
                f"{tables}, and does not ask for the row's tenant",
                f"ALTER FUNCTION {reach.function.sql} SECURITY INVOKER;",
            )


def _carries(body: str, column: str) -> bool:
    """Whether a body names this column of the new or the old row, or the row as a whole."""
    return bool(
        re.search(rf"\b(new|old)\s*\.\s*(\*|\"?{re.escape(column)}\b)", body, re.IGNORECASE)
    )


def _primary_key(subject: Subject, relation: Relation) -> tuple[str, ...]:
    return next(
        (
            relation.names(constraint.columns)
            for constraint in subject.facts.constraints_on(relation.oid)
            if constraint.kind == "primary"
        ),
        (),
    )


RULE = Rule(
    name="trigger-secdef",
    severity="error",
    group="Code",
    title="A trigger reaches rows of other tenants",
    why=(
        "Triggers run as whoever writes the row, under that role's policies, unless their "
        "function is SECURITY DEFINER: then under those of the function's owner. One that "
        "changes rows by a value of the new row alone changes whatever rows have that value, "
        "whose ever they are. Let it run as the writer, or compare the tenant of the row as well."
    ),
    sources=("https://www.postgresql.org/docs/current/trigger-definition.html",),
    bad="""
CREATE FUNCTION shop.replaced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shop, pg_temp AS $$
BEGIN
    DELETE FROM shop.invoices WHERE number = NEW.number;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION shop.replaced() FROM PUBLIC;
ALTER FUNCTION shop.replaced() OWNER TO shop_owner;
CREATE TRIGGER replaced BEFORE INSERT ON shop.invoices
    FOR EACH ROW EXECUTE FUNCTION shop.replaced();
""",
    good="""
CREATE FUNCTION shop.replaced() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = shop, pg_temp AS $$
BEGIN
    DELETE FROM shop.invoices WHERE tenant_id = NEW.tenant_id AND number = NEW.number;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION shop.replaced() FROM PUBLIC;
ALTER FUNCTION shop.replaced() OWNER TO shop_owner;
CREATE TRIGGER replaced BEFORE INSERT ON shop.invoices
    FOR EACH ROW EXECUTE FUNCTION shop.replaced();
""",
    check=check,
)
