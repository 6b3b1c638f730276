"""The executor's SQL for one policy. Every statement names the tenant, as a literal.

Ids travel as text in arrays; `%(tenant)s`, `%(cutoff)s` and the like are filled in by psycopg2
on the client. `%(m0)s` are ids of the family's first member, `%(m1)s` of its second, ..
What deletes also commits to the keys (`retention.deletions`), and to the starting points of the
policy's own rows (`retention.starting_points`), in the same statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg2 import sql

from retention.deletions import HASH
from retention.graph import Edge, Family
from retention.rules import Rule
from retention.starting_points import sent
from tenants.catalog import Column, TableName

# What may have changed since the plan: whether the unit is the claim's, and its window open; holds
# on the tenant and on less, in force until a release takes effect; the tenant's own state and
# period; the policy itself and all there are on its tables; whether it was taken out of the file;
# whether the run, or all retention, was stopped; and whether anything came back from an archive.
STANDING = """
SELECT (SELECT tenure.in_window(opens, closes) FROM tenure.units
        WHERE run_id = %(run)s::uuid AND number = %(number)s AND holder = %(holder)s
          AND fence = %(fence)s),
       h.on_tenant, h.on_rows,
       (SELECT state FROM tenure.policy_states
        WHERE tenant_id = %(tenant)s::uuid AND policy = %(policy)s),
       (SELECT period FROM tenure.policy_periods
        WHERE tenant_id = %(tenant)s::uuid AND policy = %(policy)s),
       (SELECT jsonb_object_agg(v.policy, v.version) FROM (
            SELECT policy, max(version) AS version FROM tenure.policy_versions
            WHERE policy IN (SELECT policy FROM tenure.policy_versions
                             WHERE policy = %(policy)s OR definition ->> 'table' = ANY(%(tables)s))
            GROUP BY policy) v),
       (SELECT mod(max(number), 2) = 1 FROM tenure.policy_withdrawals WHERE policy = %(policy)s),
       (SELECT state FROM tenure.runs WHERE id = %(run)s::uuid),
       tenure.is_stopped(),
       EXISTS (SELECT FROM tenure.restored_rows
               WHERE tenant_id = %(tenant)s::uuid AND kept_until > statement_timestamp())
FROM (SELECT count(*) FILTER (WHERE scope = 'tenant') AS on_tenant,
             count(*) FILTER (WHERE scope <> 'tenant') AS on_rows
      FROM tenure.holds
      WHERE tenant_id = %(tenant)s::uuid
        AND (effective_at IS NULL OR effective_at > pg_catalog.clock_timestamp())) h
"""

# What `sweep` chose: rows, rows passed over, sha256 over hashes, over starting points, the last of
# these.
SWEPT = "SELECT string_to_array(current_setting('tenure.swept'), '|')"

RECORD = """
INSERT INTO tenure.batches (run_id, id, trace_id, span_id, tenant_id, policy, policy_version,
                            cutoff, action, rows_deleted, counts, progress, started_at)
VALUES (%(run)s::uuid, %(batch)s::uuid, %(trace)s, %(span)s, %(tenant)s::uuid, %(policy)s,
        %(version)s, %(cutoff_instant)s, %(action)s, %(rows)s, %(counts)s, %(progress)s,
        transaction_timestamp())
"""


@dataclass(frozen=True)
class Statements:
    """The statements of one policy on one family."""

    family: Family
    rule: Rule

    def where_nothing_is_restored(self) -> Statements:
        """Return them for a tenant of which nothing came back from an archive."""
        return replace(self, rule=replace(self.rule, restored=False))

    @property
    def starts_type(self) -> str:
        """The starting point's column type."""
        return self.rule.point.column.type

    def is_due(self, alias: str) -> sql.Composable:
        """Return the condition that a row of the policy's table, called `alias`, is due.

        With %(cutoff)s. The one place that says it: what chooses rows, locks them, deletes
        them and counts what is left must mean the same rows.
        """
        return self.rule.is_due(alias)

    def _anchored(self, alias: str) -> tuple[sql.Composable, sql.Composable, sql.Composable]:
        """Return the starting point of the row `alias`, the join that leads to it, and the
        lock that keeps it where it is: of another row where it is reached over a key."""
        point = self.rule.point
        if point.via is None:
            return sql.Identifier(alias, point.column.name), sql.SQL(""), sql.SQL("")
        join = sql.SQL(" JOIN {parent} p ON p.tenant_id = %(tenant)s::uuid AND p.id = {key}")
        return (
            sql.Identifier("p", point.column.name),
            join.format(parent=table(point.table), key=sql.Identifier(alias, point.via)),
            sql.SQL(" FOR SHARE OF p"),
        )

    @property
    def may_sweep(self) -> bool:
        """True where nothing goes along with a row, nothing refers to one, it carries its own
        starting point, and nothing becomes of it but that it goes."""
        alone = len(self.family.members) == 1 and not self.family.keeping
        return alone and self.rule.policy.action == "delete" and self.rule.point.via is None

    def sweep(self, *, after: bool) -> sql.Composable:
        """Delete the next due rows in index order, from %(after_starts)s on, and commit to
        their keys and starting points; look at %(limit)s rows at most. `SWEPT` then says what
        was chosen.

        Requires what `may_sweep` says. All of it sees one snapshot: if as many rows are
        deleted as were committed to, they are the same. Rows are passed over unless their
        xmax is 0, which says that nobody has locked them; it may be another in a row that was
        locked once, or deleted in vain.
        """
        starts = sql.Identifier("r", self.rule.point.column.name)
        return sql.SQL(
            "WITH chosen AS ("
            "SELECT count(*) FILTER (WHERE free) AS rows,"
            " count(*) FILTER (WHERE NOT free) AS over,"
            " array_agg(place) FILTER (WHERE free) AS places, max(starts)::text AS through,"
            " string_agg({hash}, '') FILTER (WHERE free) AS hashes,"
            " string_agg({sent}, '') FILTER (WHERE free) AS starts"
            " FROM (SELECT r.id, {starts} AS starts, r.ctid AS place, r.xmax = '0'::xid AS free"
            " FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid AND {due}{beyond}"
            " ORDER BY {starts} LIMIT %(limit)s) next"
            "), keys AS ({keys} FROM (SELECT *, set_config('tenure.swept', concat_ws('|',"
            " rows, over, coalesce(encode(sha256(hashes), 'hex'), ''),"
            " coalesce(encode(sha256(starts), 'hex'), ''), through), true) FROM chosen"
            " OFFSET 0) said WHERE rows > 0"
            ") DELETE FROM {root} x WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.ctid = ANY((SELECT places FROM chosen)::tid[]) AND {again}"
        ).format(
            starts=starts,
            hash=sql.SQL(HASH.format("id")),
            sent=sent(self.starts_type, sql.SQL("starts")),
            root=table(self.family.root),
            due=self.is_due("r"),
            beyond=sql.SQL(" AND {} >= %(after_starts)s::{}").format(
                starts, sql.SQL(self.starts_type)
            )
            if after
            else sql.SQL(""),
            keys=_keys(self.family.root, sql.SQL("hashes"), sql.SQL("starts")),
            again=self.is_due("x"),
        )

    def due(self, *, after: bool, lock: bool) -> sql.Composable:
        """Return the next due rows (id, starting point) in index order, at most %(limit)s.

        With `after`, those beyond (%(after_starts)s, %(after_id)s); with `lock`, those that
        nobody has locked, locked. Rows that others plainly keep are left out; whoever
        deletes looks again under lock.
        """
        starts, join, lock_anchor = self._anchored("r")
        beyond = sql.SQL(
            " AND ({starts}, r.id) > (%(after_starts)s::{type}, %(after_id)s::uuid)"
        ).format(starts=starts, type=sql.SQL(self.starts_type))
        unkept = [
            sql.SQL(
                " AND NOT EXISTS (SELECT FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
                " AND {column} = r.id{kind})"
            ).format(child=table(e.child), column=sql.Identifier("c", e.column), kind=kind_of(e))
            for e in self.family.outer
            if e.parent == self.family.root and self.rule.policy.removes
        ]
        skip = sql.SQL(" SKIP LOCKED")
        locks = sql.SQL(" FOR UPDATE OF r") + skip
        if self.rule.point.via is not None:
            locks += lock_anchor + skip
        return sql.SQL(
            "SELECT r.id::text, {starts}::text FROM {root} r{join}"
            " WHERE r.tenant_id = %(tenant)s::uuid AND {starts} < %(cutoff)s AND {due}{beyond}"
            "{unkept} ORDER BY {starts}, r.id LIMIT %(limit)s{lock}"
        ).format(
            starts=starts,
            join=join,
            root=table(self.family.root),
            due=self.is_due("r"),
            beyond=beyond if after else sql.SQL(""),
            unkept=sql.Composed(unkept),
            lock=locks if lock else sql.SQL(""),
        )

    def lock(self) -> sql.Composable:
        """Lock the rows %(ids)s that are still due, waiting for others; return their ids.

        The starting point is asked of the row that is locked, too: once a wait is over, that one
        is looked at afresh, and what a subquery said is not.
        """
        starts, join, lock_anchor = self._anchored("r")
        return sql.SQL(
            "SELECT r.id::text FROM {root} r{join} WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {starts} < %(cutoff)s AND {due}"
            " FOR UPDATE OF r{lock_anchor}"
        ).format(
            root=table(self.family.root),
            starts=starts,
            join=join,
            due=self.is_due("r"),
            lock_anchor=lock_anchor,
        )

    def still_due(self) -> sql.Composable:
        """Count which of %(ids)s are due."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {due}"
        ).format(root=table(self.family.root), due=self.is_due("r"))

    def left(self) -> sql.Composable:
        """Count the tenant's due rows."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid AND {due}"
        ).format(root=table(self.family.root), due=self.is_due("r"))

    def along(self, edges: Sequence[Edge]) -> sql.Composable:
        """Lock the rows that refer by one of `edges` to rows of its parent, which are in
        %(m0)s, %(m1)s, ..; return (number of the child, id)."""
        locked = [
            sql.SQL(
                "{name} AS (SELECT c.id FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
                " AND {column} = ANY({ids}::uuid[]){kind} FOR UPDATE)"
            ).format(
                name=sql.Identifier(f"e{number}"),
                child=table(edge.child),
                column=sql.Identifier("c", edge.column),
                ids=self._ids(edge.parent),
                kind=kind_of(edge),
            )
            for number, edge in enumerate(edges)
        ]
        results = [
            sql.SQL("SELECT {child}, id::text FROM {name}").format(
                child=sql.Literal(self.number(edge.child)), name=sql.Identifier(f"e{number}")
            )
            for number, edge in enumerate(edges)
        ]
        return sql.SQL("WITH {} {}").format(
            sql.SQL(", ").join(locked), sql.SQL(" UNION ALL ").join(results)
        )

    def number(self, member: TableName) -> int:
        """Return a member's place in the family."""
        return self.family.members.index(member)

    def _ids(self, member: TableName, prefix: str = "m") -> sql.Composable:
        return sql.Placeholder(f"{prefix}{self.number(member)}")

    def pull(self, edge: Edge, *, skip_locked: bool) -> sql.Composable:
        """Lock due rows of the policy's table, not in %(not)s, that refer to %(ids)s."""
        starts, join, lock_anchor = self._anchored("c")
        skip = sql.SQL(" SKIP LOCKED" if skip_locked else "")
        locks = sql.SQL(" FOR UPDATE OF c") + skip
        if self.rule.point.via is not None:
            locks += lock_anchor + skip
        return sql.SQL(
            "SELECT c.id::text FROM {child} c{join} WHERE c.tenant_id = %(tenant)s::uuid"
            " AND {column} = ANY(%(ids)s::uuid[]){kind} AND c.id <> ALL(%(not)s::uuid[])"
            " AND {starts} < %(cutoff)s AND {due} LIMIT %(limit)s{locks}"
        ).format(
            child=table(edge.child),
            starts=starts,
            join=join,
            column=sql.Identifier("c", edge.column),
            kind=kind_of(edge),
            due=self.is_due("c"),
            locks=locks,
        )

    def kept_along(self, name: TableName) -> sql.Composable | None:
        """Return which of a table's ids (%(m1)s, ..) that go along a minimum keeps, or that they
        were restored; None where nothing can."""
        kept = self.rule.keeps_along(name, "c").values()
        if not kept:
            return None
        return sql.SQL(
            "SELECT c.id::text FROM {table} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND c.id = ANY({ids}::uuid[]) AND ({kept})"
        ).format(table=table(name), ids=self._ids(name), kept=sql.SQL(" OR ").join(kept))

    def archive(self, name: TableName, schema: str, columns: Sequence[Column]) -> sql.Composable:
        """Copy a table's rows (%(m0)s, ..) to its archive, for %(batch)s."""
        names = sql.SQL(", ").join(sql.Identifier(c.name) for c in columns)
        return sql.SQL(
            "INSERT INTO {archive} ({names}, archived_at, archived_batch)"
            " SELECT {names}, transaction_timestamp(), %(batch)s::uuid FROM {table} x"
            " WHERE x.tenant_id = %(tenant)s::uuid AND x.id = ANY({ids}::uuid[])"
        ).format(
            archive=sql.Identifier(schema, name.name),
            names=names,
            table=table(name),
            ids=self._ids(name),
        )

    def kept(self, edges: Sequence[Edge]) -> sql.Composable:
        """Return which of %(m0)s, %(m1)s, .. a row refers to, by one of `edges`, that stays
        (that is not in %(m0)s), as (number of the parent, id)."""
        return sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT DISTINCT {parent}, {column}::text FROM {child} c"
                " WHERE c.tenant_id = %(tenant)s::uuid AND {column} = ANY({ids}::uuid[])"
                "{kind}{others}"
            ).format(
                parent=sql.Literal(self.number(edge.parent)),
                child=table(edge.child),
                column=sql.Identifier("c", edge.column),
                ids=self._ids(edge.parent),
                kind=kind_of(edge),
                others=sql.SQL(
                    " AND c.id <> ALL(%(m0)s::uuid[])" if edge.child == self.family.root else ""
                ),
            )
            for edge in edges
        )

    def referred(self, edges: Sequence[Edge]) -> sql.Composable:
        """Return which of %(m0)s, %(m1)s, .. the rows %(f0)s, %(f1)s, .. refer to by one of
        `edges`, as (number of the parent, id)."""
        return sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT DISTINCT {parent}, {column}::text FROM {child} c"
                " WHERE c.tenant_id = %(tenant)s::uuid AND c.id = ANY({ids}::uuid[])"
                " AND {column} = ANY({among}::uuid[]){kind}"
            ).format(
                parent=sql.Literal(self.number(edge.parent)),
                child=table(edge.child),
                column=sql.Identifier("c", edge.column),
                ids=self._ids(edge.child, "f"),
                among=self._ids(edge.parent),
                kind=kind_of(edge),
            )
            for edge in edges
        )

    def delete(self, group: Sequence[TableName]) -> sql.Composable:
        """Delete a group's rows %(m0)s, %(m1)s, .., and commit to their keys; return
        (number of the member, rows, sha256, that of the starting points). One statement:
        references among them are checked at its end."""
        acts = {name: self._delete(name) for name in group}
        return committing(acts, self.number, _keys, self._starts())

    def change(self) -> sql.Composable:
        """Give the rows %(m0)s that are still due their treated values, and commit to their
        keys; return as `delete` does. Starting points are taken from the rows as they were: a
        trigger of the domain's may move them."""
        changes = [
            sql.SQL("{} = {}").format(sql.Identifier(t.column), t.new_value(column, "x"))
            for t, column in zip(self.rule.policy.treatments, self.rule.columns, strict=True)
        ]
        update = sql.SQL(
            "UPDATE {table} x SET {changes} FROM {table} o WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY(%(m0)s::uuid[]) AND {due} AND o.tenant_id = %(tenant)s::uuid"
            " AND o.id = x.id RETURNING x.id, {starts} AS starts"
        ).format(
            table=table(self.family.root),
            changes=sql.SQL(", ").join(changes),
            due=self.is_due("x"),
            starts=self.rule.started("o"),
        )
        return committing({self.family.root: update}, self.number, _keys, self._starts())

    def _starts(self) -> dict[TableName, sql.Composable]:
        """Return how the starting points of the policy's own rows, called `starts`, are kept."""
        return {self.family.root: sent(self.starts_type, sql.SQL("starts"))}

    def _delete(self, name: TableName) -> sql.Composable:
        again: sql.Composable = sql.SQL("")
        starts: sql.Composable = sql.SQL("")
        if name == self.family.root:
            again = sql.SQL(" AND {}").format(self.is_due("x"))
            starts = sql.SQL(", {} AS starts").format(self.rule.started("x"))
        return sql.SQL(
            "DELETE FROM {table} x WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY({ids}::uuid[]){again} RETURNING x.id{starts}"
        ).format(table=table(name), ids=self._ids(name), again=again, starts=starts)


def committing(
    acts: Mapping[TableName, sql.Composable],
    number: Callable[[TableName], int],
    keys: Callable[..., sql.Composable],
    starts: Mapping[TableName, sql.Composable] | None = None,
) -> sql.Composable:
    """Return one statement of several that each return ids, with their keys kept: what it
    returns is (the table's number, rows, sha256 over the hashes, over the starting points).

    `starts` says of which tables' rows these are kept, and how, as an expression over what the
    act returns; of others their digest is NULL. `keys` makes the beginning of an INSERT of one
    row with the table's hashes, and its starting points where they are kept, up to FROM.
    """
    parts: list[sql.Composable] = []
    results: list[sql.Composable] = []
    for name, act in acts.items():
        gone, kept = (sql.Identifier(f"{x}{number(name)}") for x in ("gone", "keys"))
        columns: dict[str, sql.Composable] = {"hashes": sql.SQL(HASH.format("id"))}
        if starts and name in starts:
            columns["starts"] = starts[name]
        parts += [
            sql.SQL("{} AS ({})").format(gone, act),
            sql.SQL(
                "{kept} AS ({keys} FROM {gone} HAVING count(*) > 0 RETURNING {columns})"
            ).format(
                kept=kept,
                # Both take the rows in one order.
                keys=keys(
                    name, *(sql.SQL("string_agg({}, '')").format(v) for v in columns.values())
                ),
                gone=gone,
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            ),
        ]
        results.append(
            sql.SQL(
                "SELECT {number}, octet_length(hashes) / 16, encode(sha256(hashes), 'hex'),"
                " {starts} FROM {kept}"
            ).format(
                number=sql.Literal(number(name)),
                kept=kept,
                starts=sql.SQL("encode(sha256(starts), 'hex')" if "starts" in columns else "NULL"),
            )
        )
    return sql.SQL("WITH {} {}").format(
        sql.SQL(", ").join(parts), sql.SQL(" UNION ALL ").join(results)
    )


def _keys(
    name: TableName, hashes: sql.Composable, starts: sql.Composable | None = None
) -> sql.Composable:
    """Return the beginning of an INSERT of one row into `tenure.deleted_keys`, up to FROM."""
    return sql.SQL(
        "INSERT INTO tenure.deleted_keys (tenant_id, run_id, batch_id, table_name, hashes, starts)"
        " SELECT %(tenant)s::uuid, %(run)s::uuid, %(batch)s::uuid, {name}, {hashes}, {starts}"
    ).format(name=sql.Literal(str(name)), hashes=hashes, starts=starts or sql.SQL("NULL::bytea"))


def table(name: TableName) -> sql.Composable:
    """Return a table's name, quoted."""
    return sql.Identifier(name.schema, name.name)


def kind_of(edge: Edge) -> sql.Composable:
    """Return what a soft reference by `edge` asks of the child's kind column."""
    if edge.kind_column is None:
        return sql.SQL("")
    return sql.SQL(" AND {} = {}").format(
        sql.Identifier("c", edge.kind_column), sql.Literal(edge.kind)
    )


Params = dict[str, Any]
