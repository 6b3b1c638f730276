"""Wires retention's work to an installation: for the scheduler and the commands."""

from __future__ import annotations

from api.wiring import Installation
from retention.executor import Options
from retention.jobs import Workshop
from retention.policy_file import load_policies


def workshop_of(
    installation: Installation, *, actor: str, options: Options | None = None
) -> Workshop:
    """Return the installation's workshop; raises PolicyError when its policies are wrong.

    Without `options`, batches have the configured size.
    """
    return Workshop(
        retention=installation.retention,
        verifier=installation.verifier,
        catalog=installation.catalog,
        policies=load_policies(
            installation.domain.policies, installation.catalog, prove=installation.prove
        ),
        clock=installation.clock,
        actor=actor,
        options=options or Options(batch_size=installation.settings.batch_size),
    )
