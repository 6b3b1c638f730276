"""Audits what feeds and guards the ledger, against the release's manifest: feeds, triggers,
functions and columns' defaults of the schema tenure; and whether anything keeps rows from being
seen.

What the database says of itself is compared, and never believed. Who can replace the server's own
functions, or the server, is beyond this.
"""

from __future__ import annotations

from collections.abc import Iterator

from retention.ledger.findings import Findings
from retention.ledger.manifest import Manifest
from tenants.connections import Cursor

# Those of foreign keys among them.
_OFF = """
SELECT c.relname, CASE WHEN t.tgisinternal THEN 'of a foreign key' ELSE t.tgname END
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'tenure'::regnamespace AND t.tgenabled NOT IN ('O', 'A')
GROUP BY 1, 2 ORDER BY 1, 2
"""
_RULES = """
SELECT c.relname, r.rulename FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
WHERE c.relnamespace = 'tenure'::regnamespace ORDER BY 1, 2
"""
# Of what the auditing role may read, every row is there to be seen.
_HIDING = """
SELECT c.relname, coalesce(string_agg(p.name, ', ' ORDER BY p.name)
                           FILTER (WHERE NOT (p.adds AND p.shows)), 'there is none')
FROM pg_catalog.pg_class c
LEFT JOIN (SELECT polname AS name, polrelid AS of, polpermissive AS adds,
                  coalesce(pg_get_expr(polqual, polrelid) = 'true', false) AS shows
           FROM pg_catalog.pg_policy
           WHERE polcmd IN ('r', '*') AND EXISTS (
               SELECT FROM unnest(polroles) AS r(id)
               WHERE r.id = 0 OR pg_has_role(current_user, r.id, 'USAGE'))) AS p ON p.of = c.oid
WHERE c.relnamespace = 'tenure'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
  AND has_any_column_privilege(c.oid, 'SELECT')
GROUP BY c.relname HAVING NOT coalesce(bool_and(p.adds) AND bool_or(p.shows), false)
ORDER BY c.relname
"""


def audit_guards(cursor: Cursor, ours: Manifest, findings: Findings) -> None:
    """Compare with `ours`, the release's. Sets the transaction's search_path."""
    found = Manifest.of(cursor)
    for table, detail in (
        *_feeds(ours, found),
        *_triggers(ours, found),
        *_defaults(ours, found),
        *_off(cursor),
        *_hidden(cursor),
    ):
        findings.add("trigger", f"tenure.{table}", detail)
    for signature, detail in _functions(ours, found):
        findings.add("trigger", signature, detail)


def _feeds(ours: Manifest, found: Manifest) -> Iterator[tuple[str, str]]:
    """One that was fed otherwise for a while has definitions that the release has not."""
    lasts = {feed.name: feed for feed in found.feeds}
    for feed in ours.tables:
        if lasts.get(feed.name) != feed:
            yield feed.name, "does not feed the ledger as this release has it"
    for feed in found.feeds:
        if feed not in ours.feeds:
            yield feed.name, "has fed the ledger otherwise than any release did"


def _triggers(ours: Manifest, found: Manifest) -> Iterator[tuple[str, str]]:
    for (table, name), definition in ours.triggers.items():
        there = found.triggers.get((table, name))
        if there != definition:
            yield table, f"its trigger {name} is " + ("another one" if there else "gone")
    for table, name in found.triggers:
        if (table, name) not in ours.triggers:
            yield table, f"it has a trigger {name}, which this release has not"


def _defaults(ours: Manifest, found: Manifest) -> Iterator[tuple[str, str]]:
    for table, column in sorted({*ours.defaults, *found.defaults}):
        there = found.defaults.get((table, column))
        if there != ours.defaults.get((table, column)):
            said = "none" if there is None else there
            yield table, f"the default of its column {column} is not the release's, but {said}"


def _functions(ours: Manifest, found: Manifest) -> Iterator[tuple[str, str]]:
    for signature, digest in ours.functions.items():
        there = found.functions.get(signature)
        if there != digest:
            yield signature, "it is another function" if there else "this function is gone"
    for signature in found.functions:
        if signature not in ours.functions:
            yield signature, "a function that this release has not"


def _off(cursor: Cursor) -> Iterator[tuple[str, str]]:
    cursor.execute(_OFF)
    for table, name in cursor.fetchall():
        yield table, f"its trigger {name} is off"


def _hidden(cursor: Cursor) -> Iterator[tuple[str, str]]:
    cursor.execute(_RULES)
    for table, rule in cursor.fetchall():
        yield table, f"it has a rule {rule}, which this release has not"
    cursor.execute(_HIDING)
    for table, policies in cursor.fetchall():
        yield table, f"its policies hide rows from this audit: {policies}"
