"""Exports: all of a person, nothing of anybody else, true to the value, and on record."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import pytest

from api.wiring import Installation
from api.workshop import workshop_of
from retention.deletions import key_hash
from retention.errors import ExportError, SubjectError
from retention.exports.making import Exporter
from retention.exports.new_file import new_file
from retention.exports.records import exports
from retention.subject_file import parse_subjects
from tenants.catalog import catalog_of
from tenants.context import TenantId
from tenants.models import (
    BooleanField,
    DateField,
    DecimalField,
    DoubleField,
    InstantField,
    JSONField,
    SmallIntegerField,
    TenantModel,
    TextField,
    UUIDField,
    new_id,
)
from tenants.schema import create_tables

from .conftest import Tenure
from .shop_rows import ROOT, environment_of

Owner = Callable[..., list[tuple[Any, ...]]]


@dataclass
class Shop:
    """Customers planted in tenants, and exports of them."""

    installation: Installation
    owner_sql: Owner

    def add(self, table: str, tenant: TenantId, **values: Any) -> str:
        row = {"tenant_id": str(tenant), "id": str(new_id()), **values}
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.owner_sql(f"INSERT INTO shop.{table} ({names}) VALUES ({marks})", tuple(row.values()))
        return str(row["id"])

    def customer(self, tenant: TenantId, number: str, **values: Any) -> str:
        """Plant a customer with a profile, two invoices of two lines, and three notes."""
        customer = self.add(
            "customers", tenant,
            **{"number": number, "name": f"N {number}", "email": f"{number}@x.example",
               "country": "FR", "created_at": "2026-01-01", **values},
        )  # fmt: skip
        self.add("customer_profiles", tenant, customer_id=customer, newsletter=True)
        self.note(tenant, "customer", customer)
        product = self.add(
            "products", tenant, sku=f"S{number}", unit_price=1, created_at="2026-01-01"
        )
        for n in range(2):
            invoice = self.add(
                "invoices", tenant, number=f"{number}-{n}", customer_id=customer,
                issued_at="2026-01-01", status="paid", currency="GBP", total=2,
            )  # fmt: skip
            self.note(tenant, "invoice", invoice)
            for line in range(2):
                self.add(
                    "invoice_lines", tenant, invoice_id=invoice, product_id=product, line_no=line,
                    quantity=1, unit_price=1,
                )  # fmt: skip
        return customer

    def note(self, tenant: TenantId, kind: str, subject: str, body: str = "text") -> str:
        return self.add(
            "notes", tenant, subject_type=kind, subject_id=subject, body=body,
            created_at="2026-01-01",
        )  # fmt: skip

    def export(self, tenant: TenantId, key: str, **changes: Any) -> zipfile.ZipFile:
        shop = workshop_of(self.installation, actor="test")
        out = io.BytesIO()
        replace(shop.exporter, **changes).of_subject(
            out, tenant, shop.subject("customer"), UUID(key), actor="ann", reason="letter"
        )
        return zipfile.ZipFile(out)

    def records(self, tenant: TenantId | None = None) -> Any:
        with self.installation.verifier.transaction(None, read_only=True) as cursor:
            return exports(cursor, tenant_id=tenant)


@pytest.fixture
def shop(installation: Installation, owner_sql: Owner) -> Shop:
    return Shop(installation, owner_sql)


@pytest.fixture
def acme(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def globex(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("globex")


COUNTS = {
    "shop.customers": 1,
    "shop.customer_profiles": 1,
    "shop.invoices": 2,
    "shop.invoice_lines": 4,
    "shop.notes": 3,
}


def rows_in(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    text = archive.read(f"{table}.json")
    # What a float would round is left as it is written.
    found: list[dict[str, Any]] = json.loads(
        text, parse_float=lambda n: float(n) if repr(float(n)) == n else n
    )
    return found


def csv_in(archive: zipfile.ZipFile, table: str) -> list[list[str]]:
    text = archive.read(f"{table}.csv").decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def test_it_has_all_of_the_person_and_nothing_of_anybody_else(
    shop: Shop, acme: TenantId, globex: TenantId
) -> None:
    ada = shop.customer(acme, "1")
    shop.customer(acme, "2")
    shop.customer(globex, "1")
    # Looks like a reference, from the same tenant and from another.
    shop.note(acme, "invoice", ada, body="no note of hers")
    shop.note(globex, "customer", ada, body="no note of hers")
    archive = shop.export(acme, ada)
    found = {table: rows_in(archive, table) for table in COUNTS}
    assert {table: len(rows) for table, rows in found.items()} == COUNTS
    assert {row["tenant_id"] for rows in found.values() for row in rows} == {str(acme)}
    assert [row["id"] for row in found["shop.customers"]] == [ada]
    assert {row["customer_id"] for row in found["shop.invoices"]} == {ada}
    invoices = {row["id"] for row in found["shop.invoices"]}
    assert {row["invoice_id"] for row in found["shop.invoice_lines"]} == invoices
    assert {row["subject_id"] for row in found["shop.notes"]} == {ada, *invoices}
    for table, rows in found.items():
        lines = csv_in(archive, table)
        assert lines[0] == list(rows[0])
        assert len(lines) == len(rows) + 1
        at = lines[0].index("id")
        assert [line[at] for line in lines[1:]] == [row["id"] for row in rows]


def test_the_manifest_says_what_is_in_it_and_its_digest_is_on_record(
    shop: Shop, acme: TenantId
) -> None:
    archive = shop.export(acme, shop.customer(acme, "1"))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert {t["table"]: t["rows"] for t in manifest["tables"]} == COUNTS
    listed = {f["name"]: f for t in manifest["tables"] for f in t["files"]}
    assert set(archive.namelist()) == {*listed, "README.txt", "manifest.json", "SHA256SUMS"}
    for name, file in listed.items():
        data = archive.read(name)
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    sums = dict(
        reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines()
    )
    assert set(sums) == {*archive.namelist()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    (record,) = shop.records()
    assert record.manifest_sha256 == sums["manifest.json"]
    assert (record.state, record.counts, record.subject) == ("finished", COUNTS, "customer")
    assert (record.requested_by, record.reason) == ("ann", "letter")
    assert manifest["export"] == str(record.id)
    assert manifest["as_of"][:19] == record.as_of.isoformat()[:19]
    kept = {t["table"]: t for t in manifest["tables"]}
    assert kept["shop.invoices"]["on_erasure"]["action"] == "keep"
    assert "§ 147 AO" in kept["shop.invoices"]["on_erasure"]["basis"]
    assert kept["shop.invoice_lines"]["retention"][0]["period"].startswith("P")


class Everything(TenantModel):
    """A column of every type that there is."""

    text = TextField(null=True)
    flag = BooleanField(null=True)
    small = SmallIntegerField(null=True)
    whole = peewee.IntegerField(null=True)
    big = peewee.BigIntegerField(null=True)
    money = DecimalField(max_digits=38, decimal_places=10, null=True)
    ratio = DoubleField(null=True)
    day = DateField(null=True)
    at = InstantField(null=True)
    things = JSONField(null=True)
    other = UUIDField(null=True)
    short = peewee.CharField(max_length=40, null=True)

    class Meta:
        schema = "world"
        table_name = "everything"


WORLD = catalog_of([Everything])
PERSON = """
[subjects.thing]
table = "world.everything"
tables = [{ table = "world.everything", action = "delete" }]
"""
OTHER = "01a1f8b0-40cf-765f-99aa-7eac363e7fc8"

# A literal of SQL, what JSON has, and what CSV has between its commas.
VALUES = [
    ("text", "''", "", '""'),
    ("text", "'line\nfeed, \"quoted\" \t ünï😀 \u2028'", 'line\nfeed, "quoted" \t ünï😀 \u2028',
     '"line\nfeed, ""quoted"" \t ünï😀 \u2028"'),
    ("text", "'null'", "null", '"null"'),
    ("text", "'=HYPERLINK(\"x\")'", '=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'),
    ("text", "'-1+1'", "-1+1", '"\'-1+1"'),
    ("text", "'\t=1'", "\t=1", '"\'\t=1"'),
    ("text", "'＝1'", "＝1", '"\'＝1"'),
    ("text", "'''quoted'", "'quoted", "\"''quoted\""),
    ("text", "E'\\\\n \\\\u0041'", "\\n \\u0041", '"\\n \\u0041"'),
    ("short", "'@cmd'", "@cmd", "\"'@cmd\""),
    ("flag", "true", True, '"true"'),
    ("flag", "false", False, '"false"'),
    ("small", "-32768", -32768, "-32768"),
    ("whole", "2147483647", 2147483647, "2147483647"),
    ("big", "9007199254740993", "9007199254740993", "9007199254740993"),
    ("big", "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"),
    ("money", "1234567890123456789012345678.0123456789",
     "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
    ("money", "0.1", "0.1000000000", "0.1000000000"),
    ("money", "'NaN'", "NaN", "NaN"),
    ("ratio", "0.1::double precision + 0.2", 0.30000000000000004, "0.30000000000000004"),
    ("ratio", "'NaN'", "NaN", "NaN"),
    ("ratio", "'-Infinity'", "-Infinity", "-Infinity"),
    ("ratio", "5e-324", 5e-324, "5e-324"),
    ("day", "'0044-03-15 BC'", "0044-03-15 BC", '"0044-03-15 BC"'),
    ("day", "'infinity'", "infinity", '"infinity"'),
    ("day", "'-infinity'", "-infinity", '"\'-infinity"'),
    ("at", "'2026-03-29 02:30:00.123456+02'", "2026-03-29T00:30:00.123456+00:00",
     '"2026-03-29T00:30:00.123456+00:00"'),
    ("at", "'294276-12-31 23:59:59+00'", "294276-12-31T23:59:59+00:00",
     '"294276-12-31T23:59:59+00:00"'),
    ("at", "'infinity'", "infinity", '"infinity"'),
    ("things", "'{\"b\": [1, null, \"=x\"], \"a\": 0.1}'", {"a": 0.1, "b": [1, None, "=x"]},
     '"{""a"": 0.1, ""b"": [1, null, ""=x""]}"'),
    ("things", "'null'", None, '"null"'),
    ("things", "'\"=1\"'", "=1", '"""=1"""'),
    ("things", "'-1'", -1, '"\'-1"'),
    ("things", "'12345678901234567890'", 12345678901234567890, '"12345678901234567890"'),
    ("things", "'1.000000000000000000001'", "1.000000000000000000001",
     '"1.000000000000000000001"'),
    ("other", f"'{OTHER}'", OTHER, f'"{OTHER}"'),
    ("whole", "NULL", None, ""),
]  # fmt: skip


def test_values_of_every_type_are_what_they_are(
    installation: Installation, owner_sql: Owner, acme: TenantId
) -> None:
    db = peewee.PostgresqlDatabase(installation.settings.role_url("tenure_owner"))
    with db.atomic():
        create_tables(db, [Everything])
    db.close()
    assert {column for column, *_ in VALUES} >= {
        c.name for c in WORLD.table("world.everything").columns
    } - {"id", "tenant_id"}
    (subject,) = parse_subjects(PERSON, WORLD)
    exporter = Exporter(installation.retention, WORLD)
    for column, literal, in_json, in_csv in VALUES:
        key = new_id()
        owner_sql(
            f"INSERT INTO world.everything (tenant_id, id, {column})"
            f" VALUES ('{acme}', '{key}', {literal})"
        )
        out = io.BytesIO()
        exporter.of_subject(out, acme, subject, key, actor="test")
        archive = zipfile.ZipFile(out)
        (row,) = rows_in(archive, "world.everything")
        value = row.pop(column)
        assert (value, type(value)) == (in_json, type(in_json)), literal
        assert {row.pop("id"), row.pop("tenant_id")} == {str(key), str(acme)}
        assert set(row.values()) == {None}
        header, line, end = archive.read("world.everything.csv").decode().split("\r\n")
        at = header.replace('"', "").split(",").index(column)
        empty = header.count(",") - at
        assert end == ""
        assert line.endswith(in_csv + "," * empty), (column, literal, line)


def test_it_is_of_one_snapshot(shop: Shop, acme: TenantId) -> None:
    ada = shop.customer(acme, "1")
    asked: list[int] = []

    def others_write() -> bool:
        asked.append(1)
        shop.note(acme, "customer", ada, body="too late")
        if len(asked) == 1:
            shop.owner_sql("DELETE FROM shop.customer_profiles")
            shop.owner_sql("UPDATE shop.customers SET name = 'too late'")
        return False

    archive = shop.export(acme, ada, stop=others_write)
    assert len(asked) >= 2 * len(COUNTS)
    assert {table: len(rows_in(archive, table)) for table in COUNTS} == COUNTS
    assert b"too late" not in b"".join(archive.read(name) for name in archive.namelist())
    assert len(csv_in(archive, "shop.notes")) == 1 + COUNTS["shop.notes"]


def test_more_rows_than_a_fetch_and_large_ones_come_whole(shop: Shop, acme: TenantId) -> None:
    ada = shop.customer(acme, "1")
    shop.owner_sql(
        "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
        " SELECT %s, gen_random_uuid(), 'customer', %s, repeat('x', n %% 50 * 2000), now()"
        " FROM generate_series(1, 5000) n",
        (str(acme), ada),
    )
    fetched: list[int] = []
    archive = shop.export(acme, ada, on_rows=lambda _table, rows: fetched.append(rows))
    rows = rows_in(archive, "shop.notes")
    assert len({row["id"] for row in rows}) == len(rows) == 5003
    steps = [b - a for a, b in pairwise(fetched) if b > a]
    assert max(steps) < 200, "50 kB a row, and a megabyte is enough at once"


def test_memory_does_not_grow_with_the_rows(shop: Shop, acme: TenantId, tmp_path: Path) -> None:
    ada = shop.customer(acme, "1")
    shop.owner_sql(
        "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
        " SELECT %s, gen_random_uuid(), 'customer', %s, repeat(md5(n::text), 30), now()"
        " FROM generate_series(1, 30000) n",
        (str(acme), ada),
    )
    made = workshop_of(shop.installation, actor="test")
    target = tmp_path / "ada.zip"
    tracemalloc.start()
    try:
        with new_file(target) as out:
            made.exporter.of_subject(out, acme, made.subject("customer"), UUID(ada), actor="ann")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    written = sum(info.file_size for info in zipfile.ZipFile(target).infolist())
    assert written > 60_000_000
    assert peak < 12_000_000


def test_who_has_nothing_here_gets_nothing_and_that_is_on_record(
    shop: Shop, acme: TenantId, globex: TenantId
) -> None:
    theirs = shop.customer(globex, "1")
    with pytest.raises(SubjectError, match="there is no row of this customer"):
        shop.export(acme, theirs)
    (record,) = shop.records(acme)
    assert (record.state, record.manifest_sha256) == ("failed", None)


def test_what_is_left_of_a_person_whose_row_is_gone_is_exported(shop: Shop, acme: TenantId) -> None:
    gone = str(new_id())
    note = shop.note(acme, "customer", gone)
    archive = shop.export(acme, gone)
    assert [row["id"] for row in rows_in(archive, "shop.notes")] == [note]
    assert rows_in(archive, "shop.customers") == []


def test_when_the_person_asked_is_on_record_and_no_time_to_come(shop: Shop, acme: TenantId) -> None:
    ada = shop.customer(acme, "1")
    made = workshop_of(shop.installation, actor="test")
    ((now,),) = shop.owner_sql("SELECT clock_timestamp()")
    asked = now - timedelta(days=20)

    def copied(received_at: datetime | None) -> Any:
        return made.exporter.of_subject(
            io.BytesIO(), acme, made.subject("customer"), UUID(ada), actor="ann",
            received_at=received_at,
        )  # fmt: skip

    assert copied(asked).received_at == asked
    assert copied(None).received_at is None
    with pytest.raises(ExportError, match="later than now"):
        copied(now + timedelta(days=1))
    entered = shop.owner_sql(
        "SELECT body -> 'record' ->> 'received_at' FROM tenure.ledger_entries"
        " WHERE kind = 'export' ORDER BY recorded_at"
    )
    assert [value is not None for (value,) in entered] == [True, False]


def test_a_reason_that_says_nothing_is_refused_and_nothing_is_copied(
    shop: Shop, acme: TenantId
) -> None:
    made, out = workshop_of(shop.installation, actor="test"), io.BytesIO()
    with pytest.raises(ExportError, match="says nothing"):
        made.exporter.of_subject(
            out, acme, made.subject("customer"), UUID(shop.customer(acme, "1")),
            actor="ann", reason=" ",
        )  # fmt: skip
    with pytest.raises(ExportError, match="says nothing"):
        made.exporter.of_tenant(out, acme, actor="ann", reason="\t")
    assert out.getvalue() == b""
    assert shop.owner_sql("SELECT count(*) FROM tenure.exports") == [(0,)]


def test_stopped_or_failed_it_is_nothing_and_says_so(
    shop: Shop, acme: TenantId, tmp_path: Path
) -> None:
    ada = shop.customer(acme, "1", name="Ada Sentinel")
    made = workshop_of(shop.installation, actor="test")
    target = tmp_path / "ada.zip"

    def broken() -> bool:
        raise ValueError("Ada Sentinel")

    for stop, error in ((lambda: True, ExportError), (broken, ValueError)):
        with pytest.raises(error), new_file(target) as out:
            replace(made.exporter, stop=stop).of_subject(
                out, acme, made.subject("customer"), UUID(ada), actor="ann"
            )
        assert list(tmp_path.iterdir()) == []
    newest, oldest = shop.records(acme)
    assert (newest.state, newest.problem) == ("failed", "ValueError")
    assert oldest.problem == "stopped before it was whole"


def test_a_second_one_waits_for_the_first(shop: Shop, acme: TenantId, globex: TenantId) -> None:
    ada, bob = shop.customer(acme, "1"), shop.customer(globex, "1")
    tried: list[str] = []

    def again() -> bool:
        if not tried:
            tried.append("")
            shop.export(globex, bob)
            try:
                shop.export(acme, ada)
            except ExportError as error:
                tried.append(str(error))
        return False

    shop.export(acme, ada, stop=again)
    assert "another export of this kind is being made" in tried[1]


def test_the_record_is_there_before_the_rows_are_read_and_stays_when_killed(
    shop: Shop, acme: TenantId, tmp_path: Path
) -> None:
    ada = shop.customer(acme, "1")
    code = f"""
        import os, sys
        from dataclasses import replace
        from pathlib import Path
        from uuid import UUID
        from api.wiring import open_installation
        from api.workshop import workshop_of
        from config.settings import load_settings
        from retention.exports.new_file import new_file
        made = workshop_of(open_installation(load_settings()), actor="t")
        def die():
            print("reading", flush=True)
            sys.stdin.read()
            return False
        with new_file(Path("ada.zip")) as out:
            replace(made.exporter, stop=die).of_subject(
                out, UUID("{acme}"), made.subject("customer"), UUID("{ada}"), actor="ann")
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, env={**environment_of(shop.installation), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert child.stdout.readline() == b"reading\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (record,) = shop.records(acme)
    assert (record.state, record.requested_by) == ("begun", "ann")
    assert not (tmp_path / "ada.zip").exists()
    shop.export(acme, ada)


def test_what_has_ended_does_not_change_and_roles_do_no_more_than_that(
    shop: Shop, acme: TenantId, globex: TenantId
) -> None:
    shop.export(acme, shop.customer(acme, "1"))
    change = "UPDATE tenure.exports SET state = 'failed', problem = 'x'"
    connections = shop.installation.retention
    for statement in (change, "DELETE FROM tenure.exports", "TRUNCATE tenure.exports CASCADE"):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            connections.transaction(acme) as cursor,
        ):
            cursor.execute(statement)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            shop.owner_sql(statement)
    # The application sees them at its desk alone (tests/integration/api/test_subjects.py).
    for role, tenant in ((connections, globex), (shop.installation.app_connections, acme)):
        with role.transaction(tenant) as cursor:
            assert exports(cursor) == []


def test_the_ledger_has_it_without_a_word_about_the_person(shop: Shop, acme: TenantId) -> None:
    ada = shop.customer(acme, "1", email="ada@sentinel.example")
    shop.export(acme, ada)
    entries = shop.owner_sql(
        "SELECT kind, body, tenant_id::text FROM tenure.ledger_entries"
        " WHERE source = 'exports' ORDER BY recorded_at"
    )
    (record,) = shop.records()
    assert [(kind, tenant) for kind, _, tenant in entries] == [
        ("export", str(acme)),
        ("export-changed", str(acme)),
    ]
    body = entries[1][1]
    assert body["record"]["manifest_sha256"] == record.manifest_sha256
    assert body["record"]["counts"] == COUNTS
    assert set(body["commitments"]) == {"subject_hash", "requested_by", "reason"}
    said = json.dumps([e[1] for e in entries])
    for secret in (ada, key_hash(UUID(ada)).hex(), "ann", "letter", "sentinel"):
        assert secret not in said


# -- the command ---------------------------------------------------------------------------------


def test_the_command_writes_a_file_for_its_owner_alone(
    shop: Shop, acme: TenantId, tenure: Tenure, tmp_path: Path
) -> None:
    shop.customer(acme, "1", email="ada@sentinel.example")
    asked = ("subject", "export", "--tenant", "acme", "--subject", "customer", "--by", "email")
    result = tenure(*asked, "--value", "-", "--output", "a.zip", input="ada@sentinel.example\n")
    assert result.exit_code == 0, result.output
    assert "sentinel" not in result.output
    target = tmp_path / "a.zip"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    assert rows_in(zipfile.ZipFile(target), "shop.customers")[0]["email"] == "ada@sentinel.example"
    before = target.read_bytes()
    again = tenure(*asked, "--value", "ada@sentinel.example", "--output", "a.zip")
    assert (again.exit_code, target.read_bytes()) == (2, before)
    assert "a.zip is there already" in again.output
    listed = tenure("subject", "exports", "--tenant", "acme", "--format", "json")
    (record,) = json.loads(listed.output)
    assert record["requested_by"].startswith("command:")
    assert record["manifest_sha256"] in result.output
    nobody = tenure(*asked, "--value", "x@y", "--output", "b.zip")
    assert (nobody.exit_code, (tmp_path / "b.zip").exists()) == (2, False)
    unknown = tenure(
        "subject", "export", "--tenant", "acme", "--subject", "dog", "--key", str(new_id()),
        "--output", "b.zip",
    )  # fmt: skip
    assert "there is no subject 'dog'; declared are: customer" in unknown.output
    assert tenure(*asked, "--output", "b.zip").exit_code == 2


@pytest.fixture(autouse=True)
def _no_files(tmp_path: Path) -> Iterator[None]:
    """Whatever happens, no half of a file is left under a name."""
    yield
    assert not [p for p in tmp_path.glob("*.zip") if not zipfile.is_zipfile(p)]
