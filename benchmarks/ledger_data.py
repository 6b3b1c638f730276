"""Ledgers for benchmarks: a true tree of millions of entries in a database, and a file of them."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from config.settings import Settings
from retention.ledger.checkpoint import Checkpoint, Signer, VerifierKey, sign
from retention.ledger.verifier import RootBuilder, canonical, export_header, leaf_hash

ORIGIN = "ledger.example/benchmark"

# As the triggers and the sequencer would, without a row of evidence behind each; nodes are hashed
# by the server, level by level.
_ENTRIES = """
INSERT INTO tenure.ledger_entries (id, kind, source, body, position, leaf, leaf_hash)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(p), 12, '0'))::uuid, 'run', 'runs',
       '{"record": {}, "commitments": {}}', p, leaf, sha256('\\x00'::bytea || leaf)
FROM generate_series(%(first)s, %(beyond)s - 1) AS p,
     LATERAL (SELECT convert_to('{"number":' || p || '}', 'UTF8')) AS l(leaf)
"""
_LEVEL_1 = """
INSERT INTO tenure.ledger_nodes (level, position, hash)
SELECT 1, a.position / 2, sha256('\\x01'::bytea || a.leaf_hash || b.leaf_hash)
FROM tenure.ledger_entries a JOIN tenure.ledger_entries b ON b.position = a.position + 1
WHERE a.position >= 2 * %(first)s AND a.position < 2 * %(beyond)s AND a.position %% 2 = 0
"""
_LEVEL = """
INSERT INTO tenure.ledger_nodes (level, position, hash)
SELECT %(level)s, a.position / 2, sha256('\\x01'::bytea || a.hash || b.hash)
FROM tenure.ledger_nodes a JOIN tenure.ledger_nodes b
    ON b.level = a.level AND b.position = a.position + 1
WHERE a.level = %(level)s - 1
  AND a.position >= 2 * %(first)s AND a.position < 2 * %(beyond)s AND a.position %% 2 = 0
"""
_BATCHES = """
INSERT INTO tenure.batches
SELECT (jsonb_populate_record(b, jsonb_build_object('id', gen_random_uuid()))).*
FROM tenure.batches b, generate_series(1, %s)
WHERE b.id = (SELECT id FROM tenure.batches LIMIT 1)
"""


def grow(settings: Settings, size: int) -> None:
    """Let the tree have `size` entries; those that wait stay waiting."""
    with closing(psycopg2.connect(settings.database_url or "")) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("SET LOCAL work_mem = '256MB'")
            # By these no proof is read, and they take long to fill.
            cursor.execute("DROP INDEX IF EXISTS tenure.ledger_entries_row")
            cursor.execute("DROP INDEX IF EXISTS tenure.ledger_entries_tenant")
            cursor.execute("SELECT coalesce(max(position) + 1, 0) FROM tenure.ledger_entries")
            ((first,),) = cursor.fetchall()
            cursor.execute(_ENTRIES, {"first": first, "beyond": size})
            for level in range(1, size.bit_length()):
                cursor.execute(
                    _LEVEL if level > 1 else _LEVEL_1,
                    {"level": level, "first": first >> level, "beyond": size >> level},
                )
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE tenure.ledger_entries, tenure.ledger_nodes")


def repeat_a_batch(settings: Settings, times: int) -> None:
    """Record a batch, which some run did, so many times again: entries that wait."""
    with (
        closing(psycopg2.connect(settings.database_url or "")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(_BATCHES, (times,))


@dataclass(frozen=True)
class ExportFile:
    """An export on disk, and the key that signed it."""

    path: Path
    key: VerifierKey
    entries: int
    bytes: int


_TENANT = str(uuid.UUID(int=1))
_RUN = str(uuid.UUID(int=2))


def _leaf(number: int) -> bytes:
    """A batch's, as it enters the ledger."""
    digest = f"{number:064x}"
    return canonical(
        {
            "v": 1,
            "id": str(uuid.UUID(int=number)),
            "kind": "batch",
            "tenant": _TENANT,
            "at": "2026-11-20T12:00:00.123456Z",
            "record": {
                "tenant_id": _TENANT,
                "run_id": _RUN,
                "id": str(uuid.UUID(int=number)),
                "trace_id": digest[:32],
                "span_id": digest[-16:],
                "policy": "notes",
                "policy_version": 3,
                "action": "delete",
                "cutoff": "2023-11-20T12:00:00+00:00",
                "rows_deleted": 1000,
                "counts": {"shop.notes": {"rows": 1000, "sha256": digest}},
                "started_at": "2026-11-20T12:00:00.012345+00:00",
                "recorded_at": "2026-11-20T12:00:00.123456+00:00",
            },
            "commitments": {},
        }
    )


def export_of(folder: Path, entries: int, signer: Signer) -> ExportFile:
    """Write an export of so many batches, each some 600 bytes as they are in a real one."""
    lines, builder = folder / "lines", RootBuilder()
    with lines.open("wb") as stream:
        for number in range(entries):
            leaf = _leaf(number)
            builder.add(leaf_hash(leaf))
            stream.write(leaf + b"\n")
    note = sign(Checkpoint(signer.name, entries, builder.root()), signer)
    path = folder / f"{entries}.jsonl"
    with path.open("wb") as stream, lines.open("rb") as rest:
        stream.write(export_header([(note, [])]))
        while block := rest.read(1 << 20):
            stream.write(block)
    lines.unlink()
    return ExportFile(path, signer.verifier_key, entries, path.stat().st_size)
