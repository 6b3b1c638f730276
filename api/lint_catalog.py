"""The linter's catalog, from our own: of the models, or of a migrated database.

`lint` and `tenants` do not know each other; this is where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from lint.catalog import Catalog, Column, ForeignKey, Key, Name, Table
from tenants.catalog import Catalog as ModelCatalog
from tenants.catalog import Table as ModelTable
from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.scoping import TENANT_COLUMN

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relname !~ '^migration_'
ORDER BY n.nspname, c.relname, a.attnum
"""
# Unique indexes over plain columns, whole and checked at once.
_KEYS = """
SELECT n.nspname, c.relname, k.relname,
       array_agg(a.attname::text ORDER BY u.position)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
WHERE n.nspname = ANY(%s) AND i.indisunique AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY n.nspname, c.relname, k.relname ORDER BY 1, 2, 3
"""
_FOREIGN_KEYS = """
SELECT n.nspname, c.relname, tn.nspname, t.relname,
       array_agg(a.attname::text ORDER BY u.position),
       array_agg(b.attname::text ORDER BY u.position)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
CROSS JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY u(own, other, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.own
JOIN pg_catalog.pg_attribute b ON b.attrelid = t.oid AND b.attnum = u.other
WHERE n.nspname = ANY(%s) AND k.contype = 'f'
GROUP BY n.nspname, c.relname, tn.nspname, t.relname, k.conname ORDER BY 1, 2, k.conname
"""


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
    `tenant_id`.
    """
    wanted = (list(schemas),)
    columns: dict[Name, list[Column]] = {}
    cursor.execute(_COLUMNS, wanted)
    for schema, table, name, type_name, nullable, default in cursor.fetchall():
        column = Column(name, type_name, nullable, default)
        columns.setdefault(Name(schema, table), []).append(column)
    keys: dict[Name, list[Key]] = {}
    cursor.execute(_KEYS, wanted)
    for schema, table, name, names in cursor.fetchall():
        keys.setdefault(Name(schema, table), []).append(Key(tuple(names), name))
    foreign_keys: dict[Name, list[ForeignKey]] = {}
    cursor.execute(_FOREIGN_KEYS, wanted)
    for schema, table, target_schema, target, own, other in cursor.fetchall():
        foreign_keys.setdefault(Name(schema, table), []).append(
            ForeignKey(tuple(own), Name(target_schema, target), tuple(other))
        )
    return Catalog(
        Table(
            name=name,
            columns=tuple(of_table),
            keys=tuple(keys.get(name, ())),
            foreign_keys=tuple(foreign_keys.get(name, ())),
            tenant_column=TENANT_COLUMN
            if any(column.name == TENANT_COLUMN for column in of_table)
            else None,
        )
        for name, of_table in columns.items()
    )
