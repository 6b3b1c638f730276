"""What pg_stat_statements counted, on a server that has it.

The embedded PostgreSQL comes without contrib modules; the distribution's has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from api.cli.lint import command
from api.lint_database import statements_of
from config import postgres_install
from config.postgres import EmbeddedPostgres
from config.postgres_install import Installation

MODULE = "pg_stat_statements"
SCHEMA = """
CREATE SCHEMA counting;
CREATE EXTENSION pg_stat_statements SCHEMA counting;
CREATE TABLE t (org int NOT NULL, id int NOT NULL, x int, PRIMARY KEY (org, id));
CREATE ROLE app LOGIN PASSWORD 'app';
GRANT SELECT, UPDATE ON t TO app;
GRANT USAGE ON SCHEMA counting TO app;
"""


def _with_module() -> Installation | None:
    own = [one for one in postgres_install.installations() if [*one.root.rglob(f"{MODULE}.so")]]
    distribution = [
        Installation(int(module.parents[1].name), module.parents[1])
        for module in Path("/usr/lib/postgresql").glob(f"*/lib/{MODULE}.so")
        if (module.parents[1] / "bin" / "postgres").is_file()
    ]
    return next(iter([*own, *sorted(distribution, key=lambda one: -one.major)]), None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    installation = _with_module()
    if installation is None:
        pytest.skip(f"no PostgreSQL with {MODULE} here: the distribution's contrib package has it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_install, "installations", lambda: [installation])
        settings = {"shared_preload_libraries": MODULE, "pg_stat_statements.track_utility": "on"}
        folder = tmp_path_factory.mktemp("counted")
        running = EmbeddedPostgres(folder, durable=False, settings=settings)
        running.start()
    try:
        run(running.url(), SCHEMA)
        yield running
    finally:
        running.destroy()


def run(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def as_app(server: EmbeddedPostgres) -> str:
    return f"postgresql://app:app@127.0.0.1:{server.port}/postgres"


@pytest.fixture
def counted(server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the server, after an application has run."""
    (tmp_path / "tenure.toml").write_text("[lint]\n")
    monkeypatch.chdir(tmp_path)
    run(server.url(), "SELECT counting.pg_stat_statements_reset()")
    run(
        as_app(server),
        *(f"SELECT x FROM t WHERE org = 1 AND id = {n}" for n in range(3)),
        *(f"SELECT x FROM t WHERE id = {n} AND x = 5" for n in range(4)),
        "UPDATE t SET x = 1 WHERE org = 1 AND id IN (1, 2, 3)",
        "SELECT count(*) FROM t WHERE now() > now() - interval '1 day'",
    )
    return server.url()


def test_what_was_counted_is_judged_with_its_calls(counted: str) -> None:
    arguments = ["--no-cache", "--schema", counted, "--tenant-column", "org", "--format", "json"]
    result = CliRunner().invoke(command, [*arguments, "--from-pg-stat-statements", counted])
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    found = {f["code"]: f["message"] for f in document["findings"]}
    assert "(4 calls, as in: SELECT x FROM t WHERE id = $1" in found["TS002"]
    assert "SELECT count(*) FROM t" in found["TS001"]
    assert "TS006" not in found, "a text of the server that is not read"
    scoped = [s for s in document["statements"] if s["verdict"] == "scoped" and s["occurrences"]]
    assert len(scoped) == 2


def test_a_role_that_is_not_shown_the_texts_is_refused(
    counted: str, server: EmbeddedPostgres
) -> None:
    result = CliRunner().invoke(
        command,
        ["--no-cache", "--schema", counted, "--from-pg-stat-statements", as_app(server)],
    )
    assert result.exit_code == 2
    assert "pg_read_all_stats" in result.output
    run(counted, "GRANT pg_read_all_stats TO app")
    try:
        assert [ran for ran in statements_of(as_app(server)) if "FROM t" in ran.text]
    finally:
        run(counted, "REVOKE pg_read_all_stats FROM app")


def test_where_nothing_was_counted_nothing_is_shown(counted: str, server: EmbeddedPostgres) -> None:
    run(counted, "GRANT pg_read_all_stats TO app", "SELECT counting.pg_stat_statements_reset()")
    try:
        for _ in range(2):  # the second time there are the questions of the first
            arguments = ["--no-cache", "--schema", as_app(server), "--tenant-column", "org"]
            counting = ["--from-pg-stat-statements", as_app(server)]
            result = CliRunner().invoke(command, [*arguments, *counting])
            left = [one.text for one in statements_of(as_app(server))]
            assert result.exit_code == 2, (result.output, left)
            assert "has counted no statement" in result.output
    finally:
        run(counted, "REVOKE pg_read_all_stats FROM app")
