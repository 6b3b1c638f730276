"""What a proof leaves behind: nothing that only the collector of garbage could find."""

from __future__ import annotations

import gc

import pytest
from lint_support import prover


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, x FROM t WHERE org = $1 AND x > 0 ORDER BY x LIMIT 5",
        "SELECT t.id FROM t JOIN s ON s.org = t.org AND s.id = t.sid WHERE t.org = 1",
        "SELECT * FROM t WHERE org = 1 AND EXISTS (SELECT 1 FROM s WHERE s.org = t.org)",
        "WITH q AS (SELECT * FROM t) SELECT * FROM q WHERE org = 1",
        "INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT (org, id) DO UPDATE SET x = 1",
        "UPDATE t SET x = 1 WHERE org = 1 RETURNING id",
        "SELECT * FROM t",
    ],
)
def test_a_proof_leaves_nothing_to_the_collector(sql: str) -> None:
    prover().prove_text(sql)  # what is made once is made
    gc.collect()
    gc.disable()
    try:
        prover().prove_text(sql)
        assert gc.collect() == 0
    finally:
        gc.enable()
