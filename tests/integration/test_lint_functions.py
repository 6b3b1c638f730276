"""The lists of functions against those that a server has."""

from __future__ import annotations

from api.wiring import Installation, owner_of
from lint.prover.functions import AGGREGATES, SAFE, SET_RETURNING

# A window function is no aggregate of the whole, and is understood as one.
_KINDS = """
SELECT p.proname, p.prokind::text, p.proretset, p.prorettype::pg_catalog.regtype::text
FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
"""


def test_every_function_that_is_safe_is_taken_for_what_it_is(installation: Installation) -> None:
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        cursor.execute(_KINDS)
        found = cursor.fetchall()
    assert len(found) > 3000
    aggregates = {name for name, kind, _, _ in found if kind == "a"}
    assert aggregates <= AGGREGATES
    assert not {name for name, kind, _, _ in found if kind in "fp"} & AGGREGATES - aggregates - {
        # ordered-set aggregates that are window functions, too
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
    }
    rows = {name for name, _, returns_rows, _ in found if returns_rows}
    assert rows & SAFE <= SET_RETURNING.keys()
    assert not {name for name, _, _, returns in found if returns == "trigger"} & SAFE
