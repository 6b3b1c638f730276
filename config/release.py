"""Which release of the product this is, as reports, records and certificates name it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """Return the installed version, or `unknown` where it is run from a copy of the sources."""
    try:
        return version("tenure")
    except PackageNotFoundError:
        return "unknown"
