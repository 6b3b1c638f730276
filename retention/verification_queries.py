"""The verifier's questions as SQL, made from the catalog and nothing of the executor's.

A row is judged by itself, with nested EXISTS along the references (the planner works with
sets, the executor with ids): a due row is overdue unless some row that stays refers to it,
or to a row that would go along with it, or to one further below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2 import sql

from retention.policies import Policy
from tenants.catalog import Catalog, ForeignKey, SoftReference, Table, TableName

_OVERDUE = """SELECT tenant_id::text,
       count(*) FILTER (WHERE NOT is_held) AS found,
       count(*) FILTER (WHERE is_held) AS held,
       min(oldest) FILTER (WHERE NOT is_held AND isfinite(oldest) AND oldest > '0001-01-02')
FROM (
    SELECT d.tenant_id, {starts}::timestamptz AS oldest,
           EXISTS (SELECT FROM tenure.holds h
                   WHERE h.tenant_id = d.tenant_id AND h.released_at IS NULL) AS is_held
    FROM {table} d
    WHERE {starts} < %(cutoff)s
      AND coalesce((SELECT s.state = 'paused' FROM tenure.policy_states s
                    WHERE s.tenant_id = d.tenant_id AND s.policy = %(policy)s), %(paused)s)
          IS NOT TRUE{not_kept}
) past
GROUP BY tenant_id ORDER BY tenant_id"""


def overdue_query(catalog: Catalog, policy: Policy) -> sql.Composable:
    """Return the query for (tenant, overdue, held, oldest); takes cutoff, policy, paused."""
    kept = _Kept(catalog, policy).of(policy.table, "d", ())
    return sql.SQL(_OVERDUE).format(
        starts=sql.Identifier("d", policy.starts),
        table=_name(policy.table),
        not_kept=sql.SQL("\n      AND NOT ({})").format(kept) if kept else sql.SQL(""),
    )


def undated_query(policy: Policy) -> sql.Composable:
    """Return the query for (tenant, undated, 0, NULL)."""
    return sql.SQL(
        "SELECT tenant_id::text, count(*), 0, NULL::timestamptz FROM {} WHERE {} IS NULL"
        " GROUP BY tenant_id ORDER BY tenant_id"
    ).format(_name(policy.table), sql.Identifier(policy.starts))


def orphan_queries(catalog: Catalog) -> Iterator[tuple[str, sql.Composable]]:
    """Yield (subject, query for (tenant, orphans, 0, NULL)) for every reference there is."""
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


def _orphans(
    child: TableName, column: str, parent: _Parent, of_kind: sql.Composable | None
) -> sql.Composable:
    return sql.SQL(
        "SELECT o.tenant_id::text, count(*), 0, NULL::timestamptz FROM {child} o"
        " LEFT JOIN {parent} p ON p.{key} = {column}{tenant}"
        " WHERE {column} IS NOT NULL AND p.{key} IS NULL{kind}"
        " GROUP BY o.tenant_id ORDER BY o.tenant_id"
    ).format(
        child=_name(child),
        parent=_name(parent.table),
        key=sql.Identifier(parent.column),
        column=sql.Identifier("o", column),
        tenant=sql.SQL(" AND p.tenant_id = o.tenant_id" if parent.shared_tenant else ""),
        kind=of_kind or sql.SQL(""),
    )


def _of_kind(soft: SoftReference, kind: str) -> sql.Composable | None:
    if not soft.kind_column:
        return None
    return sql.SQL(" AND {} = {}").format(sql.Identifier("o", soft.kind_column), sql.Literal(kind))


def _strangers(child: TableName, soft: SoftReference, kind_column: str) -> sql.Composable:
    return sql.SQL(
        "SELECT o.tenant_id::text, count(*), 0, NULL::timestamptz FROM {child} o"
        " WHERE {column} IS NOT NULL AND ({kind} IS NULL OR {kind} NOT IN ({known}))"
        " GROUP BY o.tenant_id ORDER BY o.tenant_id"
    ).format(
        child=_name(child),
        column=sql.Identifier("o", soft.column),
        kind=sql.Identifier("o", kind_column),
        known=sql.SQL(", ").join(sql.Literal(kind) for kind, _ in soft.targets),
    )


def _name(table: TableName) -> sql.Composable:
    return sql.Identifier(table.schema, table.name)


@dataclass(frozen=True)
class _Reference:
    child: Table
    column: str
    kind_column: str | None = None
    kind: str | None = None

    def holds(self, alias: str, parent: str) -> sql.Composable:
        """Return: the row `alias` of the child refers to the row `parent`."""
        condition = sql.SQL("{a}.tenant_id = {p}.tenant_id AND {a}.{column} = {p}.id").format(
            a=sql.Identifier(alias), p=sql.Identifier(parent), column=sql.Identifier(self.column)
        )
        if self.kind_column is None:
            return condition
        return sql.SQL("{} AND {} = {}").format(
            condition, sql.Identifier(alias, self.kind_column), sql.Literal(self.kind)
        )


class _Kept:
    """Writes the condition under which a row of one policy's tables is kept by references."""

    def __init__(self, catalog: Catalog, policy: Policy) -> None:
        self.catalog = catalog
        self.policy = policy

    def of(
        self, table: TableName, alias: str, path: tuple[TableName, ...]
    ) -> sql.Composable | None:
        """Return the condition that the row `alias` of `table` is kept; None for never.

        `path` are the tables above: a circle among the tables of `with` is followed once
        around, which finds what keeps its rows from outside of the circle.
        """
        path = (*path, table)
        conditions: list[sql.Composable] = []
        for reference in self._to(table):
            child = reference.child.name
            inner = f"{alias}_{len(conditions)}"
            if child == self.policy.table:
                conditions.append(self._own(reference, alias, inner, path))
            elif child in self.policy.along:
                if child in path:
                    continue
                below = self.of(child, inner, path)
                if below is not None:
                    conditions.append(self._exists(reference, alias, inner, below))
            else:
                conditions.append(self._exists(reference, alias, inner, None))
        return sql.SQL(" OR ").join(conditions) if conditions else None

    def _to(self, table: TableName) -> Iterator[_Reference]:
        for child in self.catalog:
            if child.kind != "tenant":
                continue
            for key in child.foreign_keys:
                if key.target == table:
                    yield _Reference(child, key.column)
            for soft in child.soft_references:
                for kind, target in soft.targets:
                    if target == table and soft.kind_column:
                        yield _Reference(child, soft.column, soft.kind_column, kind)
                    elif target == table:
                        yield _Reference(child, soft.column)

    def _exists(
        self, reference: _Reference, alias: str, inner: str, below: sql.Composable | None
    ) -> sql.Composable:
        return sql.SQL("EXISTS (SELECT FROM {} {} WHERE {}{})").format(
            _name(reference.child.name),
            sql.Identifier(inner),
            reference.holds(inner, alias),
            sql.SQL(" AND ({})").format(below) if below else sql.SQL(""),
        )

    def _own(
        self, reference: _Reference, alias: str, inner: str, path: tuple[TableName, ...]
    ) -> sql.Composable:
        """Rows of the policy's own table that refer, directly or over others of it.

        They keep what they refer to when they are not due, or are kept themselves.
        """
        own = [r for r in self._to(self.policy.table) if r.child.name == self.policy.table]
        starts = sql.Identifier("own", self.policy.starts)
        stays = sql.SQL("{s} >= %(cutoff)s OR {s} IS NULL").format(s=starts)
        if self.policy.table not in path[1:]:
            # What keeps them is asked once: their own referrers are in the recursion.
            other = self._kept_own(path)
            if other is not None:
                stays = sql.SQL("{} OR {}").format(stays, other)
        more = sql.SQL(" OR ").join(sql.SQL("({})").format(r.holds("nxt", "above")) for r in own)
        return sql.SQL(
            "EXISTS (WITH RECURSIVE chain(tenant_id, id) AS ("
            "SELECT {first}.tenant_id, {first}.id FROM {table} {first} WHERE {holds}{further}"
            ") SELECT FROM chain JOIN {table} own USING (tenant_id, id) WHERE {stays})"
        ).format(
            first=sql.Identifier(inner),
            table=_name(self.policy.table),
            holds=reference.holds(inner, alias),
            further=sql.SQL(
                " UNION SELECT nxt.tenant_id, nxt.id FROM chain above JOIN {} nxt ON {}"
            ).format(_name(self.policy.table), more)
            if own
            else sql.SQL(""),
            stays=stays,
        )

    def _kept_own(self, path: tuple[TableName, ...]) -> sql.Composable | None:
        conditions: list[sql.Composable] = []
        for reference in self._to(self.policy.table):
            child = reference.child.name
            inner = f"own_{len(conditions)}"
            if child == self.policy.table:
                continue
            if child in self.policy.along:
                below = self.of(child, inner, (*path, self.policy.table))
                if below is not None:
                    conditions.append(self._exists(reference, "own", inner, below))
            else:
                conditions.append(self._exists(reference, "own", inner, None))
        return sql.SQL(" OR ").join(conditions) if conditions else None
