"""`tenure ledger`, as an operator runs it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retention.ledger import tree
from retention.ledger.checkpoint import SignedCheckpoint, VerifierKey
from tenants.context import TenantId

from .conftest import Tenure

ORIGIN = "ledger.example/acme"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A ledger's settings; there is no key yet."""
    (tmp_path / "checkpoints").mkdir()
    return {
        "TENURE_LEDGER_ORIGIN": ORIGIN,
        "TENURE_LEDGER_KEY_FILE": str(tmp_path / "ledger.key"),
        "TENURE_LEDGER_DIR": str(tmp_path / "checkpoints"),
    }


def test_a_ledger_begins_signs_and_proves(
    tenure: Tenure, make_tenant: Callable[..., TenantId], env: dict[str, str], tmp_path: Path
) -> None:
    make_tenant("acme")
    status = tenure("ledger", "status", "--format", "json")
    assert status.exit_code == 0
    assert json.loads(status.stdout)["problem"].endswith("nothing is signed")
    assert tenure("ledger", "publish").stdout.endswith("ledger_key_file and ledger_dir\n")
    missing = tenure("ledger", "publish", env=env)
    assert missing.exit_code == 2
    assert "tenure ledger keys new" in missing.stderr

    made = tenure("ledger", "keys", "new", env=env)
    key = VerifierKey.parse(made.stdout.strip())
    assert key.name == ORIGIN
    assert tenure("ledger", "keys", "new", env=env).exit_code == 2, "never written over"
    assert tenure("hold", "place", "--tenant", "acme", "--matter", "m", "--reason", "r", env=env)
    noted = (tmp_path / "checkpoints" / "checkpoint").read_bytes()
    size = SignedCheckpoint.verify(noted, [key]).checkpoint.size
    published = tenure("ledger", "publish", "--format", "json", env=env)
    assert json.loads(published.stdout) == {
        "placed": 0, "signed": False, "size": size, "not_shipped": None, "not_attested": [],
    }  # fmt: skip

    shown = json.loads(tenure("ledger", "status", "--format", "json", env=env).stdout)
    assert (shown["entries"], shown["waiting"], shown["unsigned"]) == (size, 0, 0)
    assert shown["checkpoint"]["size"] == shown["exported"] == size
    assert shown["keys"] == [str(key)]
    assert "holds" in {source["table"] for source in shown["sources"]}
    assert f"checkpoint  {size} entries" in tenure("ledger", "status", env=env).stdout

    at = size - 2  # the key came last
    proof = tenure("ledger", "prove", str(at), env=env)
    head, _, note = proof.stdout.partition("\n\n")
    kind, extra, index, *path = head.splitlines()
    assert (kind, index) == ("c2sp.org/tlog-proof@v1", f"index {at}")
    leaf = base64.b64decode(extra.removeprefix("extra "))
    assert json.loads(leaf)["kind"] == "hold"
    signed = SignedCheckpoint.verify(note.encode(), [key]).checkpoint
    tree.verify_inclusion(
        tree.leaf_hash(leaf), at, size, [base64.b64decode(p) for p in path], signed.root
    )
    as_json = json.loads(tenure("ledger", "prove", str(at), "--format", "json", env=env).stdout)
    assert as_json["entry"] == leaf.decode()
    assert tenure("ledger", "prove", "999", env=env).exit_code == 2


def test_keys_are_exchanged_and_shown(
    tenure: Tenure, make_tenant: Callable[..., TenantId], env: dict[str, str], tmp_path: Path
) -> None:
    make_tenant("acme")
    old = tenure("ledger", "keys", "new", env=env).stdout.strip()
    assert tenure("ledger", "keys", "rotate", env=env).exit_code == 2, "none has signed"
    (tmp_path / "ledger.key.next").unlink()
    assert tenure("ledger", "publish", env=env).exit_code == 0
    rotated = json.loads(tenure("ledger", "keys", "rotate", "--format", "json", env=env).stdout)
    assert rotated["previous"] == old
    noted = (tmp_path / "checkpoints" / "checkpoint").read_bytes()
    both = [VerifierKey.parse(old), VerifierKey.parse(rotated["key"])]
    assert set(SignedCheckpoint.verify(noted, both).signed_by) == set(both)
    steps = json.loads(tenure("ledger", "keys", "show", "--format", "json", env=env).stdout)
    assert [(s["step"], s["previous"]) for s in steps] == [("installed", None), ("rotated", old)]
    assert "rotated" in tenure("ledger", "keys", "show", env=env).stdout


def test_half_of_the_settings_is_an_error_that_names_them(
    tenure: Tenure, env: dict[str, str]
) -> None:
    for name in env:
        half = {key: value for key, value in env.items() if key != name}
        refused = tenure("ledger", "status", env=half)
        assert refused.exit_code == 2
        assert "belong together" in refused.stderr


def test_a_failed_shipment_is_exit_code_1(
    tenure: Tenure, make_tenant: Callable[..., TenantId], env: dict[str, str], owner_sql: Any
) -> None:
    make_tenant("acme")
    tenure("ledger", "keys", "new", env=env)
    done = tenure("ledger", "publish", env=env | {"TENURE_LEDGER_SHIP_COMMAND": "false"})
    assert done.exit_code == 1
    assert "ended with 1" in done.stdout
    assert owner_sql("SELECT count(*) FROM tenure.ledger_checkpoints") == [(1,)]
    shown = tenure("ledger", "status", env=env | {"TENURE_LEDGER_SHIP_COMMAND": "false"})
    assert "shipped     0 entries" in shown.stdout
