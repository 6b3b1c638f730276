"""Offboardings and replays on the auditors' pages: clocks, what is overdue, what stays and why."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from api.workshop import workshop_of
from retention.connectors.declarations import parse_connectors
from retention.deletions import key_hash
from retention.holds import place
from retention.offboardings import records
from retention.offboardings.execution import Executor, make_round
from tenants.context import TenantId
from tenants.models import new_id

from .conftest import Console, Evidence

CONNECTORS = """
[connectors.archive]
kind = "files"
root = "files"
prefix = "{tenant}/{key}"
deadline = "P7D"
"""
DAY = 86_400


class Leaving:
    """A tenant of the shop with rows, and what has it go."""

    def __init__(self, console: Console, slug: str, *, connectors: Any = None) -> None:
        self.console = console
        self.evidence = console.evidence
        self.tenant = TenantId(self.evidence.tenant(slug))
        shop = workshop_of(console.installation, actor="worker")
        self.shop = shop if connectors is None else replace(shop, connectors=connectors)
        self.customer = new_id()
        self.evidence.sql(
            "INSERT INTO shop.customers (tenant_id, id, number, name, country, created_at)"
            " VALUES (%s, %s, '1', 'S3ntinel', 'Peru', now())",
            (str(self.tenant), str(self.customer)),
        )

    @property
    def work(self) -> Executor:
        return replace(self.shop.offboardings(), settle_s=1.0)

    def asked(self, *, grace: str = "P30D", exported: bool = False) -> UUID:
        made = records.request(
            self.shop.retention, self.tenant, actor="command:ann", reason="the contract ended",
            grace=grace,
        )  # fmt: skip
        if exported:
            self.export(made)
        return made

    def export(self, offboarding: UUID) -> None:
        made = self.shop.exporter.of_tenant(io.BytesIO(), self.tenant, actor="command:ann")
        records.note_export(self.shop.retention, self.work.find(offboarding), made.id)


@pytest.fixture
def leaving(console: Console) -> Leaving:
    return Leaving(console, "umbrella")


def report(console: Console, name: str, **query: Any) -> Any:
    return console.pages.json(f"/console/{name}?{urlencode(query)}")


def counts(found: Any) -> tuple[int, int, int]:
    return found["open"], found["overdue"], found["deferred"]


def test_a_grace_that_is_over_is_overdue_until_it_begins(leaving: Leaving) -> None:
    made = leaving.asked()
    found = report(leaving.console, "offboardings")
    assert counts(found) == (1, 0, 0)
    (line,) = found["offboardings"]
    assert (line["id"], line["tenant"], line["outcome"]) == (str(made), "umbrella", "in its grace")
    assert (line["requested_by"], line["reason"], line["grace"]) == (
        "command:ann", "the contract ended", "P30D",
    )  # fmt: skip
    assert 30 * DAY - 60 < line["left_s"] <= 30 * DAY
    assert (line["exported_at"], line["took_s"], line["access"]) == (None, None, None)
    leaving.evidence.sql(
        "UPDATE tenure.offboardings SET requested_at = now() - interval '40 days',"
        " deletes_at = now() - interval '10 days'"
    )
    make_round(leaving.work)
    found = report(leaving.console, "offboardings")
    assert counts(found) == (1, 1, 0)
    (line,) = found["offboardings"]
    assert (line["outcome"], line["waits_for"]) == ("overdue", "no copy was made")
    assert line["left_s"] < -9 * DAY
    assert "overdue" in leaving.console.pages.html("/console/offboardings")
    leaving.export(made)
    (line,) = report(leaving.console, "offboardings")["offboardings"]
    assert len(line["export_sha256"]) == 64
    assert line["exported_at"] is not None
    assert (line["outcome"], line["waits_for"]) == ("overdue", "no worker has begun it")
    one = leaving.work.find(made)
    records.take_back(leaving.shop.retention, one, actor="command:bob", reason="they stay")
    found = report(leaving.console, "offboardings")
    assert counts(found) == (0, 0, 0)
    (line,) = found["offboardings"]
    assert (line["outcome"], line["taken_back_by"], line["taken_back_reason"]) == (
        "taken back", "command:bob", "they stay",
    )  # fmt: skip
    assert 39 * DAY < line["took_s"] < 41 * DAY


def test_a_hold_defers_and_is_not_overdue(leaving: Leaving) -> None:
    made = leaving.asked(grace="P0D", exported=True)
    place(
        leaving.shop.retention, leaving.tenant,
        matter="Umbrella v. Acme", reason="r", actor="counsel",
    )  # fmt: skip
    assert leaving.work.run(made).offboarding.state == "deferred"
    found = report(leaving.console, "offboardings")
    assert counts(found) == (1, 0, 1)
    (line,) = found["offboardings"]
    assert line["outcome"] == "deferred"
    assert "Umbrella v. Acme" in line["waits_for"]


def test_what_went_what_stays_and_why_and_who_has_not_answered(
    console: Console, tmp_path: Any
) -> None:
    # Where the files are is not there yet: the connector cannot answer.
    connectors = parse_connectors(CONNECTORS, folder=tmp_path)
    leaving = Leaving(console, "umbrella", connectors=connectors)
    made = leaving.asked(grace="P0D", exported=True)
    assert leaving.work.run(made).offboarding.state == "waiting"
    found = report(console, "offboardings")
    assert counts(found) == (1, 0, 0)
    (line,) = found["offboardings"]
    assert (line["outcome"], line["connectors"]) == ("under way", ["archive: open"])
    assert line["access"] == {"memberships": 0, "api_tokens": 0, "sessions": 0}
    assert (line["rows"], line["batches"]) == (1, 1)
    assert found["stays"] == []
    leaving.evidence.sql(
        "UPDATE tenure.connector_requests SET requested_at = now() - interval '9 days',"
        " due_at = now() - interval '2 days'"
    )
    found = report(console, "offboardings")
    assert (found["overdue"], found["offboardings"][0]["outcome"]) == (1, "overdue")
    leaving.evidence.sql(
        "UPDATE tenure.connector_requests SET state = 'acknowledged', ended_at = now()"
    )
    one = leaving.work.run(made).offboarding
    assert one.state == "completed"
    issued = new_id()
    leaving.evidence.sql(
        "INSERT INTO tenure.certificates (id, kind, subject_id, tenant_id, statement_sha256,"
        " release, issued_by) VALUES (%s, 'tenant', %s, %s, repeat('a', 64), '1', 'ops')",
        (str(issued), str(made), str(leaving.tenant)),
    )
    found = report(console, "offboardings")
    assert counts(found) == (0, 0, 0)
    (line,) = found["offboardings"]
    assert (line["outcome"], line["left_s"]) == ("completed", None)
    assert (line["verified_by"], line["certificate"]) == ("tenure_verifier", str(issued))
    assert line["connectors"] == ["archive: acknowledged"]
    assert found["purged"] == [
        {"of_id": str(made), "table": "shop.customers", "action": "delete", "rows": 1}
    ]
    stays = {each["table"]: (each["rows"], each["why"]) for each in found["stays"]}
    assert one.stays is not None
    assert stays == {name: (of["rows"], of["why"]) for name, of in one.stays.items()}
    assert stays["tenure.purges"][0] == 1
    page = console.pages.html("/console/offboardings")
    assert "shows what was deleted, when, by whom and why" in page
    assert "S3ntinel" not in page


def test_a_period_and_a_tenant_choose_what_was_open_then(console: Console) -> None:
    mine, theirs = Leaving(console, "umbrella"), Leaving(console, "initech")
    first, second = mine.asked(), theirs.asked()
    console.evidence.sql(
        "UPDATE tenure.offboardings SET requested_at = now() - interval '40 days' WHERE id = %s",
        (str(first),),
    )
    records.take_back(
        mine.shop.retention, mine.work.find(first), actor="command:bob", reason="they stay"
    )

    def of(**query: Any) -> list[str]:
        return [one["id"] for one in report(console, "offboardings", **query)["offboardings"]]

    def day(ago: int) -> str:
        return (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert of() == [str(second), str(first)]
    assert of(tenant="umbrella") == [str(first)]
    assert of(until=day(20)) == [str(first)]
    assert of(until=day(50)) == []
    assert of(**{"from": day(-1), "until": day(-2)}) == [str(second)]
    assert report(console, "offboardings", tenant="umbrella")["open"] == 0
    assert of(size=1) == [str(second)]
    assert of(size=1, page=2) == [str(first)]


# -- replays ---------------------------------------------------------------------------------

RECORDS = [{"journal": "j-1", "through": 41, "sha256": "ab" * 32}]


def replayed(
    evidence: Evidence,
    tenant: UUID,
    *,
    state: str = "completed",
    days: int = 1,
    kept: Any = None,
    keys: tuple[UUID, ...] = (),
) -> UUID:
    """Insert a replay that began so many days ago, with a batch for the keys of notes."""
    purge, batch, trace = new_id(), new_id(), new_id().hex
    hashes = b"".join(map(key_hash, keys))
    entry = {"rows": len(keys), "sha256": hashlib.sha256(hashes).hexdigest()}
    known = {
        "tenant": str(tenant), "purge": str(purge), "batch": str(batch), "trace": trace,
        "state": state, "days": days, "rows": len(keys), "hashes": hashes,
        "cause": json.dumps({"records": RECORDS, "checkpoint": None}),
        "kept": None if state == "running" else json.dumps(kept or {}),
        "counts": json.dumps({"shop.notes": {"delete": entry}}),
    }  # fmt: skip
    evidence.sql(
        "INSERT INTO tenure.purges (tenant_id, id, kind, state, cause, trace_id, begun_by,"
        " began_at, counts, kept, ended_at) SELECT %(tenant)s, %(purge)s, 'replay', %(state)s,"
        " %(cause)s, %(trace)s, 'command:ann', at,"
        " CASE WHEN %(state)s <> 'running' THEN '{}'::jsonb END, %(kept)s,"
        " CASE WHEN %(state)s <> 'running' THEN at + interval '1 hour' END"
        " FROM (SELECT now() - %(days)s * interval '1 day' AS at) a",
        known,
    )
    if keys:
        evidence.sql(
            "INSERT INTO tenure.purge_batches (tenant_id, id, purge_id, trace_id, rows, counts,"
            " started_at) VALUES (%(tenant)s, %(batch)s, %(purge)s, %(trace)s, %(rows)s,"
            " %(counts)s, now()); INSERT INTO tenure.purged_keys (tenant_id, purge_id, batch_id,"
            " table_name, action, hashes) VALUES (%(tenant)s, %(purge)s, %(batch)s, 'shop.notes',"
            " 'delete', %(hashes)s)",
            known,
        )
    return purge


def test_an_incomplete_replay_is_open_until_a_later_one_is_completed(console: Console) -> None:
    evidence = console.evidence
    umbrella, initech = evidence.tenant("umbrella"), evidence.tenant("initech")
    kept = {"held": {"shop.notes": 2}, "referred to": {"shop.customers": 1}}
    first = replayed(evidence, umbrella, state="incomplete", days=9, kept=kept, keys=(new_id(),))
    other = replayed(evidence, initech, days=8)
    running = replayed(evidence, initech, state="running", days=2)
    found = report(console, "replays")
    assert (found["running"], found["incomplete"]) == (1, 1)
    assert [(line["id"], line["outcome"]) for line in found["replays"]] == [
        (str(running), "under way"), (str(first), "incomplete"), (str(other), "completed"),
    ]  # fmt: skip
    lines = {line["id"]: line for line in found["replays"]}
    assert 2 * DAY - 60 < lines[str(running)]["quiet_s"] < 2 * DAY + 60
    assert (lines[str(first)]["quiet_s"], lines[str(first)]["took_s"]) == (None, 3600)
    assert (lines[str(first)]["kept"], lines[str(first)]["rows"]) == (3, 1)
    assert [(e["why"], e["table"], e["rows"]) for e in found["left"]] == [
        ("held", "shop.notes", 2), ("referred to", "shop.customers", 1),
    ]  # fmt: skip
    assert found["purged"] == [
        {"of_id": str(first), "table": "shop.notes", "action": "delete", "rows": 1}
    ]
    assert {(e["replay_id"], e["journal"], e["through"]) for e in found["records"]} == {
        (str(one), "j-1", 41) for one in (first, other, running)
    }
    page = console.pages.html("/console/replays")
    assert "incomplete" in page
    assert "held" in page
    last = replayed(evidence, umbrella, days=1)
    found = report(console, "replays", tenant="umbrella")
    assert (found["running"], found["incomplete"]) == (0, 0)
    assert [(line["id"], line["outcome"]) for line in found["replays"]] == [
        (str(last), "completed"), (str(first), "made good"),
    ]  # fmt: skip
    assert found["replays"][1]["made_good_at"] is not None


def test_replays_of_a_period_are_those_that_were_open_in_it(console: Console) -> None:
    evidence = console.evidence
    umbrella = evidence.tenant("umbrella")
    first = replayed(evidence, umbrella, state="incomplete", days=9)
    last = replayed(evidence, umbrella, days=3)

    def of(since: int, until: int) -> list[str]:
        day = datetime.now(UTC)
        query = {
            "from": (day - timedelta(days=since)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "until": (day - timedelta(days=until)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return [line["id"] for line in report(console, "replays", **query)["replays"]]

    assert of(20, 10) == []
    assert of(20, 8) == of(7, 5) == [str(first)]
    assert of(4, 0) == [str(last), str(first)]
    assert of(2, 0) == []


def test_a_key_that_a_purge_took_is_traced_to_it(console: Console) -> None:
    umbrella = console.evidence.tenant("umbrella")
    key, other = new_id(), new_id()
    purge = replayed(console.evidence, umbrella, keys=(other, key))
    found = report(console, "samples", key=str(key))
    (line,) = found["purged"]
    assert (line["purge"], line["purge_id"], line["tenant"]) == ("replay", str(purge), "umbrella")
    assert (line["table"], line["action"]) == ("shop.notes", "delete")
    assert "j-1 up to line 41" in line["rule"]
    assert (line["started_by"], line["approved_by"]) == ("command:ann", None)
    assert line["proof"] == "under no checkpoint yet"
    assert found["samples"] == found["erased"] == []
    (commitment,) = found["commitments"]
    assert (commitment["cause"], commitment["action"], commitment["rows"]) == ("purge", "delete", 2)
    assert report(console, "samples", key=str(key), of="shop.customers")["purged"] == []
    assert report(console, "samples", key=str(new_id()))["purged"] == []
    page = console.pages.html(f"/console/samples?key={key}")
    assert str(purge) in page
    address = f"/console/batches/{line['batch_id']}/shop.notes.delete.keys"
    assert address in page
    hashes = console.pages.client.get(address).data
    assert hashes == key_hash(other) + key_hash(key)
    assert hashlib.sha256(hashes).hexdigest() == commitment["sha256"]
    for name in ("shop.notes", "shop.notes.cut", "shop.notes.delete.delete"):
        gone = console.pages.client.get(f"/console/batches/{line['batch_id']}/{name}.keys")
        assert gone.status_code == 404, name
