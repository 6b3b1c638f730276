"""An output column that is given no name has the one that PostgreSQL gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from lint.prover.labels import may_be
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import prepare

_FROM = "FROM (SELECT 1 AS x, 2 AS y, array[1] AS arr, (SELECT q FROM (SELECT 1 AS f) q) AS r) t"
EXPRESSIONS = """
1
'a'
NULL
-1
1 + 1
true
1::int
'1'::numeric(3)
'1'::char(2)
'1'::"char"
'{1}'::int[]
'a'::name
date '2020-01-01'
timestamp '2020-01-01 00:00'
interval '1 day'
cast(1 AS text)
t.x
(t.x)
t.x::text
t.x::text::varchar
t.x::text COLLATE "C"
t.arr[1]
(t.arr)[1]::int
t.arr[1:1]
(array[t.x])[1]
t
now()
pg_catalog.lower('a')
current_date
current_user
session_user
localtime
extract(day FROM now())
date_part('day', now())
position('a' IN 'b')
substring('abc' FROM 1 FOR 2)
trim('a')
trim(leading 'a' FROM 'b')
overlay('a' placing 'b' FROM 1)
(now(), now()) OVERLAPS (now(), now())
now() AT TIME ZONE 'UTC'
'a' SIMILAR TO 'b'
'a' || 'b'
2 ^ 3
char_length('a')
character_length('a')
ceiling(1.5)
power(1, 2)
mod(1, 2)
json_array(1)
to_jsonb(1) -> 'a'
EXISTS (SELECT 1)
(SELECT 1)
(SELECT 1 AS z)
(SELECT t.y)
(SELECT t.y UNION SELECT 2)
(VALUES (1))
array[1]
array(SELECT 1)
row(1, 2)
(1, 2)
coalesce(1, 2)
nullif(1, 2)
greatest(1, 2)
CASE WHEN true THEN 1 END
CASE WHEN true THEN 1 ELSE t.x END
CASE WHEN true THEN 1 ELSE (SELECT t.y) END
CASE WHEN true THEN 1 ELSE 2::int END
count(*)
count(*) OVER ()
max(t.x) FILTER (WHERE true)
mode() WITHIN GROUP (ORDER BY t.x)
generate_series(1, 2)
unnest(array[1])
1 IS NULL
1 BETWEEN 1 AND 2
1 = ANY (array[1])
NOT true
""".strip().splitlines()


@pytest.fixture(scope="module")
def cursor(cluster: Any) -> Iterator[Any]:
    name = f"lint_labels_{uuid4().hex[:12]}"
    cluster.create_database(name)
    connection = psycopg2.connect(cluster.url(name))
    try:
        connection.autocommit = True
        yield connection.cursor()
    finally:
        connection.close()
        cluster.drop_database(name)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_server_names_it_as_we_think(cursor: Any, expression: str) -> None:
    sql = f"SELECT {expression} {_FROM}"
    cursor.execute(sql)
    (shown,) = cursor.description
    (item,) = parse(prepare(next(statements(sql, psql=False)).tokens)).expressions
    assert may_be(item, shown.name)
    assert not may_be(item, "org")
