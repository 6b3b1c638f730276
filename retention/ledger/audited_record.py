"""Audits the record of what went, beside the checkpoints: whole, signed, and as far as those."""

from __future__ import annotations

from collections.abc import Sequence

from retention.errors import LedgerError
from retention.ledger.checkpoint import NoteError, SignedCheckpoint, VerifierKey
from retention.ledger.findings import Findings
from retention.ledger.gone_head import signed_lines
from retention.ledger.publishing import Outside


def audit_record(outside: Outside, keys: Sequence[VerifierKey], findings: Findings) -> int:
    """Read all of the record; return how many batches are in it."""
    batches = 0
    try:
        with outside.gone.still():
            given_out = _last(outside, keys)
            for line in signed_lines(outside.gone, keys, given_out):
                batches += line.is_batch
    except LedgerError as error:
        findings.add("record", str(outside.gone.path), str(error))
    return batches


def _last(outside: Outside, keys: Sequence[VerifierKey]) -> tuple[SignedCheckpoint, ...]:
    note = outside.folder.last()
    try:
        return () if note is None else (SignedCheckpoint.verify(note, keys),)
    except NoteError:
        return ()  # a finding of those who look at checkpoints
