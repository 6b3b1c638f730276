"""Killed at any step of a batch, alone or among others: rows gone are rows recorded, and the
run finishes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from config.trace import new_trace_id
from retention import holds
from retention.batch import STEPS
from retention.deletions import key_hash
from tenants.context import TenantId

from .crash import Order, units_agree_with_batches, workers_of

TABLES = ("cases", "files", "pages")
KILLED = -signal.SIGKILL


@pytest.fixture
def order(lab: Any) -> Iterator[Order]:
    with workers_of(lab) as give:
        yield give


def plant(lab: Any, tenants: list[TenantId]) -> None:
    for tenant in tenants:
        for _ in range(4):
            lab.case(tenant, files=1)


def open_run(lab: Any) -> None:
    shop = lab.shop()
    shop.record()
    shop.open(shop.plan(), trace_id=new_trace_id())


def gone(lab: Any, planted: dict[str, set[str]]) -> dict[str, int]:
    lost = {f"lab.{name}": len(ids - lab.ids(name)) for name, ids in planted.items()}
    return {name: rows for name, rows in lost.items() if rows}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_killed_at_every_step_rows_gone_are_rows_recorded_and_the_run_finishes(
    lab: Any, make_tenant: Callable[..., TenantId], order: Order, workers: int
) -> None:
    tenants = [make_tenant(slug) for slug in ("acme", "globex", "initech")]
    kept = make_tenant("held")
    plant(lab, [kept])
    held = {name: lab.ids(name) for name in TABLES}
    holds.place(lab.installation.retention, kept, matter="m", reason="r", actor="t")
    planted: dict[str, set[str]] = {name: set() for name in TABLES}
    for step in STEPS:
        plant(lab, tenants)
        for name in TABLES:
            planted[name] |= lab.ids(name)
        open_run(lab)
        codes = order(workers=workers, batch_size=1, step=step, count=2)
        assert codes.count(KILLED) == 1, (step, codes)
        assert codes.count(0) == workers - 1, (step, codes)
        assert gone(lab, planted) == lab.recorded(), step
        assert units_agree_with_batches(lab), step
        if workers == 1:
            # With nobody beside it, the run waits for the next worker.
            assert lab.sql("SELECT state FROM tenure.runs WHERE state = 'running'"), step
            assert order(workers=1, batch_size=2) == [0]
        ((state,),) = lab.sql("SELECT state FROM tenure.runs ORDER BY started_at DESC LIMIT 1")
        assert state == "succeeded_with_skips", step
        assert {name: lab.ids(name) for name in TABLES} == held, step
    assert gone(lab, planted) == lab.recorded()
    assert units_agree_with_batches(lab)
    assert lab.sql("SELECT state, count(*) FROM tenure.units GROUP BY state ORDER BY state") == [
        ("succeeded", len(STEPS) * len(tenants)),
        ("succeeded_with_skips", len(STEPS)),
    ]


def test_a_taken_over_unit_goes_on_where_the_dead_worker_was(lab: Any, acme: TenantId) -> None:
    for _ in range(8):
        lab.case(acme)
    open_run(lab)
    with workers_of(lab) as order:
        # The third batch is deleted, and never committed.
        assert order(workers=1, batch_size=2, step="deleted", count=3) == [KILLED]
        ((rows, batches, progress, holder),) = lab.sql(
            "SELECT rows_deleted, batches, progress, holder FROM tenure.units"
        )
        assert (rows, batches) == (4, 2)
        last = lab.sql("SELECT progress->>'id' FROM tenure.batches ORDER BY id DESC LIMIT 1")
        assert [(progress["id"],)] == last
        assert holder is not None
        # What comes before that place is for the second pass.
        early = lab.case(acme, opened=lab.long_ago - timedelta(days=1))
        assert order(workers=1, batch_size=2) == [0]
        assert lab.sql("SELECT progress->>'id' FROM tenure.batches ORDER BY id DESC LIMIT 1") == [
            (early,)
        ]
    assert lab.recorded() == {"lab.cases": 9}
    assert lab.sql("SELECT rows_deleted, batches, state, fence FROM tenure.units") == [
        (9, 5, "succeeded", 3)
    ]  # claimed, taken away, claimed again


@pytest.mark.parametrize("step", [step for step in STEPS if step != "children_deleted"])
def test_killed_in_a_sweep_the_keys_gone_are_the_keys_recorded(
    lab: Any, acme: TenantId, order: Order, step: str
) -> None:
    page = lab.add(
        "pages", acme, file_id=lab.add("files", acme, case_id=lab.case(acme, opened=None))
    )
    planted = {lab.add("citations", acme, page_id=page, cited_at=lab.long_ago) for _ in range(5)}
    open_run(lab)
    assert order(workers=1, batch_size=2, step=step, count=2) == [KILLED]
    assert recorded_keys(lab) == {key_hash(UUID(key)) for key in planted - lab.ids("citations")}
    assert order(workers=1, batch_size=2) == [0]
    assert lab.ids("citations") == set()
    assert recorded_keys(lab) == {key_hash(UUID(key)) for key in planted}
    assert lab.recorded() == {"lab.citations": 5}


def recorded_keys(lab: Any) -> set[bytes]:
    found = lab.sql("SELECT hashes FROM tenure.deleted_keys WHERE table_name = 'lab.citations'")
    packs = [bytes(hashes) for (hashes,) in found]
    return {pack[at : at + 16] for pack in packs for at in range(0, len(pack), 16)}
