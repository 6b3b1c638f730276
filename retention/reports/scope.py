"""What a report is about: a period, one tenant or all of them; and what time it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenants.registry import TenantRow


@dataclass(frozen=True, slots=True)
class Scope:
    """From `since` (None: from the beginning) until before `until` (None: until now); of one
    tenant, or of all. `confined`: read by that tenant's own auditor, who sees its rows and nothing
    that was written for everybody.

    Raises ValueError, naming both, for a period that ends before it begins.
    """

    since: datetime | None = None
    until: datetime | None = None
    tenant: TenantRow | None = None
    confined: bool = False

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(
                f"from {self.since.isoformat()} until {self.until.isoformat()} is no period"
            )
        if self.confined and self.tenant is None:
            raise ValueError("who is confined is confined to a tenant")

    @property
    def params(self) -> dict[str, datetime | str | None]:
        """Parameters for `at >= %(since)s::timestamptz AND at < %(until)s::timestamptz`, and
        `%(tenant)s::uuid`, which is NULL for all."""
        return {
            "since": self.since or "-infinity",
            "until": self.until or "infinity",
            "tenant": None if self.tenant is None else str(self.tenant.id),
        }

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the period and the tenant, in words."""
        if self.since is None and self.until is None:
            period = "all that is recorded"
        else:
            begins = "the beginning" if self.since is None else _words(self.since)
            period = f"from {begins} until {'now' if self.until is None else _words(self.until)}"
        tenant = self.tenant
        whose = "all tenants" if tenant is None else f"{tenant.name} ({tenant.slug})"
        return (("Period", period), ("Tenant", whose))


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Ticking:
    """How retention is woken: `now`, every `tick`, and when the verification runs (cron)."""

    now: datetime
    tick: timedelta
    verify_schedule: str | None = None


def _words(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
