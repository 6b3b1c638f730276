"""A folder from which a subject's, or a tenant's, files are deleted.

Invariant: nothing outside of the one folder that the prefix names is touched. It breaks when a
part of the way there is a symbolic link, or becomes one while we work; so every folder is opened
from the one above by its name alone, never through a link (O_NOFOLLOW), and everything in it is
named relative to that open folder. What the prefix is made of are two UUIDs and parts that were
checked when the connector was declared. A link inside goes, and what it leads to stays. Another
file system that is mounted inside is not entered: its files make the deletion fail.

What is there is counted by another way than it is deleted (`count`: by path, without following
links), before and after; who deletes is not asked.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from retention.connectors.declarations import FileStore
from retention.errors import ConnectorError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64
_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Found:
    """Files (links among them) and their bytes. `linked` have another name outside, perhaps: of
    these the name goes, and not the bytes."""

    files: int = 0
    bytes: int = 0
    linked: int = 0


@dataclass(frozen=True, slots=True)
class Portion:
    """What one call deleted. `finished`: nothing was left. `problem` says why it stopped short."""

    files: int
    finished: bool
    problem: str | None = None


def parts_of(store: FileStore, tenant: UUID, key: UUID | None) -> tuple[str, ...]:
    """Return the folders from the root to a subject's; without `key`, to all of the tenant's."""
    parts = tuple(p.replace("{tenant}", str(UUID(str(tenant)))) for p in store.prefix)
    if key is None:
        whose = next(i for i, part in enumerate(store.prefix) if "{tenant}" in part)
        return parts[: whose + 1]
    return tuple(p.replace("{key}", str(UUID(str(key)))) for p in parts)


def require_store(store: FileStore) -> None:
    """Raise ConnectorError unless the root is a folder that holds something.

    An empty one is what is left of a volume that is not mounted: a purge of it would look done.
    """
    try:
        if not store.root.is_symlink():
            with os.scandir(store.root) as entries:
                if next(entries, None) is not None:
                    return
    except OSError as error:
        raise ConnectorError(f"{store.root}: {error.strerror}") from error
    raise ConnectorError(f"{store.root} is empty, or a link: is the store mounted?")


def count(store: FileStore, parts: tuple[str, ...]) -> Found:
    """Count what is there, by path. Raises ConnectorError where one cannot know: a link in the
    way, a folder that cannot be read."""
    place = store.root
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise ConnectorError("a symbolic link stands where a folder should")
        if not place.exists():
            return Found()
        if not place.is_dir():
            raise ConnectorError("a file stands where a folder should")

    def refuse(error: OSError) -> None:
        raise ConnectorError(f"cannot look at all of it: {error.strerror}")

    files = size = linked = 0
    for folder, folders, names in os.walk(place, onerror=refuse, followlinks=False):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*names, *links):
            known = Path(folder, name).lstat()
            files += 1
            size += known.st_size
            linked += stat.S_ISREG(known.st_mode) and known.st_nlink > 1
    return Found(files, size, linked)


def keys_in(store: FileStore, tenant: UUID) -> list[UUID]:
    """Return whose folders are there of a tenant's: the keys that they are named by.

    Raises ConnectorError and OSError where one cannot know.
    """
    at = next(i for i, part in enumerate(store.prefix) if "{key}" in part)
    before, _, after = store.prefix[at].partition("{key}")
    above = tuple(part.replace("{tenant}", str(UUID(str(tenant)))) for part in store.prefix[:at])
    with _way(store.root, above) as folder:
        names = [] if folder is None else os.listdir(folder)
    found = []
    for name in names:
        if name.startswith(before) and name.endswith(after):
            named = name[len(before) : len(name) - len(after)]
            # As `parts_of` writes it, and no other way.
            if _KEY.fullmatch(named):
                found.append(UUID(named))
    return found


def delete(
    store: FileStore,
    parts: tuple[str, ...],
    *,
    most: int,
    stop: Callable[[], bool] = lambda: False,
) -> Portion:
    """Delete at most `most` files, then the folders that are empty; what was deleted is synced.

    Raises ConnectorError for a store that is none (`require_store`). Whatever else is in the
    way is the portion's `problem`; no name is in it.
    """
    require_store(store)
    work = _Work(most, stop)
    try:
        with _way(store.root, parts[:-1]) as above:
            if above is not None:
                work.folder(above, parts[-1])
    except OSError as error:
        return Portion(work.files, finished=False, problem=error.strerror or type(error).__name__)
    except ConnectorError as error:
        return Portion(work.files, finished=False, problem=str(error))
    return Portion(work.files, finished=work.left > 0)


class _Work:
    """Deletes folders from the bottom up, until enough is deleted."""

    def __init__(self, most: int, stop: Callable[[], bool]) -> None:
        self.left = most + 1  # so that it is known whether anything would be left
        self.files = 0
        self.stop = stop

    def folder(self, above: int, name: str, depth: int = 0) -> bool:
        """Delete a folder; False where something of it is left."""
        if depth > _DEEPEST:
            raise ConnectorError(f"folders are nested more than {_DEEPEST} deep")
        try:
            here = os.open(name, _FOLDER, dir_fd=above)
        except FileNotFoundError:
            return True
        try:
            if os.fstat(here).st_dev != os.fstat(above).st_dev:
                raise ConnectorError("another file system is mounted inside; it is left alone")
            emptied = self._empty(here, depth)
            os.fsync(here)
        finally:
            os.close(here)
        if emptied:
            os.rmdir(name, dir_fd=above)
            os.fsync(above)
        return emptied

    def _empty(self, here: int, depth: int) -> bool:
        # The whole list first: what a folder says while it is being emptied is not defined.
        for name in os.listdir(here):
            if self.left <= 1 or self.stop():
                self.left = 0
                return False
            if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                if not self.folder(here, name, depth + 1):
                    return False
            else:
                os.unlink(name, dir_fd=here)
                self.files += 1
                self.left -= 1
        return True


@contextmanager
def _way(root: Path, parts: tuple[str, ...]) -> Iterator[int | None]:
    """Yield the open folder at the end of the way, None where a part of it is not there."""
    opened = [os.open(root, _FOLDER)]
    try:
        for part in parts:
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        yield opened[-1]
    except FileNotFoundError:
        if len(opened) > len(parts):
            raise  # from within
        yield None
    finally:
        for descriptor in opened:
            os.close(descriptor)
