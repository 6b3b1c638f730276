"""What the policies of a script admit."""

from __future__ import annotations

from collections.abc import Iterator

from lint.schema.ddl_script import MadePolicy, MadeTable
from tenants.policy_sql import Judgement, Row, judge

_WIDE = ("partial", "switch", "open")


def wide(judgement: Judgement) -> bool:
    """Whether it is known to admit rows that are not the caller's tenant's."""
    return judgement.kind in _WIDE


def read(table: MadeTable, column: str, policy: MadePolicy) -> Judgement | None:
    """What a policy lets be read, or None if it is about writing new rows alone."""
    if policy.command == "INSERT":
        return None
    return judge(policy.using, _row(table, column))


def written(table: MadeTable, column: str, policy: MadePolicy) -> Judgement | None:
    """What new rows a policy admits by its WITH CHECK; None: it has none, or no say.

    Without one its USING decides, of which `read` tells.
    """
    if policy.command in ("SELECT", "DELETE") or policy.check is None:
        return None
    return judge(policy.check, _row(table, column))


def for_everybody(policy: MadePolicy) -> bool:
    return not policy.roles or "public" in policy.roles


def meeting(table: MadeTable, policy: MadePolicy) -> Iterator[MadePolicy]:
    """The other permissive policies that `policy` is ORed with, for a role they are made for."""
    for other in table.policies.values():
        if other is policy or not other.permissive or not policy.permissive:
            continue
        commands = {policy.command, other.command}
        if len(commands) == 2 and "ALL" not in commands:
            continue
        if for_everybody(policy) or set(policy.roles) & set(other.roles):
            yield other


def stacked(table: MadeTable, column: str, policy: MadePolicy) -> MadePolicy | None:
    """A policy that binds the tenant, and that `policy` is ORed with."""
    for other in meeting(table, policy):
        found = read(table, column, other)
        if found is not None and found.kind == "bound":
            return other
    return None


def _row(table: MadeTable, column: str) -> Row:
    made = table.columns.get(column)
    never_null = frozenset((column,)) if made is not None and not made.nullable else frozenset()
    return Row(tenant_columns=frozenset((column,)), not_null=never_null)
