"""The pages of one thing each: a run, a policy, a verification, an inspection's result."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from api.console.formats import SUFFIX, split_suffix, there, wanted_page
from api.errors import Problem, shorten
from retention.reports import (
    commitments,
    inspections,
    policies,
    run,
    samples,
    schedule,
    trend,
    units,
    verification,
)
from retention.reports import runs as run_list
from retention.reports.report import Report, Table
from retention.reports.words import actions_in_words
from tenants.connections import Cursor

T = TypeVar("T")


class Read(Protocol):
    """Answers a question from one snapshot of the evidence."""

    def __call__(self, question: Callable[[Cursor], T]) -> T:
        """Return the answer."""


#: Answers with a report, in the page's own template.
Shown = Callable[[Report, str], Response]


def detail_views(views: Blueprint, read: Read, shown: Shown) -> None:
    """Add the pages to the blueprint."""

    @views.get("/console/runs/<trace_id:trace_id>")
    @views.get(f"/console/runs/<trace_id:trace_id>{SUFFIX}")
    def one_run(trace_id: str, _suffix: str = "") -> Response:
        wanted = wanted_page()
        found = there(
            read(lambda cursor: run.run_report(cursor, trace_id, wanted)),
            f"There is no run under the trace id {trace_id}",
        )
        return shown(_run(found), "console_run.html")

    # A policy's name may hold anything, so its suffix is told apart by hand.
    @views.get("/console/policies/<path:policy>")
    def policy(policy: str) -> Response:
        name = policy if "format" in request.args else split_suffix(policy)[0]
        wanted = wanted_page()
        if "\0" in name:
            raise Problem(HTTPStatus.NOT_FOUND, "not_found", "No policy has such a name")
        found = there(
            read(lambda cursor: policies.policy_report(cursor, name, wanted)),
            f"No policy {shorten(name)!r} was ever recorded",
        )
        return shown(_policy(found), "console_policy.html")

    @views.get("/console/verifications/<uuid:verification_id>")
    @views.get(f"/console/verifications/<uuid:verification_id>{SUFFIX}")
    def one_verification(verification_id: UUID, _suffix: str = "") -> Response:
        wanted = wanted_page()
        found = there(
            read(lambda cursor: verification.verification_report(cursor, verification_id, wanted)),
            f"There is no verification {verification_id}",
        )
        return shown(_verification(found), "console_verification.html")

    @views.get("/console/inspections/<uuid:inspection_id>.json")
    def inspection_result(inspection_id: UUID) -> Response:
        text = there(
            read(lambda cursor: inspections.inspection_result(cursor, inspection_id)),
            f"There is no inspection {inspection_id}",
        )
        # As it was kept, to the byte: its digest can be checked with sha256sum.
        return Response(text, content_type="application/json")

    @views.get("/console/batches/<uuid:batch_id>.tlog-proof")
    def batch_proof(batch_id: UUID) -> Response:
        text = there(
            read(lambda cursor: samples.proof_of(cursor, batch_id, for_tenant=confined())),
            f"There is no batch {batch_id}, or it is under no checkpoint yet",
        )
        return _file(text.encode(), f"{batch_id}.tlog-proof", "text/plain; charset=utf-8")

    @views.get("/console/batches/<uuid:batch_id>/<name>.keys")
    def batch_keys(batch_id: UUID, name: str) -> Response:
        hashes = kept_of(batch_id, name).hashes
        return _file(hashes, f"{batch_id}.keys", "application/octet-stream")

    @views.get("/console/batches/<uuid:batch_id>/<name>.starts")
    def batch_starts(batch_id: UUID, name: str) -> Response:
        starts = there(
            kept_of(batch_id, name).starts,
            f"Of this table's rows batch {batch_id} kept no starting points",
        )
        return _file(starts, f"{batch_id}.starts", "application/octet-stream")

    def kept_of(batch_id: UUID, name: str) -> samples.Kept:
        if "\0" in name:
            raise Problem(HTTPStatus.NOT_FOUND, "not_found", "No table has such a name")
        return there(
            read(lambda cursor: samples.kept_of(cursor, batch_id, name)),
            f"There is no batch {batch_id} with keys of this table",
        )


def _file(content: bytes, name: str, content_type: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def link_of(row: Any) -> str | None:
    """Return the address of the page that a line of a list is about, None where it has none."""
    link = (_OWN_LINKS if confined() else _LINKS).get(type(row))
    return None if link is None else link(row)


def confined() -> bool:
    """Tell whether who asks is a tenant's own auditor."""
    return current_user.audited is not None


def _proof_link(row: commitments.Entered) -> str | None:
    has_proof = row.tlog_proof is not None
    return url_for("console.batch_proof", batch_id=row.batch_id) if has_proof else None


_OWN_LINKS: dict[type, Callable[[Any], str | None]] = {
    commitments.Commitment: lambda row: url_for(
        "console.batch_keys", batch_id=row.batch_id, name=row.name
    ),
    commitments.Entered: _proof_link,
}
_LINKS = _OWN_LINKS | {
    run_list.RunLine: lambda row: url_for("console.one_run", trace_id=row.trace_id),
    samples.Sample: lambda row: url_for("console.one_run", trace_id=row.trace_id),
    trend.VerificationLine: lambda row: url_for("console.one_verification", verification_id=row.id),
    inspections.InspectionLine: lambda row: url_for(
        "console.inspection_result", inspection_id=row.id
    ),
    schedule.ScheduleLine: lambda row: url_for("console.policy", policy=row.policy),
}


_CHECKED = (
    "kind subject found tenants is_finding held undeletable paused oldest age_p99_s watermark"
)
_CHECK_LABELS = {
    "kind": "Looked for",
    "subject": "In",
    "is_finding": "Finding",
    "age_p99_s": "Age, 99 %",
}


def _run(found: run.RunReport) -> Report:
    line = found.run
    return Report(
        "run",
        f"Retention run {line.trace_id}",
        found,
        (
            Table(
                "batches",
                run.BatchLine,
                found.batches,
                title="Batches, as recorded",
                show="recorded_at/restored_at seconds tenant policy/action version cutoff rows "
                "counts",
                labels={
                    "counts": "Per table, with SHA-256 over the keys",
                    "restored_at": "Came back",
                },
            ),
            Table("batch_tables", run.BatchTableLine, found.batch_tables),
            Table(
                "units",
                units.UnitLine,
                found.units,
                title="Per policy and tenant",
                show="policy/action version tenant cutoff due due_done due_left kept planned done "
                "outcome reasons",
            ),
            Table("tables", units.TableLine, found.tables, title="Per table"),
            Table(
                "interventions",
                run.InterventionLine,
                found.interventions,
                title="Who interfered, and why",
            ),
        ),
        found.page,
        facts=(
            ("State", line.state),
            ("As of", f"{line.as_of:%Y-%m-%d %H:%M:%S} UTC"),
            ("Started by", line.started_by),
            ("Rows", f"{line.done} of {line.planned} planned, in {line.batches} batches"),
            ("Of these", actions_in_words(line.actions) or "nothing was done"),
            ("Plan", "SHA-256 " + found.plan.digest if found.plan else str(found.plan_problem)),
        ),
    )


def _policy(found: policies.PolicyReport) -> Report:
    line = found.current
    return Report(
        "policy",
        f"Policy {line.policy}",
        found,
        (
            Table(
                "versions",
                policies.PolicyVersion,
                found.versions,
                title="Versions",
                show="version recorded_at recorded_by changes digest digest_matches",
            ),
            Table(
                "exceptions",
                policies.TenantException,
                found.exceptions,
                title="Tenants with a state of their own",
            ),
            Table(
                "checks",
                verification.Check,
                found.checks,
                title="Last verification",
                show=_CHECKED,
                labels=_CHECK_LABELS,
            ),
            Table(
                "trend",
                trend.PolicyPoint,
                found.trend,
                title="Verifications before",
                show="finished_at overdue age_p99_s watermark held undeletable paused unreconciled",
            ),
        ),
        found.page,
        facts=(
            ("Table", line.table),
            ("Kept for", f"{line.period_words} after {line.starts}"),
            ("Legal basis", line.legal_basis),
            ("State", line.state),
        ),
    )


def _verification(found: verification.VerificationReport) -> Report:
    head = found.verification
    queries = {(result.kind, result.subject): result.query for result in found.results}
    return Report(
        "verification",
        f"Verification {head.id}",
        found,
        (
            Table(
                "results",
                verification.Result,
                found.results,
                title="Per tenant",
                show="kind subject tenant found held undeletable paused oldest reasons",
                labels=_CHECK_LABELS,
            ),
            Table(
                "checks",
                verification.Check,
                found.checks,
                title="Over all tenants",
                show=_CHECKED,
                labels=_CHECK_LABELS,
            ),
        ),
        found.page,
        facts=(
            ("As of", f"{head.as_of:%Y-%m-%d %H:%M:%S} UTC"),
            ("By", head.started_by),
            ("Findings", str(head.findings)),
        ),
        texts=tuple(
            (f"How {kind} was looked for in {subject}", query)
            for (kind, subject), query in sorted(queries.items())
        ),
    )
