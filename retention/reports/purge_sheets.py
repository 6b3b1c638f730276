"""Offboardings and replays as reports: what of them is shown."""

from __future__ import annotations

from retention.reports import offboardings as offboarding_list
from retention.reports import replays as replay_list
from retention.reports.asking import Asked
from retention.reports.purged import PurgedLine
from retention.reports.report import Report, Table
from tenants.connections import Cursor


def offboardings(cursor: Cursor, asked: Asked) -> Report:
    """Return offboardings with their clocks."""
    found = offboarding_list.offboardings_report(cursor, asked.page, asked.scope)
    return Report(
        "offboardings",
        "",
        found,
        (
            Table(
                "offboardings",
                offboarding_list.OffboardingLine,
                found.offboardings,
                title="Offboardings",
                show="id/tenant outcome/left_s/took_s/waits_for/connectors "
                "requested_at/requested_by/reason deletes_at/grace/exported_at/export_sha256 "
                "started_at/access/trace_id rows/batches/last_batch_at "
                "ended_at/taken_back_by/taken_back_reason/verified_by/certificate/certified_at",
                labels={
                    "id": "Offboarding",
                    "tenant": "Of",
                    "outcome": "State",
                    "left_s": "Grace left",
                    "took_s": "After",
                    "waits_for": "As",
                    "requested_at": "Asked for",
                    "requested_by": "By",
                    "reason": "Because:",
                    "deletes_at": "Grace until",
                    "grace": "Of",
                    "exported_at": "Copy as of",
                    "export_sha256": "With the manifest",
                    "started_at": "Begun",
                    "access": "Ended:",
                    "rows": "Rows that went",
                    "batches": "Batches:",
                    "last_batch_at": "The last",
                    "ended_at": "Ended",
                    "taken_back_by": "Taken back by",
                    "taken_back_reason": "Because:",
                    "verified_by": "No row was found by",
                    "certified_at": "Issued",
                },
                empty="No tenant was about to leave in the period.",
            ),
            _purged(found.purged, "Offboarding"),
            Table(
                "stays",
                offboarding_list.StaysLine,
                found.stays,
                title="What stays, and why",
                labels={"offboarding_id": "Offboarding", "table": "In"},
                empty="Known when one is completed.",
            ),
        ),
        page=found.page,
        facts=(
            ("Open now", str(found.open)),
            ("Overdue now", str(found.overdue)),
            ("Deferred now", str(found.deferred)),
        ),
        lead="Tenants that leave: all of their rows go once the grace is over and a copy was made. "
        "Holds defer it; when it has begun, the tenant's access has ended.",
    )


def replays(cursor: Cursor, asked: Asked) -> Report:
    """Return replays with their clocks."""
    found = replay_list.replays_report(cursor, asked.page, asked.scope)
    replay = {"replay_id": "Replay"}
    return Report(
        "replays",
        "",
        found,
        (
            Table(
                "replays",
                replay_list.ReplayLine,
                found.replays,
                title="Replays",
                show="id/tenant outcome/quiet_s/took_s/made_good_at began_at/begun_by/trace_id "
                "rows/batches/last_batch_at kept ended_at",
                labels={
                    "id": "Replay",
                    "tenant": "Of",
                    "outcome": "State",
                    "quiet_s": "No batch for",
                    "took_s": "After",
                    "made_good_at": "By a later one, ended",
                    "began_at": "Begun",
                    "begun_by": "By",
                    "rows": "Rows that went again",
                    "batches": "Batches:",
                    "last_batch_at": "The last",
                    "kept": "Rows that stay",
                    "ended_at": "Ended",
                },
                empty="Nothing was replayed in the period: as far as is recorded, no backup was "
                "brought back.",
            ),
            _purged(found.purged, "Replay"),
            Table(
                "left",
                replay_list.LeftLine,
                found.left,
                title="What stays, and why",
                labels={**replay, "why": "Because they are"},
                note="A replay finds these again the next time.",
            ),
            Table(
                "records",
                replay_list.RecordLine,
                found.records,
                title="By which records",
                labels={**replay, "through": "Up to line", "sha256": "SHA-256 of the line"},
            ),
        ),
        page=found.page,
        facts=(("Under way now", str(found.running)), ("Incomplete now", str(found.incomplete))),
        lead="After a restore, what the records outside of the database say had gone goes again. "
        "Whether anything that went is there by now, each verification says (returned).",
    )


def _purged(lines: tuple[PurgedLine, ...], of: str) -> Table:
    return Table("purged", PurgedLine, lines, title="What went", labels={"of_id": of})
