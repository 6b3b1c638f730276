"""`scripts/setup.sh` and the Makefile, with a stand-in for Python that notes how it is called."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    -V) echo "Python 3.12.0" ;;
    *"-m venv"*) mkdir -p .venv/bin && : >.venv/pyvenv.cfg && cp "$0" .venv/bin/python ;;
    *"import ensurepip"*) [ -z "${NO_ENSUREPIP:-}" ] ;;
    *"import pip, venv"*) [ -z "${NO_PIP:-}" ] ;;
    *"import pip"*) [ -z "${NO_ENSUREPIP:-}" ] ;;
    *--require-hashes*)
        echo "noise of pip"
        sleep "${SLOW:-0}"
        [ -z "${BROKEN:-}" ] || { echo "no such package"; exit 1; } ;;
esac
"""


class Checkout:
    """A checkout with nothing but what setting up needs, in a path with a space."""

    def __init__(self, base: Path) -> None:
        self.path = base / "a checkout"
        (self.path / "scripts").mkdir(parents=True)
        (self.path / "requirements").mkdir()
        shutil.copy(ROOT / "scripts" / "setup.sh", self.path / "scripts")
        shutil.copy(ROOT / "Makefile", self.path)
        for name in ("requirements/run.txt", "requirements/dev.txt", "pyproject.toml"):
            (self.path / name).write_text(f"{name}\n")
        self.python = base / "a python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self._calls = base / "calls"

    def setup(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        started = self.begin(*arguments, **env)
        out, err = started.communicate()
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)

    def begin(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        self._calls.write_text("")
        return subprocess.Popen(
            ["/bin/sh", str(self.path / "scripts" / "setup.sh"), *arguments],
            env={**os.environ, "PYTHON": str(self.python), "CALLS": str(self._calls), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def installs(self) -> list[str]:
        return [line for line in self._calls.read_text().splitlines() if " install " in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with the usual tools and no Python."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "cksum", "dirname", "find", "grep", "mkdir", "mv", "rm", "sleep", "tail"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    return str(tools)


def outside_make() -> dict[str, str]:
    """The environment without what `make test` adds to it."""
    added = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS")
    return {name: value for name, value in os.environ.items() if name not in added}


def test_script_is_valid_sh() -> None:
    subprocess.run(["/bin/sh", "-n", str(ROOT / "scripts" / "setup.sh")], check=True)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_setting_up_installs_by_hash_says_little_and_names_the_next_command(
    checkout: Checkout,
) -> None:
    done = checkout.setup("run")
    assert (done.returncode, done.stderr) == (0, "")
    packages, ours = checkout.installs
    assert packages.endswith("install --require-hashes -r requirements/run.txt")
    assert ours.endswith("install --no-deps --no-build-isolation -e .")
    assert done.stdout.splitlines() == [
        "Setting up .venv with Python 3.12.0 .. packages .. done",
        "Ready. Next: .venv/bin/tenure demo",
    ]


def test_second_time_does_nothing(checkout: Checkout) -> None:
    checkout.setup("run")
    done = checkout.setup("-q", "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert checkout.installs == []


def test_development_covers_running_and_not_the_reverse(checkout: Checkout) -> None:
    checkout.setup("run")
    checkout.setup("dev")
    assert "requirements/dev.txt" in checkout.installs[0]
    checkout.setup("run")
    assert checkout.installs == []


@pytest.mark.parametrize("changed", ["requirements/run.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(checkout: Checkout, changed: str) -> None:
    checkout.setup("run")
    with (checkout.path / changed).open("a") as stream:
        stream.write("more\n")
    assert checkout.setup("run").stdout.startswith("Bringing .venv up to date")
    assert len(checkout.installs) == 2


def test_touched_file_with_the_same_content_changes_nothing(checkout: Checkout) -> None:
    checkout.setup("run")
    (checkout.path / "pyproject.toml").touch()
    checkout.setup("run")
    assert checkout.installs == []


def test_moved_checkout_gets_a_new_environment(checkout: Checkout, tmp_path: Path) -> None:
    checkout.setup("run")
    checkout.path = checkout.path.rename(tmp_path / "moved")
    assert checkout.setup("run").stdout.startswith("Setting up .venv")


def test_failing_installation_shows_the_log_and_is_tried_again(checkout: Checkout) -> None:
    done = checkout.setup("run", BROKEN="1")
    assert done.returncode == 2
    assert "noise of pip\nno such package\n" in done.stderr
    assert ".venv/setup.log" in done.stderr
    assert not (checkout.path / ".setup.lock").exists()
    assert checkout.setup("run").returncode == 0
    assert len(checkout.installs) == 2


def test_without_ensurepip_the_other_pip_is_used(checkout: Checkout) -> None:
    done = checkout.setup("run", NO_ENSUREPIP="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert all("-m pip --python .venv/bin/python" in line for line in checkout.installs)


def test_without_ensurepip_and_pip_one_line_says_what_to_do(checkout: Checkout) -> None:
    done = checkout.setup("run", NO_ENSUREPIP="1", NO_PIP="1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "apt-get install python3-venv" in line
    assert not (checkout.path / ".venv").exists()


def test_without_python_one_line_says_what_to_do(checkout: Checkout, bare_path: str) -> None:
    done = checkout.setup("run", PYTHON="", PATH=bare_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no Python 3.11 to 3.14 found" in line


def test_named_python_that_does_not_run_is_named(checkout: Checkout) -> None:
    done = checkout.setup("run", PYTHON="/no/such/python")
    assert (done.returncode, done.stdout) == (2, "")
    assert "PYTHON=/no/such/python" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("all",), ("-q",)])
def test_wrong_argument_shows_the_usage(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    done = checkout.setup(*arguments)
    assert done.returncode == 2
    assert "usage: sh scripts/setup.sh" in done.stderr


def test_two_at_once_install_once(checkout: Checkout) -> None:
    both = [checkout.begin("run", SLOW="0.5") for _ in range(2)]
    said = sorted(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert len(checkout.installs) == 2  # the packages, and ours
    assert said[1].startswith("Waiting for another setup")


def test_lock_of_a_dead_process_is_taken_over(checkout: Checkout) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    lock = checkout.path / ".setup.lock"
    lock.mkdir()
    (lock / "pid").write_text(f"{gone.pid}\n")
    assert checkout.setup("run").returncode == 0
    assert not list(checkout.path.glob(".setup.lock*"))


def test_foreign_venv_directory_is_left_alone(checkout: Checkout) -> None:
    precious = checkout.path / ".venv" / "precious"
    precious.parent.mkdir()
    precious.touch()
    done = checkout.setup("run")
    assert done.returncode == 2
    assert "move it away" in done.stderr
    assert precious.exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_help_lists_every_target(checkout: Checkout) -> None:
    shown = subprocess.run(
        ["make"],
        cwd=checkout.path,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in shown.splitlines()[1:]] == phony.split()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_demo_passes_its_variables_on(checkout: Checkout) -> None:
    checkout.setup("run")
    tenure = checkout.path / ".venv" / "bin" / "tenure"
    tenure.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    tenure.chmod(0o755)
    shown = subprocess.run(
        ["make", "demo", "PORT=8123", "DATA_DIR=/a b/c", "ARGS=--exit --format json"],
        cwd=checkout.path,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == "<demo><--data-dir></a b/c><--port><8123><--exit><--format><json>"
