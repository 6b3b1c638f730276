"""A table full of rows gets a tenant, its keys and its policies, while it is read and written.

For a migration that is not one transaction (`atomic = False` in its module). Whatever takes a
lock that others would queue behind is done by itself, gives up after `LOCK_TIMEOUT_MS`, and is
tried again; what takes long takes no such lock. Every step looks first whether it is done, so
that a migration that was broken off goes on where it was.

Before it runs, whoever writes to the table has to fill the new column: rows that come without a
tenant are filled as long as the filling lasts, and refused from then on.
"""

from __future__ import annotations

import random
import time
from typing import Any

import peewee
import psycopg2

from tenants.catalog import Table, catalog_of
from tenants.errors import MigrationError
from tenants.rls import protection_statements, quote, quote_name
from tenants.schema import schema_statements

LOCK_TIMEOUT_MS = 200
_TRIES = 200
_PAUSE_S = 0.2
_CHECK = "tenant_id_is_there"


def adopt_table(
    db: peewee.Database, model: type[peewee.Model], *, tenant: str, batch_rows: int = 2000
) -> None:
    """Make the existing table of `model` a tenant's: column, keys, indexes, policies, grants.

    `tenant` is the SQL expression that tells a row's tenant, with `t` for the row. It stands in
    the migration, and no user's text may be in it. The table has a column `id`, its primary
    key, to which no foreign key refers. Raises MigrationError for a row whose tenant is NULL,
    and when a lock could not be had in some minutes.
    """
    table = next(iter(catalog_of([model])))
    work = _Adoption(db, table)
    work.briefly(
        *schema_statements(table.name.schema),
        f"ALTER TABLE {work.name} ADD COLUMN IF NOT EXISTS tenant_id uuid",
    )
    work.fill(tenant, batch_rows)
    if not work.has_constraint(_CHECK) and not work.is_not_null():
        work.briefly(
            f"ALTER TABLE {work.name} ADD CONSTRAINT {_CHECK}"
            " CHECK (tenant_id IS NOT NULL) NOT VALID"
        )
    # What came while the first pass was at its end.
    work.fill(tenant, batch_rows)
    if not work.is_not_null():
        # Reads all rows, and keeps nobody from reading or writing.
        work.alone(f"ALTER TABLE {work.name} VALIDATE CONSTRAINT {_CHECK}")
        # The constraint spares it the scan.
        work.briefly(
            f"ALTER TABLE {work.name} ALTER COLUMN tenant_id SET NOT NULL",
            f"ALTER TABLE {work.name} DROP CONSTRAINT {_CHECK}",
        )
    work.replace_primary_key()
    for index in table.indexes:
        work.index(index.name, index.columns, unique=index.unique)
    if not work.has_policies():
        work.briefly(*protection_statements(table))


class _Adoption:
    def __init__(self, db: peewee.Database, table: Table) -> None:
        self._db = db
        self._table = table
        self.name = quote_name(table.name)

    def fill(self, tenant: str, batch_rows: int) -> None:
        """Give a tenant to the rows that have none, some at a time."""
        last: Any = None
        while True:
            after = "" if last is None else "AND id > %s"
            values = (batch_rows,) if last is None else (last, batch_rows)
            # Not FOR UPDATE SKIP LOCKED: a row that somebody holds is to be filled as well.
            rows = self._rows(
                f"WITH batch AS (SELECT id FROM {self.name} WHERE tenant_id IS NULL {after}"  # noqa: S608 - quoted names, and the migration's own expression
                " ORDER BY id LIMIT %s), filled AS ("
                f" UPDATE {self.name} t SET tenant_id = ({tenant}) FROM batch"
                " WHERE t.id = batch.id AND t.tenant_id IS NULL RETURNING t.id, t.tenant_id)"
                " SELECT id, (SELECT count(*) FROM filled WHERE tenant_id IS NULL)"
                " FROM batch ORDER BY id DESC LIMIT 1",
                values,
            )
            if not rows:
                return
            [(last, lost)] = rows
            if lost:
                raise MigrationError(
                    f"{self._table.name}: {lost} rows up to id {last} have no tenant by {tenant!r}"
                )

    def replace_primary_key(self) -> None:
        """Put the tenant in front of the primary key."""
        wanted = self._table.primary_key
        rows = self._rows(
            "SELECT c.conname, array_agg(a.attname::text ORDER BY k.place)"
            " FROM pg_catalog.pg_constraint c CROSS JOIN unnest(c.conkey)"
            " WITH ORDINALITY k(number, place) JOIN pg_catalog.pg_attribute a"
            " ON a.attrelid = c.conrelid AND a.attnum = k.number"
            " WHERE c.conrelid = %s::regclass AND c.contype = 'p' GROUP BY c.conname",
            (self.name,),
        )
        if rows and tuple(rows[0][1]) == tuple(wanted):
            return
        fresh = f"{self._table.name.name}_tenant_key"
        self.index(fresh, wanted, unique=True)
        drop = [f"ALTER TABLE {self.name} DROP CONSTRAINT {quote(name)}" for name, _ in rows]
        key = quote(f"{self._table.name.name}_pkey")
        self.briefly(
            *drop,
            f"ALTER TABLE {self.name} ADD CONSTRAINT {key} PRIMARY KEY USING INDEX {quote(fresh)}",
        )

    def index(self, name: str, columns: tuple[str, ...], *, unique: bool) -> None:
        """Build an index beside the traffic; one that was left half done is built anew."""
        qualified = f"{quote(self._table.name.schema)}.{quote(name)}"
        rows = self._rows(
            "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass(%s)",
            (qualified,),
        )
        if rows and rows[0][0]:
            return
        if rows:
            self.alone(f"DROP INDEX CONCURRENTLY {qualified}")
        listed = ", ".join(quote(column) for column in columns)
        self.alone(
            f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {quote(name)}"
            f" ON {self.name} ({listed})"
        )

    def has_constraint(self, name: str) -> bool:
        """Tell whether the table has a constraint of this name."""
        return bool(
            self._rows(
                "SELECT 1 FROM pg_catalog.pg_constraint"
                " WHERE conrelid = %s::regclass AND conname = %s",
                (self.name, name),
            )
        )

    def is_not_null(self) -> bool:
        """Tell whether every row must have a tenant already."""
        [(answer,)] = self._rows(
            "SELECT attnotnull FROM pg_catalog.pg_attribute"
            " WHERE attrelid = %s::regclass AND attname = 'tenant_id'",
            (self.name,),
        )
        return bool(answer)

    def has_policies(self) -> bool:
        """Tell whether the last step was taken, which is one transaction."""
        return bool(
            self._rows(
                "SELECT 1 FROM pg_catalog.pg_policy WHERE polrelid = %s::regclass", (self.name,)
            )
        )

    def briefly(self, *statements: str) -> None:
        """Run statements in one transaction that would rather fail than make others wait."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._db.atomic():
                    cursor: Any = self._db.cursor()
                    # tenure: allow TS004 because it is a number of our own
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                    for statement in statements:
                        # tenure: allow TS004 because this is a migration's DDL, as the owner
                        cursor.execute(statement)
            except psycopg2.errors.LockNotAvailable as error:
                if not tries_left:
                    raise MigrationError(
                        f"{self._table.name}: no lock in {_TRIES} tries; "
                        "is there a transaction that does not end?"
                    ) from error
                time.sleep(_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            else:
                return

    def alone(self, statement: str) -> None:
        """Run a statement outside of any transaction."""
        cursor: Any = self._db.cursor()
        # tenure: allow TS004 because this is a migration's DDL, as the owner
        cursor.execute(statement)

    def _rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        cursor: Any = self._db.cursor()
        # tenure: allow TS004 because a migration fills all tenants' rows, as the owner
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
