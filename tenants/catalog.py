"""The catalog of tables: what models declare, as plain values.

DDL, policies, grants, the retention graph, the resources and the linter's schema are all
made from this; none of them looks at a model. A model that could not be isolated is
refused here (a type without a zone, a foreign key out of the tenant, ..).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import peewee

from tenants.errors import CatalogError

Kind = Literal["tenant", "global"]


@dataclass(frozen=True, order=True, slots=True)
class TableName:
    """A schema-qualified name, as it stands in the catalogs of PostgreSQL."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read `schema.name`; raises CatalogError otherwise."""
        schema, dot, name = text.partition(".")
        if not (schema and dot and name) or "." in name:
            raise CatalogError(f"{text!r} is not a qualified table name (schema.name)")
        return cls(schema, name)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type` is PostgreSQL's name of it; `attribute` is the model's."""

    name: str
    type: str
    nullable: bool
    attribute: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; between tenant tables `columns` begins with `tenant_id` on both sides."""

    name: str
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    unique: bool = False

    @property
    def column(self) -> str:
        """The referring column, without the tenant."""
        return self.columns[-1]


@dataclass(frozen=True, slots=True)
class SoftReference:
    """A reference no constraint guards: `column` holds an id of one of `targets`.

    With `kind_column`, that column says of which: its value is a key of `targets`. Without
    it there is exactly one target, under the key "".
    """

    column: str
    targets: tuple[tuple[str, TableName], ...]
    kind_column: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index; on a tenant table `columns` begins with `tenant_id`."""

    name: str
    columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True)
class Table:
    """A table. `exemption` says why a global table needs no tenant."""

    name: TableName
    kind: Kind
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    soft_references: tuple[SoftReference, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    exemption: str | None = None

    def column(self, name: str) -> Column:
        """Return the column; raises CatalogError that lists what there is."""
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(c.name for c in self.columns)
        raise CatalogError(f"table {self.name} has no column {name!r}; it has {known}")


@dataclass(frozen=True)
class Catalog:
    """All tables, by name."""

    tables: Mapping[TableName, Table] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def table(self, name: TableName | str) -> Table:
        """Return the table; raises CatalogError naming what was asked for."""
        if isinstance(name, str):
            name = TableName.parse(name)
        try:
            return self.tables[name]
        except KeyError:
            known = ", ".join(map(str, self.tables))
            raise CatalogError(f"there is no table {name}; known are: {known}") from None

    def referring_to(self, target: TableName) -> list[tuple[Table, ForeignKey]]:
        """Return every (table, foreign key) that points at `target`."""
        return [
            (table, key)
            for table in self.tables.values()
            for key in table.foreign_keys
            if key.target == target
        ]


def catalog_of(models: Iterable[type[peewee.Model]]) -> Catalog:
    """Return the catalog that these models declare; raises CatalogError on an unsafe one."""
    tables: dict[TableName, Table] = {}
    for model in models:
        table = table_of(model)
        if table.name in tables:
            raise CatalogError(f"two models declare the table {table.name}")
        tables[table.name] = table
    for table in tables.values():
        for reference in table.soft_references:
            for _, target in reference.targets:
                if target not in tables:
                    raise CatalogError(
                        f"soft reference {table.name}.{reference.column}: "
                        f"there is no table {target}"
                    )
    return Catalog(tables)


def name_of(model: type[peewee.Model]) -> TableName:
    """Return the qualified name of a model's table; raises CatalogError without a schema."""
    meta: Any = model._meta
    if not meta.schema:
        raise CatalogError(f"model {model.__name__} names no schema (Meta.schema)")
    return TableName(meta.schema, meta.table_name)


def table_of(model: type[peewee.Model]) -> Table:
    """Return the table one model declares."""
    meta: Any = model._meta
    name = name_of(model)
    kind: Kind = meta.tenure_kind
    exemption = getattr(meta, "exemption", None)
    if kind == "global" and not exemption:
        raise CatalogError(f"global model {model.__name__} gives no reason (Meta.exemption)")
    columns = tuple(
        Column(f.column_name, sql_type(f), bool(f.null), f.name) for f in meta.sorted_fields
    )
    prefix = ("tenant_id",) if kind == "tenant" else ()
    foreign_keys = tuple(
        _foreign_key(name, kind, f)
        for f in meta.sorted_fields
        if isinstance(f, peewee.ForeignKeyField)
    )
    checks = tuple(
        (f"{name.name}_{check_name}", sql) for check_name, sql in getattr(meta, "checks", ())
    )
    return Table(
        name=name,
        kind=kind,
        columns=columns,
        primary_key=(*prefix, meta.primary_key.column_name),
        foreign_keys=foreign_keys,
        soft_references=tuple(getattr(meta, "soft_references", ())),
        indexes=tuple(_indexes(name.name, prefix, meta)),
        checks=checks,
        exemption=exemption,
    )


def _foreign_key(name: TableName, kind: Kind, f: peewee.ForeignKeyField) -> ForeignKey:
    target_model: Any = f.rel_model
    target_meta = target_model._meta
    if f.on_delete or f.on_update:
        raise CatalogError(
            f"{name}.{f.column_name}: on_delete and on_update are not allowed; a cascade is a "
            "deletion that nobody counted"
        )
    if f.rel_field is not target_meta.primary_key:
        raise CatalogError(f"{name}.{f.column_name} must refer to the target's primary key")
    target = name_of(target_model)
    key: tuple[str, ...] = (f.column_name,)
    target_key: tuple[str, ...] = (target_meta.primary_key.column_name,)
    if target_meta.tenure_kind == "tenant":
        if kind == "global":
            raise CatalogError(f"{name}.{f.column_name}: a global table cannot refer to {target}")
        key = ("tenant_id", *key)
        target_key = ("tenant_id", *target_key)
    return ForeignKey(
        name=f"{name.name}_{f.column_name}_fkey",
        columns=key,
        target=target,
        target_columns=target_key,
        unique=bool(f.unique),
    )


def _indexes(table: str, prefix: tuple[str, ...], meta: Any) -> Iterator[Index]:
    wanted: list[tuple[tuple[str, ...], bool]] = []
    for f in meta.sorted_fields:
        if f.primary_key:
            continue
        if f.unique or f.index or isinstance(f, peewee.ForeignKeyField):
            wanted.append(((f.column_name,), bool(f.unique)))
    for names, unique in meta.indexes or ():
        columns = tuple(
            meta.combined[n].column_name if n in meta.combined else _unknown(table, n)
            for n in names
        )
        wanted.append((columns, bool(unique)))
    for declared, unique in wanted:
        columns = declared[1:] if prefix and declared[0] == prefix[0] else declared
        suffix = "key" if unique else "idx"
        yield Index(f"{table}_{'_'.join(columns)}_{suffix}", (*prefix, *columns), unique)


def _unknown(table: str, column: str) -> str:
    raise CatalogError(f"an index of {table} names {column!r}, which is no field of the model")


def sql_type(f: peewee.Field) -> str:
    """Return PostgreSQL's type for a field; raises CatalogError for one that is unsafe here."""
    declared = getattr(f, "tenure_sql_type", None)
    if declared is not None:
        return str(declared)
    if isinstance(f, peewee.ForeignKeyField):
        return sql_type(f.rel_field)
    if isinstance(f, peewee.CharField):
        return f"character varying({f.max_length})"
    if isinstance(f, peewee.DecimalField):
        return f"numeric({f.max_digits},{f.decimal_places})"
    for field_class, type_name in _TYPES:
        if type(f) is field_class:
            return type_name
    raise CatalogError(
        f"{f.model.__name__}.{f.name}: {type(f).__name__} has no safe column type here; "
        "use the fields of tenants.models"
    )


_TYPES: tuple[tuple[type[peewee.Field], str], ...] = (
    (peewee.UUIDField, "uuid"),
    (peewee.TextField, "text"),
    (peewee.BooleanField, "boolean"),
    (peewee.SmallIntegerField, "smallint"),
    (peewee.IntegerField, "integer"),
    (peewee.BigIntegerField, "bigint"),
    (peewee.DoubleField, "double precision"),
    (peewee.DateField, "date"),
    (peewee.JSONField, "jsonb"),
)
