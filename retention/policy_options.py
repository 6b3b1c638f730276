"""The keys a policy may have beside what it must have: action, condition, bounds, pace.

Each function reads one key of an entry and returns its value, None where it is not there;
what is wrong goes to `problem` as (key, what is wrong and the mend).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from retention.errors import ScheduleError
from retention.policies import ACTIONS, Action, Period, never_longer
from retention.schedule import checked_schedule
from retention.treatments import Treatment
from retention.windows import Window
from tenants.catalog import Catalog, Table, TableName
from tenants.errors import CatalogError
from tenants.rls import quote_name

Entry = Mapping[str, Any]
Problem = Callable[[str, str], None]
#: Says None of SQL that is proven to stay within the tenant, else why it is not.
Prove = Callable[[str], str | None]

ARCHIVE_COLUMNS = (("archived_at", "timestamp with time zone"), ("archived_batch", "uuid"))


def action(entry: Entry, problem: Problem) -> Action:
    """Return the action; "delete" where none is written, or a wrong one."""
    written = entry.get("action", "delete")
    for known in ACTIONS:
        if written == known:
            return known
    problem("action", f"{written!r} must be one of {', '.join(ACTIONS)}")
    return "delete"


def treatments(
    entry: Entry, chosen: Action, table: Table, starts: str, problem: Problem
) -> tuple[Treatment, ...]:
    """Return what is done to which columns, in the order of their names."""
    written = entry.get("columns", {})
    if not isinstance(written, Mapping):
        problem("columns", f"{written!r} must be a table of column = treatment")
        return ()
    if chosen in ("delete", "archive"):
        if written:
            problem("columns", f"says nothing where the action is {chosen!r}; take it out")
        return ()
    if not written:
        problem("columns", f'what to {chosen} is missing; write columns = {{ email = "null" }}')
    if entry.get("with"):
        problem("with", f"rows that go along are for removing; {chosen} each table by its own")
    found = []
    for column in sorted(written):
        try:
            treatment = Treatment.read(column, written[column])
            wrong = treatment.problem(table)
        except (ValueError, CatalogError) as error:
            problem("columns", str(error))
            continue
        if column in starts.split("."):
            wrong = "is the starting point; what it is counted from cannot change"
        if wrong:
            problem("columns", f"{table.name}.{column} {wrong}")
        found.append(treatment)
    hashed = [t.column for t in found if t.kind == "hash"]
    if chosen == "anonymise" and hashed:
        problem(
            "action",
            f"a keyed hash ({', '.join(hashed)}) is pseudonymisation, not anonymisation: whoever "
            'has the key can find the value again; write action = "pseudonymise"',
        )
    if chosen == "pseudonymise" and found and not hashed:
        problem("action", 'without a "hash" among columns this is action = "anonymise"')
    return tuple(found)


def archive(
    entry: Entry, chosen: Action, tables: tuple[TableName, ...], catalog: Catalog, problem: Problem
) -> str | None:
    """Return the schema to archive to, in which each of `tables` has its archive."""
    schema = entry.get("archive")
    if chosen != "archive":
        if schema is not None:
            problem("archive", 'is for action = "archive"')
        return None
    if not isinstance(schema, str) or not schema:
        problem("archive", 'missing: name the schema to archive to, archive = "shop_archive"')
        return None
    for name in tables:
        kept = TableName(schema, name.name)
        table = catalog.tables.get(kept)
        if table is None or table.kind != "tenant":
            problem(
                "archive",
                f"there is no table {kept} to archive {name} to; declare archive_of(..) in the "
                "models, and create it in a migration",
            )
            continue
        wanted = {c.name: c.type for c in catalog.table(name).columns} | dict(ARCHIVE_COLUMNS)
        there = {c.name: c.type for c in table.columns}
        if there != wanted:
            odd = sorted(set(wanted.items()) ^ set(there.items()))
            problem("archive", f"{kept} differs from {name} in {', '.join(c for c, _ in odd)}")
    return schema


def condition(entry: Entry, table: Table, prove: Prove | None, problem: Problem) -> str | None:
    """Return the condition, SQL over the row `r`, if it is proven to look at its tenant alone."""
    text = entry.get("condition")
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip():
        problem("condition", f"{text!r} must be SQL over the row r (r.status = 'paid')")
        return None
    if prove is None:
        problem("condition", "there is nobody here to prove it")
        return None
    reason = prove(provable(table.name, text))
    if reason is not None:
        problem("condition", f"{text!r} is not proven to look at its own tenant alone: {reason}")
        return None
    return text


def provable(table: TableName, text: str) -> str:
    """Return the query that must be scoped for a condition to be."""
    # A text that closes the parenthesis, or comments it out, is another query, and no proof.
    return (
        f"SELECT r.id FROM {quote_name(table)} AS r"  # noqa: S608 - read by the prover, not run
        f" WHERE r.tenant_id = tenure.current_tenant() AND (\n{text}\n)"
    )


def bound(entry: Entry, key: str, problem: Problem) -> str | None:
    """Return `minimum` or `maximum`: a period."""
    text = entry.get(key)
    if text is None:
        return None
    if not isinstance(text, str):
        problem(key, f"{text!r} must be an ISO 8601 duration (P6Y)")
        return None
    try:
        Period.parse(text)
    except ValueError as error:
        problem(key, str(error))
        return None
    return text


def check_bounds(minimum: str | None, period: str, maximum: str | None, problem: Problem) -> None:
    """Check that the period lies between its bounds, from whatever day it is counted."""
    middle = Period.parse(period)
    if minimum is not None and not never_longer(Period.parse(minimum), middle):
        problem("minimum", f"{minimum} is longer than the period, {period}")
    if maximum is not None and not never_longer(middle, Period.parse(maximum)):
        problem("maximum", f"{maximum} is shorter than the period, {period}")


def window(entry: Entry, problem: Problem) -> Window | None:
    """Return the window of the day."""
    text = entry.get("window")
    if text is None:
        return None
    try:
        return Window.parse(str(text))
    except ValueError as error:
        problem("window", str(error))
        return None


def rate(entry: Entry, problem: Problem) -> int | None:
    """Return how many rows a second may go at most."""
    value = entry.get("rate")
    if value is not None and (not _whole(value) or value < 1):
        problem("rate", f"{value!r} must be a number of rows a second, at least 1")
        return None
    return value


def batch(entry: Entry, problem: Problem) -> tuple[int, int] | None:
    """Return the fewest and the most rows of a batch."""
    value = entry.get("batch")
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(map(_whole, value))
        or not 1 <= value[0] <= value[1] <= 100_000
    ):
        problem("batch", f"{value!r} must be [fewest, most] rows, from 1 to 100000")
        return None
    return value[0], value[1]


def schedule(entry: Entry, problem: Problem) -> str | None:
    """Return when the policy runs: five fields of cron, in UTC."""
    text = entry.get("schedule")
    if text is None:
        return None
    try:
        return checked_schedule(text)
    except ScheduleError as error:
        problem("schedule", str(error))
        return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
