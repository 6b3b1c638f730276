"""SQL that ran: logs, forms, calls, bound values, and where in the application it came from."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lint_support import SOURCES, catalog, prover

from lint.checks import Checks
from lint.declared import Sources
from lint.errors import SourceError
from lint.example import SCHEMA
from lint.gate import Gate
from lint.inputs.forms import form_of
from lint.inputs.logs import Log, Ran
from lint.inputs.ran import Judge
from lint.inputs.sources import Source
from lint.inputs.tags import place_in_tags
from lint.prover.prover import Prover
from lint.report import FileReport
from lint.rule import Problem, Rule, Seen
from lint.rules import all_rules
from lint.schema.catalog import Tenancy
from lint.schema.script import load_schema


def csvlog(path: Path, *records: tuple[str, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for message, detail in records:
            row = [""] * 26
            row[0], row[11], row[13], row[14] = "2026-11-20 10:00:00 UTC", "LOG", message, detail
            writer.writerow(row)
    return path


def judged(*statements: Ran, gate: Gate | None = None) -> list[FileReport]:
    return list(Judge(gate or Gate(prover())).reports(statements))


def ran(text: str, *, line: int = 1, detail: str = "", calls: int = 1) -> Ran:
    return Ran(text, "postgresql.csv", line, detail, calls)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("statement: SELECT 1", "SELECT 1"),
        ("execute <unnamed>: SELECT 1", "SELECT 1"),
        ("execute s_1: SELECT 'a: b'", "SELECT 'a: b'"),
        ("execute s_1/portal: SELECT 1", "SELECT 1"),
        ("execute fetch from s_1/portal: SELECT 1", "SELECT 1"),
        ("duration: 0.12 ms  statement: SELECT\n 1", "SELECT\n 1"),
        ("duration: 0.12 ms  execute <unnamed>: SELECT 1", "SELECT 1"),
        ("duration: 0.12 ms  parse <unnamed>: SELECT 1", None),
        ("duration: 0.12 ms  bind <unnamed>: SELECT 1", None),
        ("duration: 0.12 ms", None),
        # As the servers of other languages say it.
        ("Anweisung: SELECT 1", "SELECT 1"),
        ("Dauer: 0.12 ms  Anweisung: SELECT\n 1", "SELECT\n 1"),
        ("Dauer: 0.12 ms  Ausführen <unnamed>: SELECT 'a: b'", "SELECT 'a: b'"),
        ("Dauer: 0.12 ms  Parsen <unnamed>: SELECT 1", None),
        ("sentencia: SELECT 1", "SELECT 1"),
        ("duración: 0.12 ms  ejecutar <unnamed>: SELECT 1", "SELECT 1"),
        ("instruction : SELECT 1", "SELECT 1"),
        ("durée : 0.12 ms, instruction : SELECT 1", "SELECT 1"),
        ("exécute fetch à partir de s_1/portal: SELECT 1", "SELECT 1"),
        ("durata: 0.12 ms  esecuzione di s_1: SELECT 1", "SELECT 1"),
        ("文: SELECT 1", "SELECT 1"),
        ("期間: 0.12 ミリ秒  実行 <unnamed>: SELECT 1", "SELECT 1"),
        ("명령 구문: SELECT 1", "SELECT 1"),
        ("수행시간: 0.12 ms  쿼리실행 <unnamed>: SELECT 1", "SELECT 1"),
        ("продолжительность: 0.12 мс, оператор: SELECT 1", "SELECT 1"),
        ("выполнение <unnamed>: SELECT 1", "SELECT 1"),
        ("тривалість: 0.12 мс виконувати <unnamed>: SELECT 1", "SELECT 1"),
        ("varaktighet: 0.12 ms  kör <unnamed>: SELECT 1", "SELECT 1"),
        ("执行时间: 0.12 ms 语句: SELECT 1", "SELECT 1"),
        ("执行时间: 0.12 ms 执行<unnamed>: SELECT 1", "SELECT 1"),
        ("ოპერატორი: SELECT 1", "SELECT 1"),
        ("ხანგრძლივობა: 0.12 მწმs  გაშვება <unnamed>: SELECT 1", "SELECT 1"),
        ("Verbindung empfangen: Host=[local]", None),
        ("connection received: host=[local]", None),
    ],
)
def test_both_kinds_of_log_give_the_statements(
    tmp_path: Path, message: str, text: str | None
) -> None:
    detail = "Parameters: $1 = '4''2', $2 = NULL"
    made = csvlog(tmp_path / "a.csv", ("checkpoint\nstarting", ""), (message, detail))
    lines = [{"message": "checkpoint starting"}, {"message": message, "detail": detail}]
    other = tmp_path / "a.json"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for log, line in ((Log(made), 3), (Log(other), 2)):
        found = list(log.statements())
        assert [one.text for one in found] == ([] if text is None else [text])
        assert log.records == 2
        for one in found:
            assert (one.path, one.line) == (str(log.path), line)
            assert one.values() == {1: "4'2", 2: None}


def test_what_another_language_says_of_execute_is_read(tmp_path: Path) -> None:
    detail = "Vorbereiten: PREPARE a AS SELECT 2"
    (found,) = Log(csvlog(tmp_path / "a.csv", ("Anweisung: EXECUTE a", detail))).statements()
    assert found.text == "PREPARE a AS SELECT 2"


@pytest.mark.parametrize(
    "text", ["2026-11-20 10:00:00 LOG: statement: SELECT 1\n", "{}\n", "x,y\n"]
)
def test_another_log_is_a_failure_and_not_clean(tmp_path: Path, text: str) -> None:
    file = tmp_path / "postgresql.log"
    file.write_text(text)
    with pytest.raises(SourceError, match="neither csvlog nor jsonlog"):
        list(Log(file).statements())
    with pytest.raises(SourceError, match="missing"):
        list(Log(tmp_path / "missing.csv").statements())


def test_an_empty_log_and_torn_lines_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("")
    assert list(Log(file).statements()) == []
    file.write_text('{"message": "statement: SELECT 1"}\n{"message": "statem')
    log = Log(file)
    assert [one.text for one in log.statements()] == ["SELECT 1"]
    assert log.skipped == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT a FROM t WHERE x = 1", "SELECT a FROM t WHERE x = 22", True),
        ("SELECT a FROM t WHERE x = 'a''b'", "SELECT a FROM t WHERE x = 'c'", True),
        ("SELECT a FROM t WHERE x = E'a\\'b'", "SELECT a FROM t WHERE x = E'c'", True),
        ("SELECT a /* t=1 */ FROM t", "SELECT a /* t=2 */ FROM t", True),
        ("SELECT a FROM t WHERE x IN (1, 2)", "SELECT a FROM t WHERE x IN (3,4,5)", True),
        ("SELECT a FROM t WHERE x IN (1)", "SELECT a FROM t WHERE x IN (3,4)", False),
        ("SELECT a FROM t WHERE x = 1 AND y = 1", "SELECT a FROM t WHERE x = 1 AND y = 2", False),
        ("SELECT a1 FROM t", "SELECT a2 FROM t", False),
        ("SELECT a FROM t WHERE x = $1", "SELECT a FROM t WHERE x = $2", False),
        ('SELECT "a1" FROM t', 'SELECT "a2" FROM t', False),
    ],
)
def test_a_form_is_a_text_without_its_values(one: str, other: str, same: bool) -> None:
    assert (form_of(one) == form_of(other)) is same


def test_a_form_is_judged_once_and_its_calls_are_counted() -> None:
    texts = [f"SELECT * FROM t WHERE x = {n}" for n in range(40)]
    reports = judged(*(ran(text, line=n) for n, text in enumerate(texts, 7)))
    (report,) = reports
    (finding,) = report.findings
    assert (finding.path, finding.line, finding.code) == ("postgresql.csv", 7, "TS001")
    assert "(40 calls, as in: SELECT * FROM t WHERE x = 0)" in finding.message
    assert report.counts.statements == 1


def test_memory_is_bounded_by_letting_the_oldest_form_go() -> None:
    statements = (ran(f"SELECT a{n} FROM t") for n in range(30))
    judge = Judge(Gate(prover()), forms=5)
    reports = judge.reports(statements)
    next(reports)
    assert judge.seen.forms == 6
    assert len(list(reports)) == 29
    assert judge.seen.forms == 30


def test_literals_in_what_ran_are_no_tenant_written_into_the_text() -> None:
    (report,) = judged(ran("SELECT * FROM t WHERE org = 1"))
    assert report.findings == ()
    assert report.judged[0].verdict.kind == "parameter"


def test_bound_values_tell_the_tenant_where_it_is_declared_as_a_literal() -> None:
    sources = Sources((*SOURCES.expressions, "42"))
    gate = Gate(Prover(catalog(), sources), strict=True)
    text = "SELECT * FROM t WHERE org = $1 AND x = $2"
    reports = judged(
        ran(text, detail="Parameters: $1 = '42', $2 = '7'"),
        ran(text, detail="parameters: $1 = '43', $2 = '42'"),
        ran(text, detail="Parameters: $1 = '42', $2 = NULL"),
        gate=gate,
    )
    kinds = [(report.judged[0].verdict.kind, len(report.findings)) for report in reports]
    assert kinds == [("source", 0), ("parameter", 1)]


def test_a_statement_of_pg_stat_statements_is_read_with_its_constants_taken_out() -> None:
    for text, verdict in (
        ("SELECT * FROM t WHERE org = $1 AND x > $2", "scoped"),
        ("SELECT * FROM t WHERE org IN ($1 /*, ... */)", "unscoped"),
        ("SELECT now() - interval $2 FROM t WHERE org = $1", "scoped"),
    ):
        (report,) = judged(ran(text))
        assert report.judged[0].verdict.verdict == verdict, text


@pytest.mark.parametrize(
    ("comment", "place"),
    [
        ("/*traceparent='00-1-2-01',file='app%2Forders.py',line='42'*/", ("app/orders.py", 42)),
        ("/*code.filepath='a.go',code.lineno='7'*/", ("a.go", 7)),
        (
            "/*application='Shop',source_location='app/models/x.rb:12:in `y'*/",
            ("app/models/x.rb", 12),
        ),
        ("/*application:Shop,controller:a,line:/app/x.rb:12:in `y'*/", ("/app/x.rb", 12)),
        ("/*filename='a.py'*/", ("a.py", 1)),
        ("/*controller='orders',action='show'*/", None),
        ("", None),
    ],
)
def test_comments_say_where_in_the_application(comment: str, place: tuple[str, int] | None) -> None:
    text = f"SELECT * FROM t {comment}"
    assert place_in_tags(text) == place
    (report,) = judged(ran(text))
    (finding,) = report.findings
    assert (finding.path, finding.line) == (place or ("postgresql.csv", 1))


def test_the_same_form_at_two_places_is_two_findings() -> None:
    reports = judged(
        ran("SELECT 1 FROM t /*file='a.py',line='1'*/"),
        ran("SELECT 2 FROM t /*file='b.py',line='1'*/"),
        ran("SELECT 3 FROM t /*file='b.py',line='1',traceparent='x'*/"),
    )
    assert [report.path for report in reports] == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("clean", "leaks"),
    [
        ("SELECT * FROM t LIMIT 0", "SELECT * FROM t LIMIT 10"),
        (
            "SELECT 1 FROM t, s WHERE t.org = 1 AND s.org = '1'",
            "SELECT 1 FROM t, s WHERE t.org = 1 AND s.org = '2'",
        ),
        (
            "SELECT org, x, count(*) FROM t GROUP BY 1, 2 HAVING min(org) = 1 AND org = 1",
            "SELECT org, x, count(*) FROM t GROUP BY 2, 3 HAVING min(org) = 1 AND org = 1",
        ),
        ("SELECT * FROM t WHERE org IN (1, 1)", "SELECT * FROM t WHERE org IN (1, 2)"),
        ("SELECT * FROM t WHERE org IN (1, '1')", "SELECT * FROM t WHERE org IN (1, '2')"),
        (
            "SELECT 'a E', x FROM t WHERE org = 1 AND 'b' = ''",
            "SELECT 'a E', x, (SELECT max(x) FROM s) FROM t WHERE org = 1 AND 'b' = ''",
        ),
        (
            "SELECT * FROM t /* */ WHERE org = 1 /* /* */ */",
            "SELECT * FROM t /* /* */ WHERE org = 1 /* */ */",
        ),
        (
            "SELECT set_config('search_path', 'x', false)",
            "SELECT set_config('app.tenant_id', 'x', false)",
        ),
        (
            "SELECT set_config('statement_timeout', '0', true)",
            "SELECT set_config('row_security', 'off', true)",
        ),
    ],
)
def test_no_text_hides_another_of_its_form(clean: str, leaks: str) -> None:
    for texts in ((clean, leaks), (clean, clean, leaks), (leaks, clean)):
        found = [f for report in judged(*map(ran, texts)) for f in report.findings]
        assert [" ".join(leaks.split()) in f.message for f in found] == [True], texts
    assert [f for report in judged(ran(clean)) for f in report.findings] == []


@pytest.mark.parametrize(
    ("clean", "leaks"),
    [
        ("SELECT * FROM t WHERE org = 42", "SELECT * FROM t WHERE org = 7"),
        (
            "SELECT * FROM t WHERE org = current_setting('app.org')::int",
            "SELECT * FROM t WHERE org = current_setting('app.other')::int",
        ),
        (
            "SELECT * FROM t WHERE org = 42 AND x = DATE '2020-01-01'",
            "SELECT * FROM t WHERE org = 41 AND x = DATE '2020-01-02'",
        ),
    ],
)
def test_a_declared_value_is_no_other_value(clean: str, leaks: str) -> None:
    sources = Sources(("42", "current_setting('app.org')::int"))
    gate = Gate(Prover(catalog(), sources), strict=True)
    for texts in ((clean, leaks), (leaks, clean)):
        found = [f for report in judged(*map(ran, texts), gate=gate) for f in report.findings]
        assert [" ".join(leaks.split()) in f.message for f in found] == [True], texts


def test_what_hangs_on_a_value_is_judged_value_by_value_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(prover())
    count = 0
    judge_one = gate.judge

    def counting(source: Source) -> FileReport:
        nonlocal count
        count += 1
        return judge_one(source)

    monkeypatch.setattr(gate, "judge", counting)
    same = [
        "SELECT * FROM t WHERE org = {n} AND x > {m} ORDER BY x LIMIT {m}",
        "SELECT * FROM t WHERE org = {n} AND id IN ({m}, 0.5) AND x::numeric(10, 2) > 0.{m}",
        "SELECT * FROM t WHERE org = {n} AND now() - INTERVAL '{m} days' > DATE '2020-01-{m}'",
        "INSERT INTO t (org, id, x) VALUES ({n}, {m}, 0.{m})",
        "UPDATE t SET x = {m} WHERE org = {n} AND id = -{m}",
        "SELECT x, count(*) FROM t WHERE org = {n} GROUP BY 1 HAVING count(*) > {m} ORDER BY 2",
        "SELECT set_config('app.tenant_id', '{m}', true)",
        "SET LOCAL app.tenant_id = '{m}'",
    ]
    for text in same:
        count = 0
        judged(*(ran(text.format(n=n + 100, m=n + 20)) for n in range(20)), gate=gate)
        assert count == 1, text
    count = 0
    # The first of these is a special one.
    judged(*(ran(f"SELECT * FROM t WHERE org = 50 LIMIT {n}") for n in range(20)), gate=gate)
    assert count == 2
    count = 0
    texts = [f"SELECT 1 FROM t, s WHERE t.org = {n} AND s.org = '{n}'" for n in range(100, 120)]
    assert [r.findings for r in judged(*map(ran, texts), gate=gate)] == [()]
    assert count == 20


def test_a_literal_without_which_a_rule_finds_something_has_a_say() -> None:
    """A rule that finds something unless it knows the value: the first text hides no other."""

    def check(seen: Seen) -> Iterator[Problem]:
        first, last = seen.tokens[0], seen.tokens[-1]
        if last.value != "known":
            yield Problem(first.start, last.end, "a value that nobody knows")

    known = next(rule for rule in all_rules() if rule.code == "TS028")
    gate = Gate(prover())
    gate.checks = Checks(catalog(), SOURCES, [replace(known, words=frozenset(), check=check)])
    texts = [f"SELECT x FROM t WHERE org=$1 AND x = '{x}'" for x in ("known", "known", "other")]
    for statements in (texts, texts[::-1]):
        (report,) = judged(*map(ran, statements), gate=gate)
        assert [finding.code for finding in report.findings] == ["TS028"]


_VALUES = ("'role'", "'row_security'", "'false'", "'on'", "'pg_catalog'", "'x'", "0", "1", "NULL")


@pytest.mark.parametrize(
    "rule",
    [r for r in all_rules() if (r.check or r.kinds) and r.language == "sql"],
    ids=lambda rule: rule.code,
)
def test_no_rule_misses_in_a_form_what_it_finds_in_a_text_of_it(rule: Rule) -> None:
    """Each literal of the rules' examples, exchanged for every other: what is found in one text
    alone is found in a log in which it comes after the others, and before them."""
    gate = Gate(Prover(load_schema(SCHEMA).with_tenancy(Tenancy(tenants_table="tenants"))))
    for example in (rule.bad, rule.good):
        literals = list(dict.fromkeys(re.findall(r"'[^']*'|\b\d+\b", example)))
        texts = [
            example.replace(literal, other) for literal in literals for other in (literal, *_VALUES)
        ]
        alone = {f.code for text in texts for r in judged(ran(text), gate=gate) for f in r.findings}
        for statements in (texts, texts[::-1]):
            found = {f.code for r in judged(*map(ran, statements), gate=gate) for f in r.findings}
            assert found == alone


def test_how_long_a_setting_lasts_may_be_a_literal_and_has_a_say() -> None:
    texts = [f"SELECT set_config('app.tenant', '{n}', '{lasts}')"
             for n, lasts in enumerate(("true", "false", "t", "off"))]  # fmt: skip
    for statements in (texts, texts[::-1]):
        (report,) = judged(*map(ran, statements))
        assert [finding.code for finding in report.findings] == ["TS027"]
