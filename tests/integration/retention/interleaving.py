"""Runs actors in threads, one step at a time, in an order that is given.

An actor is a callable that is handed `pause`, and calls it where another may come between. A
schedule is a list of actors' names: each move lets one actor go on to its next pause. One that
waits for a lock goes on by itself once it has it; its next moves come after the others'.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tenants.connections import RoleConnections

WAIT_S = 20.0
Pause = Callable[[], None]


class _Actor:
    def __init__(self, name: str, act: Callable[[Pause], None]) -> None:
        self.name = name
        self.go = threading.Semaphore(0)
        self.state = "paused"
        self.error: BaseException | None = None
        self._act = act
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        assert self.go.acquire(timeout=WAIT_S)
        try:
            self._act(self.pause)
        except BaseException as error:  # noqa: BLE001 - handed to whoever plays
            self.error = error
        finally:
            self.state = "done"

    def pause(self) -> None:
        self.state = "paused"
        assert self.go.acquire(timeout=WAIT_S)

    def move(self) -> None:
        self.state = "going"
        self.go.release()


def play(
    lab: Any, actors: Mapping[str, Callable[[Pause], None]], schedule: Sequence[str]
) -> dict[str, BaseException | None]:
    """Play the schedule to its end; return what each actor raised."""
    cast = {name: _Actor(name, act) for name, act in actors.items()}
    for actor in cast.values():
        actor.thread.start()
    moves = list(schedule)
    while any(actor.state != "done" for actor in cast.values()):
        ready = [n for n in moves if cast[n].state == "paused"]
        name = ready[0] if ready else next(n for n, a in cast.items() if a.state == "paused")
        if ready:
            moves.remove(name)
        cast[name].move()
        _settle(lab, list(cast.values()))
    for actor in cast.values():
        actor.thread.join(WAIT_S)
    return {name: actor.error for name, actor in cast.items()}


def _settle(lab: Any, actors: list[_Actor]) -> None:
    """Return once every actor is paused, done, or waits for a lock that another has."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        going = sum(actor.state == "going" for actor in actors)
        if not going:
            return
        if going < sum(actor.state != "done" for actor in actors) and waiting(lab) == going:
            return
        time.sleep(0.002)
    raise AssertionError({actor.name: actor.state for actor in actors})


def waiting(lab: Any) -> int:
    """Return how many sessions of this database wait for a lock."""
    ((found,),) = lab.sql(
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    return int(found)


def schedules(**moves: int) -> list[list[str]]:
    """Return every order of the actors' moves."""
    names = [name for name, count in moves.items() for _ in range(count)]

    def orders(left: dict[str, int]) -> Iterator[list[str]]:
        if not any(left.values()):
            yield []
        for name, count in left.items():
            if count:
                for rest in orders({**left, name: count - 1}):
                    yield [name, *rest]

    found = list(orders(dict(moves)))
    assert all(len(order) == len(names) for order in found)
    return found


def some_schedules(seed: int, count: int, **moves: int) -> list[list[str]]:
    """Return some orders of the actors' moves, drawn at random."""
    rng = random.Random(seed)
    names = list(itertools.chain.from_iterable([n] * c for n, c in moves.items()))
    return [rng.sample(names, len(names)) for _ in range(count)]


class PausingConnections:
    """A role's connections that pause behind a transaction's first lock, and before its commit."""

    def __init__(self, connections: RoleConnections, pause: Pause) -> None:
        self._connections = connections
        self._pause = pause

    @contextmanager
    def transaction(self, tenant_id: Any, **how: Any) -> Iterator[Any]:
        with self._connections.transaction(tenant_id, **how) as cursor:
            cursor.execute("SET LOCAL lock_timeout = '20s'")
            yield _PausingCursor(cursor, self._pause)
            self._pause()


class _PausingCursor:
    def __init__(self, cursor: Any, pause: Pause) -> None:
        self._cursor = cursor
        self._pause = pause

    def execute(self, query: Any, params: Any = None) -> None:
        self._cursor.execute(query, params)
        if isinstance(query, str) and "FOR UPDATE" in query:
            self._pause()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
