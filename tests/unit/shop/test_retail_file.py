"""The reader of the Online Retail file, on small dirty files: pure, no database."""

from __future__ import annotations

import gzip
import io
import itertools
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from shop.retail_file import COLUMNS, RetailReader, Sale, fingerprint, opened

from tenants.errors import ImportFileError
from tenants.importing import Reject

HEADER = ",".join(COLUMNS).encode() + b"\n"
GOOD = b"536365,85123A,HOLDER,6,01/12/2010 08:26,2.55,17850,United Kingdom\n"


def read(body: bytes) -> tuple[list[Sale | Reject], RetailReader]:
    reader = RetailReader(io.BufferedReader(io.BytesIO(HEADER + body)))
    return list(reader), reader


def only(body: bytes) -> Sale | Reject:
    (record,), _ = read(body)
    return record


def sale(**changes: str) -> Sale:
    record = only(line(**changes))
    assert isinstance(record, Sale), record
    return record


def line(**changes: str) -> bytes:
    values = dict(zip(COLUMNS, GOOD.decode().strip().split(","), strict=True)) | changes
    return (",".join(values.values()) + "\n").encode()


def reason(**changes: str) -> str:
    record = only(line(**changes))
    assert isinstance(record, Reject), record
    assert record.line == 2
    return record.reason


def test_every_column_is_read() -> None:
    assert only(GOOD) == Sale(
        line=2,
        invoice="536365",
        sku="85123A",
        description="HOLDER",
        quantity=6,
        issued_at=datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        unit_price=Decimal("2.550"),
        customer="17850",
        country="United Kingdom",
    )


def test_dirty_but_whole_records_are_sales() -> None:
    assert sale(Quantity="-12").quantity == -12
    assert sale(UnitPrice="0").unit_price == 0
    assert sale(UnitPrice="-11062.06").unit_price == Decimal("-11062.06")
    assert sale(Description="").description is None
    assert sale(Description="   ").description is None
    assert sale(Description=" ?? damaged ").description == " ?? damaged "
    assert sale(CustomerID="").customer is None
    assert sale(InvoiceNo="C536379").cancelled
    assert not sale().cancelled


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Quantity": "six"}, "Quantity 'six' is no whole number"),
        ({"Quantity": ""}, "Quantity '' is no whole number"),
        ({"Quantity": "1_0"}, "is no whole number"),
        ({"Quantity": "٣"}, "is no whole number"),
        ({"Quantity": "2147483648"}, "too large"),
        ({"UnitPrice": "2.5551"}, "more than three decimals"),
        ({"UnitPrice": "nan"}, "is no number"),
        ({"UnitPrice": "1e400"}, "is no number"),
        ({"UnitPrice": "1000000000"}, "too large"),
        ({"Quantity": "2000000", "UnitPrice": "900"}, "too large"),
        ({"InvoiceDate": "2010-12-01 08:26"}, "DD/MM/YYYY HH:MM"),
        ({"InvoiceDate": "31/02/2010 08:26"}, "'31/02/2010 08:26' is no time"),
        ({"InvoiceDate": "01/12/2010 24:00"}, "is no time"),
        ({"InvoiceNo": " "}, "InvoiceNo is empty"),
        ({"StockCode": ""}, "StockCode is empty"),
        ({"Country": ""}, "Country is empty"),
        ({"StockCode": "x" * 101}, "StockCode is longer than 100 characters"),
        ({"Description": "a,b"}, "9 fields instead of 8"),
        ({"Description": "a\0b"}, "NUL"),
        ({"Description": '"a"b'}, "no CSV"),
    ],
)
def test_rejects_name_what_was_wrong(changes: dict[str, str], said: str) -> None:
    assert said in reason(**changes)


def test_a_record_cut_off_is_rejected_and_counted() -> None:
    records, reader = read(GOOD + b"539650,84347,R")
    assert records[1] == Reject(3, "the record has 3 fields instead of 8", "539650,84347,R")
    assert (reader.counts.lines, reader.counts.unfinished) == (3, 1)


def test_an_unfinished_last_line_is_taken_only_with_a_known_country() -> None:
    cut = GOOD.replace(b"Kingdom\n", b"Kingd")
    records, _ = read(GOOD + cut)
    assert isinstance(records[1], Reject)
    assert "may be cut off" in records[1].reason
    records, _ = read(GOOD + GOOD.rstrip(b"\n"))
    assert isinstance(records[1], Sale)


def test_times_are_londons() -> None:
    def at(text: str) -> str:
        return sale(InvoiceDate=text).issued_at.strftime("%m-%d %H:%M")

    assert at("01/12/2010 08:26") == "12-01 08:26"
    assert at("01/07/2011 08:26") == "07-01 07:26"
    assert at("27/03/2011 00:59") == "03-27 00:59"
    # Skipped on the clocks: taken from the winter side.
    assert at("27/03/2011 01:30") == "03-27 01:30"
    assert at("27/03/2011 02:00") == "03-27 01:00"
    # Twice on the clocks: the first, in summer time.
    assert at("30/10/2011 01:30") == "10-30 00:30"
    assert at("30/10/2011 02:00") == "10-30 02:00"


def test_text_that_is_not_utf8_is_windows_1252_line_by_line() -> None:
    body = b"".join(
        GOOD.replace(b"HOLDER", text)
        for text in (b"Voucher \xa340", "Voucher £40".encode(), b"\x80uro \x93q\x94 \x81")
    )
    records, _ = read(body)
    assert [r.description for r in records if isinstance(r, Sale)] == [
        "Voucher £40",
        "Voucher £40",
        "€uro “q” \x81",
    ]


def test_quoted_fields_may_hold_commas_quotes_and_line_breaks() -> None:
    long = GOOD.replace(b"HOLDER", b'"LETTER ""D"",\r\nBLING\n\nRING"')
    records, reader = read(long + GOOD)
    first, second = records
    assert isinstance(first, Sale)
    assert first.description == 'LETTER "D",\nBLING\n\nRING'
    assert (first.line, second.line) == (2, 6)
    assert (reader.counts.lines, reader.counts.continued) == (6, 3)


def test_a_stray_quote_inside_a_field_is_text() -> None:
    assert sale(Description='FRAME 7" SINGLE').description == 'FRAME 7" SINGLE'


def test_a_quote_that_is_never_closed_costs_its_own_line_alone() -> None:
    broken = GOOD.replace(b"HOLDER", b'"HOLDER')
    records, reader = read(broken + GOOD * 60 + broken + GOOD)
    rejects = [r for r in records if isinstance(r, Reject)]
    assert [r.line for r in rejects] == [2, 63]
    assert {r.reason for r in rejects} == {"a quoted field is not closed"}
    assert [r.line for r in records] == list(range(2, 65))
    assert (reader.counts.lines, reader.counts.continued) == (64, 0)


def test_blank_lines_and_windows_line_ends_are_no_trouble() -> None:
    records, reader = read(GOOD.replace(b"\n", b"\r\n") + b"\r\n  \n" + GOOD)
    assert [r.line for r in records] == [2, 5]
    assert all(isinstance(r, Sale) and r.country == "United Kingdom" for r in records)
    assert reader.counts.blank == 2


def test_an_overlong_line_is_rejected_and_the_next_is_read() -> None:
    records, reader = read(GOOD + b"x" * 200_000 + b"\n" + GOOD)
    assert [type(r) for r in records] == [Sale, Reject, Sale]
    assert isinstance(records[1], Reject)
    assert "longer than 65536 bytes" in records[1].reason
    assert reader.counts.lines == 4


@pytest.mark.parametrize("start", [b"", b"a,b,c\n", b"\xff\xfe", b"PK\x03\x04"])
def test_another_kind_of_file_is_refused_as_a_whole(start: bytes) -> None:
    with pytest.raises(ImportFileError, match="first line must be InvoiceNo"):
        list(RetailReader(io.BufferedReader(io.BytesIO(start))))


def test_a_byte_order_mark_before_the_header_is_accepted() -> None:
    reader = RetailReader(io.BufferedReader(io.BytesIO(b"\xef\xbb\xbf" + HEADER + GOOD)))
    assert len(list(reader)) == 1


def test_gzip_is_known_by_content_and_is_the_same_file(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.gz", tmp_path / "b.csv"
    plain.write_bytes(HEADER + GOOD)
    packed.write_bytes(gzip.compress(HEADER + GOOD))
    assert fingerprint(plain) == fingerprint(packed)
    with opened(packed) as (content, _):
        assert [r.line for r in RetailReader(content)] == [2]


def test_a_damaged_gzip_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(HEADER + GOOD * 1000)[:-20])
    with pytest.raises(ImportFileError, match=r"cut\.gz: the compressed data is damaged"):
        fingerprint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"cannot read .*nowhere\.csv: No such file"):
        fingerprint(tmp_path / "nowhere.csv")


class _Endless(io.RawIOBase):
    """Gives out chunks without ever holding them all."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # a writable buffer
        chunk = next(self._chunks, b"")
        buffer[: len(chunk)] = chunk
        return len(chunk)


@pytest.mark.parametrize("chunk", [GOOD * 100, GOOD.replace(b"HOLDER", b'"H') * 50, b"x" * 8192])
def test_memory_does_not_grow_with_the_file(chunk: bytes) -> None:
    def peak(repeats: int) -> int:
        content = io.BufferedReader(_Endless(itertools.chain([HEADER], [chunk] * repeats)), 8192)
        tracemalloc.start()
        try:
            for _ in RetailReader(content):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4)
    assert peak(48) < 2 * peak(16)
