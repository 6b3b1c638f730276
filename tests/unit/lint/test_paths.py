"""Patterns of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from lint.inputs.paths import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("old", "old/a.sql", True),
        ("old", "old", True),
        ("old", "x/old", True),
        ("old", "older/a.sql", False),
        ("old/", "old/a.sql", True),
        ("./old", "old/a.sql", True),
        ("db/old", "db/old/x/a.sql", True),
        ("db/old", "db/a.sql", False),
        ("*_pb2.py", "x/a_pb2.py", True),
        ("*_pb2.py", "x/a_pb2.pyi", False),
        ("db/*.sql", "db/a.sql", True),
        ("db/*.sql", "db/x/a.sql", False),
        ("db/**/*.sql", "db/x/y/a.sql", True),
        ("db/**/*.sql", "db/a.sql", True),
        ("**/seed", "a/b/seed/x.sql", True),
        ("a?.sql", "ab.sql", True),
        ("a.sql", "aXsql", False),
        ("[a].sql", "a.sql", False),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, path: str, expected: bool) -> None:
    assert Patterns((pattern,), tmp_path).match(tmp_path / path) is expected


def test_a_path_outside_is_never_named(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    assert not Patterns(("*.sql",), inside).match(tmp_path / "a.sql")
    assert Patterns(("*.sql",), inside).match(tmp_path / "inside" / ".." / "inside" / "a.sql")


def test_no_pattern_names_nothing(tmp_path: Path) -> None:
    assert not Patterns((), tmp_path).match(tmp_path / "a.sql")
