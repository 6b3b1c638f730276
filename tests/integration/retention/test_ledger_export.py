"""An export verifies without us, and shows a tenant its own and nobody else's."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.wiring import Installation
from retention.errors import LedgerError
from retention.ledger import export as exporting
from retention.ledger import verifier
from retention.ledger.export import FOR_ALL
from retention.ledger.publishing import Ledger
from retention.ledger.sequencer import sequence
from retention.ledger.verifier import Trust, unsealed, verify_export
from tenants.context import TenantId

from .conftest import Tenure
from .test_ledger_audit import exported
from .test_ledger_cli import env
from .test_ledger_feeding import people_do_everything
from .test_ledger_publishing import current_key, enter, ledger, outside_of

__all__ = ["env", "ledger"]


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()[1:]]


def test_an_export_is_all_entries_as_hashed_under_all_checkpoints(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    sizes = []
    for count in (3, 1500, 1):
        enter(lab, count)
        sizes.append(ledger.publish().size)
    held = next(outside_of(ledger).folder.notes())[1].read_bytes()
    enter(lab, 4)
    data = exported(lab)
    found = verify_export(io.BytesIO(data), Trust((current_key(ledger),)), held)
    assert [each.signed.checkpoint.size for each in found.checkpoints] == sizes
    assert found.unread.hashed == 0
    leaves = lab.sql("SELECT leaf FROM tenure.ledger_entries WHERE position < %s", (sizes[-1],))
    assert set(data.splitlines()[1:]) == {bytes(leaf) for (leaf,) in leaves}


def test_a_tenant_is_shown_its_own_and_what_names_nobody(
    lab: Any, acme: TenantId, globex: TenantId, ledger: Ledger
) -> None:
    lab.case(globex)
    lab.hold(globex, matter="theirs")
    people_do_everything(lab, acme)
    ledger.publish()
    data = exported(lab, acme)
    assert str(globex).encode() not in data
    found = verify_export(io.BytesIO(data), Trust((current_key(ledger),)))
    shown = [entry for entry in lines(data) if "kind" in entry]
    assert found.unread.hashed == len(lines(data)) - len(shown) > 0
    own = [entry for entry in shown if entry["tenant"] == str(acme)]
    assert {"hold", "membership", "tenant"} <= {entry["kind"] for entry in own}
    others = {entry["kind"] for entry in shown if entry["tenant"] is None}
    assert {"policy-version", "run", "ledger-key", "ledger-source"} <= others <= FOR_ALL
    hidden = {entry["kind"] for entry in lines(exported(lab))} - {e["kind"] for e in shown}
    assert {"login", "verification", "cross-tenant-read"} <= hidden


def test_a_kind_that_is_not_known_is_shown_to_no_tenant(
    lab: Any, acme: TenantId, ledger: Ledger
) -> None:
    """And what is for all has been looked at: a new table is not among them by itself."""
    without = {
        kind
        for (kind,) in lab.sql(
            "SELECT kind FROM tenure.ledger_sources s WHERE NOT EXISTS (SELECT FROM"
            " pg_attribute WHERE attrelid = ('tenure.' || table_name)::regclass"
            " AND attname = 'tenant_id')"
        )
    }
    assert without - FOR_ALL <= {
        "alert",
        "cross-tenant-read",
        "inspection",
        "leftovers",
        "login",
        "tenant",
        "verification",
    }


def test_what_would_not_verify_is_not_written(lab: Any, acme: TenantId, ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no checkpoint was given out"):
        exported(lab)
    enter(lab, 3)
    ledger.publish()
    lab.sql("ALTER TABLE tenure.ledger_entries DISABLE TRIGGER USER")
    lab.sql("UPDATE tenure.ledger_entries SET leaf = leaf || '!' WHERE position = 2")
    with pytest.raises(LedgerError, match="would not verify"):
        exported(lab)
    lab.sql("DELETE FROM tenure.ledger_entries WHERE position = 2")
    with pytest.raises(LedgerError, match="entry 2 is not there"):
        exported(lab)


def test_a_first_line_without_room_for_all_checkpoints_keeps_every_second(
    lab: Any, acme: TenantId, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    for _ in range(7):
        enter(lab, 1)
        sizes.append(ledger.publish().size)
    monkeypatch.setattr(exporting, "MAX_HEADER", 2000)
    data = exported(lab)
    found = verify_export(io.BytesIO(data), Trust((current_key(ledger),)))
    kept = [each.signed.checkpoint.size for each in found.checkpoints]
    assert kept == sizes[::-1][:: 7 // len(kept) + 1][::-1]
    assert 1 < len(kept) < 7
    assert len(data.splitlines()[0]) < 2000


def test_an_export_is_made_and_checked_by_command(
    tenure: Tenure, make_tenant: Callable[..., TenantId], env: dict[str, str], tmp_path: Path
) -> None:
    make_tenant("acme")
    make_tenant("globex")
    assert tenure("ledger", "export", env=env).exit_code == 2, "nothing was given out"
    key = tenure("ledger", "keys", "new", env=env).stdout.strip()
    tenure("ledger", "publish", env=env)
    held = tmp_path / "held"
    held.write_bytes((tmp_path / "checkpoints" / "checkpoint").read_bytes())
    for slug in ("acme", "globex"):
        place = ("hold", "place", "--tenant", slug, "--matter", "m", "--reason", "r")
        assert tenure(*place, env=env).exit_code == 0

    whole = tenure("ledger", "export", "--output", "all.jsonl", "--format", "json", env=env)
    said = json.loads(whole.stdout)
    assert (said["hashed"], said["checkpoints"]) == (0, 3)
    assert tenure("ledger", "export", env=env).stdout == (tmp_path / "all.jsonl").read_text()
    own = tenure("ledger", "export", "--tenant", "acme", "--output", "acme.jsonl", env=env)
    assert "of them as hashes alone" in own.stdout
    assert tenure("ledger", "export", "--tenant", "nobody", env=env).exit_code == 2
    assert not list(tmp_path.glob(".export-*"))
    assert tenure("ledger", "export", "--output", "no/where", env=env).exit_code == 2

    for name in ("all.jsonl", "acme.jsonl"):
        checked = tenure("ledger", "verify", "--export", name, "--since", "held", env=env)
        assert checked.exit_code == 0
        assert checked.stdout.startswith("VERIFIED.")
        alone = subprocess.run(
            [sys.executable, "-I", verifier.__file__, "--key", key, "--since", held, name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert alone.stdout == checked.stdout
        assert f"the database names it (--key: that which you were given otherwise): {key}" in (
            checked.stderr
        )
    changed = (tmp_path / "all.jsonl").read_bytes().replace(b'"hold"', b'"HOLD"')
    (tmp_path / "changed.jsonl").write_bytes(changed)
    refused = tenure(
        *("ledger", "verify", "--export", "changed.jsonl", "--key", key, "--format", "json")
    )
    assert refused.exit_code == 1
    assert "root" in json.loads(refused.stdout)["problem"]
    assert json.loads(refused.stdout)["keys_from"] == "--key"
    audited = json.loads(tenure("ledger", "verify", "--format", "json", env=env).stdout)
    assert (audited["keys"], audited["keys_from"]) == ([key], "the database")
    assert "believed because the database names it" in tenure("ledger", "verify", env=env).stdout
    assert "names it" not in tenure("ledger", "verify", "--key", key, env=env).stdout
    assert unsealed(changed.splitlines()[0])


def test_a_verification_says_what_it_read_and_exits_with_1_on_findings(
    tenure: Tenure,
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    env: dict[str, str],
    owner_sql: Any,
) -> None:
    make_tenant("acme")
    tenure("ledger", "keys", "new", env=env)
    assert tenure("hold", "place", "--tenant", "acme", "--matter", "m", "--reason", "r", env=env)
    fine = tenure("ledger", "verify", env=env)
    assert fine.exit_code == 0
    assert fine.stdout.endswith("\n0 findings\n")
    assert "tenure.holds" in fine.stdout
    # And what it did not read, or nothing signed speaks of.
    assert tenure("ledger", "publish", env=env).exit_code == 0
    owner_sql("INSERT INTO tenure.ledger_attestations (id, size, kind, name, content) SELECT"
              " gen_random_uuid(), size, 'timestamp', 'CN=nobody', 'x'"
              " FROM tenure.ledger_checkpoints")  # fmt: skip
    make_tenant("globex")
    # Put in order, and not signed.
    assert sequence(installation.retention) == 1
    partly = tenure("ledger", "verify", env=env)
    assert partly.exit_code == 0
    assert "the last 1 of them under no checkpoint" in partly.stdout
    assert "attestations 0 verified" in partly.stdout
    assert (
        "1 not looked at: timestamps of CN=nobody, whom the settings do not name" in partly.stdout
    )
    assert re.search(r"tenure\.logins +\d+ +email, password_hash", partly.stdout)
    owner_sql("ALTER TABLE tenure.hold_events DISABLE TRIGGER USER")
    owner_sql("UPDATE tenure.hold_events SET happened_at = now()")
    owner_sql("ALTER TABLE tenure.hold_events ENABLE TRIGGER USER")
    found = tenure("ledger", "verify", env=env)
    assert found.exit_code == 1
    assert "row: tenure.hold_events" in found.stdout
    assert "in happened_at" in found.stdout
    said = json.loads(tenure("ledger", "verify", "--format", "json", env=env).stdout)
    assert said["found"] == {"row": 1}
    assert said["findings"][0]["check"] == "row"
    assert tenure("ledger", "verify", "--key", "none", env=env).exit_code == 2
