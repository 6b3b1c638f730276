"""What changed since a revision."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from run_support import OPEN, SCOPED, config, write

from lint.errors import SourceError
from lint.inputs.changes import changes
from lint.session import Request, run


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.org")
        self.git("config", "user.name", "a")
        self.git("config", "commit.gpgsign", "false")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def found(self, since: str, *paths: Path) -> list[tuple[str, int]]:
        request = Request(config(self.folder), paths or [self.folder], since=since)
        report = run(request)
        assert report.counts.statements == len(report.judged)
        return [(Path(f.path).name, f.line) for f in report.findings]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "r"
    folder.mkdir()
    return Repository(folder)


def test_only_statements_that_changed_count(repository: Repository) -> None:
    a, _ = write(repository.folder, a__sql=OPEN * 3, b__sql=OPEN)
    repository.commit()
    assert repository.found("HEAD") == []
    a.write_text(f"{OPEN}SELECT id\n  FROM t;\n{OPEN}")
    assert repository.found("HEAD") == [("a.sql", 3)]
    repository.commit()
    assert repository.found("HEAD") == []
    assert repository.found("HEAD~1") == [("a.sql", 3)]


def test_files_that_git_does_not_know_are_new(repository: Repository) -> None:
    repository.commit()
    write(repository.folder, a__sql=OPEN, ignored__sql=OPEN)
    (repository.folder / ".gitignore").write_text("ignored.sql\n")
    assert repository.found("HEAD") == [("a.sql", 1)]


def test_a_condition_that_was_taken_out_is_a_change(repository: Repository) -> None:
    (a,) = write(
        repository.folder,
        a__sql="SELECT 1;\nSELECT *\n FROM t\n WHERE org = 1\n;\nSELECT * FROM s;",
    )
    repository.commit()
    a.write_text("SELECT 1;\nSELECT *\n FROM t\n;\nSELECT * FROM s;")
    assert repository.found("HEAD") == [("a.sql", 3)]


def test_a_suppression_that_was_taken_out_is_a_change(repository: Repository) -> None:
    allowed = f"-- tenure: allow TS001 because so\n{OPEN}"
    (a,) = write(repository.folder, a__sql=allowed)
    repository.commit()
    a.write_text(OPEN)
    assert repository.found("HEAD") == [("a.sql", 1)]


def test_what_others_did_since_on_that_branch_is_no_change(repository: Repository) -> None:
    _, b = write(repository.folder, a__sql=SCOPED, b__sql=OPEN)
    repository.commit()
    repository.git("checkout", "-q", "-b", "mine")
    write(repository.folder, c__sql=OPEN)
    repository.commit()
    repository.git("checkout", "-q", "main")
    b.write_text(SCOPED)
    repository.commit()
    repository.git("checkout", "-q", "mine")
    assert repository.found("main") == [("c.sql", 1)]


def test_another_schema_may_change_every_verdict(repository: Repository) -> None:
    (schema, *_) = write(repository.folder, schema__sql="CREATE TABLE t (org int);", a__sql=OPEN)
    repository.commit()
    settings = replace(
        config(repository.folder),
        schema=schema,
        tenancy=replace(config(schema).tenancy, tenants_table=None, exempt={}),
    )
    request = Request(settings, [repository.folder / "a.sql"], since="HEAD")
    assert run(request).findings == ()
    schema.write_text("CREATE TABLE t (org int, x int);")
    assert len(run(request).findings) == 1


def test_another_configuration_changes_every_verdict_another_dependency_none(
    repository: Repository,
) -> None:
    file, _ = write(repository.folder, pyproject__toml="[project]\nname = 'a'\n", a__sql=OPEN)
    file.write_text("[tool.tenure.lint]\nparameters = ['a']\n")
    repository.commit()
    request = Request(
        replace(config(repository.folder), file=file), [repository.folder], since="HEAD"
    )
    file.write_text("[project]\nname = 'b'\n[tool.tenure.lint]\nparameters = ['a']\n")
    assert run(request).findings == ()
    file.write_text("[project]\nname = 'b'\n[tool.tenure.lint]\nparameters = ['b']\n")
    assert len(run(request).findings) == 1


@pytest.mark.parametrize("name", ["a b.sql", "é.sql", 'q"t.sql', "tab\t.sql", "b/+++ b.sql"])
def test_odd_names_are_found(repository: Repository, name: str) -> None:
    file = repository.folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(SCOPED)
    repository.commit()
    file.write_text(SCOPED + OPEN)
    assert repository.found("HEAD") == [(file.name, 2)]


def test_text_that_looks_like_a_diff_is_text(repository: Repository) -> None:
    a, b = write(repository.folder, a__sql="SELECT 1;\n", b__sql=OPEN)
    repository.commit()
    a.write_text("/*\n++ b/b.sql\n@@ -1 +1 @@\n*/ SELECT 1;\n")
    found = changes("HEAD", repository.folder)
    assert found.has(a)
    assert not found.has(b)


def test_a_deleted_file_is_no_matter(repository: Repository) -> None:
    a, _ = write(repository.folder, a__sql=OPEN, b__sql=OPEN)
    repository.commit()
    a.unlink()
    assert repository.found("HEAD") == []


@pytest.mark.parametrize("revision", ["nothing", "--help", "-x"])
def test_an_unknown_revision_is_a_failure(repository: Repository, revision: str) -> None:
    repository.commit()
    with pytest.raises(SourceError, match="git says"):
        changes(revision, repository.folder)


def test_outside_of_a_repository_it_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="git says"):
        changes("HEAD", tmp_path)


BOUND = "SELECT id FROM t WHERE org = tenure.current_tenant()"


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        # A constant, far from the call.
        (
            f"SQL = '{BOUND}'\n\n\ndef f(c):\n    c.execute(SQL)\n",
            "SQL = 'SELECT id FROM t'\n\n\ndef f(c):\n    c.execute(SQL)\n",
            1,
        ),
        # A line that only went, of several that make a text.
        (
            "def f(c):\n    q = 'SELECT id FROM t'\n    x = 1\n"
            "    q += ' WHERE org = tenure.current_tenant()'\n    y = 2\n    c.execute(q)\n",
            "def f(c):\n    q = 'SELECT id FROM t'\n    x = 1\n    y = 2\n    c.execute(q)\n",
            2,
        ),
        # What was known is not known any more.
        (
            "W = ' WHERE org = tenure.current_tenant()'\n\n\n\n"
            "def f(c):\n    c.execute('SELECT id FROM t' + W)\n",
            "W = where()\n\n\n\ndef f(c):\n    c.execute('SELECT id FROM t' + W)\n",
            6,
        ),
        # A literal with an escape in it, so that its lines are not its text's.
        (
            f'SQL = """{BOUND}\n  AND \'\\x61\' = \'a\'\n  AND org\n = 1"""\n\n\nc.execute(SQL)\n',
            f'SQL = """{BOUND}\n  AND \'\\x61\' = \'a\'\n  OR org\n = 1"""\n\n\nc.execute(SQL)\n',
            1,
        ),
        # What made a call a sink.
        (
            "import mine\n\n\n\n\nc.fetch(q)\n",
            "import asyncpg\nimport mine\n\n\n\nc.fetch(q)\n",
            6,
        ),
    ],
)
def test_a_python_statement_changed_where_any_part_of_it_did(
    repository: Repository, before: str, after: str, line: int
) -> None:
    (a,) = write(repository.folder, a__py=before)
    repository.commit()
    a.write_text(after)
    assert repository.found("HEAD") == [("a.py", line)]
    a.write_text(before + "\n\nx = 1\n")
    assert repository.found("HEAD") == []


def test_a_statement_made_of_a_constant_that_changed_is_counted(repository: Repository) -> None:
    (a,) = write(repository.folder, a__py=f"SQL = '{BOUND}'\n\n\ndef f(c):\n    c.execute(SQL)\n")
    repository.commit()
    a.write_text(a.read_text().replace("SELECT id", "SELECT x"))
    request = Request(config(repository.folder), [repository.folder], since="HEAD")
    assert run(request).counts.scoped == 1


def test_what_a_migration_no_longer_does_is_a_change(repository: Repository) -> None:
    table = "CREATE TABLE note (org int NOT NULL, id int NOT NULL);\n"
    more = "SELECT 1;\n" * 3
    secure = (
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
        "CREATE POLICY own ON note USING (org = tenure.current_tenant());\n"
    )
    other = "CREATE TABLE more (org int NOT NULL, id int NOT NULL);\n"
    (a,) = write(repository.folder, a__sql=other + more + table + more + secure + more)
    repository.commit()
    a.write_text(other + more + table + more + more)
    # `more` was like that before, and none of its lines is touched.
    assert repository.found("HEAD") == [("a.sql", 5)]
    a.write_text(other + more + table + more + secure + more + more)
    assert repository.found("HEAD") == []


def test_a_second_finding_like_one_that_was_there_is_new(repository: Repository) -> None:
    (a,) = write(repository.folder, a__sql=f"{OPEN}{SCOPED * 3}{OPEN}")
    repository.commit()
    a.write_text(f"{OPEN}{SCOPED * 3}{OPEN}{OPEN}")
    assert repository.found("HEAD") == [("a.sql", 6)]
