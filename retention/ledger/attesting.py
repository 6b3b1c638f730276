"""Has others say of the last checkpoint given out that they saw it: an authority when, a witness
that it continues what it saw before.

Only the last one is shown to them, and soon after it was given out. What one says is kept beside
the checkpoint (`tenure.ledger_attestations`) and goes along in exports and certificates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg2

from retention.errors import AttestationError
from retention.ledger.checkpoint import Checkpoint, Note, VerifierKey
from retention.ledger.cosigning import ConsistencyPath, RemoteWitness
from retention.ledger.timestamps import Authority
from tenants.connections import Cursor, RoleConnections
from tenants.models import new_id

_LAST = """
SELECT c.size, c.note,
    coalesce((SELECT array_agg(a.kind || ' ' || a.name) FROM tenure.ledger_attestations a
              WHERE a.size = c.size), '{}'),
    coalesce((SELECT max(a.size) FROM tenure.ledger_attestations a
              WHERE a.kind = 'cosignature' AND a.name = %(witness)s), 0)
FROM tenure.ledger_checkpoints c WHERE c.exported_at IS NOT NULL ORDER BY c.size DESC LIMIT 1
"""
_KEEP = """
INSERT INTO tenure.ledger_attestations (id, size, kind, name, content)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (size, kind, name) DO NOTHING
"""


@dataclass(frozen=True)
class Attesters:
    """Who is asked: one of them, or both."""

    authority: Authority | None = None
    witness: RemoteWitness | None = None


@dataclass(frozen=True)
class _Last:
    size: int
    note: bytes
    there: frozenset[str]
    seen: int  # the largest checkpoint that the witness is known to have cosigned


def attest(
    retention: RoleConnections,
    attesters: Attesters,
    keys: Callable[[Cursor, str], Sequence[VerifierKey]],
    consistency: Callable[[Cursor, int, int], Sequence[bytes]],
) -> tuple[str, ...]:
    """Ask whoever has not attested the last checkpoint given out; return why one could not.

    `keys` are those of the ledger of a name, `consistency` the proof from one size to another.
    Nothing is open in the database while somebody outside is asked.
    """
    witness, authority = attesters.witness, attesters.authority
    with retention.transaction(None, read_only=True) as cursor:
        last = _last(cursor, witness.key.name if witness else "")
        if last is None:
            return ()
        checkpoint = Checkpoint.parse(Note.parse(last.note).text)
        known = keys(cursor, checkpoint.origin)

    def path(old: int, new: int) -> Sequence[bytes]:
        with retention.transaction(None, read_only=True) as cursor:
            return consistency(cursor, old, new)

    problems = []
    if authority is not None:
        name = authority.certificate.subject.rfc4514_string()
        problems += _kept(
            retention, last, "timestamp", name, lambda: authority.stamp(checkpoint.text)
        )
    if witness is not None:
        problems += _kept(
            retention,
            last,
            "cosignature",
            witness.key.name,
            lambda: _cosigned(witness, last, known, path),
        )
    return tuple(problems)


def _last(cursor: Cursor, witness: str) -> _Last | None:
    cursor.execute(_LAST, {"witness": witness})
    row = cursor.fetchone()
    if row is None:
        return None
    size, note, there, seen = row
    return _Last(size, note.encode(), frozenset(there), seen)


def _cosigned(
    witness: RemoteWitness, last: _Last, keys: Sequence[VerifierKey], path: ConsistencyPath
) -> bytes:
    return str(witness.cosign(last.note, keys, last.seen, path)).encode()


def _kept(
    retention: RoleConnections, last: _Last, kind: str, name: str, ask: Callable[[], bytes]
) -> list[str]:
    """Ask, unless it was asked before, and keep the answer; return why there is none."""
    if f"{kind} {name}" in last.there:
        return []
    try:
        content = ask()
    except AttestationError as error:
        return [f"no {kind} of the checkpoint of {last.size} by {name}: {error}"]
    with retention.transaction(None) as cursor:
        cursor.execute(_KEEP, (new_id(), last.size, kind, name, psycopg2.Binary(content)))
    return []
