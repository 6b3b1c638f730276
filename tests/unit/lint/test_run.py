"""Runs over files: the cache changes no result, nor do processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from lint_support import CASES
from run_support import OPEN, SCOPED, config, reports, write

import lint.cache
import lint.run
import lint.worker
from lint.cache import Cache
from lint.errors import LintError
from lint.report import FileReport
from lint.run import Run
from lint.schema.known import known
from lint.worker import Worker


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache" / "lint.sqlite3")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were judged and not remembered."""
    found: list[str] = []
    work = Worker.work

    def spy(self: Worker, files: list[tuple[str, bytes]]) -> list[lint.worker.Outcome]:
        found.extend(Path(path).name for path, _ in files)
        return work(self, files)

    monkeypatch.setattr(Worker, "work", spy)
    return found


def test_what_was_judged_is_remembered_whole(
    tmp_path: Path, cache: Cache, judged: list[str]
) -> None:
    text = f"{OPEN}-- tenure: allow TS001 until 2999-01-01 because so\n{OPEN}{SCOPED}SELEC 1;"
    files = write(tmp_path, a__sql=text, b__py=f"c.execute({OPEN!r})\n", c__sql="")
    settings = config(tmp_path)
    fresh = reports(settings, files)
    first = reports(settings, files, cache)
    assert judged == ["a.sql", "b.py", "c.sql"] * 2
    again = reports(settings, files, cache)
    assert len(judged) == 6
    assert fresh == first == again
    assert [finding.allowed for finding in again[0].findings] == ["", "so", ""]
    assert again[0].judged[0].verdict.occurrences[0].table == "public.t"
    brief = reports(settings, files, cache, whole=False)
    assert [replace(report, judged=()) for report in fresh] == brief


def test_only_what_changed_is_judged_again(tmp_path: Path, cache: Cache, judged: list[str]) -> None:
    files = write(tmp_path, a__sql=OPEN, b__sql=SCOPED)
    settings = config(tmp_path)
    reports(settings, files, cache)
    judged.clear()
    files[1].write_text(OPEN + SCOPED)
    found = reports(settings, files, cache)
    assert judged == ["b.sql"]
    assert [len(report.findings) for report in found] == [1, 1]


def test_the_same_text_elsewhere_is_known_and_says_where_it_is(
    tmp_path: Path, cache: Cache, judged: list[str]
) -> None:
    files = write(tmp_path, a__sql=OPEN, b__sql=OPEN)
    settings = config(tmp_path)
    reports(settings, files[:1], cache)
    found = reports(settings, files, cache)
    assert judged == ["a.sql"]
    assert [report.findings[0].path for report in found] == [str(file) for file in files]


def test_another_schema_configuration_or_linter_is_another_key(
    tmp_path: Path, cache: Cache, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path, a__sql="SELECT * FROM t WHERE org = :tenant_id")
    settings = config(tmp_path)
    assert reports(settings, files, cache)[0].findings == ()
    strict = replace(settings, strict_source=True)
    assert [f.code for f in reports(strict, files, cache)[0].findings] == ["TS007"]
    named = replace(settings, sources=replace(settings.sources, parameters=("tenant_id",)))
    assert reports(named, files, cache)[0].judged[0].verdict.kind == "source"
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orgs (id int PRIMARY KEY); CREATE TABLE country (x int);")
    (finding,) = reports(replace(settings, schema=schema), files, cache)[0].findings
    assert "not in the schema" in finding.message
    assert len(judged) == 4
    monkeypatch.setattr(lint.cache, "program", lambda: b"another linter..")
    reports(settings, files, cache)
    assert len(judged) == 5
    (tmp_path / "a.py").write_text(files[0].read_text())
    reports(settings, [tmp_path / "a.py"], cache)
    assert len(judged) == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: _change(file, "UPDATE entry SET head = '[[0,0,0,0],[]]'"),
        lambda file: _change(file, "UPDATE entry SET head = NULL"),
        lambda file: _change(file, "UPDATE entry SET body = CAST('[]' AS BLOB)"),
        lambda file: _change(file, "DROP TABLE entry"),
        lambda file: _change(file, "ALTER TABLE entry RENAME COLUMN head TO other"),
        lambda file: (file.unlink(), file.mkdir()),
    ],
)
def test_a_damaged_cache_costs_time_and_no_result(  # type: ignore[no-untyped-def]
    tmp_path: Path, cache: Cache, judged: list[str], damage
) -> None:
    files = write(tmp_path, a__sql=OPEN, b__sql=SCOPED)
    settings = config(tmp_path)
    fresh = reports(settings, files, cache)
    damage(tmp_path / "cache" / "lint.sqlite3")
    assert reports(settings, files, cache) == fresh
    assert len(judged) == 4
    assert reports(settings, files, cache) == fresh


def _change(file: Path, sql: str) -> None:
    with sqlite3.connect(file) as db:
        db.execute(sql)
    db.close()


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = write(tmp_path, a__sql=OPEN)
    cache = Cache(tmp_path / "file" / "lint.sqlite3")
    assert len(reports(config(tmp_path), files, cache)[0].findings) == 1


def test_several_runs_share_a_cache_at_once(tmp_path: Path, cache: Cache) -> None:
    files = [write(tmp_path, **{f"f{n}__sql": OPEN * (n % 7 + 1)})[0] for n in range(60)]
    settings = config(tmp_path)
    fresh = reports(settings, files)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reports(settings, files, cache), range(8)))
    assert all(one == fresh for one in found)


def test_the_oldest_entries_go(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint.cache, "KEPT", 3)
    cache.put({bytes([n]) * 16: (b"h", b"b") for n in range(5)})
    cache.put({b"last": (b"h", b"b")})
    keys = [bytes([n]) * 16 for n in range(5)]
    assert list(cache.get([*keys, b"last"], whole=True)) == [keys[3], keys[4], b"last"]


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path: Path, cache: Cache) -> None:
    files = write(tmp_path, a__sql=OPEN, b__py="c.execute(\n", c__sql=OPEN)
    (tmp_path / "d.sql").write_bytes(b"SELECT '\xff'")
    files += [tmp_path / "d.sql", tmp_path / "gone.sql"]
    for _ in range(2):
        found = reports(config(tmp_path), files, cache)
        assert [len(report.findings) for report in found] == [1, 0, 1, 0, 0]
        failures = [report.failure for report in found]
        for said, failure in zip(
            ("", "not Python", "", "UTF-8", "gone.sql"), failures, strict=True
        ):
            assert said in failure
            assert bool(said) == bool(failure)


def test_line_ends_of_other_systems_move_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"SELECT 1;\r\n\r\nSELECT *\r\n  FROM t;\r\n")
    (finding,) = reports(config(tmp_path), [tmp_path / "a.sql"])[0].findings
    assert (finding.line, finding.column, finding.shown) == (4, 8, "  FROM t;")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes_say_the_same(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    if method == "fork" and sys.platform != "linux":
        pytest.skip("forks are used on Linux only")
    files = [write(tmp_path, **{f"f{n}__sql": OPEN * (n + 1) + SCOPED})[0] for n in range(20)]
    files += write(tmp_path, z__py="c.execute(\n")
    settings = config(tmp_path)
    fresh = reports(settings, files)
    monkeypatch.setattr(lint.run, "_WORTH_A_FORK", 1)
    monkeypatch.setattr(lint.run, "_WORTH_A_SPAWN", 1)
    if method == "spawn":
        monkeypatch.setattr(sys, "platform", "darwin")
    assert reports(settings, files, cache, jobs=2) == fresh
    assert reports(settings, files, cache, jobs=2) == fresh


def test_a_process_that_dies_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path, a__sql=OPEN, b__sql=OPEN)
    monkeypatch.setattr(lint.run, "_WORTH_A_FORK", 1)
    monkeypatch.setattr(lint.run, "_work", _die)
    with pytest.raises(LintError, match="died"):
        reports(config(tmp_path), files, jobs=2)


def _die(_files: object) -> list[FileReport]:
    import os

    os._exit(3)


def test_many_files_are_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint.run, "_WINDOW", 2)
    files = [write(tmp_path, **{f"f{n}__sql": OPEN * (n + 1)})[0] for n in range(5)]
    assert [len(report.findings) for report in reports(config(tmp_path), files)] == [1, 2, 3, 4, 5]


def test_a_run_that_finds_all_in_the_cache_does_without_the_parser(tmp_path: Path) -> None:
    write(tmp_path, a__sql=OPEN, b__sql=SCOPED)
    code = (
        "import sys; sys.argv = sys.argv[:1] + ['lint', *sys.argv[1:]]\n"
        "from api.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n"
        "    print(done.code, 'sqlglot' in sys.modules)"
    )
    options = ["--schema", str(CASES / "schema.sql"), "--tenant-column", "org"]
    arguments = [*options, "--cache-dir", "cache", "."]
    said = [
        subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert [lines[-1] for lines in said] == ["1 True", "1 False"]
    assert said[0][:-1] == said[1][:-1]


def test_a_wrong_schema_is_a_failure_of_the_run(tmp_path: Path) -> None:
    files = write(tmp_path, a__sql=OPEN, s__sql="FROB;")
    settings = replace(config(tmp_path), schema=files[1])
    with pytest.raises(LintError, match="FROB"):
        list(Run(known(settings), jobs=1, cache=None, whole=True).reports(files[:1]))
