"""A run over files: what was judged before comes from the cache, the rest is judged, in
several processes where that pays.

Nothing here imports the parser before it is needed: a run in which nothing is new does not.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from lint.cache import Cache, Entry, key
from lint.errors import LintError, SourceError
from lint.inputs.sources import kind_of
from lint.report import Counts, FileReport, Finding, Judged
from lint.schema.known import Known
from lint.verdicts import Occurrence, Verdict

if TYPE_CHECKING:  # it brings the parser
    from lint.worker import Outcome, Worker

# So many files are held in memory at once.
_WINDOW = 2000
# Below so many bytes a second process costs more than it saves: a fork takes milliseconds, a
# fresh interpreter imports the parser once more.
_WORTH_A_FORK = 60_000
_WORTH_A_SPAWN = 500_000


def cores() -> int:
    """How many processes can run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def collect_rarely() -> None:
    """For a process that does nothing but judge; forks inherit it.

    Syntax trees are many objects that all go soon: to look for circles among them at the usual
    pace is a tenth of the time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


class Run:
    """Judges files. `whole`: reports name every statement, not only their number."""

    def __init__(self, known: Known, *, jobs: int, cache: Cache | None, whole: bool) -> None:
        self._known = known
        self._jobs = jobs
        self._cache = cache
        self._whole = whole
        self._context = known.digest()
        self._worker: Worker | None = None
        self._pool: ProcessPoolExecutor | None = None

    def reports(self, files: Iterable[Path]) -> Iterator[FileReport]:
        """The report of each file, in order. Raises LintError for what is wrong with the run."""
        left = iter(files)
        try:
            while window := list(islice(left, _WINDOW)):
                yield from self._window(window)
        except BrokenProcessPool as error:
            raise LintError("a process of the run died; --jobs 1 works without") from error
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None

    def earlier(self, path: str, content: bytes) -> FileReport:
        """The report of what a file was before. Raises LintError for what is wrong with the run."""
        name = key(self._context, kind_of(PurePath(path)), content)
        found = self._cache.get([name], whole=False) if self._cache is not None else {}
        outcome: Outcome = found[name] if found else self.worker().work([(path, content)])[0]
        if isinstance(outcome, str):
            return FileReport(path, failure=outcome)
        if self._cache is not None and not found:
            self._cache.put({name: outcome})
        return unpacked(path, outcome, whole=False)

    def worker(self) -> Worker:
        """The worker of this process. Raises LintError for a schema or configuration."""
        if self._worker is None:
            from lint.worker import Worker  # brings the parser

            self._worker = Worker(self._known.catalog, self._known.config)
        return self._worker

    def _window(self, files: Sequence[Path]) -> Iterator[FileReport]:
        contents: list[bytes | str] = [_content(file) for file in files]
        keys = [
            key(self._context, kind_of(file), content) if isinstance(content, bytes) else b""
            for file, content in zip(files, contents, strict=True)
        ]
        found: dict[bytes, Entry] = {}
        if self._cache is not None:
            found = self._cache.get((k for k in keys if k), whole=self._whole)
        missing = [
            (number, str(file), content)
            for number, (name, file, content) in enumerate(zip(keys, files, contents, strict=True))
            if name not in found and isinstance(content, bytes)
        ]
        outcomes = self._judge([(path, content) for _, path, content in missing])
        judged = {n: outcome for (n, _, _), outcome in zip(missing, outcomes, strict=True)}
        if self._cache is not None:
            self._cache.put({keys[n]: o for n, o in judged.items() if not isinstance(o, str)})
        for number, (file, content) in enumerate(zip(files, contents, strict=True)):
            if isinstance(content, str):
                yield FileReport(str(file), failure=content)
                continue
            outcome = judged[number] if number in judged else found[keys[number]]
            if isinstance(outcome, str):
                yield FileReport(str(file), failure=outcome)
            else:
                yield unpacked(str(file), outcome, whole=self._whole)

    def _judge(self, files: Sequence[tuple[str, bytes]]) -> list[Outcome]:
        if not files:
            return []
        forks = sys.platform == "linux"
        size = sum(len(content) for _, content in files)
        if self._jobs == 1 or size < (_WORTH_A_FORK if forks else _WORTH_A_SPAWN):
            return self.worker().work(files)
        if self._pool is None:
            self.worker()  # what is wrong with the schema is said here; forks inherit the parser
            self._pool = ProcessPoolExecutor(
                self._jobs,
                multiprocessing.get_context("fork" if forks else "spawn"),
                initializer=_start,
                initargs=(self._known.catalog, self._known.config),
            )
        chunks = _chunks(files, max(size // (self._jobs * 8), 1))
        with _not_interrupted():
            found = self._pool.map(_work, chunks)  # starts the processes
        return [one for some in found for one in some]


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Put off SIGINT. Processes that are started meanwhile never get it: a terminal sends it to
    all of them, but only the first has something to say, and ends the others."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(*arguments: Any) -> None:
    from lint import worker  # brings the parser

    worker.start(*arguments)


def _work(files: Sequence[tuple[str, bytes]]) -> list[Outcome]:
    from lint import worker

    return worker.work(files)


def _chunks(files: Sequence[tuple[str, bytes]], size: int) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Cut files into runs of about so many bytes, so that no process waits long for another."""
    chunk: list[tuple[str, bytes]] = []
    held = 0
    for file in files:
        chunk.append(file)
        held += len(file[1])
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _content(file: Path) -> bytes | str:
    """What is in a file, or why it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        return str(SourceError(f"{file}: {error.strerror or error}"))


def unpacked(path: str, entry: Entry, *, whole: bool) -> FileReport:
    """The report that `lint.worker.packed` took apart."""
    counts, findings = json.loads(entry[0])
    judged: list[Judged] = []
    if whole:
        for line, end_line, (verdict, kind, reason), occurrences, made in json.loads(entry[1]):
            tables = tuple(Occurrence(*row) for row in occurrences)
            told = Verdict(verdict, kind, reason, tables)
            ranges = tuple((first, last) for first, last in made)
            judged.append(Judged(path, line, end_line, told, len(judged), made=ranges))
    return FileReport(
        path, Counts(*counts), tuple(Finding(path, *row) for row in findings), tuple(judged)
    )
