"""The baseline: what is known does not fail, what is new does, what is mended drops out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lint_support import prover
from run_support import OPEN, SCOPED, config, write

from lint.baseline import Baseline, load
from lint.errors import LintError
from lint.gate import judge
from lint.inputs.sources import sql_source
from lint.report import Finding
from lint.session import Request, run, write_baseline


def found(text: str, path: str = "a.sql") -> tuple[Finding, ...]:
    return judge([sql_source(path, text)], prover()).findings


def baseline(text: str) -> Baseline:
    return Baseline().renewed(found(text), place=str, kept=lambda _: False)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t",
        "-- moved\n\n\nSELECT * FROM t",
        "select  *\nfrom T -- reformatted\n;",
    ],
)
def test_what_moves_or_is_reformatted_stays_known(text: str) -> None:
    compared = baseline("SELECT * FROM t").compare(found(text, "b.sql"))
    assert (len(compared.new), len(compared.known), compared.stale) == (0, 1, ())


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM t",
        "SELECT * FROM s",
        "SELECT * FROM t WHERE id = $1",
        'SELECT * FROM "t"',
    ],
)
def test_another_statement_table_or_code_is_new(text: str) -> None:
    compared = baseline("SELECT * FROM t").compare(found(text))
    assert (len(compared.new), len(compared.known)) == (1, 0)
    assert [entry.code for entry in compared.stale] == ["TS001"]


def test_a_copy_of_a_known_statement_is_new() -> None:
    known = baseline("SELECT * FROM t; SELECT * FROM t")
    assert [entry.count for entry in known.entries] == [2]
    three = known.compare(found("SELECT * FROM t;" * 3))
    assert (len(three.known), len(three.new)) == (2, 1)
    one = known.compare(found("SELECT * FROM t"))
    assert (len(one.known), len(one.new), len(one.stale)) == (1, 0, 1)


def test_opaque_calls_are_known_by_their_text(tmp_path: Path) -> None:
    (file,) = write(tmp_path, a__py="c.execute(query)\n")
    request = Request(config(tmp_path), [file])
    write_baseline(run(request), tmp_path / "b.json", request.config)
    file.write_text("\n\nc.execute(\n    query\n)\nc.execute(other)\n")
    report = run(replace(request, baseline=tmp_path / "b.json"))
    assert [finding.line for finding in report.findings] == [3, 6]
    file.write_text("\n\nif x:\n    c.execute(query)\nc.execute(other)\n")
    report = run(replace(request, baseline=tmp_path / "b.json"))
    assert [finding.line for finding in report.findings] == [5]


def test_it_is_written_in_a_fixed_order_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    both = [*found("SELECT * FROM t; SELECT * FROM t", "é.sql"), *found("SELECT * FROM s")]
    made = Baseline().renewed(both, place=str, kept=lambda _: False)
    file.write_text(made.to_json())
    assert load(file) == made
    reverse = Baseline().renewed(reversed(both), place=str, kept=lambda _: False)
    assert reverse.to_json() == made.to_json()
    assert len(made.to_json().splitlines()) == 4
    file.write_text(Baseline().to_json())
    assert load(file) == Baseline()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "findings": []}',
        '{"version": 1, "findings": [{"code": "TS001"}]}',
        '{"version": 1, "findings": [{"code": "TS001", "table": "t", "statement": "x",'
        ' "path": "a", "shown": "", "count": 0}]}',
    ],
)
def test_what_is_no_baseline_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b.json"
    file.write_text(text)
    with pytest.raises(LintError, match=r"b\.json"):
        load(file)


def test_the_ratchet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = write(tmp_path, a__sql=OPEN, b__sql="SELECT * FROM s;")
    file = tmp_path / "tenure-baseline.json"
    request = Request(config(tmp_path), [Path()])
    assert write_baseline(run(request), file, request.config) == (2, 2, 0)
    known = replace(request, baseline=file)
    assert run(known).findings == ()
    assert run(known).notes == ()

    files[0].write_text(SCOPED)
    report = run(known)
    assert report.findings == ()
    assert report.notes == (
        "1 of the baseline are mended: TS001 in a.sql; --write-baseline takes them out",
    )
    # A run over another file says nothing of this one, nor takes it out.
    part = replace(known, paths=[files[1]])
    assert run(part).notes == ()
    assert write_baseline(run(part), file, request.config) == (2, 0, 0)

    assert write_baseline(run(known), file, request.config) == (1, 0, 1)
    files[0].write_text(OPEN)
    assert [finding.path for finding in run(known).findings] == ["a.sql"]

    files[1].unlink()
    assert len(run(known).notes) == 1
    assert write_baseline(run(known), file, request.config) == (1, 1, 1)


def test_paths_are_those_of_the_configuration_wherever_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "x"
    inner.mkdir()
    write(inner, a__sql=OPEN)
    file = tmp_path / "b.json"
    for folder, path in ((tmp_path, "x"), (inner, ".")):
        monkeypatch.chdir(folder)
        request = Request(config(tmp_path), [Path(path)])
        write_baseline(run(request), file, request.config)
        assert [entry.path for entry in load(file).entries] == ["x/a.sql"]
