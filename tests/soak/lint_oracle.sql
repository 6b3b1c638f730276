-- The oracle of the lint fuzz, on the server's side: many statements in one round trip.
--
-- A statement is run in a subtransaction, as the role that row-level security binds or as its
-- owner, and taken back. What it gave becomes a text: `E:` and an SQLSTATE, or `R:` with the
-- number and a hash of its rows, and for writes `T:` with a hash of all tables.
CREATE SCHEMA fuzz;

CREATE FUNCTION fuzz.tables() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE $q$ SELECT sum(h)::text FROM (
        SELECT hashtextextended('orgs' || r::text, 0)::numeric h FROM orgs r
        UNION ALL SELECT hashtextextended('t' || r::text, 0) FROM t r
        UNION ALL SELECT hashtextextended('s' || r::text, 0) FROM s r
        UNION ALL SELECT hashtextextended('g' || r::text, 0) FROM g r
        UNION ALL SELECT hashtextextended('gt' || r::text, 0) FROM gt r
        UNION ALL SELECT hashtextextended('n' || r::text, 0) FROM n r
        UNION ALL SELECT hashtextextended('items' || r::text, 0) FROM items r
        UNION ALL SELECT hashtextextended('c' || r::text, 0) FROM c r
        UNION ALL SELECT hashtextextended('e' || r::text, 0) FROM e r
        UNION ALL SELECT hashtextextended('p' || r::text, 0) FROM p r
        UNION ALL SELECT hashtextextended('k' || r::text, 0) FROM k r) q $q$ INTO found;
    RETURN found;
END $$;

-- shape: `read` (may stand in FROM), `rows` (a write that returns rows), `write`.
CREATE FUNCTION fuzz.outcome(
    statement text, shape text, place text, tenant int, role text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    found record;
    n int := 0;
    total numeric := 0;
BEGIN
    PERFORM set_config('search_path', place, true), set_config('app.org', tenant::text, true);
    BEGIN
        IF role IS NOT NULL THEN
            PERFORM set_config('role', role, true);
        END IF;
        IF shape = 'read' THEN
            EXECUTE 'SELECT ''R:'' || count(*) || '':'''
                ' || coalesce(sum(hashtextextended(q::text, 0)), 0) FROM (' || statement
                || E'\n) q' INTO result;
            PERFORM set_config('role', 'none', true);
            RETURN result;
        END IF;
        IF shape = 'rows' THEN
            FOR found IN EXECUTE statement LOOP
                n := n + 1;
                total := total + hashtextextended(found::text, 0);
            END LOOP;
        ELSE
            EXECUTE statement;
            GET DIAGNOSTICS n = ROW_COUNT;
        END IF;
        PERFORM set_config('role', 'none', true);
        result := 'R:' || n || ':' || total || ' T:' || fuzz.tables();
        RAISE EXCEPTION USING ERRCODE = 'FZ001', MESSAGE = result;
    EXCEPTION WHEN OTHERS THEN
        RETURN CASE WHEN SQLSTATE = 'FZ001' THEN SQLERRM ELSE 'E:' || SQLSTATE END;
    END;
END $$;

-- For each statement the first data set, of those from `since` to `last`, in which the two runs
-- differ by more than an error that says nothing. `tenant` is null for the tenant of the data set.
CREATE FUNCTION fuzz.compare(
    statements text[], shapes text[], tenants int[], since int[], last int, app text
) RETURNS TABLE (dataset int, answered boolean, telling boolean, errors text[], runs int)
LANGUAGE plpgsql AS $$
DECLARE
    free text;
    bound text;
    tenant int;
    before text[];
BEGIN
    FOR d IN 0 .. last LOOP
        PERFORM set_config('search_path', 'd' || d, true);
        before := before || fuzz.tables();
    END LOOP;
    FOR i IN 1 .. cardinality(statements) LOOP
        dataset := NULL;
        answered := false;
        telling := false;
        errors := '{}';
        runs := 0;
        FOR d IN since[i] .. last LOOP
            tenant := coalesce(tenants[i], (ARRAY[1, 2, 10])[1 + d % 3]);
            free := fuzz.outcome(statements[i], shapes[i], 'd' || d, tenant, NULL);
            bound := fuzz.outcome(statements[i], shapes[i], 'd' || d, tenant, app);
            runs := runs + 2;
            IF bound LIKE 'E:%' THEN
                errors := errors || substr(bound, 3);
            ELSE
                answered := true;
                telling := telling OR bound NOT LIKE 'R:0:%'
                    OR (shapes[i] <> 'read' AND bound NOT LIKE '% T:' || before[d + 1]);
            END IF;
            -- A constraint speaks of rows that are written. Other errors depend on what is
            -- looked at first: a condition that fails for another tenant's row may not be asked.
            IF free <> bound
                AND (free NOT LIKE 'E:%' OR free IN ('E:42501', 'E:23505', 'E:23503', 'E:23502'))
                AND (bound NOT LIKE 'E:%' OR bound IN ('E:42501', 'E:23505', 'E:23503', 'E:23502'))
            THEN
                dataset := d;
                EXIT;
            END IF;
        END LOOP;
        RETURN NEXT;
    END LOOP;
END $$;
