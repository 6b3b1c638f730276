"""Functions that run as their owner whatever SQL their caller has a hand in."""

from __future__ import annotations

import psycopg2
import pytest

from .conftest import Bench
from .test_leaks_code import SEED, A, attempt

DEFINER = """
CREATE FUNCTION shop.f(q text) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ DECLARE r jsonb; BEGIN {} RETURN r; END $$;
GRANT EXECUTE ON FUNCTION shop.f(text) TO shop_app;
ALTER FUNCTION shop.f(text) OWNER TO shop_owner;
"""
HANDED = [
    ("EXECUTE 'SELECT jsonb_agg(x) FROM (' || q || ') x' INTO r;", "TABLE shop.customers"),
    ("EXECUTE format('SELECT jsonb_agg(x) FROM %I.%I x', 'shop', q) INTO r;", "customers"),
]


@pytest.mark.parametrize(("body", "query"), HANDED)
def test_a_definer_that_runs_what_it_is_handed_is_an_error(
    bench: Bench, body: str, query: str
) -> None:
    bench.execute(DEFINER.format(body))
    bench.execute(SEED)
    call = "SELECT shop.f($$" + query + "$$)"
    assert "bob@b" in str(attempt(bench, call))
    (finding,) = bench.findings("secdef-bypass")
    assert (finding.severity, finding.object) == ("error", "shop.f(q text)")
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert bench.findings("secdef-bypass") == []
    found = attempt(bench, call)
    assert isinstance(found, psycopg2.Error) or "bob@b" not in str(found)


def test_a_value_that_is_handed_over_is_not_run(bench: Bench) -> None:
    bench.execute(
        DEFINER.format("EXECUTE 'SELECT to_jsonb($1 || pg_backend_pid())' INTO r USING q;")
    )
    assert bench.findings("secdef-bypass") == []
    assert len(attempt(bench, f"SELECT shop.f('{A}')")) == 1


def test_what_is_put_together_without_the_caller_is_a_warning(bench: Bench) -> None:
    bench.execute(
        DEFINER.format("EXECUTE 'SELECT jsonb_agg(x) FROM ' || current_user || ' x' INTO r;")
    )
    (finding,) = bench.findings("secdef-bypass")
    assert (finding.severity, finding.fix_sql) == ("warning", None)


@pytest.mark.parametrize(
    "statement",
    [
        "REVOKE EXECUTE ON FUNCTION shop.f(text) FROM shop_app, PUBLIC",
        # Its owner is bound by the tenants' policies, and may do no more than the app.
        "GRANT CREATE ON SCHEMA shop TO shop_app; ALTER FUNCTION shop.f(text) OWNER TO shop_app",
    ],
)
def test_nobody_to_call_it_or_nothing_to_reach_is_fine(bench: Bench, statement: str) -> None:
    bench.execute(DEFINER.format("EXECUTE q INTO r;"))
    bench.execute(statement)
    assert bench.findings("secdef-bypass") == []


TRIGGER = """
CREATE FUNCTION shop.t() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ BEGIN {} RETURN NEW; END $$;
ALTER FUNCTION shop.t() OWNER TO shop_owner;
CREATE TRIGGER t BEFORE INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.t();
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("EXECUTE 'SELECT ' || NEW.email;", ["error"]),
        ("EXECUTE format('SELECT %L', NEW.email);", ["info"]),
        ("EXECUTE 'SELECT $1' USING NEW.email;", []),
    ],
)
def test_a_row_that_is_run_by_a_trigger_is_one_that_the_app_wrote(
    bench: Bench, body: str, expected: list[str]
) -> None:
    bench.execute(TRIGGER.format(body))
    bench.execute(SEED.replace("'bob@b'", "'1'").replace("'ann@a'", "'1'").replace("bea at b", "1"))
    assert [f.severity for f in bench.findings("trigger-secdef")] == expected
    stolen = attempt(
        bench,
        f"INSERT INTO shop.customers VALUES ('{A}', gen_random_uuid(),"
        " '1 / (SELECT count(*) - 3 FROM shop.customers)')",
    )
    # The three customers of both tenants were counted, and told of by the error.
    assert isinstance(stolen, psycopg2.errors.DivisionByZero) == (expected == ["error"])
