"""Asking git: the one that the user has, about the working tree that a folder lies in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class GitError(Exception):
    """Git is not there, or refuses; the message is its first line."""


def git(arguments: Sequence[str], folder: Path) -> str:
    """What git answers, undecodable bytes as surrogates. Raises GitError."""
    environment = dict(os.environ)
    if "GIT_WORK_TREE" not in environment:
        # A hook may be given the one without the other; git then takes `folder` for the whole.
        environment.pop("GIT_DIR", None)
    try:
        done = subprocess.run(  # noqa: S603 - git, with arguments that are no shell's
            ["git", *arguments],  # noqa: S607 - the one the user has
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f"needs git: {error.strerror or error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(f"git says: {said[0] if said else arguments[0]}")
    return done.stdout.decode(errors="surrogateescape")


def tracked(folder: Path) -> list[Path]:
    """The files under a folder that git tracks. Raises GitError."""
    names = git(["ls-files", "-z", "--", "."], folder).split("\0")
    return [folder / name for name in names if name]
