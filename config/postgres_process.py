"""The server's process as its files and the operating system show it.

A pid alone proves nothing: after a kill, and above all in a container where pids
are few, the number in `postmaster.pid` may be another program's. A server is
alive when the process of that number is a postgres on this data directory.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.errors import EmbeddedPostgresError
from config.postgres_install import Account, run_as

_TAIL_LINES = 15
_NO_PID = "2147483647"  # above every system's largest pid


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What `postmaster.pid` says; `ready` when connections are accepted."""

    pid: int
    port: int
    ready: bool


def read_postmaster(cluster: Path) -> Postmaster | None:
    """Read `postmaster.pid`; None where it is missing or half written."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return Postmaster(
            pid=int(lines[0]),
            port=int(lines[3]),
            ready=len(lines) > 7 and lines[7].strip() == "ready",
        )
    except (OSError, ValueError, IndexError):
        return None


def is_alive(pid: int, cluster: Path) -> bool:
    """Whether process `pid` is a postgres that serves the data directory `cluster`."""
    if Path("/proc/self/cmdline").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return len(words) > 2 and words[0].endswith(b"/postgres") and bytes(cluster) in words
    shown = subprocess.run(  # noqa: S603 - constant but for a number
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - its place differs
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    return f"/postgres -D {cluster}" in shown


def forget_pid(cluster: Path, account: Account | None) -> None:
    """Make a dead server's `postmaster.pid` name no process.

    Only the pid goes: the rest names the shared memory by which PostgreSQL sees
    that children of the dead server still run, and removing it would hide them.
    """
    path = cluster / "postmaster.pid"
    if not path.exists():
        return
    # As the server's user, for root must not write through names in a directory of another's.
    script = '{ echo "$2"; tail -n +2 "$1"; } > "$1.stale" && mv -f "$1.stale" "$1"'
    done = run_as(account, ["/bin/sh", "-c", script, "sh", str(path), _NO_PID])
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"cannot clear the stale {path}: {last_lines(done.stdout)}")


def last_lines(text: str) -> str:
    """The end of a log, short enough for an error message."""
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:]) or "(nothing)"


def log_tail(log: Path, begin: int) -> str:
    """The last lines of `log`, of what was written after byte `begin`."""
    with log.open("rb") as stream:
        stream.seek(begin)
        return last_lines(stream.read().decode(errors="replace"))
