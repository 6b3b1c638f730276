"""The pages' addresses, who may open them, and which report each shows."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import flask
from flask import Blueprint, Response, render_template, request
from flask.blueprints import BlueprintSetupState
from flask_login import current_user
from werkzeug import Response as BaseResponse
from werkzeug.routing import BaseConverter

from api.console import words
from api.console.formats import (
    SUFFIX,
    Report,
    Table,
    answer,
    format_of_errors,
    split_suffix,
    there,
    wanted_format,
    wanted_page,
)
from api.console.verification_views import verification_views
from api.errors import Problem, shorten
from api.problems import problem_of, problem_response
from config.clock import Clock
from config.logging import get_logger
from retention.reports import overview as overviews
from retention.reports import policies, registers, run, runs, trend, units, verification
from retention.reports.snapshot import snapshot
from tenants.connections import Cursor, RoleConnections

# Stricter than other pages: nothing here is a script.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_log = get_logger(__name__)
T = TypeVar("T")


class _TraceId(BaseConverter):
    """A trace id in an address."""

    regex = "[0-9a-f]{32}"


def console_blueprint(auditor: RoleConnections, clock: Clock) -> Blueprint:
    """Return the pages under /console, for auditors alone; all reads are tenure_auditor's."""
    views = Blueprint(
        "console",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/console/static",
    )

    @views.record_once
    def know_trace_ids(state: BlueprintSetupState) -> None:
        state.app.url_map.converters["trace_id"] = _TraceId

    _install_words(views)
    _install_guard(views)
    _install_errors(views)

    def read(question: Callable[[Cursor], T]) -> T:
        with snapshot(auditor) as cursor:
            return question(cursor)

    def shown(report: Report) -> Response:
        return answer(report, wanted_format(), clock.now())

    @views.get("/console", strict_slashes=False)
    @views.get(f"/console{SUFFIX}")
    def overview(_suffix: str = "") -> Response:
        found = read(overviews.overview)
        return shown(
            Report(
                "overview",
                "console_overview.html",
                found,
                (
                    Table("policies", policies.PolicyLine, found.policies),
                    Table("runs", runs.RunLine, found.runs),
                    Table("checks", verification.Check, found.checks),
                    Table("holds", registers.HoldLine, found.holds),
                    Table("reads", registers.ReadLine, found.reads),
                ),
            )
        )

    @views.get("/console/runs")
    @views.get(f"/console/runs{SUFFIX}")
    def run_list(_suffix: str = "") -> Response:
        wanted = wanted_page()
        found = read(lambda cursor: runs.runs_report(cursor, wanted))
        table = Table("runs", runs.RunLine, found.runs)
        return shown(Report("runs", "console_runs.html", found, (table,), found.page))

    @views.get("/console/runs/<trace_id:trace_id>")
    @views.get(f"/console/runs/<trace_id:trace_id>{SUFFIX}")
    def one_run(trace_id: str, _suffix: str = "") -> Response:
        wanted = wanted_page()
        found = there(
            read(lambda cursor: run.run_report(cursor, trace_id, wanted)),
            f"There is no run under the trace id {trace_id}",
        )
        tables = (
            Table("batches", run.BatchLine, found.batches),
            Table("batch_tables", run.BatchTableLine, found.batch_tables),
            Table("units", units.UnitLine, found.units),
            Table("tables", units.TableLine, found.tables),
            Table("interventions", run.InterventionLine, found.interventions),
        )
        return shown(Report("run", "console_run.html", found, tables, found.page))

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
        tables = (
            Table("versions", policies.PolicyVersion, found.versions),
            Table("exceptions", policies.TenantException, found.exceptions),
            Table("checks", verification.Check, found.checks),
            Table("trend", trend.PolicyPoint, found.trend),
        )
        return shown(Report("policy", "console_policy.html", found, tables, found.page))

    verification_views(views, read, shown)

    @views.get("/console/holds")
    @views.get(f"/console/holds{SUFFIX}")
    def hold_list(_suffix: str = "") -> Response:
        wanted = wanted_page()
        found = read(lambda cursor: registers.holds_report(cursor, wanted))
        tables = (
            Table("holds", registers.HoldLine, found.holds),
            Table("events", registers.HoldEventLine, found.events),
        )
        return shown(Report("holds", "console_holds.html", found, tables, found.page))

    @views.get("/console/reads")
    @views.get(f"/console/reads{SUFFIX}")
    def read_list(_suffix: str = "") -> Response:
        wanted = wanted_page()
        found = read(lambda cursor: registers.reads_report(cursor, wanted))
        table = Table("reads", registers.ReadLine, found.reads)
        return shown(Report("reads", "console_reads.html", found, (table,), found.page))

    @views.get("/console/<path:_rest>")
    def nothing(_rest: str) -> Response:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such page")

    return views


def _install_words(views: Blueprint) -> None:
    views.app_template_filter("console_number")(words.number)
    views.app_template_filter("console_instant")(words.instant)
    views.app_template_filter("console_span")(words.span)
    views.app_template_filter("console_ago")(words.ago)
    views.app_template_filter("console_plain")(words.plain)
    views.app_template_filter("console_tone")(words.tone_of)
    views.app_template_filter("console_words")(words.words_of)


def _install_guard(views: Blueprint) -> None:
    @views.before_request
    def auditors_only() -> BaseResponse | None:
        # The style sheet tells nothing, and the page that refuses somebody needs it.
        if request.endpoint == "console.static" or current_user.is_auditor:
            return None
        if current_user.is_authenticated:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "auditors_only",
                "These pages are for auditors",
                "A tenant's members have the API; an auditor's login is outside of all tenants.",
            )
        if format_of_errors() == "html":
            target = quote(request.path, safe="/")
            if request.query_string:
                target += "?" + quote(request.query_string, safe="=&%+-._~")
            return flask.redirect(flask.url_for("auth.login_page", next=target))
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "login_required",
            "These pages are for auditors who have logged in",
            hint="Log in at /login; the session's cookie opens these pages.",
            headers={"WWW-Authenticate": "Cookie"},
        )

    @views.after_request
    def harden(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        if request.endpoint == "console.static":
            response.headers["Cache-Control"] = "public, max-age=3600"
        return response


def _install_errors(views: Blueprint) -> None:
    @views.errorhandler(Exception)
    def show(error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("page_failed", path=request.path, code=problem.code, exc_info=error)
        if format_of_errors() != "html":
            return problem_response(problem)
        status = HTTPStatus(problem.status)
        page = render_template("console_error.html", problem=problem, status=status, name="error")
        return Response(page, status=status.value, headers=dict(problem.headers))
