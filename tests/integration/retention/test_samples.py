"""Samples: drawn so that anybody can draw them again, found by a key alone, and proven to be what
the ledger was told; every link that is broken is named."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from retention.deletions import key_hash
from retention.ledger import verifier
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import SignedCheckpoint, VerifierKey, leaf_hash, verify_inclusion
from retention.policies import Period, cutoff
from retention.policy_records import set_period
from retention.reports.drawing import Draw, Presented
from retention.reports.samples import SamplesReport, kept_of, proof_of, samples_report
from retention.reports.scope import EVERYTHING, Scope
from tenants.context import TenantId
from tenants.registry import TenantRow

from .conftest import Tenure

ORIGIN = "ledger.example/acme"


@pytest.fixture
def ledger(lab: Any, tmp_path: Path) -> Ledger:
    """A ledger with a key and a folder."""
    (tmp_path / "checkpoints").mkdir()
    create_key(tmp_path / "ledger.key", ORIGIN)
    outside = Outside(ORIGIN, tmp_path / "ledger.key", Folder(tmp_path / "checkpoints"))
    return Ledger(lab.installation.retention, outside, "test")


def ask(lab: Any, asked: Draw | Presented | None, scope: Scope = EVERYTHING) -> SamplesReport:
    with lab.installation.auditor.transaction(
        None, isolation="REPEATABLE READ", read_only=True
    ) as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ((now,),) = cursor.fetchall()
        return samples_report(cursor, scope, now, asked)


def test_a_key_alone_leads_to_run_rule_and_proof(lab: Any, acme: TenantId, ledger: Ledger) -> None:
    cases = [lab.case(acme, files=1) for _ in range(5)]
    report = lab.run()
    ledger.publish(wait=True)
    found = ask(lab, Presented(UUID(cases[2])))
    [sample] = found.samples
    assert sample.key == UUID(cases[2])
    assert (sample.tenant, sample.table, sample.went, sample.action) == (
        "acme", "lab.cases", "itself", "delete",
    )  # fmt: skip
    assert (sample.trace_id, sample.run_id) == (report.trace_id, report.run_id)
    assert (sample.policy, sample.version, sample.approved_by) == ("cases", 1, "test")
    ((as_of, recorded_at, legal_basis),) = lab.sql(
        "SELECT r.as_of, b.recorded_at, v.definition->>'legal_basis' FROM tenure.batches b"
        " JOIN tenure.runs r ON r.id = b.run_id JOIN tenure.policy_versions v USING (policy)"
        " WHERE b.id = %s",
        (str(sample.batch_id),),
    )
    assert (sample.due_by, sample.purged_at) == (as_of, recorded_at)
    assert sample.legal_basis == legal_basis
    assert sample.cutoff == cutoff(Period.parse(sample.period), as_of)
    assert sample.cutoff_agrees
    assert sample.proof == "proven"


def test_a_proof_that_is_taken_along_holds_without_us(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    case = lab.case(acme)
    lab.case(acme)
    lab.run()
    ledger.publish(wait=True)
    [sample] = ask(lab, Presented(UUID(case))).samples
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        text = proof_of(cursor, sample.batch_id)
        kept = kept_of(cursor, sample.batch_id, sample.table)
    assert text
    assert kept
    hashes, starts = kept.hashes, kept.starts
    assert starts
    # By the file's format alone: the entry, its place, the path, the note.
    head, note = text.split("\n\n", 1)
    magic, extra, index, *path = head.split("\n")
    assert magic == "c2sp.org/tlog-proof@v1"
    leaf = base64.b64decode(extra.removeprefix("extra "))
    ((vkey,),) = lab.sql("SELECT vkey FROM tenure.ledger_key_steps")
    signed = SignedCheckpoint.verify(note.encode(), [VerifierKey.parse(vkey)]).checkpoint
    place = int(index.removeprefix("index "))
    verify_inclusion(
        leaf_hash(leaf), place, signed.size, [base64.b64decode(p) for p in path], signed.root
    )
    said = json.loads(leaf)["record"]["counts"][sample.table]
    assert said == {
        "rows": len(hashes) // 16,
        "sha256": hashlib.sha256(hashes).hexdigest(),
        "starts_sha256": hashlib.sha256(starts).hexdigest(),
    }
    parts = {hashes[i : i + 16] for i in range(0, len(hashes), 16)}
    assert key_hash(UUID(case)) in parts
    assert (sample.index, sample.checkpoint) == (place, signed.size)


def test_rows_that_went_along_say_so(lab: Any, acme: TenantId) -> None:
    lab.case(acme, files=1)
    page = next(iter(lab.ids("pages")))
    lab.run()
    [sample] = ask(lab, Presented(UUID(page))).samples
    assert (sample.table, sample.went) == ("lab.pages", "along with lab.cases")
    assert sample.trigger.startswith("lab.cases.")


def test_the_same_seed_draws_the_same_and_another_others(lab: Any, acme: TenantId) -> None:
    for _ in range(20):
        lab.case(acme, files=1)
    lab.run()
    first = ask(lab, Draw(10, "q3"))
    again = ask(lab, Draw(10, "q3"), Scope(until=first.population.until))
    other = ask(lab, Draw(10, "q4"))
    assert [s.key_hash for s in first.samples] == [s.key_hash for s in again.samples]
    assert first.population.digest == again.population.digest
    assert {s.key_hash for s in first.samples} != {s.key_hash for s in other.samples}
    assert len({(s.batch_id, s.table, s.key_hash) for s in first.samples}) == 10


def test_a_population_that_shrank_says_so(lab: Any, acme: TenantId, tenure: Tenure) -> None:
    """What batches record is in the ledger; the list that a draw is made from is not."""
    for _ in range(5):
        lab.case(acme, files=1)
    lab.run()
    whole = ask(lab, None).population
    assert (whole.rows_without_keys, whole.batches_without_keys) == (0, 0)
    lab.sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER append_only")
    lab.sql("DELETE FROM tenure.deleted_keys WHERE table_name = 'lab.pages'")
    lab.sql(
        "UPDATE tenure.deleted_keys SET hashes = substr(hashes, 17)"
        " WHERE table_name = 'lab.cases' AND batch_id = (SELECT max(batch_id::text)::uuid"
        " FROM tenure.deleted_keys)"
    )
    less = ask(lab, None).population
    assert (less.rows_without_keys, less.batches_without_keys) == (11, 2)
    assert less.rows + less.rows_without_keys == whole.rows
    printed = tenure("report", "samples").output
    assert "Recorded rows without keys: 11 in 2 batches" in printed


def test_a_draw_of_all_is_the_population_and_each_row_once(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        for _ in range(7):
            lab.case(tenant, files=1)
    gone = {key_hash(UUID(i)).hex() for t in ("cases", "files", "pages") for i in lab.ids(t)}
    lab.run()
    found = ask(lab, Draw(200, "all"))
    assert found.population.rows == len(gone) == 14 * 4
    assert {s.key_hash for s in found.samples} == gone
    assert sorted(s.place for s in found.samples if s.place is not None) == list(range(56))
    # By hand: the population in its order, and the rule of the draw.
    rows = lab.sql(
        "SELECT substr(hashes, at, 16) FROM tenure.deleted_keys, LATERAL"
        " generate_series(1, octet_length(hashes), 16) at"
        ' ORDER BY batch_id, table_name COLLATE "C", at'
    )
    for number, sample in enumerate(ask(lab, Draw(3, "x")).samples):
        digest = hashlib.sha256(f"x/{number}".encode()).hexdigest()
        assert bytes(rows[int(digest, 16) % 56][0]).hex() == sample.key_hash


def test_a_period_and_a_tenant_bound_what_is_drawn_from(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    lab.case(acme)
    lab.run()
    ((first,),) = lab.sql("SELECT max(recorded_at) FROM tenure.batches")
    lab.case(globex)
    lab.case(globex)
    lab.run()
    later = Scope(since=first + timedelta(microseconds=1))
    assert ask(lab, None).population.rows == 3
    assert ask(lab, None, later).population.rows == 2
    assert {s.tenant for s in ask(lab, Draw(9, "s"), later).samples} == {"globex"}
    before = Scope(until=first + timedelta(microseconds=1))
    assert [s.tenant for s in ask(lab, Draw(9, "s"), before).samples] == ["acme"]
    assert ask(lab, None, Scope(until=first)).population.rows == 0
    whose = Scope(tenant=TenantRow(acme, "acme", "Acme"))
    drawn = ask(lab, Draw(9, "s"), whose)
    assert [s.tenant for s in drawn.samples] == ["acme"]
    assert drawn.population.rows == 1


def test_a_key_of_another_tenant_table_or_of_nothing_is_not_found(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    case = lab.case(acme)
    kept = lab.case(acme, opened=lab.lately)
    lab.run()
    whose = Scope(tenant=TenantRow(globex, "globex", "Globex"))
    assert ask(lab, Presented(UUID(case)), whose).samples == ()
    assert ask(lab, Presented(UUID(case), "lab.pages")).samples == ()
    assert len(ask(lab, Presented(UUID(case), "lab.cases")).samples) == 1
    assert ask(lab, Presented(UUID(kept))).samples == ()


def test_a_tenants_own_period_is_the_one_that_counts(lab: Any, acme: TenantId) -> None:
    policies = tuple(replace(p, minimum="P1D", maximum="P9Y") for p in lab.policies)
    shop = lab.shop(policies=policies)
    shop.record()
    [policy] = [p for p in policies if p.name == "cases"]
    case, own = lab.case(acme), "P400D"
    set_period(lab.installation.retention, acme, policy, own, actor="test")
    lab.run(shop)
    [sample] = ask(lab, Presented(UUID(case))).samples
    assert (sample.period, sample.period_of, sample.cutoff_agrees) == (own, "the tenant", True)


def _tamper(lab: Any, table: str, statement: str, params: Any = ()) -> None:
    lab.sql(f"ALTER TABLE tenure.{table} DISABLE TRIGGER USER")
    lab.sql(statement, params)
    lab.sql(f"ALTER TABLE tenure.{table} ENABLE TRIGGER USER")


@pytest.mark.parametrize(
    ("table", "statement", "says"),
    [
        ("deleted_keys", "UPDATE tenure.deleted_keys"
         " SET hashes = hashes || hashes, starts = starts || starts", "its keys"),
        ("deleted_keys", "UPDATE tenure.deleted_keys SET starts = date_send('2001-02-03')",
         "its starting points"),
        ("batches", "UPDATE tenure.batches SET cutoff = cutoff + interval '1 day'", "cutoff"),
        ("batches", "UPDATE tenure.batches SET recorded_at = recorded_at - interval '1 s'",
         "recorded_at"),
        ("batches", "UPDATE tenure.batches SET rows_deleted = rows_deleted + 1", "rows_deleted"),
        ("ledger_entries", "UPDATE tenure.ledger_entries SET leaf = leaf || ' '"
         " WHERE source = 'batches'", "does not verify"),
        ("ledger_entries", "DELETE FROM tenure.ledger_entries WHERE source = 'batches'",
         "not in the ledger"),
        ("ledger_checkpoints", "UPDATE tenure.ledger_checkpoints SET note ="
         " regexp_replace(note, E'\\n[0-9]+\\n', E'\\n' || (size + 1) || E'\\n')",
         "does not verify"),
        ("ledger_key_steps", "DELETE FROM tenure.ledger_key_steps", "does not verify"),
    ],
)  # fmt: skip
def test_a_broken_link_is_named(
    lab: Any, acme: TenantId, ledger: Ledger, table: str, statement: str, says: str
) -> None:
    case = lab.case(acme)
    lab.run()
    ledger.publish(wait=True)
    [sample] = ask(lab, Presented(UUID(case))).samples
    assert sample.proof == "proven"
    _tamper(lab, table, statement)
    [sample] = ask(lab, Presented(UUID(case))).samples
    assert says in sample.proof


def test_what_is_under_no_checkpoint_is_not_called_proven(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    case = lab.case(acme)
    lab.run()
    found = ask(lab, Presented(UUID(case)))
    assert found.samples[0].proof == "under no checkpoint yet"
    assert found.entries[0].tlog_proof is None


def test_the_command_writes_proofs_that_the_verifier_alone_accepts(
    lab: Any, acme: TenantId, ledger: Ledger, tenure: Any, tmp_path: Path
) -> None:
    case = lab.case(acme, files=2)
    lab.run()
    ledger.publish(wait=True)
    done = tenure("report", "samples", "--key", case, "--proofs", "proofs", "--format", "json")
    assert done.exit_code == 0, done.output
    [sample] = json.loads(done.stdout)["samples"]
    folder = tmp_path / "proofs"
    hashes = (folder / f"{sample['batch_id']}.lab.cases.keys").read_bytes()
    assert key_hash(UUID(case)) == hashes[:16]
    ((vkey,),) = lab.sql("SELECT vkey FROM tenure.ledger_key_steps")
    alone = shutil.copy(Path(verifier.__file__), tmp_path / "alone.py")
    proof = folder / f"{sample['batch_id']}.tlog-proof"
    for changed, code in ((False, 0), (True, 1)):
        if changed:
            text = proof.read_text()
            index = re.search(r"^index (\d+)$", text, re.MULTILINE)
            assert index
            proof.write_text(text.replace(index[0], f"index {int(index[1]) + 1}"))
        ran = subprocess.run(
            [sys.executable, "-I", alone, "--key", vkey, proof],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
    drawn = tenure("report", "samples", "--draw", "3", "--seed", "q3", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(drawn.stdout)))
    assert [row["key_hash"] for row in rows] == [
        s.key_hash for s in ask(lab, Draw(3, "q3")).samples
    ]
    assert "key's hash" in tenure("report", "samples", "--draw", "3").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("samples", "--draw", "3", "--key", "019a4c1e-7d2f-7a31-9c55-0f6f3c2b1a90"),
        ("samples", "--seed", "x"), ("samples", "--of", "lab.cases"), ("samples", "--draw", "201"),
        ("samples", "--draw", "1", "--seed", "a b"), ("samples", "--key", "nothing"),
        ("samples", "--draw", "1", "--of", "lab.cases"), ("runs", "--draw", "3"),
        ("samples", "--key", "019a4c1e-7d2f-7a31-9c55-0f6f3c2b1a90", "--of", "cases"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_the_command(
    lab: Any, tenure: Any, arguments: tuple[str, ...]
) -> None:
    assert tenure("report", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("size", "seed"), [(0, "a"), (201, "a"), (1, ""), (1, "a b"), (1, "a/1"), (1, "a" * 65)]
)
def test_what_cannot_be_drawn_is_refused(size: int, seed: str) -> None:
    with pytest.raises(ValueError, match="1 to"):
        Draw(size, seed)
