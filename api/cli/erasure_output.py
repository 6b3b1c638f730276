"""How `tenure erasure` prints what it did and found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from api.cli.support import echo_json, echo_rows
from retention.erasures.desk import File
from retention.erasures.execution import Result
from retention.erasures.letters import Letter
from retention.erasures.planning import ErasurePlan, TablePlan
from retention.erasures.records import Erasure


def echo_erasure(erasure: Erasure, output_format: str) -> None:
    """Print how far an erasure is, in a line."""
    if output_format == "json":
        echo_json(erasure.to_json())
    else:
        click.echo(f"{erasure.id} is {erasure.state}, {_clock(erasure)}")


def echo_list(found: Sequence[Erasure], now: datetime, output_format: str) -> None:
    """Print erasures, a line each."""
    if output_format == "json":
        echo_json([{**e.to_json(), "overdue": e.is_overdue(now)} for e in found])
        return
    echo_rows(
        ("id", "tenant", "subject", "state", "received", "due", "", "waits until"),
        [
            (
                e.id,
                e.tenant,
                e.subject,
                e.state,
                _at(e.received_at),
                _at(e.due_at),
                "OVERDUE" if e.is_overdue(now) else "",
                _at(e.waits_until),
            )
            for e in found
        ],
    )


def echo_plan(plan: ErasurePlan, number: int | None, output_format: str) -> None:
    """Print a plan; `number` is None for one that is not kept."""
    if output_format == "json":
        echo_json({"number": number, "digest": plan.digest, **plan.to_json()})
        return
    kept = "not kept" if number is None else f"plan {number}"
    click.echo(f"{kept} of erasure {plan.erasure_id}, as of {_at(plan.as_of)}")
    _echo_tables(plan)
    click.echo(
        f"{plan.going} rows go now, {plan.waiting} wait; digest {plan.digest}"
        + ("" if number is None else f"; to approve: tenure erasure approve {plan.erasure_id}")
    )


def _echo_tables(plan: ErasurePlan) -> None:
    echo_rows(
        ("table", "action", "rows", "go now", "done", "wait"),
        [
            (t.table, t.action, t.rows, t.going, t.done, sum(w.rows for w in t.waiting))
            for t in plan.tables
        ],
    )
    for table in plan.tables:
        for line in _reasons(table):
            click.echo(f"  {table.table}: {line}")
    for name, rows in plan.cut:
        click.echo(f"  {name}: {rows} rows of others lose the reference")


def _reasons(table: TablePlan) -> list[str]:
    said = []
    for one in table.waiting:
        if one.hold is not None:
            said.append(f"{one.rows} wait for hold {one.hold}, until it is released")
        else:
            until = _at(one.until) or "nobody can say when"
            said.append(f"{one.rows} wait for the minimum of {one.policy}, until {until}")
    if table.action == "keep" and table.rows:
        said.append(f"{table.rows} are kept: {table.basis}")
        said += [
            f"{end.policy} takes them" + (f", the last {_at(end.until)}" if end.until else "")
            for end in table.ends
        ]
    return said


def echo_result(result: Result, output_format: str) -> None:
    """Print how far one execution came."""
    if output_format == "json":
        echo_json(
            {
                **result.erasure.to_json(),
                "trace_id": result.trace_id,
                "batches": result.batches,
                "rows": result.rows,
                "why": result.why,
            }
        )
        return
    for table, of in sorted(result.rows.items()):
        for action, rows in sorted(of.items()):
            click.echo(f"  {table}: {rows} {action}")
    why = f" ({result.why})" if result.why else ""
    click.echo(
        f"{result.erasure.state}{why}: {result.count} rows in {result.batches} batches, "
        f"trace id {result.trace_id}"
    )


def echo_file(found: File, output_format: str) -> None:
    """Print all there is of an erasure."""
    if output_format == "json":
        echo_json(found.to_json())
        return
    erasure, person = found.erasure, found.person
    click.echo(f"erasure {erasure.id} of a {erasure.subject} of {erasure.tenant}")
    click.echo(f"{erasure.state}, {_clock(erasure)}{', OVERDUE' if found.overdue else ''}")
    if person is not None:
        click.echo(f"about {person.key}" + (f", {person.asked_by}" if person.asked_by else ""))
        click.echo(f"asked by {person.requester}; identity: {person.identity or 'not confirmed'}")
    click.echo("")
    echo_rows(
        ("what", "when", "by", "with"),
        [
            (
                e.event,
                _at(e.happened_at),
                e.actor,
                ", ".join(
                    f"{k}: {v}" for k, v in e.facts.items() if not isinstance(v, dict | list)
                ),
            )
            for e in found.events
        ],
    )
    if found.plan is not None:
        click.echo(f"\nplan {erasure.plan}, as of {_at(found.plan.as_of)}")
        _echo_tables(found.plan)
    if found.erased:
        click.echo("\nwhat was done")
        echo_rows(
            ("table", "action", "rows"),
            [(t, a, rows) for t, of in found.erased.items() for a, rows in of.items()],
        )


def echo_letter(letter: Letter, output_format: str, *, written: str | None) -> None:
    """Print a letter; where it was `written` to a file, that alone is said."""
    if output_format == "json":
        echo_json(letter.to_json())
    elif written is not None:
        click.echo(f"written to {written}")
    else:
        click.echo(letter.text(), nl=False)


def _clock(erasure: Erasure) -> str:
    if erasure.ended_at is not None:
        return f"since {_at(erasure.ended_at)}"
    waits = f", waits until {_at(erasure.waits_until)}" if erasure.waits_until else ""
    return f"due {_at(erasure.due_at)}{waits}"


def _at(value: datetime | None) -> str:
    return "" if value is None else value.isoformat(timespec="seconds")
