"""A unique key over all tenants."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import MadeKey, MadeTable, Script


def check(script: Script) -> Iterator[Problem]:
    """Yield unique keys of tenants' tables that lack the tenant and are not made up."""
    for table, column in script.tenant_tables():
        if script.one_row_each(table, column):
            continue
        for key in table.keys:
            if key.kind not in ("primary", "unique") or column in key.columns:
                continue
            if not _made_up(table, key):
                shown = ", ".join(name or "an expression" for name in key.columns)
                yield problem(key.place, f"{shown} is unique over all tenants: it lacks {column}")


def _made_up(table: MadeTable, key: MadeKey) -> bool:
    """Whether a value in it cannot be chosen: generated, or a UUID that is the primary key."""
    primary = [other.columns for other in table.keys if other.kind == "primary"]
    for name in key.columns:
        made = table.columns.get(name or "")
        if made is not None and (made.generated or (made.type == "uuid" and (name,) in primary)):
            return True
    return False


RULE = Rule(
    code="TS046",
    name="unique-without-tenant",
    group="Schema",
    what="A unique key of a tenant's table lacks the tenant column.",
    why=(
        "Uniqueness is checked past row-level security: one tenant cannot use a value that "
        "another has, learns by the error that it exists, and an upsert meets the other's row. "
        "(Keys whose values are generated are left alone.)"
    ),
    bad="ALTER TABLE customer ADD CONSTRAINT customer_email UNIQUE (email)",
    good="ALTER TABLE customer ADD CONSTRAINT customer_email UNIQUE (tenant_id, email)",
    mend="put the tenant column first in the key.",
    check_script=check,
)
