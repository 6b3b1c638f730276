"""From a request to its principal: a bearer token, or the session cookie by way of flask-login."""

from __future__ import annotations

from http import HTTPStatus

import flask_login
from flask import Flask, Request, request
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.wrappers import Request as WerkzeugRequest

from api.auth.principal import Principal
from api.auth.sessions import LIFETIME, resolve_session
from api.auth.tokens import resolve_token
from api.errors import Problem
from tenants.connections import RoleConnections
from tenants.context import TenantId

COOKIE = "tenure_session"
_CSRF_COOKIE = "tenure_csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


class SessionUser(flask_login.UserMixin):  # type: ignore[misc]  # flask_login has no types
    """What `flask_login.current_user` is in a session."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    @property
    def is_auditor(self) -> bool:
        """Whether this is an auditor's session, outside of any tenant."""
        return self.principal.is_auditor

    @property
    def audited(self) -> TenantId | None:
        """The tenant whose evidence alone this session may read, being its auditor's."""
        return self.principal.tenant_id if self.principal.role == "auditor" else None

    @property
    def email(self) -> str:
        """The address that the session was opened with."""
        return self.principal.email or ""

    def get_id(self) -> str:
        """The login's id."""
        return str(self.principal.login_id)


class Anonymous(flask_login.AnonymousUserMixin):  # type: ignore[misc]  # flask_login has no types
    """What `flask_login.current_user` is without a session."""

    is_auditor = False
    audited = None
    principal = None
    email = ""


class _CsrfCookie(SecureCookieSessionInterface):
    """Flask's signed cookie holds the CSRF secret, and nothing else."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return cookie_secure(request)

    def get_cookie_name(self, app: Flask) -> str:
        return cookie_name(request, _CSRF_COOKIE)


def cookie_secure(asked: WerkzeugRequest) -> bool:
    """Tell whether cookies are for HTTPS alone: everywhere but on this machine."""
    host = asked.host.rsplit(":", 1)[0] if not asked.host.endswith("]") else asked.host
    return asked.is_secure or host not in _LOCAL


def cookie_name(asked: WerkzeugRequest, name: str = COOKIE) -> str:
    """Return what a cookie is called: where it is Secure, so that no other host can plant it
    (RFC 6265bis, 4.1.3.2), whose name without the prefix is not looked at."""
    return f"__Host-{name}" if cookie_secure(asked) else name


class Identity:
    """Finds out who asks. Installed once per application."""

    def __init__(self, app: Flask, connections: RoleConnections) -> None:
        self.connections = connections
        self.csrf = CSRFProtect()
        app.session_interface = _CsrfCookie()
        app.config.update(
            SESSION_COOKIE_NAME=_CSRF_COOKIE,
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_PROTECTION=None,  # flask-login's, for sessions kept in Flask's cookie
            WTF_CSRF_CHECK_DEFAULT=False,  # only cookies are protected, see `authenticate`
            WTF_CSRF_TIME_LIMIT=int(LIFETIME.total_seconds()),
        )
        self.csrf.init_app(app)
        manager = flask_login.LoginManager()
        manager.anonymous_user = Anonymous
        manager.login_view = "auth.login_page"
        manager.login_message = None
        manager.request_loader(self._session_user)
        manager.init_app(app)

    def _session_user(self, asked: Request) -> SessionUser | None:
        secret = asked.cookies.get(cookie_name(asked))
        principal = resolve_session(self.connections, secret) if secret else None
        return None if principal is None else SessionUser(principal)

    def authenticate(self) -> Principal:
        """Return who sends the current request.

        A bearer token is taken before a cookie. A cookie's request that may change something
        must carry the CSRF token. Raises Problem 401, or flask_wtf's CSRFError.
        """
        header = request.headers.get("Authorization")
        if header is not None:
            return self._bearer(header)
        principal = self.session_principal()
        if principal is None:
            raise _unauthorized("PGRST302", "Authentication is required", "Bearer")
        if request.method not in SAFE:
            self.protect()
        return principal

    def protect(self) -> None:
        """Raise flask_wtf's CSRFError unless the current request carries the CSRF token."""
        try:
            self.csrf.protect()
        except ValueError:  # a Referer that is no address
            raise CSRFError("The referrer is no address.") from None

    def session_principal(self) -> Principal | None:
        """Return whose session the current request's cookie is, if it is one."""
        principal: Principal | None = flask_login.current_user.principal
        return principal

    def _bearer(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        principal = None
        if scheme.lower() == "bearer":
            principal = resolve_token(self.connections, token.strip())
        if principal is None:
            raise _unauthorized(
                "PGRST301",
                "The token is not valid, or not any more",
                'Bearer error="invalid_token"',
            )
        return principal


def require_member(principal: Principal, method: str) -> None:
    """Raise Problem 403 unless this is a tenant's member who may use `method`."""
    if principal.tenant_id is None:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "42501",
            "Auditors stand outside of all tenants",
            "A tenant's data is for its members.",
        )
    if principal.role == "auditor":
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "42501",
            "A tenant's auditors read its evidence, not its data",
            "The evidence is on the pages under /console.",
        )
    if method not in SAFE and not principal.may_write:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "42501",
            "Viewers may read, not write",
            f"This needs the role member or owner; the role is {principal.role}.",
        )


def require_owner(principal: Principal) -> TenantId:
    """Return the tenant of which this is an owner; raises Problem 403 for everybody else."""
    if principal.tenant_id is None or principal.role != "owner":
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "42501",
            "This is for the tenant's owners",
            f"This needs the role owner; the role is {principal.role or 'auditor'}.",
        )
    return principal.tenant_id


def _unauthorized(code: str, message: str, challenge: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        code,
        message,
        hint="Send an API token as Authorization: Bearer tnr_.., or log in at /login.",
        headers={"WWW-Authenticate": challenge},
    )
