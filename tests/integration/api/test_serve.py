"""`tenure serve` as a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import httpx
import psycopg2
from click.testing import CliRunner

from api.cli import command
from api.cli import serve as serving
from config.settings import Settings

ROOT = Path(__file__).parents[3]


def environment(settings, **more: str) -> dict[str, str]:
    """Return the environment that loads these settings again."""
    secrets = {
        f"TENURE_{name.upper()}": getattr(settings, name).get_secret_value()
        for name in (
            *("owner_password", "app_password", "retention_password", "verifier_password"),
            *("auditor_password", "context_key", "secret_key"),
        )
    }
    ours = {k: v for k, v in os.environ.items() if not k.startswith("TENURE_")}
    return {
        **ours,
        **secrets,
        "DATABASE_URL": settings.database_url,
        "TENURE_DOMAIN": "shop",
        "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
        **more,
    }


def serve(
    settings, *arguments: str, without: tuple[str, ...] = (), **more: str
) -> subprocess.Popen[str]:
    found = environment(settings, **more)
    for role in without:
        del found[f"TENURE_{role}_PASSWORD"]
    return subprocess.Popen(
        [sys.executable, "-c", "from api.cli import main; main()", "serve", *arguments],
        cwd=ROOT,
        env=found,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            ready = httpx.get(f"{url}/readyz")
            break
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert ready.status_code == 200


def test_it_serves_logs_as_json_and_stops_on_sigterm(service) -> None:
    port = free_port()
    process = serve(service.installation.settings, "--port", str(port), "--threads", "2")
    try:
        url = f"http://127.0.0.1:{port}"
        await_ready(process, url)
        created = httpx.post(
            f"{url}/v1/customers",
            json={"number": "1", "name": "x", "country": "France"},
            headers=service.acme.headers(),
        )
        assert created.status_code == 201
        row = httpx.get(f"{url}{created.headers['Location']}", headers=service.acme.headers())
        assert row.json()["number"] == "1"
        changed = httpx.patch(
            f"{url}{created.headers['Location']}",
            json={"name": "y"},
            headers=service.acme.headers(),
        )
        assert changed.status_code == 204
        chunked = httpx.post(
            f"{url}/v1/customers",
            content=(b" " * 65_536 for _ in range(17)),
            headers=service.acme.headers(Content_Type="application/json"),
        )
        assert chunked.status_code == 413
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert output == ""
    requests = [line for line in errors.splitlines() if '"event": "request"' in line]
    assert len(requests) >= 4
    assert all(line.startswith("{") for line in errors.splitlines()), errors
    assert service.acme.tokens["owner"] not in errors


def test_it_exports_with_the_passwords_of_two_roles(service, owner_sql) -> None:
    customer = service.acme.customer("1")
    port = free_port()
    others = ("OWNER", "RETENTION", "VERIFIER")
    process = serve(service.installation.settings, "--port", str(port), without=others)
    try:
        url = f"http://127.0.0.1:{port}"
        await_ready(process, url)
        made = httpx.post(
            f"{url}/subjects/customer/export",
            json={"key": customer["id"]},
            headers=service.acme.headers(),
        )
        assert (made.status_code, made.headers["Content-Type"]) == (200, "application/zip")
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert owner_sql("SELECT state FROM tenure.exports") == [("finished",)]


def test_it_forgets_what_others_log_in_with(service, monkeypatch) -> None:
    found: list[Settings] = []
    monkeypatch.setattr(serving, "refuse_to_serve", found.append)
    monkeypatch.setattr(
        serving, "server_of", lambda settings, **_: found.append(settings) or Mock(spec=["run"])
    )
    given = environment(service.installation.settings)
    assert CliRunner().invoke(command, ["serve"], env=given).exit_code == 0
    assert len(found) == 2
    for settings in found:
        for role in ("owner", "retention", "verifier"):
            assert getattr(settings, f"{role}_password") is None
        assert "@" not in settings.database_url


def failure(settings, **more: str) -> str:
    """Return what it says when it refuses to start."""
    process = serve(settings, "--port", str(free_port()), **more)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    return errors


def test_it_refuses_a_role_that_row_level_security_does_not_bind(service) -> None:
    settings = service.installation.settings
    # In this database alone: another test may be at work with the same roles.
    admin = psycopg2.connect(settings.database_url)
    try:
        with admin, admin.cursor() as cursor:
            cursor.execute("ALTER TABLE shop.notes OWNER TO tenure_app")
    finally:
        admin.close()
    assert "owns relations" in failure(settings)


def test_it_says_what_is_wrong_before_it_listens(service) -> None:
    settings = service.installation.settings
    assert "no module" in failure(settings, TENURE_DOMAIN="nowhere")
    assert "cannot be reached" in failure(
        settings, DATABASE_URL=settings.database_url.replace("/tenure_test", "/no_such")
    )
    wrong = failure(settings, TENURE_APP_PASSWORD="wrong")
    assert "cannot be reached" in wrong
