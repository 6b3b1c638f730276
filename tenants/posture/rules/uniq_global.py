"""Values of a tenant table are unique across tenants."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.keys import global_keys, has_random, is_opaque, led_by_tenant, may_set
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield unique keys without the tenant that the app can probe; random ids are none."""
    for key in global_keys(subject):
        if not any(may_set(subject, *where, "INSERT", "UPDATE") for where in key.written):
            continue
        if has_random(key):
            continue
        opaque = is_opaque(subject, key)
        fix = led_by_tenant(subject, key)
        names = ", ".join(key.relation.names(key.index.columns))
        yield Problem(
            key.label,
            f"{names} is unique across tenants: a conflict tells that another tenant has the value"
            + ("" if fix else "; mend the foreign keys onto it first"),
            fix,
            "info" if opaque else None,
        )


RULE = Rule(
    name="uniq-global",
    severity="warning",
    group="Constraints",
    title="Values are unique across tenants",
    why=(
        "Uniqueness is checked against all rows, whatever the policies say. An INSERT that fails "
        "tells one tenant that another has this email, this name; with ON CONFLICT DO NOTHING "
        "the count of rows tells the same without an error. And a tenant can take a value away "
        "from all others. With the tenant first in the key, each has its own values. Keys of "
        "sequential numbers tell only that a number is taken (info); random uuids, tokens and "
        "digests cannot be guessed: a key with one in it is not reported."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
        "https://www.postgresql.org/docs/current/sql-insert.html",
    ),
    bad="ALTER TABLE shop.customers ADD CONSTRAINT customers_email UNIQUE (email);",
    good="ALTER TABLE shop.customers ADD CONSTRAINT customers_email UNIQUE (tenant_id, email);",
    check=check,
)
