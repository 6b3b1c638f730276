"""The ledger's keys: the private one in a file outside of the database, the public ones in it.

The file has one line, as Go's `sumdb/note` writes signers: `PRIVATE+KEY+name+key id+base64`. It is
read anew for each checkpoint, so that whoever has it replaced need not restart anything. Which
key signs, and since when, is in `tenure.ledger_key_steps`, and by that in the ledger itself.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.errors import LedgerError
from retention.ledger.checkpoint import LOG_SIGNATURE, NoteError, Signer, VerifierKey
from retention.ledger.verifier import decode_base64
from tenants.connections import Cursor
from tenants.models import new_id

_PREFIX = "PRIVATE+KEY+"

StepName = Literal["installed", "rotated"]


@dataclass(frozen=True, slots=True)
class KeyStep:
    """Since a step, `key` signs; `previous` is the one whose place it took."""

    step: StepName
    key: VerifierKey
    previous: VerifierKey | None
    actor: str
    taken_at: str


def create_key(path: Path, name: str, kind: int = LOG_SIGNATURE) -> Signer:
    """Make a key that signs as `name`, in a new file of mode 0600; of a ledger, or a witness's
    (COSIGNATURE).

    Raises:
        LedgerError: the file is there already, or cannot be written; the name is none.
    """
    signer = Signer(name, Ed25519PrivateKey.generate(), kind)
    try:
        line = f"{_PREFIX}{_rest(signer)}\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except NoteError as error:
        raise LedgerError(str(error)) from None
    except FileExistsError:
        raise LedgerError(f"{path} is there already: a key is never written over") from None
    except OSError as error:
        raise LedgerError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)
    return signer


def read_key(path: Path, name: str | None, kind: int = LOG_SIGNATURE) -> Signer:
    """Return the key in a file; `name` is whom it must sign as, unless that is for the file to say.

    Raises:
        LedgerError: there is none, others may read it, it is damaged, or another's. The error
            says nothing of the key.
    """
    try:
        with path.open() as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            line = stream.read(10_000)
    except FileNotFoundError:
        made = (
            "tenure ledger keys new" if kind == LOG_SIGNATURE else "tenure ledger witness new-key"
        )
        raise LedgerError(f"there is no key in {path}: `{made}` makes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"cannot read {path} ({type(error).__name__})") from None
    if mode & 0o077:
        raise LedgerError(f"others may read {path} (mode {mode:04o}): `chmod 600` it")
    signer = None
    with suppress(NoteError, ValueError):
        signer = _parse(line)
    if signer is None or signer.kind != kind:
        raise LedgerError(f"{path} holds no key of this kind, or a damaged one")
    if name not in {None, signer.name}:
        raise LedgerError(f"the key in {path} signs as {signer.name!r}, and not as {name!r}")
    return signer


def replace_key(path: Path, following: Path) -> None:
    """Put the key of one file into the place of another."""
    following.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rest(signer: Signer) -> str:
    material = base64.b64encode(bytes([signer.kind]) + signer.private.private_bytes_raw())
    return f"{signer.name}+{signer.verifier_key.key_id.hex()}+{material.decode()}"


def _parse(line: str) -> Signer | None:
    if not line.startswith(_PREFIX) or not line.endswith("\n"):
        return None
    name, _, rest = line.removeprefix(_PREFIX)[:-1].partition("+")
    _, _, encoded = rest.partition("+")
    material = decode_base64(encoded)
    if len(material) != 33:
        return None
    signer = Signer(name, Ed25519PrivateKey.from_private_bytes(material[1:]), material[0])
    # With the key id that belongs to it, or not at all.
    return signer if _rest(signer) == line.removeprefix(_PREFIX)[:-1] else None


# --- In the database


def key_steps(cursor: Cursor) -> list[KeyStep]:
    """Return all steps, the oldest first.

    Raises:
        LedgerError: what is recorded is no key.
    """
    cursor.execute(
        "SELECT step, vkey, previous_vkey, actor, taken_at::text FROM tenure.ledger_key_steps"
        " ORDER BY taken_at, id"
    )
    try:
        return [
            KeyStep(
                step,
                VerifierKey.parse(vkey),
                VerifierKey.parse(previous) if previous else None,
                actor,
                taken_at,
            )
            for step, vkey, previous, actor, taken_at in cursor.fetchall()
        ]
    except NoteError as error:
        raise LedgerError(f"tenure.ledger_key_steps: {error}") from error


def keys_of(steps: Iterable[KeyStep], origin: str) -> list[VerifierKey]:
    """Return the keys that have signed, or sign, for a ledger."""
    return list(dict.fromkeys(step.key for step in steps if step.key.name == origin))


def record_step(
    cursor: Cursor, step: StepName, key: VerifierKey, previous: VerifierKey | None, *, actor: str
) -> None:
    """Record since when a key signs; the record enters the ledger with the transaction."""
    cursor.execute(
        "INSERT INTO tenure.ledger_key_steps (id, step, vkey, previous_vkey, actor)"
        " VALUES (%s, %s, %s, %s, %s)",
        (new_id(), step, str(key), str(previous) if previous else None, actor),
    )
