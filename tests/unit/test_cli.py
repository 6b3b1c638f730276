"""The command line as a whole: lazy, and each command teaches itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from api.cli import COMMANDS, LazyGroup, command


def walk(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command below a group, and its own."""
    if path:
        yield path
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            child = group.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


ALL = sorted(walk(command))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_says_what_it_does_and_has_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(command, [*path, "--help"])
    assert shown.exit_code == 0
    lines = [line for line in shown.output.splitlines() if line.strip()]
    assert lines[1].strip() not in ("", "Options:")
    assert f"tenure {' '.join(path)}" in shown.output.partition("Example")[2]


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from api.cli import command\n"
        "shown = CliRunner().invoke(command, ['--help']).output\n"
        f"assert all(name in shown for name in {sorted(COMMANDS)})\n"
        "heavy = {'flask', 'peewee', 'psycopg2', 'pydantic', 'sqlglot', 'structlog'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["lint", "--nonsense"], ["lint", "/nowhere/at/all"], ["tenants", "create"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_an_unknown_command_is_no_import() -> None:
    assert isinstance(command, LazyGroup)
    assert command.get_command(click.Context(command), "os") is None
