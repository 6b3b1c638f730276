"""Where the parser and PostgreSQL part: each pitfall that is known of it, one test."""

from __future__ import annotations

import pytest
from lint_support import cases, prover

from lint.gate import judge
from lint.inputs.sources import sql_source
from lint.text.carriers import payload
from lint.text.lexer import statements

_CARRIERS = cases("carriers.sql")


@pytest.mark.parametrize("case", _CARRIERS, ids=lambda case: case.title)
def test_verdict(case: object) -> None:
    verdict = prover().prove_text(case.sql)  # type: ignore[attr-defined]
    told = f"{verdict.verdict} ({verdict.kind}): {verdict.reason}"
    assert verdict.verdict == case.verdict, told  # type: ignore[attr-defined]
    assert case.kind in (None, verdict.kind), told  # type: ignore[attr-defined]


def verdict(sql: str) -> str:
    return prover().prove_text(sql).verdict


def test_placeholders_without_a_space_are_no_dollar_quotes() -> None:
    assert verdict("SELECT * FROM t WHERE org=$1 AND (id,x) IN (($2,$3),($4,$5))") == "scoped"
    assert verdict("SELECT * FROM t WHERE id IN ($1,$2)") == "unscoped"


def test_one_bad_statement_fails_no_other() -> None:
    texts = "SELECT * FROM t; SELEC (; SELECT * FROM s WHERE org=1; MERGE nonsense; DELETE FROM g"
    report = judge([sql_source("a.sql", texts)], prover())
    assert [judged.verdict.verdict for judged in report.judged] == [
        "unscoped", "undecidable", "scoped", "undecidable", "unscoped",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "on", "expected"),
    [
        ("s JOIN g ON g.org = s.org", "t.org = s.org AND s.org = 1 AND t.id = s.id", "scoped"),
        ("s JOIN g USING (org)", "t.org = s.org AND s.org = 1 AND t.id = s.id", "scoped"),
        ("s JOIN g ON g.id = s.id", "t.org = s.org AND s.org = 1 AND t.id = s.id", "unscoped"),
        ("s JOIN g ON g.org = s.org", "t.id = s.id", "unscoped"),
    ],
)
def test_a_join_is_a_source_of_merge_without_parentheses(
    source: str, on: str, expected: str
) -> None:
    bare = f"MERGE INTO t USING {source} ON {on} WHEN MATCHED THEN DELETE"
    closed = f"MERGE INTO t USING ({source}) ON {on} WHEN MATCHED THEN DELETE"
    assert [verdict(bare), verdict(closed)] == [expected, expected]


def test_a_percent_sign_is_doubled_for_the_driver() -> None:
    assert verdict("SELECT x %% 2 FROM t WHERE org=1 AND x %% 2 = 0") == "scoped"
    assert verdict("SELECT * FROM t WHERE org %% 10 = 1") == "unscoped"


def test_backslash_lines_of_psql_are_not_statements() -> None:
    texts = "\\set x 1\nSELECT * FROM t WHERE org=1;\n\\d t\nDELETE FROM t;"
    report = judge([sql_source("a.sql", texts)], prover())
    assert [judged.verdict.verdict for judged in report.judged] == ["scoped", "unscoped"]


@pytest.mark.parametrize(
    "sql",
    [
        "PREPARE q AS DELETE FROM t",
        "EXPLAIN DELETE FROM t",
        "DECLARE c CURSOR FOR SELECT * FROM t",
        "COPY (SELECT * FROM t) TO STDOUT",
        "CREATE VIEW w AS SELECT * FROM t",
        "CREATE MATERIALIZED VIEW w AS SELECT * FROM t",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t'",
    ],
)
def test_what_the_parser_calls_a_command_is_read_again(sql: str) -> None:
    found = prover().prove_text(sql)
    assert (found.verdict, found.kind) == ("unscoped", "open")
    (occurrence,) = found.occurrences
    assert sql[occurrence.start : occurrence.end] == "t"


@pytest.mark.parametrize(
    ("joins", "expected"),
    [
        ("((t LEFT JOIN s ON (s.org = t.org)) JOIN gt ON (gt.org = t.org))", "scoped"),
        ("(((t JOIN s USING (org)) JOIN gt USING (org)) LEFT JOIN g USING (org))", "scoped"),
        ("(( SELECT s.org, s.x FROM s) t LEFT JOIN gt ON (gt.org = t.org))", "scoped"),
        ("((VALUES (1)) v (org) JOIN t ON (t.org = v.org))", "scoped"),
        ("((t LEFT JOIN s ON (s.org = t.org)) JOIN gt ON (gt.id = t.id))", "unscoped"),
        ("((t LEFT JOIN s ON (s.id = t.id)) JOIN gt ON (gt.org = t.org))", "unscoped"),
        ("((((t))))", "scoped"),
        ("(((t JOIN s USING (org))))", "scoped"),
        ("((SELECT * FROM t)) t", "scoped"),
        ("((SELECT * FROM t) LIMIT 1) t", "unscoped"),
        ("((SELECT * FROM t) UNION ALL (SELECT * FROM t)) t", "scoped"),
    ],
)
def test_joins_in_the_parentheses_that_postgresql_shows_are_read(joins: str, expected: str) -> None:
    org = "org" if "USING" in joins else "t.org"
    found = prover().prove_text(f"SELECT 1 FROM {joins} WHERE {org} = 1")
    assert found.verdict == expected, found.reason


@pytest.mark.parametrize("sql", ["TRUNCATE t", "COPY t TO STDOUT", "COPY public.t FROM STDIN"])
def test_a_table_taken_whole_has_the_name_it_has_elsewhere(sql: str) -> None:
    (whole,) = prover().prove_text(sql).occurrences
    (read,) = prover().prove_text("SELECT * FROM t").occurrences
    assert whole.table == read.table


@pytest.mark.parametrize(
    "sql",
    ["DO $$ BEGIN DELETE FROM t; END $$", "CALL wipe()", "EXECUTE q(1)", "LOAD 'x'"],
)
def test_what_cannot_be_read_again_is_opaque(sql: str) -> None:
    found = prover().prove_text(sql)
    assert (found.verdict, found.kind) == ("undecidable", "opaque")


@pytest.mark.parametrize(
    "sql",
    ["SAVEPOINT a", "LISTEN a", "NOTIFY a, 'b'", "LOCK TABLE t", "ALTER TABLE t ADD y int"],
)
def test_what_the_parser_takes_for_an_alias_touches_no_rows(sql: str) -> None:
    (raw,) = statements(sql)
    assert payload(raw.tokens).kind == "none"


def test_two_operator_characters_are_one_operator_to_the_server() -> None:
    assert verdict("SELECT * FROM t WHERE org=@x") == "undecidable"
    assert verdict("SELECT * FROM t WHERE org=-1 AND x=- 2") == "scoped"


def test_a_hole_in_a_template_drops_no_parameter() -> None:
    hole = "\ue000"
    assert verdict(f"SELECT * FROM t WHERE org=%s {hole}") == "undecidable"
    assert verdict(f"SELECT * FROM t WHERE x=1 {hole}") == "undecidable"


def test_a_slice_is_no_placeholder() -> None:
    assert verdict("SELECT (ARRAY[1,2])[:x] FROM t WHERE org=1") == "scoped"
    assert verdict("SELECT (ARRAY[1,2])[1:] FROM t WHERE x=1") == "unscoped"


def test_names_are_cut_where_the_server_cuts_them() -> None:
    long = "o" * 63
    assert verdict(f"SELECT {long}xx.org FROM t AS {long}yy WHERE {long}zz.org=1") == "scoped"
    assert (
        verdict(f"SELECT 1 FROM t {'o' * 62}x, s {'o' * 62}y WHERE {'o' * 62}x.org=1") != "scoped"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET x=1",
        "DELETE FROM t",
        "MERGE INTO t USING (SELECT 1 AS org) q ON t.id=1 WHEN MATCHED THEN DELETE",
        "WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d",
        "INSERT INTO s (org, id) VALUES (1, 2) ON CONFLICT (org, id) DO UPDATE "
        "SET x=(SELECT max(x) FROM t)",
    ],
)
def test_targets_and_subqueries_of_writes_are_in_scope(sql: str) -> None:
    found = prover().prove_text(sql)
    assert {o.table: o.verdict for o in found.occurrences}["public.t"] == "unscoped"


def test_places_lead_back_through_all_that_was_rewritten() -> None:
    sql = "SELECT $1,$2 FROM ONLY (t) a JOIN s USING (org) AS j WHERE a.x = SOME (ARRAY[$3,$4])"
    found = prover().prove_text(sql)
    assert [(sql[o.start : o.end], o.alias) for o in found.occurrences] == [("t", "a"), ("s", "s")]
