"""Inputs: files and folders, cut into statements that know where they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from lint.errors import SourceError
from lint.inputs.git import GitError, tracked
from lint.text.lexer import RawStatement, Token, statements
from lint.text.migrations import is_way_back, marker
from lint.text.positions import Lines, Span
from lint.value import value

# Folders of tools, and those that hold other people's code or what was built: of these only what
# git tracks is the project's own.
_OF_TOOLS = frozenset((".git", ".hg", "__pycache__", ".mypy_cache"))
SKIPPED_FOLDERS = frozenset((*_OF_TOOLS, ".venv", "venv", "node_modules", ".tox", "build"))
_SUFFIXES = (".sql", ".py")


# A comment that means to suppress something; `lint.suppressions` reads it.
MENTIONS = re.compile(r"\btenure:\s*allow\b", re.IGNORECASE)


@value
class Note:
    """A comment: its text, its line, and whether nothing else stands on that line."""

    text: str
    line: int
    alone: bool
    column: int = 1


@value
class Statement:
    """One statement of an input. `opaque` says why its text is not known, if it is not.

    `place` turns offsets of the tokens into a span of the file. `normal` stands for the text
    where the same statement is known again by something else. `part` names the function it runs
    in, None where that is the way back of a migration, which says nothing of what a file leaves.
    `made` are the lines, first and last, beside those of `span` that the text is made of.
    """

    path: str
    tokens: tuple[Token, ...]
    span: Span
    place: Callable[[int, int], Span]
    opaque: str = ""
    normal: str = ""
    part: str | None = ""
    made: tuple[tuple[int, int], ...] = ()


@value
class Source:
    """An input that was read: its statements and comments, and its text to show lines of.

    `ran`: a server has run it, so its literals may be values that were bound.
    """

    path: str
    text: str
    statements: tuple[Statement, ...]
    notes: tuple[Note, ...]
    ran: bool = False


def read_text(path: Path) -> str:
    """Raises SourceError for a file that cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error


def files(
    paths: Iterable[Path], excluded: Callable[[Path], bool], skipped: list[Path] | None = None
) -> Iterator[Path]:
    """The .sql and .py files under `paths`, each once, in order. Named files are always taken.

    `skipped` is given the folders that were left out without asking git. Raises SourceError for
    a path that does not exist.
    """
    left = skipped if skipped is not None else []
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder")
        found = _under(path, excluded, left) if path.is_dir() else iter((path,))
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _under(folder: Path, excluded: Callable[[Path], bool], skipped: list[Path]) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        here = Path(where)
        inside = sorted(name for name in folders if not excluded(here / name))
        folders[:] = [name for name in inside if name not in SKIPPED_FOLDERS]
        found = [here / name for name in sorted(names)]
        for name in inside:
            if name in SKIPPED_FOLDERS and name not in _OF_TOOLS:
                found += _tracked(here / name, skipped)
        for file in found:
            if file.suffix.lower() in _SUFFIXES and not excluded(file):
                yield file


def _tracked(folder: Path, skipped: list[Path]) -> list[Path]:
    try:
        # What was deleted, and is not committed so yet, has nothing to say.
        return sorted(file for file in tracked(folder) if file.is_file())
    except GitError:
        skipped.append(folder)
        return []


def kind_of(path: PurePath) -> str:
    """All that a path says of how its text is read."""
    way = " back" if is_way_back(path) else ""
    return f"{path.suffix.lower()}{way}"


def sql_source(path: str, text: str) -> Source:
    """The statements of an SQL script."""
    lines = Lines(text)
    found: list[Statement] = []
    notes: list[Note] = []
    back, two_ways = is_way_back(PurePath(path)), False

    def note(comments: Sequence[tuple[str, int]]) -> None:
        for comment, start in comments:
            line, column = lines.at(start)
            before = text[lines.offset(line) : start]
            notes.append(Note(comment, line, not before.strip(), column))

    for raw in statements(text):
        note([(comment.text, comment.start) for comment in raw.comments])
        # A marker ends a statement: it stands before the next one.
        for comment in raw.comments:
            said = marker(comment.text)
            two_ways |= said == "up"
            if said is not None:
                # Without a way there the file has none back, whatever a comment says.
                back = said == "rest" or (said == "down" and two_ways)
        if raw.tokens:
            found.append(_statement(path, raw, lines, back=back))
    return Source(path, text, tuple(found), tuple(notes))


def _statement(path: str, raw: RawStatement, lines: Lines, *, back: bool) -> Statement:
    span = lines.span(raw.start, raw.end)
    return Statement(path, raw.tokens, span, lines.span, part=None if back else "")
