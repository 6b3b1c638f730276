"""The certificate of a run, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from retention.ledger.certificate_section import (
    Section,
    backups,
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


def sections_of_run(statement: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what the certificate of a run states."""
    run = statement["run"]
    names = names_of(statement)
    yield Section(
        "Certificate",
        (
            *issued(statement),
            ("Run", run["id"]),
            ("Trace", run["trace_id"]),
            ("Begun", f"{when(run['started_at'])}, by {named(run['requested_by'])}"),
            ("Ended", f"{when(run['finished_at'])}: {run['state'].replace('_', ' ')}"),
            ("As of", when(run["as_of"])),
            ("Code", f"release {run['release'] or 'not recorded'}"),
            ("Plan", f"SHA-256 {run['plan_sha256']}"),
            *([("In words", run["detail"])] if run["detail"] else []),
        ),
    )
    yield done(statement)
    yield Section(
        "Under which rules",
        columns=(
            Column("Policy"), Column("Class"), Column("Legal basis"), Column("Period"),
            Column("Starts with"), Column("Recorded"),
        ),
        rows=tuple(
            (
                f"{each['name']}, version {each['version']}",
                each["class"],
                each["legal_basis"],
                _period(each),
                f"{each['table']}: {each['starts']}",
                f"{when(each['recorded_at'])}, by {named(each['recorded_by'])}",
            )
            for each in statement["policies"]
        ),
        empty="No policy had anything to do.",
        sentences=(
            "Nobody approves a run by itself: it may do what the policies recorded say, no more.",
        ),
    )  # fmt: skip
    yield Section(
        "Tenant by tenant",
        columns=(
            Column("Tenant"), Column("Policy"), Column("Cutoff"), Column("Begun"), Column("Ended"),
            Column("Rows"), Column("Outcome, and what was left"),
        ),
        rows=tuple(_unit_row(each, names) for each in statement["units"]),
        empty="No tenant had anything due.",
        sentences=(
            "A row is due when its start lies before the cutoff. Of rows that were due and left, "
            "the books below say why: under hold, referred to, paused, or overdue.",
        ),
    )  # fmt: skip
    yield Section(
        "Commitments to the keys that went",
        columns=(
            Column("Tenant"), Column("Policy"), Column("Table"), Column("SHA-256", mono=True),
        ),
        rows=tuple(
            (
                names.get(unit["tenant_id"], unit["tenant_id"]),
                unit["policy"],
                each["table"],
                each["keys_sha256"],
            )
            for unit in statement["units"]
            for each in unit["tables"]
        ),
        empty="No row went.",
        sentences=(
            "Over the digest that each batch recorded, over the hashes of the keys of its rows. "
            "Who knows a row's key can ask whether it was among them; nobody learns one.",
        ),
    )  # fmt: skip
    yield from _circumstances(statement, names)
    yield not_covered(statement)
    known = ["Each tenant's part lists all its batches: the ledger has their number and digest."]
    if not statement["complete"]["units"]:
        known.append(
            "Whether the run had more to do than is shown here is not seen from this certificate; "
            "an export of the ledger shows it."
        )
    yield proof(statement, known)


def _circumstances(statement: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Section]:
    yield holds(statement, names)
    if statement["interventions"]:
        yield Section(
            "What people did to the run",
            columns=(Column("What"), Column("When"), Column("Who"), Column("Why")),
            rows=tuple(
                (e["action"], when(e["taken_at"]), named(e["by"]), e["reason"] or "not shown")
                for e in statement["interventions"]
            ),
        )
    if statement["restorations"]:
        yield Section(
            "What was brought back from the archive since",
            columns=(Column("Tenant"), Column("When"), Column("Rows")),
            rows=tuple(
                (
                    names.get(e["tenant_id"], e["tenant_id"]),
                    when(e["restored_at"]),
                    ", ".join(f"{table}: {rows}" for table, rows in sorted(e["counts"].items())),
                )
                for e in statement["restorations"]
            ),
        )
    yield _verification(statement["verification"], names)
    yield backups(statement)


def _verification(found: Mapping[str, Any] | None, names: Mapping[str, str]) -> Section:
    title = "The verification after it"
    if found is None:
        return Section(title, sentences=("There was none when this certificate was issued.",))
    facts, sentences = [("Entered in the ledger", when(found["entered_at"]))], list[str]()
    if found["account"] is not None:
        facts.append(("Account", str(found["account"])))
    if found["results"] is not None:
        facts += [
            ("Verification", found["id"]),
            ("Ended", f"{when(found['finished_at'])}, as of {when(found['as_of'])}"),
            ("Findings", str(found["findings"])),
        ]
        sentences = [
            f"{names.get(e['tenant_id'], e['tenant_id'] or 'all tenants')}, {e['kind']} of "
            f"{e['subject']}: {e['found']} found, {e['held']} of them held"
            for e in found["results"]
            if e["found"]
        ]
        sentences.append(
            "It looked with queries of its own, as another role. They are in the certificate's "
            "JSON, each with what it found."
        )
    return Section(
        title,
        tuple(facts),
        (
            Column("Tenant"), Column("Policy"), Column("Table"), Column("Deleted", align="right"),
            Column("Held", align="right"), Column("Referred to", align="right"),
            Column("Paused", align="right"), Column("Overdue", align="right"),
            Column("Vanished", align="right"), Column("Difference", align="right"),
        ),
        tuple(
            (
                names.get(each["tenant_id"], each["tenant_id"]),
                each["policy"],
                each["table_name"],
                *(
                    f"{each[name]:,}"
                    for name in (
                        "deleted", "held", "undeletable", "paused", "still_due", "vanished",
                        "difference",
                    )
                ),
            )
            for each in found["books"]
        ),
        "Nothing moved in its books for these policies.",
        tuple(sentences),
    )  # fmt: skip


def _unit_row(unit: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, ...]:
    reasons = [
        each["reason"] + ("" if each["rows"] is None else f": {each['rows']:,}")
        for each in unit["exceptions"]
    ]
    reasons += [
        f"by plan {each['rows']:,} {each['reason']}"
        + (f": {each['detail']}" if each["detail"] else "")
        for each in unit["kept"] or ()
    ]
    left = [f"{unit['left_due']:,} due left"] if unit["left_due"] else []
    trouble = [unit["trouble"]] if unit["trouble"] else []
    rows = [f"{each['table']} {each['rows']:,}" for each in unit["tables"]]
    return (
        names.get(unit["tenant_id"], unit["tenant_id"]),
        f"{unit['policy']}, version {unit['version']}",
        when(unit["cutoff"]) if unit["cutoff"] else "-",
        when(unit["began_at"]) if unit["began_at"] else "-",
        when(unit["ended_at"]),
        "\n".join(rows) or "0",
        "\n".join([unit["state"].replace("_", " "), *left, *reasons, *trouble]),
    )


def _period(policy: Mapping[str, Any]) -> str:
    bounds = [
        f"{word} {policy[name]}"
        for name, word in (("minimum", "at least"), ("maximum", "at most"))
        if policy[name]
    ]
    condition = [f"where {policy['condition']}"] if policy["condition"] else []
    return ", ".join([policy["period"], *bounds, *condition])
