"""Certificates of offboardings, on a database: what they state, to whom, and that it verifies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from retention.connectors.declarations import parse_connectors
from retention.connectors.delivery import deliver_due
from retention.errors import LedgerError
from retention.hold_scopes import Scope
from retention.ledger import verifier
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import Subject, find_subject
from retention.ledger.certificate_paper import to_text
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Trust, verify_certificate
from retention.offboardings import records
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id
from tests.acceptance.test_documents import checked_by_hand

from .conftest import CATALOG, Lab, Tenure
from .test_erasure_cli import SENTINELS, customer, ok
from .test_ledger_cli import env
from .test_ledger_publishing import current_key, ledger
from .test_offboardings import CONNECTORS, asked, counted, executor, member, of, plant, rows

__all__ = ["customer", "env", "ledger"]

MATTER, REASON = "S3ntinel-Matter", "contract ended"


@pytest.fixture
def issuer(lab: Lab, ledger: Ledger) -> Issuer:
    return Issuer(ledger, lab.installation.auditor, "test", 35)


def trust(ledger: Ledger) -> Trust:
    return Trust((current_key(ledger),))


def offboarding(issuer: Issuer, named: object, tenant: TenantId | None = None) -> Subject:
    with issuer.auditor.transaction(None, read_only=True) as cursor:
        return find_subject(cursor, str(named), tenant)


def put_through(lab: Lab, tenant: TenantId, folder: Path) -> tuple[UUID, dict[str, int]]:
    """An offboarding that was held, waited for a connector, and was completed; the rows that the
    tenant had."""
    (folder / "store" / str(tenant) / "cases").mkdir(parents=True)
    plant(lab, tenant)
    member(lab, tenant)
    had = rows(lab, tenant)
    held = Scope("rows", TableName("lab", "nodes"), rows=(UUID(min(had["nodes"])),))
    hold = lab.hold(tenant, held, matter=MATTER)
    offboarding_id = asked(lab, tenant)
    connectors = parse_connectors(CONNECTORS, folder=folder)
    work = executor(lab, connectors=connectors)
    assert work.run(offboarding_id).offboarding.state == "deferred"
    lab.release(hold)
    assert work.run(offboarding_id).offboarding.state == "waiting"
    assert deliver_due(lab.shop(connectors=connectors).courier) == {"acknowledged": 1}
    assert work.run(offboarding_id).offboarding.state == "completed"
    return offboarding_id, counted(had)


def test_a_certificate_states_what_the_database_did(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    plant(lab, globex)
    offboarding_id, had = put_through(lab, acme, tmp_path)
    issued = issuer.issue(offboarding(issuer, offboarding_id))
    found = verify_certificate(issued.content, trust(ledger))
    stated, known = found.statement, of(lab, offboarding_id)
    assert {t["table"]: t["rows"] for t in stated["tables"]} == had
    assert {t["action"] for t in stated["tables"]} == {"delete"}
    assert (stated["kind"], stated["tenant"]) == ("tenant", str(acme))
    one = stated["offboarding"]
    assert (one["requested_by"], one["grace"]) == ("command:ann", "P0D")
    times = ("requested_at", "deletes_at", "started_at", "ended_at")
    assert lab.sql(
        "SELECT requested_at = %s::timestamptz, deletes_at = %s::timestamptz,"
        " started_at = %s::timestamptz, ended_at = %s::timestamptz"
        " FROM tenure.offboardings WHERE id = %s",
        (*(one[name] for name in times), str(offboarding_id)),
    ) == [(True, True, True, True)]
    assert lab.sql(
        "SELECT id::text, manifest_sha256 FROM tenure.exports WHERE tenant_id = %s", (str(acme),)
    ) == [(stated["export"]["id"], stated["export"]["manifest_sha256"])]
    assert {each["name"]: each["value"] for each in stated["export"]["counts"]} == had
    assert {e["name"]: e["value"] for e in stated["access_ended"]} == {
        "memberships": 1, "api_tokens": 1, "sessions": 1,
    }  # fmt: skip
    assert [each["state"] for each in stated["deferrals"]] == ["deferred", "waiting"]
    (hold,) = stated["holds"]["in_force"]
    assert (hold["scope"], hold["table_name"]) == ("rows", "lab.nodes")
    (answer,) = stated["connectors"]
    assert (answer["connector"], answer["state"]) == ("documents", "acknowledged")
    assert answer["asked_at"] < answer["answer"]["happened_at"]
    assert known.stays is not None
    assert {s["table"]: {"rows": s["rows"], "why": s["why"]} for s in stated["stays"]} == dict(
        known.stays
    )
    verified = stated["verification"]
    assert (verified["by"], verified["findings"]) == ("tenure_verifier", 0)
    assert verified["tables"] == sorted(str(t.name) for t in CATALOG if t.kind == "tenant")
    assert one["started_at"] < verified["at"] < one["ended_at"]
    digests = lab.sql(
        "SELECT encode(sha256(hashes), 'hex') FROM tenure.purged_keys WHERE tenant_id = %s",
        (str(acme),),
    )
    assert sorted(t["keys_sha256"] for b in stated["batches"] for t in b["tables"]) == sorted(
        row[0] for row in digests
    )
    assert len(stated["batches"]) > 5
    leaves = b"".join(each.leaf for each in found.evidence)
    for text in (MATTER, REASON, str(globex), "globex"):
        assert text.encode() not in issued.content + leaves, text
        assert text not in to_text(stated)
    assert issuer.issue(offboarding(issuer, offboarding_id, acme)).certificate.id == found.id


def test_it_verifies_alone_and_not_when_changed(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    offboarding_id, had = put_through(lab, acme, tmp_path)
    content = issuer.issue(offboarding(issuer, offboarding_id)).content
    file = tmp_path / "left.json"

    def check(data: bytes) -> subprocess.CompletedProcess[str]:
        file.write_bytes(data)
        return subprocess.run(
            [sys.executable, "-I", verifier.__file__, "--key", str(current_key(ledger)), str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = check(content)
    assert done.returncode == 0, done.stderr
    for part in (
        f"Offboarding {offboarding_id}, asked for", "exported before",
        "The connector documents was asked, and has acknowledged.",
        "1 rows of tenure.tenants stay: what all that stays refers to",
        "tenure_verifier found no row of the tenant in",
        *(f"{count} rows of {table}" for table, count in had.items()),
    ):  # fmt: skip
        assert part in done.stdout
    stated = json.loads(content)
    del stated["sha256"]
    del stated["statement"]["stays"][0]
    changed = check(verifier.sealed(stated) + b"\n")
    assert changed.returncode == 1
    assert "what it states is not what its entries say: stays" in changed.stderr


@pytest.mark.parametrize("part", ["nothing", "rows", "batch", "name"])
def test_it_is_checked_by_hand_and_what_was_changed_is_found(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path, part: str
) -> None:
    offboarding_id, _ = put_through(lab, acme, tmp_path)
    content = json.loads(issuer.issue(offboarding(issuer, offboarding_id)).content)
    stated, evidence = content["statement"], content["evidence"]
    if part == "rows":
        stated["tables"][0]["rows"] += 1
    elif part == "batch":
        line = f"index {stated['batches'][0]['entry']}"
        del evidence[next(n for n, e in enumerate(evidence) if line in e["proof"].split("\n"))]
    elif part == "name":
        named = next(each for each in evidence if "requested_by" in each["texts"])
        named["texts"]["requested_by"]["text"] = "somebody else"
    folder = tmp_path / "by hand"
    folder.mkdir()
    code = checked_by_hand(folder, json.dumps(content), str(current_key(ledger)))
    assert (code == 0) == (part == "nothing")


def test_an_entry_that_is_left_out_is_found(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    offboarding_id, _ = put_through(lab, acme, tmp_path)
    content = json.loads(issuer.issue(offboarding(issuer, offboarding_id)).content)
    del content["sha256"]
    assert len(content["evidence"]) > 20
    for number in range(len(content["evidence"])):
        evidence = [e for n, e in enumerate(content["evidence"]) if n != number]
        with pytest.raises(verifier.VerifierError):
            verify_certificate(
                verifier.sealed({**content, "evidence": evidence}) + b"\n", trust(ledger)
            )


def test_there_is_none_of_another_tenants_or_of_what_is_not_completed(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, tmp_path: Path
) -> None:
    done, _ = put_through(lab, acme, tmp_path)
    with pytest.raises(LedgerError, match="and no erasure or offboarding"):
        offboarding(issuer, done, globex)
    with pytest.raises(LedgerError, match="and no erasure or offboarding"):
        offboarding(issuer, new_id())
    plant(lab, globex)
    open_ = asked(lab, globex)
    with pytest.raises(LedgerError, match="is requested; a certificate"):
        offboarding(issuer, open_)
    records.take_back(
        lab.installation.retention, of(lab, open_), actor="command:bob", reason="they stay"
    )
    with pytest.raises(LedgerError, match="is taken back; a certificate"):
        offboarding(issuer, open_)
    again = asked(lab, globex)
    hold = Scope("rows", TableName("lab", "nodes"), rows=(UUID(min(rows(lab, globex)["nodes"])),))
    lab.hold(globex, hold)
    executor(lab).run(again)
    with pytest.raises(LedgerError, match="is deferred; a certificate"):
        offboarding(issuer, again)
    # Not even for whoever passes the question by.
    for one in (open_, again):
        with pytest.raises(LedgerError, match="was not completed"):
            issuer.issue(Subject("tenant", one, globex))


def test_what_was_changed_in_the_database_bears_no_certificate(
    lab: Lab, acme: TenantId, issuer: Issuer, tmp_path: Path
) -> None:
    offboarding_id, _ = put_through(lab, acme, tmp_path)
    for table in ("purged_keys", "purge_batches"):
        lab.sql(f"ALTER TABLE tenure.{table} DISABLE TRIGGER append_only")
        lab.sql(f"DELETE FROM tenure.{table}")
    with pytest.raises(LedgerError, match="counts other rows"):
        issuer.issue(offboarding(issuer, offboarding_id))


def test_erased_texts_are_missing_and_the_rest_verifies(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    offboarding_id, _ = put_through(lab, acme, tmp_path)
    first = issuer.issue(offboarding(issuer, offboarding_id)).certificate
    lab.sql("ALTER TABLE tenure.ledger_texts DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.ledger_texts")
    after = issuer.issue(offboarding(issuer, offboarding_id))
    stated = verify_certificate(after.content, trust(ledger)).statement
    assert stated["offboarding"]["requested_by"] is None
    assert stated["tables"] == first.statement["tables"]


def test_the_command_gives_it_in_three_forms(
    tenure: Tenure, customer: str, make_tenant: Callable[..., TenantId], env: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    make_tenant("globex")
    ok(tenure("ledger", "keys", "new", env=env))
    request = ("tenants", "offboard", "request", "acme", "--reason", "contract ended",
               "--output", "acme.zip", "--grace", "P0D", "--format", "json")  # fmt: skip
    named = json.loads(ok(tenure(*request, env=env)))["id"]
    unfinished = tenure("certificate", named, env=env)
    assert (unfinished.exit_code, unfinished.stdout) == (2, "")
    assert "is requested; a certificate tells of one that is completed" in unfinished.stderr
    ok(tenure("tenants", "offboard", "run", "acme", env=env))
    shown = ok(tenure("tenants", "offboard", "show", "acme", "--format", "json", env=env))
    assert json.loads(shown)["id"] == named
    text = ok(tenure("certificate", named, env=env))
    content = ok(tenure("certificate", named.upper(), "--format", "json", env=env))
    assert json.loads(content)["certificate"] in text
    ok(tenure("certificate", named, "--tenant", "acme", "--format", "pdf", "--output", "l.pdf",
              env=env))  # fmt: skip
    words = subprocess.run(
        ["pdftotext", "-layout", str(tmp_path / "l.pdf"), "-"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for part in (named, "shop.customers", "acme", "NIST SP 800-88", "What stays of the tenant"):
        assert part in words
    for personal in (*SENTINELS, customer, "contract ended"):
        assert personal not in text + content + words
    anothers = tenure("certificate", named, "--tenant", "globex", env=env)
    assert (anothers.exit_code, anothers.stdout) == (2, "")
    assert "and no erasure or offboarding" in anothers.stderr


def test_the_command_refuses_one_that_was_taken_back(
    tenure: Tenure, customer: str, env: dict[str, str]
) -> None:
    ok(tenure("ledger", "keys", "new", env=env))
    request = ("tenants", "offboard", "request", "acme", "--reason", "contract ended",
               "--output", "acme.zip", "--format", "json")  # fmt: skip
    named = json.loads(ok(tenure(*request, env=env)))["id"]
    ok(tenure("tenants", "offboard", "take-back", "acme", "--reason", "they stay", env=env))
    refused = tenure("certificate", named, env=env)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is taken back; a certificate tells of one that is completed" in refused.stderr
