"""The verifier's questions about references: rows whose parent is gone, or another tenant's.

Made from the catalog: a question for each foreign key and for each target of a declared soft
reference. PostgreSQL checks the former itself, unless somebody told it not to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2 import sql

from retention.verification_queries import name_of
from tenants.catalog import Catalog, ForeignKey, SoftReference, TableName

GONE = "the parent is gone"
ANOTHERS = "the parent is another tenant's"
UNKNOWN = "of a kind that is not declared"


def orphan_queries(catalog: Catalog) -> Iterator[tuple[str, sql.Composable]]:
    """Yield (subject, query for tenant, found, reasons) for every reference there is."""
    for table in catalog:
        if table.kind != "tenant":
            continue
        for key in table.foreign_keys:
            subject = f"{table.name}.{key.column} -> {key.target}"
            yield subject, _orphans(table.name, key.column, _parent_of(key), None)
        for soft in table.soft_references:
            for kind, target in soft.targets:
                label = f" ({soft.kind_column} = {kind!r})" if soft.kind_column else ""
                subject = f"{table.name}.{soft.column} -> {target}{label}"
                of_kind = _of_kind(soft, kind)
                parent = _Parent(target, shared_tenant=catalog.table(target).kind == "tenant")
                yield subject, _orphans(table.name, soft.column, parent, of_kind)
            if soft.kind_column:
                subject = f"{table.name}.{soft.column} -> nothing known ({soft.kind_column})"
                yield subject, _strangers(table.name, soft, soft.kind_column)


@dataclass(frozen=True)
class _Parent:
    table: TableName
    shared_tenant: bool
    column: str = "id"


def _parent_of(key: ForeignKey) -> _Parent:
    return _Parent(key.target, len(key.columns) > 1, key.target_columns[-1])


# Whose the parent is, is asked of orphans alone: the parent's key begins with its tenant.
_ORPHANS = """SELECT tenant_id::text AS tenant, count(*) AS found,
       jsonb_strip_nulls(jsonb_build_object(
           {gone}, nullif(count(*) FILTER (WHERE NOT anothers), 0),
           {another}, nullif(count(*) FILTER (WHERE anothers), 0))) AS reasons
FROM (
    SELECT o.tenant_id, {anothers} AS anothers
    FROM {child} o LEFT JOIN {parent} p ON p.{key} = {column}{tenant}
    WHERE {column} IS NOT NULL AND p.{key} IS NULL{kind}
) orphan
GROUP BY tenant_id ORDER BY tenant_id"""


def _orphans(
    child: TableName, column: str, parent: _Parent, of_kind: sql.Composable | None
) -> sql.Composable:
    key, refers = sql.Identifier(parent.column), sql.Identifier("o", column)
    elsewhere = sql.SQL("EXISTS (SELECT FROM {} x WHERE x.{} = {})")
    return sql.SQL(_ORPHANS).format(
        gone=sql.Literal(GONE),
        another=sql.Literal(ANOTHERS),
        anothers=elsewhere.format(name_of(parent.table), key, refers)
        if parent.shared_tenant
        else sql.SQL("false"),
        child=name_of(child),
        parent=name_of(parent.table),
        key=key,
        column=refers,
        tenant=sql.SQL(" AND p.tenant_id = o.tenant_id" if parent.shared_tenant else ""),
        kind=of_kind or sql.SQL(""),
    )


def _of_kind(soft: SoftReference, kind: str) -> sql.Composable | None:
    if not soft.kind_column:
        return None
    return sql.SQL(" AND {} = {}").format(sql.Identifier("o", soft.kind_column), sql.Literal(kind))


def _strangers(child: TableName, soft: SoftReference, kind_column: str) -> sql.Composable:
    return sql.SQL(
        "SELECT o.tenant_id::text AS tenant, count(*) AS found,"
        " jsonb_build_object({why}, count(*)) AS reasons FROM {child} o"
        " WHERE {column} IS NOT NULL AND ({kind} IS NULL OR {kind} NOT IN ({known}))"
        " GROUP BY o.tenant_id ORDER BY o.tenant_id"
    ).format(
        why=sql.Literal(UNKNOWN),
        child=name_of(child),
        column=sql.Identifier("o", soft.column),
        kind=sql.Identifier("o", kind_column),
        known=sql.SQL(", ").join(sql.Literal(kind) for kind, _ in soft.targets),
    )
