"""What can go wrong in the audit. A finding is a value; these are failures."""

from __future__ import annotations


class PostureError(Exception):
    """Root of every failure raised by this package."""


class ConnectError(PostureError):
    """The database cannot be reached or read; the message holds no password."""


class AssumptionError(PostureError):
    """A tenant column or role that was named does not exist; the message names it."""


class SuppressionError(PostureError):
    """A suppression in the configuration is wrong; the message names file and entry."""


class UnknownRuleError(PostureError):
    """There is no rule of that name; the message lists those there are."""
