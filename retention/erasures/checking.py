"""Looks afresh whether an erasure is done, as tenure_verifier, and believes nobody.

Its questions are its own: references, archives and what a treated value looks like are worked
out here again, from the catalog, table by table; nothing of what judges or erases is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention.treatments import Treatment
from retention.verification_holds import ways_up
from retention.verification_queries import name_of
from retention.verification_rules import is_treated
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor

# Batches whose counts or digests are not those of the keys they kept.
_RECORDS = """
SELECT count(*) FROM (
    SELECT b.id, t.name, a.action, a.entry FROM tenure.erasure_batches b
    CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
    CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)
    WHERE b.tenant_id = %(tenant)s::uuid AND b.erasure_id = %(erasure)s::uuid) b
FULL JOIN (SELECT * FROM tenure.erased_keys
           WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(erasure)s::uuid) k
    ON k.batch_id = b.id AND k.table_name = b.name AND k.action = b.action
WHERE b.entry->'rows' IS DISTINCT FROM to_jsonb(octet_length(k.hashes) / 16)
   OR b.entry->>'sha256' IS DISTINCT FROM encode(sha256(k.hashes), 'hex')
"""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose rows: of which tenant and erasure, the person's key, the declaration as written."""

    tenant_id: UUID
    erasure_id: UUID
    key: UUID
    definition: Mapping[str, Any]


def leftovers(cursor: Cursor, catalog: Catalog, question: Question) -> dict[str, int]:
    """Return what is not as it should be, and how often: rows that are still there, rows that
    were not changed, records that do not agree. Empty when the erasure is done."""
    found = {}
    declared = {entry["table"]: entry for entry in question.definition["tables"]}
    for name, ids in _rows(cursor, catalog, question).items():
        entry = declared.get(str(name))
        if entry is None:
            found[f"{name} is not declared"] = len(ids)
        elif entry["action"] == "delete":
            there = _count(cursor, name, question, ids, sql.SQL("true"))
            found[f"{name}: still there"] = there
        elif entry["action"] != "keep":
            undone = sql.SQL("NOT ({})").format(_treated(catalog, name, entry["columns"]))
            found[f"{name}: not changed"] = _count(cursor, name, question, ids, undone)
    cursor.execute(
        _RECORDS, {"tenant": str(question.tenant_id), "erasure": str(question.erasure_id)}
    )
    ((found["records that differ from their keys"],),) = cursor.fetchall()
    return {what: count for what, count in found.items() if count}


def _treated(catalog: Catalog, name: TableName, columns: Mapping[str, Any]) -> sql.Composable:
    table = catalog.table(name)
    return sql.SQL(" AND ").join(
        is_treated(Treatment.read(column, written), table.column(column), "x")
        for column, written in columns.items()
    )


def _count(
    cursor: Cursor, name: TableName, question: Question, ids: set[str], condition: sql.Composable
) -> int:
    query = sql.SQL(
        "SELECT count(*) FROM {} x WHERE x.id = ANY(%(ids)s::uuid[])"
        " AND x.tenant_id = %(tenant)s::uuid AND {}"
    ).format(name_of(name), condition)
    cursor.execute(query, {"tenant": str(question.tenant_id), "ids": list(ids)})
    ((count,),) = cursor.fetchall()
    return int(count)


def _rows(cursor: Cursor, catalog: Catalog, question: Question) -> dict[TableName, set[str]]:
    """Return all that leads to the person, a reference at a time, from what is known of it."""
    top = TableName.parse(question.definition["table"])
    cut = set(question.definition.get("cut", ()))
    found: dict[TableName, set[str]] = defaultdict(set)
    cursor.execute(
        "SELECT table_name, row_id::text FROM tenure.erasure_rows WHERE erasure_id = %s"
        " AND tenant_id = %s UNION ALL SELECT %s, %s",
        (str(question.erasure_id), str(question.tenant_id), str(top), str(question.key)),
    )
    fresh: dict[TableName, set[str]] = defaultdict(set)
    for name, row in cursor.fetchall():
        fresh[TableName.parse(name)].add(row)
    ways = [
        way
        for way in ways_up(catalog)
        if f"{way.said_of}.{way.column}" not in cut
        # Of the person's own row what was archived is theirs by its id.
        and (way.column != "id" or way.parent == top)
    ]
    while any(fresh.values()):
        for name, ids in fresh.items():
            found[name] |= ids
        came: dict[TableName, set[str]] = defaultdict(set)
        for way in ways:
            if fresh.get(way.parent):
                query = sql.SQL(
                    "SELECT c.id::text FROM {child} c JOIN unnest(%(ids)s::uuid[]) p(id)"
                    " ON {column} = p.id WHERE c.tenant_id = %(tenant)s::uuid{of_kind}"
                ).format(
                    child=name_of(way.child),
                    column=sql.Identifier("c", way.column),
                    of_kind=way.of_kind,
                )
                cursor.execute(
                    query, {"ids": list(fresh[way.parent]), "tenant": str(question.tenant_id)}
                )
                came[way.child] |= {row[0] for row in cursor.fetchall()}
        fresh = {name: ids - found[name] for name, ids in came.items()}
    return found
