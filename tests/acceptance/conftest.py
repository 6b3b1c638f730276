"""The product as its users meet it: the command, over HTTP, in a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
TENURE = str(ROOT / ".venv" / "bin" / "tenure")

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would configure Tenure, plus `more`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("TENURE_") and key != "DATABASE_URL"
    }
    return {**kept, **(more or {})}


def tenure(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    expect: int = 0,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the command `tenure`, and require an exit code."""
    done = subprocess.run(
        [TENURE, *arguments],
        env=clean_environment(environment),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(environment: Mapping[str, str], cwd: Path) -> Iterator[str]:
    """Run `tenure serve` for the block; yield its base URL."""
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    with (cwd / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [TENURE, "serve", "--port", str(port)],
            env=clean_environment(environment),
            cwd=cwd,
            stdout=log,
            stderr=log,
        )
        try:
            wait_until_ready(base_url, server, cwd / "serve.log")
            yield base_url
        finally:
            server.terminate()
            server.wait(30)


def wait_until_ready(base_url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for /readyz; fail with the log when the server ends or takes two minutes (of a
    machine that does other things, too)."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{base_url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"the server did not get ready:\n{log.read_text()}")
