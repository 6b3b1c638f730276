"""The registers as reports: which of their tables and columns are shown, and under which words."""

from __future__ import annotations

from retention.reports import alerts, inspections, registers
from retention.reports import changes as change_log
from retention.reports import runs as run_list
from retention.reports import schedule as schedules
from retention.reports.asking import Asked
from retention.reports.paging import MAX_SIZE
from retention.reports.report import Report, Table
from retention.reports.words import text_of
from tenants.connections import Cursor

_INSPECTED = {
    "recorded_at": "Kept",
    "recorded_by": "By",
    "tool": "With",
    "digest": "SHA-256",
    "digest_matches": "Matches:",
}


_CUT = f"These are the latest {MAX_SIZE:,} alone: ask for a shorter period."


def schedule(cursor: Cursor, asked: Asked) -> Report:
    """Return the retention schedule."""
    found = schedules.schedule_report(cursor, asked.page, asked.scope)
    return Report(
        "schedule",
        "",
        found,
        (
            Table(
                "schedule",
                schedules.ScheduleLine,
                found.schedule,
                title="Kept how long, from when, on what basis",
                show="deletion_class/policy table/along/condition period_words/starts "
                "action/columns legal_basis "
                f"state/withdrawn_at/{'own' if asked.scope.tenant else 'own_terms'}/in_last_run "
                "version/recorded_at/recorded_by",
                labels={
                    "deletion_class": "Category",
                    "along": "With",
                    "condition": "Where",
                    "starts": "Counted from",
                    "period_words": "Kept for",
                    "action": "Then",
                    "recorded_at": "Since",
                    "recorded_by": "By",
                    "withdrawn_at": "Since",
                    "own": "Own:",
                    "own_terms": "Tenants that differ:",
                    "in_last_run": "In the last run:",
                },
                empty="No policy was recorded up to then: nothing is deleted by policy.",
            ),
            Table(
                "own_terms",
                schedules.OwnTerm,
                found.own_terms,
                title="Tenants' own terms",
                labels={"changed_at": "Since", "changed_by": "By"},
                empty="No tenant's terms differ.",
            ),
        ),
        page=found.page,
        lead="The envisaged time limits for erasure of each category of data, as the deletion "
        "part of a record of processing activities has them (GDPR Art. 30(1)(f)); by the versions "
        "in force at the end of the period.",
    )


def runs(cursor: Cursor, asked: Asked) -> Report:
    """Return runs, and what lies between them."""
    found = run_list.runs_report(cursor, asked.page, asked.ticking, asked.scope)
    return Report(
        "runs",
        "",
        found,
        (
            Table(
                "runs",
                run_list.RunLine,
                found.runs,
                title="Runs",
                show="trace_id state/detail as_of started_at/started_by seconds planned "
                "done/actions batches",
                labels={
                    "trace_id": "Run",
                    "seconds": "Took",
                    "planned": "Rows planned",
                    "done": "Rows done",
                    "actions": "Of these:",
                },
                empty="No run of the period is on this page.",
            ),
            Table(
                "gaps",
                run_list.GapLine,
                found.gaps,
                title="Gaps: nobody was there",
                labels={"seconds": "Lasted"},
                empty="None in the period."
                if found.watched_since
                else "Nobody has ticked yet: no scheduler was ever there.",
            ),
            Table(
                "missed",
                run_list.MissedLine,
                found.missed,
                title="Scheduled times that were missed",
                note=_CUT if found.cut["missed"] else "",
            ),
            Table(
                "stops",
                run_list.StopLine,
                found.stops,
                title="All retention stopped, or started",
                note=_CUT if found.cut["stops"] else "",
            ),
            Table(
                "next",
                run_list.NextLine,
                found.next,
                title="What comes next",
                labels={"cron": "Schedule (UTC)", "next_at": "Next", "last_at": "Last taken up"},
                note="Without a schedule, a policy is looked at whenever somebody ticks.",
            ),
        ),
        page=found.page,
        cut=tuple(name for name, is_cut in found.cut.items() if is_cut),
        facts=(("First tick", text_of(found.watched_since)),),
        lead="Newest first. Each stands under its trace id, with its plan and its batches.",
    )


def alert_list(cursor: Cursor, asked: Asked) -> Report:
    """Return alerts, open and past."""
    found = alerts.alerts_report(cursor, asked.page, asked.scope)
    return Report(
        "alerts",
        "",
        found,
        (
            Table(
                "alerts",
                alerts.AlertLine,
                found.alerts,
                title="Alerts",
                show="state kind subject/detail raised_at/resolved_at lasted_s "
                "delivered_at/problem",
                labels={"resolved_at": "Resolved"},
                empty="Nothing was warned of in the period.",
            ),
        ),
        page=found.page,
        facts=(("Open now", str(found.open)),),
        lead="What somebody had to look at, said once for as long as it lasted; open ones first.",
    )


def holds(cursor: Cursor, asked: Asked) -> Report:
    """Return holds with their clocks."""
    found = registers.holds_report(cursor, asked.page, asked.scope)
    return Report(
        "holds",
        "",
        found,
        (
            Table(
                "holds",
                registers.HoldLine,
                found.holds,
                title="Legal holds",
                show="tenant in_force scope/table/subject_id/condition/rows_then matter/reason "
                "placed_at/placed_by in_force_s/ends_in_s released_at/released_by/effective_at",
                labels={
                    "in_force_s": "In force for",
                    "ends_in_s": "Ends in",
                    "scope": "On",
                    "rows_then": "Rows then:",
                    "placed_by": "By",
                    "released_by": "By",
                    "effective_at": "Effective",
                    "condition": "Where",
                    "subject_id": "Subject",
                },
                empty="No hold was in force in the period.",
            ),
            Table(
                "events",
                registers.HoldEventLine,
                found.events,
                title="What became of them",
                labels={"happened_at": "When", "effective_at": "Takes effect"},
            ),
        ),
        page=found.page,
        facts=(("In force now", str(found.in_force)),),
        lead="While a hold is in force, no row under it is deleted or changed, and nothing that "
        "such a row refers to is deleted. It has no expiry; it ends when its release takes effect.",
    )


def changes(cursor: Cursor, asked: Asked) -> Report:
    """Return changes of policies, access and keys."""
    found = change_log.changes_report(cursor, asked.page, asked.scope)
    return Report(
        "changes",
        "",
        found,
        (
            Table(
                "changes",
                change_log.ChangeLine,
                found.changes,
                title="Changes",
                show="at/actor/role kind subject/tenant what/reason before after",
                labels={"actor": "By", "role": "As", "tenant": "Of", "reason": "Because:"},
                empty="Nothing was changed in the period.",
            ),
        ),
        page=found.page,
        lead="Policies and tenants' own terms; logins, memberships, auditors and API tokens; keys; "
        "runs and all retention stopped, paused, cancelled. Newest first.",
    )


def reads(cursor: Cursor, asked: Asked) -> Report:
    """Return reads across tenants."""
    found = registers.reads_report(cursor, asked.page, asked.scope)
    return Report(
        "reads",
        "",
        found,
        (
            Table(
                "reads",
                registers.ReadLine,
                found.reads,
                title="Reads across tenants",
                show="read_at place" if asked.scope.confined else "",
                labels={"place": "Where in the program", "read_at": "When"},
                empty="No read across tenants of the period is on this page.",
            ),
        ),
        page=found.page,
        lead="Work that looked across tenants, this one perhaps among them. Newest first. Who did, "
        "why, and by which statement may name others: the installation's auditors see it."
        if asked.scope.confined
        else "Work that looked across tenants, and the reason it gave. Newest first. They are "
        "nobody's alone: a tenant that is asked about changes nothing.",
    )


def inspection_list(cursor: Cursor, asked: Asked) -> Report:
    """Return kept results of the lint gate and the posture audit."""
    found = inspections.inspections_report(cursor, asked.page, asked.scope)
    shown = (
        "recorded_at/recorded_by kind/tool subject passed findings suppressed digest/digest_matches"
    )
    return Report(
        "inspections",
        "",
        found,
        (
            Table(
                "inspections",
                inspections.InspectionLine,
                found.inspections,
                title="Inspections of the period",
                show=shown,
                labels=_INSPECTED,
                empty="None of the period is on this page.",
            ),
            Table(
                "latest",
                inspections.InspectionLine,
                found.latest,
                title="The last of each kind",
                show=shown,
                labels=_INSPECTED,
                empty="No result was ever kept.",
            ),
        ),
        page=found.page,
        lead="What the lint gate said of the code's SQL, and the posture audit of the database; "
        "each kept as it was printed, with its digest.",
    )
