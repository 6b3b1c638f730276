"""A tenant's own periods, what was changed about its policies, and keyed hashes.

The keys of `tenure.pseudonym` are the tenant's, so that hashes of two tenants cannot be
matched; they never leave the database, and nobody but the functions' owner reads them.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, append_only_statement, execute

PERIODS = """
CREATE TABLE tenure.policy_periods (
    policy text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    period text NOT NULL CHECK (period ~ '^P'),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (policy, tenant_id)
);
CREATE INDEX policy_periods_tenant ON tenure.policy_periods (tenant_id);
COMMENT ON TABLE tenure.policy_periods IS
    'A policy''s period for one tenant where it differs from the policy''s own.';

CREATE TABLE tenure.policy_changes (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    policy text NOT NULL,
    what text NOT NULL CHECK (what IN ('state', 'period')),
    before text,
    after text,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX policy_changes_policy ON tenure.policy_changes (policy, changed_at);
COMMENT ON TABLE tenure.policy_changes IS
    'Each change of a tenant''s own state or period of a policy; NULL stands for the policy''s.';

ALTER TABLE tenure.policy_versions ADD COLUMN changes jsonb;
COMMENT ON COLUMN tenure.policy_versions.changes IS
    'Per key of the definition: [before, after]. NULL in versions from before this was kept.';

ALTER TABLE tenure.batches ADD COLUMN action text NOT NULL DEFAULT 'delete'
    CHECK (action IN ('delete', 'archive', 'anonymise', 'pseudonymise'));
COMMENT ON COLUMN tenure.batches.action IS 'What became of the rows that rows_deleted counts.';
"""

PSEUDONYMS = """
CREATE TABLE tenure.pseudonym_keys (
    tenant_id uuid PRIMARY KEY REFERENCES tenure.tenants (id),
    inner_key bytea NOT NULL CHECK (octet_length(inner_key) = 64),
    outer_key bytea NOT NULL CHECK (octet_length(outer_key) = 64),
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenure.pseudonym_keys IS
    'Padded HMAC-SHA-256 keys (RFC 2104) of keyed hashes. Readable by the owner alone.';

CREATE FUNCTION tenure.padded(key bytea, pad integer) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT decode(string_agg(lpad(to_hex(
        (CASE WHEN i < octet_length(key) THEN get_byte(key, i) ELSE 0 END) # pad), 2, '0'), ''
        ORDER BY i), 'hex')
    FROM generate_series(0, 63) AS i
$$;

-- HMAC-SHA-256 under the key of the tenant in context, in its first 128 bits. A hash is not
-- hashed again. The key is made when it is first wanted, from six random UUIDs (732 bits).
CREATE FUNCTION tenure.pseudonym(value text) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own uuid := tenure.current_tenant();
    k tenure.pseudonym_keys;
    fresh bytea;
BEGIN
    IF own IS NULL THEN
        RAISE EXCEPTION 'there is no tenant whose key could serve'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF value ~ '^pn1_[0-9a-f]{32}$' THEN
        RETURN value;
    END IF;
    SELECT * INTO k FROM tenure.pseudonym_keys p WHERE p.tenant_id = own;
    IF NOT FOUND THEN
        fresh := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                     || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                     || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
        INSERT INTO tenure.pseudonym_keys AS p (tenant_id, inner_key, outer_key)
        VALUES (own, tenure.padded(fresh, 54), tenure.padded(fresh, 92))
        ON CONFLICT (tenant_id) DO NOTHING;
        SELECT * INTO STRICT k FROM tenure.pseudonym_keys p WHERE p.tenant_id = own;
    END IF;
    RETURN 'pn1_' || left(encode(sha256(k.outer_key || sha256(k.inner_key
           || convert_to(value, 'UTF8'))), 'hex'), 32);
END $$;
REVOKE ALL ON FUNCTION tenure.pseudonym(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.padded(bytea, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.pseudonym(text) TO tenure_retention;
"""

TABLES = ("policy_periods", "policy_changes", "pseudonym_keys")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
ACCESS: tuple[Access, ...] = (
    (
        "policy_periods",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(period, changed_at, changed_by)", "DELETE"),
        OWN,
    ),
    ("policy_periods", "tenure_verifier", ("SELECT",), "true"),
    ("policy_periods", "tenure_auditor", ("SELECT",), "true"),
    ("policy_changes", "tenure_retention", ("INSERT",), OWN),
    ("policy_changes", "tenure_verifier", ("SELECT",), "true"),
    ("policy_changes", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the tables and the function; runs as tenure_owner, in one transaction."""
    execute(db, PERIODS, PSEUDONYMS)
    execute(db, append_only_statement("policy_changes"), *access_statements(TABLES, ACCESS))


def down(migrator: Any, db: Any) -> None:
    """Refuse where a key would be lost under which values were hashed; else take it all away."""
    # tenure: allow TS001 because the owner asks whether any tenant has a key
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.pseudonym_keys)").fetchone()[0]:
        raise RuntimeError(
            "values were hashed under keys that would be lost; without them nobody can tell whose "
            "they were"
        )
    execute(
        db,
        "DROP FUNCTION tenure.pseudonym(text)",
        "DROP FUNCTION tenure.padded(bytea, integer)",
        *(f"DROP TABLE tenure.{table}" for table in reversed(TABLES)),
        "ALTER TABLE tenure.policy_versions DROP COLUMN changes",
        "ALTER TABLE tenure.batches DROP COLUMN action",
    )
