"""The guard of a query layer: only a declared source will do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from lint_support import SOURCES, catalog

from lint.guard import make_prover


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE org = tenure.current_tenant()",
        "SELECT tenure.set_tenant(%s); SELECT x FROM t WHERE org = tenure.current_tenant()",
        "SELECT * FROM t WHERE org = (SELECT tenure.current_tenant())",
        "INSERT INTO c (id) VALUES (%s)",
        "SELECT * FROM country",
        "SELECT 1",
        "SELECT pg_catalog.lower('X'), pg_typeof(1), pg_size_pretty(1::bigint)",
        "BEGIN",
    ],
)
def test_proven_by_a_source_passes(text: str) -> None:
    assert make_prover(catalog(), SOURCES)(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE org = %s",
        "SELECT * FROM t WHERE org = 1",
        "SELECT * FROM t",
        "SELECT * FROM t WHERE org = tenure.current_tenant(); SELECT * FROM s",
        "SELECT * FROM t WHERE org = tenure.current_tenant(); SELECT * FROM s WHERE org = 1",
        "SELECT * FROM nowhere",
        "DO $$ BEGIN END $$",
        "SELEC",
        # no tenant's row is read, and other tenants' requests end
        "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[1]) pid",
        'SELECT "pg_cancel_backend"(1)',
        "SELECT setval('s', 1)",
        "SELECT pg_sleep_for('1 hour')",
        # nor here, and other tenants' sessions listen, wait, or are counted
        "SELECT pg_notify('x', 'y')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_catalog.pg_try_advisory_xact_lock(1)",
        "SELECT pg_logical_emit_message(false, 'x', 'y')",
        "SELECT reltuples FROM pg_catalog.pg_class",
        "SELECT n_live_tup FROM pg_catalog.pg_stat_user_tables",
        "SELECT count(*) FROM pg_locks",
        'SELECT count(*) FROM "pg_locks"',
        "SELECT last_value FROM pg_sequences",
        "SELECT pg_sequence_last_value(1)",
        "SELECT pg_current_wal_lsn()",
        "SELECT txid_current()",
        "SELECT nextval('s')",
        "SELECT lastval()",
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    assert make_prover(catalog(), SOURCES)(text)


def test_answers_stay_right_when_few_are_remembered_and_many_ask() -> None:
    check = make_prover(catalog(), SOURCES, remember=2)
    texts = [
        f"SELECT {i} FROM t WHERE org = {'tenure.current_tenant()' if i % 2 else i}"
        for i in range(8)
    ] * 5
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(check, texts))
    assert [answer is None for answer in answers] == [i % 8 % 2 == 1 for i in range(len(texts))]


def test_nothing_to_remember_is_refused() -> None:
    with pytest.raises(ValueError, match="remember"):
        make_prover(catalog(), SOURCES, remember=0)
