"""The parts of a certificate for people, and the words that all certificates have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retention.reports.pdf import Column


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a certificate: facts, then a table, then sentences; any of them may be missing."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    empty: str = ""
    sentences: tuple[str, ...] = ()


def done(statement: Mapping[str, Any]) -> Section:
    """Return which rows were touched, and how."""
    return Section(
        "What was done",
        columns=(Column("Table"), Column("Rows", align="right"), Column("Done")),
        rows=tuple((e["table"], f"{e['rows']:,}", e["action"]) for e in statement["tables"]),
        empty="No row was touched.",
        sentences=tuple(
            f"{action.capitalize()}: {method}."
            for action, method in sorted({(e["action"], e["method"]) for e in statement["tables"]})
        ),
    )


def commitments(statement: Mapping[str, Any]) -> Section:
    """Return what each batch did to which table, with its commitment to the keys."""
    return Section(
        "Commitments to the keys",
        columns=(
            Column("Batch"), Column("Begun"), Column("Table"), Column("Done"),
            Column("Rows", align="right"), Column("SHA-256", mono=True),
        ),
        rows=tuple(
            (
                batch["id"], when(batch["started_at"]), each["table"], each["action"],
                f"{each['rows']:,}", each["keys_sha256"],
            )
            for batch in statement["batches"]
            for each in batch["tables"]
        ),
        empty="No row went.",
        sentences=(
            "Over the hashes of the keys of the rows. Who knows a row's key can ask whether it was "
            "among them; nobody learns one.",
        ),
    )  # fmt: skip


def connectors(statement: Mapping[str, Any]) -> Section:
    """Return what others were asked, and what they said."""
    return Section(
        "What others were asked, and said",
        columns=(
            Column("Connector"), Column("Asked"), Column("Answered"), Column("Said"),
            Column("Counts"), Column("SHA-256 of the answer", mono=True),
        ),
        rows=tuple(_connector(each) for each in statement["connectors"]),
        empty="No connector was asked.",
    )  # fmt: skip


def _connector(each: Mapping[str, Any]) -> tuple[str, ...]:
    answer, withdrawn = each["answer"], each["withdrawn"]
    answered = when(answer["happened_at"]) if answer else "not recorded"
    said = each["state"]
    if withdrawn:
        until = f"withdrawn {when(withdrawn['happened_at'])}, by {named(withdrawn['by'])}"
        answered = f"{answered}, after it was {until}" if answer else f"never; {until}"
        said = answer["event"] if answer else "never acknowledged"
        said += ", and was reached" if each["reached"] else ", and was never reached"
    elif answer and answer["by"] not in (None, f"connector:{each['connector']}"):
        said += f", as {answer['by']} entered"
    return (
        each["connector"],
        when(each["asked_at"]) if each["asked_at"] else "not recorded",
        answered,
        said,
        "\n".join(f"{one['name']} {one['value']}" for one in answer["counts"]) if answer else "-",
        (answer["digest"] or "-") if answer else "-",
    )


def holds(statement: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    """Return the holds that were in force meanwhile; `names`: of tenants, by their ids."""
    found = statement["holds"]
    return Section(
        "Legal holds in force while it ran",
        (("Digest", f"SHA-256 {found['sha256']}"),),
        (
            Column("Hold"),
            Column("Tenant"),
            Column("On"),
            Column("Placed"),
            Column("In force until"),
        ),
        tuple(
            (
                each["id"],
                names.get(each["tenant_id"], each["tenant_id"]),
                " ".join(x for x in (each["scope"], each["table_name"]) if x),
                when(each["placed_at"]),
                when(each["effective_at"]) if each["effective_at"] else "further notice",
            )
            for each in found["in_force"]
        ),
        "None are shown.",
    )


def names_of(statement: Mapping[str, Any]) -> dict[str, str]:
    """Return the tenants' short names by their ids."""
    return {each["id"]: each["slug"] or each["id"] for each in statement["tenants"]}


def backups(statement: Mapping[str, Any]) -> Section:
    """Return when backups expire."""
    declared = statement["backups"]
    return Section(
        "Backups",
        sentences=(
            "The operator has not declared when backups expire."
            if declared is None
            else f"The operator declares that a backup is kept for {declared['kept_days']} days: "
            f"those made before the end are gone by {when(declared['expired_by'])}.",
        ),
    )


def not_covered(statement: Mapping[str, Any]) -> Section:
    """Return what it does not cover."""
    return Section(
        "What this certificate does not cover", sentences=tuple(statement["not_covered"])
    )


def proof(statement: Mapping[str, Any], known: Sequence[str]) -> Section:
    """Return how all of it is proven; `known`: of what it lists all, and of what it may not."""
    ledger = statement["ledger"]
    sentences = [
        "All of the above is drawn from entries of the ledger. The certificate's JSON has each of "
        "them with its proof of inclusion (C2SP tlog-proof) under the signed checkpoint; the "
        "verifier, one file, checks it offline with the public key alone, and so do openssl and "
        "sha256sum: docs/ledger.md. This paper alone proves nothing.",
        *known,
    ]
    return Section(
        "Proof",
        (
            ("Ledger", ledger["origin"]),
            ("Entry of this certificate", str(statement["issued"]["entry"])),
            ("Checkpoint", f"{ledger['size']} entries"),
            ("Root", ledger["root"]),
        ),
        sentences=tuple(sentences),
    )


def issued(statement: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the facts of the certificate itself, and whose it is."""
    own = statement["issued"]
    whose = "all of them"
    if statement["tenant"] is not None:
        whose = ", ".join(tenant_of(each) for each in statement["tenants"]) or statement["tenant"]
    return (
        ("Certificate", own["id"]),
        ("Issued", f"{when(own['at'])}, by {named(own['by'])}"),
        ("Tenants" if statement["tenant"] is None else "For the tenant alone", whose),
    )


def tenant_of(tenant: Mapping[str, Any]) -> str:
    """Return a tenant as people know it."""
    if tenant["name"] is None:
        return f"{tenant['id']} (its name was erased, or is not shown)"
    return f"{tenant['name']} ({tenant['slug']}, {tenant['id']})"


def named(text: str | None) -> str:
    """Return who it was."""
    return text or "somebody whose name was erased, or is not shown"


def when(text: str) -> str:
    """Return an instant, in UTC."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
