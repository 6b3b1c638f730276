"""Replays in a restored database of the lab, and kills itself where it is told to.

Argument: JSON of `folder` (the records), `key` and `origin` (of whoever signs them), `step`,
`count` (the count-th time it comes to it).
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from api.wiring import open_installation
from config.logging import configure_logging
from config.settings import load_settings
from retention.ledger.gone import GoneFolder
from retention.ledger.gone_head import Writer
from retention.ledger.keys import read_key
from retention.replays.execution import Replayer
from retention.replays.wanted import Sources
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
    signer = read_key(Path(order["key"]), order["origin"])
    writer = Writer(GoneFolder(Path(order["folder"])), (signer,))
    Replayer(
        retention=installation.retention,
        verifier=installation.verifier,
        catalog=CATALOG,
        actor="child",
        sources=Sources((writer.folder,), (signer.verifier_key,)),
        goes_on=writer,
        limit=3,
        on_step=on_step,
    ).run()


if __name__ == "__main__":
    main()
