"""After a restore, what had gone since goes again: all of it, nothing else, on record."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from retention.deletions import find, key_hash
from retention.errors import InvariantError, LedgerError
from retention.hold_scopes import Scope
from retention.interventions import start, stop
from retention.ledger.gone import GoneFolder
from retention.ledger.keys import key_steps
from retention.ledger.publishing import Ledger
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.conftest import Cluster

from .conftest import Lab
from .crash import NAME, wait_for_its_sessions
from .erasing import approved, executor
from .restored import dumped, gone, make_ledger, record, replayer, restored, writer
from .shop_rows import environment_of
from .test_erasures import TABLES, plant

ORIGIN = "ledger.example/acme"
ALL = (*TABLES, "nodes")


@pytest.fixture
def ledger(lab: Lab, tmp_path: Path) -> Ledger:
    return make_ledger(lab, tmp_path / "ledger", ORIGIN)


def rows(lab: Lab) -> dict[str, set[str]]:
    return {name: lab.ids(name) for name in ALL}


def purged(lab: Lab) -> dict[str, int]:
    total: dict[str, int] = {}
    for (counts,) in lab.sql("SELECT counts FROM tenure.purge_batches"):
        for table, of in counts.items():
            total[table] = total.get(table, 0) + of["delete"]["rows"]
    return total


@pytest.fixture
def day(
    cluster: Cluster, lab: Lab, ledger: Ledger, acme: TenantId, globex: TenantId, tmp_path: Path
) -> dict[str, Any]:
    """The dump of the day before, and the day: retention deletes, a person is erased."""
    lab.case(globex, opened=lab.lately, files=1)
    person, _ = plant(lab, acme)
    lab.sql("UPDATE lab.cases SET opened = %s WHERE id = %s", (lab.lately.date(), person))
    lab.node(acme)
    parent = lab.node(acme)
    lab.node(acme, parent_id=parent)
    lab.node(globex)
    stays = lab.node(acme, lab.lately)
    # What went before the backup was made, and is there again on purpose.
    early = lab.node(globex)
    lab.run()
    lab.sql("INSERT INTO lab.nodes (tenant_id, id, made_at) VALUES (%s, %s, %s)",
            (str(globex), early, lab.lately))  # fmt: skip
    more = [lab.node(acme), lab.node(globex), lab.node(acme)]
    lab.case(acme, files=2)
    ledger.publish()
    before = rows(lab)
    dump = dumped(cluster, lab, tmp_path / "the-day-before.sql")
    lab.run()
    executor(lab).run(approved(lab, acme, person))
    ledger.publish()
    after = rows(lab)
    assert person not in after["cases"]
    assert not set(more) & after["nodes"]
    assert {early, stays} <= after["nodes"]
    return {"dump": dump, "before": before, "after": after, "person": person, "early": early}


def assert_in_order(lab: Lab) -> None:
    """Of all that a verification asks, nothing is found but the row that came back on purpose."""
    found = [(r.kind, r.subject, r.found) for r in lab.verify().results if r.found and r.is_finding]
    assert found == [("returned", "lab.nodes", 1)]


def lost(day: dict[str, Any]) -> dict[str, int]:
    counts = {f"lab.{n}": len(day["before"][n] - day["after"][n]) for n in ALL}
    return {name: count for name, count in counts.items() if count}


def test_what_had_gone_since_the_backup_goes_again_and_nothing_else(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], tmp_path: Path
) -> None:
    with restored(cluster, day["dump"], lab) as new:
        assert rows(new) == day["before"]
        renewed = replace(ledger, retention=new.installation.retention)
        with pytest.raises(LedgerError, match="tenure retention replay"):
            renewed.publish()
        work = replayer(new, writer(ledger))
        planned = work.plan()
        assert {
            name: sum(f.counts().get(name, {}).get("delete", 0) for f in planned.found.values())
            for name in lost(day)
        } == lost(day)
        assert rows(new) == day["before"], "a plan changed something"
        done = work.run()
        assert done.whole
        assert rows(new) == day["after"]
        assert purged(new) == lost(day)
        # Who presents the key is told: the batch that it went in first is lost with the database.
        with new.installation.verifier.transaction(None, read_only=True) as cursor:
            (told,) = find(cursor, None, "lab.cases", UUID(day["person"]))
        assert (told.action, told.purge) == ("delete", "replay")
        assert told.purge_id in {tenant.purge_id for tenant in done.tenants}
        assert new.sql("SELECT DISTINCT state, cause -> 'records' -> 0 ->> 'journal' IS NOT NULL"
                       " FROM tenure.purges") == [("completed", True)]  # fmt: skip
        # Again, and there is nothing to do.
        assert work.run().tenants == ()
        # What is kept is no identifier.
        text = "".join(path.read_text() for path in gone(ledger).path.iterdir())
        assert day["person"] not in text
        assert "Sentinel" not in text
        assert_in_order(new)


def test_the_ledger_goes_on_under_a_new_name_that_names_the_old_one(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], tmp_path: Path
) -> None:
    assert ledger.outside
    given_out = ledger.outside.folder.last()
    assert given_out
    with restored(cluster, day["dump"], lab) as new:
        replayer(new, writer(ledger), before=given_out.decode()).run()
        former = replace(ledger, retention=new.installation.retention)
        with pytest.raises(LedgerError, match="Nothing is signed"):
            former.publish()
        # What the replay did is on record all the same.
        kinds = [line.kind for line in gone(ledger).lines()]
        assert kinds.count("rewound") == 1
        assert kinds[kinds.index("rewound") + 1 :] == ["purge-batch"] * kinds.count("purge-batch")
        assert "purge-batch" in kinds
        following = make_ledger(new, tmp_path / "ledger-2", "ledger.example/acme-2")
        published = following.publish()
        assert published.signed
        with new.installation.retention.transaction(None) as cursor:
            assert [s.key.name for s in key_steps(cursor)] == [ORIGIN, "ledger.example/acme-2"]
        causes = new.sql(
            "SELECT DISTINCT body -> 'record' -> 'cause' ->> 'checkpoint'"
            " FROM tenure.ledger_entries WHERE kind = 'purge'"
        )
        assert causes == [(given_out.decode(),)]


def test_a_second_restore_of_the_same_backup_is_replayed_whole(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any]
) -> None:
    with restored(cluster, day["dump"], lab) as new:
        replayer(new, writer(ledger)).run()
        start(new.installation.retention, actor="test", reason="the holds are in")
        new.node(UUID(str(new.sql("SELECT tenant_id FROM lab.nodes LIMIT 1")[0][0])))  # type: ignore[arg-type]
        new.run()
        record(new, writer(ledger))
    with restored(cluster, day["dump"], lab) as again:
        done = replayer(again, writer(ledger)).run()
        assert done.whole
        assert rows(again) == day["after"]
        assert_in_order(again)


def test_records_of_what_no_restored_database_has_are_not_written_on(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], tmp_path: Path
) -> None:
    """Rewound once, and then further back than that."""
    with restored(cluster, day["dump"], lab) as new:
        replayer(new, writer(ledger)).run()
        record(new, writer(ledger))
        later = dumped(cluster, new, tmp_path / "later.sql")
    with restored(cluster, later, lab) as third:
        assert record(third, writer(ledger)) == 0
        assert replayer(third, writer(ledger)).run().tenants == ()
    with restored(cluster, day["dump"], lab) as second:
        with pytest.raises(LedgerError, match="tenure retention replay"):
            record(second, writer(ledger))
        assert replayer(second, writer(ledger)).run().whole
        assert rows(second) == day["after"]
        assert record(second, writer(ledger)) > 0


def test_what_is_held_stays_until_it_is_released(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], acme: TenantId
) -> None:
    held = min(day["before"]["pages"] - day["after"]["pages"])
    with restored(cluster, day["dump"], lab) as new:
        hold = new.hold(acme, Scope("rows", TableName("lab", "pages"), rows=(UUID(held),)))
        work = replayer(new, writer(ledger))
        done = work.run()
        assert not done.whole
        (tenant,) = [t for t in done.tenants if t.kept]
        assert tenant.kept["held"] == {"lab.pages": 1}
        # The file and the case it is part of stay with it.
        assert set(tenant.kept["referred to"]) == {"lab.cases", "lab.files"}
        assert held in new.ids("pages")
        assert ("incomplete",) in new.sql("SELECT state FROM tenure.purges")
        new.release(hold)
        assert work.run().whole
        assert rows(new) == day["after"]
        assert_in_order(new)


def test_a_tenant_under_hold_loses_nothing(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], acme: TenantId
) -> None:
    with restored(cluster, day["dump"], lab) as new:
        new.hold(acme)
        done = replayer(new, writer(ledger)).run()
        assert [t.tenant for t in done.tenants if t.kept] == ["acme"]
        assert new.sql("SELECT count(*) FROM tenure.purge_batches WHERE tenant_id = %s",
                       (str(acme),)) == [(0,)]  # fmt: skip


def test_a_row_that_others_refer_to_stays_and_is_named(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], acme: TenantId
) -> None:
    went = sorted(day["before"]["nodes"] - day["after"]["nodes"])
    with restored(cluster, day["dump"], lab) as new:
        (mine, *_) = [str(i) for (i,) in new.sql(
            "SELECT id FROM lab.nodes WHERE tenant_id = %s AND id = ANY(%s::uuid[]) ORDER BY id",
            (str(acme), went))]  # fmt: skip
        child = new.node(acme, new.lately, parent_id=mine)
        done = replayer(new, writer(ledger)).run()
        assert {"referred to": {"lab.nodes": 1}} in [t.kept for t in done.tenants]
        assert {mine, child} <= new.ids("nodes")


def test_killed_at_every_step_it_is_gone_on_with(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any], tmp_path: Path
) -> None:
    # At the second batch, so that the first one is committed.
    steps = {"begun": 1, "gate": 2, "locked": 2, "judged": 2, "cut": 2, "deleted": 2,
             "recorded": 2, "committed": 2, "verified": 1, "ending": 1, "ended": 1,
             "rewound": 1, "written on": 1}  # fmt: skip
    for step, count in steps.items():
        copied = writer(ledger, GoneFolder(tmp_path / step))
        shutil.copytree(gone(ledger).path, copied.folder.path)
        with restored(cluster, day["dump"], lab) as new:
            assert killed_at(new, ledger, copied.folder, step, count), f"it never came to {step}"
            left = rows(new)
            missing = {f"lab.{n}": len(day["before"][n] - left[n]) for n in ALL}
            assert {n: c for n, c in missing.items() if c} == purged(new), step
            replayer(new, copied).run()
            assert rows(new) == day["after"], step
            assert record(new, copied) > 0
            assert purged(new) == lost(day), step
            tenants = [t for (t,) in new.sql("SELECT tenant_id FROM tenure.purges")]
            assert len(tenants) == len(set(tenants)), f"{step}: begun twice"


def killed_at(lab: Lab, ledger: Ledger, folder: GoneFolder, step: str, count: int) -> bool:
    assert ledger.outside
    order = {"folder": str(folder.path), "key": str(ledger.outside.key_file),
             "origin": ledger.outside.origin, "step": step, "count": count}  # fmt: skip
    child = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parent / "replay_child.py"),
            json.dumps(order),
        ],
        env=environment_of(lab.installation) | {"PGAPPNAME": NAME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (0, -signal.SIGKILL), child.stderr
    wait_for_its_sessions(str(lab.installation.settings.database_url))
    return child.returncode != 0


def test_all_retention_stopped_stops_it_too(
    cluster: Cluster, lab: Lab, ledger: Ledger, day: dict[str, Any]
) -> None:
    with restored(cluster, day["dump"], lab) as new:
        stop(new.installation.retention, actor="test", reason="looking")
        done = replayer(new, writer(ledger)).run()
        assert done.stopped
        assert rows(new) == day["before"]
        start(new.installation.retention, actor="test", reason="looked")
        assert replayer(new, writer(ledger)).run().whole
        assert rows(new) == day["after"]


def test_the_verifier_is_not_taken_in(
    cluster: Cluster,
    lab: Lab,
    ledger: Ledger,
    day: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What finds rows finds none; the verifier does."""
    from retention.replays import execution, finding

    with restored(cluster, day["dump"], lab) as new:
        monkeypatch.setattr(execution, "find", lambda *_: finding.Found({}, {}))
        with pytest.raises(InvariantError, match=r"lab\.nodes"):
            replayer(new, writer(ledger)).run()
        assert ("running",) in new.sql("SELECT state FROM tenure.purges")


# -- the record outside -------------------------------------------------------------------


def test_every_batch_is_on_record_once_in_the_ledgers_order(
    lab: Lab, ledger: Ledger, day: dict[str, Any]
) -> None:
    lines = [line for line in gone(ledger).lines() if line.is_batch]
    entries = lab.sql(
        "SELECT position, id FROM tenure.ledger_entries"
        " WHERE kind IN ('batch', 'erasure-batch') ORDER BY position"
    )
    assert [(line.position, line.entry) for line in lines] == [
        (position, UUID(str(entry))) for position, entry in entries
    ]
    kept = set().union(*(k.hashes for line in lines for k in line.keys))
    for name in ALL:
        assert {key_hash(UUID(i)) for i in day["before"][name] - day["after"][name]} <= kept
    assert record(lab, writer(ledger)) == 0
    assert {p.stat().st_mode & 0o777 for p in gone(ledger).path.iterdir()} == {0o600}


def test_a_line_cut_short_was_never_there_and_is_written_again(
    lab: Lab, ledger: Ledger, day: dict[str, Any]
) -> None:
    (path,) = gone(ledger).path.glob("*.jsonl")
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in (1, len(last) // 2, len(last)):
        path.write_bytes(whole[:-cut])
        assert len(list(gone(ledger).lines())) == whole.count(b"\n") - 1
        assert record(lab, writer(ledger)) == 1
        assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", ["dropped", "changed", "swapped", "nonsense"])
def test_a_record_with_a_gap_is_refused(
    lab: Lab, ledger: Ledger, day: dict[str, Any], damage: str
) -> None:
    (path,) = gone(ledger).path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    harm: dict[str, Callable[[], None]] = {
        "dropped": lambda: lines.pop(1) and None,
        "changed": lambda: lines.__setitem__(1, lines[1].replace(b'"delete"', b'"archive"')),
        "swapped": lambda: lines.__setitem__(slice(1, 3), [lines[2], lines[1]]),
        "nonsense": lambda: lines.__setitem__(1, b"{}\n"),
    }
    harm[damage]()
    path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerError, match=r"missing or changed|says nothing"):
        replayer(lab, writer(ledger)).plan()


def test_where_nothing_was_restored_there_is_nothing_to_do(
    lab: Lab, ledger: Ledger, day: dict[str, Any]
) -> None:
    work = replayer(lab, writer(ledger))
    assert work.plan().records.wanted == ()
    assert work.run().tenants == ()
    assert rows(lab) == day["after"]
    assert "rewound" not in [line.kind for line in gone(ledger).lines()]
