"""`tenure retention replay` in the shop, with sentinels; and what was changed, or archived."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retention.jobs import run_once
from retention.restoring import Wish, archived_batches, restore
from tenants.context import TenantId
from tests.conftest import Cluster

from . import test_actions
from .conftest import NOW, Lab, Tenure
from .restored import dumped, make_ledger, replayer, restored, writer
from .test_erasure_cli import SENTINELS, ask, customer, ok

__all__ = ["customer", "desk"]

desk = test_actions.desk

PEOPLE = """
[[policy]]
name = "anonymised"
table = "desk.people"
starts = "made_at"
period = "P1Y"
action = "anonymise"
columns = { name = { constant = "-" }, email = "random", born = "null" }
legal_basis = "test"
class = "people"
"""
ARCHIVED = """
[[policy]]
name = "archived"
table = "desk.people"
starts = "made_at"
period = "P1Y"
action = "archive"
archive = "attic"
with = ["desk.letters"]
legal_basis = "test"
class = "people"
"""


@pytest.fixture
def settled(tenure: Tenure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a ledger; its folder."""
    folder = tmp_path / "ledger"
    folder.mkdir()
    for name, value in (("ORIGIN", "ledger.example/shop"), ("KEY_FILE", str(tmp_path / "key")),
                        ("DIR", str(folder))):  # fmt: skip
        monkeypatch.setenv(f"TENURE_LEDGER_{name}", value)
    monkeypatch.setenv("TENURE_ERASURE_APPROVAL", "single")
    ok(tenure("ledger", "keys", "new"))
    return folder


def test_a_person_is_nowhere_in_a_restored_database_once_it_was_replayed(
    cluster: Cluster,
    lab: Lab,
    tenure: Tenure,
    customer: str,
    settled: Path,
    tmp_path: Path,
) -> None:
    ok(tenure("ledger", "publish"))
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    assert "S3ntinel-Name" in dump.read_text()
    erasure = ask(tenure)
    ok(tenure("erasure", "confirm", erasure, "--how", "S3ntinel-Name rang back"))
    ok(tenure("erasure", "plan", erasure))
    ok(tenure("erasure", "approve", erasure))
    ok(tenure("erasure", "run", erasure))
    with restored(cluster, dump, lab) as new:
        env = {"DATABASE_URL": str(new.installation.settings.database_url)}
        refused = tenure("ledger", "publish", env=env)
        assert refused.exit_code == 2
        assert "tenure retention replay" in refused.stderr
        planned = tenure("retention", "replay", "--dry-run", "--format", "json", env=env)
        assert json.loads(ok(planned))["tenants"] == [
            {
                "tenant": "acme",
                "batches": 1,
                "rows": {
                    "shop.customer_profiles": {"delete": 1},
                    "shop.customers": {"anonymise": 1},
                    "shop.notes": {"delete": 2},
                },
                "asked_again": {},
                "access_ends": False,
            }
        ]
        assert "S3ntinel-Name" in dumped(cluster, new, tmp_path / "planned.sql").read_text()
        done = tenure("retention", "replay", env=env)
        assert "done: 4 rows" in ok(done)
        assert "retention is stopped: the database was restored" in done.stdout
        assert "Nothing is signed" in done.stderr
        after = dumped(cluster, new, tmp_path / "after.sql").read_text()
        assert [s for s in SENTINELS if s in after] == []
        assert "0 of their rows are there" in ok(
            tenure("retention", "replay", "--dry-run", env=env)
        )
        assert ok(tenure("verify", env=env))


def test_without_records_it_says_so(tenure: Tenure, customer: str) -> None:
    done = tenure("retention", "replay")
    assert done.exit_code == 2
    assert "there are no records: set ledger_dir" in done.stderr


def test_what_was_changed_is_changed_again(
    cluster: Cluster, desk: Lab, make_tenant: Callable[..., TenantId], tmp_path: Path
) -> None:
    acme = make_tenant("acme")
    ledger = make_ledger(desk, tmp_path / "ledger", "ledger.example/desk")
    kept = test_actions.person(desk, acme, NOW, name="Late")
    for name in ("Ann", "Bob", "Cid"):
        test_actions.person(desk, acme, name=name, email=f"{name}@example.org")
    dump = dumped(cluster, desk, tmp_path / "before.sql")
    work(desk, PEOPLE)
    ledger.publish()
    with restored(cluster, dump, desk) as new:
        assert names(new) == ["Ann", "Bob", "Cid", "Late"]
        replay = replayer(new, writer(ledger), catalog=desk.catalog)
        done = replay.run()
        assert done.whole
        assert [t.rows for t in done.tenants] == [{"desk.people": {"anonymise": 3}}]
        assert names(new) == ["-", "-", "-", "Late"]
        ((left,),) = new.sql("SELECT count(*) FROM desk.people WHERE email LIKE '%%@%%'")
        assert left == 0
        assert kept in {i for (i,) in new.sql("SELECT id::text FROM desk.people")}
        # By what the replay itself left on record, changes are known, too.
        ledger_2 = make_ledger(new, tmp_path / "ledger-2", "ledger.example/desk-2")
        ledger_2.publish()
    with restored(cluster, dump, desk) as again:
        second = replayer(again, writer(ledger_2), catalog=desk.catalog)
        assert second.run().whole
        assert names(again) == ["-", "-", "-", "Late"]


def test_what_was_archived_or_brought_back_is_not_erased(
    cluster: Cluster, desk: Lab, make_tenant: Callable[..., TenantId], tmp_path: Path
) -> None:
    acme = make_tenant("acme")
    ledger = make_ledger(desk, tmp_path / "ledger", "ledger.example/desk")
    ann = test_actions.person(desk, acme)
    test_actions.letter(desk, acme, ann)
    dump = dumped(cluster, desk, tmp_path / "before.sql")
    done = work(desk, ARCHIVED)
    with desk.installation.verifier.transaction(None, read_only=True) as cursor:
        (batch,) = archived_batches(cursor, done.trace_id)
    restore(desk.installation.retention, desk.catalog, batch,
            Wish("asked for", "ann", NOW.replace(year=2027)))  # fmt: skip
    ledger.publish()
    with restored(cluster, dump, desk) as new:
        replayed = replayer(new, writer(ledger), catalog=desk.catalog).run()
        assert replayed.whole
        assert replayed.left == {"archived rows, for their policies": 2}
        assert names(new) == ["Ann"]
        assert new.sql("SELECT count(*) FROM desk.letters") == [(1,)]


def test_what_was_archived_and_then_erased_goes_from_where_it_was(
    cluster: Cluster, desk: Lab, make_tenant: Callable[..., TenantId], tmp_path: Path
) -> None:
    """Its key is on record under the archive's name; the backup has it where it came from."""
    acme = make_tenant("acme")
    ledger = make_ledger(desk, tmp_path / "ledger", "ledger.example/desk")
    test_actions.person(desk, acme)
    dump = dumped(cluster, desk, tmp_path / "before.sql")
    work(desk, ARCHIVED)
    purge = """
[[policy]]
name = "attic"
table = "attic.people"
starts = "archived_at"
period = "P2Y"
legal_basis = "test"
class = "people"
"""
    desk.sql("UPDATE attic.people SET archived_at = '2020-01-01'")
    work(desk, purge)
    assert desk.sql("SELECT count(*) FROM attic.people") == [(0,)]
    ledger.publish()
    with restored(cluster, dump, desk) as new:
        replay = replayer(new, writer(ledger), catalog=desk.catalog)
        assert [t.rows for t in replay.run().tenants] == [{"desk.people": {"delete": 1}}]
        assert names(new) == []


def work(desk: Lab, policies: str) -> Any:
    shop = desk.shop(policies=test_actions.read(policies))
    return run_once(shop, shop.plan)


def names(desk: Lab) -> list[str]:
    return [name for (name,) in desk.sql("SELECT name FROM desk.people ORDER BY name")]
