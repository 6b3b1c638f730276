"""After a restore: files and others, a tenant's access, and the holds that the backup lacks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from retention.alerts import open_alerts
from retention.connectors.declarations import Connectors
from retention.connectors.delivery import deliver_due
from retention.connectors.requests import Request, requests
from retention.errors import RunError
from retention.hold_scopes import Scope
from retention.interventions import start, stop, stopped
from retention.ledger.publishing import Ledger
from retention.replays.elsewhere import NOT_KNOWN, NOT_SEEN, Outside
from retention.tick import tick
from retention.workshop import Workshop
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.registry import add_member, create_login, issue_token
from tests.conftest import Cluster

from . import test_connectors, test_offboardings
from .conftest import Lab
from .erasing import approved, executor, subjects
from .restored import dumped, gone, make_ledger, replayer, restored, writer
from .test_connectors import Receiver

receiver = test_connectors.receiver
connectors = test_connectors.connectors

__all__ = ["connectors", "receiver"]


@pytest.fixture
def ledger(lab: Lab, tmp_path: Path) -> Ledger:
    return make_ledger(lab, tmp_path / "ledger", "ledger.example/acme")


@pytest.fixture
def acknowledging(receiver: Receiver) -> Receiver:
    def answer(asked: dict[str, Any]) -> tuple[int, bytes, str | None]:
        body = test_connectors.acknowledgement(asked["request"])
        return 200, body, test_connectors.signed(body)

    receiver.answer = answer
    return receiver


def files_of(store: Path, tenant: TenantId, key: str) -> Path:
    folder = store / str(tenant) / "cases" / key
    folder.mkdir(parents=True)
    (folder / "scan.pdf").write_text("Sentinel-Scan")
    return folder


def shop_of(lab: Lab, ledger: Ledger | None, connectors: Connectors) -> Workshop:
    """A workshop that has a ledger, by this database's connections."""
    if ledger is not None:
        ledger = replace(ledger, retention=lab.installation.retention)
    return lab.shop(ledger=ledger, connectors=connectors, subjects=subjects())


def erased(lab: Lab, tenant: TenantId, key: str, connectors: Connectors) -> None:
    erasure_id = approved(lab, tenant, key)
    work = executor(lab, connectors=connectors)
    work.run(erasure_id)
    deliver_due(shop_of(lab, None, connectors).courier, everything=True)
    assert work.run(erasure_id).erasure.state == "completed"


def requests_of(lab: Lab, tenant: TenantId) -> list[Request]:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        return requests(cursor, tenant_id=tenant, ended=True)


def alerts(lab: Lab, kind: str) -> list[tuple[str, str]]:
    with lab.installation.retention.transaction(None, read_only=True) as cursor:
        return [(a.subject, a.detail) for a in open_alerts(cursor) if a.kind == kind]


@pytest.fixture
def backup(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, connectors: Connectors,
    acknowledging: Receiver, tmp_path: Path,
) -> dict[str, Any]:  # fmt: skip
    """Database and files of the day before; then two are erased, of whom one has no row."""
    store = tmp_path / "store"
    person, stays, rowless = (lab.case(acme, opened=lab.lately) for _ in range(3))
    for key in (person, stays, rowless):
        files_of(store, acme, key)
    lab.sql("DELETE FROM lab.pages WHERE file_id IN (SELECT id FROM lab.files WHERE case_id = %s)",
            (rowless,))  # fmt: skip
    lab.sql("UPDATE lab.cases SET main_file_id = NULL WHERE id = %s", (rowless,))
    lab.sql("DELETE FROM lab.files WHERE case_id = %s", (rowless,))
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    shutil.copytree(store, tmp_path / "store-before")
    erased(lab, acme, person, connectors)
    erased(lab, acme, rowless, connectors)
    assert not (store / str(acme) / "cases" / person).exists()
    assert (store / str(acme) / "cases" / stays).exists()
    ledger.publish()
    acknowledging.got.clear()

    def restore_files() -> None:
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "store-before", store)

    return {"dump": dump, "person": person, "stays": stays, "rowless": rowless,
            "cases": store / str(acme) / "cases", "restore_files": restore_files}  # fmt: skip


def test_files_that_came_back_with_the_backup_go_again_and_webhooks_are_asked_again(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, connectors: Connectors,
    acknowledging: Receiver, backup: dict[str, Any],
) -> None:  # fmt: skip
    backup["restore_files"]()
    with restored(cluster, backup["dump"], lab) as new:
        # Of one there is no row any more, only files.
        new.sql("DELETE FROM lab.cases WHERE id = %s", (backup["rowless"],))
        outside = Outside(connectors, subjects())
        work = replayer(new, writer(ledger), outside=outside)
        assert work.plan().elsewhere["acme"].counts() == {"documents": 2, "crm": 1}
        assert acknowledging.got == []
        assert (backup["cases"] / backup["person"]).exists(), "a plan deleted files"
        done = work.run()
        assert not (backup["cases"] / backup["person"]).exists()
        assert not (backup["cases"] / backup["rowless"]).exists()
        assert (backup["cases"] / backup["stays"]).exists()
        ((told, _),) = acknowledging.got
        assert (told["subject"], told["key"]) == ("case", backup["person"])
        # Whom nobody knows any more, nobody can be asked about: it is said.
        assert not done.whole
        assert done.tenants[0].elsewhere == {NOT_KNOWN: {"crm": 1}}
        assert sorted((r.connector, r.cause, r.state) for r in requests_of(new, acme)) == [
            ("crm", "replay", "acknowledged"),
            ("documents", "replay", "acknowledged"),
            ("documents", "replay", "acknowledged"),
        ]
        again = work.run()
        assert (again.tenants, again.whole) == ((), True)
        assert len(acknowledging.got) == 1
        # What is on record outside names nobody.
        text = "".join(path.read_text() for path in gone(ledger).path.iterdir())
        assert backup["person"] not in text
        assert backup["rowless"] not in text


def test_a_store_that_is_not_mounted_leaves_the_replay_incomplete_until_it_is(
    cluster: Cluster, lab: Lab, ledger: Ledger, connectors: Connectors, backup: dict[str, Any],
    tmp_path: Path,
) -> None:  # fmt: skip
    store = tmp_path / "store"
    backup["restore_files"]()
    store.rename(tmp_path / "elsewhere")
    store.mkdir()
    with restored(cluster, backup["dump"], lab) as new:
        work = replayer(new, writer(ledger), outside=Outside(connectors, subjects()))
        done = work.run()
        assert done.tenants[0].elsewhere == {NOT_SEEN: {"documents": 2}}
        assert not done.whole
        assert new.sql("SELECT state FROM tenure.purges") == [("incomplete",)]
        store.rmdir()
        (tmp_path / "elsewhere").rename(store)
        assert work.run().whole
        assert sorted(p.name for p in backup["cases"].iterdir()) == [backup["stays"]]


def test_files_that_came_back_alone_go_again_unless_their_person_did(
    lab: Lab, ledger: Ledger, acme: TenantId, connectors: Connectors, backup: dict[str, Any]
) -> None:
    """The database was never restored, only the store."""
    lab.sql("INSERT INTO lab.cases (tenant_id, id, opened) VALUES (%s, %s, %s)",
            (str(acme), backup["rowless"], lab.lately.date()))  # fmt: skip
    backup["restore_files"]()
    work = replayer(lab, writer(ledger), outside=Outside(connectors, subjects()))
    assert work.run().whole
    assert sorted(p.name for p in backup["cases"].iterdir()) == sorted(
        [backup["stays"], backup["rowless"]]
    )
    with lab.installation.retention.transaction(None, read_only=True) as cursor:
        assert stopped(cursor) is None, "no database was restored"


def test_files_of_somebody_held_stay_and_the_request_waits(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, connectors: Connectors,
    backup: dict[str, Any],
) -> None:  # fmt: skip
    backup["restore_files"]()
    with restored(cluster, backup["dump"], lab) as new:
        new.hold(acme)
        work = replayer(new, writer(ledger), outside=Outside(connectors, subjects()))
        done = work.run()
        assert (backup["cases"] / backup["person"]).exists()
        assert {"asked again, and not answered yet": {"crm": 2, "documents": 2}} in [
            dict(t.elsewhere) for t in done.tenants
        ]


# -- access -------------------------------------------------------------------------------


def access(lab: Lab, tenant: TenantId) -> tuple[int, int]:
    return tuple(
        lab.sql(f"SELECT count(*) FROM tenure.{table} WHERE tenant_id = %s", (str(tenant),))[0][0]
        for table in ("memberships", "api_tokens")
    )  # type: ignore[return-value]


def test_the_access_of_a_tenant_that_left_ends_again(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, globex: TenantId, tmp_path: Path
) -> None:
    """Also of one without a row in any table: nothing but the access came back."""
    with lab.owner, lab.owner.cursor() as cursor:
        for tenant in (acme, globex):
            login = create_login(cursor, email=f"{uuid4()}@example.com", password_hash="x")
            add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
            issue_token(cursor, tenant_id=tenant, login_id=login, name="ci")
    before = access(lab, acme)
    assert before == (1, 1)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    result = test_offboardings.executor(lab).run(test_offboardings.asked(lab, acme))
    assert result.offboarding.state == "completed"
    assert access(lab, acme) == (0, 0)
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        assert access(new, acme) == before
        done = replayer(new, writer(ledger)).run()
        assert done.whole
        assert access(new, acme) == (0, 0)
        assert access(new, globex) == before
        ended = new.sql("SELECT cause -> 'access' ->> 'api_tokens', cause ->> 'offboarding'"
                        " FROM tenure.purges")  # fmt: skip
        assert ended == [("1", str(result.offboarding.id))]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="offboarded"):
            new.sql(
                "INSERT INTO tenure.memberships (tenant_id, login_id, role)"
                " SELECT %s, id, 'owner' FROM tenure.logins LIMIT 1",
                (str(acme),),
            )


# -- holds --------------------------------------------------------------------------------


def test_a_restored_database_deletes_nothing_until_the_holds_are_in(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, tmp_path: Path
) -> None:
    """A hold was placed after the backup; what it held comes due, and is not known to be held."""
    held = lab.node(acme)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    hold = Scope("rows", TableName("lab", "nodes"), rows=(UUID(held),))
    lab.hold(acme, hold)
    went = lab.node(acme)
    lab.run()
    assert lab.ids("nodes") == {held}
    assert went not in lab.ids("nodes")
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        for _ in range(2):
            tick(shop_of(new, ledger, {}))
            assert held in new.ids("nodes"), "what the lost hold was on was deleted"
        with new.installation.retention.transaction(None, read_only=True) as cursor:
            said = stopped(cursor)
        assert said
        assert "enter the holds again" in said.reason
        with pytest.raises(RunError, match="stopped"):
            new.run(shop_of(new, ledger, {}))
        # Started without a replay, it is stopped again.
        start(new.installation.retention, actor="test", reason="never mind")
        tick(shop_of(new, ledger, {}))
        assert held in new.ids("nodes")
        # A replay is not stopped by it.
        done = replayer(new, writer(ledger)).run()
        assert not done.stopped
        assert done.restored
        new.hold(acme, hold)
        start(new.installation.retention, actor="test", reason="the holds are in")
        tick(shop_of(new, None, {}))
        assert held in new.ids("nodes")
        assert new.sql("SELECT action FROM tenure.interventions ORDER BY number")[-1:] == [
            ("start",)
        ]


def test_what_people_stopped_is_not_gone_on_with_by_a_replay(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, tmp_path: Path
) -> None:
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    went = lab.node(acme)
    dump = dumped(cluster, lab, tmp_path / "before-2.sql")
    lab.run()
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        tick(shop_of(new, ledger, {}))
        stop(new.installation.retention, actor="test", reason="looking")
        assert replayer(new, writer(ledger)).run().stopped
        assert went in new.ids("nodes")


def test_an_incomplete_replay_is_warned_of_and_tried_again_when_its_hold_ends(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, tmp_path: Path
) -> None:
    node = lab.node(acme)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    lab.run()
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        scope = Scope("rows", TableName("lab", "nodes"), rows=(UUID(node),))
        hold = new.hold(acme, scope)
        assert not replayer(new, writer(ledger)).run().whole
        start(new.installation.retention, actor="test", reason="the holds are in")
        shop = shop_of(new, ledger, {})
        tick(shop)
        ((subject, detail),) = alerts(new, "replay")
        assert subject == "acme"
        assert "held: 1 of lab.nodes" in detail
        count = len(new.sql("SELECT FROM tenure.purges"))
        tick(shop)
        assert len(new.sql("SELECT FROM tenure.purges")) == count, "tried again for nothing"
        new.release(hold)
        tick(shop)
        assert node not in new.ids("nodes")
        assert alerts(new, "replay") == []
        assert new.sql("SELECT state FROM tenure.purges ORDER BY began_at DESC LIMIT 1") == [
            ("completed",)
        ]


def test_one_tenants_replay_tried_again_speaks_for_no_other(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, globex: TenantId, tmp_path: Path
) -> None:
    """A replay was told to stop before all had their turn, and one that had is tried again: started
    without the rest, retention is stopped again."""
    node, other = lab.node(acme), lab.node(globex)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    lab.run()
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        hold = new.hold(acme, Scope("rows", TableName("lab", "nodes"), rows=(UUID(node),)))
        ended: list[str] = []
        work = replayer(new, writer(ledger), stop=lambda: bool(ended),
                        on_step=lambda step: ended.extend([step] * (step == "ended")))  # fmt: skip
        assert work.run().stopped
        assert new.sql("SELECT state FROM tenure.purges") == [("incomplete",)]
        new.release(hold)
        shop = shop_of(new, ledger, {})
        tick(shop)
        assert new.ids("nodes") == {other}, "acme's went again"
        start(new.installation.retention, actor="test", reason="never mind")
        tick(shop)
        with new.installation.retention.transaction(None, read_only=True) as cursor:
            assert stopped(cursor) is not None
        assert replayer(new, writer(ledger)).run().whole
        assert new.ids("nodes") == set()
        start(new.installation.retention, actor="test", reason="the holds are in")
        tick(shop)
        with new.installation.retention.transaction(None, read_only=True) as cursor:
            assert stopped(cursor) is None
