"""Databases for the retention's benchmarks: filled once, copied for each contender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

from benchmarks.world import World
from config.settings import Settings
from tenants.roles import close_database

_TENANTS = """
INSERT INTO tenure.tenants (id, slug, name)
SELECT md5('t' || n)::uuid, 't' || n, 'Tenant ' || n FROM generate_series(0, {tenants} - 1) n;
INSERT INTO tenure.gates (tenant_id) SELECT id FROM tenure.tenants ON CONFLICT DO NOTHING;
"""

# Half of the rows are due, and none comes due while others are measured.
# A text of 200 characters a note; tenants' rows lie among each other, as time brought them.
NOTES = (
    _TENANTS
    + """
INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)
SELECT md5('t' || n % {tenants})::uuid, gen_random_uuid(), 'customer', gen_random_uuid(),
       repeat(md5(n::text), 6) || 'the end.', now() - interval '2 years' * (1 - n / {rows}.0)
           - interval '4 years' * (n <= {rows} / 2)::int
FROM generate_series(1, {rows}) n
"""
)

# Customers, two invoices each, of three lines.
CUSTOMERS = (
    _TENANTS
    + """
INSERT INTO shop.products (tenant_id, id, sku, unit_price, created_at)
SELECT id, md5('p' || slug)::uuid, 'a', 1, now() FROM tenure.tenants;
INSERT INTO shop.customers (tenant_id, id, number, name, country, created_at, deleted_at)
SELECT md5('t' || n % {tenants})::uuid, md5('c' || n)::uuid, n::text, 'Customer ' || n, 'DE',
       now() - interval '1 year', now() - interval '20 days' * (1 - n / {rows}.0)
           - interval '40 days' * (n <= {rows} / 2)::int
FROM generate_series(1, {rows}) n;
INSERT INTO shop.invoices (tenant_id, id, number, customer_id, issued_at, status, currency, total)
SELECT md5('t' || n % {tenants})::uuid, md5('i' || n || ' ' || i)::uuid, n || '-' || i,
       md5('c' || n)::uuid, now() - interval '1 year', 'paid', 'GBP', 3
FROM generate_series(1, {rows}) n, generate_series(1, 2) i;
INSERT INTO shop.invoice_lines
       (tenant_id, id, invoice_id, product_id, line_no, description, quantity, unit_price)
SELECT md5('t' || n % {tenants})::uuid, gen_random_uuid(), md5('i' || n || ' ' || i)::uuid,
       md5('p' || 't' || n % {tenants})::uuid, l, 'one of them', 1, 1
FROM generate_series(1, {rows}) n, generate_series(1, 2) i, generate_series(1, 3) l
"""
)


class Template:
    """A filled database; `copy` lends copies of it."""

    def __init__(self, world: World, name: str, fill: str, *, rows: int, tenants: int) -> None:
        self._world = world
        self._name = name
        self._settings = world.installation(name, "sealed")
        connection = psycopg2.connect(world.admin_url(name))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(fill.format(rows=rows, tenants=tenants))
            cursor.execute("VACUUM ANALYZE")
        connection.close()

    @contextmanager
    def copy(self, called: str = "copy") -> Iterator[Settings]:
        """Yield the settings of a fresh copy, gone afterwards."""
        name = f"{self._name}_{called}"
        url = self._world.admin_url(name)
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, self._name)
        close_database(url)
        # Whoever comes next finds no pages that others left to be written.
        self._run("CHECKPOINT")
        try:
            yield self._settings.model_copy(update={"database_url": url})
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        connection = psycopg2.connect(self._world.admin_url("postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        connection.close()


def host_and_port(settings: Settings) -> tuple[str, int]:
    """Return where the server of these settings listens."""
    parts = urlsplit(settings.database_url or "")
    return parts.hostname or "127.0.0.1", parts.port or 5432
