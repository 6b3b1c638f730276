-- The schema of the case table: tenant column `org`, the tenants in `orgs`.
CREATE TABLE orgs (id int PRIMARY KEY, slug text NOT NULL UNIQUE);
CREATE TABLE t (org int NOT NULL, id int NOT NULL, sid int, pid int, x int, PRIMARY KEY (org, id));
CREATE TABLE s (org int NOT NULL, id int NOT NULL, x int, pub boolean, PRIMARY KEY (org, id));
CREATE TABLE g (id int PRIMARY KEY, org int NOT NULL, x int, UNIQUE (org, id));
CREATE TABLE gt (
    org int NOT NULL,
    id int NOT NULL,
    gid int,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, gid) REFERENCES g (org, id)
);
CREATE TABLE n (org int, id int, x int);
CREATE TABLE items (id int PRIMARY KEY, gid int REFERENCES g (id));
CREATE TABLE country (code text PRIMARY KEY, name text);
CREATE TABLE u (org uuid NOT NULL, id uuid NOT NULL, name text, PRIMARY KEY (org, id));
CREATE TABLE c (
    org int NOT NULL DEFAULT tenure.current_tenant(), id int NOT NULL, x int, PRIMARY KEY (org, id)
);
CREATE TABLE k (
    org int, id int UNIQUE, gid int, FOREIGN KEY (org, gid) REFERENCES g (org, id)
);
CREATE SCHEMA other;
CREATE TABLE other.twin (org int NOT NULL, id int NOT NULL);
CREATE TABLE public.twin (org int NOT NULL, id int NOT NULL);
CREATE VIEW v_all AS SELECT org, id, x FROM public.t;
CREATE VIEW v_top AS SELECT org, id, x FROM public.t ORDER BY x, id, org LIMIT 3;
CREATE VIEW v_join (tenant, tid, sx) AS
    SELECT t.org, t.id, s.x FROM public.t JOIN public.s ON s.org = t.org AND s.id = t.sid;
CREATE VIEW v_ids AS SELECT id, x FROM public.t;
CREATE VIEW v_deep AS
    SELECT v.org, v.id, count(*) AS n FROM public.v_all v LEFT JOIN public.s ON s.org = v.org
    GROUP BY v.org, v.id;
CREATE MATERIALIZED VIEW m_all AS SELECT org, count(*) AS total FROM public.t GROUP BY org
    WITH NO DATA;
CREATE MATERIALIZED VIEW m_mine AS SELECT id, x FROM public.t WHERE org = tenure.current_tenant();
CREATE MATERIALIZED VIEW m_g AS SELECT id, org, x FROM public.g;
CREATE TABLE e (
    id int PRIMARY KEY,
    x int NOT NULL,
    sid int,
    org int GENERATED ALWAYS AS (x + 0) STORED NOT NULL,
    y int GENERATED ALWAYS AS (sid + 0) STORED
);
CREATE TYPE pair AS (a int, b int);
CREATE TABLE p (org int NOT NULL, id int NOT NULL, c pair, k "char", PRIMARY KEY (org, id));
CREATE TABLE tongue (code text PRIMARY KEY REFERENCES country (code));
CREATE TABLE speaker (org int NOT NULL, id int NOT NULL, code text REFERENCES tongue (code));
CREATE TABLE currency (code text PRIMARY KEY);
CREATE TABLE price (org int NOT NULL, code text NOT NULL);
ALTER TABLE price ADD FOREIGN KEY (code) REFERENCES currency (code) NOT VALID;
CREATE TABLE unit (code text PRIMARY KEY);
CREATE TABLE stock (code text PRIMARY KEY);
CREATE TABLE own_stock (org int NOT NULL) INHERITS (stock);
