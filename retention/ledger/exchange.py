"""One POST to an authority or a witness: bounded in time and size, redirects not followed."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from retention.errors import AttestationError

TIMEOUT_S = 10.0  # for the whole
MOST_ANSWER = 65_536  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, whatever the status."""

    status: int
    content_type: str
    body: bytes


def post(url: str, body: bytes, content_type: str) -> Answer:
    """Send `body` and return the answer. The error names no address: it may hold a secret.

    Raises:
        AttestationError: nothing that answers is there, or not in time, or with too much.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AttestationError("an address begins with https:// or http://")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    # The timeout is that of each read; who drips would hold us for ever.
    timer = threading.Timer(TIMEOUT_S, _cut_off, [connection])
    timer.daemon = True
    timer.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"Content-Type": content_type})
        response = connection.getresponse()
        content = response.read(MOST_ANSWER + 1)
        if len(content) > MOST_ANSWER:
            raise AttestationError(f"more than {MOST_ANSWER} bytes were answered")
        if response.length:
            raise AttestationError("the answer ended before its end")
        return Answer(response.status, response.headers.get_content_type(), content)
    except (OSError, http.client.HTTPException) as error:
        raise AttestationError(f"no answer ({type(error).__name__})") from None
    finally:
        timer.cancel()
        connection.close()


def _cut_off(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):  # not connected yet, or closed in the meantime
        connection.sock.shutdown(socket.SHUT_RDWR)
