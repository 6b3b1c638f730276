"""What the configuration declares to stand for the current tenant. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sources:
    """What stands for the current tenant.

    `expressions` are SQL (`tenure.current_tenant()`, `current_setting('app.tenant_id')::uuid`),
    `parameters` are names of placeholders (`tenant_id` for `:tenant_id` and `%(tenant_id)s`).
    All of them are taken to be the same value. `functions` are further functions,
    `schema.name`, that are known to read no tenant's rows.
    """

    expressions: tuple[str, ...] = ("tenure.current_tenant()",)
    parameters: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
