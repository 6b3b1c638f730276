"""`tenure lint` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lint_support import CASES, catalog

from api.cli.lint import command

ROOT = Path(__file__).parents[3]
SCHEMA = str(CASES / "schema.sql")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a function
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(command, arguments, input=stdin)

    return run


def test_clean_is_zero(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM t WHERE org = tenure.current_tenant();")
    result = call("--schema", SCHEMA, "--tenant-column", "org", "a.sql")
    assert result.exit_code == 0, result.output
    assert "1 scoped" in result.output


def test_findings_are_one(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.py").write_text("c.execute('SELECT * FROM t')\n")
    result = call("--schema", SCHEMA, "--tenant-column", "org", ".")
    assert result.exit_code == 1
    assert "a.py:1:26: TS001 unscoped" in result.output


def test_standard_input_and_a_catalog_file(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "c.json").write_text(catalog().to_json())
    result = call("--catalog", "c.json", "--format", "json", "-", stdin="SELECT * FROM t")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["findings"][0]["path"] == "<stdin>"
    assert document["statements"][0]["occurrences"][0]["kind"] == "open"


def test_configuration_names_schema_and_exemptions(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "s.sql").write_text("CREATE TABLE a (org int); CREATE TABLE b (x int);")
    (tmp_path / "q.sql").write_text("SELECT * FROM b; SELECT * FROM a WHERE org = :org")
    (tmp_path / "tenure.toml").write_text(
        "[lint]\ntenant_columns = ['org']\nparameters = ['org']\nschema = 's.sql'\n"
        "[lint.exempt]\nb = 'the same for all'\n"
    )
    result = call("--verdicts", "q.sql")
    assert result.exit_code == 0, result.output
    assert "scoped (exempt): the same for all" in result.output
    assert "scoped (source)" in result.output


def test_explain(call) -> None:  # type: ignore[no-untyped-def]
    result = call("--explain", "ts002")
    assert result.exit_code == 0
    assert "by-key" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "at least one"),
        (("--explain", "TS777"), "TS777"),
        (("missing.sql",), "no schema"),
        (("--schema", SCHEMA, "missing.sql"), "missing.sql"),
        (("--schema", "missing.sql", "x.sql"), "missing.sql"),
        (("--schema", SCHEMA, "--catalog", "x", "x.sql"), "exclude"),
        (("--schema", SCHEMA, "--config", "missing.toml", "x.sql"), "missing.toml"),
        (("--schema", SCHEMA, "empty"), "no .sql or .py"),
        (("--schema", "bad.sql", "x.sql"), "FROB"),
        (("--schema", SCHEMA, "latin.sql"), "UTF-8"),
        (("--catalog", "bare.py", "x.sql"), "bare.py"),
        (("--format", "xml", "x.sql"), "xml"),
    ],
)
def test_wrong_usage_and_failures_are_two(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.sql").write_text("SELECT 1")
    (tmp_path / "bare.py").write_text("print(1)\n")
    (tmp_path / "bad.sql").write_text("FROB;")
    (tmp_path / "latin.sql").write_bytes("SELECT 'é'".encode("latin-1"))
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_files_without_sql_are_clean_and_it_is_said(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bare.py").write_text("print(1)\n")
    result = call("--schema", SCHEMA, "bare.py")
    assert result.exit_code == 0, result.output
    assert "no SQL in 1 files" in result.output


def test_the_linter_stays_light() -> None:
    """Neither the command nor the package drags in the server's libraries."""
    code = (
        "import sys, api.cli.lint, lint.guard\n"
        "heavy = {'flask', 'peewee', 'pydantic', 'structlog', 'psycopg2', 'tenants', 'config'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
