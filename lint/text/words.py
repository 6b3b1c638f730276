"""Word lists, written as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text that spaces separate."""
    return frozenset(text.split())


# As PostgreSQL reads a boolean: any beginning that is of one word alone.
TRUE = words("t tr tru true y ye yes on 1")
FALSE = words("f fa fal fals false n no of off 0")
