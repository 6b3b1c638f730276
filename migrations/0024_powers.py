"""Less power, and evidence that claims no more than was shown.

Access exports over the API are made by the application, at its desk (0020), so that no process
that serves has the connection of a role that deletes. It sees there what it exports, archives
included, and enters the record of it in nobody else's name.

An approval says by itself whether it was another who gave it: two logins are two, and two names of
accounts; a login and an account may be one person's. Nothing is approved without one. At its desk
the application takes the steps that people take there, and no others.

Who acts is believed of whoever can show it. Changes of access say besides the name the role of the
session, which is what the database knows, and take names from the owner's commands alone. What
users delete is recorded under a seal, and who wants a plan is who is at the desk.

When something was, is by the database's clock: an alert is resolved now and once, a watch is kept
by somebody who is there. No role can make a row older than it is, and so have it go by its age.

Of a request to a connector it is on record that its message is about to leave, and an erasure that
others may have begun is not taken back. A request that nobody answers can be withdrawn; that is no
answer, and one that comes after all is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tenants.schema import Access, access_statements, execute, ledger_statement

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_ACTOR = "(SELECT tenure.desk_actor())"
AT_DESK = f"{OWN} AND {_ACTOR} IS NOT NULL"

# Of a tenant's data there is no export over the API, and whom a person's was of is not read back.
_EXPORTED = f"{AT_DESK} AND kind = 'subject' AND requested_by = {_ACTOR}"
EXPORTS: tuple[Access, ...] = (
    (
        "exports",
        "tenure_app",
        (
            "INSERT(tenant_id, id, kind, subject, subject_hash, requested_by, reason)",
            "UPDATE(state, as_of, counts, bytes, manifest_sha256, ended_at, problem)",
        ),
        _EXPORTED,
    ),
    # The manifest says how long rows are kept.
    ("policy_periods", "tenure_app", ("SELECT(tenant_id, policy, period)",), AT_DESK),
)
# Of copies of the tenant's own rows the application reads without a desk, too (0023).
_SHOWN = "subject, requested_by, reason, began_at, counts, problem"
_OWN_COPIES = "kind = 'tenant'"
READ_EXPORTS = (
    f"GRANT SELECT ({_SHOWN}) ON tenure.exports TO tenure_app",
    "ALTER POLICY tenure_app_select ON tenure.exports"
    f" USING ({OWN} AND ({_OWN_COPIES} OR {_ACTOR} IS NOT NULL))",
)
LEAVE_EXPORTS = (
    f"ALTER POLICY tenure_app_select ON tenure.exports USING ({OWN} AND {_OWN_COPIES})",
    f"REVOKE SELECT ({_SHOWN}) ON tenure.exports FROM tenure_app",  # noqa: S608 - constants
    "DROP POLICY tenure_app_insert ON tenure.exports",
    "DROP POLICY tenure_app_update ON tenure.exports",
    "REVOKE INSERT, UPDATE ON tenure.exports FROM tenure_app",
    "DROP POLICY tenure_app_select ON tenure.policy_periods",
    "REVOKE ALL ON tenure.policy_periods FROM tenure_app",
)

# Archives of domains that are there already; those to come have it from `tenants.archive`.
_ARCHIVES = """
DO $$
DECLARE archive regclass;
BEGIN
    FOR archive IN
        SELECT c.oid::regclass FROM pg_catalog.pg_class c
        WHERE c.relkind IN ('r', 'p')
          AND EXISTS (SELECT FROM pg_catalog.pg_policy p
                      WHERE p.polrelid = c.oid AND p.polname = 'retention')
          AND {condition} (SELECT FROM pg_catalog.pg_policy p
                           WHERE p.polrelid = c.oid AND p.polname = 'app')
          AND (SELECT count(*) FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = c.oid AND NOT a.attisdropped
                 AND a.attname IN ('archived_at', 'archived_batch')) = 2
    LOOP
        {work}
    END LOOP;
END $$
"""
READ_ARCHIVES = _ARCHIVES.format(
    condition="NOT EXISTS",
    work=f"""EXECUTE format('GRANT SELECT ON %s TO tenure_app', archive);
        EXECUTE format('CREATE POLICY app ON %s FOR SELECT TO tenure_app USING ({AT_DESK})',
                       archive);""",
)
LEAVE_ARCHIVES = _ARCHIVES.format(
    condition="EXISTS",
    work="""EXECUTE format('DROP POLICY app ON %s', archive);
        EXECUTE format('REVOKE SELECT ON %s FROM tenure_app', archive);""",
)

APPROVALS = """
CREATE FUNCTION tenure.is_another(actor text, than text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT actor <> than
       AND coalesce(substring(actor FROM '^([^:]*):'), '')
         = coalesce(substring(than FROM '^([^:]*):'), '')
$$;
CREATE FUNCTION tenure.approval_by_another() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.facts -> 'alone') IS DISTINCT FROM (
        SELECT to_jsonb(NOT tenure.is_another(NEW.actor, e.entered_by)) FROM tenure.erasures e
        WHERE e.tenant_id = NEW.tenant_id AND e.id = NEW.erasure_id) THEN
        RAISE EXCEPTION 'who approves erasure % is not who the approval says', NEW.erasure_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION tenure.approved_on_record() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenure.erasure_events v
                   WHERE v.tenant_id = NEW.tenant_id AND v.erasure_id = NEW.id
                     AND v.event = 'approved' AND v.facts -> 'plan' = to_jsonb(NEW.plan)) THEN
        RAISE EXCEPTION 'nobody approved plan % of erasure %', NEW.plan, NEW.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION tenure.is_another(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.approval_by_another() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.approved_on_record() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER approved_on_record AFTER UPDATE ON tenure.erasures
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state = 'approved' AND OLD.state <> 'approved')
    EXECUTE FUNCTION tenure.approved_on_record();
CREATE TRIGGER approval_by_another BEFORE INSERT ON tenure.erasure_events
    FOR EACH ROW WHEN (NEW.event = 'approved') EXECUTE FUNCTION tenure.approval_by_another();
COMMENT ON FUNCTION tenure.is_another(text, text) IS
    'Whether two actors are shown to be two: logins, or accounts of two names (retention.actors).';
"""
ANY_APPROVALS = """
DROP TRIGGER approval_by_another ON tenure.erasure_events;
DROP TRIGGER approved_on_record ON tenure.erasures;
DROP FUNCTION tenure.approval_by_another();
DROP FUNCTION tenure.approved_on_record();
DROP FUNCTION tenure.is_another(text, text);
"""

# Whom it is about is forgotten, and how they showed who they are is entered, before it begins.
_UNBEGUN = "('received', 'confirmed', 'planned', 'approved')"
DESK_STEPS = f"""
CREATE FUNCTION tenure.desk_step() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.state <> OLD.state
       AND (OLD.state, NEW.state) NOT IN (('received', 'confirmed'), ('planned', 'approved'))
       AND NOT (OLD.state IN {_UNBEGUN} AND NEW.state IN ('refused', 'withdrawn')) THEN
        RAISE EXCEPTION 'at the desk erasure % does not go from % to %',
            OLD.id, OLD.state, NEW.state USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.plan_wanted_by IS DISTINCT FROM OLD.plan_wanted_by
       AND NEW.plan_wanted_by <> tenure.desk_actor() THEN
        RAISE EXCEPTION 'a plan is wanted by who is at the desk'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.desk_step() FROM PUBLIC;
CREATE TRIGGER desk_step BEFORE UPDATE ON tenure.erasures
    FOR EACH ROW WHEN (session_user = 'tenure_app') EXECUTE FUNCTION tenure.desk_step();
"""
ANY_DESK_STEPS = """
DROP TRIGGER desk_step ON tenure.erasures;
DROP FUNCTION tenure.desk_step();
"""


def _erasure_is(table: str, states: str) -> str:
    return (
        f"EXISTS (SELECT FROM tenure.erasures e WHERE e.tenant_id = {table}.tenant_id"
        f" AND e.id = {table}.erasure_id AND e.state IN {states})"
    )


_NARROWED = (
    ("erasure_subjects", "UPDATE", _erasure_is("erasure_subjects", "('received')")),
    ("erasure_subjects", "DELETE", _erasure_is("erasure_subjects", _UNBEGUN)),
    ("erasure_rows", "DELETE", _erasure_is("erasure_rows", _UNBEGUN)),
)


def _desk_policies(*, narrow: bool) -> Iterator[str]:
    for table, command, while_ in _NARROWED:
        using = f"{AT_DESK} AND {while_}" if narrow else AT_DESK
        yield f"ALTER POLICY tenure_app_{command.lower()} ON tenure.{table} USING ({using})"


_NOTE_ACCESS = """
CREATE OR REPLACE FUNCTION tenure.note_access(
    tenant uuid, login uuid, what text, before text, after text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO tenure.access_changes (tenant_id, login_id, what, before, after, actor)
    SELECT tenant, login, what, before, after,
           coalesce({said}, 'role:' || session_user)
    WHERE before IS DISTINCT FROM after
$$;
"""
_SAID = "nullif(current_setting('tenure.actor', true), '')"
# Whatever fires the triggers: a setting is anybody's to set. The tenant's offboarding may have
# said so, which retention has begin (0022).
_BELIEVED = f"""CASE WHEN session_user = 'tenure_owner' OR EXISTS (
               SELECT FROM tenure.offboardings o
               WHERE session_user = 'tenure_retention' AND o.tenant_id = tenant
                 AND {_SAID} = 'offboarding:' || o.id) THEN {_SAID} END"""
ACCESS_CHANGES = f"""
ALTER TABLE tenure.access_changes ADD COLUMN recorded_as text;
ALTER TABLE tenure.access_changes ALTER COLUMN recorded_as SET DEFAULT session_user;
COMMENT ON COLUMN tenure.access_changes.recorded_as IS
    'The role of the session that changed it, which is all that the database knows of who acts; '
    'actor is what it said. NULL in rows from before this was kept.';
{_NOTE_ACCESS.format(said=_BELIEVED)}
"""
_FED = ("id", "tenant_id", "what", "before", "after", "changed_at")
ACCESS_FEED = ledger_statement(
    "access_changes",
    "access-change",
    plain=(*_FED, "recorded_as"),
    committed=("login_id", "actor"),
    on="INSERT OR DELETE",
)
ACCESS_FEED_BEFORE = ledger_statement(
    "access_changes",
    "access-change",
    plain=_FED,
    committed=("login_id", "actor"),
    on="INSERT OR DELETE",
)

# The removal's id is in the seal: it serves once.
REMOVALS = """
CREATE FUNCTION tenure.record_removal(
    removal uuid, removed_from text, keys bytea, by_actor text, under_trace text, seal text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT uuid := tenure.current_tenant();
    what CONSTANT bytea := convert_to(removed_from, 'UTF8') || '\\x00'
        || convert_to(under_trace, 'UTF8') || '\\x00' || keys;
BEGIN
    IF NOT tenure.is_sealed(
        'removal:' || tenant || ':' || removal || ':' || encode(sha256(what), 'hex') || ':'
        || by_actor, seal) THEN
        RAISE EXCEPTION 'the removal is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO tenure.removals (tenant_id, id, table_name, hashes, actor, trace_id)
    VALUES (tenant, removal, removed_from, keys, by_actor, under_trace);
END $$;
REVOKE ALL ON FUNCTION tenure.record_removal(uuid, text, bytea, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.record_removal(uuid, text, bytea, text, text, text)
    TO tenure_app;
DROP POLICY tenure_app_insert ON tenure.removals;
REVOKE INSERT ON tenure.removals FROM tenure_app;
"""
ANY_REMOVALS = f"""
DROP FUNCTION tenure.record_removal(uuid, text, bytea, text, text, text);
GRANT INSERT ON tenure.removals TO tenure_app;
CREATE POLICY tenure_app_insert ON tenure.removals FOR INSERT TO tenure_app WITH CHECK ({OWN});
"""

ALERTS = """
CREATE FUNCTION tenure.alert_now() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF coalesce(NEW.resolved_at, NEW.delivered_at) IS NOT NULL OR NEW.attempts <> 0 THEN
            RAISE EXCEPTION 'an alert is raised before it is delivered or resolved'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.resolved_at IS NOT NULL THEN
        RAISE EXCEPTION 'alert % is resolved, and does not change', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.attempts NOT IN (0, OLD.attempts, OLD.attempts + 1) THEN
        RAISE EXCEPTION 'attempts to deliver alert % are counted one by one', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.resolved_at IS NOT NULL THEN
        NEW.resolved_at := clock_timestamp();
    END IF;
    IF NEW.last_seen_at IS DISTINCT FROM OLD.last_seen_at THEN
        NEW.last_seen_at := clock_timestamp();
    END IF;
    IF NEW.delivered_at IS DISTINCT FROM OLD.delivered_at THEN
        NEW.delivered_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.alert_now() FROM PUBLIC;
CREATE TRIGGER alert_now BEFORE INSERT OR UPDATE ON tenure.alerts
    FOR EACH ROW WHEN (session_user <> 'tenure_owner') EXECUTE FUNCTION tenure.alert_now();
"""
ANY_ALERTS = """
DROP TRIGGER alert_now ON tenure.alerts;
DROP FUNCTION tenure.alert_now();
"""

# Three intervals are `PATIENCE` of retention.schedule. A watch goes on by the interval that it was
# kept by: to say that one ticks once a day bridges no night.
WATCHES = """
ALTER TABLE tenure.watches ADD COLUMN every interval CHECK (every > interval '0');
COMMENT ON COLUMN tenure.watches.every IS
    'How often its ticks were to come, at the most often; NULL in those from before this was kept.';
CREATE FUNCTION tenure.keep_watch(ticking interval) RETURNS interval
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
    kept tenure.watches;
BEGIN
    IF (ticking > interval '0' AND ticking <= interval '1 day') IS NOT TRUE THEN
        RAISE EXCEPTION 'nobody ticks every %', ticking USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO kept FROM tenure.watches w ORDER BY w.last_at DESC LIMIT 1 FOR UPDATE;
    IF now - kept.last_at <= 3 * least(ticking, kept.every) THEN
        UPDATE tenure.watches w
        SET last_at = greatest(w.last_at, now), ticks = w.ticks + 1, every = least(w.every, ticking)
        WHERE w.id = kept.id;
        RETURN NULL;
    END IF;
    INSERT INTO tenure.watches (id, began_at, last_at, ticks, every)
    VALUES (gen_random_uuid(), now, now, 1, ticking);
    RETURN now - kept.last_at;
END $$;
REVOKE ALL ON FUNCTION tenure.keep_watch(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.keep_watch(interval) TO tenure_retention;
DROP POLICY tenure_retention_select ON tenure.watches;
DROP POLICY tenure_retention_insert ON tenure.watches;
DROP POLICY tenure_retention_update ON tenure.watches;
REVOKE ALL ON tenure.watches FROM tenure_retention;
"""
WATCHES_BEFORE: tuple[Access, ...] = (
    ("watches", "tenure_retention", ("SELECT", "INSERT", "UPDATE(last_at, ticks)"), "true"),
)
ANY_WATCHES = """
DROP FUNCTION tenure.keep_watch(interval);
ALTER TABLE tenure.watches DROP COLUMN every;
"""

SCHEDULED = """
ALTER TABLE tenure.scheduled ADD COLUMN recorded_at timestamptz;
ALTER TABLE tenure.scheduled ALTER COLUMN recorded_at SET DEFAULT clock_timestamp();
COMMENT ON COLUMN tenure.scheduled.recorded_at IS
    'When the database was told; taken_at is what it was told. NULL in rows from before this was '
    'kept.';
REVOKE INSERT ON tenure.scheduled FROM tenure_retention;
GRANT INSERT (name, due_at, taken_at, missed) ON tenure.scheduled TO tenure_retention;
"""
ANY_SCHEDULED = """
ALTER TABLE tenure.scheduled DROP COLUMN recorded_at;
GRANT INSERT ON tenure.scheduled TO tenure_retention;
"""

_REQUEST_STATES = """
ALTER TABLE tenure.connector_requests DROP CONSTRAINT connector_requests_state_check,
    ADD CONSTRAINT connector_requests_state_check CHECK (state IN
        ('open', 'delivered', 'acknowledged', 'refused'{0}));
ALTER TABLE tenure.connector_events DROP CONSTRAINT connector_events_event_check,
    ADD CONSTRAINT connector_events_event_check CHECK (event IN
        ('requested', 'counted', 'delivered', 'deleted', 'deferred', 'failed', 'acknowledged',
         'refused'{1}));
"""
# Of requests from before, those that may have been told are taken to have been.
CONNECTORS = f"""
{_REQUEST_STATES.format(", 'withdrawn'", ", 'told', 'withdrawn'")}
ALTER TABLE tenure.connector_requests ADD COLUMN told_at timestamptz;
UPDATE tenure.connector_requests SET told_at = coalesce(delivered_at, requested_at)
WHERE delivered_at IS NOT NULL OR failures > 0 AND counted IS NULL;
ALTER TABLE tenure.connector_requests
    ADD CHECK (told_at IS NOT NULL OR state <> 'delivered');
COMMENT ON COLUMN tenure.connector_requests.told_at IS
    'When the first message to a webhook was about to leave: from then on it may have begun.';
GRANT UPDATE (told_at) ON tenure.connector_requests TO tenure_retention;
GRANT SELECT (told_at) ON tenure.connector_requests
    TO tenure_app, tenure_verifier, tenure_auditor;

CREATE FUNCTION tenure.request_open() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL
       AND NOT (OLD.state = 'withdrawn' AND NEW.state IN ('acknowledged', 'refused'))
       OR OLD.told_at IS NOT NULL AND OLD.told_at IS DISTINCT FROM NEW.told_at THEN
        RAISE EXCEPTION 'request % is %, and does not change so', OLD.id, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_open BEFORE UPDATE ON tenure.connector_requests
    FOR EACH ROW EXECUTE FUNCTION tenure.request_open();

CREATE FUNCTION tenure.not_begun() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM tenure.erasure_batches b
               WHERE b.tenant_id = NEW.tenant_id AND b.erasure_id = NEW.id)
       OR EXISTS (SELECT FROM tenure.connector_requests r
                  WHERE r.tenant_id = NEW.tenant_id AND r.cause_id = NEW.id
                    AND (r.told_at IS NOT NULL OR r.counted IS NOT NULL
                         OR r.state IN ('acknowledged', 'refused'))) THEN
        RAISE EXCEPTION 'erasure % has begun, and is not %', NEW.id, NEW.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER not_begun BEFORE UPDATE ON tenure.erasures
    FOR EACH ROW WHEN (NEW.state IN ('refused', 'withdrawn') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION tenure.not_begun();
REVOKE ALL ON FUNCTION tenure.request_open() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.not_begun() FROM PUBLIC;
"""  # noqa: S608 - a constant is put in
ACKNOWLEDGE = import_module("migrations.0015_connectors").ACKNOWLEDGE.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)
_ENDED = "IF asked.ended_at IS NOT NULL THEN"
ACKNOWLEDGE_LATE = ACKNOWLEDGE.replace(
    _ENDED, _ENDED.replace(" THEN", " AND asked.state <> 'withdrawn' THEN")
)
ANY_CONNECTORS = f"""
DROP TRIGGER not_begun ON tenure.erasures;
DROP TRIGGER request_open ON tenure.connector_requests;
DROP FUNCTION tenure.not_begun();
DROP FUNCTION tenure.request_open();
ALTER TABLE tenure.connector_requests DROP COLUMN told_at;
{_REQUEST_STATES.format("", "")}
"""
_SAID_SINCE = """
SELECT EXISTS (SELECT FROM tenure.connector_events WHERE event IN ('told', 'withdrawn'))
"""


def up(migrator: Any, db: Any) -> None:
    """Take powers away, and give what is needed instead; runs as tenure_owner."""
    execute(db, *access_statements((), EXPORTS), *READ_EXPORTS, READ_ARCHIVES)
    execute(db, APPROVALS, DESK_STEPS, *_desk_policies(narrow=True))
    execute(db, ACCESS_CHANGES, ACCESS_FEED, REMOVALS)
    execute(db, ALERTS, WATCHES, SCHEDULED)
    execute(db, CONNECTORS, ACKNOWLEDGE_LATE)


def down(migrator: Any, db: Any) -> None:
    """Give the powers back, unless something is on record that could not be said before."""
    # tenure: allow TS001 because the owner asks whether any tenant has such requests
    if db.execute_sql(_SAID_SINCE).fetchone()[0]:
        raise RuntimeError("connectors were told, or requests to them withdrawn; it is evidence")
    execute(
        db,
        ACKNOWLEDGE,
        ANY_CONNECTORS,
        ANY_SCHEDULED,
        ANY_WATCHES,
        *access_statements((), WATCHES_BEFORE),
        ANY_ALERTS,
        ANY_REMOVALS,
        _NOTE_ACCESS.format(said=_SAID),
        ACCESS_FEED_BEFORE,
        "ALTER TABLE tenure.access_changes DROP COLUMN recorded_as",
        *_desk_policies(narrow=False),
        ANY_DESK_STEPS,
        ANY_APPROVALS,
        LEAVE_ARCHIVES,
        *LEAVE_EXPORTS,
    )
