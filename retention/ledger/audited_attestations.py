"""Audits what others said of checkpoints: that it is of the checkpoints there are, and that no
entry says of its time what contradicts when they saw it.

A ledger that was written anew, and signed again, has not been seen by who saw the old one: with
their word kept beside it, that shows without anybody who holds an earlier checkpoint. Who takes
their word away as well is found only by those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from retention.ledger.attesting import Attesters
from retention.ledger.checkpoint import Note, VerifierKey
from retention.ledger.findings import Findings
from retention.ledger.verifier import Attested, Times, Trust, VerifierError
from tenants.connections import Cursor

_BLOCK = 1000
# What was said in the name of those who are asked now; of others there is nothing to verify with.
_KEPT = """
SELECT size, c.note, a.kind, a.content
FROM (SELECT DISTINCT size FROM tenure.ledger_attestations
      WHERE size > %(after)s ORDER BY size LIMIT %(most)s) AS s
JOIN tenure.ledger_checkpoints c USING (size) JOIN tenure.ledger_attestations a USING (size)
WHERE (a.kind, a.name) IN (SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[]))
ORDER BY size, a.kind
"""
_OTHERS = """
SELECT kind, name, count(*) FROM tenure.ledger_attestations
WHERE (kind, name) NOT IN (SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[]))
GROUP BY kind, name ORDER BY kind, name
"""
_LAST = """
SELECT max(size) FROM (SELECT DISTINCT size FROM tenure.ledger_attestations
                       WHERE size > %(after)s ORDER BY size LIMIT %(most)s) AS s
"""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What somebody said whom the settings do not name, so that nothing verifies it."""

    kind: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Attestations:
    """How many timestamps and cosignatures verify, and which were not looked at."""

    verified: int
    unchecked: tuple[Unchecked, ...]


def audit_attestations(
    cursor: Cursor, keys: Sequence[VerifierKey], attesters: Attesters, findings: Findings
) -> tuple[Times, Attestations]:
    """Compare each with its checkpoint; return when what was seen, by those who verify, and how
    many there are."""
    # Whom nothing verifies is not believed.
    authority, witness = (attesters.authority, attesters.witness) if keys else (None, None)
    asked = {}
    if authority is not None:
        asked["timestamp"] = authority.certificate.subject.rfc4514_string()
    if witness is not None:
        asked["cosignature"] = witness.key.name
    named = {"kinds": list(asked), "names": list(asked.values())}
    cursor.execute(_OTHERS, named)
    unchecked = tuple(Unchecked(*row) for row in cursor.fetchall())
    if not asked:
        return Times(()), Attestations(0, unchecked)
    trust = Trust(
        tuple(keys),
        (witness.key,) if witness else (),
        (authority.certificate,) if authority else (),
    )
    found = [_verified(each, trust, findings) for each in _kept(cursor, named)]
    seen = [each for each in found if each]
    verified = sum(len(each.stamped) + len(each.cosigned) for each in seen)
    return Times(seen), Attestations(verified, unchecked)


@dataclass(frozen=True, slots=True)
class _Said:
    """A checkpoint with its timestamps and the lines of its cosignatures."""

    size: int
    note: bytes
    timestamps: list[bytes]
    lines: list[bytes]


def _verified(said: _Said, trust: Trust, findings: Findings) -> Attested | None:
    subject = f"{said.size} entries"
    try:
        whole = str(Note.parse(b"".join((said.note, *said.lines)))).encode()
        found = Attested.verify(whole, said.timestamps, trust)
    except VerifierError as error:
        findings.add("attestation", subject, f"it, or what a witness said of it, is none: {error}")
        return None
    if said.lines and not found.cosigned:
        findings.add("attestation", subject, "a cosignature is not the witness's")
    for why in found.failed:
        findings.add("attestation", subject, f"a timestamp is of something else: {why}")
    return found


def _kept(cursor: Cursor, named: dict[str, list[str]]) -> Iterator[_Said]:
    after = 0
    while True:
        block: dict[str, object] = {"after": after, "most": _BLOCK}
        cursor.execute(_LAST, block)
        ((last,),) = cursor.fetchall()
        if last is None:
            return
        cursor.execute(_KEPT, block | named)
        for (size, note), rows in groupby(cursor.fetchall(), key=lambda row: row[:2]):
            said = [(kind, bytes(content)) for _, _, kind, content in rows]
            yield _Said(
                size,
                note.encode(),
                [content for kind, content in said if kind == "timestamp"],
                [content for kind, content in said if kind == "cosignature"],
            )
        after = last
