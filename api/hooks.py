"""Acknowledgements of connectors: POST /hooks/connectors/NAME.

Who sends one is known by the signature alone (`retention.connectors.protocol`); there is no
session, no token and no tenant of the caller's. Whatever is wrong with a message before its
signature was found good is answered alike, so that nobody learns which connectors there are.

It is not in /openapi.json: that is what a tenant's members may call, by token or session, and a
client made from it has neither a connector's secret nor a way to sign. What receivers of webhooks
send is told in docs/operator.md.
"""

from __future__ import annotations

import hashlib
import time
from http import HTTPStatus

from flask import Blueprint, request
from werkzeug import Response

from api.errors import Problem
from config.logging import get_logger
from retention.connectors.declarations import Connectors, Receiver
from retention.connectors.protocol import Acknowledgement, read_acknowledgement
from retention.errors import ConnectorError, SignatureError
from retention.webhook import HEADER
from tenants.connections import RoleConnections

_log = get_logger(__name__)

_ACKNOWLEDGE = "SELECT tenure.acknowledge_request(%s, %s, %s, %s, %s)"


def hooks_blueprint(app: RoleConnections, connectors: Connectors) -> Blueprint:
    """Return the route by which webhooks' receivers acknowledge."""
    hooks = Blueprint("hooks", __name__, url_prefix="/hooks")

    @hooks.post("/connectors/<name>")
    def acknowledge(name: str) -> Response:
        body = request.get_data()
        answered = _checked(connectors, name, body).request
        # The seal says that the signature was checked, and over which body.
        digest = hashlib.sha256(body).hexdigest()
        sealed = app.sealer.fresh(f"acknowledge:{name}:{answered}:{digest}")
        with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
            cursor.execute(_ACKNOWLEDGE, (name, str(answered), body.decode(), *sealed))
            row = cursor.fetchone()
        outcome = None if row is None else row[0]
        _log.info("connector_acknowledged", connector=name, result=outcome)
        if outcome in ("acknowledged", "refused", "repeated"):
            return Response(status=HTTPStatus.NO_CONTENT)
        if outcome == "contradicted":
            raise Problem(
                HTTPStatus.CONFLICT, "answered", "The request was answered otherwise before"
            )
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such request")

    return hooks


def _checked(connectors: Connectors, name: str, body: bytes) -> Acknowledgement:
    """Return the acknowledgement in a body whose signature is good; raises Problem."""
    connector = connectors.get(name)
    if connector is None or not isinstance(connector.target, Receiver):
        _log.warning("acknowledgement_refused", reason="there is no such webhook")
        raise _unauthorized()
    try:
        secrets = connector.target.secrets()
    except ConnectorError as error:
        _log.error("acknowledgement_refused", connector=name, reason=str(error))
        raise _unauthorized() from None
    try:
        return read_acknowledgement(secrets, request.headers.get(HEADER), body, time.time())
    except SignatureError as error:
        _log.warning("acknowledgement_refused", connector=name, reason=str(error))
        raise _unauthorized() from None
    except ConnectorError as error:
        # Who signed it may be told what is wrong with it; the message has nothing of the body.
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_body", str(error)) from None


def _unauthorized() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "signature",
        "The message is not signed by a connector",
        hint=f"Send {HEADER}: t=SECONDS,v1=HEX, HMAC-SHA-256 over SECONDS.BODY.",
        headers={"WWW-Authenticate": HEADER},
    )
