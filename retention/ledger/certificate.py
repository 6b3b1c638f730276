"""Certificates of deletion: what was done, to which rows, under which rule, and the proof of it.

A certificate states what its entries in the ledger say, and nothing else (`verifier.statement_of`
draws it from them), and that it was issued is an entry as well, with the digest of all that it
states: so that nothing of it can be changed, and nothing left out, by whoever has it.

Asked for again while nothing has changed, it is the same certificate, under a later checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from config.release import release
from retention.errors import LedgerError, UnsignedError
from retention.ledger import verifier
from retention.ledger.certificate_evidence import Gathered, Subject, gather, own_entry
from retention.ledger.proofs import Membership, attested_note, last_note, verifier_keys
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Certificate, Shown, Trust, VerifierError
from tenants.connections import Cursor, RoleConnections
from tenants.models import new_id

_TRIES = 5

_FIND = "SELECT id::text FROM tenure.certificates WHERE statement_sha256 = %s"
_ISSUE = """
INSERT INTO tenure.certificates
    (id, kind, subject_id, tenant_id, statement_sha256, backups_kept_days, release, issued_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Issued:
    """A certificate as it is given out (`content`, JSON), and what it holds."""

    content: bytes
    certificate: Certificate


@dataclass(frozen=True)
class Issuer:
    """Who issues: the ledger, who reads it (`auditor`, tenure_auditor), on whose behalf, and how
    many days backups are kept, as the operator declares."""

    ledger: Ledger
    auditor: RoleConnections
    actor: str
    backups_kept_days: int | None = None

    def issue(self, subject: Subject) -> Issued:
        """Return the certificate of a subject, issued now unless it was before.

        Raises:
            LedgerError: nothing is signed here, or the entries do not bear a certificate out.
        """
        for _ in range(_TRIES):
            if self.ledger.publish(wait=True).size is None:
                raise LedgerError(
                    "a certificate needs a ledger that is signed: set ledger_origin, "
                    "ledger_key_file and ledger_dir"
                )
            try:
                with self.auditor.transaction(
                    None, isolation="REPEATABLE READ", read_only=True
                ) as cursor:
                    found = _found(cursor, subject, self.backups_kept_days)
            except UnsignedError:  # entered meanwhile
                continue
            if isinstance(found, Issued):
                return found
            self._enter(subject, found)
        raise LedgerError("what the certificate is about keeps changing; ask again later")

    def _enter(self, subject: Subject, digest: str) -> None:
        with self.ledger.retention.transaction(None) as cursor:
            cursor.execute(
                _ISSUE,
                (
                    new_id(),
                    subject.kind,
                    subject.id,
                    subject.tenant,
                    digest,
                    self.backups_kept_days,
                    release(),
                    self.actor,
                ),
            )


def issued_before(
    cursor: Cursor,
    subject: Subject,
    backups_kept_days: int | None = None,
    *,
    for_tenant: bool = False,
) -> Issued | None:
    """Return the certificate of a subject that was issued, under the last checkpoint given out;
    None where none was, as things are now. `for_tenant`: of an offboarding, as tenure_app in the
    tenant's context.

    Raises:
        LedgerError: the entries do not bear it out.
    """
    try:
        found = _found(cursor, subject, backups_kept_days, for_tenant=for_tenant)
    except UnsignedError:
        return None
    return found if isinstance(found, Issued) else None


def _found(
    cursor: Cursor,
    subject: Subject,
    backups_kept_days: int | None,
    *,
    for_tenant: bool = False,
) -> Issued | str:
    """Return the certificate, or, where it was not issued yet, the digest of its statement."""
    gathered = gather(cursor, subject, for_tenant=for_tenant)
    digest = verifier.digest_of_body(_body(subject, backups_kept_days, gathered))
    cursor.execute(_FIND, (digest,))
    row = cursor.fetchone()
    if row is None:
        return digest
    own = own_entry(cursor, UUID(row[0]), for_tenant=for_tenant)
    return _issued(cursor, [*gathered, own])


def _body(
    subject: Subject, backups_kept_days: int | None, gathered: Sequence[Gathered]
) -> dict[str, object]:
    try:
        shown = [_shown(each) for each in gathered]
        tenant = None if subject.tenant is None else str(subject.tenant)
        return verifier.body_of(subject.kind, str(subject.id), tenant, backups_kept_days, shown)
    except VerifierError as error:
        raise LedgerError(f"the ledger does not bear a certificate out: {error}") from error


def _shown(gathered: Gathered) -> Shown:
    entry, opened = gathered
    return Shown.open(entry.index or 0, entry.leaf or b"", opened)


def _issued(cursor: Cursor, gathered: list[Gathered]) -> Issued:
    """Return the certificate over these entries, checked as a stranger would check it."""
    note, timestamps = attested_note(cursor, last_note(cursor) or b"")
    gathered.sort(key=lambda pair: pair[0].index or 0)
    try:
        checkpoint = verifier.Checkpoint.parse(verifier.Note.parse(note).text)
        statement = verifier.statement_of([_shown(each) for each in gathered], checkpoint)
        content = verifier.sealed(
            {
                "format": verifier.CERTIFICATE_FORMAT,
                "certificate": statement["issued"]["id"],
                "statement": statement,
                "checkpoint": {
                    "note": note.decode(),
                    "timestamps": [verifier.encode_base64(each) for each in timestamps],
                },
                "evidence": [
                    {"proof": _proof(entry, note), **opened.to_json()} for entry, opened in gathered
                ],
            }
        )
        trust = Trust(tuple(verifier_keys(cursor, checkpoint.origin)))
        return Issued(content + b"\n", verifier.verify_certificate(content + b"\n", trust))
    except VerifierError as error:
        raise LedgerError(f"the ledger does not bear a certificate out: {error}") from error


def _proof(entry: Membership, note: bytes) -> str:
    if entry.proof is None:
        raise UnsignedError("an entry is under no checkpoint yet")
    return str(verifier.Proof(entry.proof.index, entry.proof.path, note, entry.leaf))
