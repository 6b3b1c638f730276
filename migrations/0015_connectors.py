"""What others, beyond PostgreSQL, are asked to erase, and what they answered."""

from __future__ import annotations

from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

CONNECTORS = """
CREATE TABLE tenure.connector_requests (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    connector text NOT NULL CHECK (connector <> ''),
    cause text NOT NULL CHECK (cause IN ('erasure', 'offboarding')),
    cause_id uuid NOT NULL,
    subject text,
    subject_hash bytea CHECK (octet_length(subject_hash) = 16),
    told jsonb,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL CHECK (due_at > requested_at),
    state text NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'delivered', 'acknowledged', 'refused')),
    counted jsonb,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    ended_at timestamptz,
    problem text,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, cause_id, connector),
    CHECK ((subject IS NULL) = (subject_hash IS NULL)),
    CHECK ((cause = 'erasure') = (subject IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (state IN ('open', 'delivered'))),
    CHECK (ended_at IS NULL OR told IS NULL)
);
CREATE INDEX connector_requests_id ON tenure.connector_requests (id);
CREATE INDEX connector_requests_next ON tenure.connector_requests (next_attempt_at)
    WHERE ended_at IS NULL;
CREATE INDEX connector_requests_requested ON tenure.connector_requests (requested_at);
COMMENT ON TABLE tenure.connector_requests IS
    'What connectors are asked to erase, each with its clock; told: by what they find it, until '
    'they have answered.';

CREATE TABLE tenure.connector_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    request_id uuid NOT NULL,
    connector text NOT NULL,
    event text NOT NULL CHECK (event IN
        ('requested', 'counted', 'delivered', 'deleted', 'deferred', 'failed', 'acknowledged',
         'refused')),
    counts jsonb NOT NULL DEFAULT '{}',
    detail text,
    digest text CHECK (digest ~ '^[0-9a-f]{64}$'),
    actor text NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, request_id) REFERENCES tenure.connector_requests (tenant_id, id)
);
CREATE INDEX connector_events_request
    ON tenure.connector_events (tenant_id, request_id, happened_at);
COMMENT ON TABLE tenure.connector_events IS
    'What became of each request to a connector. digest: SHA-256 of the acknowledgement''s body.';
"""

# The seal says that the signature over this very body was checked: SQL injected under the
# application's role cannot acknowledge. Only the digest of what is sealed is compared.
ACKNOWLEDGE = """
CREATE FUNCTION tenure.acknowledge_request(
    answering text, answered uuid, body text, until bigint, seal text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said CONSTANT jsonb := body::jsonb;
    body_digest CONSTANT text := encode(sha256(convert_to(body, 'UTF8')), 'hex');
    answer CONSTANT text :=
        CASE said->>'outcome' WHEN 'refused' THEN 'refused' ELSE 'acknowledged' END;
    asked tenure.connector_requests;
BEGIN
    IF NOT tenure.is_sealed_until(
        'acknowledge:' || answering || ':' || answered || ':' || body_digest, until, seal) THEN
        RAISE EXCEPTION 'the acknowledgement is not sealed'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO asked FROM tenure.connector_requests r
    WHERE r.id = answered AND r.connector = answering FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF asked.ended_at IS NOT NULL THEN
        RETURN CASE asked.state WHEN answer THEN 'repeated' ELSE 'contradicted' END;
    END IF;
    UPDATE tenure.connector_requests r
    SET state = answer, ended_at = clock_timestamp(), told = NULL, problem = NULL
    WHERE r.tenant_id = asked.tenant_id AND r.id = asked.id;
    INSERT INTO tenure.connector_events
        (tenant_id, id, request_id, connector, event, counts, detail, digest, actor)
    VALUES (asked.tenant_id, gen_random_uuid(), asked.id, answering, answer,
            coalesce(said->'counts', '{}'), said->>'reference', body_digest,
            'connector:' || answering);
    RETURN answer;
END $$;
"""
SIGNATURE = "tenure.acknowledge_request(text, uuid, text, bigint, text)"

# Steps say it all: a request is its first one. Details are others' words, and may name people.
LEDGER = ledger_statement(
    "connector_events",
    "connector-event",
    plain=(
        "tenant_id",
        "id",
        "request_id",
        "connector",
        "event",
        "counts",
        "digest",
        "happened_at",
    ),
    committed=("actor", "detail"),
)

_ALERTS = """
ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check,
    ADD CONSTRAINT alerts_kind_check CHECK (kind IN ({}))
"""
_WERE_KINDS = "'run', 'overdue', 'orphans', 'verification', 'missed', 'ledger', 'erasure'"

TABLES = ("connector_requests", "connector_events")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
# All but `told`: by what a person is found is for the one who works on the request.
_SHOWN = (
    "SELECT(tenant_id, id, connector, cause, cause_id, subject, subject_hash, requested_by,"
    " requested_at, due_at, state, counted, failures, next_attempt_at, delivered_at, ended_at,"
    " problem)"
)
ACCESS: tuple[Access, ...] = (
    (
        "connector_requests",
        "tenure_retention",
        (
            "SELECT",
            "INSERT",
            "UPDATE(told, state, counted, failures, next_attempt_at, delivered_at, ended_at,"
            " problem)",
        ),
        OWN,
    ),
    ("connector_requests", "tenure_app", (_SHOWN,), OWN),
    ("connector_requests", "tenure_verifier", (_SHOWN,), "true"),
    ("connector_requests", "tenure_auditor", (_SHOWN,), "true"),
    ("connector_events", "tenure_retention", ("SELECT", "INSERT"), OWN),
    ("connector_events", "tenure_verifier", ("SELECT",), "true"),
    ("connector_events", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the tables; runs as tenure_owner, in one transaction."""
    execute(
        db,
        CONNECTORS,
        ACKNOWLEDGE,
        f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO tenure_app",
        append_only_statement("connector_events"),
        LEDGER,
        *access_statements(TABLES, ACCESS),
        _ALERTS.format(f"{_WERE_KINDS}, 'connector'"),
    )


def down(migrator: Any, db: Any) -> None:
    """Drop the tables, unless somebody was asked for something."""
    # tenure: allow TS001 because the owner asks whether any tenant has requests
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.connector_requests)").fetchone()[0]:
        raise RuntimeError("there are requests to connectors, and what they answered")
    execute(
        db,
        f"DROP FUNCTION {SIGNATURE}",
        *(f"DROP TABLE tenure.{table}" for table in reversed(TABLES)),
        "DELETE FROM tenure.alerts WHERE kind = 'connector'",
        _ALERTS.format(_WERE_KINDS),
    )
