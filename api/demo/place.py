"""Where a demo lives: its folder, its database, the settings of its installation.

One process owns a folder, from start to stop. What it needs to be found is in two files
of mode 0600: `tenure.toml`, with which any `tenure` command run in the folder works on the
demo, and `demo.json`, for scripts and people.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from pydantic import SecretStr

import migrations
from api.wiring import passwords_of
from config.errors import ConfigError
from config.postgres import EmbeddedPostgres
from config.postgres_home import lock, write_private
from config.secrets import load_or_create_secrets
from config.settings import Settings
from retention.ledger.keys import create_key

DATABASE = "tenure"
LEDGER = "tenure.demo.example/ledger"
_EXAMPLES = Path(migrations.__path__[0]).parent / "examples"


class Place:
    """A demo's folder. `base` are the user's own settings: what they set wins."""

    def __init__(self, folder: Path, base: Settings) -> None:
        self.folder = folder
        self._base = base
        self.toml = folder / "tenure.toml"
        self.note = folder / "demo.json"

    @contextmanager
    def opened(self, *, port: int) -> Iterator[Settings]:
        """Own the folder and run its database for the block; yield the settings.

        Raises AlreadyRunningError while another demo owns the folder, ConfigError where the shop
        is not there.
        """
        if self._base.domain is None and not _EXAMPLES.is_dir():
            raise ConfigError(
                "the demo runs from a checkout of Tenure (`make demo`): its shop, examples/, is no "
                "part of an installation. For a domain of your own set TENURE_DOMAIN"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        locked = lock(self.folder)
        try:
            if self._base.database_url is not None:
                # Roles are the whole server's: making up passwords would lock others out.
                passwords_of(self._base)
                yield self._settings(self._base.database_url, port)
                return
            server = EmbeddedPostgres(self.folder / "postgres")
            server.start()
            try:
                _ensure_database(server.url(), DATABASE)
                yield self._settings(server.url(dbname=DATABASE), port)
            finally:
                server.stop()
        finally:
            os.close(locked)

    def forget_database(self, settings: Settings) -> None:
        """Drop and make anew the embedded database of a demo that was never finished."""
        if self._base.database_url is not None or settings.database_url is None:
            raise ConfigError(
                "the database holds tenants, but this folder does not know them: "
                "the demo wants an empty database"
            )
        admin = settings.database_url.rpartition("/")[0] + "/postgres"
        _execute(admin, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        _ensure_database(admin, DATABASE)

    def _settings(self, url: str, port: int) -> Settings:
        secrets = asdict(load_or_create_secrets(self.folder))
        update: dict[str, Any] = {
            name: SecretStr(value)
            for name, value in secrets.items()
            if getattr(self._base, name) is None
        }
        if self._base.ledger_origin is None:
            update |= self._ledger()
        if self._base.domain is None:
            update |= {"domain": "shop", "domain_path": _EXAMPLES}
        settings = self._base.model_copy(
            update={**update, "database_url": url, "host": "127.0.0.1", "port": port}
        )
        self._write_toml(settings)
        return settings

    def _ledger(self) -> dict[str, Any]:
        """Return the settings of the demo's ledger; its key is made with the folder."""
        key_file, folder = self.folder / "ledger.key", self.folder / "ledger"
        folder.mkdir(exist_ok=True)
        if not key_file.exists():
            create_key(key_file, LEDGER)
        return {"ledger_origin": LEDGER, "ledger_key_file": key_file, "ledger_dir": folder}

    def _write_toml(self, settings: Settings) -> None:
        lines = ["# Written by `tenure demo`; any tenure command run in this folder uses it."]
        for name in Settings.model_fields:
            value = getattr(settings, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if isinstance(value, Path):
                value = str(value.resolve())
            if value is not None:
                # JSON's strings, numbers and booleans are TOML's.
                lines.append(f"{name} = {json.dumps(value)}")
        write_over(self.toml, "\n".join(lines) + "\n")

    def read_note(self) -> dict[str, Any] | None:
        """Return what demo.json says; None where there is none."""
        if not self.note.exists():
            return None
        content: dict[str, Any] = json.loads(self.note.read_text())
        return content

    def write_note(self, content: Mapping[str, Any]) -> None:
        """Write demo.json, whole or not at all, mode 0600."""
        write_over(self.note, json.dumps(content, indent=2, default=str) + "\n")


def write_over(path: Path, text: str) -> None:
    """Replace a private file in one step."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, text)
    fresh.replace(path)


def _ensure_database(admin_url: str, name: str) -> None:
    connection = psycopg2.connect(admin_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,))
            if cursor.rowcount == 0:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        connection.close()


def _execute(url: str, statement: sql.Composable) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
