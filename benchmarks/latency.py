"""A network that is further away: a proxy, in a process of its own, that delays both ways."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection


@contextmanager
def delayed(host: str, port: int, *, ms: float) -> Iterator[int]:
    """Yield a local port behind which `host`:`port` is `ms` milliseconds of round trip away."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, host, port, ms / 2000), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, host: str, port: int, delay_s: float) -> None:
    pause_s = max(0.0, delay_s - _overhead(delay_s))
    listener = socket.create_server(("127.0.0.1", 0))
    told.send(listener.getsockname()[1])
    while True:
        near, _ = listener.accept()
        far = socket.create_connection((host, port))
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=_pass_on, args=(*ends, pause_s), daemon=True).start()


def _overhead(delay_s: float) -> float:
    """Return by how much this machine sleeps too long, with what passing on costs."""
    a, b = socket.socketpair()
    began = time.perf_counter()
    for _ in range(100):
        a.sendall(b"x")
        b.recv(1)
        time.sleep(delay_s)
    return (time.perf_counter() - began) / 100 - delay_s


def _pass_on(source: socket.socket, target: socket.socket, pause_s: float) -> None:
    # Question and answer take turns, so that one sleep a piece is the delay of a network.
    try:
        while data := source.recv(1 << 20):
            time.sleep(pause_s)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One end hung up while a piece was on its way: there is nobody to tell.
        return
