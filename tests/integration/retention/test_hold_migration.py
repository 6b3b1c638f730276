"""Holds that were there before holds could be on less than a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation, migrator_of
from retention.hold_records import holds
from tenants.context import TenantId
from tenants.errors import MigrationError

Sql = Callable[..., list[tuple[Any, ...]]]


def take_down(installation: Installation) -> None:
    """Take the product's migrations down to before the one of holds."""
    migrator = migrator_of(installation.settings)
    migrator.down("shop")
    while any(s.applied_at for s in migrator.status() if s.name.endswith("_holds")):
        migrator.down("tenure")


def test_holds_that_were_there_stay_what_they_were(
    installation: Installation, make_tenant: Callable[..., TenantId], owner_sql: Sql
) -> None:
    acme = str(make_tenant("acme"))
    take_down(installation)
    owner_sql(
        "INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by, placed_at,"
        " released_by, released_at) VALUES"
        " (%(t)s, gen_random_uuid(), 'open', 'r', 'a', '2020-01-01', NULL, NULL),"
        " (%(t)s, gen_random_uuid(), 'over', 'r', 'a', '2020-01-02', 'b', '2020-02-01')",
        {"t": acme},
    )
    migrator_of(installation.settings).up()
    with installation.verifier.transaction(None) as cursor:
        found = holds(cursor, released=True)
    assert [(h.matter, h.scope.kind, h.in_force, h.rows_then) for h in found] == [
        ("open", "tenant", True, None),
        ("over", "tenant", False, None),
    ]
    assert found[1].effective_at == found[1].released_at
    assert owner_sql(
        "SELECT h.matter, e.event, e.actor, e.effective_at = h.released_at"
        " FROM tenure.hold_events e JOIN tenure.holds h ON h.id = e.hold_id"
        " ORDER BY e.happened_at"
    ) == [
        ("open", "placed", "a", None),
        ("over", "placed", "a", None),
        ("over", "released", "b", True),
    ]
    take_down(installation)
    assert owner_sql("SELECT matter, released_at IS NULL FROM tenure.holds ORDER BY 1") == [
        ("open", True),
        ("over", False),
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"scope": "table", "table_name": "shop.notes", "condition": "true"},
        {"released_by": "b", "released_at": "2020-01-01", "effective_at": "2999-01-01"},
    ],
)
def test_what_the_schema_before_could_not_say_is_not_taken_down(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Sql,
    columns: dict[str, str],
) -> None:
    acme = str(make_tenant("acme"))
    names = ", ".join(columns)
    owner_sql(
        f"INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by, {names}) VALUES"
        f" (%s, gen_random_uuid(), 'm', 'r', 'a', {', '.join(['%s'] * len(columns))})",
        (acme, *columns.values()),
    )
    with pytest.raises(MigrationError, match="holds on less than a tenant"):
        take_down(installation)


@pytest.mark.parametrize(
    "columns",
    [
        {"scope": "tenant", "table_name": "shop.notes"},
        {"scope": "subject", "table_name": "shop.notes"},
        {"scope": "table", "table_name": "shop.notes"},
        {"scope": "rows"},
        {"scope": "everything"},
        {"released_by": "b", "released_at": "2020-01-01"},
        {"effective_at": "2020-01-01"},
        {"released_by": "b", "released_at": "2020-01-02", "effective_at": "2020-01-01"},
        {"keys_kept": "true"},
    ],
)
def test_a_hold_that_says_two_things_is_refused_by_the_database(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Sql,
    columns: dict[str, str],
) -> None:
    acme = str(make_tenant("acme"))
    names = ", ".join(columns)
    with pytest.raises(psycopg2.errors.CheckViolation):
        owner_sql(
            f"INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by, {names}) VALUES"
            f" (%s, gen_random_uuid(), 'm', 'r', 'a', {', '.join(['%s'] * len(columns))})",
            (acme, *columns.values()),
        )
