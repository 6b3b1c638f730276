"""Bodies beside those of the resources: checked by a model, and documented from the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from api.errors import FieldError, Problem, shorten

# PostgreSQL stores no NUL.
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]+$"),
]
# Before there was such a right; and so that a month can be added to and taken from it.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


class Body(BaseModel):
    """A body: no members but these, and no value for another type's."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class About(Body):
    """Whom something is about: the person with this `key`, or whose column `by` is `value`."""

    key: UUID | None = None
    by: Name | None = None
    value: Text | None = None

    @model_validator(mode="after")
    def _about_somebody(self) -> Self:
        if (self.key is None) == (self.by is None) or (self.by is None) != (self.value is None):
            raise ValueError("give key, or by and value")
        return self


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
