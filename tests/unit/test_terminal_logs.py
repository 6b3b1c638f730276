"""Logs are for people on a terminal, for machines elsewhere, and as the setting says."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest

SCRIPT = """
import click
from api.cli.support import settings_of
from config.logging import get_logger

settings_of(click.Context(click.Command("x")))
get_logger("x").info("it_happened", rows=3)
"""


def said(env: Mapping[str, str], *, terminal: bool) -> str:
    """Return what a command's process says on stderr."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    done = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stderr=writer,
        env={"PATH": os.environ["PATH"], **env},
        cwd=os.getcwd(),
    )
    os.close(writer)
    text = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # a terminal whose other end is closed
            break
        if not part:
            break
        text += part
    os.close(reader)
    assert done.wait() == 0, text
    return text.decode()


@pytest.mark.parametrize(
    ("env", "terminal", "as_json"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"TENURE_LOG_FORMAT": "json"}, True, True),
        ({"TENURE_LOG_FORMAT": "console"}, False, False),
    ],
)
def test_logs_suit_whoever_reads_them(
    env: dict[str, str], *, terminal: bool, as_json: bool
) -> None:
    text = said(env, terminal=terminal)
    assert "it_happened" in text
    assert ('"event": "it_happened"' in text) is as_json
