"""A process needs the passwords of the roles it connects as, and no others."""

from __future__ import annotations

import pytest

from api.cli.serve import application
from api.scheduler import RetentionScheduler
from api.wiring import Installation, open_installation
from config.errors import SettingsError
from config.settings import Settings
from tenants.connections import RoleConnections

ROLES = ("owner", "app", "retention", "verifier", "auditor")


def without(settings: Settings, *kept: str) -> Settings:
    """Return settings with the passwords of the `kept` roles alone."""
    return settings.model_copy(
        update={f"{role}_password": None for role in ROLES if role not in kept}
    )


def asks(connections: RoleConnections) -> object:
    """Connect as a role, and ask something."""
    with connections.transaction(None) as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()


def test_serving_takes_the_apps_and_the_auditors(installation: Installation) -> None:
    opened = open_installation(without(installation.settings, "app", "auditor"))
    client = application(opened).test_client()
    assert client.get("/readyz").status_code == 200
    assert asks(opened.auditor) == ("tenure_auditor",)
    with pytest.raises(SettingsError, match="TENURE_RETENTION_PASSWORD is unset"):
        asks(opened.retention)
    opened.close()


def test_working_takes_retentions_and_the_verifiers(installation: Installation) -> None:
    opened = open_installation(without(installation.settings, "retention", "verifier"))
    done = RetentionScheduler(opened).tick()
    assert done is not None
    assert done.verification is not None
    with pytest.raises(SettingsError, match="TENURE_APP_PASSWORD is unset"):
        asks(opened.app_connections)
    opened.close()
