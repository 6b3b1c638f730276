"""Whether a row that goes to another table, an archive or back from one, goes whole.

Which columns there are is said by the catalog that this release was made with. A migration of a
later release may have added one: a row that is copied by the catalog and deleted then loses what
stands there, for good.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tenants.catalog import TableName
from tenants.connections import Cursor

# What is generated is made anew wherever the row is.
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname
FROM unnest(%(schemas)s::text[], %(names)s::text[]) t(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY 1, 2, a.attnum
"""


def columns_left_behind(
    cursor: Cursor, copied: Mapping[TableName, Collection[str]]
) -> tuple[str, ...]:
    """Return the columns (`schema.table.column`) that these tables have beyond those copied.

    It is worth something only in a transaction that has read the tables before, as any role: until
    it ends nobody adds a column to them.
    """
    tables = list(copied)
    cursor.execute(
        _COLUMNS,
        {"schemas": [t.schema for t in tables], "names": [t.name for t in tables]},
    )
    return tuple(
        f"{schema}.{name}.{column}"
        for schema, name, column in cursor.fetchall()
        if column not in copied[TableName(schema, name)]
    )
