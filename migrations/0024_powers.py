"""Less power, and evidence that claims no more than was shown.

Access exports over the API are made by the application, at its desk (0020), so that no process
that serves has the connection of a role that deletes. It sees there what it exports, archives
included, and enters the record of it in nobody else's name.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute

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


def up(migrator: Any, db: Any) -> None:
    """Take powers away, and give what is needed instead; runs as tenure_owner."""
    execute(db, *access_statements((), EXPORTS), *READ_EXPORTS, READ_ARCHIVES)


def down(migrator: Any, db: Any) -> None:
    """Give the powers back."""
    execute(
        db,
        LEAVE_ARCHIVES,
        *LEAVE_EXPORTS,
    )
