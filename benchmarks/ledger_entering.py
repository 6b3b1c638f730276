"""What it costs to enter something in the ledger.

Measured batch by batch, in turns, in two copies of one database: one as it is, one whose triggers
were dropped. Batches are the cheapest there are (a table that stands alone, swept), of which an
entry is the largest part; and the server waits for no disk, which would hide it.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import psycopg2

from api.app import create_app
from api.wiring import open_installation, owner_of
from api.workshop import workshop_of
from benchmarks.ledger_data import repeat_a_batch
from benchmarks.measure import Figure
from benchmarks.retention_data import NOTES, Template
from benchmarks.world import World
from config.settings import Settings
from retention.batch import Attempt
from retention.executor import Options
from retention.holds import pass_gate
from retention.jobs import run_once
from retention.ledger.sequencer import sequence
from retention.pacing import SteadyPacer
from tenants import registry

BATCH = 1000
BATCHES = 200
ENTRIES = 10_000
REQUESTS = 200


def entering(world: World) -> Iterator[Figure]:
    """Yield what a batch of 1,000 rows pays for its entry, and what a user's deletion would."""
    yield from _batches(world)
    yield _removals(world)


class Turns:
    """Lets two runs do a batch each in turn, in changing order, and keeps how long each took."""

    def __init__(self, *names: str) -> None:
        self.times: dict[str, list[float]] = {name: [] for name in names}
        self._left = list(names)
        self._turns: list[str] = []
        self._order = random.Random(1)
        self._changed = threading.Condition()

    def take(self, name: str) -> None:
        """Wait for the turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._next() == name)

    def give(self) -> None:
        """Leave the turn to whose it is now."""
        with self._changed:
            self._turns.pop(0)
            self._changed.notify_all()

    def leave(self, name: str) -> None:
        """Take no turns any more."""
        with self._changed:
            self._left.remove(name)
            self._turns = [each for each in self._turns if each != name]
            self._changed.notify_all()

    def _next(self) -> str:
        if not self._turns:
            self._turns = self._order.sample(self._left, len(self._left))
        return self._turns[0]


class TurnPacer(SteadyPacer):
    """Does a batch when it is its run's turn."""

    def __init__(self, turns: Turns, name: str) -> None:
        super().__init__(BATCH)
        self._turns, self._name = turns, name
        self._began: float | None = None
        self._rows = 0

    def rest(self, stop: Callable[[], bool]) -> None:
        """Wait for the turn; a batch took from one turn's beginning to its end, all between it
        and the next one included."""
        if self._began is not None:
            if self._rows == BATCH:
                self._turns.times[self._name].append(time.perf_counter() - self._began)
            self._turns.give()
        self._turns.take(self._name)
        self._began, self._rows = time.perf_counter(), 0

    def committed(self, attempt: Attempt, seconds: float) -> None:
        """See `Pacer`."""
        self._rows = attempt.rows


def _batches(world: World) -> Iterator[Figure]:
    notes = Template(world, "fed", NOTES, rows=2 * BATCH * BATCHES, tenants=1)
    turns = Turns("with", "without")
    with ExitStack() as stack:
        fed = stack.enter_context(notes.copy("with"))
        unfed = stack.enter_context(notes.copy("without"))
        _run_sql(unfed, _DROP_TRIGGERS)
        for settings in (fed, unfed):
            _run_sql(settings, _TIME_FUNCTIONS)
        with closing(open_installation(fed)) as installation:
            sequence(installation.retention)
        threads = [
            threading.Thread(target=_take_turns, args=(settings, turns, name))
            for name, settings in (("with", fed), ("without", unfed))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entered, took = _entered(fed)
        each = _sequencing(fed)
    done = [len(times) for times in turns.times.values()]
    if [*done, entered] != [BATCHES] * 3:
        raise RuntimeError(f"batches done: {done}, entered: {entered}")
    medians = {name: statistics.median(times) for name, times in turns.times.items()}
    plain = medians["without"]
    yield Figure(
        f"entering a batch of {BATCH:,} rows, in its transaction: share of the batch",
        100 * took / plain,
        "%",
        ceiling=5.0,
        note=f"{1000 * took:.2f} ms in the trigger, of {1000 * plain:.2f}",
    )
    yield Figure(
        "the same, and putting the entry in order afterwards",
        100 * (took + each) / plain,
        "%",
        aim=5.0,
        note=f"{1000 * each:.2f} ms an entry, ten thousand waiting",
    )
    yield Figure(
        "batches with the triggers / without, in turns",
        medians["with"] / plain,
        "ratio",
        note="on a busy machine batches differ by more than what is looked for",
    )


def _take_turns(settings: Settings, turns: Turns, name: str) -> None:
    options = Options(batch_size=BATCH, slice_s=1e6, pacer=lambda _policy: TurnPacer(turns, name))
    try:
        with closing(open_installation(settings)) as installation:
            shop = workshop_of(installation, actor="benchmark", options=options)
            shop = replace(
                shop, policies=tuple(p for p in shop.policies if p.table.name == "notes")
            )
            run_once(shop, shop.plan)
    finally:
        turns.leave(name)


# By the server's own clock, waits included.
_TIME_FUNCTIONS = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET track_functions = %L', current_database(), 'all');
END $$
"""
_ENTERED = """
SELECT (SELECT count(*) FROM tenure.ledger_entries WHERE kind = 'batch'),
       (SELECT total_time / calls / 1000 FROM pg_stat_user_functions
        WHERE funcid = 'tenure.enter_in_ledger()'::regprocedure AND calls >= %s)
"""
_DROP_TRIGGERS = """
DO $$ DECLARE t record; BEGIN
    FOR t IN SELECT tgname, tgrelid::regclass AS fed FROM pg_trigger
             WHERE tgfoid = 'tenure.enter_in_ledger()'::regprocedure LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.fed);
    END LOOP;
END $$
"""


def _run_sql(settings: Settings, statement: str) -> None:
    with (
        closing(psycopg2.connect(settings.database_url or "")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def _entered(settings: Settings) -> tuple[int, float]:
    """Return how many batches were entered, and the seconds that entering one took."""
    with closing(psycopg2.connect(settings.database_url or "")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for _ in range(100):
                cursor.execute(_ENTERED, (BATCHES,))
                ((count, seconds),) = cursor.fetchall()
                if seconds is not None:
                    return count, seconds
                time.sleep(0.1)  # backends tell of their calls as they end
    raise RuntimeError(f"{count} batches were entered, and the server says of fewer")


def _sequencing(settings: Settings) -> float:
    """Return the seconds that an entry takes to be put in order, with ten thousand waiting."""
    with closing(open_installation(settings)) as installation:
        sequence(installation.retention)
        repeat_a_batch(settings, ENTRIES)
        began = time.perf_counter()
        placed = sequence(installation.retention)
        took = time.perf_counter() - began
    if placed != ENTRIES:
        raise RuntimeError(f"{placed} entries were placed")
    return took / ENTRIES


# -- what users delete -------------------------------------------------------------------


def _removals(world: World) -> Figure:
    """What it would take to enter each: the reason why they are not."""
    settings = world.installation("removals", "sealed")
    times: dict[bool, list[float]] = {True: [], False: []}
    order = random.Random(1)
    with (
        closing(open_installation(settings)) as installation,
        closing(psycopg2.connect(settings.database_url or "")) as admin,
    ):
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(_FEED_REMOVALS)
        app = create_app(installation, write_guard=partial(pass_gate, installation.app))
        client, headers = app.test_client(use_cookies=False), _headers(settings)
        for turn in range(REQUESTS // 10):
            for fed in order.sample((True, False), 2):
                with admin.cursor() as cursor:
                    cursor.execute(
                        "ALTER TABLE tenure.removals "
                        f"{'ENABLE' if fed else 'DISABLE'} TRIGGER ledger_insert"
                    )
                for number in range(12):
                    row = client.post(
                        "/v1/categories",
                        json={"name": f"{turn} {fed} {number}"},
                        headers={**headers, "Prefer": "return=representation"},
                    ).get_json()[0]
                    began = time.perf_counter()
                    done = client.delete(f"/v1/categories/{row['id']}", headers=headers)
                    took = time.perf_counter() - began
                    if done.status_code != 204:
                        raise RuntimeError(done.text)
                    if number > 1:  # the first ones plan anew
                        times[fed].append(took)
    with_it, without = (statistics.median(times[fed]) for fed in (True, False))
    return Figure(
        "a row deleted through the API: what entering it would add",
        100 * (with_it / without - 1),
        "%",
        note=f"{1000 * with_it:.2f} against {1000 * without:.2f} ms",
    )


_FEED_REMOVALS = """
SELECT tenure.feed_ledger('removals', 'removal', '{INSERT}',
    '{tenant_id,id,table_name,removed_at,trace_id}', '{actor}', '{hashes}', '{}', NULL)
"""


def _headers(settings: Settings) -> dict[str, str]:
    """A tenant's, whose owner asks."""
    with owner_of(settings) as owner, owner.transaction(None) as cursor:
        tenant = registry.create_tenant(cursor, slug="acme", name="Acme")
        login = registry.create_login(cursor, email="o@acme.example", password_hash="none")
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
        _, token = registry.issue_token(cursor, tenant_id=tenant, login_id=login, name="bench")
    return {"Authorization": f"Bearer {token}"}
