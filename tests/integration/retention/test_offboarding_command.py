"""`tenure tenants offboard` in the shop, with sentinels; and after a restore."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from config.postgres_install import installation_for
from tenants.context import TenantId
from tests.conftest import Cluster

from .conftest import Lab, Tenure
from .restored import dumped, make_ledger, replayer, restored, writer
from .test_erasure_cli import SENTINELS, customer, ok
from .test_offboardings import asked as ask_in_lab
from .test_offboardings import counted, executor, plant, rows

__all__ = ["customer"]

OFFBOARD = ("tenants", "offboard")


@pytest.fixture
def offboard(tenure: Tenure, customer: str) -> Callable[..., Result]:
    return lambda *arguments, **more: tenure(*OFFBOARD, *arguments, **more)


Offboard = Callable[..., Result]
REQUEST = ("request", "acme", "--reason", "contract ended", "--output", "acme.zip")


def counts(owner_sql: Any, tenant: str = "acme") -> int:
    return int(
        owner_sql(
            "SELECT count(*) FROM shop.customers c JOIN tenure.tenants t ON t.id = c.tenant_id"
            " WHERE t.slug = %s",
            (tenant,),
        )[0][0]
    )


def test_from_the_request_to_the_end(
    offboard: Offboard,
    tenure: Tenure,
    customer: str,
    owner_sql: Any,
    make_tenant: Callable[..., TenantId],
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    make_tenant("globex")
    requested = json.loads(ok(offboard(*REQUEST, "--grace", "P0D", "--format", "json")))
    assert requested["state"] == "requested"
    assert requested["export"]["counts"]["shop.customers"] == 1
    with zipfile.ZipFile(tmp_path / "acme.zip") as bundle:
        assert b"S3ntinel-Name" in bundle.read("shop.customers.json")
    assert (tmp_path / "acme.zip").stat().st_mode & 0o777 == 0o600

    planned = ok(offboard("run", "acme", "--dry-run"))
    assert "acme: may go now" in planned
    lines = {" ".join(line.split()) for line in planned.splitlines()}
    assert {"shop.notes 2", "shop.customers 1", "shop.products 0"} <= lines
    assert "tenure.memberships when the deletion begins" in lines
    order = planned.index
    assert order("shop.customer_profiles") < order("shop.customers ")
    (plan,) = json.loads(ok(offboard("run", "--dry-run", "--format", "json")))
    assert plan["goes"]["shop.customers"] == 1
    assert plan["stays"]["tenure.tenants"]["rows"] == 1
    assert counts(owner_sql) == 1, "a plan deleted something"

    assert "acme: completed, 5 rows deleted this time" in ok(offboard("run"))
    assert ok(offboard("run")).strip() == "nothing is due"
    shown = ok(offboard("show", "acme"))
    assert ": completed" in shown
    assert "because it" in shown
    (listed,) = json.loads(ok(offboard("list", "--format", "json")))
    assert (listed["tenant"], listed["state"]) == ("acme", "completed")
    assert "contract ended" in ok(offboard("list"))
    gone = ok(tenure("retention", "explain", "customers", customer))
    assert "deleted" in gone
    assert "by offboarding" in gone
    assert re.search("requested [^ ]+, to go after [^ ]+\n", gone)
    (tmp_path / "dump").mkdir()
    dump = dump_of(cluster, owner_sql, tmp_path / "dump" / "after.sql")
    assert [s for s in SENTINELS if s in dump] == []


def dump_of(cluster: Cluster, owner_sql: Any, path: Path) -> str:
    ((name, version),) = owner_sql(
        "SELECT current_database(), current_setting('server_version_num')::int / 10000"
    )
    tool = installation_for(version).root / "bin" / "pg_dump"
    subprocess.run([str(tool), cluster.url(name), "-f", str(path)], check=True)
    return path.read_text()


def test_in_its_grace_nothing_goes_and_it_can_be_taken_back(
    offboard: Offboard, owner_sql: Any, tmp_path: Path
) -> None:
    assert "deleted from" in ok(offboard(*REQUEST))
    waits = offboard("run", "acme")
    assert waits.exit_code == 1
    assert "is in its grace until" in waits.output
    assert ok(offboard("run")).strip() == "nothing is due"
    again = offboard(*REQUEST[:-1], "other.zip")
    assert (again.exit_code, "is open already" in again.output) == (2, True)
    ok(offboard("export", "acme", "--output", "later.zip"))
    exports = owner_sql("SELECT id FROM tenure.exports ORDER BY began_at")
    assert owner_sql("SELECT export_id FROM tenure.offboardings") == [exports[-1]]
    assert "taken back" in ok(offboard("take-back", "acme", "--reason", "they stay"))
    assert offboard("run", "acme").exit_code == 2
    assert offboard("export", "acme", "--output", "third.zip").exit_code == 2
    assert not (tmp_path / "third.zip").exists()
    assert counts(owner_sql) == 1


def test_held_it_says_so_and_by_whom(offboard: Offboard, tenure: Tenure, owner_sql: Any) -> None:
    ok(offboard(*REQUEST, "--grace", "P0D"))
    ok(tenure("hold", "place", "--tenant", "acme", "--matter", "M-9", "--reason", "court"))
    deferred = offboard("run", "acme")
    assert deferred.exit_code == 1
    assert "acme: deferred (the tenant is under legal hold: M-9)" in deferred.output
    assert "held: M-9" in ok(offboard("run", "acme", "--dry-run"))
    assert counts(owner_sql) == 1


def test_wrong_usage_says_what_is_wrong(offboard: Offboard, tmp_path: Path) -> None:
    for arguments, said in (
        (("show", "acme"), "there is no offboarding of this tenant"),
        (("take-back", "nobody", "--reason", "x"), "there is no tenant 'nobody'"),
        ((*REQUEST, "--grace", "a month"), "is no period of grace"),
        (("request", "acme", "--reason", " ", "--output", "x.zip"), "has a reason"),
    ):
        result = offboard(*arguments)
        assert result.exit_code == 2
        assert said in result.output
    (tmp_path / "acme.zip").write_text("somebody's")
    taken = offboard(*REQUEST)
    assert (taken.exit_code, "there already" in taken.output) == (2, True)
    assert (tmp_path / "acme.zip").read_text() == "somebody's"


def test_restored_from_the_day_before_it_left_it_goes_again(
    cluster: Cluster, lab: Lab, acme: TenantId, globex: TenantId, tmp_path: Path
) -> None:
    ledger = make_ledger(lab, tmp_path / "ledger", "ledger.example/lab")
    plant(lab, acme)
    plant(lab, globex)
    before = rows(lab, globex)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    assert executor(lab).run(ask_in_lab(lab, acme)).offboarding.state == "completed"
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        assert counted(rows(new, acme)) != {}
        assert replayer(new, writer(ledger)).run().whole
        assert counted(rows(new, acme)) == {}
        assert rows(new, globex) == before
