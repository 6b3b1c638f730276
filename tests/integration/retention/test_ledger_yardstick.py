"""The audit measures by what the release brought along, not by what the database says of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.wiring import Installation, migrator_of, owner_of
from retention.ledger.fed_tables import unreadable
from retention.ledger.manifest import Manifest, shipped
from retention.ledger.publishing import Ledger
from tenants.context import TenantId
from tenants.schema import ledger_statement

from .conftest import Tenure
from .test_ledger_audit import Intruder, Scene, audit, checks, scene
from .test_ledger_feeding import down_to
from .test_ledger_publishing import ledger

__all__ = ["ledger", "scene"]

MANIFEST = Path(__file__).parents[3] / "retention" / "ledger" / "manifest.json"


def test_the_committed_manifest_is_the_migrated_schema(installation: Installation) -> None:
    """To make it anew: `tenure migrate manifest --output retention/ledger/manifest.json`, with a
    database that was migrated afresh."""
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        found = Manifest.of(cursor)
    assert MANIFEST.read_text() == found.to_json()
    assert shipped() == found


def test_the_command_writes_the_manifest(tenure: Tenure, tmp_path: Path) -> None:
    result = tenure("migrate", "manifest", "--output", "manifest.json")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "manifest.json").read_text() == MANIFEST.read_text()
    assert tenure("migrate", "manifest").output == MANIFEST.read_text()
    assert "holds" in tenure("migrate", "manifest", "--format", "text").output


def test_all_that_feeds_the_ledger_can_be_compared(lab: Any) -> None:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        for table in shipped().tables:
            assert unreadable(cursor, table.compared) == []


def test_kinds_are_told_apart(lab: Any) -> None:
    """A kind of entry is one table's, or an entry could be taken for another's."""
    kinds = [kind for table in shipped().tables for kind in table.kinds]
    assert len(kinds) == len(set(kinds))
    for feed in shipped().feeds:
        (last,) = [table for table in shipped().tables if table.name == feed.name]
        assert (feed.kind, feed.keys) == (last.kind, last.keys)


def feed(*arguments: str) -> str:
    return f"SELECT tenure.feed_ledger({', '.join(arguments)})"


def feed_nothing(intruder: Intruder) -> None:
    """The trigger is there, by its name, and its condition is never met."""
    intruder.lab.sql(
        feed("'holds'", "'hold'", "'{INSERT}'", "'{tenant_id,id}'", "'{}'", "'{}'", "'{}'",
             "'false'")
    )  # fmt: skip


def feed_what_goes(intruder: Intruder) -> None:
    """Of what only goes nothing is compared."""
    intruder.lab.sql(
        feed("'interventions'", "'intervention'", "'{DELETE}'", "'{number}'", "'{}'", "'{}'",
             "'{}'", "NULL")
    )  # fmt: skip


def feed_no_more(intruder: Intruder) -> None:
    intruder.lab.sql("DROP TRIGGER ledger_insert ON tenure.batches")


def feed_nothing_for_a_while(intruder: Intruder) -> None:
    """And put it back as it was."""
    kept = next(t for t in shipped().tables if t.name == "hold_events")
    intruder.lab.sql(feed("'hold_events'", "'hold-event'", "'{DELETE}'", "'{tenant_id,id}'", "'{}'",
                          "'{}'", "'{}'", "NULL"))  # fmt: skip
    intruder.lab.sql(
        ledger_statement(
            "hold_events", "hold-event", plain=tuple(kept.plain), committed=tuple(kept.committed)
        )
    )


def feed_another_table(intruder: Intruder) -> None:
    intruder.lab.sql(ledger_statement("gates", "gate", plain=("tenant_id",), on="DELETE"))


def let_things_be_changed(intruder: Intruder) -> None:
    """Each guard is there, by its name, and the function that all of them call lets it pass."""
    intruder.lab.sql(
        "CREATE OR REPLACE FUNCTION tenure.refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN OLD; END $$"
    )
    intruder.lab.sql("UPDATE tenure.ledger_nodes SET hash = hash")


def enter_nothing(intruder: Intruder) -> None:
    """A function with the types of the call itself is taken before the one that is meant."""
    intruder.lab.sql(
        "CREATE FUNCTION tenure.enter_row(name, text, jsonb, text[], text[], text[], text[], jsonb)"
        " RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$"
    )


def guard_by_another(intruder: Intruder) -> None:
    intruder.lab.sql("DROP TRIGGER append_only ON tenure.deleted_keys")
    intruder.lab.sql(
        "CREATE TRIGGER append_only BEFORE TRUNCATE ON tenure.deleted_keys"
        " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()"
    )


def drop_a_guard(intruder: Intruder) -> None:
    intruder.lab.sql("DROP TRIGGER append_only ON tenure.hold_rows")


def switch_a_guard_off(intruder: Intruder) -> None:
    intruder.lab.sql("ALTER TABLE tenure.batches DISABLE TRIGGER append_only")


def switch_references_off(intruder: Intruder) -> None:
    intruder.sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER ALL")
    intruder.sql("ALTER TABLE tenure.deleted_keys ENABLE TRIGGER append_only")


def swallow_rows(intruder: Intruder) -> None:
    intruder.lab.sql(
        "CREATE FUNCTION lab.swallow() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NULL; END $$"
    )
    intruder.lab.sql(
        "CREATE TRIGGER swallow BEFORE INSERT ON tenure.ledger_entries"
        " FOR EACH ROW EXECUTE FUNCTION lab.swallow()"
    )


def rewrite_statements(intruder: Intruder) -> None:
    intruder.lab.sql("CREATE RULE nothing AS ON INSERT TO tenure.hold_events DO INSTEAD NOTHING")


def hide_by_a_policy(intruder: Intruder) -> None:
    """A row that nobody entered, which the audit must not see."""
    intruder.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
    )
    intruder.lab.sql(
        "CREATE POLICY less ON tenure.interventions AS RESTRICTIVE FOR SELECT TO PUBLIC"
        " USING (actor <> 'a')"
    )


def hide_by_the_policy(intruder: Intruder) -> None:
    intruder.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
    )
    intruder.lab.sql(
        "ALTER POLICY tenure_verifier_select ON tenure.interventions USING (actor <> 'a')"
    )


def hide_by_no_policy(intruder: Intruder) -> None:
    intruder.lab.sql("DROP POLICY tenure_verifier_select ON tenure.hold_rows")


@pytest.mark.parametrize(
    ("tamper", "subjects"),
    [
        (feed_nothing, {"tenure.holds"}),
        (feed_what_goes, {"tenure.interventions"}),
        (feed_no_more, {"tenure.batches"}),
        (feed_nothing_for_a_while, {"tenure.hold_events"}),
        (feed_another_table, {"tenure.gates"}),
        (let_things_be_changed, {"tenure.refuse_change()"}),
        (
            enter_nothing,
            {"tenure.enter_row(name,text,jsonb,text[],text[],text[],text[],jsonb)"},
        ),
        (guard_by_another, {"tenure.deleted_keys"}),
        (drop_a_guard, {"tenure.hold_rows"}),
        (switch_a_guard_off, {"tenure.batches"}),
        (switch_references_off, {"tenure.deleted_keys"}),
        (swallow_rows, {"tenure.ledger_entries"}),
        (rewrite_statements, {"tenure.hold_events"}),
        (hide_by_a_policy, {"tenure.interventions"}),
        (hide_by_the_policy, {"tenure.interventions"}),
        (hide_by_no_policy, {"tenure.hold_rows"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_feeds_or_guards_the_ledger_and_is_not_the_releases_is_found(
    scene: Scene, tamper: Callable[[Intruder], None], subjects: set[str]
) -> None:
    tamper(scene.intruder)
    found = audit(scene.lab, scene.ledger)
    assert {f.subject for f in found.findings if f.check == "trigger"} == subjects
    assert "trigger" in checks(found)


@pytest.mark.parametrize("tamper", [feed_nothing, feed_what_goes])
def test_rows_are_compared_by_what_the_release_feeds(
    scene: Scene, acme: TenantId, tamper: Callable[[Intruder], None]
) -> None:
    """What came since, and never entered, is found as well."""
    tamper(scene.intruder)
    scene.lab.hold(acme)
    scene.lab.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
    )
    assert checks(audit(scene.lab, scene.ledger)) >= {"trigger", "row"}


def test_migrations_taken_down_and_up_again_leave_no_finding(
    installation: Installation, lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    migrator = migrator_of(installation.settings)
    down_to(migrator, "0019")
    lab.owner.rollback()
    migrator.up()
    assert audit(lab, ledger).findings == ()
