"""Signs checkpoints and gives them out: what is committed is signed, exported, marked as exported.

Invariant: no checkpoint is signed that contradicts one given out before. Two signed checkpoints of
one ledger, neither of which begins the other, are a proof that it lied: so, under a lock,
what is about to be signed is held against the last one in the export folder, any beyond it there,
and the last one in the database, before it is signed and again before it is exported. A database
that was restored, or written to by hand, is refused, until somebody has decided what to do
(docs/operator.md).

A process that dies between any two steps leaves the same bytes to be written again.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg2

from retention.errors import LedgerError
from retention.ledger import sequencer, tree
from retention.ledger.attesting import Attesters, attest
from retention.ledger.checkpoint import (
    Checkpoint,
    NoteError,
    SignedCheckpoint,
    Signer,
    VerifierKey,
    sign,
)
from retention.ledger.folder import Folder
from retention.ledger.gone import FOLDER, GoneFolder
from retention.ledger.gone_head import Writer, has_head
from retention.ledger.keys import (
    create_key,
    key_steps,
    keys_of,
    read_key,
    record_step,
    replace_key,
)
from retention.ledger.nodes import read_nodes, size_of_tree
from retention.ledger.proofs import consistency, verifier_keys
from retention.ledger.recording import record_gone
from retention.ledger.sequencer import ignore_step, sequence, take_lock
from tenants.connections import Cursor, RoleConnections

#: What `Ledger.on_step` hears of, in order; `recorded` and `marked` come after a commit.
STEPS = (
    *sequencer.STEPS,
    *("gone", "signed", "recorded"),
    *("written", "linked", "kept", "rewritten", "replaced", "exported", "marked"),
    *("handed-on", "shipped", "attested"),
)

_LOCK = int.from_bytes(b"ledgerPB")
_SHIP_TIMEOUT_S = 60.0
_WAIT_S = 30.0

_LAST = """
SELECT note, exported_at IS NOT NULL FROM tenure.ledger_checkpoints
WHERE starts_with(note, %s) ORDER BY size DESC LIMIT 1
"""
_RECORD = """
INSERT INTO tenure.ledger_checkpoints (size, root, note, exported_at)
VALUES (%s, %s, %s, CASE WHEN %s THEN clock_timestamp() END) ON CONFLICT DO NOTHING
"""
_TO_EXPORT = """
SELECT size, note, signed_at FROM tenure.ledger_checkpoints
WHERE starts_with(note, %s) AND (exported_at IS NULL OR %s) ORDER BY size
"""
_MARK = """
UPDATE tenure.ledger_checkpoints SET exported_at = clock_timestamp()
WHERE size = %s AND exported_at IS NULL
"""


@dataclass(frozen=True)
class Outside:
    """What a ledger has outside of the database: its name in checkpoints, the file of its key, the
    folder for checkpoints, and a command that takes them further (their path is its last
    argument)."""

    origin: str
    key_file: Path
    folder: Folder
    ship: tuple[str, ...] = ()

    @property
    def gone(self) -> GoneFolder:
        """Where it is on record what went."""
        return GoneFolder(self.folder.path / FOLDER)


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did: entries placed; whether a checkpoint was signed, and the size of the
    last one exported (None: none); why the last one could not be shipped; why others have not
    attested it."""

    placed: int
    signed: bool = False
    size: int | None = None
    not_shipped: str | None = None
    not_attested: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What did not go as configured, though the ledger is signed and exported."""
        return (*([self.not_shipped] if self.not_shipped else []), *self.not_attested)


@dataclass(frozen=True)
class Ledger:
    """The ledger of an installation. Without an `outside`, entries are put in order and nothing
    is signed. `actor` is named where a key is installed or exchanged; `on_step` hears of each
    of STEPS; `attesters` are asked for their word on what was given out."""

    retention: RoleConnections
    outside: Outside | None
    actor: str
    on_step: Callable[[str], None] = field(default=ignore_step)
    attesters: Attesters = field(default_factory=Attesters)

    def publish(self, *, wait: bool = False, refill: bool = False) -> Published:
        """Put in order what waits, and sign and export what is in order.

        Any number of processes may. What another one is at is left to it, or, with `wait`, waited
        for. `refill` writes all checkpoints into a folder that lost them.

        Raises:
            LedgerError: nothing may be signed, or nothing can be: the error says why. What waited
                has been put in order all the same.
        """
        placed = sequence(self.retention, wait=wait, on_step=self.on_step)
        if self.outside is None:
            return Published(placed)
        try:
            signer = read_key(self.outside.key_file, self.outside.origin)
        except LedgerError:
            self._record_gone(())  # what went is on record, though nobody can sign
            raise
        if self._install(signer):
            placed += sequence(self.retention, wait=wait, on_step=self.on_step)
        published = self._published(placed, [signer], wait=wait, refill=refill)
        if published.size is None:
            return published
        others = attest(self.retention, self.attesters, verifier_keys, consistency)
        self.on_step("attested")
        return replace(published, not_attested=others)

    def rotate(self, *, lost: bool = False) -> tuple[VerifierKey, VerifierKey]:
        """Exchange the key for a new one; return the old and the new.

        The new one lies beside the old one (`.next`) until a checkpoint that both have signed
        names both; then it takes its place. Cut short, it is gone on with. With `lost` the old
        key is not there to sign.

        Raises:
            LedgerError: there is no key to take the place of, or what `publish` raises.
        """
        if self.outside is None:
            raise LedgerError("the ledger has no key: set ledger_dir, ledger_key_file and _origin")
        path, origin = self.outside.key_file, self.outside.origin
        following_path = path.with_name(path.name + ".next")
        retiring = [] if lost else [read_key(path, origin)]
        if following_path.exists():
            following = read_key(following_path, origin)
        else:
            following = create_key(following_path, origin)
        with self.retention.transaction(None) as cursor:
            take_lock(cursor, _LOCK, wait=True)
            previous = self._exchange(cursor, retiring, following.verifier_key)
        self.on_step("exchanged")
        placed = sequence(self.retention, wait=True, on_step=self.on_step)
        self._published(placed, [following, *retiring], wait=True, refill=False)
        replace_key(path, following_path)
        return previous, following.verifier_key

    def _record_gone(self, signers: Sequence[Signer], *, refill: bool = False) -> int:
        """Write down what went; return how many of the ledger's entries may be signed by that."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        folder, gone = self.outside.folder, self.outside.gone
        if not folder.path.is_dir():
            return 0  # signing says what is wrong
        if signers and folder.last() is not None and not (refill or has_head(gone)):
            raise LedgerError(
                f"{gone.path} has no signed head, and checkpoints were given out: is it the right "
                "folder? (`tenure ledger publish --refill` compares it with the database, and "
                "signs it anew.)"
            )
        covers = record_gone(self.retention, gone, signers).covers
        self.on_step("gone")
        return covers

    def _exchange(
        self, cursor: Cursor, retiring: Sequence[Signer], following: VerifierKey
    ) -> VerifierKey:
        """Record the exchange, unless it is recorded; return the old key."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        steps = [s for s in key_steps(cursor) if s.key.name == self.outside.origin]
        if not steps:
            raise LedgerError("no key has signed yet: `tenure ledger publish` begins with this one")
        last = steps[-1]
        if last.key == following:
            if last.previous is None:
                raise LedgerError(f"{following} signs already")
            return last.previous
        if retiring and retiring[0].verifier_key != last.key:
            raise LedgerError(_not_the_key(retiring[0], last.key))
        record_step(cursor, "rotated", following, last.key, actor=self.actor)
        return last.key

    def _install(self, signer: Signer) -> bool:
        """Record the first key of this name; tell whether that was necessary."""
        with self.retention.transaction(None) as cursor:
            if keys_of(key_steps(cursor), signer.name):
                return False
            take_lock(cursor, _LOCK, wait=True)
            if keys_of(key_steps(cursor), signer.name):
                return False
            record_step(cursor, "installed", signer.verifier_key, None, actor=self.actor)
        return True

    def _published(
        self, placed: int, signers: Sequence[Signer], *, wait: bool, refill: bool
    ) -> Published:
        assert self.outside is not None  # noqa: S101 - who calls has looked
        until = time.monotonic() + _WAIT_S
        covers = self._record_gone(signers, refill=refill)
        while (signed := self._sign(signers, covers, refill=refill)) is None:
            if not wait:
                return Published(placed)
            if time.monotonic() > until:
                raise LedgerError("another process is publishing, and goes on for long")
            time.sleep(0.1)
        size = self._export(signers[0], refill=refill)
        return Published(placed, signed, size, self._ship(size) if size else None)

    def _sign(self, signers: Sequence[Signer], covers: int, *, refill: bool) -> bool | None:
        """Sign what is committed, up to where it is on record what went; tell whether there was
        anything new. None: others are at it."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        origin = self.outside.origin
        with self.retention.transaction(None) as cursor:
            if not take_lock(cursor, _LOCK, wait=False):
                return None
            keys = _keys_that_sign(cursor, signers[0])
            outside, beyond = self._given_out(keys)
            inside, was_exported = _last_inside(cursor, origin, keys)
            if was_exported and outside is None and not refill:
                raise LedgerError(
                    f"{self.outside.folder.path} holds no checkpoint, and some were exported: is "
                    "it the right folder? (`tenure ledger publish --refill` writes them again.)"
                )
            earlier = [each for each in (outside, *beyond, inside) if each]
            size, root = _root_after(cursor, [each.checkpoint for each in earlier], covers)
            # A copy of the database may have missed them.
            if outside:
                _record(cursor, outside.checkpoint, str(outside.note), exported=True)
            for each in beyond:
                _record(cursor, each.checkpoint, str(each.note), exported=False)
            if size <= max((each.checkpoint.size for each in earlier), default=0):
                return False
            checkpoint = Checkpoint(origin, size, root)
            _record(cursor, checkpoint, sign(checkpoint, *signers).decode(), exported=False)
            self.on_step("signed")
        self.on_step("recorded")
        return True

    def _export(self, signer: Signer, *, refill: bool) -> int | None:
        """Export what is not exported yet; return the size of the last one that is."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        folder = self.outside.folder
        with self.retention.transaction(None) as cursor:
            take_lock(cursor, _LOCK, wait=True)
            keys = _keys_that_sign(cursor, signer)
            cursor.execute(_TO_EXPORT, (f"{signer.name}\n", refill))
            rows = cursor.fetchall()
            with folder.locked():
                last, beyond = self._given_out(keys)
                _root_after(cursor, [each.checkpoint for each in (last, *beyond) if each])
                for size, note, signed_at in rows:
                    signed = verified(note.encode(), keys, "tenure.ledger_checkpoints")
                    _root_after(cursor, [signed.checkpoint])
                    folder.keep(size, note.encode(), signed_at, on_step=self.on_step)
                    self.on_step("kept")
                    if last is None or size > last.checkpoint.size:
                        folder.set_last(note.encode(), on_step=self.on_step)
                    self.on_step("exported")
                    cursor.execute(_MARK, (size,))
                last, _ = self._given_out(keys)
        self.on_step("marked")
        return last.checkpoint.size if last else None

    def _ship(self, size: int) -> str | None:
        """Hand the last checkpoint on; return why that was not possible."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        folder = self.outside.folder
        if not self.outside.ship or folder.shipped() >= size:
            return None
        command = [*self.outside.ship, str(folder.last_path)]
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SHIP_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the command that ships checkpoints did not run ({type(error).__name__})"
        if done.returncode:
            return f"the command that ships checkpoints ended with {done.returncode}"
        self.on_step("handed-on")
        folder.set_shipped(size)
        self.on_step("shipped")
        return None

    def _given_out(
        self, keys: Sequence[VerifierKey]
    ) -> tuple[SignedCheckpoint | None, list[SignedCheckpoint]]:
        """Return the last checkpoint in the folder, and those beyond it, the smallest first."""
        assert self.outside is not None  # noqa: S101 - who calls has looked
        folder = self.outside.folder
        note = folder.last()
        last = verified(note, keys, str(folder.last_path)) if note is not None else None
        notes = folder.beyond(last.checkpoint.size if last else 0)
        return last, [verified(each, keys, str(folder.path)) for each in notes]


def _last_inside(
    cursor: Cursor, origin: str, keys: Sequence[VerifierKey]
) -> tuple[SignedCheckpoint | None, bool]:
    """Return the last checkpoint in the database, and whether it was exported."""
    cursor.execute(_LAST, (f"{origin}\n",))
    row = cursor.fetchone()
    if row is None:
        return None, False
    return verified(row[0].encode(), keys, "tenure.ledger_checkpoints"), row[1]


def writer_of(outside: Outside) -> Writer | None:
    """Return who writes the record of what went on, and signs it; None without the key."""
    try:
        return Writer(outside.gone, (read_key(outside.key_file, outside.origin),))
    except LedgerError:
        return None


def verified(note: bytes, keys: Sequence[VerifierKey], where: str) -> SignedCheckpoint:
    """Return the checkpoint of a note; raises LedgerError where none of `keys` has signed it."""
    try:
        return SignedCheckpoint.verify(note, keys)
    except NoteError as error:
        raise LedgerError(
            f"{where}: {error}. Nothing is signed before that is cleared up"
        ) from error


def _keys_that_sign(cursor: Cursor, signer: Signer) -> list[VerifierKey]:
    """Return the keys that have signed for this ledger; `signer` must be the last of them."""
    keys = keys_of(key_steps(cursor), signer.name)
    if not keys or keys[-1] != signer.verifier_key:
        raise LedgerError(_not_the_key(signer, keys[-1] if keys else None))
    return keys


def _not_the_key(signer: Signer, current: VerifierKey | None) -> str:
    return (
        f"the key that signs this ledger is {current}, and the one at hand is "
        f"{signer.verifier_key}: give this process the file of the other, or rotate"
    )


def _root_after(
    cursor: Cursor, earlier: Sequence[Checkpoint], covers: int = 0
) -> tuple[int, bytes]:
    """Return a size of the tree, `covers` unless one of `earlier` is larger, and its root; raise
    LedgerError where it does not begin with `earlier`."""
    there = size_of_tree(cursor)
    size = max(covers, *(each.size for each in earlier), 0)
    for each in earlier:
        if there < each.size:
            raise LedgerError(
                f"the ledger has {there} entries in the database, and a checkpoint of {each.size} "
                "was given out: the database was restored, or rewound. Nothing is signed"
            )
    sizes = [size, *(each.size for each in earlier)]
    node = read_nodes(cursor, {one for n in sizes for one in tree.root_nodes(n)})
    for each in earlier:
        found = tree.root(each.size, node)
        if found != each.root:
            raise LedgerError(
                f"the ledger's first {each.size} entries have the root {found.hex()}, and a "
                f"checkpoint that was given out says {each.root.hex()}: the database was "
                "restored, or changed. Nothing is signed"
            )
    return size, tree.root(size, node)


def _record(cursor: Cursor, checkpoint: Checkpoint, note: str, *, exported: bool) -> None:
    cursor.execute(_RECORD, (checkpoint.size, psycopg2.Binary(checkpoint.root), note, exported))
