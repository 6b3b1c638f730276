"""The documents show what is real."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from api.cli.lint import command
from lint.codes import CODE_OF_KIND, CODES
from lint.config import load_config
from lint.inputs.sinks import Sinks
from lint.schema.catalog import Catalog

ROOT = Path(__file__).parents[3]
DOCUMENTS = ROOT / "docs" / "lint"
PAGE = (DOCUMENTS / "README.md").read_text()


def shown(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_code_and_kind_has_its_row() -> None:
    rules = (DOCUMENTS / "rules.md").read_text()
    for code in CODES:
        assert f"| [{code}]({code}.md) |" in rules
    for kind in CODE_OF_KIND:
        assert f"`{kind}`" in PAGE


def test_every_option_is_documented() -> None:
    documents = "".join((DOCUMENTS / name).read_text() for name in ("README.md", "ci.md"))
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            assert f"{option}" in documents, option


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a configuration, a schema and clean SQL in it; we are there."""
    (tmp_path / "tenure.toml").write_text('[lint]\nschema = "schema.sql"\n')
    (tmp_path / "schema.sql").write_text("CREATE TABLE invoice (tenant_id uuid, id uuid);\n")
    (tmp_path / "q.sql").write_text(
        "SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant();\n"
    )
    # What the schema itself lacks is not what is tried out here.
    (tmp_path / "tenure.toml").write_text(
        '[lint]\nschema = "schema.sql"\n[lint.exclude]\n"schema.sql" = "a dump"\n'
    )
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".git" / "cache"))
    return tmp_path


def test_the_commands_of_the_ci_page_work(checkout: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", (DOCUMENTS / "ci.md").read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > 7
    for line in commands:
        result = CliRunner().invoke(command, line.removeprefix("$ tenure lint ").split())
        assert result.exit_code == 0, f"{line}\n{result.output}"
    for made in ("tenure.sarif", "gl-code-quality-report.json", "tenure.xml"):
        assert (checkout / made).stat().st_size > 0


def test_the_hook_and_the_action_call_options_that_exist() -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    called = [
        (ROOT / ".pre-commit-hooks.yaml").read_text(),
        (ROOT / "action.yml").read_text(),
        *re.findall(r"```yaml\n(.*?)```", (DOCUMENTS / "ci.md").read_text(), re.DOTALL),
    ]
    lines = [line for text in called for line in text.splitlines() if "tenure lint" in line]
    lines += [line for line in called[1].splitlines() if "set --" in line]
    found = {word for line in lines for word in re.findall(r"(?<= )--[a-z-]+", line)}
    assert {"--force-exclude", "--cache-dir", "--since", "--format", "--output"} <= found
    assert found <= options


@pytest.mark.parametrize("bad", [False, True])
def test_the_actions_script_runs(checkout: Path, bad: bool) -> None:
    if bad:
        (checkout / "a b.sql").write_text("SELECT * FROM invoice;\n")
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step.get("name") == "Lint"]
    assert all("${{" not in line for line in step["run"].splitlines())
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=checkout,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PATHS": ".",
            "ARGS": "--strict-source --jobs 1",
            "SINCE": "HEAD",
            "SARIF": "out.sarif",
            "CACHE": str(checkout / ".git" / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(bad), done.stderr
    assert ("::error file=a b.sql,line=1" in done.stdout) is bad
    results = json.loads((checkout / "out.sarif").read_text())["runs"][0]["results"]
    assert len(results) == int(bad)


def test_the_hooks_file_is_what_pre_commit_expects() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["types_or"] == ["sql", "python"]
    assert hook["id"] in (DOCUMENTS / "ci.md").read_text()


def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    examples = [example for example in shown("toml") if example.startswith("[lint]")]
    (suppression,) = [example for example in shown("toml") if "suppress" in example]
    file = tmp_path / "tenure.toml"
    file.write_text("\n".join((*examples, suppression)))
    loaded = load_config(file)
    assert loaded is not None
    assert [entry.path for entry in loaded.allowances] == ["reports/*.sql"]
    assert loaded.tenancy.parents == {"shop.bridge": "order_id -> shop.order.id"}


def test_the_catalog_shown_is_one() -> None:
    example = next(text for text in shown("json") if '"version"' in text)
    assert Catalog.from_json(example).named("shop.invoice").tenant_column == "tenant_id"


def test_the_command_shown_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript = shown("console")[0]
    first, *expected = transcript.rstrip("\n").splitlines()
    (tmp_path / "schema.sql").write_text(
        "CREATE TABLE invoice (tenant_id uuid, id uuid, customer_id uuid);"
        "CREATE TABLE customer (tenant_id uuid, id uuid);"
    )
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "report.sql").write_text(
        "SELECT *\n  FROM invoice i JOIN customer c ON c.id = i.customer_id\n"
        " WHERE c.tenant_id = tenure.current_tenant();\n"
    )
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, first.removeprefix("$ tenure lint ").split())
    assert result.output.splitlines() == expected
    assert result.exit_code == 1


def test_the_sinks_shown_are_ones_and_the_names_listed_are_known(tmp_path: Path) -> None:
    page = (DOCUMENTS / "inputs.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "tenure.toml"
    file.write_text(example)
    loaded = load_config(file)
    assert loaded is not None
    assert loaded.sinks == {"run_query": 1, "reports.load": "sql"}
    section = page[page.index("## Python") : page.index("Functions of your own")]
    for name in re.findall(r"`(\w+)`", section):
        place, _ = Sinks().place(name, name, frozenset())
        assert place != -1 or name == "databases", name
