"""Ctrl-C: a command ends with 130, as a shell expects, and not with the code of findings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Long enough to be interrupted in.
QUERY = "SELECT a.x FROM t a JOIN t b ON b.org = a.org AND b.x = {} WHERE a.org = $1;\n"
TENURE = str(Path(sys.executable).with_name("tenure"))


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, as a terminal starts one."""
    process = subprocess.Popen(
        [TENURE, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def children(process: subprocess.Popen[str]) -> list[str]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return listed.read_text().split() if listed.exists() else []


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_an_interrupted_run_is_no_run_with_findings(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE t (org int NOT NULL, x int);")
    os.mkfifo(tmp_path / "log.csv")
    command = ("lint", "--schema", "schema.sql", "--from-log", "log.csv")
    # To open it waits until it is read.
    with started(*command, folder=tmp_path) as process, (tmp_path / "log.csv").open("w"):
        code, said = interrupted(process)
    assert (code, said.split()) == (130, ["Aborted!"])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for children")
def test_its_processes_are_interrupted_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE t (org int NOT NULL, x int);")
    for number in range(20):
        text = "".join(QUERY.format(n) for n in range(1000))
        (tmp_path / f"q{number}.sql").write_text(text)
    command = ("lint", "--schema", "schema.sql", "--no-cache", "--jobs", "2", ".")
    with started(*command, folder=tmp_path) as process:
        while len(children(process)) < 2 and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None
        code, said = interrupted(process)
    assert (code, said.split()) == (130, ["Aborted!"])
