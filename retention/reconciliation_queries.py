"""The books' questions as SQL: what entered, what left and how, what is back.

A key is the first 16 bytes of sha256(uuid_send(id)), as the batches keep it in
tenure.deleted_keys; the tables' rows are hashed afresh and compared. Nothing of the executor's
is used but what it recorded.
"""

from __future__ import annotations

from psycopg2 import sql

from retention.policies import Policy
from retention.verification_queries import name_of
from retention.verification_rules import Ground, due
from tenants.catalog import TableName

# Concatenated to nothing, a value is taken out of its storage. The inner OFFSET makes that once
# and not for every key; the outer one has keys alone go on, and no row carry them all.
_UNPACKED = """SELECT packed.{fields}, substr(packed.hashes, 16 * n + 1, 16) AS key
    FROM (SELECT {source_fields}, hashes || ''::bytea AS hashes FROM {source} OFFSET 0) packed
    CROSS JOIN generate_series(0, octet_length(packed.hashes) / 16 - 1) n OFFSET 0"""

_NOT_ACCOUNTED = """NOT EXISTS (SELECT FROM tenure.accounted_batches a
                          WHERE a.run_id = b.run_id AND a.batch_id = b.id)"""

# What others deleted is looked for from when the policy could last be asked.
_NOT_ACCOUNTED_THEN = """NOT EXISTS (SELECT FROM tenure.accounted_batches a
                          WHERE a.run_id = b.run_id AND a.batch_id = b.id
                            AND a.account <= %(asked)s)"""

# What left is told apart in this order: recorded as deleted, recorded as removed by a user,
# there and not due any more. The table is read through for that only where something is left.
_MOVEMENTS = """WITH recorded AS MATERIALIZED (
    SELECT k.tenant_id, b.policy = %(policy)s AS by_policy, k.hashes
    FROM tenure.batches b JOIN tenure.deleted_keys k ON k.run_id = b.run_id AND k.batch_id = b.id
    WHERE k.table_name = %(table)s AND {not_accounted}
), deleted AS (
    SELECT tenant_id, key, bool_or(by_policy) AS by_policy
    FROM ({deleted}) d GROUP BY tenant_id, key
), removed AS (
    SELECT DISTINCT tenant_id, key FROM ({removed}) r
), opening AS (
    SELECT tenant_id, key FROM ({moved}) m
    GROUP BY tenant_id, key HAVING sum(CASE movement WHEN 'entered' THEN 1 ELSE -1 END) > 0
), past AS (
    {past}
), gone AS MATERIALIZED (
    SELECT o.tenant_id, o.key,
           CASE WHEN d.by_policy THEN 'deleted' WHEN d.key IS NOT NULL THEN 'deleted_along'
                WHEN r.key IS NOT NULL THEN 'removed' END AS movement
    FROM opening o LEFT JOIN past p USING (tenant_id, key)
    LEFT JOIN deleted d USING (tenant_id, key) LEFT JOIN removed r USING (tenant_id, key)
    WHERE p.key IS NULL
), there AS (
    {there}
), moved AS (
    SELECT p.tenant_id, p.key, 'entered' AS movement
    FROM past p LEFT JOIN opening o USING (tenant_id, key) WHERE o.key IS NULL
    UNION ALL
    SELECT g.tenant_id, g.key,
           coalesce(g.movement, CASE WHEN t.key IS NULL THEN 'vanished' ELSE 'no_longer_due' END)
    FROM gone g LEFT JOIN there t ON g.movement IS NULL AND t.tenant_id = g.tenant_id
                                 AND t.key = g.key
    UNION ALL
    SELECT d.tenant_id, d.key, 'passed' FROM deleted d
    LEFT JOIN opening o USING (tenant_id, key) LEFT JOIN past p USING (tenant_id, key)
    WHERE d.by_policy AND o.key IS NULL AND p.key IS NULL
)
SELECT tenant_id::text, movement, count(*),
       CASE WHEN movement <> 'passed' THEN string_agg(key, ''::bytea ORDER BY key) END
FROM (SELECT *, (row_number() OVER (PARTITION BY tenant_id, movement ORDER BY key) - 1)
                / {part_size} AS part FROM moved) numbered
GROUP BY tenant_id, movement, part ORDER BY tenant_id, movement, part"""

_PART_SIZE = 65_536

# By users, at people's request, and again after a restore.
_REMOVED = """(SELECT tenant_id, hashes FROM tenure.removals
        WHERE table_name = %(table)s AND removed_at >= %(since)s
        UNION ALL
        SELECT tenant_id, hashes FROM tenure.erased_keys
        WHERE table_name = %(table)s AND action = 'delete' AND recorded_at >= %(since)s
        UNION ALL
        SELECT tenant_id, hashes FROM tenure.purged_keys
        WHERE table_name = %(table)s AND action = 'delete' AND recorded_at >= %(since)s) removed"""

# A book that once closed with nothing need not be read from before that.
_MOVED = """tenure.movements m WHERE policy = %(policy)s AND table_name = %(table)s
        AND account > coalesce((
            SELECT max(r.account) FROM tenure.reconciliations r
            WHERE r.policy = m.policy AND r.table_name = m.table_name
              AND r.tenant_id = m.tenant_id AND r.closing = 0), 0)"""


def movements_query(
    table: TableName | None, policy: Policy | None, ground: Ground
) -> sql.Composable:
    """Return the query for (tenant, movement, keys counted, their hashes) of a policy's book.

    Takes policy, table (their names), asked (the last account in which it was asked), since and
    cutoff. Beside the movements that are kept,
    `passed` counts keys that became due and were deleted since the account before. `table` is
    None where the catalog has it no more, `policy` where nothing is due under it any more.
    """
    name = name_of(table) if table else None
    rows = sql.SQL("SELECT d.tenant_id, {} AS key FROM {} d WHERE {}")
    nothing = sql.SQL("SELECT NULL::uuid AS tenant_id, NULL::bytea AS key WHERE false")
    left = sql.SQL("EXISTS (SELECT FROM gone WHERE movement IS NULL)")
    return sql.SQL(_MOVEMENTS).format(
        not_accounted=sql.SQL(_NOT_ACCOUNTED_THEN),
        deleted=_unpacked("tenant_id, by_policy", "recorded"),
        removed=_unpacked("tenant_id", _REMOVED),
        moved=_unpacked(
            "tenant_id, movement",
            _MOVED,
        ),
        past=rows.format(_key("d"), name, due(policy, "d", ground)) if policy and name else nothing,
        there=rows.format(_key("d"), name, left) if name else nothing,
        part_size=sql.Literal(_PART_SIZE),
    )


# What was only changed is there, of course, and what was restored is meant to be: but for what had
# gone from the archive by then, which is on record as gone from there.
_REMOVED_KEYS = """(SELECT k.tenant_id, k.hashes FROM tenure.deleted_keys k
        WHERE k.table_name = ANY(%(tables)s)
        AND EXISTS (SELECT FROM tenure.batches b WHERE b.run_id = k.run_id AND b.id = k.batch_id
                    AND b.action IN ('delete', 'archive'))
        AND NOT EXISTS (SELECT FROM tenure.restorations s
                        WHERE s.tenant_id = k.tenant_id AND s.batch_id = k.batch_id)
        UNION ALL
        SELECT e.tenant_id, e.hashes FROM tenure.erased_keys e
        WHERE e.table_name = ANY(%(tables)s) AND e.action = 'delete'
        UNION ALL
        SELECT p.tenant_id, p.hashes FROM tenure.purged_keys p
        WHERE p.table_name = ANY(%(tables)s) AND p.action = 'delete') gone"""


def returned_query(table: TableName) -> sql.Composable:
    """Return the query for rows per tenant whose deletion is recorded; takes tables: its name, and
    those of its archives."""
    return sql.SQL(
        "SELECT t.tenant_id::text AS tenant, count(*) AS found FROM {} t"
        " WHERE (t.tenant_id, {}) IN (SELECT d.tenant_id, d.key FROM ({}) d)"
        " GROUP BY t.tenant_id ORDER BY t.tenant_id"
    ).format(
        name_of(table),
        _key("t"),
        _unpacked("tenant_id", _REMOVED_KEYS),
    )


# Batches that no account has counted, with the rows of their policy's own table.
BATCHES = sql.SQL("""SELECT b.run_id::text, b.id::text, b.tenant_id::text, b.policy,
       coalesce(v.definition->>'table', ''),
       CASE jsonb_typeof(b.counts->(v.definition->>'table')->'rows')
            WHEN 'number' THEN (b.counts->(v.definition->>'table')->'rows')::bigint ELSE 0 END
FROM tenure.batches b
JOIN tenure.policy_versions v ON v.policy = b.policy AND v.version = b.policy_version
WHERE {not_accounted}""").format(not_accounted=sql.SQL(_NOT_ACCOUNTED))

# Of batches that no account has counted: tables whose count or digest is not that of the keys.
RECORDS = sql.SQL("""SELECT tenant_id::text AS tenant, count(*) AS found
FROM (
    SELECT b.tenant_id FROM tenure.batches b
    CROSS JOIN LATERAL jsonb_each(
        CASE jsonb_typeof(b.counts) WHEN 'object' THEN b.counts ELSE '{{}}' END) c
    LEFT JOIN tenure.deleted_keys k
        ON k.run_id = b.run_id AND k.batch_id = b.id AND k.table_name = c.key
    WHERE {not_accounted}
      AND (c.value->'rows' IS DISTINCT FROM to_jsonb(octet_length(k.hashes) / 16)
           OR c.value->>'sha256' IS DISTINCT FROM encode(sha256(k.hashes), 'hex')
           OR c.value->>'starts_sha256' IS DISTINCT FROM encode(sha256(k.starts), 'hex'))
    UNION ALL
    SELECT b.tenant_id FROM tenure.batches b
    JOIN tenure.deleted_keys k ON k.run_id = b.run_id AND k.batch_id = b.id
    WHERE {not_accounted} AND NOT b.counts ? k.table_name
) unlike
GROUP BY tenant_id ORDER BY tenant_id""").format(not_accounted=sql.SQL(_NOT_ACCOUNTED))

# Of all erasures' batches: tables whose count or digest is not that of the keys.
ERASED_RECORDS = sql.SQL("""SELECT tenant_id::text AS tenant, count(*) AS found FROM (
    SELECT coalesce(b.tenant_id, k.tenant_id) AS tenant_id FROM (
        SELECT b.tenant_id, b.id, t.name, a.action, a.entry FROM tenure.erasure_batches b
        CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
        CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)) b
    FULL JOIN tenure.erased_keys k ON k.tenant_id = b.tenant_id AND k.batch_id = b.id
        AND k.table_name = b.name AND k.action = b.action
    WHERE b.entry->'rows' IS DISTINCT FROM to_jsonb(octet_length(k.hashes) / 16)
       OR b.entry->>'sha256' IS DISTINCT FROM encode(sha256(k.hashes), 'hex')
) unlike GROUP BY tenant_id ORDER BY tenant_id""")

# The same of replays.
PURGED_RECORDS = sql.SQL("""SELECT tenant_id::text AS tenant, count(*) AS found FROM (
    SELECT coalesce(b.tenant_id, k.tenant_id) AS tenant_id FROM (
        SELECT b.tenant_id, b.id, t.name, a.action, a.entry FROM tenure.purge_batches b
        CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
        CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)) b
    FULL JOIN tenure.purged_keys k ON k.tenant_id = b.tenant_id AND k.batch_id = b.id
        AND k.table_name = b.name AND k.action = b.action
    WHERE b.entry->'rows' IS DISTINCT FROM to_jsonb(octet_length(k.hashes) / 16)
       OR b.entry->>'sha256' IS DISTINCT FROM encode(sha256(k.hashes), 'hex')
) unlike GROUP BY tenant_id ORDER BY tenant_id""")

OVERDUE_ERASURES = sql.SQL("""SELECT tenant_id::text AS tenant, count(*) AS found,
       min(due_at) AS oldest
FROM tenure.erasures WHERE ended_at IS NULL AND due_at < %(as_of)s
GROUP BY tenant_id ORDER BY tenant_id""")

# How many keys are packed in a value the server cannot guess, and nested loops over keys take for
# ever. To be sent in a transaction before questions about keys.
HASH_JOINS = "SET LOCAL enable_nestloop = off"

# What each book last closed with.
CLOSINGS = """SELECT DISTINCT ON (policy, table_name, tenant_id)
       policy, table_name, tenant_id::text, held, undeletable, paused, still_due
FROM tenure.reconciliations ORDER BY policy, table_name, tenant_id, account DESC"""

# An account that is ahead is from before the clock was put back: nobody waits until then.
AHEAD = sql.SQL("""SELECT NULL AS tenant, count(*) AS found
FROM (SELECT as_of FROM tenure.verifications
      WHERE account IS NOT NULL ORDER BY account DESC LIMIT 1) last
WHERE as_of > %(now)s::timestamptz + %(ahead)s HAVING count(*) > 0""")

LAST_ACCOUNT = """SELECT account, as_of, started_at FROM tenure.verifications
WHERE account IS NOT NULL ORDER BY account DESC LIMIT 1"""

# Of policies that could not be asked in the last account (%(account)s): in which they last were.
LAST_ASKED = """SELECT u.policy, last.account, last.started_at FROM (
    SELECT DISTINCT r.subject AS policy FROM tenure.verifications v
    JOIN tenure.verification_results r ON r.verification_id = v.id
    CROSS JOIN LATERAL jsonb_object_keys(r.reasons) reason
    WHERE v.account = %(account)s AND r.kind IN ('overdue', 'reconciliation')
      AND starts_with(reason, %(not_asked)s)) u
LEFT JOIN LATERAL (
    SELECT v.account, v.started_at FROM tenure.verifications v
    JOIN tenure.verification_results r ON r.verification_id = v.id
    WHERE v.account IS NOT NULL AND r.kind = 'reconciliation' AND r.subject = u.policy
      AND NOT EXISTS (SELECT FROM jsonb_object_keys(r.reasons) reason
                      WHERE starts_with(reason, %(not_asked)s))
    ORDER BY v.account DESC LIMIT 1) last ON true"""


def _key(alias: str) -> sql.Composable:
    return sql.SQL("substr(sha256(uuid_send({})), 1, 16)").format(sql.Identifier(alias, "id"))


def _unpacked(fields: str, source: str) -> sql.Composable:
    """Return the query for a key a row, with the named columns of its source."""
    columns = [name.strip() for name in fields.split(",")]
    return sql.SQL(_UNPACKED).format(
        fields=sql.SQL(", packed.").join(map(sql.Identifier, columns)),
        source_fields=sql.SQL(", ").join(map(sql.Identifier, columns)),
        source=sql.SQL(source),
    )
