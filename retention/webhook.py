"""A webhook: JSON by POST, signed, so that who gets it knows that it is ours, and how old it is.

The header `Tenure-Signature` is `t=SECONDS,v1=HEX`: the time of sending (Unix), and
HMAC-SHA-256 (RFC 2104) under the shared secret over `SECONDS.BODY`.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from retention.errors import DeliveryError

HEADER = "Tenure-Signature"
TIMEOUT_S = 5.0


def signature(secret: bytes, body: bytes, at: int) -> str:
    """Return the header's value for a body sent at an instant, in seconds since 1970."""
    mac = hmac.new(secret, str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # A redirect would carry the body to somebody it is not for.
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


@dataclass(frozen=True)
class Webhook:
    """Where to send, and the secret to sign with. `url` is http or https."""

    url: str
    secret: bytes
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise DeliveryError("a webhook's address begins with https:// or http://")

    def __call__(self, body: bytes) -> None:
        """Send; raises DeliveryError unless the answer is 2xx. The error names no address."""
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            self.url,
            data=body,
            headers={
                "Content-Type": "application/json",
                HEADER: signature(self.secret, body, int(self.now())),
            },
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"the webhook answered {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            # The reason may hold the address, and the address a secret.
            raise DeliveryError(f"the webhook cannot be reached ({type(error).__name__})") from None
