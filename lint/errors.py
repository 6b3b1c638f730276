"""What can go wrong in the lint package. A finding is a value; these are failures."""

from __future__ import annotations


class LintError(Exception):
    """Root of every failure raised by this package."""


class CatalogError(LintError):
    """A schema file cannot be read as a catalog; the message names the file or statement."""


class ConfigError(LintError):
    """A configuration file or option is wrong; the message names the key."""


class SourceError(LintError):
    """An input path does not exist, cannot be read or cannot be decoded."""


class CannotProve(LintError):
    """A construct stands between the statement and a proof. Never leaves the prover.

    `kind` is `opaque` (the text is not known), `unparsed` (the parser cannot read it) or
    `unsupported` (the prover does not understand it).
    """

    def __init__(self, reason: str, *, kind: str = "unsupported") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
