"""Carries an offboarding out on the lab, and kills itself where it is told to.

Argument: JSON of `id` (of the offboarding), `step`, `count` (the count-th time it comes to it).
"""

import json
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[3]))

from api.wiring import open_installation
from config.logging import configure_logging
from config.settings import load_settings
from retention.offboardings.execution import Executor
from tests.integration.retention.conftest import CATALOG


def main() -> None:
    order = json.loads(sys.argv[1])
    seen = 0

    def on_step(step: str) -> None:
        nonlocal seen
        seen += step == order["step"]
        if seen == order["count"]:
            os.kill(os.getpid(), signal.SIGKILL)

    configure_logging("json", "critical")
    installation = open_installation(load_settings(path=None))
    Executor(
        retention=installation.retention,
        verifier=installation.verifier,
        catalog=CATALOG,
        actor="child",
        limit=3,
        on_step=on_step,
    ).run(UUID(order["id"]))


if __name__ == "__main__":
    main()
