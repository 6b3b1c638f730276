"""SQL that a body puts together, and whether its caller has a hand in it."""

from __future__ import annotations

import pytest

from tenants.posture.dynamic import dynamic, passes_on
from tenants.posture.records import Function


def function(body: str, identity: str = "q text, n integer", language: str = "plpgsql") -> Function:
    names = tuple(part.split()[0] for part in identity.split(", ")) if identity else ()
    return Function(1, "s", "f", identity, 1, language, True, False, "v", "jsonb", names, {}, body)


HANDED = [
    "BEGIN EXECUTE 'SELECT jsonb_agg(x) FROM (' || q || ') x' INTO r; RETURN r; END",
    "BEGIN EXECUTE q; END",
    "BEGIN EXECUTE $1; END",
    "BEGIN EXECUTE f.q; END",
    "BEGIN RETURN QUERY EXECUTE format('SELECT to_jsonb(x) FROM %I.%I x', 's', q); END",
    "BEGIN RETURN QUERY EXECUTE format('SELECT * FROM %s', q); END",
    "BEGIN RETURN QUERY EXECUTE format('SELECT * FROM %2$I WHERE x = %1$L', 1, q); END",
    "BEGIN RETURN QUERY EXECUTE format(q, 1); END",
    "BEGIN EXECUTE 'DELETE FROM ' || quote_ident(q); END",
    "BEGIN EXECUTE 'DELETE FROM s.' || quote_ident(q) || ' WHERE true'; END",
    "DECLARE v text := 'x' || q; BEGIN EXECUTE v; END",
    "DECLARE v text; BEGIN v := 'SELECT '; v := v || q; EXECUTE v; END",
    "DECLARE v text; w text; BEGIN v := upper(q); w = v; EXECUTE w; END",
    "DECLARE v text; BEGIN SELECT 'x' || q INTO v; EXECUTE v; END",
    "DECLARE v text; BEGIN FOREACH v IN ARRAY split(q) LOOP EXECUTE v; END LOOP; END",
    "DECLARE v ALIAS FOR $1; BEGIN EXECUTE v; END",
    "DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE q; END",
    "BEGIN /* no USING */ EXECUTE 'SELECT -- ' || q USING n; END",
    "BEGIN RETURN query_to_xml(q, true, false, ''); END",
]
OTHERS = [
    "BEGIN EXECUTE 'SELECT ' || n; END",
    "BEGIN EXECUTE format('SELECT 1 FROM x WHERE a = %L', q) || current_user; END",
    "BEGIN EXECUTE 'SELECT 1 WHERE a = ' || quote_literal(q) || n; END",
    "BEGIN EXECUTE format('SELECT * FROM s.t WHERE id = $1 ORDER BY %I', q) USING n; END",
    "DECLARE r record; BEGIN FOR r IN SELECT t.name FROM s.c t WHERE t.id = q LOOP"
    " EXECUTE 'TRUNCATE ' || r.name; END LOOP; END",
    "DECLARE v text; BEGIN SELECT c.text INTO v FROM s.c WHERE c.id = q; EXECUTE v; END",
]  # fmt: skip
NONE = [
    "BEGIN RETURN q; END",
    "BEGIN EXECUTE 'SELECT 1 FROM s.t WHERE id = $1' USING q; END",
    "BEGIN EXECUTE 'SELECT 1' || ' FROM s.t'; END",
    "BEGIN -- EXECUTE q\n RETURN 1; END",
    "BEGIN RAISE NOTICE 'EXECUTE %', q; END",
]


@pytest.mark.parametrize("body", HANDED)
def test_what_a_caller_hands_in_is_followed_to_where_it_is_run(body: str) -> None:
    assert dynamic(function(body)) == "argument"


@pytest.mark.parametrize("body", OTHERS)
def test_what_is_put_together_without_the_caller_is_another_matter(body: str) -> None:
    assert dynamic(function(body)) == "other"


@pytest.mark.parametrize("body", NONE)
def test_a_constant_text_with_values_is_not_put_together(body: str) -> None:
    assert dynamic(function(body)) == ""


@pytest.mark.parametrize("kind", ["uuid", "bigint", "timestamp with time zone", "numeric(10,2)"])
def test_a_number_or_an_id_is_no_sql(kind: str) -> None:
    assert dynamic(function("BEGIN EXECUTE 'SELECT ' || q; END", f"q {kind}")) == "other"


@pytest.mark.parametrize(
    ("language", "body", "expected"),
    [
        ("sql", "SELECT query_to_xml($1, true, false, '')", "argument"),
        ("sql", "SELECT query_to_xml('SELECT 1', true, false, '')", ""),
        ("sql", "SELECT table_to_xml(q::regclass, true, false, '')", "argument"),
        ("sql", "SELECT table_to_xml('s.t', true, false, '')", "other"),
        ("plpython3u", "return plpy.execute(q)", "argument"),
        ("plpython3u", "return plpy.execute('SELECT 1')", ""),
        ("plpython3u", "return plpy.execute(f'SELECT {q}')", "argument"),
        ("plperl", "my $rv = spi_exec_query($_[0]);", "argument"),
        ("plv8", 'return plv8.execute("SELECT 1");', ""),
        ("c", "run_any", ""),
    ],
)
def test_other_languages_are_read_less_closely(language: str, body: str, expected: str) -> None:
    assert dynamic(function(body, language=language)) == expected


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("EXECUTE format('CREATE TABLE %s PARTITION OF %s', q || '_1', q);", "regclass", "other"),
        ("EXECUTE format('CREATE TABLE %s PARTITION OF %s', q || '_1', q);", "text", "argument"),
        ("EXECUTE format('ANALYZE %I', q);", "text", "other"),
        ("EXECUTE 'REFRESH MATERIALIZED VIEW ' || quote_ident(q);", "text", "other"),
        ("EXECUTE format('CREATE TABLE x AS SELECT * FROM %I', q);", "text", "argument"),
        ("EXECUTE format('SELECT count(*) FROM %s', q);", "regclass", "argument"),
        ("EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', q);", "text", "argument"),
    ],
)
def test_a_table_that_is_made_or_tended_shows_no_row(body: str, kind: str, expected: str) -> None:
    assert dynamic(function(f"BEGIN {body} END", f"q {kind}")) == expected


def test_a_row_is_what_a_triggers_caller_controls() -> None:
    body = "BEGIN EXECUTE format('DELETE FROM %I', NEW.kind); RETURN NEW; END"
    assert dynamic(function(body, ""), tainted=("new", "old")) == "argument"
    audit = "BEGIN EXECUTE format('INSERT INTO %I SELECT $1.*', TG_TABLE_NAME) USING NEW; END"
    assert dynamic(function(audit, ""), tainted=("new", "old")) == "other"


def test_what_is_handed_on_counts_and_a_constant_does_not() -> None:
    assert passes_on(function("BEGIN PERFORM s.run('SELECT ' || q); END"), "run")
    assert not passes_on(function("BEGIN PERFORM s.run('SELECT 1'); RETURN q; END"), "run")
