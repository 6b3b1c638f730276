"""A policy asks an IMMUTABLE function about the session."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenants.posture.policies import label_of
from tenants.posture.records import Function
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_SESSION = re.compile(
    r"\b(current_setting|current_user|session_user|jwt|uid|from)\b", re.IGNORECASE
)


def check(subject: Subject) -> Iterator[Problem]:
    """Yield functions of policies that are IMMUTABLE and depend on the session or on tables."""
    found: dict[int, tuple[Function, str]] = {}
    for policy, relation in subject.policies:
        _, functions = subject.policies_judged.reads(policy)
        changing = {f.name for f in functions if f.volatility != "i"}
        for function in functions:
            if function.volatility == "i" and _depends(function, changing):
                found.setdefault(function.oid, (function, label_of(policy, relation)))
    for function, policy_label in found.values():
        yield Problem(
            function.label,
            f"it is IMMUTABLE and depends on the session; {policy_label} asks it",
            f"ALTER FUNCTION {function.sql} STABLE;",
        )


def _depends(function: Function, changing: set[str]) -> bool:
    # Without arguments there is nothing else that its answer could depend on.
    if not function.arguments or _SESSION.search(function.body):
        return True
    return any(re.search(rf"\b{re.escape(name)}\b", function.body) for name in changing)


RULE = Rule(
    name="policy-immutable",
    severity="error",
    group="Tables and policies",
    title="A policy asks an IMMUTABLE function about the session",
    why=(
        "PostgreSQL computes an immutable function once, when it plans. A prepared "
        "statement's generic plan then keeps the tenant of whoever came first, and the next "
        "tenant of the pool sees its rows. STABLE is what holds within one statement."
    ),
    sources=("https://www.postgresql.org/docs/current/xfunc-volatility.html",),
    bad="""\
ALTER FUNCTION shop.current_tenant() IMMUTABLE;""",
    good="""\
ALTER FUNCTION shop.current_tenant() STABLE;""",
    check=check,
)
