-- Statements that carry others, and syntax that the parser does not know. Same form as table.sql.

-- scoped parameter: a function in SQL, its argument by number
CREATE FUNCTION f(int) RETURNS SETOF t LANGUAGE sql AS $$ SELECT * FROM t WHERE org=$1 $$;
-- scoped parameter: its argument by name
CREATE OR REPLACE FUNCTION f(p int, q int DEFAULT 3) RETURNS SETOF t LANGUAGE sql STABLE SECURITY DEFINER AS $body$ SELECT * FROM t WHERE org=p AND x<q $body$;
-- scoped source: an argument that is declared to be the tenant
CREATE FUNCTION f(tenant_id int) RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t WHERE org=tenant_id';
-- unscoped: a column goes before the argument of its name
CREATE FUNCTION f(org int) RETURNS SETOF t LANGUAGE sql AS $$ SELECT * FROM t WHERE org=org $$;
-- scoped parameter: the language stands behind
CREATE FUNCTION f(p int) RETURNS bigint AS $$ SELECT count(*) FROM t WHERE org=p $$ LANGUAGE 'sql';
-- unscoped: one of its statements is open
CREATE FUNCTION f(p int) RETURNS void LANGUAGE sql AS $$ DELETE FROM t WHERE org=p; DELETE FROM s $$;
-- unscoped two-tenants: two arguments
CREATE FUNCTION f(p int, q int) RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM t, s WHERE t.org=p AND s.org=q);
-- scoped parameter: a body that is an expression
CREATE FUNCTION f(p int) RETURNS bigint RETURN (SELECT count(*) FROM t WHERE org=p);
-- unscoped: a body of statements
CREATE PROCEDURE f(p int) BEGIN ATOMIC DELETE FROM t WHERE org=p; UPDATE s SET x = CASE WHEN x=1 THEN 2 END; END;
-- scoped parameter: a body of restricted statements
CREATE PROCEDURE f(IN p int, OUT o int) BEGIN ATOMIC DELETE FROM t WHERE org=p; UPDATE s SET x = CASE WHEN x=1 THEN 2 END WHERE org=$1; END;
-- undecidable opaque: a body in another language
CREATE FUNCTION f(p int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; END $$;
-- undecidable opaque: the body stands in a library
CREATE FUNCTION f(p int) RETURNS int LANGUAGE c AS 'library', 'symbol';
-- undecidable: a name that is neither column nor argument
CREATE FUNCTION f(p int) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM t WHERE org=r $$;
-- scoped: a recursive view
CREATE RECURSIVE VIEW v (org, id) AS SELECT org, id FROM t WHERE org=1 UNION SELECT t.org, t.id FROM t JOIN v ON v.org=t.org AND t.pid=v.id;
-- unscoped: a recursive view over everything
CREATE RECURSIVE VIEW v (org, id) AS SELECT org, id FROM t UNION SELECT t.org, t.id FROM t JOIN v ON t.pid=v.id;
-- scoped: a view with options
CREATE OR REPLACE VIEW w WITH (security_invoker) AS SELECT * FROM t WHERE org=tenure.current_tenant() WITH LOCAL CHECK OPTION;
-- unscoped: EXPLAIN of PREPARE's query
EXPLAIN ANALYZE VERBOSE SELECT * FROM t;
-- unscoped: a cursor with hold
DECLARE c INSENSITIVE SCROLL CURSOR WITH HOLD FOR SELECT * FROM t;
-- unscoped: EXPLAIN of CREATE TABLE AS
EXPLAIN CREATE TABLE other.copy AS SELECT * FROM t;
-- unscoped: COPY of a write
COPY (DELETE FROM t RETURNING *) TO STDOUT;

-- scoped: OVERRIDING
INSERT INTO t (org, id) OVERRIDING SYSTEM VALUE VALUES (1, 2);
-- unscoped: OVERRIDING, for another tenant
INSERT INTO t (org, id) OVERRIDING USER VALUE SELECT 1, id FROM s;
-- scoped: ONLY in parentheses
SELECT * FROM ONLY (t) WHERE org=1;
-- unscoped: ONLY in parentheses, open
DELETE FROM ONLY (t) a WHERE a.x=1;
-- scoped: the alias of USING, unused
SELECT * FROM t JOIN s USING (org) AS j WHERE org=1;
-- undecidable: the alias of USING, used
SELECT * FROM t JOIN s USING (org) AS j WHERE j.org=1;
-- scoped: the alias of a subquery after DELETE USING stays
DELETE FROM t USING (SELECT org FROM s) AS q WHERE q.org=t.org AND q.org=1;
-- undecidable unsupported: WHERE CURRENT OF
DELETE FROM t WHERE CURRENT OF c;
-- scoped: RETURNING the old and the new row
UPDATE t SET x=1 WHERE org=1 RETURNING old.x, new.x, old.*;
-- unscoped: nothing is known of the old row
UPDATE t SET x=1 WHERE org=1 RETURNING (SELECT count(*) FROM s WHERE s.org=old.sid);
-- undecidable unsupported: RETURNING under other names
UPDATE t SET x=1 WHERE org=1 RETURNING WITH (OLD AS o) o.x;
-- scoped: AT LOCAL
SELECT now() AT LOCAL FROM t WHERE org=1;
-- scoped parameter: a join in MERGE's USING
MERGE INTO t USING s JOIN gt ON gt.org=s.org ON t.org=s.org AND t.org=1 WHEN MATCHED THEN DELETE;
