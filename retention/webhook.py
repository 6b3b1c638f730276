"""A webhook: JSON by POST, signed, so that who gets it knows that it is ours, and how old it is.

The header `Tenure-Signature` is `t=SECONDS,v1=HEX`: the time of sending (Unix), and
HMAC-SHA-256 (RFC 2104) under the shared secret over `SECONDS.BODY`. What comes back from a
connector is signed alike.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from retention.errors import DeliveryError, SignatureError

HEADER = "Tenure-Signature"
TIMEOUT_S = 5.0
#: How long an exchange may take, whatever drips in meanwhile.
WHOLE_TIMEOUT_S = 15.0
#: Bytes of an answer that are read at most; a longer one is cut there.
MOST_ANSWER = 16_384
#: Seconds by which what is signed may be old, or ahead of our clock.
TOLERANCE_S = 300

_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def signature(secret: bytes, body: bytes, at: int) -> str:
    """Return the header's value for a body sent at an instant, in seconds since 1970."""
    mac = hmac.new(secret, str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def require_signature(
    secrets: Iterable[bytes], header: str | None, body: bytes, now: float
) -> None:
    """Raise SignatureError unless `header` signs `body` under one of the secrets, lately."""
    match = _SIGNATURE.fullmatch(header or "")
    if match is None:
        raise SignatureError(f"the header {HEADER} must be t=SECONDS,v1=HEX")
    at = int(match[1])
    # All of them, and each in constant time.
    known = [hmac.compare_digest(signature(s, body, at), match[0]) for s in secrets]
    if not any(known):
        raise SignatureError("the signature does not fit the body")
    if abs(now - at) > TOLERANCE_S:
        raise SignatureError(f"signed more than {TOLERANCE_S} seconds from now")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # A redirect would carry the body to somebody it is not for.
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered with 2xx: at most MOST_ANSWER bytes, and how it signed them."""

    status: int
    signature: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Webhook:
    """Where to send, and the secret to sign with. `url` is http or https."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise DeliveryError("a webhook's address begins with https:// or http://")

    def __call__(self, body: bytes) -> None:
        """Send; raises DeliveryError unless the answer is 2xx. The error names no address."""
        self.send(body)

    def send(self, body: bytes) -> Answer:
        """Send and return the answer; raises DeliveryError as a call does."""
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            self.url,
            data=body,
            headers={
                "Content-Type": "application/json",
                HEADER: signature(self.secret, body, int(self.now())),
            },
        )
        sockets: list[socket.socket] = []
        opener = urllib.request.build_opener(_NoRedirect, _plain(sockets), _secure(sockets))
        try:
            with _cut_off(sockets), opener.open(request, timeout=TIMEOUT_S) as response:
                # `_cut_off` ends after this, and may still refuse it.
                return Answer(
                    response.status, response.headers.get(HEADER), response.read(MOST_ANSWER)
                )
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"the webhook answered {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            # The reason may hold the address, and the address a secret.
            raise DeliveryError(f"the webhook cannot be reached ({type(error).__name__})") from None


@contextmanager
def _cut_off(sockets: list[socket.socket]) -> Iterator[None]:
    """Shut the sockets when the whole takes too long: the timeout is for each read alone.

    Raises TimeoutError then: an answer that is cut off may look like one that has ended.
    """
    late = threading.Event()

    def shut() -> None:
        late.set()
        for sock in sockets:
            with suppress(OSError):  # it was closed in the meantime
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(WHOLE_TIMEOUT_S, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise TimeoutError


def _plain(sockets: list[socket.socket]) -> urllib.request.HTTPHandler:
    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    class Handler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Connection, req)

    return Handler()


def _secure(sockets: list[socket.socket]) -> urllib.request.HTTPSHandler:
    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    class Handler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Connection, req)

    return Handler()
