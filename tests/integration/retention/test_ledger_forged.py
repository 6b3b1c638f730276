"""Evidence that goes, or becomes another, with an entry made for it by hand: nothing makes such an
entry, or what it says of itself cannot be so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from retention.ledger.publishing import Ledger
from tenants.context import TenantId

from .test_ledger_audit import Intruder, Scene, audit, checks, exported, scene
from .test_ledger_publishing import enter, ledger

__all__ = ["ledger", "scene"]

_FORGE = """
SELECT tenure.enter_row(%(t)s, s.kind || '-' || %(what)s, to_jsonb(e), s.key_columns, s.plain,
                        s.committed, s.digested, '{}')
FROM tenure.{t} e, LATERAL (SELECT * FROM tenure.ledger_sources WHERE table_name = %(t)s
                            ORDER BY number DESC LIMIT 1) s
"""


def forge(intruder: Intruder, table: str, what: str) -> None:
    """Have it entered of each row that it was changed, or deleted."""
    ((count,),) = intruder.sql(f"SELECT count(*) FROM tenure.{table}")
    assert count
    intruder.sql(_FORGE.replace("{t}", table), {"t": table, "what": what})


@pytest.mark.parametrize(
    "table", ["hold_events", "interventions", "batches", "policy_versions", "runs", "holds"]
)
def test_that_a_row_went_of_which_none_goes_is_found(scene: Scene, table: str) -> None:
    assert audit(scene.lab, scene.ledger).findings == ()
    forge(scene.intruder, table, "deleted")
    scene.intruder.sql(f"DELETE FROM tenure.{table}")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


def test_that_a_row_changed_of_which_none_changes_is_found(scene: Scene) -> None:
    scene.intruder.sql("UPDATE tenure.interventions SET action = 'start'")
    forge(scene.intruder, "interventions", "changed")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


READ = (
    "INSERT INTO tenure.cross_tenant_reads (id, read_at, actor, reason, place, statement, trace_id)"
    " VALUES (gen_random_uuid(), clock_timestamp(), 'login:1', 'why', 'here', 'SELECT 1', 't')"
)
LEFTOVERS = (
    "INSERT INTO tenure.leftover_deletions (table_name, rows_deleted, oldest, newest)"
    " SELECT 'cross_tenant_reads', count(*), now() - interval '2 years', now() - interval '2 years'"
    " FROM tenure.cross_tenant_reads HAVING count(*) > 0"
)


@pytest.mark.parametrize("recorded", [False, True])
def test_that_a_row_went_by_its_age_is_held_against_the_record_and_the_age(
    scene: Scene, recorded: bool
) -> None:
    """Such rows go, but not these: nobody counted them, or they are younger than any that goes."""
    scene.lab.sql(READ)
    assert audit(scene.lab, scene.ledger).findings == ()
    forge(scene.intruder, "cross_tenant_reads", "deleted")
    if recorded:
        scene.lab.sql(LEFTOVERS)
    scene.intruder.sql("DELETE FROM tenure.cross_tenant_reads")
    scene.ledger.publish()
    assert "entry" in checks(audit(scene.lab, scene.ledger))


def test_a_tenant_that_went_explains_nothing(scene: Scene, acme: TenantId) -> None:
    """No tenant's row goes, nor any evidence of it: offboarding keeps both."""
    children = [
        child
        for (child,) in scene.lab.sql(
            "SELECT conrelid::regclass::text FROM pg_constraint"
            " WHERE confrelid = 'tenure.tenants'::regclass AND contype = 'f'"
        )
    ]
    for child in children:
        scene.intruder.sql(f"DELETE FROM {child} WHERE tenant_id = %s", (acme,))
    scene.lab.sql("DELETE FROM tenure.tenants WHERE id = %s", (acme,))
    scene.ledger.publish()
    found = audit(scene.lab, scene.ledger)
    gone = {f.subject.split()[0] for f in found.findings if f.detail.endswith("and is gone")}
    assert gone >= {"tenure.holds", "tenure.batches", "tenure.units"}
