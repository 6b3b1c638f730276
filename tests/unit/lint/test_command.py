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
def call(  # type: ignore[no-untyped-def]  # a function
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

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
        (("--schema", SCHEMA, "--jobs", "0", "x.sql"), "jobs"),
        (("--schema", SCHEMA, "--stdin-filename", "a.sql", "x.sql"), "stdin-filename"),
        (("--schema", SCHEMA, "--since", "HEAD", "--write-baseline", "x.sql"), "--since"),
        (("--schema", SCHEMA, "--since", "HEAD", "x.sql"), "git"),
        (("--schema", SCHEMA, "--since", "HEAD", "x.sql", "-"), "files only"),
        (("--schema", SCHEMA, "--since", "HEAD", "--from-log", "x.sql"), "files only"),
        (("--schema", SCHEMA, "--baseline", "gone.json", "x.sql"), "gone.json"),
        (("--schema", SCHEMA, "--baseline", "x.sql", "x.sql"), "not JSON"),
        (("--schema", SCHEMA, "--statistics", "--format", "json", "x.sql"), "text"),
        (("--schema", SCHEMA, "--output", "empty", "x.sql"), "empty"),
        (("--schema", SCHEMA, "--config", "source.toml", "x.sql"), "source.toml: tenant source"),
        (("--schema", SCHEMA, "--config", "column.toml", "x.sql"), "'tenant_id' is a column"),
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
    (tmp_path / "source.toml").write_text("[lint]\nsources = ['a =']")
    (tmp_path / "column.toml").write_text("[lint]\nsources = ['tenant_id']")
    result = call("--no-cache", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.output


LINT = ("--schema", SCHEMA, "--tenant-column", "org")


def test_the_cache_is_the_users_and_can_be_placed_or_left_out(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    call(*LINT, "--no-cache", "a.sql")
    assert not (tmp_path / "home").exists()
    call(*LINT, "--cache-dir", "here", "a.sql")
    assert (tmp_path / "here" / "lint.sqlite3").exists()
    assert not (tmp_path / "home").exists()
    call(*LINT, "a.sql")
    assert (tmp_path / "home" / "tenure" / "lint.sqlite3").exists()


@pytest.mark.parametrize(
    ("form", "beginning"),
    [("sarif", "{"), ("gitlab", "["), ("junit", "<?xml"), ("github", "::error"), ("json", "{")],
)
def test_output_goes_to_a_file_and_text_to_the_screen(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, form: str, beginning: str
) -> None:
    (tmp_path / "a.sql").write_text("SELECT * FROM t")
    printed = call(*LINT, "--format", form, "a.sql")
    assert printed.output.startswith(beginning)
    result = call(*LINT, "--format", form, "--output", "out", "a.sql")
    assert result.exit_code == printed.exit_code == 1
    assert (tmp_path / "out").read_text() == printed.output
    assert result.output.startswith("a.sql:1:15: TS001")


def test_text_to_a_file_is_without_colours(call, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM t")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in call(*LINT, "a.sql").output
    assert call(*LINT, "--output", "out", "a.sql").output == ""
    text = (tmp_path / "out").read_text()
    assert text.startswith("a.sql:1:15: TS001")
    assert "\x1b" not in text


def test_standard_input_has_the_name_it_is_given(call) -> None:  # type: ignore[no-untyped-def]
    code = "c.execute('SELECT * FROM t')\n"
    result = call(*LINT, "--stdin-filename", "app/a.py", "-", stdin=code)
    assert result.exit_code == 1
    assert result.output.startswith("app/a.py:1:26: TS001")


def test_statistics(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM t; SELECT * FROM s; SELEC")
    result = call(*LINT, "--statistics", "a.sql")
    assert result.exit_code == 1
    assert result.output.startswith("2  TS001  unscoped (in 1 files)\n1  TS006")


def test_strict_source_refuses_what_is_not_declared(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM t WHERE org = $1")
    assert call(*LINT, "a.sql").exit_code == 0
    result = call(*LINT, "--strict-source", "a.sql")
    assert result.exit_code == 1
    assert "TS007" in result.output


def test_tenant_value_and_tenants_table_are_taken(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM orgs WHERE id = my.tenant()")
    assert call(*LINT, "--tenants-table", "orgs", "a.sql").exit_code == 1
    given = ("--tenants-table", "orgs", "--tenant-value", "my.tenant()", "--verdicts")
    result = call(*LINT, *given, "a.sql")
    assert result.exit_code == 0, result.output
    assert "scoped (source)" in result.output


def test_the_baseline_from_the_first_day_to_the_last(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT * FROM t;")
    written = call(*LINT, "--write-baseline", ".")
    assert written.exit_code == 0
    assert "tenure-baseline.json: 1 findings recorded, 1 of them new; 0 went out" in written.output
    given = (*LINT, "--baseline", "tenure-baseline.json")
    known = call(*given, ".")
    assert known.exit_code == 0, known.output
    assert "0 findings, 1 in the baseline" in known.output
    (tmp_path / "a.sql").write_text("SELECT * FROM t; SELECT * FROM s;")
    assert call(*given, ".").exit_code == 1
    (tmp_path / "a.sql").write_text("SELECT 1")
    mended = call(*given, ".")
    assert mended.exit_code == 0
    assert "1 of the baseline are mended" in mended.output
    assert (
        "0 findings recorded, 0 of them new; 1 went out"
        in call(*given, "--write-baseline", ".").output
    )


def test_a_baseline_is_not_written_over_half_a_run(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_bytes(b"'\xff'")
    result = call(*LINT, "--write-baseline", ".")
    assert result.exit_code == 2
    assert not (tmp_path / "tenure-baseline.json").exists()


def test_one_file_that_cannot_be_read_fails_and_hides_none(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_bytes(b"'\xff'")
    (tmp_path / "b.sql").write_text("SELECT * FROM t")
    result = call(*LINT, ".")
    assert result.exit_code == 2
    assert "b.sql:1:15: TS001" in result.output
    assert "a.sql: not UTF-8" in result.output


def test_a_named_file_is_left_out_only_by_force(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "tenure.toml").write_text("[lint.exclude]\n'old' = 'unused'\n")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.sql").write_text("SELECT * FROM t")
    assert call(*LINT, "old/a.sql").exit_code == 1
    assert call(*LINT, "--force-exclude", "old/a.sql").exit_code == 0


def test_configuration_can_suppress_and_name_the_baseline(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "tenure.toml").write_text(
        "[lint]\nbaseline = 'known.json'\n"
        "[[lint.suppress]]\npath = 'reports'\ncodes = ['TS001']\nreason = 'all tenants'\n"
        "expires = 2999-12-31\n"
    )
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "a.sql").write_text("SELECT * FROM t")
    (tmp_path / "b.sql").write_text("SELECT * FROM s")
    assert "there is no such baseline" in call(*LINT, ".").output
    assert call(*LINT, "--write-baseline", ".").exit_code == 0
    assert (tmp_path / "known.json").read_text().count("TS001") == 1
    result = call(*LINT, ".")
    assert result.exit_code == 0, result.output
    assert "0 findings, 1 suppressed, 1 in the baseline" in result.output


def test_a_finding_about_the_configuration_names_it_as_other_files(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.sql").write_text("SELECT 1")
    (tmp_path / "tenure.toml").write_text(
        f"[lint]\nschema = '{SCHEMA}'\ntenant_columns = ['org']\n"
        "[[lint.suppress]]\npath = 'gone.sql'\ncodes = ['TS001']\nreason = 'old'\n"
    )
    result = call("--format", "github", ".")
    assert result.exit_code == 1
    assert "file=tenure.toml,line=5," in result.output


def test_files_without_sql_are_clean_and_it_is_said(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bare.py").write_text("print(1)\n")
    result = call("--schema", SCHEMA, "bare.py")
    assert result.exit_code == 0, result.output
    assert "no SQL in 1 files" in result.output


def test_the_linter_stays_light() -> None:
    """Neither the command nor the package drags in the server's libraries."""
    code = (
        "import sys, api.cli.lint, lint.guard\n"
        "heavy = {'flask', 'peewee', 'pydantic', 'structlog', 'psycopg2', 'config.settings'}\n"
        "ours = {name for name in sys.modules if name.startswith('tenants.')}\n"
        "ours = {name for name in ours if not name.startswith('tenants.policy_sql')}\n"
        "print(sorted(heavy & set(sys.modules) | ours))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_folders_that_are_left_out_are_named(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "b.sql").write_text("SELECT * FROM t;")
    (tmp_path / "A.SQL").write_text("SELECT * FROM t;")
    (tmp_path / "B.PY").write_text("c.execute('SELECT * FROM t')")
    result = call("--schema", SCHEMA, "--tenant-column", "org", ".")
    assert "A.SQL:1" in result.output
    assert "B.PY:1" in result.output
    assert "left out, for git says nothing of them: build" in result.output


@pytest.mark.parametrize("message", ["checkpoint starting: time", "tuntematon: SELECT * FROM t"])
def test_a_log_without_a_statement_is_a_failure(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, message: str
) -> None:
    (tmp_path / "l.json").write_text(json.dumps({"message": message, "detail": None}))
    for more in ((), ("a.sql",), ("--write-baseline",)):
        (tmp_path / "a.sql").write_text("SELECT 1;")
        result = call("--schema", SCHEMA, "--tenant-column", "org", "--from-log", "l.json", *more)
        assert result.exit_code == 2, result.output
        assert "none of 1 records is a statement's" in result.output
    assert not (tmp_path / "tenure-baseline.json").exists()
    # Nor is it made up for by another that has some; what opens a transaction is none.
    (tmp_path / "m.json").write_text(json.dumps({"message": "statement: SELECT 1"}))
    (tmp_path / "n.json").write_text(json.dumps({"message": "statement: /* app */ BEGIN"}))
    for empty in ("l.json", "n.json"):
        logs = ("--from-log", "m.json", "--from-log", empty)
        result = call("--schema", SCHEMA, "--tenant-column", "org", *logs)
        assert result.exit_code == 2, result.output
        assert f"{empty}: none of 1 records is a statement's" in result.output
    (tmp_path / "l.json").write_text(json.dumps({"message": "Anweisung: SELECT * FROM t"}))
    result = call("--schema", SCHEMA, "--tenant-column", "org", "--from-log", "l.json")
    assert result.exit_code == 1, result.output
