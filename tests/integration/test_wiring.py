"""A process needs the passwords of the roles it connects as, and no others."""

from __future__ import annotations

import pytest

from api.cli.serve import SERVING, application
from api.scheduler import RetentionScheduler
from api.wiring import Installation, open_installation
from config.errors import SettingsError
from tenants.connections import RoleConnections


def asks(connections: RoleConnections) -> object:
    """Connect as a role, and ask something."""
    with connections.transaction(None) as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()


def test_serving_takes_the_apps_and_the_auditors(installation: Installation) -> None:
    opened = open_installation(installation.settings.for_roles(*SERVING))
    client = application(opened).test_client()
    assert client.get("/readyz").status_code == 200
    assert asks(opened.auditor) == ("tenure_auditor",)
    with pytest.raises(SettingsError, match="TENURE_RETENTION_PASSWORD is unset"):
        asks(opened.retention)
    opened.close()


def test_working_takes_retentions_and_the_verifiers(installation: Installation) -> None:
    working = installation.settings.for_roles("tenure_retention", "tenure_verifier")
    opened = open_installation(working)
    done = RetentionScheduler(opened).tick()
    assert done is not None
    assert done.verification is not None
    with pytest.raises(SettingsError, match="TENURE_APP_PASSWORD is unset"):
        asks(opened.app_connections)
    opened.close()
