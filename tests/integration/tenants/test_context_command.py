"""`tenure context`: a person gets in with psql, and the key is exchanged while traffic runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr
from shop.models import Customer

from api.cli import command
from api.wiring import (
    Installation,
    connections_of,
    migrator_of,
    open_installation,
    sealer_of,
)
from config.settings import Settings
from tenants.errors import ContextKeyError
from tenants.seal import key_id

from ...conftest import Cluster
from .conftest import Pair, scope_of

TENURE = Path(sys.executable).parent / "tenure"
needs_psql = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
COUNT = "SELECT count(*) FROM shop.customers"


def environment(cluster: Cluster, settings: Settings) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("TENURE_")},
        **cluster.environment,
        "DATABASE_URL": settings.database_url or "",
        "TENURE_DOMAIN": "shop",
        "TENURE_DOMAIN_PATH": str(settings.domain_path),
        "TENURE_CONTEXT_KEY": settings.sealing_key().hex(),
        "TENURE_POOLER": settings.pooler,
    }


def run(env: dict[str, str], *arguments: str) -> Result:
    return CliRunner(env=env).invoke(command, arguments)


def test_what_is_printed_for_a_session_lets_it_in(
    cluster: Cluster, installation: Installation, pair: Pair
) -> None:
    env = environment(cluster, installation.settings)
    session = psycopg2.connect(installation.settings.role_url("tenure_app"))
    session.autocommit = True
    cursor = session.cursor()
    pid = str(session.info.backend_pid)
    for named, count in (("a", 2), (str(pair.b), 3)):
        printed = run(env, "context", named, "--pid", pid)
        assert printed.exit_code == 0, printed.output
        cursor.execute(printed.stdout)
        cursor.execute(COUNT)
        assert cursor.fetchone() == (count,)
        cursor.execute("COMMIT")
    of_another = run(env, "context", "a", "--pid", str(int(pid) + 1))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(of_another.stdout)
    session.close()


def test_a_tenant_that_does_not_exist_is_named(
    cluster: Cluster, installation: Installation
) -> None:
    result = run(environment(cluster, installation.settings), "context", "nobody")
    assert result.exit_code == 2
    assert "'nobody'" in result.output
    unknown = "00000000-0000-4000-8000-00000000dead"
    for more in ((), ("--pid", "1"), ("--psql", "--", "-c", COUNT)):
        result = run(environment(cluster, installation.settings), "context", unknown, *more)
        assert result.exit_code == 2, "in the context of nobody nobody has rows"
        assert unknown in result.output


@needs_psql
def test_what_is_printed_for_psql_lets_it_in(
    cluster: Cluster, installation: Installation, pair: Pair
) -> None:
    env = environment(cluster, installation.settings)
    env["PATH"] = f"{TENURE.parent}{os.pathsep}{env['PATH']}"
    printed = run(env, "context", "b")
    script = f"{printed.stdout}\n{COUNT};\nCOMMIT;\n:enter\n{COUNT};\n"
    url = installation.settings.role_url("tenure_app")
    told = subprocess.run(
        ["psql", "-X", "-A", "-t", url],
        check=False,
        input=script,
        env=env,
        capture_output=True,
        text=True,
    )
    assert told.stderr == ""
    assert [line for line in told.stdout.splitlines() if line.isdigit()] == ["3", "3"]


@needs_psql
@pytest.mark.parametrize("pooler", ["none", "transaction"])
def test_psql_is_started_in_the_context(
    cluster: Cluster, installation: Installation, pair: Pair, pooler: str
) -> None:
    settings = installation.settings.model_copy(update={"pooler": pooler})
    migrator_of(settings).up()
    told = subprocess.run(
        [TENURE, "context", "a", "--psql", "--", "-A", "-t", "-c", COUNT],
        env=environment(cluster, settings),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (told.stdout.split(), told.stderr, told.returncode) == (["2"], "", 0)


def test_the_key_is_exchanged_while_traffic_runs(
    cluster: Cluster, installation: Installation, pair: Pair
) -> None:
    """Two processes' worth of traffic; each is restarted with the next key in its turn."""
    old = installation.settings
    env = environment(cluster, old)
    failed: list[str] = []
    served = {"first": 0, "second": 0}
    settings = {"first": old, "second": old}
    stop = threading.Event()

    def traffic(process: str) -> None:
        while not stop.is_set():
            connections = open_connections(settings[process])
            begun = settings[process]
            while begun is settings[process] and not stop.is_set():
                try:
                    with connections.transaction(pair.a) as cursor:
                        cursor.execute(COUNT)
                        assert cursor.fetchone() == (2,)
                    served[process] += 1
                except Exception as error:  # noqa: BLE001 - handed to the test's own thread
                    failed.append(f"{process}: {error!r}")
            connections.pool.close()

    def pass_time() -> None:
        before = dict(served)
        deadline = time.monotonic() + 20
        while any(served[name] < before[name] + 5 for name in served) and not failed:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    threads = [threading.Thread(target=traffic, args=(name,)) for name in served]
    for thread in threads:
        thread.start()
    try:
        pass_time()
        begun = run(env, "context", "rotate", "--begin")
        assert begun.exit_code == 0, begun.output
        new = with_key(old, begun.stdout.strip())
        pass_time()
        settings["first"] = new
        pass_time()
        early = run(env, "context", "rotate", "--finish")
        assert (early.exit_code, "not the next key" in early.output) == (2, True)
        migrator_of(old).up()
        migrator_of(new).up()
        pass_time()
        settings["second"] = new
        pass_time()
        new_env = {**env, "TENURE_CONTEXT_KEY": begun.stdout.strip()}
        assert run(new_env, "context", "rotate", "--finish").exit_code == 0
        pass_time()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    connections = open_connections(old)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"),
        connections.transaction(pair.a),
    ):
        raise AssertionError("the old key is good no more")
    connections.pool.close()
    steps = json.loads(run(new_env, "context", "rotate", "--format", "json").stdout)
    ids = {"old": key_id(old.sealing_key()), "new": key_id(new.sealing_key())}
    assert [(s["step"], s["key_id"]) for s in steps[-3:]] == [
        ("installed", ids["old"]),
        ("begun", ids["new"]),
        ("finished", ids["new"]),
    ]


def open_connections(settings: Settings) -> Any:
    return connections_of(settings, "tenure_app", size=1)


def with_key(settings: Settings, key: str) -> Settings:
    return settings.model_copy(update={"context_key": SecretStr(key)})


def test_an_exchange_can_be_abandoned(
    cluster: Cluster, installation: Installation, pair: Pair
) -> None:
    env = environment(cluster, installation.settings)
    key = run(env, "context", "rotate", "--begin").stdout.strip()
    assert run(env, "context", "rotate", "--begin").exit_code == 2, "one at a time"
    new = {**env, "TENURE_CONTEXT_KEY": key}
    assert run(new, "context", "rotate", "--abandon").exit_code == 2, "it would lock itself out"
    assert run(env, "context", "rotate", "--abandon").exit_code == 0
    with scope_of(pair.a):
        assert Customer.select().count() == 2
    connections = open_connections(with_key(installation.settings, key))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connections.transaction(pair.a):
        pass
    connections.pool.close()


def test_a_third_key_is_refused_while_two_are_exchanged(
    cluster: Cluster, installation: Installation
) -> None:
    run(environment(cluster, installation.settings), "context", "rotate", "--begin")
    with pytest.raises(ContextKeyError, match="neither"):
        migrator_of(with_key(installation.settings, "ab" * 32)).up()


def test_another_key_is_installed_by_migrating(installation: Installation, pair: Pair) -> None:
    new = with_key(installation.settings, "ab" * 32)
    migrator_of(new).up()
    opened = open_installation(new)
    with scope_of(pair.a):
        assert Customer.select().count() == 2
    opened.close()


def test_an_exchange_is_not_undone_by_a_host_that_has_the_old_key(
    cluster: Cluster, installation: Installation, pair: Pair
) -> None:
    """As deployments go: `migrate up` runs with whatever environment a host has."""
    env = environment(cluster, installation.settings)
    key = run(env, "context", "rotate", "--begin").stdout.strip()
    new = {**env, "TENURE_CONTEXT_KEY": key}
    # The next key's `migrate up`, or the first one's, changes nothing meanwhile.
    assert run(new, "migrate", "up").exit_code == 0
    assert run(env, "migrate", "up").exit_code == 0
    assert run(new, "context", "rotate", "--finish").exit_code == 0
    refused = run(env, "migrate", "up")
    assert refused.exit_code == 2
    assert "old key" in refused.output
    assert key_id(sealer_of(installation.settings).key) in refused.output
    assert "--put-key-back" in refused.output
    assert run(new, "migrate", "up").exit_code == 0
    connections = open_connections(with_key(installation.settings, key))
    with connections.transaction(pair.a) as cursor:
        cursor.execute(COUNT)
    # One that was abandoned is as little good.
    third = run(new, "context", "rotate", "--begin").stdout.strip()
    assert run(new, "context", "rotate", "--abandon").exit_code == 0
    assert run({**env, "TENURE_CONTEXT_KEY": third}, "migrate", "up").exit_code == 2
    with connections.transaction(pair.a) as cursor:
        cursor.execute(COUNT)
    connections.pool.close()
    assert run(env, "migrate", "up", "--put-key-back").exit_code == 0
    with scope_of(pair.a):
        assert Customer.select().count() == 2
    steps = json.loads(run(env, "context", "rotate", "--format", "json").stdout)
    assert steps[-1]["step"] == "installed"
    assert steps[-1]["key_id"] == key_id(sealer_of(installation.settings).key)


def test_auditors_see_the_steps_and_nobody_changes_them(
    installation: Installation, owner_sql: Any
) -> None:
    with installation.auditor.transaction(None) as cursor:
        cursor.execute("SELECT step FROM tenure.context_key_steps")
        assert cursor.fetchall() == [("installed",)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        owner_sql("DELETE FROM tenure.context_key_steps")
    assert sealer_of(installation.settings).key.hex() not in str(
        owner_sql("SELECT * FROM tenure.context_key_steps")
    )
