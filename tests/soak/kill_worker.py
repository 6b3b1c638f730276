"""Runs retention on the lab's database in a process per order, and has it killed.

Orders come as lines of JSON: `step` and `count` (it kills itself at the step), or `after_ms`
(it is killed from outside then). The answer is a line: how the process ended.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from api.wiring import open_installation
from config.clock import FixedClock
from config.logging import configure_logging
from config.settings import load_settings
from retention.executor import Options
from retention.jobs import Workshop, run_once
from retention.policy_file import parse_policies
from tests.integration.retention.conftest import CATALOG, NOW, POLICIES


def work(order: dict[str, Any]) -> None:
    seen = 0

    def on_step(step: str) -> None:
        nonlocal seen
        if step == "locked":
            # Rows are chosen and not yet gone: when a hold must not come in between.
            time.sleep(order.get("pause_ms", 0) / 1000)
        seen += step == order.get("step")
        if seen == order.get("count", 0) > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    configure_logging("json", "critical")
    installation = open_installation(load_settings(path=None))
    shop = Workshop(
        retention=installation.retention,
        verifier=installation.verifier,
        catalog=CATALOG,
        policies=parse_policies(POLICIES, CATALOG),
        clock=FixedClock(NOW),
        actor="soak",
        options=Options(batch_size=order["batch_size"], lock_timeout_ms=2000, on_step=on_step),
    )
    state = run_once(shop, shop.plan).state
    if state not in ("succeeded", "succeeded_with_skips"):
        raise RuntimeError(state)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                work(order)
            except BaseException as error:  # noqa: BLE001 - a forked child must not return
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        if "after_ms" in order:
            time.sleep(order["after_ms"] / 1000)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
