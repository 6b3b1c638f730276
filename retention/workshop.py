"""What retention's work needs, and who has it done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from config.clock import Clock
from config.logging import get_logger
from config.trace import TraceId
from retention import lease as leases
from retention.alerts import LEDGER, Alert, Looked, Send, raise_alerts
from retention.connectors.declarations import Connectors
from retention.connectors.delivery import Courier
from retention.erasures import execution
from retention.errors import LedgerError
from retention.executor import Options
from retention.exports.making import Exporter
from retention.ledger.gone import GoneFolder
from retention.ledger.keys import key_steps
from retention.ledger.publishing import Ledger, Published, verified, writer_of
from retention.ledger.verifier import VerifierKey
from retention.live_check import check_live, check_subjects
from retention.offboardings import execution as offboarding
from retention.plan import Plan
from retention.planner import OnFailure
from retention.planner import plan as make_plan
from retention.policies import Policy
from retention.policy_records import Seen, record_policies, superseded
from retention.replays.elsewhere import Outside
from retention.replays.execution import Replayer
from retention.replays.restores import former_records, stop_if_restored
from retention.replays.wanted import Sources
from retention.runs import Intent, open_run
from retention.subjects import Subject, named
from retention.verification import VerificationReport, verify
from retention.worker import Worker
from tenants.catalog import Catalog
from tenants.connections import RoleConnections
from tenants.context import TenantId

_log = get_logger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What the work needs, and who has it done (`actor`).

    `send` delivers alerts (see `retention.alerts`). `tick_s` is how often (s) somebody ticks,
    `verify_schedule` when to verify, by cron; `ledger` is where what was done is put in order and
    signed; `seen` is what the process has seen recorded of policies.
    """

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    policies: tuple[Policy, ...]
    clock: Clock
    actor: str
    options: Options = field(default_factory=Options)
    lease_ttl_s: float = leases.DEFAULT_TTL_S
    send: Send | None = None
    tick_s: float = 60.0
    verify_schedule: str | None = None
    subjects: tuple[Subject, ...] = ()
    ledger: Ledger | None = None
    backups_kept_days: int | None = None
    connectors: Connectors = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)

    @property
    def courier(self) -> Courier:
        """What delivers requests to connectors, until told to stop."""
        return Courier(
            self.retention, self.verifier, self.connectors, self.catalog, self.options.stop
        )

    @property
    def exporter(self) -> Exporter:
        """What writes copies of a person's or a tenant's data, until told to stop."""
        return Exporter(
            self.retention, self.catalog, self.policies, self.connectors, self.options.stop
        )

    def replayer(
        self,
        further: Iterable[GoneFolder] = (),
        *,
        keys: Iterable[VerifierKey] = (),
        given_out: Mapping[str, bytes] | None = None,
        accept_unsigned: bool = False,
        stop: Callable[[], bool] | None = None,
        only: Collection[TenantId] | None = None,
    ) -> Replayer:
        """Return what erases again after a restore: by the ledger's own records, those of former
        ledgers that lie in its folder, and others; `only` these tenants.

        `keys` are those that are believed, if not the ones that the database names; `given_out`
        notes of checkpoints that the records must reach. Raises LedgerError for such a note that
        nobody has signed.
        """
        outside = None if self.ledger is None else self.ledger.outside
        own = () if outside is None else (outside.gone, *former_records(outside.folder.path))
        note = None if outside is None else outside.folder.last()
        writer = None if outside is None else writer_of(outside)
        believed = tuple(keys)
        if not believed:
            with self.verifier.transaction(None, read_only=True) as cursor:
                believed = tuple(step.key for step in key_steps(cursor))
            # What a copy of the database does not know yet.
            believed += tuple(s.verifier_key for s in (writer.signers if writer else ()))
        notes = dict(given_out or {})
        if note is not None:
            notes["the last checkpoint in the folder"] = note
        return Replayer(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            actor=self.actor,
            sources=Sources(
                (*own, *further),
                believed,
                tuple(verified(each, believed, name) for name, each in notes.items()),
                accept_unsigned,
            ),
            goes_on=writer,
            outside=Outside(self.connectors, self.subjects),
            before=None if note is None else note.decode(),
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            only=only,
            stop=stop or self.options.stop,
        )

    def look_for_restore(self) -> None:
        """Stop all retention, but for replays, where this database was restored: it lacks the holds
        that were placed since its backup."""
        outside = None if self.ledger is None else self.ledger.outside
        if outside is None:
            return
        try:
            stop_if_restored(self.retention, outside.gone, actor=self.actor)
        except LedgerError as error:
            # Whoever publishes next meets the same, and warns of it.
            _log.warning("record_not_read", error=str(error))

    def subject(self, name: str) -> Subject:
        """Return the subject declared under this name; raises SubjectError listing those."""
        return named(self.subjects, name)

    def check(self) -> None:
        """Raise PolicyError unless the database can bear the policies as they are."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            check_live(cursor, self.catalog, self.policies)

    def check_subjects(self) -> None:
        """Raise SubjectError unless the database can bear the subjects as they are."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            check_subjects(cursor, self.catalog, self.subjects)

    def warn(self, alerts: Collection[Alert], looked: Looked) -> None:
        """Raise alerts, and resolve the others of what was looked at."""
        raise_alerts(self.retention, alerts, looked)

    def publish(self) -> Published | None:
        """Publish the ledger, if there is one; see `publish`."""
        return None if self.ledger is None else publish(self.ledger)

    def plan(
        self,
        *,
        as_of: datetime | None = None,
        only: Collection[Policy] | None = None,
        tenants: Collection[TenantId] | None = None,
        undated: bool = True,
        on_failure: OnFailure | None = None,
    ) -> Plan:
        """Plan; see `retention.planner.plan`. `only` restricts it to some policies."""
        return make_plan(
            self.verifier,
            self.catalog,
            self.policies if only is None else only,
            now=self.clock.now(),
            as_of=as_of,
            tenants=tenants,
            everything=self.policies,
            undated=undated,
            on_failure=on_failure,
        )

    def record(self) -> Mapping[str, int]:
        """Record changed policies; return every policy's version.

        Raises PolicyError where the database cannot bear them: then none is recorded; and
        SupersededError where others recorded other ones since this process looked.
        """
        self.check()
        return record_policies(self.retention, self.policies, actor=self.actor, seen=self.seen)

    def superseded(self) -> str:
        """Return who recorded other policies since this process looked first; "" for nobody."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            self.seen.begin(cursor)
            return superseded(cursor, self.policies, self.seen)

    def open(self, plan: Plan, *, trace_id: TraceId, lease: leases.Lease | None = None) -> UUID:
        """Write a run down, for workers to take; see `retention.runs.open_run`."""
        intent = Intent(plan, self.actor, self.clock.now(), trace_id)
        return open_run(self.retention, self.catalog, intent, lease)

    def worker(self) -> Worker:
        """Return a worker of its own name."""
        return Worker(
            self.retention,
            self.verifier,
            self.catalog,
            self.options,
            self.lease_ttl_s,
        )

    def erasures(self) -> execution.Executor:
        """Return what carries erasures out."""
        return execution.Executor(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            policies=self.policies,
            subjects=self.subjects,
            clock=self.clock,
            actor=self.actor,
            connectors=self.connectors,
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            stop=self.options.stop,
        )

    def offboardings(self) -> offboarding.Executor:
        """Return what carries offboardings out."""
        return offboarding.Executor(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            actor=self.actor,
            connectors=self.connectors,
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            stop=self.options.stop,
        )

    def verify(self, *, as_of: datetime | None = None, trace_id: TraceId) -> VerificationReport:
        """Verify; see `retention.verification.verify`."""
        return verify(
            self.verifier,
            self.retention,
            self.catalog,
            self.policies,
            now=self.clock.now(),
            actor=self.actor,
            trace_id=trace_id,
            as_of=as_of,
        )


def publish(ledger: Ledger) -> Published | None:
    """Put in order what entered the ledger, sign it, and give the checkpoint out.

    What is in the way is warned of, and not raised: what was done has been done and entered, and
    whoever publishes next makes up for it.
    """
    published, problem = None, None
    try:
        published = ledger.publish()
        problem = "; ".join(published.problems) or None
    except LedgerError as error:
        problem = str(error)
    alerts = [Alert("ledger", "checkpoints", problem)] if problem else []
    raise_alerts(ledger.retention, alerts, Looked(LEDGER))
    return published
