"""Hold, batch, API, release: every order of their steps, or a great many.

After each order the same is asked: what was under a hold that had committed before is there, as
it was; what is gone is recorded; and what was let go, goes at the next run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import peewee
import pytest

from config.trace import new_trace_id
from retention import holds
from retention.errors import HeldError, HoldError
from retention.executor import Options
from retention.hold_scopes import Scope
from retention.jobs import run_once
from tenants.catalog import TableName
from tenants.context import TenantId, tenant_scope
from tenants.database import TenantDatabase
from tenants.models import TenantModel
from tenants.repository import Repository
from tenants.resource import Resource
from tenants.writes import Write

from .conftest import CATALOG, GROUND, Case, Remark
from .interleaving import Pause, PausingConnections, play, schedules, some_schedules

# Steps of a batch at which another may come between, its beginning and end included.
BATCH_STEPS = ("gate", "checked", "locked", "children_deleted", "recorded")
BATCH_MOVES = len(BATCH_STEPS) + 1
PLACE_MOVES, RELEASE_MOVES, BACK_MOVES, WRITE_MOVES = 3, 2, 3, 3
LATER = date(2026, 11, 1)


@dataclass
class Stage:
    """A tenant with one old case, its file and a remark on it, which all actors are about.

    `committed` says who committed, in order; `deleted` how many rows the write deleted.
    """

    lab: Any
    app: TenantDatabase
    tenant: TenantId
    case: str
    remark: str
    committed: list[str] = field(default_factory=list)
    deleted: int = 0

    def scope(self, kind: str) -> Scope:
        """Return a scope of this kind that the case is under, or what goes along with it."""
        match kind:
            case "subject":
                return Scope("subject", TableName("lab", "cases"), subject=UUID(self.case))
            case "rows":
                return Scope("rows", TableName("lab", "remarks"), rows=(UUID(self.remark),))
            case "table":
                return Scope("table", TableName("lab", "cases"), condition="r.opened IS NOT NULL")
        return Scope()

    # -- actors ------------------------------------------------------------------------------

    def place(self, kind: str, pause: Pause) -> None:
        holds.place(
            PausingConnections(self.lab.installation.retention, pause),  # type: ignore[arg-type]
            self.tenant,
            self.scope(kind),
            matter="M",
            reason="r",
            actor="t",
            ground=GROUND,
        )
        self.committed.append("place")

    def release(self, hold: UUID, grace: str, pause: Pause) -> None:
        connections: Any = PausingConnections(self.lab.installation.retention, pause)
        verifier = self.lab.installation.verifier
        holds.release(connections, verifier, hold, actor="t", grace=grace)
        self.committed.append("release")

    def take_back(self, hold: UUID, pause: Pause) -> None:
        connections: Any = PausingConnections(self.lab.installation.retention, pause)
        holds.take_back(connections, self.lab.installation.verifier, hold, actor="t")
        self.committed.append("back")

    def batch(self, pause: Pause) -> None:
        done: set[str] = set()

        def on_step(step: str) -> None:
            if step in BATCH_STEPS and step not in done:
                done.add(step)
                pause()
            if step == "committed":
                self.committed.append("batch")

        shop = self.lab.shop(options=Options(lock_timeout_ms=20_000, on_step=on_step))
        run_once(shop, lambda: shop.plan(tenants=[self.tenant]))

    def write(self, do: str, isolation: str | None, pause: Pause) -> None:
        """Change the case, or delete the remark, as the API does."""

        def guard(write: Write | None = None, /) -> Any:
            judged = holds.pass_gate(self.app, write)
            pause()
            return judged

        def repository(model: type[TenantModel]) -> Repository:
            resource = Resource(model, "rows")
            return Repository(
                resource,
                self.app,
                visible=("id",),
                clock=self.lab.clock,
                guard=guard,
                removed=lambda _table, _ids: None,
            )

        written: list[int] = []

        def expect(rows: int) -> None:
            written.append(rows)
            pause()

        with tenant_scope(self.tenant, actor="t", trace_id=new_trace_id()):
            with self.app.atomic(isolation):
                if isolation:
                    # A snapshot from before the gate.
                    self.app.execute(Case.select()).fetchall()
                if do == "change":
                    repository(Case).update(None, {"opened": LATER}, (), expect=expect)
                else:
                    repository(Remark).delete(None, (), expect=expect)
            self.committed.append("write")
            self.deleted = written[0] if do == "delete" else 0

    # -- what is asked afterwards ------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        """True while the case is there with all that belongs to it."""
        found = self.lab.sql(
            "SELECT (SELECT count(*) FROM lab.cases WHERE tenant_id = %(t)s),"
            " (SELECT count(*) FROM lab.files WHERE tenant_id = %(t)s),"
            " (SELECT count(*) FROM lab.pages WHERE tenant_id = %(t)s)",
            {"t": str(self.tenant)},
        )
        assert found[0] in ((1, 1, 2), (0, 0, 0))
        return bool(found[0] == (1, 1, 2))

    @property
    def is_changed(self) -> bool:
        """True when the write has left its mark."""
        case = self.lab.sql("SELECT opened FROM lab.cases WHERE id = %s", (self.case,))
        remark = self.lab.sql("SELECT 1 FROM lab.remarks WHERE id = %s", (self.remark,))
        return case == [(LATER,)] or (bool(case) and not remark)

    def was_first(self, first: str, then: str) -> bool:
        """Tell whether `first` committed, and `then` only after it or not at all."""
        order = self.committed
        return first in order and (then not in order or order.index(first) < order.index(then))

    def check_records(self) -> None:
        """Rows gone are rows recorded, or those that the write deleted."""
        ((recorded, left),) = self.lab.sql(
            "SELECT (SELECT coalesce(sum(rows_deleted), 0)::int FROM tenure.batches"
            "        WHERE tenant_id = %(t)s),"
            " (SELECT count(*) FROM lab.cases WHERE tenant_id = %(t)s)"
            " + (SELECT count(*) FROM lab.files WHERE tenant_id = %(t)s)"
            " + (SELECT count(*) FROM lab.pages WHERE tenant_id = %(t)s)"
            " + (SELECT count(*) FROM lab.remarks WHERE tenant_id = %(t)s)",
            {"t": str(self.tenant)},
        )
        assert recorded == 5 - left - self.deleted


@pytest.fixture
def stage(lab: Any, make_tenant: Callable[..., TenantId]) -> Callable[[], Stage]:
    """Return a maker of stages, each with a tenant of its own."""
    app = TenantDatabase(lab.installation.app_connections, CATALOG)
    numbers = count()

    def make() -> Stage:
        tenant = make_tenant(f"stage-{next(numbers)}")
        case = lab.case(tenant, files=1)
        remark = lab.add("remarks", tenant, about="case", subject_id=case)
        return Stage(lab, app, tenant, case, remark)

    return make


def only(errors: dict[str, BaseException | None], **allowed: Any) -> None:
    """Require that no actor raised anything but what it may."""
    for name, error in errors.items():
        assert error is None or isinstance(error, allowed.get(name, ())), (name, error)


KINDS = pytest.mark.parametrize("kind", ["tenant", "subject", "rows", "table"])
REFUSED = (HeldError, peewee.OperationalError)


@KINDS
def test_a_hold_and_a_batch_in_every_order(lab: Any, stage: Callable[[], Stage], kind: str) -> None:
    outcomes = set()
    orders = schedules(place=PLACE_MOVES, batch=BATCH_MOVES)
    if kind != "subject":
        # What a hold is on makes no difference to the locks: for one kind all orders will do.
        orders = random.Random(kind).sample(orders, 24)
    for order in orders:
        on = stage()
        errors = play(lab, {"place": partial(on.place, kind), "batch": on.batch}, order)
        # Of rows that went before, there is nothing to hold by name.
        only(errors, place=HoldError)
        if on.was_first("place", "batch"):
            assert on.is_there, order
        if errors["place"] is None and on.is_there:
            assert lab.run(lab.shop()).rows == 0
        on.check_records()
        outcomes.add(on.is_there)
        lab.sql("UPDATE lab.cases SET opened = NULL")
    assert outcomes == {True, False}


@KINDS
def test_a_release_and_a_batch_in_every_order(
    lab: Any, stage: Callable[[], Stage], kind: str
) -> None:
    outcomes = set()
    for order in schedules(release=RELEASE_MOVES, batch=BATCH_MOVES):
        on = stage()
        hold = lab.hold(on.tenant, on.scope(kind))
        release = partial(on.release, hold, "P0D")
        only(play(lab, {"release": release, "batch": on.batch}, order))
        if not on.is_there:
            assert on.was_first("release", "batch"), order
        on.check_records()
        outcomes.add(on.is_there)
        # What was deferred goes at the next run.
        lab.run()
        assert not on.is_there
        on.check_records()
    assert outcomes == {True, False}


@KINDS
def test_a_release_that_is_taken_back_frees_nothing_in_any_order(
    lab: Any, stage: Callable[[], Stage], kind: str
) -> None:
    for order in some_schedules(1, 20, release=RELEASE_MOVES, back=BACK_MOVES, batch=BATCH_MOVES):
        on = stage()
        hold = lab.hold(on.tenant, on.scope(kind))
        actors = {
            "release": partial(on.release, hold, "PT1H"),
            "back": partial(on.take_back, hold),
            "batch": on.batch,
        }
        # Taking back what was not released yet is refused.
        only(play(lab, actors, order), back=HoldError)
        assert on.is_there, order
        lab.sql("UPDATE lab.cases SET opened = NULL")


@pytest.mark.parametrize("isolation", [None, "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("do", ["change", "delete"])
@pytest.mark.parametrize("kind", ["tenant", "subject"])
def test_a_hold_and_a_write_in_every_order(
    lab: Any, stage: Callable[[], Stage], kind: str, do: str, isolation: str | None
) -> None:
    outcomes = set()
    for order in schedules(place=PLACE_MOVES, write=WRITE_MOVES):
        on = stage()
        actors = {"place": partial(on.place, kind), "write": partial(on.write, do, isolation)}
        errors = play(lab, actors, order)
        only(errors, write=REFUSED)
        if on.was_first("place", "write"):
            assert not on.is_changed, order
            assert errors["write"] is not None
        else:
            assert on.is_changed, order
        outcomes.add(on.is_changed)
    assert outcomes == {True, False}


@pytest.mark.parametrize("do", ["change", "delete"])
def test_a_release_and_a_write_in_every_order(
    lab: Any, stage: Callable[[], Stage], do: str
) -> None:
    outcomes = set()
    for order in schedules(release=RELEASE_MOVES, write=WRITE_MOVES):
        on = stage()
        hold = lab.hold(on.tenant, on.scope("subject"))
        actors = {
            "release": partial(on.release, hold, "P0D"),
            "write": partial(on.write, do, None),
        }
        errors = play(lab, actors, order)
        only(errors, write=HeldError)
        assert on.is_changed == (errors["write"] is None)
        if on.is_changed:
            assert on.was_first("release", "write"), order
        outcomes.add(on.is_changed)
    assert outcomes == {True, False}


@pytest.mark.parametrize("seed", range(8))
def test_all_of_them_at_once_in_many_orders(
    lab: Any, stage: Callable[[], Stage], seed: int
) -> None:
    kind = ("tenant", "subject", "rows", "table")[seed % 4]
    do = ("change", "delete")[seed // 4]
    moves = {"place": PLACE_MOVES, "release": RELEASE_MOVES, "batch": BATCH_MOVES}
    for order in some_schedules(seed, 10, **moves, write=WRITE_MOVES):
        on = stage()
        # Another hold is released meanwhile; while it is in force it keeps, too.
        first = lab.hold(on.tenant, on.scope("subject"))
        actors = {
            "place": partial(on.place, kind),
            "release": partial(on.release, first, "P0D"),
            "batch": on.batch,
            "write": partial(on.write, do, None),
        }
        errors = play(lab, actors, order)
        only(errors, place=HoldError, write=REFUSED)
        if not on.is_there:
            assert on.was_first("release", "batch"), order
            assert not on.was_first("place", "batch"), order
        if on.is_there and on.is_changed:
            assert on.was_first("release", "write"), order
            unheld = {("rows", "change"), ("table", "delete")}
            assert (kind, do) in unheld or not on.was_first("place", "write"), order
        on.check_records()
        lab.sql("UPDATE lab.cases SET opened = NULL")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_stricter_transaction_cannot_slip_past_a_release_that_was_taken_back(
    lab: Any, stage: Callable[[], Stage], isolation: str
) -> None:
    """To its snapshot the release stands, and takes effect while it is open."""
    on = stage()
    hold = lab.hold(on.tenant, on.scope("subject"))
    lab.release(hold, "PT1S")
    with tenant_scope(on.tenant, actor="t", trace_id=new_trace_id()), on.app.atomic(isolation):
        on.app.execute(Case.select()).fetchall()
        on.take_back(hold, lambda: None)
        time.sleep(1.1)
        with pytest.raises(REFUSED):
            holds.pass_gate(on.app)
