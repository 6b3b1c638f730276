"""The certificate of an offboarding, for people: that all of a tenant went, and what stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from retention.ledger.certificate_section import (
    Section,
    backups,
    commitments,
    connectors,
    done,
    holds,
    issued,
    named,
    names_of,
    not_covered,
    proof,
    when,
)
from retention.reports.pdf import Column

_WAITED = {"deferred": "a legal hold", "waiting": "connectors to answer"}


def sections_of_offboarding(statement: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what the certificate of an offboarding states."""
    yield Section("Certificate", (*issued(statement), *_clock(statement)))
    yield done(statement)
    yield _export(statement["export"])
    yield Section(
        "Access that ended when the deletion began",
        columns=(Column("Of"), Column("How many", align="right")),
        rows=tuple(
            (each["name"].replace("_", " "), f"{each['value']:,}")
            for each in statement["access_ended"]
        ),
        empty="None is on record.",
    )
    yield Section(
        "What it waited for",
        columns=(Column("For"), Column("From"), Column("Until")),
        rows=tuple(
            (_WAITED[each["state"]], when(each["at"]), when(each["until"]))
            for each in statement["deferrals"]
        ),
        empty="It did not wait.",
    )
    yield holds(statement, names_of(statement))
    yield connectors(statement)
    yield commitments(statement)
    yield Section(
        "What stays of the tenant, and why",
        columns=(Column("Table"), Column("Rows", align="right"), Column("Why")),
        rows=tuple(
            (
                each["table"],
                "not counted" if each["rows"] is None else f"{each['rows']:,}",
                each["why"],
            )
            for each in statement["stays"]
        ),
        empty="Nothing.",
        sentences=("As of the verification at the end. What came of it later is not counted.",),
    )
    yield _verification(statement["verification"])
    yield backups(statement)
    yield not_covered(statement)
    yield proof(
        statement,
        (
            "All batches are listed: the entry of the end counts the rows of each table. Whether "
            "it waited more often, an export of the ledger shows.",
        ),
    )


def _clock(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    one = statement["offboarding"]
    yield "Offboarding", one["id"]
    yield "Requested", f"{when(one['requested_at'])}, by {named(one['requested_by'])}"
    yield "Grace", f"{one['grace']}, until {when(one['deletes_at'])}"
    yield "Begun", f"{when(one['started_at'])}, by {named(one['started_by'])}"
    yield "Trace", one["trace_id"]
    yield "Completed", when(one["ended_at"])


def _export(export: Mapping[str, Any]) -> Section:
    return Section(
        "The export that was made before",
        (
            ("Export", f"{export['id']}, by {named(export['by'])}"),
            ("As of", when(export["as_of"])),
            ("Finished", f"{when(export['ended_at'])}, {export['bytes']:,} bytes"),
            ("Its manifest", f"SHA-256 {export['manifest_sha256']}"),
        ),
        (Column("Table"), Column("Rows", align="right")),
        tuple((each["name"], f"{each['value']:,}") for each in export["counts"]),
        "It had no rows.",
        (
            "The manifest has the digest of each file of the copy. Whether the tenant got it, no "
            "entry says. The tenant may have written after it: what went is counted above.",
        ),
    )


def _verification(verified: Mapping[str, Any]) -> Section:
    return Section(
        "The verification at its end",
        (
            ("At", f"{when(verified['at'])}, as {named(verified['by'])}"),
            ("Rows found", str(verified["findings"])),
            ("Tables", ", ".join(verified["tables"])),
        ),
        sentences=(
            "It counted with queries of its own, as another role, the tenant's rows in these "
            "tables: all with a tenant_id that the database had in the domain's schemas, archives "
            "included. Where it finds one, an offboarding is not completed.",
        ),
    )
