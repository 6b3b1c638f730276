"""Relations of objects, and whose they are: what is followed from an object, or was put there by
prefetch() or a join, is read under the tenant under whom it came, and under no other.
"""

from __future__ import annotations

import uuid
from typing import Any

import peewee

from tenants.context import current_scope, scope_or_none
from tenants.errors import NoTenantError, TenantMismatchError


def tenant_or_none() -> uuid.UUID | None:
    """Return the tenant of the scope in force, or None outside of any."""
    scope = scope_or_none()
    return scope.tenant_id if scope is not None else None


def require_scope_of(tenant: uuid.UUID | None, what: str) -> None:
    """Raise NoTenantError or TenantMismatchError unless `what` came under the scope in force."""
    scope = current_scope()
    if tenant is None:
        raise NoTenantError(f"{what} came outside of any tenant scope")
    if scope.tenant_id != tenant:
        raise TenantMismatchError(
            f"{what} belongs to tenant {tenant}, the scope is {scope.tenant_id}'s"
        )


class ForeignKeyAccessor(peewee.ForeignKeyAccessor):
    """What an object refers to, read and assigned within its tenant."""

    def get_rel_instance(self, instance: Any) -> Any:
        instance.require_own_tenant()
        return super().get_rel_instance(instance)  # type: ignore[no-untyped-call]  # stubs

    def __set__(self, instance: Any, obj: Any) -> None:
        owner = getattr(obj, "tenure_tenant", None) if isinstance(obj, peewee.Model) else None
        if owner is not None and instance.tenure_tenant not in (None, owner):
            raise TenantMismatchError(
                f"{type(instance).__name__}.{self.name}: the object belongs to tenant {owner}"
            )
        super().__set__(instance, obj)


class BackrefAccessor(peewee.BackrefAccessor):
    """The other side; rows that prefetch() has put there are kept, and asked for as strictly: they
    are of the tenant under whom they came, also where the object is nobody's."""

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        if instance is None:
            return self
        instance.require_own_tenant()
        try:
            tenant, rows = instance.__dict__[self._slot]
        except KeyError:
            return super().__get__(instance, instance_type)  # type: ignore[no-untyped-call]
        if getattr(self.rel_model._meta, "tenure_kind", None) != "global":
            require_scope_of(tenant, f"{type(instance).__name__}.{self.field.backref}")
        return rows

    def __set__(self, instance: Any, rows: Any) -> None:
        instance.__dict__[self._slot] = (tenant_or_none(), rows)

    @property
    def _slot(self) -> str:
        # By field: two of them may not share a backref on one model, nor a slot.
        return f"_rows_of_{self.field.backref}"


class JoinedAccessor:
    """What a join from the other side has put on a tenant's object."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        if instance is None or self._name not in instance.__dict__:
            raise AttributeError(self._name)
        instance.require_own_tenant()
        return instance.__dict__[self._name]

    def __set__(self, instance: Any, row: Any) -> None:
        instance.__dict__[self._name] = row


class ManyToManyAccessor(peewee.ManyToManyFieldAccessor):
    """Rows by way of another model, read and assigned within the object's tenant."""

    def get_query(self, instance: Any) -> Any:
        instance.require_own_tenant()
        query = super().get_query(instance)  # type: ignore[no-untyped-call]  # stubs
        # peewee names its own class here; this one looks at the objects it is given.
        query.__class__ = _ManyToManyQuery
        return query


class _ManyToManyQuery(peewee.ManyToManyQuery):
    def _id_list(self, given: Any) -> Any:
        for value in given:
            if isinstance(value, peewee.Model) and hasattr(value, "require_own_tenant"):
                value.require_own_tenant()
        return super()._id_list(given)  # type: ignore[misc]  # not in the stubs
