"""`tenure import`, as a process of its own: what it prints, and being killed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import COUNTRIES, dirty_lines

ROOT = Path(__file__).parents[3]
OwnerSql = Callable[..., list[tuple[Any, ...]]]
Write = Callable[..., Path]
Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def command(cluster: Any, installation: Any, tmp_path: Path) -> Command:
    """`command(*args)` starts `tenure import` on the test's database, in an empty folder."""
    here = tmp_path / "cwd"
    here.mkdir()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TENURE_")}
    environment = {
        **inherited,
        **cluster.environment,
        "DATABASE_URL": installation.settings.database_url,
        "TENURE_DOMAIN": "shop",
        "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
        "PYTHONPATH": str(ROOT),
    }

    def start(*args: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from api.cli import main; main()", "import", *map(str, args)],
            env=environment,
            cwd=here,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_counts_add_up_and_the_policies_are_paused(
    command: Command, dirty_file: Write, owner_sql: OwnerSql
) -> None:
    path = dirty_file([*dirty_lines(120), "\n", "cut,off"])
    code, out, err = outcome(command("online-retail", path, "--format", "json"))
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["lines"] == 123
    assert report["lines"] == sum(
        report[k] for k in ("header", "blank", "continued", "imported", "already_there", "rejected")
    )
    assert (report["imported"], report["rejected"], report["blank"]) == (120, 1, 1)
    assert report["unfinished_last_line"] is True
    assert {t["tenant"] for t in report["tenants"]} == set(COUNTRIES)
    assert {t["slug"] for t in report["tenants"]} >= {"united-kingdom", "channel-islands"}
    for tenant in report["tenants"]:
        assert owner_sql(
            "SELECT count(*) FROM shop.invoice_lines WHERE tenant_id = %s", (tenant["id"],)
        ) == [(tenant["imported"],)]
        assert owner_sql(
            "SELECT array_agg(DISTINCT state), count(*) FROM tenure.policy_states"
            " WHERE tenant_id = %s",
            (tenant["id"],),
        ) == [(["paused"], 3)]
    assert Path(report["rejects"]) == path.with_name("retail.csv.rejects.csv")
    with Path(report["rejects"]).open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["line", "reason", "text"],
            ["123", "the record has 2 fields instead of 8", "cut,off"],
        ]

    # What somebody has decided since stays decided.
    owner_sql("UPDATE tenure.policy_states SET state = 'active'")
    code, out, _ = outcome(command("online-retail", path, "--rejects", path.with_name("r.csv")))
    assert code == 0
    assert "retail.csv: 123 lines = 120 already there, 1 rejected, 1 header, 1 blank" in out
    assert "paused" not in out
    assert owner_sql("SELECT DISTINCT state FROM tenure.policy_states") == [("active",)]
    assert path.with_name("r.csv").exists()


def test_killed_in_the_middle_and_run_again_nothing_is_doubled(
    command: Command, dirty_file: Write, owner_sql: OwnerSql
) -> None:
    path = dirty_file(dirty_lines(6000))
    count = "SELECT count(*) FROM shop.invoice_lines"
    process = command("online-retail", path, "--batch-lines", "50")
    deadline = time.monotonic() + 30
    while owner_sql(count)[0][0] < 500 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert outcome(process)[0] == -9
    assert 500 <= owner_sql(count)[0][0] < 6000
    code, out, err = outcome(command("online-retail", path, "--format", "json"))
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["imported"] + report["already_there"] == 6000
    assert report["already_there"] >= 500
    assert owner_sql(count) == [(6000,)]
    assert owner_sql("SELECT sum(lines_imported) FROM shop.imported_files") == [(6000,)]


def test_a_country_whose_slug_is_another_tenants_is_not_mixed_into_it(
    command: Command, dirty_file: Write, owner_sql: OwnerSql, make_tenant: Callable[..., Any]
) -> None:
    make_tenant("france")
    owner_sql("UPDATE tenure.tenants SET name = 'France SA' WHERE slug = 'france'")
    path = dirty_file(["1,A,B,1,01/12/2010 08:26,2.55,,France\n"])
    code, out, _ = outcome(command("online-retail", path, "--format", "json"))
    assert code == 1
    report = json.loads(out)
    assert (report["imported"], report["rejected"]) == (0, 1)
    assert (
        "'France' would go to the tenant 'france', which is 'France SA'"
        in Path(report["rejects"]).read_text()
    )
    assert owner_sql("SELECT count(*) FROM shop.invoice_lines") == [(0,)]


def test_what_cannot_be_imported_is_said_in_one_line(command: Command, dirty_file: Write) -> None:
    good, bad = dirty_file(dirty_lines(1)), dirty_file([], "bad.csv")
    bad.write_text("a,b\n1,2\n")
    refusals = {
        ("sap", good): "domain 'shop' has no importer 'sap'; there are: online-retail",
        ("online-retail", bad): "this is no Online Retail file",
        ("online-retail", good.with_name("none.csv")): "does not exist",
        ("online-retail", good, "--rejects", good): "is FILE itself",
        ("online-retail", good, "--rejects", good / "x"): "cannot write the rejected lines",
    }
    started = {args: command(*args) for args in refusals}
    for args, process in started.items():
        code, out, err = outcome(process)
        assert (code, out) == (2, ""), args
        assert refusals[args] in err
        assert "Traceback" not in err
    assert good.read_text().count("\n") == 2


def test_rejects_go_to_the_working_directory_where_files_own_cannot_be_written(
    command: Command, dirty_file: Write, tmp_path: Path
) -> None:
    path = dirty_file(["cut,off"])
    # Also where the tests run as root: no file can be made under a name that is a folder.
    path.with_name("retail.csv.rejects.csv").mkdir()
    code, out, err = outcome(command("online-retail", path))
    assert (code, err) == (1, "")
    assert (tmp_path / "cwd" / "retail.csv.rejects.csv").read_text().count("\n") == 2
    assert str(tmp_path / "cwd" / "retail.csv.rejects.csv") in out


def test_the_help_has_an_example(command: Command) -> None:
    code, out, _ = outcome(command("--help"))
    assert code == 0
    assert "tenure import online-retail" in out


def test_a_file_of_which_nothing_is_taken_is_work_not_done(
    command: Command, dirty_file: Write
) -> None:
    path = dirty_file(["1,A,x,many,01/12/2010 08:26,1,1,France\n"])
    code, out, _ = outcome(command("online-retail", path, "--format", "json"))
    assert code == 1
    assert json.loads(out)["rejected"] == 1
