"""The ledger: what matters to compliance enters it by trigger, in the transaction that does it.

An entry says what was done in ids, counts, instants and digests; texts about people, and ids of
people, stand in `tenure.ledger_texts`, which can be erased, and the entry has salted commitments
to them. Entries wait without a position until a sequencer gives them one, and their leaf with it;
then nothing about them changes. What fed the ledger, and since when, is in it as well
(`tenure.ledger_sources`).

Evidence that is older than the ledger enters it here. Its own times are in the record; `at` says
when it was entered.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

TABLES_SQL = """
CREATE TABLE tenure.ledger_entries (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind ~ '^[a-z]+(-[a-z]+)*$'),
    tenant_id uuid,
    source text NOT NULL,
    row_key text COLLATE "C",
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body jsonb NOT NULL CHECK (body ?& ARRAY['record', 'commitments']),
    position bigint UNIQUE CHECK (position >= 0),
    leaf bytea,
    leaf_hash bytea CHECK (octet_length(leaf_hash) = 32),
    CHECK ((position IS NULL) = (leaf IS NULL) AND (leaf IS NULL) = (leaf_hash IS NULL))
);
CREATE INDEX ledger_entries_pending ON tenure.ledger_entries (recorded_at, id)
    WHERE position IS NULL;
CREATE INDEX ledger_entries_row ON tenure.ledger_entries (source, row_key);
CREATE INDEX ledger_entries_tenant ON tenure.ledger_entries (tenant_id, position);
COMMENT ON TABLE tenure.ledger_entries IS
    'What was done, entered by trigger. position, leaf and leaf_hash are set once, together.';
COMMENT ON COLUMN tenure.ledger_entries.row_key IS
    'The primary key of the row in `source`, with slashes; NULL where it tells of a person.';

CREATE TABLE tenure.ledger_texts (
    entry_id uuid NOT NULL,
    field text NOT NULL,
    tenant_id uuid,
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    content text NOT NULL,
    PRIMARY KEY (entry_id, field)
);
CREATE INDEX ledger_texts_tenant ON tenure.ledger_texts (tenant_id);
COMMENT ON TABLE tenure.ledger_texts IS
    'What an entry is committed to: its commitment is sha256(salt || content). Can be erased; '
    'that it was is entered.';

CREATE TABLE tenure.ledger_nodes (
    level smallint NOT NULL CHECK (level > 0),
    position bigint NOT NULL CHECK (position >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, position)
);
COMMENT ON TABLE tenure.ledger_nodes IS
    'Complete nodes of the tree above its leaves (RFC 6962): number `position` of its level.';

CREATE TABLE tenure.ledger_checkpoints (
    size bigint PRIMARY KEY CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL CHECK (note <> ''),
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    exported_at timestamptz
);
COMMENT ON TABLE tenure.ledger_checkpoints IS
    'Signed checkpoints (C2SP tlog-checkpoint). exported_at is set once, when one is safe outside.';

CREATE TABLE tenure.ledger_attestations (
    id uuid PRIMARY KEY,
    size bigint NOT NULL REFERENCES tenure.ledger_checkpoints (size),
    kind text NOT NULL CHECK (kind IN ('timestamp', 'cosignature')),
    name text NOT NULL CHECK (name <> ''),
    content bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (size, kind, name)
);
COMMENT ON TABLE tenure.ledger_attestations IS
    'What others said of a checkpoint: timestamps (RFC 3161), cosignatures of witnesses.';

CREATE TABLE tenure.ledger_key_steps (
    id uuid PRIMARY KEY,
    step text NOT NULL CHECK (step IN ('installed', 'rotated')),
    vkey text NOT NULL,
    previous_vkey text,
    actor text NOT NULL CHECK (actor <> ''),
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((previous_vkey IS NOT NULL) = (step = 'rotated'))
);
COMMENT ON TABLE tenure.ledger_key_steps IS
    'Since when which key signs checkpoints, and which one it took the place of.';

CREATE TABLE tenure.ledger_sources (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    kind text NOT NULL,
    events text[] NOT NULL,
    key_columns text[] NOT NULL,
    plain text[] NOT NULL,
    committed text[] NOT NULL,
    digested text[] NOT NULL,
    children jsonb NOT NULL,
    condition text,
    fed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tenure.ledger_sources IS
    'Which tables feed the ledger, with which columns, since when. The last one of a table holds.';
"""

ALERTS = """
ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check, ADD CONSTRAINT alerts_kind_check
    CHECK (kind IN ('run', 'overdue', 'orphans', 'verification', 'missed', 'ledger'))
"""
ALERTS_BEFORE = """
DELETE FROM tenure.alerts WHERE kind = 'ledger';
ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check, ADD CONSTRAINT alerts_kind_check
    CHECK (kind IN ('run', 'overdue', 'orphans', 'verification', 'missed'))
"""

# Once the position is there, nothing changes; until then nothing but the position and the leaf.
# Whoever inserts from outside of a trigger is refused (where these are attached).
GUARDS = """
CREATE FUNCTION tenure.position_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.position IS NOT NULL OR NEW.position IS NULL
       OR (NEW.id, NEW.kind, NEW.tenant_id, NEW.source, NEW.row_key, NEW.recorded_at, NEW.body)
          IS DISTINCT FROM
          (OLD.id, OLD.kind, OLD.tenant_id, OLD.source, OLD.row_key, OLD.recorded_at, OLD.body)
    THEN
        RAISE EXCEPTION 'an entry of the ledger is given its position once, and nothing else'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION tenure.exported_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.exported_at IS NOT NULL OR NEW.exported_at IS NULL
       OR (NEW.size, NEW.root, NEW.note, NEW.signed_at)
          IS DISTINCT FROM (OLD.size, OLD.root, OLD.note, OLD.signed_at)
    THEN
        RAISE EXCEPTION 'a checkpoint is exported once, and does not change'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER entered_by_trigger BEFORE INSERT ON tenure.ledger_entries
    FOR EACH STATEMENT WHEN (pg_catalog.pg_trigger_depth() = 0)
    EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER entered_by_trigger BEFORE INSERT ON tenure.ledger_texts
    FOR EACH STATEMENT WHEN (pg_catalog.pg_trigger_depth() = 0)
    EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER position_once BEFORE UPDATE ON tenure.ledger_entries
    FOR EACH ROW EXECUTE FUNCTION tenure.position_once();
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON tenure.ledger_texts
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.ledger_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
CREATE TRIGGER exported_once BEFORE UPDATE ON tenure.ledger_checkpoints
    FOR EACH ROW EXECUTE FUNCTION tenure.exported_once();
"""

# Salts are 256 bits out of three random UUIDs' 366. Times read as UTC whatever the session says.
ENTER = """
CREATE FUNCTION tenure.ledger_children(spec jsonb, parent jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    found jsonb := '{}';
    label text; child jsonb; of_parent text; columns text; rows bigint; digest text;
BEGIN
    FOR label, child IN SELECT * FROM jsonb_each(spec) LOOP
        SELECT string_agg(format('c.%I = %L', own, parent ->> theirs), ' AND ')
        INTO of_parent FROM jsonb_each_text(child -> 'by') AS b(own, theirs);
        SELECT string_agg(format('c.%I', name), ', ' ORDER BY n) INTO columns
        FROM jsonb_array_elements_text(child -> 'columns') WITH ORDINALITY AS a(name, n);
        EXECUTE format(
            'SELECT count(*), encode(sha256(convert_to(coalesce(string_agg('
            '  t, E''\\n'' ORDER BY t COLLATE "C"), ''''), ''UTF8'')), ''hex'')'
            ' FROM (SELECT jsonb_build_array(%s)::text AS t FROM tenure.%I c WHERE %s) AS r',
            columns, child ->> 'table', of_parent) INTO rows, digest;
        found := found || jsonb_build_object(label || '_count', rows, label || '_sha256', digest);
    END LOOP;
    RETURN found;
END $$;

CREATE FUNCTION tenure.enter_row(
    source text, kind text, entered jsonb,
    keys text[], plain text[], committed text[], digested text[], children jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    entry uuid := gen_random_uuid();
    tenant uuid := entered ->> CASE source WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END;
    commitments jsonb := '{}';
    record jsonb;
BEGIN
    IF committed <> '{}' THEN
        WITH kept AS (
            INSERT INTO tenure.ledger_texts (entry_id, field, tenant_id, salt, content)
            SELECT entry, name, tenant,
                   sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                          || uuid_send(gen_random_uuid())),
                   entered ->> name
            FROM unnest(committed) AS name WHERE entered ->> name IS NOT NULL
            RETURNING field, salt, content)
        SELECT coalesce(jsonb_object_agg(
            field, encode(sha256(salt || convert_to(content, 'UTF8')), 'hex')), '{}')
        INTO commitments FROM kept;
    END IF;
    SELECT coalesce(jsonb_object_agg(name, entered -> name), '{}') INTO record
    FROM unnest(plain) AS name;
    IF digested <> '{}' THEN
        record := record || (
            SELECT jsonb_object_agg(name || '_sha256',
                encode(sha256(convert_to(entered ->> name, 'UTF8')), 'hex'))
            FROM unnest(digested) AS name);
    END IF;
    IF children <> '{}' THEN
        record := record || tenure.ledger_children(children, entered);
    END IF;
    INSERT INTO tenure.ledger_entries (id, kind, tenant_id, source, row_key, body)
    VALUES (entry, kind, tenant, source,
        CASE WHEN keys <@ plain THEN
            (SELECT string_agg(entered ->> name, '/' ORDER BY n)
             FROM unnest(keys) WITH ORDINALITY AS k(name, n)) END,
        jsonb_build_object('record', record, 'commitments', commitments));
END $$;

-- Its arguments: kind, keys, plain, committed and digested columns, children.
CREATE FUNCTION tenure.enter_in_ledger() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM tenure.enter_row(TG_TABLE_NAME, TG_ARGV[0] || '-deleted', to_jsonb(OLD),
            TG_ARGV[1]::text[], TG_ARGV[2]::text[], TG_ARGV[3]::text[], TG_ARGV[4]::text[], '{}');
    ELSE
        PERFORM tenure.enter_row(TG_TABLE_NAME,
            CASE TG_OP WHEN 'UPDATE' THEN TG_ARGV[0] || '-changed' ELSE TG_ARGV[0] END,
            to_jsonb(NEW), TG_ARGV[1]::text[], TG_ARGV[2]::text[], TG_ARGV[3]::text[],
            TG_ARGV[4]::text[], TG_ARGV[5]::jsonb);
    END IF;
    RETURN NULL;
END $$;

-- For migrations, through `tenants.schema.ledger_statement`, which says what it does.
CREATE FUNCTION tenure.feed_ledger(
    fed text, kind text, events text[], plain text[], committed text[], digested text[],
    children jsonb, condition text)
RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    target regclass := format('tenure.%I', fed)::regclass;
    keys text[]; strange text[]; arguments text; changed text; existing jsonb;
BEGIN
    SELECT array_agg(a.attname::text ORDER BY k.n) INTO keys
    FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = target AND i.indisprimary;
    SELECT array_agg(name) INTO strange FROM unnest(plain || committed || digested) AS name
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target
                      AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped);
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION 'tenure.% has no columns %', fed, strange;
    END IF;
    IF keys IS NULL OR NOT keys <@ (plain || committed) THEN
        RAISE EXCEPTION 'the primary key of tenure.% is not among what enters the ledger', fed;
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
    IF 'INSERT' = ANY (events) AND NOT EXISTS (
        SELECT FROM tenure.ledger_sources s WHERE s.table_name = fed)
    THEN
        -- What was there before.
        EXECUTE 'ALTER TABLE tenure.ledger_entries DISABLE TRIGGER entered_by_trigger';
        EXECUTE 'ALTER TABLE tenure.ledger_texts DISABLE TRIGGER entered_by_trigger';
        FOR existing IN EXECUTE format(
            'SELECT to_jsonb(new) FROM %s AS new WHERE %s'
            ' ORDER BY (SELECT array_agg(to_jsonb(new) -> k ORDER BY n)'
            '           FROM unnest(%L::text[]) WITH ORDINALITY AS u(k, n))',
            target, coalesce(condition, 'true'), keys)
        LOOP
            PERFORM tenure.enter_row(
                fed, kind, existing, keys, plain, committed, digested, children);
        END LOOP;
        EXECUTE 'ALTER TABLE tenure.ledger_entries ENABLE TRIGGER entered_by_trigger';
        EXECUTE 'ALTER TABLE tenure.ledger_texts ENABLE TRIGGER entered_by_trigger';
    END IF;
    arguments := format('%L, %L, %L, %L, %L, %L', kind, keys, plain, committed, digested, children);
    EXECUTE format('DROP TRIGGER IF EXISTS ledger_insert ON %1$s;'
                   'DROP TRIGGER IF EXISTS ledger_update ON %1$s;'
                   'DROP TRIGGER IF EXISTS ledger_delete ON %1$s', target);
    IF 'INSERT' = ANY (events) THEN
        -- What it is entered with is there by the end of the transaction.
        EXECUTE format('CREATE %s TRIGGER ledger_insert AFTER INSERT ON %s %s FOR EACH ROW %s'
                       ' EXECUTE FUNCTION tenure.enter_in_ledger(%s)',
            CASE WHEN children <> '{}' THEN 'CONSTRAINT' END, target,
            CASE WHEN children <> '{}' THEN 'DEFERRABLE INITIALLY DEFERRED' END,
            'WHEN (' || condition || ')', arguments);
    END IF;
    IF 'UPDATE' = ANY (events) THEN
        SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', name), ' OR ')
        INTO changed FROM unnest(plain || committed || digested) AS name;
        EXECUTE format('CREATE TRIGGER ledger_update AFTER UPDATE ON %s FOR EACH ROW WHEN (%s)'
                       ' EXECUTE FUNCTION tenure.enter_in_ledger(%s)', target, changed, arguments);
    END IF;
    IF 'DELETE' = ANY (events) THEN
        EXECUTE format('CREATE TRIGGER ledger_delete AFTER DELETE ON %s FOR EACH ROW'
                       ' EXECUTE FUNCTION tenure.enter_in_ledger(%s)', target, arguments);
    END IF;
    INSERT INTO tenure.ledger_sources (table_name, kind, events, key_columns, plain, committed,
        digested, children, condition)
    VALUES (fed, kind, events, keys, plain, committed, digested, children, condition);
END $$;
"""
FUNCTIONS = (
    "tenure.position_once()",
    "tenure.exported_once()",
    "tenure.ledger_children(jsonb, jsonb)",
    "tenure.enter_row(text, text, jsonb, text[], text[], text[], text[], jsonb)",
    "tenure.enter_in_ledger()",
    "tenure.feed_ledger(text, text, text[], text[], text[], text[], jsonb, text)",
)

TABLES = (
    "ledger_entries",
    "ledger_texts",
    "ledger_nodes",
    "ledger_checkpoints",
    "ledger_attestations",
    "ledger_key_steps",
    "ledger_sources",
)
OWN = "tenant_id = (SELECT tenure.current_tenant())"
# The sequencer serves all tenants; entries say nothing of people, and texts are not its business.
ACCESS: tuple[Access, ...] = (
    ("ledger_entries", "tenure_retention", ("SELECT", "UPDATE(position, leaf, leaf_hash)"), "true"),
    ("ledger_texts", "tenure_retention", ("SELECT", "DELETE"), OWN),
    ("ledger_nodes", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("ledger_checkpoints", "tenure_retention", ("SELECT", "INSERT", "UPDATE(exported_at)"), "true"),
    ("ledger_attestations", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("ledger_key_steps", "tenure_retention", ("SELECT", "INSERT"), "true"),
    *(
        (table, role, ("SELECT",), "true")
        for table in TABLES
        for role in ("tenure_verifier", "tenure_auditor")
    ),
    # What the ledger is compared with.
    ("interventions", "tenure_verifier", ("SELECT",), "true"),
    ("verification_results", "tenure_verifier", ("SELECT",), "true"),
    ("cross_tenant_reads", "tenure_verifier", ("SELECT",), "true"),
    ("context_key_steps", "tenure_verifier", ("SELECT",), "true"),
    ("logins", "tenure_verifier", ("SELECT(id, is_auditor, created_at, disabled_at)",), "true"),
    (
        "memberships",
        "tenure_verifier",
        ("SELECT(tenant_id, login_id, role, created_at)",),
        "true",
    ),
)

RESULT_COLUMNS = (
    "id", "kind", "subject", "tenant_id", "found", "held", "oldest", "query", "paused",
    "undeletable", "undeletable_oldest", "age_p99_s", "watermark", "reasons",
)  # fmt: skip

FEEDS = (
    ledger_statement(
        "ledger_sources",
        "ledger-source",
        plain=(
            "number",
            "table_name",
            "kind",
            "events",
            "key_columns",
            "plain",
            "committed",
            "digested",
            "children",
            "condition",
            "fed_at",
        ),
    ),
    ledger_statement("ledger_texts", "text", plain=("entry_id", "field"), on="DELETE"),
    ledger_statement(
        "ledger_key_steps",
        "ledger-key",
        plain=("id", "step", "vkey", "previous_vkey", "taken_at"),
        committed=("actor",),
    ),
    ledger_statement(
        "tenants",
        "tenant",
        plain=("id", "created_at"),
        committed=("slug", "name"),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "logins",
        "login",
        plain=("is_auditor", "created_at", "disabled_at"),
        committed=("id", "email"),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "memberships",
        "membership",
        plain=("tenant_id", "role", "created_at"),
        committed=("login_id",),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "context_key_steps",
        "context-key",
        plain=("id", "step", "key_id", "taken_at"),
        committed=("actor",),
    ),
    ledger_statement(
        "policy_versions",
        "policy-version",
        plain=("policy", "version", "digest", "recorded_at"),
        committed=("recorded_by",),
        digested=("definition", "changes"),
    ),
    ledger_statement(
        "policy_changes",
        "policy-change",
        plain=("tenant_id", "id", "policy", "what", "before", "after", "changed_at"),
        committed=("changed_by",),
    ),
    ledger_statement(
        "holds",
        "hold",
        plain=(
            "tenant_id",
            "id",
            "scope",
            "table_name",
            "rows_then",
            "keys_kept",
            "placed_at",
            "released_at",
            "effective_at",
        ),
        committed=("matter", "reason", "placed_by", "released_by", "subject_id", "condition"),
        children={
            "rows": (
                "hold_rows",
                {"tenant_id": "tenant_id", "hold_id": "id"},
                ("table_name", "row_id"),
            )
        },
        on="INSERT OR UPDATE",
    ),
    ledger_statement(
        "hold_events",
        "hold-event",
        plain=("tenant_id", "id", "hold_id", "event", "happened_at", "effective_at"),
        committed=("actor", "reason"),
    ),
    ledger_statement(
        "runs",
        "run",
        plain=(
            "id",
            "trace_id",
            "as_of",
            "state",
            "catalog_digest",
            "versions",
            "started_at",
            "finished_at",
        ),
        committed=("started_by", "detail"),
        digested=("plan",),
        on="INSERT OR UPDATE",
    ),
    ledger_statement(
        "batches",
        "batch",
        plain=(
            "tenant_id",
            "run_id",
            "id",
            "trace_id",
            "span_id",
            "policy",
            "policy_version",
            "action",
            "cutoff",
            "rows_deleted",
            "counts",
            "started_at",
            "recorded_at",
        ),
    ),
    ledger_statement(
        "interventions",
        "intervention",
        plain=("number", "run_id", "action", "taken_at"),
        committed=("actor", "reason"),
    ),
    ledger_statement(
        "restorations",
        "restoration",
        plain=("tenant_id", "id", "run_id", "batch_id", "counts", "restored_at", "kept_until"),
        committed=("reason", "restored_by"),
    ),
    ledger_statement(
        "verifications",
        "verification",
        plain=("id", "trace_id", "as_of", "started_at", "finished_at", "findings", "account"),
        committed=("started_by",),
        children={"results": ("verification_results", {"verification_id": "id"}, RESULT_COLUMNS)},
    ),
    ledger_statement(
        "reconciliations",
        "reconciliation",
        plain=(
            "account",
            "tenant_id",
            "policy",
            "table_name",
            "version",
            "opening",
            "newly_due",
            "deleted",
            "deleted_along",
            "removed",
            "no_longer_due",
            "held",
            "undeletable",
            "paused",
            "still_due",
            "vanished",
            "closing",
            "difference",
        ),
    ),
    ledger_statement(
        "cross_tenant_reads",
        "cross-tenant-read",
        plain=("id", "read_at", "place", "trace_id"),
        committed=("actor", "reason"),
        digested=("statement",),
        on="INSERT OR DELETE",
    ),
)

# Later migrations take down what they feed the ledger from, and their triggers with it.
_DROP_TRIGGERS = """
DO $$ DECLARE t record; BEGIN
    FOR t IN SELECT g.tgname, g.tgrelid::regclass AS fed FROM pg_catalog.pg_trigger g
             WHERE g.tgfoid = 'tenure.enter_in_ledger()'::regprocedure LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.fed);
    END LOOP;
END $$
"""


def up(migrator: Any, db: Any) -> None:
    """Create everything and enter what there is; runs as tenure_owner, in one transaction."""
    execute(db, TABLES_SQL, ALERTS, GUARDS, ENTER)
    for signature in FUNCTIONS:
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    execute(
        db,
        *(
            append_only_statement(table)
            for table in (
                "ledger_nodes",
                "ledger_attestations",
                "ledger_key_steps",
                "ledger_sources",
            )
        ),
        *access_statements(TABLES, ACCESS),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where entries were given their order, which others may hold proofs of."""
    # tenure: allow TS001 because the owner asks whether there is any such entry
    ordered = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.ledger_entries WHERE position IS NOT NULL)"
    )
    if ordered.fetchone()[0]:
        raise RuntimeError("the ledger has entries that others may hold proofs of")
    execute(db, _DROP_TRIGGERS, ALERTS_BEFORE)
    for table, _, commands, _ in ACCESS:
        if table not in TABLES:
            execute(
                db,
                f"DROP POLICY tenure_verifier_select ON tenure.{table}",
                f"REVOKE {commands[0]} ON tenure.{table} FROM tenure_verifier",
            )
    execute(
        db,
        *(
            f"DROP TABLE tenure.{table}"
            for table in reversed(TABLES)
            if table != "ledger_checkpoints"
        ),
        "DROP TABLE tenure.ledger_checkpoints",
        *(f"DROP FUNCTION {signature}" for signature in FUNCTIONS),
    )
