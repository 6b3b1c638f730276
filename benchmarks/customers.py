"""A million customers of a hundred tenants: with tenancy as the shop has them, and without.

The table without tenancy is what a team would write that has none: one key, no policies, the
same other columns and indexes. `keyed` has the shop's keys and indexes, and no policies.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import UUID

import psycopg2

from benchmarks.world import World
from config.settings import Settings

ROWS = 1_000_000
TENANTS = 100

#: The columns a page shows, in both tables.
COLUMNS = "id, number, name, email, country, created_at, deleted_at"

_FILL_BARE = f"""
CREATE TABLE customers (
    id uuid PRIMARY KEY, tenant uuid NOT NULL, number text NOT NULL, name text NOT NULL,
    email text, country text NOT NULL, created_at timestamptz NOT NULL, deleted_at timestamptz);
INSERT INTO customers
SELECT md5('c' || n)::uuid, md5('t' || n % {TENANTS})::uuid, lpad(n::text, 8, '0'),
       'Customer ' || n, 'c' || n || '@example.org', 'DE',
       '2020-01-01'::timestamptz + n * '1 min'::interval
FROM generate_series(1, {ROWS}) n;
CREATE UNIQUE INDEX ON customers (number);
CREATE INDEX ON customers (deleted_at);
CREATE TABLE keyed (
    id uuid NOT NULL, tenant_id uuid NOT NULL, number text NOT NULL, name text NOT NULL,
    email text, country text NOT NULL, created_at timestamptz NOT NULL, deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, number));
CREATE INDEX ON keyed (tenant_id, deleted_at);
INSERT INTO keyed
SELECT id, tenant, number, name, email, country, created_at FROM customers ORDER BY 2, 3;
"""

# By tenant: neighbours of a page lie together here as they do in the other table.
_FILL_SCOPED = f"""
INSERT INTO shop.customers (id, tenant_id, number, name, email, country, created_at)
SELECT md5('c' || n)::uuid, md5('t' || n % {TENANTS})::uuid, lpad(n::text, 8, '0'),
       'Customer ' || n, 'c' || n || '@example.org', 'DE',
       '2020-01-01'::timestamptz + n * '1 min'::interval
FROM generate_series(1, {ROWS}) n ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Target:
    """A customer that is there: its tenant and its key."""

    tenant: UUID
    key: UUID


@dataclass(frozen=True)
class Customers:
    """The databases filled. `modes` are installations per context, `pooled` is sealed for a way
    through a pooler; `bare_url` has no tenancy.
    """

    modes: dict[str, Settings]
    pooled: Settings
    bare_url: str
    targets: tuple[Target, ...]

    def target(self, number: int) -> Target:
        """Return the customer that round `number` asks for."""
        return self.targets[number % len(self.targets)]


def fill(world: World) -> Customers:
    """Make and fill the databases; some ten seconds each."""
    modes = {mode: world.installation(f"customers_{mode}", mode) for mode in ("plain", "sealed")}
    pooled = world.installation("customers_pooled", "sealed", pooler="transaction")
    world.create("customers_bare")
    bare_url = world.admin_url("customers_bare")
    _run(bare_url, _FILL_BARE, "VACUUM ANALYZE customers", "VACUUM ANALYZE keyed")
    for mode in (*modes, "pooled"):
        url = world.admin_url(f"customers_{mode}")
        _run(url, _FILL_SCOPED, "VACUUM ANALYZE shop.customers")
    connection = psycopg2.connect(bare_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT tenant, id FROM customers ORDER BY md5(number) LIMIT 1000")
        targets = tuple(Target(UUID(str(t)), UUID(str(k))) for t, k in cursor.fetchall())
    connection.close()
    return Customers(modes, pooled, bare_url, targets)


def page_start(number: int) -> str:
    """Return where the page of round `number` starts: far from the end, so that it is full."""
    return str(random.Random(number).randrange(ROWS - 10_000)).zfill(8)


def _run(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
