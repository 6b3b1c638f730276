"""Erasures, and what others were asked to erase, as reports: what of them is shown."""

from __future__ import annotations

from retention.reports import connectors as connector_list
from retention.reports import erasures as erasure_list
from retention.reports.asking import Asked
from retention.reports.report import Report, Table
from tenants.connections import Cursor


def erasures(cursor: Cursor, asked: Asked) -> Report:
    """Return erasures with their clocks."""
    found = erasure_list.erasures_report(cursor, asked.page, asked.scope)
    erasure = {"erasure_id": "Erasure"}
    return Report(
        "erasures",
        "",
        found,
        (
            Table(
                "erasures",
                erasure_list.ErasureLine,
                found.erasures,
                title="Erasures",
                show="id/subject/tenant state/waits_for/waits_until outcome/left_s/took_s "
                "received_at/entered_by due_at/extended_months approved_by/plan/ended_at "
                "rows/batches",
                labels={
                    "id": "Erasure",
                    "subject": "Of a",
                    "tenant": "Of",
                    "waits_for": "Waits for",
                    "waits_until": "Until",
                    "outcome": "Answer",
                    "left_s": "Due in",
                    "took_s": "After",
                    "received_at": "Received",
                    "entered_by": "By",
                    "due_at": "Due",
                    "extended_months": "Months more:",
                    "approved_by": "Approved by",
                    "rows": "Rows that went",
                    "batches": "Batches:",
                    "ended_at": "Ended",
                },
                empty="Nobody's request was open in the period.",
            ),
            Table(
                "waiting",
                erasure_list.WaitingLine,
                found.waiting,
                title="What they wait for",
                show="erasure_id table rows hold policy connector until",
                labels={**erasure, "policy": "Minimum of", "hold": "Legal hold"},
                note="A hold has no end of its own; an erasure goes on when it is released.",
            ),
            Table(
                "erased",
                erasure_list.ErasedLine,
                found.erased,
                title="What went",
                labels=erasure,
            ),
            Table(
                "kept",
                erasure_list.KeptLine,
                found.kept,
                title="What is kept, and why",
                labels={**erasure, "basis": "On the basis of", "ends": "Taken by"},
            ),
            Table(
                "events",
                erasure_list.ErasureEventLine,
                found.events,
                title="What became of them",
                show="erasure_id event/actor happened_at facts trace_id",
                labels={
                    **erasure,
                    "happened_at": "When",
                    "actor": "By",
                    "trace_id": "Trace",
                },
            ),
        ),
        page=found.page,
        facts=(
            ("Open now", str(found.open)),
            ("Overdue now", str(found.overdue)),
            ("Deferred now", str(found.deferred)),
        ),
        lead="Requests of people to be erased (GDPR Art. 17), whose answers are due within a month "
        "(12(3)). Whom one is about is not shown, and known to nobody here once it has ended.",
    )


def connectors(cursor: Cursor, asked: Asked) -> Report:
    """Return what others were asked to erase, with clocks."""
    found = connector_list.connectors_report(cursor, asked.page, asked.scope)
    return Report(
        "connectors",
        "",
        found,
        (
            Table(
                "connectors",
                connector_list.ConnectorLine,
                found.connectors,
                title="Connectors",
                labels={"oldest_open_at": "Oldest open since"},
                empty="No connector was asked for anything in the period.",
            ),
            Table(
                "requests",
                connector_list.RequestLine,
                found.requests,
                title="Requests",
                show="id/connector/tenant cause_id/cause/subject state/problem/failures "
                "outcome/left_s/took_s requested_at/due_at told_at/delivered_at/next_attempt_at "
                "ended_at",
                labels={
                    "id": "Request",
                    "connector": "To",
                    "cause_id": "For",
                    "cause": "An",
                    "tenant": "Of",
                    "subject": "Of a",
                    "problem": "Last problem:",
                    "failures": "Failures:",
                    "outcome": "Answer",
                    "left_s": "Due in",
                    "took_s": "After",
                    "requested_at": "Asked",
                    "due_at": "Due",
                    "told_at": "Told",
                    "delivered_at": "Delivered",
                    "next_attempt_at": "Next attempt",
                    "ended_at": "Ended",
                },
                empty="No request was open in the period.",
            ),
            Table(
                "events",
                connector_list.RequestEventLine,
                found.events,
                title="What became of them",
                show="request_id event/connector/actor happened_at counts detail",
                labels={
                    "request_id": "Request",
                    "connector": "Of",
                    "happened_at": "When",
                    "actor": "By",
                },
            ),
        ),
        page=found.page,
        facts=(("Open now", str(found.open)), ("Overdue now", str(found.overdue))),
        lead="What is held beyond the database, in file stores and by others, is asked for when an "
        "erasure starts; it is completed when all have answered, or the request was withdrawn.",
    )
