"""The reports that are lists, by name: what each is of, and how it is made.

Pages, PDF, CSV, JSON and the command line all ask here, so that they have the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping

from retention.reports import (
    erasure_sheets,
    handout_sheets,
    purge_sheets,
    sampled_sheets,
    sheets,
    verified_sheets,
)
from retention.reports.asking import Entry

REPORTS: Mapping[str, Entry] = {
    "schedule": Entry(
        "Retention schedule", "who is kept how long, from when, on what basis", sheets.schedule
    ),
    "runs": Entry("Retention runs", "runs, gaps between them, what comes next", sheets.runs),
    "verifications": Entry(
        "Verifications",
        "what was overdue, orphaned or kept, and how that went on",
        verified_sheets.verifications,
    ),
    "reconciliation": Entry(
        "Reconciliation",
        "the population, whether it comes out even, its queries",
        verified_sheets.reconciliation,
    ),
    "samples": Entry(
        "Samples", "single rows that went, traced from rule to proof", sampled_sheets.samples
    ),
    "alerts": Entry(
        "Alerts", "what was warned of, open and past", sheets.alert_list, of_tenant=False
    ),
    "holds": Entry("Legal holds", "holds with their clocks, what became of them", sheets.holds),
    "erasures": Entry(
        "Erasures",
        "people's requests, their clocks, what defers them",
        erasure_sheets.erasures,
    ),
    "connectors": Entry(
        "Connectors",
        "what others were asked to erase, and answered",
        erasure_sheets.connectors,
    ),
    "exports": Entry(
        "Copies handed out",
        "who was handed whose data, people's clocks; certificates",
        handout_sheets.exports,
    ),
    "restorations": Entry(
        "Restorations",
        "archived rows that came back, why, until when",
        handout_sheets.restorations,
    ),
    "offboardings": Entry(
        "Offboardings",
        "tenants that leave, their clocks, what stays",
        purge_sheets.offboardings,
    ),
    "replays": Entry(
        "Replays",
        "what went again after a restore, what stays",
        purge_sheets.replays,
    ),
    "changes": Entry(
        "Changes", "changes of policies, access and keys; stops and pauses", sheets.changes
    ),
    "reads": Entry("Cross-tenant reads", "who read across tenants, and why", sheets.reads),
    "inspections": Entry(
        "Inspections",
        "results of the lint gate and the posture audit",
        sheets.inspection_list,
        of_tenant=False,
    ),
}
