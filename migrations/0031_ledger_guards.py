"""What a role that serves can do to the ledger itself: nothing that stops it, nothing that empties
it.

Retention puts entries in order and signs what is in order. It could give an entry a place beyond
the end, keep nodes of no tree, or a checkpoint of entries that are not there; none of these can be
taken back, and all of them keep the ledger from being signed. So places, nodes and checkpoints are
held against the tree, once a statement.

A text of the ledger goes with its row, by the function that deletes the row, and by nobody's hand:
where it went alone, the row beside it could be made to name another. And when an erasure ended is
by the database's clock.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

# Each sees what its statement did, and reads some nodes by their keys, as who gave the statement.
TREE = r"""
CREATE FUNCTION tenure.ledger_root(entries bigint) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    beyond bigint := 0;
    peaks bytea[] := '{}';
    peak bytea;
    root bytea;
BEGIN
    FOR height IN REVERSE 62..0 LOOP
        CONTINUE WHEN entries & (1::bigint << height) = 0;
        IF height = 0 THEN
            SELECT e.leaf_hash INTO peak FROM tenure.ledger_entries e WHERE e.position = beyond;
        ELSE
            SELECT n.hash INTO peak FROM tenure.ledger_nodes n
            WHERE n.level = height AND n.position = beyond >> height;
        END IF;
        peaks := peaks || peak;
        beyond := beyond + (1::bigint << height);
    END LOOP;
    root := peaks[cardinality(peaks)];
    FOR number IN REVERSE cardinality(peaks) - 1..1 LOOP
        root := sha256('\x01'::bytea || peaks[number] || root);
    END LOOP;
    RETURN root;
END $$;
COMMENT ON FUNCTION tenure.ledger_root(bigint) IS
    'The root of the first so many entries (RFC 6962), from the nodes; NULL where one is missing.';

CREATE FUNCTION tenure.placed_in_order() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first bigint; last bigint; many bigint; size bigint;
BEGIN
    SELECT min(p.position), max(p.position), count(*) INTO first, last, many FROM placed p;
    SELECT coalesce(max(e.position) + 1, 0) INTO size
    FROM tenure.ledger_entries e WHERE e.position < first;
    IF many > 0 AND (first <> size OR last - first + 1 <> many) THEN
        RAISE EXCEPTION 'the ledger has % entries in order, and % are placed from % to %',
            size, many, first, last USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tenure.nodes_of_tree() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    SELECT a.level, a.position INTO wrong
    FROM added a
    LEFT JOIN LATERAL (
        SELECT e.leaf_hash AS hash FROM tenure.ledger_entries e
        WHERE a.level = 1 AND e.position = 2 * a.position
        UNION ALL
        SELECT n.hash FROM tenure.ledger_nodes n
        WHERE a.level > 1 AND n.level = a.level - 1 AND n.position = 2 * a.position) AS l ON true
    LEFT JOIN LATERAL (
        SELECT e.leaf_hash AS hash FROM tenure.ledger_entries e
        WHERE a.level = 1 AND e.position = 2 * a.position + 1
        UNION ALL
        SELECT n.hash FROM tenure.ledger_nodes n
        WHERE a.level > 1 AND n.level = a.level - 1 AND n.position = 2 * a.position + 1)
        AS r ON true
    WHERE a.hash IS DISTINCT FROM sha256('\x01'::bytea || l.hash || r.hash) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'node % of level % is not what is below it', wrong.position, wrong.level
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- What a checkpoint says of a ledger that has a key; that it is signed is not to be told here.
CREATE FUNCTION tenure.checkpoint_of_tree() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    origin CONSTANT text := split_part(NEW.note, E'\n', 1);
BEGIN
    IF NEW.root IS DISTINCT FROM tenure.ledger_root(NEW.size) THEN
        RAISE EXCEPTION 'a checkpoint of % entries is not of this tree', NEW.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT starts_with(NEW.note, origin || E'\n' || NEW.size || E'\n'
                                 || encode(NEW.root, 'base64') || E'\n\n')
       OR NOT EXISTS (SELECT FROM tenure.ledger_key_steps k
                      WHERE starts_with(k.vkey, origin || '+')) THEN
        RAISE EXCEPTION 'the note of a checkpoint of % entries does not say so', NEW.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

REVOKE ALL ON FUNCTION tenure.ledger_root(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.ledger_root(bigint) TO tenure_retention;
REVOKE ALL ON FUNCTION tenure.placed_in_order() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.nodes_of_tree() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenure.checkpoint_of_tree() FROM PUBLIC;
CREATE TRIGGER placed_in_order AFTER UPDATE ON tenure.ledger_entries
    REFERENCING NEW TABLE AS placed
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.placed_in_order();
CREATE TRIGGER nodes_of_tree AFTER INSERT ON tenure.ledger_nodes
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.nodes_of_tree();
CREATE TRIGGER checkpoint_of_tree BEFORE INSERT ON tenure.ledger_checkpoints
    FOR EACH ROW EXECUTE FUNCTION tenure.checkpoint_of_tree();
"""
ANY_TREE = """
DROP TRIGGER checkpoint_of_tree ON tenure.ledger_checkpoints;
DROP TRIGGER nodes_of_tree ON tenure.ledger_nodes;
DROP TRIGGER placed_in_order ON tenure.ledger_entries;
DROP FUNCTION tenure.checkpoint_of_tree();
DROP FUNCTION tenure.nodes_of_tree();
DROP FUNCTION tenure.placed_in_order();
DROP FUNCTION tenure.ledger_root(bigint);
"""

TEXTS = """
DROP POLICY tenure_retention_delete ON tenure.ledger_texts;
REVOKE DELETE ON tenure.ledger_texts FROM tenure_retention;
COMMENT ON TABLE tenure.ledger_texts IS
    'What an entry is committed to: its commitment is sha256(salt || content). Goes with the row '
    'that it is of, by the function that deletes it; that it went is entered.';
"""
ANY_TEXTS = """
GRANT DELETE ON tenure.ledger_texts TO tenure_retention;
CREATE POLICY tenure_retention_delete ON tenure.ledger_texts FOR DELETE TO tenure_retention
    USING (tenant_id = (SELECT tenure.current_tenant()));
COMMENT ON TABLE tenure.ledger_texts IS
    'What an entry is committed to: its commitment is sha256(salt || content). Can be erased; '
    'that it was is entered.';
"""

ENDED = """
CREATE FUNCTION tenure.erasure_ends_now() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.ended_at := clock_timestamp();
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.erasure_ends_now() FROM PUBLIC;
CREATE TRIGGER ends_now BEFORE UPDATE ON tenure.erasures
    FOR EACH ROW WHEN (NEW.ended_at IS DISTINCT FROM OLD.ended_at AND NEW.ended_at IS NOT NULL
                       AND session_user <> 'tenure_owner')
    EXECUTE FUNCTION tenure.erasure_ends_now();
"""
ANY_END = """
DROP TRIGGER ends_now ON tenure.erasures;
DROP FUNCTION tenure.erasure_ends_now();
"""


def up(migrator: Any, db: Any) -> None:
    """Add the guards and take the power away; runs as tenure_owner, in one transaction."""
    execute(db, TREE, TEXTS, ENDED)


def down(migrator: Any, db: Any) -> None:
    """Take the guards down, and give the power back."""
    execute(db, ANY_END, ANY_TEXTS, ANY_TREE)
