"""What went, on record outside of the database: so that it goes again after a restore.

In `deletions/` of the ledger's folder, a file a month of JSON lines: a header, then a line for
each committed batch, in the order that the ledger gives it. Each line has a number, without gaps,
and the SHA-256 of the line before it. A line is there when it is on the disk, its line feed
included; one that was cut short was never there, and is written again. Nothing is changed. That
nobody else changes it is vouched for by a signed head: `retention.ledger.gone_head`.

Lines there are, too, for each request to a connector (who, of what kind, the key's hash; without
one for all of a tenant) and for the beginning of a tenant's offboarding: what they did has no rows.

A line has tenant, tables, and of each key that went the first 16 bytes of `sha256(uuid_send(id))`
(`retention.deletions`), in base64, end to end: no identifier. As a hash of a key is still
somebody's to whom the key is known, the files are for nobody else to read (mode 0600).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from retention.deletions import HASH_BYTES
from retention.errors import LedgerError
from retention.ledger.keys import sync_folder
from tenants.catalog import TableName

FOLDER = "deletions"
_FILE = re.compile(r"\d{4,}-\d{2}\.jsonl")
_BLOCK = 1 << 16
#: The digest before the first line.
NOTHING = "0" * 64


@dataclass(frozen=True, slots=True)
class Keys:
    """What a batch did to rows of one table: `action` is delete, archive, anonymise,
    pseudonymise or cut, `hashes` are those of their keys."""

    table: TableName
    action: str
    hashes: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `number` from 0; `kind` is opened, rewound, or the ledger's name for a batch, a
    request, an offboarding; `position` and `entry` are that one's in the ledger (-1 and None:
    before the first), `sha256` is the line's own digest, `content` all of it.
    """

    number: int
    kind: str
    position: int
    entry: UUID | None
    sha256: str
    content: Mapping[str, Any]

    @property
    def is_batch(self) -> bool:
        """True unless it only says something of the file."""
        return self.kind not in ("opened", "rewound")

    @property
    def of(self) -> UUID:
        """The id of the batch, the request or the offboarding."""
        named = next(name for name in ("batch", "request", "offboarding") if name in self.content)
        return UUID(self.content[named])

    @property
    def tenant(self) -> UUID:
        """Whose rows went."""
        return UUID(self.content["tenant"])

    def says(
        self, kind: str, position: int, entry: UUID | None, at: datetime, more: Mapping[str, Any]
    ) -> bool:
        """Tell whether this is the line that `Pen.write` makes of these."""
        of_the_line = {name: self.content.get(name) for name in ("v", "n", "previous")}
        written = {**of_the_line, **_said_of(kind, position, entry, at, more)}
        return bool(json.loads(json.dumps(written)) == self.content)

    @property
    def keys(self) -> Iterator[Keys]:
        """What became of which rows."""
        for entry in self.content["rows"]:
            packed = base64.b64decode(entry["keys"], validate=True)
            yield Keys(
                TableName.parse(entry["table"]),
                entry["action"],
                frozenset(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)),
            )


@dataclass(frozen=True)
class GoneFolder:
    """The folder of these files; made when the first line is written."""

    path: Path

    @contextmanager
    def writing(self) -> Iterator[Pen]:
        """Keep others out, and yield what writes; raises LedgerError where that is impossible."""
        with said("write", self.path):
            self.path.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield Pen(self, self._last())
            finally:
                os.close(descriptor)

    def last(self) -> Line | None:
        """Return the last line that was written to its end; changes nothing. Raises LedgerError."""
        with said("read", self.path):
            for path in reversed(self._files()):
                raw, _ = _last_line(path)
                if raw:
                    return _parsed(raw, path)
        return None

    @contextmanager
    def still(self) -> Iterator[None]:
        """Have nobody write while the block reads; raises LedgerError where that is impossible."""
        with said("read", self.path):
            if not self.path.is_dir():
                yield
                return
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                yield
            finally:
                os.close(descriptor)

    def lines(self) -> Iterator[Line]:
        """Yield all lines, the first one first.

        Raises:
            LedgerError: one is missing, damaged, or not what the next one says it was.
        """
        number, before = 0, NOTHING
        for path in self._files():
            with said("read", path), path.open("rb") as stream:
                for raw in stream:
                    if not raw.endswith(b"\n"):
                        break  # never written to its end; if anything follows, its number tells
                    line = _parsed(raw, path)
                    if line.number != number or line.content.get("previous") != before:
                        raise LedgerError(
                            f"{path}: line {number} of the record of what went is missing or "
                            "changed. Put the file back as it was; nothing is erased by half"
                        )
                    yield line
                    number, before = number + 1, line.sha256

    def _files(self) -> list[Path]:
        with said("read", self.path):
            if not self.path.is_dir():
                return []
            return sorted(p for p in self.path.iterdir() if _FILE.fullmatch(p.name))

    def _last(self) -> Line | None:
        """Return the last line; what was cut short behind it is taken away."""
        for path in reversed(self._files()):
            raw, end = _last_line(path)
            if end < path.stat().st_size:
                with path.open("r+b") as stream:
                    stream.truncate(end)
                    os.fsync(stream.fileno())
            if raw:
                return _parsed(raw, path)
        return None


@dataclass
class Pen:
    """Writes lines after `last`, each on the disk before the next is thought of."""

    folder: GoneFolder
    last: Line | None

    def open(self, at: datetime) -> Line:
        """Return the last line, or write the header that names the files."""
        return self.last or self.write("opened", -1, None, at, {"journal": str(uuid4())})

    def write(
        self, kind: str, position: int, entry: UUID | None, at: datetime, more: Mapping[str, Any]
    ) -> Line:
        """Add a line."""
        number = self.last.number + 1 if self.last else 0
        content = {
            "v": 1,
            "n": number,
            "previous": self.last.sha256 if self.last else NOTHING,
            **_said_of(kind, position, entry, at, more),
        }
        raw = json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
        # Names ascend as lines do, whatever the clock says.
        newest = max((p.name for p in self.folder._files()), default="")
        path = self.folder.path / max(f"{at:%Y-%m}.jsonl", newest)
        with said("write", path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            sync_folder(self.folder.path)
        self.last = _parsed(raw, path)
        return self.last


def _said_of(
    kind: str, position: int, entry: UUID | None, at: datetime, more: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind,
        "position": position,
        "entry": None if entry is None else str(entry),
        "at": at.isoformat(),
        **more,
    }


def packed(hashes: bytes) -> str:
    """Return hashes as a line has them."""
    return base64.b64encode(hashes).decode()


def _parsed(raw: bytes, path: Path) -> Line:
    try:
        content = json.loads(raw)
        entry = content["entry"]
        return Line(
            int(content["n"]),
            str(content["kind"]),
            int(content["position"]),
            None if entry is None else UUID(entry),
            hashlib.sha256(raw).hexdigest(),
            content,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path} has a line that says nothing of what went") from error


def _last_line(path: Path) -> tuple[bytes, int]:
    """Return the last line that was written to its end, and where that is."""
    with path.open("rb") as stream:
        at = stream.seek(0, os.SEEK_END)
        tail = b""
        while at > 0 and tail.count(b"\n") < 2:
            step = min(_BLOCK, at)
            at = stream.seek(at - step)
            tail = stream.read(step) + tail
        end = tail.rfind(b"\n") + 1
        begin = tail.rfind(b"\n", 0, end - 1) + 1 if end else 0
        return tail[begin:end], at + end


@contextmanager
def said(verb: str, path: Path) -> Iterator[None]:
    """Say of a failure of the block what was to be done to which file: raises LedgerError."""
    try:
        yield
    except OSError as error:
        raise LedgerError(f"cannot {verb} {path}: {error.strerror}") from error
