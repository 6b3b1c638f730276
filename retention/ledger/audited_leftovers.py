"""Audits what is said to have gone by its age: as many as are on record, and none too early.

Rows of few of our own tables go when their time is over (`retention.leftovers`); triggers count
them, and keep each for its table's least age, whoever deletes. Who goes past the triggers can enter
by hand that a row went, so such an entry is believed only as far as it could have come of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from retention.ledger.findings import SHOWN, Findings, entry_number
from retention.ledger.manifest import Manifest
from tenants.connections import Cursor

_KEPT = re.compile(r"tenure\.refuse_early_deletion\('(\w+)', '([^']+)'\)")
# Where the column that a row's age is counted from enters nothing: one that is never later.
_BEFORE = {"watches": "began_at"}

_FORGED = """
WITH kept AS (
    SELECT * FROM unnest(%(tables)s::text[], %(kinds)s::text[], %(fields)s::text[],
                         %(floors)s::interval[]) AS k(name, kind, field, floor)
), gone AS (
    SELECT e.*, k.field, k.floor, e.body #>> ARRAY['record', k.field] AS said
    FROM kept k JOIN tenure.ledger_entries e ON e.kind = k.kind
), forged AS (
    SELECT g.id, g.position, g.kind, g.field, g.said, g.floor FROM gone g
    WHERE (left(g.said, 19) COLLATE "C" <=
           to_char((g.recorded_at - g.floor) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
          ) IS NOT TRUE
       OR NOT EXISTS (SELECT FROM tenure.ledger_entries b
                      WHERE b.source = g.source AND b.row_key = g.row_key AND b.kind <> g.kind
                        AND b.body #>> ARRAY['record', g.field] = g.said)
)
"""
_COUNT = "SELECT count(*) FROM forged"
_FIRST = """
SELECT id, position, kind, field, said, floor::text FROM forged
ORDER BY position, id LIMIT %(shown)s
"""
_MORE = """
SELECT k.name, e.entered, coalesce(l.recorded, 0)
FROM unnest(%(tables)s::text[], %(kinds)s::text[]) AS k(name, kind)
CROSS JOIN LATERAL (SELECT count(*) AS entered FROM tenure.ledger_entries e
                    WHERE e.kind = k.kind) AS e
CROSS JOIN LATERAL (SELECT sum(rows_deleted) AS recorded FROM tenure.leftover_deletions l
                    WHERE l.table_name = k.name) AS l
WHERE e.entered > coalesce(l.recorded, 0) ORDER BY k.name
"""
_EARLY = """
SELECT l.id::text, l.table_name, l.rows_deleted, k.floor::text
FROM unnest(%(tables)s::text[], %(floors)s::interval[]) AS k(name, floor)
JOIN tenure.leftover_deletions l ON l.table_name = k.name
WHERE (l.newest <= l.deleted_at - k.floor) IS NOT TRUE ORDER BY l.deleted_at, l.id
"""


class _Kept(NamedTuple):
    """A table of which rows go by their age, as entries of `kind`: not before `floor` (an interval)
    after what `field` of the record says."""

    table: str
    kind: str
    field: str
    floor: str


def audit_leftovers(cursor: Cursor, ours: Manifest, findings: Findings) -> None:
    """Compare the entries of rows that went by their age with the record of these, and with the
    least age that the release's triggers keep."""
    kept = list(_kept(ours))
    params = {
        "tables": [each.table for each in kept],
        "kinds": [each.kind for each in kept],
        "fields": [each.field for each in kept],
        "floors": [each.floor for each in kept],
        "shown": SHOWN,
    }
    cursor.execute(_MORE, params)
    for table, entered, recorded in cursor.fetchall():
        said = f"{entered} rows are entered as gone by their age, and {recorded} are on record"
        findings.add("entry", f"tenure.{table}", said, count=int(entered - recorded))
    cursor.execute(_EARLY, params)
    for deletion, table, rows, floor in cursor.fetchall():
        said = f"{rows} rows of tenure.{table} went before their {floor} were over"
        findings.add("entry", f"tenure.leftover_deletions {deletion}", said)
    cursor.execute(_FORGED + _COUNT, params)
    ((count,),) = cursor.fetchall()
    if not count:
        return
    cursor.execute(_FORGED + _FIRST, params)
    rows = cursor.fetchall()
    for entry, position, kind, field, value, floor in rows:
        findings.add(
            "entry",
            f"entry {entry_number(position)} ({entry})",
            f"{kind} of {field} {value}: no such row was entered, or {floor} after it were not "
            "over",
        )
    findings.counts["entry"] += count - len(rows)


def _kept(ours: Manifest) -> Iterator[_Kept]:
    feeds = {table.name: table for table in ours.tables}
    for (table, _), definition in ours.triggers.items():
        found = _KEPT.search(definition)
        if found is None or table not in feeds or "DELETE" not in feeds[table].events:
            continue
        field, floor = found.groups()
        yield _Kept(table, f"{feeds[table].kind}-deleted", _BEFORE.get(table, field), floor)
