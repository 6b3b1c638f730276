"""The lists of functions against the parser's own idea of them."""

from __future__ import annotations

import pytest
from lint_support import prover

from lint.errors import CannotProve
from lint.prover.functions import AGGREGATES, SAFE
from lint.prover.nodes import has_aggregate
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import prepare


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_every_aggregate_is_seen_as_one(name: str) -> None:
    """An aggregate taken for a plain function would leave facts standing that do not hold."""
    two = "object" in name or name.startswith(("regr_", "covar_", "corr", "string_agg"))
    arguments = "x, y" if two else "x"
    text = f"SELECT {name}({arguments}) FROM t"
    if name in ("rank", "dense_rank", "percent_rank", "cume_dist"):
        text = f"SELECT {name}(1) WITHIN GROUP (ORDER BY x) FROM t"
    tree = parse(prepare(next(statements(text)).tokens))
    assert has_aggregate(tree.expressions[0]), repr(tree)


@pytest.mark.parametrize(
    "name",
    [
        "query_to_xml",
        "table_to_xml",
        "database_to_xml",
        "cursor_to_xml",
        "ts_stat",
        "ts_rewrite",
        "dblink",
        "lo_get",
        "lo_export",
        "pg_read_file",
        "pg_ls_dir",
        "set_config",
        "pg_stat_get_activity",
        "loread",
    ],
)
def test_what_runs_sql_or_reads_elsewhere_is_not_safe(name: str) -> None:
    assert name not in SAFE
    assert prover().prove_text(f"SELECT {name}(id) FROM t WHERE org = 1").verdict == "undecidable"


@pytest.mark.parametrize(
    "text",
    [
        "pg_notify('c', $1)",
        "pg_sleep(1)",
        "nextval('s'), setval('s', 1), pg_sequence_last_value('s'::regclass)",
        "pg_advisory_lock_shared(1), pg_advisory_unlock_all(), pg_try_advisory_lock_shared(1)",
        "version(), pg_postmaster_start_time(), pg_database_size(current_database())",
        "pg_blocking_pids(1), pg_terminate_backend(1), pg_cancel_backend(1)",
        "xpath('/a', x::text::xml), pg_size_bytes('1 MB'), inet_client_addr(), int4(x)",
        "uuid_generate_v4(), similarity(x::text, 'a'), digest('a', 'sha256'), unaccent('b')",
        "crypt('a', gen_salt('bf')), hmac('a', 'b', 'sha1'), st_astext(st_setsrid('p', 4326))",
        "jsonb_object_agg_strict(x, id)",
    ],
)
def test_what_reads_no_table_leaves_a_statement_proven(text: str) -> None:
    assert prover().prove_text(f"SELECT {text} FROM t WHERE org = 1").verdict == "scoped"
    assert prover().prove_text(f"SELECT {text} FROM t").verdict == "unscoped"


@pytest.mark.parametrize("name", ["pg_relation_size", "pg_total_relation_size", "currtid2"])
def test_what_tells_of_a_table_without_reading_it_is_not_safe(name: str) -> None:
    assert name not in SAFE


@pytest.mark.parametrize("text", ['SELECT "Coalesce"(a)', 'SELECT "row"(a)', "SELECT ifnull(a, b)"])
def test_lookalikes_are_refused(text: str) -> None:
    with pytest.raises(CannotProve):
        prepare(next(statements(text)).tokens)
