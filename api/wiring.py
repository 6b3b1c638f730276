"""Puts an installation together from its settings: domain, connections per role, prover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import migrations
from api.lint_catalog import lint_catalog
from config.clock import Clock, SystemClock
from config.errors import ConfigError
from config.settings import Settings, variable
from lint.guard import make_prover
from tenants.catalog import Catalog
from tenants.connections import Role, RoleConnections, connect_role
from tenants.database import TenantDatabase
from tenants.domain import Domain, load_domain
from tenants.migrate import Migrator, Package
from tenants.models import database as model_database
from tenants.pool import Limits
from tenants.roles import ROLES, prepare_database
from tenants.seal import Binding, Sealer


@dataclass(frozen=True)
class Installation:
    """A wired installation: everything a request, a job or a command is given.

    `prove` says None of SQL that is proven to look at its own tenant alone, else the reason.
    """

    settings: Settings
    domain: Domain
    catalog: Catalog
    clock: Clock
    prove: Callable[[str], str | None]
    app: TenantDatabase
    app_connections: RoleConnections
    retention: RoleConnections
    verifier: RoleConnections
    auditor: RoleConnections

    def close(self) -> None:
        """Close the connections that rest."""
        for connections in (self.app_connections, self.retention, self.verifier, self.auditor):
            connections.pool.close()


def sealer_of(settings: Settings) -> Sealer:
    """Return the maker of context tokens; raises SettingsError without a key."""
    return Sealer(settings.context, settings.sealing_key(), binding_of(settings))


def binding_of(settings: Settings) -> Binding:
    """Return what context tokens are bound to: behind a pooler nobody knows the backend."""
    return "backend" if settings.pooler == "none" else "expiry"


def session_of(settings: Settings, role: Role) -> dict[str, int]:
    """Return the limits of a role's sessions, as PostgreSQL's settings."""
    works = role in ("tenure_retention", "tenure_verifier")
    return {
        "statement_timeout": (
            settings.job_statement_timeout_ms if works else settings.statement_timeout_ms
        ),
        "lock_timeout": settings.lock_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_ms,
    }


def sessions_of(settings: Settings) -> dict[Role, dict[str, int]]:
    """Return the limits of each role's sessions; the owner, who migrates, has none."""
    return {role: session_of(settings, role) for role in ROLES if role != "tenure_owner"}


def domain_of(settings: Settings) -> Domain:
    """Return the configured domain; raises ConfigError when none is."""
    if settings.domain is None:
        raise ConfigError("no domain is configured: set TENURE_DOMAIN, or domain in tenure.toml")
    return load_domain(settings.domain, settings.domain_path)


def refuse_unset(settings: Settings, roles: Iterable[Role], *more: str) -> None:
    """Raise ConfigError that names all that is not set and is needed to connect as `roles`, to
    load the domain, and as `more` keys say: at once, and before anything is done."""
    wanted = ["database_url", *(f"{role.removeprefix('tenure_')}_password" for role in roles)]
    wanted += ["context_key", "domain", *more]
    unset = [variable(key) for key in wanted if getattr(settings, key) is None]
    if unset:
        raise ConfigError(
            f"not set, and needed: {', '.join(unset)}; in the environment or in tenure.toml, as "
            "docs/operator.md has it under First installation"
        )


def passwords_of(settings: Settings) -> dict[Role, str]:
    """Return every role's password; raises ConfigError naming the first that is not set."""
    passwords: dict[Role, str] = {}
    for role in ROLES:
        key = f"{role.removeprefix('tenure_')}_password"
        secret = getattr(settings, key)
        if secret is None:
            raise ConfigError(f"{variable(key)} is not set, and {role} needs it")
        passwords[role] = secret.get_secret_value()
    return passwords


def migrator_of(settings: Settings) -> Migrator:
    """Return what migrates the configured database: the product first, then the domain."""
    sealer = sealer_of(settings)
    return Migrator(
        settings.role_url("tenure_owner"),
        packages_of(domain_of(settings)),
        mode=sealer.mode,
        context_key=sealer.key,
        binding=sealer.binding,
    )


def packages_of(domain: Domain) -> tuple[Package, ...]:
    """Return whose migrations are applied, in order: the product's, then the domain's."""
    return (
        Package("tenure", Path(migrations.__path__[0])),
        Package(domain.name.replace(".", "_"), domain.migrations),
    )


def connections_of(settings: Settings, role: Role, *, size: int | None = None) -> RoleConnections:
    """Return a pool of connections as `role`, with the session limits of the settings."""
    return connect_role(
        role,
        partial(settings.role_url, role),
        sealer_of(settings),
        size=size or settings.pool_size,
        limits=Limits(
            timeout_s=settings.pool_timeout_s,
            max_idle_s=settings.pool_max_idle_s,
            max_lifetime_s=settings.pool_max_lifetime_s,
        ),
        application_name=role.replace("_", " "),
        session=session_of(settings, role),
        pooled=settings.pooler == "transaction",
        comments=settings.sql_comments == "on",
    )


def prepare(settings: Settings) -> None:
    """Make the roles and close the database, as the user of DATABASE_URL.

    Raises ConfigError when that, or a password, is not set.
    """
    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set")
    prepare_database(settings.database_url, passwords_of(settings), sessions=sessions_of(settings))


def refuse_too_many_connections(settings: Settings, pools: Sequence[RoleConnections]) -> None:
    """Raise ConfigError when the server cannot have as many connections as these pools may want.

    Behind a pooler that is the pooler's concern.
    """
    if settings.pooler != "none":
        return
    wanted = settings.processes * sum(connections.pool.size for connections in pools)
    with pools[0].pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.current_setting('max_connections')::int"
            " - pg_catalog.current_setting('superuser_reserved_connections')::int"
        )
        row = cursor.fetchone()
    if row is not None and wanted > row[0]:
        raise ConfigError(
            f"{settings.processes} processes (TENURE_PROCESSES) with {len(pools)} pools of "
            f"{pools[0].pool.size} connections (TENURE_POOL_SIZE) want {wanted}, and this server "
            f"has {row[0]}: lower these, raise its max_connections, or put a pooler between "
            "(TENURE_POOLER)"
        )


def open_installation(settings: Settings, *, clock: Clock | None = None) -> Installation:
    """Load the domain and connect its models to the application's role.

    Connections are made when first needed. Raises ConfigError or DomainError.
    """
    domain = domain_of(settings)
    app_connections = connections_of(settings, "tenure_app")
    prove = make_prover(lint_catalog(domain.catalog))
    app = TenantDatabase(app_connections, domain.catalog, prove=prove)
    model_database.initialize(app)
    return Installation(
        settings=settings,
        domain=domain,
        catalog=domain.catalog,
        clock=clock or SystemClock(),
        prove=prove,
        app=app,
        app_connections=app_connections,
        retention=connections_of(settings, "tenure_retention"),
        verifier=connections_of(settings, "tenure_verifier"),
        auditor=connections_of(settings, "tenure_auditor"),
    )


@contextmanager
def owner_of(settings: Settings) -> Iterator[RoleConnections]:
    """Borrow connections of tenure_owner, for operators' commands; it never serves."""
    owner = connections_of(settings, "tenure_owner", size=2)
    try:
        yield owner
    finally:
        owner.pool.close()
