"""Certificates of erasures, on a database: what they state, to whom, and that it verifies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from retention.connectors.declarations import parse_connectors
from retention.connectors.delivery import Courier, deliver_due
from retention.connectors.requests import end
from retention.erasures import requests
from retention.errors import LedgerError
from retention.hold_scopes import Scope
from retention.ledger import verifier
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import Subject, find_subject
from retention.ledger.certificate_paper import to_text
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Trust, verify_certificate
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id
from tests.acceptance.test_documents import checked_by_hand

from .conftest import Lab, Tenure
from .erasing import APPROVER, ENTERED, approved, asked, erasure_of, executor, planned
from .test_erasure_cli import SENTINELS, ask, customer, ok
from .test_ledger_cli import env
from .test_ledger_publishing import current_key, ledger

__all__ = ["customer", "env", "ledger"]

PERSONAL = ("Sentinel-Asker", "jo@sentinel.example", "Sentinel-Passport")


@pytest.fixture
def issuer(lab: Lab, ledger: Ledger) -> Issuer:
    return Issuer(ledger, lab.installation.auditor, "test", 35)


def trust(ledger: Ledger) -> Trust:
    return Trust((current_key(ledger),))


def erasure(issuer: Issuer, named: object, tenant: TenantId | None = None) -> Subject:
    with issuer.auditor.transaction(None, read_only=True) as cursor:
        return find_subject(cursor, str(named), tenant)


def put_through(lab: Lab, tenant: TenantId, folder: Path) -> tuple[UUID, str, dict[str, int]]:
    """An erasure that was put off, waited for a hold and a connector, and was completed; the
    person's key, and the rows that went, as the keys' own table has them."""
    case = lab.case(tenant, files=2)
    lab.add("remarks", tenant, about="case", subject_id=case)
    connectors = parse_connectors(
        f'[connectors.documents]\nkind = "files"\nroot = "{folder}"\n'
        'prefix = "{tenant}/{key}"\ndeadline = "P7D"'
    )
    erasure_id = approved(lab, tenant, case)
    retention = lab.installation.retention
    requests.extend(
        retention, erasure_of(lab, erasure_id), months=2, reason="number", actor=ENTERED,
        now=lab.now,
    )  # fmt: skip
    hold = lab.hold(tenant, Scope("rows", TableName("lab", "cases"), rows=(UUID(case),)))
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "deferred"
    lab.release(hold)
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "deferred"
    deliver_due(Courier(retention, lab.installation.verifier, connectors, lab.catalog))
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "completed"
    rows = lab.sql(
        "SELECT table_name, sum(octet_length(hashes) / 16)::int FROM tenure.erased_keys"
        " WHERE erasure_id = %s GROUP BY 1",
        (str(erasure_id),),
    )
    return erasure_id, case, dict(rows)  # type: ignore[arg-type]


def test_a_certificate_states_what_the_database_did_and_not_to_whom(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    lab.case(globex, files=1)
    erasure_id, case, erased = put_through(lab, acme, tmp_path)
    issued = issuer.issue(erasure(issuer, erasure_id))
    found = verify_certificate(issued.content, trust(ledger))
    stated = found.statement
    assert {t["table"]: t["rows"] for t in stated["tables"]} == erased
    assert sum(erased.values()) > 5
    known = erasure_of(lab, erasure_id)
    assert stated["tenant"] == str(acme)
    assert stated["erasure"]["extended_months"] == 2
    assert lab.sql(
        "SELECT received_at = %s::timestamptz, due_at = %s::timestamptz, ended_at = %s::timestamptz"
        " FROM tenure.erasures WHERE id = %s",
        (*(stated["erasure"][n] for n in ("received_at", "due_at", "ended_at")), str(known.id)),
    ) == [(True, True, True)]
    assert (stated["erasure"]["entered_by"], stated["approval"]["by"]) == (ENTERED, APPROVER)
    assert stated["approval"]["alone"] is False
    assert [e["reason"] for e in stated["extensions"]] == ["number"]
    assert [w["name"] for w in stated["deferrals"][0]["waiting"]]
    assert [d["connectors"] for d in stated["deferrals"]][-1] == ["documents"]
    (answer,) = stated["connectors"]
    assert (answer["connector"], answer["state"]) == ("documents", "acknowledged")
    assert answer["asked_at"] < answer["answer"]["happened_at"]
    assert stated["verification"]["findings"] == 0
    digests = lab.sql(
        "SELECT encode(sha256(hashes), 'hex') FROM tenure.erased_keys WHERE erasure_id = %s",
        (str(erasure_id),),
    )
    assert sorted(t["keys_sha256"] for b in stated["batches"] for t in b["tables"]) == sorted(
        row[0] for row in digests
    )
    assert len(stated["batches"]) > 1
    leaves = b"".join(each.leaf for each in found.evidence)
    for text in (*PERSONAL, case, str(globex), "globex"):
        assert text.encode() not in issued.content + leaves, text
        assert text not in to_text(stated)
    assert issuer.issue(erasure(issuer, erasure_id, acme)).certificate.id == found.id


def test_it_verifies_alone_and_not_when_changed(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    erasure_id, _, erased = put_through(lab, acme, tmp_path)
    content = issuer.issue(erasure(issuer, erasure_id)).content
    file = tmp_path / "erased.json"

    def check(data: bytes) -> subprocess.CompletedProcess[str]:
        file.write_bytes(data)
        return subprocess.run(
            [sys.executable, "-I", verifier.__file__, "--key", str(current_key(ledger)), str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = check(content)
    assert done.returncode == 0, done.stderr
    for part in (
        f"Erasure {erasure_id} of a case", "another than who had entered the request",
        "The connector documents was asked, and has acknowledged.", "had 0 findings",
        "Whom it was about: nothing in it says so.",
        *(f"{rows} rows of {table}" for table, rows in erased.items()),
    ):  # fmt: skip
        assert part in done.stdout
    stated = json.loads(content)
    del stated["sha256"]
    stated["statement"]["approval"]["alone"] = True
    changed = check(verifier.sealed(stated) + b"\n")
    assert changed.returncode == 1
    assert "what it states is not what its entries say: approval" in changed.stderr


@pytest.mark.parametrize("part", ["nothing", "basis", "plan"])
def test_it_is_checked_by_hand_and_what_was_changed_is_found(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path, part: str
) -> None:
    erasure_id, _, _ = put_through(lab, acme, tmp_path)
    content = json.loads(issuer.issue(erasure(issuer, erasure_id)).content)
    stated, evidence = content["statement"], content["evidence"]
    if part == "basis":
        stated["outcome"][0] |= {"kept": {"rows": 1, "ends": []}, "basis": "because"}
    elif part == "plan":
        plan = next(each for each in evidence if "plan" in each["values"])
        plan["values"]["plan"] += " "
    folder = tmp_path / "by hand"
    folder.mkdir()
    code = checked_by_hand(folder, json.dumps(content), str(current_key(ledger)))
    assert (code == 0) == (part == "nothing")


def test_an_entry_that_is_left_out_is_found(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    erasure_id, _, _ = put_through(lab, acme, tmp_path)
    content = json.loads(issuer.issue(erasure(issuer, erasure_id)).content)
    del content["sha256"]
    assert len(content["evidence"]) > 15
    for number in range(len(content["evidence"])):
        evidence = [e for n, e in enumerate(content["evidence"]) if n != number]
        with pytest.raises(verifier.VerifierError):
            verify_certificate(
                verifier.sealed({**content, "evidence": evidence}) + b"\n", trust(ledger)
            )


def test_there_is_none_of_another_tenants_or_of_what_is_not_completed(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, tmp_path: Path
) -> None:
    done, _, _ = put_through(lab, acme, tmp_path)
    with pytest.raises(LedgerError, match="and no erasure"):
        erasure(issuer, done, globex)
    with pytest.raises(LedgerError, match="and no erasure"):
        erasure(issuer, new_id())
    retention = lab.installation.retention
    began = asked(lab, acme, lab.case(acme))
    with pytest.raises(LedgerError, match="is received; a certificate"):
        erasure(issuer, began)
    with pytest.raises(LedgerError, match="is planned; a certificate"):
        erasure(issuer, planned(lab, acme, lab.case(acme)))
    requests.refuse(retention, erasure_of(lab, began), ground="identity", actor=ENTERED)
    with pytest.raises(LedgerError, match="is refused; a certificate"):
        erasure(issuer, began)


@pytest.mark.parametrize(
    ("table", "change", "why"),
    [
        ("erasure_batches", "DELETE FROM tenure.erasure_batches", "counts other rows"),
        (
            "erasure_plans",
            "UPDATE tenure.erasure_plans SET plan = jsonb_set(plan, '{tables,0,rows}', '99')",
            "another plan",
        ),
        ("erasure_events", "DELETE FROM tenure.erasure_events WHERE event = 'extended'", "put off"),
    ],
)
def test_what_was_changed_in_the_database_bears_no_certificate(
    lab: Lab, acme: TenantId, issuer: Issuer, tmp_path: Path, table: str, change: str, why: str
) -> None:
    erasure_id, _, _ = put_through(lab, acme, tmp_path)
    lab.sql(f"ALTER TABLE tenure.{table} DISABLE TRIGGER append_only")
    lab.sql("ALTER TABLE tenure.erased_keys DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.erased_keys")
    lab.sql(change)
    with pytest.raises(LedgerError, match=why):
        issuer.issue(erasure(issuer, erasure_id))


def test_it_says_of_a_connector_that_never_answered_that_it_did_not(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret that nobody else has, 32")
    secret.chmod(0o600)
    connectors = parse_connectors(
        '[connectors.crm]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\n'
        f'secret_file = "{secret}"\ndeadline = "P7D"'
    )
    retention, verifier_role = lab.installation.retention, lab.installation.verifier
    erasure_id = approved(lab, acme, lab.case(acme))
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "deferred"
    deliver_due(Courier(retention, verifier_role, connectors, lab.catalog), everything=True)
    ((request,),) = lab.sql("SELECT id FROM tenure.connector_requests")
    with retention.transaction(acme) as cursor:
        end(cursor, acme, request, "crm", "withdrawn", actor="command:eve", detail="S3ntinel")
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "completed"
    issued = issuer.issue(erasure(issuer, erasure_id))
    stated = verify_certificate(issued.content, trust(ledger)).statement
    (crm,) = stated["connectors"]
    assert (crm["state"], crm["answer"], crm["reached"]) == ("withdrawn", None, True)
    assert crm["withdrawn"]["by"] == "command:eve"
    assert "never acknowledged, and was reached" in " ".join(to_text(stated).split())
    assert b"S3ntinel" not in issued.content


def test_erased_texts_are_missing_and_the_rest_verifies(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    erasure_id, _, _ = put_through(lab, acme, tmp_path)
    first = issuer.issue(erasure(issuer, erasure_id)).certificate
    lab.sql("ALTER TABLE tenure.ledger_texts DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.ledger_texts")
    after = issuer.issue(erasure(issuer, erasure_id))
    stated = verify_certificate(after.content, trust(ledger)).statement
    assert (stated["approval"]["by"], stated["erasure"]["entered_by"]) == (None, None)
    assert stated["approval"]["alone"] is False
    assert stated["outcome"] == first.statement["outcome"]


def test_the_command_gives_it_in_three_forms(
    tenure: Tenure, customer: str, make_tenant: Callable[..., TenantId], env: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    make_tenant("globex")
    ok(tenure("ledger", "keys", "new", env=env))
    alone = env | {"TENURE_ERASURE_APPROVAL": "single"}
    named = ask(tenure)
    ok(tenure("erasure", "confirm", named, "--how", "S3ntinel-Name rang back"))
    ok(tenure("erasure", "plan", named))
    unfinished = tenure("certificate", named, env=env)
    assert (unfinished.exit_code, unfinished.stdout) == (2, "")
    assert "is planned; a certificate tells of one that is completed" in unfinished.stderr
    ok(tenure("erasure", "approve", named, "--plan", "1", env=alone))
    ok(tenure("erasure", "run", named, env=env))
    text = ok(tenure("certificate", named, env=env))
    assert "who had entered the request, alone" in text
    content = ok(tenure("certificate", named.upper(), "--format", "json", env=env))
    assert json.loads(content)["certificate"] in text
    ok(tenure("certificate", named, "--tenant", "acme", "--format", "pdf", "--output", "e.pdf",
              env=env))  # fmt: skip
    words = subprocess.run(
        ["pdftotext", "-layout", str(tmp_path / "e.pdf"), "-"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for part in (named, "shop.customers", "acme", "NIST SP 800-88", "What was planned"):
        assert part in words
    for personal in (*SENTINELS, customer):
        assert personal not in text + content + words
    anothers = tenure("certificate", named, "--tenant", "globex", env=env)
    assert (anothers.exit_code, anothers.stdout) == (2, "")
    assert "and no erasure" in anothers.stderr
