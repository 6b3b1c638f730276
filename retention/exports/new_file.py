"""A file with people's data: for its owner alone, and whole, or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from retention.errors import ExportError


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file of mode 0600 in the block; it has its name once it is whole and on the disk.

    Beside it stands PATH.part meanwhile, which a process that is killed leaves behind. Raises
    ExportError where either is there already, or cannot be made.
    """
    if not path.name:
        raise ExportError(f"{path} is no name of a file")
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise ExportError(f"{path} is there already")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ExportError(f"{part} cannot be made: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _name(part, path)
    except FileExistsError as error:
        raise ExportError(f"{path} is there already") from error
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name(part: Path, path: Path) -> None:
    """Give a file its name; unlike rename(2), over nobody's file. Raises FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has hard links (FAT has none): the name is taken first there.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        part.replace(path)
