"""Entries are put in order without gaps; what is signed never contradicts what was given out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from config.trace import new_trace_id
from retention.alerts import OpenAlert, open_alerts
from retention.errors import LedgerError
from retention.jobs import run_once
from retention.ledger import tree
from retention.ledger.checkpoint import Checkpoint, NoteError, SignedCheckpoint, VerifierKey, sign
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key, key_steps, read_key
from retention.ledger.proofs import at_index, consistency, of_row, verifier_keys
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.sequencer import BATCH, sequence
from retention.tick import tick
from tenants.context import TenantId

ORIGIN = "ledger.example/acme"


@pytest.fixture
def ledger(lab: Any, tmp_path: Path) -> Ledger:
    """A ledger with a key and a folder."""
    (tmp_path / "checkpoints").mkdir()
    create_key(tmp_path / "ledger.key", ORIGIN)
    outside = Outside(ORIGIN, tmp_path / "ledger.key", Folder(tmp_path / "checkpoints"))
    return Ledger(lab.installation.retention, outside, "test")


def outside_of(ledger: Ledger) -> Outside:
    assert ledger.outside
    return ledger.outside


def current_key(ledger: Ledger) -> VerifierKey:
    outside = outside_of(ledger)
    return read_key(outside.key_file, outside.origin).verifier_key


def last(ledger: Ledger, *keys: VerifierKey) -> SignedCheckpoint:
    note = outside_of(ledger).folder.last()
    assert note
    return SignedCheckpoint.verify(note, keys or [current_key(ledger)])


def leaves(lab: Any) -> list[bytes]:
    """All leaves in their order; positions must have no gaps."""
    rows = lab.sql(
        "SELECT position, leaf, leaf_hash FROM tenure.ledger_entries"
        " WHERE position IS NOT NULL ORDER BY position"
    )
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert all(tree.leaf_hash(bytes(leaf)) == bytes(hashed) for _, leaf, hashed in rows)
    return [bytes(leaf) for _, leaf, _ in rows]


def enter(lab: Any, count: int) -> None:
    """Have so many entries made, by the trigger, each in a transaction of its own."""
    lab.sql(
        "DO $$ BEGIN FOR i IN 1..%s LOOP"
        " INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r');"
        " END LOOP; END $$",
        (count,),
    )


def test_what_waits_is_put_in_order_once_and_the_tree_is_over_it(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    enter(lab, 5)
    ((waiting,),) = lab.sql("SELECT count(*) FROM tenure.ledger_entries WHERE position IS NULL")
    assert sequence(lab.installation.retention) == waiting
    assert sequence(lab.installation.retention) == 0
    enter(lab, 2 * BATCH + 7)
    assert sequence(lab.installation.retention) == 2 * BATCH + 7
    placed = leaves(lab)
    published = ledger.publish()
    signed = last(ledger).checkpoint
    assert published.size == signed.size == len(placed) + 1, "the key's own entry came with it"
    assert signed.root == tree.root_of(tree.leaf_hash(leaf) for leaf in leaves(lab))
    kinds = [json.loads(leaf)["kind"] for leaf in leaves(lab)]
    assert kinds[-1] == "ledger-key"


def test_a_leaf_says_what_was_done_in_the_order_of_its_doing(lab: Any, acme: TenantId) -> None:
    hold = lab.hold(acme)
    lab.release(hold)
    sequence(lab.installation.retention)
    found = [json.loads(leaf) for leaf in leaves(lab)]
    of_hold = [leaf for leaf in found if leaf["record"].get("id") == str(hold)]
    assert [leaf["kind"] for leaf in of_hold] == ["hold", "hold-changed"]
    assert {leaf["tenant"] for leaf in of_hold} == {str(acme)}
    ((recorded,),) = lab.sql(
        "SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " FROM tenure.ledger_entries WHERE kind = 'hold'"
    )
    assert of_hold[0]["at"] == recorded
    assert set(of_hold[0]) == {"v", "id", "kind", "tenant", "at", "record", "commitments"}


def test_no_body_keeps_the_sequencer_from_going_on(lab: Any, acme: TenantId) -> None:
    ((owner,),) = lab.sql("SELECT current_user")
    assert owner == "tenure_owner"
    deep = "[" * 3000 + "]" * 3000
    for body in (
        '{"record": 5, "commitments": null}',
        '["record", "commitments"]',
        f'{{"record": {deep}, "commitments": {{}}}}',
        '{"record": {"n": 1e400, "m": 123456789012345678901234567890.5}, "commitments": {}}',
        json.dumps({"record": "x" * 5_000_000, "commitments": {}}),
        '{"record": {"\\ud83d\\ude00": "\\u0001\\u2028", "\\ue000": 1}, "commitments": {}}',
    ):
        # As who takes the guards down, as a migration may.
        lab.sql("ALTER TABLE tenure.ledger_entries DISABLE TRIGGER entered_by_trigger")
        lab.sql(
            "INSERT INTO tenure.ledger_entries (id, kind, source, body)"
            " VALUES (gen_random_uuid(), 'x', 'x', %s)",
            (body,),
        )
    lab.sql(
        "INSERT INTO tenure.ledger_entries (id, kind, source, body, recorded_at)"
        " VALUES (gen_random_uuid(), 'x', 'x', '{\"record\": {}, \"commitments\": {}}', 'infinity')"
    )
    sequence(lab.installation.retention)
    assert lab.sql("SELECT count(*) FROM tenure.ledger_entries WHERE position IS NULL") == [(0,)]
    for leaf in leaves(lab):
        assert json.loads(leaf)["v"] == 1
        assert len(leaf) < 100_000


def test_each_checkpoint_begins_with_the_ones_before_it(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    sizes = []
    for count in (1, 2, 4, 7, 1, 30):
        enter(lab, count)
        published = ledger.publish()
        assert published.signed
        sizes.append(published.size)
    assert not ledger.publish().signed, "nothing new is no new checkpoint"
    key = current_key(ledger)
    folder = outside_of(ledger).folder
    exported = [
        SignedCheckpoint.verify(folder.read(path), [key]).checkpoint for _, path in folder.notes()
    ]
    assert [each.size for each in exported] == sizes
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        for old in exported:
            for new in exported:
                if old.size <= new.size:
                    path = consistency(cursor, old.size, new.size)
                    tree.verify_consistency(old.size, old.root, new.size, new.root, path)
    assert lab.sql("SELECT count(*) FROM tenure.ledger_checkpoints WHERE exported_at IS NULL") == [
        (0,)
    ]


def test_any_entry_is_proven_and_a_row_finds_its_entries(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    hold = lab.hold(acme)
    enter(lab, 20)
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        (waiting,) = of_row(cursor, "holds", f"{acme}/{hold}")
        assert (waiting.index, waiting.leaf, waiting.proof) == (None, None, None)
    size = ledger.publish().size
    assert size
    enter(lab, 3)
    ledger.publish()
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        keys = verifier_keys(cursor, ORIGIN)
        assert keys == [current_key(ledger)]
        for index in range(size):
            found = at_index(cursor, index)
            assert found.proof
            assert found.leaf
            assert found.proof.verify(found.leaf, keys).checkpoint.size == size + 3
            under = at_index(cursor, index, size=size).proof
            assert under
            assert under.verify(found.leaf, keys).checkpoint.size == size
        (entered,) = of_row(cursor, "holds", f"{acme}/{hold}")
        assert entered.proof
        assert entered.leaf
        entered.proof.verify(entered.leaf, keys)
        assert json.loads(entered.leaf)["record"]["id"] == str(hold)
        assert entered.tenant_id == acme
        with pytest.raises(LedgerError, match="no entry 1000"):
            at_index(cursor, 1000)
        with pytest.raises(LedgerError, match="no checkpoint of 2 entries"):
            at_index(cursor, 0, size=2)


def test_without_a_key_entries_are_put_in_order_and_nothing_is_signed(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    assert replace(ledger, outside=None).publish().size is None
    assert leaves(lab)
    assert lab.sql("SELECT * FROM tenure.ledger_checkpoints") == []


# --- What is refused


def rewind(lab: Any, size: int) -> None:
    """As a restore of a dump from when the ledger had `size` entries does."""
    lab.sql("ALTER TABLE tenure.ledger_entries DISABLE TRIGGER USER")
    lab.sql("ALTER TABLE tenure.ledger_nodes DISABLE TRIGGER USER")
    lab.sql("ALTER TABLE tenure.ledger_checkpoints DISABLE TRIGGER USER")
    lab.sql("DELETE FROM tenure.ledger_entries WHERE position >= %s", (size,))
    lab.sql("DELETE FROM tenure.ledger_nodes WHERE (position + 1) << level > %s", (size,))
    lab.sql("DELETE FROM tenure.ledger_checkpoints WHERE size > %s", (size,))
    for table in ("entries", "nodes", "checkpoints"):
        lab.sql(f"ALTER TABLE tenure.ledger_{table} ENABLE TRIGGER USER")


def test_a_rewound_database_signs_nothing_below_what_was_given_out(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    enter(lab, 5)
    first = ledger.publish().size
    assert first
    enter(lab, 5)
    ledger.publish()
    before = outside_of(ledger).folder.last()
    rewind(lab, first)
    with pytest.raises(LedgerError, match="restored, or rewound"):
        ledger.publish()
    enter(lab, 20)
    with pytest.raises(LedgerError, match="restored, or changed"):
        ledger.publish()
    assert outside_of(ledger).folder.last() == before
    assert lab.sql("SELECT count(*) FROM tenure.ledger_checkpoints") == [(1,)]
    assert lab.sql("SELECT count(*) FROM tenure.ledger_entries WHERE position IS NULL") == [(0,)]
    leaves(lab)


def test_a_changed_tree_is_not_signed(lab: Any, acme: TenantId, ledger: Ledger) -> None:
    enter(lab, 40)
    ledger.publish()
    lab.sql("ALTER TABLE tenure.ledger_nodes DISABLE TRIGGER USER")
    lab.sql("UPDATE tenure.ledger_nodes SET hash = sha256('x')")
    enter(lab, 1)
    with pytest.raises(LedgerError, match="have the root"):
        ledger.publish()


def test_a_checkpoint_that_another_signed_stops_everything(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    size = ledger.publish().size
    assert size
    stranger = create_key(tmp_path / "stranger.key", ORIGIN)
    folder = outside_of(ledger).folder
    folder.set_last(sign(Checkpoint(ORIGIN, size + 1, b"x" * 32), stranger))
    enter(lab, 5)
    with pytest.raises(LedgerError, match="no key that was given has signed"):
        ledger.publish()


def test_an_empty_folder_is_not_taken_for_a_new_one(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    for _ in range(3):
        enter(lab, 2)
        ledger.publish()
    given = {size: path.read_bytes() for size, path in outside_of(ledger).folder.notes()}
    (tmp_path / "elsewhere").mkdir()
    moved = replace(
        ledger, outside=replace(outside_of(ledger), folder=Folder(tmp_path / "elsewhere"))
    )
    enter(lab, 1)
    with pytest.raises(LedgerError, match="is it the right folder"):
        moved.publish()
    published = moved.publish(refill=True)
    again = {size: path.read_bytes() for size, path in outside_of(moved).folder.notes()}
    assert again.items() > given.items()
    assert max(again) == published.size == last(moved).checkpoint.size


def test_a_folder_that_is_not_there_is_an_error_that_names_it(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    gone = replace(ledger, outside=replace(outside_of(ledger), folder=Folder(tmp_path / "gone")))
    with pytest.raises(LedgerError, match="gone"):
        gone.publish()


def test_a_checkpoint_of_the_same_size_is_never_written_over(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    ledger.publish()
    ((size, path),) = outside_of(ledger).folder.notes()
    ((signed_at,),) = lab.sql("SELECT signed_at FROM tenure.ledger_checkpoints")
    outside_of(ledger).folder.keep(size, path.read_bytes(), signed_at)
    with pytest.raises(LedgerError, match="another checkpoint of that size"):
        outside_of(ledger).folder.keep(size, b"other", signed_at)


# --- Keys


def test_a_rotation_names_both_keys_and_both_sign(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.publish()
    enter(lab, 3)
    old, new = ledger.rotate()
    assert current_key(ledger) == new != old
    assert not (tmp_path / "ledger.key.next").exists()
    assert set(last(ledger, old, new).signed_by) == {old, new}
    step = [json.loads(leaf) for leaf in leaves(lab)][-1]
    assert (step["kind"], step["record"]["vkey"], step["record"]["previous_vkey"]) == (
        "ledger-key", str(new), str(old),
    )  # fmt: skip
    enter(lab, 1)
    ledger.publish()
    assert last(ledger, old, new).signed_by == (new,)


@pytest.mark.parametrize("step", ["exchanged", "recorded", "kept", "marked"])
def test_a_rotation_cut_short_is_gone_on_with(
    lab: Any, acme: TenantId, ledger: Ledger, step: str
) -> None:
    ledger.publish()
    old = current_key(ledger)

    def die(at: str) -> None:
        if at == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(ledger, on_step=die).rotate()
    with pytest.raises(LedgerError, match="or rotate"):
        ledger.publish()
    named, new = ledger.rotate()
    assert named == old
    assert set(last(ledger, old, new).signed_by) == {old, new}
    with lab.installation.auditor.transaction(None) as cursor:
        assert [each.step for each in key_steps(cursor)] == ["installed", "rotated"]


def test_another_key_signs_nothing(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.publish()
    create_key(tmp_path / "other.key", ORIGIN)
    other = replace(ledger, outside=replace(outside_of(ledger), key_file=tmp_path / "other.key"))
    enter(lab, 1)
    with pytest.raises(LedgerError, match="the one at hand is"):
        other.publish()
    with pytest.raises(LedgerError, match="the one at hand is"):
        other.rotate()
    (tmp_path / "other.key.next").unlink()
    assert lab.sql("SELECT count(*) FROM tenure.ledger_key_steps") == [(1,)]


def test_a_lost_key_is_replaced_without_it(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.publish()
    old = current_key(ledger)
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(LedgerError, match="there is no key in"):
        ledger.rotate()
    named, new = ledger.rotate(lost=True)
    assert named == old
    assert last(ledger, old, new).signed_by == (new,)


def test_keys_are_private_whole_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = create_key(path, ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path, ORIGIN).verifier_key == made.verifier_key
    secret = base64.b64encode(made.private.private_bytes_raw()).decode()
    with pytest.raises(LedgerError, match="never written over"):
        create_key(path, ORIGIN)
    with pytest.raises(LedgerError, match="signs as"):
        read_key(path, "other.example")
    line = path.read_text()
    for wrong in (line[:-1], line[:40], line.replace(ORIGIN, "else.example"), line * 2, "", "\0"):
        path.write_text(wrong)
        with pytest.raises(LedgerError) as caught:
            read_key(path, ORIGIN)
        assert secret not in str(caught.value)
    path.write_text(line)
    path.chmod(0o640)
    with pytest.raises(LedgerError, match="others may read"):
        read_key(path, ORIGIN)
    with pytest.raises(LedgerError, match="no name"):
        create_key(tmp_path / "new", "two words")
    assert not (tmp_path / "new").exists()


# --- Taken further, and told


def test_each_new_checkpoint_is_shipped_and_a_failure_is_made_up_for(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path
) -> None:
    target = tmp_path / "shipped"
    script = tmp_path / "ship"
    script.write_text(f'#!/bin/sh\ntest -e {tmp_path}/broken && exit 3\ncp "$1" {target}\n')
    script.chmod(0o755)
    shipping = replace(ledger, outside=replace(outside_of(ledger), ship=(str(script),)))
    assert shipping.publish().not_shipped is None
    assert target.read_bytes() == outside_of(ledger).folder.last()
    (tmp_path / "broken").touch()
    enter(lab, 1)
    assert shipping.publish().not_shipped == "the command that ships checkpoints ended with 3"
    assert target.read_bytes() != outside_of(ledger).folder.last()
    (tmp_path / "broken").unlink()
    assert not shipping.publish().signed
    assert target.read_bytes() == outside_of(ledger).folder.last()
    absent = replace(ledger, outside=replace(outside_of(ledger), ship=("/not/there",)))
    enter(lab, 1)
    assert "did not run" in (absent.publish().not_shipped or "")


def ledger_alerts(lab: Any) -> list[OpenAlert]:
    with lab.installation.auditor.transaction(None) as cursor:
        return [each for each in open_alerts(cursor) if each.kind == "ledger"]


def test_runs_and_ticks_publish_and_what_is_in_the_way_is_an_alert(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    lab.case(acme)
    shop = lab.shop(ledger=ledger)
    report = run_once(shop, shop.plan, trace_id=new_trace_id())
    size = last(ledger).checkpoint.size
    with lab.installation.auditor.transaction(None) as cursor:
        found = of_row(cursor, "runs", str(report.run_id))
    assert [each.kind for each in found] == ["run", "run-changed"]
    assert all(each.proof for each in found)
    outside_of(ledger).key_file.chmod(0o644)
    lab.hold(acme)
    done = tick(shop)
    assert done.leads
    (alert,) = ledger_alerts(lab)
    assert "others may read" in alert.detail
    outside_of(ledger).key_file.chmod(0o600)
    tick(shop)
    assert last(ledger).checkpoint.size > size
    assert ledger_alerts(lab) == []


def test_the_other_roles_sign_nothing(
    lab: Any, acme: TenantId, ledger: Ledger, make_tenant: Callable[..., TenantId]
) -> None:
    for role in ("auditor", "verifier", "app_connections"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            replace(ledger, retention=getattr(lab.installation, role)).publish()
    assert outside_of(ledger).folder.last() is None


def test_a_note_of_another_ledger_is_none_of_ours(ledger: Ledger, tmp_path: Path) -> None:
    other = create_key(tmp_path / "other.key", "other.example")
    with pytest.raises(NoteError):
        SignedCheckpoint.verify(
            sign(Checkpoint("other.example", 1, b"x" * 32), other), [current_key(ledger)]
        )
