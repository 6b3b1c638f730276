"""Policies and context functions as text, per target."""

from __future__ import annotations

import pytest
from shop.models import MODELS

from tenants.catalog import Catalog, catalog_of
from tenants.errors import CatalogError
from tenants.rls import context_statements, protection_statements


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(MODELS)


def test_on_postgresql_the_context_is_asked_once_per_statement(catalog: Catalog) -> None:
    for table in catalog:
        text = "\n".join(protection_statements(table))
        assert text.count("tenant_id = (SELECT tenure.current_tenant())") == 4
        assert text.count("tenure.current_tenant()") == 4


def test_citus_gets_policies_that_it_accepts(catalog: Catalog) -> None:
    for table in catalog:
        text = "\n".join(protection_statements(table, "citus"))
        assert text.count("(tenant_id = tenure.current_tenant())") == 4
        assert "(SELECT" not in text
        assert "RESTRICTIVE" not in text
        plain = "\n".join(protection_statements(table))
        assert text == plain.replace(
            "(SELECT tenure.current_tenant())", "tenure.current_tenant()"
        ), "nothing else differs"


def test_citus_gets_a_context_that_reaches_its_workers() -> None:
    text = "\n".join(context_statements("plain", target="citus"))
    assert "SET LOCAL tenure.context" in text
    assert "set_config" not in text
    assert "EXCEPTION" not in text


def test_a_seal_that_citus_cannot_keep_is_refused() -> None:
    with pytest.raises(CatalogError, match="TENURE_CONTEXT=plain"):
        context_statements("sealed", target="citus")


@pytest.mark.parametrize("mode", ["sealed", "plain"])
def test_the_context_is_closed_to_the_public(mode: str) -> None:
    statements = context_statements(mode)  # type: ignore[arg-type]  # both are modes
    assert sum("FROM PUBLIC" in statement for statement in statements) == 2


def test_only_the_weaker_binding_knows_of_time() -> None:
    assert "expired" not in "".join(context_statements("sealed", "backend"))
    assert "expired" in "".join(context_statements("sealed", "expiry"))
