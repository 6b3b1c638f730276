"""Has an authority say when a checkpoint was there (RFC 3161).

What is stamped is the checkpoint's text, three lines: neither its signatures, which rotation may
add to, nor its entries. What comes back is kept as it came, and checked by `verifier`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from retention.errors import AttestationError
from retention.ledger.exchange import post
from retention.ledger.verifier import Timestamp, TimestampError


@dataclass(frozen=True)
class Authority:
    """Where to ask, and the certificate under which the answer must verify: the authority's own,
    or that of one above it."""

    url: str = field(repr=False)
    certificate: x509.Certificate

    def stamp(self, text: str) -> bytes:
        """Return a TimeStampResp (DER) over a checkpoint's text; it was verified.

        Raises:
            AttestationError: there is none, or none that verifies.
        """
        request = (
            TimestampRequestBuilder()
            .data(text.encode())
            .hash_algorithm(HashAlgorithm.SHA256)
            .build()
        )
        answer = post(self.url, request.as_bytes(), "application/timestamp-query")
        if answer.status != 200 or answer.content_type != "application/timestamp-reply":
            raise AttestationError(f"the authority answered {answer.status} {answer.content_type}")
        try:
            found = Timestamp.verify(answer.body, text, self.certificate)
        except TimestampError as error:
            raise AttestationError(f"the authority's timestamp does not verify: {error}") from error
        if found.nonce != request.nonce:
            raise AttestationError("the authority's timestamp is another's: the nonce differs")
        return answer.body
