"""Our own leftovers: what the product keeps of its own work goes, too, when its time is over.

How long each table is kept is declared in `retention/leftovers.toml`; here is what nobody can go
below, whoever asks: a row younger than its table's floor is refused by a trigger, and another one
records what went, in the statement that deletes it. Only the owner deletes there at all;
retention does so through one function, which names no row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)


class Ground(NamedTuple):
    """A table of ours that is emptied by age: the column that says when a row is over, no row
    goes before `floor` after that, and none for which `besides` does not hold."""

    table: str
    ended: str
    floor: str
    besides: str = "true"


GROUNDS = (
    Ground("alerts", "resolved_at", "30 days"),
    # The last one goes on.
    Ground(
        "watches",
        "last_at",
        "1 year",
        "EXISTS (SELECT FROM tenure.watches n WHERE n.last_at > t.last_at)",
    ),
    # The last of a name says since when its schedule runs.
    Ground(
        "scheduled",
        "due_at",
        "1 year",
        "EXISTS (SELECT FROM tenure.scheduled n WHERE n.name = t.name AND n.due_at > t.due_at)",
    ),
    Ground("cross_tenant_reads", "read_at", "1 year"),
    Ground("access_changes", "changed_at", "1 year"),
    Ground("inspections", "recorded_at", "1 year"),
    Ground("restored_rows", "kept_until", "0 days"),
)

DELETIONS = """
CREATE TABLE tenure.leftover_deletions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    table_name text NOT NULL,
    rows_deleted bigint NOT NULL CHECK (rows_deleted > 0),
    oldest timestamptz NOT NULL,
    newest timestamptz NOT NULL,
    rows_sha256 text NOT NULL CHECK (rows_sha256 ~ '^[0-9a-f]{64}$'),
    deleted_by text NOT NULL DEFAULT session_user,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX leftover_deletions_table ON tenure.leftover_deletions (table_name, deleted_at);
COMMENT ON TABLE tenure.leftover_deletions IS
    'Which of our own rows went, by trigger, in the statement that deleted them.';
COMMENT ON COLUMN tenure.leftover_deletions.rows_sha256 IS
    'Over the rows as JSON, sorted, with a line feed between them.';
COMMENT ON COLUMN tenure.deleted_keys.hashes IS
    'In batches of now, as they went; in those from before, ascending.';

CREATE FUNCTION tenure.refuse_early_deletion() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce((to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz, 'infinity')
       > clock_timestamp() - TG_ARGV[1]::interval THEN
        RAISE EXCEPTION '%.%: a row is kept for % after its %',
            TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[1], TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION tenure.record_leftovers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO tenure.leftover_deletions (table_name, rows_deleted, oldest, newest, rows_sha256)
    SELECT TG_TABLE_NAME, count(*), min(at), max(at),
           encode(sha256(convert_to(string_agg(content, E'\\n' ORDER BY content COLLATE "C"),
                                    'UTF8')), 'hex')
    FROM (SELECT to_jsonb(g)::text AS content, (to_jsonb(g) ->> TG_ARGV[0])::timestamptz AS at
          FROM gone g) r
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION tenure.refuse_early_deletion() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.record_leftovers() FROM PUBLIC;
"""

INDEXES = """
CREATE INDEX alerts_resolved ON tenure.alerts (resolved_at);
CREATE INDEX scheduled_due ON tenure.scheduled (due_at);
CREATE INDEX restored_rows_end ON tenure.restored_rows (kept_until);
"""

_BRANCH = """
    WHEN '{table}' THEN
        DELETE FROM tenure.{table} WHERE ctid IN (
            SELECT t.ctid FROM tenure.{table} t
            WHERE t.{ended} < least(ended_before, clock_timestamp() - interval '{floor}')
              AND {besides}
            ORDER BY t.{ended} LIMIT at_most FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS gone = ROW_COUNT;"""
# Each row's going is entered in the ledger; what its entries are committed to goes with it.
_ENTERED_BRANCH = """
    WHEN '{table}' THEN
        WITH deleted AS (
            DELETE FROM tenure.{table} WHERE ctid IN (
                SELECT t.ctid FROM tenure.{table} t
                WHERE t.{ended} < least(ended_before, clock_timestamp() - interval '{floor}')
                  AND {besides}
                ORDER BY t.{ended} LIMIT at_most FOR UPDATE SKIP LOCKED)
            RETURNING id::text)
        SELECT array_agg(id) INTO keys FROM deleted;
        gone := coalesce(cardinality(keys), 0);
        DELETE FROM tenure.ledger_texts x USING tenure.ledger_entries e
        WHERE x.entry_id = e.id AND e.source = '{table}' AND e.row_key = ANY(keys);"""
ENTERED = ("cross_tenant_reads", "access_changes", "inspections")
_DELETE = """
CREATE FUNCTION tenure.delete_leftovers(which text, ended_before timestamptz, at_most integer)
RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    keys text[];
BEGIN
    IF at_most IS NULL OR at_most NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'from 1 to 10000 rows go at once, not %', at_most
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    CASE which{branches}
    ELSE
        RAISE EXCEPTION 'no row of tenure.% goes by its age', which
            USING ERRCODE = 'invalid_parameter_value';
    END CASE;
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION tenure.delete_leftovers(text, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.delete_leftovers(text, timestamptz, integer) TO tenure_retention;
"""
APPEND_ONLY = (
    "scheduled",
    "cross_tenant_reads",
    "access_changes",
    "inspections",
    "restored_rows",
)
CHANGED = ("alerts", "watches")

TABLES = ("leftover_deletions",)
# Rows of no tenant: what goes by its age is the installation's own.
ACCESS: tuple[Access, ...] = (
    ("leftover_deletions", "tenure_retention", ("SELECT",), "true"),
    ("leftover_deletions", "tenure_verifier", ("SELECT",), "true"),
    ("leftover_deletions", "tenure_auditor", ("SELECT",), "true"),
)
FEED = ledger_statement(
    "leftover_deletions",
    "leftovers",
    plain=("id", "table_name", "rows_deleted", "oldest", "newest", "rows_sha256", "deleted_at"),
    committed=("deleted_by",),
)


def _guards(ground: Ground) -> tuple[str, ...]:
    on = f"ON tenure.{ground.table}"
    return (
        f"CREATE TRIGGER kept BEFORE DELETE {on} FOR EACH ROW EXECUTE FUNCTION"
        f" tenure.refuse_early_deletion('{ground.ended}', '{ground.floor}')",
        f"CREATE TRIGGER recorded AFTER DELETE {on} REFERENCING OLD TABLE AS gone"
        f" FOR EACH STATEMENT EXECUTE FUNCTION tenure.record_leftovers('{ground.ended}')",
    )


def up(migrator: Any, db: Any) -> None:
    """Add the record, the guards and the function; runs as tenure_owner, in one transaction."""
    branches = "".join(
        (_ENTERED_BRANCH if ground.table in ENTERED else _BRANCH).format(**ground._asdict())
        for ground in GROUNDS
    )
    execute(db, DELETIONS, INDEXES, _DELETE.format(branches=branches))
    for table in APPEND_ONLY:
        execute(
            db,
            f"DROP TRIGGER append_only ON tenure.{table}",
            f"CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON tenure.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()",
        )
    for table in CHANGED:
        execute(
            db,
            f"CREATE TRIGGER append_only BEFORE TRUNCATE ON tenure.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()",
        )
    for ground in GROUNDS:
        execute(db, *_guards(ground))
    execute(
        db,
        append_only_statement("leftover_deletions"),
        *access_statements(TABLES, ACCESS),
        FEED,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where something went: what says so would be lost. Else take it all away."""
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.leftover_deletions)").fetchone()[0]:
        raise RuntimeError("rows of ours were deleted; only tenure.leftover_deletions says which")
    for ground in GROUNDS:
        execute(
            db,
            f"DROP TRIGGER kept ON tenure.{ground.table}",
            f"DROP TRIGGER recorded ON tenure.{ground.table}",
        )
    for table in (*APPEND_ONLY, *CHANGED):
        execute(db, f"DROP TRIGGER append_only ON tenure.{table}")
    for table in APPEND_ONLY:
        execute(db, append_only_statement(table))
    execute(
        db,
        "DROP FUNCTION tenure.delete_leftovers(text, timestamptz, integer)",
        "DROP TABLE tenure.leftover_deletions",
        "DROP FUNCTION tenure.refuse_early_deletion()",
        "DROP FUNCTION tenure.record_leftovers()",
        "DROP INDEX tenure.alerts_resolved",
        "DROP INDEX tenure.scheduled_due",
        "DROP INDEX tenure.restored_rows_end",
    )
