"""What the audit of a large database costs, against `pg_dump --schema-only` of the same.

Both read the same catalogs over the same connection, and do nothing with the rows; a dump is what
everybody runs against production without a second thought. The dump comes with the embedded
server; on a server where it is not found only the absolute figure is given.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from psycopg2 import sql

from benchmarks.measure import Figure, interleaved
from benchmarks.world import World
from config.postgres_install import installations
from tenants.posture.examples import BASE

TABLES = 10_000
_BATCH = (
    100  # tables created in a transaction, and in one session: each keeps what it saw in memory
)
# What holds on a busy machine of two cores. The aim is 1.
RATIO = 1.5


def run(world: World) -> Iterator[Figure]:
    """Yield the audit's time for 10,000 tenant tables, and its ratio to a dump of their schema."""
    world.create("audited")
    url = world.admin_url("audited")
    _fill(url)
    audit = [str(Path(sys.executable).with_name("tenure")), "posture", "--database-url", url]
    contenders = {"audit": lambda _: _run(audit)}
    dump = _pg_dump()
    if dump is not None:
        contenders["dump"] = lambda _: _run([dump, "--schema-only", "--dbname", url])
    medians = interleaved(contenders, rounds=3, warmup=1)
    yield Figure(f"audit of {TABLES:,} tenant tables", medians["audit"], "s")
    if dump is not None:
        ratio = medians["audit"] / medians["dump"]
        yield Figure("against pg_dump --schema-only", ratio, "x", RATIO, aim=1.0)


def _pg_dump() -> str | None:
    for found in installations():
        program = found.root / "bin" / "pg_dump"
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("pg_dump")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode() or done.stdout.decode()[-2000:])


def _fill(url: str) -> None:
    """Tables with keys, policies and grants as the audit likes them: each is judged to the end."""
    for first in range(0, TABLES, _BATCH):
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            if first == 0:
                cursor.execute(BASE)
            cursor.execute("SET LOCAL ROLE shop_owner")
            for number in range(first, min(first + _BATCH, TABLES)):
                target = "customers" if number % _BATCH == 0 else f"t{number - 1}"
                cursor.execute(
                    _TABLE.format(table=sql.Identifier(f"t{number}"), target=sql.Identifier(target))
                )
        connection.close()


_TABLE = sql.SQL("""
CREATE TABLE shop.{table} (
    tenant_id uuid NOT NULL, id uuid NOT NULL, other_id uuid, name text NOT NULL, note text,
    amount numeric, state text NOT NULL DEFAULT 'new',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, other_id) REFERENCES shop.{target} (tenant_id, id));
CREATE INDEX ON shop.{table} (tenant_id, other_id);
ALTER TABLE shop.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.{table} TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
CREATE POLICY owner ON shop.{table} TO shop_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE, UPDATE (name, note, state) ON shop.{table} TO shop_app;
""")
