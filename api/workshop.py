"""Wires retention's work to an installation: for the scheduler and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from pydantic import SecretStr

from api.lint_catalog import lint_catalog
from api.wiring import Installation
from config.clock import Clock, SystemClock
from config.errors import ConfigError
from config.settings import Settings, variable
from lint.row_condition import make_row_check
from retention.adaptive import SMALLEST, AdaptivePacer
from retention.connectors.declarations import Connectors, load_connectors
from retention.database_clock import DatabaseClock
from retention.erasures.desk import Desk
from retention.errors import DeliveryError
from retention.executor import Options
from retention.hold_scopes import Ground
from retention.ledger.attesting import Attesters
from retention.ledger.cosigning import RemoteWitness
from retention.ledger.folder import Folder
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.timestamps import Authority
from retention.ledger.verifier import COSIGNATURE, NoteError, VerifierKey
from retention.pacing import Pacer
from retention.policies import Policy
from retention.policy_file import load_policies
from retention.pressure import Thresholds, pressure_on
from retention.reports.scope import Ticking
from retention.schedule import checked_schedule
from retention.seat import Seat
from retention.subject_file import load_subjects
from retention.units import workers_on
from retention.webhook import Webhook
from retention.workshop import Workshop
from tenants.connections import RoleConnections
from tenants.context import TenantId


def workshop_of(
    installation: Installation, *, actor: str, options: Options | None = None
) -> Workshop:
    """Return the installation's workshop; raises PolicyError when its policies are wrong,
    SubjectError or ConnectorError when those are, and ConfigError for a webhook that is none.

    Without `options`, batches adapt.
    """
    settings = installation.settings
    if settings.verify_schedule is not None:
        checked_schedule(settings.verify_schedule)
    return Workshop(
        retention=installation.retention,
        verifier=installation.verifier,
        catalog=installation.catalog,
        policies=load_policies(
            installation.domain.policies, installation.catalog, prove=installation.prove
        ),
        clock=clock_of(installation),
        actor=actor,
        options=options or Options(pacer=adaptive_pacers(installation)),
        send=webhook_of(settings),
        tick_s=settings.retention_tick_s,
        verify_schedule=settings.verify_schedule,
        connectors=connectors_of(installation),
        subjects=load_subjects(installation.domain.subjects, installation.catalog),
        ledger=ledger_of(installation, actor=actor),
        backups_kept_days=settings.backups_kept_days,
    )


def clock_of(installation: Installation, asking: RoleConnections | None = None) -> Clock:
    """Return what tells retention the time: the database, which the verifier, or `asking`, asks,
    unless the installation was opened with a clock of another kind."""
    if isinstance(installation.clock, SystemClock):
        return DatabaseClock(asking or installation.verifier)
    return installation.clock


def desk_of(installation: Installation, shop: Workshop, tenant_id: TenantId | None = None) -> Desk:
    """Return the desk where erasures are handled: of all tenants, or of one alone."""
    alone = installation.settings.erasure_approval == "single"
    return Desk(shop.erasures(), alone=alone, tenant_id=tenant_id)


def seats_of(installation: Installation) -> Callable[[TenantId, str], Seat]:
    """Return what makes a seat of tenure_app's for a tenant and an actor."""
    return partial(Seat, installation.app_connections)


def workshops_of(installation: Installation) -> Callable[[TenantId, str], Workshop]:
    """Return what makes the API's workshop for a tenant and an actor: at a seat of tenure_app's,
    and with nobody else's connections."""
    shop = workshop_of(installation, actor="api", options=Options())
    clock = clock_of(installation, installation.app_connections)
    seats = seats_of(installation)

    def at_seat(tenant_id: TenantId, actor: str) -> Workshop:
        seat = seats(tenant_id, actor)
        return replace(shop, retention=seat, verifier=seat, clock=clock, actor=actor, ledger=None)

    return at_seat


def desks_of(
    installation: Installation, workshops: Callable[[TenantId, str], Workshop]
) -> Callable[[TenantId, str], Desk]:
    """Return what makes the API's desk for a tenant and an actor, in their workshop."""
    return lambda tenant_id, actor: desk_of(installation, workshops(tenant_id, actor), tenant_id)


def ticking_of(installation: Installation) -> Ticking:
    """Return how retention is woken here, as of now: for reports."""
    settings = installation.settings
    return Ticking(
        clock_of(installation, installation.auditor).now(),
        timedelta(seconds=settings.retention_tick_s),
        settings.verify_schedule,
    )


def connectors_of(installation: Installation) -> Connectors:
    """Return who else is asked to erase; raises ConnectorError when one is declared wrongly."""
    named = installation.settings.connectors_file
    return load_connectors(installation.domain.connectors if named is None else named)


def ledger_of(installation: Installation, *, actor: str) -> Ledger:
    """Return the installation's ledger; raises ConfigError where it is half configured."""
    settings = installation.settings
    return Ledger(
        installation.retention, outside_of(settings), actor, attesters=attesters_of(settings)
    )


def outside_of(settings: Settings) -> Outside | None:
    """Return what the ledger has outside of the database; None where nothing is configured, and
    nothing is signed. Raises ConfigError for a half of it."""
    origin, key_file = settings.ledger_origin, settings.ledger_key_file
    folder = settings.ledger_dir
    if origin is None and key_file is None and folder is None:
        return None
    if origin is None or key_file is None or folder is None:
        names = ", ".join(map(variable, ("ledger_origin", "ledger_key_file", "ledger_dir")))
        raise ConfigError(f"{names} belong together; set all of them, or none")
    ship = tuple(shlex.split(settings.ledger_ship_command or ""))
    return Outside(origin, key_file, Folder(folder), ship)


def attesters_of(settings: Settings) -> Attesters:
    """Return who is asked to attest checkpoints. Raises ConfigError for a half of one."""
    authority, witness = None, None
    if _both(settings, "timestamp_url", "timestamp_certificate"):
        try:
            content = Path(settings.timestamp_certificate or "").read_bytes()
            certificate = x509.load_pem_x509_certificate(content)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{variable('timestamp_certificate')} holds no certificate: {error}"
            ) from None
        authority = Authority(_secret(settings.timestamp_url), certificate)
    if _both(settings, "witness_url", "witness_key"):
        try:
            key = VerifierKey.parse(settings.witness_key or "")
        except NoteError as error:
            raise ConfigError(f"{variable('witness_key')} is no public key: {error}") from None
        if key.kind != COSIGNATURE:
            raise ConfigError(f"{variable('witness_key')} is a ledger's key, and no witness's")
        witness = RemoteWitness(_secret(settings.witness_url), key)
    return Attesters(authority, witness)


def _both(settings: Settings, first: str, second: str) -> bool:
    given = [getattr(settings, each) is not None for each in (first, second)]
    if any(given) and not all(given):
        raise ConfigError(f"{variable(first)} and {variable(second)} belong together; set both")
    return all(given)


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""


def adaptive_pacers(installation: Installation) -> Callable[[Policy], Pacer]:
    """Return what makes the pacer of a policy's batches: one for each policy, so that what it
    learned of one tenant serves the next, and a rate holds over all of them."""
    settings = installation.settings
    thresholds = Thresholds(
        settings.max_replication_lag_s, settings.max_snapshot_age_s, settings.max_blocked_sessions
    )
    known: dict[str, Pacer] = {}

    def pacer_of(policy: Policy) -> Pacer:
        if policy.digest not in known:
            known[policy.digest] = AdaptivePacer(
                bounds=policy.batch or (min(SMALLEST, settings.batch_size), settings.batch_size),
                rate=policy.rate,
                workers=partial(workers_on, installation.retention, policy.name),
                share=settings.batch_share,
                interval_s=settings.batch_ms / 1000,
                pressure=pressure_on(installation.retention, policy.table, thresholds),
            )
        return known[policy.digest]

    return pacer_of


def webhook_of(settings: Settings) -> Webhook | None:
    """Return where alerts go, None where they go to log and metrics alone; raises ConfigError."""
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url is None and secret is None:
        return None
    if url is None or secret is None:
        raise ConfigError(
            f"{variable('alert_webhook_url')} and {variable('alert_webhook_secret')} belong "
            "together; set both, or neither"
        )
    try:
        return Webhook(url.get_secret_value(), secret.get_secret_value().encode())
    except DeliveryError as error:
        raise ConfigError(f"{variable('alert_webhook_url')}: {error}") from error


def ground_of(installation: Installation) -> Ground:
    """Return what holds on less than a tenant are checked against."""
    return Ground(installation.catalog, make_row_check(lint_catalog(installation.catalog)))
