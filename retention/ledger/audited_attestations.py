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
WHERE (a.kind, a.name) IN (('timestamp', %(authority)s), ('cosignature', %(witness)s))
ORDER BY size, a.kind
"""
_LAST = """
SELECT max(size) FROM (SELECT DISTINCT size FROM tenure.ledger_attestations
                       WHERE size > %(after)s ORDER BY size LIMIT %(most)s) AS s
"""


def audit_attestations(
    cursor: Cursor, keys: Sequence[VerifierKey], attesters: Attesters, findings: Findings
) -> Times:
    """Compare each with its checkpoint; return when what was seen, by those who verify."""
    authority, witness = attesters.authority, attesters.witness
    if not keys or (authority is None and witness is None):
        return Times(())
    trust = Trust(
        tuple(keys),
        (witness.key,) if witness else (),
        (authority.certificate,) if authority else (),
    )
    names = {
        "authority": authority.certificate.subject.rfc4514_string() if authority else None,
        "witness": witness.key.name if witness else None,
    }
    found = (_verified(each, trust, findings) for each in _kept(cursor, names))
    return Times([each for each in found if each])


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


def _kept(cursor: Cursor, names: dict[str, str | None]) -> Iterator[_Said]:
    after = 0
    while True:
        block = {"after": after, "most": _BLOCK}
        cursor.execute(_LAST, block)
        ((last,),) = cursor.fetchall()
        if last is None:
            return
        cursor.execute(_KEPT, block | names)
        for (size, note), rows in groupby(cursor.fetchall(), key=lambda row: row[:2]):
            said = [(kind, bytes(content)) for _, _, kind, content in rows]
            yield _Said(
                size,
                note.encode(),
                [content for kind, content in said if kind == "timestamp"],
                [content for kind, content in said if kind == "cosignature"],
            )
        after = last
