"""The linter's catalog, from our own: of the models, or of a migrated database.

`lint` and `tenants` do not know each other; this is where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api.lint_database import read_catalog
from lint.schema.catalog import Catalog, Column, ForeignKey, Key, Name, Table
from tenants.catalog import Catalog as ModelCatalog
from tenants.catalog import Table as ModelTable
from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.scoping import TENANT_COLUMN


def lint_catalog(catalog: ModelCatalog) -> Catalog:
    """Return the linter's catalog of what models declare."""
    return Catalog(_table(table) for table in catalog)


def _table(table: ModelTable) -> Table:
    keys = [Key(table.primary_key)]
    keys += [Key(index.columns, index.name) for index in table.indexes if index.unique]
    return Table(
        name=_name(table.name),
        columns=tuple(Column(c.name, c.type, c.nullable) for c in table.columns),
        keys=tuple(keys),
        foreign_keys=tuple(
            ForeignKey(key.columns, _name(key.target), key.target_columns)
            for key in table.foreign_keys
        ),
        tenant_column=TENANT_COLUMN if table.kind == "tenant" else None,
        exempt=table.exemption if table.kind == "global" else None,
    )


def _name(name: TableName) -> Name:
    return Name(name.schema, name.name)


def database_catalog(cursor: Cursor, schemas: Sequence[str]) -> Catalog:
    """Return the linter's catalog of the tables in some schemas of a database.

    Whose rows they hold is left to the linter's configuration, but for tables with a
    `tenant_id`. The migrations' own histories are left out.
    """
    found = read_catalog(cursor, schemas)
    return Catalog(
        replace(
            table,
            tenant_column=TENANT_COLUMN if table.column(TENANT_COLUMN) is not None else None,
        )
        for table in found.tables
        if not table.name.name.startswith("migration_")
    )
