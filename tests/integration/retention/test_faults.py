"""What a database may do to a worker: cut it off, time out, fill up, step its clock."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from api.wiring import connections_of
from config.trace import new_trace_id
from retention import worker as workers
from retention.batch import STEPS
from retention.executor import Options
from retention.runs import report_of
from tenants.context import TenantId

from ...conftest import run_as_owner
from .crash import units_agree_with_batches

WAIT_S = 120.0


@pytest.fixture
def admin(lab: Any) -> Iterator[Callable[..., list[Any]]]:
    """`admin(statement, *params)` as the server's administrator, each on its own."""
    connection = psycopg2.connect(lab.installation.settings.database_url)
    connection.autocommit = True

    def run(statement: str, *params: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()


CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'tenure_retention' AND datname = current_database()"
)


@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_is_cut_costs_a_batch_and_no_more(
    lab: Any, acme: TenantId, admin: Callable[..., list[Any]], step: str
) -> None:
    for _ in range(5):
        lab.case(acme, files=1)
    cut: list[Any] = []

    def on_step(now_at: str) -> None:
        if now_at == step and len(cut) < 3:
            cut.append(admin(CUT))

    report = lab.run(lab.shop(options=Options(batch_size=2, on_step=on_step)))
    assert len(cut) == 3
    assert all(cut)
    assert (report.state, report.rows) == ("succeeded", 20), report.detail
    assert lab.recorded() == {"lab.cases": 5, "lab.files": 5, "lab.pages": 10}
    assert units_agree_with_batches(lab)


def test_a_connection_that_is_cut_each_time_fails_the_unit_with_the_error(
    lab: Any, acme: TenantId, admin: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.case(acme)
    monkeypatch.setattr(workers, "MAX_ATTEMPTS", 3)  # or it would take half a minute
    shop = lab.shop(options=Options(on_step=lambda s: s == "locked" and admin(CUT)))
    report = lab.run(shop)
    assert report.state == "failed"
    assert "3 attempts came to nothing" in report.detail
    assert "OperationalError" in report.detail
    assert len(lab.ids("cases")) == 1
    assert lab.run().rows == 1


def test_a_deadlock_is_got_past(lab: Any, acme: TenantId, admin: Callable[..., list[Any]]) -> None:
    cases = [lab.case(acme, files=1) for _ in range(4)]
    other = psycopg2.connect(lab.installation.settings.database_url)
    broken: list[bool] = []

    def on_step(step: str) -> None:
        if step == "selected" and not broken:
            broken.append(True)
            # It has the file that the batch wants next, and wants the case that the batch has.
            threading.Thread(target=want_the_case).start()
            lab.wait_for_a_waiter()

    def want_the_case() -> None:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM lab.cases WHERE id = %s FOR UPDATE", (cases[0],))
        other.commit()

    try:
        with other.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '60s'")  # ours is the one that is broken off
            cursor.execute("SELECT 1 FROM lab.files WHERE case_id = %s FOR UPDATE", (cases[0],))
        shop = lab.shop(options=Options(batch_size=4, lock_timeout_ms=5000, on_step=on_step))
        report = lab.run(shop)
    finally:
        other.close()
    assert broken
    assert admin("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        (1,)
    ]
    assert (report.state, report.rows) == ("succeeded", 16), report.detail
    assert units_agree_with_batches(lab)


def test_a_row_that_takes_longer_than_the_statement_timeout_costs_itself_alone(
    lab: Any, acme: TenantId, admin: Callable[..., list[Any]]
) -> None:
    cases = [lab.case(acme) for _ in range(5)]
    admin(
        "CREATE FUNCTION lab.slow() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(5); RETURN OLD; END $$"
    )
    admin("GRANT EXECUTE ON FUNCTION lab.slow() TO tenure_retention")
    admin(
        "CREATE TRIGGER slow BEFORE DELETE ON lab.cases FOR EACH ROW"
        f" WHEN (OLD.id = '{cases[2]}') EXECUTE FUNCTION lab.slow()"
    )
    settings = lab.installation.settings.model_copy(update={"job_statement_timeout_ms": 500})
    hurried = connections_of(settings, "tenure_retention", size=4)
    try:
        report = lab.run(replace(lab.shop(), retention=hurried))
    finally:
        hurried.pool.close()
    assert report.state == "succeeded_with_skips"
    assert "took longer than the statement timeout (1 rows)" in report.detail
    assert lab.ids("cases") == {cases[2]}
    assert lab.recorded() == {"lab.cases": 4}


def test_an_error_that_is_kept_quotes_no_row(
    lab: Any, acme: TenantId, admin: Callable[..., list[Any]]
) -> None:
    lab.case(acme)
    admin(
        "CREATE FUNCTION lab.bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'it cannot be' USING DETAIL = 'name=(Jane Doe)'; END $$"
    )
    admin("GRANT EXECUTE ON FUNCTION lab.bad() TO tenure_retention")
    admin("CREATE TRIGGER bad BEFORE DELETE ON lab.cases EXECUTE FUNCTION lab.bad()")
    report = lab.run()
    assert report.state == "failed"
    assert report.detail == "cases of acme: RaiseException: it cannot be"
    assert lab.sql("SELECT count(*) FROM tenure.units WHERE detail ~ 'Jane'") == [(0,)]


@pytest.fixture
def small_disk(admin: Callable[..., list[Any]]) -> Iterator[Path]:
    """A file system of a few megabytes, as the tablespace `small`."""
    ((server,),) = admin("SELECT current_setting('data_directory')")
    if not Path(server).exists():
        pytest.skip("the server is elsewhere")
    folder = Path(tempfile.mkdtemp(prefix="tenure-small-"))
    folder.chmod(0o711)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=711", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        place = folder / "space"
        place.mkdir()
        shutil.chown(place, Path(server).owner())
        admin(f"CREATE TABLESPACE small LOCATION '{place}'")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_takes_nothing_with_it_and_the_run_goes_on_when_there_is_room(
    lab: Any, acme: TenantId, admin: Callable[..., list[Any]], small_disk: Path
) -> None:
    for _ in range(40):
        lab.case(acme, files=1)
    for table in ("tenure.batches", "lab.cases"):
        admin(f"ALTER TABLE {table} SET TABLESPACE small")
    filler = small_disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
    except OSError:
        assert filler.stat().st_size > 1_000_000
    tried: list[int] = []

    def on_step(step: str) -> None:
        if step == "gate":
            tried.append(len(lab.ids("cases")))
            if len(tried) == 3:
                filler.unlink()

    report = lab.run(lab.shop(options=Options(batch_size=40, on_step=on_step)))
    assert tried[:3] == [40, 40, 40]
    assert (report.state, report.rows) == ("succeeded", 160), report.detail
    assert lab.recorded() == {"lab.cases": 40, "lab.files": 40, "lab.pages": 80}
    assert units_agree_with_batches(lab)
    for table in ("tenure.batches", "lab.cases"):
        admin(f"ALTER TABLE {table} SET TABLESPACE pg_default")
    admin("DROP TABLESPACE small")


@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_may_step_while_workers_work(
    lab: Any, make_tenant: Callable[..., TenantId], hours: int
) -> None:
    """To leases, a step of the server's clock is as if they all ended so much earlier or later."""
    for number in range(3):
        tenant = make_tenant(f"shop-{number}")
        for _ in range(4):
            lab.case(tenant)

    def step(_progress: Any) -> None:
        run_as_owner(
            lab.installation.settings,
            "UPDATE tenure.units SET lease_until = lease_until - make_interval(hours => %s),"
            " served_at = served_at - make_interval(hours => %s) WHERE state = 'open'",
            (hours, hours),
        )

    shop = lab.shop(
        options=Options(batch_size=1, slice_s=0.05, lock_timeout_ms=2000, on_progress=step),
        lease_ttl_s=0.5,
    )
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    began = time.monotonic()
    threads = [threading.Thread(target=shop.worker().work, args=(run_id,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), time.monotonic() - began
    report = report_of(shop.verifier, run_id)
    assert (report.state, report.rows) == ("succeeded", 12), report.detail
    assert lab.recorded() == {"lab.cases": 12}
    assert units_agree_with_batches(lab)


def test_a_dead_workers_lease_from_before_the_clock_was_set_back_is_not_waited_for(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    lab.sql("UPDATE tenure.units SET holder = 'dead', lease_until = now() + interval '1 hour'")
    shop.worker().work(run_id)
    assert report_of(shop.verifier, run_id).state == "succeeded"
