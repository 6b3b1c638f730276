"""An embedded PostgreSQL of our own: one data directory, one server, one owner at a time.

Invariant: whoever runs or changes the server holds an exclusive lock on the data
directory, from `start` to `stop`. Without it two starters could each believe a
stale pid file and run two servers on the same files, which destroys them. The
lock dies with its process, so a server that outlived a killed owner is found and
taken over by the next one.

The server listens on 127.0.0.1 alone, has no Unix socket (a path of ours may be
too long for one), and lets nobody in without a password (SCRAM).
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from config.errors import EmbeddedPostgresError
from config.postgres_home import (
    HOST,
    SUPERUSER,
    DataDirectory,
    configuration,
    lock,
    make_cluster,
    new_password,
    write_for,
    write_private,
)
from config.postgres_install import (
    Account,
    Installation,
    copy_installation,
    installation_for,
    may_enter,
    may_run,
    run_as,
    server_account,
    spawn_as,
)
from config.postgres_process import Postmaster, forget_pid, is_alive, log_tail, read_postmaster

_START_S = 60.0  # recovery after a crash included
_STOP_S = 20.0
_AFTERMATH_S = 10.0  # children of a killed postmaster let go of its shared memory
_POLL_S = 0.005
_PORT_TRIES = 5
_LOG_KEEP = 1_000_000

_GENTLY = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
_AT_ONCE = (signal.SIGQUIT, signal.SIGKILL)

_SETTING_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_OURS = {
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "port",
    "unix_socket_directories",
}
_BASE_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # What failed and where, without the statement and the row: those hold people's data.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
}
_HBA = f"host all all {HOST}/32 scram-sha-256\n"


class EmbeddedPostgres:
    """A PostgreSQL server in `data_dir`, made at the first start and kept for the next.

    `port` is where it must listen; without it, where it listened last time if that
    is free, else any free port. `settings` are server settings by name.
    `durable=False` gives up safety against a crash of the machine for speed (tests).
    `installation` are the programs to run, where not those that come with Tenure.
    Also a context manager: starts on entering, stops on leaving.

    Raises EmbeddedPostgresError for a wrong port or setting name.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
        installation: Installation | None = None,
    ) -> None:
        if port is not None and not 1 <= port <= 65535:
            raise EmbeddedPostgresError(f"port {port} is not between 1 and 65535")
        for name in settings or {}:
            if name in _OURS or not _SETTING_NAME.fullmatch(name):
                raise EmbeddedPostgresError(f"server setting {name!r} cannot be set here")
        self.data_dir = Path(os.path.realpath(data_dir))
        self._files = DataDirectory(self.data_dir)
        self._wanted_port = port
        self._durable = durable
        self._installation = installation
        self._settings = _BASE_SETTINGS | ({} if durable else _FAST_SETTINGS) | dict(settings or {})
        self._locks: list[int] = []
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether this object holds the server and the server is alive."""
        return bool(self._locks) and self._alive() is not None

    @property
    def port(self) -> int:
        """The port the server listens on; raises EmbeddedPostgresError unless started."""
        if self._port is None:
            raise EmbeddedPostgresError(f"the database in {self.data_dir} is not started")
        return self._port

    @property
    def password(self) -> str:
        """The superuser's password; raises EmbeddedPostgresError before the first start."""
        return self._files.password()

    @property
    def log_path(self) -> Path:
        """The server's log; raises EmbeddedPostgresError before the first start."""
        return self._home / "server.log"

    def url(
        self, user: str = SUPERUSER, password: str | None = None, dbname: str = "postgres"
    ) -> str:
        """A `postgresql://` URL; without `password`, the superuser's own is put in."""
        secret = self.password if password is None else password
        where = f"{quote(user, safe='')}:{quote(secret, safe='')}@{HOST}:{self.port}"
        return f"postgresql://{where}/{quote(dbname, safe='')}"

    def start(self) -> None:
        """Start the server, or take over one left behind; nothing to do if it runs.

        Raises AlreadyRunningError while another holds this data directory, and
        EmbeddedPostgresError, with the last lines of the log, if it will not start.
        """
        if self.running:
            return
        try:
            if not self._locks:
                # 0711: a server that root runs as another user passes through, and sees nothing.
                self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
                self._locks.append(lock(self.data_dir))
            self._start()
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(
                    f"cannot start the database in {self.data_dir}: {error}"
                ) from error
            raise

    def stop(self) -> None:
        """Stop the server, ending its sessions; nothing to do if it does not run."""
        if not self._locks:
            return
        try:
            self._shut_down(_GENTLY)
        finally:
            self._unlock()

    def destroy(self) -> None:
        """Stop the server without ceremony and remove its files, wherever they stand.

        Raises AlreadyRunningError while another holds this data directory.
        """
        if not self.data_dir.is_dir():
            return
        if not self._locks:
            self._locks.append(lock(self.data_dir))
        try:
            home = self._files.home()
            if home is not None:
                self._shut_down(_AT_ONCE)
                shutil.rmtree(home)
            self._files.forget()
        finally:
            self._unlock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _home(self) -> Path:
        home = self._files.home()
        if home is None:
            raise EmbeddedPostgresError(f"there is no database in {self.data_dir} yet")
        return home

    @property
    def _cluster(self) -> Path:
        return self._home / "data"

    def _alive(self) -> Postmaster | None:
        if self._files.home() is None:
            return None
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        found = read_postmaster(self._cluster)
        return found if found is not None and is_alive(found.pid, self._cluster) else None

    def _start(self) -> None:
        known = self._files.home()
        cluster = known / "data" if known is not None else None
        owner = cluster.stat().st_uid if cluster is not None and cluster.is_dir() else None
        account = server_account(owner)
        home = known if known is not None else self._files.make_home(account)
        if home.parent != self.data_dir and len(self._locks) == 1:
            self._locks.append(lock(home))  # for a copied data directory names the same home
        if account is not None and not may_enter(account, home):
            raise EmbeddedPostgresError(
                f"PostgreSQL runs as {account.name} here, and that user cannot enter {home}"
            )
        exists = owner is not None
        if not exists and not self._files.password_file.exists():
            write_private(self._files.password_file, new_password() + "\n")
        password = self._files.password()
        installation = self._installation or installation_for(
            _version(home / "data", account) if exists else None
        )
        if account is not None and not may_run(account, installation):
            installation = copy_installation(installation, home / "programs")
        if not exists:
            make_cluster(
                home, password, installation=installation, account=account, durable=self._durable
            )
        self._run(installation, account)

    def _run(self, installation: Installation, account: Account | None) -> None:
        """Take over the server left running here if it is as wanted, else start one."""
        running = self._alive()
        if running is not None:
            port = self._wanted_port or running.port
            if running.ready and self._written() == self._configuration(port):
                self._keep_port(port)
                return
            self._shut_down(_GENTLY)
        forget_pid(self._cluster, account)
        give_up = time.monotonic() + _AFTERMATH_S
        tried = 0
        while True:
            port = self._choose_port(any_free=tried > 0)
            said = self._launch(installation, account, port)
            if said is None:
                self._keep_port(port)
                return
            if "could not bind" in said and self._wanted_port is None and tried < _PORT_TRIES:
                tried += 1
            elif "pre-existing shared memory block" in said and time.monotonic() < give_up:
                time.sleep(0.1)
            else:
                raise EmbeddedPostgresError(
                    f"the database in {self.data_dir} does not start; its log ends:\n{said}"
                )

    def _launch(self, installation: Installation, account: Account | None, port: int) -> str | None:
        """Run the server until it accepts connections: None; else the end of what it logged."""
        home = self._home
        write_for(account, home / "pg_hba.conf", _HBA)
        write_for(account, home / "postgresql.conf", self._configuration(port))
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_KEEP:
            self.log_path.replace(home / "server.log.1")
        with self.log_path.open("ab") as log:
            self.log_path.chmod(0o600)
            begin = log.tell()
            command = [str(installation.postgres), "-D", str(self._cluster)]
            command += ["-c", f"config_file={home / 'postgresql.conf'}"]
            self._process = spawn_as(account, command, cwd=home, log=log)
        give_up = time.monotonic() + _START_S
        while self._process.poll() is None:
            found = read_postmaster(self._cluster)
            if found is not None and found.pid == self._process.pid and found.ready:
                return None
            if time.monotonic() > give_up:
                self._shut_down(_AT_ONCE)
                break
            time.sleep(_POLL_S)
        self._process = None
        return log_tail(self.log_path, begin)

    def _shut_down(self, signals: tuple[signal.Signals, ...]) -> None:
        """Send each signal in turn, a while apart, until the server is gone."""
        running = self._alive()
        if self._process is not None:
            pid = self._process.pid  # it may not have written its pid file yet
        elif running is not None:
            pid = running.pid
        else:
            return
        for number in signals:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            give_up = time.monotonic() + _STOP_S
            while not self._gone(pid) and time.monotonic() < give_up:
                time.sleep(_POLL_S)
            if self._gone(pid):
                break
        else:
            raise EmbeddedPostgresError(f"the server of {self.data_dir} (pid {pid}) does not stop")
        self._process = None

    def _gone(self, pid: int) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        return not is_alive(pid, self._cluster)

    def _abandon(self) -> None:
        """Leave nothing half started behind."""
        try:
            if self._process is not None:
                self._shut_down(_AT_ONCE)
        finally:
            self._unlock()

    def _unlock(self) -> None:
        self._port = None
        while self._locks:
            os.close(self._locks.pop())

    def _keep_port(self, port: int) -> None:
        self._port = port
        self._files.remember_port(port)

    def _choose_port(self, *, any_free: bool) -> int:
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise EmbeddedPostgresError(f"port {self._wanted_port} on {HOST} is taken")
            return self._wanted_port
        last = self._files.last_port()
        if last is not None and not any_free and _is_free(last):
            return last
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])

    def _configuration(self, port: int) -> str:
        home = self._home
        ours = {"port": str(port), "hba_file": str(home / "pg_hba.conf")}
        return configuration(home, self._settings | ours)

    def _written(self) -> str | None:
        path = self._home / "postgresql.conf"
        return path.read_text() if path.exists() else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _version(cluster: Path, account: Account | None) -> int:
    """The major version of an existing cluster; raises EmbeddedPostgresError if it says none."""
    shown = run_as(account, ["cat", str(cluster / "PG_VERSION")]).stdout.strip()
    if not shown.isdigit():
        raise EmbeddedPostgresError(f"{cluster} is not a PostgreSQL data directory: {shown}")
    return int(shown)
