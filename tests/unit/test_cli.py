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

# Commands that print no data, each with its reason.
WITHOUT_FORMAT = {
    ("ledger", "witness", "serve"): "serves until it is stopped; what it says are logs",
    ("migrate", "roles"): "prints SQL, for an administrator's psql",
    ("serve",): "serves until it is stopped; what it says are logs",
    ("worker",): "works until it is stopped; what it says are logs",
}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_says_what_it_does_and_has_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(command, [*path, "--help"])
    assert shown.exit_code == 0
    lines = [line for line in shown.output.splitlines() if line.strip()]
    assert lines[1].strip() not in ("", "Options:")
    assert f"tenure {' '.join(path)}" in shown.output.partition("Example")[2]


def leaf(path: tuple[str, ...]) -> click.Command | None:
    """Return the command of this path; None for a group."""
    found: click.Command | None = command
    for name in path:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name)
    return None if isinstance(found, click.Group) else found


@pytest.mark.parametrize("path", [p for p in ALL if leaf(p)], ids=" ".join)
def test_what_prints_data_prints_it_as_json_too(path: tuple[str, ...]) -> None:
    found = leaf(path)
    assert found is not None
    formats = [o.type for o in found.params if "--format" in o.opts]
    if path in WITHOUT_FORMAT:
        assert not formats, "exempted, but it has --format"
    else:
        (choice,) = formats
        assert isinstance(choice, click.Choice)
        assert {"text", "json"} <= set(choice.choices)


def test_exemptions_are_of_commands_that_there_are() -> None:
    assert set(WITHOUT_FORMAT) <= set(ALL)


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
