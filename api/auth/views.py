"""Logging in and out, as a page and as JSON."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import flask
from flask import Blueprint, render_template, request
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, generate_csrf
from limits import parse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug import Response

from api.auth.identity import Identity, cookie_name, cookie_secure
from api.auth.passwords import MAX_LENGTH, BusyError, check_password
from api.auth.sessions import (
    LIFETIME,
    Membership,
    close_session,
    find_login,
    memberships_of,
    open_session,
)
from api.errors import Problem
from api.requests import json_body

ATTEMPTS = "10 per minute"
# From wherever they come. Somebody else's attempts may lock a person out for a while; ten
# thousand guesses a day would be worse.
_OF_ONE_LOGIN = parse("100 per hour")
AUDITOR_HOME = "/console"
MEMBER_HOME = "/docs"
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


class Credentials(BaseModel):
    """The body of POST /login. `tenant` is a slug, needed by a login with several."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: str = Field(min_length=3, max_length=320)
    password: str = Field(min_length=1, max_length=MAX_LENGTH)
    tenant: str | None = Field(None, max_length=200)


@dataclass(eq=False)
class _Refused(Exception):
    """Why nobody is logged in. `tenants` are there to choose from when one must be chosen."""

    status: HTTPStatus
    code: str
    message: str
    tenants: tuple[Membership, ...] = ()


def _wrong() -> _Refused:
    return _Refused(HTTPStatus.UNAUTHORIZED, "wrong_login", "The e-mail or the password is wrong.")


def auth_blueprint(identity: Identity, limiter: Limiter) -> Blueprint:
    """Return /login and /logout. Failed attempts are limited per address and
    login, and per process."""
    views = Blueprint("auth", __name__)

    @views.get("/login")
    def login_page() -> Response | str:
        if _wants_json():
            return flask.jsonify(csrf_token=generate_csrf())
        return render_template("login.html", next=_next(request.args.get("next")))

    @views.post("/login")
    @limiter.limit(ATTEMPTS, deduct_when=lambda response: response.status_code >= 400)
    def login() -> Response:
        as_json = request.mimetype == "application/json"
        try:
            identity.protect()
            given = _credentials(as_json=as_json)
            with _counted(limiter, given.email):
                secret, home = _log_in(identity, given)
        except CSRFError:
            if as_json:
                raise
            return _page(
                _Refused(HTTPStatus.BAD_REQUEST, "csrf", "The page was too old. Please try again.")
            )
        except _Refused as refused:
            if as_json:
                raise _problem(refused) from None
            return _page(refused)
        # Neither a session nor a CSRF token from before the login serves after it.
        former = request.cookies.get(cookie_name(request))
        if former:
            close_session(identity.connections, former)
        flask.session.clear()
        flask.g.pop("csrf_token", None)
        response: Response
        if as_json:
            response = flask.jsonify(csrf_token=generate_csrf())
        else:
            response = flask.redirect(_next(request.form.get("next")) or home, HTTPStatus.SEE_OTHER)
        response.set_cookie(
            cookie_name(request),
            secret,
            max_age=LIFETIME,
            httponly=True,
            samesite="Lax",
            secure=cookie_secure(request),
        )
        return response

    @views.post("/logout")
    def logout() -> Response:
        identity.protect()
        secret = request.cookies.get(cookie_name(request))
        if secret:
            close_session(identity.connections, secret)
        flask.session.clear()
        response: Response
        if _wants_json():
            response = flask.Response(status=HTTPStatus.NO_CONTENT)
        else:
            response = flask.redirect("/login", HTTPStatus.SEE_OTHER)
        response.delete_cookie(
            cookie_name(request), httponly=True, samesite="Lax", secure=cookie_secure(request)
        )
        return response

    return views


@contextmanager
def _counted(limiter: Limiter, email: str) -> Iterator[None]:
    """Count an attempt at one login before it is made, and forget them all when one succeeds."""
    whose = hashlib.sha256(email.strip().lower().encode()).hexdigest()
    if not limiter.limiter.hit(_OF_ONE_LOGIN, "login", whose):
        raise _Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many attempts. Please try again later.",
        )
    yield
    limiter.limiter.clear(_OF_ONE_LOGIN, "login", whose)


def _log_in(identity: Identity, given: Credentials) -> tuple[str, str]:
    """Return the new session's secret and where to go; raises _Refused."""
    connections = identity.connections
    login = find_login(connections, given.email.strip())
    try:
        right = check_password(None if login is None else login.password_hash, given.password)
    except BusyError:
        raise _Refused(
            HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Many log in just now. Please try again."
        ) from None
    if not right:
        raise _wrong()
    assert login is not None  # noqa: S101 - nobody's password is never right
    memberships = memberships_of(connections, login.id)
    if login.is_auditor and not given.tenant:
        tenant_id, home = None, AUDITOR_HOME
    else:
        chosen = _chosen(memberships, given.tenant)
        home = AUDITOR_HOME if chosen.role == "auditor" else MEMBER_HOME
        tenant_id = chosen.tenant_id
    secret = open_session(connections, login.id, tenant_id)
    if secret is None:
        raise _wrong()
    return secret, home


def _chosen(memberships: list[Membership], slug: str | None) -> Membership:
    if not memberships:
        raise _Refused(HTTPStatus.FORBIDDEN, "no_tenant", "This login belongs to no tenant.")
    if slug:
        for membership in memberships:
            if membership.slug == slug:
                return membership
    elif len(memberships) == 1:
        return memberships[0]
    raise _Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "choose_tenant",
        "Choose a tenant, and enter the password once more.",
        tuple(memberships),
    )


def _credentials(*, as_json: bool) -> Credentials:
    if as_json:
        body = json_body(request)
    else:
        form = request.form
        body = {"email": form.get("email"), "password": form.get("password")}
        if form.get("tenant"):
            body["tenant"] = form["tenant"]
    try:
        return Credentials.model_validate(body)
    except ValidationError:
        raise _Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_body", "Enter an e-mail and a password."
        ) from None


def _problem(refused: _Refused) -> Problem:
    slugs = ", ".join(membership.slug for membership in refused.tenants)
    return Problem(
        refused.status,
        refused.code,
        refused.message,
        details=f"The tenants of this login: {slugs}." if slugs else None,
        hint="Send the slug as `tenant`." if slugs else None,
        headers={"WWW-Authenticate": "Bearer"} if refused.status == 401 else {},
    )


def _page(refused: _Refused) -> Response:
    page = render_template(
        "login.html",
        error=refused.message,
        tenants=refused.tenants,
        email=request.form.get("email", "")[:320],
        next=_next(request.form.get("next")),
    )
    return flask.Response(page, status=refused.status)


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"


def _next(target: str | None) -> str | None:
    """Return a path of this very site, or None: nobody is sent elsewhere."""
    if target is None:
        return None
    # flask-login gives the whole address of the page that was asked for.
    target = target.removeprefix(request.host_url.rstrip("/"))
    return target if _PATH.fullmatch(target) else None
