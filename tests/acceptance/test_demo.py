"""`tenure demo`, as a newcomer runs it: cold, warm, twice, interrupted."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from config.postgres import EmbeddedPostgres

from .conftest import TENURE, clean_environment, free_port, tenure, wait_until_ready


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a space in its path, for a demo."""
    folder = tmp_path_factory.mktemp("a demo") / "data dir"
    yield folder
    # As root the database's files stand where its own user can reach them: not in here.
    EmbeddedPostgres(folder / "postgres").destroy()


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[str, Any]:
    """What the first, cold run said."""
    done = tenure(
        *("demo", "--data-dir", str(folder), "--port", str(free_port())),
        *("--exit", "--format", "json"),
    )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_every_step_does_its_work(first: dict[str, Any]) -> None:
    assert first["done"] is True
    assert [step["name"] for step in first["steps"]] == [
        *("migrate", "fill", "retention", "verify", "ledger", "serve")
    ]
    assert first["run"]["state"] == "succeeded"
    assert first["run"]["rows"] > 1000
    assert first["verification"]["findings"] == 0
    assert first["ledger"]["findings"] == []
    assert first["ledger"]["checkpoints"]["folder"] > 0
    compared = {each["table"]: each["same"] for each in first["ledger"]["tables"]}
    assert compared["batches"] > 0


def test_the_note_is_private_and_complete(folder: Path, first: dict[str, Any]) -> None:
    path = folder / "demo.json"
    for name in ("demo.json", "secrets.json", "tenure.toml"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    note = json.loads(path.read_text())
    assert note["base_url"] == first["base_url"]
    assert len(note["tenants"]) > 2
    for tenant in note["tenants"]:
        assert tenant["id"]
        assert tenant["name"]
        assert set(tenant["tokens"]) == {"owner", "member", "viewer"}
    assert note["auditor"]["email"]
    assert set(note["database"]) == {
        *("tenure_owner", "tenure_app", "tenure_retention", "tenure_verifier", "tenure_auditor")
    }


def test_it_stops_all_it_started(folder: Path, first: dict[str, Any]) -> None:
    note = json.loads((folder / "demo.json").read_text())
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(note["database"]["tenure_app"], connect_timeout=2)
    with pytest.raises(httpx.TransportError):
        httpx.get(first["base_url"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_start_keeps_the_data_and_serves_until_it_is_stopped(
    folder: Path, first: dict[str, Any], number: signal.Signals
) -> None:
    before = json.loads((folder / "demo.json").read_text())
    port = free_port()
    started = time.monotonic()
    log = folder / "demo.out"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            [TENURE, "demo", "--data-dir", str(folder), "--port", str(port)],
            env=clean_environment(),
            stdout=out,
            stderr=out,
        )
    try:
        base_url = f"http://127.0.0.1:{port}"
        wait_until_ready(base_url, demo, log)
        took = time.monotonic() - started
        note = json.loads((folder / "demo.json").read_text())
        assert [t["tokens"] for t in note["tenants"]] == [t["tokens"] for t in before["tenants"]]
        token = note["tenants"][0]["tokens"]["viewer"]
        answer = httpx.get(
            f"{base_url}/v1/customers?limit=1", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code in (200, 206)
        assert took < 30

        again = tenure("demo", "--data-dir", str(folder), expect=2)
        assert "already" in again.stderr
        assert base_url in again.stderr

        # Any command run in the folder works on the demo.
        status = tenure("retention", "status", "--format", "json", cwd=folder)
        assert json.loads(status.stdout)["runs"]
    finally:
        demo.send_signal(number)
        assert demo.wait(30) == 0
    assert "stopped" in log.read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(before["database"]["tenure_app"], connect_timeout=2)


def test_a_demo_that_is_killed_leaves_nobody_serving(folder: Path, first: dict[str, Any]) -> None:
    port = free_port()
    log = folder / "killed.out"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            [TENURE, "demo", "--data-dir", str(folder), "--port", str(port), "--format", "json"],
            env=clean_environment(),
            stdout=out,
        )
    wait_until_ready(f"http://127.0.0.1:{port}", demo, log)
    # Said while it serves: a script that started it waits for nothing else.
    until = time.monotonic() + 30
    while not log.read_text().endswith("}\n"):
        assert demo.poll() is None
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    assert json.loads(log.read_text())["base_url"] == f"http://127.0.0.1:{port}"
    demo.kill()
    demo.wait()
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        except httpx.TransportError:
            break
        time.sleep(0.1)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_a_port_in_use_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = tenure("demo", "--data-dir", str(tmp_path / "d"), "--port", port, expect=2)
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.fixture
def other_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "killed"
    yield folder
    EmbeddedPostgres(folder / "postgres").destroy()


def test_a_start_that_was_killed_while_filling_begins_afresh(other_folder: Path) -> None:
    folder = other_folder
    arguments = ["demo", "--data-dir", str(folder), "--port", str(free_port()), "--exit"]
    demo = subprocess.Popen(
        [TENURE, *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("migrate")
    time.sleep(0.4)
    demo.kill()
    demo.wait()
    demo.stdout.close()
    done = tenure(*arguments, "--format", "json")
    assert json.loads(done.stdout)["done"] is True
