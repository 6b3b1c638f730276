"""peewee's nodes carry text into the SQL as it is: names of functions, types, operators, glue.

None of it may be a way past the scoping: what is not of a known, harmless form is raw SQL, and
raw SQL is sent when it is proven.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from peewee import (
    SQL,
    Cast,
    CompoundSelectQuery,
    Context,
    Entity,
    Expression,
    Function,
    Join,
    NodeList,
    Ordering,
    Select,
    fn,
)
from psycopg2.extensions import AsIs
from shop.models import Customer, Invoice

from api.wiring import Installation
from tenants.bulk import bulk_insert
from tenants.errors import UnprovenSqlError
from tenants.models import database

from .conftest import Pair, scope_of

ALL = "SELECT name FROM shop.customers"
Query = Callable[[], Any]

CARRIED: dict[str, Query] = {
    "a function that runs SQL": lambda: Customer.select(fn.query_to_xml(ALL, True, False, "")),
    "another": lambda: Customer.select(fn.database_to_xml(True, False, "")),
    "one that sets the context": lambda: Customer.select(fn.set_config("tenure.context", "", True)),
    "one of the context": lambda: Customer.select(Function("tenure.set_tenant", ("x",))),
    "one that reads files": lambda: Customer.select(fn.pg_read_file("/etc/passwd")),
    "one that reads large objects": lambda: Customer.select(fn.lo_get(1)),
    "one of another database": lambda: Customer.select(fn.dblink("", ALL)),
    "one that tells of other tenants' changes": lambda: Customer.select(
        fn.currtid2("shop.customers", Cast("(0,1)", "tid"))
    ),
    "one that counts for all": lambda: Customer.select(fn.nextval("shop.numbers")),
    "one that tells how much is written": lambda: Customer.select(fn.txid_current()),
    "one in quotes": lambda: Customer.select(Function('"query_to_xml"', (ALL, True, False, ""))),
    "the name of a function": lambda: Customer.select(
        Function(f"max('')) FROM shop.customers WHERE ({ALL}", ())
    ),
    "a type": lambda: Customer.select(Cast(Customer.name, "text) FROM shop.customers t1 --")),
    "an operator": lambda: Customer.select(Customer.name).where(
        Expression(Customer.name, f"= '' UNION {ALL} WHERE name <>", "", flat=True)
    ),
    "an operator that is a comment": lambda: Customer.select(Customer.name).where(
        Expression(Customer.name, "--", Customer.name)
    ),
    "glue": lambda: Customer.select(
        NodeList((Entity("name"), Entity("x")), glue=" FROM shop.customers ")
    ),
    "peewee's own words": lambda: Select(
        columns=[NodeList((Entity("name"), SQL("FROM"), Entity("shop", "customers")))]
    ).bind(database.obj),
    "a direction": lambda: Customer.select(Customer.name).order_by(
        Ordering(Customer.name, f"LIMIT 0) UNION ({ALL}")
    ),
    "a collation": lambda: Customer.select(Customer.name).order_by(
        Customer.name.asc(collation=f'"C" LIMIT 0) UNION ({ALL}')
    ),
    "a lock": lambda: Customer.select(Customer.name).for_update(f"UNION {ALL}"),
    "a join": lambda: Select(
        [Join(Customer, Invoice, ", shop.customers c CROSS JOIN")], [Entity("c", "name")]
    ).bind(database.obj),
    "a compiled tree": lambda: database.obj.execute(Context().literal(ALL)),
    "a value that the driver writes as it is": lambda: Customer.select(
        fn.upper(AsIs(f"(({ALL} LIMIT 1))"))
    ),
    "one in a list": lambda: Customer.select(Customer.name).where(
        Customer.name == fn.any([AsIs(f"({ALL} LIMIT 1)")])
    ),
    "one beside raw SQL": lambda: database.obj.execute_sql(
        "SELECT %s::text", (AsIs(f"({ALL} LIMIT 1)"),)
    ),
    "a set operation": lambda: CompoundSelectQuery(
        Customer.select(Customer.name), f"UNION {ALL} UNION", Customer.select(Customer.name)
    ).bind(database.obj),
}


@pytest.mark.parametrize("how", CARRIED)
def test_text_that_a_node_carries_is_not_sent_unproven(
    installation: Installation, pair: Pair, how: str
) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(pair.a), pytest.raises(UnprovenSqlError):
        list(CARRIED[how]())
    assert sent == []


def test_rows_in_bulk_take_no_text_either(pair: Pair) -> None:
    row = {"number": "x", "issued_at": AsIs("(SELECT max(issued_at) FROM shop.invoices)")}
    with scope_of(pair.a), pytest.raises(TypeError, match="issued_at"):
        bulk_insert(Invoice, [row])


HARMLESS: dict[str, Query] = {
    "functions": lambda: Customer.select(fn.upper(fn.coalesce(Customer.email, Customer.name))),
    "types": lambda: Customer.select(
        Cast(Customer.name, "character varying(200)"), Cast("{}", "text[]"), Cast(1, "numeric(9,2)")
    ),
    "operators": lambda: Customer.select(Customer.name).where(
        (Customer.name.is_null(False))
        & (Customer.name.regexp("."))
        & (Customer.number.between("0", "9"))
        & ~(Customer.name.ilike("%x%"))
        & Expression(Customer.name, "~~", "%")
    ),
    "orders": lambda: Customer.select(Customer.name).order_by(
        Customer.name.desc(nulls="last", collation='"C"')
    ),
    "locks": lambda: Customer.select(Customer.name).for_update("FOR SHARE", skip_locked=True),
    "sets": lambda: Customer.select(Customer.name) - Customer.select(Invoice.status).from_(Invoice),
}


@pytest.mark.parametrize("how", HARMLESS)
def test_what_is_of_a_known_form_needs_no_proof(
    installation: Installation, pair: Pair, how: str
) -> None:
    asked: list[str] = []
    installation.app._prove = asked.append  # type: ignore[assignment]  # a refusal is not reached
    with scope_of(pair.a):
        assert len(list(HARMLESS[how]().tuples())) == 2
    assert asked == []
