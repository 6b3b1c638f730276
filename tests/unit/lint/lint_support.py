"""The schema of the case table and a reader of case files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lint.declared import Sources
from lint.prover.prover import Prover
from lint.schema.catalog import Catalog, Tenancy
from lint.schema.script import load_schema

CASES = Path(__file__).parent / "cases"
_HEAD = re.compile(r"-- (scoped|unscoped|undecidable)(?: ([a-z-]+))?: (.+)")

SOURCES = Sources(
    expressions=("tenure.current_tenant()", "current_setting('app.tenant_id')::uuid"),
    parameters=("tenant_id",),
    functions=("tenure.set_tenant",),
)


@dataclass(frozen=True)
class Case:
    title: str
    sql: str
    verdict: str
    kind: str | None


@cache
def catalog() -> Catalog:
    schema = load_schema((CASES / "schema.sql").read_text(), origin="schema.sql")
    tenancy = Tenancy(
        tenant_columns=("org",),
        tenants_table="orgs",
        exempt=dict.fromkeys(
            ("country", "tongue", "currency", "unit", "stock"), "the same list for everybody"
        ),
    )
    return schema.with_tenancy(tenancy)


@cache
def prover() -> Prover:
    return Prover(catalog(), SOURCES)


def cases(name: str) -> list[Case]:
    found: list[Case] = []
    head: re.Match[str] | None = None
    body: list[str] = []

    def close() -> None:
        if head is not None:
            sql = "\n".join(body).strip()
            assert sql, f"{name}: no statement under {head.group(0)}"
            found.append(Case(head.group(3), sql, head.group(1), head.group(2)))

    for line in (CASES / name).read_text().splitlines():
        match = _HEAD.fullmatch(line)
        if match:
            close()
            head, body = match, []
        elif head is not None:
            body.append(line)
    close()
    assert found
    return found
