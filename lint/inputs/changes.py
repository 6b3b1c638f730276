"""What changed since a revision, as git tells it: files, and lines of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lint.errors import SourceError
from lint.inputs.git import GitError, git

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class Changes:
    """Changed lines by file, as ranges from and to, both inclusive. None: the whole file is new.

    Paths are absolute, with links resolved; `base` is the commit compared with, in `root`.
    """

    lines: dict[Path, tuple[tuple[int, int], ...] | None]
    root: Path
    base: str

    def touch(self, path: Path, first: int, last: int) -> bool:
        """Whether a change lies in lines `first` to `last` of a file."""
        real = _real(path)
        if real not in self.lines:
            return False
        ranges = self.lines[real]
        return ranges is None or any(low <= last and first <= high for low, high in ranges)

    def before(self, path: Path) -> str:
        """What a file was at `base`; empty if it was not there."""
        name = _real(path).relative_to(self.root).as_posix()
        if not _git(["ls-tree", "--name-only", self.base, "--", name], self.root):
            return ""
        return _git(["show", f"{self.base}:{name}"], self.root)

    def has(self, path: Path) -> bool:
        return _real(path) in self.lines


@cache
def _real(path: Path) -> Path:
    return path.resolve()


def changes(revision: str, folder: Path) -> Changes:
    """What differs between the files as they are and where `revision` and HEAD parted.

    Files that git does not know yet are new. Raises SourceError for what git cannot do.
    """
    root = Path(_git(["rev-parse", "--show-toplevel"], folder).rstrip("\n")).resolve()
    commit = _git(["rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"], folder)
    # What others did since on that branch is not this one's change.
    base = _git(["merge-base", commit.strip(), "HEAD"], folder).strip()
    options = "--unified=0 --no-color --no-ext-diff --no-renames --src-prefix=a/ --dst-prefix=b/"
    quiet = ["-c", "core.quotePath=false", "-c", "diff.noprefix=false"]
    diff = _git([*quiet, "diff", *options.split(), base, "--"], root)
    found: dict[Path, tuple[tuple[int, int], ...] | None] = dict(_hunks(diff, root))
    others = _git(["ls-files", "--others", "--exclude-standard", "-z"], root)
    found.update(((root / name).resolve(), None) for name in others.split("\0") if name)
    return Changes(found, root, base)


def _hunks(diff: str, root: Path) -> dict[Path, tuple[tuple[int, int], ...]]:
    found: dict[Path, list[tuple[int, int]]] = {}
    ranges: list[tuple[int, int]] = []
    inside = 0
    for line in diff.split("\n"):
        if inside > 0 and line[:1] in "+-\\":
            inside -= line[:1] in "+-"
            continue
        if line.startswith("+++ "):
            name = _unquoted(line.removeprefix("+++ ").rstrip("\t"))
            if name.startswith("b/"):  # else it is /dev/null: the file is gone
                ranges = found.setdefault((root / name.removeprefix("b/")).resolve(), [])
        elif match := _HUNK.match(line):
            start, length = int(match[1]), int(match[2] or 1)
            # Where lines only went, the ones beside the gap are touched.
            ranges.append((start, start + max(length - 1, 0) + (length == 0)))
            removed = re.match(r"@@ -\d+(?:,(\d+))?", line)
            inside = length + (int(removed[1] or 1) if removed else 0)
    return {path: tuple(some) for path, some in found.items()}


def _unquoted(name: str) -> str:
    """A name with a quote or a control character in it comes as a C string."""
    if not name.startswith('"'):
        return name
    raw = name[1:-1].encode("utf-8", "surrogateescape").decode("unicode_escape")
    return raw.encode("latin-1").decode("utf-8", "surrogateescape")


def _git(arguments: Sequence[str], folder: Path) -> str:
    try:
        return git(arguments, folder)
    except GitError as error:
        raise SourceError(f"--since: {error}") from error
