"""Databases for benchmarks: an embedded PostgreSQL with its usual safety, and what is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql

from api.wiring import migrator_of, prepare
from config.postgres import EmbeddedPostgres
from config.secrets import load_or_create_secrets
from config.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent


class World:
    """A server, and settings of installations on it."""

    def __init__(self, server: EmbeddedPostgres, folder: Path) -> None:
        self._server = server
        self._secrets = load_or_create_secrets(folder).environment()

    def admin_url(self, database: str) -> str:
        """Return the superuser's URL of a database."""
        return self._server.url(dbname=database)

    def create(self, database: str) -> None:
        """Make an empty database."""
        connection = psycopg2.connect(self._server.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        connection.close()

    def installation(self, database: str, context: str, *, pooler: str = "none") -> Settings:
        """Make a database with the shop's schema, and return its settings (of a direct way in)."""
        self.create(database)
        settings = load_settings(
            {
                **self._secrets,
                "DATABASE_URL": self.admin_url(database),
                "TENURE_DOMAIN": "shop",
                "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
                "TENURE_CONTEXT": context,
                "TENURE_POOLER": pooler,
                "TENURE_STATEMENT_TIMEOUT_MS": "0",
            },
            None,
        )
        prepare(settings)
        migrator_of(settings).up()
        return settings


@contextmanager
def world() -> Iterator[World]:
    """Run a server for the block; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tenure-bench-") as folder:
        server = EmbeddedPostgres(
            Path(folder) / "postgres",
            settings={
                "shared_buffers": "512MB",
                "max_wal_size": "4GB",
                "synchronous_commit": "off",
            },
        )
        server.start()
        try:
            yield World(server, Path(folder))
        finally:
            server.destroy()
