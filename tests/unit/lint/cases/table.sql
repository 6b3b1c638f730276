-- The case table. `-- verdict [kind]: title`, then the statement.

-- scoped parameter: inner join on the tenant
SELECT * FROM t JOIN s ON s.org=t.org WHERE t.org=1;
-- unscoped: inner join on another key
SELECT * FROM t JOIN s ON s.id=t.sid WHERE t.org=1;
-- scoped: natural join
SELECT * FROM t NATURAL JOIN s WHERE t.org=1;
-- unscoped: USING another key
SELECT * FROM t JOIN s USING(id) WHERE t.org=1;
-- scoped: USING the tenant
SELECT * FROM t JOIN s USING(org) WHERE org=1;
-- scoped: left join on the tenant
SELECT * FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1;
-- unscoped: ON does not restrict the preserved side
SELECT * FROM t LEFT JOIN s ON t.org=1 AND s.org=1;
-- unscoped: left join on another key
SELECT * FROM t LEFT JOIN s ON s.id=t.sid WHERE t.org=1;
-- scoped: a null-rejecting predicate above the left join
SELECT * FROM t LEFT JOIN s ON s.id=t.sid WHERE t.org=1 AND s.org=1;
-- unscoped: a foreign match hides the row
SELECT * FROM t LEFT JOIN s ON s.id=t.sid WHERE t.org=1 AND (s.org=1 OR s.org IS NULL);
-- scoped: full join using the tenant
SELECT * FROM t FULL JOIN s USING(org,id) WHERE org=1;
-- unscoped: full join, predicate inside ON
SELECT * FROM t FULL JOIN s ON s.org=t.org AND t.org=1;
-- unscoped: right join, predicate inside ON
SELECT * FROM t RIGHT JOIN s ON s.org=t.org AND t.org=1;
-- scoped: right join, predicate in WHERE
SELECT * FROM t RIGHT JOIN s ON s.org=t.org WHERE t.org=1;
-- unscoped: OR beside the tenant
SELECT * FROM t JOIN s ON s.org=t.org OR s.pub WHERE t.org=1;
-- scoped: three tables, chained
SELECT * FROM t,s,gt WHERE t.org=s.org AND s.org=gt.org AND gt.org=1;
-- scoped: the tenants table by its key
SELECT * FROM t JOIN orgs o ON o.id=t.org WHERE o.id=1;
-- undecidable: the tenants table by another column
SELECT * FROM t JOIN orgs o ON o.id=t.org WHERE o.slug='a';
-- scoped: composite foreign key with the parent's own key
SELECT * FROM gt JOIN g ON g.id=gt.gid WHERE gt.org=1;
-- scoped: a table scoped through its parent
SELECT * FROM items JOIN g ON g.id=items.gid WHERE g.org=1;
-- unscoped: the child alone
SELECT * FROM items;
-- scoped: a row of values as the tenant
SELECT * FROM t JOIN (VALUES (1)) v(org) USING(org);

-- unscoped: OR
SELECT * FROM t WHERE org=1 OR id=1;
-- scoped: OR with the tenant on both sides
SELECT * FROM t WHERE (org=1 AND x>1) OR (x<0 AND org=1);
-- scoped: NOT of OR
SELECT * FROM t WHERE NOT (org<>1 OR x IS NULL);
-- scoped: CASE guarded by the tenant
SELECT * FROM t WHERE CASE WHEN org=1 THEN x>0 ELSE false END;
-- unscoped: CASE with an open branch
SELECT * FROM t WHERE CASE WHEN x=1 THEN org=1 ELSE true END;
-- unscoped: IS NOT FALSE lets null pass
SELECT * FROM n WHERE (org=1) IS NOT FALSE;
-- scoped: IS NOT FALSE of what is never null
SELECT * FROM t WHERE (org=1) IS NOT FALSE;
-- scoped: IS NOT DISTINCT FROM
SELECT * FROM n WHERE org IS NOT DISTINCT FROM 1;
-- unscoped: IN two
SELECT * FROM t WHERE org IN (1,2);
-- scoped: IN one
SELECT * FROM t WHERE org IN (1);
-- scoped: ANY of one
SELECT * FROM t WHERE org = ANY(ARRAY[1]);
-- undecidable opaque: ANY of a parameter
SELECT * FROM t WHERE org = ANY($1);
-- scoped: row equality
SELECT * FROM t WHERE (org,id)=(1,2);
-- unscoped: row comparison
SELECT * FROM t WHERE (org,id)>(1,1);
-- unscoped: COALESCE falls back to the column
SELECT * FROM t WHERE org=COALESCE($1,org);
-- unscoped: no parameter, no restriction
SELECT * FROM t WHERE $1 IS NULL OR org=$1;
-- unscoped: shared rows that are not declared
SELECT * FROM n WHERE org=1 OR org IS NULL;
-- scoped: an injective cast
SELECT * FROM t WHERE org::text='1';
-- unscoped two-tenants: two parameters
SELECT * FROM t, s WHERE t.org=$1 AND s.org=$2;

-- scoped: EXISTS correlated by the tenant
SELECT * FROM t WHERE t.org=1 AND EXISTS(SELECT 1 FROM s WHERE s.org=t.org AND s.id=t.sid);
-- unscoped: EXISTS not correlated
SELECT * FROM t WHERE t.org=1 AND EXISTS(SELECT 1 FROM s WHERE s.id=t.sid);
-- unscoped: captured column
SELECT * FROM t WHERE t.org=1 AND EXISTS(SELECT 1 FROM s WHERE s.org=org);
-- scoped: EXISTS exports its facts
SELECT * FROM t WHERE EXISTS(SELECT 1 FROM s WHERE s.org=t.org AND s.org=1);
-- unscoped: NOT EXISTS exports nothing
SELECT * FROM t WHERE NOT EXISTS(SELECT 1 FROM s WHERE s.org=t.org AND s.org=1);
-- unscoped: ALL of nothing is true
SELECT * FROM t WHERE org = ALL(SELECT org FROM s WHERE org=1);
-- scoped: scalar equality
SELECT * FROM t WHERE org = (SELECT org FROM s WHERE org=1 LIMIT 1);
-- unscoped: scalar subquery of another table
SELECT *, (SELECT max(x) FROM s) FROM t WHERE org=1;
-- scoped: LATERAL with its own LIMIT
SELECT * FROM t, LATERAL (SELECT * FROM s WHERE s.org=t.org ORDER BY x LIMIT 1) q WHERE t.org=1;
-- unscoped: LIMIT inside, tenant in ON
SELECT * FROM t JOIN LATERAL (SELECT * FROM s ORDER BY x LIMIT 1) q ON q.org=t.org WHERE t.org=1;

-- scoped: CTE filtered outside
WITH q AS (SELECT * FROM t) SELECT * FROM q WHERE org=1;
-- unscoped: CTE with LIMIT
WITH q AS (SELECT * FROM t ORDER BY x LIMIT 5) SELECT * FROM q WHERE org=1;
-- unscoped: self-joined CTE, one side filtered
WITH q AS (SELECT * FROM t) SELECT * FROM q a JOIN q b ON a.id=b.id WHERE a.org=1;
-- scoped: UNION ALL aligned
SELECT * FROM (SELECT org,id FROM t UNION ALL SELECT org,id FROM s) q WHERE org=1;
-- unscoped: UNION ALL with columns swapped
SELECT * FROM (SELECT org,id FROM t UNION ALL SELECT id,org FROM s) q WHERE org=1;
-- scoped: EXCEPT that outputs the tenant
SELECT * FROM (SELECT org,id FROM t EXCEPT SELECT org,id FROM s) q WHERE org=1;
-- scoped: EXCEPT, the left arm restricted
SELECT org,id FROM t WHERE org=1 EXCEPT SELECT org,id FROM s;
-- unscoped: EXCEPT of ids
SELECT id FROM t WHERE org=1 EXCEPT SELECT id FROM s;
-- scoped: window partitioned by the tenant
SELECT * FROM (SELECT org,id,row_number() OVER (PARTITION BY org ORDER BY x) AS r FROM t) q WHERE org=1;
-- unscoped: window over everything
SELECT * FROM (SELECT org,id,row_number() OVER (ORDER BY x) AS r FROM t) q WHERE org=1;
-- scoped: GROUP BY the tenant
SELECT org,count(*) FROM t GROUP BY org HAVING org=1;
-- unscoped: HAVING an aggregate of the tenant
SELECT x,count(*) FROM t GROUP BY x HAVING max(org)=1;
-- scoped: ROLLUP, null-rejecting HAVING
SELECT org,x,count(*) FROM t GROUP BY ROLLUP(org,x) HAVING org=1;
-- scoped: DISTINCT ON the tenant
SELECT * FROM (SELECT DISTINCT ON (org,sid) org,id,sid FROM t ORDER BY org,sid,x) q WHERE org=1;
-- unscoped: DISTINCT ON another column
SELECT * FROM (SELECT DISTINCT ON (sid) org,id,sid FROM t ORDER BY sid,x) q WHERE org=1;
-- scoped: recursion on the tenant, filtered in the base
WITH RECURSIVE r AS (SELECT org,id,pid FROM t WHERE org=1 AND pid IS NULL UNION ALL SELECT t.org,t.id,t.pid FROM t JOIN r ON t.org=r.org AND t.pid=r.id) SELECT * FROM r;
-- scoped: recursion on the tenant, filtered outside
WITH RECURSIVE r AS (SELECT org,id,pid FROM t UNION ALL SELECT t.org,t.id,t.pid FROM t JOIN r ON t.org=r.org AND t.pid=r.id) SELECT * FROM r WHERE org=1;
-- unscoped: recursion on the parent's id only
WITH RECURSIVE r AS (SELECT org,id,pid FROM t WHERE org=1 UNION ALL SELECT t.org,t.id,t.pid FROM t JOIN r ON t.pid=r.id) SELECT * FROM r;
-- unscoped: the same filtered outside
WITH RECURSIVE r AS (SELECT org,id,pid FROM t UNION ALL SELECT t.org,t.id,t.pid FROM t JOIN r ON t.pid=r.id) SELECT * FROM r WHERE org=1;

-- unscoped: a filter outside a data-modifying CTE
WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d WHERE org=1;
-- unscoped: UPDATE FROM on another key
UPDATE t SET x=s.x FROM s WHERE s.id=t.sid AND t.org=1;
-- unscoped: UPDATE of a target that is not bounded
UPDATE t SET x=b.x FROM t b WHERE b.org=1;
-- unscoped: another tenant is written
UPDATE t SET org=2 WHERE org=1;
-- unscoped: insert for another tenant than the one read
INSERT INTO t (org,id) SELECT 2,id FROM s WHERE org=1;
-- scoped: DELETE USING
DELETE FROM t USING s WHERE s.org=t.org AND s.org=1;
-- scoped: INSERT SELECT
INSERT INTO t (org,id) SELECT org,id FROM s WHERE org=1;
-- unscoped: INSERT SELECT from all
INSERT INTO t (org,id) SELECT 1,id FROM s;
-- unscoped: upsert by id alone
INSERT INTO g (org,id,x) VALUES (1,2,3) ON CONFLICT (id) DO UPDATE SET x=EXCLUDED.x;
-- scoped: upsert with the tenant in the key
INSERT INTO t (org,id,x) VALUES (1,2,3) ON CONFLICT (org,id) DO UPDATE SET x=EXCLUDED.x;
-- scoped: MERGE on tenant and id, scoped source
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN MATCHED THEN UPDATE SET x=q.x WHEN NOT MATCHED THEN INSERT (org,id,x) VALUES (q.org,q.id,q.x);
-- unscoped: MERGE on id only
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.id=q.id WHEN MATCHED THEN UPDATE SET x=q.x WHEN NOT MATCHED THEN INSERT (org,id,x) VALUES (q.org,q.id,q.x);
-- unscoped: COPY TO
COPY t TO STDOUT;
-- unscoped: TRUNCATE
TRUNCATE t;

-- scoped parameter: <> ALL of an array is a comparison
SELECT * FROM t WHERE org = 1 AND id <> ALL($1::int[]) AND x <> all($2)

-- scoped parameter: ORDER BY means an output column first
SELECT t.x, s.pub FROM t JOIN s ON s.org = t.org WHERE t.org = 1 ORDER BY x, pub

-- undecidable unsupported: a function with the keyword's name is no keyword
SELECT * FROM t WHERE org = 1 AND id <> "all"($1)
