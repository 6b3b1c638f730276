"""Certificates of what runs did, on a database: what they state, to whom, and that it verifies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest

from config.release import release
from config.trace import new_trace_id
from retention.errors import LedgerError
from retention.hold_scopes import Scope
from retention.ledger import verifier
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import Subject, find_run
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Trust, VerifierError, verify_certificate
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id

from .conftest import Lab, Tenure
from .test_ledger_cli import env
from .test_ledger_publishing import current_key, ledger

__all__ = ["env", "ledger"]


@pytest.fixture
def issuer(lab: Lab, ledger: Ledger) -> Issuer:
    return Issuer(ledger, lab.installation.auditor, "test", 35)


def trust(ledger: Ledger) -> Trust:
    return Trust((current_key(ledger),))


def run_of(issuer: Issuer, named: object, tenant: TenantId | None = None) -> Subject:
    with issuer.auditor.transaction(None, read_only=True) as cursor:
        return find_run(cursor, str(named), tenant)


def arrange(lab: Lab, acme: TenantId, globex: TenantId) -> None:
    """Cases of two tenants, one of them held; nodes, more than one batch of them."""
    kept = lab.case(acme, files=2)
    lab.hold(acme, Scope("rows", TableName("lab", "cases"), rows=(UUID(kept),)))
    lab.case(acme, files=1)
    lab.case(globex, files=1)
    for _ in range(7):
        lab.node(acme)
    lab.node(globex)


def test_a_certificate_states_what_the_database_did(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    # One that looks back finds nothing, and is not the one after the run.
    lab.shop().verify(as_of=lab.long_ago, trace_id=new_trace_id())
    verification = lab.verify()
    issued = issuer.issue(run_of(issuer, run.run_id))
    stated = verify_certificate(issued.content, trust(ledger)).statement
    assert stated == issued.certificate.statement
    assert {t["table"]: t["rows"] for t in stated["tables"]} == run.deleted()
    assert {t["table"]: t["rows"] for t in stated["tables"]} == lab.recorded(run.trace_id)
    assert stated["run"]["trace_id"] == run.trace_id
    assert stated["run"]["requested_by"] == "test"
    assert stated["run"]["release"] == release()
    assert stated["run"]["detail"] == run.detail
    assert [(u["tenant_id"], u["policy"], u["state"]) for u in stated["units"]] == [
        (str(u.tenant_id), u.policy, u.state) for u in run.units
    ]
    assert [u["exceptions"] for u in stated["units"]] == [
        [{"reason": s.reason, "rows": s.rows} for s in u.skips] for u in run.units
    ]
    assert any(u["exceptions"] for u in stated["units"])
    assert max(u["batches"] for u in stated["units"]) > 1
    assert stated["complete"] == {"batches": True, "units": True}
    assert {p["legal_basis"] for p in stated["policies"]} == {"test"}
    assert [h["tenant_id"] for h in stated["holds"]["in_force"]] == [str(acme)]
    assert stated["verification"]["id"] == str(verification.id)
    assert stated["verification"]["findings"] == verification.findings
    assert len(stated["verification"]["results"]) == len(verification.results)
    assert all(r["query"] for r in stated["verification"]["results"])
    assert {b["difference"] for b in stated["verification"]["books"]} == {0}
    assert {t["slug"] for t in stated["tenants"]} == {"acme", "globex"}
    assert stated["backups"]["kept_days"] == 35
    assert any("periods of the rows began" in each for each in stated["not_covered"])


def test_of_one_tenant_it_says_nothing_of_others(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    lab.verify()
    whole = issuer.issue(run_of(issuer, run.run_id)).certificate
    issued = issuer.issue(run_of(issuer, run.run_id, acme))
    found = verify_certificate(issued.content, trust(ledger))
    everything = issued.content + b"".join(each.leaf for each in found.evidence)
    assert str(globex).encode() not in everything
    assert b"globex" not in everything
    assert str(acme).encode() in everything
    own = [u for u in whole.statement["units"] if u["tenant_id"] == str(acme)]
    assert found.statement["units"] == [u | {"kept": None} for u in own]
    assert found.statement["verification"]["findings"] is None
    assert {b["tenant_id"] for b in found.statement["verification"]["books"]} == {str(acme)}
    assert found.statement["run"]["detail"] is None
    assert found.statement["complete"]["units"] is False


def test_asked_for_again_it_is_the_same_until_something_changes(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    subject = run_of(issuer, run.trace_id)
    first = issuer.issue(subject).certificate
    lab.case(acme, opened=lab.lately)
    lab.hold(globex)
    again = issuer.issue(subject).certificate
    assert again.id == first.id
    assert again.statement["ledger"]["size"] > first.statement["ledger"]["size"]
    assert first.statement["verification"] is None
    lab.verify()
    after = issuer.issue(subject).certificate
    assert after.id != first.id
    assert after.statement["verification"]["findings"] == 0
    declared = replace(issuer, backups_kept_days=None).issue(subject).certificate
    assert declared.id != after.id
    assert declared.statement["backups"] is None
    rows = lab.sql("SELECT count(*), count(DISTINCT statement_sha256) FROM tenure.certificates")
    assert rows == [(3, 3)]


def test_what_people_did_to_a_run_is_in_it_with_their_reasons_for_all_tenants_alone(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    with lab.installation.retention.transaction(None) as cursor:
        cursor.execute(
            "INSERT INTO tenure.interventions (run_id, action, actor, reason)"
            " VALUES (%s, 'pause', 'ann', 'about globex')",
            (str(run.run_id),),
        )
    whole = issuer.issue(run_of(issuer, run.run_id)).certificate.statement
    assert [(i["action"], i["by"], i["reason"]) for i in whole["interventions"]] == [
        ("pause", "ann", "about globex")
    ]
    own = issuer.issue(run_of(issuer, run.run_id, acme))
    assert [i["reason"] for i in own.certificate.statement["interventions"]] == [None]
    assert b"about globex" not in own.content


def test_erased_texts_are_missing_and_the_rest_verifies(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    first = issuer.issue(run_of(issuer, run.run_id)).certificate
    lab.sql("ALTER TABLE tenure.ledger_texts DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.ledger_texts")
    after = issuer.issue(run_of(issuer, run.run_id))
    stated = verify_certificate(after.content, trust(ledger)).statement
    assert stated["run"]["requested_by"] is None
    assert {t["name"] for t in stated["tenants"]} == {None}
    assert stated["tables"] == first.statement["tables"]


def test_what_was_changed_in_the_database_bears_no_certificate(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    lab.sql("ALTER TABLE tenure.policy_versions DISABLE TRIGGER append_only")
    lab.sql(
        "UPDATE tenure.policy_versions"
        ' SET definition = definition || \'{"legal_basis": "another"}\''
    )
    with pytest.raises(LedgerError, match="another definition"):
        issuer.issue(run_of(issuer, run.run_id))
    lab.sql(
        'UPDATE tenure.policy_versions SET definition = definition || \'{"legal_basis": "test"}\''
    )
    for table in ("deleted_keys", "batches"):
        lab.sql(f"ALTER TABLE tenure.{table} DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.deleted_keys")
    lab.sql(
        "DELETE FROM tenure.batches WHERE id = (SELECT id FROM tenure.batches WHERE"
        " tenant_id = %s ORDER BY recorded_at LIMIT 1)",
        (str(acme),),
    )
    with pytest.raises(LedgerError, match="batches"):
        issuer.issue(run_of(issuer, run.run_id))


def test_no_certificate_of_a_run_that_goes_on_is_unknown_or_did_nothing_here(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer
) -> None:
    lab.node(acme)
    run = lab.run()
    with pytest.raises(LedgerError, match="there is no run"):
        run_of(issuer, new_id())
    with pytest.raises(LedgerError, match="nothing to do for this tenant"):
        issuer.issue(run_of(issuer, run.run_id, globex))
    lab.sql(
        "UPDATE tenure.runs SET state = 'running', finished_at = NULL WHERE id = %s",
        (str(run.run_id),),
    )
    with pytest.raises(LedgerError, match="has not ended"):
        run_of(issuer, run.run_id)


def test_without_a_key_there_is_none(
    lab: Lab, acme: TenantId, issuer: Issuer, ledger: Ledger
) -> None:
    lab.node(acme)
    run = lab.run()
    unsigned = replace(issuer, ledger=replace(ledger, outside=None))
    with pytest.raises(LedgerError, match="ledger_key_file"):
        unsigned.issue(run_of(issuer, run.run_id))
    assert lab.sql("SELECT count(*) FROM tenure.certificates") == [(0,)]


def test_it_verifies_alone_and_not_when_changed(
    lab: Lab, acme: TenantId, globex: TenantId, issuer: Issuer, ledger: Ledger, tmp_path: Path
) -> None:
    arrange(lab, acme, globex)
    run = lab.run()
    content = issuer.issue(run_of(issuer, run.run_id)).content
    file = tmp_path / "deleted.json"

    def check(data: bytes) -> subprocess.CompletedProcess[str]:
        file.write_bytes(data)
        return subprocess.run(
            [sys.executable, "-I", verifier.__file__, "--key", str(current_key(ledger)), str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = check(content)
    assert done.returncode == 0, done.stderr
    assert run.trace_id in done.stdout
    assert "Not covered: backups and dumps" in done.stdout
    for table, rows in run.deleted().items():
        assert f"{rows} rows of {table}" in done.stdout
    stated = json.loads(content)
    del stated["sha256"]
    stated["statement"]["tables"][0]["rows"] += 1
    changed = check(verifier.sealed(stated) + b"\n")
    assert changed.returncode == 1
    assert "what it states is not what its entries say: tables" in changed.stderr
    with pytest.raises(VerifierError):
        verify_certificate(content.replace(b"lab.", b"lob."), trust(ledger))


def test_the_command_gives_it_in_three_forms_for_one_tenant_or_all(
    tenure: Tenure, lab: Lab, acme: TenantId, globex: TenantId, env: dict[str, str], tmp_path: Path
) -> None:
    tenure("ledger", "keys", "new", env=env)
    arrange(lab, acme, globex)
    run = lab.run()
    lab.verify()
    text = tenure("certificate", run.trace_id, env=env)
    assert text.exit_code == 0, text.stderr
    assert "The operator has not declared when backups expire." in text.stdout
    found = json.loads(tenure("certificate", str(run.run_id), "--format", "json", env=env).stdout)
    assert found["certificate"] in text.stdout
    kept = env | {"TENURE_BACKUPS_KEPT_DAYS": "30"}
    own = tenure("certificate", run.trace_id, "--tenant", "globex", "--output", "g.txt", env=kept)
    assert (own.exit_code, own.stdout) == (0, "")
    written = (tmp_path / "g.txt").read_text()
    assert "30 days" in written
    assert str(acme) not in written
    tenure("certificate", run.trace_id, "--format", "pdf", "--output", "c.pdf", env=env)
    words = subprocess.run(
        ["pdftotext", "-layout", str(tmp_path / "c.pdf"), "-"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for part in (found["certificate"], "lab.nodes", "acme", "NIST SP 800-88"):
        assert part in words
    for wrong in (["nobody"], [run.trace_id, "--tenant", "nobody"], [str(new_id())]):
        assert tenure("certificate", *wrong, env=env).exit_code == 2
    assert tenure("certificate", run.trace_id).exit_code == 2, "nothing is signed"


@pytest.mark.parametrize("role", ["tenure_app", "tenure_verifier", "tenure_auditor"])
def test_nobody_but_retention_enters_a_certificate(lab: Lab, role: str) -> None:
    connection = psycopg2.connect(lab.installation.settings.role_url(role))
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tenure.certificates (id, kind, subject_id, statement_sha256, release,"
                " issued_by) VALUES (gen_random_uuid(), 'run', gen_random_uuid(), repeat('0', 64),"
                " 'x', 'x')"
            )
    finally:
        connection.close()


def test_a_certificate_that_was_entered_does_not_change(lab: Lab) -> None:
    for statement in (
        "UPDATE tenure.certificates SET release = 'x'",
        "DELETE FROM tenure.certificates",
        "TRUNCATE tenure.certificates CASCADE",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            lab.sql(statement)


def test_units_enter_the_ledger_once_when_they_end(
    lab: Lab, acme: TenantId, globex: TenantId, make_tenant: Callable[..., TenantId]
) -> None:
    arrange(lab, acme, globex)
    lab.hold(make_tenant("initech"))
    run = lab.run()
    entered = lab.sql(
        "SELECT body->'record'->>'state', (body->'record'->>'batches_count')::int"
        " FROM tenure.ledger_entries WHERE source = 'units' ORDER BY row_key"
    )
    kept = lab.sql("SELECT state, batches FROM tenure.units ORDER BY run_id || '/' || number")
    assert len(kept) == len(run.units) > 3
    assert entered == kept
