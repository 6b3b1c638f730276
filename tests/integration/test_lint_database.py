"""What a server says to the linter: its schema, its logs, its counted statements."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner, Result

from api.cli.lint import command
from api.lint_database import DatabaseError, _is_ours, is_url, schema_of, shown, statements_of
from config.postgres import EmbeddedPostgres
from lint.schema.catalog import Name

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.orgs (id int PRIMARY KEY);
CREATE TABLE shop.t (org int NOT NULL REFERENCES shop.orgs, id int NOT NULL, x int DEFAULT 7,
    PRIMARY KEY (org, id), UNIQUE (x) DEFERRABLE);
CREATE TABLE shop.item (t_org int NOT NULL, t_id int NOT NULL, n int,
    FOREIGN KEY (t_org, t_id) REFERENCES shop.t);
CREATE UNIQUE INDEX some_items ON shop.item (n) WHERE n > 0;
CREATE TABLE shop.parent (org int NOT NULL, id int PRIMARY KEY);
CREATE TABLE shop.child () INHERITS (shop.parent);
CREATE VIEW shop.low AS SELECT org, id FROM shop.t WHERE x < 5;
CREATE MATERIALIZED VIEW shop.kept AS SELECT id FROM shop.t;
CREATE TABLE shop.half (id int NOT NULL, org int NOT NULL, n int, UNIQUE (id) INCLUDE (org));
CREATE UNIQUE INDEX by_twice ON shop.half (id, (n + 1));
INSERT INTO shop.half VALUES (1, 1, 5), (2, 1, 5);
CREATE TABLE shop.made (id int PRIMARY KEY, x int, org int GENERATED ALWAYS AS (x + 0) STORED);
CREATE TABLE shop.late_item (t_org int, t_id int, org int REFERENCES shop.orgs DEFERRABLE,
    FOREIGN KEY (t_org, t_id) REFERENCES shop.t DEFERRABLE);
CREATE TABLE shop.old_item (t_org int, t_id int);
ALTER TABLE shop.old_item ADD FOREIGN KEY (t_org, t_id) REFERENCES shop.t NOT VALID;
"""


LOGGING = {
    "logging_collector": "on",
    "log_destination": "csvlog,jsonlog",
    "log_directory": "log",
    "log_filename": "postgresql.log",
    "log_statement": "all",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that logs everything."""
    folder = tmp_path_factory.mktemp("logging")
    running = EmbeddedPostgres(folder, durable=False)
    running.start()
    run(running.url(), *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in LOGGING.items()))
    running.stop()
    running.start()
    try:
        run(running.url(), SCHEMA)
        with pytest.raises(psycopg2.errors.UniqueViolation):
            # It leaves an index behind that is not valid.
            run(running.url(), "CREATE UNIQUE INDEX CONCURRENTLY not_unique ON shop.half (n)")
        yield running.url()
    finally:
        running.destroy()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the configuration of this repository."""
    (tmp_path / "tenure.toml").write_text("[lint]\n")
    monkeypatch.chdir(tmp_path)


def run(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def current_log(url: str, form: str) -> Path:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('data_directory'), pg_current_logfile(%s)", (form,)
            )
            folder, name = cursor.fetchall()[0]
            return Path(folder) / name
    finally:
        connection.close()


def lint(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, ["--no-cache", *arguments], input=stdin)


def test_a_live_schema_is_what_its_script_would_be(server: str) -> None:
    found = schema_of(server)
    tables = {table.name: table for table in found.tables}
    assert {str(name) for name in tables} == {
        "shop.orgs",
        "shop.t",
        "shop.item",
        "shop.parent",
        "shop.child",
        "shop.half",
        "shop.made",
        "shop.late_item",
        "shop.old_item",
    }
    t = tables[Name("shop", "t")]
    assert [key.columns for key in t.keys] == [("org", "id")]  # a deferrable key proves nothing
    assert t.column("x").default == "7"  # type: ignore[union-attr]  # it is there
    assert [key.columns for key in tables[Name("shop", "item")].foreign_keys] == [("t_org", "t_id")]
    assert tables[Name("shop", "item")].keys == ()
    assert tables[Name("shop", "parent")].inherited
    assert {view.name.name: view.materialized for view in found.views} == {
        "low": False,
        "kept": True,
    }


def test_a_key_of_a_live_schema_is_what_is_unique(server: str) -> None:
    half = schema_of(server).named("shop.half")
    assert [(key.name, key.columns) for key in half.keys] == [("half_id_org_key", ("id",))]


def test_a_live_schema_tells_what_is_generated_and_what_is_not_checked(server: str) -> None:
    found = schema_of(server)
    org = found.named("shop.made").column("org")
    assert org is not None
    assert (org.default, org.generated) == (None, "(x + 0)")
    old = found.named("shop.old_item")
    assert (old.foreign_keys, old.unchecked) == ((), (Name("shop", "t"),))
    assert {str(table.name) for table in found.pointing_at([Name("shop", "orgs")])} == {
        "shop.t",
        "shop.item",
        "shop.late_item",
        "shop.old_item",
    }
    late = found.named("shop.late_item")
    assert [key.columns for key in late.foreign_keys] == [("org",)]
    assert late.unchecked == (Name("shop", "t"),)


def test_every_question_is_known_for_one_of_ours(server: str) -> None:
    """What the gate asks a database is counted there too, and is nobody's application's.

    The server says what it was asked: `read_catalog` cannot ask what is forgotten here.
    """
    log = current_log(server, "csvlog")
    start = log.stat().st_size
    schema_of(server)
    with pytest.raises(DatabaseError, match="pg_stat_statements"):
        list(statements_of(server))
    asked: list[str] = []
    deadline = time.monotonic() + 30
    while not any("pg_extension" in text for text in asked) and time.monotonic() < deadline:
        with log.open(encoding="utf-8", newline="") as file:
            file.seek(start)
            rows = [row for row in csv.reader(file) if row[22] == "tenure lint"]
        said = (row[13].partition("statement: ")[2] for row in rows)
        asked = [text for text in said if "SELECT" in text]
        time.sleep(0.05)
    assert len(asked) == 7
    assert [text for text in asked if not _is_ours(text)] == []


def test_the_command_reads_the_schema_from_a_url(server: str) -> None:
    sql = "SELECT * FROM shop.low WHERE org = $1; SELECT * FROM shop.low; SELECT id FROM shop.kept"
    result = lint("--schema", server, "--tenant-column", "org", "--format", "json", "-", stdin=sql)
    assert result.exit_code == 1, result.output
    verdicts = [one["verdict"] for one in json.loads(result.output)["statements"]]
    assert verdicts == ["scoped", "unscoped", "unscoped"]


def test_a_database_that_cannot_be_reached_is_two_and_keeps_the_password() -> None:
    url = "postgresql://me:s3cret@127.0.0.1:1/none"
    assert is_url(url)
    result = lint("--schema", url, "-", stdin="SELECT 1")
    assert result.exit_code == 2
    assert "cannot connect" in result.output
    assert "s3cret" not in result.output
    assert shown(url + "?password=x") == "postgresql://127.0.0.1:1/none"


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_servers_own_log_is_judged(server: str, suffix: str) -> None:
    url = server
    run(
        url,
        *(
            f"SELECT id FROM shop.t WHERE x = {n} /*file='app%2F{suffix}.py',line='9'*/"
            for n in range(5)
        ),
        "SELECT id FROM shop.t WHERE org = 3",
        "PREPARE q (int) AS SELECT 1 FROM shop.item WHERE n = $1",
        "EXECUTE q (4)",
        "SELECT E'it\\'s; -- one', $$ ; $$",
    )
    log = current_log(url, f"{suffix}log")
    arguments = ("--schema", url, "--tenant-column", "org", "--from-log", str(log))
    result = lint(*arguments, "--format", "json")
    assert result.exit_code == 1, result.output
    document = json.loads(result.output)
    places = {(f["path"], f["line"]): f for f in document["findings"] if f["code"] == "TS001"}
    finding = places[(f"app/{suffix}.py", 9)]
    assert "5 calls" in finding["message"]
    assert "n = $1" in "".join(f["message"] for f in places.values())
    assert not [f for f in document["findings"] if f["code"] == "TS006"], document["findings"]


def test_statements_that_a_database_counted_are_judged_where_it_counts_them(
    server: str,
) -> None:
    with pytest.raises(DatabaseError, match="pg_stat_statements is not there"):
        list(statements_of(server))
    result = lint("--schema", server, "--from-pg-stat-statements", server)
    assert result.exit_code == 2
    assert "pg_stat_statements" in result.output
