"""The record of what went is signed: nobody adds to it, cuts it off, or puts an old one back."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from retention.deletions import key_hash
from retention.errors import LedgerError
from retention.ledger.audit import audit_ledger
from retention.ledger.gone import GoneFolder
from retention.ledger.gone_head import HEADER, Head, read_head, write_head
from retention.ledger.keys import create_key, key_steps
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Checkpoint, NoteError, SignedCheckpoint
from tenants.context import TenantId
from tests.conftest import Cluster

from .conftest import Lab
from .restored import dumped, gone, make_ledger, record, replayer, restored, writer

ORIGIN = "ledger.example/acme"


@pytest.fixture
def ledger(lab: Lab, tmp_path: Path) -> Ledger:
    return make_ledger(lab, tmp_path / "ledger", ORIGIN)


@pytest.fixture
def went(lab: Lab, ledger: Ledger, acme: TenantId, globex: TenantId) -> list[str]:
    """Two runs, each published; what went in the second."""
    lab.node(acme)
    lab.run()
    ledger.publish()
    more = [lab.node(acme), lab.node(globex)]
    lab.run()
    ledger.publish()
    return more


def head_of(ledger: Ledger) -> Head:
    found = read_head(gone(ledger), [s.verifier_key for s in writer(ledger).signers])
    assert found
    return found


def files(ledger: Ledger) -> Path:
    (path,) = gone(ledger).path.glob("*.jsonl")
    return path


def add_line(folder: GoneFolder, tenant: TenantId, victim: str, **changes: Any) -> None:
    """What somebody who may write in the folder adds: a line in the chain, as ours are."""
    with folder.writing() as pen:
        last = pen.last
        assert last
        at = {"position": last.position, "entry": last.entry, **changes}
        packed = base64.b64encode(key_hash(UUID(victim))).decode()
        more = {
            "tenant": str(tenant),
            "batch": "00000000-0000-4000-8000-000000000001",
            "cause": "00000000-0000-4000-8000-000000000002",
            "rows": [{"table": "lab.nodes", "action": "delete", "keys": packed}],
        }
        pen.write(
            "batch", at["position"], at["entry"], datetime.fromisoformat(last.content["at"]), more
        )


def test_all_lines_are_under_the_head_and_it_covers_each_checkpoint(
    lab: Lab, ledger: Ledger, went: list[str]
) -> None:
    assert ledger.outside
    *_, last = gone(ledger).lines()
    head = head_of(ledger)
    assert (head.origin, head.lines, head.last) == (ORIGIN, last.number + 1, last.sha256)
    note = ledger.outside.folder.last()
    assert note
    given_out = SignedCheckpoint.verify(note, [s.verifier_key for s in writer(ledger).signers])
    assert head.covers >= given_out.checkpoint.size > last.position
    assert replayer(lab, writer(ledger), given_out=(given_out,)).run().whole


def test_the_head_is_what_sha256sum_and_openssl_see(ledger: Ledger, went: list[str]) -> None:
    *_, line = files(ledger).read_bytes().splitlines(keepends=True)
    text, _, signatures = (gone(ledger).path / "head").read_text().partition("\n\n")
    assert text.split("\n")[0] == HEADER
    assert hashlib.sha256(line).hexdigest() == text.split("\n")[3]
    assert signatures.startswith(f"— {ORIGIN} ")
    with pytest.raises(NoteError):
        Checkpoint.parse(text + "\n")


@pytest.mark.parametrize("flipped", [0, 25, 60, -2])
def test_a_head_with_a_changed_letter_is_not_believed(
    lab: Lab, ledger: Ledger, went: list[str], flipped: int
) -> None:
    path = gone(ledger).path / "head"
    content = bytearray(path.read_bytes())
    content[flipped] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        replayer(lab, writer(ledger)).plan()
    with pytest.raises(LedgerError):
        ledger.publish()


def test_a_head_that_another_key_has_signed_is_not_believed(
    lab: Lab, ledger: Ledger, went: list[str], tmp_path: Path
) -> None:
    other = create_key(tmp_path / "other", ORIGIN)
    write_head(gone(ledger), replace(head_of(ledger), lines=1), [other])
    with pytest.raises(LedgerError, match="no key that was given has signed"):
        replayer(lab, writer(ledger)).plan()


def test_a_row_that_a_stranger_wants_gone_stays_after_a_restore(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, tmp_path: Path
) -> None:
    """The whole attack: write a line for a row that never went, and wait for a restore."""
    victim = lab.node(acme, lab.lately)
    lab.node(acme)
    dump = dumped(cluster, lab, tmp_path / "before.sql")
    lab.run()
    ledger.publish()
    add_line(gone(ledger), acme, victim)
    with restored(cluster, dump, lab) as new:
        with pytest.raises(LedgerError, match="1 batches behind those that were signed"):
            replayer(new, writer(ledger)).run()
        assert victim in new.ids("nodes")
        assert new.sql("SELECT count(*) FROM tenure.purges") == [(0,)]
        # Who has looked, and says so, has it done.
        assert replayer(new, writer(ledger), accept_unsigned=True).run().whole
        assert victim not in new.ids("nodes")
        # What was accepted is signed from then on.
        assert record(new, writer(ledger)) > 0
    with restored(cluster, dump, lab) as again:
        assert replayer(again, writer(ledger)).run().whole


@pytest.mark.parametrize("kind", ["another batch", "one of ours again", "a header", "a rewinding"])
def test_a_line_that_a_stranger_wrote_is_never_signed(
    lab: Lab, ledger: Ledger, went: list[str], acme: TenantId, kind: str
) -> None:
    signed = head_of(ledger)
    lines = list(gone(ledger).lines())
    if kind == "another batch":
        add_line(gone(ledger), acme, went[0])
    elif kind == "one of ours again":
        with gone(ledger).writing() as pen:
            one = lines[-1]
            more = {n: one.content[n] for n in ("tenant", "batch", "cause", "rows")}
            pen.write(
                one.kind, one.position, one.entry, datetime.fromisoformat(one.content["at"]), more
            )
    elif kind == "a header":
        with gone(ledger).writing() as pen:
            at = datetime.fromisoformat(lines[-1].content["at"])
            pen.write("opened", -1, None, at, {"journal": "mine"})
    else:
        # Further on than what is on record: what lies between would never be written down.
        ((position, entry),) = lab.sql(
            "SELECT position, id FROM tenure.ledger_entries ORDER BY position DESC LIMIT 1"
        )
        with gone(ledger).writing() as pen:
            at = datetime.fromisoformat(lines[-1].content["at"])
            more = {"replay": "x", "by": "replay"}
            pen.write("rewound", int(str(position)), UUID(str(entry)), at, more)
    lab.node(acme)
    lab.run()
    with pytest.raises(LedgerError, match="was never signed, and is not what the database says"):
        ledger.publish()
    assert head_of(ledger) == signed


@pytest.mark.parametrize("lost", [1, 2])
def test_lines_that_were_signed_and_are_lost_are_written_again_as_they_were(
    lab: Lab, ledger: Ledger, went: list[str], lost: int
) -> None:
    whole = files(ledger).read_bytes()
    files(ledger).write_bytes(b"".join(whole.splitlines(keepends=True)[:-lost]))
    with pytest.raises(LedgerError, match="the last are missing"):
        replayer(lab, writer(ledger)).plan()
    assert record(lab, writer(ledger)) == lost
    assert files(ledger).read_bytes() == whole


def test_what_is_lost_and_would_come_out_otherwise_is_not_signed(
    lab: Lab, ledger: Ledger, went: list[str]
) -> None:
    signed = head_of(ledger)
    whole = files(ledger).read_bytes()
    files(ledger).write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    lab.sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER USER")
    lab.sql("DELETE FROM tenure.deleted_keys")
    with pytest.raises(LedgerError, match="is not the one that was signed"):
        record(lab, writer(ledger))
    assert head_of(ledger) == signed


def test_an_older_copy_of_the_record_is_refused_by_a_checkpoint_that_was_kept(
    lab: Lab, ledger: Ledger, acme: TenantId, tmp_path: Path
) -> None:
    assert ledger.outside
    lab.node(acme)
    lab.run()
    ledger.publish()
    shutil.copytree(gone(ledger).path, tmp_path / "older")
    lab.node(acme)
    lab.run()
    ledger.publish()
    note = ledger.outside.folder.last()
    assert note
    given_out = SignedCheckpoint.verify(note, [s.verifier_key for s in writer(ledger).signers])
    older = writer(ledger, GoneFolder(tmp_path / "older"))
    assert replayer(lab, older).plan().records.wanted == ()
    with pytest.raises(LedgerError, match="an older copy of the record"):
        replayer(lab, older, given_out=(given_out,)).plan()


def test_a_record_that_was_taken_away_is_missed(
    lab: Lab, ledger: Ledger, went: list[str], tmp_path: Path
) -> None:
    assert ledger.outside
    note = ledger.outside.folder.last()
    assert note
    given_out = SignedCheckpoint.verify(note, [s.verifier_key for s in writer(ledger).signers])
    shutil.rmtree(gone(ledger).path)
    with pytest.raises(LedgerError, match="there is no signed record beside that ledger"):
        replayer(lab, writer(ledger), given_out=(given_out,)).plan()
    with pytest.raises(LedgerError, match="has no signed head"):
        ledger.publish()
    assert not gone(ledger).path.exists()
    # Whoever knows why has it written again, from what the database has.
    ledger.publish(refill=True)
    assert replayer(lab, writer(ledger), given_out=(given_out,)).plan().records.wanted == ()


def test_where_nobody_can_sign_what_went_is_on_record_all_the_same_and_signed_later(
    lab: Lab, ledger: Ledger, went: list[str], acme: TenantId
) -> None:
    assert ledger.outside
    signed = head_of(ledger)
    key = ledger.outside.key_file
    key.rename(key.with_name("away"))
    lab.node(acme)
    lab.run()
    with pytest.raises(LedgerError, match="there is no key"):
        ledger.publish()
    *_, last = gone(ledger).lines()
    assert last.number == signed.lines, "it is on record"
    key.with_name("away").rename(key)
    assert head_of(ledger) == signed, "and nobody has signed it"
    ledger.publish()
    assert head_of(ledger).lines == signed.lines + 1


def test_killed_between_a_line_and_its_signature_it_is_gone_on_with(
    lab: Lab, ledger: Ledger, went: list[str], acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retention.ledger import recording

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    lab.node(acme)
    lab.run()
    signed = head_of(ledger)
    with monkeypatch.context() as patched:
        patched.setattr(recording, "write_head", killed)
        with pytest.raises(Killed):
            ledger.publish()
    assert head_of(ledger) == signed
    assert len(list(gone(ledger).lines())) == signed.lines + 1
    lab.node(acme)
    lab.run()
    ledger.publish()
    assert head_of(ledger).lines == signed.lines + 2


def test_no_checkpoint_goes_further_than_what_is_on_record(
    lab: Lab, ledger: Ledger, went: list[str], acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that finds its place between the record and the signature is for the next time."""
    assert ledger.outside

    def meanwhile(step: str) -> None:
        if step == "gone":
            lab.node(acme)
            lab.run()
            replace(ledger, outside=None).publish()

    replace(ledger, on_step=meanwhile).publish()
    keys = [s.verifier_key for s in writer(ledger).signers]
    note = ledger.outside.folder.last()
    assert note
    assert head_of(ledger).covers >= SignedCheckpoint.verify(note, keys).checkpoint.size
    assert ledger.publish().signed


def test_an_exchange_of_keys_has_the_record_signed_by_both(
    lab: Lab, ledger: Ledger, went: list[str]
) -> None:
    _, following = ledger.rotate()
    assert read_head(gone(ledger), [following])
    with lab.installation.retention.transaction(None) as cursor:
        old = next(s.key for s in key_steps(cursor))
    assert read_head(gone(ledger), [old])


def harm_cut(ledger: Ledger) -> None:
    files(ledger).write_bytes(b"".join(files(ledger).read_bytes().splitlines(keepends=True)[:-1]))


def harm_head(ledger: Ledger) -> None:
    (gone(ledger).path / "head").unlink()


def harm_added(ledger: Ledger) -> None:
    last = json.loads(files(ledger).read_bytes().splitlines()[-1])
    add_line(gone(ledger), TenantId(UUID(last["tenant"])), str(UUID(int=7)))


@pytest.mark.parametrize("harm", [harm_cut, harm_head, harm_added])
def test_an_audit_of_the_ledger_finds_it(
    lab: Lab, ledger: Ledger, went: list[str], harm: Callable[[Ledger], None]
) -> None:
    verifier = lab.installation.verifier
    clean = audit_ledger(verifier, ledger.outside)
    assert (clean.found, clean.record) == (0, 3)
    harm(ledger)
    found = audit_ledger(verifier, ledger.outside)
    assert [f.check for f in found.findings] == ["record"]
