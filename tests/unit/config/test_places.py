"""Where a command keeps files of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.places import cache_folder


@pytest.mark.parametrize(
    ("env", "platform", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "linux", "/x/tenure"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "linux", "/h/.cache/tenure"),
        ({"HOME": "/h"}, "linux", "/h/.cache/tenure"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Caches/tenure"),
        ({"LOCALAPPDATA": "/l"}, "win32", "/l/tenure/cache"),
        ({}, "linux", None),
        ({}, "win32", None),
    ],
)
def test_cache_folder(env: dict[str, str], platform: str, expected: str | None) -> None:
    assert cache_folder(env, platform) == (Path(expected) if expected else None)
