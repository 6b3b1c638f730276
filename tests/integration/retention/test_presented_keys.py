"""A key that an erasure, an offboarding or a replay took is found by it alone, and proven to be
what the ledger was told; every link that is broken is named."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from retention.deletions import key_hash
from retention.ledger import verifier
from retention.ledger.publishing import Ledger
from retention.reports.drawing import Presented
from retention.reports.offboardings import offboardings_report
from retention.reports.paging import PageRequest
from retention.reports.replays import replays_report
from retention.reports.samples import kept_of, proof_of
from retention.reports.scope import EVERYTHING, Scope
from tenants.context import TenantId
from tenants.registry import TenantRow
from tests.conftest import Cluster

from .conftest import Lab
from .erasing import approved, executor
from .restored import make_ledger, replayer, restored, writer
from .test_erasures import plant as plant_case
from .test_offboardings import asked, counted, plant, rows
from .test_offboardings import executor as leaving
from .test_replay import day, lost
from .test_samples import _tamper, ask, ledger

__all__ = ["day", "ledger"]


@pytest.fixture
def node(lab: Lab, acme: TenantId, globex: TenantId, ledger: Ledger) -> UUID:
    """A node of a tenant that left; all of it is in the ledger, and signed."""
    plant(lab, acme)
    plant(lab, globex)
    found = UUID(min(rows(lab, acme)["nodes"]))
    assert leaving(lab).run(asked(lab, acme)).offboarding.state == "completed"
    ledger.publish(wait=True)
    return found


def test_a_key_leads_to_the_offboarding_and_its_proof(
    lab: Lab, acme: TenantId, globex: TenantId, node: UUID
) -> None:
    found = ask(lab, Presented(node))
    (row,) = found.purged
    assert (row.tenant, row.table, row.action, row.purge) == (
        "acme", "lab.nodes", "delete", "offboarding",
    )  # fmt: skip
    assert lab.sql("SELECT id::text, purge_id::text, requested_by FROM tenure.offboardings") == [
        (str(row.cause_id), str(row.purge_id), row.approved_by)
    ]
    assert lab.sql("SELECT requested_at, deletes_at FROM tenure.offboardings") == [
        (row.requested_at, row.due_at)
    ]
    assert row.rule == "all rows of a tenant that leaves go"
    assert (row.proof, found.samples, found.erased) == ("proven", (), ())
    assert row.index is not None
    assert row.checkpoint is not None
    assert row.index < row.checkpoint
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        kept = kept_of(cursor, row.batch_id, "lab.nodes.delete")
        text = proof_of(cursor, row.batch_id)
    assert kept
    assert kept.starts is None, "the request counted"
    hashes = kept.hashes
    assert text == found.entries[0].tlog_proof
    assert key_hash(node) in {hashes[at : at + 16] for at in range(0, len(hashes), 16)}
    assert [(c.cause, c.sha256) for c in found.commitments] == [
        ("purge", hashlib.sha256(hashes).hexdigest())
    ]
    # By another's name, in another table, or of a row that is there: nothing.
    whose = Scope(tenant=TenantRow(globex, "globex", "Globex"))
    assert ask(lab, Presented(node), whose).purged == ()
    assert ask(lab, Presented(node, "lab.cases")).purged == ()
    there = UUID(min(rows(lab, globex)["nodes"]))
    assert ask(lab, Presented(there)).purged == ()


@pytest.mark.parametrize(
    ("table", "statement", "says"),
    [
        ("purged_keys", "UPDATE tenure.purged_keys SET hashes = hashes || hashes", "its keys"),
        ("purge_batches", "UPDATE tenure.purge_batches SET rows = rows + 1", "rows"),
        ("purge_batches", "UPDATE tenure.purge_batches SET counts = '{{}}'", "counts"),
        ("purge_batches", "UPDATE tenure.purge_batches SET recorded_at ="
         " recorded_at - interval '1 s'", "recorded_at"),
        ("purge_batches", "UPDATE tenure.purge_batches SET started_at ="
         " started_at - interval '1 s'", "started_at"),
        ("ledger_entries", "UPDATE tenure.ledger_entries SET leaf = leaf || ' '"
         " WHERE source = 'purge_batches'", "does not verify"),
        ("ledger_entries", "DELETE FROM tenure.ledger_entries WHERE source = 'purge_batches'",
         "not in the ledger"),
    ],
)  # fmt: skip
def test_a_broken_link_is_named(
    lab: Lab, node: UUID, table: str, statement: str, says: str
) -> None:
    (row,) = ask(lab, Presented(node)).purged
    assert row.proof == "proven"
    _tamper(lab, table, statement.format())
    (row,) = ask(lab, Presented(node)).purged
    assert says in row.proof


def test_what_an_erasure_did_is_proven_alike(
    lab: Lab, acme: TenantId, globex: TenantId, ledger: Ledger
) -> None:
    person, _ = plant_case(lab, acme)
    executor(lab).run(approved(lab, acme, person))
    (row,) = ask(lab, Presented(UUID(person))).erased
    assert row.proof == "under no checkpoint yet"
    ledger.publish(wait=True)
    found = ask(lab, Presented(UUID(person)))
    (row,) = found.erased
    assert lab.sql("SELECT received_at, due_at FROM tenure.erasures") == [
        (row.requested_at, row.due_at)
    ]
    assert (row.table, row.proof, found.purged) == ("lab.cases", "proven", ())
    assert [(c.cause, c.name) for c in found.commitments] == [
        ("erasure", f"lab.cases.{row.action}")
    ]
    _tamper(lab, "erased_keys", "UPDATE tenure.erased_keys SET hashes = hashes || hashes")
    (row,) = ask(lab, Presented(UUID(person))).erased
    assert row.proof.startswith("its keys")


def test_the_command_hands_out_proofs_of_purges_too(
    lab: Lab, node: UUID, tenure: Any, tmp_path: Path
) -> None:
    done = tenure("report", "samples", "--key", node, "--proofs", "proofs", "--format", "json")
    assert done.exit_code == 0, done.output
    [row] = json.loads(done.stdout)["purged"]
    folder = tmp_path / "proofs"
    hashes = (folder / f"{row['batch_id']}.lab.nodes.delete.keys").read_bytes()
    assert key_hash(node) in {hashes[at : at + 16] for at in range(0, len(hashes), 16)}
    ((vkey,),) = lab.sql("SELECT vkey FROM tenure.ledger_key_steps")
    ran = subprocess.run(
        [sys.executable, "-I", verifier.__file__, "--key", vkey,
         folder / f"{row['batch_id']}.tlog-proof"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    csv = tenure("report", "samples", "--key", node, "--format", "csv", "--table", "purged")
    assert "lab.nodes" in csv.stdout


def test_the_report_of_offboardings_says_what_the_keys_say(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    plant(lab, acme)
    had = counted(rows(lab, acme))
    one = leaving(lab).run(asked(lab, acme)).offboarding
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        found = offboardings_report(cursor, PageRequest(), EVERYTHING)
    assert {line.table: line.rows for line in found.purged} == had
    assert found.offboardings[0].rows == sum(had.values())
    assert {line.table: line.why for line in found.stays} == {
        name: of["why"] for name, of in (one.stays or {}).items()
    }


def test_a_replay_is_reported_and_its_rows_are_found(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], tmp_path: Path
) -> None:
    with restored(cluster, day["dump"], lab) as new:
        done = replayer(new, writer(ledger)).run()
        assert done.whole
        make_ledger(new, tmp_path / "ledger-2", "ledger.example/acme-2").publish(wait=True)
        with new.installation.auditor.transaction(None, read_only=True) as cursor:
            found = replays_report(cursor, PageRequest(), EVERYTHING)
        assert {line.outcome for line in found.replays} == {"completed"}
        assert {line.id for line in found.replays} == {t.purge_id for t in done.tenants}
        again: dict[str, int] = {}
        for line in found.purged:
            again[line.table] = again.get(line.table, 0) + line.rows
        assert again == lost(day)
        assert {line.replay_id for line in found.records} == {line.id for line in found.replays}
        assert found.left == ()
        (row,) = ask(new, Presented(UUID(day["person"]))).purged
        assert (row.purge, row.table, row.proof) == ("replay", "lab.cases", "proven")
        assert (row.cause_id, row.approved_by, row.started_by) == (None, None, "test")
        (record,) = {(line.journal, line.through) for line in found.records}
        assert row.rule.endswith(f"{record[0]} up to line {record[1]}")
