"""What a domain's models are made of: `TenantModel`, `GlobalModel`, and fields.

Objects remember their tenant: one that was loaded under A refuses to be saved, deleted or
followed under B. Keys are time-ordered UUIDs (version 7, RFC 9562) made by the client.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import peewee
from peewee import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    DoubleField,
    IntegerField,
    JSONField,
    SmallIntegerField,
    TextField,
    UUIDField,
)
from uuid_utils.compat import uuid7

from tenants.catalog import SoftReference
from tenants.context import current_scope, scope_or_none
from tenants.errors import NoTenantError, StaleObjectError, TenantMismatchError

__all__ = [
    "BooleanField",
    "CharField",
    "DateField",
    "DecimalField",
    "DoubleField",
    "ForeignKeyField",
    "GlobalModel",
    "InstantField",
    "IntegerField",
    "JSONField",
    "SmallIntegerField",
    "SoftReference",
    "TenantModel",
    "TextField",
    "UUIDField",
    "database",
    "new_id",
]

#: Bound to a TenantDatabase when the application is wired.
database = peewee.DatabaseProxy()


def new_id() -> uuid.UUID:
    """Return a fresh time-ordered key."""
    return uuid7()


class InstantField(peewee.DateTimeField):
    """A point in time: timestamptz; naive values are refused."""

    field_type = "TIMESTAMPTZ"
    tenure_sql_type = "timestamp with time zone"

    def db_value(self, value: Any) -> Any:
        """Return the instant for the driver; raises ValueError on one without a zone."""
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime) and value.tzinfo is None:
            raise ValueError(f"{self.name}: {value.isoformat()} has no time zone")
        return value

    def python_value(self, value: Any) -> Any:
        """Return the driver's aware datetime unchanged."""
        return value


class _ForeignKeyAccessor(peewee.ForeignKeyAccessor):
    def get_rel_instance(self, instance: Any) -> Any:
        instance.require_own_tenant()
        return super().get_rel_instance(instance)  # type: ignore[no-untyped-call]  # stubs

    def __set__(self, instance: Any, obj: Any) -> None:
        owner = getattr(obj, "tenure_tenant", None) if isinstance(obj, TenantModel) else None
        if owner is not None and instance.tenure_tenant not in (None, owner):
            raise TenantMismatchError(
                f"{type(instance).__name__}.{self.name}: the object belongs to tenant {owner}"
            )
        super().__set__(instance, obj)


class ForeignKeyField(peewee.ForeignKeyField):
    """A reference within the tenant; in the database `(tenant_id, x_id) -> (tenant_id, id)`."""

    accessor_class = _ForeignKeyAccessor


def _stamp() -> uuid.UUID | None:
    scope = scope_or_none()
    return scope.tenant_id if scope is not None else None


class _Model(peewee.Model):
    tenure_tenant: uuid.UUID | None = None

    class Meta:
        database = database
        legacy_table_names = False

    def require_own_tenant(self) -> None:
        """Global rows belong to nobody: any scope may follow them."""


class TenantModel(_Model):
    """A table whose rows belong to a tenant. `id` is the key a program uses; the key in the
    database is `(tenant_id, id)`. `Meta.schema` is required.

    `Meta.indexes` as in peewee, without the tenant: it is put in front. `Meta.checks` is a
    tuple of (name, SQL), `Meta.soft_references` a tuple of SoftReference.
    """

    id = UUIDField(primary_key=True, default=new_id)
    tenant_id = UUIDField(default=_stamp)

    class Meta:
        tenure_kind = "tenant"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Rows that come from the database are built without defaults.
        self._persisted = bool(kwargs.get("__no_default__"))
        scope = scope_or_none()
        self.tenure_tenant = scope.tenant_id if scope is not None else None
        super().__init__(*args, **kwargs)

    def require_own_tenant(self) -> None:
        """Raise unless the scope in force is the one this object came from."""
        scope = current_scope()
        if self.tenure_tenant is None:
            raise NoTenantError(f"this {type(self).__name__} was made outside of any tenant scope")
        if scope.tenant_id != self.tenure_tenant:
            raise TenantMismatchError(
                f"this {type(self).__name__} belongs to tenant {self.tenure_tenant}, "
                f"the scope is {scope.tenant_id}'s"
            )

    def save(self, force_insert: bool = False, only: Any = None) -> Any:
        """Insert a new object, update a persisted one.

        Raises StaleObjectError when the row of a persisted object is no longer there, and
        TenantMismatchError under another tenant than the object's own.
        """
        self.require_own_tenant()
        insert = force_insert or not self._persisted
        rows = super().save(force_insert=insert, only=only)
        if not insert and rows == 0:
            raise StaleObjectError(f"{type(self).__name__} {self.id} is gone: nothing was saved")
        self._persisted = True
        return rows

    def delete_instance(self, recursive: bool = False, delete_nullable: bool = False) -> Any:
        """Delete this row; raises StaleObjectError when it was not there."""
        self.require_own_tenant()
        rows = super().delete_instance(recursive, delete_nullable)
        if rows == 0:
            raise StaleObjectError(f"{type(self).__name__} {self.id} is gone: nothing was deleted")
        self._persisted = False
        return rows

    @classmethod
    def select(cls, *fields: Any) -> Any:
        """Return a query that serves the tenant under which it is executed, each time."""
        return super().select(*fields)


class GlobalModel(_Model):
    """A table that belongs to no tenant. `Meta.exemption` says why."""

    id = UUIDField(primary_key=True, default=new_id)

    class Meta:
        tenure_kind = "global"
