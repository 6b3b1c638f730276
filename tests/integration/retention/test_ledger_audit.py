"""What was changed since it was entered is found, by whom it can be; what was not is not."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from config.clock import SystemClock
from retention.ledger import tree
from retention.ledger.audit import LedgerAudit, audit_ledger
from retention.ledger.checkpoint import Checkpoint, VerifierKey, sign
from retention.ledger.entries import COLUMNS, FROM, MAX_BODY, Entry
from retention.ledger.export import export
from retention.ledger.findings import SHOWN
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key, read_key
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import Trust, VerifierError, verify_export
from tenants.context import TenantId

from .erasing import approved, executor
from .test_ledger_feeding import people_do_everything
from .test_ledger_publishing import ORIGIN, current_key, enter, ledger, outside_of, rewind

__all__ = ["ledger"]


def audit(lab: Any, ledger: Ledger, **more: Any) -> LedgerAudit:
    return audit_ledger(lab.installation.verifier, ledger.outside, **more)


def checks(found: LedgerAudit) -> set[str]:
    assert (found.found == 0) == (not found.findings)
    return set(found.counts)


def exported(lab: Any, tenant: TenantId | None = None) -> bytes:
    stream = io.BytesIO()
    with lab.installation.auditor.transaction(None, isolation="REPEATABLE READ") as cursor:
        export(cursor, stream, tenant)
    return stream.getvalue()


@dataclass
class Intruder:
    """A superuser, whom no trigger stops, and who knows how the ledger is made."""

    connection: Any
    lab: Any
    ledger: Ledger

    def sql(self, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, params)
            return list(cursor.fetchall()) if cursor.description else []

    def hash_again(self) -> None:
        """Make leaves and tree of the entries as they are now."""
        rows = self.sql(
            f"SELECT {COLUMNS} FROM {FROM} WHERE e.position IS NOT NULL ORDER BY e.position",
            {"max_body": MAX_BODY},
        )
        leaves = [(row[0], Entry.of(row).leaf()) for row in rows]
        self.sql("UPDATE tenure.ledger_entries SET position = position + 1000000")
        for position, (entry, leaf) in enumerate(leaves):
            self.sql(
                "UPDATE tenure.ledger_entries SET position = %s, leaf = %s, leaf_hash = %s"
                " WHERE id = %s",
                (position, leaf, tree.leaf_hash(leaf), entry),
            )
        self.sql("DELETE FROM tenure.ledger_nodes")
        hashes = [tree.leaf_hash(leaf) for _, leaf in leaves]
        for (level, position), hashed in tree.completed(0, hashes, lambda _level, _at: b""):
            if level:
                self.sql(
                    "INSERT INTO tenure.ledger_nodes VALUES (%s, %s, %s)", (level, position, hashed)
                )

    def sign_again(self) -> None:
        """Sign all checkpoints anew, with the key, in the database and in the folder."""
        outside = outside_of(self.ledger)
        signer = read_key(outside.key_file, ORIGIN)
        hashes = [
            bytes(hashed)
            for (hashed,) in self.sql(
                "SELECT leaf_hash FROM tenure.ledger_entries"
                " WHERE position IS NOT NULL ORDER BY position"
            )
        ]
        note = b""
        for size, path in outside.folder.notes():
            checkpoint = Checkpoint(ORIGIN, min(size, len(hashes)), tree.root_of(hashes[:size]))
            note = sign(checkpoint, signer)
            path.unlink()
            path.with_name(f"{checkpoint.size:020}.note").write_bytes(note)
            self.sql(
                "UPDATE tenure.ledger_checkpoints SET size = %s, root = %s, note = %s"
                " WHERE size = %s",
                (checkpoint.size, checkpoint.root, note.decode(), size),
            )
        outside.folder.set_last(note)


@dataclass
class Scene:
    """A ledger under two checkpoints, the first of which somebody else holds, in a file."""

    lab: Any
    ledger: Ledger
    intruder: Intruder
    held: bytes
    size: int
    key: VerifierKey


@pytest.fixture
def scene(lab: Any, acme: TenantId, ledger: Ledger) -> Iterator[Scene]:
    for _ in range(3):
        lab.case(acme, files=1)
    hold = lab.hold(acme)
    lab.release(hold)
    lab.run()
    lab.verify()
    enter(lab, 12)
    first = ledger.publish()
    assert first.size
    held = outside_of(ledger).folder.last()
    assert held
    enter(lab, 5)
    ledger.publish()
    with closing(psycopg2.connect(lab.installation.settings.database_url)) as connection:
        intruder = Intruder(connection, lab, ledger)
        yield Scene(lab, ledger, intruder, held, first.size, current_key(ledger))


def test_a_row_forged_where_only_some_have_to_be_entered_is_found(scene: Scene) -> None:
    """Units enter when they end; one that has ended, and was never entered, did not happen."""
    scene.intruder.sql(
        "INSERT INTO tenure.units SELECT (jsonb_populate_record(u, %s::jsonb)).*"
        " FROM tenure.units u WHERE u.state <> 'open' LIMIT 1",
        ('{"number": 4711, "policy": "forged"}',),
    )
    found = audit(scene.lab, scene.ledger)
    assert [(f.check, "was never entered" in f.detail) for f in found.findings] == [("row", True)]


def test_what_is_as_entered_gives_no_finding(lab: Any, acme: TenantId, ledger: Ledger) -> None:
    for _ in range(5):
        lab.case(acme, files=1)
    lab.run()
    people_do_everything(lab, acme)
    before = audit(lab, ledger)
    assert before.findings == ()
    assert before.waiting > 0
    ledger.publish()
    held = outside_of(ledger).folder.last()
    enter(lab, 1200)
    ledger.publish()
    ledger.rotate()
    enter(lab, 1)
    found = audit(lab, ledger, since=(held, "held"))
    assert found.findings == ()
    assert (found.inside, found.outside) == (3, 3)
    assert found.waiting == 1
    compared = {each.table: each for each in found.tables}
    assert compared["batches"].same == 2
    assert found.hashes.keys == sum(lab.recorded().values())
    assert compared["interventions"].same == 1203
    assert compared["logins"].without == ("email",), "the verifier reads no addresses"
    assert {each.table for each in found.tables if each.without} == {"logins"}
    assert not any(each.apart for each in found.tables)


def test_an_erasure_leaves_no_finding(lab: Any, acme: TenantId, ledger: Ledger) -> None:
    lab.clock = SystemClock()
    erasure = approved(lab, acme, lab.case(acme, files=2))
    ledger.publish()
    assert executor(lab).run(erasure).erasure.state == "completed"
    ledger.publish()
    found = audit(lab, ledger)
    assert found.findings == ()
    compared = {each.table: each.same for each in found.tables}
    assert compared["erasures"] == 1
    assert compared["erasure_batches"] > 1
    ((lists,),) = lab.sql("SELECT count(*) FROM tenure.erased_keys")
    assert found.hashes.lists == lists > 1


def test_a_text_that_was_erased_while_its_row_says_it_is_found(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    """As the owner, by the book: that it was erased is entered, and covers no change of the row."""
    people_do_everything(lab, acme)
    ledger.publish()
    assert audit(lab, ledger).findings == ()
    lab.sql("DELETE FROM tenure.ledger_texts WHERE field = 'placed_by'")
    found = audit(lab, ledger)
    assert found.counts == {"text": 2, "row": 1}, "of both entries, and of the row as it is"
    assert found.texts.erased == 0


def test_a_row_of_which_no_entry_can_be_found_any_more_is_found(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    """Where the key tells of a person, the text alone says which row an entry is of."""
    people_do_everything(lab, acme)
    ledger.publish()
    ((login, entries),) = lab.sql(
        "SELECT x.content, array_agg(x.entry_id) FROM tenure.ledger_texts x"
        " JOIN tenure.ledger_entries e ON e.id = x.entry_id"
        " WHERE e.source = 'logins' AND x.field = 'id' GROUP BY 1"
    )
    lab.sql("DELETE FROM tenure.ledger_texts WHERE entry_id = ANY(%s)", (entries,))
    found = audit(lab, ledger)
    (finding,) = (each for each in found.findings if each.check == "row")
    assert finding.detail == "is there, and texts by which its entry is found were erased"
    assert login not in str(finding)
    lab.sql("ALTER TABLE tenure.logins DISABLE TRIGGER USER")
    lab.sql("UPDATE tenure.logins SET is_auditor = true WHERE id = %s", (login,))
    lab.sql("ALTER TABLE tenure.logins ENABLE TRIGGER USER")
    (finding,) = (each for each in audit(lab, ledger).findings if each.check == "row")
    assert finding.detail == "was never entered"


# --- Tampering


def change_row(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.batches SET rows_deleted = rows_deleted - 1")


def delete_row(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.runs")


def add_row(intruder: Intruder) -> None:
    intruder.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')"
    )


def change_row_text(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.holds SET reason = 'another'")


def change_child(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.verification_results")


def shrink_the_population(intruder: Intruder) -> None:
    """Of batches that the books have counted long since."""
    intruder.sql("DELETE FROM tenure.deleted_keys WHERE table_name = 'lab.pages'")


def another_population(intruder: Intruder) -> None:
    intruder.sql(
        "UPDATE tenure.deleted_keys SET hashes = substr(hashes, 17) WHERE table_name = 'lab.pages'"
    )


def add_to_the_population(intruder: Intruder) -> None:
    intruder.sql(
        "INSERT INTO tenure.deleted_keys (tenant_id, run_id, batch_id, table_name, hashes)"
        " SELECT tenant_id, run_id, batch_id, 'lab.nodes', hashes FROM tenure.deleted_keys LIMIT 1"
    )


def put_back_state(intruder: Intruder) -> None:
    """A state that was entered once, and is not the last."""
    intruder.sql(
        "UPDATE tenure.holds SET released_at = NULL, released_by = NULL, effective_at = NULL"
    )


def hide_last_state(intruder: Intruder) -> None:
    """A state that was entered once, and no entry is where the later one is looked for."""
    put_back_state(intruder)
    intruder.sql(
        "UPDATE tenure.ledger_entries SET source = 'x'"
        " WHERE source = 'holds' AND kind = 'hold-changed'"
    )


def hide_row(intruder: Intruder) -> None:
    """A row that went, and its entries with it to where nobody looks."""
    intruder.sql("DELETE FROM tenure.verification_results")
    intruder.sql("DELETE FROM tenure.reconciliations")
    intruder.sql("DELETE FROM tenure.verifications")
    intruder.sql(
        "UPDATE tenure.ledger_entries SET source = 'x'"
        " WHERE source IN ('verifications', 'reconciliations')"
    )


def swap_keys(intruder: Intruder) -> None:
    """An entry says that it is of another row than its record does."""
    intruder.sql("UPDATE tenure.interventions SET action = 'start' WHERE number = 1")
    intruder.sql(
        "UPDATE tenure.ledger_entries SET row_key = '4711'"
        " WHERE source = 'interventions' AND row_key = '1'"
    )


def hide_erased_text(intruder: Intruder) -> None:
    """A text that went, and an entry about another one that says it was this."""
    entry, other = (
        e for (e,) in intruder.sql(
            "SELECT entry_id FROM tenure.ledger_texts WHERE field = 'reason'"
            " ORDER BY entry_id LIMIT 2")
    )  # fmt: skip
    intruder.lab.sql(
        "DELETE FROM tenure.ledger_texts WHERE entry_id = %s AND field = 'reason'", (entry,)
    )
    intruder.sql(
        "DELETE FROM tenure.ledger_texts WHERE entry_id = %s AND field = 'reason'", (other,)
    )
    intruder.sql(
        "UPDATE tenure.ledger_entries SET row_key = %s WHERE kind = 'text-deleted'",
        (f"{other}/reason",),
    )


def change_text(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.ledger_texts SET content = 'Mallory' WHERE field = 'actor'")


def drop_text(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.ledger_texts WHERE field = 'matter'")


def add_text(intruder: Intruder) -> None:
    intruder.sql(
        "INSERT INTO tenure.ledger_texts (entry_id, field, salt, content)"
        " SELECT id, 'other', sha256('x'), 'x' FROM tenure.ledger_entries LIMIT 1"
    )


def change_node(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.ledger_nodes SET hash = sha256('x') WHERE (level, position)=(2, 1)")


def drop_node(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.ledger_nodes WHERE (level, position) = (1, 3)")


def add_node(intruder: Intruder) -> None:
    intruder.sql("INSERT INTO tenure.ledger_nodes VALUES (40, 7, sha256('x'))")


def change_note(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.ledger_checkpoints SET note = replace(note, 'A', 'B')")


def change_root(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.ledger_checkpoints SET root = sha256('x')")


def drop_checkpoint(intruder: Intruder) -> None:
    intruder.sql(
        "DELETE FROM tenure.ledger_checkpoints"
        " WHERE size = (SELECT min(size) FROM tenure.ledger_checkpoints)"
    )


def drop_note(intruder: Intruder) -> None:
    _, path = next(outside_of(intruder.ledger).folder.notes())
    path.unlink()


def swap_note(intruder: Intruder) -> None:
    (_, first), (_, second) = outside_of(intruder.ledger).folder.notes()
    shutil.copy(first, second)


def put_back_last(intruder: Intruder) -> None:
    folder = outside_of(intruder.ledger).folder
    _, path = next(folder.notes())
    folder.set_last(path.read_bytes())


def another_key(intruder: Intruder) -> None:
    """Who has the database, and not the key, signs with one of their own."""
    path = outside_of(intruder.ledger).key_file
    path.unlink()
    made = create_key(path, ORIGIN)
    intruder.sql("UPDATE tenure.ledger_key_steps SET vkey = %s", (str(made.verifier_key),))


def restore_yesterday(intruder: Intruder) -> None:
    ((size,),) = intruder.sql("SELECT min(size) FROM tenure.ledger_checkpoints")
    rewind(intruder.lab, size)
    intruder.sql(
        "DELETE FROM tenure.interventions WHERE number IN ("
        " SELECT number FROM tenure.interventions ORDER BY number DESC LIMIT 5)"
    )
    intruder.sql("DELETE FROM tenure.ledger_texts WHERE entry_id NOT IN"
                 " (SELECT id FROM tenure.ledger_entries)")  # fmt: skip


def triggers_off(intruder: Intruder) -> None:
    intruder.lab.sql("ALTER TABLE tenure.holds DISABLE TRIGGER ledger_update")


def guards_off(intruder: Intruder) -> None:
    intruder.lab.sql("DROP TRIGGER append_only ON tenure.ledger_entries")


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (change_row, {"row"}),
        (delete_row, {"row"}),
        (add_row, {"row"}),
        (change_row_text, {"row"}),
        (change_child, {"row"}),
        (shrink_the_population, {"keys"}),
        (another_population, {"keys"}),
        (add_to_the_population, {"keys"}),
        (put_back_state, {"row"}),
        (hide_last_state, {"entry"}),
        (hide_row, {"entry", "row"}),
        (swap_keys, {"entry", "row"}),
        (hide_erased_text, {"entry", "text", "row"}),
        (change_text, {"text"}),
        (drop_text, {"text", "row"}),
        (add_text, {"text"}),
        (change_node, {"node"}),
        (drop_node, {"node"}),
        (add_node, {"node"}),
        (change_note, {"checkpoint"}),
        (change_root, {"checkpoint"}),
        (drop_checkpoint, {"checkpoint"}),
        (drop_note, {"checkpoint"}),
        (swap_note, {"checkpoint"}),
        (put_back_last, {"checkpoint"}),
        (another_key, {"checkpoint", "record", "row"}),
        (restore_yesterday, {"checkpoint"}),
        (triggers_off, {"trigger"}),
        (guards_off, {"trigger"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_was_written_past_the_ledger_is_found_where_it_is_kept(
    scene: Scene, tamper: Callable[[Intruder], None], found: set[str]
) -> None:
    assert audit(scene.lab, scene.ledger).findings == ()
    tamper(scene.intruder)
    assert checks(audit(scene.lab, scene.ledger)) == found


def some_entry(intruder: Intruder, number: int = 3) -> str:
    """Where the id of an entry that no row stands for any more is: a `run`, later `run-changed`."""
    ((entry,),) = intruder.sql(
        "SELECT id::text FROM tenure.ledger_entries WHERE kind = 'run' ORDER BY position LIMIT 1"
    )
    return str(entry)


def change_entry(intruder: Intruder) -> None:
    intruder.sql(
        "UPDATE tenure.ledger_entries SET body = jsonb_set(body, '{record,as_of}',"
        " '\"2020-01-01T00:00:00+00:00\"') WHERE id = %s",
        (some_entry(intruder),),
    )


def drop_entry(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.ledger_texts WHERE entry_id = %s", (some_entry(intruder),))
    intruder.sql("DELETE FROM tenure.ledger_entries WHERE id = %s", (some_entry(intruder),))


def reorder_entries(intruder: Intruder) -> None:
    for was, becomes in ((2, 100000), (4, 2), (100000, 4)):
        intruder.sql(
            "UPDATE tenure.ledger_entries SET position = %s WHERE position = %s", (becomes, was)
        )


def back_date_entry(intruder: Intruder) -> None:
    """By no more than a transaction can take: further, and those ahead of it tell."""
    intruder.sql(
        "UPDATE tenure.ledger_entries SET recorded_at = recorded_at - interval '50 minutes'"
        " WHERE id = %s",
        (some_entry(intruder),),
    )


def insert_entry(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.ledger_entries SET position = position + 100000 WHERE position > 3")
    intruder.sql(
        "INSERT INTO tenure.ledger_entries"
        " (id, kind, tenant_id, source, row_key, body, recorded_at, position, leaf, leaf_hash)"
        " SELECT gen_random_uuid(), kind, tenant_id, source, row_key, body, recorded_at, 4, leaf,"
        " leaf_hash FROM tenure.ledger_entries WHERE kind = 'batch' ORDER BY position LIMIT 1"
    )
    intruder.sql(
        "UPDATE tenure.ledger_entries SET position = position - 99999 WHERE position > 100000"
    )


REWRITINGS = {
    change_entry: {"entry"},
    drop_entry: {"order"},
    reorder_entries: {"node", "checkpoint"},
    back_date_entry: {"entry"},
    insert_entry: {"entry", "node", "checkpoint"},
}


@pytest.mark.parametrize("rewrite", REWRITINGS, ids=lambda value: value.__name__)
def test_entries_that_were_rewritten_contradict_their_leaves_the_tree_or_the_checkpoints(
    scene: Scene, rewrite: Callable[[Intruder], None]
) -> None:
    rewrite(scene.intruder)
    assert checks(audit(scene.lab, scene.ledger)) == REWRITINGS[rewrite]
    scene.intruder.hash_again()
    assert "checkpoint" in checks(audit(scene.lab, scene.ledger))


@pytest.mark.parametrize("rewrite", REWRITINGS, ids=lambda value: value.__name__)
def test_what_the_operator_rewrote_and_signed_again_is_found_by_who_holds_a_checkpoint(
    scene: Scene, rewrite: Callable[[Intruder], None], tmp_path: Path
) -> None:
    rewrite(scene.intruder)
    scene.intruder.hash_again()
    scene.intruder.sign_again()
    trust = Trust((scene.key,))
    assert audit(scene.lab, scene.ledger).findings == (), "nothing in the operator's hands shows it"
    verify_export(io.BytesIO(exported(scene.lab)), trust)
    assert checks(audit(scene.lab, scene.ledger, since=(scene.held, "held"))) == {"checkpoint"}
    with pytest.raises(VerifierError, match="are not those of the checkpoint"):
        verify_export(io.BytesIO(exported(scene.lab)), trust, scene.held)


def test_of_many_findings_the_first_are_shown_and_all_are_counted(scene: Scene) -> None:
    enter(scene.lab, 3 * SHOWN)
    scene.intruder.sql("UPDATE tenure.interventions SET action = 'start'")
    scene.intruder.sql("UPDATE tenure.ledger_texts SET content = '-' WHERE field = 'reason'")
    found = audit(scene.lab, scene.ledger)
    assert found.counts["row"] == 3 * SHOWN + 17
    assert found.counts["text"] > 3 * SHOWN
    assert len(found.findings) == 2 * SHOWN


def test_a_checkpoint_of_another_ledger_is_a_finding_and_nonsense_an_error(
    scene: Scene, tmp_path: Path
) -> None:
    other = create_key(tmp_path / "other.key", "other.example")
    note = sign(Checkpoint("other.example", 1, b"x" * 32), other)
    assert checks(audit(scene.lab, scene.ledger, since=(note, "held"))) == {"checkpoint"}
    keys = [other.verifier_key]
    assert "checkpoint" in checks(audit(scene.lab, scene.ledger, keys=keys))


def test_a_database_put_back_begins_another_ledger_with_the_same_first_entries(
    scene: Scene, tmp_path: Path
) -> None:
    restore_yesterday(scene.intruder)
    name = "ledger.example/acme-2"
    (tmp_path / "second").mkdir()
    create_key(tmp_path / "second.key", name)
    outside = Outside(name, tmp_path / "second.key", Folder(tmp_path / "second"))
    second = Ledger(scene.lab.installation.retention, outside, "test")
    enter(scene.lab, 2)
    published = second.publish()
    assert published.signed
    found = audit_ledger(scene.lab.installation.verifier, outside, since=(scene.held, "held"))
    assert found.findings == ()
    assert (found.inside, found.outside) == (2, 1)
    verify_export(io.BytesIO(exported(scene.lab)), Trust((current_key(second),)))
