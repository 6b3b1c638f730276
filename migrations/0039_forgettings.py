"""Texts that name a person can be forgotten, in the rows that they stand in and in the ledger.

Rows of evidence are append-only, and the ledger's entries have commitments to what they say of
people. One function, and nobody's hand, replaces such a text in its rows by a mark that says which
forgetting it fell to, and deletes the ledger's text (and its salt) of it, in one transaction with
the record of both: so a text that went otherwise, or a row that says anything else than the mark,
is found as before. It can put nothing into a row but the mark.

Who asks for it and who does it are two; what is sought is not kept, but for a salted digest until
it is done. A tenant under a hold keeps its texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

#: Columns with texts that people wrote or that name people, by their table.
NAMING = {
    "access_changes": ("actor",),
    "alerts": ("detail", "problem"),
    "api_tokens": ("name",),
    "certificates": ("issued_by",),
    "connector_events": ("actor", "detail"),
    "connector_requests": ("problem", "requested_by"),
    "context_key_steps": ("actor",),
    "cross_tenant_reads": ("actor", "reason"),
    "erasure_events": ("actor",),
    "erasure_plans": ("made_by",),
    "erasures": ("entered_by", "plan_wanted_by"),
    "exports": ("problem", "reason", "requested_by"),
    "forgettings": ("done_by", "reason", "requested_by"),
    "hold_events": ("actor", "reason"),
    "holds": ("condition", "matter", "placed_by", "reason", "released_by"),
    "inspections": ("recorded_by", "subject"),
    "interventions": ("actor", "reason"),
    "ledger_key_steps": ("actor",),
    "leftover_deletions": ("deleted_by",),
    "logins": ("email",),
    "offboardings": (
        "reason", "requested_by", "taken_back_by", "taken_back_reason", "waits",
    ),
    "policy_changes": ("changed_by",),
    "policy_periods": ("changed_by",),
    "policy_states": ("changed_by",),
    "policy_versions": ("recorded_by",),
    "policy_withdrawals": ("recorded_by",),
    "purges": ("begun_by",),
    "removals": ("actor",),
    "restorations": ("reason", "restored_by"),
    "runs": ("detail", "started_by"),
    "units": ("detail",),
    "verifications": ("started_by",),
}  # fmt: skip

TABLES_SQL = """
CREATE TABLE tenure.forgettings (
    id uuid PRIMARY KEY,
    tenant_id uuid,
    parts boolean NOT NULL,
    salt bytea CHECK (octet_length(salt) = 32),
    sought_sha256 bytea CHECK (octet_length(sought_sha256) = 32),
    requested_by text NOT NULL CHECK (btrim(requested_by) <> ''),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_by text CHECK (btrim(done_by) <> ''),
    counts jsonb,
    done_at timestamptz,
    CHECK ((salt IS NULL) = (sought_sha256 IS NULL)),
    CHECK ((done_at IS NULL) = (done_by IS NULL) AND (done_at IS NULL) = (counts IS NULL)),
    CHECK (done_at IS NULL OR salt IS NULL)
);
CREATE INDEX forgettings_tenant ON tenure.forgettings (tenant_id);
COMMENT ON TABLE tenure.forgettings IS
    'Who had texts that name a person forgotten, and how many in which column. Not which texts.';
COMMENT ON COLUMN tenure.forgettings.tenant_id IS 'Whose rows alone; NULL: those of all.';
COMMENT ON COLUMN tenure.forgettings.parts IS
    'Whether texts go that contain what is sought, not only those that are it.';
COMMENT ON COLUMN tenure.forgettings.sought_sha256 IS
    'sha256(salt || what is sought): until it is done, and then nothing.';

CREATE TABLE tenure.forgotten_texts (
    entry_id uuid NOT NULL,
    field text NOT NULL,
    forgetting_id uuid NOT NULL REFERENCES tenure.forgettings (id),
    PRIMARY KEY (entry_id, field)
);
CREATE INDEX forgotten_texts_forgetting ON tenure.forgotten_texts (forgetting_id);
COMMENT ON TABLE tenure.forgotten_texts IS
    'Which texts of the ledger each forgetting took. Their rows have its mark.';
"""

NAMING_SQL = """
CREATE OR REPLACE FUNCTION tenure.naming_columns()
RETURNS TABLE (table_name text, column_name text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES {names}
$$;
"""
FUNCTIONS_SQL = """
COMMENT ON FUNCTION tenure.naming_columns() IS
    'Columns with texts that people wrote, or that name people.';

CREATE FUNCTION tenure.is_sought(content text, sought text, parts boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN parts THEN strpos(lower(content), lower(sought)) > 0
                ELSE lower(content) = lower(sought) END
$$;

CREATE FUNCTION tenure.forgotten_mark(forgetting uuid, done_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'forgotten on ' || to_char(done_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
           || ' (' || forgetting || ')'
$$;
COMMENT ON FUNCTION tenure.forgotten_mark(uuid, timestamptz) IS
    'What stands in a row in the place of a text that was forgotten.';

-- Says how many, and of whom: no text leaves it.
CREATE FUNCTION tenure.texts_naming(sought text, parts boolean, of_tenant uuid)
RETURNS TABLE (table_name text, column_name text, tenant uuid, rows bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place record;
BEGIN
    IF sought IS NULL OR length(btrim(sought)) < 3 THEN
        RAISE EXCEPTION 'a text of fewer than three characters names nobody'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR place IN
        SELECT n.table_name AS t, n.column_name AS c, EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = format('tenure.%I', n.table_name)::regclass
              AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS has_tenant
        FROM tenure.naming_columns() n ORDER BY 1, 2
    LOOP
        CONTINUE WHEN of_tenant IS NOT NULL AND NOT place.has_tenant;
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, %L::text, %s, count(*) FROM tenure.%I r'
            ' WHERE tenure.is_sought(r.%I, $1, $2) AND ($3 IS NULL OR %s = $3) GROUP BY 3',
            place.t, place.c,
            CASE WHEN place.has_tenant THEN 'r.tenant_id' ELSE 'NULL::uuid' END,
            place.t, place.c,
            CASE WHEN place.has_tenant THEN 'r.tenant_id' ELSE 'NULL::uuid' END)
            -- A login is one person's, whose address others' may contain.
            USING sought, parts AND place.t <> 'logins', of_tenant;
    END LOOP;
    RETURN QUERY
        SELECT 'ledger_texts'::text, e.source || '.' || x.field, x.tenant_id, count(*)
        FROM tenure.ledger_texts x
        JOIN tenure.ledger_entries e ON e.id = x.entry_id
        JOIN tenure.naming_columns() n ON n.table_name = e.source AND n.column_name = x.field
        WHERE tenure.is_sought(x.content, sought, parts AND e.source <> 'logins')
          AND (of_tenant IS NULL OR x.tenant_id = of_tenant)
        GROUP BY 2, 3 ORDER BY 2, 3;
END $$;

CREATE FUNCTION tenure.forget(which uuid, sought text, done_by text, alone boolean)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    asked tenure.forgettings%ROWTYPE;
    at CONSTANT timestamptz := clock_timestamp();
    counted jsonb := '{}';
    place record;
    held text;
    gone bigint;
BEGIN
    SELECT * INTO asked FROM tenure.forgettings f WHERE f.id = which FOR UPDATE;
    IF NOT FOUND OR asked.done_at IS NOT NULL THEN
        RAISE EXCEPTION 'there is no forgetting % that waits', which
            USING ERRCODE = 'no_data_found';
    END IF;
    IF asked.sought_sha256 IS DISTINCT FROM
       sha256(asked.salt || convert_to(coalesce(sought, ''), 'UTF8')) THEN
        RAISE EXCEPTION 'this is not the text that forgetting % is about', which
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF done_by = asked.requested_by AND alone IS NOT TRUE THEN
        RAISE EXCEPTION 'who asks for a forgetting does not do it as well'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE tenure.holds IN SHARE MODE;
    SELECT string_agg(DISTINCT h.tenant_id::text, ', ') INTO held
    FROM tenure.holds h
    JOIN tenure.texts_naming(sought, asked.parts, asked.tenant_id) t ON t.tenant = h.tenant_id
    WHERE h.effective_at IS NULL OR h.effective_at > clock_timestamp();
    IF held IS NOT NULL THEN
        RAISE EXCEPTION 'under a hold, the records of tenant % keep their texts', held
            USING ERRCODE = 'object_in_use';
    END IF;
    IF EXISTS (SELECT FROM tenure.logins l
               WHERE asked.tenant_id IS NULL AND l.disabled_at IS NULL
                 AND tenure.is_sought(l.email, sought, false)) THEN
        RAISE EXCEPTION 'who goes by this address can log in: disable the login first'
            USING ERRCODE = 'object_in_use';
    END IF;
    FOR place IN
        SELECT t.table_name, t.column_name, sum(t.rows) AS rows, count(*) FILTER (
            WHERE EXISTS (SELECT FROM pg_attribute a
                          WHERE a.attrelid = format('tenure.%I', t.table_name)::regclass
                            AND a.attname = 'tenant_id' AND NOT a.attisdropped)) > 0 AS has_tenant
        FROM tenure.texts_naming(sought, asked.parts, asked.tenant_id) t
        WHERE t.table_name <> 'ledger_texts' GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        -- That rows do not change, and what a change sets off, is by triggers.
        EXECUTE format('LOCK TABLE tenure.%I IN SHARE ROW EXCLUSIVE MODE', place.table_name);
        EXECUTE format('ALTER TABLE tenure.%I DISABLE TRIGGER USER', place.table_name);
        EXECUTE format(
            'UPDATE tenure.%1$I r SET %2$I = $1'
            ' WHERE tenure.is_sought(r.%2$I, $2, $3) AND ($4 IS NULL OR %3$s = $4)',
            place.table_name, place.column_name,
            CASE WHEN place.has_tenant THEN 'r.tenant_id' ELSE 'NULL::uuid' END)
            -- An address stays one (RFC 2606, 2); the login is disabled.
            USING CASE place.table_name WHEN 'logins' THEN which || '@forgotten.invalid'
                       ELSE tenure.forgotten_mark(which, at) END, sought,
                  asked.parts AND place.table_name <> 'logins', asked.tenant_id;
        GET DIAGNOSTICS gone = ROW_COUNT;
        EXECUTE format('ALTER TABLE tenure.%I ENABLE TRIGGER USER', place.table_name);
        counted := counted
            || jsonb_build_object(place.table_name || '.' || place.column_name, gone);
    END LOOP;
    WITH deleted AS (
        DELETE FROM tenure.ledger_texts x
        USING tenure.ledger_entries e, tenure.naming_columns() n
        WHERE e.id = x.entry_id AND n.table_name = e.source AND n.column_name = x.field
          AND tenure.is_sought(x.content, sought, asked.parts AND e.source <> 'logins')
          AND (asked.tenant_id IS NULL OR x.tenant_id = asked.tenant_id)
        RETURNING x.entry_id, x.field)
    INSERT INTO tenure.forgotten_texts (entry_id, field, forgetting_id)
    SELECT entry_id, field, which FROM deleted;
    GET DIAGNOSTICS gone = ROW_COUNT;
    counted := counted || jsonb_build_object('ledger_texts', gone);
    IF EXISTS (SELECT FROM tenure.texts_naming(sought, asked.parts, asked.tenant_id)) THEN
        RAISE EXCEPTION 'something names them still' USING ERRCODE = 'data_exception';
    END IF;
    UPDATE tenure.forgettings f
    SET salt = NULL, sought_sha256 = NULL, done_by = forget.done_by, counts = counted,
        done_at = at
    WHERE f.id = which;
    RETURN counted;
END $$;

-- What was asked for does not change, and is done once: by the function, as the owner.
CREATE FUNCTION tenure.forgotten_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.done_at IS NOT NULL OR NEW.done_at IS NULL
       OR (NEW.id, NEW.tenant_id, NEW.parts, NEW.requested_by, NEW.reason, NEW.requested_at)
          IS DISTINCT FROM
          (OLD.id, OLD.tenant_id, OLD.parts, OLD.requested_by, OLD.reason, OLD.requested_at)
    THEN
        RAISE EXCEPTION 'a forgetting is done once, and does not change'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.forgettings
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER forgotten_once BEFORE UPDATE ON tenure.forgettings
    FOR EACH ROW EXECUTE FUNCTION tenure.forgotten_once();
"""
SIGNATURES = (
    "tenure.forget(uuid, text, text, boolean)",
    "tenure.texts_naming(text, boolean, uuid)",
    "tenure.forgotten_once()",
    "tenure.forgotten_mark(uuid, timestamptz)",
    "tenure.is_sought(text, text, boolean)",
    "tenure.naming_columns()",
)
# No instant is given by who asks.
ASKED = "INSERT(id, tenant_id, parts, salt, sought_sha256, requested_by, reason)"
#: What of it others read: not the salt, from which what is sought could be guessed.
READ = "SELECT(id, tenant_id, parts, requested_by, reason, requested_at, done_by, counts, done_at)"

TABLES = ("forgettings", "forgotten_texts")
ACCESS: tuple[Access, ...] = (
    ("forgettings", "tenure_retention", (ASKED,), "true"),
    ("forgettings", "tenure_verifier", (READ,), "true"),
    ("forgettings", "tenure_auditor", (READ,), "true"),
    ("forgotten_texts", "tenure_verifier", ("SELECT",), "true"),
    ("forgotten_texts", "tenure_auditor", ("SELECT",), "true"),
)
FEED = ledger_statement(
    "forgettings",
    "forgetting",
    plain=("id", "tenant_id", "parts", "requested_at", "counts", "done_at"),
    committed=("requested_by", "reason", "done_by"),
    children={"texts": ("forgotten_texts", {"forgetting_id": "id"}, ("entry_id", "field"))},
    on="INSERT OR UPDATE",
)


def naming_statement(naming: Mapping[str, Sequence[str]]) -> str:
    """Return what says of these columns that they name people, for later migrations, too."""
    names = (f"('{table}', '{column}')" for table, columns in naming.items() for column in columns)
    return NAMING_SQL.format(names=", ".join(names))


def up(migrator: Any, db: Any) -> None:
    """Add the record and the functions; runs as tenure_owner, in one transaction."""
    execute(db, TABLES_SQL, naming_statement(NAMING), FUNCTIONS_SQL)
    for signature in SIGNATURES:
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    execute(
        db,
        append_only_statement("forgotten_texts"),
        *access_statements(TABLES, ACCESS),
        "GRANT EXECUTE ON FUNCTION tenure.forget(uuid, text, text, boolean) TO tenure_retention",
        "GRANT EXECUTE ON FUNCTION tenure.texts_naming(text, boolean, uuid) TO tenure_verifier",
        # What the audit compares marks with.
        "GRANT EXECUTE ON FUNCTION tenure.forgotten_mark(uuid, timestamptz) TO tenure_verifier",
        FEED,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where something was forgotten: only this says that it was."""
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.forgettings)").fetchone()[0]:
        raise RuntimeError("tenure.forgettings says which texts were forgotten, and by whom")
    execute(
        db,
        "DROP TABLE tenure.forgotten_texts, tenure.forgettings",
        *(f"DROP FUNCTION {signature}" for signature in SIGNATURES),
    )
