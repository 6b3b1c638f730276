"""An intruder with a token of one tenant, and the plans of what is sent on his behalf."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from psycopg2 import extensions

from api.wiring import owner_of
from tenants.seal import MESSAGE_BEGINS
from tests.conftest import run_as_owner
from tests.integration.api import intruder
from tests.integration.api.conftest import _service
from tests.integration.api.intruder import TARGET, Question, World, neighbour

ROUNDS = 8


@pytest.fixture(scope="module")
def world(installed: Any) -> World:
    service = _service(installed)
    return intruder.build(
        service, lambda query, params=(): run_as_owner(installed.settings, query, params)
    )


def walk(world: World, rng: Random, rounds: int) -> None:
    """Ask each operation `rounds` times, as any role, about a row of the other tenant."""
    makers = intruder.questions(world)
    for _ in range(rounds):
        for (_, path), make in makers.items():
            name = intruder.kind_of(path)
            question = make(rng, world, name)
            own_kind = rng.random() < 0.8
            ids = world.theirs[name if own_kind else rng.choice(sorted(world.theirs))]
            world.ask_twice(
                question, rng.choice(ids), rng.choice(("owner", "owner", "member", "viewer"))
            )


def test_no_question_reaches_the_other_tenant_or_tells_that_it_is_there(world: World) -> None:
    walk(world, Random("intruder 1"), ROUNDS)
    world.assert_untouched()
    # The walk is worth something: it read, wrote, and was refused in more than one way.
    assert {"200", "201", "204", "400", "403", "404", "409", "422"} <= set(world.asked)
    assert world.asked["200"] + world.asked["204"] > 0.1 * world.asked.total()


def test_every_operation_is_walked(world: World) -> None:
    makers = intruder.questions(world)
    assert {intruder.kind_of(path) for _, path in makers} == {*world.views, *intruder.DESK}
    rules = {
        (method, re.sub(r"<[^>]*_id>", "{id}", rule.rule))
        for rule in world.service.app.url_map.iter_rules()
        if rule.rule.startswith(("/v1/", "/subjects/"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    resource = re.compile(rf"/v1/(?:{'|'.join(world.views)})(?=/|$)")
    walked = {
        (method, resource.sub("/v1/<name>", path).replace("{name}", "<name>"))
        for method, path in makers
    }
    assert rules == walked


def test_the_walk_would_notice_a_leak(world: World) -> None:
    class Answer:
        status_code = 200
        headers = {"Location": "/"}  # noqa: RUF012 - a stand-in for one assertion
        body = ""

        def get_data(self, *, as_text: bool) -> str:
            return self.body if as_text else ""

    leaks = (intruder.MARK, "Globex", world.theirs["customers"][0], str(world.service.globex.id))
    for leak in leaks:
        answer = Answer()
        answer.body = f"[{leak!r}]"
        with pytest.raises(AssertionError):
            world.inspect(Question("GET", "/v1/customers"), answer)
        answer.body, answer.headers = "", {"Location": f"/{leak}"}
        with pytest.raises(AssertionError):
            world.inspect(Question("GET", "/v1/customers"), answer)


@pytest.mark.parametrize("who", ["token", "nobody"])
def test_pages_and_documents_tell_a_member_nothing(world: World, who: str) -> None:
    role = "owner" if who == "token" else "none"
    acme = world.service.acme
    paths = [
        rule.rule
        for rule in world.service.app.url_map.iter_rules()
        if not rule.rule.startswith("/v1/") and "GET" in (rule.methods or ())
    ]
    assert len(paths) > 15
    trace = "ab" * 16
    for rule in paths:
        path = re.sub(r"<any[^>]*>", ".csv", rule)
        path = path.replace("<trace_id:trace_id>", trace).replace("<uuid:verification_id>", TARGET)
        path = re.sub(r"<[^>]*>", TARGET, path)
        for accept in ("application/json", "text/csv", "text/html"):
            answers = []
            for target in (world.theirs["customers"][0], str(uuid.uuid4())):
                question = Question("GET", path, headers=(("Accept", accept),)).about(target)
                headers = {} if role == "none" else acme.headers()
                response = acme.client.open(
                    question.path, headers={**headers, **dict(question.headers)}
                )
                world.inspect(question, response)
                answers.append((response.status_code, response.headers.get("Location")))
                if path.startswith("/console") and "static" not in path:
                    assert response.status_code in (302, 401, 403), (path, response.text)
            if path.startswith("/console"):
                assert answers[0][0] == answers[1][0]


def test_logins_of_others_are_as_unknown_as_those_nobody_has(world: World) -> None:
    with owner_of(world.service.installation.settings) as owner, owner.transaction(None) as cursor:
        cursor.execute("SELECT email FROM tenure.logins WHERE email LIKE '%@globex.example'")
        emails = [email for (email,) in cursor.fetchall()]
    assert len(emails) == 4
    client = world.service.app.test_client()
    token = client.get("/login", headers={"Accept": "application/json"}).json["csrf_token"]
    for number, email in enumerate(emails):
        answers = []
        for asked in (email, "nobody@nowhere.example"):
            for tenant in ("globex", "initech"):
                body = {"email": asked, "password": "guess", "tenant": tenant}
                response = client.post(
                    "/login",
                    json=body,
                    headers={"X-CSRFToken": token},
                    environ_base={"REMOTE_ADDR": f"192.0.2.{number}"},
                )
                world.inspect(Question("POST", "/login", body), response)
                answers.append(intruder.seen(response, asked))
        assert answers == [answers[0]] * 4
        assert answers[0][0] == 401


# -- plans -------------------------------------------------------------------------------

_CONTEXT = re.compile(rf"\A{re.escape(MESSAGE_BEGINS)}[^']*', true\); ")
_SHAPE = (
    "Node Type",
    "Relation Name",
    "Index Name",
    "Join Type",
    "Operation",
    "Parent Relationship",
)
_TOUCHED = (
    "Actual Rows",
    "Actual Loops",
    "Rows Removed by Filter",
    "Rows Removed by Index Recheck",
)
COLUMNS = (*_SHAPE, *_TOUCHED)


class _Undo(Exception):
    """Rolls a transaction back."""


class Recorder(extensions.cursor):
    """A cursor that keeps what it sent."""

    sent: list[str] = []  # noqa: RUF012 - shared by all cursors, on purpose

    def execute(self, query: Any, vars: Any = None) -> None:
        try:
            super().execute(query, vars)
        finally:
            Recorder.sent.append((self.query or b"").decode())


@pytest.fixture
def recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that the application's role sends."""
    pool = world.service.installation.app_connections.pool
    pool._close_all()
    monkeypatch.setitem(pool._options, "cursor_factory", Recorder)
    monkeypatch.setattr(Recorder, "sent", [])
    yield Recorder.sent
    pool._close_all()


def plan_of(world: World, statement: str) -> list[tuple[Any, ...]]:
    """EXPLAIN ANALYZE a statement as the intruder's tenant; undo what it did."""
    app = world.service.installation.app_connections
    with suppress(_Undo), app.transaction(world.service.acme.id) as cursor:
        # These tables have few rows; those of users have many, and are read by their keys.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}")
        plan = cursor.fetchone()[0][0]["Plan"]
        raise _Undo
    found: list[tuple[Any, ...]] = []
    nodes = [plan]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        found.append(tuple(node.get(key) for key in COLUMNS))
    return found


def statements(sent: list[str]) -> list[str]:
    """Return what was sent about the domain's tables, without the context before it."""
    return [_CONTEXT.sub("", text) for text in sent if '"shop".' in text]


def plans_of(world: World, sent: list[str], question: Question, target: str) -> list[Any]:
    del sent[:]
    world.send(question.about(target))
    asked = statements(sent)
    assert asked, question
    del sent[:]
    return [plan_of(world, statement) for statement in asked]


def probes(name: str) -> list[Question]:
    changes = {"customers": {"name": "x"}, "invoices": {"status": "paid"}}[name]
    return [
        Question("GET", f"/v1/{name}/{TARGET}"),
        Question("GET", f"/v1/{name}?id=eq.{TARGET}"),
        Question("GET", f"/v1/{name}?or=(id.eq.{TARGET},number.eq.none)"),
        Question("PATCH", f"/v1/{name}/{TARGET}", changes),
        Question("PATCH", f"/v1/{name}/{TARGET}", changes, (("If-Match", '"x"'),)),
        Question("PATCH", f"/v1/{name}?id=in.({TARGET})", changes),
        Question("DELETE", f"/v1/{name}/{TARGET}"),
        Question("DELETE", f"/v1/{name}?id=eq.{TARGET}"),
    ]


@pytest.mark.parametrize("name", ["customers", "invoices"])
def test_a_foreign_id_has_the_plan_of_a_missing_one_and_touches_own_rows_alone(
    world: World, recorded: list[str], name: str
) -> None:
    theirs = world.theirs[name][0]
    ((own,),) = world.owner_sql(
        f"SELECT count(*) FROM shop.{name} WHERE tenant_id = %s", (str(world.service.acme.id),)
    )
    for question in probes(name):
        foreign = plans_of(world, recorded, question, theirs)
        missing = plans_of(world, recorded, question, neighbour(theirs, -1))
        assert foreign == missing, question
        nodes = [dict(zip(COLUMNS, node, strict=True)) for plan in foreign for node in plan]
        scans = [node for node in nodes if node["Relation Name"] == name]
        assert scans
        for scan in scans:
            # Of the caller's own rows at most: the other tenant's are never looked at.
            touched = sum(scan[figure] or 0 for figure in _TOUCHED if figure != "Actual Loops")
            assert touched * scan["Actual Loops"] <= own, (question, scan)


def test_a_foreign_parent_has_the_plan_of_a_missing_one(world: World, recorded: list[str]) -> None:
    own = world.mine["invoices"][2]
    for question in (
        Question("PATCH", f"/v1/invoices/{own}", {"customer_id": TARGET}),
        Question("PATCH", f"/v1/invoices?id=eq.{own}", {"customer_id": TARGET}),
    ):
        theirs = world.theirs["customers"][0]
        foreign = plans_of(world, recorded, question, theirs)
        missing = plans_of(world, recorded, question, neighbour(theirs, -1))
        assert foreign == missing, question
