"""A domain: a team's own package of models, resources, policies and migrations.

Found by name, from a setting: `<name>.models.MODELS`, `<name>.resources.RESOURCES`,
`policies.toml` and `migrations/` beside them, and `subjects.toml` where it has any.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import peewee

from tenants.archive import is_archive
from tenants.catalog import Catalog, catalog_of
from tenants.errors import DomainError
from tenants.resource import Resource


@dataclass(frozen=True)
class Domain:
    """A loaded domain. All its tables live in `schema`, but for its archives."""

    name: str
    schema: str
    models: tuple[type[peewee.Model], ...]
    catalog: Catalog
    resources: tuple[Resource, ...]
    policies: Path
    migrations: Path
    archives: tuple[str, ...] = ()
    """The schemas of its archives."""

    @property
    def subjects(self) -> Path:
        """Where it says whose data people may ask for; a domain may have none."""
        return self.policies.with_name("subjects.toml")

    @property
    def connectors(self) -> Path:
        """Where it says who else holds what there is of a person; it may be nobody."""
        return self.policies.with_name("connectors.toml")


def load_domain(name: str, path: Path | None = None) -> Domain:
    """Import the package `name`, from the folder `path` if given, else from where Python looks.

    Raises DomainError, naming what is missing, when it does not hold what a domain must.
    """
    if path is not None:
        folder = str(path.resolve())
        if not Path(folder).is_dir():
            raise DomainError(f"domain_path {folder!r} is no folder")
        if folder not in sys.path:
            sys.path.insert(0, folder)
    package = _module(name, name)
    if not package.__file__:
        raise DomainError(f"domain {name!r}: the package has no __init__.py")
    home = Path(package.__file__).parent
    models = tuple(_declared(name, "models", "MODELS"))
    resources = tuple(_declared(name, "resources", "RESOURCES"))
    for needed in (home / "policies.toml", home / "migrations"):
        if not needed.exists():
            raise DomainError(f"domain {name!r}: {needed} is missing")
    catalog = catalog_of(models)
    archives = {str(m._meta.schema) for m in models if is_archive(m)}
    schemas = {str(m._meta.schema) for m in models if not is_archive(m)}
    if archives & {*schemas, "tenure", "public"}:
        raise DomainError(
            f"domain {name!r}: its archives must live in schemas of their own, "
            f"not in {', '.join(sorted(archives))}"
        )
    if len(schemas) != 1 or schemas & {"tenure", "public"}:
        raise DomainError(
            f"domain {name!r}: its tables must live in one schema of their own, "
            f"not in {', '.join(sorted(schemas)) or 'none'}"
        )
    for resource in resources:
        if resource.model not in models:
            raise DomainError(
                f"domain {name!r}: resource {resource.name!r} shows a model not in MODELS"
            )
    return Domain(
        name=name,
        schema=schemas.pop(),
        archives=tuple(sorted(archives)),
        models=models,
        catalog=catalog,
        resources=resources,
        policies=home / "policies.toml",
        migrations=home / "migrations",
    )


def part_of(domain: str, part: str) -> ModuleType | None:
    """Return the optional module `<domain>.<part>`, or None where the domain has none."""
    if importlib.util.find_spec(f"{domain}.{part}") is None:
        return None
    return importlib.import_module(f"{domain}.{part}")


def _declared(domain: str, part: str, constant: str) -> Any:
    module = _module(f"{domain}.{part}", domain)
    try:
        return getattr(module, constant)
    except AttributeError:
        raise DomainError(
            f"domain {domain!r}: {domain}.{part} does not define {constant}"
        ) from None


def _module(name: str, domain: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise DomainError(
                f"domain {domain!r}: there is no module {error.name}; is domain_path right?"
            ) from error
        raise
