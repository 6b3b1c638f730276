"""The gate's configuration: `[tool.tenure.lint]` in pyproject.toml or `[lint]` in tenure.toml."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lint.allowances import FIXED, Allowance
from lint.declared import Sources
from lint.errors import ConfigError
from lint.inputs.paths import Patterns
from lint.schema.catalog import Tenancy

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
    "baseline": "the path of a baseline file",
    "strict_source": "true or false",
    "sinks": "a table of Python function = position or keyword of its SQL",
    "suppress": "written [[lint.suppress]], with path, codes, reason and perhaps expires",
}
_ALLOWANCE_KEYS = {"path", "codes", "reason", "expires"}


@dataclass(frozen=True)
class Config:
    """Paths are relative to `folder`, where the `file` stands (None: there is no file).

    `strict_source`: what is bound to a parameter that is not declared is a finding.
    """

    tenancy: Tenancy = field(default_factory=Tenancy)
    sources: Sources = field(default_factory=Sources)
    search_path: tuple[str, ...] = ()
    exclude: Mapping[str, str] = field(default_factory=dict)
    schema: Path | None = None
    catalog: Path | None = None
    folder: Path = field(default_factory=Path)
    file: Path | None = None
    baseline: Path | None = None
    strict_source: bool = False
    allowances: tuple[Allowance, ...] = ()
    sinks: Mapping[str, int | str] = field(default_factory=dict)

    @cached_property
    def _exclude(self) -> Patterns:
        return Patterns(self.exclude, self.folder)

    def excluded(self, path: Path) -> bool:
        """Whether the configuration leaves a file or folder out."""
        return self._exclude.match(path)


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
        table = lint_table(file.read_text(encoding="utf-8"), file.name)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:  # no TOML, or no text
        raise ConfigError(f"{file}: not TOML: {error}") from error
    name = ".".join(_keys(file.name))
    if table is None:
        if required:
            raise ConfigError(f"{file}: there is no table [{name}]")
        return None
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {name} must be a table")
    return _Reader(file, table).config()


def lint_table(text: str, name: str) -> Any:
    """What a file of this name says of the linter; None if nothing.

    Raises ValueError for what is no TOML.
    """
    table: Any = tomllib.loads(text)
    for key in _keys(name):
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _keys(name: str) -> tuple[str, ...]:
    return ("tool", "tenure", "lint") if name == "pyproject.toml" else ("lint",)


def _codes() -> frozenset[str]:
    """The codes of findings that can be allowed.

    By the names of the rules' files: the rules themselves bring the parser.
    """
    names = (file.name[:5].upper() for file in (Path(__file__).parent / "rules").glob("ts*.py"))
    return frozenset(names) - frozenset(FIXED)


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
        return Config(
            Tenancy(
                columns if columns is not None else Tenancy().tenant_columns,
                self._text("tenants_table"),
                self._map("exempt", reasons=True),
                self._map("parents"),
                self._map("tenant_column_of"),
                named=columns is not None,
            ),
            sources,
            self._list("search_path") or (),
            self._map("exclude", reasons=True),
            self._path("schema"),
            self._path("catalog"),
            self.file.resolve().parent,
            self.file,
            self._path("baseline"),
            self._flag("strict_source"),
            self._allowances(),
            self._sinks(),
        )

    def _sinks(self) -> dict[str, int | str]:
        value = self.table.get("sinks", {})
        if not isinstance(value, dict):
            raise self._wrong("sinks")
        for place in value.values():
            if isinstance(place, bool) or not isinstance(place, int | str) or place == -1:
                raise self._wrong("sinks")
        return dict(value)

    def _allowances(self) -> tuple[Allowance, ...]:
        entries = self.table.get("suppress", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._wrong("suppress")
        return tuple(self._allowance(n, entry) for n, entry in enumerate(entries, 1))

    def _allowance(self, number: int, entry: dict[str, Any]) -> Allowance:
        where = f"{self.file}: [[lint.suppress]] number {number}"
        for key in entry:
            if key not in _ALLOWANCE_KEYS:
                raise ConfigError(f"{where}: unknown key {key!r}")
        for key in ("path", "reason"):
            if not isinstance(entry.get(key), str) or not entry[key].strip():
                raise ConfigError(f"{where}: {key} must be a text")
        codes = entry.get("codes")
        if not isinstance(codes, list) or not codes or not all(isinstance(c, str) for c in codes):
            raise ConfigError(f"{where}: codes must be a list of codes")
        for code in codes:
            if code.upper() not in _codes():
                raise ConfigError(f"{where}: {code} is no code that can be allowed")
        expires = entry.get("expires")
        if expires is not None and type(expires) is not datetime.date:
            raise ConfigError(f"{where}: expires must be a date, as in 2030-01-31")
        return Allowance(
            entry["path"], tuple(code.upper() for code in codes), entry["reason"], expires
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

    def _flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key)
        return value

    def _text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key)
        return value

    def _path(self, key: str) -> Path | None:
        value = self._text(key)
        return None if value is None else self.file.resolve().parent / value
