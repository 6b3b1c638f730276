"""Cutting scripts as psql and the server do."""

from __future__ import annotations

import re

import pytest
from lint_support import CASES, Case, cases, prover
from sqlglot.dialects.postgres import Postgres
from sqlglot.tokens import TokenType

from lint.errors import CannotProve
from lint.text.carriers import payload
from lint.text.lexer import HOLE, RawStatement, Token, statements
from lint.text.prepare import prepare
from lint.text.rewrite import rewritten

EVERY_CASE = [
    case
    for file in sorted(CASES.glob("*.sql"))
    if file.name != "schema.sql"
    for case in cases(file.name)
]


def cut(text: str, *, psql: bool = True) -> list[RawStatement]:
    return list(statements(text, psql=psql))


def texts(text: str, *, psql: bool = True) -> list[str]:
    return [" ".join(t.text for t in raw.tokens) for raw in cut(text, psql=psql)]


@pytest.mark.parametrize(
    "literal",
    ["'a;b'", "'it''s;'", "E'a\\';b'", "$$a;b$$", "$x$ $$ ; $x$", '"a;b"', "U&'a'", "N'a;b'"],
)
def test_a_semicolon_inside_a_literal_ends_nothing(literal: str) -> None:
    found = cut(f"SELECT {literal}; SELECT 2")
    assert [raw.tokens[-1].text for raw in found][-1] == "2"
    assert len(found) == 2


def test_comments_end_nothing_and_nest() -> None:
    assert texts("SELECT 1 -- ; x\n, 2 /* ; /* ; */ ; */; SELECT 3") == [
        "SELECT 1 , 2",
        "SELECT 3",
    ]


def test_comments_belong_to_the_statement_they_lead() -> None:
    first, second = cut("-- one\nSELECT 1; -- two\nSELECT 2")
    assert [c.text for c in first.comments] == ["-- one"]
    assert [c.text for c in second.comments] == ["-- two"]


def test_copy_data_is_skipped() -> None:
    script = "COPY t (a) FROM stdin;\nSELECT '\n\\N\n\\.\nSELECT 2;"
    assert texts(script) == ["COPY t ( a ) FROM stdin", "SELECT 2"]


def test_psql_commands_are_skipped_or_send() -> None:
    assert texts("\\set x 1\nSELECT 1\n\\gset\nSELECT 2;") == ["SELECT 1", "SELECT 2"]


def test_gexec_runs_what_nobody_has_read() -> None:
    kinds = [raw.tokens[0].kind for raw in cut("SELECT 'x' \\gexec\n")]
    assert kinds == ["word", "hole"]


def test_backslash_copy_is_a_statement() -> None:
    assert texts("\\copy t to 'x'\nSELECT 1;") == ["copy t to 'x'", "SELECT 1"]


def test_the_body_of_an_sql_function_is_one_statement() -> None:
    script = (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; "
        "SELECT 2; END; SELECT 3"
    )
    assert len(cut(script)) == 2


def test_an_unfinished_statement_hides_no_later_one() -> None:
    assert texts("SELECT (1; SELECT 2")[-1] == "SELECT 2"


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("a=$1,$2", "a = $1 , $2"),
        ("a=%s AND b=%s", "a = $1 AND b = $2"),
        ("a=%(x)s OR b=%(x)s", "a = $1 OR b = $1"),
        ("a=:x::int", "a = $1 :: int"),
        ("a=? AND b ? 'k'", "a = $1 AND b ? 'k'"),
        ("a=-1", "a = - 1"),
        ("a %% 2", "a % 2"),
        ("a[1:2]", "a [ 1 : 2 ]"),
        ("'x'\n  'y'", "'xy'"),
        ("a$b", '"a$b"'),
        ("'back\\'", "'back\\'"),
        ("x group /* */ BY order by", "x GROUP BY ORDER BY"),
        ("a !~~ b", "a ! ~~ b"),
        ("tenant = :tenant", "tenant = $1"),
        ("Date_Bin(a, b, c)", "pg_catalog . Date_Bin ( a , b , c )"),
        ("to_char(a, b)", "to_char ( a , b )"),
    ],
)
def test_the_parser_is_given_plain_tokens(text: str, sql: str) -> None:
    parsed = prepare(cut(text, psql=False)[0].tokens).parsed
    marks = {TokenType.STRING: "'", TokenType.IDENTIFIER: '"'}
    said = [f"{(mark := marks.get(token.token_type, ''))}{token.text}{mark}" for token in parsed]
    assert " ".join(said).replace("$ ", "$") == sql


@pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.title)
def test_a_token_is_to_the_parser_what_its_own_lexer_makes_of_it(case: Case) -> None:
    """Over statements on which both lexers agree: those without comments, E'' and the like."""
    for raw in statements(case.sql):
        tokens = payload(raw.tokens).tokens
        named = any(t.kind == "param" and t.text[0] != "$" for t in tokens)
        if payload(raw.tokens).kind != "query" or named:
            continue
        try:
            parsed = prepare(tokens).parsed if rewritten(tokens) == tokens else None
        except CannotProve:
            continue
        if parsed is None:
            continue
        said = " ".join(_spaced(token) for token in tokens)
        # By their full names, lest an argument be lost.
        for name in ("date_bin", "date_trunc", "to_char"):
            said = re.sub(rf"{name} \(", f"pg_catalog.{name} (", said)
        theirs = Postgres().tokenize(said)
        assert [(t.token_type, t.text) for t in parsed] == [(t.token_type, t.text) for t in theirs]


def _spaced(token: Token) -> str:
    if token.kind in ("string", "quoted"):
        mark = "'" if token.kind == "string" else '"'
        return mark + token.value.replace(mark, mark * 2) + mark
    return token.text


@pytest.mark.parametrize("text", ["a=@b", "a=~b", "a !== b", "1abc", "U&'x'", "a \\ b", "'open"])
def test_what_the_parser_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(CannotProve):
        prepare(cut(text, psql=False)[0].tokens)


@pytest.mark.parametrize("text", [f"a={HOLE}", f"'{HOLE}'", f'"{HOLE}"', ':"name"'])
def test_an_unknown_part_is_opaque(text: str) -> None:
    with pytest.raises(CannotProve) as caught:
        prepare(cut(text, psql=False)[0].tokens)
    assert caught.value.kind == "opaque"


def test_positions_lead_back_to_the_text() -> None:
    text = "SELECT *  /* x */ FROM  invoice WHERE a=$1"
    prepared = prepare(cut(text)[0].tokens)
    (found,) = [token for token in prepared.parsed if token.text == "invoice"]
    start, end = prepared.span(found.start)
    assert text[start:end] == "invoice"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("a = @tenant", "param", "tenant"),
        ("a >= %(3_days_ago)s", "param", "3_days_ago"),
        ("(@tenant)", "param", "tenant"),
        ("a = sqlc.arg(tenant)", "param", "tenant"),
        ("a = sqlc.narg('tenant')", "param", "tenant"),
        ("a IN (sqlc.slice(tenants))", "params", "tenants"),
        ("a = {{ tenant }}", "hole", "{{ tenant }}"),
        ("{% if a; %} b", "hole", "{% if a; %}"),
        ("a = '{{ tenant }}'", "hole", "'{{ tenant }}'"),
        ("a = '{{1,2},{3,4}}'", "string", "{{1,2},{3,4}}"),
        ("a=@tenant", "bad", "=@"),
    ],
)
def test_dialects_of_placeholders(text: str, kind: str, value: str) -> None:
    (raw,) = statements(text)
    found = {(token.kind, token.text if kind == "hole" else token.value) for token in raw.tokens}
    assert (kind, value) in found


@pytest.mark.parametrize("text", ["a @> b", "a <@b", "a @@b", "a -@ b", "a @? b"])
def test_operators_with_an_at_sign_are_operators(text: str) -> None:
    (raw,) = statements(text)
    assert "param" not in {token.kind for token in raw.tokens}


@pytest.mark.parametrize("text", ["a = :b", "a = ?", "a %s", "a = @b", "a = %(b)s"])
def test_what_a_server_was_given_has_no_placeholders_but_numbers(text: str) -> None:
    (raw,) = statements(text, ran=True)
    assert "param" not in {token.kind for token in raw.tokens}
    (bound,) = statements("a = $1", ran=True)
    assert bound.tokens[-1].kind == "param"


def test_a_jinja_comment_is_a_comment_and_sqlc_embed_a_table() -> None:
    (raw,) = statements("SELECT {# a; b #} sqlc.embed(t) FROM t")
    assert [token.text for token in raw.tokens] == ["SELECT", "t", ".", "*", "FROM", "t"]
    assert [comment.text for comment in raw.comments] == ["{# a; b #}"]


def test_rows_put_in_after_values_are_opaque_and_a_slice_is_no_single_value() -> None:
    assert prover().prove_text("INSERT INTO t (org, id) VALUES %s").kind == "opaque"
    assert not prover().prove_text("SELECT * FROM t WHERE org IN (sqlc.slice(o))").scoped
    assert prover().prove_text("SELECT * FROM t WHERE org IN (sqlc.arg(o))").scoped


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # No data follows: nothing is swallowed.
        (
            "COPY t FROM STDIN;\nSELECT 1;\nDELETE FROM t;\n",
            ["COPY t FROM STDIN", "SELECT 1", "DELETE FROM t"],
        ),
        # The data that follows is another's.
        (
            "COPY t FROM STDIN;\nDELETE FROM t;\nCOPY s (a,\n b) FROM stdin;\n1\n\\.\nSELECT 2;",
            ["COPY t FROM STDIN", "DELETE FROM t", "COPY s ( a , b ) FROM stdin", "SELECT 2"],
        ),
        # The rest of the line is still SQL.
        (
            "COPY t FROM STDIN; DELETE FROM t;\n1\n\\.\nSELECT 2;",
            ["COPY t FROM STDIN", "DELETE FROM t", "SELECT 2"],
        ),
        ("COPY t FROM STDIN;\n\\.\nSELECT 2;", ["COPY t FROM STDIN", "SELECT 2"]),
        ("\\copy t from stdin\n1\n\\.\nSELECT 2;", ["copy t from stdin", "SELECT 2"]),
    ],
)
def test_data_of_copy_hides_no_statement(script: str, expected: list[str]) -> None:
    assert texts(script) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT 1 \\; DELETE FROM t;", ["SELECT 1", "DELETE FROM t"]),
        ("SELECT 1\\;DELETE FROM t\\; SELECT 2;", ["SELECT 1", "DELETE FROM t", "SELECT 2"]),
        ("\\set x 1 \\\\ DELETE FROM t;\nSELECT 2;", ["DELETE FROM t", "SELECT 2"]),
        ("\\echo hi \\\\ DELETE FROM t;", ["DELETE FROM t"]),
        ("\\echo 'a \\\\ b' \\\\ DELETE FROM t;", ["DELETE FROM t"]),
        ("\\echo don't \\\\ DELETE FROM t;", ["DELETE FROM t"]),
        ("SELECT 1 \\g \\\\ DELETE FROM t;", ["SELECT 1", "DELETE FROM t"]),
        ("SELECT 1 \\g (format=csv) x.csv \\\\ DELETE FROM t;", ["SELECT 1", "DELETE FROM t"]),
        ("SELECT 1 \\gset a_ \\\\ DELETE FROM t;", ["SELECT 1", "DELETE FROM t"]),
        ("SELECT 1 \\gset \\echo :a \\\\ DELETE FROM t;", ["SELECT 1", "DELETE FROM t"]),
        ("SELECT 1 \\gexec \\\\ DELETE FROM t;", ["SELECT 1", "\\gexec", "DELETE FROM t"]),
        ("SELECT $1 \\bind 5 \\g \\\\ DELETE FROM t;", ["SELECT $1", "DELETE FROM t"]),
        ("SELECT $1 \\bind 5\n, 2;", ["SELECT $1 , 2"]),
        ("SELECT 1 \\watch 5\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 \\parse a\n\\bind_named a 2 \\g\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 \\sendpipeline\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 \\r\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 \\g |cat \\\\ x\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("\\! echo \\\\ DELETE\nSELECT 2;", ["SELECT 2"]),
        ("\\if :x\nSELECT 1;\n\\else\nSELECT 2;\n\\endif", ["SELECT 1", "SELECT 2"]),
    ],
)
def test_nothing_on_a_line_of_psql_is_dropped(script: str, expected: list[str]) -> None:
    assert texts(script) == expected


def test_a_condition_inside_a_statement_makes_it_opaque() -> None:
    script = "SELECT * FROM t\n\\if :all\n\\else\nWHERE org = 1\n\\endif\n;"
    (raw,) = cut(script)
    assert "hole" in {token.kind for token in raw.tokens}


@pytest.mark.parametrize(
    "marker",
    [
        "-- migrate:down",
        "-- +goose Down",
        "-- +migrate Down",
        "--migrate:down transaction:false",
        "---- create above / drop below ----",
    ],
)
def test_a_part_of_a_migration_ends_a_statement(marker: str) -> None:
    script = f"-- migrate:up\nCREATE TABLE a (b int)\n{marker}\nDROP TABLE a"
    assert texts(script) == ["CREATE TABLE a ( b int )", "DROP TABLE a"]
