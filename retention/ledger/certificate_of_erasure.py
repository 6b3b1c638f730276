"""The certificate of an erasure, for people. It does not say whom the erasure was about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retention.erasures.requests import REASONS
from retention.ledger.certificate_section import (
    Section,
    backups,
    commitments,
    connectors,
    done,
    issued,
    named,
    not_covered,
    proof,
    when,
)
from retention.ledger.verifier import approved_by
from retention.reports.pdf import Column


def sections_of_erasure(statement: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what the certificate of an erasure states."""
    yield Section("Certificate", (*issued(statement), *_clock(statement)))
    yield done(statement)
    yield _outcome(statement["outcome"])
    yield _plans(statement)
    yield Section(
        "What it waited for",
        columns=(Column("Deferred"), Column("Table"), Column("For"), Column("Rows", align="right")),
        rows=tuple(row for each in statement["deferrals"] for row in _deferral(each)),
        empty="It was not deferred.",
    )
    yield connectors(statement)
    yield commitments(statement)
    verified = statement["verification"]
    yield Section(
        "The verification at its end",
        (
            ("At", f"{when(verified['happened_at'])}, as {named(verified['by'])}"),
            ("Findings", str(verified["findings"])),
        ),
        sentences=(
            "It looked with queries of its own, as another role, for rows that are still there, "
            "rows that were not changed, and batches that differ from the keys they kept; without "
            "a finding alone an erasure is completed.",
        ),
    )
    yield Section(
        "Its steps",
        columns=(Column("Step"), Column("When"), Column("Who")),
        rows=tuple(
            (each["event"], when(each["happened_at"]), named(each["by"]))
            for each in statement["steps"]
        ),
    )
    yield backups(statement)
    yield not_covered(statement)
    yield proof(
        statement,
        (
            "All batches are listed: the entry of the end counts the rows of each table. Whether "
            "there were more steps, as deferrals, an export of the ledger shows.",
            "This certificate does not say whom the erasure was about: the person knows it by its "
            "id, from the letters.",
        ),
    )


def _clock(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    erasure, approval = statement["erasure"], statement["approval"]
    confirmed = statement["confirmation"]
    yield "Erasure", f"{erasure['id']}, of a {erasure['of_kind']}"
    yield "Received", f"{when(erasure['received_at'])}, entered by {named(erasure['entered_by'])}"
    yield "Identity confirmed", f"{when(confirmed['happened_at'])}, by {named(confirmed['by'])}"
    yield (
        "Approved",
        f"plan {approval['plan']}, {when(approval['happened_at'])}, by {named(approval['by'])}: "
        + approved_by(erasure, approval),
    )
    for each in statement["extensions"]:
        months = f"{each['months']} month{'' if each['months'] == 1 else 's'}"
        yield (
            "Put off",
            f"by {months} on {when(each['happened_at'])}, by {named(each['by'])}: "
            f"{REASONS.get(each['reason'], each['reason'])}",
        )
    yield "Due", when(erasure["due_at"])
    yield "Begun", when(erasure["started_at"])
    yield "Completed", f"{when(erasure['ended_at'])}{'' if erasure['in_time'] else ': late'}"


def _outcome(outcome: Sequence[Mapping[str, Any]]) -> Section:
    return Section(
        "What was planned, and what became of it",
        columns=(
            Column("Table"), Column("Planned"), Column("Rows then", align="right"),
            Column("Became of it"), Column("Basis, and until when"),
        ),
        rows=tuple(_outcome_row(each) for each in outcome),
        empty="No table was in the plan.",
        sentences=(
            "The plan's figures are of its instant; rows that came later were erased like the "
            "others.",
        ),
    )  # fmt: skip


def _outcome_row(each: Mapping[str, Any]) -> tuple[str, ...]:
    became = [f"{done['action']} {done['rows']:,}" for done in each["done"]]
    basis = []
    if each["kept"]:
        became.append(f"kept {each['kept']['rows']:,}")
        basis = [each["basis"], *map(_ending, each["kept"]["ends"])]
    return (
        each["table"],
        each["action"],
        f"{each['planned']['rows']:,}" if each["planned"] else "-",
        "\n".join(became) or "nothing",
        "\n".join(basis) or "-",
    )


def _ending(end: Mapping[str, Any]) -> str:
    return f"policy {end['policy']}" + (f", until {when(end['until'])}" if end["until"] else "")


def _plans(statement: Mapping[str, Any]) -> Section:
    return Section(
        "Its plans",
        columns=(
            Column("Plan"), Column("Made"), Column("By"), Column("SHA-256", mono=True),
            Column("References of others to empty"),
        ),
        rows=tuple(
            (
                str(each["number"]),
                when(each["made_at"]),
                named(each["by"]),
                each["digest"],
                "\n".join(f"{cut['reference']} {cut['rows']:,}" for cut in each["cut"]) or "-",
            )
            for each in statement["plans"]
        ),
        sentences=(f"Carried out was plan {statement['approval']['plan']}.",),
    )  # fmt: skip


def _deferral(each: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    at = when(each["happened_at"])
    for table in each["waiting"]:
        for one in table["value"]:
            until = f" until {when(one['until'])}" if one["until"] else ""
            cause = f"hold {one['hold']}" if one["hold"] else f"the minimum of {one['policy']}"
            yield at, table["name"], cause + until, f"{one['rows']:,}"
    for connector in each["connectors"]:
        yield at, "-", f"the connector {connector}", "-"
