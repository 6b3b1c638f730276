"""The role changes."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.setting import settings
from lint.text.words import words


def check(seen: Seen) -> Iterator[Problem]:
    """Yield what makes the session act as another role."""
    for one in settings(seen.tokens):
        if one.name in ("role", "session authorization", "session_authorization"):
            yield Problem(one.start, one.end, "what follows runs under another role's policies")


RULE = Rule(
    code="TS025",
    name="set-role",
    group="Statements",
    what="The session changes its role.",
    why=(
        "Policies and grants are the role's. What runs afterwards, or on the same pooled "
        "connection, is bound by other ones; and a role that may become another one has that "
        "one's powers all the time."
    ),
    bad="SET ROLE reporting",
    good="SELECT current_user",
    mend="connect as the role that the work needs, with a pool of its own.",
    words=words("ROLE AUTHORIZATION SET_CONFIG"),
    check=check,
)
