"""Records of former ledgers are found in the ledger's folder, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

from retention.replays.restores import former_records


def test_former_records_are_those_that_lie_under_their_names(tmp_path: Path) -> None:
    assert former_records(tmp_path) == ()
    for name in ("2025", "2024"):
        (tmp_path / "former" / name / "deletions").mkdir(parents=True)
    (tmp_path / "former" / "empty").mkdir()
    (tmp_path / "former" / "file").mkdir()
    (tmp_path / "former" / "file" / "deletions").write_text("no folder")
    found = [each.path.relative_to(tmp_path).as_posix() for each in former_records(tmp_path)]
    assert found == ["former/2024/deletions", "former/2025/deletions"]
