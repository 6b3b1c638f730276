"""Wires retention's work to an installation: for the scheduler and the commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from api.lint_catalog import lint_catalog
from api.wiring import Installation
from config.errors import ConfigError
from config.settings import Settings, variable
from lint.row_condition import make_row_check
from retention.adaptive import SMALLEST, AdaptivePacer
from retention.errors import DeliveryError
from retention.executor import Options
from retention.hold_scopes import Ground
from retention.jobs import Workshop
from retention.pacing import Pacer
from retention.policies import Policy
from retention.policy_file import load_policies
from retention.pressure import Thresholds, pressure_on
from retention.reports.scope import Ticking
from retention.schedule import checked_schedule
from retention.subject_file import load_subjects
from retention.webhook import Webhook


def workshop_of(
    installation: Installation, *, actor: str, options: Options | None = None
) -> Workshop:
    """Return the installation's workshop; raises PolicyError when its policies are wrong,
    SubjectError when its subjects are, and ConfigError for a webhook that is none.

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
        clock=installation.clock,
        actor=actor,
        options=options or Options(pacer=adaptive_pacers(installation)),
        send=webhook_of(settings),
        tick_s=settings.retention_tick_s,
        verify_schedule=settings.verify_schedule,
        subjects=load_subjects(installation.domain.subjects, installation.catalog),
    )


def ticking_of(installation: Installation) -> Ticking:
    """Return how retention is woken here, as of now: for reports."""
    settings = installation.settings
    return Ticking(
        installation.clock.now(),
        timedelta(seconds=settings.retention_tick_s),
        settings.verify_schedule,
    )


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
