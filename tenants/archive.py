"""Archives: where a policy may put rows before it deletes them, and bring them back from.

An archive is a table of its own in another schema, with the columns of the table it is for
and two more. It has no foreign keys and no unique constraints: what a row referred to may be
gone, and its key may be in use again. It belongs to the tenant like any table, and has a
retention policy of its own. The application reads it at its desk alone (`retention.seat`), for the
copy that a person asks for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import peewee

from tenants.catalog import catalog_of
from tenants.models import InstantField, IntegerField, TenantModel, UUIDField, VersionField
from tenants.rls import AT_DESK, quote_name
from tenants.schema import create_statements, execute

_BASE = ("id", "tenant_id")


def archive_of(model: type[TenantModel], *, schema: str) -> type[TenantModel]:
    """Return the model of the archive of `model`'s table, of the same name in `schema`.

    Its fields have the columns' names (`customer_id`), and `archived_at` and `archived_batch`
    beside them, by which it is indexed, as it is by what rows belonged to. Requires another
    schema than the model's own.
    """
    meta: Any = model._meta
    if schema == meta.schema:
        raise ValueError(f"{schema}.{meta.table_name} cannot be its own archive")
    fields = {f.column_name: _field(f) for f in meta.sorted_fields if f.name not in _BASE}
    inner = {
        "schema": schema,
        "table_name": meta.table_name,
        "indexes": tuple(
            ((name,), False) for name in (*_belongs_by(meta), "archived_at", "archived_batch")
        ),
        "tenure_archive": True,
    }
    metaclass: Any = type(TenantModel)
    archive: type[TenantModel] = metaclass(
        f"Archived{model.__name__}",
        (TenantModel,),
        {
            "__doc__": f"What was a row of {meta.schema}.{meta.table_name}.",
            "__module__": model.__module__,
            **fields,
            "archived_at": InstantField(),
            "archived_batch": UUIDField(),
            "Meta": type("Meta", (), inner),
        },
    )
    return archive


def _belongs_by(meta: Any) -> dict[str, None]:
    """Return the columns by which rows are found that belonged to others, once each."""
    keys = [f.column_name for f in meta.sorted_fields if isinstance(f, peewee.ForeignKeyField)]
    soft = [reference.column for reference in getattr(meta, "soft_references", ())]
    return dict.fromkeys((*keys, *soft))


def is_archive(model: type[peewee.Model]) -> bool:
    """Whether `archive_of` made the model."""
    return bool(getattr(model._meta, "tenure_archive", False))


def _field(field: peewee.Field) -> peewee.Field:
    """Return a plain field for the same column: no reference, no index, nothing by itself."""
    if isinstance(field, peewee.ForeignKeyField):
        return UUIDField(column_name=field.column_name, null=field.null)
    if isinstance(field, VersionField):
        return IntegerField(column_name=field.column_name, null=field.null)
    plain = copy.copy(field)
    plain.unique = plain.index = False
    plain.default = None
    return plain


def create_archives(db: peewee.Database, archives: Sequence[type[TenantModel]]) -> None:
    """Create the tables of these archives, as the owner's database of a migration.

    Retention may write to them; the application may read them at its desk, and nothing else.
    """
    execute(db, *create_statements(catalog_of(archives)), *archive_statements(archives))


def archive_statements(archives: Sequence[type[TenantModel]]) -> Iterator[str]:
    """Return the grants that make tables archives."""
    for table in catalog_of(archives):
        name = quote_name(table.name)
        yield f"REVOKE ALL ON {name} FROM tenure_app"
        yield f"DROP POLICY app ON {name}"
        yield f"GRANT SELECT ON {name} TO tenure_app"
        yield f"CREATE POLICY app ON {name} FOR SELECT TO tenure_app USING ({AT_DESK})"
        yield f"GRANT INSERT ON {name} TO tenure_retention"


def restorable_statements(models: Sequence[type[TenantModel]]) -> Iterator[str]:
    """Return the grants under which archived rows come back into the tables of `models`."""
    for table in catalog_of(models):
        yield f"GRANT INSERT ON {quote_name(table.name)} TO tenure_retention"


def changeable_statements(model: type[TenantModel], columns: Sequence[str]) -> Iterator[str]:
    """Return the grant under which a policy may anonymise or pseudonymise these columns."""
    (table,) = catalog_of([model])
    named = ", ".join(table.column(column).name for column in columns)
    yield f"GRANT UPDATE ({named}) ON {quote_name(table.name)} TO tenure_retention"
