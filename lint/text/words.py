"""Word lists, written as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text that spaces separate."""
    return frozenset(text.split())
