"""The catalog queries: a fixed number of them, whatever the number of tables.

Each returns rows in the order in which `reader` takes them apart.
"""

from __future__ import annotations

_SYSTEM = "('pg_catalog', 'information_schema', 'pg_toast')"
# Objects of extensions are the extension's business.
_EXTENSIONS = (
    "(SELECT x.objid FROM pg_depend x WHERE x.classid = '{}'::regclass AND x.deptype = 'e')"
)


def _query(text: str) -> str:
    """Fill in what the queries share: fixed texts, never values from outside."""
    shared = {
        "<ours>": f"n.nspname NOT IN {_SYSTEM} AND n.nspname !~ '^pg_(temp|toast_temp)_'",
        "<extensions' relations>": _EXTENSIONS.format("pg_class"),
        "<extensions' functions>": _EXTENSIONS.format("pg_proc"),
    }
    for mark, meaning in shared.items():
        text = text.replace(mark, meaning)
    return text


SERVER = """
SELECT current_setting('server_version_num')::int, d.datname, d.datdba, current_user::text,
       array(SELECT ARRAY[s.name, s.setting] FROM pg_settings s WHERE s.name IN
             ('row_security', 'statement_timeout', 'idle_in_transaction_session_timeout',
              'lo_compat_privileges', 'log_statement', 'wal_level', 'createrole_self_grant'))
FROM pg_database d WHERE d.datname = current_database()
"""

ROLES = """
SELECT r.oid::bigint, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcanlogin, r.rolinherit,
       r.rolcreaterole, r.rolreplication,
       coalesce((SELECT s.setconfig FROM pg_db_role_setting s
                 WHERE s.setrole = r.oid AND s.setdatabase = 0), '{}')
       || coalesce((SELECT s.setconfig FROM pg_db_role_setting s
                    WHERE s.setrole = 0 AND s.setdatabase = d.oid), '{}')
       || coalesce((SELECT s.setconfig FROM pg_db_role_setting s
                    WHERE s.setrole = r.oid AND s.setdatabase = d.oid), '{}')
FROM pg_roles r, pg_database d WHERE d.datname = current_database()
"""

# Before 16 the role's own INHERIT decides, and every membership allows SET ROLE. Who administers
# a role may give itself the option that is missing.
MEMBERSHIPS_16 = """
SELECT roleid::bigint, member::bigint, bool_or(inherit_option), bool_or(set_option OR admin_option)
FROM pg_auth_members GROUP BY 1, 2
"""
MEMBERSHIPS = """
SELECT m.roleid::bigint, m.member::bigint, r.rolinherit, true
FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
"""

SCHEMAS = _query("""
SELECT n.oid::bigint, n.nspname, n.nspowner::bigint FROM pg_namespace n WHERE <ours>
""")

RELATIONS = _query("""
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relowner::bigint,
       c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
       coalesce((SELECT f.ftoptions FROM pg_foreign_table f WHERE f.ftrelid = c.oid),
                c.reloptions, '{}'),
       array(SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid),
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) ELSE '' END,
       CASE WHEN c.relkind = 'S' THEN coalesce(
           (SELECT d.refobjid::bigint FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
              AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')), 0)
       ELSE 0 END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND <ours> AND c.relpersistence <> 't'
  AND c.oid NOT IN <extensions' relations>
ORDER BY 2, 3
""")

COLUMNS = _query("""
SELECT a.attrelid::bigint, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull, a.attgenerated <> '', a.attidentity <> '', a.atthasdef
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND <ours>
ORDER BY 1, 2
""")

POLICIES = _query("""
SELECT p.oid::bigint, p.polrelid::bigint, p.polname, p.polpermissive,
       CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                     WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END,
       p.polroles::bigint[], pg_get_expr(p.polqual, p.polrelid),
       pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE <ours> ORDER BY 2, 3
""")

CONSTRAINTS = _query("""
SELECT k.oid::bigint, k.conrelid::bigint, k.conname, k.contype::text, coalesce(k.conkey, '{}'),
       k.confrelid::bigint, coalesce(k.confkey, '{}'), k.confdeltype::text, k.confupdtype::text,
       pg_get_constraintdef(k.oid), k.conparentid <> 0
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('p', 'u', 'f', 'x') AND <ours> ORDER BY 2, 3
""")

INDEXES = _query("""
SELECT i.indexrelid::bigint, i.indrelid::bigint, x.relname, i.indisunique, i.indisvalid,
       i.indpred IS NOT NULL, (i.indkey::int2[])[0:i.indnkeyatts - 1],
       CASE WHEN i.indisunique AND NOT EXISTS (
           SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
       THEN pg_get_indexdef(i.indexrelid) ELSE '' END,
       x.relispartition
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE <ours> ORDER BY 2, 3
""")

FUNCTIONS = _query("""
SELECT p.oid::bigint, n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
       p.proowner::bigint, l.lanname, p.prosecdef, p.proleakproof, p.provolatile::text,
       format_type(p.prorettype, NULL), p.pronargs, coalesce(p.proargnames, '{}'),
       coalesce(p.proargmodes::text[], '{}'), coalesce(p.proconfig, '{}'),
       CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_get_function_sqlbody(p.oid) END,
       p.pronargdefaults, coalesce(pg_get_expr(p.proargdefaults, 0), '')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE <ours> AND p.oid NOT IN <extensions' functions> ORDER BY 2, 3, 4
""")

# A rule on a view reads what it names; the view itself is among that, and left out.
USES = _query("""
SELECT DISTINCT r.ev_class::bigint, r.rulename,
       CASE r.ev_type WHEN '1' THEN 'SELECT' WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT'
                      ELSE 'DELETE' END,
       d.refobjid::bigint,
       CASE d.refclassid WHEN 'pg_proc'::regclass THEN 'function' ELSE 'relation' END
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
 AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass)
WHERE <ours> AND (d.refclassid <> 'pg_class'::regclass OR d.refobjid <> r.ev_class)
""")

TRIGGERS = _query("""
SELECT t.tgrelid::bigint, t.tgname, t.tgfoid::bigint, t.tgenabled <> 'D'
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND <ours> ORDER BY 1, 2
""")

# Many objects share a list of grants: each is taken apart once.
GRANTS = _query("""
WITH objects AS MATERIALIZED (
    SELECT 'relation' AS class, c.oid::bigint AS object, 0 AS number, '' AS detail,
           0::bigint AS owner,
           coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char",
                                         c.relowner)) AS acl
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND <ours>
    UNION ALL
    SELECT 'column', a.attrelid::bigint, a.attnum, '', 0, a.attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND <ours>
    UNION ALL
    SELECT 'schema', n.oid::bigint, 0, '', 0, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace n WHERE <ours>
    UNION ALL
    SELECT 'function', p.oid::bigint, 0, '', 0, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE <ours>
    UNION ALL
    SELECT 'database', 0, 0, '', 0, coalesce(d.datacl, acldefault('d', d.datdba))
    FROM pg_database d WHERE d.datname = current_database()
    UNION ALL
    SELECT DISTINCT 'largeobject', 0::bigint, 0, '', 0::bigint,
           coalesce(o.lomacl, acldefault('L', o.lomowner))
    FROM pg_largeobject_metadata o
    UNION ALL
    SELECT 'server', s.oid::bigint, 0, s.srvname, 0, coalesce(s.srvacl, acldefault('S', s.srvowner))
    FROM pg_foreign_server s
    UNION ALL
    SELECT 'wrapper', w.oid::bigint, 0, w.fdwname, 0,
           coalesce(w.fdwacl, acldefault('F', w.fdwowner))
    FROM pg_foreign_data_wrapper w
    UNION ALL
    SELECT 'default', f.defaclnamespace::bigint, 0, f.defaclobjtype::text, f.defaclrole::bigint,
           f.defaclacl
    FROM pg_default_acl f
), lists AS (
    SELECT known.acl, listed.grantee, listed.privileges
    FROM (SELECT DISTINCT acl FROM objects) AS known, LATERAL (
        SELECT grantee::bigint, array_agg(DISTINCT privilege_type) AS privileges
        FROM aclexplode(known.acl) GROUP BY 1) AS listed
)
SELECT class, object, number, grantee, privileges, detail, owner
FROM objects JOIN lists USING (acl)
""")

# GRANT SET ON PARAMETER came with 15.
PARAMETERS_15 = """
SELECT 'parameter', 0::bigint, 0, a.grantee::bigint, array_agg(DISTINCT a.privilege_type),
       p.parname, 0::bigint
FROM pg_parameter_acl p, aclexplode(p.paracl) a GROUP BY a.grantee, p.parname
"""

PUBLICATIONS = """
SELECT p.pubname, p.pubowner::bigint, p.puballtables, <schemas>,
       array(SELECT r.prrelid::bigint FROM pg_publication_rel r WHERE r.prpubid = p.oid)
FROM pg_publication p ORDER BY 1
"""
# Publications of whole schemas came with 15.
PUBLISHED_SCHEMAS_15 = (
    "array(SELECT n.nspname::text FROM pg_publication_namespace s"
    " JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid)"
)
PUBLISHED_SCHEMAS = "ARRAY[]::text[]"

EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1
"""
