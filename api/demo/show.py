"""The demo, step by step: set up, fill, delete what has expired, verify, serve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from api.demo.people import database_urls, introduce
from api.demo.place import Place
from api.demo.processes import get
from api.wiring import (
    Installation,
    migrator_of,
    open_installation,
    owner_of,
    passwords_of,
)
from api.workshop import ledger_of, workshop_of
from config.settings import Settings
from config.trace import new_trace_id
from retention.executor import RunReport
from retention.jobs import run_once
from retention.ledger.audit import LedgerAudit, audit_ledger
from retention.verification import VerificationReport
from tenants.importing import generator_of
from tenants.registry import ensure_tenant, list_tenants, slug_of
from tenants.roles import prepare_database

ACTOR = "command:demo"


@dataclass
class Step:
    """One step: what it did, how long it took (seconds), whether it did its work."""

    name: str
    seconds: float = 0.0
    done: bool = False
    detail: str = ""


@dataclass
class Show:
    """A demo while it runs. `tell` is called with each finished step."""

    place: Place
    settings: Settings
    base_url: str
    tell: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = Step(name)
        self.steps.append(step)
        started = time.monotonic()
        yield step
        step.seconds = time.monotonic() - started
        self.tell(step)

    def migrate(self) -> None:
        """Roles and schema."""
        with self._step("migrate") as step:
            assert self.settings.database_url is not None  # noqa: S101 - the place has set it
            prepare_database(self.settings.database_url, passwords_of(self.settings))
            applied = migrator_of(self.settings).up()
            step.detail = f"{len(applied)} applied" if applied else "nothing to apply"
            step.done = True

    def fill(self, installation: Installation) -> dict[str, Any]:
        """Tenants, their data and their logins, once; return what demo.json says."""
        with self._step("fill") as step:
            note = self.place.read_note()
            if note is None:
                note = self._fill(installation, step)
            else:
                step.detail = f"{len(note['tenants'])} tenants kept from last time"
            note |= {"base_url": self.base_url, "database": database_urls(self.settings)}
            self.place.write_note(note)
            step.done = bool(note["tenants"])
            return note

    def _fill(self, installation: Installation, step: Step) -> dict[str, Any]:
        with owner_of(self.settings) as owner:
            filled = generator_of(installation.domain)(
                lambda name: ensure_tenant(owner, slug_of(name), name),
                now=installation.clock.now(),
                trace_id=new_trace_id(),
            )
            rows = sum(sum(tenant.rows.values()) for tenant in filled)
            step.detail = f"{len(filled)} tenants, {rows:,} rows"
            with owner.transaction(None) as cursor:
                note = introduce(cursor, self.settings, self.base_url)
                # Before the commit: a token that nobody kept would be of no use.
                self.place.write_note(note)
            return note

    def is_unfinished(self, installation: Installation) -> bool:
        """True when an earlier start was cut short while it filled the database."""
        if self.place.read_note() is not None:
            return False
        with installation.verifier.transaction(None, read_only=True) as cursor:
            return bool(list_tenants(cursor))

    def retain(self, installation: Installation) -> RunReport:
        """One retention pass."""
        with self._step("retention") as step:
            workshop = workshop_of(installation, actor=ACTOR)
            report = run_once(workshop, workshop.plan)
            step.detail = f"{report.state}: {report.rows:,} rows deleted, trace {report.trace_id}"
            step.done = report.state in ("succeeded", "succeeded_with_skips")
            return report

    def verify(self, installation: Installation, run: RunReport) -> VerificationReport:
        """Verification as of the run's instant, by other queries and another role."""
        with self._step("verify") as step:
            report = workshop_of(installation, actor=ACTOR).verify(
                as_of=run.as_of, trace_id=new_trace_id()
            )
            step.detail = f"{report.findings} findings"
            step.done = report.findings == 0
            return report

    def ledger(self, installation: Installation) -> LedgerAudit:
        """Sign what was done, and compare the ledger with what it is about."""
        with self._step("ledger") as step:
            ledger = ledger_of(installation, actor=ACTOR)
            published = ledger.publish(wait=True)
            audit = audit_ledger(installation.verifier, ledger.outside)
            step.detail = (
                f"{audit.size:,} entries, {published.size or 0:,} of them signed; "
                f"{audit.found} findings"
            )
            step.done = audit.found == 0 and published.size == audit.size
            return audit

    def call(self, note: dict[str, Any], port: int) -> None:
        """Ask the API as each tenant's viewer, and without a token."""
        with self._step("serve") as step:
            seen = set()
            for tenant in note["tenants"]:
                status, body = get(
                    "127.0.0.1", port, "/v1/invoices?limit=1", tenant["tokens"]["viewer"]
                )
                if status in (200, 206):
                    seen |= {row["id"] for row in json.loads(body)}
            refused, _ = get("127.0.0.1", port, "/v1/invoices")
            step.done = len(seen) == len(note["tenants"]) and refused == 401
            step.detail = f"{len(seen)} tenants answered, each with a row of its own"

    @property
    def done(self) -> bool:
        """True when every step did its work."""
        return all(step.done for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the steps for a program."""
        return {"done": self.done, "steps": [asdict(step) for step in self.steps]}


def opened(show: Show) -> Installation:
    """Migrate and open the installation; start afresh where filling was cut short."""
    show.migrate()
    installation = open_installation(show.settings)
    if show.is_unfinished(installation):
        installation.close()
        show.place.forget_database(show.settings)
        show.migrate()
        installation = open_installation(show.settings)
    return installation
