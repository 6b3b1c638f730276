"""A command of the demo's, which ends when the demo does, even where that was killed."""

from __future__ import annotations

import os
import signal
import sys
import threading

from api.cli import main as tenure


def main() -> None:
    """Run `tenure` with this process's arguments until it ends, or standard input does."""
    threading.Thread(target=_follow, args=(os.getpid(),), daemon=True).start()
    tenure()


def _follow(process: int) -> None:
    sys.stdin.read()
    os.kill(process, signal.SIGTERM)
