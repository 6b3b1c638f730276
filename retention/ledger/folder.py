"""The folder beside the database to which checkpoints are exported.

`checkpoint` is the last one; each one stays, as `2026-11/00000000000000000042.note`: the month in
which it was signed, and its size. Files come into being whole (fsync, then a name), with the same
bytes however often they are written, and are never changed; what a
process that died left half-made is swept away by the next. What stands here is what the
database is held against: it should be kept where those who may write to the database may not.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
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
_FRESH = ".fresh-"


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

    def beyond(self, size: int) -> list[bytes]:
        """Return the checkpoints over more than `size` entries, the smallest first: who wrote one
        down and died did not make it the last one.

        Raises:
            LedgerError: the folder cannot be read.
        """
        found: list[tuple[int, Path]] = []
        with _said("read", self.path):
            months = [each for each in self.path.iterdir() if _MONTH.fullmatch(each.name)]
            # Sizes grow with the months: of those before, there is no need to read.
            for month in sorted(months, key=lambda each: each.name, reverse=True):
                there = _notes_in(month)
                found += [each for each in there if each[0] > size]
                if any(each <= size for each, _ in there):
                    break
            return [_read(path) for _, path in sorted(found)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes on this machine out, those of another database, for one, while
        something is written."""
        with _said("lock", self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with _said("tidy", self.path):
                for left in self.path.glob(f"{_FRESH}*"):
                    left.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def notes(self) -> Iterator[tuple[int, Path]]:
        """Yield the checkpoints that are there, with their sizes, the smallest first."""
        with _said("read", self.path):
            found = [
                each
                for month in self.path.iterdir()
                if _MONTH.fullmatch(month.name)
                for each in _notes_in(month)
            ]
        yield from sorted(found)

    def read(self, path: Path) -> bytes:
        """Return a note's bytes."""
        with _said("read", path):
            return _read(path)

    def keep(
        self,
        size: int,
        note: bytes,
        signed_at: datetime,
        *,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Write a checkpoint down, for good; `on_step` hears of `written` and `linked`.

        Raises:
            LedgerError: another one of this size is there, or nothing can be written.
        """
        path = self.path / f"{signed_at:%Y-%m}" / f"{size:020}.note"
        with _said("write", path):
            path.parent.mkdir(exist_ok=True)
            fresh = _written(self.path, note)
            on_step("written")
            try:
                os.link(fresh, path)
                on_step("linked")
            except FileExistsError:
                if _read(path) != note:
                    raise LedgerError(f"{path} is another checkpoint of that size") from None
            finally:
                fresh.unlink()
            sync_folder(path.parent)
            sync_folder(self.path)

    def set_last(self, note: bytes, *, on_step: Callable[[str], None] = lambda _step: None) -> None:
        """Make a checkpoint, which is kept already, the last one; `on_step` hears of `rewritten`
        and `replaced`."""
        with _said("write", self.last_path):
            fresh = _written(self.path, note)
            on_step("rewritten")
            fresh.replace(self.last_path)
            on_step("replaced")
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
        with self.locked(), _said("write", self.path / _SHIPPED):
            _written(self.path, f"{size}\n".encode()).replace(self.path / _SHIPPED)


def _notes_in(month: Path) -> list[tuple[int, Path]]:
    return [
        (int(named[1]), note) for note in month.iterdir() if (named := _NOTE.fullmatch(note.name))
    ]


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_NOTE + 1)


def _written(folder: Path, content: bytes) -> Path:
    """Write a file that is on the disk, and has no name that anybody looks for yet."""
    descriptor, name = tempfile.mkstemp(prefix=_FRESH, dir=folder)
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
