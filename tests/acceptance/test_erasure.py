"""A person is erased from the shop: none of their texts is in a full dump, in whatever encoding,
but where a kept table says why. By the command, over HTTP, and by the worker, as they are run."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest

from api.wiring import Installation, owner_of
from tenants import registry
from tenants.context import TenantId
from tests.acceptance.conftest import serving, tenure
from tests.acceptance.sentinels import dump_of, found_in, tables_of
from tests.integration.retention.shop_rows import environment_of

# What JSON escapes, percent-encoding changes, and base64 has to keep together.
PERSON = {
    "number": "S3N-77-Këy",
    "name": 'S3ntinel "Ädå" O\'Name',
    "email": "s3ntinel+ada@person.example",
    "profile": "S3ntinel prefers mornings & tea",
    "note on customer": "S3ntinel rang: call back at 0151/77",
    "note on invoice": "S3ntinel disputes § 3 of it",
    "requester": "Counsel of S3ntinel Ädå",
    "identity": "S3ntinel's passport C01X00T47",
    "file": "S3ntinel's scanned letter",
}
KEPT = {
    "shop.invoices": "INV-S3ntinel-2026/07",
    "shop.invoice_lines": "S3ntinel's engraved ring",
}
BASIS = "§ 147 AO"
CONNECTORS = """
[connectors.files]
kind = "files"
root = "files"
prefix = "{tenant}/{key}"
deadline = "P7D"
"""


@dataclass(frozen=True)
class Shop:
    """A shop that is served: two people's rows in all tables that are reached, and the way to its
    API as two of its owners."""

    installation: Installation
    environment: Mapping[str, str]
    tenant: TenantId
    owners: tuple[httpx.Client, httpx.Client]
    files: Path

    def create(self, resource: str, **row: Any) -> str:
        answer = self.owners[0].post(
            f"/v1/{resource}", json=row, headers={"Prefer": "return=representation"}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()[0]["id"])

    def person(self, texts: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
        """Plant a person; return the ids of their rows by table."""
        customer = self.create(
            "customers", number=texts["number"], name=texts["name"], email=texts["email"],
            country="Peru",
        )  # fmt: skip
        profile = self.create(
            "customer-profiles", customer_id=customer, birthday="1961-02-03", notes=texts["profile"]
        )
        invoice = self.create(
            "invoices", customer_id=customer, number=kept["shop.invoices"],
            issued_at="2026-01-31T12:00:00Z",
        )  # fmt: skip
        product = self.create("products", sku=str(uuid4()), unit_price=1)
        line = self.create(
            "invoice-lines", invoice_id=invoice, product_id=product, line_no=1, quantity=1,
            unit_price=1, description=kept["shop.invoice_lines"],
        )  # fmt: skip
        notes = [
            self.create("notes", subject_type=kind, subject_id=of, body=texts[f"note on {kind}"])
            for kind, of in (("customer", customer), ("invoice", invoice))
        ]
        folder = self.files / str(self.tenant) / customer
        folder.mkdir(parents=True)
        (folder / "letter.txt").write_text(texts["file"])
        return {
            "customers": customer, "customer_profiles": profile, "invoices": invoice,
            "invoice_lines": line, "note on customer": notes[0], "note on invoice": notes[1],
        }  # fmt: skip

    def tenure(self, *arguments: str, expect: int = 0, stdin: str = "") -> str:
        return tenure(
            *arguments, environment=self.environment, expect=expect, stdin=stdin
        ).stdout.strip()

    def work(self) -> None:
        """Have the worker make plans, erase, and ask connectors, until nothing moves any more."""
        for _ in range(3):
            self.tenure("worker", "--once")

    def dump(self) -> dict[str, str]:
        assert self.installation.settings.database_url
        return tables_of(dump_of(self.installation.settings.database_url))


@pytest.fixture
def shop(installation: Installation, tmp_path: Path):
    (tmp_path / "connectors.toml").write_text(CONNECTORS)
    (tmp_path / "files").mkdir()
    environment = {
        **environment_of(installation),
        "TENURE_SECRET_KEY": "k" * 64,
        "TENURE_CONNECTORS_FILE": str(tmp_path / "connectors.toml"),
    }
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        tenant = registry.create_tenant(cursor, slug="acme", name="Acme")
        tokens = []
        for name in ("ann", "bob"):
            login = registry.create_login(
                cursor, email=f"{name}@acme.example", password_hash="none"
            )
            registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
            tokens.append(
                registry.issue_token(cursor, tenant_id=tenant, login_id=login, name=name)[1]
            )
    with serving(environment, tmp_path) as base_url, ExitStack() as stack:
        ann, bob = (
            stack.enter_context(
                httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {token}"})
            )
            for token in tokens
        )
        yield Shop(installation, environment, tenant, (ann, bob), tmp_path / "files")


def where(dump: Mapping[str, str], sentinels: Mapping[str, str | UUID]) -> dict[str, set[str]]:
    """Return in which tables of a dump each sentinel is, in whatever form."""
    return {
        name: {table for table, part in dump.items() if found_in(part, sentinel)}
        for name, sentinel in sentinels.items()
    }


def keys(rows: Mapping[str, str], *names: str) -> dict[str, str | UUID]:
    return {f"key of {name}": UUID(rows[name]) for name in names}


def ask(shop: Shop) -> str:
    """Enter and confirm a request over HTTP, and ask for a plan; return the erasure's path."""
    ann, _ = shop.owners
    answer = ann.post(
        "/v1/erasures",
        json={"subject": "customer", "by": "email", "value": PERSON["email"],
              "requester": PERSON["requester"]},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    path = str(answer.headers["Location"])
    assert ann.post(f"{path}/confirm", json={"how": PERSON["identity"]}).status_code == 200
    assert ann.post(f"{path}/plan", json={}).status_code == 202
    return path


def test_nothing_of_a_person_is_left_but_where_a_kept_table_says_why(shop: Shop) -> None:
    ann, bob = shop.owners
    other = {name: text.replace("S3", "0ther").replace("s3", "0ther") for name, text in
             PERSON.items()}  # fmt: skip
    other_kept = {name: text.replace("S3", "0ther") for name, text in KEPT.items()}
    others = shop.person(other, other_kept)
    mine = shop.person(PERSON, KEPT)
    in_rows = {name: text for name, text in PERSON.items() if name != "file"}
    path = ask(shop)
    before = where(shop.dump(), {**in_rows, **KEPT})
    assert all(before.values()), "the search finds what is there"
    assert before["requester"] == before["identity"] == {"tenure.erasure_subjects"}

    # Held: one note stays, with all that it refers to; all else goes.
    hold = shop.tenure(
        "hold", "place", "--tenant", "acme", "--table", "shop.notes", "--matter", "m", "--reason",
        "r", "--row", mine["note on customer"],
    )  # fmt: skip
    shop.work()
    assert ann.post(f"{path}/approve", json={"plan": 1}).status_code == 409
    assert bob.post(f"{path}/approve", json={"plan": 1}).json()["state"] == "approved"
    shop.work()
    assert ann.get(path).json()["state"] == "deferred"
    held = where(shop.dump(), in_rows)
    assert held["note on customer"] == {"shop.notes"}
    assert held["note on invoice"] == held["profile"] == set()
    report = json.loads(shop.tenure("report", "erasures", "--format", "json"))
    assert {f"hold {hold}"} <= set(report["erasures"][0]["waits_for"])

    # Released: it goes on by itself; connectors that waited for the hold, within a minute, or
    # at once when told to.
    shop.tenure("hold", "release", hold, "--grace", "P0D")
    shop.tenure("connectors", "deliver")
    shop.work()
    shown = ann.get(path)
    assert shown.json()["state"] == "completed", shown.text
    shop.tenure("verify")
    dump = shop.dump()
    gone = {**in_rows, **keys(mine, "customer_profiles", "note on customer", "note on invoice")}
    # The key of the row that was held is evidence of the hold (docs/erasure.md).
    left = {"key of note on customer": {"tenure.hold_rows"}}
    assert where(dump, gone) == {name: left.get(name, set()) for name in gone}

    # What is kept says why, and is where it is declared to be.
    (kept,) = [e["facts"]["kept"] for e in shown.json()["events"] if e["event"] == "completed"]
    bases = {line["table"]: line["basis"] for line in kept}
    for table, text in KEPT.items():
        assert where(dump, {"kept": text})["kept"] == {table}
        assert BASIS in bases[table]
    # The person's key is that of a row that says nothing any more, and of what is kept.
    where_key = where(dump, keys(mine, "customers"))["key of customers"]
    assert where_key == {"shop.customers", "shop.invoices"}
    # Files went as well, and nothing of anybody else's.
    assert not list((shop.files / str(shop.tenant) / mine["customers"]).rglob("*.txt"))
    assert (shop.files / str(shop.tenant) / others["customers"] / "letter.txt").exists()
    theirs = where(dump, {k: v for k, v in {**other, **other_kept}.items() if k not in
                          ("file", "requester", "identity")})  # fmt: skip
    assert all(theirs.values())
    letter = ann.get(f"{path}/letter", headers={"Accept": "text/plain"}).text
    # Invoices are kept, and say so.
    assert "what was erased, and what was not" in letter


@pytest.mark.parametrize("offset", range(3))
def test_the_search_finds_every_form(offset: int) -> None:
    """A search that finds nothing would prove nothing."""
    text = PERSON["name"]
    pad = "x" * offset
    raw = (pad + text + "yz").encode()
    for written in (
        pad + text, text.upper(), text.lower(), text.swapcase(),
        raw.hex(), raw.hex().upper(),
        base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(text.swapcase().encode()).decode(),
        quote(text), quote(text, safe="").lower(),
        json.dumps(text), json.dumps(text).replace("\\", "\\\\"),
        "\\\\x" + raw.hex(), "\\\\x" + base64.b64encode(raw).hex(),
        "\\\\x" + json.dumps(text).encode().hex(), "\\\\x" + quote(text, safe="").encode().hex(),
    ):  # fmt: skip
        assert found_in(f"COPY a.b (c) FROM stdin;\n1\t{written}\t2", text), written
    key = uuid4()
    around = b"x" * offset + key.bytes + b"yz"
    for written in (str(key), key.hex, base64.b64encode(around).decode(), "\\\\x" + around.hex()):
        assert found_in(written, key), written
    assert not found_in(f"nothing of {uuid4()} is here", key)
