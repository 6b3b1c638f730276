"""A catalog to check policies against."""

from __future__ import annotations

import pytest

from tenants.catalog import (
    Catalog,
    Column,
    ForeignKey,
    Index,
    SoftReference,
    Table,
    TableName,
)


def name(text: str) -> TableName:
    return TableName("shop", text)


def table(
    text: str,
    *columns: tuple[str, str],
    parents: tuple[str, ...] = (),
    soft: tuple[SoftReference, ...] = (),
    indexed: tuple[tuple[str, ...], ...] = (),
) -> Table:
    """Return a tenant table; `parents` are referred to by `<parent>_id`, indexed."""
    keys = tuple(
        ForeignKey(f"{text}_{p}_id_fkey", ("tenant_id", f"{p}_id"), name(p), ("tenant_id", "id"))
        for p in parents
    )
    return Table(
        name=name(text),
        kind="tenant",
        columns=(
            Column("tenant_id", "uuid", False, "tenant_id"),
            Column("id", "uuid", False, "id"),
            *(Column(f"{p}_id", "uuid", True, p) for p in parents),
            *(Column(c, t, True, c) for c, t in columns),
        ),
        primary_key=("tenant_id", "id"),
        foreign_keys=keys,
        soft_references=soft,
        indexes=tuple(
            Index(f"{text}_{'_'.join(c)}_idx", ("tenant_id", *c), False)
            for c in (*((f"{p}_id",) for p in parents), *indexed)
        ),
    )


AT = "timestamp with time zone"


@pytest.fixture
def catalog() -> Catalog:
    tables = (
        table("invoices", ("issued_at", AT), ("note", "text"), ("seen_at", AT),
              parents=("customers",), indexed=(("issued_at",),)),
        table("lines", parents=("invoices",)),
        table("customers", ("born", "date"), indexed=(("born",),)),
        table("remarks", ("about", "text"), ("subject_id", "uuid"), soft=(
            SoftReference("subject_id", (("invoice", name("invoices")),), "about"),)),
        Table(name("countries"), "global", (Column("id", "uuid", False, "id"),), ("id",),
              exemption="for all"),
    )  # fmt: skip
    return Catalog({t.name: t for t in tables})
