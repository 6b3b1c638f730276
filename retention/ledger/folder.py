"""The folder beside the database to which checkpoints are exported.

`checkpoint` is the last one; each one stays, as `2026-11/00000000000000000042.note`: the month in
which it was signed, and its size. Files come into being whole (fsync, then a name), with the same
bytes however often they are written, and are never changed. What stands here is what the
database is held against: it should be kept where those who may write to the database may not.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from retention.errors import LedgerError
from retention.ledger.keys import sync_folder
from retention.ledger.verifier import MAX_NOTE

LAST = "checkpoint"
_SHIPPED = "shipped"
_MONTH = re.compile(r"\d{4,}-\d{2}")
_NOTE = re.compile(r"(\d{20})\.note")


@dataclass(frozen=True)
class Folder:
    """An export folder; it must exist."""

    path: Path

    @property
    def last_path(self) -> Path:
        """Where the last checkpoint is."""
        return self.path / LAST

    def last(self) -> bytes | None:
        """Return the last checkpoint exported; None where there is none yet.

        Raises:
            LedgerError: the folder cannot be read.
        """
        with _said("read", self.path):
            try:
                return _read(self.last_path)
            except FileNotFoundError:
                if not self.path.is_dir():
                    raise
                return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes on this machine out: those of another database, for one."""
        with _said("lock", self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def notes(self) -> Iterator[tuple[int, Path]]:
        """Yield the checkpoints that are there, with their sizes, the smallest first."""
        with _said("read", self.path):
            found = [
                (int(named[1]), note)
                for month in self.path.iterdir()
                if _MONTH.fullmatch(month.name)
                for note in month.iterdir()
                if (named := _NOTE.fullmatch(note.name))
            ]
        yield from sorted(found)

    def read(self, path: Path) -> bytes:
        """Return a note's bytes."""
        with _said("read", path):
            return _read(path)

    def keep(self, size: int, note: bytes, signed_at: datetime) -> None:
        """Write a checkpoint down, for good.

        Raises:
            LedgerError: another one of this size is there, or nothing can be written.
        """
        path = self.path / f"{signed_at:%Y-%m}" / f"{size:020}.note"
        with _said("write", path):
            path.parent.mkdir(exist_ok=True)
            fresh = _written(path.parent, note)
            try:
                os.link(fresh, path)
            except FileExistsError:
                if _read(path) != note:
                    raise LedgerError(f"{path} is another checkpoint of that size") from None
            finally:
                fresh.unlink()
            sync_folder(path.parent)
            sync_folder(self.path)

    def set_last(self, note: bytes) -> None:
        """Make a checkpoint, which is kept already, the last one."""
        with _said("write", self.last_path):
            _written(self.path, note).replace(self.last_path)
            sync_folder(self.path)

    def shipped(self) -> int:
        """Return the size of the last checkpoint that was shipped; 0 where none was."""
        with _said("read", self.path / _SHIPPED):
            try:
                return int(_read(self.path / _SHIPPED))
            except (FileNotFoundError, ValueError):
                return 0

    def set_shipped(self, size: int) -> None:
        """Note that the checkpoint of this size was shipped."""
        with _said("write", self.path / _SHIPPED):
            _written(self.path, f"{size}\n".encode()).replace(self.path / _SHIPPED)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_NOTE + 1)


def _written(folder: Path, content: bytes) -> Path:
    """Write a file that is on the disk, and has no name that anybody looks for yet."""
    descriptor, name = tempfile.mkstemp(prefix=".fresh-", dir=folder)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o644)  # public: to be handed out
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    return Path(name)


@contextmanager
def _said(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(f"cannot {verb} {path}: {error.strerror}") from error
