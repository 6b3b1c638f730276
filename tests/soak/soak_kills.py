"""Workers killed at every step and at any moment: rows gone are rows recorded, always."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention import holds
from retention.batch import STEPS
from retention.deletions import keys_digest
from tenants.context import TenantId
from tests.integration.retention.shop_rows import environment_of
from tests.integration.retention.test_oracle import TABLES, Rows, oracle, plant, read_rows

Order = Callable[..., int]
_NAME = "tenure-soak-worker"


@pytest.fixture
def order(lab: Any) -> Iterator[Order]:
    """`order(batch_size=2, step="gate", count=1)` has a worker work; returns its exit code.

    `meanwhile` is done here while it works.
    """
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "kill_worker.py")],
        env=environment_of(lab.installation) | {"PGAPPNAME": _NAME},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def give(*, meanwhile: Callable[[], None] | None = None, **what: Any) -> int:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(what) + "\n")
            process.stdin.flush()
            if meanwhile:
                meanwhile()
            code = int(process.stdout.readline())
            wait_for_its_sessions(lab.installation.settings.database_url)
            return code

        yield give
        process.stdin.close()
        assert process.wait(30) == 0


def wait_for_its_sessions(url: str) -> None:
    """What a killed worker had sent, the server may still be doing."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for _ in range(3000):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
                    " AND datname = current_database()",
                    (_NAME,),
                )
                if cursor.fetchone() == (0,):
                    return
                time.sleep(0.01)
    finally:
        connection.close()
    raise AssertionError("a killed worker's session does not end")


class Watch:
    """Knows all rows that ever were, and checks what became of them."""

    def __init__(self, lab: Any, tenants: list[TenantId], rng: random.Random) -> None:
        self.lab, self.tenants, self.rng = lab, tenants, rng
        self.planted: dict[TenantId, Rows] = {t: {n: {} for n in TABLES} for t in tenants}
        self.left: dict[str, set[str]] = {name: set() for name in TABLES}
        self.batches = 0
        self.held: dict[TenantId, tuple[UUID, dict[str, set[str]]]] = {}

    def plant(self, tenant: TenantId) -> None:
        plant(self.lab, tenant, self.rng)
        for name, rows in read_rows(self.lab, tenant).items():
            new = {i: row for i, row in rows.items() if i not in self.planted[tenant][name]}
            self.planted[tenant][name] |= new
            self.left[name] |= set(new)

    def hold(self, tenant: TenantId) -> None:
        placed = holds.place(
            self.lab.installation.retention, tenant, matter="m", reason="r", actor="t"
        )
        self.held[tenant] = (placed, self.ids(tenant))

    def release(self, tenant: TenantId) -> None:
        placed, _ = self.held.pop(tenant)
        installation = self.lab.installation
        holds.release(installation.retention, installation.verifier, placed, actor="t", grace="P0D")

    def ids(self, tenant: TenantId) -> dict[str, set[str]]:
        return {name: set(rows) for name, rows in read_rows(self.lab, tenant).items()}

    def total(self) -> int:
        return sum(len(rows) for of in self.planted.values() for rows in of.values())

    def check(self) -> int:
        """Rows gone are rows recorded; return how many are gone since the last time."""
        now = {name: self.lab.ids(name) for name in TABLES}
        gone = {name: self.left[name] - now[name] for name in TABLES}
        assert all(now[name] <= self.left[name] for name in TABLES)
        ever = {name: sum(len(r[name]) for r in self.planted.values()) for name in TABLES}
        lost = {f"lab.{n}": ever[n] - len(now[n]) for n in TABLES if ever[n] != len(now[n])}
        assert self.lab.recorded() == lost
        batches = self.lab.sql("SELECT counts FROM tenure.batches ORDER BY id")
        if len(batches) == self.batches + 1:
            ((counts,),) = batches[-1:]
            digests = {table: entry["sha256"] for table, entry in counts.items()}
            assert digests == {
                f"lab.{n}": keys_digest(map(UUID, ids)) for n, ids in gone.items() if ids
            }
        self.batches, self.left = len(batches), now
        for tenant, (_, ids) in self.held.items():
            assert self.ids(tenant) == ids, "a held row is gone"
        report = self.lab.verify()
        assert sum(report.orphans().values()) == 0, report.orphans()
        return sum(map(len, gone.values()))

    def expected(self) -> dict[str, set[str]]:
        """What the rules leave of all rows that ever were."""
        left: dict[str, set[str]] = {name: set() for name in TABLES}
        for tenant, rows in self.planted.items():
            for name in ("citations", "nodes", "cases") if tenant not in self.held else ():
                policy = next(p for p in self.lab.policies if p.name == name)
                cutoff = policy.cutoff(self.lab.now)
                before = cutoff.date() if name == "cases" else cutoff
                oracle(rows, name, {t.name for t in policy.along}, before)
            for name in TABLES:
                left[name] |= set(rows[name])
        return left


def test_killed_again_and_again(
    lab: Any,
    make_tenant: Callable[..., TenantId],
    order: Order,
    seed: str,
    part: int,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(f"kills {seed} {part}")
    tenants = [make_tenant(slug) for slug in ("acme", "globex", "initech", "umbrella")]
    watch = Watch(lab, tenants, rng)
    for tenant in tenants:
        watch.plant(tenant)
    watch.hold(tenants[0])
    killed = in_batch = finished = gone = placed = 0
    took = 400.0
    while killed < kills:
        batch_size = rng.choice((1, 1, 2, 3))
        if killed % 2:
            # Steps in turn, so that each has its share whatever the seed.
            step = STEPS[(part + killed // 2) % len(STEPS)]
            code = order(batch_size=batch_size, step=step, count=rng.choice((1, 1, 2, 3)))
        else:
            began = time.monotonic()
            meanwhile, pause_ms = None, 0
            if rng.random() < 0.5 and tenants[1] not in watch.held:
                # The plan knows nothing of this hold: each batch has to look for itself.
                pause = rng.uniform(0, took) / 1000

                def meanwhile(pause: float = pause) -> None:
                    time.sleep(pause)
                    watch.hold(tenants[1])

                placed += 1
                pause_ms = 40

            code = order(
                batch_size=batch_size,
                after_ms=rng.uniform(0.3, 1) * took,
                pause_ms=pause_ms,
                meanwhile=meanwhile,
            )
            took = max(100.0, min(took, 2000 * (time.monotonic() - began))) if not code else took
        assert code in (0, -signal.SIGKILL)
        running = lab.sql("SELECT count(*) FROM tenure.runs WHERE state = 'running'")
        lately = watch.check()
        gone += lately
        if code:
            killed += 1
            in_batch += running != [(0,)]
        if not code:
            finished += 1
            for tenant in tenants:
                if tenant not in watch.held:
                    watch.plant(tenant)
        if tenants[1] in watch.held and rng.random() < 0.6:
            watch.release(tenants[1])
            watch.plant(tenants[1])
        # The dead worker's lease would run out by itself; nobody waits for it here.
        lab.sql("UPDATE tenure.leases SET lease_until = now()")
    if tenants[1] in watch.held:
        watch.release(tenants[1])
    assert order(batch_size=50) == 0
    gone += watch.check()
    assert watch.left == watch.expected()
    assert lab.run().rows == 0
    record_property("kills: workers killed", killed)
    record_property("kills: of these, during a run", in_batch)
    record_property("kills: workers that finished first", finished)
    record_property("kills: holds placed while a worker worked", placed)
    record_property("kills: rows planted", watch.total())
    record_property("kills: rows deleted, each of them recorded", gone)
    record_property("kills: batches", watch.batches)


assert os.name == "posix", "SIGKILL and fork are what this is about"
