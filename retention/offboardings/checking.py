"""Looks afresh, as tenure_verifier, whether anything of a tenant is there, and says what stays.

The tables are those that the database has, in the domain's schemas, and not those of the models:
one that the models do not know is looked into, too. Of what stays, every table of the schema
`tenure` that names tenants is in `STAYS` or `ENDS`, with its reason; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention.errors import InvariantError
from tenants.catalog import Catalog
from tenants.connections import Cursor
from tenants.context import TenantId

_PROOF = "shows what was deleted, when, by whom and why"
_REQUESTS = "shows who asked for what, and what was answered"
_SETTINGS = "shows how long rows were kept"

#: What ends with a tenant, by table of `tenure`.
ENDS: Mapping[str, str] = {
    "memberships": "when the deletion begins",
    "api_tokens": "when the deletion begins",
    "sessions": "when the deletion begins",
    "pseudonym_keys": "when the deletion is completed",
}
#: What stays of a tenant, by table of `tenure`, and why.
STAYS: Mapping[str, str] = {
    "tenants": "what all that stays refers to: its id, short name and name",
    "forgettings": "shows that texts were forgotten, and not which",
    "gates": "where holds meet deletes",
    "access_changes": "shows who had access",
    "accounted_batches": _PROOF,
    "batches": _PROOF,
    "certificate_orders": "certificates as they were given out, for thirty days",
    "certificates": _PROOF,
    "connector_events": _REQUESTS,
    "connector_requests": _REQUESTS,
    "deleted_keys": "hashes: who presents a row's key learns that it went, and from when it was "
    "counted",
    "erased_keys": "hashes: who presents a row's key learns that it went",
    "erasure_batches": _PROOF,
    "erasure_events": _REQUESTS,
    "erasure_plans": _REQUESTS,
    "erasure_rows": "keys of erasures that are open, until they end",
    "erasure_subjects": "whom open erasures are about, until they end",
    "erasures": _REQUESTS,
    "exports": "shows who was given which data",
    "hold_events": "shows what was held for whom",
    "hold_rows": "shows what was held for whom",
    "holds": "shows what was held for whom",
    "ledger_entries": "the ledger is append-only; it has no personal data",
    "ledger_texts": "who acted and why, by what the ledger commits to; each goes with its row",
    "movements": _PROOF,
    "offboardings": _PROOF,
    "policy_changes": _SETTINGS,
    "policy_periods": _SETTINGS,
    "policy_states": _SETTINGS,
    "purge_batches": _PROOF,
    "purged_keys": "hashes: who presents a row's key learns that it went",
    "purges": _PROOF,
    "receipt_revocations": _PROOF,
    "reconciliations": _PROOF,
    "removals": _PROOF,
    "restorations": "shows what was brought back",
    "restored_rows": "keys of rows that were brought back",
    "units": _PROOF,
    "verification_results": "shows what was verified",
}

_TABLES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attname = 'tenant_id' AND NOT a.attisdropped
ORDER BY 1, 2
"""
_OURS = """
SELECT c.relname, pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = 'tenure' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attname = CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END
  AND NOT a.attisdropped
ORDER BY 1
"""


def rows_left(cursor: Cursor, catalog: Catalog, tenant_id: TenantId) -> dict[str, int]:
    """Return how many rows of a tenant's each table of the domain has, zeros included.

    Raises InvariantError where the database lacks a table that the models have.
    """
    own = [t for t in catalog if t.kind == "tenant"]
    cursor.execute(_TABLES, {"schemas": sorted({t.name.schema for t in own})})
    found = cursor.fetchall()
    missing = {str(t.name) for t in own} - {f"{schema}.{name}" for schema, name in found}
    if missing:
        raise InvariantError(f"the database lacks {', '.join(sorted(missing))}")
    counts = {}
    for schema, name in found:
        query = sql.SQL("SELECT count(*) FROM {} x WHERE x.tenant_id = %(tenant)s::uuid").format(
            sql.Identifier(schema, name)
        )
        cursor.execute(query, {"tenant": str(tenant_id)})
        ((counts[f"{schema}.{name}"],),) = cursor.fetchall()
    return counts


def look(cursor: Cursor, catalog: Catalog, tenant_id: TenantId) -> dict[str, Any]:
    """Return the same as `left`, with who asked (`by`, a role) and as of when (`at`), as JSON's
    values."""
    cursor.execute("SELECT current_user::text, transaction_timestamp()")
    ((by, at),) = cursor.fetchall()
    return {"at": at.isoformat(), "by": by, "left": rows_left(cursor, catalog, tenant_id)}


def has_rows(cursor: Cursor, catalog: Catalog, tenant_id: TenantId) -> list[str]:
    """Return the tables of the models in which a tenant has any row, as any role that sees it."""
    found = []
    for table in catalog:
        if table.kind == "tenant":
            query = sql.SQL(
                "SELECT EXISTS (SELECT FROM {} x WHERE x.tenant_id = %(tenant)s::uuid)"
            ).format(sql.Identifier(table.name.schema, table.name.name))
            cursor.execute(query, {"tenant": str(tenant_id)})
            ((there,),) = cursor.fetchall()
            if there:
                found.append(str(table.name))
    return found


@dataclass(frozen=True, slots=True)
class Departed:
    """A tenant that has left, by its offboarding, and the tables in which it has rows again."""

    id: UUID
    tenant: str
    tables: tuple[str, ...]


def came_back(cursor: Cursor, catalog: Catalog) -> list[Departed]:
    """Return all tenants that have left and have rows again in tables of the models, as verifier.

    A question per table, however many have left.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for table in catalog:
        if table.kind != "tenant":
            continue
        query = sql.SQL(
            "SELECT o.id::text, t.slug FROM tenure.offboardings o"
            " JOIN tenure.tenants t ON t.id = o.tenant_id WHERE o.state = 'completed'"
            " AND EXISTS (SELECT FROM {} x WHERE x.tenant_id = o.tenant_id) ORDER BY t.slug"
        ).format(sql.Identifier(table.name.schema, table.name.name))
        cursor.execute(query)
        for offboarding, tenant in cursor.fetchall():
            found.setdefault((offboarding, tenant), []).append(str(table.name))
    return [Departed(UUID(one), tenant, tuple(names)) for (one, tenant), names in found.items()]


def what_stays(cursor: Cursor, tenant_id: TenantId) -> dict[str, dict[str, Any]]:
    """Return per table of `tenure` how many rows of a tenant's stay, and why; those of which there
    are none left out, and None for what even the verifier may not count.

    Raises InvariantError for a table of which it is not known whether it stays.
    """
    cursor.execute(_OURS)
    tables = [(name, may_count) for name, may_count in cursor.fetchall() if name not in ENDS]
    unknown = [name for name, _ in tables if name not in STAYS]
    if unknown:
        raise InvariantError(f"nobody says why rows stay in tenure.{', tenure.'.join(unknown)}")
    stays: dict[str, dict[str, Any]] = {}
    for name, may_count in tables:
        rows = None
        if may_count:
            query = sql.SQL("SELECT count({column}) FROM {} x WHERE {column} = %(tenant)s::uuid")
            column = sql.Identifier("x", "id" if name == "tenants" else "tenant_id")
            name_of = sql.Identifier("tenure", name)
            cursor.execute(query.format(name_of, column=column), {"tenant": str(tenant_id)})
            ((rows,),) = cursor.fetchall()
        if rows != 0:
            stays[f"tenure.{name}"] = {"rows": rows, "why": STAYS[name]}
    return stays
