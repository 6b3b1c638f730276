"""Finding SQL in scripts and in Python, and saying where it stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lint_support import prover

from lint.errors import SourceError
from lint.gate import Gate
from lint.inputs.python_source import python_source
from lint.inputs.sinks import Sinks
from lint.inputs.sources import Source, Statement, files, sql_source


def python(text: str) -> Source:
    return python_source("app.py", text)


def only(source: Source) -> Statement:
    (statement,) = source.statements
    return statement


def sql_of(statement: Statement) -> str:
    return " ".join(token.text for token in statement.tokens)


def test_lines_and_columns_count_from_one() -> None:
    source = sql_source("a.sql", "SELECT 1;\n\n  SELECT *\n  FROM t;\n")
    span = source.statements[1].span
    assert (span.line, span.column, span.end_line, span.end_column) == (3, 3, 4, 9)


@pytest.mark.parametrize(
    "code",
    [
        'cursor.execute("SELECT a FROM t")',
        'cursor.executemany("SELECT a FROM t", rows)',
        'db.execute_sql("SELECT a FROM t")',
        'cursor.copy_expert("SELECT a FROM t", file)',
        'execute_values(cursor, "SELECT a FROM t", rows)',
        'extras.execute_values(cursor, "SELECT a FROM t", rows)',
        'connection.execute(statement="SELECT a FROM t")',
        "import peewee\nT.raw('SELECT a FROM t')",
        "from sqlmodel import text\nsession.execute(text('SELECT a FROM t'))",
        "from sqlalchemy import text\nsession.execute(text('SELECT a FROM t'))",
        "from sqlalchemy import text\nquery = text('SELECT a FROM t')",
        "from psycopg2 import sql\ncursor.execute(sql.SQL('SELECT a FROM t'))",
        "from psycopg2.sql import SQL\nquery = SQL('SELECT a FROM t')",
        "Q = 'SELECT a FROM t'\ncursor.execute(Q)",
        "Q = 'SELECT a ' + 'FROM t'\ncursor.execute(Q)",
        "class C:\n    Q = 'SELECT a FROM t'\ncursor.execute(C.Q)",
        "T = 't'\ncursor.execute(f'SELECT a FROM {T}')",
        "cursor.execute('SELECT a '\n    'FROM t')",
        "import textwrap\ncursor.execute(textwrap.dedent('''\n  SELECT a FROM t\n'''))",
        "def f():\n    q = 'SELECT a FROM t'\n    cursor.execute(q)",
        "async def f():\n    await c.execute('SELECT a FROM t;')",
        "import asyncpg\nawait c.fetch('SELECT a FROM t')",
        "await c.fetchrow('SELECT a FROM t', x)",
        "await c.fetchval(query='SELECT a FROM t')",
        "await database.fetch_all(query='SELECT a FROM t')",
        "connection.exec_driver_sql('SELECT a FROM t')",
        "from django.db import models\nT.objects.raw('SELECT a FROM t')",
        "from django.db.models.expressions import RawSQL\nq = RawSQL('SELECT a FROM t', ())",
        "from django.db import migrations\nx = [migrations.RunSQL('SELECT a FROM t')]",
        "migrations.RunSQL([('SELECT a FROM t', None)])",
        "pd.read_sql('SELECT a FROM t', engine)",
        "execute_values(c, 'SELECT a FROM t', rows, page_size=10)",
        "c.execute(c.mogrify('SELECT a FROM t', x))",
        "q = c.mogrify('SELECT a FROM t', x)\nc.execute(q)",
        "q = c.mogrify('SELECT a FROM t', x).decode()\nc.execute(query=q)",
        "q = 'SELECT a'\nq += ' FROM t'\nc.execute(q)",
        "def f():\n  q = 'SELECT a'\n  with x:\n    q += ' FROM'\n  q += ' t'\n  c.execute(q)",
        "q = 'SELECT a'\nq = q + ' FROM' + ' t'\nc.execute(q)",
        "q = 'SELECT a'\nq = f'{q} FROM t'\nc.execute(q)",
        "c.execute(' '.join(['SELECT a', 'FROM t']))",
        "T = 't'\nc.execute('SELECT {} FROM {t}'.format('a', t=T))",
        "T = 't'\nc.execute('SELECT a FROM %s' % T)",
        "T = 't'\nc.execute('SELECT %s FROM %s' % ('a', T))",
        "T = 't'\nc.execute('SELECT %(a)s FROM %(t)s' % {'a': 'a', 't': T})",
        "c.execute('SELECT a FROM t')\nvalues = [c.mogrify('(%s, %s)', row) for row in rows]",
    ],
)
def test_a_text_is_followed_to_its_sink(code: str) -> None:
    statement = only(python(code))
    assert statement.opaque == ""
    assert sql_of(statement) == "SELECT a FROM t"


@pytest.mark.parametrize(
    "code",
    [
        "cursor.execute(query)",
        "q = q.where(a)\nsession.execute(q)",
        "cursor.execute(make())",
        "cursor.execute(f'SELECT * FROM t WHERE {condition}')",
        "cursor.execute('SELECT * FROM %s' % table)",
        "cursor.execute('SELECT * FROM {}'.format(table))",
        "cursor.execute('SELECT * FROM t ' + rest)",
        "q = 'SELECT 1'\nfor x in y:\n    q += ' FROM t'\ncursor.execute(q)",
        "q = 'SELECT 1'\ndef f():\n    cursor.execute(q)\nq += ' FROM t'",
        "q = 'SELECT 1'\nq += rest\ncursor.execute(q)",
        "q = 'SELECT 1'\nq *= 2\ncursor.execute(q)",
        "parts = ['SELECT a', 'FROM t']\ncursor.execute(' '.join(parts))",
        "cursor.execute(' '.join(['SELECT a', *rest]))",
        "T = 't'\ncursor.execute('SELECT a FROM {:>9}'.format(T))",
        "T = 't'\ncursor.execute('SELECT a FROM %9s' % T)",
        "q = 'SELECT 1'\ndef f(q):\n    cursor.execute(q)",
        "from x import q\ncursor.execute(q)",
        "q = 'SELECT 1'\nfor q in found:\n    cursor.execute(q)",
        "q = 'SELECT 1'\ndef f():\n    global q\n    q = g()\n    cursor.execute(q)",
        "class C:\n    Q = 'SELECT 1'\n    def f(self):\n        cursor.execute(self.Q)",
        "cursor.execute('SELECT 1 -- ' + note)",
        "cursor.execute('-- ' + note)",
        "cursor.execute(\"SELECT * FROM t WHERE a = '%s'\", (a,))",
        "from psycopg2 import sql\ncursor.execute(sql.SQL('SELECT * FROM {}').format(name))",
        "from psycopg2 import sql\ncursor.execute(sql.SQL(',').join(parts))",
        "from psycopg2.sql import SQL\nQ = SQL('SELECT * FROM {}')",
        "from psycopg2.sql import SQL\nrun(SQL('SELECT * FROM {}').format(name))",
        "from peewee import SQL\nT.select().where(SQL(condition))",
        "from peewee import SQL\nT.select(SQL('(SELECT max(x) FROM t)'))",
        "cursor.execute(*arguments)",
        "import asyncpg\nawait c.fetch(query)",
        "migrations.RunSQL(statements)",
    ],
)
def test_what_cannot_be_known_is_opaque_and_never_passed_over(code: str) -> None:
    assert [bool(statement.opaque) for statement in python(code).statements] == [True]


@pytest.mark.parametrize(
    "code",
    [
        "executor.submit(task)",
        "query.execute()",
        "query.execute(database)",
        "from peewee import SQL\nT.select().order_by(SQL('total').desc())",
        "from peewee import SQL\nT.insert(x=SQL('EXCLUDED.x'))",
        "from sqlalchemy import text\nColumn(server_default=text('now()'))",
        "from sqlalchemy import select\nsession.execute(select(User).where(User.id == 1))",
        "from sqlalchemy import select\nq = select(User)\nsession.execute(q)",
        "from psycopg2.sql import SQL\nQ = SQL('{} = {}').format(a, b)",
        "import sqlalchemy as sa\nq = sa.select(User)\nif x:\n    q = q.where(a)\ns.execute(q)",
        "from sqlmodel import select\nq = select(A)\nif x:\n    q = select(B)\ns.execute(q)",
        "q = self.session.query(User)\nq = q.filter(a)\nsession.execute(q)",
        "print('SELECT * FROM t')",
        "response.raw(body)",
        "fetch('https://example.com')",
        "session.stream('GET', url)",
        "shutil.copy(a, b)",
        "client.prepare(request)",
    ],
)
def test_what_is_no_statement_is_no_finding(code: str) -> None:
    assert python(code).statements == ()


def test_a_name_that_need_not_be_a_built_query_is_opaque() -> None:
    code = "from sqlalchemy import select\nq = select(A)\nif x:\n    q = make()\nsession.execute(q)"
    found = python(code).statements
    assert found
    assert all(statement.opaque for statement in found)


def test_each_text_that_a_name_may_stand_for_is_judged() -> None:
    code = (
        "def f(c):\n    q = 'SELECT a FROM t'\n    c.execute(q)\n    q = 'SELECT b FROM t'\n"
        "    c.execute(q)\n"
    )
    found = {sql_of(statement) for statement in python(code).statements}
    assert found == {"SELECT a FROM t", "SELECT b FROM t"}
    half = python("q = 'SELECT 1'\nif x:\n    q = other\nc.execute(q)").statements
    assert [bool(statement.opaque) for statement in half] == [False, True]


def test_what_may_be_added_to_a_text_is_judged_with_it_and_without() -> None:
    code = (
        "def f(c):\n    q = 'SELECT a FROM t'\n    if x:\n        q += ' WHERE b'\n"
        "    if y:\n        q += ' LIMIT 1'\n    c.execute(q)\n    q += ' -- later'\n"
    )
    found = {sql_of(statement) for statement in python(code).statements}
    start = "SELECT a FROM t"
    assert found == {start, f"{start} WHERE b", f"{start} LIMIT 1", f"{start} WHERE b LIMIT 1"}


def test_what_is_added_in_one_branch_is_not_added_in_the_other() -> None:
    code = (
        "def f(c):\n    if x:\n        q = 'SELECT a'\n    else:\n        q = 'SELECT b'\n"
        "        q += ', c'\n    q += ' FROM t'\n    c.execute(q)\n"
    )
    found = {sql_of(statement) for statement in python(code).statements}
    assert found == {"SELECT a FROM t", "SELECT b , c FROM t"}


def test_a_text_that_is_assigned_anew_begins_anew() -> None:
    code = "q = 'SELECT a'\nc.execute(q)\nq = 'SELECT b'\nq += ' FROM t'\nc.execute(q)\n"
    found = [sql_of(statement) for statement in python(code).statements]
    assert "SELECT a FROM t" not in found
    assert found[-1] == "SELECT b FROM t"


def test_places_in_a_text_that_was_added_to_are_places_in_the_file() -> None:
    statement = only(python("q = 'SELECT a'\nq += ' FROM invoice'\nc.execute(q)"))
    token = next(token for token in statement.tokens if token.text == "invoice")
    assert statement.place(token.start, token.end).line == 2


def test_what_mogrify_is_given_is_judged_where_it_is_given() -> None:
    code = "q = c.mogrify(text, x)\nc.execute(q)\nc.execute(q + ' LIMIT 1')"
    found = [bool(statement.opaque) for statement in python(code).statements]
    assert found == [True, True]


def test_sinks_can_be_configured() -> None:
    sinks = Sinks({"run_query": 1, "reports.load": "sql"})
    code = (
        "run_query(c, 'SELECT a FROM t')\nreports.load(sql='SELECT b FROM t')\n"
        "other.load(sql='SELECT c FROM t')\n"
    )
    found = [sql_of(statement) for statement in python_source("a.py", code, sinks).statements]
    assert found == ["SELECT a FROM t", "SELECT b FROM t"]
    assert python(code).statements == ()


@pytest.mark.parametrize(
    ("template", "verdict"),
    [
        ("", "undecidable"),
        (", template='(%s, %s)'", "unscoped"),
        (", template='(tenure.current_tenant(), %s)'", "scoped"),
        (", template='(%(tenant_id)s, %(id)s)'", "scoped"),
    ],
)
def test_rows_that_execute_values_puts_in_are_known_by_their_template(
    template: str, verdict: str
) -> None:
    code = f"execute_values(c, 'INSERT INTO t (org, id) VALUES %s RETURNING id', rows{template})"
    statement = only(python(code))
    assert prover().prove(statement.tokens).verdict == verdict
    (returning,) = [token for token in statement.tokens if token.word == "RETURNING"]
    assert statement.place(returning.start, returning.end).column == code.index("RETURNING") + 1


def test_composed_values_and_names_of_psycopg_are_followed() -> None:
    code = (
        "from psycopg2 import sql\n"
        "cursor.execute(sql.SQL('SELECT {} FROM {t} WHERE a = {} AND b = %s').format(\n"
        "    sql.Identifier('x'), sql.Literal(value), t=sql.Identifier('s', 't')), (1,))\n"
    )
    statement = only(python(code))
    assert statement.opaque == ""
    assert [t.kind for t in statement.tokens].count("param") == 2
    assert '"s"."t"' in sql_of(statement).replace(" . ", ".")


def test_a_template_under_a_name_is_followed_where_it_is_filled() -> None:
    code = (
        "from psycopg2 import sql\n"
        "T = sql.SQL('SELECT {} FROM t')\n"
        "c.execute(T.format(sql.Identifier('a')))\n"
        "run(sql.SQL('SELECT {} FROM s').format(sql.Identifier('b')))\n"
    )
    found = [sql_of(statement) for statement in python(code).statements]
    assert found == ['SELECT "a" FROM t', 'SELECT "b" FROM s']


@pytest.mark.parametrize(
    "call",
    [
        "cursor.execute(q)", "db.execute_sql(q)", "c.exec_driver_sql(q)", "c.copy_expert(q, f)",
        "c.mogrify(q)", "execute_values(c, q, rows)", "read_sql(q, db)", "migrations.RunSQL(q)",
        "RawSQL(q)", "sql.SQL(q)", "text(q)", "sa.DDL(q)", "cursor.Execute(q)", "sql.ſQL(q)",
    ],
)  # fmt: skip
def test_a_quick_look_overlooks_no_sink(call: str) -> None:
    assert Sinks().likely(call)


@pytest.mark.parametrize("code", ["context(q)", "nosql(q)", "exe.cute(q)", "def copy(q): ..."])
def test_a_file_without_a_sink_is_not_parsed(code: str) -> None:
    assert not Sinks().likely(code)


def test_several_statements_in_one_text() -> None:
    source = python("cursor.execute('SELECT tenure.set_tenant(%s); SELECT a FROM t', (x,))")
    assert len(source.statements) == 2


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ("c.execute('SELECT a FROM invoice')", 1, 26),
        ("c.execute('''\n  SELECT a\n  FROM invoice\n''')", 3, 8),
        ("c.execute('SELECT a '\n          'FROM invoice')", 2, 17),
        ("Q = 'SELECT a FROM invoice'\nc.execute(Q)", 1, 20),
        ("é = 'ü'; c.execute('SELECT a FROM invoice')", 1, 35),
        ("X = 'a'\nc.execute(f'SELECT {X} FROM invoice')", 2, 29),
    ],
)
def test_a_place_in_the_text_is_a_place_in_the_file(code: str, line: int, column: int) -> None:
    statement = only(python(code))
    token = next(token for token in statement.tokens if token.text == "invoice")
    span = statement.place(token.start, token.end)
    assert (span.line, span.column, span.end_line) == (line, column, line)
    assert span.end_column == column + len("invoice")


def test_a_file_that_is_not_python_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"app\.py"):
        python("cursor.execute(")


def test_folders_are_walked_once_and_named_files_always_taken(tmp_path: Path) -> None:
    for name in ("a.sql", "b.py", "c.txt", "sub/d.sql", ".venv/e.sql", "sub/out/f.sql"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    found = files([tmp_path, tmp_path / "a.sql"], lambda path: path.name == "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.sql", "b.py", "sub/d.sql"]
    with pytest.raises(SourceError, match="no such"):
        list(files([tmp_path / "missing"], lambda _: False))


@pytest.mark.parametrize("text", ["def f(:\n  x", "print 'hello'\n", "x = (1\n", "a\0b"])
def test_what_is_no_python_is_a_failure_with_and_without_a_call(text: str) -> None:
    for more in ("", "c.execute(q)\n"):
        with pytest.raises(SourceError, match=r"app\.py: not Python"):
            python(more + text)
    assert python("x = '\\d'\nyield_ = 1\n").statements == ()


def test_what_is_put_behind_a_condition_makes_the_statement_opaque() -> None:
    for text in (
        "SELECT * FROM t WHERE org = $1 {{ extra }}",
        "SELECT * FROM t WHERE org = $1 AND {{ extra }}",
        "SELECT * FROM t WHERE org = $1 AND ({{extra}})",
        "SELECT * FROM t {% if x %} WHERE org = $1 {% endif %}",
    ):
        (finding,) = Gate(prover()).judge(sql_source("a.sql", text)).findings
        assert finding.code == "TS004", text
    for code in ("f'SELECT * FROM t WHERE org = %s AND {cond}'", "'SELECT * FROM t ' + cond"):
        (finding,) = Gate(prover()).judge(python(f"c.execute({code}, (1,))")).findings
        assert finding.code == "TS004", code


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("sql + ' LIMIT 1'", ["SELECT 1 LIMIT 1", "SELECT 1 WHERE a LIMIT 1"]),
        ("text(sql + ' LIMIT 1')", ["SELECT 1 LIMIT 1", "SELECT 1 WHERE a LIMIT 1"]),
        (
            "f'{sql} UNION {sql}'",
            ["SELECT 1 UNION SELECT 1", "SELECT 1 WHERE a UNION SELECT 1 WHERE a"],
        ),
        ("'SELECT 2' + (' WHERE a' if x else '')", ["SELECT 2 WHERE a", "SELECT 2"]),
        ("'SELECT 2' if x else 'SELECT 3'", ["SELECT 2", "SELECT 3"]),
        ("f'SELECT 2 {\"WHERE a\" if x else y}'", None),
        ("'SELECT 2' + (' WHERE a' if x else unknown)", None),
        ("sql + unknown", None),
        ("a + b + c", None),
    ],
)
def test_a_name_of_several_texts_inside_an_expression(
    argument: str, expected: list[str] | None
) -> None:
    more = "".join(
        f"    {n} = 'SELECT 1'\n    if x: {n} += ', 2'\n    if y: {n} += ', 3'\n" for n in "abc"
    )
    code = (
        "from sqlalchemy import text\ndef f(x, y, unknown):\n    sql = 'SELECT 1'\n"
        f"    if x:\n        sql += ' WHERE a'\n{more}    c.execute({argument})\n"
    )
    found = python(code).statements
    if expected is None:
        assert found
        assert found[-1].opaque
    else:
        assert [sql_of(one) for one in found] == expected


def test_what_git_tracks_is_not_skipped(tmp_path: Path) -> None:
    for name in ("QUERY.SQL", "APP.PY", "build/a.sql", "build/b.sql", "x/node_modules/c/d.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def found(skipped: list[Path]) -> list[str]:
        taken = files([tmp_path], lambda path: path.name == "b.sql", skipped)
        return [path.relative_to(tmp_path).as_posix() for path in taken]

    skipped: list[Path] = []
    assert found(skipped) == ["APP.PY", "QUERY.SQL"]
    assert skipped == [tmp_path / "build", tmp_path / "x" / "node_modules"]
    for arguments in (["init", "-q"], ["add", "-f", "build", "x"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    skipped = []
    assert found(skipped) == ["APP.PY", "QUERY.SQL", "build/a.sql", "x/node_modules/c/d.py"]
    assert skipped == []


def test_one_constant_in_two_statements_is_one_finding() -> None:
    code = "Q = 'SELECT x FROM t'\nc.execute(Q)\nd.execute(Q)\n"
    report = Gate(prover()).judge(python(code))
    assert report.counts.statements == 2
    assert len(report.findings) == 1


def test_the_way_back_of_djangos_runsql_is_judged() -> None:
    code = (
        "from django.db import migrations\n"
        "a = migrations.RunSQL('CREATE INDEX i ON t (org)', 'DELETE FROM t')\n"
        "b = migrations.RunSQL('SELECT 1', reverse_sql=migrations.RunSQL.noop)\n"
        "c = migrations.RunSQL(sql=[('SELECT 2', None)], reverse_sql=['DELETE FROM s', 'SELECT 3'])"
    )
    found = python_source("a.py", code).statements
    assert [" ".join(t.text for t in one.tokens) for one in found] == [
        "CREATE INDEX i ON t ( org )",
        "DELETE FROM t",
        "SELECT 1",
        "SELECT 2",
        "DELETE FROM s",
        "SELECT 3",
    ]
    assert [one.part for one in found] == ["", None, "", "", None, None]
