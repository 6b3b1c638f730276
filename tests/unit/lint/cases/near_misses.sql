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
-- unscoped: nor does it as a number
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE (s.x IS NULL)::int > 0;
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
-- scoped: rows of other tenants are not among those looked for
SELECT * FROM t WHERE (org, id) NOT IN (SELECT org, id FROM s) AND org=1;
-- unscoped: a row whose tenant is null may be
SELECT * FROM t WHERE (org, id) NOT IN (SELECT org, id FROM n) AND org=1;
-- unscoped: a tenant that is null may be any
SELECT * FROM n WHERE (org IN (SELECT org FROM s) OR x=1) AND (org=1 OR org IS NULL);
-- unscoped: rows of other tenants by their other columns
SELECT * FROM t WHERE id NOT IN (SELECT id FROM s) AND org=1;
-- unscoped: fields of a row in another order, not among those looked for
SELECT * FROM t WHERE (org, id) NOT IN (SELECT id, org FROM s) AND org=1;
-- scoped: a subquery's tenant behind OR
SELECT * FROM t WHERE (org IN (SELECT org FROM s) OR x=1) AND org=1;
-- scoped: other than all
SELECT * FROM t WHERE org <> ALL (SELECT org FROM s) AND org=1;
-- unscoped: equal to all
SELECT * FROM t WHERE org = ALL (SELECT org FROM s) AND org=1;
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

-- What is null, and what is not.

-- scoped: NULLIF rejects nulls
SELECT * FROM k LEFT JOIN gt ON gt.org=k.org AND k.org=1 WHERE NULLIF(gt.id, 2) > 0;
-- scoped: what NULLIF leaves is no null
SELECT * FROM n WHERE NULLIF(org, 2) IS NOT DISTINCT FROM 1;
-- unscoped: distinct from it may be what NULLIF leaves
SELECT * FROM n WHERE NULLIF(org, 2) IS DISTINCT FROM 1;
-- scoped: the source is not null where something equals it
SELECT * FROM n JOIN t ON t.org=tenure.current_tenant() AND n.org IS NOT DISTINCT FROM tenure.current_tenant();
-- unscoped: the source may be null where something is less
SELECT * FROM n JOIN t ON t.org=n.id AND n.org IS NOT DISTINCT FROM tenure.current_tenant();
-- scoped: a condition greater than FALSE
SELECT * FROM t WHERE (org=1) > false;
-- unscoped: a condition at least FALSE
SELECT * FROM t WHERE (org=1) >= false;
-- scoped: a condition less than TRUE
SELECT * FROM t WHERE (org<>1) < true;
-- scoped: a condition that is not at most another
SELECT * FROM t WHERE NOT ((org=1) <= (x=1));
-- unscoped: a condition that is at most another
SELECT * FROM t WHERE (org=1) <= (x=1);
-- scoped: a scalar subquery that has found a row, in any comparison
SELECT * FROM t WHERE x > (SELECT s.x FROM s WHERE s.org=t.org AND s.org=1 AND s.id=t.id);
-- unscoped: a scalar subquery that need not have found one
SELECT * FROM t WHERE x IS DISTINCT FROM (SELECT s.x FROM s WHERE s.org=t.org AND s.org=1 AND s.id=t.id);
-- scoped: a conjunction that is not FALSE
SELECT * FROM t WHERE (org=1 AND x=1) IS NOT FALSE;
-- unscoped: a disjunction that is not FALSE
SELECT * FROM t WHERE (org=1 OR x=1) IS NOT FALSE;
-- scoped: the second of COALESCE where the first is null
SELECT * FROM n WHERE COALESCE(org=1, org>0);
-- unscoped: the second of COALESCE where the first may be so for another reason
SELECT * FROM n WHERE COALESCE(org = (SELECT 1 FROM s WHERE s.org=1 AND s.id=n.x), org>0);
-- scoped: what is null equals nothing
SELECT * FROM t WHERE x IS NULL AND (org=1 OR x=1);
-- unscoped: what is not null may
SELECT * FROM t WHERE x IS NOT NULL AND (org=1 OR x=1);
-- scoped: what is in no list is not null
SELECT * FROM t WHERE x NOT IN (1, 3) AND NOT (org<>1 AND x IS NOT NULL);
-- unscoped: what is in no subquery may be
SELECT * FROM t WHERE x NOT IN (SELECT id FROM s WHERE s.org=1) AND NOT (org<>1 AND x IS NOT NULL);
-- scoped: more than one of them is not null
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE s.x > ANY (ARRAY[1, 2]);
-- unscoped: more than all of none may be null
SELECT * FROM t LEFT JOIN s ON s.id=t.sid AND t.org=1 AND s.org=t.org WHERE s.x > ALL (SELECT id FROM s WHERE org=1);
-- scoped: the same as the other as far as it is not null
SELECT * FROM n a LEFT JOIN n b ON a.org IS NOT DISTINCT FROM b.org WHERE a.org=1;
-- unscoped: and otherwise null as well
SELECT a.org FROM n a LEFT JOIN n b ON a.org IS NOT DISTINCT FROM b.org WHERE a.org=1 OR a.org IS NULL;
-- scoped: one part of ON helps another
SELECT * FROM t JOIN s ON (s.org=t.org OR s.org=1) AND t.org=1;
-- unscoped: one part of ON does not
SELECT * FROM t JOIN s ON (s.org=t.org OR s.id=1) AND t.org=1;

-- Choices.

-- scoped: a guard that was passed is not TRUE after it
SELECT * FROM t WHERE CASE WHEN x=1 THEN org=1 WHEN org=1 THEN false ELSE x=1 END;
-- unscoped: another may be
SELECT * FROM t WHERE CASE WHEN x=1 THEN org=1 WHEN org=1 THEN false ELSE x=2 END;
-- unscoped: a guard that was passed may be TRUE the next time
SELECT * FROM t WHERE CASE WHEN random() < 0.5 THEN org=1 ELSE random() < 0.5 END;
-- scoped: a branch whose guard was passed
SELECT * FROM t WHERE org = CASE WHEN x=1 THEN 1 WHEN x=1 THEN org END;
-- unscoped: a branch whose guard was not
SELECT * FROM t WHERE org = CASE WHEN x=1 THEN 1 WHEN x=2 THEN org END;
-- scoped: what follows TRUE is not reached
SELECT * FROM t WHERE org = CASE WHEN true THEN 1 ELSE org END;
-- scoped: what NULLIF leaves, put out
SELECT * FROM (SELECT NULLIF(org, 2) AS org, id FROM t) q WHERE org=1;
-- unscoped: and what it does not
SELECT * FROM (SELECT NULLIF(org, 2) AS org, id FROM t) q WHERE org=1 OR org IS NULL;
-- scoped: the tenant, if it is put out
SELECT * FROM (SELECT CASE WHEN x=1 THEN org END AS org, count(*) AS n FROM t GROUP BY 1) q WHERE org=1;
-- unscoped: the tenant or another column
SELECT * FROM (SELECT CASE WHEN x=1 THEN org ELSE x END AS org, count(*) AS n FROM t GROUP BY 1) q WHERE org=1;
-- scoped: the tenant of either side
SELECT * FROM (SELECT COALESCE(s.org, t.org) AS org FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid) q WHERE org=1;
-- unscoped: a column of either side
SELECT * FROM (SELECT COALESCE(s.x, t.org) AS org FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid) q WHERE org=1;
-- scoped: a tenant that a scalar subquery puts out
SELECT * FROM (SELECT (SELECT t.org FROM s WHERE s.org=1 AND s.id=t.id) AS org, count(*) AS n FROM t GROUP BY 1) q WHERE org=1;
-- scoped: the tenant of the filled side, where it is not null
SELECT * FROM (SELECT g.org FROM g RIGHT JOIN items ON items.gid=g.id) q WHERE org=1;
-- unscoped: where it is null
SELECT * FROM (SELECT g.org FROM g RIGHT JOIN items ON items.gid=g.id) q WHERE org=1 OR org IS NULL;
-- scoped: a subquery that correlates with a filled column
SELECT t.id, (SELECT count(*) FROM gt WHERE gt.org=s.org) AS n FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1;
-- unscoped: one that does so by null as well
SELECT t.id, (SELECT count(*) FROM n WHERE n.org IS NOT DISTINCT FROM s.org) AS n FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1;
-- unscoped: one that correlates with a filled column of any tenant
SELECT t.id, (SELECT count(*) FROM gt WHERE gt.org=s.x) AS n FROM t LEFT JOIN s ON s.org=t.org AND s.id=t.sid WHERE t.org=1;
-- unscoped: one that correlates with a column where another is filled
SELECT g.id, (SELECT count(*) FROM gt WHERE gt.org=g.x) AS n FROM g LEFT JOIN s ON g.x=1 AND s.org=1 AND s.id=g.id WHERE g.org=1;
-- unscoped: a null is something
SELECT * FROM n WHERE org IS NULL AND (org=1) IS NOT FALSE;

-- Values.

-- unscoped: a row of constants that may be none
UPDATE n SET (x, org) = (SELECT generate_series(1, 0), 1) WHERE org=1;
-- scoped: a row of constants, always one
UPDATE t SET (x, org) = (SELECT 7, 1) WHERE org=1;
-- unscoped: a row of constants in another order
UPDATE t SET (x, org) = (SELECT 1, 7) WHERE org=1;
-- scoped: RETURNING sees what was inserted
INSERT INTO t (org, id, sid) VALUES (1, 2, 1) RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- unscoped: of two rows
INSERT INTO t (org, id, sid) VALUES (1, 2, 1), (1, 3, 2) RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- unscoped: or the row that stood in the way
INSERT INTO t (org, id, sid) VALUES (1, 2, 1) ON CONFLICT (org, id) DO UPDATE SET x=1 RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- scoped: which DO NOTHING does not return
INSERT INTO t (org, id, sid) VALUES (1, 2, 1) ON CONFLICT (org, id) DO NOTHING RETURNING (SELECT count(*) FROM s WHERE s.org=t.sid);
-- unscoped: what is left out may be filled in
INSERT INTO t (org, id, sid) VALUES (1, 2, 1) RETURNING (SELECT count(*) FROM s WHERE s.org=t.x);
-- scoped: the greatest of one value
SELECT * FROM t WHERE org = (SELECT max(org) FROM s WHERE org=1);
-- unscoped: the greatest of several
SELECT * FROM t WHERE org = (SELECT max(org) FROM s WHERE org<=1);
-- unscoped: the greatest of none is null
SELECT * FROM n WHERE org IS NOT DISTINCT FROM (SELECT max(org) FROM s WHERE org=1);
-- unscoped: also where it is put out
SELECT * FROM n, (SELECT max(org) AS m FROM s WHERE org=1) q WHERE n.org IS NOT DISTINCT FROM q.m;
-- unscoped: the greatest of a group and its least
SELECT s.* FROM (SELECT x, max(id) AS m FROM t WHERE org=1 GROUP BY x HAVING min(id)=1) q JOIN s ON s.org=q.m;
-- scoped: the greatest of what a group shares
SELECT * FROM (SELECT id, max(org) AS org, count(*) AS n FROM g GROUP BY id) q WHERE org=1;
-- scoped: constants that agree, combined
SELECT * FROM t JOIN ((VALUES (1, 1)) INTERSECT (VALUES (1, 1), (1, 2))) q(org, id) ON q.id=t.org;
-- unscoped: constants that do not
SELECT * FROM t JOIN ((VALUES (1, 1), (1, 2)) UNION (VALUES (1, 1))) q(org, id) ON q.id=t.org;
-- scoped: recursion from constants
WITH RECURSIVE r(org, id) AS (SELECT 1, 3 UNION SELECT s.org, s.id FROM s JOIN r ON s.org=r.org AND s.x=r.id) SELECT * FROM r;
-- unscoped: recursion from constants that turns them round
WITH RECURSIVE r(org, id) AS (SELECT 1, 3 UNION SELECT s.id, s.org FROM s JOIN r ON s.org=r.org AND s.x=r.id) SELECT * FROM r;
-- scoped: among VALUES of one
SELECT * FROM t WHERE org IN (VALUES (1), (1));
-- unscoped: among VALUES of two
SELECT * FROM t WHERE org IN (VALUES (1), (2));
-- scoped: VALUES of one as a value
SELECT org, x, count(*) FROM t GROUP BY ROLLUP (org, x) HAVING org = (VALUES (1));
-- scoped: two tenants of none
SELECT * FROM t WHERE org=1 AND NOT EXISTS (SELECT 1 FROM s WHERE s.org=2 AND s.org=3);

-- Keys.

-- scoped: rows with one parent have one tenant
SELECT * FROM gt a JOIN gt b ON b.gid=a.gid WHERE a.org=1;
-- unscoped: rows with one number need not
SELECT * FROM gt a JOIN gt b ON b.id=a.id WHERE a.org=1;
-- unscoped: nor rows with one parent, if a tenant is null
SELECT * FROM k JOIN gt ON gt.gid=k.gid WHERE gt.org=1;
-- scoped: which this one is not
SELECT * FROM k JOIN gt ON gt.gid=k.gid WHERE k.org=1;
-- scoped: brothers without a tenant of their own
SELECT * FROM k JOIN items ON items.gid=k.gid WHERE k.org=1;
-- unscoped: two keys that are null are not one row's
SELECT * FROM k a JOIN k b ON a.id IS NULL AND b.id IS NULL WHERE a.org=1;
-- scoped: a composite foreign key without a null in it, joined outer
SELECT * FROM k LEFT JOIN g ON g.id=k.gid WHERE k.org=1;
-- unscoped: with a null in it
SELECT * FROM k LEFT JOIN g ON g.id=k.gid WHERE k.org=1 OR k.org IS NULL;
-- scoped: LIMIT of the row of a key
SELECT * FROM (SELECT org, id FROM g WHERE id=1 ORDER BY x LIMIT 2) q WHERE org=1;
-- unscoped: LIMIT of the rows of a part of a key
SELECT * FROM (SELECT org, id FROM t WHERE id=1 ORDER BY x LIMIT 2) q WHERE org=1;

-- FULL JOIN.

-- scoped: not both sides of a full join are filled
SELECT * FROM t FULL JOIN (SELECT 1 AS one, id FROM s WHERE org=1) q ON q.id=t.id WHERE t.org IS NOT DISTINCT FROM q.one;
-- unscoped: but the tenant may be null without
SELECT * FROM n FULL JOIN (SELECT 1 AS one, id FROM s WHERE org=1) q ON q.id=n.id WHERE n.org IS NOT DISTINCT FROM q.one;
-- scoped: the column of two that are never null is not
SELECT * FROM t FULL JOIN s USING (org) WHERE COALESCE(org=1, true);
-- unscoped: the column of two that may be, may be
SELECT * FROM n FULL JOIN s USING (org) WHERE COALESCE(org=1, true);
-- scoped: ON bounds the one side in rows with the other
SELECT * FROM t FULL JOIN s ON t.org=1 AND s.id=t.id WHERE s.org=1;
-- unscoped: and in no others
SELECT * FROM t FULL JOIN (SELECT * FROM s WHERE org=1) q ON t.org=1 AND q.id=t.id;
-- scoped: a full join with constants
SELECT * FROM t FULL JOIN (VALUES (1, 2)) v(org, id) ON t.org=v.org WHERE v.id=2;

-- Groups, windows, and what is always there.

-- scoped: a key of every grouping set
SELECT org, x, count(*) FROM t GROUP BY GROUPING SETS ((org, x), (org)) HAVING (org=1) IS NOT FALSE;
-- unscoped: a key of all but the empty one
SELECT org, x, count(*) FROM t GROUP BY GROUPING SETS ((org, x), (org), ()) HAVING (org=1) IS NOT FALSE;
-- unscoped: the empty one is a row even of nothing
SELECT * FROM t WHERE EXISTS (SELECT x FROM s WHERE org IS NULL GROUP BY ROLLUP (x));
-- scoped: HAVING asks for a row
SELECT * FROM t WHERE EXISTS (SELECT max(s.id) FROM s WHERE s.org=t.org AND s.org=1 HAVING count(*) > 0);
-- unscoped: HAVING asks for none
SELECT * FROM t WHERE EXISTS (SELECT max(s.id) FROM s WHERE s.org=t.org AND s.org=1 HAVING count(*) >= 0);
-- scoped: an aggregate of whatever rows is one row
SELECT * FROM t WHERE org=1 AND EXISTS (SELECT count(*) FROM s);
-- unscoped: it need not pass HAVING
SELECT * FROM t WHERE org=1 AND EXISTS (SELECT count(*) FROM s HAVING count(*) > 1);
-- scoped: the empty grouping set is a row
SELECT * FROM t WHERE org=1 AND EXISTS (SELECT x FROM s GROUP BY ROLLUP (x));
-- unscoped: a group is one of what is there
SELECT * FROM t WHERE org=1 AND EXISTS (SELECT x FROM s GROUP BY x);
-- scoped: the greatest so far of what the rows are ordered by
SELECT * FROM (SELECT org, max(org) OVER (ORDER BY org) AS m FROM t) q WHERE org=1;
-- unscoped: the least so far
SELECT * FROM (SELECT org, min(org) OVER (ORDER BY org) AS m FROM t) q WHERE org=1;
-- unscoped: the greatest so far, which may be null
SELECT * FROM (SELECT org, max(x) OVER (ORDER BY x) AS m FROM t) q WHERE org=1;
-- unscoped: the greatest of those that follow
SELECT * FROM (SELECT org, max(org) OVER (ORDER BY org ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) AS m FROM t) q WHERE org=1;
-- scoped: the greatest of what a partition shares
SELECT * FROM (SELECT org, max(x) OVER (PARTITION BY x) AS m FROM t) q WHERE org=1;
-- scoped: a window that is the same for all of which DISTINCT ON takes one
SELECT * FROM (SELECT DISTINCT ON (org) org, id FROM t ORDER BY org, count(*) OVER (ORDER BY org), id) q WHERE org=1;
-- unscoped: and decides which groups there are
SELECT * FROM (SELECT DISTINCT ON (org) org, id FROM t ORDER BY org, count(*) OVER (ORDER BY org), id LIMIT 1) q WHERE org=1;
-- unscoped: a window that is not the same for all
SELECT * FROM (SELECT DISTINCT ON (org) org, id FROM t ORDER BY org, count(*) OVER (ORDER BY x), id) q WHERE org=1;
-- scoped: DISTINCT ON a name that two tables have
SELECT * FROM (SELECT DISTINCT ON (org) t.org AS org FROM t JOIN s ON s.org=t.org) q WHERE org=1;

-- MERGE.

-- scoped: each WHEN keeps to the tenant, and so the source is bounded
MERGE INTO t USING s ON t.org=s.org AND t.id=s.id WHEN MATCHED AND t.org=1 THEN DELETE;
-- scoped: NOT MATCHED, as its own condition says
MERGE INTO t USING s ON t.org=s.org AND t.id=s.id WHEN NOT MATCHED AND s.org=1 THEN INSERT (org, id) VALUES (s.org, s.id);
-- unscoped: NOT MATCHED by rows of all tenants
MERGE INTO t USING s ON t.id=s.id WHEN NOT MATCHED AND s.org=1 THEN INSERT (org, id) VALUES (s.org, s.id);
-- unscoped: NOT MATCHED by rows of any tenant, though MATCHED is not
MERGE INTO t USING s ON t.org=1 AND t.id=s.id WHEN MATCHED AND s.org=1 THEN DELETE WHEN NOT MATCHED THEN INSERT (org, id) VALUES (1, s.id);
-- scoped: NOT MATCHED BY SOURCE, as its own condition says
MERGE INTO t USING s ON t.org=s.org AND t.id=s.id WHEN NOT MATCHED BY SOURCE AND t.org=1 THEN DELETE;
-- unscoped: NOT MATCHED BY SOURCE by rows of all tenants
MERGE INTO t USING s ON t.id=s.id WHEN NOT MATCHED BY SOURCE AND t.org=1 THEN DELETE;
-- scoped: a WHEN that is never reached
MERGE INTO t USING (SELECT * FROM s WHERE org=1) q ON t.org=q.org AND t.id=q.id WHEN MATCHED AND q.org=2 THEN UPDATE SET org=2 WHEN MATCHED THEN DELETE;
-- scoped: a parameter, cast to a length
SELECT * FROM u WHERE org::text = CAST($1 AS varchar(36));
-- scoped: nothing instead of an empty parameter
SELECT * FROM t WHERE org = NULLIF($1,'')::int;
-- scoped: a parameter as a number of digits
SELECT * FROM t WHERE org = CAST($1 AS numeric(9));
-- scoped: a tenant, or one for nobody
SELECT * FROM t WHERE org = coalesce(tenure.current_tenant(), 0);
-- scoped: a tenant by way of text
SELECT * FROM u WHERE org = current_setting('app.tenant_id')::text::uuid;
-- unscoped: a parameter that is cut does not tell what is cut
SELECT * FROM t WHERE org::varchar(1) = CAST($1 AS varchar(1));
-- unscoped: a parameter that is rounded, to which several are equal
SELECT * FROM t WHERE org = CAST($1 AS real);
-- unscoped: a parameter, or the column
SELECT * FROM t WHERE org = coalesce($1, org);
-- unscoped two-tenants: a parameter that is cut is another
SELECT t.id FROM t, u WHERE u.org::text = CAST($1 AS varchar(36)) AND t.org = $2;
-- unscoped two-tenants: a tenant, or one for nobody, is another
SELECT t.id FROM t, s WHERE t.org = coalesce($1, 0) AND s.org = $1;
-- unscoped: a child under a parent that is old
INSERT INTO items (id, gid) SELECT m.id, m.id FROM m_g m WHERE m.org=1;
-- unscoped two-tenants: a number that is cut is another
SELECT t.id FROM t, s WHERE t.org = '10'::varchar(1)::int AND s.org = 10;
-- unscoped: equal to all of an array without members
SELECT * FROM t WHERE org = ALL (ARRAY[]::int[]);
-- unscoped: equal to all of an array of what a query gives
SELECT * FROM t WHERE org = ALL (ARRAY(SELECT s.org FROM s WHERE s.org=1));
-- unscoped: equal to all of an array that is given
SELECT * FROM t WHERE org = ALL ($1);
