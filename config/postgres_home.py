"""The files of an embedded PostgreSQL: where they stand, who owns them, who holds the lock.

In the data directory: `postgres.lock`, `postgres.json` (where the server's home is,
and its last port) and `postgres-password` (the superuser's, mode 0600). In the
server's home (`postgres/` there, or a place the server's user can reach): the
cluster in `data/`, `postgresql.conf`, `pg_hba.conf` and `server.log`. Only `data/`
belongs to the server's user; root writes nothing inside it.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from config.errors import AlreadyRunningError, EmbeddedPostgresError
from config.postgres_install import (
    Account,
    Installation,
    may_enter,
    place_for,
    run_as,
    share_with,
)
from config.postgres_process import last_lines

SUPERUSER = "postgres"
HOST = "127.0.0.1"

_LOCK = "postgres.lock"


class DataDirectory:
    """The part of an embedded PostgreSQL that stays in the data directory itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.password_file = path / "postgres-password"
        self._state_file = path / "postgres.json"

    def last_port(self) -> int | None:
        """The port the server last listened on."""
        port = self._state().get("port")
        return port if isinstance(port, int) else None

    def home(self) -> Path | None:
        """The server's home, or None before the first start.

        Raises EmbeddedPostgresError if it was placed elsewhere and is gone from there.
        """
        named = self._state().get("home")
        inside = self.path / "postgres"
        if named is None:
            return inside if inside.is_dir() else None
        home = Path(str(named))
        if not home.is_dir():
            raise EmbeddedPostgresError(
                f"the database of {self.path} stood in {home}, which is gone; "
                f"remove {self._state_file} to begin with an empty one"
            )
        return home

    def make_home(self, account: Account | None) -> Path:
        """Make the server's home: inside, unless `account` could not reach it there."""
        inside = self.path / "postgres"
        inside.mkdir(mode=0o700)
        if account is None:
            return inside
        share_with(account, inside)
        if may_enter(account, inside):
            return inside
        inside.rmdir()
        home = place_for(account, self.path)
        self._save(home=str(home))
        return home

    def remember_port(self, port: int) -> None:
        if port != self.last_port():
            self._save(port=port)

    def password(self) -> str:
        """The superuser's password; raises EmbeddedPostgresError where there is none."""
        try:
            return self.password_file.read_text().strip()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot read the superuser's password in {self.password_file}: {error.strerror}"
            ) from error

    def forget(self) -> None:
        """Remove what `EmbeddedPostgres` put into the data directory, its home excepted."""
        for path in (self._state_file, self.password_file, self.path / _LOCK):
            path.unlink(missing_ok=True)

    def _state(self) -> dict[str, object]:
        try:
            state = json.loads(self._state_file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EmbeddedPostgresError(f"{self._state_file} is not JSON: {error}") from error
        return state if isinstance(state, dict) else {}

    def _save(self, **changes: object) -> None:
        fresh = self._state_file.with_suffix(".json.new")
        fresh.unlink(missing_ok=True)
        write_private(fresh, json.dumps(self._state() | changes) + "\n")
        fresh.replace(self._state_file)


def lock(directory: Path) -> int:
    """Take the lock on `directory` and return its file descriptor; closing it lets go.

    The lock also dies with the process. Raises AlreadyRunningError if another has it.
    """
    path = directory / _LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"the database in {directory} is in use by another process (pid {holder}): "
                "stop that one, or choose another data directory"
            ) from None
        # `destroy` removes the file it holds: a lock on a removed file keeps nobody out.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def make_cluster(
    home: Path,
    password: str,
    *,
    installation: Installation,
    account: Account | None,
    durable: bool,
) -> None:
    """Run initdb into `home/data`: whole or not at all."""
    for left in home.glob("new-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="new-", dir=home))
    made = work / "data"
    made.mkdir(mode=0o700)
    secret = work / "password"
    write_private(secret, password + "\n")
    if account is not None:
        for path in (secret, made, work):
            os.chown(path, account.uid, account.gid)
    builtin = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    done = run_as(
        account,
        [
            str(installation.initdb),
            f"--pgdata={made}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *(builtin if installation.major >= 17 else ()),
            "--data-checksums",
            "--no-instructions",
            *(() if durable else ("--no-sync",)),
        ],
        cwd=home,
    )
    if done.returncode != 0:
        shutil.rmtree(work, ignore_errors=True)
        raise EmbeddedPostgresError(
            f"cannot make a database in {home}; initdb said:\n{last_lines(done.stdout)}"
        )
    made.rename(home / "data")
    shutil.rmtree(work)


def configuration(home: Path, settings: Mapping[str, str]) -> str:
    """The text of `postgresql.conf`: what initdb found out, then `settings`."""
    lines = [f"include {_quoted(str(home / 'data' / 'postgresql.conf'))}"]
    lines += [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def write_for(account: Account | None, path: Path, text: str) -> None:
    """Write a file that `account`'s group may read and nobody but us may change."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, text)
    if account is not None:
        os.chown(fresh, 0, account.gid)
        fresh.chmod(0o640)
    fresh.replace(path)


def write_private(path: Path, text: str) -> None:
    """Create `path`, which must not exist, with mode 0600 from its first moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)


def new_password() -> str:
    return secrets.token_urlsafe(24)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
