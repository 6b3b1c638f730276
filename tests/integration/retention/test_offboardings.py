"""A tenant leaves: all of its rows go and nobody else's, after its grace, unless held."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention.connectors.declarations import parse_connectors
from retention.connectors.delivery import deliver_due
from retention.deletions import find, key_hash
from retention.errors import InvariantError, OffboardingError
from retention.hold_scopes import Scope
from retention.interventions import start, stop
from retention.offboardings import finding, records
from retention.offboardings.checking import ENDS, STAYS
from retention.offboardings.execution import Executor, make_round
from retention.offboardings.records import Offboarding
from retention.tick import tick
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.registry import add_member, create_login, issue_token

from .conftest import CATALOG, Lab
from .crash import NAME, wait_for_its_sessions
from .shop_rows import environment_of

CONNECTORS = """
[connectors.documents]
kind = "files"
root = "store"
prefix = "{tenant}/cases/{key}"
deadline = "P7D"
"""
TABLES = tuple(t.name.name for t in CATALOG)


def executor(lab: Lab, **changes: Any) -> Executor:
    return replace(lab.shop().offboardings(), **{"limit": 2, "settle_s": 0.2, **changes})


def plant(lab: Lab, tenant: TenantId) -> None:
    """Rows in every table: a chain of nodes, a circle of two, cases with files that name each
    other, citations, remarks."""
    parent = lab.node(tenant)
    for _ in range(4):
        parent = lab.node(tenant, lab.lately, parent_id=parent)
    lab.node(tenant, parent_id=parent)
    one = lab.node(tenant)
    other = lab.node(tenant, partner_id=one)
    lab.sql("UPDATE lab.nodes SET partner_id = %s WHERE id = %s", (other, one))
    itself = lab.node(tenant)
    lab.sql("UPDATE lab.nodes SET parent_id = id WHERE id = %s", (itself,))
    for _ in range(3):
        case = lab.case(tenant, files=2, opened=lab.lately)
        lab.add("remarks", tenant, about="case", subject_id=case)
    lab.add("remarks", tenant, about="file", subject_id=str(uuid.uuid4()))
    ((page,),) = lab.sql("SELECT id FROM lab.pages WHERE tenant_id = %s LIMIT 1", (str(tenant),))
    lab.add("citations", tenant, page_id=str(page), cited_at=lab.lately)


def rows(lab: Lab, tenant: TenantId) -> dict[str, set[str]]:
    return {
        name: {
            str(i) for (i,) in lab.sql(
                f"SELECT id FROM lab.{name} WHERE tenant_id = %s", (str(tenant),))
        }
        for name in TABLES
    }  # fmt: skip


def counted(found: dict[str, set[str]]) -> dict[str, int]:
    return {f"lab.{name}": len(ids) for name, ids in found.items() if ids}


def asked(lab: Lab, tenant: TenantId, *, grace: str = "P0D", exported: bool = True) -> UUID:
    installation = lab.installation
    offboarding_id = records.request(
        installation.retention, tenant, actor="command:ann", reason="contract ended", grace=grace
    )
    if exported:
        export(lab, offboarding_id)
    return offboarding_id


def export(lab: Lab, offboarding_id: UUID) -> bytes:
    one = of(lab, offboarding_id)
    out = io.BytesIO()
    made = lab.shop().exporter.of_tenant(out, one.tenant_id, actor="command:ann")
    records.note_export(lab.installation.retention, one, made.id)
    return out.getvalue()


def of(lab: Lab, offboarding_id: UUID) -> Offboarding:
    return executor(lab).find(offboarding_id)


def purged(lab: Lab) -> dict[str, int]:
    total: dict[str, int] = {}
    for (counts,) in lab.sql("SELECT counts FROM tenure.purge_batches"):
        for table, by in counts.items():
            total[table] = total.get(table, 0) + by["delete"]["rows"]
    return total


@pytest.fixture
def two(lab: Lab, acme: TenantId, globex: TenantId) -> dict[str, dict[str, set[str]]]:
    """Two tenants with rows everywhere: what each has."""
    plant(lab, acme)
    plant(lab, globex)
    return {"acme": rows(lab, acme), "globex": rows(lab, globex)}


Two = dict[str, dict[str, set[str]]]


def test_all_of_a_tenant_goes_and_nothing_of_another(
    lab: Lab, acme: TenantId, globex: TenantId, two: Two
) -> None:
    assert all(two["acme"].values()), "every table has a row to lose"
    assert set(counted(two["acme"])) == {str(t.name) for t in CATALOG}
    result = executor(lab).run(asked(lab, acme))
    one = result.offboarding
    assert (one.state, result.why) == ("completed", "")
    assert counted(rows(lab, acme)) == {}
    assert rows(lab, globex) == two["globex"]
    assert purged(lab) == counted(two["acme"])
    assert one.counts
    assert {n: by["delete"] for n, by in one.counts["deleted"].items()} == counted(two["acme"])
    # Which rows they were can be shown, by whoever has a key; and each batch was small.
    kept: set[bytes] = set()
    for (hashes,) in lab.sql("SELECT hashes FROM tenure.purged_keys"):
        kept |= {bytes(hashes)[at : at + 16] for at in range(0, len(hashes), 16)}
    assert kept == {key_hash(UUID(i)) for ids in two["acme"].values() for i in ids}
    assert max(n for (n,) in lab.sql("SELECT rows FROM tenure.purge_batches")) <= 8
    assert lab.sql("SELECT kind, state FROM tenure.purges") == [("offboarding", "completed")]
    found = {r.kind for r in lab.verify().results if r.found and r.is_finding}
    assert found <= {"overdue", "orphans"}, "the other tenant's; the records are right"


def test_the_books_come_out_and_who_has_a_key_is_told(lab: Lab, acme: TenantId, two: Two) -> None:
    kinds = {r.kind for r in lab.verify().results if r.found and r.is_finding}
    offboarding_id = asked(lab, acme)
    overdue = lab.node(acme)
    one = executor(lab).run(offboarding_id).offboarding
    assert {r.kind for r in lab.verify().results if r.found and r.is_finding} <= kinds
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        (found,) = find(cursor, acme, "lab.nodes", UUID(overdue))
    assert (found.purge, found.purge_id, found.action) == ("offboarding", one.purge_id, "delete")


def test_nothing_goes_before_the_grace_is_over(lab: Lab, acme: TenantId, two: Two) -> None:
    offboarding_id = asked(lab, acme, grace="P30D")
    result = executor(lab).run(offboarding_id)
    assert result.offboarding.state == "requested"
    assert result.why.startswith("is in its grace until")
    assert executor(lab).at_work() == []
    assert rows(lab, acme) == two["acme"]
    with pytest.raises(psycopg2.Error, match="in its grace"):
        lab.sql("UPDATE tenure.offboardings SET state = 'running', started_at = now(),"
                " purge_id = gen_random_uuid()")  # fmt: skip


def test_nothing_goes_without_an_export_that_was_finished(
    lab: Lab, acme: TenantId, two: Two
) -> None:
    offboarding_id = asked(lab, acme, exported=False)
    done = make_round(executor(lab))
    assert [r.why for r in done.done] == ["waits for an export that is finished"]
    assert [(a.kind, a.subject) for a in done.alerts] == [("offboarding", str(offboarding_id))]
    lab.sql(
        "INSERT INTO tenure.exports (tenant_id, id, kind, requested_by)"
        " VALUES (%s, %s, 'tenant', 'x')",
        (str(acme), str(offboarding_id)),
    )
    records.note_export(lab.installation.retention, of(lab, offboarding_id), offboarding_id)
    with pytest.raises(psycopg2.Error, match="no export that was finished"):
        executor(lab).run(offboarding_id)
    assert rows(lab, acme) == two["acme"]
    assert counted(two["acme"]) == counted(exported_rows(export(lab, offboarding_id)))
    assert executor(lab).run(offboarding_id).offboarding.state == "completed"


def exported_rows(written: bytes) -> dict[str, set[str]]:
    with zipfile.ZipFile(io.BytesIO(written)) as bundle:
        return {
            name: {row["id"] for row in json.loads(bundle.read(f"lab.{name}.json"))}
            for name in TABLES
        }


def test_the_export_has_all_rows_of_the_tenant_and_nobody_elses(
    lab: Lab, acme: TenantId, two: Two
) -> None:
    out = io.BytesIO()
    made = lab.shop().exporter.of_tenant(out, acme, actor="command:ann", reason="leaves")
    assert exported_rows(out.getvalue()) == two["acme"]
    with zipfile.ZipFile(out) as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
    assert (manifest["kind"], manifest["tenant"], manifest["subject"]) == (
        "tenant", str(acme), None,
    )  # fmt: skip
    assert {t["table"]: t["rows"] for t in manifest["tables"]} == counted(two["acme"])
    assert made.counts == counted(two["acme"])


def test_taken_back_nothing_is_deleted(lab: Lab, acme: TenantId, two: Two) -> None:
    login = member(lab, acme)
    offboarding_id = asked(lab, acme)
    retention = lab.installation.retention
    records.take_back(retention, of(lab, offboarding_id), actor="command:bob", reason="they stay")
    one = of(lab, offboarding_id)
    assert (one.state, one.taken_back_by, one.taken_back_reason) == (
        "taken back", "command:bob", "they stay",
    )  # fmt: skip
    with pytest.raises(OffboardingError, match="taken back"):
        executor(lab).run(offboarding_id)
    assert make_round(executor(lab)).done == ()
    assert rows(lab, acme) == two["acme"]
    assert members(lab, acme) == [login]
    with pytest.raises(OffboardingError, match="taken back"):
        records.take_back(retention, one, actor="command:bob", reason="again")
    with pytest.raises(psycopg2.Error, match="does not change"):
        lab.sql("UPDATE tenure.offboardings SET state = 'requested'")
    # They may change their minds.
    assert executor(lab).run(asked(lab, acme)).offboarding.state == "completed"


def test_what_has_begun_is_not_taken_back(lab: Lab, acme: TenantId, two: Two) -> None:
    hold = lab.hold(acme, Scope("rows", TableName("lab", "nodes"), rows=(one_of(two, "nodes"),)))
    offboarding_id = asked(lab, acme)
    assert executor(lab).run(offboarding_id).offboarding.state == "deferred"
    one = of(lab, offboarding_id)
    with pytest.raises(OffboardingError, match="has begun"):
        records.take_back(lab.installation.retention, one, actor="command:bob", reason="stay")
    with pytest.raises(psycopg2.Error, match="made not to have"):
        lab.sql("UPDATE tenure.offboardings SET started_at = NULL, purge_id = NULL,"
                " state = 'requested', waits = NULL")  # fmt: skip
    lab.release(hold)
    assert executor(lab).run(offboarding_id).offboarding.state == "completed"


def one_of(two: Two, table: str) -> UUID:
    return UUID(min(two["acme"][table]))


def test_asked_for_twice_or_without_a_reason_or_with_no_period_it_is_refused(
    lab: Lab, acme: TenantId
) -> None:
    retention = lab.installation.retention
    for wrong in ({"reason": " "}, {"grace": "soon"}, {"grace": "-P1D"}):
        with pytest.raises(OffboardingError):
            records.request(retention, acme, actor="x", **{"reason": "ended", **wrong})
    asked(lab, acme)
    with pytest.raises(OffboardingError, match="open already"):
        asked(lab, acme)


# -- holds -------------------------------------------------------------------------------------


def test_a_hold_on_the_tenant_defers_it_and_its_people_keep_their_access(
    lab: Lab, acme: TenantId, two: Two
) -> None:
    login = member(lab, acme)
    hold = lab.hold(acme, matter="M-7")
    offboarding_id = asked(lab, acme)
    result = executor(lab).run(offboarding_id)
    assert result.offboarding.state == "deferred"
    assert "M-7" in (result.offboarding.waits or "")
    assert rows(lab, acme) == two["acme"]
    assert members(lab, acme) == [login]
    lab.release(hold)
    assert executor(lab).run(offboarding_id).offboarding.state == "completed"
    assert counted(rows(lab, acme)) == {}


@pytest.mark.parametrize("table", ["pages", "nodes", "cases", "remarks"])
def test_held_rows_stay_with_what_they_refer_to_until_they_are_released(
    lab: Lab, acme: TenantId, globex: TenantId, two: Two, table: str
) -> None:
    held = one_of(two, table)
    hold = lab.hold(acme, Scope("rows", TableName("lab", table), rows=(held,)))
    offboarding_id = asked(lab, acme)
    result = executor(lab).run(offboarding_id)
    assert (result.offboarding.state, result.offboarding.waits) == ("deferred", "1 rows are held")
    left = rows(lab, acme)
    assert str(held) in left[table]
    if table == "pages":
        # The file it is part of, and that one's case, which names its main file.
        assert counted(left).keys() == {"lab.pages", "lab.files", "lab.cases"}
        assert (counted(left)["lab.pages"], counted(left)["lab.cases"]) == (1, 1)
    before = lab.sql(
        "SELECT count(*) FROM tenure.ledger_entries WHERE starts_with(kind, 'offboarding')"
    )
    assert executor(lab).run(offboarding_id).rows == 0
    after = lab.sql(
        "SELECT count(*) FROM tenure.ledger_entries WHERE starts_with(kind, 'offboarding')"
    )
    assert before == after, "nothing new is said where nothing is new"
    lab.release(hold)
    assert executor(lab).run(offboarding_id).offboarding.state == "completed"
    assert purged(lab) == counted(two["acme"])
    assert rows(lab, globex) == two["globex"]


def test_a_hold_placed_in_the_middle_stops_the_next_batch(
    lab: Lab, acme: TenantId, two: Two
) -> None:
    placed: list[UUID] = []

    def on_step(step: str) -> None:
        if step == "committed" and not placed:
            placed.append(lab.hold(acme))

    result = executor(lab, on_step=on_step).run(asked(lab, acme))
    assert result.offboarding.state == "deferred"
    assert result.batches == 1
    assert (
        sum(counted(rows(lab, acme)).values()) == sum(counted(two["acme"]).values()) - result.rows
    )
    lab.release(placed[0])
    assert make_round(executor(lab)).done[0].offboarding.state == "completed"


def test_all_retention_stopped_stops_it_too(lab: Lab, acme: TenantId, two: Two) -> None:
    offboarding_id = asked(lab, acme)
    stop(lab.installation.retention, actor="test", reason="looking")
    result = executor(lab).run(offboarding_id)
    assert (result.offboarding.state, result.why) == ("requested", "all retention is stopped")
    assert rows(lab, acme) == two["acme"]
    start(lab.installation.retention, actor="test", reason="looked")
    assert executor(lab).run(offboarding_id).offboarding.state == "completed"


# -- those who write meanwhile -----------------------------------------------------------------


def test_a_row_that_comes_in_the_middle_goes_too(lab: Lab, acme: TenantId, two: Two) -> None:
    """A child of what is about to go, a row of a table that is done with, and a plain one."""
    came: dict[str, int] = {}

    def on_step(step: str) -> None:
        came[step] = came.get(step, 0) + 1
        if step == "committed" and came[step] == 3:
            cases = rows(lab, acme)["cases"]
            lab.add("remarks", acme, about="case", subject_id=min(cases))
            lab.add("files", acme, case_id=min(cases))
            lab.node(acme)

    result = executor(lab, on_step=on_step).run(asked(lab, acme))
    assert result.offboarding.state == "completed"
    assert counted(rows(lab, acme)) == {}
    assert sum(purged(lab).values()) == sum(counted(two["acme"]).values()) + 3


def test_a_row_that_is_not_committed_yet_is_waited_for(lab: Lab, acme: TenantId, two: Two) -> None:
    offboarding_id = asked(lab, acme)
    late = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        with late.cursor() as cursor:
            cursor.execute(
                "INSERT INTO lab.nodes (tenant_id, id) VALUES (%s, gen_random_uuid())", (str(acme),)
            )
        result = executor(lab).run(offboarding_id)
        assert (result.offboarding.state, result.why) == (
            "running", "waits for open transactions to end",
        )  # fmt: skip
        late.commit()
    finally:
        late.close()
    result = executor(lab).run(offboarding_id)
    assert (result.offboarding.state, result.rows) == ("completed", 1)


def test_a_row_that_comes_after_the_end_is_warned_of(lab: Lab, acme: TenantId, two: Two) -> None:
    offboarding_id = asked(lab, acme)
    executor(lab).run(offboarding_id)
    assert make_round(executor(lab)).alerts == ()
    lab.node(acme, lab.lately)
    tick(lab.shop())
    ((kind, subject, detail),) = lab.sql(
        "SELECT kind, subject, detail FROM tenure.alerts WHERE kind = 'offboarding'"
    )
    assert (kind, subject) == ("offboarding", str(offboarding_id))
    assert detail == "acme has left, and has rows again in lab.nodes"
    # It goes as the others did: by an offboarding.
    assert executor(lab).run(asked(lab, acme)).rows == 1


def test_the_verifier_is_not_taken_in(
    lab: Lab, acme: TenantId, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks for rows finds none, not even at the end; the verifier does."""
    from retention.offboardings import execution

    monkeypatch.setattr(finding.Portions, "all", lambda _: iter(()))
    monkeypatch.setattr(execution, "has_rows", lambda *_: [])
    with pytest.raises(InvariantError, match=r"lab\.nodes: 9"):
        executor(lab).run(asked(lab, acme))
    assert rows(lab, acme) == two["acme"]
    assert lab.sql("SELECT state FROM tenure.offboardings") == [("running",)]


def test_a_table_that_the_models_do_not_know_is_looked_into(
    lab: Lab, acme: TenantId, two: Two
) -> None:
    lab.sql("CREATE TABLE lab.forgotten (tenant_id uuid, id uuid)")
    lab.sql("GRANT SELECT ON lab.forgotten TO tenure_verifier")
    lab.sql("INSERT INTO lab.forgotten VALUES (%s, gen_random_uuid())", (str(acme),))
    with pytest.raises(InvariantError, match=r"lab\.forgotten: 1"):
        executor(lab).run(asked(lab, acme))
    lab.sql("TRUNCATE lab.forgotten")
    assert make_round(executor(lab)).done[0].offboarding.state == "completed"


# -- access ------------------------------------------------------------------------------------


def member(lab: Lab, tenant: TenantId, email: str = "jo@acme.example") -> UUID:
    with lab.owner, lab.owner.cursor() as cursor:
        login = create_login(cursor, email=email, password_hash="x")
        add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
        issue_token(cursor, tenant_id=tenant, login_id=login, name="ci")
        cursor.execute(
            "INSERT INTO tenure.sessions (digest, login_id, tenant_id, expires_at)"
            " VALUES (sha256(%s::bytea), %s, %s, now() + '1 h')",
            (email, login, tenant),
        )
    return login


def members(lab: Lab, tenant: TenantId) -> list[UUID]:
    found = lab.sql("SELECT login_id FROM tenure.memberships WHERE tenant_id = %s", (str(tenant),))
    return [UUID(str(i)) for (i,) in found]


def test_access_ends_when_the_deletion_begins_and_nobody_is_let_in_again(
    lab: Lab, acme: TenantId, globex: TenantId, two: Two
) -> None:
    login, other = member(lab, acme), member(lab, globex, "al@globex.example")
    seen: list[list[UUID]] = []

    def on_step(step: str) -> None:
        if step in ("started", "gate") and len(seen) < 2:
            seen.append(members(lab, acme))

    offboarding_id = asked(lab, acme)
    assert members(lab, acme) == [login]
    one = executor(lab, on_step=on_step).run(offboarding_id).offboarding
    assert seen == [[], []]
    assert one.access == {"memberships": 1, "api_tokens": 1, "sessions": 1}
    assert members(lab, globex) == [other]
    for table in ("api_tokens", "sessions"):
        left = lab.sql(f"SELECT login_id FROM tenure.{table}")
        assert [UUID(str(i)) for (i,) in left] == [other]
    with (
        pytest.raises(psycopg2.Error, match="has been offboarded"),
        lab.owner,
        lab.owner.cursor() as cursor,
    ):
        add_member(cursor, tenant_id=acme, login_id=login, role="owner")
    assert ("offboarding:" + str(offboarding_id),) in lab.sql(
        "SELECT actor FROM tenure.access_changes WHERE tenant_id = %s", (str(acme),)
    )


# -- connectors --------------------------------------------------------------------------------


def test_connectors_are_asked_for_all_of_the_tenant_and_waited_for(
    lab: Lab, acme: TenantId, globex: TenantId, two: Two, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for tenant in (acme, globex):
        (store / str(tenant)).mkdir(parents=True)
        (store / str(tenant) / "letter").write_text("dear sir")
    connectors = parse_connectors(CONNECTORS, folder=tmp_path)
    work = executor(lab, connectors=connectors)
    offboarding_id = asked(lab, acme)
    one = work.run(offboarding_id).offboarding
    assert (one.state, one.waits) == ("waiting", "connectors have not answered: documents")
    assert counted(rows(lab, acme)) == {}
    assert work.run(offboarding_id).offboarding.state == "waiting"
    assert deliver_due(lab.shop(connectors=connectors).courier) == {"acknowledged": 1}
    assert [path.name for path in store.iterdir()] == [str(globex)]
    one = work.run(offboarding_id).offboarding
    assert one.state == "completed"
    assert one.counts
    assert one.counts["elsewhere"] == {"documents": "acknowledged"}


# -- evidence ----------------------------------------------------------------------------------


def test_of_every_table_that_names_tenants_it_is_said_whether_it_ends_or_stays_and_why(
    lab: Lab,
) -> None:
    ours = {
        name
        for (name,) in lab.sql(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'tenure'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND a.attname = 'tenant_id' AND NOT a.attisdropped"
        )
    }
    assert ours - set(STAYS) - set(ENDS) == set()
    assert not set(STAYS) & set(ENDS)
    assert set(STAYS) - ours == {"tenants"}


def test_what_ends_has_ended_and_what_stays_is_counted(lab: Lab, acme: TenantId, two: Two) -> None:
    member(lab, acme)
    with lab.installation.retention.transaction(acme) as cursor:
        cursor.execute("SELECT tenure.pseudonym('x')")
    one = executor(lab).run(asked(lab, acme)).offboarding
    for name in ENDS:
        found = lab.sql(f"SELECT count(*) FROM tenure.{name} WHERE tenant_id = %s", (str(acme),))
        assert found == [(0,)], name
    assert one.stays
    batches = lab.sql("SELECT count(*) FROM tenure.purge_batches")[0][0]
    assert one.stays["tenure.purge_batches"] == {"rows": batches, "why": STAYS["purge_batches"]}
    assert one.stays["tenure.tenants"]["rows"] == 1
    assert "tenure.holds" not in one.stays


def test_its_steps_enter_the_ledger_without_names(lab: Lab, acme: TenantId, two: Two) -> None:
    executor(lab).run(asked(lab, acme))
    entries = lab.sql(
        "SELECT kind, body -> 'record' ->> 'state', body::text FROM tenure.ledger_entries"
        " WHERE starts_with(kind, 'offboarding') ORDER BY recorded_at"
    )
    assert [(kind, state) for kind, state, _ in entries] == [
        ("offboarding", "requested"),
        ("offboarding-changed", "requested"),
        ("offboarding-changed", "running"),
        ("offboarding-changed", "completed"),
    ]
    assert not any("command:ann" in text or "contract" in text for *_, text in entries)
    for statement in ("DELETE FROM tenure.offboardings", "TRUNCATE tenure.offboardings CASCADE"):
        with pytest.raises(psycopg2.Error, match="append-only"):
            lab.sql(statement)


# -- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "count"),
    [("starting", 1), ("started", 1), ("gate", 3), ("locked", 3), ("judged", 3), ("deleted", 3),
     ("recorded", 3), ("committed", 3), ("verified", 1), ("completing", 1), ("completed", 1)],
)  # fmt: skip
def test_killed_at_a_step_it_is_gone_on_with(
    lab: Lab, acme: TenantId, globex: TenantId, two: Two, step: str, count: int
) -> None:
    login = member(lab, acme)
    offboarding_id = asked(lab, acme)
    assert killed_at(lab, offboarding_id, step, count), f"it never came to {step}"
    left = rows(lab, acme)
    gone = {f"lab.{n}": len(two["acme"][n] - left[n]) for n in TABLES}
    assert {n: c for n, c in gone.items() if c} == purged(lab)
    assert members(lab, acme) == ([login] if step == "starting" else [])
    assert [a.detail for a in make_round(executor(lab)).alerts] == []
    assert of(lab, offboarding_id).state == "completed"
    assert purged(lab) == counted(two["acme"])
    assert rows(lab, globex) == two["globex"]
    assert lab.sql("SELECT count(*) FROM tenure.purges") == [(1,)]


def killed_at(lab: Lab, offboarding_id: UUID, step: str, count: int) -> bool:
    child = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parent / "offboarding_child.py"),
            json.dumps({"id": str(offboarding_id), "step": step, "count": count}),
        ],
        env=environment_of(lab.installation) | {"PGAPPNAME": NAME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (0, -signal.SIGKILL), child.stderr
    wait_for_its_sessions(str(lab.installation.settings.database_url))
    return child.returncode != 0
