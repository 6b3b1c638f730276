"""Many rows at once: multi-row INSERTs for a model, under the tenant in context.

This module writes SQL of its own, past the compiler in `tenants.scoping`, because compiling
a row through a query tree costs ten times what sending it does. What holds there must
therefore hold here: without a scope nothing is sent, every row is stamped with the tenant,
and a row, or an object in a row, that names another tenant is refused. If that broke,
row-level security would still refuse the rows (WITH CHECK), but not a reference that was
copied from one tenant into another.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from types import NoneType
from typing import Any

import peewee
from psycopg2 import extensions, sql

from tenants.catalog import name_of
from tenants.context import current_scope, require_transaction_of
from tenants.database import TenantDatabase
from tenants.errors import CatalogError, TenantMismatchError
from tenants.models import TenantModel
from tenants.parameters import writes_itself

#: Rows per statement. Beyond some hundreds nothing is gained; the text stays below 1 MB.
PAGE_ROWS = 1000

# What peewee runs its own statements in: the driver's errors become peewee's.
_peewee: Any = peewee
_driver_errors = _peewee.__exception_wrapper__

# Of these, no value can be an object of another tenant, nor SQL.
_PLAIN = frozenset((str, int, bool, NoneType, uuid.UUID, Decimal, datetime, date, float))

_Row = Mapping[str, Any]


def bulk_insert(
    model: type[TenantModel],
    rows: Iterable[_Row],
    *,
    skip_existing: Sequence[str] = (),
    page_rows: int = PAGE_ROWS,
) -> int:
    """Insert `rows` in one transaction (the one that is open, or one of its own).

    A row maps the model's attributes (`customer`, or `customer_id`) to values; `rows` is
    consumed in pages, never held as a whole. What a row leaves out takes the field's default;
    all rows name the same attributes as the first. `skip_existing` names the attributes of a
    unique index, without the tenant: a row that is there already is left alone and not
    counted. Returns the number of rows inserted.

    Raises NoTenantError without a scope, TenantMismatchError for a row of another tenant,
    CatalogError for an attribute the model does not have, ValueError for a missing one, and
    peewee's errors for what the database refuses.
    """
    scope = current_scope()
    meta: Any = model._meta
    if meta.tenure_kind != "tenant":
        raise CatalogError(f"{model.__name__} is no tenant's table: bulk_insert does not serve it")
    if page_rows < 1:
        raise ValueError(f"page_rows must be at least 1, got {page_rows}")
    pages = _pages(rows, page_rows)
    first = next(pages, None)
    if first is None:
        return 0
    plan = _Plan(model, first[0], scope.tenant_id, skip_existing)
    database = _database_of(model)
    if database.in_transaction():
        require_transaction_of(scope.tenant_id)
        return plan.insert(database, first, pages)
    with database.atomic():
        return plan.insert(database, first, pages)


class _Plan:
    """The statement's fixed parts, made once: head, template of a row, converters."""

    def __init__(
        self,
        model: type[TenantModel],
        example: _Row,
        tenant_id: uuid.UUID,
        skip_existing: Sequence[str],
    ) -> None:
        self.model = model
        self.tenant_id = tenant_id
        meta: Any = model._meta
        self._names = frozenset(example)
        named: dict[Any, str] = {}
        for name in example:
            field = meta.combined.get(name)
            if field is None:
                known = ", ".join(meta.fields)
                raise CatalogError(f"{model.__name__} has no attribute {name!r}; it has {known}")
            if field in named:
                raise CatalogError(f"{model.__name__}: {named[field]!r} and {name!r} are the same")
            named[field] = name
        self._given_tenant = named.pop(meta.fields["tenant_id"], None)
        self._read = [_Reader(field, name) for field, name in named.items()]
        self._default: list[_Default] = []
        for field in meta.sorted_fields:
            if field in named or field.name == "tenant_id":
                continue
            self._default.append(_Default(field))
        columns = [
            *(reader.column for reader in self._read),
            *(default.column for default in self._default),
            "tenant_id",
        ]
        self._head = sql.SQL("INSERT INTO {} ({}) VALUES ").format(
            sql.Identifier(*_path(model)), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        self._template = f"({', '.join(['%s'] * len(columns))})"
        self._tail: sql.Composable = sql.SQL("")
        if skip_existing:
            arbiter = ["tenant_id", *(_column(meta, model, name) for name in skip_existing)]
            self._tail = sql.SQL(" ON CONFLICT ({}) DO NOTHING").format(
                sql.SQL(", ").join(map(sql.Identifier, arbiter))
            )

    def insert(
        self, database: TenantDatabase, first: Sequence[_Row], rest: Iterator[Sequence[_Row]]
    ) -> int:
        inserted = self._page(database, first)
        for page in rest:
            inserted += self._page(database, page)
        return inserted

    def _page(self, database: Any, rows: Sequence[_Row]) -> int:
        with _driver_errors:
            cursor: Any = database.cursor(vouched=True)
            encoding = extensions.encodings[cursor.connection.encoding]
            head = self._head.as_string(cursor).encode(encoding)
            tail = self._tail.as_string(cursor).encode(encoding)
            values = b",".join(cursor.mogrify(self._template, self._values(row)) for row in rows)
            cursor.execute(head + values + tail)
            return int(cursor.rowcount)

    def _values(self, row: _Row) -> list[Any]:
        if row.keys() != self._names:
            differing = ", ".join(sorted(row.keys() ^ self._names))
            raise ValueError(
                f"{self.model.__name__}: the rows of one bulk_insert name the same attributes; "
                f"this one differs from the first in {differing}"
            )
        if self._given_tenant is not None and str(row[self._given_tenant]) != str(self.tenant_id):
            raise TenantMismatchError(
                f"the row names tenant {row[self._given_tenant]}, the scope is {self.tenant_id}'s"
            )
        values = [reader.value(row[reader.name], self.tenant_id) for reader in self._read]
        values += [default.value() for default in self._default]
        values.append(str(self.tenant_id))
        return values


class _Reader:
    """Turns one attribute of a row into what the driver wants."""

    def __init__(self, field: Any, name: str) -> None:
        self.column: str = field.column_name
        self.name = name
        self._label = f"{field.model.__name__}.{field.name}"
        self._convert = field.db_value

    def value(self, value: Any, tenant_id: uuid.UUID) -> Any:
        if value.__class__ not in _PLAIN:
            self._check(value, tenant_id)
        return self._convert(value)

    def _check(self, value: Any, tenant_id: uuid.UUID) -> None:
        node = isinstance(value, peewee.Node) and not isinstance(value, peewee.Model)
        if node or (writes_itself(value) and not isinstance(value, peewee.Model)):
            raise TypeError(f"{self._label}: bulk_insert takes values, not SQL expressions")
        if isinstance(value, TenantModel) and value.tenure_tenant != tenant_id:
            raise TenantMismatchError(
                f"{self._label}: the object belongs to tenant {value.tenure_tenant}, "
                f"the scope is {tenant_id}'s"
            )


class _Default:
    """What a row that leaves the attribute out gets."""

    def __init__(self, field: Any) -> None:
        self.column: str = field.column_name
        if field.default is None and not field.null:
            raise ValueError(f"{field.model.__name__}.{field.name} has no default: a row needs it")
        self._default = field.default
        self._convert = field.db_value

    def value(self) -> Any:
        return self._convert(self._default() if callable(self._default) else self._default)


def _column(meta: Any, model: type[TenantModel], name: str) -> str:
    if name not in meta.combined:
        raise CatalogError(f"{model.__name__} has no attribute {name!r}")
    return str(meta.combined[name].column_name)


def _path(model: type[TenantModel]) -> tuple[str, str]:
    name = name_of(model)
    return name.schema, name.name


def _database_of(model: type[TenantModel]) -> TenantDatabase:
    database: Any = model._meta.database
    if isinstance(database, peewee.Proxy):
        database = database.obj
    if not isinstance(database, TenantDatabase):
        raise CatalogError(f"{model.__name__} is bound to no tenant database: nothing is wired")
    return database


def _pages(rows: Iterable[_Row], size: int) -> Iterator[list[_Row]]:
    iterator = iter(rows)
    while page := list(islice(iterator, size)):
        yield page
