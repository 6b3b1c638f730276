"""The demo's server and worker: the commands an operator would run, as child processes."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from config.errors import ConfigError

_READY_S = 30.0
_STOP_S = 25.0
# -P: what lies in the demo's folder, where the children run, is not imported.
_TENURE = (sys.executable, "-P", "-c", "from api.demo.child import main; main()")


@contextmanager
def running(folder: Path, port: int) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """Serve and tick for the block; logs go to files in `folder`.

    Raises ConfigError with the end of the log when the server does not get ready.
    """
    with ExitStack() as stack:
        children = {name: stack.enter_context(_child(folder, name)) for name in ("serve", "worker")}
        _wait_ready(children["serve"], folder / "serve.log", port)
        yield children


@contextmanager
def _child(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - our own command
            [*_TENURE, name],
            cwd=folder,
            # Never written to: it closes when we are gone, however that came about.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # A Ctrl-C in the terminal goes to us; we stop the children, in order.
            start_new_session=True,
        )
        try:
            yield child
        finally:
            stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end; make it end when it does not."""
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait_ready(server: subprocess.Popen[bytes], log: Path, port: int) -> None:
    give_up = time.monotonic() + _READY_S
    while time.monotonic() < give_up and server.poll() is None:
        if get("127.0.0.1", port, "/readyz")[0] == 200:
            return
        time.sleep(0.05)
    end = log.read_text(errors="replace").strip()[-2000:]
    raise ConfigError(f"the server did not get ready; its log ends:\n{end}")


def get(host: str, port: int, path: str, token: str | None = None) -> tuple[int, bytes]:
    """GET a path; return status and body, or (0, b"") where nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()
