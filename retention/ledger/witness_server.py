"""A witness over HTTP (C2SP tlog-witness): `add-checkpoint`, and the last one for everybody.

Without TLS, which a proxy in front adds, and without accounts, which the protocol does not have:
what a request may do is decided by the signature on the checkpoint in it.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from retention.errors import WitnessError
from retention.ledger.witness import MOST_BODY, TEXT, Reply, Witness

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 10
_LATEST = re.compile(r"/([0-9a-f]{64})/checkpoint")


def server_of(witness: Witness, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that is bound to host and port; `serve_forever()` serves."""

    class Handler(_Handler):
        pass

    Handler.witness = witness
    return ThreadingHTTPServer((host, port), Handler)


class _Handler(BaseHTTPRequestHandler):
    witness: Witness  # of the server it is made for
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "tenure-witness"
    sys_version = ""

    def do_POST(self) -> None:
        """Cosign a checkpoint."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > MOST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self.path != "/add-checkpoint":
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            body = self.rfile.read(int(length))
            try:
                self._send(self.witness.add_checkpoint(body))
            except WitnessError:
                self._failed()

    def do_GET(self) -> None:
        """Give the last checkpoint of a ledger."""
        asked = _LATEST.fullmatch(self.path)
        try:
            found = self.witness.latest(asked[1]) if asked else None
        except WitnessError:
            self._failed()
            return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(Reply(HTTPStatus.OK, found))

    def log_message(self, format: str, *args: object) -> None:
        """Log a request where all else is logged."""
        _LOG.info("%s %s", self.address_string(), (format % args).encode("unicode_escape").decode())

    def _failed(self) -> None:
        _LOG.exception("the witness cannot cosign")
        self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refuse(self, status: HTTPStatus) -> None:
        # What was not read of the request must not be taken for the next one.
        self.close_connection = True
        self._send(Reply(status, f"{status.phrase}\n".encode(), TEXT))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)
