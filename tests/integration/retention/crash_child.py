"""Runs retention once over the shop, and dies at a named step: `crash_child.py STEP COUNT`.

The process kills itself with SIGKILL when it comes to STEP for the COUNT-th time.
"""

import os
import signal
import sys

from api.wiring import open_installation
from api.workshop import workshop_of
from config.logging import configure_logging
from config.settings import load_settings
from retention.executor import Options
from retention.jobs import run_once


def main() -> None:
    wanted, count = sys.argv[1], int(sys.argv[2])
    seen = 0

    def on_step(step: str) -> None:
        nonlocal seen
        seen += step == wanted
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    configure_logging("json", "critical")
    installation = open_installation(load_settings(path=None))
    options = Options(batch_size=2, on_step=on_step)
    shop = workshop_of(installation, actor="crash", options=options)
    report = run_once(shop, shop.plan)
    sys.stdout.write(report.state)


if __name__ == "__main__":
    main()
