"""Who asks, once that is known."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from tenants.context import TenantId
from tenants.registry import MemberRole

Via = Literal["token", "session"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated login: a member of one tenant, or an auditor outside of all.

    `tenant_id` and `role` are both there or both None. `email` is known for sessions.
    """

    login_id: uuid.UUID
    tenant_id: TenantId | None
    role: MemberRole | None
    is_auditor: bool
    via: Via
    email: str | None = None

    @property
    def actor(self) -> str:
        """How records name this login."""
        return f"login:{self.login_id}"

    @property
    def may_write(self) -> bool:
        """Owners and members write; viewers read."""
        return self.role in ("owner", "member")
