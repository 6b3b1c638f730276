"""What of a model the API shows: declared by a domain, beside its models."""

from __future__ import annotations

from dataclasses import dataclass

from tenants.errors import DomainError
from tenants.models import TenantModel


@dataclass(frozen=True)
class Resource:
    """A model under the path segment `name`.

    A client never sees `hidden` attributes and never writes `read_only` ones; `tenant_id`
    is always hidden, `id` always read-only once written. With `soft_delete`, DELETE sets the
    model's `deleted_at`, and such rows are hidden everywhere.
    """

    model: type[TenantModel]
    name: str
    read_only: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    soft_delete: bool = False

    def __post_init__(self) -> None:
        fields = self.model._meta.fields
        for attribute in (*self.read_only, *self.hidden):
            if attribute not in fields:
                raise DomainError(
                    f"resource {self.name!r}: {self.model.__name__} has no field {attribute!r}"
                )
        if self.soft_delete and "deleted_at" not in fields:
            raise DomainError(
                f"resource {self.name!r}: soft_delete needs a field deleted_at in "
                f"{self.model.__name__}"
            )
