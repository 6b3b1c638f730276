"""Audits of which kinds entries are, and what is in no leaf: `source` and `row_key`, by which
entries are looked for.

An entry of a kind that no trigger of the release makes was made by hand: that a row changed of a
table of which none changes, for one. Source and key follow from kind and record, which are in the
leaf. Where they say otherwise, an entry stands where nobody looks, or for another row; where they
do not, whatever goes by them goes by the leaf.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql

from retention.ledger.fed_tables import FedTable
from retention.ledger.findings import SHOWN, Findings, entry_number
from tenants.connections import Cursor

_ASTRAY = """
WITH fed AS MATERIALIZED (
    SELECT f.kind, f.source, f.keys::text[] AS keys
    FROM unnest(%(kinds)s::text[], %(sources)s::text[], %(keys)s::text[]) AS f(kind, source, keys)
), astray AS (
    SELECT e.id, e.position, e.kind, e.source, f.source AS of_kind
    FROM tenure.ledger_entries e LEFT JOIN fed f ON f.kind = e.kind
    WHERE e.source IS DISTINCT FROM f.source
       OR e.row_key IS DISTINCT FROM CASE WHEN f.keys <> '{{}}' THEN concat_ws('/', {key}) END
)
"""
_COUNT = "SELECT count(*) FROM astray"
_FIRST = "SELECT * FROM astray ORDER BY position, id LIMIT %(shown)s"


def audit_entries(cursor: Cursor, feeds: Sequence[FedTable], findings: Findings) -> None:
    """Compare source and key of each entry, those that wait among them, with kind and record."""
    tables = {feed.name: feed for feed in feeds}
    fed = {kind: tables[feed.name] for feed in feeds for kind in feed.kinds}
    query = sql.SQL(_ASTRAY).format(
        key=sql.SQL(", ").join(
            sql.SQL("e.body #>> ARRAY['record', f.keys[{}]]").format(sql.Literal(number))
            for number in range(1, 1 + max(len(table.keys) for table in fed.values()))
        )
    )
    params = {
        "kinds": list(fed),
        "sources": [table.name for table in fed.values()],
        "keys": ["{" + ",".join(table.keys if table.named else ()) + "}" for table in fed.values()],
        "shown": SHOWN,
    }
    cursor.execute(query + sql.SQL(_COUNT), params)
    ((count,),) = cursor.fetchall()
    if not count:
        return
    cursor.execute(query + sql.SQL(_FIRST), params)
    rows = cursor.fetchall()
    for entry, position, kind, source, of_kind in rows:
        said = f"is of a kind that nothing of this release enters, {kind}"
        if of_kind is not None:
            said = f"is of kind {kind}, and is kept as of tenure.{source}"
            if source == of_kind:
                said = "is kept as of another row than its record says"
        findings.add("entry", f"entry {entry_number(position)} ({entry})", said)
    findings.counts["entry"] += count - len(rows)
