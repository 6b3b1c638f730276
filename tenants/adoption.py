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

from tenants.adoption_facts import (
    POLICIES,
    FoundIndex,
    checks,
    foreign_keys,
    indexes,
    obstacles,
)
from tenants.catalog import ForeignKey, Table, catalog_of
from tenants.errors import MigrationError
from tenants.rls import protection_statements, quote, quote_name
from tenants.roles import ROLES
from tenants.schema import foreign_key_statement, schema_statements

LOCK_TIMEOUT_MS = 200
_TRIES = 200
_PAUSE_S = 0.2
_CHECK = "tenant_id_is_there"


def adopt_table(
    db: peewee.Database, model: type[peewee.Model], *, tenant: str, batch_rows: int = 2000
) -> None:
    """Make the existing table of `model` a tenant's: column, keys, constraints, indexes, policies
    and grants, as the model declares them.

    `tenant` is the SQL expression that tells a row's tenant, with `t` for the row. It stands in
    the migration, and no user's text may be in it. The table has a column `id`, its primary
    key, to which no foreign key refers. Its own foreign keys onto tenants' tables, and its unique
    constraints, are replaced by those with the tenant.

    Raises MigrationError for a row whose tenant is NULL, for one that refers to another tenant's
    or breaks a check, when a lock could not be had in some minutes, and, before anything is
    changed, where the table has what lets tenants meet and the model does not declare.
    """
    table = next(iter(catalog_of([model])))
    if table.kind != "tenant":
        raise MigrationError(f"{table.name} is no tenant's table: its model is global")
    work = _Adoption(db, table)
    work.refuse_obstacles()
    work.briefly(
        *schema_statements(table.name.schema),
        f"ALTER TABLE {work.name} ADD COLUMN IF NOT EXISTS tenant_id uuid",
        # Or its owner, who fills it, would see what policies show; the last step forces it again.
        f"ALTER TABLE {work.name} NO FORCE ROW LEVEL SECURITY",
    )
    work.fill(tenant, batch_rows)
    if not work.is_not_null():
        work.check(_CHECK, "tenant_id IS NOT NULL", validate=False)
    # What came while the first pass was at its end.
    work.fill(tenant, batch_rows)
    if not work.is_not_null():
        work.check(_CHECK, "tenant_id IS NOT NULL")
        # The constraint spares it the scan.
        work.briefly(
            f"ALTER TABLE {work.name} ALTER COLUMN tenant_id SET NOT NULL",
            f"ALTER TABLE {work.name} DROP CONSTRAINT {_CHECK}",
        )
    work.replace_primary_key()
    for index in table.indexes:
        work.index(index.name, index.columns, unique=index.unique)
    work.drop_leaking_indexes()
    for key in table.foreign_keys:
        work.foreign_key(key)
    for name, condition in table.checks:
        work.check(name, condition)
    work.close()


class _Adoption:
    def __init__(self, db: peewee.Database, table: Table) -> None:
        self._db = db
        self._table = table
        self.name = quote_name(table.name)

    def refuse_obstacles(self) -> None:
        """Raise MigrationError with all that the model does not decide over."""
        found = list(obstacles(self._rows, self._table))
        if found:
            raise MigrationError("\n".join(f"{self._table.name} {what}" for what in found))

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
        found = [index for index in self._indexes().values() if index.kind == "p"]
        if any(index.columns == wanted for index in found):
            return
        fresh = f"{self._table.name.name}_tenant_key"
        self.index(fresh, wanted, unique=True)
        drop = [
            f"ALTER TABLE {self.name} DROP CONSTRAINT {quote(index.constraint or '')}"
            for index in found
        ]
        key = quote(f"{self._table.name.name}_pkey")
        self.briefly(
            *drop,
            f"ALTER TABLE {self.name} ADD CONSTRAINT {key} PRIMARY KEY USING INDEX {quote(fresh)}",
        )

    def index(self, name: str, columns: tuple[str, ...], *, unique: bool) -> None:
        """Build an index beside the traffic; one that was left half done is built anew.

        Another one that has its name is replaced at once.
        """
        found = self._indexes().get(name)
        if found is None:
            self._build(name, columns, unique=unique)
        elif (found.columns, found.unique) != (columns, unique) or not found.is_plain:
            fresh = f"{self._table.name.name}_fresh_idx"
            left = self._indexes().get(fresh)
            if left is not None:
                # Whose it was to be is not known.
                self.alone(f"DROP INDEX CONCURRENTLY {self._qualified(fresh)}")
            self._build(fresh, columns, unique=unique)
            self.briefly(
                self._drop_statement(found),
                f"ALTER INDEX {self._qualified(fresh)} RENAME TO {quote(name)}",
            )
        elif not found.is_valid:
            self.alone(f"DROP INDEX CONCURRENTLY {self._qualified(name)}")
            self._build(name, columns, unique=unique)

    def drop_leaking_indexes(self) -> None:
        """Drop what compares the rows of all tenants, and has a successor by now."""
        for index in self._indexes().values():
            if index.is_leak:
                self.briefly(self._drop_statement(index))

    def foreign_key(self, wanted: ForeignKey) -> None:
        """Add a foreign key in place of the one by its column, and have all rows obey it."""
        found = foreign_keys(self._rows, self._table)
        there = next((key for key in found if key.is_as(wanted)), None)
        old = [
            key
            for key in found
            if key is not there
            and (
                key.name == wanted.name
                or key.refers_as(wanted)
                or (key.is_leak and key.columns == (wanted.column,))
            )
        ]
        drop = [f"ALTER TABLE {self.name} DROP CONSTRAINT {quote(key.name)}" for key in old]
        if there is None:
            statement = foreign_key_statement(self._table, wanted)
            self.briefly(*drop, f"{statement} NOT VALID")
        elif drop:
            self.briefly(*drop)
        if there is None or not there.is_valid:
            self._validate(wanted.name if there is None else there.name)

    def check(self, name: str, condition: str, *, validate: bool = True) -> None:
        """Add a check constraint for what comes, and have all rows obey it.

        One that has its name, and says something else, is replaced.
        """
        alter = f"ALTER TABLE {self.name}"
        if name not in checks(self._rows, self._table):
            self.briefly(f"{alter} ADD CONSTRAINT {quote(name)} CHECK ({condition}) NOT VALID")
        else:
            # Only PostgreSQL knows how it would write the condition.
            fresh = f"{self._table.name.name}_fresh_check"
            drop = f"{alter} DROP CONSTRAINT IF EXISTS {quote(fresh)}"
            self.briefly(
                drop, f"{alter} ADD CONSTRAINT {quote(fresh)} CHECK ({condition}) NOT VALID"
            )
            found = checks(self._rows, self._table)
            if found[name].definition == found[fresh].definition:
                self.briefly(drop)
            else:
                self.briefly(
                    f"{alter} DROP CONSTRAINT {quote(name)}",
                    f"{alter} RENAME CONSTRAINT {quote(fresh)} TO {quote(name)}",
                )
        if validate and not checks(self._rows, self._table)[name].is_valid:
            self._validate(name)

    def close(self) -> None:
        """Put policies and grants in place, and take away what was granted before."""
        roles = ", ".join(("PUBLIC", *(role for role in ROLES if role != "tenure_owner")))
        self.briefly(
            f"REVOKE ALL ON {self.name} FROM {roles}",
            *(f"DROP POLICY IF EXISTS {policy} ON {self.name}" for policy in POLICIES),
            *protection_statements(self._table),
        )

    def _validate(self, name: str) -> None:
        """Have all rows looked at, which keeps nobody from reading or writing."""
        try:
            self.alone(f"ALTER TABLE {self.name} VALIDATE CONSTRAINT {quote(name)}")
        except psycopg2.errors.IntegrityError as error:
            # Of the rows' values nothing is told: they are tenants' own.
            raise MigrationError(
                f"{self._table.name}: rows that are there break {name}"
                f" ({type(error).__name__}); mend them, and migrate again"
            ) from None

    def _indexes(self) -> dict[str, FoundIndex]:
        return indexes(self._rows, self._table)

    def _qualified(self, index: str) -> str:
        return f"{quote(self._table.name.schema)}.{quote(index)}"

    def _drop_statement(self, index: FoundIndex) -> str:
        if index.constraint is None:
            return f"DROP INDEX {self._qualified(index.name)}"
        return f"ALTER TABLE {self.name} DROP CONSTRAINT {quote(index.constraint)}"

    def _build(self, name: str, columns: tuple[str, ...], *, unique: bool) -> None:
        listed = ", ".join(quote(column) for column in columns)
        self.alone(
            f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {quote(name)}"
            f" ON {self.name} ({listed})"
        )

    def is_not_null(self) -> bool:
        """Tell whether every row must have a tenant already."""
        [(answer,)] = self._rows(
            "SELECT attnotnull FROM pg_catalog.pg_attribute"
            " WHERE attrelid = %s::regclass AND attname = 'tenant_id'",
            (self.name,),
        )
        return bool(answer)

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
