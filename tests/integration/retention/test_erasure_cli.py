"""`tenure erasure`, as a user runs it, from the request to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tenants.context import TenantId
from tenants.models import new_id
from tests.unit.retention.test_pdf import text_of

from .conftest import Tenure

SENTINELS = ("S3ntinel-Name", "s3ntinel@example.org", "S3N-77", "S3ntinel-Note", "S3ntinel-Asker")


@pytest.fixture
def customer(make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]) -> str:
    """A customer of acme's with a profile, an invoice, and notes on both; their id."""
    tenant, customer, invoice = str(make_tenant("acme")), str(new_id()), str(new_id())
    owner_sql(
        "INSERT INTO shop.customers (tenant_id, id, number, name, email, country, created_at)"
        " VALUES (%s, %s, 'S3N-77', 'S3ntinel-Name', 's3ntinel@example.org', 'Peru', now())",
        (tenant, customer),
    )
    owner_sql(
        "INSERT INTO shop.customer_profiles (tenant_id, id, customer_id, newsletter, notes)"
        " VALUES (%s, %s, %s, true, 'S3ntinel-Note')",
        (tenant, str(new_id()), customer),
    )
    owner_sql(
        "INSERT INTO shop.invoices (tenant_id, id, number, customer_id, issued_at, status,"
        " currency, total) VALUES (%s, %s, '1', %s, '2024-05-06', 'paid', 'GBP', 2)",
        (tenant, invoice, customer),
    )
    for kind, subject in (("customer", customer), ("invoice", invoice)):
        owner_sql(
            "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
            " VALUES (%s, %s, %s, %s, 'S3ntinel-Note', now())",
            (tenant, str(new_id()), kind, subject),
        )
    return customer


def ask(tenure: Tenure, **more: Any) -> str:
    asked = tenure(
        "erasure", "request", "--tenant", "acme", "--subject", "customer", "--by", "email",
        "--value", "-", "--requester", "S3ntinel-Asker", input="s3ntinel@example.org\n", **more,
    )  # fmt: skip
    assert asked.exit_code == 0, asked.output
    return asked.stdout.strip()


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_the_request_to_the_answer(
    tenure: Tenure, customer: str, owner_sql: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    erasure = ask(tenure)
    assert "We received your request" in ok(tenure("erasure", "letter", erasure))
    ok(tenure("erasure", "confirm", erasure, "--how", "S3ntinel-Name rang back"))
    shown = ok(tenure("erasure", "show", erasure))
    assert f"about {customer}, email = s3ntinel@example.org" in shown
    assert "asked by S3ntinel-Asker; identity: S3ntinel-Name rang back" in shown
    assert "not kept" in ok(tenure("erasure", "plan", erasure, "--dry-run"))
    planned = json.loads(ok(tenure("erasure", "plan", erasure, "--format", "json")))
    assert planned["number"] == 1
    tables = {t["table"]: (t["action"], t["rows"], t["going"]) for t in planned["tables"]}
    assert tables == {
        "shop.customers": ("anonymise", 1, 1),
        "shop.customer_profiles": ("delete", 1, 1),
        "shop.notes": ("delete", 2, 2),
        "shop.invoices": ("keep", 1, 0),
        "shop.invoice_lines": ("keep", 0, 0),
    }
    (invoices,) = [t for t in planned["tables"] if t["table"] == "shop.invoices"]
    assert invoices["ends"] == [
        {"policy": "invoices-10-years", "until": "2034-05-06T00:00:00+00:00"}
    ]
    refused = tenure("erasure", "approve", erasure)
    assert refused.exit_code == 2
    assert "another person approves it" in refused.stderr
    monkeypatch.setenv("TENURE_ERASURE_APPROVAL", "single")
    wrong = tenure("erasure", "approve", erasure, "--plan", "9")
    assert wrong.exit_code == 2
    assert "plan 1 of erasure" in wrong.stderr
    assert "is approved" in ok(tenure("erasure", "approve", erasure, "--plan", "1"))
    assert "4 rows go now" in ok(tenure("erasure", "run", erasure, "--dry-run"))
    assert owner_sql("SELECT count(*) FROM shop.notes") == [(2,)]
    done = ok(tenure("erasure", "run", erasure))
    assert "completed: 4 rows in 1 batches" in done
    assert owner_sql("SELECT count(*) FROM shop.notes") == [(0,)]
    ((number, name, email, country),) = owner_sql(
        "SELECT number, name, email, country FROM shop.customers"
    )
    assert re.fullmatch("an1_[0-9a-f]{32}", number)
    assert (name, email, country) == ("(erased)", None, "Peru")

    explained = ok(tenure("retention", "explain", "customers", customer))
    assert re.search(f"anonymised [^ ]+ by erasure {erasure}, batch ", explained)
    assert re.search("requested [^ ]+, to go by [^ ]+\n", explained)
    row = json.loads(ok(tenure("retention", "explain", "customers", customer, "--format", "json")))
    (change,) = row["rows"][0]["deletions"]
    assert (change["erasure_id"], change["policy"], change["run_id"]) == (erasure, None, None)

    letter = ok(tenure("erasure", "letter", erasure))
    assert "Your request for erasure: what was erased, and what was not" in letter
    assert "- shop.notes, 2 records: deleted" in letter
    assert "- shop.customers, 1 record: made anonymous" in letter
    assert "§ 147 AO" in letter
    assert "6 May 2034" in letter
    assert max(map(len, letter.splitlines())) <= 78
    pdf = tmp_path / "letter.pdf"
    assert f"written to {pdf}" in ok(tenure("erasure", "letter", erasure, "--pdf", str(pdf)))
    text = text_of(pdf.read_bytes())
    assert "Your request for erasure: what was erased, and what was not" in text
    assert erasure in text
    for printed in (
        letter, text, ok(tenure("erasure", "show", erasure, "--format", "json")),
        ok(tenure("erasure", "list", "--all", "--format", "json")),
    ):  # fmt: skip
        assert not [one for one in SENTINELS if one in printed]
    again = tenure("erasure", "run", erasure)
    assert again.exit_code == 2
    assert "is completed; it is carried out once it is approved" in again.stderr


def test_what_is_held_is_told_and_waits(
    tenure: Tenure, customer: str, owner_sql: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENURE_ERASURE_APPROVAL", "single")
    hold = ok(
        tenure(
            "hold", "place", "--tenant", "acme", "--table", "shop.customers", "--subject", customer,
            "--matter", "Secret v. Acme", "--reason", "r",
        )
    ).strip()  # fmt: skip
    erasure = ask(tenure)
    ok(tenure("erasure", "confirm", erasure, "--how", "h"))
    assert f"1 wait for hold {hold}, until it is released" in ok(tenure("erasure", "plan", erasure))
    ok(tenure("erasure", "approve", erasure))
    assert "deferred (waits for holds or minimum periods): 0 rows" in ok(
        tenure("erasure", "run", erasure)
    )
    letter = ok(tenure("erasure", "letter", erasure))
    assert "is under a legal hold" in letter
    assert "legal claims" not in letter
    assert "Secret" not in letter
    assert "erasures: 1 open, 0 overdue, 1 deferred" in ok(tenure("retention", "status"))
    ok(tenure("hold", "release", hold, "--grace", "P0D"))
    assert "completed: 4 rows" in ok(tenure("erasure", "run", erasure))


def test_a_refusal_says_its_ground_and_an_extension_its_reason(
    tenure: Tenure, customer: str
) -> None:
    erasure = ask(tenure)
    ok(tenure("erasure", "extend", erasure, "--months", "2", "--reason", "complexity"))
    letter = ok(tenure("erasure", "letter", erasure))
    assert "takes longer" in letter
    assert "In view of the complexity of the request" in " ".join(letter.split())
    ok(tenure("erasure", "refuse", erasure, "--ground", "legal-obligation"))
    letter = " ".join(ok(tenure("erasure", "letter", erasure)).split())
    assert "is refused" in letter
    assert "(Art. 17(3)(b) GDPR)" in letter
    assert "lodge a complaint with a supervisory authority" in letter
    second = ask(tenure)
    assert "is withdrawn" in ok(tenure("erasure", "withdraw", second))
    assert "may ask again" in " ".join(ok(tenure("erasure", "letter", second)).split())


def test_what_is_overdue_is_listed_and_found(tenure: Tenure, customer: str) -> None:
    received = (datetime.now(UTC) - timedelta(days=40)).date().isoformat()
    asked = tenure(
        "erasure", "request", "--tenant", "acme", "--subject", "customer", "--key", customer,
        "--requester", "x", "--received-at", received, "--format", "json",
    )  # fmt: skip
    erasure = json.loads(ok(asked))
    assert erasure["state"] == "received"
    assert "OVERDUE" in ok(tenure("erasure", "list", "--overdue"))
    assert "1 open, 1 overdue" in ok(tenure("retention", "status"))
    verified = tenure("verify")
    assert verified.exit_code == 1
    assert re.search(r"erasures +overdue +acme +1", verified.stdout)
    late = tenure("erasure", "extend", erasure["id"], "--months", "1", "--reason", "number")
    assert late.exit_code == 2
    assert "which is over" in late.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "01a1f8b0-40cf-765f-99aa-7eac363e7fc8", "--by", "email", "--value", "x"],
         "give the person's --key, or --by with --value"),
        (["--by", "email"], "give the person's --key, or --by with --value"),
        (["--by", "email", "--value", "no@body"], "has no customer whose email is"),
        (["--by", "country", "--value", "Peru"], "is found by id, number, email, not by country"),
        (["--by", "email", "--value", "x", "--received-at", "2999-01-01"], "has no customer"),
    ],
)  # fmt: skip
def test_who_is_meant_must_be_said(
    tenure: Tenure, customer: str, arguments: list[str], said: str
) -> None:
    asked = tenure(
        "erasure", "request", "--tenant", "acme", "--subject", "customer", "--requester", "x",
        *arguments,
    )  # fmt: skip
    assert asked.exit_code == 2
    assert said in asked.stderr
