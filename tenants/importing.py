"""How data gets in: what a domain's importers and its sample generator must look like.

A domain may have a module `<domain>.importers` that defines `IMPORTERS`, a mapping from
names to importers (`tenure import NAME FILE`), and a module `<domain>.sample` that defines
`generate` (what the demo fills its tenants with). Neither may create tenants: both are handed
a callable that does.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tenants.context import TenantId
from tenants.domain import Domain, part_of
from tenants.errors import DomainError, ImportFileError
from tenants.writes import Guard, unguarded

#: Takes a tenant's name as people write it; returns its id, having made it if it was missing.
EnsureTenant = Callable[[str], TenantId]

#: Called now and then with (bytes read, bytes of the file).
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was not imported. `line` is the physical line it begins on, from 1."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class TenantCount:
    """What became of one tenant's records."""

    tenant: str
    tenant_id: TenantId
    imported: int
    already_there: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """Where every physical line of the file went.

    `continued` counts the lines by which records are longer than one line (a quoted field
    with a line break in it), `unfinished` is 1 when the last line does not end in a line
    break; that line is counted under what became of it.
    """

    file: str
    sha256: str
    lines: int
    header: int
    blank: int
    continued: int
    rejected: int
    unfinished: int
    tenants: tuple[TenantCount, ...]

    @property
    def imported(self) -> int:
        """Records written by this run."""
        return sum(count.imported for count in self.tenants)

    @property
    def already_there(self) -> int:
        """Records an earlier run had written."""
        return sum(count.already_there for count in self.tenants)

    @property
    def adds_up(self) -> bool:
        """True when the counts come to the file's lines."""
        parts = self.header + self.blank + self.continued + self.rejected
        return parts + self.imported + self.already_there == self.lines


@dataclass(frozen=True, slots=True)
class ImportJob:
    """What an importer is given.

    It calls `ensure_tenant` before a tenant's first row, `reject` for every record it does
    not import, and opens a scope per tenant with `actor` and `trace_id`. Before it changes or
    deletes rows that are there, it hands `guard` the write, which raises where one of them is
    held; a guard that is handed none raises where anything of the tenant is. It commits about
    every `batch_lines` lines, and a second job on the same file doubles nothing.
    """

    source: Path
    ensure_tenant: EnsureTenant
    reject: Callable[[Reject], None]
    actor: str
    trace_id: str
    now: datetime
    batch_lines: int = 5000
    progress: Progress = lambda _read, _size: None
    guard: Guard = unguarded


class Importer(Protocol):
    """Imports one kind of file; raises ImportFileError for one that is of another kind."""

    def __call__(self, job: ImportJob) -> ImportSummary:
        """Import the job's file."""
        ...


@dataclass(frozen=True, slots=True)
class SampleTenant:
    """A tenant that was filled: rows per table."""

    tenant: str
    tenant_id: TenantId
    rows: Mapping[str, int]


class SampleGenerator(Protocol):
    """Fills tenants with made-up data: the same for the same `seed`, `scale` and `now`."""

    def __call__(
        self,
        ensure_tenant: EnsureTenant,
        *,
        now: datetime,
        trace_id: str,
        seed: int = ...,
        scale: float = ...,
    ) -> tuple[SampleTenant, ...]:
        """Generate years of data back from `now`, about 30,000 rows times `scale`."""
        ...


def importer_of(domain: Domain, name: str) -> Importer:
    """Return the domain's importer; raises DomainError listing the names there are."""
    module = part_of(domain.name, "importers")
    importers: Mapping[str, Importer] = getattr(module, "IMPORTERS", {})
    try:
        return importers[name]
    except KeyError:
        known = ", ".join(sorted(importers)) or "none"
        raise DomainError(
            f"domain {domain.name!r} has no importer {name!r}; there are: {known}"
        ) from None


def generator_of(domain: Domain) -> SampleGenerator:
    """Return the domain's generator of sample data; raises DomainError when it has none."""
    module = part_of(domain.name, "sample")
    generate: SampleGenerator | None = getattr(module, "generate", None)
    if generate is None:
        raise DomainError(f"domain {domain.name!r} has no sample.generate: nothing to fill it with")
    return generate


class RejectFile:
    """The rejected records of one run as CSV: line, reason, text. Counts them.

    Readable by its owner alone (mode 0600): what it holds may be personal data, and no
    policy reaches it. Each run writes it anew. Raises ImportFileError when it cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            # Also where the file was there before; a device (/dev/null) is not ours to close.
            os.fchmod(descriptor, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("line", "reason", "text"))

    def __call__(self, reject: Reject) -> None:
        try:
            self._writer.writerow((reject.line, reject.reason, reject.text))
        except OSError as error:
            raise self._failure(error) from error
        self.count += 1

    def _failure(self, error: OSError) -> ImportFileError:
        return ImportFileError(f"cannot write the rejected lines to {self.path}: {error.strerror}")

    def __enter__(self) -> RejectFile:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error
