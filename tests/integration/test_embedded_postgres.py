"""The embedded PostgreSQL: kept data, one owner, no open doors, and crashes of every kind."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from config.errors import AlreadyRunningError, ConfigError, EmbeddedPostgresError
from config.postgres import EmbeddedPostgres
from config.postgres_install import installations
from config.postgres_process import read_postmaster

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")

Factory = Callable[..., EmbeddedPostgres]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Factory]:
    """Makes servers in `tmp_path/db` or another directory; all are destroyed at the end."""
    made: list[EmbeddedPostgres] = []

    def make(
        directory: Path = tmp_path / "db",
        *,
        port: int | None = None,
        settings: dict[str, str] | None = None,
    ) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(directory, port=port, settings=settings, durable=False))
        return made[-1]

    yield make
    for server in made:
        server.stop()
    for server in made:
        server.destroy()


def ask(url: str, query: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def postmaster_pid(server: EmbeddedPostgres) -> int:
    found = read_postmaster(server.log_path.parent / "data")
    assert found is not None
    return found.pid


def owner_process(directory: Path) -> subprocess.Popen[str]:
    """A process that starts the server in `directory`, says its port, and waits."""
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from config.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)\n"
        "server.start()\nprint(server.port, flush=True)\ntime.sleep(60)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_restart_is_quick_and_keeps_data_port_and_password(embedded: Factory) -> None:
    first = embedded()
    first.start()
    url = first.url()
    ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
    first.stop()
    second = embedded()
    begin = time.monotonic()
    second.start()
    assert time.monotonic() - begin < 2
    assert second.url() == url
    assert ask(url, "SELECT n FROM kept") == 42


def test_cluster_is_utf8_with_checksums_and_scram(embedded: Factory) -> None:
    with embedded() as server:
        assert ask(server.url(), "SHOW server_encoding") == "UTF8"
        assert ask(server.url(), "SHOW data_checksums") == "on"
        assert ask(server.url(), "SHOW unix_socket_directories") == ""
        stored = ask(server.url(), "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
        assert str(stored).startswith("SCRAM-SHA-256$")
        assert ask(server.url(), "SELECT upper('é') || upper('ß')") == "Éß"


def test_start_and_stop_may_be_repeated(embedded: Factory) -> None:
    server = embedded()
    server.stop()
    server.start()
    pid = postmaster_pid(server)
    server.start()
    assert postmaster_pid(server) == pid
    assert server.running
    server.stop()
    server.stop()
    assert not server.running
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        server.url()


def test_second_starter_is_refused_and_told_who_runs_it(embedded: Factory, tmp_path: Path) -> None:
    owner = owner_process(tmp_path / "db")
    try:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        with pytest.raises(AlreadyRunningError, match=rf"pid {owner.pid}\b"):
            embedded().start()
        with socket.create_connection(("127.0.0.1", port)):
            pass  # and the server was left alone
    finally:
        owner.kill()
        owner.communicate()


def test_server_that_outlived_its_owner_is_taken_over(embedded: Factory, tmp_path: Path) -> None:
    owner = owner_process(tmp_path / "db")
    assert owner.stdout is not None
    port = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    server = embedded()
    pid = postmaster_pid(server)
    server.start()
    assert (server.port, postmaster_pid(server)) == (port, pid)
    server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_server_left_behind_with_other_settings_is_restarted(
    embedded: Factory, tmp_path: Path
) -> None:
    owner = owner_process(tmp_path / "db")
    assert owner.stdout is not None
    owner.stdout.readline()
    owner.kill()
    owner.communicate()
    with embedded(settings={"work_mem": "7MB"}) as server:
        assert ask(server.url(), "SHOW work_mem") == "7MB"


def test_killed_postmaster_leaves_nothing_that_hinders_the_next(embedded: Factory) -> None:
    server = embedded()
    server.start()
    ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS n")
    ask(server.url(), "CHECKPOINT")
    session = psycopg2.connect(server.url())
    os.kill(postmaster_pid(server), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while server.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.running
    server.start()
    assert ask(server.url(), "SELECT n FROM kept") == 42
    session.close()


def test_pid_file_that_names_another_program_does_not_hinder(embedded: Factory) -> None:
    server = embedded()
    server.start()
    kept = (server.log_path.parent / "data" / "postmaster.pid").read_text().splitlines()
    server.stop()
    pid_file = server.log_path.parent / "data" / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *kept[1:]]) + "\n")
    if os.geteuid() == 0:
        shutil.chown(pid_file, server.log_path.parent.joinpath("data").stat().st_uid)
    assert not server.running
    server.start()
    assert ask(server.url(), "SELECT 1") == 1
    os.kill(os.getpid(), 0)  # nobody stopped the program of that number: us


def test_making_of_a_cluster_that_was_interrupted_is_begun_again(embedded: Factory) -> None:
    server = embedded()
    server.start()
    home = server.log_path.parent
    server.stop()
    (home / "data").rename(home / "new-half")
    with embedded() as again:
        assert ask(again.url(), "SELECT 1") == 1
    assert not (home / "new-half").exists()


def test_path_may_be_long_and_hold_spaces_and_quotes(embedded: Factory, tmp_path: Path) -> None:
    directory = tmp_path / 'it\'s a "$HOME" \\ of été' / ("long " * 20 + "path")
    with embedded(directory) as server:
        assert ask(server.url(), "SELECT 1") == 1
        pid = postmaster_pid(server)
    with embedded(directory) as again:
        assert postmaster_pid(again) != pid


def test_two_run_at_once_on_ports_of_their_own(embedded: Factory, tmp_path: Path) -> None:
    with embedded(tmp_path / "a") as one, embedded(tmp_path / "b") as other:
        assert one.port != other.port
        ask(one.url(), "CREATE TABLE here AS SELECT 1")
        assert ask(other.url(), "SELECT to_regclass('here')") is None


@pytest.mark.parametrize("password", ["wrong", ""])
def test_no_entry_without_the_password(embedded: Factory, password: str) -> None:
    with embedded() as server, pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(server.url(password=password))


def test_only_the_loopback_address_is_listened_on(embedded: Factory) -> None:
    with embedded() as server:
        assert ask(server.url(), "SHOW listen_addresses") == "127.0.0.1"
        others = ["127.0.0.2", "::1", *socket.gethostbyname_ex(socket.gethostname())[2]]
        for address in set(others) - {"127.0.0.1"}:
            with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable: it differs
                socket.create_connection((address, server.port), timeout=1).close()


def test_password_and_log_are_private(embedded: Factory, tmp_path: Path) -> None:
    with embedded() as server:
        for path in (tmp_path / "db" / "postgres-password", server.log_path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.password not in server.log_path.read_text()


def test_wanted_port_that_is_taken_is_an_error_that_names_it(embedded: Factory) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} on 127.0.0.1 is taken"):
            embedded(port=port).start()
    with embedded(port=port) as server:
        assert server.port == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with embedded() as moved:
            assert moved.port != port


def test_port_lost_to_another_at_the_last_moment_is_replaced(
    embedded: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded() as server:
        port = server.port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        monkeypatch.setattr("config.postgres._is_free", lambda _port: True)
        with embedded() as moved:
            assert moved.port != port
            assert ask(moved.url(), "SELECT 1") == 1


def test_failed_start_shows_the_end_of_the_log_and_lets_go(embedded: Factory) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r'"work_mem".*"plenty"'):
        embedded(settings={"work_mem": "plenty"}).start()
    with embedded(settings={"work_mem": "8MB", "search_path": 'a\'b, "c\\d"'}) as server:
        assert ask(server.url(), "SHOW search_path") == 'a\'b, "c\\d"'


@pytest.mark.parametrize("name", ["port", "listen_addresses", "hba_file", "x = 1\nfsync", ""])
def test_settings_that_would_open_a_door_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match="cannot be set here"):
        EmbeddedPostgres(tmp_path, settings={name: "x"})


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_port_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(EmbeddedPostgresError, match=f"port {port} "):
        EmbeddedPostgres(tmp_path, port=port)


def test_destroy_removes_every_file(embedded: Factory, tmp_path: Path) -> None:
    server = embedded()
    server.start()
    home = server.log_path.parent
    server.destroy()
    assert not home.exists()
    assert list((tmp_path / "db").iterdir()) == []
    server.destroy()


def test_data_of_an_unknown_version_is_left_alone(embedded: Factory) -> None:
    server = embedded()
    server.start()
    version = server.log_path.parent / "data" / "PG_VERSION"
    server.stop()
    version.write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 9's"):
        server.start()


def test_unwritable_place_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigError, match="/dev/null/db"):
        EmbeddedPostgres(Path("/dev/null/db")).start()


@as_root
def test_root_runs_the_server_as_nobody_and_changes_no_foreign_mode(
    embedded: Factory, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with embedded(closed / "db") as server:
        nobody = pwd.getpwnam("nobody").pw_uid
        if Path("/proc").is_dir():
            assert Path(f"/proc/{postmaster_pid(server)}").stat().st_uid == nobody
        home = server.log_path.parent
        assert (home / "data").stat().st_uid == nobody
        assert not home.is_relative_to(closed)
        assert stat.S_IMODE(home.stat().st_mode) == 0o710
        assert home.stat().st_uid == 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    shutil.rmtree(home)
    with pytest.raises(EmbeddedPostgresError, match="which is gone"):
        embedded(closed / "db").start()
    (closed / "db" / "postgres.json").unlink()


@as_root
def test_programs_that_nobody_cannot_reach_are_copied(tmp_path: Path) -> None:
    newest = installations()[0]
    closed = tmp_path / "closed"
    package = closed / newest.root.parent.name
    closed.mkdir(mode=0o700)
    shutil.copytree(newest.root, package / newest.root.name, symlinks=True)
    shutil.copy(newest.root.parent / "__init__.py", package)
    for directory in newest.libraries:
        shutil.copytree(directory, closed / directory.relative_to(newest.root.parent.parent))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from config.postgres import EmbeddedPostgres\n"
        "from config.postgres_install import installations\n"
        "assert str(installations()[0].root).startswith(sys.argv[2])\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)\n"
        "for _ in range(2):\n"
        "    server.start(); server.stop()\n"
        "print((server.log_path.parent / 'programs').is_dir())\n"
        "server.destroy()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "db"), str(closed)],
        env={**os.environ, "PYTHONPATH": f"{closed}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")
