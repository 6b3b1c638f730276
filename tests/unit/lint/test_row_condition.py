"""Conditions on one row: what hangs on that row alone passes, whatever else does not."""

from __future__ import annotations

import re

import pytest

from lint.row_condition import make_row_check
from lint.schema.catalog import Catalog, Column, Name, Table

CUSTOMERS = Table(
    name=Name("shop", "customers"),
    columns=(
        Column("tenant_id", "uuid", False),
        Column("id", "uuid", False),
        Column("name", "text", False),
        Column("country", "text", False),
        Column("email", "text", True),
        Column("visits", "integer", False),
        Column("created_at", "timestamp with time zone", False),
        Column("now", "text", True),
    ),
    tenant_column="tenant_id",
)
RATES = Table(
    name=Name("shop", "rates"), columns=(Column("id", "uuid", False),), exempt="everybody's"
)
check = make_row_check(Catalog((CUSTOMERS, RATES)))


@pytest.mark.parametrize(
    "condition",
    [
        "r.country = 'DE'",
        "country IN ('DE', 'FR') AND r.email IS NOT NULL",
        "r.created_at < '2020-01-01'",
        "r.created_at < DATE '2020-01-01'",
        "r.created_at >= '2020-01-01'::timestamptz",
        "r.created_at BETWEEN '2020-01-01' AND '2021-01-01'",
        "r.name LIKE 'a%' OR NOT r.name ILIKE '%x_'",
        "lower(r.name) = 'x' AND length(r.name) > 3 AND starts_with(r.name, 'x')",
        "r.email IS DISTINCT FROM 'x'",
        "coalesce(r.email, '') <> ''",
        "(r.country, r.name) = ('a', 'b')",
        "r.name || r.country = 'ab'",
        "r.visits > -1",
        'r."name" = $$a$$',
        "r.name = 'today'",
        "r.now = 'x'",
        "true",
    ],
)
def test_a_condition_on_the_row_alone_passes(condition: str) -> None:
    assert check("shop", "customers", condition) is None


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("", "not one condition"),
        ("true; DELETE FROM shop.customers", "not one condition"),
        ("true;", "semicolon"),
        ("true) OR (true", "closes a parenthesis"),
        ("(true", "cannot be read"),
        ("true -- and so on", "comment"),
        ("true /* and so on", "comment"),
        ("true ORDER BY 1", "more than a condition"),
        ("true LIMIT 1", "more than a condition"),
        ("true FOR UPDATE", "more than a condition"),
        ("true UNION SELECT 1", "more than a condition"),
        ("true GROUP BY 1", "more than a condition"),
        ("r.id IN (SELECT id FROM shop.customers)", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("r.name = (SELECT 'x')", "subquery"),
        ("r.created_at < now()", "not allowed"),
        ("r.created_at < current_date", "not allowed"),
        ("r.created_at < 'now'", "another instant"),
        ("r.created_at < ' Yesterday 10:00'::timestamptz", "another instant"),
        ("r.visits > 1 AND date 'today' > '2020-01-01'", "another instant"),
        ("random() > 0.5", "not allowed"),
        ("set_config('tenure.context', '', true) = ''", "not allowed"),
        ("pg_sleep(1) IS NULL", "not allowed"),
        ("tenure.current_tenant() = r.tenant_id", "not allowed"),
        ("count(*) > 1", "not allowed"),
        ("row_number() OVER () > 1", "not allowed"),
        ("r.name::int = 3", "can fail"),
        ("1 / r.visits = 1", "not allowed"),
        ("r.visits + 1 > 2", "not allowed"),
        ("-r.visits > 2", "computes"),
        ("r.name ~ '['", "not allowed"),
        ("r.name LIKE r.email", "must be a literal"),
        (r"r.name LIKE 'a\'", "backslash"),
        (r"r.name = E'\x00'", "backslash|cannot|not allowed"),
        ("CASE WHEN true THEN false END", "not allowed"),
        ("r.name = ANY('{a}')", "not allowed"),
        ("r.nothing = 1", "no column 'nothing'"),
        ("ctid = '(0,1)'", "no column 'ctid'"),
        ("c.country = 'DE'", "the row is called r"),
        ("shop.customers.country = 'DE'", "no column of r"),
        ("r.* IS NULL", "no column of r"),
        ("r IS NULL", "no column 'r'"),
        ("r.country = %s", "placeholder"),
        ("r.country = %(x)s", "placeholder"),
        ("r.country = $1", "placeholder"),
        ("r.country = :x", "placeholder"),
        ("r.country = ?", "placeholder|cannot|not"),
    ],
)
def test_what_hangs_on_more_or_can_fail_is_refused_with_the_reason(
    condition: str, why: str
) -> None:
    said = check("shop", "customers", condition)
    assert said is not None
    assert re.search(why, said), said


def test_it_is_a_tenants_table() -> None:
    assert check("shop", "rates", "true") == "shop.rates is no tenant's table"
    assert check("shop", "nothing", "true") == "shop.nothing is no tenant's table"
