"""The documents show what is real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.lint import command
from lint.catalog import Catalog
from lint.codes import CODE_OF_KIND, CODES
from lint.config import load_config

PAGE = (Path(__file__).parents[3] / "docs" / "lint" / "README.md").read_text()


def shown(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_code_and_kind_has_its_row() -> None:
    for code in CODES:
        assert f"| {code} |" in PAGE
    for kind in CODE_OF_KIND:
        assert f"`{kind}`" in PAGE


def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    (example,) = shown("toml")
    file = tmp_path / "tenure.toml"
    file.write_text(example)
    loaded = load_config(file)
    assert loaded is not None
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
