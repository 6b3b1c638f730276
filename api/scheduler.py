"""The scheduler: ticks in any number of processes; a lease in the database decides who works.

APScheduler keeps its one job in memory and shares it with nobody. A tick that comes while
the last one still works is dropped, and ticks that were missed (the process was stopped,
the clock jumped) count as one.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import psycopg2
from apscheduler.schedulers.background import BackgroundScheduler

from api.wiring import Installation
from api.workshop import workshop_of
from config.logging import get_logger
from config.metrics import Metrics
from retention.errors import RetentionError
from retention.executor import Options
from retention.jobs import VERIFY_EVERY, Tick, Workshop, tick
from retention.leftovers import Leftovers
from tenants.errors import TenantError

_log = get_logger(__name__)


class RetentionScheduler:
    """Ticks every `retention_tick_s` seconds of the settings, the first time at once.

    `start` and `stop`, or a `with` block; `stop` waits for the open batch and cancels the
    rest of its run. Raises PolicyError at once when the policies are wrong.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        actor: str = "scheduler",
        metrics: Metrics | None = None,
        verify_every: timedelta = VERIFY_EVERY,
    ) -> None:
        self._stopping = threading.Event()
        self._metrics = metrics
        self._verify_every = verify_every
        self._tick_s = installation.settings.retention_tick_s
        options = Options(batch_size=installation.settings.batch_size, stop=self._stopping.is_set)
        self._shop: Workshop = workshop_of(installation, actor=actor, options=options)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin to tick, in a thread of its own."""
        self._scheduler.add_job(
            self.tick,
            "interval",
            seconds=self._tick_s,
            id="retention",
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()
        _log.info("scheduler_started", every_s=self._tick_s)

    def stop(self) -> None:
        """Stop after the open batch; returns when nothing of it runs any more."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
            _log.info("scheduler_stopped")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def tick(self) -> Tick | None:
        """Do what is due now; what goes wrong is logged, and None returned.

        A database that is away, or a lease that was lost, must not end the scheduler.
        """
        if self._stopping.is_set():
            return None
        try:
            done = tick(self._shop, verify_every=self._verify_every)
        except (psycopg2.Error, RetentionError, TenantError):
            _log.exception("tick_failed")
            return None
        if done.leftovers != Leftovers():
            _log.info("leftovers_deleted", **asdict(done.leftovers))
        self._measure(done)
        return done

    def _measure(self, done: Tick) -> None:
        if self._metrics is None:
            return
        if done.run is not None:
            self._metrics.run_ended(done.run.state)
            for unit in done.run.units:
                self._metrics.rows_deleted(unit.policy, unit.rows)
        if done.verification is not None:
            self._metrics.verified(
                done.verification.by_policy(),
                orphans=sum(done.verification.orphans().values()),
                returned=sum(done.verification.found("returned").values()),
            )
