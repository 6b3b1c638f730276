"""The schema that statements are judged against: read at once, understood when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import blake2b

from lint.config import Config
from lint.errors import ConfigError
from lint.inputs.sources import read_text
from lint.schema.catalog import Catalog

# What of the configuration decides no verdict, or does so outside of the cache.
_APART = {"exclude", "schema", "catalog", "folder", "file", "baseline", "allowances"}


@dataclass(frozen=True)
class Known:
    """The text of a schema and where it is from. `script`: it is SQL, else a catalog file."""

    config: Config
    origin: str
    text: str
    script: bool

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, completed by the configuration. Raises LintError."""
        config = self.config
        if self.script:
            # Heavy, and a run that finds everything in the cache never comes here.
            from lint.schema.script import load_schema

            loaded = load_schema(self.text, origin=self.origin)
        else:
            loaded = Catalog.from_json(self.text, origin=self.origin)
        path = config.search_path or loaded.search_path
        return Catalog(loaded.tables, loaded.views, search_path=path).with_tenancy(config.tenancy)

    def digest(self) -> bytes:
        """A digest of all that decides a verdict beside the statement."""
        config = self.config
        settings = {
            field.name: getattr(config, field.name)
            for field in fields(config)
            if field.name not in _APART
        }
        return blake2b(
            f"{settings!r}\0{self.script}\0{self.text}".encode(), digest_size=32
        ).digest()


def known(config: Config) -> Known:
    """What the configuration says of the schema. Raises ConfigError, SourceError."""
    if config.schema is not None and config.catalog is not None:
        raise ConfigError("the configuration names a schema and a catalog; one is enough")
    file = config.schema or config.catalog
    if file is None:
        raise ConfigError("no schema: give --schema or --catalog, or set one in the configuration")
    text = read_text(file)
    # A catalog file may be given as the schema, too.
    script = config.schema is not None and not text.lstrip().startswith("{")
    return Known(config, str(file), text, script)
