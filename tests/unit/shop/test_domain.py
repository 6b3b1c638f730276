"""The shop's declarations: frozen migration, policies, resources, importers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from retention.policy_file import load_policies
from tenants.catalog import TableName, catalog_of
from tenants.domain import Domain, load_domain
from tenants.errors import DomainError, ImportFileError
from tenants.importing import Reject, RejectFile, generator_of, importer_of

EXAMPLES = Path(__file__).parents[3] / "examples"
#: Tables without a policy, and why.
WITHOUT_POLICY = {
    "products": "the assortment, no personal data",
    "product_categories": "the assortment, no personal data",
    "categories": "the assortment, no personal data",
    "imported_files": "digests of files; without them a second import would double rows",
}


@pytest.fixture(scope="module")
def shop() -> Domain:
    return load_domain("shop", EXAMPLES)


def test_the_migrations_leave_what_the_models_declare(shop: Domain) -> None:
    path = shop.migrations / "0001_initial.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    migration: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)
    assert catalog_of(migration.MODELS) == shop.catalog


def test_every_table_has_a_policy_or_a_reason_for_none(shop: Domain) -> None:
    policies = load_policies(shop.policies, shop.catalog)
    covered = {name for p in policies for name in (p.table, *p.along)}
    excused = {TableName("shop", name) for name in WITHOUT_POLICY}
    assert covered | excused == set(shop.catalog.tables)
    assert not covered & excused


def test_every_policy_finds_its_rows_by_an_index(shop: Domain) -> None:
    for policy in load_policies(shop.policies, shop.catalog):
        led = [index.columns[:2] for index in shop.catalog.table(policy.table).indexes]
        assert ("tenant_id", policy.starts) in led


def test_the_models_exercise_every_shape_of_reference(shop: Domain) -> None:
    keys = {(t.name.name, k.column): (k, t) for t in shop.catalog for k in t.foreign_keys}
    assert keys["customer_profiles", "customer_id"][0].unique
    assert keys["categories", "parent_id"][0].target.name == "categories"
    (note,) = shop.catalog.table("shop.notes").soft_references
    assert {name for name, _ in note.targets} == {"customer", "invoice"}
    link = shop.catalog.table("shop.product_categories")
    assert any(i.unique and i.columns[1:] == ("product_id", "category_id") for i in link.indexes)


def test_resources_are_the_tables_people_work_with(shop: Domain) -> None:
    assert {r.name for r in shop.resources} == {
        *("customers", "customer-profiles", "categories", "products", "product-categories"),
        *("invoices", "invoice-lines", "notes"),
    }
    assert [r.name for r in shop.resources if r.soft_delete] == ["customers"]


def test_an_unknown_importer_names_those_there_are(shop: Domain) -> None:
    assert callable(importer_of(shop, "online-retail"))
    with pytest.raises(DomainError, match=r"no importer 'sap'; there are: online-retail"):
        importer_of(shop, "sap")


def test_a_domain_without_importers_and_sample_says_so(
    shop: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare_domain").mkdir()
    (tmp_path / "bare_domain" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    bare = Domain(
        name="bare_domain",
        schema="bare",
        models=(),
        catalog=shop.catalog,
        resources=(),
        policies=tmp_path,
        migrations=tmp_path,
    )
    with pytest.raises(DomainError, match="there are: none"):
        importer_of(bare, "online-retail")
    with pytest.raises(DomainError, match=r"no sample\.generate"):
        generator_of(bare)
    assert callable(generator_of(shop))


def test_rejects_are_written_anew_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("from yesterday\n" * 100)
    path.chmod(0o644)
    with RejectFile(path) as rejects:
        rejects(Reject(7, "too short", 'a,"b'))
    assert path.read_text() == 'line,reason,text\n7,too short,"a,""b"\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert rejects.count == 1


def test_rejects_that_cannot_be_written_are_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"cannot write .*nowhere/r\.csv: No such file"):
        RejectFile(tmp_path / "nowhere" / "r.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("count", [1, 10_000])
def test_a_full_disk_is_not_taken_for_a_run_without_rejects(count: int) -> None:
    mode = Path("/dev/full").stat().st_mode

    def run() -> None:
        with RejectFile(Path("/dev/full")) as rejects:
            for line in range(count):
                rejects(Reject(line, "too short", "text"))

    with pytest.raises(ImportFileError, match=r"cannot write .*/dev/full: No space left"):
        run()
    assert Path("/dev/full").stat().st_mode == mode
