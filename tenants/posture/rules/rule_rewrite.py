"""A rewrite rule reaches tenants' rows as the owner of its table."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield rules whose actions name tenant tables that are open to the owner of the relation."""
    facts, reach = subject.facts, subject.reach
    for use in facts.uses:
        relation, target = facts.relations.get(use.relation), facts.relations.get(use.target)
        if use.event == "SELECT" or use.target_class != "relation":
            continue
        if relation is None or target is None or subject.tenant_column(target) is None:
            continue
        if relation.kind == "view" and reach.invokes(relation):
            continue
        owner = facts.roles[relation.owner]
        if subject.apps_that(relation, use.event) and reach.open_to(owner, target):
            yield Problem(
                f"rule {use.rule} on {relation.label}",
                f"its action reaches {target.label} as {owner.name}, who sees every tenant's rows",
                f"DROP RULE {quote(use.rule)} ON {relation.sql};",
            )


RULE = Rule(
    name="rule-rewrite",
    severity="warning",
    group="Code",
    title="A rewrite rule reaches every tenant's rows",
    why=(
        "What a rule adds to a statement runs with the rights of the owner of the rule's table or "
        "view, and under the policies that hold for the owner. Where these do not limit it, the "
        "rule's action reads and writes every tenant's rows for whoever sets it off. Use a "
        "trigger, which runs as the writer."
    ),
    sources=("https://www.postgresql.org/docs/current/rules-privileges.html",),
    bad="""
CREATE TABLE shop.closings (customer_id uuid NOT NULL);
ALTER TABLE shop.closings OWNER TO shop_owner;
GRANT INSERT ON shop.closings TO shop_app;
CREATE RULE closing AS ON INSERT TO shop.closings
    DO INSTEAD DELETE FROM shop.customers WHERE id = NEW.customer_id;
""",
    good="""
CREATE TABLE shop.closings (customer_id uuid NOT NULL);
ALTER TABLE shop.closings OWNER TO shop_owner;
GRANT INSERT ON shop.closings TO shop_app;
CREATE FUNCTION shop.closing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM shop.customers WHERE id = NEW.customer_id;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION shop.closing() FROM PUBLIC;
CREATE TRIGGER closing BEFORE INSERT ON shop.closings
    FOR EACH ROW EXECUTE FUNCTION shop.closing();
""",
    check=check,
)
