"""The server is older than its security fixes."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

# Major version -> the minor from which on the known ways around row-level security are closed.
FLOOR = {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}


def check(subject: Subject) -> Iterator[Problem]:
    """Yield a server that is older than the floor of its major version."""
    server = subject.facts.server
    major, minor = divmod(server.version_num, 10000)
    floor = FLOOR.get(major)
    if floor is not None and minor < floor:
        yield Problem(
            "server",
            f"PostgreSQL {server.version} has known ways around row-level security: {major}.{floor}"
            " is the oldest without",
        )


RULE = Rule(
    name="version-floor",
    severity="warning",
    group="Tables and policies",
    title="The server is older than its security fixes",
    why=(
        "Minor releases closed ways around row-level security: ON CONFLICT and policies "
        "(CVE-2026-120154, CVE-2026-16237), statistics (CVE-2025-8713, CVE-2019-10130, "
        "CVE-2017-7484), plans and policies that outlive a change of role (CVE-2024-10976, "
        "CVE-2023-2455, CVE-2016-2193)."
    ),
    sources=("https://www.postgresql.org/support/security/",),
    bad="",
    good="",
    manual=("an upgrade of the server is no SQL"),
    check=check,
)
