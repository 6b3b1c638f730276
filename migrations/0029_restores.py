"""After a restore: retention waits for the holds, access ends again, connectors are asked again.

A restored database lacks the holds that were placed since its backup, and has the access of
tenants that left since. `restored` stops all retention as `stop` does, but for what had gone
before; somebody who says that the holds are in lets it start.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

_ACTIONS = """
ALTER TABLE tenure.interventions
    DROP CONSTRAINT interventions_action_check,
    DROP CONSTRAINT interventions_check,
    ADD CONSTRAINT interventions_action_check
        CHECK (action IN ('stop', 'start', 'pause', 'resume', 'cancel'{more})),
    ADD CONSTRAINT interventions_check
        CHECK ((run_id IS NULL) = (action IN ('stop', 'start'{more})))
"""
_STOPPED = """
CREATE OR REPLACE FUNCTION tenure.is_stopped() RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce((SELECT i.action IN ('stop'{more}) FROM tenure.interventions i
                 WHERE i.run_id IS NULL ORDER BY i.number DESC LIMIT 1), false)
"""
RESTORED = """
CREATE FUNCTION tenure.is_restored() RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce((SELECT i.action = 'restored' FROM tenure.interventions i
                 WHERE i.run_id IS NULL ORDER BY i.number DESC LIMIT 1), false)
"""

_KINDS = """
ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check,
    ADD CONSTRAINT alerts_kind_check CHECK (kind IN
        ('run', 'overdue', 'orphans', 'verification', 'missed', 'ledger', 'erasure', 'connector',
         'offboarding'{more}))
"""

_CAUSES = """
ALTER TABLE tenure.connector_requests
    DROP CONSTRAINT connector_requests_cause_check,
    DROP CONSTRAINT connector_requests_check2,
    ADD CONSTRAINT connector_requests_cause_check CHECK (cause IN ('erasure', 'offboarding'{more})),
    ADD CONSTRAINT connector_requests_check2 CHECK (CASE cause
        WHEN 'erasure' THEN subject IS NOT NULL WHEN 'offboarding' THEN subject IS NULL
        ELSE true END)
"""

# A replay of a tenant's leaving ends its access in the transaction that begins it, and says so in
# its cause, which enters the ledger. `offboardings` have nothing of it: the backup is from before.
ACCESS = """
CREATE FUNCTION tenure.replay_ends_access() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_tokens bigint; of_sessions bigint; of_members bigint;
BEGIN
    DELETE FROM tenure.sessions WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_sessions = ROW_COUNT;
    DELETE FROM tenure.api_tokens WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_tokens = ROW_COUNT;
    DELETE FROM tenure.memberships WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_members = ROW_COUNT;
    NEW.cause := NEW.cause || jsonb_build_object('access', jsonb_build_object(
        'memberships', of_members, 'api_tokens', of_tokens, 'sessions', of_sessions));
    RETURN NEW;
END $$;
CREATE TRIGGER ends_access BEFORE INSERT ON tenure.purges
    FOR EACH ROW WHEN (NEW.kind = 'replay' AND NEW.cause ? 'offboarding')
    EXECUTE FUNCTION tenure.replay_ends_access();

CREATE FUNCTION tenure.replay_ends_pseudonyms() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM tenure.pseudonym_keys WHERE tenant_id = NEW.tenant_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ends_pseudonyms AFTER UPDATE ON tenure.purges
    FOR EACH ROW WHEN (NEW.kind = 'replay' AND NEW.cause ? 'offboarding'
                       AND OLD.state = 'running' AND NEW.state = 'completed')
    EXECUTE FUNCTION tenure.replay_ends_pseudonyms();
"""
ACCESS_FUNCTIONS = ("tenure.replay_ends_access()", "tenure.replay_ends_pseudonyms()")
_STAYS_OUT = """
CREATE OR REPLACE FUNCTION tenure.member_stays_out() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM tenure.gates g WHERE g.tenant_id = NEW.tenant_id FOR SHARE;
    IF EXISTS (SELECT FROM tenure.offboardings o
               WHERE o.tenant_id = NEW.tenant_id AND o.started_at IS NOT NULL){or_replayed} THEN
        RAISE EXCEPTION 'tenant % has been offboarded: nobody becomes its member', NEW.tenant_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
"""
_OR_REPLAYED = """
       OR EXISTS (SELECT FROM tenure.purges p
                  WHERE p.tenant_id = NEW.tenant_id AND p.kind = 'replay'
                    AND p.cause ? 'offboarding')"""


def up(migrator: Any, db: Any) -> None:
    """Say more; runs as tenure_owner, in one transaction."""
    execute(
        db,
        _ACTIONS.format(more=", 'restored'"),
        _STOPPED.format(more=", 'restored'"),
        RESTORED,
        "REVOKE ALL ON FUNCTION tenure.is_restored() FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION tenure.is_restored() TO tenure_retention",
        _KINDS.format(more=", 'replay'"),
        _CAUSES.format(more=", 'replay'"),
        ACCESS,
        *(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC" for function in ACCESS_FUNCTIONS),
        _STAYS_OUT.format(or_replayed=_OR_REPLAYED),
    )


_SAID_SINCE = """
SELECT EXISTS (SELECT FROM tenure.interventions WHERE action = 'restored')
    OR EXISTS (SELECT FROM tenure.connector_requests WHERE cause = 'replay')
    OR EXISTS (SELECT FROM tenure.purges WHERE cause ? 'offboarding' AND kind = 'replay')
"""


def down(migrator: Any, db: Any) -> None:
    """Refuse where something is on record that could not be said before."""
    # tenure: allow TS001 because the owner asks whether any tenant has such requests
    if db.execute_sql(_SAID_SINCE).fetchone()[0]:
        raise RuntimeError("a restore is on record, and what was done after it; it is evidence")
    execute(
        db,
        _STAYS_OUT.format(or_replayed=""),
        "DROP TRIGGER ends_pseudonyms ON tenure.purges",
        "DROP TRIGGER ends_access ON tenure.purges",
        *(f"DROP FUNCTION {function}" for function in ACCESS_FUNCTIONS),
        _CAUSES.format(more=""),
        "DELETE FROM tenure.alerts WHERE kind = 'replay'",
        _KINDS.format(more=""),
        _STOPPED.format(more=""),
        "DROP FUNCTION tenure.is_restored()",
        _ACTIONS.format(more=""),
    )
