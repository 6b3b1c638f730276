"""What docs/auditor.md shows for looking a key up by hand works, with tools that are not ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenants.context import TenantId

DOCUMENT = Path(__file__).parents[3] / "docs" / "auditor.md"
LOOK_UP, COMPARE = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
TOOLS = ("psql", "basenc", "sha256sum")
CITED = datetime(1999, 12, 31, 23, 58, 57, 654321, tzinfo=UTC)
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
    opened = [lab.long_ago - timedelta(days=number) for number in range(7)]
    cases = [lab.case(acme, opened=day, files=1) for day in opened]
    pages = sorted(lab.ids("pages"))
    kept = lab.case(acme, opened=lab.lately, files=1)
    lives = min(lab.ids("pages") - set(pages))
    cited = lab.add("citations", acme, page_id=lives, cited_at=CITED)
    report = lab.run()
    where = {"TABLE": "lab.cases", "TENANT": str(acme)}
    for case, day in zip(cases, opened, strict=True):
        (line,) = sh(lab, LOOK_UP, KEY=case, **where)
        _, trace_id, policy, version, batch, began = line.split("|")
        assert (trace_id, policy, version) == (report.trace_id, "cases", "1")
        assert began == str(day.date())
        hashes, record = sh(lab, COMPARE, BATCH=batch, TABLE="lab.cases")
        assert hashes.split()[0] == record
    (line,) = sh(lab, LOOK_UP, KEY=cited, **{**where, "TABLE": "lab.citations"})
    assert datetime.fromisoformat(line.split("|")[-1]) == CITED
    (line,) = sh(lab, LOOK_UP, KEY=pages[0], **{**where, "TABLE": "lab.pages"})
    assert line.endswith("|"), "it went along"
    assert sh(lab, LOOK_UP, KEY=kept, **where) == []
    assert sh(lab, LOOK_UP, KEY=cases[0], **{**where, "TABLE": "lab.pages"}) == []
