"""Writers of evidence and publishers of the ledger, killed at every step and at any moment: no
entry is lost or there twice, no index is skipped, and all checkpoints are of one ledger, always."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retention.ledger.audit import audit_ledger
from retention.ledger.publishing import STEPS, Ledger, Outside
from tenants.context import TenantId
from tests.integration.retention.ledger_crash import (
    ORIGIN,
    at_the_ledger,
    check_the_entries,
    check_the_tree,
    place,
)

PUBLISHERS = (1, 2, 4)
KILLED = -signal.SIGKILL


def test_the_ledger_is_killed_again_and_again(
    lab: Any,
    acme: TenantId,
    tmp_path: Path,
    seed: str,
    part: int,
    ledger_kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(f"ledger {seed} {part}")
    outside = place(tmp_path)
    where = Outside(ORIGIN, outside.path / "ledger.key", outside.folder)
    at_steps: Counter[str] = Counter()
    turn = at_random = survived = rows = size = 0
    with at_the_ledger(lab, outside, acme, seed=f"{seed} {part}", deaths=20) as order:
        while at_steps.total() + at_random < ledger_kills:
            turn += 1
            publishers = PUBLISHERS[(part + turn // 2) % len(PUBLISHERS)]
            if turn % 2:
                step = STEPS[(part * 3 + turn // 2) % len(STEPS)]
                codes = order(publishers=publishers, step=step, count=rng.choice((1, 1, 2, 3)))
                assert codes.count(KILLED) == 1, (step, codes)
                at_steps[step] += 1
            else:
                codes = order(publishers=publishers, after_ms=rng.uniform(30, 400))
                at_random += codes.count(KILLED)
            assert set(codes) <= {0, KILLED}
            survived += codes.count(0)
            check_the_tree(lab, outside)
            if turn % 8 == 0:
                order(writers=0)
                assert order(publishers=1) == [0]
                rows = check_the_entries(lab, outside)
                order(writers=16)
        order(writers=0)
    ledger = Ledger(lab.installation.retention, where, "soak")
    ledger.publish()
    size = check_the_tree(lab, outside)
    rows = check_the_entries(lab, outside)
    found = audit_ledger(lab.installation.verifier, where)
    assert (found.findings, found.size, found.waiting) == ((), size, 0)
    record_property("ledger: publishers killed", at_steps.total() + at_random)
    record_property("ledger: of these, at random", at_random)
    for step, count in sorted(at_steps.items()):
        record_property(f"ledger: at {step}", count)
    record_property("ledger: publishers that lived", survived)
    record_property("ledger: writers begun", len(list(tmp_path.glob("*.diary"))))
    record_property("ledger: rows of evidence, each entered once", rows)
    record_property("ledger: entries, in order without a gap", size)
    record_property("ledger: checkpoints given out, all of one ledger", found.outside)


assert os.name == "posix", "SIGKILL and fork are what this is about"
