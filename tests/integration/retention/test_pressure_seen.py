"""With the grants that docs/operator.md names, retention measures old snapshots and replicas
that lag: on a server of its own, with a replica that streams from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from api.wiring import connections_of, passwords_of
from config.postgres import EmbeddedPostgres
from config.postgres_install import installation_for
from retention.pressure import Thresholds, pressure_on, read_pressure
from tenants.catalog import TableName
from tenants.connections import RoleConnections
from tenants.roles import close_database, prepare_database
from tests.conftest import Cluster

TABLE = TableName("shop", "notes")
DELAY_S = 1.5
WAIT_S = 30.0
GRANTS = """
GRANT pg_read_all_stats TO tenure_retention;
GRANT EXECUTE ON FUNCTION pg_stat_get_activity(integer), pg_stat_get_wal_senders()
TO tenure_retention
"""


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("primary")
    server = EmbeddedPostgres(folder / "postgres", durable=False, settings={"wal_level": "replica"})
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def retention(primary: EmbeddedPostgres, cluster: Cluster) -> Iterator[RoleConnections]:
    """What logs in as tenure_retention, on a database without the grants."""
    settings = Cluster(primary.url(), cluster.environment).settings("postgres")
    prepare_database(primary.url(), passwords_of(settings))
    close_database(primary.url())
    connections = connections_of(settings, "tenure_retention", size=2)
    yield connections
    connections.pool.close()


@pytest.fixture
def granted(primary: EmbeddedPostgres, retention: RoleConnections) -> RoleConnections:
    run(primary.url(), GRANTS)
    return retention


def run(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


@pytest.fixture
def replica(primary: EmbeddedPostgres, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A copy that streams from the primary, and applies each commit DELAY_S later."""
    with (primary.log_path.parent / "pg_hba.conf").open("a") as rules:
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    run(primary.url(), "SELECT pg_reload_conf()")
    # It makes a cluster of its own, whose place the copy takes.
    server = EmbeddedPostgres(
        tmp_path / "replica",
        durable=False,
        settings={"recovery_min_apply_delay": f"{DELAY_S}s", "wal_receiver_status_interval": "1s"},
    )
    server.start()
    server.stop()
    data = server.log_path.parent / "data"
    owner = data.stat()
    programs = installation_for(None).postgres.parent
    copy = tmp_path / "copy"
    subprocess.run(
        [programs / "pg_basebackup", "-d", primary.url(), "-D", copy, "-R", "-X", "stream"],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    for path in (data, *data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
    server.start()
    yield server
    server.destroy()


def test_without_the_grants_they_are_not_measured_and_that_is_said(
    retention: RoleConnections,
) -> None:
    reading = read_pressure(retention, TABLE)
    assert reading.blind
    assert (reading.snapshot_age_s, reading.replication_lag_s) == (None, None)


def test_an_old_snapshot_is_measured(primary: EmbeddedPostgres, granted: RoleConnections) -> None:
    assert read_pressure(granted, TABLE).snapshot_age_s is None
    other = psycopg2.connect(primary.url())
    other.set_session(isolation_level="REPEATABLE READ")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class")
            time.sleep(0.3)
            reading = read_pressure(granted, TABLE)
        other.rollback()
        assert read_pressure(granted, TABLE).snapshot_age_s is None
    finally:
        other.close()
    assert not reading.blind
    assert reading.snapshot_age_s is not None
    assert 0.3 <= reading.snapshot_age_s < WAIT_S
    assert reading.reasons(Thresholds(snapshot_age_s=0.2)) == ("a snapshot is 0 s old",)
    assert reading.reasons(Thresholds(snapshot_age_s=WAIT_S)) == ()


def test_a_replica_that_applies_late_is_measured(
    primary: EmbeddedPostgres, granted: RoleConnections, replica: Any
) -> None:
    ask = pressure_on(granted, TABLE, Thresholds(replication_lag_s=DELAY_S - 0.5))
    said: tuple[str, ...] = ()
    give_up = time.monotonic() + WAIT_S
    while not said and time.monotonic() < give_up:
        run(primary.url(), "CREATE TABLE IF NOT EXISTS public.some (n int)")
        run(primary.url(), "INSERT INTO public.some VALUES (1)")
        time.sleep(0.2)
        said = ask()
    assert len(said) == 1
    assert said[0].startswith("a replica is ")
    lag = read_pressure(granted, TABLE).replication_lag_s
    assert lag is not None
    assert DELAY_S - 0.5 < lag < DELAY_S + 5


def test_a_replica_that_stands_still_is_measured(
    primary: EmbeddedPostgres, granted: RoleConnections, replica: EmbeddedPostgres
) -> None:
    run(replica_url(primary, replica), "SELECT pg_wal_replay_pause()")
    run(primary.url(), "CREATE TABLE IF NOT EXISTS public.some (n int)")
    seen = []
    for _ in range(30):
        run(primary.url(), "INSERT INTO public.some VALUES (1)")
        time.sleep(0.2)
        seen.append(read_pressure(granted, TABLE).replication_lag_s)
    assert seen[-1] is not None, seen
    assert seen[-1] > 4, seen


def replica_url(primary: EmbeddedPostgres, replica: EmbeddedPostgres) -> str:
    """A copy has the passwords of what it was copied from."""
    return replica.url(password=primary.password)
