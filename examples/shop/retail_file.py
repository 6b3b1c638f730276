"""Reads the UCI Online Retail file (doi 10.24432/C5BW33): bytes in, sales and rejects out.

Constant memory: one record is held at a time, and a record is at most 50 lines of 64 KiB.
Nothing is guessed silently:

- A file is known by the SHA-256 of its unpacked content, so gzip and plain are the same file.
- Text is UTF-8; a line that is not is read as Windows-1252, which the data set is written in
  (its five unassigned bytes become the control characters of the same number).
- `InvoiceDate` is local time in London. Where the clocks go back and an hour occurs twice,
  the first is meant (summer time); a time that was skipped counts from the winter side: on
  27 March 2011, 01:30 is 01:30 UTC, which the clocks there showed as 02:30.
- A quoted field that is not closed within 50 lines costs its own line, not the rest of the file.
- A last line without a line break may be cut off anywhere. If it looks whole, it is taken
  only when its country occurred before: half a name is no new country.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast
from zoneinfo import ZoneInfo

from tenants.errors import ImportFileError
from tenants.importing import Reject

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
LONDON = ZoneInfo("Europe/London")

_LINE_BYTES = 64 * 1024
_RECORD_LINES = 50
_KEY_CHARACTERS = 100
_INTEGER = re.compile(r"[-+]?\d{1,12}", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d{1,30}(\.\d{0,30})?", re.ASCII)
_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})", re.ASCII)
_MILLI = Decimal("0.001")
_MAX_AMOUNT = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class Sale:
    """One record. `line` is the physical line it begins on, from 1; `issued_at` is in UTC."""

    line: int
    invoice: str
    sku: str
    description: str | None
    quantity: int
    issued_at: datetime
    unit_price: Decimal
    customer: str | None
    country: str

    @property
    def cancelled(self) -> bool:
        """True for a cancellation: its invoice number begins with C."""
        return self.invoice[0] in "Cc"


@dataclass(slots=True)
class LineCounts:
    """Physical lines that are no record of their own."""

    lines: int = 0
    header: int = 0
    blank: int = 0
    continued: int = 0
    unfinished: int = 0


class _Unreadable(ValueError):
    """Why a record is rejected."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[io.BufferedReader, BinaryIO]]:
    """Open a plain or gzipped file: (its content, the file itself, for its position).

    Raises ImportFileError when it cannot be read, or when the compressed data is damaged.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 17), raw
            else:
                yield raw, raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFileError(f"{path}: the compressed data is damaged: {error}") from error
    except OSError as error:
        raise ImportFileError(f"cannot read {path}: {error.strerror or error}") from error


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the file's unpacked content; raises ImportFileError."""
    digest = hashlib.sha256()
    with opened(path) as (content, _):
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class RetailReader:
    """Iterates over a file's content once; `counts` is complete afterwards."""

    def __init__(self, content: io.BufferedReader) -> None:
        self._content = content
        self._pushed: deque[_Line] = deque()
        self._countries: set[str] = set()
        self.counts = LineCounts()

    def __iter__(self) -> Iterator[Sale | Reject]:
        """Yield every record in the order of the file.

        Raises ImportFileError when the first line is not the data set's header.
        """
        header = self._next()
        if header is None or tuple(header.text.removeprefix("\ufeff").split(",")) != COLUMNS:
            raise ImportFileError(
                f"this is no Online Retail file: its first line must be {','.join(COLUMNS)}"
            )
        self.counts.header = 1
        while (line := self._next()) is not None:
            if not line.too_long and not line.text.strip():
                self.counts.blank += 1
                continue
            yield self._record(line)

    def _record(self, line: _Line) -> Sale | Reject:
        try:
            fields = self._fields(line)
            sale = _sale(line.number, fields)
            self._require_known_end(sale)
        except _Unreadable as reason:
            return Reject(line.number, str(reason), line.text)
        self._countries.add(sale.country)
        return sale

    def _fields(self, line: _Line) -> list[str]:
        if line.too_long:
            raise _Unreadable(f"the line is longer than {_LINE_BYTES} bytes")
        return self._quoted(line) if '"' in line.text else line.text.split(",")

    def _require_known_end(self, sale: Sale) -> None:
        is_last = self.counts.unfinished and not self._pushed
        if is_last and sale.country not in self._countries:
            raise _Unreadable(
                f"the file's last line has no line break, and the country {sale.country!r} "
                "does not occur before: it may be cut off"
            )

    def _quoted(self, first: _Line) -> list[str]:
        """Return the fields of a record with quotes, which may go on in the next lines."""
        fields = _csv_fields(first.text)
        if fields is not None:
            return fields
        lines = [first]
        quotes = first.text.count('"')
        while len(lines) < _RECORD_LINES and (line := self._next()) is not None:
            lines.append(line)
            if line.too_long:
                break
            quotes += line.text.count('"')
            if quotes % 2:
                continue
            try:
                fields = _csv_fields("\n".join(part.text for part in lines))
            except _Unreadable:
                break
            if fields is not None and len(fields) == len(COLUMNS):
                self.counts.continued += len(lines) - 1
                return fields
            break
        # Not one record: only the line that opened the quote is lost.
        self._pushed.extendleft(reversed(lines[1:]))
        raise _Unreadable("a quoted field is not closed")

    def _next(self) -> _Line | None:
        if self._pushed:
            return self._pushed.popleft()
        data = self._content.readline(_LINE_BYTES)
        if not data:
            return None
        tail = data
        while len(tail) == _LINE_BYTES and not tail.endswith(b"\n"):
            tail = self._content.readline(_LINE_BYTES)
        self.counts.lines += 1
        if not tail.endswith(b"\n"):
            self.counts.unfinished = 1
        return _Line(self.counts.lines, _text(data.rstrip(b"\r\n")), tail is not data)


@dataclass(frozen=True, slots=True)
class _Line:
    """A physical line without its line break."""

    number: int
    text: str
    too_long: bool


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "shop.c1")


def _c1(error: UnicodeError) -> tuple[str, int]:
    """Read the bytes that Windows-1252 leaves unassigned as WHATWG's Encoding Standard does."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("shop.c1", _c1)


def _csv_fields(text: str) -> list[str] | None:
    """Return the fields of one record, or None when a quoted field is still open."""
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error as error:
        if str(error) == "unexpected end of data":
            return None
        raise _Unreadable(f"this is no CSV: {error}") from error


def _sale(line: int, fields: list[str]) -> Sale:
    if len(fields) != len(COLUMNS):
        raise _Unreadable(f"the record has {len(fields)} fields instead of {len(COLUMNS)}")
    if any("\0" in field for field in fields):
        raise _Unreadable("the record holds a NUL character")
    invoice, sku, description, quantity, time, price, customer, country = fields
    sale = Sale(
        line=line,
        invoice=_key("InvoiceNo", invoice),
        sku=_key("StockCode", sku),
        description=description if description.strip() else None,
        quantity=_quantity(quantity.strip()),
        issued_at=_instant(time.strip()),
        unit_price=_price(price.strip()),
        customer=_key("CustomerID", customer) if customer.strip() else None,
        country=_key("Country", country),
    )
    if abs(sale.quantity * sale.unit_price) >= _MAX_AMOUNT:
        raise _Unreadable(f"Quantity {quantity} times UnitPrice {price} is too large")
    return sale


def _key(column: str, text: str) -> str:
    text = text.strip()
    if not text:
        raise _Unreadable(f"{column} is empty")
    if len(text) > _KEY_CHARACTERS:
        raise _Unreadable(f"{column} is longer than {_KEY_CHARACTERS} characters")
    return text


def _quantity(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _Unreadable(f"Quantity {text!r} is no whole number")
    value = int(text)
    if abs(value) > 2**31 - 1:
        raise _Unreadable(f"Quantity {text} is too large")
    return value


@lru_cache(maxsize=4096)
def _price(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise _Unreadable(f"UnitPrice {text!r} is no number")
    value = Decimal(text)
    if abs(value) >= _MAX_AMOUNT:
        raise _Unreadable(f"UnitPrice {text} is too large")
    rounded = value.quantize(_MILLI)
    if rounded != value:
        raise _Unreadable(f"UnitPrice {text} has more than three decimals")
    return rounded


@lru_cache(maxsize=1024)
def _instant(text: str) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        raise _Unreadable(f"InvoiceDate {text!r} is not written as DD/MM/YYYY HH:MM")
    day, month, year, hour, minute = map(int, match.groups())
    try:
        local = datetime(year, month, day, hour, minute, tzinfo=LONDON)
        return local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Unreadable(f"InvoiceDate {text!r} is no time: {error}") from error
