"""A certificate for people: what it states, as text and as PDF, in the same order and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from retention.reports.pdf import Column, Document

_WRAP = 96  # characters of a line of text


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a certificate: facts, then a table, then sentences; any of them may be missing."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    empty: str = ""
    sentences: tuple[str, ...] = ()


def sections(statement: Mapping[str, Any]) -> Iterator[Section]:
    """Yield what a statement says (`verifier.statement_of`)."""
    issued, run = statement["issued"], statement["run"]
    names = {each["id"]: each["slug"] or each["id"] for each in statement["tenants"]}
    whose = "all of them"
    if statement["tenant"] is not None:
        whose = ", ".join(_tenant(each) for each in statement["tenants"]) or statement["tenant"]
    yield Section(
        "Certificate",
        (
            ("Certificate", issued["id"]),
            ("Issued", f"{_when(issued['at'])}, by {_named(issued['by'])}"),
            ("Tenants" if statement["tenant"] is None else "For the tenant alone", whose),
            ("Run", run["id"]),
            ("Trace", run["trace_id"]),
            ("Begun", f"{_when(run['started_at'])}, by {_named(run['requested_by'])}"),
            ("Ended", f"{_when(run['finished_at'])}: {run['state'].replace('_', ' ')}"),
            ("As of", _when(run["as_of"])),
            ("Code", f"release {run['release'] or 'not recorded'}"),
            ("Plan", f"SHA-256 {run['plan_sha256']}"),
            *([("In words", run["detail"])] if run["detail"] else []),
        ),
    )
    yield Section(
        "What was done",
        columns=(Column("Table"), Column("Rows", align="right"), Column("Done")),
        rows=tuple((e["table"], f"{e['rows']:,}", e["action"]) for e in statement["tables"]),
        empty="No row was touched.",
        sentences=tuple(
            f"{action.capitalize()}: {method}."
            for action, method in sorted({(e["action"], e["method"]) for e in statement["tables"]})
        ),
    )
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
                f"{_when(each['recorded_at'])}, by {_named(each['recorded_by'])}",
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
    yield Section("What this certificate does not cover", sentences=tuple(statement["not_covered"]))
    yield _proof(statement)


def _circumstances(statement: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Section]:
    holds = statement["holds"]
    yield Section(
        "Legal holds in force while it ran",
        (("Digest", f"SHA-256 {holds['sha256']}"),),
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
                _when(each["placed_at"]),
                _when(each["effective_at"]) if each["effective_at"] else "further notice",
            )
            for each in holds["in_force"]
        ),
        "None.",
    )
    if statement["interventions"]:
        yield Section(
            "What people did to the run",
            columns=(Column("What"), Column("When"), Column("Who"), Column("Why")),
            rows=tuple(
                (e["action"], _when(e["taken_at"]), _named(e["by"]), e["reason"] or "not shown")
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
                    _when(e["restored_at"]),
                    ", ".join(f"{table}: {rows}" for table, rows in sorted(e["counts"].items())),
                )
                for e in statement["restorations"]
            ),
        )
    yield _verification(statement["verification"], names)
    backups = statement["backups"]
    yield Section(
        "Backups",
        sentences=(
            "The operator has not declared when backups expire."
            if backups is None
            else f"The operator declares that a backup is kept for {backups['kept_days']} days: "
            f"those made before the end are gone by {_when(backups['expired_by'])}.",
        ),
    )


def _verification(found: Mapping[str, Any] | None, names: Mapping[str, str]) -> Section:
    title = "The verification after it"
    if found is None:
        return Section(title, sentences=("There was none when this certificate was issued.",))
    facts, sentences = [("Entered in the ledger", _when(found["entered_at"]))], list[str]()
    if found["account"] is not None:
        facts.append(("Account", str(found["account"])))
    if found["results"] is not None:
        facts += [
            ("Verification", found["id"]),
            ("Ended", f"{_when(found['finished_at'])}, as of {_when(found['as_of'])}"),
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


def _proof(statement: Mapping[str, Any]) -> Section:
    ledger, complete = statement["ledger"], statement["complete"]
    sentences = [
        "All of the above is drawn from entries of the ledger. The certificate's JSON has each of "
        "them with its proof of inclusion (C2SP tlog-proof) under the signed checkpoint; the "
        "verifier, one file, checks it offline with the public key alone, and so do openssl and "
        "sha256sum: docs/ledger.md. This paper alone proves nothing.",
        "Each tenant's part lists all its batches: the ledger has their number and digest.",
    ]
    if not complete["units"]:
        sentences.append(
            "Whether the run had more to do than is shown here is not seen from this certificate; "
            "an export of the ledger shows it."
        )
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
        _when(unit["cutoff"]) if unit["cutoff"] else "-",
        _when(unit["began_at"]) if unit["began_at"] else "-",
        _when(unit["ended_at"]),
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


def _tenant(tenant: Mapping[str, Any]) -> str:
    if tenant["name"] is None:
        return f"{tenant['id']} (its name was erased)"
    return f"{tenant['name']} ({tenant['slug']}, {tenant['id']})"


def _named(text: str | None) -> str:
    return text or "somebody whose name was erased, or is not shown"


def _when(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def to_pdf(statement: Mapping[str, Any]) -> bytes:
    """Return the certificate as a PDF; the same bytes each time."""
    document = Document(
        "Certificate of deletion",
        at=datetime.fromisoformat(statement["issued"]["at"]),
        reference=f"certificate {statement['issued']['id']}",
        landscape=True,
    )
    for number, section in enumerate(sections(statement)):
        if number:
            document.heading(section.title)
        if section.facts:
            document.facts(section.facts)
        if section.columns:
            document.table(section.columns, section.rows, empty=section.empty)
        for sentence in section.sentences:
            document.paragraph(sentence)
    document.note("Instants are in UTC.")
    return document.build()


def to_text(statement: Mapping[str, Any]) -> str:
    """Return the certificate as text."""
    lines = ["CERTIFICATE OF DELETION (instants in UTC)"]
    for number, section in enumerate(sections(statement)):
        lines += ["", section.title] if number else []
        width = max((len(name) for name, _ in section.facts), default=0)
        lines += [f"  {name.ljust(width)}  {value}" for name, value in section.facts]
        if section.columns:
            lines += _table(section) if section.rows else [f"  {section.empty}"]
        for sentence in section.sentences:
            lines += wrap(sentence, _WRAP, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _table(section: Section) -> Iterator[str]:
    """Yield a table's lines; a cell may have several."""
    cells = [[column.title] for column in section.columns]
    rows = [cells, *([cell.split("\n") for cell in row] for row in section.rows)]
    widths = [max(len(line) for row in rows for line in row[n]) for n in range(len(cells))]
    for row in rows:
        for lines in zip_longest(*row, fillvalue=""):
            each = (
                line.rjust(width) if column.align == "right" else line.ljust(width)
                for line, width, column in zip(lines, widths, section.columns, strict=True)
            )
            yield ("  " + "  ".join(each)).rstrip()
