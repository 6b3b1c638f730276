"""A trigger sends tenants' rows to whoever listens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenants.posture.bodies import without_comments
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_SENDS = re.compile(r"\bpg_notify\s*\(|\bperform\s+pg_notify\b|\bnotify\s+\w", re.IGNORECASE)
_ROW = re.compile(
    r"\b(?:row_to_json|to_jsonb?|hstore)\s*\(\s*(?:new|old)\b|\b(?:new|old)\s*(?:\.\s*\*|::)",
    re.IGNORECASE,
)


def check(subject: Subject) -> Iterator[Problem]:
    """Yield triggers on tenant tables that notify; a warning where it is with the whole row."""
    for trigger in subject.facts.triggers:
        relation = subject.facts.relations.get(trigger.relation)
        function = subject.facts.functions.get(trigger.function)
        if relation is None or function is None or subject.tenant_column(relation) is None:
            continue
        body = without_comments(function.body)
        if trigger.enabled and _SENDS.search(body):
            whole = _ROW.search(body) is not None
            yield Problem(
                f"trigger {trigger.name} on {relation.label}",
                f"{function.label} sends {'rows' if whole else 'a message'} to every session "
                "that listens, whose ever it is",
                None,
                None if whole else "info",
            )


RULE = Rule(
    name="notify",
    severity="warning",
    group="Side channels",
    title="A trigger sends tenants' rows to whoever listens",
    why=(
        "Any session may LISTEN on any channel; there is no grant for it, and no policy. What a "
        "trigger sends with NOTIFY reaches every tenant's session that knows the channel's name, "
        "and the name stands in the trigger's body, which everybody can read. Send an id that "
        "the listener then looks up under the policies, and not the row (then it is an info)."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-notify.html",),
    bad="""
CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('customers', row_to_json(NEW)::text);
    RETURN NEW;
END $$;
CREATE TRIGGER tell AFTER INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.tell();
""",
    good="""
CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.events (tenant_id, id, customer_id)
    VALUES (NEW.tenant_id, gen_random_uuid(), NEW.id);
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION shop.tell() FROM PUBLIC;
CREATE TRIGGER tell AFTER INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.tell();
""",
    check=check,
    manual="what is sent is the application's to choose",
)
