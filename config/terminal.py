"""Whether output should be coloured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO


def colours(stream: TextIO, env: Mapping[str, str] = os.environ) -> bool:
    """Whether escape codes belong on a stream: a terminal, and nobody said otherwise.

    https://no-color.org: any NO_COLOR that is not empty switches them off. FORCE_COLOR, likewise,
    switches them on where there is no terminal.
    """
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return stream.isatty() and env.get("TERM") != "dumb"
