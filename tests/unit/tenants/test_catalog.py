"""A model that could not be isolated is refused when its catalog is made."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from tenants.catalog import SoftReference, TableName, catalog_of
from tenants.errors import CatalogError, DomainError
from tenants.models import (
    CharField,
    DecimalField,
    ForeignKeyField,
    GlobalModel,
    InstantField,
    IntegerField,
    TenantModel,
    TextField,
)
from tenants.resource import Resource
from tenants.schema import create_statements


class Base(TenantModel):
    class Meta:
        schema = "demo"


class Parent(Base):
    code = CharField(max_length=10, unique=True)
    amount = DecimalField(max_digits=8, decimal_places=2)
    at = InstantField(null=True, index=True)


class Child(Base):
    parent = ForeignKeyField(Parent)
    twin = ForeignKeyField(Parent, null=True, unique=True)

    class Meta:
        indexes = ((("parent", "twin"), True),)


def test_keys_and_indexes_begin_with_the_tenant() -> None:
    catalog = catalog_of([Parent, Child])
    child = catalog.table("demo.child")
    assert child.primary_key == ("tenant_id", "id")
    for key in child.foreign_keys:
        assert key.columns[0] == key.target_columns[0] == "tenant_id"
    for table in catalog:
        assert all(index.columns[0] == "tenant_id" for index in table.indexes)
    assert ("tenant_id", "parent_id", "twin_id") in [i.columns for i in child.indexes]
    assert [c.type for c in catalog.table("demo.parent").columns] == [
        *("uuid", "uuid", "character varying(10)", "numeric(8,2)", "timestamp with time zone")
    ]


def test_the_ddl_is_closed_before_it_is_granted() -> None:
    for table in ("parent", "child"):
        of_table = [s for s in create_statements(catalog_of([Parent, Child])) if table in s]
        forced = next(i for i, s in enumerate(of_table) if "FORCE ROW LEVEL" in s)
        granted = next(i for i, s in enumerate(of_table) if s.startswith("GRANT"))
        assert forced < granted


def test_identifiers_are_quoted() -> None:
    class Odd(Base):
        odd = TextField(column_name='o"dd')

        class Meta:
            table_name = 'a"; DROP TABLE x; --'

    statements = create_statements(catalog_of([Odd]))
    assert any('"a""; DROP TABLE x; --"' in s for s in statements)
    assert not any('"a"; DROP' in s for s in statements)


class Naive(Base):
    at = peewee.DateTimeField()


class Cascading(Base):
    parent = ForeignKeyField(Parent, on_delete="CASCADE")


class Unindexable(Base):
    name = TextField()

    class Meta:
        indexes = ((("nmae",), False),)


class Nowhere(TenantModel):
    name = TextField()


class Shared(GlobalModel):
    name = TextField()

    class Meta:
        schema = "demo"


class Reason(GlobalModel):
    class Meta:
        schema = "demo"
        exemption = "a test"


class Outward(GlobalModel):
    parent = ForeignKeyField(Parent)

    class Meta:
        schema = "demo"
        exemption = "a test"


class Soft(Base):
    subject = IntegerField()

    class Meta:
        soft_references = (SoftReference("subject", (("", TableName("demo", "nothing")),)),)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([Naive], "DateTimeField has no safe column type"),
        ([Parent, Cascading], "a deletion that nobody counted"),
        ([Unindexable], "'nmae'"),
        ([Nowhere], "names no schema"),
        ([Shared], "gives no reason"),
        ([Parent, Outward], "a global table cannot refer"),
        ([Soft], "there is no table demo.nothing"),
        ([Parent, Parent], "two models declare the table demo.parent"),
    ],
)
def test_an_unsafe_declaration_is_refused(models: Any, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        catalog_of(models)


def test_a_global_table_says_why() -> None:
    table = catalog_of([Reason]).table("demo.reason")
    assert (table.kind, table.exemption, table.primary_key) == ("global", "a test", ("id",))


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(CatalogError, match=r"no table demo\.other"):
        catalog_of([Parent]).table("demo.other")
    with pytest.raises(CatalogError, match="not a qualified table name"):
        catalog_of([Parent]).table("parent")


def test_a_resource_names_fields_that_there_are() -> None:
    with pytest.raises(DomainError, match="no field 'secret'"):
        Resource(Parent, "parents", hidden=("secret",))
    with pytest.raises(DomainError, match="deleted_at"):
        Resource(Parent, "parents", soft_delete=True)
