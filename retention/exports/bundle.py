"""A zip that is written as it comes, each part with its length and SHA-256.

Of the parts nothing is kept in memory but that. The last two parts list all others: the
manifest, and SHA256SUMS for `sha256sum -c`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from retention.reports.export import FORMULA

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
_BUFFER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A file in the zip: its length and digest before compression."""

    name: str
    bytes: int
    sha256: str


class _Writer:
    """Writes one part, in pieces of some size."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, text: str) -> None:
        """Add text, as UTF-8."""
        data = text.encode()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._digest.update(data)
        self._stream.write(data)
        self.bytes += len(data)

    @property
    def sha256(self) -> str:
        """SHA-256 of what was handed on, as hex."""
        return self._digest.hexdigest()


class _Sink:
    """Counts what is written; zipfile takes what cannot seek as it is."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.bytes = 0
        self.deaf = False

    def write(self, data: bytes) -> int:
        """Hand on."""
        if not self.deaf:
            self._out.write(data)
            self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand on what waits."""
        if not self.deaf:
            self._out.flush()


class Bundle:
    """The zip, for a `with` block; where that fails, nothing more is written.

    `out` need not be able to seek; `at` is the time of the parts that are added.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._sink = _Sink(out)
        sink: Any = self._sink  # all that zipfile asks of a file that cannot seek
        self._zip = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self.at = datetime(1980, 1, 1, tzinfo=UTC)
        self.parts: list[Part] = []

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sink.deaf = True
        self._zip.close()

    @property
    def bytes(self) -> int:
        """The length of what was written."""
        return self._sink.bytes

    @contextmanager
    def part(self, name: str) -> Iterator[_Writer]:
        """Write a part in the block; then `parts` has it."""
        # Zip has no year before 1980 and no zone.
        at = max(self.at.astimezone(UTC).timetuple()[:6], (1980, 1, 1, 0, 0, 0))
        info = zipfile.ZipInfo(name, at)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        with self._zip.open(info, "w", force_zip64=True) as stream:
            writer = _Writer(stream)
            yield writer
            writer.flush()
        self.parts.append(Part(name, writer.bytes, writer.sha256))

    def add(self, name: str, text: str) -> Part:
        """Add a part of which the whole text is there."""
        with self.part(name) as writer:
            writer.write(text)
        return self.parts[-1]

    def end(self, manifest: Mapping[str, Any]) -> Part:
        """Add the manifest and SHA256SUMS, and end the zip; return the manifest's part."""
        text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
        part = self.add(MANIFEST, text)
        self.add(SUMS, "".join(f"{p.sha256}  {p.name}\n" for p in self.parts))
        self._zip.close()
        return part


def csv_line(cells: Sequence[str | None], numbers: Sequence[bool]) -> str:
    """Return a line of CSV (RFC 4180) in which no spreadsheet finds a formula.

    None is nothing between the commas, an empty text "". A text that a spreadsheet would run, or
    that begins with ', gets a ' in front: whoever reads it takes one ' off where one is.
    """
    return ",".join(map(_cell, cells, numbers)) + "\r\n"


def _cell(text: str | None, number: bool) -> str:
    if text is None:
        return ""
    if number:
        return text
    if text.startswith(_GUARDED):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


_GUARDED = ("'", *FORMULA)
