"""Workers killed at every step and at any moment, alone and among others: rows gone are rows
recorded, always, and every run comes to its end."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from config.trace import new_trace_id
from retention import holds
from retention.batch import STEPS
from retention.deletions import HASH_BYTES, key_hash
from tenants.context import TenantId
from tests.integration.retention.crash import Order, units_agree_with_batches, workers_of
from tests.integration.retention.test_oracle import TABLES, Rows, oracle, plant, read_rows

WORKERS = (1, 2, 4)
KILLED = -signal.SIGKILL


@pytest.fixture
def order(lab: Any) -> Iterator[Order]:
    """See `tests.integration.retention.crash`."""
    with workers_of(lab) as give:
        yield give


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
        assert units_agree_with_batches(self.lab)
        batches = self.lab.sql("SELECT id, counts FROM tenure.batches ORDER BY id")
        if len(batches) == self.batches + 1:
            ((batch, counts),) = batches[-1:]
            kept = dict(
                self.lab.sql(
                    "SELECT table_name, hashes FROM tenure.deleted_keys WHERE batch_id = %s",
                    (batch,),
                )
            )
            assert {table: sorted(split(hashes)) for table, hashes in kept.items()} == {
                f"lab.{n}": sorted(key_hash(UUID(i)) for i in ids) for n, ids in gone.items() if ids
            }
            assert {table: entry["sha256"] for table, entry in counts.items()} == {
                table: hashlib.sha256(hashes).hexdigest() for table, hashes in kept.items()
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


def split(hashes: bytes) -> list[bytes]:
    return [bytes(hashes[at : at + HASH_BYTES]) for at in range(0, len(hashes), HASH_BYTES)]


def open_run(lab: Any) -> None:
    """Open a run where none is open: it is for the workers to bring it to its end."""
    if lab.sql("SELECT count(*) FROM tenure.runs WHERE finished_at IS NULL") == [(0,)]:
        shop = lab.shop()
        shop.record()
        shop.open(shop.plan(), trace_id=new_trace_id())


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
    at_steps: Counter[tuple[str, int]] = Counter()
    turn = at_random = survived = gone = placed = 0
    took = 400.0
    while at_steps.total() + at_random < kills:
        open_run(lab)
        turn += 1
        batch_size = rng.choice((1, 1, 2, 3))
        # Steps and numbers of workers in turn, so that each has its share whatever the seed.
        workers = WORKERS[(part + turn // 2) % len(WORKERS)]
        if turn % 2:
            step = STEPS[(part + turn // (2 * len(WORKERS))) % len(STEPS)]
            codes = order(
                workers=workers, batch_size=batch_size, slice_s=rng.choice((0, 2)),
                step=step, count=rng.choice((1, 1, 2, 3)),
            )  # fmt: skip
            at_steps[step, workers] += codes.count(KILLED)
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

            codes = order(
                workers=workers,
                batch_size=batch_size,
                after_ms=rng.uniform(0.3, 1) * took,
                pause_ms=pause_ms,
                meanwhile=meanwhile,
            )
            at_random += codes.count(KILLED)
            if not codes.count(KILLED):
                took = max(100.0, min(took, 2000 * (time.monotonic() - began)))
        assert set(codes) <= {0, KILLED}
        survived += codes.count(0)
        gone += watch.check()
        if lab.sql("SELECT count(*) FROM tenure.runs WHERE finished_at IS NULL") == [(0,)]:
            for tenant in tenants:
                if tenant not in watch.held:
                    watch.plant(tenant)
            if tenants[1] in watch.held and rng.random() < 0.6:
                watch.release(tenants[1])
                watch.plant(tenants[1])
    if tenants[1] in watch.held:
        watch.release(tenants[1])
    # What the last ones left, and then what the hold deferred.
    for _ in range(2):
        open_run(lab)
        assert order(workers=2, batch_size=50) == [0, 0]
    gone += watch.check()
    assert watch.left == watch.expected()
    assert lab.run().rows == 0
    states = {state for (state,) in lab.sql("SELECT DISTINCT state FROM tenure.runs")}
    assert states <= {"succeeded", "succeeded_with_skips"}
    record_property("kills: workers killed", at_steps.total() + at_random)
    record_property("kills: of these, at random", at_random)
    for (step, workers), count in sorted(at_steps.items()):
        record_property(f"kills: at {step}, of {workers}", count)
    record_property("kills: workers that lived to the end of their runs", survived)
    record_property("kills: runs brought to their end", len(lab.sql("SELECT 1 FROM tenure.runs")))
    record_property("kills: holds placed while workers worked", placed)
    record_property("kills: rows planted", watch.total())
    record_property("kills: rows deleted, each of them recorded", gone)
    record_property("kills: batches", watch.batches)


assert os.name == "posix", "SIGKILL and fork are what this is about"
