"""row_security is switched."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.setting import settings
from lint.text.words import words


def check(seen: Seen) -> Iterator[Problem]:
    """Yield settings of row_security; a dump's own are its business."""
    if seen.dump:
        return
    for one in settings(seen.tokens):
        if one.name == "row_security":
            yield Problem(one.start, one.end, "row_security is set")


RULE = Rule(
    code="TS026",
    name="set-row-security",
    group="Statements",
    what="The setting row_security is changed.",
    why=(
        "With it off, a role bound by policies gets an error in place of its rows, and a role "
        "that is exempt reads everything. A statement that needs it was written for an exempt "
        "role, and then nothing restricts it. (The head of a pg_dump script is left alone.)"
    ),
    bad="SET row_security = off",
    good="SELECT count(*) FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend="leave it on; read across tenants as a role whose policies say so.",
    words=words("ROW_SECURITY SET_CONFIG"),
    check=check,
)
