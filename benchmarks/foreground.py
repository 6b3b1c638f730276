"""A load beside what is measured: open loop, in a process of its own.

Requests come when they come, whether those before are answered or not; a latency is counted
from the moment its request was due (otherwise a stalled server would be asked less, and look
well).

Both have sessions on a server that shares the machine with them. Where two share a processor, a
request waits for its turn on it, whatever the other does, counting for one: some 3 ms, more than
a request takes. So the load and its sessions have the first processor, and what is measured
beside it, with its sessions, the last (`apart`): what is left is what they do to each other in the
database, by locks, WAL and pages.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import psycopg2

from config.settings import Settings

RATE = 100
_CONNECTIONS = 8
_WARMUP_S = 1.0


def processors() -> tuple[int, int] | None:
    """Return the first and the last processor that we may use; None where they cannot be told
    apart, or chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    ours = sorted(os.sched_getaffinity(0))
    return (ours[0], ours[-1]) if len(ours) > 1 else None


@contextmanager
def apart(url: str) -> Iterator[None]:
    """Keep this process, its threads and its sessions (all but those of the load) on the last
    processor while the block runs. `url` is a superuser's, on this machine."""
    found = processors()
    if found is None:
        yield
        return
    before, ended = os.sched_getaffinity(0), threading.Event()
    mover = threading.Thread(target=_move, args=(url, found[1], ended))
    os.sched_setaffinity(0, {found[1]})
    mover.start()
    try:
        yield
    finally:
        ended.set()
        mover.join()
        os.sched_setaffinity(0, before)


def _move(url: str, processor: int, ended: threading.Event) -> None:
    """Move the sessions of our roles, as they come."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    moved: set[int] = set()
    with connection.cursor() as cursor:
        while not ended.wait(0.05):
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE usename LIKE 'tenure%%'")
            for (pid,) in cursor.fetchall():
                if pid not in moved:
                    with suppress(ProcessLookupError):
                        os.sched_setaffinity(pid, {processor})
                    moved.add(pid)
    connection.close()


@dataclass
class Load:
    """What the load met: seconds per request, there once its block is left."""

    latencies: list[float] = field(default_factory=list)


@contextmanager
def foreground(settings: Settings) -> Iterator[Load]:
    """Ask `RATE` times a second while the block runs: a note written, another read."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    stop = context.Event()
    process = context.Process(target=_serve, args=(there, stop, settings.database_url))
    process.start()
    load = Load()
    try:
        here.recv()
        yield load
    finally:
        stop.set()
        load.latencies += here.recv()
        process.join()


def p99(latencies: Sequence[float]) -> float:
    """Return the 99th percentile, by the nearest rank."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _serve(told: Connection, stop: Event, url: str) -> None:
    found = processors()
    if found is not None:
        os.sched_setaffinity(0, {found[0]})
    due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    met: list[tuple[float, float]] = []
    threads = [threading.Thread(target=_ask, args=(url, due, met)) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    number, ready = 0, False
    while not stop.is_set():
        at = began + number / RATE
        time.sleep(max(0.0, at - time.perf_counter()))
        due.put(at)
        number += 1
        if not ready and at - began >= _WARMUP_S:
            ready = True
            told.send(None)
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    told.send([took for at, took in met if at - began >= _WARMUP_S])


def _ask(url: str, due: queue.SimpleQueue[float | None], met: list[tuple[float, float]]) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    found = processors()
    if found is not None:
        os.sched_setaffinity(connection.info.backend_pid, {found[0]})
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM tenure.tenants ORDER BY slug LIMIT 1")
        ((tenant,),) = cursor.fetchall()
        while (at := due.get()) is not None:
            cursor.execute(
                "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
                " VALUES (%s, gen_random_uuid(), 'customer', gen_random_uuid(), 'x', now())",
                (tenant,),
            )
            cursor.execute(
                "SELECT body FROM shop.notes WHERE tenant_id = %s AND created_at > now()"
                " - interval '1 year' ORDER BY created_at LIMIT 50",
                (tenant,),
            )
            cursor.fetchall()
            met.append((at, time.perf_counter() - at))
    connection.close()
