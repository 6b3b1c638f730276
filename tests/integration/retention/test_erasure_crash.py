"""Killed at any step of an erasure: rows gone are rows recorded, and the next one finishes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from retention.erasures.batch import STEPS
from retention.hold_scopes import Scope
from tenants.catalog import TableName
from tenants.context import TenantId

from .conftest import Lab
from .crash import NAME, wait_for_its_sessions
from .erasing import approved, erasure_of, executor
from .shop_rows import environment_of
from .test_erasures import TABLES, erased, everything, plant, said

ENDS = ("started", "verified", "completing", "completed")


def killed_at(lab: Lab, erasure_id: UUID, step: str, count: int) -> bool:
    """Have a process carry it out; return whether it died where it was told to."""
    child = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parent / "erasure_child.py"),
            json.dumps({"erasure": str(erasure_id), "step": step, "count": count}),
        ],
        env=environment_of(lab.installation) | {"PGAPPNAME": NAME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (0, -signal.SIGKILL), child.stderr
    wait_for_its_sessions(str(lab.installation.settings.database_url))
    return child.returncode != 0


def gone(lab: Lab, planted: dict[str, set[str]]) -> dict[str, int]:
    left = everything(lab)
    lost = {f"lab.{name}": len(ids - left[name]) for name, ids in planted.items()}
    return {name: rows for name, rows in lost.items() if rows}


def test_killed_at_every_step_rows_gone_are_rows_recorded_and_it_is_finished(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    plant(lab, globex)
    kept = everything(lab)
    for step in (*STEPS, *ENDS):
        case, mine = plant(lab, acme)
        erasure_id = approved(lab, acme, case)
        count = 1 if step in ENDS else 2
        assert killed_at(lab, erasure_id, step, count), f"it never came to {step}"
        assert gone(lab, mine) == erased(lab, erasure_id), step
        if erasure_of(lab, erasure_id).ended_at is None:
            executor(lab).run(erasure_id)
        assert erasure_of(lab, erasure_id).state == "completed"
        assert gone(lab, mine) == erased(lab, erasure_id)
        assert erased(lab, erasure_id) == {f"lab.{name}": len(mine[name]) for name in TABLES}
        events = said(lab, erasure_id)
        assert events[-2:] == ["verified", "completed"]
        assert len(events) == len(set(events)), "something was said twice"
        assert everything(lab) == kept
    assert lab.verify().findings == 0


def test_killed_while_it_is_deferred_it_waits_all_the_same(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    page = min(mine["pages"])
    hold = lab.hold(acme, Scope("rows", TableName("lab", "pages"), rows=(UUID(page),)))
    erasure_id = approved(lab, acme, case)
    assert killed_at(lab, erasure_id, "deferred", 1)
    assert erasure_of(lab, erasure_id).state == "deferred"
    lab.release(hold)
    assert killed_at(lab, erasure_id, "recorded", 1)
    assert erasure_of(lab, erasure_id).state == "deferred"  # it was not resumed: it had no batch
    assert page in lab.ids("pages")
    assert executor(lab).run(erasure_id).erasure.state == "completed"
    assert gone(lab, mine) == erased(lab, erasure_id)


def test_two_at_once_do_nothing_twice(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme, files=6)
    erasure_id = approved(lab, acme, case)
    child = [
        sys.executable,
        str(Path(__file__).parent / "erasure_child.py"),
        json.dumps({"erasure": str(erasure_id), "step": "never", "count": 1}),
    ]
    env = environment_of(lab.installation)
    running = [
        subprocess.Popen(child, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ended = []
    for process in running:
        _, errors = process.communicate(timeout=60)
        # Who comes when the other is done with it is told so.
        assert process.returncode == 0 or "is completed" in errors, errors
        ended.append(process.returncode)
    assert 0 in ended
    assert erasure_of(lab, erasure_id).state == "completed"
    assert erased(lab, erasure_id) == {f"lab.{name}": len(mine[name]) for name in TABLES}
    events = said(lab, erasure_id)
    assert len(events) == len(set(events))
