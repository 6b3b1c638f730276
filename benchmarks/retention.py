"""What retention costs, gate, holds, records and commitments to the keys included.

The alternatives, as a superuser whom row-level security does not bind: one plain DELETE per
tenant, which nobody could stop, resume or account for; and the loop of those who fetch ids
into the program and delete by a thousand. A fresh copy of a database for each, in turns.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

import psycopg2

from api.wiring import open_installation
from api.workshop import workshop_of
from benchmarks.foreground import apart, foreground, p99, processors
from benchmarks.measure import Figure, peak_memory
from benchmarks.retention_data import CUSTOMERS, NOTES, Template
from benchmarks.world import World
from config.logging import configure_logging
from config.settings import Settings
from config.trace import new_trace_id
from retention.executor import Options
from retention.jobs import run_once
from retention.policies import Policy
from retention.runs import report_of
from retention.tick import tick
from retention.workshop import Workshop
from tenants.catalog import TableName

ROWS = 1_000_000
TENANTS = 10
BATCH = 10_000
ROUNDS = 3

#: Three deep: a customer, its invoices, their lines (and, here without rows, notes, profiles).
WHOLE_CUSTOMERS = Policy(
    name="whole-customers",
    table=TableName("shop", "customers"),
    starts="deleted_at",
    period="P30D",
    along=tuple(
        TableName("shop", name)
        for name in ("customer_profiles", "invoices", "invoice_lines", "notes")
    ),
    legal_basis="benchmark",
    deletion_class="benchmark",
)

Contender = Callable[[Settings], tuple[float, int]]


def run(world: World) -> Iterator[Figure]:
    """Yield the figures."""
    configure_logging("json", "error")
    notes = Template(world, "notes", NOTES, rows=ROWS, tenants=TENANTS)
    yield from _one_table(notes)
    yield _old_snapshot(notes)
    yield from _foreground(world)
    yield from _graph(world)
    yield from _many_tenants(world)
    yield _memory(world)
    yield _two_workers(notes)


def _one_table(notes: Template) -> Iterator[Figure]:
    """Where the time goes, in microseconds of the server's processor a row: a plain DELETE 1.3; a
    sweep finds rows by the index 0.8, hashes keys and takes down starting points 0.6, keeps both
    0.4, deletes by place 1.4; the other statements of a batch 0.4. The aim is out of reach as long
    as rows are found before they are deleted. DELETE .. RETURNING over a range was tried: by the
    index it takes as long (3.2), where the range's end must be found first, and by bitmap longer.
    """
    times = _interleaved(notes, {"plain": _plain, "loop": _loop, "ours": _ours})
    rows = ROWS // 2
    yield Figure(
        f"half of {ROWS:,} rows, {TENANTS} tenants: rows/s / one plain DELETE per tenant",
        _ratio(times["plain"], times["ours"]),
        "ratio",
        floor=0.4,
        aim=0.5,
        note=", ".join(
            f"{name} {rows / statistics.median(of):,.0f} rows/s" for name, of in times.items()
        ),
    )
    yield Figure(
        "the same: rows/s / ids fetched and deleted by 1,000",
        _ratio(times["loop"], times["ours"]),
        "ratio",
        floor=4.0,
    )


def _old_snapshot(notes: Template) -> Figure:
    times = _interleaved(notes, {"without": _ours, "with": _beside_an_old_snapshot})
    return Figure(
        "the same with an old snapshot held open / without",
        _ratio(times["with"], times["without"]),
        "ratio",
        ceiling=1.5,
    )


def _foreground(world: World) -> Iterator[Figure]:
    """Latencies are counted from when a request was due, not from when it could be sent.

    The bound is for the pace that docs/operator.md says is for a server that serves meanwhile. A
    process that only counts shows what of it the machine does. `benchmarks.foreground` says who
    has which processor.
    """
    notes = Template(world, "served", NOTES, rows=ROWS // 10, tenants=TENANTS)
    met: dict[str, list[float]] = {name: [] for name in _BESIDE}
    rows: list[float] = []
    for _ in range(ROUNDS):
        for name, beside in _BESIDE.items():
            with (
                notes.copy() as settings,
                foreground(settings) as load,
                apart(str(settings.database_url)),
            ):
                rate = beside(settings)
            met[name] += load.latencies
            rows += [rate] if name == "gentle" else []
    alone = met["alone"]

    def figure(name: str, what: str, ceiling: float | None, note: str = "") -> Figure:
        return Figure(
            f"p99 of an open-loop load beside {what} / without",
            p99(met[name]) / p99(alone),
            "ratio",
            ceiling=ceiling,
            note=f"{p99(met[name]) * 1000:.1f} against {p99(alone) * 1000:.1f} ms,"
            f" {len(met[name])} and {len(alone)} requests{note}",
        )

    pace = f", batches of {_GENTLE['batch_ms']} ms, {_GENTLE['batch_share']:.0%} of the time"
    own = "each on a processor of its own" if processors() else "on the same processors"
    deleted = f", {statistics.median(rows):,.0f} rows/s deleted, {own}"
    yield figure("gentle", f"it{pace}", 1.2, deleted)
    yield figure("full", "it at full speed", None)
    yield figure("counting", "a process that only counts", None)


def _graph(world: World) -> Iterator[Figure]:
    customers = Template(world, "customers", CUSTOMERS, rows=40_000, tenants=TENANTS)
    times = _interleaved(customers, {"plain": _plain_graph, "ours": _ours_graph})
    rows = 40_000 // 2 * 9
    yield Figure(
        "a graph three deep: rows/s / one plain DELETE per tenant and table",
        _ratio(times["plain"], times["ours"]),
        "ratio",
        floor=0.3,
        aim=0.5,
        note=", ".join(
            f"{name} {rows / statistics.median(of):,.0f} rows/s" for name, of in times.items()
        ),
    )


def _many_tenants(world: World) -> Iterator[Figure]:
    tenants = 10_000
    few = Template(world, "few", NOTES, rows=10 * tenants, tenants=tenants)
    times: dict[str, list[float]] = {"plain": [], "ours": [], "tick": []}
    for _ in range(ROUNDS):
        with few.copy() as settings:
            times["plain"].append(_plain(settings)[0])
        with few.copy() as settings, _shop(settings, Options(batch_size=1000)) as shop:
            began = time.perf_counter()
            report = run_once(shop, shop.plan)
            times["ours"].append(time.perf_counter() - began)
            _expect(report.rows, 5 * tenants)
            tick(shop)
            began = time.perf_counter()
            _expect(tick(shop, verify_every=timedelta(hours=1)).run, None)
            times["tick"].append(time.perf_counter() - began)
    yield Figure(
        f"{tenants:,} tenants with 5 due rows each: time / one plain DELETE per tenant",
        _ratio(times["ours"], times["plain"]),
        "ratio",
        ceiling=30.0,
        aim=10.0,
        note=f"{tenants / statistics.median(times['ours']):,.0f} tenants/s",
    )
    yield Figure(
        f"a tick over {tenants:,} tenants with nothing due",
        statistics.median(times["tick"]),
        "seconds",
        ceiling=1.0,
    )


def _memory(world: World) -> Figure:
    peaks = {}
    for rows in (10_000, 1_000_000):
        # Half of the rows are due.
        template = Template(world, f"memory_{rows}", NOTES, rows=2 * rows, tenants=1)
        with template.copy() as settings:
            peaks[rows] = _peak(settings)
    return Figure(
        "peak memory of a process that deletes 1,000,000 rows / 10,000",
        peaks[1_000_000] / peaks[10_000],
        "ratio",
        ceiling=1.1,
        note=f"{peaks[1_000_000] / 1024:.0f} against {peaks[10_000] / 1024:.0f} MiB",
    )


def _two_workers(notes: Template) -> Figure:
    """A process each, on units of one run. The server and its workers share the processors."""
    times = _interleaved(notes, {"one": partial(_work, 1), "two": partial(_work, 2)})
    return Figure(
        "the same by two workers / by one: rows/s",
        _ratio(times["one"], times["two"]),
        "ratio",
        floor=1.1,
        aim=1.5,
        note=f"{os.cpu_count()} processors",
    )


# -- beside a load ---------------------------------------------------------------------

_GENTLE = {"batch_ms": 20, "batch_share": 0.1}
_LONG_S = 6.0


def _gently(settings: Settings) -> float:
    """Return rows/s."""
    seconds, rows = _run(settings.model_copy(update=_GENTLE), None)
    return rows / seconds


def _fully(settings: Settings) -> float:
    seconds, rows = _run(settings, Options(batch_size=1000))
    return rows / seconds


def _sleep(_settings: Settings) -> float:
    time.sleep(_LONG_S)
    return 0.0


def _count(_settings: Settings) -> float:
    process = multiprocessing.get_context("spawn").Process(target=_spin)
    process.start()
    process.join()
    return 0.0


def _spin() -> None:
    until = time.monotonic() + _LONG_S
    while time.monotonic() < until:
        pass


_BESIDE = {"alone": _sleep, "gentle": _gently, "full": _fully, "counting": _count}


# -- contenders ------------------------------------------------------------------------


def _interleaved(template: Template, contenders: dict[str, Contender]) -> dict[str, list[float]]:
    """Return each contender's seconds per round; all must delete the same number of rows."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        rows = set()
        for name, contender in contenders.items():
            with template.copy() as settings:
                seconds, deleted = contender(settings)
            times[name].append(seconds)
            rows.add(deleted)
        if len(rows) != 1 or rows == {0}:
            raise RuntimeError(f"the contenders did not do the same: {rows}")
    return times


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def _expect(got: object, wanted: object) -> None:
    if got != wanted:
        raise RuntimeError(f"expected {wanted}, got {got}")


@contextmanager
def _shop(
    settings: Settings, options: Options | None, policies: tuple[Policy, ...] | None = None
) -> Iterator[Workshop]:
    installation = open_installation(settings)
    try:
        shop = workshop_of(installation, actor="benchmark", options=options)
        yield shop if policies is None else replace(shop, policies=policies)
    finally:
        installation.close()


def _run(
    settings: Settings, options: Options | None, policies: tuple[Policy, ...] | None = None
) -> tuple[float, int]:
    """Return (seconds, rows) of the run of a plan; planning is not counted."""
    with _shop(settings, options, policies) as shop:
        shop.record()
        plan = shop.plan()
        began = time.perf_counter()
        report = run_once(shop, lambda: plan)
        took = time.perf_counter() - began
    _expect(report.state, "succeeded")
    return took, report.rows


def _ours(settings: Settings) -> tuple[float, int]:
    return _run(settings, Options(batch_size=BATCH))


def _work(workers: int, settings: Settings) -> tuple[float, int]:
    """Return (seconds, rows) of a run that so many processes work on, once all are ready."""
    with _shop(settings, Options()) as shop:
        shop.record()
        run_id = shop.open(shop.plan(), trace_id=new_trace_id())
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(workers)]
        processes = [
            context.Process(target=_help, args=(there, settings, run_id)) for _, there in pipes
        ]
        for process in processes:
            process.start()
        for here, _ in pipes:
            here.recv()
        began = time.perf_counter()
        for here, _ in pipes:
            here.send(None)
        for process in processes:
            process.join()
            _expect(process.exitcode, 0)
        took = time.perf_counter() - began
        report = report_of(shop.verifier, run_id)
        _expect(report.state, "succeeded")
        return took, report.rows


def _help(told: Connection, settings: Settings, run_id: UUID) -> None:
    configure_logging("json", "error")
    with _shop(settings, Options(batch_size=BATCH)) as shop:
        worker = shop.worker()
        told.send(None)
        told.recv()
        worker.work(run_id)


def _ours_graph(settings: Settings) -> tuple[float, int]:
    return _run(settings, Options(batch_size=2_000), (WHOLE_CUSTOMERS,))


def _beside_an_old_snapshot(settings: Settings) -> tuple[float, int]:
    connection = psycopg2.connect(settings.database_url or "")
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM shop.notes LIMIT 1")
        try:
            return _ours(settings)
        finally:
            connection.close()


_DUE = "created_at < now() - interval '3 years'"


def _plain(settings: Settings) -> tuple[float, int]:
    return _per_tenant(settings, [f"DELETE FROM shop.notes WHERE tenant_id = %(t)s AND {_DUE}"])


def _plain_graph(settings: Settings) -> tuple[float, int]:
    due = (
        "SELECT id FROM shop.customers WHERE tenant_id = %(t)s"
        " AND deleted_at < now() - interval '30 days'"
    )
    invoices = f"SELECT id FROM shop.invoices WHERE tenant_id = %(t)s AND customer_id IN ({due})"
    return _per_tenant(
        settings,
        [
            "DELETE FROM shop.invoice_lines WHERE tenant_id = %(t)s"
            f" AND invoice_id IN ({invoices})",
            f"DELETE FROM shop.invoices WHERE tenant_id = %(t)s AND customer_id IN ({due})",
            "DELETE FROM shop.customers WHERE tenant_id = %(t)s"
            " AND deleted_at < now() - interval '30 days'",
        ],
    )


def _per_tenant(settings: Settings, statements: Sequence[str]) -> tuple[float, int]:
    rows = 0
    with _connected(settings) as (connection, cursor, tenants):
        began = time.perf_counter()
        for tenant in tenants:
            for statement in statements:
                cursor.execute(statement, {"t": tenant})
                rows += cursor.rowcount
            connection.commit()
        return time.perf_counter() - began, rows


def _loop(settings: Settings) -> tuple[float, int]:
    rows = 0
    with _connected(settings) as (connection, cursor, tenants):
        began = time.perf_counter()
        for tenant in tenants:
            while True:
                # In order, or it may read all that it has deleted again and again.
                cursor.execute(
                    f"SELECT id::text FROM shop.notes WHERE tenant_id = %s AND {_DUE}"
                    " ORDER BY created_at LIMIT 1000",
                    (tenant,),
                )
                ids = tuple(row[0] for row in cursor.fetchall())
                if not ids:
                    break
                cursor.execute(
                    "DELETE FROM shop.notes WHERE tenant_id = %s AND id IN %s", (tenant, ids)
                )
                rows += cursor.rowcount
                connection.commit()
        return time.perf_counter() - began, rows


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[Any, Any, list[str]]]:
    connection = psycopg2.connect(settings.database_url or "")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id::text FROM tenure.tenants ORDER BY slug")
            tenants = [row[0] for row in cursor.fetchall()]
            connection.commit()
            yield connection, cursor, tenants
    finally:
        connection.close()


def _peak(settings: Settings) -> float:
    """Return the most memory, in KiB, that a process of its own needs for a run."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure_peak, args=(there, settings))
    process.start()
    process.join()
    _expect(process.exitcode, 0)
    return float(here.recv())


def _measure_peak(told: Connection, settings: Settings) -> None:
    configure_logging("json", "error")
    _ours(settings)
    told.send(peak_memory())
