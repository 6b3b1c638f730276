-- Statements written to deceive the prover. Same form as table.sql.

-- unscoped: an alias takes the name of the other table
SELECT * FROM t s JOIN s t ON s.id=t.id WHERE t.org=1;
-- unscoped: the tenant column is another column's alias
SELECT * FROM (SELECT id AS org, x FROM t) q WHERE q.org=1;
-- unscoped: a column list renames
SELECT * FROM t AS q(id, org) WHERE q.org=1;
-- scoped: a column list renames, and the renamed one is meant
SELECT * FROM t AS q(id, org) WHERE q.id=1;
-- unscoped: a CTE's column list renames
WITH q(id, org) AS (SELECT org, id FROM t) SELECT * FROM q WHERE org=1;
-- undecidable: quoted in upper case is another column
SELECT * FROM t WHERE "ORG"=1;
-- scoped: quoted in lower case is the same
SELECT * FROM "t" WHERE "org"=1;
-- undecidable: a table quoted in upper case is not known
SELECT * FROM "T" WHERE org=1;
-- scoped: letter case does not matter unquoted
SELECT * FROM T WHERE ORG=1;
-- scoped: a CTE takes a table's name, inside it is the table
WITH t AS (SELECT * FROM t WHERE org=1) SELECT * FROM t;
-- unscoped: a CTE takes a table's name, the qualified one is the table
WITH t AS (SELECT * FROM t WHERE org=1) SELECT * FROM public.t;
-- unscoped: a CTE without a filter under the name of a table that has one
WITH s AS (SELECT * FROM t) SELECT * FROM s, (SELECT * FROM public.s WHERE org=1) q;
-- undecidable: under RECURSIVE the name is the query's own
WITH RECURSIVE t AS (SELECT * FROM t WHERE org=1) SELECT * FROM t;
-- undecidable: under RECURSIVE a later query is meant
WITH RECURSIVE a AS (SELECT * FROM s WHERE org=1), s AS (SELECT * FROM t WHERE org=1) SELECT * FROM a;
-- scoped: a CTE that nothing reads is not run
WITH q AS (SELECT * FROM t) SELECT * FROM s WHERE org=1;
-- scoped: nor is one that only it reads
WITH p AS (SELECT * FROM t), q AS (SELECT * FROM p) SELECT * FROM s WHERE org=1;
-- unscoped: a CTE that is read for its being there
WITH q AS (SELECT * FROM t) SELECT * FROM s WHERE org=1 AND EXISTS (SELECT 1 FROM q);
-- undecidable: the same name in two schemas
SELECT * FROM twin WHERE org=1;
-- scoped: qualified it is one
SELECT * FROM other.twin WHERE org=1;
-- unscoped two-tenants: two tables of one name
SELECT * FROM other.twin, public.s WHERE other.twin.org=1 AND s.org=2;
-- undecidable: a schema that is not known
SELECT * FROM elsewhere.t WHERE org=1;
-- undecidable: a table that is not known
SELECT * FROM nowhere WHERE org=1;
-- unscoped: the inner name hides the outer one
SELECT * FROM t WHERE org=1 AND EXISTS (SELECT 1 FROM t WHERE org=org);
-- unscoped: the correlation names the wrong level
SELECT * FROM t WHERE t.org=1 AND EXISTS (SELECT 1 FROM s t WHERE t.org=t.org);
-- scoped: an alias for each level
SELECT * FROM t a WHERE a.org=1 AND EXISTS (SELECT 1 FROM t b WHERE b.org=a.org AND b.pid=a.id);
-- unscoped: the tenant in a LEFT JOIN's ON only
SELECT * FROM s LEFT JOIN t ON t.org=1 AND s.org=t.org;
-- unscoped: an EXISTS over an aggregate is always true
SELECT * FROM t WHERE EXISTS (SELECT count(*) FROM s WHERE s.org=t.org AND t.org=1);
-- unscoped: an EXISTS over json_agg is always true
SELECT * FROM t WHERE EXISTS (SELECT json_agg(s.x) FROM s WHERE s.org=t.org AND t.org=1);
-- unscoped: an EXISTS over the empty grouping set is always true
SELECT * FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND t.org=1 GROUP BY ());
-- unscoped: an EXISTS over ROLLUP is always true
SELECT * FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND t.org=1 GROUP BY ROLLUP(s.x));
-- unscoped: NOT IN exports nothing
SELECT * FROM t WHERE (org, id) NOT IN (SELECT org, id FROM s WHERE org=1);
-- scoped: IN exports its facts
SELECT * FROM t WHERE (org, id) IN (SELECT org, id FROM s WHERE org=1);
-- unscoped: IN on another column than the tenant
SELECT * FROM t WHERE id IN (SELECT org FROM s WHERE org=1);
-- unscoped: negation of a conjunction
SELECT * FROM t WHERE NOT (org<>1 AND x IS NULL);
-- scoped: double negation
SELECT * FROM t WHERE NOT NOT org=1;
-- unscoped: compared with false
SELECT * FROM t WHERE (org=1) = false;
-- scoped: compared with true
SELECT * FROM t WHERE (org=1) = true;
-- scoped: IS TRUE
SELECT * FROM t WHERE (org=1) IS TRUE;
-- unscoped: IS NOT TRUE
SELECT * FROM t WHERE (org=1) IS NOT TRUE;
-- unscoped: IS UNKNOWN, of what may be null
SELECT * FROM n WHERE (org=1) IS UNKNOWN;
-- scoped: IS UNKNOWN, of what is never null, leaves no row
SELECT * FROM t WHERE (1=org) IS UNKNOWN;
-- scoped: no row, whoever's
SELECT * FROM t WHERE false;
-- scoped: no row by a contradiction
SELECT * FROM t WHERE x=1 AND x=2;
-- unscoped: no contradiction between spellings of one number
SELECT * FROM t WHERE x=1 AND x='01';
-- scoped: LIMIT 0 asks for the columns
SELECT * FROM t LIMIT 0;
-- unscoped: OFFSET 0 is no limit
SELECT * FROM t OFFSET 0;
-- scoped: SOME is ANY
SELECT * FROM t WHERE org = SOME (ARRAY[1]);
-- scoped: among the rows of a value
SELECT * FROM t WHERE org IN (SELECT tenure.current_tenant()) AND org = ANY (SELECT tenure.current_tenant());
-- scoped: among rows of VALUES
SELECT * FROM t WHERE org IN (VALUES (1));
-- unscoped: among two rows of VALUES
SELECT * FROM t WHERE org IN (VALUES (1), (2));
-- unscoped: NOTNULL is not equality
SELECT * FROM t WHERE (org=1) NOTNULL;
-- unscoped: COALESCE of a condition with true
SELECT * FROM t WHERE COALESCE(org=1, true) OR x=1;
-- scoped: COALESCE of a condition with false
SELECT * FROM n WHERE COALESCE(org=1, false);
-- unscoped: LIKE is not equality
SELECT * FROM u WHERE org::text LIKE 'abc';
-- unscoped: a cast that cuts
SELECT * FROM u WHERE org::varchar(8)='abcdefab';
-- unscoped: a cast that rounds
SELECT * FROM t WHERE org::real=1;
-- unscoped: a function of the tenant
SELECT * FROM t WHERE abs(org)=1;
-- unscoped: arithmetic on the tenant
SELECT * FROM t WHERE org % 10 = 1;
-- undecidable: a parameter beside an operator
SELECT * FROM t WHERE org = 1 %s;
-- undecidable: =@ is one operator
SELECT * FROM t WHERE org=@x;
-- undecidable: an operator of a schema
SELECT * FROM t WHERE org OPERATOR(other.=) 1;
-- unscoped: a comment hides the predicate
SELECT * FROM t WHERE x=1 -- AND org=1
;
-- unscoped: nested comments hide it
SELECT * FROM t WHERE x=1 /* /* */ AND org=1 */;
-- unscoped: a string holds it
SELECT * FROM u WHERE name = 'a'' AND org=1 --';
-- unscoped: an escape string holds it
SELECT * FROM u WHERE name = E'a\' AND org=1 --';
-- unscoped: a dollar quote holds it
SELECT * FROM u WHERE name = $a$ ' AND org=1 $a$;
-- undecidable: a no-break space is part of a name
SELECT * FROM t WHERE org = 1;
-- undecidable: a quoted function is not the built-in
SELECT "COUNT"(*) FROM t WHERE org=1;
-- undecidable: a function the parser would translate
SELECT nvl(x, 1) FROM t WHERE org=1;
-- undecidable: an unknown function may read any table
SELECT total_of(x) FROM t WHERE org=1;
-- undecidable: a function that runs a query from text
SELECT query_to_xml('select * from t', true, true, '') FROM t WHERE org=1;
-- undecidable: a function of an unknown schema under a built-in's name
SELECT other.lower('A') FROM t WHERE org=1;
-- scoped: a function of pg_catalog
SELECT pg_catalog.lower('A') FROM t WHERE org=1;
-- undecidable: the setting is changed on the way
SELECT set_config('app.tenant_id', 'x', false) FROM u WHERE org=current_setting('app.tenant_id')::uuid;
-- undecidable: an aggregate of the outer query
SELECT (SELECT max(t.x) FROM s WHERE s.org=1) FROM t WHERE t.org=1;
-- undecidable: an aggregate of the outer query's rows
SELECT (SELECT count(t.*) FROM s WHERE s.org=1) FROM t WHERE t.org=1;
-- undecidable: an aggregate of an outer whole row
SELECT (SELECT count(t) FROM s WHERE s.org=1) FROM t WHERE t.org=1;
-- scoped: an aggregate of whole rows
SELECT jsonb_agg(to_jsonb(q)), count(q.*) FROM (SELECT id, x FROM t WHERE org=1 LIMIT 3) q;
-- scoped: whole row
SELECT t FROM t WHERE t.org=1;
-- scoped: whole row as json
SELECT row_to_json(q) FROM (SELECT * FROM t WHERE org=1) q;
-- undecidable: a field of a whole row is not followed
SELECT * FROM (SELECT t AS r FROM t) q WHERE (q.r).org=1;
-- unscoped: USING merges the other column
SELECT * FROM t JOIN s USING(id) WHERE s.org=1;
-- unscoped: the merged column of a FULL JOIN on id
SELECT * FROM t FULL JOIN s USING(id) WHERE t.org=1;
-- unscoped: FULL JOIN with one side restricted after
SELECT * FROM t FULL JOIN s ON s.id=t.id WHERE t.org=1 OR s.org=1;
-- unscoped: a side's own column tells nothing of a FULL JOIN's partner
SELECT * FROM t FULL JOIN s ON s.id=t.x AND s.org=t.org AND s.id=s.org WHERE t.x=1;
-- unscoped: nor does another table of the side, restricted to the same
SELECT a.* FROM (SELECT g.org, g.id FROM gt, g WHERE gt.org=1) a FULL JOIN (SELECT id FROM t WHERE org=1 AND id=org) b ON b.id=a.org WHERE a.id=1;
-- unscoped: a merged column of a FULL JOIN on a column that stands twice
SELECT s.id, s.x FROM (SELECT id AS org, id FROM orgs) o FULL JOIN s USING (org, id) WHERE s.x IS NOT NULL AND s.id=1;
-- scoped: FULL JOIN of two restricted sides
SELECT * FROM (SELECT * FROM t WHERE org=1) a FULL JOIN (SELECT * FROM s WHERE org=1) b ON a.id=b.id;
-- unscoped: a constant output column of the null-supplied side is null
SELECT * FROM t LEFT JOIN (SELECT 1 AS one, id FROM s WHERE org=1) q ON q.id=t.sid WHERE t.org=COALESCE(q.one, t.org);
-- unscoped: an outer column passed through the null-supplied side
SELECT * FROM t LEFT JOIN LATERAL (SELECT t.org AS o, s.x FROM s WHERE s.org=1) q ON t.org=1 WHERE q.o IS NULL OR q.o=1;
-- scoped: the preserved side is bounded through the joined one
SELECT * FROM t LEFT JOIN s ON s.org=t.org WHERE s.org=1;
-- unscoped: an anti join, only the inner side restricted
SELECT * FROM t LEFT JOIN s ON s.org=t.org AND s.org=1 WHERE s.id IS NULL;
-- scoped: an anti join, the outer side restricted
SELECT t.* FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1 AND s.id IS NULL;
-- unscoped: ON of a nested join
SELECT * FROM t LEFT JOIN (s JOIN gt ON gt.org=s.org) ON s.id=t.id WHERE t.org=1;
-- scoped: a nested join on the tenant
SELECT * FROM t LEFT JOIN (s JOIN gt ON gt.org=s.org) ON s.org=t.org AND s.id=t.id WHERE t.org=1;
-- scoped: joins without parentheses, nested by their ONs
SELECT * FROM t JOIN s JOIN gt ON gt.org=s.org ON s.org=t.org WHERE t.org=1;
-- unscoped: a comma before a right join
SELECT * FROM t, s RIGHT JOIN gt ON gt.org=s.org WHERE t.org=1;
-- undecidable: ON does not see across the comma
SELECT * FROM t, s JOIN gt ON gt.org=t.org WHERE t.org=1 AND s.org=1;
-- undecidable: ambiguous columns
SELECT * FROM t, s WHERE org=1;
-- unscoped: RETURNING does not restrict
DELETE FROM t WHERE id=1 RETURNING org=1;
-- unscoped by-key: by id only
DELETE FROM t WHERE id=$1;
-- unscoped: a subquery in RETURNING
DELETE FROM t WHERE org=1 RETURNING (SELECT count(*) FROM s);
-- scoped: a correlated subquery in RETURNING
DELETE FROM t WHERE org=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.org);
-- unscoped: RETURNING sees the new tenant
UPDATE t SET sid=2 WHERE org=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- unscoped: the assigned tenant is another row's
UPDATE t SET org=s.org FROM s WHERE t.org=1 AND s.id=t.sid;
-- scoped: the tenant is assigned to itself
UPDATE t SET org=1, x=2 WHERE org=1;
-- unscoped: assigned in a row
UPDATE t SET (x, org) = (1, 2) WHERE org=1;
-- unscoped: assigned from a subquery
UPDATE t SET (x, org) = (SELECT 1, 2) WHERE org=1;
-- unscoped: SET from an open subquery
UPDATE t SET x=(SELECT max(x) FROM s) WHERE org=1;
-- scoped: SET from a correlated subquery
UPDATE t SET x=(SELECT max(s.x) FROM s WHERE s.org=t.org) WHERE org=1;
-- unscoped: the child is put under another parent
UPDATE items SET gid=2 FROM g WHERE g.id=items.gid AND g.org=1;
-- unscoped: the target is named twice, the other is restricted
DELETE FROM t USING t b WHERE b.org=1 AND b.id=t.id;
-- unscoped: a default is not known
INSERT INTO t (id, x) VALUES (1, 2);
-- scoped source: a default that is the tenant source
INSERT INTO c (id, x) VALUES (1, 2);
-- scoped source: the keyword DEFAULT
INSERT INTO c (org, id) VALUES (DEFAULT, 2);
-- unscoped: DEFAULT of a column without one
INSERT INTO t (org, id) VALUES (DEFAULT, 2);
-- unscoped: two rows, two tenants
INSERT INTO t (org, id) VALUES (1, 2), (2, 2);
-- scoped: two rows, one tenant
INSERT INTO t (org, id) VALUES (1, 2), (1, 3);
-- unscoped: columns in another order
INSERT INTO t (id, org) SELECT org, id FROM s WHERE org=1;
-- unscoped: an insert under a parent that is given
INSERT INTO items (id, gid) VALUES (1, $1);
-- scoped: an insert under a parent that was read
INSERT INTO items (id, gid) SELECT 7, g.id FROM g WHERE g.org=1;
-- unscoped: upsert without a target
INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET x=1 WHERE EXCLUDED.org=1;
-- scoped: upsert with the tenant in WHERE
INSERT INTO g (org, id) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET x=1 WHERE g.org=EXCLUDED.org;
-- unscoped: upsert that moves the row
INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT (org, id) DO UPDATE SET org=2;
-- scoped: upsert by the constraint's name
INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET x=1;
-- unscoped: upsert by another constraint's name
INSERT INTO g (org, id) VALUES (1, 2) ON CONFLICT ON CONSTRAINT g_pkey DO UPDATE SET x=1;
-- unscoped: upsert that reads another tenant
INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT (org, id) DO UPDATE SET x=(SELECT max(x) FROM s);
-- scoped: DO NOTHING
INSERT INTO t (org, id) VALUES (1, 2) ON CONFLICT DO NOTHING;
-- scoped: MERGE with the tenant in WHEN, and nothing done to what has no partner
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.id=q.id WHEN MATCHED AND t.org=1 THEN DELETE WHEN NOT MATCHED THEN DO NOTHING;
-- unscoped: MERGE with the tenant in WHEN, and an insert for what has no partner
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.id=q.id WHEN MATCHED AND t.org=1 THEN DELETE WHEN NOT MATCHED THEN INSERT (org, id) VALUES (1, q.id);
-- unscoped: MERGE with the tenant in one WHEN of two
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.id=q.id WHEN MATCHED AND t.org=1 THEN DELETE WHEN MATCHED THEN UPDATE SET x=1;
-- unscoped: MERGE NOT MATCHED BY SOURCE
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN NOT MATCHED BY SOURCE THEN DELETE;
-- scoped: MERGE NOT MATCHED BY SOURCE with a condition of its own
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN NOT MATCHED BY SOURCE AND t.org=1 THEN DELETE;
-- unscoped: MERGE inserts for another tenant
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN NOT MATCHED THEN INSERT (org, id) VALUES (2, q.id);
-- unscoped: MERGE from everybody's rows
MERGE INTO t USING s q ON t.org=q.org AND t.org=1 WHEN NOT MATCHED THEN INSERT (org, id) VALUES (1, q.id);
-- unscoped: MERGE moves the row
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org WHEN MATCHED THEN UPDATE SET org=2;
-- unscoped: a set-returning function in FROM reads the outer row only
SELECT * FROM t, generate_series(1, t.org) i WHERE i=1;
-- scoped: a set-returning function beside a restricted table
SELECT * FROM t, generate_series(1, t.x) i WHERE t.org=1;
-- scoped: a set-returning function in the select list
SELECT generate_series(1, x) FROM t WHERE org=1;
-- undecidable: a function in FROM that is not known
SELECT * FROM all_rows() WHERE org=1;
-- undecidable: ROWS FROM is not read
SELECT * FROM ROWS FROM (generate_series(1,2)) AS z, t WHERE t.org=1;
-- unscoped: a name that jsonb_to_recordset may define
SELECT * FROM t, jsonb_to_recordset('[]') AS q(org int) WHERE q.org=1;
-- unscoped: two rows of values
SELECT * FROM t JOIN (VALUES (1),(2)) v(org) USING(org);
-- scoped: two equal rows of values
SELECT * FROM t JOIN (VALUES (1),(1)) v(org) USING(org);
-- scoped: VALUES alone
VALUES (1), (2);
-- unscoped: VALUES with a subquery
VALUES ((SELECT max(x) FROM t));
-- unscoped: one arm of a nested union is open
SELECT id FROM t WHERE org=1 UNION (SELECT id FROM s WHERE org=1 UNION ALL SELECT id FROM gt);
-- unscoped: INTERSECT binds first
SELECT org FROM t UNION SELECT org FROM s WHERE org=1 INTERSECT SELECT org FROM gt WHERE org=1;
-- scoped: INTERSECT with a restricted arm
SELECT org, id FROM t INTERSECT SELECT org, id FROM s WHERE org=1;
-- unscoped: EXCEPT restricted on the right only
SELECT org, id FROM t EXCEPT SELECT org, id FROM s WHERE org=1;
-- unscoped: a union's LIMIT
SELECT * FROM (SELECT org,id FROM t UNION ALL SELECT org,id FROM s LIMIT 5) q WHERE org=1;
-- unscoped: LIMIT in parentheses
SELECT * FROM ((SELECT org,id FROM t) LIMIT 5) q WHERE org=1;
-- unscoped: OFFSET
SELECT * FROM (SELECT org,id FROM t OFFSET 5) q WHERE org=1;
-- unscoped: FETCH FIRST
SELECT * FROM (SELECT org,id FROM t FETCH FIRST 5 ROWS ONLY) q WHERE org=1;
-- unscoped: LIMIT by an open subquery
SELECT * FROM t WHERE org=1 LIMIT (SELECT count(*) FROM s);
-- unscoped: ORDER BY an open subquery
SELECT * FROM t WHERE org=1 ORDER BY (SELECT max(x) FROM s);
-- scoped: FOR UPDATE
SELECT * FROM t WHERE org=1 FOR UPDATE OF t SKIP LOCKED;
-- unscoped: FOR UPDATE of everything
SELECT * FROM t FOR UPDATE;
-- unscoped: TABLE
TABLE t;
-- undecidable: SELECT INTO
SELECT * INTO copy FROM t WHERE org=1;
-- undecidable: TABLESAMPLE
SELECT * FROM t TABLESAMPLE SYSTEM (10) WHERE org=1;
-- scoped: ONLY
SELECT * FROM ONLY t WHERE org=1;
-- unscoped: grouping sets without the tenant, LIMIT of groups
SELECT * FROM (SELECT org, x, count(*) FROM t GROUP BY GROUPING SETS ((org), (x))) q WHERE x=1;
-- scoped: grouping sets, null-rejecting outside
SELECT * FROM (SELECT org, x, count(*) AS n FROM t GROUP BY GROUPING SETS ((org), (x))) q WHERE org=1;
-- unscoped: HAVING keeps the rows where the tenant is null
SELECT org, count(*) FROM t GROUP BY ROLLUP(org) HAVING org=1 OR org IS NULL;
-- unscoped: GROUP BY an output name that is an input column
SELECT id AS org, count(*) FROM t GROUP BY org, id HAVING max(x)=1;
-- unscoped: DISTINCT ON an output name that hides the tenant
SELECT * FROM (SELECT DISTINCT ON (org) id AS org, org AS tenant, x FROM t ORDER BY org, x) q WHERE tenant=1;
-- unscoped: DISTINCT ON a position
SELECT * FROM (SELECT DISTINCT ON (2) org, id FROM t) q WHERE org=1;
-- scoped: DISTINCT
SELECT * FROM (SELECT DISTINCT org, id FROM t) q WHERE org=1;
-- unscoped: DISTINCT without the tenant
SELECT * FROM (SELECT DISTINCT id FROM t) q WHERE id=1;
-- unscoped: one of two windows is not partitioned
SELECT * FROM (SELECT org, sum(x) OVER (PARTITION BY org) a, sum(x) OVER () b FROM t) q WHERE org=1;
-- scoped: a named window
SELECT * FROM (SELECT org, sum(x) OVER w a FROM t WINDOW w AS (PARTITION BY org)) q WHERE org=1;
-- unscoped: a named window over everything
SELECT * FROM (SELECT org, sum(x) OVER w a FROM t WINDOW w AS (ORDER BY x)) q WHERE org=1;
-- unscoped: a window in ORDER BY
SELECT * FROM (SELECT org, x FROM t ORDER BY rank() OVER (ORDER BY x) LIMIT 3) q WHERE org=1;
-- unscoped: a window argument hides an aggregate
SELECT sum(count(*)) OVER () FROM t GROUP BY x;
-- scoped: aggregate of the restricted rows
SELECT count(*), max(x) FROM t WHERE org=1;
-- unscoped: filter of an aggregate is not WHERE
SELECT count(*) FILTER (WHERE org=1) FROM t;
-- unscoped: recursion restricted on one column, joined on another
WITH RECURSIVE r(org, id) AS (SELECT org, id FROM t WHERE org=1 UNION SELECT r.org, t.id FROM t JOIN r ON t.pid=r.id) SELECT * FROM r;
-- unscoped: recursion that swaps its columns
WITH RECURSIVE r(org, id) AS (SELECT org, id FROM t UNION SELECT t.id, t.org FROM t JOIN r ON t.org=r.org) SELECT * FROM r WHERE org=1;
-- undecidable: recursion that names itself in the base
WITH RECURSIVE r AS (SELECT * FROM r UNION SELECT org FROM t WHERE org=1) SELECT * FROM r;
-- scoped: recursion without tables
WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<5) SELECT * FROM r;
-- unscoped: a data-modifying CTE that nothing reads
WITH d AS (DELETE FROM t) SELECT 1;
-- scoped: a data-modifying CTE, restricted inside
WITH d AS (DELETE FROM t WHERE org=1 RETURNING *) INSERT INTO s (org, id) SELECT org, id FROM d;
-- unscoped: the tenant of a returned row that was changed
WITH d AS (UPDATE t SET sid=3 WHERE org=1 RETURNING sid) SELECT * FROM s JOIN d ON s.org=d.sid;
-- unscoped: two references to one write are two rows
WITH d AS (DELETE FROM t WHERE org=1 RETURNING org, id) SELECT * FROM d a JOIN d b ON true JOIN s ON s.org=b.id;
-- scoped: a view, filtered outside
SELECT * FROM v_all WHERE org=1;
-- unscoped: a view, open
SELECT * FROM v_all;
-- unscoped: a view with LIMIT
SELECT * FROM v_top WHERE org=1;
-- unscoped: a view that drops the tenant
SELECT * FROM v_ids WHERE id=1;
-- scoped: a view over a join
SELECT * FROM v_join WHERE tenant=1;
-- scoped: a materialized view grouped by the tenant
SELECT * FROM m_all WHERE org=1;
-- unscoped: a CTE does not reach into a view
WITH t AS (SELECT 1 AS org, 2 AS id, 3 AS x) SELECT * FROM v_all;
-- undecidable: a write through a view
DELETE FROM v_all WHERE org=1;
-- scoped: an exempted table
SELECT * FROM country;
-- scoped: a system catalog
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace;
-- undecidable: samples of everybody's values
SELECT * FROM pg_stats;
-- undecidable: other sessions' texts
SELECT query FROM pg_stat_activity;
-- scoped source: the session's tenant
SELECT * FROM t WHERE org=tenure.current_tenant();
-- scoped source: wrapped
SELECT * FROM t WHERE org=(SELECT tenure.current_tenant());
-- unscoped: the source may be null, and so may the column
SELECT * FROM n WHERE org IS NOT DISTINCT FROM tenure.current_tenant();
-- scoped source: the column is not null
SELECT * FROM t WHERE org IS NOT DISTINCT FROM tenure.current_tenant();
-- scoped: a named scalar subquery, ordered by its name
SELECT * FROM (SELECT org, (SELECT max(x) FROM s WHERE s.org=t.org) AS m FROM t ORDER BY m) q WHERE org=1 AND q.m > 1;
-- scoped source: quoted
SELECT * FROM t WHERE org="tenure"."current_tenant"();
-- undecidable: a function of that name elsewhere
SELECT * FROM t WHERE org=other.current_tenant();
-- undecidable: a function of that name, unqualified
SELECT * FROM t WHERE org=current_tenant();
-- undecidable: quoted otherwise
SELECT * FROM t WHERE org=tenure."Current_Tenant"();
-- undecidable: with an argument
SELECT * FROM t WHERE org=tenure.current_tenant(id);
-- scoped source: a setting
SELECT * FROM u WHERE org=current_setting('app.tenant_id')::uuid;
-- scoped source: a setting that may be missing or empty
SELECT * FROM u WHERE org=nullif(current_setting('app.tenant_id', true), '')::uuid;
-- scoped parameter: another setting
SELECT * FROM u WHERE org=current_setting('app.other')::uuid;
-- scoped source: a declared parameter
SELECT * FROM t WHERE org=:tenant_id;
-- scoped source: a declared parameter of psycopg2
SELECT * FROM t WHERE org=%(tenant_id)s;
-- scoped parameter: another parameter
SELECT * FROM t WHERE org=%(org)s;
-- scoped: positional parameters without a space
SELECT * FROM t WHERE org=$1 AND id IN ($2,$3);
-- unscoped two-tenants: two positional ones
SELECT * FROM t, s WHERE t.org=%s AND s.org=%s;
-- unscoped two-tenants: the session's and another
SELECT * FROM t, s WHERE t.org=tenure.current_tenant() AND s.org=$1;
-- scoped: both
SELECT * FROM t WHERE org=tenure.current_tenant() AND org=$1;
-- unscoped: the source compared with itself
SELECT * FROM t WHERE tenure.current_tenant()=tenure.current_tenant();
-- unscoped: the source cut short
SELECT * FROM u WHERE org::text=tenure.current_tenant()::varchar(4);
-- scoped: PREPARE
PREPARE q (int) AS SELECT * FROM t WHERE org=$1;
-- unscoped: PREPARE of an open statement
PREPARE q AS SELECT * FROM t;
-- unscoped: EXPLAIN ANALYZE
EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t;
-- scoped: DECLARE
DECLARE c CURSOR FOR SELECT * FROM t WHERE org=1;
-- unscoped: COPY of a query
COPY (SELECT * FROM t) TO STDOUT;
-- scoped: COPY of a restricted query
COPY (SELECT * FROM t WHERE org=1) TO STDOUT WITH (FORMAT csv);
-- undecidable: COPY FROM
COPY t (org, id) FROM STDIN;
-- unscoped: CREATE TABLE AS
CREATE TABLE other.copy AS SELECT * FROM t;
-- unscoped: CREATE VIEW
CREATE VIEW w AS SELECT * FROM t;
-- scoped: CREATE MATERIALIZED VIEW of a restricted query
CREATE MATERIALIZED VIEW w (a, b) AS SELECT org, id FROM t WHERE org=1 WITH NO DATA;
-- unscoped: TRUNCATE several
TRUNCATE TABLE country, ONLY s RESTART IDENTITY CASCADE;
-- scoped: TRUNCATE of an exempted table
TRUNCATE country;
-- undecidable opaque: DO
DO $$ BEGIN DELETE FROM t; END $$;
-- undecidable opaque: CALL
CALL wipe();
-- undecidable opaque: EXECUTE
EXECUTE q(1);
-- scoped none: a setting (again)
SET LOCAL statement_timeout = '1s';
-- scoped none: DDL
CREATE POLICY p ON t USING (org = tenure.current_tenant());
-- undecidable unparsed: not SQL
HELLO world;
-- undecidable: QUALIFY is another dialect's
SELECT * FROM t WHERE org=1 QUALIFY row_number() OVER () = 1;
-- undecidable: semi is an alias to PostgreSQL
SELECT * FROM t semi JOIN s ON semi.id=s.id WHERE s.org=1;
-- undecidable: PIVOT is an alias to PostgreSQL
SELECT * FROM t PIVOT (max(x) FOR org IN (1)) WHERE org=1;
-- undecidable: SELECT * EXCEPT is another dialect's
SELECT * EXCEPT (id) FROM t WHERE org=1;
-- undecidable: a function in FROM with a built-in's name, under another schema
SELECT * FROM t, evil.json_each('{}') e WHERE t.org=1;
-- undecidable: a typed one
SELECT * FROM t, evil.generate_series(1, 2) g WHERE t.org=1;
-- undecidable: beside nothing
SELECT * FROM evil.regexp_matches('a', 'a');

-- scoped: a field of the row itself is its column
SELECT (t).org FROM t WHERE (t).org=1;
-- undecidable: a field of its star is not followed
SELECT t.org FROM t WHERE (t.*).org=1;
-- unscoped: a whole row compared with a row
SELECT * FROM t WHERE t = ROW(1, 2, 3, 4, 5);
-- unscoped: a whole row among the rows of a subquery
SELECT * FROM t WHERE t.* IN (SELECT s.* FROM s WHERE org=1);
-- unscoped: a row of a star
SELECT * FROM t WHERE ROW(t.*) = ROW(1, 2, 3, 4, 5);
-- scoped: whole rows of restricted tables compared
SELECT * FROM t, s WHERE t.org=1 AND s.org=1 AND t=s;
-- scoped: an aggregate of distinct whole rows
SELECT count(DISTINCT s) FROM t JOIN s USING (org) WHERE org=1;
-- unscoped: an array of a subquery
SELECT ARRAY(SELECT id FROM s) FROM t WHERE org=1;
-- scoped: an array of a correlated subquery
SELECT ARRAY(SELECT id FROM s WHERE s.org=t.org) FROM t WHERE org=1;
-- unscoped: ANY of an array of a subquery
SELECT * FROM t WHERE id = ANY(ARRAY(SELECT id FROM s)) AND org=1;
-- undecidable opaque: ANY of an array in a string
SELECT * FROM t WHERE org = ANY('{1,2}'::int[]);
-- scoped: ANY of a row
SELECT * FROM t WHERE (org, id) = ANY (SELECT 1, 2);
-- undecidable: SEARCH
WITH RECURSIVE r(org,id) AS (SELECT org,id FROM t WHERE org=1 UNION ALL SELECT t.org,t.id FROM t JOIN r ON t.org=r.org AND t.pid=r.id) SEARCH DEPTH FIRST BY id SET o SELECT * FROM r ORDER BY o;
-- undecidable: CYCLE
WITH RECURSIVE r(org,id) AS (SELECT org,id FROM t WHERE org=1 UNION ALL SELECT t.org,t.id FROM t JOIN r ON t.org=r.org AND t.pid=r.id) CYCLE id SET c USING p SELECT * FROM r;
-- scoped: MERGE with RETURNING
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN MATCHED THEN UPDATE SET x=q.x RETURNING t.org, q.id;
-- scoped: an alias for the target of an upsert
INSERT INTO g AS z (org,id) VALUES (1,2) ON CONFLICT (id) DO UPDATE SET x=z.x WHERE z.org=1;
-- scoped: an arbiter with a predicate
INSERT INTO t (org,id) VALUES (1,2) ON CONFLICT (org,id) WHERE x>1 DO UPDATE SET x=1;
-- scoped: values without a column list
INSERT INTO t VALUES (1, 2, 3, 4, 5);
-- unscoped: TABLE as what is inserted
INSERT INTO t TABLE t;
-- unscoped: a union of two tenants is inserted
INSERT INTO t (org) SELECT 1 UNION SELECT 2;
-- unscoped: DEFAULT VALUES of a table whose tenant has no default
INSERT INTO t DEFAULT VALUES;
-- scoped source: DEFAULT VALUES of one whose default is the source
INSERT INTO c DEFAULT VALUES;
-- undecidable: a write through a view, restricted
UPDATE v_all SET x=1 WHERE org=1;
-- scoped: the assigned row is of the same tenant
UPDATE t SET (x, org) = ROW(1, 1) WHERE org=1;
-- scoped: a star after the target's name
UPDATE t * SET x=1 WHERE org=1;
-- undecidable: a subquery in FROM that names its neighbour without LATERAL
SELECT * FROM t z, (SELECT * FROM s WHERE s.org=z.org) q WHERE z.org=1;
-- scoped: a join in parentheses under a name
SELECT * FROM (t JOIN s USING (org)) j WHERE j.org=1;
-- scoped: NATURAL twice
SELECT * FROM t NATURAL JOIN gt NATURAL JOIN s WHERE org=1;
-- undecidable: ROWS FROM of two functions
SELECT * FROM ROWS FROM (generate_series(1,2), generate_series(1,3)) z(a,b), t WHERE t.org=1;
-- unscoped: unnest of two with ordinality
SELECT * FROM t, unnest(ARRAY[1,2]) WITH ORDINALITY u(org, o) WHERE t.org=u.org;
-- unscoped: the ordinality under the tenant's name
SELECT * FROM t, unnest(ARRAY[7]) WITH ORDINALITY u(x, org) WHERE t.org=u.org;
-- unscoped: a window that is defined and not used
SELECT * FROM t WINDOW w AS (PARTITION BY org);
-- scoped: a window's frame with an exclusion
SELECT sum(x) OVER (PARTITION BY org ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t WHERE org=1;
-- unscoped: TABLE with LIMIT
TABLE t LIMIT 3;
-- unscoped: TABLE as the second arm
SELECT * FROM t WHERE org=1 UNION TABLE t;
-- scoped: COPY of a restricted query to a program
COPY (SELECT * FROM t WHERE org=1) TO PROGRAM 'cat';
-- unscoped: COPY of one column
COPY t (id) TO '/tmp/x';
-- unscoped: CREATE TABLE AS TABLE
CREATE TABLE z AS TABLE t;
-- undecidable opaque: CREATE TABLE AS EXECUTE
CREATE TABLE z AS EXECUTE q(1);
-- undecidable: JSON_TABLE
SELECT * FROM json_table('[]', '$[*]' COLUMNS (org int PATH '$')) jt, t WHERE t.org=jt.org;
-- undecidable: XMLTABLE
SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS org int PATH 'b') x, t WHERE t.org=1;
-- unscoped: the second of two statements
SELECT * FROM t WHERE org=1; SELECT * FROM s;
-- undecidable: a large object
SELECT lo_get(1) FROM t WHERE org=1;
-- undecidable: a file
SELECT pg_read_file('x');
-- undecidable: another database
SELECT * FROM dblink('x','select 1') AS z(org int);
-- unscoped: IS binds after the comparison
SELECT * FROM t WHERE org = 1 IS NOT TRUE;
-- unscoped: NOTNULL binds after the comparison
SELECT * FROM t WHERE org = 1 NOTNULL;
-- unscoped: NOT binds after IS
SELECT * FROM t WHERE NOT org = 1 IS TRUE;
-- unscoped: IN binds before the comparison
SELECT * FROM t WHERE org = id IN (1);
-- unscoped: an operator binds before the comparison
SELECT * FROM t WHERE org = 1 | x;
-- unscoped: an operator of json binds before it, too
SELECT * FROM t WHERE org = 1 -> x;
-- unscoped: two comparisons side by side
SELECT * FROM t WHERE x = 1 = (org = 1);
-- unscoped: BETWEEN in any order
SELECT * FROM t WHERE org BETWEEN SYMMETRIC 2 AND 1;
-- undecidable: a name in Unicode escapes
SELECT * FROM t WHERE U&"\006frg" = 1;
-- undecidable: a number in hexadecimal
SELECT * FROM t WHERE org = 0x1;
-- undecidable: a number in groups
SELECT * FROM t WHERE org = 1_0;
-- undecidable: == is no operator
SELECT * FROM t WHERE org == 1;
-- undecidable: an operator with its schema
SELECT * FROM t WHERE org OPERATOR(pg_catalog.=) 1;
-- undecidable unparsed: XOR is another dialect's
SELECT * FROM t WHERE org XOR 1;
-- unscoped: nor is &&
SELECT * FROM t WHERE org = 1 && true;
-- unscoped: LIMIT ALL inside, taken for one
SELECT * FROM (SELECT * FROM t LIMIT ALL) q WHERE org=1;
-- unscoped: FETCH WITH TIES
SELECT * FROM t ORDER BY org FETCH FIRST 1 ROWS WITH TIES;
-- undecidable: a setting, by its view
UPDATE pg_settings SET setting='2' WHERE name='app.tenant_id';
-- undecidable opaque: a rule
CREATE RULE r AS ON UPDATE TO t DO INSTEAD DELETE FROM s;
-- undecidable opaque: EXPLAIN of EXECUTE
EXPLAIN ANALYZE EXECUTE q(1);
-- undecidable: GROUP BY ALL
SELECT t.org FROM t WHERE t.org=1 GROUP BY ALL;
-- undecidable: a semi join is another dialect's
SELECT * FROM t LEFT SEMI JOIN s ON s.org=t.org WHERE t.org=1;
-- undecidable: a table at a time is another dialect's
SELECT * FROM t FOR SYSTEM_TIME AS OF '2020-01-01' WHERE org=1;
-- undecidable: CONNECT BY is another dialect's
SELECT * FROM t CONNECT BY PRIOR id = pid START WITH org=1;
-- undecidable: LATERAL VIEW is another dialect's
SELECT * FROM t LATERAL VIEW explode(x) q AS y WHERE org=1;
-- undecidable: a star that replaces
SELECT * REPLACE (1 AS org) FROM t WHERE org=1;
-- unscoped: the tenant cut to one character
SELECT * FROM t WHERE org::char = '1';
-- unscoped: a cast to the type "char"
SELECT * FROM t WHERE org::"char" = '1';
-- unscoped: a cast to a type of a schema
SELECT * FROM t WHERE org::other.text = '1';
-- unscoped two-tenants: a literal that is cut is another than it was
SELECT * FROM t JOIN s ON s.org = 12 WHERE t.org = '12'::varchar(1)::int;
-- unscoped: a constant of a set-returning function may have no row
SELECT * FROM n WHERE org IS NOT DISTINCT FROM (SELECT generate_series(1, 0));
-- unscoped: a row of a subquery that may be none
UPDATE n SET (x, org) = (SELECT 7, 1 WHERE id > 3) WHERE org=1;
-- unscoped: a cast keeps a column's name, and DISTINCT ON means the cast
SELECT name FROM (SELECT DISTINCT ON (org) org::text::varchar(1), org AS o, name FROM u) q WHERE o = tenure.current_tenant();
-- unscoped: a CASE has the name of its ELSE, and DISTINCT ON means the CASE
SELECT x FROM (SELECT DISTINCT ON (org) CASE WHEN x>0 THEN 0 ELSE org END, org AS o, x FROM t) q WHERE o=1;
-- unscoped: an element of an array has the array's name
SELECT x FROM (SELECT DISTINCT ON (org) (SELECT a.org FROM (VALUES (ARRAY[1])) a(org))[1], org AS o, x FROM t) q WHERE o=1;
-- unscoped: a scalar subquery has its column's name
SELECT x FROM (SELECT DISTINCT ON (org) (SELECT t.x AS org), org AS o, x FROM t) q WHERE o=1;
-- undecidable: a field has its own name
SELECT id FROM (SELECT DISTINCT ON (a) (c).a, org AS o, id FROM (SELECT org, org AS a, id, c FROM p) p) q WHERE o=1;
-- unscoped: a function's value has the function's name
SELECT x FROM (SELECT DISTINCT ON (abs) abs(x), abs AS o, x FROM (SELECT org AS abs, x FROM t) t) q WHERE o=1;
-- unscoped: a value's cast has the type's name
SELECT x FROM (SELECT DISTINCT ON (int4) 1::int4, int4 AS o, x FROM (SELECT org AS int4, x FROM t) t) q WHERE o=1;
-- unscoped: a value's cast has the name of a type of one's own
SELECT x FROM (SELECT DISTINCT ON (pair) '(,)'::pair, pair AS o, x FROM (SELECT org AS pair, x FROM t) t) q WHERE o=1;
-- unscoped: a collation keeps a column's name
SELECT x FROM (SELECT DISTINCT ON (org) org::varchar(1) COLLATE "C", org AS o, x FROM t) q WHERE o=1;
-- scoped: DISTINCT ON means the output's column, of two in FROM
SELECT DISTINCT ON (id) t.id, s.x FROM t JOIN s ON s.org=t.org WHERE t.org=1 ORDER BY id;
-- scoped: DISTINCT ON means the tenant among the output
SELECT x FROM (SELECT DISTINCT ON (org) t.org, s.x FROM t JOIN s ON s.org=t.org ORDER BY org) q WHERE org=1;
-- unscoped: DISTINCT ON of an aggregate makes one row of all
SELECT id FROM t WHERE EXISTS (SELECT DISTINCT ON (count(*)) 1 FROM s WHERE s.org=t.org AND s.org=1);
-- unscoped: so does a window of an aggregate, though nothing uses it
SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND s.org=1 WINDOW w AS (ORDER BY count(*)));
-- unscoped: and one that is divided by an aggregate
SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND s.org=1 WINDOW w AS (PARTITION BY count(*)));
-- unscoped: a window among the keys of DISTINCT ON
SELECT id FROM (SELECT DISTINCT ON (org, ntile(2) OVER (ORDER BY x)) org, id FROM t) q WHERE org=1;
-- scoped: a window among the keys of DISTINCT ON, within a tenant
SELECT id FROM (SELECT DISTINCT ON (org, ntile(2) OVER (PARTITION BY org ORDER BY x)) org, id FROM t) q WHERE org=1;
-- unscoped: a subquery among the keys of DISTINCT ON
SELECT DISTINCT ON ((SELECT max(s.x) FROM s)) id FROM t WHERE org=1;
-- scoped: a subquery among the keys of DISTINCT ON, of the tenant's rows
SELECT DISTINCT ON ((SELECT max(s.x) FROM s WHERE s.org=t.org)) id FROM t WHERE org=1;
-- undecidable: a subquery among the keys of DISTINCT ON beside grouping sets
SELECT DISTINCT ON ((SELECT s.x FROM s WHERE s.org=t.org)) org FROM t WHERE org=1 GROUP BY ROLLUP (org);
-- unscoped: as many rows as an aggregate says, or none
SELECT id FROM t WHERE org=1 AND EXISTS (SELECT generate_series(1, count(*)) FROM s);
-- unscoped: as many rows as it says, in ORDER BY
SELECT id FROM t WHERE org=1 AND EXISTS (SELECT count(*) FROM s ORDER BY generate_series(1, count(*)));
-- unscoped: the rows of an array that is made of all
SELECT id FROM t WHERE org=1 AND EXISTS (SELECT unnest(array_agg(x)) FROM s GROUP BY ROLLUP(x));
-- undecidable: a function of one's own may give rows, or none
SELECT id FROM t WHERE org=1 AND EXISTS (SELECT count(*), tenure.rows_of(1) FROM s);
-- unscoped: a function that is declared may give rows, or none
SELECT id FROM t WHERE org=1 AND EXISTS (SELECT tenure.set_tenant(count(*)) FROM s);
-- unscoped: TRUNCATE goes on to what points at a table
TRUNCATE country CASCADE;
-- scoped: TRUNCATE of a table that everybody shares
TRUNCATE country;
-- scoped: TRUNCATE goes on to nothing
TRUNCATE TABLE ONLY unit RESTART IDENTITY CASCADE;
-- unscoped: TRUNCATE goes on along a key that is not checked
TRUNCATE currency CASCADE;
-- unscoped: a tenant that is made of a column that is written
UPDATE e SET x = $1 WHERE org=tenure.current_tenant();
-- scoped: a tenant that is made of other columns than the one that is written
UPDATE e SET sid = $1 WHERE org=tenure.current_tenant();
-- unscoped: a tenant that is made of a column that is written, in an upsert
INSERT INTO e (id, x) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET x = 2 WHERE e.org=1;
-- unscoped: a tenant that is made of what is put in
INSERT INTO e (id, x) VALUES (1, 1);
-- unscoped: a tenant that is made of a column that is written, by MERGE
MERGE INTO e USING (VALUES (1)) v(id) ON e.id=v.id AND e.org=1 WHEN MATCHED THEN UPDATE SET x = 2;
-- unscoped: RETURNING shows the tenant that was made anew
WITH q AS (UPDATE e SET x = 2 WHERE org=1 RETURNING org) SELECT s.id FROM q JOIN s ON s.org=q.org;
-- unscoped: a materialized view holds the rows of whoever refreshed it
SELECT * FROM m_mine;
-- unscoped: nor does the tenant beside it make them this tenant's
SELECT t.id FROM t JOIN m_mine m ON m.id=t.id WHERE t.org=tenure.current_tenant();
-- scoped: a materialized view is restricted by its tenant column
SELECT total FROM m_all WHERE org=tenure.current_tenant();
-- unscoped: a materialized view is old, and a key may be another row's by now
SELECT gt.id, m.x FROM gt JOIN m_g m ON m.id=gt.gid WHERE gt.org=1;
-- unscoped: an old row beside the row of its key
SELECT g.id, m.x FROM g JOIN m_g m ON m.id=g.id WHERE g.org=1;
-- scoped: rows of one refresh keep to their keys
SELECT a.id, b.x FROM m_g a JOIN m_g b ON b.id=a.id WHERE a.org=1;
-- unscoped: two that are null are not equal
SELECT t.id, (SELECT count(*) FROM n WHERE n.org IS NULL AND s.org IS NULL) FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1;
-- undecidable: an aggregate of an outer query's columns, in a subquery of its own
SELECT x FROM n WHERE EXISTS (SELECT (SELECT count((SELECT t.x))) FROM t WHERE t.org=n.org AND t.org=1);
-- undecidable: an aggregate of a column that a function's row does not have
SELECT n.x FROM n WHERE EXISTS (SELECT (SELECT max(sid) FROM unnest(ARRAY[1]) u) FROM t WHERE t.org=n.org AND t.org=1);
-- undecidable: an aggregate of a column that no system catalog has
SELECT n.x FROM n WHERE EXISTS (SELECT (SELECT max(sid) FROM pg_class) FROM t WHERE t.org=n.org AND t.org=1);
-- scoped: an aggregate with a subquery that names this query's row
SELECT count(CASE WHEN EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND s.id=t.sid) THEN 1 END) FROM t WHERE t.org=1;
-- unscoped: a row of nulls IS NULL, and equal to itself
SELECT * FROM p WHERE c IS NULL AND c = c;
-- unscoped: so is one that is made on the way
SELECT q.org FROM (SELECT org, ROW(NULL, NULL) AS c FROM t) q WHERE q.c IS NULL AND q.c = q.c;
-- unscoped: nor is what is not IS NOT NULL null
SELECT * FROM p WHERE NOT (c IS NOT NULL) AND c = c;
-- unscoped: no contradiction of letters
SELECT * FROM p WHERE k = '10' AND k = '11';
-- undecidable: an aggregate of an outer query's columns, by its schema
SELECT x FROM n WHERE EXISTS (SELECT (SELECT pg_catalog.max(t.x)) FROM t WHERE t.org=n.org AND t.org=1);
-- unscoped: COALESCE makes a float of a whole number
SELECT id FROM t WHERE COALESCE(org, 0::real) = 1;
-- scoped: COALESCE of what is never null
SELECT id FROM t WHERE COALESCE(org, x, 0) = 1;
-- unscoped: RETURNING shows what was generated anew
UPDATE e SET sid = 2 WHERE org=1 AND y=1 RETURNING id, (SELECT count(*) FROM s WHERE s.org=e.y);
-- scoped: RETURNING shows what was generated before
UPDATE e SET id = 2 WHERE org=1 AND y=1 RETURNING id, (SELECT count(*) FROM s WHERE s.org=e.y);
-- unscoped: NOT MATCHED BY SOURCE of rows that no row of the source may match
MERGE INTO c a USING (SELECT s.org, s.id FROM s WHERE s.org=2 AND s.id=1) b ON a.org=b.org WHEN NOT MATCHED BY SOURCE AND a.org=1 THEN DELETE WHEN MATCHED THEN DELETE;
-- scoped: NOT MATCHED BY SOURCE of rows that no row of the source may match, alone
MERGE INTO c a USING (SELECT s.org, s.id FROM s WHERE s.org=2) b ON a.org=b.org WHEN NOT MATCHED BY SOURCE AND a.org=1 THEN DELETE;
-- unscoped: a DELETE of what no row of the source may match
MERGE INTO c a USING (SELECT s.org, s.id FROM s WHERE s.org=2) b ON a.org=b.org AND a.id=5 WHEN NOT MATCHED BY SOURCE AND a.id=1 THEN DELETE;
-- unscoped: an operator that is a function has its name
SELECT id FROM (SELECT DISTINCT ON (overlaps) (now(), now()) OVERLAPS (now(), now()), o, id FROM (SELECT org AS overlaps, org AS o, id FROM t) t) q WHERE o=1;
-- scoped: an aggregate of a column without a name of ours
SELECT sum(count) FROM (SELECT count(*) FROM t WHERE org=1 GROUP BY x) q;
-- undecidable: a function in the frame of a window with a name
SELECT sum(x) OVER w FROM t WHERE org=1 WINDOW w AS (ORDER BY id ROWS leak() PRECEDING);
-- scoped: a frame of a window with a name
SELECT sum(x) OVER w FROM t WHERE org=1 WINDOW w AS (ORDER BY id ROWS 1 PRECEDING);
-- undecidable: a function in LIMIT of a combined query
(SELECT id FROM t WHERE org=1) UNION ALL (SELECT id FROM t WHERE org=1) LIMIT leak();
-- undecidable: a function in OFFSET of a combined query
SELECT id FROM t WHERE org=1 UNION SELECT id FROM t WHERE org=1 OFFSET leak();
-- undecidable: a function in ORDER BY behind a query in parentheses
(SELECT id FROM t WHERE org=1) ORDER BY leak();
-- undecidable: an aggregate in ORDER BY behind a query in parentheses, which is its own
SELECT t.id FROM t, LATERAL ((SELECT 1 FROM s WHERE s.org=t.org AND s.org=1) ORDER BY count(*)) q;
-- scoped: names in ORDER BY behind a query in parentheses
(SELECT id, x FROM t WHERE org=1) ORDER BY x DESC, 1 LIMIT $1;
-- undecidable: a field of a row may be a function of that name
SELECT (t).leak FROM t WHERE org=1;
-- undecidable: a field of a composite column may be one
SELECT (p.c).leak FROM p WHERE org=1;
-- undecidable: a field of a row that is made may be one
SELECT (ROW(1, 2)).leak FROM t WHERE org=1;
-- scoped: the tenant column as a field of its row
SELECT (t).id FROM t WHERE (t).org=1;
-- unscoped: another field of the row
SELECT (t).org FROM t WHERE (t).id=1;
-- scoped: the fields of what gives rows
SELECT (jsonb_each('{}')).key, (ROW(1, 2)).f1 FROM t WHERE org=1;
-- undecidable: the name of merged columns hides the one of a table around
SELECT id FROM t j WHERE j.org=1 AND EXISTS (SELECT 1 FROM s JOIN gt USING (org) AS j WHERE s.org=j.org);
-- scoped: a name of merged columns that nobody says
SELECT s.id FROM s JOIN gt USING (org) AS j WHERE s.org=1;
-- unscoped: a keyword, whatever column has its name
SELECT id FROM (SELECT org AS "user", id FROM t) q WHERE user=$1;
-- scoped: a column of a keyword's name, in quotes
SELECT id FROM (SELECT org AS "user", id FROM t) q WHERE "user"=$1;
-- scoped: a column of a keyword's name, with its table
SELECT id FROM (SELECT org AS "user", id FROM t) q WHERE q.user=$1;
-- undecidable: a function in the subscript that SET writes
UPDATE t SET x[leak()] = 1 WHERE org=1;
-- unscoped: a subquery where the parser drops an argument
SELECT date_bin('1 day', now(), (SELECT max(now()) FROM s)) FROM t WHERE org=1;
-- undecidable: a function where the parser drops an argument
SELECT date_bin('1 day', now(), leak()) FROM t WHERE org=1;
-- undecidable: a function for a unit of time
SELECT date_trunc(leak(), now()) FROM t WHERE org=1;
-- undecidable: a function for a zone of time
SELECT date_trunc('day', now(), leak()) FROM t WHERE org=1;
-- scoped: functions of which the parser would drop an argument
SELECT date_bin('1 day', now(), now()) AS d, date_trunc('day', now(), 'UTC'), count(*) FROM t WHERE org=1 GROUP BY 1;
-- undecidable: a function beside the name of a setting
SELECT * FROM u WHERE org=current_setting('app.tenant_id', leak())::uuid;
-- undecidable: a table under a name like a system catalog's
SELECT * FROM pg_notes;
-- scoped: a system catalog that shows no rows
SELECT * FROM pg_settings s, information_schema.columns c;
-- undecidable: a shared table shows the rows of those that inherit from it
SELECT code FROM stock;
-- undecidable: and takes them along
DELETE FROM stock;
-- undecidable: all of them
TRUNCATE stock;
-- scoped: a shared table without those that inherit from it
SELECT code FROM ONLY stock;
-- unscoped: DISTINCT ON of a keyword, whatever column is shown under its name
SELECT x FROM (SELECT DISTINCT ON (user) org AS "user", x FROM t) q WHERE q."user"=1;
-- unscoped: a window that is divided by a keyword
SELECT n FROM (SELECT a."user" AS o, sum(a.id) OVER (PARTITION BY user) AS n FROM (SELECT org AS "user", id FROM t) a) q WHERE o=1;
-- undecidable: a function of one's own under a built-in's name, of which the parser drops an argument
SELECT to_char(now(), 'x', leak()) FROM t WHERE org=1;
