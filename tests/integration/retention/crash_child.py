"""Works on the lab's open runs in forked processes, and has some of them killed.

Orders come as lines of JSON: `workers` processes work until no open run needs them. With
`step` and `count`, the first of them that comes to the step for the count-th time kills
itself; with `after_ms`, all are killed from outside then. The answer is a line of JSON: how
each process ended.
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from api.wiring import open_installation
from config.clock import FixedClock
from config.logging import configure_logging
from config.settings import load_settings
from retention.executor import Options
from retention.policy_file import parse_policies
from retention.workshop import Workshop
from tests.integration.retention.conftest import CATALOG, NOW, POLICIES

# How long a dead worker's unit waits for another.
TTL_S = 0.6


def work(order: dict[str, Any], token: Path) -> None:
    seen = 0

    def on_step(step: str) -> None:
        nonlocal seen
        if step == "locked":
            # Rows are chosen and not yet gone: when a hold must not come in between.
            time.sleep(order.get("pause_ms", 0) / 1000)
        seen += step == order.get("step")
        if seen == order.get("count", 0) > 0:
            try:
                token.mkdir()
            except FileExistsError:
                return  # somebody else died in our place
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
        options=Options(
            batch_size=order["batch_size"],
            lock_timeout_ms=2000,
            slice_s=order.get("slice_s", 2.0),
            on_step=on_step,
        ),
        lease_ttl_s=TTL_S,
    )
    with installation.retention.transaction(None) as cursor:
        cursor.execute("SELECT id FROM tenure.runs WHERE finished_at IS NULL ORDER BY started_at")
        open_runs = [row[0] for row in cursor.fetchall()]
    for run_id in open_runs:
        shop.worker().work(run_id)


def child(order: dict[str, Any], token: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(order, token)
    except BaseException as error:  # noqa: BLE001 - a forked child must not return
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            pids = [child(order, Path(folder) / "killed") for _ in range(order["workers"])]
            if "after_ms" in order:
                time.sleep(order["after_ms"] / 1000)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
