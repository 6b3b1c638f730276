"""A function of one's own is marked LEAKPROOF."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such functions that the app may call."""
    for function in subject.facts.functions.values():
        if function.leakproof and any(
            subject.facts.may_execute(role, function) for role in subject.apps
        ):
            yield Problem(
                function.label,
                "LEAKPROOF lets it see other tenants' rows before a policy drops them",
                f"ALTER FUNCTION {function.sql} NOT LEAKPROOF;",
            )


RULE = Rule(
    name="leakproof-custom",
    severity="warning",
    group="Code",
    title="A function of one's own is marked LEAKPROOF",
    why=(
        "PostgreSQL evaluates a policy before the conditions of a query, except for those made of "
        "LEAKPROOF functions alone, which may come first. The mark is a promise that nothing of "
        "the arguments gets out: no error that names them, no message, no table written. For a "
        "function that breaks it, every tenant's rows pass through. Only a superuser can set it."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createfunction.html",),
    bad="""
CREATE FUNCTION shop.is_address(email text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE LEAKPROOF COST 0.1 AS $$
BEGIN
    IF email NOT LIKE '%@%' THEN
        RAISE EXCEPTION 'no address: %', email;
    END IF;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION shop.is_address(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.is_address(text) TO shop_app;
""",
    good="""
CREATE FUNCTION shop.is_address(email text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE COST 0.1 AS $$
BEGIN
    IF email NOT LIKE '%@%' THEN
        RAISE EXCEPTION 'no address: %', email;
    END IF;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION shop.is_address(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.is_address(text) TO shop_app;
""",
    check=check,
)
