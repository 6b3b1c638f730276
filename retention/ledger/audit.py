"""Audits the ledger where it is kept: entries, tree, checkpoints, texts, the rows that fed it, and
the record of what went.

What somebody wrote past the triggers, a superuser for one, contradicts an entry; what they wrote
into the entries contradicts the tree, and the tree a checkpoint that was given out. Whoever changes
all of it, and has the key, is found by what others said of the checkpoints before, or by who holds
an earlier one (`since`). Entries that wait
for their place, and rows of what still waits, are not yet protected by anything.

One snapshot, read only, as a role that reads the evidence of all tenants; in little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retention.errors import LedgerError
from retention.ledger.attesting import Attesters
from retention.ledger.audited_attestations import Attestations, audit_attestations
from retention.ledger.audited_books import audit_books
from retention.ledger.audited_checkpoints import Checkpoints
from retention.ledger.audited_entries import audit_entries
from retention.ledger.audited_guards import audit_guards
from retention.ledger.audited_instants import audit_instants
from retention.ledger.audited_keys import Hashes, audit_keys
from retention.ledger.audited_leftovers import audit_leftovers
from retention.ledger.audited_record import audit_record
from retention.ledger.audited_rows import Compared, Texts, audit_rows, audit_texts
from retention.ledger.audited_tree import audit_tree
from retention.ledger.checkpoint import VerifierKey
from retention.ledger.findings import Finding, Findings
from retention.ledger.keys import key_steps
from retention.ledger.manifest import shipped
from retention.ledger.publishing import Outside
from tenants.connections import RoleConnections

#: No others are asked.
NOBODY = Attesters()

_WAITING = "SELECT count(*) FROM tenure.ledger_entries WHERE position IS NULL"


@dataclass(frozen=True, slots=True)
class LedgerAudit:
    """What was read, and what was found: `counts` of each kind, the first of them in `findings`.

    `size` entries are in order, `waiting` not yet; the last `uncovered` of those in order are under
    no checkpoint. Checkpoints were compared inside and outside of the database, and with them
    `since` (its size), if one was given. `record`: batches in the record of what went outside of
    the database; None where there is no outside. `named`: the keys were not given, and are
    believed because the database names them.
    """

    size: int
    waiting: int
    uncovered: int
    inside: int
    outside: int
    since: int | None
    record: int | None
    attestations: Attestations
    keys: tuple[VerifierKey, ...]
    named: bool
    texts: Texts
    tables: tuple[Compared, ...]
    hashes: Hashes
    findings: tuple[Finding, ...]
    counts: dict[str, int]

    @property
    def found(self) -> int:
        """How many findings there are."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {
            "entries": self.size,
            "waiting": self.waiting,
            "uncovered": self.uncovered,
            "checkpoints": {"database": self.inside, "folder": self.outside},
            "since": self.since,
            "record": self.record,
            "attestations": asdict(self.attestations),
            "keys": [str(key) for key in self.keys],
            "keys_from": "the database" if self.named else "--key",
            "texts": asdict(self.texts),
            "tables": [asdict(each) for each in self.tables],
            "hashes": asdict(self.hashes),
            "found": self.counts,
            "findings": [asdict(each) for each in self.findings],
        }


def audit_ledger(
    reader: RoleConnections,
    outside: Outside | None,
    attesters: Attesters = NOBODY,
    *,
    keys: Sequence[VerifierKey] = (),
    since: tuple[bytes, str] | None = None,
    on_progress: Callable[[int], None] = lambda _read: None,
) -> LedgerAudit:
    """Compare all of the ledger with itself and with what it is about.

    `reader` is tenure_verifier's connections. `keys` are those that are believed, if not the ones
    that the database names; `since` a checkpoint that was given out, and what to call it. What the
    `attesters` said of checkpoints is compared with those.

    Raises:
        LedgerError: what is given outside cannot be read, or `since` is none of this ledger.
    """
    findings = Findings()
    listed = list(outside.folder.notes()) if outside else []
    with reader.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30min'")
        believed = tuple(keys)
        if not believed:
            try:
                believed = tuple(dict.fromkeys(step.key for step in key_steps(cursor)))
            except LedgerError as error:
                findings.add("checkpoint", "tenure.ledger_key_steps", str(error))
        checkpoints = Checkpoints(believed, findings)
        held = checkpoints.held(*since) if since else None
        checkpoints.read(cursor, outside, listed)
        times, attestations = audit_attestations(cursor, believed, attesters, findings)
        size = audit_tree(cursor, checkpoints.claims, times, findings, on_progress)
        texts = audit_texts(cursor, findings)
        ours = shipped()
        audit_guards(cursor, ours, findings)
        audit_entries(cursor, ours.feeds, findings)
        audit_leftovers(cursor, ours, findings)
        audit_instants(cursor, ours.tables, findings)
        compared = [
            audit_rows(cursor, table, findings, redefined=table.name in ours.redefined)
            for table in ours.tables
        ]
        hashes = audit_keys(cursor, findings)
        audit_books(cursor, findings)
        cursor.execute(_WAITING)
        ((waiting,),) = cursor.fetchall()
    covered = max((each for each in checkpoints.claims if each <= size), default=0)
    record = None if outside is None else audit_record(outside, believed, findings)
    return LedgerAudit(
        size=size,
        waiting=waiting,
        uncovered=size - covered,
        inside=checkpoints.inside,
        outside=checkpoints.outside,
        since=held,
        attestations=attestations,
        record=record,
        keys=believed,
        named=not keys,
        texts=texts,
        tables=tuple(each for each in compared if each),
        hashes=hashes,
        findings=tuple(findings.shown),
        counts={check: count for check, count in findings.counts.items() if count},
    )
