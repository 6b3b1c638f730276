"""What erasures, replays and offboardings did is what was locked for it, or nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from retention.erasures.batch import count_exactly
from retention.errors import InvariantError
from tenants.catalog import TableName
from tenants.context import TenantId

ACME = TenantId(UUID(int=1))
NOTES, CASES = TableName("lab", "notes"), TableName("lab", "cases")
LOCKED = {0: (NOTES, "delete", {"a", "b"}), 1: (CASES, "anonymise", {"c"})}


def test_what_was_done_is_added_to_the_counts() -> None:
    counts: dict[str, dict[str, Any]] = {"lab.cases": {"cut": {"rows": 4, "sha256": "x"}}}
    count_exactly(counts, LOCKED, [(1, 1, "s1"), (0, 2, "s0")], ACME)
    assert counts == {
        "lab.notes": {"delete": {"rows": 2, "sha256": "s0"}},
        "lab.cases": {
            "cut": {"rows": 4, "sha256": "x"},
            "anonymise": {"rows": 1, "sha256": "s1"},
        },
    }


@pytest.mark.parametrize(
    "done", [[(0, 2, "s0")], [(0, 1, "s0"), (1, 1, "s1")], [(0, 3, "s0"), (1, 1, "s1")]]
)
def test_rows_that_were_not_locked_or_did_not_go_stop_it(done: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InvariantError, match="were locked and"):
        count_exactly({}, LOCKED, done, ACME)
