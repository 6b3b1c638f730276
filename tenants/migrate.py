"""Migrations: playhouse's runner, with a lock, checksums and timings around it.

The product's and each domain's migrations are numbered apart; their histories are the
tables `tenure.migration_<package>`. All run as tenure_owner, each in a transaction.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee
import psycopg2
from playhouse import migrations as playhouse_migrations
from playhouse.migrations import Migration, Runner

from config.clock import utc_now
from tenants.context_keys import install_key
from tenants.errors import MigrationError
from tenants.models import InstantField
from tenants.rls import context_statements
from tenants.schema import execute
from tenants.seal import Binding, Mode

_LOCK = 7237012
_LOCK_POLL_S = 0.1


@dataclass(frozen=True)
class Package:
    """A sequence of migrations: whose, and the folder they are in."""

    name: str
    directory: Path


@dataclass(frozen=True)
class MigrationStatus:
    """One migration: `applied_at` is None while pending; `changed` when the file differs from
    what was applied."""

    package: str
    name: str
    applied_at: str | None
    duration_ms: int | None
    changed: bool


class _Runner(Runner):  # type: ignore[misc]  # playhouse.migrations has no stubs
    """playhouse's runner, whose history also keeps checksum and duration."""

    def __init__(self, database: peewee.Database, package: Package) -> None:
        super().__init__(
            database, str(package.directory), f"migration_{package.name}", schema="tenure"
        )

        class History(database.Model):  # type: ignore[name-defined,misc]  # made at run time
            name = peewee.CharField(unique=True)
            checksum = peewee.CharField(max_length=64)
            duration_ms = peewee.IntegerField()
            applied = InstantField(default=utc_now)

            class Meta:
                legacy_table_names = False
                table_name = f"migration_{package.name}"
                schema = "tenure"

        self.History = History
        self._paths = {m.name: m.path for m in self.migrations()}

    def _run(self, name: str, module: Any, direction: str, fake: bool = False) -> None:
        started = time.monotonic()
        with self.migrator.migration_context(getattr(module, "atomic", True)):
            getattr(module, direction)(self.migrator, self.database)
            if direction == "up":
                self.History.create(
                    name=name,
                    checksum=_checksum(self._paths[name]),
                    duration_ms=round((time.monotonic() - started) * 1000),
                )
            else:
                self.History.delete().where(self.History.name == name).execute()

    def changed(self) -> list[str]:
        """Return the applied migrations whose files are not what was applied."""
        if not self.History.table_exists():
            return []
        return [
            row.name
            for row in self.History.select().order_by(self.History.name)
            if row.name in self._paths and _checksum(self._paths[row.name]) != row.checksum
        ]


def _checksum(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Migrator:
    """Applies packages of migrations, in their order, to the database at `owner_url`.

    `mode`, `binding` and `context_key` are how the tenant's context is protected; they are put
    into the database by `up`, so that changing one is a matter of running it again.
    """

    def __init__(
        self,
        owner_url: str,
        packages: Sequence[Package],
        *,
        mode: Mode,
        context_key: bytes,
        binding: Binding = "backend",
    ) -> None:
        self._url = owner_url
        self._packages = tuple(packages)
        self._mode: Mode = mode
        self._context_key = context_key
        self._binding: Binding = binding

    def up(self, *, lock_timeout_s: float = 60.0, put_key_back: bool = False) -> list[str]:
        """Apply what is pending; return the names applied, as `package/name`.

        Raises MigrationError when another runner holds the lock for too long, or when an
        applied migration was changed on disk; ContextKeyError for a key that was exchanged for
        another, unless it is to be put back.
        """
        with self._locked(lock_timeout_s) as database:
            with database.atomic():
                self._prepare(database)
            applied = []
            for package in self._packages:
                runner = _Runner(database, package)
                changed = runner.changed()
                if changed:
                    raise MigrationError(
                        f"migrations of {package.name} were changed after they were applied: "
                        f"{', '.join(changed)}. Restore the files, and write a new migration."
                    )
                try:
                    applied += [f"{package.name}/{name}" for name in runner.up()]
                except playhouse_migrations.MigrationError as error:
                    raise MigrationError(f"{package.name}: {error}") from error
            with database.atomic():
                self._install_key(database, put_back=put_key_back)
            return applied

    def down(self, package_name: str, *, lock_timeout_s: float = 60.0) -> list[str]:
        """Take the last applied migration of a package down; return its name, if any."""
        package = next((p for p in self._packages if p.name == package_name), None)
        if package is None:
            known = ", ".join(p.name for p in self._packages)
            raise MigrationError(f"there is no package {package_name!r}; known are: {known}")
        with self._locked(lock_timeout_s) as database:
            try:
                return [f"{package.name}/{name}" for name in _Runner(database, package).down()]
            except (playhouse_migrations.MigrationError, RuntimeError) as error:
                raise MigrationError(f"{package.name}: {error}") from error

    def status(self) -> list[MigrationStatus]:
        """Return every migration, applied or pending, package by package."""
        database = self._database()
        try:
            return [row for package in self._packages for row in _status(database, package)]
        finally:
            database.close()

    def _database(self) -> peewee.PostgresqlDatabase:
        return peewee.PostgresqlDatabase(self._url, application_name="tenure migrate")

    @contextmanager
    def _locked(self, timeout_s: float) -> Iterator[peewee.PostgresqlDatabase]:
        # Polled: a session that waits for an advisory lock holds a snapshot, and CREATE INDEX
        # CONCURRENTLY in the other runner would wait for it: a deadlock.
        database = self._database()
        lock = psycopg2.connect(self._url, application_name="tenure migrate lock")
        lock.autocommit = True
        try:
            _refuse_pooler(lock)
            deadline = time.monotonic() + timeout_s
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise MigrationError(
                        f"another process is migrating this database (waited {timeout_s:g} s)"
                    )
                time.sleep(_LOCK_POLL_S)
            yield database
        finally:
            lock.close()
            database.close()

    def _prepare(self, database: peewee.PostgresqlDatabase) -> None:
        execute(
            database,
            "CREATE SCHEMA IF NOT EXISTS tenure",
            "GRANT USAGE ON SCHEMA tenure"
            " TO tenure_app, tenure_retention, tenure_verifier, tenure_auditor",
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
            # The functions' bodies name a table of the first migration: looked up when they run.
            "SET LOCAL check_function_bodies = off",
        )
        cursor: Any = database.cursor()
        cursor.execute("SELECT to_regprocedure('tenure.current_tenant()')")
        if cursor.fetchone()[0] is None:
            # Policies name it. Where it is there, it stays until the tables suit the new one.
            execute(database, *context_statements(self._mode, self._binding))

    def _install_key(self, database: peewee.PostgresqlDatabase, *, put_back: bool) -> None:
        execute(database, *context_statements(self._mode, self._binding))
        install_key(
            database.cursor(), self._context_key, actor="tenure migrate up", put_back=put_back
        )


def _refuse_pooler(connection: Any) -> None:
    """The lock is a session's: behind a pooler it would be somebody else's the next moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        if cursor.fetchone()[0] != connection.info.backend_pid:
            raise MigrationError(
                "DATABASE_URL leads to a connection pooler: migrations need PostgreSQL itself"
            )


def _try_lock(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (_LOCK,))
        return bool(cursor.fetchone()[0])


def _status(database: peewee.PostgresqlDatabase, package: Package) -> Iterator[MigrationStatus]:
    runner = _Runner(database, package)
    changed = set(runner.changed())
    rows: dict[str, Any] = {}
    if runner.History.table_exists():
        rows = {row.name: row for row in runner.History.select()}
    migration: Migration
    for migration in runner.status():
        row = rows.get(migration.name)
        yield MigrationStatus(
            package=package.name,
            name=migration.name,
            applied_at=row.applied.isoformat() if row else None,
            duration_ms=row.duration_ms if row else None,
            changed=migration.name in changed or (row is not None and migration.path is None),
        )
