"""What the gate says of a file, and of a run. Values only, and none of them knows the parser.

So that a run which finds everything in the cache starts without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from lint.value import value
from lint.verdicts import Verdict


@value
class Finding:
    """One fault in one place. Lines and columns count from 1, the end column is the one after.

    `name` is the rule's, `table` the one concerned if there is one. `first` and `last` are the
    lines of the statement, `shown` is the source line, `statement` a digest of the statement in
    a form that survives reformatting, `index` its place among the file's (-1: it is about none).
    `allowed` is the reason of the suppression that covers it,
    until the day `until` (ISO) if that is not empty; `external`: the configuration has it.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    message: str
    name: str = ""
    table: str = ""
    first: int = 0
    last: int = 0
    shown: str = ""
    statement: str = ""
    index: int = -1
    allowed: str = ""
    until: str = ""
    external: bool = False


@value
class Judged:
    """A statement, from its line to its last, its verdict, and its place among the file's.

    `allowed` are the reasons of suppressions that apply, as far as they are known yet. `made` are
    further lines, first and last, that its text is made of.
    """

    path: str
    line: int
    end_line: int
    verdict: Verdict
    index: int = -1
    allowed: tuple[str, ...] = ()
    made: tuple[tuple[int, int], ...] = ()


@value
class Counts:
    """How many statements there are, by verdict."""

    statements: int = 0
    scoped: int = 0
    unscoped: int = 0
    undecidable: int = 0

    @staticmethod
    def of(judged: Iterable[Judged]) -> Counts:
        found = {"scoped": 0, "unscoped": 0, "undecidable": 0}
        for item in judged:
            found[item.verdict.verdict] += 1
        return Counts(sum(found.values()), **found)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.statements + other.statements,
            self.scoped + other.scoped,
            self.unscoped + other.unscoped,
            self.undecidable + other.undecidable,
        )


@value
class FileReport:
    """One input, judged. `findings` are all, also those that a suppression allows.

    `judged` is empty where only `counts` were asked for. `failure` says why the input could not
    be read; then there is nothing else.
    """

    path: str
    counts: Counts = field(default_factory=Counts)
    findings: tuple[Finding, ...] = ()
    judged: tuple[Judged, ...] = ()
    failure: str = ""


@value
class Report:
    """A run. `findings` fail it; `suppressed` and `baselined` are the ones that do not.

    `paths` are what it looked at. `failures` say which of them could not be read. `notes` are for
    the reader: what is odd about the run, but no finding.
    """

    paths: tuple[str, ...]
    counts: Counts
    findings: tuple[Finding, ...]
    suppressed: tuple[Finding, ...] = ()
    baselined: tuple[Finding, ...] = ()
    judged: tuple[Judged, ...] = ()
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summary(self) -> Mapping[str, int]:
        return {
            "files": len(self.paths),
            "statements": self.counts.statements,
            "scoped": self.counts.scoped,
            "unscoped": self.counts.unscoped,
            "undecidable": self.counts.undecidable,
            "suppressed": len(self.suppressed),
            "baselined": len(self.baselined),
            "findings": len(self.findings),
        }
