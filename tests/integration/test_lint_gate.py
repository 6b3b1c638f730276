"""The gate over this repository has the right schema, and would find a leak in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli import command
from api.lint_catalog import database_catalog, lint_catalog
from api.wiring import Installation, owner_of
from lint.schema.catalog import Catalog

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_catalog_is_the_migrated_schema(installation: Installation) -> None:
    """To make it anew: `tenure migrate catalog --output migrations/catalog.json`."""
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        found = database_catalog(cursor, ("tenure", "shop"))
    assert (ROOT / "migrations" / "catalog.json").read_text() == found.to_json() + "\n"


def test_the_models_give_the_prover_what_the_database_does(installation: Installation) -> None:
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        found = {t.name: t for t in database_catalog(cursor, ("shop",)).tables}
    declared = {t.name: t for t in lint_catalog(installation.catalog).tables}
    assert declared.keys() == found.keys()
    for name, table in declared.items():
        assert {(c.name, c.type, c.nullable) for c in table.columns} == {
            (c.name, c.type, c.nullable) for c in found[name].columns
        }
        assert {k.columns for k in table.keys} == {k.columns for k in found[name].keys}
        assert set(table.foreign_keys) == set(found[name].foreign_keys)
        assert table.tenant_column == found[name].tenant_column == "tenant_id"


def test_the_gate_passes_here() -> None:
    result = CliRunner().invoke(command, ["lint", str(ROOT)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("leak", "code"),
    [
        ("cursor.execute('SELECT * FROM shop.invoices')", "TS001"),
        ("cursor.execute('SELECT * FROM shop.invoices WHERE ' + condition)", "TS004"),
        ("cursor.execute(f'DELETE FROM shop.{table}')", "TS004"),
        ("cursor.execute('UPDATE shop.customers SET name = %s WHERE id = %s', (a, b))", "TS00"),
    ],
)
def test_a_leak_planted_in_the_product_is_found(tmp_path: Path, leak: str, code: str) -> None:
    planted = tmp_path / "report.py"
    planted.write_text(f"def report(cursor, condition, table, a, b):\n    {leak}\n")
    result = CliRunner().invoke(
        command, ["lint", str(planted), "--config", str(ROOT / "pyproject.toml")]
    )
    assert result.exit_code == 1, result.output
    assert code in result.output
    assert "report.py:2" in result.output


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM shop.invoices WHERE tenant_id = tenure.current_tenant()", 0),
        ("SELECT * FROM shop.invoices", 1),
        ("SELECT * FROM shop.nothing", 1),
    ],
)
def test_the_models_are_a_schema_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, code: int
) -> None:
    for name in [name for name in os.environ if name.startswith("TENURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.sql").write_text(sql)
    arguments = ["lint", "--schema", "models", "--no-cache", "a.sql"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "no domain is configured" in result.output
    monkeypatch.setenv("TENURE_DOMAIN", "shop")
    monkeypatch.setenv("TENURE_DOMAIN_PATH", str(ROOT / "examples"))
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == code, result.output


def test_the_catalog_survives_its_file(installation: Installation) -> None:
    catalog = lint_catalog(installation.catalog)
    assert Catalog.from_json(catalog.to_json()).to_json() == catalog.to_json()
