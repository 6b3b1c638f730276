"""Tables to come are open to PUBLIC."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import PUBLIC, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS"}
_ASKED = ("r", "S")  # functions and types are open to PUBLIC by default anyway


def check(subject: Subject) -> Iterator[Problem]:
    """Yield default privileges that open tables to come to PUBLIC, or let the app empty them."""
    facts = subject.facts
    acting = {oid for role in subject.app_roles for oid in facts.acts_as(role.oid)}
    for grant in facts.grants:
        if grant.object_class != "default" or grant.detail not in _ASKED:
            continue
        schema = facts.schemas.get(grant.object)
        what = f"{_KINDS[grant.detail].lower()} that {facts.role_name(grant.grantor)} makes"
        what += f" in schema {schema.name}" if schema else " in every schema"
        if grant.grantee == PUBLIC:
            said, revoked = f"{what} are open to every role", "ALL"
        elif grant.grantee in acting and "TRUNCATE" in grant.privileges:
            name = facts.role_name(grant.grantee)
            said, revoked = f"{what} can be emptied by {name}, past every policy", "TRUNCATE"
        else:
            continue
        place = f" IN SCHEMA {quote(schema.name)}" if schema else ""
        yield Problem(
            schema.label if schema else "database",
            said,
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {facts.role_sql(grant.grantor)}{place}"
            f" REVOKE {revoked} ON {_KINDS[grant.detail]} FROM {facts.role_sql(grant.grantee)};",
        )


RULE = Rule(
    name="grant-default-public",
    severity="warning",
    group="Roles and grants",
    title="Tables to come are open to PUBLIC",
    why=(
        "The next migration's table is granted to every role before anybody has written a "
        "policy for it. Where the app's own default is ALL, it may TRUNCATE every table to come, "
        "which no policy holds back."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html",),
    bad="""\
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;""",
    good="""\
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO shop_app;""",
    check=check,
)
