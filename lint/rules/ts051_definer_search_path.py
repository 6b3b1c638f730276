"""A function with its owner's rights and its caller's names."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield SECURITY DEFINER functions without a search_path of their own."""
    for function in script.functions.values():
        if function.definer and not function.fixed:
            yield problem(
                function.place, f"{function.name} is SECURITY DEFINER and does not set search_path"
            )


RULE = Rule(
    code="TS051",
    name="definer-search-path",
    group="Schema",
    what="A SECURITY DEFINER function does not fix its search_path.",
    why=(
        "It runs with its owner's rights and looks names up where the caller says: a table or "
        "function of the caller's, in a schema in front, is used in place of the one that is meant."
    ),
    bad=(
        "CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER\n"
        "AS $$ SELECT 1 $$"
    ),
    good=(
        "CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER\n"
        "SET search_path = pg_catalog, pg_temp\n"
        "AS $$ SELECT 1 $$"
    ),
    mend="add `SET search_path = ..` with `pg_temp` last, and qualify the names in the body.",
    check_script=check,
)
