"""Audits evidence: rows as they stand now against the last entry of each, texts against what
entries are committed to.

The database compares, and only what differs leaves it: no text about a person does. Entries and
their leaves are for `audited_tree` to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from retention.ledger.fed_tables import FedTable, columns_beside, unreadable
from retention.ledger.findings import SHOWN, Findings, entry_number
from retention.ledger.verifier import MAX_SIZE
from tenants.connections import Cursor

_CHUNK = 40  # columns a call: a function takes 100 arguments

# A text goes with its row, and no row is left that says what its entry is committed to no more; or
# it was forgotten, and its row has the mark of that.
_TEXTS = """
WITH committed AS (
    SELECT e.id, e.position, e.recorded_at, e.source, e.row_key, c.field, c.digest
    FROM tenure.ledger_entries e CROSS JOIN LATERAL jsonb_each_text(
        CASE jsonb_typeof(e.body -> 'commitments') WHEN 'object' THEN e.body -> 'commitments'
             ELSE '{}' END) AS c(field, digest)
), judged AS (
    SELECT c.id, c.position, c.field, CASE
        WHEN t.entry_id IS NOT NULL THEN
            CASE WHEN encode(sha256(t.salt || convert_to(t.content, 'UTF8')), 'hex') = c.digest
                 THEN 'kept' ELSE 'changed' END
        WHEN NOT EXISTS (SELECT FROM tenure.ledger_entries d WHERE d.source = 'ledger_texts'
                         AND d.kind = 'text-deleted' AND d.row_key = c.id || '/' || c.field)
        THEN 'gone'
        WHEN EXISTS (SELECT FROM tenure.ledger_entries d
                     WHERE d.source = c.source AND d.row_key = c.row_key AND d.kind ~ '-deleted$'
                       AND (coalesce(d.position, %(last)s), d.recorded_at)
                           >= (coalesce(c.position, %(last)s), c.recorded_at))
        THEN 'erased'
        WHEN EXISTS (SELECT FROM tenure.forgotten_texts f
                     JOIN tenure.forgettings g ON g.id = f.forgetting_id
                     WHERE f.entry_id = c.id AND f.field = c.field AND g.done_at IS NOT NULL)
        THEN 'forgotten' ELSE 'alone' END AS state
    FROM committed c LEFT JOIN tenure.ledger_texts t ON t.entry_id = c.id AND t.field = c.field
)
"""
_COUNTS = "SELECT state, count(*) FROM judged GROUP BY state"
_TEXT_FINDINGS = """
SELECT id, position, field, state FROM judged WHERE state IN ('changed', 'gone', 'alone')
ORDER BY position, field LIMIT %(shown)s
"""
_TEXT_SAID = {
    "changed": "is not what its entry is committed to",
    "gone": "is gone, and that it was erased was never entered",
    "alone": "was erased, and that its row went was never entered",
}
_TEXT_TOTAL = "SELECT count(*) FROM tenure.ledger_texts"

# `entered`: all entries of the table; k says which row, where that can be told. `last`: of each
# row the last one; what waits for its place comes last. `stands`: the rows as they are.
_ROWS = """
WITH entered AS (
    SELECT e.id, e.kind, e.tenant_id, e.position, e.recorded_at, e.body, {entry_key} AS k
    FROM tenure.ledger_entries e WHERE e.source = {name}
), last AS (
    SELECT DISTINCT ON (k) * FROM entered WHERE k IS NOT NULL
    ORDER BY k, position DESC NULLS FIRST, recorded_at DESC, id DESC
), stands AS (
    SELECT {row_key} AS k, {record} AS record, {texts} AS texts, {must} AS must
    FROM tenure.{table} t{as_new}
), joined AS (
    SELECT k, l.id, l.kind, l.tenant_id, l.position, l.body, s.record, s.texts, s.must
    FROM last l FULL JOIN stands s USING (k)
), judged AS (
    SELECT j.*, CASE
        WHEN j.id IS NULL THEN CASE
            WHEN EXISTS (SELECT FROM entered o WHERE o.k IS NULL AND o.kind !~ '-deleted$'
                         AND o.body -> 'record' = j.record) THEN 'bare'
            WHEN j.must THEN 'new' ELSE 'apart' END
        WHEN j.kind ~ '-deleted$' THEN CASE WHEN j.record IS NULL THEN 'same' ELSE 'back' END
        WHEN j.record IS NULL THEN 'gone'
        WHEN {differs} THEN 'changed'
        ELSE 'same' END AS state
    FROM joined j
)
"""
_ROW_FINDINGS = """
SELECT j.position, j.state, {shown_key},
    coalesce((SELECT string_agg(coalesce(a.key, b.key), ', ' ORDER BY coalesce(a.key, b.key))
              FROM jsonb_each(j.body -> 'record') a FULL JOIN jsonb_each(j.record) b USING (key)
              WHERE a.value IS DISTINCT FROM b.value), 'its texts')
FROM judged j WHERE j.state = ANY(%s) ORDER BY j.position, j.k LIMIT %s
"""
_RECORD_DIFFERS = "j.body -> 'record' IS DISTINCT FROM j.record"
# Of entries that were made of other columns, those that both have are compared.
_COMMON_DIFFERS = """
(j.body -> 'record' IS DISTINCT FROM j.record
 AND EXISTS (SELECT FROM jsonb_each(j.body -> 'record') a JOIN jsonb_each(j.record) b USING (key)
             WHERE a.value IS DISTINCT FROM b.value))
"""
# A text of which the row has what its entry lost was not erased, but can say anything by now;
# unless all that it says is which forgetting it fell to.
_TEXT_DIFFERS = """
EXISTS (SELECT FROM jsonb_each_text(j.texts) AS x(field, content)
        LEFT JOIN tenure.ledger_texts kept ON kept.entry_id = j.id AND kept.field = x.field
        WHERE CASE
            WHEN x.content IS NULL THEN kept.entry_id IS NOT NULL
            WHEN (j.body -> 'commitments' ->> x.field) IS NULL THEN {complete}
            WHEN kept.entry_id IS NULL THEN NOT EXISTS (
                SELECT FROM tenure.forgotten_texts f
                JOIN tenure.forgettings g ON g.id = f.forgetting_id
                WHERE f.entry_id = j.id AND f.field = x.field
                  AND tenure.forgotten_mark(g.id, g.done_at) = x.content)
            ELSE encode(sha256(kept.salt || convert_to(x.content, 'UTF8')), 'hex')
                 <> (j.body -> 'commitments' ->> x.field) END)
"""
_SAID = {
    "gone": "was entered, and is gone",
    "new": "was never entered",
    "back": "was deleted, and is there",
    "bare": "is there, and texts by which its entry is found were erased",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """How many rows of a table stand as entered; `apart` need not be entered. `without`: columns
    that enter, and are not for this role; `beside`: those that do not enter, and may change
    unseen."""

    table: str
    same: int
    apart: int
    without: tuple[str, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """How many texts are what entries are committed to, how many went with their rows, and how
    many were forgotten, on record (`retention.ledger.forgetting`)."""

    kept: int
    erased: int
    forgotten: int = 0


def audit_texts(cursor: Cursor, findings: Findings) -> Texts:
    """Compare texts with the commitments to them."""
    params = {"last": MAX_SIZE, "shown": SHOWN}
    cursor.execute(_TEXTS + _COUNTS, params)
    counts: dict[str, int] = dict(cursor.fetchall())
    wrong = sum(counts.get(state, 0) for state in _TEXT_SAID)
    if wrong:
        cursor.execute(_TEXTS + _TEXT_FINDINGS, params)
        rows = cursor.fetchall()
        for entry, position, field, state in rows:
            subject = f"{field} of entry {entry_number(position)} ({entry})"
            findings.add("text", subject, _TEXT_SAID[state])
        findings.counts["text"] += wrong - len(rows)
    cursor.execute(_TEXT_TOTAL)
    ((total,),) = cursor.fetchall()
    stray = total - counts.get("kept", 0) - counts.get("changed", 0)
    if stray:
        findings.add(
            "text", "tenure.ledger_texts", f"{stray} texts belong to no entry", count=stray
        )
    return Texts(counts.get("kept", 0), counts.get("erased", 0), counts.get("forgotten", 0))


def audit_rows(
    cursor: Cursor, table: FedTable, findings: Findings, *, redefined: bool = False
) -> Compared | None:
    """Compare a table's rows with the last entry of each; None where nothing of it is compared:
    it is fed by what happens to its rows later, or cannot be read. `redefined`: older entries may
    have been made of other columns."""
    if "INSERT" not in table.events:
        return None
    missing = unreadable(cursor, table.compared)
    if missing:
        columns = ", ".join(f"tenure.{name}.{column}" for name, column in missing)
        findings.add("row", f"tenure.{table.name}", f"cannot be compared: {columns} cannot be read")
        return None
    without = [c for _, c in unreadable(cursor, [(table.name, c) for c in table.committed])]
    judged = _judged(table, [c for c in table.committed if c not in without], redefined)
    cursor.execute(judged + sql.SQL(_COUNTS))
    counts: dict[str, int] = dict(cursor.fetchall())
    states = [state for state in (*_SAID, "changed") if counts.get(state)]
    if states:
        key = sql.SQL("j.k" if table.named else "NULL")
        cursor.execute(judged + sql.SQL(_ROW_FINDINGS).format(shown_key=key), (states, SHOWN))
        rows = cursor.fetchall()
        for position, state, row, differing in rows:
            said = _SAID.get(state, f"differs from what was entered last, in {differing}")
            last = f" (entry {entry_number(position)})" if state not in ("new", "bare") else ""
            findings.add("row", f"tenure.{table.name} {row or 'a row'}{last}", said)
        findings.counts["row"] += sum(counts[state] for state in states) - len(rows)
    return Compared(
        table.name,
        counts.get("same", 0),
        counts.get("apart", 0),
        tuple(without),
        columns_beside(cursor, table),
    )


def _judged(table: FedTable, texts: list[str], redefined: bool) -> sql.Composed:
    record = [(column, _json(column)) for column in table.plain]
    record += [(f"{column}_sha256", _digest(_text(column))) for column in table.digested]
    for label, child in table.children.items():
        lines = _lines(child)
        record += [(f"{label}_count", _count(lines)), (f"{label}_sha256", _digest_of(lines))]
    differs: list[sql.Composable] = [sql.SQL(_COMMON_DIFFERS if redefined else _RECORD_DIFFERS)]
    if texts:
        complete = sql.SQL("false" if redefined else "true")
        differs.append(sql.SQL(_TEXT_DIFFERS).format(complete=complete))
    return sql.SQL(_ROWS).format(
        entry_key=sql.SQL("e.row_key") if table.named else _entry_key(table),
        name=sql.Literal(table.name),
        table=sql.Identifier(table.name),
        row_key=sql.SQL('({}) COLLATE "C"').format(
            sql.SQL(" || '/' || ").join(map(_text, table.keys))
        ),
        record=_object(record),
        must=sql.SQL("coalesce(({}), true)").format(sql.SQL(table.condition or "true")),
        # A condition is on NEW; all columns are read for it, and for it alone.
        as_new=sql.SQL(" CROSS JOIN LATERAL (SELECT t.*) AS new" if table.condition else ""),
        texts=_object([(column, _text(column)) for column in texts]),
        differs=sql.SQL(" OR ").join(differs),
    )


def _entry_key(table: FedTable) -> sql.Composable:
    """Which row an entry is of, from its record and its texts; NULL where one was erased."""
    parts = [
        sql.SQL(
            "(SELECT x.content FROM tenure.ledger_texts x WHERE x.entry_id = e.id AND x.field = {})"
            if column in table.committed
            else "(e.body -> 'record' ->> {})"
        ).format(sql.Literal(column))
        for column in table.keys
    ]
    return sql.SQL('({}) COLLATE "C"').format(sql.SQL(" || '/' || ").join(parts))


def _json(column: str) -> sql.Composable:
    return sql.SQL("to_jsonb({})").format(sql.Identifier("t", column))


def _text(column: str) -> sql.Composable:
    """A value's text, as an entry has it."""
    return sql.SQL("({} #>> '{{}}')").format(_json(column))


def _digest(text: sql.Composable) -> sql.Composable:
    return sql.SQL("encode(sha256(convert_to({}, 'UTF8')), 'hex')").format(text)


def _lines(child: dict[str, object]) -> sql.Composed:
    """The rows of a child table that belong to the row, each as a line."""
    of, columns, digested = child["by"], child["columns"], child.get("digested", ())
    assert isinstance(of, dict)  # noqa: S101 - as `ledger_statement` wrote it
    assert isinstance(columns, list)  # noqa: S101
    assert isinstance(digested, Sequence)  # noqa: S101
    return sql.SQL(
        "(SELECT jsonb_build_array({columns})::text AS line FROM tenure.{table} c WHERE {of}) r"
    ).format(
        columns=sql.SQL(", ").join(
            sql.SQL("encode(sha256({}), 'hex')" if column in digested else "{}").format(
                sql.Identifier("c", column)
            )
            for column in columns
        ),
        table=sql.Identifier(str(child["table"])),
        of=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("c", own), sql.Identifier("t", theirs))
            for own, theirs in of.items()
        ),
    )


def _count(lines: sql.Composable) -> sql.Composable:
    return sql.SQL("(SELECT count(*) FROM {})").format(lines)


def _digest_of(lines: sql.Composable) -> sql.Composable:
    joined = _digest(sql.SQL("coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\"), '')"))
    return sql.SQL("(SELECT {} FROM {})").format(joined, lines)


def _object(pairs: list[tuple[str, sql.Composable]]) -> sql.Composable:
    parts = [
        sql.SQL("jsonb_build_object({})").format(
            sql.SQL(", ").join(part for name, value in chunk for part in (sql.Literal(name), value))
        )
        for chunk in (pairs[at : at + _CHUNK] for at in range(0, len(pairs), _CHUNK))
    ]
    return sql.SQL(" || ").join(parts) if parts else sql.SQL("'{}'::jsonb")
