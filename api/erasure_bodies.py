"""What is sent to /v1/erasures: bodies, checked here and documented from the same classes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from api.errors import FieldError, Problem, shorten
from retention.erasures.records import MORE_MONTHS
from retention.erasures.requests import GROUNDS, REASONS

# PostgreSQL stores no NUL.
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]+$"),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
Reason = Literal["complexity", "number"]
Ground = Literal[
    "identity", "unfounded", "excessive", "not-applicable", "expression", "legal-obligation",
    "public-health", "archiving", "legal-claims",
]  # fmt: skip

if set(get_args(Reason)) != set(REASONS) or set(get_args(Ground)) != set(GROUNDS):
    raise RuntimeError("the API's reasons and grounds are not those of the law that we know")


# Before there was such a right; and so that a month can be added to and taken from it.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """A body: no members but these, and no value for another type's."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class Request(Body):
    """A request: about the person with this `key`, or whose column `by` is `value`."""

    subject: Name
    requester: Text
    key: UUID | None = None
    by: Name | None = None
    value: Text | None = None
    received_at: Annotated[AwareDatetime, Field(ge=_EARLIEST)] | None = None

    @model_validator(mode="after")
    def _about_somebody(self) -> Request:
        if (self.key is None) == (self.by is None) or (self.by is None) != (self.value is None):
            raise ValueError("give key, or by and value")
        return self


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


class Nothing(Body):
    """Nothing is to be said."""


B = TypeVar("B", bound=Body)


def read(model: type[B], body: object) -> B:
    """Return the body as it was sent; raises Problem 422 that names what is wrong with which
    member, and repeats no value."""
    try:
        return model.model_validate_json(json.dumps(body, default=str))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_body",
            "The body is not what is asked for here",
            errors=tuple(_field_error(one) for one in found),
        ) from None


def _field_error(one: Any) -> FieldError:
    field = shorten(".".join(map(str, one["loc"]))) or "body"
    return FieldError(field, one["msg"], one["type"])
