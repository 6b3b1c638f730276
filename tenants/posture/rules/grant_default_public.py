"""Tables to come are open to PUBLIC."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import PUBLIC, Grant, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS"}
_ASKED = ("r", "S")  # functions and types are open to PUBLIC by default anyway


def check(subject: Subject) -> Iterator[Problem]:
    """Yield default privileges that open tables to come to PUBLIC."""
    facts = subject.facts
    for grant in facts.grants:
        if grant.object_class != "default" or grant.grantee != PUBLIC or grant.detail not in _ASKED:
            continue
        schema = facts.schemas.get(grant.object)
        where = f"in schema {schema.name}" if schema else "in every schema"
        yield Problem(
            schema.label if schema else "database",
            f"{_KINDS[grant.detail].lower()} that {facts.role_name(grant.grantor)} makes {where}"
            " are open to every role",
            _revoke(grant, facts.role_sql(grant.grantor), schema.name if schema else None),
        )


def _revoke(grant: Grant, maker: str, schema: str | None) -> str:
    place = f" IN SCHEMA {quote(schema)}" if schema is not None else ""
    return (
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {maker}{place}"
        f" REVOKE ALL ON {_KINDS[grant.detail]} FROM PUBLIC;"
    )


RULE = Rule(
    name="grant-default-public",
    severity="warning",
    group="Roles and grants",
    title="Tables to come are open to PUBLIC",
    why=(
        "The next migration's table is granted to every role before anybody has written a "
        "policy for it."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html",),
    bad="""\
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;""",
    good="""\
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO shop_app;""",
    check=check,
)
