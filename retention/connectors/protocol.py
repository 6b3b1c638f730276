"""What is said between us and a webhook's receiver, both ways as signed JSON (`retention.webhook`).

A request, by POST, as often as it takes; the receiver tells repetitions by `request`:

    {"type": "erasure.requested", "request": ID, "connector": NAME, "tenant": ID,
     "subject": KIND or null, "key": ID or null, "identifiers": {..},
     "requested_at": INSTANT, "due_at": INSTANT}

Without a subject it is about all that there is of the tenant. The acknowledgement is the answer's
body, or is posted later to /hooks/connectors/NAME, which answers 204:

    {"type": "erasure.acknowledged", "request": ID, "outcome": "erased" | "nothing" | "refused",
     "counts": {"tickets": 3}, "reference": "CRM-4711"}

`reference` is what a refusal's reason, or the receiver's own record, goes by. An answer of 2xx
without an acknowledgement says that the request arrived; it is said again every day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from retention.errors import ConnectorError
from retention.webhook import MOST_ANSWER, require_signature

Outcome = Literal["erased", "nothing", "refused"]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_.-]+$")]
_Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]


class Acknowledgement(BaseModel):
    """A receiver's answer to a request. Counts are by names of the receiver's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: Literal["erasure.acknowledged"]
    request: UUID
    outcome: Outcome
    counts: dict[_Name, _Count] = Field(default_factory=dict, max_length=50)
    reference: Annotated[str, StringConstraints(max_length=200)] | None = None


def read_acknowledgement(
    secrets: Iterable[bytes], header: str | None, body: bytes, now: float
) -> Acknowledgement:
    """Return the acknowledgement in a signed body.

    Raises SignatureError before anything of the body is read, and ConnectorError, without any
    of it, for what is no acknowledgement.
    """
    require_signature(secrets, header, body, now)
    if len(body) > MOST_ANSWER:
        raise ConnectorError(f"an acknowledgement has at most {MOST_ANSWER} bytes")
    try:
        return Acknowledgement.model_validate_json(body)
    except ValidationError as error:
        wrong = sorted({".".join(map(str, e["loc"][:1])) or "the body" for e in error.errors()})
        raise ConnectorError(f"no acknowledgement: {', '.join(wrong)}") from None


def request_body(told: dict[str, Any]) -> bytes:
    """Return the body of a request; `told` are its members but for `type`."""
    body = {"type": "erasure.requested", **told}
    return json.dumps(body, sort_keys=True, ensure_ascii=False, default=str).encode()
