"""The app may connect out through the server, and back as somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.mending import revoke
from tenants.posture.records import Grant, ObjectClass, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_KINDS: tuple[tuple[ObjectClass, str, str], ...] = (
    ("server", "foreign server", "map itself to a user there, and read what that one may"),
    ("wrapper", "foreign data wrapper", "make servers of it, one that leads back here among them"),
)


def check(subject: Subject) -> Iterator[Problem]:
    """Yield foreign servers and wrappers that the app's roles may use."""
    for kind, words, what in _KINDS:
        found: dict[str, list[Grant]] = {}
        for grant in subject.facts.grants:
            if grant.object_class == kind:
                found.setdefault(grant.detail, []).append(grant)
        for name, grants in sorted(found.items()):
            sql = f"{words.upper()} {quote(name)}"
            fix = revoke(subject, sql, grants, ("USAGE",))
            if fix is not None:
                yield Problem(f"{words} {name}", f"the app may {what}", fix)


RULE = Rule(
    name="foreign-server",
    severity="warning",
    group="Roles and grants",
    title="The app may use a foreign server",
    why=(
        "Who has USAGE on a foreign server may make a user mapping of its own for it, and hand "
        "its name to dblink; with a schema to create in, foreign tables as well. The server may "
        "be this one: then the app is back as another role, and foreign tables have no policies. "
        "USAGE on a foreign data wrapper lets it make such servers. The app's statements need "
        "neither: a foreign table is read with a grant on the table."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-createserver.html",
        "https://www.postgresql.org/docs/current/sql-createusermapping.html",
    ),
    bad="""\
CREATE FOREIGN DATA WRAPPER archive;
CREATE SERVER archive FOREIGN DATA WRAPPER archive;
GRANT USAGE ON FOREIGN SERVER archive TO shop_app;
GRANT USAGE ON FOREIGN DATA WRAPPER archive TO PUBLIC;""",
    good="""\
CREATE FOREIGN DATA WRAPPER archive;
CREATE SERVER archive FOREIGN DATA WRAPPER archive;
CREATE USER MAPPING FOR shop_owner SERVER archive;""",
    check=check,
)
