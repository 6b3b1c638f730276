"""How far the record of what went is vouched for, and by the ledger of which name."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.ledger.gone import GoneFolder
from retention.ledger.gone_head import Head, read_head
from retention.ledger.recording import sign_record
from tests.unit.retention.ledger.ledgers import LOG, keys, signer


@pytest.mark.parametrize(("by", "covers"), [(LOG, 1000), (signer(4, "tenure.example/second"), 40)])
def test_a_ledger_of_another_name_vouches_for_its_own_entries_alone(
    tmp_path: Path, by: object, covers: int
) -> None:
    """After a restore there are fewer than the old name has signed for; they are not the same."""
    assert isinstance(by, type(LOG))
    folder = GoneFolder(tmp_path / "deletions")
    with folder.writing() as pen:
        sign_record(pen, None, 1000, [LOG])
        before = read_head(folder, keys(LOG))
        assert before
        assert before.covers == 1000
        sign_record(pen, before, 40, [by])
    assert read_head(folder, keys(by)) == Head(by.name, 0, before.last, covers)
