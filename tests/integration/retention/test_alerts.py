"""What is warned of, once for as long as it lasts, to a server that checks the signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest

from retention import schedule
from retention.alerts import ERASURES, Alert, Looked, deliver, open_alerts, raise_alerts
from retention.errors import DeliveryError
from retention.leftovers import delete_leftovers
from retention.webhook import Webhook
from tests.integration.retention.conftest import NOW, Lab

SECRET = b"a shared secret"
DUE = Alert("overdue", "nodes", "3 rows")
RUN = Alert("run", "cases", "acme: locked")


@dataclass
class Receiver:
    url: str
    answer: int = 204
    got: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            there.got.append((self.headers["Tenure-Signature"], body))
            self.send_response(there.answer)
            if there.answer == 302:
                self.send_header("Location", there.url + "elsewhere")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there = Receiver(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield there
    server.shutdown()
    thread.join()
    server.server_close()


def raised(lab: Lab, *alerts: Alert) -> list[Alert]:
    return raise_alerts(lab.installation.retention, alerts, Looked(("overdue", "run")))


def is_open(lab: Lab) -> list[tuple[str, str, str]]:
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        return [(a.kind, a.subject, a.detail) for a in open_alerts(cursor)]


def test_an_alert_is_raised_once_and_resolved_when_it_is_over(lab: Lab) -> None:
    assert raised(lab, DUE, RUN) == [DUE, RUN]
    more = Alert("overdue", "nodes", "4 rows")
    assert raised(lab, more, RUN) == []
    assert is_open(lab) == [("overdue", "nodes", "4 rows"), ("run", "cases", "acme: locked")]
    assert raised(lab, RUN) == []
    assert is_open(lab) == [("run", "cases", "acme: locked")]
    assert raised(lab, DUE) == [DUE]


def test_looking_at_one_kind_or_subject_resolves_no_other(lab: Lab) -> None:
    raised(lab, DUE, RUN)
    raise_alerts(lab.installation.retention, [], Looked(("run",), ("nodes",)))
    assert len(is_open(lab)) == 2
    raise_alerts(lab.installation.retention, [], Looked(("run",)))
    assert is_open(lab) == [("overdue", "nodes", "3 rows")]


def test_who_knows_the_secret_can_tell_that_a_message_is_ours(lab: Lab, receiver: Receiver) -> None:
    raised(lab, DUE)
    send = Webhook(receiver.url, SECRET, now=lambda: 1_800_000_000.9)
    assert deliver(lab.installation.retention, send) == 1
    ((header, body),) = receiver.got
    assert {k: v for k, v in json.loads(body).items() if k not in ("id", "raised_at")} == {
        "kind": "overdue", "subject": "nodes", "detail": "3 rows",
    }  # fmt: skip
    mac = hmac.new(SECRET, b"1800000000." + body, hashlib.sha256).hexdigest()
    assert header == f"t=1800000000,v1={mac}"
    assert deliver(lab.installation.retention, send) == 0


@pytest.mark.parametrize("ago", ["25 hours", "-10 years"])
def test_what_lasts_is_said_again_after_a_day(lab: Lab, receiver: Receiver, ago: str) -> None:
    """Or at once, where it was sent while the clock was far ahead."""
    raised(lab, DUE)
    send = Webhook(receiver.url, SECRET)
    assert deliver(lab.installation.retention, send) == 1
    assert deliver(lab.installation.retention, send) == 0
    lab.sql("UPDATE tenure.alerts SET delivered_at = delivered_at - %s::interval", (ago,))
    assert deliver(lab.installation.retention, send) == 1
    assert len(receiver.got) == 2


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_what_was_not_taken_is_tried_again(lab: Lab, receiver: Receiver, answer: int) -> None:
    raised(lab, DUE, RUN)
    receiver.answer = answer
    send = Webhook(receiver.url, SECRET)
    assert deliver(lab.installation.retention, send) == 0
    assert len(receiver.got) == 1  # and no redirect was followed
    assert lab.sql("SELECT problem FROM tenure.alerts WHERE attempts = 1") == [
        (f"the webhook answered {answer}",)
    ]
    receiver.answer = 200
    assert deliver(lab.installation.retention, send) == 2


def test_nobody_there_is_no_error_and_names_no_address(lab: Lab) -> None:
    raised(lab, DUE)
    assert deliver(lab.installation.retention, Webhook("http://127.0.0.1:9/key", SECRET)) == 0
    ((problem,),) = lab.sql("SELECT problem FROM tenure.alerts")
    assert problem == "the webhook cannot be reached (URLError)"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "x"])
def test_a_webhook_is_http(url: str) -> None:
    with pytest.raises(DeliveryError, match="https://"):
        Webhook(url, SECRET)


# -- schedules in the database ------------------------------------------------------------

DAY = timedelta(days=1)
NIGHT = "0 2 * * *"


def take(lab: Lab, now: Any) -> schedule.Taken | None:
    with lab.installation.retention.transaction(None) as cursor:
        taken = schedule.peek(cursor, "nodes", NIGHT, now)
        return taken if taken is not None and schedule.mark(cursor, taken, now) else None


def test_what_had_no_turn_keeps_its_alert(lab: Lab) -> None:
    one, other = Alert("erasure", "one", "is overdue"), Alert("erasure", "other", "is overdue")
    retention = lab.installation.retention
    raise_alerts(retention, [one, other], Looked(ERASURES))
    raise_alerts(retention, [], Looked(ERASURES, but=("one",)))
    assert lab.sql("SELECT subject FROM tenure.alerts WHERE resolved_at IS NULL") == [("one",)]


def test_a_time_is_taken_up_once_and_what_was_missed_is_counted(lab: Lab) -> None:
    assert take(lab, NOW) is None  # just seen: due the next time
    two = NOW.replace(hour=2) + DAY
    assert take(lab, two - timedelta(seconds=1)) is None
    assert take(lab, two) == schedule.Taken("nodes", two, 0)
    assert take(lab, two) is None
    later = two + 3 * DAY
    assert take(lab, later + timedelta(hours=5)) == schedule.Taken("nodes", two + 3 * DAY, 2)
    assert take(lab, two - 9 * DAY) is None  # a clock that was put back
    assert take(lab, later + timedelta(hours=6)) is None


def test_a_schedule_first_seen_while_a_clock_was_wrong_is_due_all_the_same(lab: Lab) -> None:
    assert take(lab, NOW + 3650 * DAY) is None
    assert take(lab, NOW) is None, "seen again, by a clock that is right"
    two = NOW.replace(hour=2) + DAY
    assert take(lab, two) == schedule.Taken("nodes", two, 0)


def test_of_many_that_tick_at_once_one_takes_it_up(lab: Lab) -> None:
    take(lab, NOW)
    two = NOW.replace(hour=2) + DAY
    start = threading.Barrier(6)
    found: list[Any] = []

    def tick() -> None:
        start.wait()
        found.append(take(lab, two))

    threads = [threading.Thread(target=tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert [taken for taken in found if taken is not None] == [schedule.Taken("nodes", two, 0)]


MINUTE = timedelta(minutes=1)
NIGHT_LONG = timedelta(hours=8)


def watch(lab: Lab, every: timedelta = MINUTE) -> timedelta | None:
    with lab.installation.retention.transaction(None) as cursor:
        return schedule.keep_watch(cursor, every)


def gaps(lab: Lab) -> list[schedule.Gap]:
    now = datetime.now(UTC)
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        return schedule.gaps(cursor, now=now, interval=MINUTE, since=now - 30 * DAY)


def test_a_night_without_ticks_is_a_gap(lab: Lab) -> None:
    for _ in range(5):
        assert watch(lab) is None
        lab.sleep(MINUTE)
    lab.sleep(NIGHT_LONG)
    gap = watch(lab)
    assert gap is not None
    assert timedelta() <= gap - NIGHT_LONG - MINUTE < timedelta(seconds=30)
    assert watch(lab) is None
    (found,) = gaps(lab)
    assert found.until is not None
    assert found.until - found.since == gap
    lab.sleep(-NIGHT_LONG)  # the clock was put back: no gap, and none is filled
    before = lab.sql("SELECT max(last_at) FROM tenure.watches")
    assert watch(lab) is None
    assert lab.sql("SELECT max(last_at) FROM tenure.watches") == before
    assert lab.sql("SELECT ticks FROM tenure.watches ORDER BY began_at") == [(5,), (3,)]


def test_a_clock_that_was_far_ahead_hides_no_gap_once_it_is_right(lab: Lab) -> None:
    watch(lab)
    lab.sleep(-3650 * DAY)  # kept while the clock was ten years ahead
    assert watch(lab) is None, "somebody is there"
    lab.sql("UPDATE tenure.watches SET began_at = began_at - %s, last_at = last_at - %s"
            " WHERE began_at < now() + interval '1 day'", (NIGHT_LONG, NIGHT_LONG))  # fmt: skip
    assert watch(lab) is not None
    assert [gap.until is not None for gap in gaps(lab)] == [True]


def test_who_says_that_they_tick_once_a_day_bridges_no_night(lab: Lab) -> None:
    watch(lab)
    lab.sleep(NIGHT_LONG)
    assert watch(lab, DAY) is not None
    assert len(gaps(lab)) == 1
    lab.sleep(NIGHT_LONG)
    assert watch(lab, DAY) is None, "from here on it is kept so"
    assert watch(lab) is None
    lab.sleep(NIGHT_LONG)
    assert watch(lab, DAY) is not None


@pytest.mark.parametrize("every", ["0", "-1 minute", "25 hours", None])
def test_nobody_ticks_never(lab: Lab, every: str | None) -> None:
    with (
        pytest.raises(psycopg2.errors.InvalidParameterValue),
        lab.installation.retention.transaction(None) as cursor,
    ):
        cursor.execute("SELECT tenure.keep_watch(%s::interval)", (every,))


# -- what no role can say ----------------------------------------------------------------------

LONG_AGO = "now() - interval '1 year'"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE tenure.watches SET last_at = {LONG_AGO}",
        "UPDATE tenure.watches SET last_at = now()",
        "UPDATE tenure.watches SET began_at = now()",
        f"INSERT INTO tenure.watches VALUES (gen_random_uuid(), {LONG_AGO}, now(), 9)",
        "DELETE FROM tenure.watches",
        f"UPDATE tenure.alerts SET raised_at = {LONG_AGO}",
        "DELETE FROM tenure.alerts",
        "INSERT INTO tenure.alerts (id, kind, subject, detail, resolved_at)"
        f" VALUES (gen_random_uuid(), 'run', 'x', 'x', {LONG_AGO})",
        "INSERT INTO tenure.alerts (id, kind, subject, detail, raised_at)"
        f" VALUES (gen_random_uuid(), 'run', 'x', 'x', {LONG_AGO})",
        f"UPDATE tenure.scheduled SET taken_at = {LONG_AGO}",
        "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed, recorded_at)"
        f" VALUES ('x', now(), now(), 0, {LONG_AGO})",
        "INSERT INTO tenure.cross_tenant_reads (id, read_at, actor, reason, place, statement,"
        f" trace_id) VALUES (gen_random_uuid(), {LONG_AGO}, 'x', 'x', 'x', 'x', 'x')",
        "INSERT INTO tenure.inspections (id, kind, subject, tool, passed, findings, suppressed,"
        " result, digest, recorded_by, recorded_at) VALUES (gen_random_uuid(), 'lint', 'x', 'x',"
        f" true, 0, 0, '', encode(sha256(''), 'hex'), 'x', {LONG_AGO})",
    ],
)
@pytest.mark.parametrize("role", ["app_connections", "retention", "verifier", "auditor"])
def test_no_role_makes_evidence_older_than_it_is(lab: Lab, role: str, statement: str) -> None:
    raised(lab, DUE)
    watch(lab)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        getattr(lab.installation, role).transaction(None) as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize("role", ["app_connections", "verifier", "auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenure.alerts SET resolved_at = now()",
        "UPDATE tenure.alerts SET detail = 'never mind'",
        "INSERT INTO tenure.alerts (id, kind, subject, detail)"
        " VALUES (gen_random_uuid(), 'run', 'x', 'x')",
        "SELECT tenure.keep_watch('1 minute')",
    ],
)
def test_nobody_but_retention_keeps_watch_and_warns(lab: Lab, role: str, statement: str) -> None:
    raised(lab, DUE)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        getattr(lab.installation, role).transaction(None) as cursor,
    ):
        cursor.execute(statement)


def test_an_alert_that_is_called_resolved_is_so_now_and_goes_by_its_age_from_now_on(
    lab: Lab,
) -> None:
    raised(lab, DUE)
    retention = lab.installation.retention
    with retention.transaction(None) as cursor:
        cursor.execute(
            f"UPDATE tenure.alerts SET resolved_at = {LONG_AGO}, last_seen_at = {LONG_AGO},"
            f" delivered_at = {LONG_AGO}"
        )
    assert lab.sql(
        "SELECT now() - least(resolved_at, last_seen_at, delivered_at) < interval '1 minute'"
        " FROM tenure.alerts"
    ) == [(True,)]
    assert delete_leftovers(retention, datetime.now(UTC) + 400 * DAY).others == {}
    assert raised(lab, DUE) == [DUE], "what lasts is raised again"
    for statement in (
        "UPDATE tenure.alerts SET resolved_at = NULL WHERE resolved_at IS NOT NULL",
        "UPDATE tenure.alerts SET detail = 'never mind'",
        "UPDATE tenure.alerts SET attempts = 99 WHERE resolved_at IS NULL",
    ):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            retention.transaction(None) as cursor,
        ):
            cursor.execute(statement)


def test_a_time_that_has_not_come_yet_is_in_the_way_of_none_before_it(lab: Lab) -> None:
    assert take(lab, NOW) is None
    two = NOW.replace(hour=2) + DAY
    with lab.installation.retention.transaction(None) as cursor:
        schedule.mark(cursor, schedule.Taken("nodes", two + 3650 * DAY, 0), NOW)
    assert take(lab, two) == schedule.Taken("nodes", two, 0)
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        # tenure: allow TS001 because schedules are of no tenant
        cursor.execute("SELECT bool_and(recorded_at > now() - interval '1 minute')"
                       " FROM tenure.scheduled")  # fmt: skip
        assert cursor.fetchall() == [(True,)]
