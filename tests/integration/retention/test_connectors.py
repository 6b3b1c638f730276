"""Requests to connectors: asked once, worked on until acknowledged, by real folders and servers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from click.testing import CliRunner, Result
from psycopg2 import sql
from werkzeug.serving import make_server

from api.app import create_app
from api.cli import command
from api.wiring import Installation
from retention import webhook as webhooks
from retention.alerts import open_alerts
from retention.connectors.declarations import Connectors, FileStore, parse_connectors
from retention.connectors.delivery import Courier, attempt, deliver_due
from retention.connectors.file_store import parts_of
from retention.connectors.requests import (
    Person,
    Request,
    RequestEvent,
    end,
    events_of,
    open_requests,
    request_erasure,
    request_offboarding,
    requests,
)
from retention.deletions import key_hash
from retention.errors import ConnectorError
from retention.hold_scopes import Scope
from retention.holds import pass_gate
from retention.interventions import start, stop
from retention.jobs import ask_connectors
from retention.tick import tick
from retention.webhook import HEADER, signature
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id
from tests.conftest import Cluster

from .conftest import Lab
from .shop_rows import environment_of

SECRET = b"a secret that nobody else has, 32"
EMAIL = "ada@sentinel.example"


@dataclass
class Receiver:
    """A server that a webhook's requests go to; `answer` makes its answer of a request's body."""

    url: str = ""
    got: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], tuple[int, bytes, str | None]] = lambda _: (202, b"", None)
    location: str | None = None


def acknowledgement(request: str, outcome: str = "erased", **more: Any) -> bytes:
    told = {"type": "erasure.acknowledged", "request": request, "outcome": outcome, **more}
    return json.dumps(told).encode()


def signed(body: bytes, secret: bytes = SECRET, at: float | None = None) -> str:
    return signature(secret, body, int(time.time() if at is None else at))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    there = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (
                webhooks.require_signature([SECRET], self.headers[HEADER], body, time.time())
                is None
            )
            there.got.append((json.loads(body), self.headers[HEADER]))
            status, answer, header = there.answer(json.loads(body))
            self.send_response(status)
            if header:
                self.send_header(HEADER, header)
            if there.location:
                self.send_header("Location", there.location)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}/in?token=hunter2"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield there
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def connectors(tmp_path: Path, receiver: Receiver) -> Connectors:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "secret").chmod(0o600)
    root = tmp_path / "store"
    root.mkdir()
    (root / "beside").write_text("stays")
    text = f"""
[connectors.documents]
kind = "files"
root = "store"
prefix = "{{tenant}}/cases/{{key}}"
subjects = ["case"]
deadline = "P7D"

[connectors.crm]
kind = "webhook"
url = "{receiver.url}"
secret_file = "secret"
deadline = "P14D"
"""
    (tmp_path / "connectors.toml").write_text(text)
    return parse_connectors(text, folder=tmp_path)


@dataclass
class Desk:
    """Ways to ask, and to look."""

    lab: Lab
    tenant: TenantId
    courier: Courier
    erasure: UUID = field(default_factory=new_id)
    key: UUID = field(default_factory=new_id)

    def ask(self, *names: str, erasure: UUID | None = None) -> list[UUID]:
        chosen = {n: c for n, c in self.courier.connectors.items() if not names or n in names}
        with self.courier.retention.transaction(self.tenant) as cursor:
            return request_erasure(
                cursor,
                erasure or self.erasure,
                tenant_id=self.tenant,
                person=Person("case", self.key, {"email": EMAIL}),
                connectors=chosen,
                actor="test",
            )

    def all(self) -> dict[str, Request]:
        with self.courier.verifier.transaction(None, read_only=True) as cursor:
            return {r.connector: r for r in requests(cursor, cause_id=self.erasure, ended=True)}

    def events(self, name: str) -> list[RequestEvent]:
        with self.courier.verifier.transaction(None, read_only=True) as cursor:
            return events_of(cursor, self.all()[name])

    def steps(self, name: str) -> list[str]:
        return [event.event for event in self.events(name)]

    def deliver(self, *, everything: bool = True) -> dict[Any, int]:
        return deliver_due(self.courier, everything=everything)

    def plant(self, files: int = 12) -> Path:
        store = self.courier.connectors["documents"].target
        assert isinstance(store, FileStore)
        folder = store.root.joinpath(*parts_of(store, self.tenant, self.key))
        (folder / "deep").mkdir(parents=True)
        for n in range(files):
            (folder / ("deep" if n % 2 else ".") / f"{n}.txt").write_text("x")
        return folder


@pytest.fixture
def desk(lab: Lab, acme: TenantId, connectors: Connectors) -> Desk:
    courier = Courier(
        lab.installation.retention, lab.installation.verifier, connectors, lab.catalog
    )
    return Desk(lab, acme, courier)


# -- asking -----------------------------------------------------------------------------------


def test_each_connector_is_asked_once_and_its_clock_runs(desk: Desk) -> None:
    made = desk.ask()
    assert len(made) == 2
    assert desk.ask() == []
    found = desk.all()
    assert {(r.state, r.overdue) for r in found.values()} == {("open", False)}
    assert (found["documents"].due_at - found["documents"].requested_at).days == 7
    assert (found["crm"].due_at - found["crm"].requested_at).days == 14
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        assert {r.id for r in open_requests(cursor, desk.erasure)} == set(made)
        assert open_requests(cursor, new_id()) == []


KEYLESS = [None, {}, {"key": None}, {"key": ""}, {"key": "*"}, {"identifiers": {"email": "x"}}]


@pytest.mark.parametrize("told", KEYLESS, ids=str)
def test_a_person_without_a_key_is_not_asked_about(desk: Desk, told: dict[str, Any] | None) -> None:
    """It would be read as a request for all that there is of the tenant."""
    folder = desk.plant()
    insert = (
        "INSERT INTO tenure.connector_requests (tenant_id, id, connector, cause, cause_id, subject,"
        " subject_hash, told, requested_by, due_at) VALUES (%s, %s, 'documents', 'erasure', %s,"
        " 'case', %s, %s, 'test', now() + interval '7 days')"
    )
    values = (
        *(str(desk.tenant), str(new_id()), str(desk.erasure), key_hash(desk.key)),
        None if told is None else json.dumps(told),
    )
    with (
        pytest.raises(psycopg2.errors.CheckViolation, match="connector_requests_key"),
        desk.courier.retention.transaction(desk.tenant) as cursor,
    ):
        cursor.execute(insert, values)
    # Who delivers does not rely on it.
    desk.lab.sql("ALTER TABLE tenure.connector_requests DROP CONSTRAINT connector_requests_key")
    desk.lab.sql(insert, values)
    assert desk.deliver() == {"failed": 1}
    assert folder.exists()
    assert desk.steps("documents") == []


def test_a_person_is_asked_about_by_a_key(desk: Desk) -> None:
    nobody: Any = None
    with (
        pytest.raises(ConnectorError, match="has none"),
        desk.courier.retention.transaction(desk.tenant) as cursor,
    ):
        request_erasure(
            cursor, desk.erasure, tenant_id=desk.tenant, person=Person("case", nobody),
            connectors=desk.courier.connectors, actor="test",
        )  # fmt: skip
    assert desk.all() == {}


def test_one_that_does_not_know_the_subject_is_not_asked(desk: Desk) -> None:
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        made = request_erasure(
            cursor,
            desk.erasure,
            tenant_id=desk.tenant,
            person=Person("supplier", desk.key),
            connectors=desk.courier.connectors,
            actor="test",
        )
    assert len(made) == 1
    assert set(desk.all()) == {"crm"}


def test_what_is_rolled_back_asks_nobody(desk: Desk) -> None:
    def ask_and_fail() -> None:
        with desk.courier.retention.transaction(desk.tenant) as cursor:
            assert request_erasure(
                cursor, desk.erasure, tenant_id=desk.tenant, person=Person("case", desk.key),
                connectors=desk.courier.connectors, actor="test",
            )  # fmt: skip
            raise RuntimeError

    with pytest.raises(RuntimeError):
        ask_and_fail()
    assert desk.deliver() == {}


def test_nobody_asks_or_answers_in_anothers_name(desk: Desk, globex: TenantId) -> None:
    (made,) = desk.ask("crm")
    with desk.courier.retention.transaction(globex) as cursor:
        assert requests(cursor, ended=True) == []
        with pytest.raises(ConnectorError, match="is not there"):
            end(cursor, globex, made, "crm", "acknowledged", actor="x")
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        desk.courier.retention.transaction(globex) as cursor,
    ):
        request_erasure(
            cursor, new_id(), tenant_id=desk.tenant, person=Person("case", desk.key),
            connectors=desk.courier.connectors, actor="test",
        )  # fmt: skip


def test_by_what_a_person_is_found_is_for_the_courier_alone_and_goes_with_the_answer(
    desk: Desk,
) -> None:
    (made,) = desk.ask("crm")
    installation = desk.lab.installation
    for role in (installation.verifier, installation.auditor, installation.app_connections):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="connector_requests"),
            role.transaction(None) as cursor,
        ):
            cursor.execute("SELECT told FROM tenure.connector_requests")
    ((told, kept),) = desk.lab.sql("SELECT told, subject_hash FROM tenure.connector_requests")
    assert told == {"key": str(desk.key), "identifiers": {"email": EMAIL}}
    assert bytes(kept) == key_hash(desk.key)
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        end(cursor, desk.tenant, made, "crm", "acknowledged", actor="test")
    text = json.dumps(
        desk.lab.sql("SELECT to_jsonb(r) FROM tenure.connector_requests r")
        + desk.lab.sql("SELECT to_jsonb(e) FROM tenure.connector_events e")
    )
    assert EMAIL not in text
    assert str(desk.key) not in text


def test_steps_are_only_ever_added(desk: Desk) -> None:
    desk.ask("crm")
    table = "tenure.connector_events"
    for change in (f"UPDATE {table} SET detail = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            desk.lab.sql(change)


# -- files ------------------------------------------------------------------------------------


def test_files_are_counted_deleted_counted_again_and_acknowledged(desk: Desk) -> None:
    folder = desk.plant(12)
    desk.ask("documents")
    assert replace(desk, courier=replace(desk.courier, most_files=5)).deliver() == {
        "acknowledged": 1
    }
    assert not folder.exists()
    assert (folder.parents[2] / "beside").exists()
    events = desk.events("documents")
    assert [(e.event, e.counts.get("files")) for e in events] == [
        ("requested", None), ("counted", 12), ("deleted", 5), ("deleted", 5), ("deleted", 2),
        ("acknowledged", 12),
    ]  # fmt: skip
    assert events[-1].counts["left"] == 0
    assert desk.all()["documents"].state == "acknowledged"
    assert desk.deliver() == {}


def test_a_store_that_is_not_there_acknowledges_nothing(desk: Desk) -> None:
    folder = desk.plant(3)
    desk.ask("documents")
    root = folder.parents[2]
    root.rename(root.with_name("unmounted"))
    root.mkdir()
    assert desk.deliver() == {"failed": 1}
    request = desk.all()["documents"]
    assert request.state == "open"
    assert "is the store mounted?" in (request.problem or "")
    assert desk.deliver() == {"failed": 1}
    assert desk.steps("documents") == ["requested", "failed"], "said once, for as long as it lasts"
    root.rmdir()
    root.with_name("unmounted").rename(root)
    assert desk.deliver() == {"acknowledged": 1}
    assert not folder.exists()


def test_attempts_come_at_longer_and_longer_intervals(desk: Desk) -> None:
    store = desk.courier.connectors["documents"].target
    assert isinstance(store, FileStore)
    (store.root / "beside").unlink()
    desk.ask("documents")
    waits = []
    for _ in range(12):
        assert desk.deliver() == {"failed": 1}
        ((wait,),) = desk.lab.sql(
            "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::int"
            " FROM tenure.connector_requests"
        )
        waits.append(round(wait / 60))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert desk.deliver(everything=False) == {}, "it is not its turn"


@pytest.mark.parametrize("kind", ["tenant", "subject", "rows"])
def test_no_file_goes_under_a_hold_and_all_go_after_it(desk: Desk, kind: str) -> None:
    case = UUID(desk.lab.case(desk.tenant))
    desk.key = case
    folder = desk.plant(3)
    desk.ask()
    cases = TableName("lab", "cases")
    scope = {
        "tenant": Scope("tenant"),
        "subject": Scope("subject", cases, subject=case),
        "rows": Scope("rows", cases, rows=(case,)),
    }[kind]
    hold = desk.lab.hold(desk.tenant, scope)
    assert desk.deliver() == {"deferred": 2}
    assert len(list(folder.rglob("*.txt"))) == 3
    assert {r.problem for r in desk.all().values()} == {"under legal hold"}
    desk.lab.release(hold)
    assert desk.deliver() == {"acknowledged": 1, "delivered": 1}
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["condition", "subject above", "what refers to it"])
def test_no_file_goes_under_a_hold_that_the_person_came_under_after_it_was_placed(
    desk: Desk, kind: str
) -> None:
    """Keys are kept of the rows that were there then; the hold is on what it is on now."""
    lab, tenant = desk.lab, desk.tenant
    nodes, files = TableName("lab", "nodes"), TableName("lab", "files")
    top, case = UUID(lab.node(tenant)), UUID(lab.case(tenant))
    scope = {
        "condition": Scope("table", nodes, condition="r.made_at IS NOT NULL"),
        "subject above": Scope("subject", nodes, subject=top),
        "what refers to it": Scope("table", files, condition="r.id IS NOT NULL"),
    }[kind]
    hold = lab.hold(tenant, scope)
    if kind == "what refers to it":
        lab.add("files", tenant, case_id=str(case))
        desk.key = case
    else:
        desk.key = UUID(lab.node(tenant, parent_id=str(top)))
    folder = desk.plant(3)
    desk.ask()
    assert desk.deliver() == {"deferred": 2}
    assert len(list(folder.rglob("*.txt"))) == 3
    lab.release(hold)
    assert desk.deliver() == {"acknowledged": 1, "delivered": 1}


def test_a_hold_on_others_defers_nothing(desk: Desk) -> None:
    folder = desk.plant(3)
    desk.lab.hold(
        desk.tenant,
        Scope("subject", TableName("lab", "cases"), subject=UUID(desk.lab.case(desk.tenant))),
    )
    desk.ask("documents")
    assert desk.deliver() == {"acknowledged": 1}
    assert not folder.exists()


def test_placing_a_hold_waits_for_the_files_that_are_going(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold commits after the portion; what it finds then is what it keeps."""
    folder = desk.plant(4)
    desk.ask("documents")
    courier = replace(desk.courier, most_files=2)
    from retention.connectors import file_store

    real, placed = file_store.delete, []
    holder = threading.Thread(target=lambda: placed.append(desk.lab.hold(desk.tenant)), daemon=True)

    def slow(*args: Any, **more: Any) -> Any:
        if not holder.is_alive() and not placed:
            holder.start()
            desk.lab.wait_for_a_waiter()
            assert placed == []
        return real(*args, **more)

    monkeypatch.setattr(file_store, "delete", slow)
    assert deliver_due(courier, everything=True) == {"deferred": 1}
    holder.join()
    assert len(list(folder.rglob("*.txt"))) == 2
    assert desk.steps("documents") == ["requested", "counted", "deleted", "deferred"]


def test_no_file_goes_once_the_gate_is_lost(
    desk: Desk, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ended (a slow store outlived its time limit, say) guards nothing any more: a
    hold is placed at once, and what is under it stays."""
    folder = desk.plant(12)
    desk.ask("documents")
    real, went = os.unlink, []

    def unlink(name: Any, **more: Any) -> None:
        real(name, **more)
        went.append(name)
        if len(went) == 3:
            ((name,),) = desk.lab.sql("SELECT current_database()")
            cluster.execute(
                sql.SQL(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE usename = 'tenure_retention' AND state = 'idle in transaction'"
                    " AND datname = {}"
                ).format(sql.Literal(name))
            )
            desk.lab.hold(desk.tenant)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        assert desk.deliver() == {"failed": 1}
    assert len(went) == 3
    assert len(list(folder.rglob("*.txt"))) == 9
    assert desk.deliver() == {"deferred": 1}
    assert len(list(folder.rglob("*.txt"))) == 9


def test_a_slow_store_keeps_the_gate_for_a_portions_time_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what went is on record, however long all of it takes."""
    folder = desk.plant(8)
    desk.ask("documents")
    real = os.unlink

    def unlink(name: Any, **more: Any) -> None:
        time.sleep(0.1)
        real(name, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        done = replace(desk, courier=replace(desk.courier, portion_s=0.15)).deliver()
    assert done == {"acknowledged": 1}
    assert not folder.exists()
    went = [e.counts["files"] for e in desk.events("documents") if e.event == "deleted"]
    assert sum(went) == 8
    assert max(went) <= 2


def test_counting_what_is_there_keeps_nobody_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = desk.plant(3)
    desk.ask("documents")
    from retention.connectors import file_store

    real, placed = file_store.count, list[UUID]()

    def slow(*args: Any) -> Any:
        if not placed:
            placed.append(desk.lab.hold(desk.tenant))
        return real(*args)

    monkeypatch.setattr(file_store, "count", slow)
    assert desk.deliver() == {"deferred": 1}
    assert desk.steps("documents") == ["requested", "counted", "deferred"]
    assert len(list(folder.rglob("*.txt"))) == 3


# -- when all retention is stopped ------------------------------------------------------------


def test_when_all_retention_is_stopped_no_file_goes_and_nobody_is_told(
    desk: Desk, receiver: Receiver
) -> None:
    folder = desk.plant(3)
    desk.ask("documents", "crm")
    retention = desk.courier.retention
    stop(retention, actor="ann", reason="a wrong request")
    assert desk.deliver() == {"deferred": 2}
    assert len(list(folder.rglob("*.txt"))) == 3
    assert receiver.got == []
    assert desk.steps("documents") == ["requested"]
    start(retention, actor="ann", reason="it was right")
    # At once, and not after as long as a request that failed waits.
    assert desk.deliver(everything=False) == {"acknowledged": 1, "delivered": 1}
    assert not folder.exists()


def test_who_stops_all_retention_waits_for_the_files_that_are_going(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = desk.plant(4)
    desk.ask("documents")
    real, at_return = os.unlink, list[int]()

    def stopping() -> None:
        stop(desk.courier.retention, actor="ann", reason="a wrong request")
        at_return.append(len(list(folder.rglob("*.txt"))))

    stopper = threading.Thread(target=stopping, daemon=True)

    def unlink(name: Any, **more: Any) -> None:
        if stopper.ident is None:
            stopper.start()
            desk.lab.wait_for_a_waiter()
            assert at_return == []
        real(name, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        courier = replace(desk.courier, most_files=2)
        assert deliver_due(courier, everything=True) == {"deferred": 1}
        stopper.join()
    assert at_return == [2]
    assert len(list(folder.rglob("*.txt"))) == 2


CHILD = """
    import os, sys
    from pathlib import Path
    from uuid import UUID
    sys.path.insert(0, {root!r})
    from api.wiring import open_installation
    from config.settings import load_settings
    from retention.connectors import file_store
    from retention.connectors.declarations import load_connectors
    from retention.connectors.delivery import Courier, deliver_due
    real, left = os.unlink, [{dies_after}]
    def unlink(*a, **k):
        real(*a, **k)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), 9)
    os.unlink = unlink
    opened = open_installation(load_settings(None or os.environ, None))
    deliver_due(Courier(opened.retention, opened.verifier, load_connectors(Path({toml!r})),
                opened.catalog, most_files=5), everything=True)
"""


@pytest.mark.parametrize("dies_after", [1, 5, 7, 12])
def test_killed_among_the_files_the_next_attempt_ends_it(
    desk: Desk, tmp_path: Path, dies_after: int
) -> None:
    folder = desk.plant(12)
    desk.ask("documents")
    root = str(Path(__file__).parents[3])
    code = textwrap.dedent(
        CHILD.format(root=root, dies_after=dies_after, toml=str(tmp_path / "connectors.toml"))
    )
    environment = os.environ | environment_of(desk.lab.installation)
    died = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(list(folder.rglob("*.txt"))) == 12 - dies_after
    assert desk.all()["documents"].state == "open"
    assert desk.deliver() == {"acknowledged": 1}
    assert not folder.exists()
    counted = [e.counts["files"] for e in desk.events("documents") if e.event == "counted"]
    assert counted == [12], "what was there is on record from before the first file went"


def test_two_couriers_share_the_work(desk: Desk) -> None:
    desk.plant(40)
    (made,) = desk.ask("documents")
    courier = replace(desk.courier, most_files=3)
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(attempt(courier, desk.tenant, made)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("acknowledged") == 1
    assert set(results) <= {"acknowledged", "taken"}
    assert sum(e.counts["files"] for e in desk.events("documents") if e.event == "deleted") == 40


def test_a_tenant_that_goes_goes_from_every_connector(desk: Desk, receiver: Receiver) -> None:
    folder = desk.plant(3)
    offboarding = new_id()
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        made = request_offboarding(
            cursor,
            offboarding,
            tenant_id=desk.tenant,
            connectors=desk.courier.connectors,
            actor="test",
        )
    assert len(made) == 2
    assert desk.deliver() == {"acknowledged": 1, "delivered": 1}
    assert not folder.parents[1].exists()
    ((body, _),) = receiver.got
    assert (body["subject"], body["key"], body["tenant"]) == (None, None, str(desk.tenant))


# -- webhooks ---------------------------------------------------------------------------------


def test_a_webhook_is_told_all_that_it_needs_and_may_answer_at_once(
    desk: Desk, receiver: Receiver
) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes, str]:
        said = acknowledgement(body["request"], counts={"tickets": 3}, reference="CRM-1")
        return 200, said, signed(said)

    receiver.answer = answer
    (made,) = desk.ask("crm")
    assert desk.deliver() == {"acknowledged": 1}
    ((body, _),) = receiver.got
    request = desk.all()["crm"]
    assert body == {
        "type": "erasure.requested", "request": str(made), "connector": "crm",
        "tenant": str(desk.tenant), "subject": "case", "key": str(desk.key),
        "identifiers": {"email": EMAIL}, "requested_at": request.requested_at.isoformat(),
        "due_at": request.due_at.isoformat(),
    }  # fmt: skip
    last = desk.events("crm")[-1]
    assert (last.event, last.counts, last.detail) == ("acknowledged", {"tickets": 3}, "CRM-1")
    assert last.digest is not None


def test_what_only_arrived_is_said_again_the_next_day(desk: Desk, receiver: Receiver) -> None:
    desk.ask("crm")
    assert desk.deliver(everything=False) == {"delivered": 1}
    assert desk.deliver(everything=False) == {}
    assert desk.all()["crm"].state == "delivered"
    desk.lab.sql("UPDATE tenure.connector_requests SET next_attempt_at = now()")
    assert desk.deliver(everything=False) == {"delivered": 1}
    assert {body["request"] for body, _ in receiver.got} == {str(desk.all()["crm"].id)}


def forged(request: str) -> bytes:
    return acknowledgement(request)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b: (200, acknowledgement(b["request"]), "t=1,v1=00"), "must be t=SECONDS"),
        (
            lambda b: (200, acknowledgement(b["request"]), signed(b"other")),
            "the signature does not fit",
        ),
        (
            lambda b: (200, forged(b["request"]), signed(forged(b["request"]), b"x" * 32)),
            "the signature does not fit",
        ),
        (
            lambda b: (200, forged(b["request"]), signed(forged(b["request"]), at=1e9)),
            "signed more than 300 seconds from now",
        ),
        (
            lambda b: (200, forged(str(new_id())), None),
            None,
        ),
        (lambda b: (500, b"", None), "answered 500"),
        (lambda b: (302, b"", None), "answered 302"),
        (lambda b: (200, b"{}", signed(b"{}")), "no acknowledgement: outcome, request, type"),
    ],
)  # fmt: skip
def test_an_answer_that_proves_nothing_acknowledges_nothing(
    desk: Desk, receiver: Receiver, answer: Any, said: str | None
) -> None:
    receiver.answer, receiver.location = answer, receiver.url
    desk.ask("crm")
    assert desk.deliver() == ({"failed": 1} if said else {"delivered": 1})
    request = desk.all()["crm"]
    assert request.ended_at is None
    assert (said or "") in (request.problem or "")
    assert "hunter2" not in (request.problem or "")
    assert len(receiver.got) == 1, "no redirect is followed"


def test_another_requests_acknowledgement_and_our_own_message_are_none(
    desk: Desk, receiver: Receiver
) -> None:
    other = acknowledgement(str(new_id()))
    receiver.answer = lambda _: (200, other, signed(other))
    desk.ask("crm")
    assert desk.deliver() == {"failed": 1}
    assert desk.all()["crm"].problem == "the answer acknowledges another request"
    body = json.dumps(receiver.got[-1][0]).encode()
    receiver.answer = lambda _: (200, body, signed(body))
    assert desk.deliver() == {"failed": 1}


def test_a_receiver_that_drips_is_cut_off(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setattr(webhooks, "WHOLE_TIMEOUT_S", 0.5)

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                for _ in range(100):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n" if _ == 0 else b"X-Drip: 1\r\n")
                    time.sleep(0.1)
            except OSError:
                return

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    crm = desk.courier.connectors["crm"]
    target = replace(crm.target, url=f"http://127.0.0.1:{server.server_port}/")  # type: ignore[call-arg]
    desk.courier = replace(desk.courier, connectors={"crm": replace(crm, target=target)})
    desk.ask("crm")
    began = time.monotonic()
    assert desk.deliver() == {"failed": 1}
    assert time.monotonic() - began < 5
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_that_is_not_declared_any_more_stays_open(desk: Desk) -> None:
    desk.ask("crm")
    desk.courier = replace(desk.courier, connectors={})
    assert desk.deliver() == {"failed": 1}
    assert desk.all()["crm"].problem == "the connector is not declared"


def test_no_log_line_tells_whom_or_where(
    desk: Desk, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    from config.logging import configure_logging

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logging("json", "debug")
        receiver.answer = lambda _: (500, b"", None)
        desk.plant(1)
        desk.ask()
        assert desk.deliver() == {"acknowledged": 1, "failed": 1}
    finally:
        root.handlers[:], root.level = handlers, level
    said = capfd.readouterr().err
    assert "connector_attempt" in said
    for secret in (EMAIL, str(desk.key), "hunter2", SECRET.decode(), receiver.url):
        assert secret not in said


# -- late -------------------------------------------------------------------------------------


def test_what_is_late_raises_an_alert_until_it_is_answered(desk: Desk, receiver: Receiver) -> None:
    shop = desk.lab.shop(connectors=desk.courier.connectors)
    (made,) = desk.ask("crm")
    assert ask_connectors(shop) == {"delivered": 1}

    def alerts() -> list[tuple[str, str]]:
        with desk.lab.installation.auditor.transaction(None, read_only=True) as cursor:
            return [(a.kind, a.subject) for a in open_alerts(cursor) if a.kind == "connector"]

    assert alerts() == []
    desk.lab.sql(
        "UPDATE tenure.connector_requests SET due_at = requested_at + interval '1 microsecond'"
    )
    assert tick(shop).leads
    assert alerts() == [("connector", "crm")]
    assert desk.all()["crm"].overdue
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        end(cursor, desk.tenant, made, "crm", "refused", actor="test", detail="their books")
    ask_connectors(shop)
    assert alerts() == []
    assert not desk.all()["crm"].overdue


# -- told, and never answered ----------------------------------------------------------------


def give_up(desk: Desk, request: UUID, reason: str = "they have ended") -> None:
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        end(cursor, desk.tenant, request, "crm", "withdrawn", actor="command:ann", detail=reason)


def test_that_one_is_told_is_on_record_before_the_message_leaves(
    desk: Desk, receiver: Receiver
) -> None:
    found: list[Any] = []

    def look(_: dict[str, Any]) -> tuple[int, bytes, None]:
        found.append((desk.all()["crm"].told_at, desk.steps("crm")))
        return 500, b"", None

    receiver.answer = look
    desk.ask()
    assert {r.told_at for r in desk.all().values()} == {None}
    for _ in range(2):
        assert desk.deliver()["failed"] >= 1
    assert [steps for _, steps in found] == [
        ["requested", "told"], ["requested", "told", "failed"],
    ]  # fmt: skip
    assert len({told for told, _ in found}) == 1
    assert found[0][0] is not None
    assert desk.all()["documents"].told_at is None


def test_who_cannot_be_told_now_was_not(desk: Desk, receiver: Receiver) -> None:
    desk.ask("crm")
    hold = desk.lab.hold(desk.tenant)
    assert desk.deliver() == {"deferred": 1}
    assert desk.all()["crm"].told_at is None
    desk.lab.release(hold)
    desk.courier = replace(desk.courier, connectors={})
    assert desk.deliver() == {"failed": 1}
    assert desk.all()["crm"].told_at is None
    assert receiver.got == []


def test_a_request_that_is_withdrawn_is_not_answered_and_asks_no_more(
    desk: Desk, receiver: Receiver
) -> None:
    (made,) = desk.ask("crm")
    desk.deliver()
    give_up(desk, made)
    assert desk.deliver() == {}
    assert len(receiver.got) == 1
    request, last = desk.all()["crm"], desk.events("crm")[-1]
    assert (request.state, request.ended_at is None) == ("withdrawn", False)
    assert (last.event, last.actor, last.detail) == ("withdrawn", "command:ann", "they have ended")
    assert desk.lab.sql("SELECT told FROM tenure.connector_requests") == [(None,)]
    assert desk.lab.sql(
        "SELECT e.body -> 'record' ->> 'event' FROM tenure.ledger_entries e"
        " WHERE e.source = 'connector_events' ORDER BY e.recorded_at"
    ) == [("requested",), ("told",), ("delivered",), ("withdrawn",)]
    with pytest.raises(ConnectorError, match="has ended before"):
        give_up(desk, made)


@pytest.mark.parametrize("outcome", ["erased", "refused"])
@pytest.mark.parametrize("way", ["http", "command", "at once"])
def test_an_answer_that_comes_after_all_is_taken_once(
    desk: Desk, receiver: Receiver, hooks: tuple[str, Any], way: str, outcome: str
) -> None:
    _, client = hooks
    (made,) = desk.ask("crm")
    body = acknowledgement(str(made), outcome, reference="CRM-9")
    said = "refused" if outcome == "refused" else "acknowledged"
    if way == "at once":

        def answer(_: dict[str, Any]) -> tuple[int, bytes, str]:
            give_up(desk, made)
            return 200, body, signed(body)

        receiver.answer = answer
        assert desk.deliver() == {said: 1}
    else:
        give_up(desk, made)
    if way == "http":
        assert post(client, body, signed(body)) == 204
        assert post(client, body, signed(body)) == 204
    elif way == "command":
        with desk.courier.retention.transaction(desk.tenant) as cursor:
            end(cursor, desk.tenant, made, "crm", said, actor="test", detail="CRM-9")
    assert desk.all()["crm"].state == said
    last = desk.events("crm")[-1]
    assert (last.event, last.detail) == (said, "CRM-9")
    assert desk.steps("crm").count(said) == 1
    with pytest.raises(ConnectorError, match="has ended before"):
        give_up(desk, made)


@pytest.mark.parametrize(
    "change",
    [
        "state = 'withdrawn'",
        "state = 'open', ended_at = NULL",
        "state = 'refused'",
        "due_at = due_at + interval '1 year'",
    ],
)
def test_what_was_answered_does_not_change_whoever_asks(desk: Desk, change: str) -> None:
    (made,) = desk.ask("crm")
    with desk.courier.retention.transaction(desk.tenant) as cursor:
        end(cursor, desk.tenant, made, "crm", "acknowledged", actor="test")
    statement = f"UPDATE tenure.connector_requests SET {change}"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        desk.lab.sql(statement)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        desk.courier.retention.transaction(desk.tenant) as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize("when", ["NULL", "now() + interval '1 hour'"])
def test_that_one_was_told_cannot_be_taken_back(desk: Desk, when: str) -> None:
    desk.ask("crm")
    desk.deliver()
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        desk.courier.retention.transaction(desk.tenant) as cursor,
    ):
        cursor.execute(f"UPDATE tenure.connector_requests SET told_at = {when}")


@pytest.mark.parametrize("role", ["app_connections", "verifier", "auditor"])
def test_nobody_withdraws_but_the_operators_role(desk: Desk, role: str) -> None:
    (made,) = desk.ask("crm")
    for statement in (
        "UPDATE tenure.connector_requests SET state = 'withdrawn', ended_at = now(), told = NULL",
        "INSERT INTO tenure.connector_events (tenant_id, id, request_id, connector, event, actor)"
        f" VALUES ('{desk.tenant}', gen_random_uuid(), '{made}', 'crm', 'withdrawn', 'x')",
    ):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            getattr(desk.lab.installation, role).transaction(None) as cursor,
        ):
            cursor.execute(statement)


# -- acknowledgements over HTTP -----------------------------------------------------------------


@pytest.fixture
def hooks(
    installation: Installation, connectors: Connectors, tmp_path: Path
) -> Iterator[tuple[str, Any]]:
    """The application, served; its address, and a client of it."""
    settings = installation.settings.model_copy(
        update={"connectors_file": tmp_path / "connectors.toml"}
    )
    opened = replace(installation, settings=settings)
    app = create_app(opened, write_guard=partial(pass_gate, opened.app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", app.test_client(use_cookies=False)
    server.shutdown()
    thread.join()
    server.server_close()


def post(client: Any, body: bytes, header: str | None, name: str = "crm") -> int:
    headers = {"Content-Type": "application/json"} | ({HEADER: header} if header else {})
    return int(client.post(f"/hooks/connectors/{name}", data=body, headers=headers).status_code)


def test_a_receiver_acknowledges_later_over_http(
    desk: Desk, receiver: Receiver, hooks: tuple[str, Any]
) -> None:
    """Even while our own request to it still waits for its answer."""
    base, _ = hooks
    statuses = []

    def answer(body: dict[str, Any]) -> tuple[int, bytes, None]:
        said = acknowledgement(body["request"], counts={"tickets": 3}, reference="CRM-2")
        sent = webhooks.Webhook(f"{base}/hooks/connectors/crm", SECRET).send(said)
        statuses.append(sent.status)
        return 202, b"", None

    receiver.answer = answer
    desk.ask("crm")
    assert desk.deliver() == {"taken": 1}
    assert statuses == [204]
    last = desk.events("crm")[-1]
    assert (last.event, last.counts, last.detail, last.actor) == (
        "acknowledged", {"tickets": 3}, "CRM-2", "connector:crm",
    )  # fmt: skip
    assert desk.lab.sql("SELECT told FROM tenure.connector_requests") == [(None,)]


def test_repeated_is_fine_and_contradicted_is_not(desk: Desk, hooks: tuple[str, Any]) -> None:
    _, client = hooks
    (made,) = desk.ask("crm")
    yes, no = acknowledgement(str(made)), acknowledgement(str(made), "refused", reference="books")
    assert post(client, yes, signed(yes)) == 204
    assert post(client, yes, signed(yes)) == 204
    assert post(client, no, signed(no)) == 409
    assert desk.steps("crm") == ["requested", "acknowledged"]
    assert desk.events("crm")[-1].digest == hashlib.sha256(yes).hexdigest()


def test_a_refusal_is_an_answer_with_its_reason(desk: Desk, hooks: tuple[str, Any]) -> None:
    _, client = hooks
    (made,) = desk.ask("crm")
    no = acknowledgement(str(made), "refused", reference="kept for our books")
    assert post(client, no, signed(no)) == 204
    assert desk.all()["crm"].state == "refused"
    assert desk.events("crm")[-1].detail == "kept for our books"


def test_whoever_has_not_the_secret_is_answered_alike_and_changes_nothing(
    desk: Desk, hooks: tuple[str, Any]
) -> None:
    _, client = hooks
    made = {r.connector: r.id for r in (desk.ask() and desk.all()).values()}
    body = acknowledgement(str(made["crm"]))
    late = signed(body, at=time.time() - 301)
    early = signed(body, at=time.time() + 302)
    for header in (None, "", "x", signed(body, b"y" * 32), signed(b"z"), late, early):
        assert post(client, body, header) == 401
    for name in ("documents", "nobody", "CRM"):
        assert post(client, body, signed(body), name) == 401
    answers = {
        client.post(f"/hooks/connectors/{name}", data=body).json["detail"]
        for name in ("crm", "documents", "nobody")
    }
    assert len(answers) == 1
    long = b"{" * 20_000
    assert {post(client, long, "t=1,v1=00", name) for name in ("crm", "nobody")} == {401}
    assert {r.state for r in desk.all().values()} == {"open"}


def test_a_connector_answers_for_its_own_requests_alone(desk: Desk, hooks: tuple[str, Any]) -> None:
    _, client = hooks
    desk.ask()
    body = acknowledgement(str(desk.all()["documents"].id))
    assert post(client, body, signed(body)) == 404
    unknown = acknowledgement(str(new_id()))
    assert post(client, unknown, signed(unknown)) == 404
    assert desk.all()["documents"].state == "open"


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "perhaps"}, {"request": "x"}, {"more": 1}, {"counts": {"a": -1}},
        {"counts": {"a": "1"}}, {"counts": {"a": 1.5}}, {"counts": {"\n": 1}},
        {"counts": {str(n): 1 for n in range(51)}}, {"reference": "x" * 201}, {"reference": 1},
        {"type": "erasure.requested"}, {"counts": {"a": 2**53}}, {"reference": "\0"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_signed_and_is_no_acknowledgement_is_refused(
    desk: Desk, hooks: tuple[str, Any], change: dict[str, Any]
) -> None:
    _, client = hooks
    (made,) = desk.ask("crm")
    told = json.loads(acknowledgement(str(made))) | change
    body = json.dumps(told).encode()
    assert post(client, body, signed(body)) == 400
    for raw in (b"\xff", b"[]", b"", b'{"a": "' + b"x" * 17_000 + b'"}'):
        assert post(client, raw, signed(raw)) == 400
    assert desk.all()["crm"].state == "open"


def test_injected_sql_cannot_acknowledge(desk: Desk) -> None:
    """Without the seal, or with one that was seen for another body or another connector."""
    (made,) = desk.ask("crm")
    app = desk.lab.installation.app_connections
    body, other = acknowledgement(str(made)).decode(), acknowledgement(str(new_id())).decode()
    digest = hashlib.sha256(other.encode()).hexdigest()
    seen = app.sealer.fresh(f"acknowledge:crm:{made}:{digest}")
    for until, seal in (seen, (int(time.time()) + 60, "00"), (seen[0] + 1, seen[1])):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"),
            app.transaction(desk.tenant) as cursor,
        ):
            cursor.execute(
                "SELECT tenure.acknowledge_request('crm', %s, %s, %s, %s)",
                (str(made), body, until, seal),
            )
    for role in (desk.courier.retention, desk.courier.verifier, desk.lab.installation.auditor):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            role.transaction(None) as cursor,
        ):
            cursor.execute(
                "SELECT tenure.acknowledge_request('crm', %s, %s, %s, %s)",
                (str(made), other, *seen),
            )
    assert desk.all()["crm"].state == "open"


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def tenure(desk: Desk, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    env = environment_of(desk.lab.installation) | {
        "TENURE_LOG_LEVEL": "critical",
        "TENURE_CONNECTORS_FILE": str(tmp_path / "connectors.toml"),
    }
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            return CliRunner(env=env).invoke(command, arguments, catch_exceptions=False)

    yield run
    root.handlers[:], root.level = handlers, level


def test_from_check_to_acknowledge_on_the_command_line(
    desk: Desk, tenure: Callable[..., Result], tmp_path: Path
) -> None:
    checked = tenure("connectors", "check")
    assert checked.exit_code == 0, checked.output
    (tmp_path / "secret").chmod(0o644)
    broken = tenure("connectors", "check", "--format", "json")
    assert broken.exit_code == 1
    assert [c["problem"] is None for c in json.loads(broken.stdout)] == [True, False]
    (tmp_path / "secret").chmod(0o600)

    folder = desk.plant(2)
    desk.ask()
    assert tenure("connectors", "deliver", "--dry-run").exit_code == 0
    assert folder.exists()
    assert "2 open" not in tenure("connectors", "requests", "--tenant", "acme").stdout
    done = tenure("connectors", "deliver")
    assert done.exit_code == 0, done.output
    assert done.stdout == "1 acknowledged, 1 delivered\n"
    assert not folder.exists()

    (left,) = json.loads(tenure("connectors", "requests", "--format", "json").stdout)
    assert (left["connector"], left["state"]) == ("crm", "delivered")
    desk.lab.sql(
        "UPDATE tenure.connector_requests SET due_at = requested_at + interval '1 microsecond'"
        " WHERE ended_at IS NULL"
    )
    late = tenure("connectors", "requests")
    assert late.exit_code == 1
    assert "delivered, late" in late.stdout
    answered = tenure("connectors", "acknowledge", left["id"], "--reference", "letter of 3 May")
    assert answered.exit_code == 0, answered.output
    assert tenure("connectors", "requests").exit_code == 0
    shown = json.loads(tenure("connectors", "show", left["id"], "--format", "json").stdout)
    assert [e["event"] for e in shown["events"]] == [
        "requested", "told", "delivered", "acknowledged",
    ]  # fmt: skip
    assert shown["events"][-1]["actor"].startswith("command:")
    again = tenure("connectors", "acknowledge", left["id"], "--reference", "twice")
    assert again.exit_code == 2
    assert tenure("connectors", "show", str(new_id())).exit_code == 2
    assert "acknowledged" in tenure("connectors", "show", left["id"]).stdout


def test_on_the_command_line_a_request_is_withdrawn_with_a_reason_and_a_name(
    desk: Desk, tenure: Callable[..., Result]
) -> None:
    (made,) = desk.ask("crm")
    assert tenure("connectors", "deliver").exit_code == 0
    assert tenure("connectors", "withdraw", str(made)).exit_code == 2
    assert tenure("connectors", "withdraw", str(made), "--reason", " ").exit_code == 2
    assert desk.all()["crm"].state == "delivered"
    done = tenure("connectors", "withdraw", str(made), "--reason", "they have ended")
    assert (done.exit_code, done.stdout) == (0, f"crm {made}: withdrawn\n")
    shown = json.loads(tenure("connectors", "show", str(made), "--format", "json").stdout)
    last = shown["events"][-1]
    assert (last["event"], last["detail"]) == ("withdrawn", "they have ended")
    assert last["actor"].startswith("command:")
    again = tenure("connectors", "withdraw", str(made), "--reason", "twice")
    assert again.exit_code == 2
    assert "has ended before" in again.stderr
    late = tenure(
        "connectors", "acknowledge", str(made), "--reference", "letter", "--format", "json"
    )
    assert json.loads(late.stdout)["state"] == "acknowledged"
