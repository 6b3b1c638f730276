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
from api.console.asked import wanted_query
from api.console.details import confined, detail_views, link_of
from api.console.formats import PAGES, SUFFIX, answer, format_of_errors, wanted_format
from api.errors import Problem
from api.problems import problem_of, problem_response
from config.clock import Clock
from config.logging import get_logger
from retention.reports import overview as overviews
from retention.reports import policies, registers, runs, verification
from retention.reports.index import REPORTS
from retention.reports.report import Report, Table
from retention.reports.scope import Ticking
from retention.reports.snapshot import snapshot
from retention.reports.words import action_in_words, actions_in_words, text_of
from retention.seat import Seat
from tenants.connections import Cursor, RoleConnections

# Stricter than other pages: nothing here is a script.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

# Of the reports that are lists; the others have one that shows whatever there is.
_TEMPLATES = {
    name: f"console_{name}.html"
    for name in ("runs", "verifications", "reconciliation", "samples", "holds", "reads")
}

# What a tenant's own auditor may open.
_FOR_TENANTS = {
    "console.overview",
    "console.batch_proof",
    "console.batch_keys",
    "console.batch_starts",
    *(f"console.{name}" for name, entry in REPORTS.items() if entry.of_tenant),
}

_log = get_logger(__name__)
T = TypeVar("T")


class _TraceId(BaseConverter):
    """A trace id in an address."""

    regex = "[0-9a-f]{32}"


def console_blueprint(
    auditor: RoleConnections,
    app: RoleConnections,
    clock: Clock,
    ticking: Callable[[], Ticking],
) -> Blueprint:
    """Return the pages under /console, for auditors alone; all reads are tenure_auditor's.

    A tenant's own auditor reads as tenure_app in the tenant's context, and is refused what belongs
    to the whole installation.

    `ticking` says how retention is woken, as of now: for gaps, and for what comes next.
    """
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
        audited = current_user.audited
        if audited is None:
            with snapshot(auditor) as cursor:
                return question(cursor)
        # At the desk: who was handed a copy of whose data is read nowhere else.
        seat = Seat(app, audited, current_user.principal.actor)
        with snapshot(seat, audited) as cursor:
            return question(cursor)

    def shown(report: Report, template: str) -> Response:
        return answer(report, wanted_format(), clock.now(), template=template)

    @views.get("/console", strict_slashes=False)
    @views.get(f"/console{SUFFIX}")
    def overview(_suffix: str = "") -> BaseResponse:
        if confined():
            return flask.redirect(flask.url_for("console.schedule"))
        return shown(_overview(read(overviews.overview)), "console_overview.html")

    def listed(name: str, _suffix: str = "") -> Response:
        audited = current_user.audited
        query, woken = wanted_query(name, clock.now(), audited), ticking()
        found = read(lambda cursor: REPORTS[name].report(cursor, query.of(cursor, woken, audited)))
        template = _TEMPLATES.get(name, PAGES)
        if audited is not None and name != "samples":
            template = PAGES  # the others lead to pages of the installation
        return answer(found, wanted_format(), clock.now(), template=template, query=query.given)

    for name in REPORTS:
        views.add_url_rule(f"/console/{name}", name, listed, defaults={"name": name})
        views.add_url_rule(f"/console/{name}{SUFFIX}", name, listed, defaults={"name": name})

    detail_views(views, read, shown)

    @views.get("/console/<path:_rest>")
    def nothing(_rest: str) -> Response:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such page")

    return views


def _overview(found: overviews.Overview) -> Report:
    return Report(
        "overview",
        "Overview",
        found,
        (
            Table(
                "policies",
                policies.PolicyLine,
                found.policies,
                title="What is kept how long",
                show="policy version table along starts period_words legal_basis "
                "state/withdrawn_at exceptions in_last_run",
            ),
            Table(
                "runs",
                runs.RunLine,
                found.runs,
                title="Latest runs",
                show="trace_id state as_of started_at seconds planned done/actions batches",
            ),
            Table(
                "checks",
                verification.Check,
                found.checks,
                title="Last verification",
                show="kind subject found tenants is_finding held undeletable paused oldest",
            ),
            Table(
                "holds",
                registers.HoldLine,
                found.holds,
                title="Legal holds in force",
                show="tenant scope table matter reason placed_at placed_by",
            ),
            Table(
                "reads",
                registers.ReadLine,
                found.reads,
                title="Latest reads across tenants",
                show="read_at actor reason place trace_id",
            ),
        ),
    )


def _install_words(views: Blueprint) -> None:
    views.app_template_filter("console_number")(words.number)
    views.app_template_filter("console_instant")(words.instant)
    views.app_template_filter("console_span")(words.span)
    views.app_template_filter("console_ago")(words.ago)
    views.app_template_filter("console_plain")(words.plain)
    views.app_template_filter("console_tone")(words.tone_of)
    views.app_template_filter("console_words")(words.words_of)
    views.app_template_filter("console_text")(text_of)
    views.app_template_filter("console_action")(action_in_words)
    views.app_template_filter("console_actions")(actions_in_words)
    views.app_template_global("console_link")(link_of)
    views.app_template_global("console_confined")(confined)
    views.app_template_global("console_in_menu")(_is_in_menu)


def _is_in_menu(endpoint: str) -> bool:
    # A tenant's own auditor has no overview, and is led on from there.
    return not confined() or endpoint in _FOR_TENANTS - {"console.overview"}


def _install_guard(views: Blueprint) -> None:
    @views.before_request
    def auditors_only() -> BaseResponse | None:
        # The style sheet tells nothing, and the page that refuses somebody needs it.
        if request.endpoint == "console.static" or current_user.is_auditor:
            return None
        if current_user.audited is not None:
            if request.endpoint in _FOR_TENANTS:
                return None
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "not_for_tenants",
                "This is not for a tenant's own auditor",
            )
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
