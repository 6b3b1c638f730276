"""Writes evidence in sixteen forked processes, and publishes the ledger in others that are killed.

Argument: JSON of `folder` (the ledger's key and checkpoints, and what each writer says it did),
`origin`, `writers`, `tenant`, `seed` and `deaths` (of so many transactions of a writer, one kills
it). There are as many writers all the time: another one takes a dead one's place.

Orders come as lines of JSON: `publishers` processes publish until the first of them that comes to
`step` for the count-th time has killed itself, or, with `after_ms`, until all are killed; who is
left publishes once more. The answer is a line of JSON: how each ended. `{"writers": n}` changes
their number.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2

sys.path.insert(0, str(Path(__file__).parents[3]))

from api.wiring import Installation, open_installation
from config.logging import configure_logging
from config.settings import load_settings
from retention import holds
from retention.errors import LedgerError
from retention.ledger.folder import Folder
from retention.ledger.publishing import Ledger, Outside
from tenants.context import TenantId

PATIENCE_S = 20.0
ENTER = "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'w', %s)"

Told = dict[str, Any]


class Undone(Exception):
    """What a writer rolls its transaction back by."""


class Writer:
    """Says in a file of its own what it is about to do and what it has done, and does it."""

    def __init__(self, told: Told, number: int) -> None:
        self.told, self.name = told, f"w{number}"
        self.rng = random.Random(f"{told['seed']} {number}")
        self.diary = (Path(told["folder"]) / f"{self.name}.diary").open("a", buffering=1)
        self.installation = opened()

    def work(self) -> None:
        began_by = os.getppid()
        number = 0
        while os.getppid() == began_by:
            number += 1
            try:
                if self.rng.random() < 0.05:
                    self.hold(f"{self.name}-{number}")
                else:
                    self.transaction(f"{self.name}-{number}")
            except psycopg2.Error:
                # Of the connection, where the database is taken away: did it commit?
                time.sleep(0.05)
            time.sleep(self.rng.expovariate(1 / 0.08))

    def say(self, what: str, name: str) -> None:
        self.diary.write(f"{what} {name}\n")

    def hold(self, matter: str) -> None:
        self.say("try", matter)
        tenant = TenantId(UUID(self.told["tenant"]))
        holds.place(self.installation.retention, tenant, matter=matter, reason=matter, actor="w")
        self.say("done", matter)

    def transaction(self, name: str) -> None:
        names = [f"{name}-{row}" for row in range(self.rng.randint(1, 3))]
        undone = self.rng.random() < 0.3
        dies = self.rng.choice(("open", "committed")) if self.dies() else ""
        for each in names if not undone else ():
            self.say("try", each)
        with suppress(Undone), self.installation.retention.transaction(None) as cursor:
            for each in names:
                cursor.execute(ENTER, (each,))
                # A part of it that is taken back.
                cursor.execute("SAVEPOINT part")
                cursor.execute(ENTER, (f"{each}-undone",))
                cursor.execute("ROLLBACK TO part")
                time.sleep(self.rng.expovariate(1 / 0.005))
            if dies == "open":
                os.kill(os.getpid(), signal.SIGKILL)
            if undone:
                raise Undone
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        for each in names if not undone else ():
            self.say("done", each)

    def dies(self) -> bool:
        deaths = self.told["deaths"]
        return bool(deaths and self.rng.random() < 1 / deaths)


def opened() -> Installation:
    configure_logging("json", "critical")
    return open_installation(load_settings(path=None))


def publish(told: Told, order: Told) -> None:
    """Publish until one of us is dead, and then once more."""
    token = Path(told["folder"]) / f"killed-{order['number']}"
    seen = 0

    def on_step(step: str) -> None:
        nonlocal seen
        seen += step == order.get("step")
        if seen == order.get("count", 0) > 0:
            try:
                token.mkdir()
            except FileExistsError:
                return  # somebody else died in our place
            os.kill(os.getpid(), signal.SIGKILL)

    folder = Path(told["folder"])
    outside = Outside(
        told["origin"],
        folder / "ledger.key",
        Folder(folder / "checkpoints"),
        ("sh", str(folder / "ship")),
    )
    ledger = Ledger(opened().retention, outside, "child", on_step=on_step)
    until = time.monotonic() + PATIENCE_S
    while "count" in order and not token.exists():
        if time.monotonic() > until:
            raise LedgerError(f"nobody came to {order['step']}")
        ledger.publish()
        time.sleep(0.002)
    if "after_ms" in order:
        while True:
            ledger.publish()
    problem = ledger.publish(wait=True).not_shipped
    if problem:
        raise LedgerError(problem)


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except LedgerError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(3)
    except BaseException as error:  # noqa: BLE001 - a forked child must not return
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


class Writers:
    """As many as are wanted."""

    def __init__(self, told: Told) -> None:
        self.told, self.begun = told, 0
        self.pids: set[int] = set()

    def keep(self, number: int) -> None:
        for pid in list(self.pids):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                    raise SystemExit("a writer failed")
                self.pids.discard(pid)
        while len(self.pids) < number:
            self.begun += 1
            self.pids.add(forked(lambda: Writer(self.told, self.begun).work()))
        while len(self.pids) > number:
            pid = self.pids.pop()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    told: Told = json.loads(sys.argv[1])
    writers, wanted = Writers(told), told["writers"]
    writers.keep(wanted)
    for number, line in enumerate(sys.stdin):
        order = json.loads(line) | {"number": number}
        wanted = order.get("writers", wanted)
        writers.keep(wanted)
        pids = [
            forked(lambda: publish(told, order))  # noqa: B023 - it is called at once
            for _ in range(order.get("publishers", 0))
        ]
        if "after_ms" in order:
            time.sleep(order["after_ms"] / 1000)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()
    writers.keep(0)


if __name__ == "__main__":
    main()
