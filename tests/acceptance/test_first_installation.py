"""The first pages of docs/operator.md, in an empty folder, with Tenure as it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg2
import pytest

from config.postgres import EmbeddedPostgres
from config.settings import Settings

from ..conftest import Cluster
from .conftest import ROOT, clean_environment, free_port, tenure, wait_until_ready
from .test_light_install import build_wheel

SECTION = (ROOT / "docs" / "operator.md").read_text().partition("## First installation\n")[2]
INSTALL, SETTINGS, PREPARE, PROCESSES = re.findall(
    r"^```sh\n(.*?)^```", SECTION.partition("\n## ")[0], re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the PATH with a `tenure` that sees the wheel's content, and no checkout.

    What it requires is this environment's, for want of an index.
    """
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(build_wheel(folder)) as wheel:
        wheel.extractall(folder / "site")
    program = folder / "bin" / "tenure"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -P\n"
        f"import sys; sys.path.insert(0, {str(folder / 'site')!r}); sys.argv[0] = 'tenure'\n"
        "from api.cli import main; main()\n"
    )
    program.chmod(0o755)
    return program.parent


def environment(installed: Path, **more: str) -> dict[str, str]:
    path = f"{installed}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return clean_environment({"PATH": path, **more})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own: roles are the whole server's, and get other passwords here."""
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    server.start()
    try:
        yield server
    finally:
        server.destroy()


def test_as_the_page_says(installed: Path, server: EmbeddedPostgres, tmp_path: Path) -> None:
    url = server.url()
    admin = psycopg2.connect(url)
    admin.autocommit = True
    admin.cursor().execute("CREATE DATABASE tenure")
    admin.close()
    shown = "postgresql://admin:PASSWORD@db.example:5432/tenure"
    assert shown in SETTINGS
    settings = SETTINGS.replace(shown, server.url(dbname="tenure"))
    settings = settings.replace("/opt/tenure/source", str(ROOT))
    folder = tmp_path / "service"
    folder.mkdir()
    env = environment(installed, TENURE_PORT=str(free_port()), TENURE_METRICS_TOKEN="t" * 32)
    scraper = {"Authorization": f"Bearer {'t' * 32}"}
    for script in (settings, PREPARE):
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    assert (folder / "tenure.toml").stat().st_mode & 0o077 == 0

    processes = {}
    for line in PROCESSES.splitlines():
        name = line.removeprefix("tenure ")
        with (folder / f"{name}.log").open("wb") as log:
            processes[name] = subprocess.Popen(
                ["sh", "-c", f"exec {line}"], cwd=folder, env=env, stdout=log, stderr=log
            )
    assert set(processes) == {"serve", "worker"}
    base_url = f"http://127.0.0.1:{env['TENURE_PORT']}"
    try:
        wait_until_ready(base_url, processes["serve"], folder / "serve.log")
        until = time.monotonic() + 60
        verified = re.compile(r"tenure_verification_timestamp_seconds (?!0\.0)")
        while not verified.search(httpx.get(f"{base_url}/metrics", headers=scraper).text):
            assert processes["worker"].poll() is None, (folder / "worker.log").read_text()
            assert time.monotonic() < until, "the worker verified nothing"
            time.sleep(0.5)
        login = {"email": "ada@acme.example", "password": "correct horse battery"}
        with httpx.Client(base_url=base_url) as browser:
            page = browser.get("/login", headers={"Accept": "application/json"}).json()
            headers = {"X-CSRFToken": page["csrf_token"]}
            assert browser.post("/login", json=login, headers=headers).status_code == 200
    finally:
        for process in processes.values():
            process.terminate()
        ended = {name: process.wait(60) for name, process in processes.items()}
    assert ended == {"serve": 0, "worker": 0}


def test_what_it_says_to_install_is_there() -> None:
    for word in re.findall(r"/opt/tenure/source/(\S+)", INSTALL):
        assert (ROOT / word).exists()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for named in re.findall(r"tenure\[([\w,]+)\]", SECTION):
        assert set(named.split(",")) <= set(extras)


def test_no_document_and_no_message_sends_people_to_a_package_of_somebody_elses() -> None:
    """No release is in an index: `pip install tenure` would fetch whatever has the name."""
    files = [
        *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.yml"),
        *(file for name in ("api", "config", "lint", "tenants", "retention")
          for file in (ROOT / name).rglob("*.py")),
    ]  # fmt: skip
    asked = re.compile(
        r"(pipx?|uv)( tool)? (install|run)( -\S+)* [\"']?tenure(?!\S* @)\S*|install tenure\b"
    )
    found = [f"{file}: {m[0]}" for file in files for m in asked.finditer(file.read_text())]
    assert found == []


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    passwords = ("OWNER", "APP", "RETENTION", "VERIFIER", "AUDITOR")
    everything = ["DATABASE_URL", *(f"TENURE_{name}_PASSWORD" for name in passwords)]
    everything += ["TENURE_CONTEXT_KEY", "TENURE_DOMAIN"]
    wanted = {
        ("migrate", "up"): everything,
        ("migrate", "up", "--no-roles"): [everything[0], everything[1], *everything[-2:]],
        ("serve",): [
            *("DATABASE_URL", "TENURE_APP_PASSWORD", "TENURE_AUDITOR_PASSWORD"),
            *("TENURE_CONTEXT_KEY", "TENURE_DOMAIN", "TENURE_SECRET_KEY"),
        ],
        ("worker",): [
            *("DATABASE_URL", "TENURE_RETENTION_PASSWORD", "TENURE_VERIFIER_PASSWORD"),
            *("TENURE_CONTEXT_KEY", "TENURE_DOMAIN"),
        ],
    }
    for arguments, names in wanted.items():
        said = tenure(*arguments, cwd=tmp_path, expect=2).stderr
        assert re.findall(r"(?:TENURE|DATABASE)_\w+", said) == names
        assert "First installation" in said
    assert set(everything) | {"TENURE_SECRET_KEY"} >= {
        f"TENURE_{key.upper()}" for key in Settings.model_fields if key.endswith("_key")
    } - {"TENURE_WITNESS_KEY"}


@pytest.mark.parametrize("domain", [{}, {"TENURE_DOMAIN": "nowhere"}], ids=["unset", "wrong"])
def test_a_server_is_left_as_it_is_until_nothing_is_missing(
    cluster: Cluster, tmp_path: Path, domain: dict[str, str]
) -> None:
    name = f"tenure_untouched_{os.getpid()}"
    cluster.create_database(name)
    try:
        given = {**cluster.environment, "DATABASE_URL": cluster.url(name), **domain}
        said = tenure("migrate", "up", environment=given, cwd=tmp_path, expect=2).stderr
        assert ("nowhere" if domain else "TENURE_DOMAIN") in said
        connection = psycopg2.connect(cluster.url(name))
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT datacl FROM pg_database WHERE datname = current_database()")
            assert cursor.fetchall() == [(None,)]
        connection.close()
    finally:
        cluster.drop_database(name)


def test_the_demo_says_that_it_runs_from_a_checkout(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["tenure", "demo", "--data-dir", "demo"],
        cwd=tmp_path, env=environment(installed), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "the demo runs from a checkout of Tenure (`make demo`)" in done.stderr
    assert not (tmp_path / "demo").exists()
