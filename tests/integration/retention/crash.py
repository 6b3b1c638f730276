"""Workers in processes of their own, which die where they are told to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from .shop_rows import environment_of

NAME = "tenure-crash-worker"

Order = Callable[..., list[int]]


@contextmanager
def workers_of(lab: Any) -> Iterator[Order]:
    """Yield `order(workers=2, batch_size=2, step="gate", count=1)`, see `crash_child`: has them
    work on the lab's open runs; returns their exit codes.

    `meanwhile` is done here while they work.
    """
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "crash_child.py")],
        env=environment_of(lab.installation) | {"PGAPPNAME": NAME},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        asked, answered = process.stdin, process.stdout

        def order(*, meanwhile: Callable[[], None] | None = None, **what: Any) -> list[int]:
            asked.write(json.dumps(what) + "\n")
            asked.flush()
            if meanwhile:
                meanwhile()
            codes: list[int] = json.loads(answered.readline())
            wait_for_its_sessions(lab.installation.settings.database_url)
            return codes

        yield order
        asked.close()
        assert process.wait(30) == 0


def wait_for_its_sessions(url: str) -> None:
    """What a killed worker had sent, the server may still be doing."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for _ in range(3000):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
                    " AND datname = current_database()",
                    (NAME,),
                )
                if cursor.fetchone() == (0,):
                    return
                time.sleep(0.01)
    finally:
        connection.close()
    raise AssertionError("a killed worker's session does not end")


def units_agree_with_batches(lab: Any) -> bool:
    """Tell whether every unit counted what the batches of its run, policy and tenant recorded."""
    ((differing,),) = lab.sql(
        "SELECT count(*) FROM tenure.units u CROSS JOIN LATERAL ("
        "  SELECT count(*) AS batches, coalesce(sum(b.rows_deleted), 0) AS rows"
        "  FROM tenure.batches b WHERE b.run_id = u.run_id AND b.policy = u.policy"
        "  AND b.tenant_id = u.tenant_id) b"
        " WHERE u.rows_deleted <> b.rows OR u.batches <> b.batches"
    )
    return bool(differing == 0)
