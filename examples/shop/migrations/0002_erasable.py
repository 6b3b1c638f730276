"""Retention may change what says who a customer is: `subjects.toml` has it anonymised."""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

_WHAT = "UPDATE (number, name, email) ON shop.customers"


def up(migrator: Any, db: Any) -> None:
    """Grant it."""
    execute(db, f"GRANT {_WHAT} TO tenure_retention")


def down(migrator: Any, db: Any) -> None:
    """Take it back."""
    execute(db, f"REVOKE {_WHAT} FROM tenure_retention")
