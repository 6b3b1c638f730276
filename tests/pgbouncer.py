"""Debian's PgBouncer in front of a test's server, in transaction mode."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_START_S = 10.0

# As docs/operator.md has it, but for the paths.
_SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
pool_mode = transaction
default_pool_size = {size}
server_reset_query = DISCARD ALL
server_reset_query_always = 1
max_client_conn = 200
{user}
"""


@contextmanager
def pgbouncer(admin_url: str, *, roles: Sequence[str], size: int) -> Iterator[int]:
    """Run one for the block, with at most `size` connections per role; yields its port."""
    assert PROGRAM
    server = urlsplit(admin_url)
    folder = Path(tempfile.mkdtemp(prefix="tenure-pgbouncer-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()[1]
    # It refuses to run as root, and gives that up once it has read its files.
    user = "user = nobody" if os.geteuid() == 0 else ""
    (folder / "userlist.txt").write_text(_userlist(admin_url, roles))
    (folder / "pgbouncer.ini").write_text(
        _SETTINGS.format(
            host=server.hostname, port=server.port, listen=listen, folder=folder, size=size,
            user=user,
        )
    )  # fmt: skip
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "pgbouncer.ini")], stdout=log, stderr=log)
        try:
            _wait_for(listen, process, folder / "log")
            yield listen
        finally:
            process.terminate()
            process.wait(10)
            shutil.rmtree(folder)


def _userlist(admin_url: str, roles: Sequence[str]) -> str:
    connection = psycopg2.connect(admin_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s)", (list(roles),)
            )
            return "".join(f'"{name}" "{secret}"\n' for name, secret in cursor.fetchall())
    finally:
        connection.close()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PgBouncer does not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def through(url: str, port: int) -> str:
    """Return a server's URL as seen through the pooler at `port`."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
