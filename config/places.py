"""Where a command may keep files of its own on a user's machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_folder(env: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path | None:
    """The user's folder for what can be made again; it need not exist.

    XDG_CACHE_HOME where it is set, else the platform's. None: there is no home.
    """
    given = env.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():  # a relative one is to be ignored, says the specification
        return Path(given) / "tenure"
    if platform == "win32":
        local = env.get("LOCALAPPDATA")
        return Path(local) / "tenure" / "cache" if local else None
    home = env.get("HOME")
    if not home:
        return None
    middle = ("Library", "Caches") if platform == "darwin" else (".cache",)
    return Path(home, *middle, "tenure")
