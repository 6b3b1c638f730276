"""What a domain's models are made of: `TenantModel`, `GlobalModel`, and fields.

Objects remember their tenant: one that was loaded under A refuses to be saved, deleted or
followed under B, or when no scope is open. Keys are time-ordered UUIDs (version 7, RFC 9562)
made by the client. With a `VersionField` an object also refuses to overwrite, or to delete,
what somebody else has changed since it was read.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
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
from tenants.context import scope_or_none
from tenants.errors import (
    CatalogError,
    StaleObjectError,
    UnscopableError,
)
from tenants.relations import (
    BackrefAccessor,
    ForeignKeyAccessor,
    JoinedAccessor,
    ManyToManyAccessor,
    require_scope_of,
    tenant_or_none,
)
from tenants.stamping import version_of
from tenants.transactions import DatabaseProxy

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
    "ManyToManyField",
    "SmallIntegerField",
    "SoftReference",
    "TenantModel",
    "TextField",
    "UUIDField",
    "VersionField",
    "database",
    "new_id",
]

#: Bound to a TenantDatabase when the application is wired.
database = DatabaseProxy()


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


class VersionField(peewee.IntegerField):
    """Counts the changes of a row, from 1. Every UPDATE of the model's table counts it up, and
    `save()` and `delete_instance()` require the number that the object was read with."""

    tenure_sql_type = "integer"
    tenure_counts = True

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("default", 1)
        super().__init__(**settings)


class ForeignKeyField(peewee.ForeignKeyField):
    """A reference within the tenant; in the database `(tenant_id, x_id) -> (tenant_id, id)`."""


class ManyToManyField(peewee.ManyToManyField):
    """Rows of another model, by way of a model of your own, which is given as `through_model`
    (a DeferredThroughModel where it is declared later); raises CatalogError without one."""

    # Of peewee's own, but not in its stubs.
    _is_backref: bool
    _through_model: Any

    def __init__(self, model: Any, **settings: Any) -> None:
        if settings.get("through_model") is None:
            raise CatalogError("a ManyToManyField names its through_model, which is a TenantModel")
        super().__init__(model, **settings)

    def bind(self, model: Any, name: str, set_attribute: bool = True) -> None:
        """Bind both sides; peewee would make the other one a field of its own class."""
        super().bind(model, name, set_attribute)
        if self._is_backref or isinstance(self._through_model, peewee.DeferredThroughModel):
            return
        if self.backref not in ("+", "!"):
            other = type(self)(
                self.model, backref=name, through_model=self.through_model, _is_backref=True
            )
            self.rel_model._meta.add_field(self.backref, other)


class _Metadata(peewee.Metadata):
    """Whatever kind of field declares a relation, a deferred one or peewee's own: it is followed
    under its object's tenant alone.
    """

    def add_field(self, field_name: Any, field: Any, set_attribute: bool = True) -> None:
        if isinstance(field, peewee.ForeignKeyField):
            field.accessor_class = ForeignKeyAccessor
            field.backref_accessor_class = BackrefAccessor
        elif isinstance(field, peewee.ManyToManyField):
            field.accessor_class = ManyToManyAccessor
        super().add_field(field_name, field, set_attribute)


class _Model(peewee.Model):
    tenure_tenant: uuid.UUID | None = None

    class Meta:
        database = database
        model_metadata_class = _Metadata
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
    tenant_id = UUIDField(default=tenant_or_none)

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
        require_scope_of(self.tenure_tenant, f"this {type(self).__name__}")

    def save(self, force_insert: bool = False, only: Any = None) -> Any:
        """Insert a new object, update a persisted one; returns the number of rows.

        Raises StaleObjectError when the row of a persisted object is no longer there, or has
        another version than the object, and TenantMismatchError under another tenant than
        the object's own.
        """
        self.require_own_tenant()
        insert = force_insert or not self._persisted
        rows = super().save(force_insert=insert, only=only)
        if rows is False:
            return rows  # only_save_dirty, and nothing is
        if insert:
            self._persisted = True
        elif rows == 0:
            raise StaleObjectError(self._stale("saved"))
        else:
            self._count_version()
        return rows

    def delete_instance(self, recursive: bool = False, delete_nullable: bool = False) -> Any:
        """Delete this row, with `recursive` also the rows that refer to it; all or nothing.

        Raises StaleObjectError when it was not there, or has another version by now.
        """
        self.require_own_tenant()
        if recursive:
            with self._meta.database.atomic():
                return self._delete(recursive=True, delete_nullable=delete_nullable)
        return self._delete()

    def _delete(self, **how: bool) -> Any:
        rows = super().delete_instance(**how)
        if rows == 0:
            raise StaleObjectError(self._stale("deleted"))
        self._persisted = False
        return rows

    def _stale(self, what: str) -> str:
        version = version_of(type(self))
        gone = "is gone" if version is None else "is gone or was changed since it was read"
        return f"{type(self).__name__} {self.id} {gone}: nothing was {what}"

    def _count_version(self) -> None:
        version = version_of(type(self))
        if version is not None:
            self.__data__[version.name] += 1
            self._dirty.discard(version.name)  # type: ignore[attr-defined]  # not in the stubs

    def _pk_expr(self) -> Any:
        """The row of this object: by key, and by version where the model has one."""
        row = super()._pk_expr()  # type: ignore[misc]  # not in the stubs
        version = version_of(type(self))
        if version is None:
            return row
        number = self.__data__.get(version.name)
        if number is None:
            raise StaleObjectError(f"{type(self).__name__} {self.id} was read without its version")
        return row & (version == number)

    @classmethod
    def guard_joined(cls, name: str) -> None:
        """Have what a join puts there read under the object's tenant alone (`kept_rows`)."""
        if callable(getattr(cls, name, None)):
            raise UnscopableError(f"{cls.__name__}.{name} is a method: a join needs another name")
        if not _is_declared(cls, name):
            setattr(cls, name, JoinedAccessor(name))

    @classmethod
    def bulk_create(cls, model_list: Iterable[Any], batch_size: int | None = None) -> None:
        """Insert new objects, many in a statement; they are persisted then."""
        objects = list(model_list)
        for item in objects:
            item.require_own_tenant()
        super().bulk_create(objects, batch_size)
        for item in objects:
            item._persisted = True

    @classmethod
    def bulk_update(
        cls, model_list: Iterable[Any], fields: Sequence[Any], batch_size: int | None = None
    ) -> Any:
        """Update persisted objects, many in a statement; all or nothing.

        Raises StaleObjectError where a row is gone, and UnscopableError for a model with a
        version, which one statement cannot compare row by row.
        """
        if version_of(cls) is not None:
            raise UnscopableError(f"{cls.__name__} has a version: save its objects one by one")
        objects = list(model_list)
        for item in objects:
            item.require_own_tenant()
        if not objects:
            return 0
        with cls._meta.database.atomic():
            rows = super().bulk_update(objects, fields, batch_size)  # type: ignore[no-untyped-call]
            wanted = len({item.id for item in objects})
            if rows < wanted:
                raise StaleObjectError(f"{wanted - rows} of {wanted} {cls.__name__} are gone")
        return rows

    @classmethod
    def select(cls, *fields: Any) -> Any:
        """Return a query that serves the tenant under which it is executed, each time."""
        return super().select(*fields)


class GlobalModel(_Model):
    """A table that belongs to no tenant. `Meta.exemption` says why.

    Its columns are everybody's. What else is put on an object under a tenant (rows that were
    joined to it, sums that were selected beside it) is that tenant's: read under another it raises
    TenantMismatchError, under none NoTenantError.
    """

    id = UUIDField(primary_key=True, default=new_id)

    class Meta:
        tenure_kind = "global"

    @classmethod
    def guard_selected(cls, name: str, field: Any) -> None:
        """Refuse what a query puts in the place of a column, if it is not that column
        (`kept_rows`): it may be a tenant's, and a column is everybody's."""
        if _is_declared(cls, name) and cls._meta.combined.get(name) is not _own(field):
            raise UnscopableError(
                f"{cls.__name__}.{name} is a column: what is selected beside it needs a name of "
                "its own"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        # In the order of what it costs: this is asked for each column of each row.
        if name in _STATE or _is_declared(type(self), name) or (tenant := tenant_or_none()) is None:
            super().__setattr__(name, value)
            return
        if hasattr(type(self), name):
            raise UnscopableError(
                f"{type(self).__name__}.{name} is the class's: what comes under a tenant needs a "
                "name of its own"
            )
        self.__dict__.pop(name, None)
        self.__dict__.setdefault("_of_tenants", {})[name] = (tenant, value)

    def __getattr__(self, name: str) -> Any:
        # Asked where nothing else has the name.
        try:
            tenant, value = self.__dict__["_of_tenants"][name]
        except KeyError:
            raise AttributeError(f"a {type(self).__name__} has no attribute {name!r}") from None
        require_scope_of(tenant, f"{type(self).__name__}.{name}")
        return value


#: Where peewee keeps an object's columns.
_STATE = frozenset({"__data__", "__rel__", "_dirty"})


def _own(field: Any) -> Any:
    return field.field if isinstance(field, peewee.FieldAlias) else field


@lru_cache(maxsize=1024)
def _is_declared(model: type, name: str) -> bool:
    """Tell whether a model itself sees to what is put there: a column, a relation."""
    found = [vars(base)[name] for base in model.__mro__ if name in vars(base)]
    return any(hasattr(type(attribute), "__set__") for attribute in found)
