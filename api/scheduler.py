"""The scheduler: ticks in any number of processes; a lease in the database decides who plans.

All of them work: between ticks, each looks every second for units of open runs. APScheduler
keeps its one job in memory and shares it with nobody. A tick that comes while the last one
still works is dropped, and ticks that were missed (the process was stopped, the clock jumped)
count as one.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from apscheduler.schedulers.background import BackgroundScheduler

from api.wiring import Installation
from api.workshop import adaptive_pacers, workshop_of
from config.logging import get_logger
from retention.executor import Options
from retention.jobs import help_out
from retention.leftovers import Leftovers
from retention.tick import VERIFY_EVERY, Tick, tick
from retention.workshop import Workshop

_log = get_logger(__name__)

_HELP_EVERY_S = 1.0


class RetentionScheduler:
    """Ticks every `retention_tick_s` seconds of the settings, the first time at once.

    `start` and `stop`, or a `with` block; `stop` waits for the open batch, and leaves the rest
    of its run to others, or to the next start. Raises PolicyError at once when the policies
    are wrong.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        actor: str = "scheduler",
        verify_every: timedelta = VERIFY_EVERY,
        stopping: threading.Event | None = None,
    ) -> None:
        self._stopping = stopping or threading.Event()
        self._verify_every = verify_every
        self._tick_s = installation.settings.retention_tick_s
        self._working = threading.Lock()
        self._due = threading.Event()
        options = Options(pacer=adaptive_pacers(installation), stop=self._stopping.is_set)
        self._shop: Workshop = workshop_of(installation, actor=actor, options=options)
        self._helping = replace(self._shop, options=replace(options, stop=self._gives_way))
        self._helper = threading.Thread(target=self._keep_helping, name="retention-helper")
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
        self._helper.start()
        _log.info("scheduler_started", every_s=self._tick_s)

    def stop(self) -> None:
        """Stop after the open batch; returns when nothing of it runs any more."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
            self._helper.join()
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
        self._due.set()  # who helps gives way, after the open batch
        with self._working:
            self._due.clear()
            try:
                done = tick(self._shop, verify_every=self._verify_every, work_s=self._tick_s)
            except Exception:  # noqa: BLE001 - see retention.troubles
                # What is in the way of a step is told of by alerts; here all goes on.
                _log.exception("tick_failed")
                return None
        if done.leftovers != Leftovers():
            _log.info("leftovers_deleted", **asdict(done.leftovers))
        return done

    def help_out(self) -> int:
        """Work on open runs, unless a tick does so already; return how many slices that were.

        What goes wrong is logged, as in a tick.
        """
        if self._stopping.is_set() or not self._working.acquire(blocking=False):
            return 0
        try:
            return help_out(self._helping)
        except Exception:  # noqa: BLE001 - see retention.troubles
            # An error that came through would end the thread that helps, for good.
            _log.exception("help_failed")
            return 0
        finally:
            self._working.release()

    def _gives_way(self) -> bool:
        return self._stopping.is_set() or self._due.is_set()

    def _keep_helping(self) -> None:
        while not self._stopping.wait(_HELP_EVERY_S):
            self.help_out()
