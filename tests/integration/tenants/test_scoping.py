"""Every way to a tenant's table that peewee offers, tried under one tenant of two.

Row-level security would hide the other tenant's rows as well, so these run as the owner's
connection, who sees everything: what comes back is the query layer's doing alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import JOIN, SQL, Entity, Select, Table, fn, prefetch
from shop.models import Customer, CustomerProfile, Invoice, InvoiceLine, Product

from api.wiring import Installation, connections_of
from config.clock import utc_now
from tenants.database import TenantDatabase
from tenants.errors import (
    NestedTenantError,
    NoTenantError,
    StaleObjectError,
    TenantMismatchError,
    UnprovenSqlError,
    UnscopableError,
)
from tenants.models import database, new_id
from tenants.seal import MESSAGE_BEGINS

from .conftest import Pair, scope_of

Rows = list[tuple[Any, ...]]


@pytest.fixture
def unprotected(installation: Installation, pair: Pair) -> Iterator[Pair]:
    """The models on a connection that row-level security does not bind."""
    owner = connections_of(installation.settings, "tenure_owner")
    # It may not set a tenant: nothing rides along on BEGIN.
    owner.in_transaction = lambda *_: "SELECT 1"  # type: ignore[method-assign]
    database.initialize(TenantDatabase(owner, installation.catalog))
    yield pair
    owner.pool.close()
    database.initialize(installation.app)


def names(query: Any) -> set[str]:
    return {row[0].partition(":")[0] for row in query.tuples()}


READS: dict[str, Callable[[], Any]] = {
    "plain": lambda: Customer.select(Customer.name),
    "where or": lambda: (
        Customer.select(Customer.name).where(Customer.number == "0").orwhere(Customer.number == "1")
    ),
    "alias": lambda: (c := Customer.alias("c")).select(c.name),
    "self join": lambda: Customer.select((other := Customer.alias()).name).join(
        other, on=(other.number == Customer.number)
    ),
    "inner join": lambda: Invoice.select(Customer.name).join(
        Customer, on=(Customer.number == Invoice.number)
    ),
    "left join": lambda: Invoice.select(fn.coalesce(Customer.name, "")).join(
        Customer, JOIN.LEFT_OUTER, on=(Customer.number == Invoice.number)
    ),
    "full join": lambda: Invoice.select(fn.coalesce(Customer.name, "")).join(
        Customer, JOIN.FULL_OUTER, on=(Customer.number == Invoice.number)
    ),
    "subquery in FROM": lambda: (
        q := Customer.select(Customer.name.alias("n")).alias("q")
    ).select_from(q.c.n),
    "bare Select": lambda: Select([Customer], [Customer.name]).bind(database.obj),
    "bare Table": lambda: (t := Table("customers", schema="shop").bind(database.obj)).select(
        t.c.name
    ),
    "Entity in FROM": lambda: Select(
        [Entity("shop", "customers")], [Entity("customers", "name")]
    ).bind(database.obj),
    "union": lambda: Customer.select(Customer.name) | Customer.select(Customer.name),
    "CTE": lambda: (cte := Customer.select(Customer.name.alias("n")).cte("c")).select_from(cte.c.n),
    "scalar subquery": lambda: Invoice.select(
        Customer.select(Customer.name).order_by(Customer.number.desc()).limit(1)
    ),
    "IN subquery": lambda: Customer.select(Customer.name).where(
        Customer.number.in_(Invoice.select(Invoice.number))
    ),
    "window": lambda: Customer.select(
        fn.first_value(Customer.name).over(order_by=[Customer.number.desc()])
    ),
    "values join": lambda: Customer.select(Customer.name).join(
        (v := peewee.ValuesList([("0",), ("1",), ("2",)], columns=["n"]).alias("v")),
        on=(v.c.n == Customer.number),
    ),
}


@pytest.mark.parametrize("how", READS)
def test_a_read_returns_the_tenants_rows_and_no_others(unprotected: Pair, how: str) -> None:
    for tenant_id in (unprotected.a, unprotected.b):
        with scope_of(tenant_id):
            assert names(READS[how]()) == {str(tenant_id)}


def test_aggregates_count_the_tenants_rows_only(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        assert Customer.select().count() == 2
        assert Customer.select(fn.max(Customer.number)).scalar() == "1"
        assert Customer.select().where(fn.EXISTS(Invoice.select())).count() == 2
        assert len(Customer) == 2


def test_a_left_join_stays_outer(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        Customer.create(number="lonely", name="x", country="DE")
        rows = Customer.select(Customer.number, Invoice.id).join(
            Invoice, JOIN.LEFT_OUTER, on=(Invoice.customer == Customer.id)
        )
        assert sorted(number for number, invoice in rows.tuples() if invoice is None) == ["lonely"]


def test_an_existence_test_over_the_other_tenants_rows_is_empty(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        found = Customer.select().where(
            fn.EXISTS(Invoice.select().where(Invoice.number == "2"))  # only b has a third
        )
        assert found.count() == 0


def test_relations_stay_in_the_tenant(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        customer = Customer.get(Customer.number == "0")
        assert [i.number for i in customer.invoices] == ["0"]
        assert Invoice.get(Invoice.number == "0").customer == customer
        loaded = prefetch(Customer.select(), Invoice.select())
        assert sum(len(c.invoices) for c in loaded) == 2


def test_a_deep_nest_of_subqueries_compiles_in_linear_time(unprotected: Pair) -> None:
    calls = 0
    query = Customer.select(Customer.id)
    for _ in range(30):  # 2**30 compilations, were each level compiled twice
        query = Customer.select(Customer.id).where(Customer.id.in_(query))
    with scope_of(unprotected.a):
        calls = query.sql()[0].count("tenant_id")
    assert calls == 31


def test_a_query_object_serves_whoever_executes_it(unprotected: Pair) -> None:
    query = Customer.select(Customer.name)
    for tenant_id in (unprotected.a, unprotected.b, unprotected.a):
        with scope_of(tenant_id):
            assert {c.name.partition(":")[0] for c in query} == {str(tenant_id)}


# -- writes ----------------------------------------------------------------------------


def test_an_update_of_everything_reaches_the_tenants_rows_only(
    unprotected: Pair, owner_sql: Callable[..., Rows]
) -> None:
    with scope_of(unprotected.a):
        assert Customer.update(country="FR").execute() == 2
        assert Customer.update(country="IT").orwhere(Customer.number == "0").execute() == 1
    assert owner_sql("SELECT count(*) FROM shop.customers WHERE country = 'DE'") == [(3,)]


def test_an_update_from_another_table_is_scoped_on_both_sides(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        changed = (
            Customer.update(country="FR")
            .from_(Invoice)
            .where(Invoice.number == Customer.number)
            .execute()
        )
        assert changed == 2
        other = Customer.update(country="XX").from_(Invoice).where(Invoice.number == "2")
        assert other.execute() == 0


def test_a_delete_of_everything_reaches_the_tenants_rows_only(
    unprotected: Pair, owner_sql: Callable[..., Rows]
) -> None:
    with scope_of(unprotected.a):
        assert Invoice.delete().execute() == 2
        assert Customer.delete().where(Customer.number.in_(["0", "2"])).execute() == 1
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(3,)]
    assert owner_sql("SELECT count(*) FROM shop.customers") == [(4,)]


def test_every_kind_of_insert_is_stamped(unprotected: Pair, owner_sql: Callable[..., Rows]) -> None:
    row = {"name": "n", "country": "DE"}
    with scope_of(unprotected.a):
        Customer.insert(number="i", **row).execute()
        Customer.insert_many([{"number": "m1", **row}, {"number": "m2", **row}]).execute()
        Customer.insert_many(
            [("t", "n", "DE")], fields=[Customer.number, Customer.name, Customer.country]
        ).execute()
        Customer.bulk_create([Customer(number="b", **row)])
        Customer.get_or_create(number="g", defaults=row)
        Customer.insert_from(
            Customer.select(
                fn.gen_random_uuid(),
                fn.upper(Customer.country),
                Customer.name,
                Customer.country,
                Customer.created_at,
            ).where(Customer.number == "0"),
            [Customer.id, Customer.number, Customer.name, Customer.country, Customer.created_at],
        ).execute()
        table = Table("customers", schema="shop").bind(database.obj)
        table.insert(
            {
                table.c.id: str(new_id()),
                table.c.number: "T",
                table.c.name: "n",
                table.c.country: "DE",
                table.c.created_at: utc_now(),
            }
        ).execute()
    assert owner_sql(
        "SELECT count(*) FROM shop.customers WHERE tenant_id = %s", (str(unprotected.a),)
    ) == [(10,)]


def test_an_upsert_arbitrates_within_the_tenant(
    unprotected: Pair, owner_sql: Callable[..., Rows]
) -> None:
    with scope_of(unprotected.a):
        Customer.insert(number="0", name="new", country="FR").on_conflict(
            conflict_target=[Customer.number], preserve=[Customer.name]
        ).execute()
        assert Customer.get(Customer.number == "0").name == "new"
        Customer.insert(number="2", name="a's own", country="FR").on_conflict(
            conflict_target=[Customer.number], update={Customer.name: "stolen"}
        ).execute()
    assert owner_sql("SELECT count(*) FROM shop.customers WHERE name IN ('new', 'stolen')") == [
        (1,)
    ]


WRITES_ACROSS: dict[str, Callable[[Pair], Any]] = {
    "insert": lambda p: Customer.insert(
        tenant_id=p.b, number="x", name="x", country="DE"
    ).execute(),
    "create": lambda p: Customer.create(tenant_id=p.b, number="x", name="x", country="DE"),
    "insert_many": lambda p: Customer.insert_many(
        [{"tenant_id": p.b, "number": "x", "name": "x", "country": "DE"}]
    ).execute(),
    "insert_many tuples": lambda p: Customer.insert_many(
        [(p.b, "x", "x", "DE")],
        fields=[Customer.tenant_id, Customer.number, Customer.name, Customer.country],
    ).execute(),
    "update": lambda p: Customer.update(tenant_id=p.b).execute(),
    "upsert": lambda p: (
        Customer.insert(number="0", name="x", country="DE")
        .on_conflict(conflict_target=[Customer.number], update={Customer.tenant_id: p.b})
        .execute()
    ),
}


@pytest.mark.parametrize("how", WRITES_ACROSS)
def test_a_write_that_names_another_tenant_is_refused_before_it_is_sent(
    unprotected: Pair, how: str
) -> None:
    sent: list[str] = []
    database.obj.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(unprotected.a), pytest.raises(TenantMismatchError):
        WRITES_ACROSS[how](unprotected)
    assert sent == []


def test_an_object_of_another_tenant_is_refused(unprotected: Pair) -> None:
    with scope_of(unprotected.b):
        foreign = Customer.get(Customer.number == "0")
    with scope_of(unprotected.a):
        for use in (
            lambda: Invoice.create(number="x", customer=foreign, issued_at=utc_now()),
            lambda: Invoice.update(customer=foreign).execute(),
            lambda: list(Invoice.select().where(Invoice.customer == foreign)),
            foreign.save,
            foreign.delete_instance,
            lambda: Invoice.get(Invoice.number == "0").__setattr__("customer", foreign),
        ):
            with pytest.raises(TenantMismatchError):
                use()


def test_a_relation_is_not_followed_under_another_tenant_or_none(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        invoice = Invoice.get(Invoice.number == "0")
    with scope_of(unprotected.b), pytest.raises(TenantMismatchError):
        _ = invoice.customer
    with pytest.raises(NoTenantError):
        _ = invoice.customer


def test_saving_what_is_gone_raises(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        invoice = Invoice.get(Invoice.number == "0")
        Invoice.delete().where(Invoice.number == "0").execute()
        invoice.status = "paid"
        with pytest.raises(StaleObjectError):
            invoice.save()
        with pytest.raises(StaleObjectError):
            invoice.delete_instance()


def test_a_new_object_with_an_id_of_its_own_is_inserted(unprotected: Pair) -> None:
    with scope_of(unprotected.a):
        mine = new_id()
        customer = Customer(id=mine, number="new", name="n", country="DE")
        customer.save()
        customer.name = "renamed"
        customer.save()
        assert Customer.get_by_id(mine).name == "renamed"


# -- fail closed -----------------------------------------------------------------------


def test_without_a_tenant_nothing_is_sent(installation: Installation) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    for use in (
        lambda: list(Customer.select()),
        lambda: Customer.create(number="1", name="n", country="DE"),
        lambda: Customer.update(name="x").execute(),
        lambda: Customer.delete().execute(),
        lambda: installation.app.execute_sql("SELECT 1"),
        lambda: installation.app.atomic().__enter__(),
    ):
        with pytest.raises(NoTenantError):
            use()
    assert sent == []
    assert installation.app_connections.pool.in_use == 0


def test_unknown_tables_and_raw_sql_are_refused(unprotected: Pair) -> None:
    db = database.obj
    with scope_of(unprotected.a):
        with pytest.raises(UnscopableError):
            list(Table("customers").bind(db).select())
        with pytest.raises(UnscopableError):
            list(Table("logins", schema="tenure").bind(db).select())
        with pytest.raises(UnscopableError):
            Customer.insert_from(
                Customer.select(Customer.tenant_id, Customer.number),
                [Customer.tenant_id, Customer.number],
            ).execute()
        for raw in (
            lambda: list(Customer.raw("SELECT * FROM shop.customers")),
            lambda: list(Customer.select().where(SQL("true OR 1 = 1"))),
            lambda: list(Select([SQL("shop.customers")], [SQL("name")]).bind(db)),
            lambda: list(Customer.select(SQL("(SELECT max(name) FROM shop.customers)"))),
            lambda: db.execute_sql("SELECT * FROM shop.customers"),
        ):
            with pytest.raises(UnprovenSqlError):
                raw()


def test_another_tenants_scope_inside_a_transaction_is_refused(unprotected: Pair) -> None:
    with scope_of(unprotected.a), database.obj.atomic():
        with pytest.raises(NestedTenantError), scope_of(unprotected.b):
            pass
        with scope_of(unprotected.a):
            assert Customer.select().count() == 2


def test_a_transaction_rolls_back_and_gives_its_connection_back(
    installation: Installation, pair: Pair
) -> None:
    db = installation.app
    with scope_of(pair.a):
        with pytest.raises(ZeroDivisionError), db.atomic():  # noqa: PT012 - all of it rolls back
            Customer.update(country="FR").execute()
            with db.atomic():
                Product.create(sku="x", unit_price=1)
            _ = 1 / 0
        assert Customer.select().where(Customer.country == "FR").count() == 0
        assert Product.select().count() == 0
    assert installation.app_connections.pool.in_use == 0
    with scope_of(pair.b), db.atomic():  # the next transaction is another tenant's
        assert Customer.select().count() == 3


def test_one_message_carries_a_lone_statement(installation: Installation, pair: Pair) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(pair.a):
        list(Customer.select())
    assert len(sent) == 1
    assert sent[0].startswith(MESSAGE_BEGINS)


def test_rows_of_every_model_can_be_written_and_read(
    installation: Installation, pair: Pair
) -> None:
    with scope_of(pair.a):
        customer = Customer.get(Customer.number == "0")
        CustomerProfile.create(customer=customer, newsletter=True)
        invoice = Invoice.get(Invoice.number == "0")
        product = Product.create(sku="x", unit_price="1.5")
        InvoiceLine.create(
            invoice=invoice, product=product, line_no=1, quantity=-1, unit_price="1.5"
        )
        line = InvoiceLine.select(InvoiceLine, Invoice).join(Invoice).get()
        assert line.invoice.customer.profiles.get().newsletter is True
