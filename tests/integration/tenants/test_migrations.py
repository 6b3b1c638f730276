from __future__ import annotations

from api.wiring import Installation, migrator_of


def test_status_lists_every_migration_as_applied(installation: Installation) -> None:
    status = migrator_of(installation.settings).status()
    assert [(s.package, s.name) for s in status] == [
        ("tenure", "0001_initial"),
        ("shop", "0001_initial"),
    ]
    assert all(s.applied_at and not s.changed and s.duration_ms is not None for s in status)
