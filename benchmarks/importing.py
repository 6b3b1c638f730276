"""What the importer costs: its rows per second against a bare multi-row INSERT of the same rows.

The alternative is the least that any import must do: psycopg2's execute_values, a thousand
rows a statement, one transaction, the same tables and indexes, as a superuser whom row-level
security does not bind, with the rows ready in memory. The importer reads, decodes and checks
the file, makes tenants and keys, finds what is there, stamps, and keeps its progress.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extras import execute_values, register_uuid

from api.wiring import open_installation, owner_of
from benchmarks.measure import Figure
from benchmarks.world import ROOT, World
from config.clock import utc_now
from config.settings import Settings
from config.trace import new_trace_id
from tenants.importing import ImportJob, Reject, importer_of
from tenants.registry import ensure_tenant, slug_of

DATA = ROOT.parent / "shared" / "data" / "online_retail_2010-12.csv.gz"
#: Parents first.
TABLES = ("customers", "products", "invoices", "invoice_lines")
ROUNDS = 3


def run(world: World) -> Iterator[Figure]:
    """Yield the figures; none where the data set is not there."""
    if not DATA.exists():
        print(f"  left out: the data set is not at {DATA}")
        return
    register_uuid()
    imports: list[float] = []
    inserts: list[float] = []
    total = 0
    for number in range(ROUNDS):
        settings = world.installation(f"import_{number}", "sealed")
        imports.append(_import(settings))
        rows = _rows(world.admin_url(f"import_{number}"))
        total = sum(len(of_table) for _, of_table in rows.values())
        world.installation(f"insert_{number}", "sealed")
        inserts.append(_insert(world.admin_url(f"insert_{number}"), rows))
    ratio = statistics.median(i / b for i, b in zip(imports, inserts, strict=True))
    yield Figure(
        "import of the Online Retail file / bare multi-row INSERT of the same rows",
        ratio,
        "ratio",
        ceiling=2.5,
        note=f"{total / statistics.median(imports):,.0f} against "
        f"{total / statistics.median(inserts):,.0f} rows/s, {total:,} rows",
    )


def _import(settings: Settings) -> float:
    installation = open_installation(settings)
    rejects: list[Reject] = []
    try:
        with owner_of(settings) as owner:
            started = time.perf_counter()
            summary = importer_of(installation.domain, "online-retail")(
                ImportJob(
                    source=DATA,
                    ensure_tenant=lambda name: ensure_tenant(owner, slug_of(name), name),
                    reject=rejects.append,
                    actor="benchmark",
                    trace_id=new_trace_id(),
                    now=utc_now(),
                )
            )
            took = time.perf_counter() - started
    finally:
        installation.close()
    if not summary.adds_up or summary.imported < 30_000:
        raise RuntimeError(f"the import did not do its work: {summary}")
    return took


Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


def _rows(url: str) -> Rows:
    """Return columns and rows of every table."""
    found: Rows = {}
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier("shop", table)))
            found[table] = ([c.name for c in cursor.description or ()], cursor.fetchall())
    connection.close()
    return found


def _insert(url: str, rows: Rows) -> float:
    connection = psycopg2.connect(url)
    started = time.perf_counter()
    with connection, connection.cursor() as cursor:
        for table, (columns, of_table) in rows.items():
            statement = sql.SQL("INSERT INTO {} ({}) VALUES %s").format(
                sql.Identifier("shop", table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            execute_values(cursor, statement, of_table, page_size=1000)
    took = time.perf_counter() - started
    connection.close()
    return took
