"""The gate's configuration: `[tool.tenure.lint]` in pyproject.toml or `[lint]` in tenure.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from lint.catalog import Tenancy
from lint.errors import ConfigError
from lint.values import Sources

_KEYS = {
    "tenant_columns": "a list of column names",
    "tenant_column_of": "a table of table = column",
    "tenants_table": "the name of a table",
    "exempt": "a table of table = reason",
    "parents": 'a table of table = "column -> table.column"',
    "sources": "a list of SQL expressions",
    "parameters": "a list of placeholder names",
    "functions": "a table of function = reason",
    "exclude": "a table of path = reason",
    "search_path": "a list of schemas",
    "schema": "the path of a schema script",
    "catalog": "the path of a catalog file",
}


@dataclass(frozen=True, slots=True)
class Config:
    """Paths are relative to `folder`, where the file stands."""

    tenancy: Tenancy = field(default_factory=Tenancy)
    sources: Sources = field(default_factory=Sources)
    search_path: tuple[str, ...] = ()
    exclude: Mapping[str, str] = field(default_factory=dict)
    schema: Path | None = None
    catalog: Path | None = None
    folder: Path = field(default_factory=Path)

    def excluded(self, path: Path) -> bool:
        """Whether the configuration leaves a file or folder out."""
        try:
            relative = PurePath(path.resolve().relative_to(self.folder.resolve()))
        except ValueError:
            return False
        return any(
            relative == PurePath(pattern)
            or relative.is_relative_to(PurePath(pattern))
            or relative.match(pattern)
            for pattern in self.exclude
        )


def find_config(start: Path) -> Config:
    """The nearest configuration in `start` or a folder above; the default if there is none."""
    for folder in (start.resolve(), *start.resolve().parents):
        for name in ("tenure.toml", "pyproject.toml"):
            file = folder / name
            if file.is_file():
                found = load_config(file, required=False)
                if found is not None:
                    return found
    return Config(folder=start)


def load_config(file: Path, *, required: bool = True) -> Config | None:
    """Raises ConfigError, naming file and key. None: no such table, and not `required`."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    table: Any = document
    keys = ("tool", "tenure", "lint") if file.name == "pyproject.toml" else ("lint",)
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    if table is None:
        if required:
            raise ConfigError(f"{file}: there is no table [{'.'.join(keys)}]")
        return None
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {'.'.join(keys)} must be a table")
    return _Reader(file, table).config()


class _Reader:
    def __init__(self, file: Path, table: dict[str, Any]) -> None:
        self.file = file
        self.table = table

    def config(self) -> Config:
        for key in self.table:
            if key not in _KEYS:
                known = ", ".join(sorted(_KEYS))
                raise ConfigError(f"{self.file}: unknown key {key!r}; known are {known}")
        columns = self._list("tenant_columns")
        expressions = self._list("sources")
        sources = Sources(
            expressions if expressions is not None else Sources().expressions,
            self._list("parameters") or (),
            tuple(self._map("functions", reasons=True)),
        )
        sources.forms()
        return Config(
            Tenancy(
                columns if columns is not None else Tenancy().tenant_columns,
                self._text("tenants_table"),
                self._map("exempt", reasons=True),
                self._map("parents"),
                self._map("tenant_column_of"),
            ),
            sources,
            self._list("search_path") or (),
            self._map("exclude", reasons=True),
            self._path("schema"),
            self._path("catalog"),
            self.file.resolve().parent,
        )

    def _wrong(self, key: str) -> ConfigError:
        return ConfigError(f"{self.file}: {key} must be {_KEYS[key]}")

    def _list(self, key: str) -> tuple[str, ...] | None:
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key)
        return tuple(value)

    def _map(self, key: str, *, reasons: bool = False) -> dict[str, str]:
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key)
        for name, text in value.items():
            if not isinstance(text, str):
                raise self._wrong(key)
            if reasons and not text.strip():
                raise ConfigError(f"{self.file}: {key}.{name} needs a reason")
        return dict(value)

    def _text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key)
        return value

    def _path(self, key: str) -> Path | None:
        value = self._text(key)
        return None if value is None else self.file.resolve().parent / value
