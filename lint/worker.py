"""Judging files: in this process, or in one of several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import PurePath

from lint.config import Config
from lint.errors import LintError, SourceError
from lint.gate import Gate
from lint.inputs.python_source import python_source
from lint.inputs.sinks import Sinks
from lint.inputs.sources import Source, sql_source
from lint.prover.prover import Prover
from lint.report import Counts, FileReport, Finding
from lint.schema.catalog import Catalog
from lint.verdicts import Occurrence

_FINDING = attrgetter(*(field.name for field in fields(Finding) if field.name != "path"))
_COUNTS = attrgetter(*(field.name for field in fields(Counts)))
_OCCURRENCE = attrgetter(*(field.name for field in fields(Occurrence)))

Outcome = tuple[bytes, bytes] | str
"""The two parts of a report as they are kept, or why the file could not be read."""


class Worker:
    """Judges files by one configuration."""

    def __init__(self, catalog: Catalog, config: Config) -> None:
        try:
            prover = Prover(catalog, config.sources)
        except LintError as error:
            where = f"{config.file}: " if config.file else ""
            raise type(error)(f"{where}{error}") from error
        self.gate = Gate(prover, strict=config.strict_source)
        self._sinks = Sinks(config.sinks)

    def work(self, files: Sequence[tuple[str, bytes]]) -> list[Outcome]:
        """Judge files, given as path and content."""
        return [self._one(path, content) for path, content in files]

    def _one(self, path: str, content: bytes) -> Outcome:
        try:
            source = make_source(path, decoded(path, content), self._sinks)
        except SourceError as error:
            return str(error)
        return packed(self.gate.judge(source))


def make_source(path: str, text: str, sinks: Sinks) -> Source:
    """The statements of a text, by the suffix of its path. Raises SourceError."""
    if PurePath(path).suffix.lower() == ".py":
        return python_source(path, text, sinks)
    return sql_source(path, text)


def decoded(path: str, content: bytes) -> str:
    """A file's text, its line ends as they are read everywhere. Raises SourceError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text: {error.reason}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def packed(report: FileReport) -> tuple[bytes, bytes]:
    """A report in two parts, without the path, which the key does not say. See `lint.run`."""
    findings = [_FINDING(finding) for finding in report.findings]
    body = [
        (
            item.line,
            item.end_line,
            (item.verdict.verdict, item.verdict.kind, item.verdict.reason),
            [_OCCURRENCE(occurrence) for occurrence in item.verdict.occurrences],
            item.made,
        )
        for item in report.judged
    ]
    head = json.dumps((_COUNTS(report.counts), findings), ensure_ascii=True)
    return head.encode(), json.dumps(body, ensure_ascii=True).encode()


# A process of the pool has one worker for its life; a function that it is sent finds it here.
_workers: list[Worker] = []


def start(catalog: Catalog, config: Config) -> None:
    """Begin a process of the pool."""
    _workers[:] = [Worker(catalog, config)]


def work(files: Sequence[tuple[str, bytes]]) -> list[Outcome]:
    """Judge files in a process of the pool."""
    return _workers[0].work(files)
