"""Errors of the tenants package. Driver errors are translated in `tenants.connections` alone."""

from __future__ import annotations


class TenantError(Exception):
    """Root of all errors raised by `tenants`."""


class NoTenantError(TenantError):
    """A tenant's table was about to be touched without a tenant in context."""


class TenantMismatchError(TenantError):
    """A row, object or value of one tenant met the context of another."""


class NestedTenantError(TenantError):
    """Another tenant's scope was opened inside an open transaction."""


class UnscopableError(TenantError):
    """A query holds something whose tenant cannot be enforced at compile time."""


class UnprovenSqlError(TenantError):
    """Raw SQL was refused: nothing proved that it is scoped to the current tenant."""


class StaleObjectError(TenantError):
    """`save()` or `delete_instance()` of a persisted object touched no row."""


class UnsafeRoleError(TenantError):
    """The connected role could bypass row-level security; the service refuses to start."""


class PoolTimeoutError(TenantError):
    """No connection became free in time."""


class PoolClosedError(TenantError):
    """A connection was asked of a pool that is closed."""


class CatalogError(TenantError):
    """A model or domain declaration cannot be turned into a safe schema."""


class DomainError(TenantError):
    """The configured domain package cannot be loaded."""


class MigrationError(TenantError):
    """Migrations cannot be applied: changed on disk, locked elsewhere, or failed."""


class ContextKeyError(TenantError):
    """The keys of the sealed context cannot be installed or exchanged as asked."""


class TransactionError(TenantError):
    """A transaction was asked for something that it cannot be, where it stands."""


class MissingParentError(TenantError):
    """A row was about to refer, by `column`, to one that is deleted, if only softly."""

    def __init__(self, message: str, *, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


class TooMuchError(TenantError):
    """The rows that were asked for come to more text than one answer may have."""


class RegistryError(TenantError):
    """A tenant, login or token cannot be made or found as asked."""


class ImportFileError(TenantError):
    """A file as a whole cannot be imported: not readable, not of the expected kind."""
