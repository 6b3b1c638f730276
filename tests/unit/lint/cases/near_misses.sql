-- One step beside a scoped statement: each tells a rule of the prover that is weakened. Same form
-- as table.sql.

-- unscoped: NOT below NOT
SELECT * FROM t WHERE NOT (NOT (org<>1));
-- unscoped: a conjunction that is FALSE by its constant
SELECT * FROM t WHERE NOT (org<>1 AND false);
-- unscoped: unequal
SELECT * FROM t WHERE org<>1;
-- unscoped: at least
SELECT * FROM t WHERE org>=1;
-- unscoped: at most
SELECT * FROM t WHERE org<=1;
-- unscoped: not less
SELECT * FROM t WHERE NOT (org<1);
-- unscoped: distinct
SELECT * FROM t WHERE org IS DISTINCT FROM 1;
-- unscoped: ANY of two
SELECT * FROM t WHERE org = ANY (ARRAY[1,2]);
-- unscoped: not between
SELECT * FROM t WHERE org NOT BETWEEN 1 AND 1;
-- unscoped: between two
SELECT * FROM t WHERE org BETWEEN 1 AND 2;
-- unscoped: COALESCE of a condition that may be null with another
SELECT * FROM n WHERE COALESCE(org=1, x=1);
-- unscoped: the second branch of CASE
SELECT * FROM t WHERE CASE WHEN org=1 THEN true WHEN x=1 THEN true ELSE false END;
-- unscoped: the guard of another branch
SELECT * FROM t WHERE CASE WHEN x=1 THEN true WHEN org=1 THEN true END;
-- unscoped: a CASE that is FALSE
SELECT * FROM t WHERE NOT CASE WHEN x=1 THEN org=1 ELSE false END;
-- unscoped: IS FALSE
SELECT * FROM t WHERE (org=1) IS FALSE;
-- unscoped: other than true
SELECT * FROM t WHERE (org=1) <> true;
-- unscoped: COALESCE rejects no null
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE COALESCE(s.x, 1)>0;
-- unscoped: IS DISTINCT FROM rejects no null
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE (s.x IS DISTINCT FROM 5)::int=1;
-- unscoped: IS NULL rejects no null
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE (s.x IS NULL) > false;
-- scoped: a comparison rejects nulls
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE s.x > 5;
-- unscoped: NULLIF may be null
SELECT * FROM t WHERE (NULLIF(org, 2)=1) IS NOT FALSE;
-- unscoped: a sum
SELECT * FROM t WHERE org + x = 1;
-- unscoped: the first value of CASE
SELECT * FROM t WHERE CASE WHEN x=1 THEN org ELSE 1 END = 1;
-- unscoped: a cast to boolean
SELECT * FROM t JOIN s ON t.org::boolean = s.org::boolean WHERE t.org=1;
-- unscoped: fields of a row in another order
SELECT * FROM t WHERE (org, id) = (x, 1);
-- unscoped: fields of a subquery's row in another order
SELECT * FROM t WHERE (org, id) IN (SELECT id, org FROM s WHERE org=1);
-- scoped: a subquery's tenant, told from outside
SELECT * FROM t WHERE (org, id) IN (SELECT org, id FROM s) AND org=1;
-- unscoped: a subquery's tenant that is negated
SELECT * FROM t WHERE (org, id) NOT IN (SELECT org, id FROM s) AND org=1;
-- unscoped: a subquery's tenant behind OR
SELECT * FROM t WHERE (org IN (SELECT org FROM s) OR x=1) AND org=1;
-- unscoped: a subquery's tenant after LIMIT
SELECT * FROM t WHERE org IN (SELECT org FROM s ORDER BY id LIMIT 1) AND org=1;
-- unscoped: more than any
SELECT * FROM t WHERE org > ANY (SELECT org FROM s WHERE org=1);
-- unscoped: other than any
SELECT * FROM t WHERE org <> ANY (SELECT org FROM s WHERE org=1);
-- unscoped: a composite foreign key with a null in it
SELECT * FROM k JOIN g ON g.id=k.gid WHERE g.org=1;
-- unscoped: a child beside any parent
SELECT * FROM items i, g WHERE g.org=1;
-- unscoped: the preserved side of a right join
SELECT * FROM (SELECT * FROM t WHERE org=1) q RIGHT JOIN s ON s.org=q.org;
-- unscoped: the middle of three levels has the name
SELECT * FROM t a WHERE a.org=1 AND EXISTS (SELECT 1 FROM generate_series(1, 5) a(org) WHERE EXISTS (SELECT 1 FROM s WHERE s.org=a.org));
-- unscoped: a grouping set without the tenant
SELECT * FROM (SELECT org, x, count(*) AS n FROM t GROUP BY GROUPING SETS ((org), (x))) q WHERE (org=1) IS NOT FALSE;
-- unscoped: HAVING alone makes a row
SELECT * FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.org=t.org AND t.org=1 HAVING true);
-- unscoped: a window ordered by the tenant
SELECT * FROM (SELECT org, sum(x) OVER (ORDER BY org) AS a FROM t) q WHERE org=1;
-- unscoped: a window that orders what DISTINCT ON chooses from
SELECT * FROM (SELECT DISTINCT ON (org) org, id FROM t ORDER BY org, count(*) OVER (PARTITION BY sid), id) q WHERE org=1;
-- unscoped: the second arm of a union
SELECT * FROM (SELECT org, id FROM t WHERE org=1 UNION ALL SELECT org, id FROM s) q;
-- unscoped: a union of constants
SELECT * FROM t JOIN (SELECT 1 AS org UNION ALL SELECT 2) q ON q.org=t.org;
-- unscoped: an intersection in another order
SELECT org, id FROM t INTERSECT SELECT id, org FROM s WHERE org=1;
-- unscoped: what a step puts where the base has the tenant
WITH RECURSIVE r(org, id) AS (SELECT org, id FROM t WHERE org=1 UNION SELECT t.id, t.org FROM t JOIN r ON r.id=t.id WHERE t.org=1) SELECT * FROM gt JOIN r ON gt.org=r.org;
-- unscoped: a step's own table, reached through rows of all
WITH RECURSIVE r(org, id) AS (SELECT 1, 1 UNION SELECT s.org, s.id FROM s JOIN r ON s.x=r.id) SELECT * FROM r WHERE org=1;
-- unscoped: what holds of one row of a write holds of no other
WITH d AS (DELETE FROM t WHERE org=1 RETURNING org, id) SELECT * FROM d a JOIN d b ON a.id=a.org JOIN s ON s.org=b.id;
-- unscoped: RETURNING after an assignment
UPDATE t SET sid=x WHERE org=1 AND sid=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- unscoped: RETURNING after the assignment of an expression
UPDATE t SET sid=x+1 WHERE org=1 AND sid=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- scoped: RETURNING after the tenant was assigned to itself
UPDATE t SET org=1 WHERE org=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.org);
-- unscoped: a child put under what is no parent's key
INSERT INTO items (id, gid) SELECT 7, g.x FROM g WHERE g.org=1;
-- unscoped: an expression is inserted as the tenant
INSERT INTO t (org, id) VALUES (1+1, 2);
-- unscoped: what ON says of partners, inserted where there is none
MERGE INTO t USING (SELECT org, id, x FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id AND q.x=1 WHEN NOT MATCHED THEN INSERT (org, id) VALUES (q.x, q.id);
-- unscoped: two conditions that are both unknown
SELECT * FROM n WHERE (org=1) IS NOT DISTINCT FROM (x=x);
-- scoped: two conditions that are never unknown
SELECT * FROM t WHERE (org=1) IS NOT DISTINCT FROM (id=id);
-- unscoped: two conditions that may be false both
SELECT * FROM t WHERE (org=1) = (x=1);
-- scoped: a condition and one that is always true
SELECT * FROM t WHERE (org=1) = (id=id);
-- unscoped: a condition other than one that is false
SELECT * FROM t WHERE (org=1) <> (x=1);
-- unscoped: ELSE after a guard that is unknown
SELECT * FROM n WHERE CASE WHEN org<>1 THEN false ELSE true END;
-- scoped: ELSE after a guard that is false
SELECT * FROM t WHERE CASE WHEN org<>1 THEN false ELSE true END;
-- unscoped: a CASE that may be the column itself
SELECT * FROM t WHERE org = CASE WHEN x=1 THEN 1 ELSE org END;
-- scoped: a CASE that is the tenant whichever branch is taken
SELECT * FROM t WHERE org = CASE WHEN org IS DISTINCT FROM 1 THEN 1 ELSE org END;
-- scoped: what NULLIF leaves is its first
SELECT * FROM t WHERE NULLIF(org, x)=1;
-- unscoped: the second of COALESCE, put out
SELECT * FROM (SELECT COALESCE(org, x) AS org FROM n) q WHERE org=1;
-- scoped: the first of COALESCE, never null
SELECT * FROM (SELECT COALESCE(org, x) AS org FROM t) q WHERE org=1;
-- unscoped: the second branch of CASE, put out
SELECT * FROM (SELECT CASE WHEN x=1 THEN org ELSE 1 END AS org FROM t) q WHERE org=1;
-- unscoped: a scalar subquery of a constant may be null
SELECT * FROM t WHERE ((SELECT 1 FROM s WHERE s.org=1 LIMIT 1) = org) IS NOT FALSE;
-- unscoped: and be the same as a null
SELECT * FROM n WHERE n.org IS NOT DISTINCT FROM (SELECT 1 FROM s WHERE s.org=1 AND s.id=99);
-- unscoped: a scalar subquery of the outer tenant may be null
SELECT * FROM n JOIN t ON t.org=1 AND n.org IS NOT DISTINCT FROM (SELECT t.org FROM s WHERE s.org=t.org AND s.id=99);
-- unscoped: and null is written
INSERT INTO n (org, id) SELECT (SELECT 1 FROM s WHERE s.org=1 AND s.id=99), 1;
-- unscoped: rows of several tenants share the null of a scalar subquery
SELECT * FROM (SELECT (SELECT t.org FROM s WHERE s.org=t.org AND s.id=1) AS org, count(*) AS n FROM t GROUP BY 1) q WHERE q.org IS NULL;
-- scoped: a scalar subquery that has found a row
SELECT * FROM t WHERE org = (SELECT 1 FROM s WHERE org=1 LIMIT 1);
-- unscoped: a scalar subquery in the select list restricts nothing
SELECT org, (SELECT s.x FROM s WHERE s.org=t.org AND t.org=1 AND s.id=1) FROM t;
-- unscoped: a unique key with nulls in it
SELECT * FROM (SELECT DISTINCT ON (id) org, id FROM k ORDER BY id, org) q WHERE org=1;
-- scoped: by a unique key, a row each
SELECT * FROM (SELECT DISTINCT ON (id) org, id FROM g ORDER BY id, org) q WHERE org=1;
-- scoped: a window over the rows of one key
SELECT * FROM (SELECT g.org, count(*) OVER (PARTITION BY g.id) AS n FROM g LEFT JOIN gt ON gt.org=g.org) q WHERE q.org=1;
-- unscoped: a window over the rows of a part of a key
SELECT * FROM (SELECT org, count(*) OVER (PARTITION BY id) AS n FROM t) q WHERE org=1;
-- scoped: a composite foreign key without a null in it
SELECT * FROM k JOIN g ON g.id=k.gid WHERE k.org=1;
-- scoped: OR of two that come to the same
SELECT * FROM t JOIN s ON s.org=t.org WHERE t.org=1 OR s.org=1;
-- unscoped: OR of two that do not
SELECT * FROM t JOIN s ON s.id=t.id WHERE t.org=1 OR s.org=1;
-- scoped: rows of a list, of one tenant
SELECT * FROM t WHERE (org, id) IN ((1, 2), (1, 3));
-- unscoped: rows of a list, of two tenants
SELECT * FROM t WHERE (org, id) IN ((1, 2), (2, 3));
-- scoped: another parent, which was read
UPDATE items SET gid=g.id FROM g WHERE g.id=items.gid AND g.org=1;
-- unscoped: another parent, whose key is not the one that was read
UPDATE items SET gid=g.x FROM g WHERE g.id=items.gid AND g.org=1;
-- scoped: what is left over in a MERGE, and let be
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN NOT MATCHED BY SOURCE THEN DO NOTHING;
-- scoped: the source as a column of a joined row
SELECT * FROM t LEFT JOIN (SELECT tenure.current_tenant() AS one, id FROM s WHERE org=tenure.current_tenant()) q ON q.id=t.id WHERE t.org=q.one;
-- unscoped: what one member of a list says of nulls, another does not
SELECT * FROM t LEFT JOIN s ON s.id=t.id AND s.org=t.org AND t.org=1 WHERE t.x IN (s.x+0, s.x+1, 3);
