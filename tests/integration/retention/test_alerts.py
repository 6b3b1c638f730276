"""What is warned of, once for as long as it lasts, to a server that checks the signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from retention import schedule
from retention.alerts import Alert, Looked, deliver, open_alerts, raise_alerts
from retention.errors import DeliveryError
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


def test_what_lasts_is_said_again_after_a_day(lab: Lab, receiver: Receiver) -> None:
    raised(lab, DUE)
    send = Webhook(receiver.url, SECRET)
    assert deliver(lab.installation.retention, send) == 1
    lab.sql("UPDATE tenure.alerts SET delivered_at = delivered_at - interval '25 hours'")
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


def watch(lab: Lab, now: Any) -> timedelta | None:
    with lab.installation.retention.transaction(None) as cursor:
        return schedule.keep_watch(cursor, now, timedelta(minutes=1))


def test_a_night_without_ticks_is_a_gap(lab: Lab) -> None:
    minute = timedelta(minutes=1)
    for number in range(5):
        assert watch(lab, NOW + number * minute) is None
    morning = NOW + timedelta(hours=8)
    assert watch(lab, morning) == timedelta(hours=7, minutes=56)
    assert watch(lab, NOW) is None  # the clock was put back: no gap, and none is filled
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        found = schedule.gaps(cursor, now=morning, interval=minute, since=NOW - DAY)
    assert found == [schedule.Gap(NOW + 4 * minute, morning)]
