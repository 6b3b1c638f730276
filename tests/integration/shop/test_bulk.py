"""bulk_insert keeps the rules of the scoping: it writes SQL past the compiler."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import peewee
import psycopg2
import pytest
from shop.models import Category, Customer, CustomerProfile, Invoice, Product

from api.wiring import Installation
from config.trace import new_trace_id
from tenants import bulk
from tenants.bulk import bulk_insert
from tenants.context import TenantId, tenant_scope
from tenants.errors import CatalogError, NoTenantError, TenantMismatchError
from tenants.models import GlobalModel, new_id

OwnerSql = Callable[..., list[tuple[Any, ...]]]
AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def scope(tenant: TenantId) -> Any:
    return tenant_scope(tenant, actor="user:test", trace_id=new_trace_id())


def product(sku: str, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "name": f"Thing {sku}", "unit_price": Decimal("1.250"), **more}


@pytest.fixture
def acme(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def other(make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("other")


@pytest.mark.usefixtures("installation")
class TestRows:
    def test_all_pages_arrive_and_are_counted(self, acme: TenantId, owner_sql: OwnerSql) -> None:
        with scope(acme):
            assert (
                bulk_insert(Product, (product(str(i)) for i in range(2503)), page_rows=1000) == 2503
            )
        assert owner_sql(
            "SELECT tenant_id::text, count(*), count(DISTINCT id), sum(unit_price)"
            " FROM shop.products GROUP BY 1"
        ) == [(str(acme), 2503, 2503, Decimal("3128.750"))]

    def test_no_rows_are_no_statement(self, acme: TenantId) -> None:
        with scope(acme):
            assert bulk_insert(Product, []) == 0

    def test_what_a_row_leaves_out_takes_its_default(self, acme: TenantId) -> None:
        with scope(acme):
            bulk_insert(Customer, [{"number": "1", "name": "A", "country": "X"}])
            found = Customer.get()
        assert found.id.version == 7
        assert found.created_at.tzinfo is not None
        assert (found.email, found.deleted_at) == (None, None)

    def test_every_kind_of_value_comes_back_as_it_went_in(self, acme: TenantId) -> None:
        nasty = "100 % '\"\\ %s {} ;--\n€ \U0001f5dd"
        with scope(acme):
            customer = Customer.create(number="1", name="A", country="X")
            rows = [
                {
                    "customer": customer,
                    "birthday": date(1980, 2, 29),
                    "newsletter": True,
                    "notes": nasty,
                }
            ]
            bulk_insert(CustomerProfile, rows)
            profile = CustomerProfile.get()
            assert profile.customer == customer
        assert (profile.birthday, profile.newsletter, profile.notes) == (
            date(1980, 2, 29),
            True,
            nasty,
        )

    def test_a_reference_goes_by_attribute_or_by_column(self, acme: TenantId) -> None:
        with scope(acme):
            root = new_id()
            bulk_insert(Category, [{"id": root, "parent": None, "name": "root"}])
            bulk_insert(Category, [{"parent": root, "name": "a"}])
            bulk_insert(Category, [{"parent_id": root, "name": "b"}])
            assert Category.select().where(Category.parent == root).count() == 2

    def test_rows_that_are_there_are_left_alone_and_not_counted(
        self, acme: TenantId, other: TenantId
    ) -> None:
        with scope(other):
            bulk_insert(Product, [product("1")])
        with scope(acme):
            bulk_insert(Product, [product("1", name="first")])
            rows = [product("1", name="second"), product("2", name="new")]
            assert bulk_insert(Product, rows, skip_existing=("sku",)) == 1
            found = dict(Product.select(Product.sku, Product.name).tuples())
        assert found == {"1": "first", "2": "new"}

    def test_a_row_that_is_there_is_an_error_without_leave_to_skip(self, acme: TenantId) -> None:
        with scope(acme):
            bulk_insert(Product, [product("1")])
            with pytest.raises(peewee.IntegrityError, match="products_sku_key"):
                bulk_insert(Product, [product("2"), product("1")])
            assert Product.select().count() == 1


class TestScoping:
    def test_without_a_scope_nothing_is_sent(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            installation.app_connections.pool, "acquire", lambda: pytest.fail("a connection")
        )
        with pytest.raises(NoTenantError):
            bulk_insert(Product, [product("1")])

    def test_a_row_of_another_tenant_takes_the_whole_call_down(
        self, acme: TenantId, other: TenantId, owner_sql: OwnerSql
    ) -> None:
        rows = [product("1", tenant_id=acme), product("2", tenant_id=other)]
        with scope(acme), pytest.raises(TenantMismatchError, match=str(other)):
            bulk_insert(Product, rows, page_rows=1)
        assert owner_sql("SELECT count(*) FROM shop.products") == [(0,)]

    def test_the_own_tenant_may_be_named(self, acme: TenantId, owner_sql: OwnerSql) -> None:
        with scope(acme):
            assert bulk_insert(Product, [product("1", tenant_id=str(acme))]) == 1
        assert owner_sql("SELECT tenant_id::text FROM shop.products") == [(str(acme),)]

    def test_an_object_of_another_tenant_is_refused(self, acme: TenantId, other: TenantId) -> None:
        with scope(other):
            theirs = Customer.create(number="1", name="A", country="X")
        row = {"number": "1", "customer": theirs, "issued_at": AT}
        with scope(acme), pytest.raises(TenantMismatchError, match=r"Invoice\.customer"):
            bulk_insert(Invoice, [row])

    def test_an_id_of_another_tenant_is_refused_by_the_composite_key(
        self, acme: TenantId, other: TenantId
    ) -> None:
        with scope(other):
            theirs = Customer.create(number="1", name="A", country="X")
        row = {"number": "1", "customer_id": theirs.id, "issued_at": AT}
        with scope(acme), pytest.raises(peewee.IntegrityError, match="invoices_customer_id_fkey"):
            bulk_insert(Invoice, [row])

    def test_a_forged_tenant_is_refused_by_the_database(
        self, acme: TenantId, other: TenantId, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = bulk._Plan.__init__

        def forging(self: Any, *args: Any) -> None:
            honest(self, *args)
            self.tenant_id = other

        monkeypatch.setattr(bulk._Plan, "__init__", forging)
        with scope(acme), pytest.raises(peewee.ProgrammingError, match="row-level security"):
            bulk_insert(Product, [product("1")])

    def test_the_same_insert_by_hand_is_refused_too(
        self, installation: Installation, acme: TenantId, other: TenantId
    ) -> None:
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"),
            installation.app_connections.transaction(acme) as cursor,
        ):
            cursor.execute(
                "INSERT INTO shop.categories (tenant_id, id, name) VALUES (%s, %s, 'x')",
                (str(other), str(new_id())),
            )

    def test_it_belongs_to_the_transaction_that_is_open(
        self, installation: Installation, acme: TenantId
    ) -> None:
        with scope(acme):
            with installation.app.atomic() as transaction:
                bulk_insert(Product, [product("1")])
                assert Product.select().count() == 1
                transaction.rollback()
            assert Product.select().count() == 0


@pytest.mark.usefixtures("installation")
class TestRefusals:
    @pytest.mark.parametrize(
        ("rows", "error", "said"),
        [
            ([{"sku": "1", "colour": "red"}], CatalogError, "no attribute 'colour'; it has id"),
            ([{"sku": "1"}], ValueError, r"Product\.unit_price has no default"),
            ([product("1"), {"sku": "2", "unit_price": 1}], ValueError, "differs .* in name"),
            ([product("1", name=peewee.SQL("now()"))], TypeError, "not SQL expressions"),
            (
                [product("1", created_at=datetime(2026, 1, 1))],  # noqa: DTZ001 - the point
                ValueError,
                "has no time zone",
            ),
        ],
    )
    def test_what_cannot_be_right_is_named(
        self, acme: TenantId, rows: list[dict[str, Any]], error: type[Exception], said: str
    ) -> None:
        with scope(acme), pytest.raises(error, match=said):
            bulk_insert(Product, rows)

    def test_one_field_under_two_names_is_refused(self, acme: TenantId) -> None:
        row = {"name": "a", "parent": None, "parent_id": None}
        with scope(acme), pytest.raises(CatalogError, match="'parent' and 'parent_id'"):
            bulk_insert(Category, [row])

    def test_a_table_that_is_nobodys_is_refused(self, acme: TenantId) -> None:
        class Currency(GlobalModel):
            class Meta:
                schema = "shop"
                exemption = "the same for all"

        with scope(acme), pytest.raises(CatalogError, match="no tenant's table"):
            bulk_insert(Currency, [{}])  # type: ignore[arg-type]  # the point of this test

    def test_a_page_holds_at_least_one_row(self, acme: TenantId) -> None:
        with scope(acme), pytest.raises(ValueError, match="page_rows must be at least 1"):
            bulk_insert(Product, [product("1")], page_rows=0)
