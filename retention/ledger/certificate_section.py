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
        return f"{tenant['id']} (its name was erased)"
    return f"{tenant['name']} ({tenant['slug']}, {tenant['id']})"


def named(text: str | None) -> str:
    """Return who it was."""
    return text or "somebody whose name was erased, or is not shown"


def when(text: str) -> str:
    """Return an instant, in UTC."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
