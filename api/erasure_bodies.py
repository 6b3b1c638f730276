"""What is sent to /v1/erasures: bodies, checked here and documented from the same classes."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field

from api.bodies import EARLIEST, About, Body, Name, Text
from retention.erasures.records import MORE_MONTHS
from retention.erasures.requests import GROUNDS, REASONS

Reason = Literal["complexity", "number"]
Ground = Literal[
    "identity", "unfounded", "excessive", "not-applicable", "expression", "legal-obligation",
    "public-health", "archiving", "legal-claims",
]  # fmt: skip

if set(get_args(Reason)) != set(REASONS) or set(get_args(Ground)) != set(GROUNDS):
    raise RuntimeError("the API's reasons and grounds are not those of the law that we know")


class Request(About):
    """A request: about whom, by whom, and when it was received, if not now."""

    subject: Name
    requester: Text
    received_at: Annotated[AwareDatetime, Field(ge=EARLIEST)] | None = None


class Confirmation(Body):
    """How the requester showed who they are."""

    how: Text


class Approval(Body):
    """The plan that was looked at, by its number."""

    plan: int = Field(ge=1, le=2**31 - 1)


class Extension(Body):
    """By how many months the answer is put off, and why."""

    months: int = Field(ge=1, le=MORE_MONTHS)
    reason: Reason


class Refusal(Body):
    """On what ground of the law a request is refused."""

    ground: Ground
