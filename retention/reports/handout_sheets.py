"""Copies, certificates and restorations as reports: what of them is shown."""

from __future__ import annotations

from retention.reports import handouts
from retention.reports import restorations as restoration_list
from retention.reports.asking import Asked
from retention.reports.paging import MAX_SIZE
from retention.reports.report import Report, Table
from tenants.connections import Cursor


def exports(cursor: Cursor, asked: Asked) -> Report:
    """Return copies that were handed out, with their clocks, and certificates."""
    found = handouts.exports_report(cursor, asked.page, asked.scope)
    return Report(
        "exports",
        "",
        found,
        (
            Table(
                "exports",
                handouts.ExportLine,
                found.exports,
                title="Copies of data",
                show="id/tenant/kind/subject outcome/left_s/made_good_at/problem "
                "requested_by/reason received_at/due_at began_at/took_s/as_of "
                "rows/tables/bytes/manifest_sha256",
                labels={
                    "id": "Copy",
                    "tenant": "Of",
                    "kind": "All of a",
                    "subject": "Namely a",
                    "outcome": "State",
                    "left_s": "Left",
                    "made_good_at": "By a later one, finished",
                    "problem": "Failed:",
                    "requested_by": "Handed to",
                    "reason": "For:",
                    "received_at": "Asked for",
                    "due_at": "Due",
                    "took_s": "Took",
                    "as_of": "As of",
                    "tables": "Of tables:",
                    "bytes": "Bytes:",
                    "manifest_sha256": "With the manifest",
                },
                empty="No copy was made, or asked for, in the period.",
            ),
            Table(
                "certificates",
                handouts.CertificateLine,
                found.certificates,
                title="Certificates given out",
                show="id/statement_sha256 kind/subject_id tenant issued_at/issued_by "
                "release/backups_kept_days",
                labels={
                    "id": "Certificate",
                    "statement_sha256": "SHA-256 of what it states",
                    "kind": "Of a",
                    "subject_id": "Namely",
                    "tenant": "Of tenant",
                    "issued_at": "Issued",
                    "issued_by": "By",
                    "release": "By release",
                    "backups_kept_days": "Says that backups are kept, days:",
                },
                note=f"These are the latest {MAX_SIZE:,} alone: ask for a shorter period."
                if found.cut
                else "",
                empty="None was given out in the period.",
            ),
        ),
        page=found.page,
        cut=("certificates",) if found.cut else (),
        facts=(
            ("People who wait now", str(found.open)),
            ("Overdue now", str(found.overdue)),
        ),
        lead="Who was handed a copy of a person's data (GDPR 15), or of all of a tenant's. A "
        "person has it within a month of asking (GDPR 12(3)); what was asked for and not begun is "
        "in no record here.",
    )


def restorations(cursor: Cursor, asked: Asked) -> Report:
    """Return archived rows that came back."""
    found = restoration_list.restorations_report(cursor, asked.page, asked.scope)
    return Report(
        "restorations",
        "",
        found,
        (
            Table(
                "restorations",
                restoration_list.RestorationLine,
                found.restorations,
                title="Archived rows that came back",
                show="restored_at/restored_by/reason tenant policy/trace_id/batch_id/archived_at "
                "rows/counts kept_until/stays",
                labels={
                    "restored_at": "Came back",
                    "restored_by": "By",
                    "reason": "Because:",
                    "trace_id": "Run",
                    "batch_id": "Batch",
                    "archived_at": "Archived",
                    "counts": "Of these:",
                    "kept_until": "Stays until",
                    "stays": "Still stays:",
                },
                empty="No archived row came back in the period.",
            ),
        ),
        page=found.page,
        facts=(("Batches that stay by it now", str(found.staying)),),
        lead="What a policy archived and somebody brought back, a batch at a time. No "
        "policy takes it again before its time.",
    )
