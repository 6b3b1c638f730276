"""What docs/auditor.md shows for looking a key up by hand works, with tools that are not ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tenants.context import TenantId

DOCUMENT = Path(__file__).parents[3] / "docs" / "auditor.md"
LOOK_UP, COMPARE = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
TOOLS = ("psql", "basenc", "sha256sum")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]


def sh(lab: Any, script: str, **variables: str) -> list[str]:
    done = subprocess.run(
        ["sh", "-euc", script],
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "AUDITOR_URL": lab.installation.settings.role_url("tenure_auditor"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_a_key_is_looked_up_by_hand(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme, files=1) for _ in range(7)]
    kept = lab.case(acme, opened=lab.lately)
    report = lab.run()
    where = {"TABLE": "lab.cases", "TENANT": str(acme)}
    for case in cases:
        (line,) = sh(lab, LOOK_UP, KEY=case, **where)
        _, trace_id, policy, version, batch = line.split("|")
        assert (trace_id, policy, version) == (report.trace_id, "cases", "1")
        hashes, record = sh(lab, COMPARE, BATCH=batch, TABLE="lab.cases")
        assert hashes.split()[0] == record
    assert sh(lab, LOOK_UP, KEY=kept, **where) == []
    assert sh(lab, LOOK_UP, KEY=cases[0], **{**where, "TABLE": "lab.pages"}) == []
