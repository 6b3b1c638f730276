"""Those who do the same five things to customers, each as its users would write it.

Each is a context manager and has: `page` (50 rows), `single` (one row by id), `insert` (one
row), `update` (one row by id, in a transaction of its own), `bulk` (1,000 rows in one
transaction). All take the number of the round, so that all ask for the same things.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

import peewee
import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values
from sqlalchemy import orm

from api.wiring import Installation, connections_of, open_installation
from benchmarks.customers import COLUMNS, Customers, page_start
from config.settings import Settings
from tenants.bulk import bulk_insert
from tenants.context import TenantId, tenant_scope
from tenants.models import new_id

BULK_ROWS = 1000
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_INSERTED = "id, {tenant}, number, name, email, country, created_at"
_PAGE = f"SELECT {COLUMNS} FROM {{table}} WHERE {{scope}}number > %s ORDER BY number LIMIT 50"
_SINGLE = f"SELECT {COLUMNS} FROM {{table}} WHERE {{scope}}id = %s"
_UPDATE = "UPDATE {table} SET name = %s WHERE {scope}id = %s"


class Contender(Protocol):
    """What is timed."""

    def page(self, number: int) -> object: ...
    def single(self, number: int) -> object: ...
    def insert(self, number: int) -> object: ...
    def update(self, number: int) -> object: ...
    def bulk(self, number: int) -> object: ...


def _row(tenant: UUID) -> tuple[Any, ...]:
    key = new_id()
    return (key, tenant, f"n{key}", "New", None, "DE", WHEN)


def _named() -> dict[str, Any]:
    return {
        "number": f"n{new_id()}",
        "name": "New",
        "email": None,
        "country": "DE",
        "created_at": WHEN,
    }


def _found(row: Any) -> Any:
    if row is None:
        raise RuntimeError("a row that is there was not found")
    return row


class Psycopg2:
    """Hand-written SQL on the table without tenancy, one connection, autocommit."""

    def __init__(self, customers: Customers, url: str) -> None:
        self.customers = customers
        connection = psycopg2.connect(url)
        connection.autocommit = True
        self.cursor = connection.cursor()

    def page(self, number: int) -> object:
        self.cursor.execute(_PAGE.format(table="customers", scope=""), (page_start(number),))
        return self.cursor.fetchall()

    def single(self, number: int) -> object:
        key = self.customers.target(number).key
        self.cursor.execute(_SINGLE.format(table="customers", scope=""), (key,))
        return _found(self.cursor.fetchone())

    def insert(self, number: int) -> None:
        execute_values(self.cursor, self._into, [_row(self.customers.target(number).tenant)])

    def update(self, number: int) -> None:
        key = self.customers.target(number).key
        self.cursor.execute("BEGIN")
        self.cursor.execute(_UPDATE.format(table="customers", scope=""), (f"Name {number}", key))
        self.cursor.execute("COMMIT")

    def bulk(self, number: int) -> object:
        rows = [_row(self.customers.target(number).tenant) for _ in range(BULK_ROWS)]
        return execute_values(self.cursor, self._into, rows, page_size=BULK_ROWS)

    _into = f"INSERT INTO customers ({_INSERTED.format(tenant='tenant')}) VALUES %s"


class Statements:
    """The same SQL with the tenant in it, sent as the application sends a statement."""

    def __init__(self, customers: Customers, settings: Settings) -> None:
        self.customers = customers
        self.connections = connections_of(settings, "tenure_app", size=1)
        self.connection = self.connections.pool.acquire()
        self.cursor = self.connection.cursor()

    def _send(self, tenant: UUID, statement: str, params: tuple[Any, ...]) -> None:
        context = self.connections.before_statement(self.connection, TenantId(tenant))
        self.cursor.execute(context + statement, params)

    def page(self, number: int) -> object:
        tenant = self.customers.target(number).tenant
        self._send(tenant, self._page, (str(tenant), page_start(number)))
        return self.cursor.fetchall()

    def single(self, number: int) -> object:
        target = self.customers.target(number)
        self._send(target.tenant, self._single, (str(target.tenant), target.key))
        return _found(self.cursor.fetchone())

    def insert(self, number: int) -> None:
        self._insert(self.customers.target(number).tenant, 1)

    def update(self, number: int) -> None:
        target = self.customers.target(number)
        context = self.connections.in_transaction(self.connection, TenantId(target.tenant))
        self.cursor.execute(f"BEGIN; {context}")
        self.cursor.execute(self._update, (f"Name {number}", str(target.tenant), target.key))
        self.cursor.execute("COMMIT")

    def bulk(self, number: int) -> None:
        self._insert(self.customers.target(number).tenant, BULK_ROWS)

    def _insert(self, tenant: UUID, rows: int) -> None:
        context = self.connections.before_statement(self.connection, TenantId(tenant))
        into = f"{context}INSERT INTO shop.customers ({_INSERTED.format(tenant='tenant_id')})"
        execute_values(
            self.cursor, f"{into} VALUES %s", [_row(tenant) for _ in range(rows)], page_size=rows
        )

    _page = _PAGE.format(table="shop.customers", scope="tenant_id = %s AND ")
    _single = _SINGLE.format(table="shop.customers", scope="tenant_id = %s AND ")
    _update = _UPDATE.format(table="shop.customers", scope="tenant_id = %s AND ")


class PlainCustomer(peewee.Model):
    """The table without tenancy, for peewee without ours."""

    id = peewee.UUIDField(primary_key=True, default=new_id)
    tenant = peewee.UUIDField()
    number = peewee.TextField()
    name = peewee.TextField()
    email = peewee.TextField(null=True)
    country = peewee.TextField()
    created_at = peewee.DateTimeField()
    deleted_at = peewee.DateTimeField(null=True)

    class Meta:
        table_name = "customers"


class Peewee:
    """peewee as it comes, on the table without tenancy."""

    model: Any = PlainCustomer

    def __init__(self, customers: Customers, database: Any) -> None:
        self.customers = customers
        self.database = database

    def page(self, number: int) -> object:
        model = self.model
        query = model.select().where(model.number > page_start(number))
        return list(query.order_by(model.number).limit(50))

    def single(self, number: int) -> object:
        return self.model.get_by_id(self.customers.target(number).key)

    def insert(self, number: int) -> object:
        return self.model.create(**self._values(number))

    def update(self, number: int) -> object:
        model, key = self.model, self.customers.target(number).key
        with self.database.atomic():
            return model.update(name=f"Name {number}").where(model.id == key).execute()

    def bulk(self, number: int) -> object:
        rows = [{"id": new_id(), **self._values(number)} for _ in range(BULK_ROWS)]
        with self.database.atomic():
            return self.model.insert_many(rows).execute()

    def _values(self, number: int) -> dict[str, Any]:
        return _named() | {"tenant": self.customers.target(number).tenant}


class Models(Peewee):
    """Our models: the same queries, under a tenant."""

    def __init__(self, customers: Customers, installation: Installation) -> None:
        super().__init__(customers, installation.app)
        self.model = next(m for m in installation.domain.models if m.__name__ == "Customer")

    def page(self, number: int) -> object:
        with self._scope(number):
            return super().page(number)

    def single(self, number: int) -> object:
        with self._scope(number):
            return super().single(number)

    def insert(self, number: int) -> object:
        with self._scope(number):
            return super().insert(number)

    def update(self, number: int) -> object:
        with self._scope(number):
            return super().update(number)

    def bulk(self, number: int) -> object:
        with self._scope(number):
            return bulk_insert(
                self.model, ({"id": new_id(), **self._values(number)} for _ in range(BULK_ROWS))
            )

    def _scope(self, number: int) -> Any:
        tenant = self.customers.target(number).tenant
        return tenant_scope(tenant, actor="benchmark", trace_id="0" * 32)

    def _values(self, number: int) -> dict[str, Any]:
        return _named()


class _Base(orm.DeclarativeBase):
    pass


class AlchemyCustomer(_Base):
    """The shop's table, for SQLAlchemy."""

    __tablename__ = "customers"
    __table_args__ = ({"schema": "shop"},)
    id: orm.Mapped[UUID] = orm.mapped_column(primary_key=True, default=new_id)
    tenant_id: orm.Mapped[UUID]
    number: orm.Mapped[str]
    name: orm.Mapped[str]
    email: orm.Mapped[str | None]
    country: orm.Mapped[str]
    created_at: orm.Mapped[dt.datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    deleted_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))


class SqlAlchemy:
    """The recipe in use elsewhere: a session per unit of work, `with_loader_criteria` for the
    tenant, row-level security behind it by `set_config` after BEGIN. (SQLAlchemy's
    documentation, "Adding global WHERE / ON criteria".) Its sessions expire nothing at commit.
    """

    def __init__(self, customers: Customers, url: str) -> None:
        self.customers = customers
        engine = sa.create_engine(
            url.replace("postgresql://", "postgresql+psycopg2://", 1), pool_size=1
        )
        self.session_of = orm.sessionmaker(engine, expire_on_commit=False)
        sa.event.listen(self.session_of, "do_orm_execute", self._criteria)

    @staticmethod
    def _criteria(state: Any) -> None:
        tenant = state.session.info["tenant"]
        state.statement = state.statement.options(
            orm.with_loader_criteria(
                AlchemyCustomer, lambda cls: cls.tenant_id == tenant, include_aliases=True
            )
        )

    @contextmanager
    def _session(self, number: int) -> Iterator[orm.Session]:
        tenant = self.customers.target(number).tenant
        with self.session_of(info={"tenant": tenant}) as session, session.begin():
            session.execute(
                sa.text("SELECT set_config('tenure.context', :tenant, true)"),
                {"tenant": str(tenant)},
            )
            yield session

    def page(self, number: int) -> object:
        query = (
            sa.select(AlchemyCustomer)
            .where(AlchemyCustomer.number > page_start(number))
            .order_by(AlchemyCustomer.number)
            .limit(50)
        )
        with self._session(number) as session:
            return session.scalars(query).all()

    def single(self, number: int) -> object:
        query = sa.select(AlchemyCustomer).where(
            AlchemyCustomer.id == self.customers.target(number).key
        )
        with self._session(number) as session:
            return session.scalars(query).one()

    def insert(self, number: int) -> None:
        with self._session(number) as session:
            session.add(AlchemyCustomer(**self._values(number)))

    def update(self, number: int) -> object:
        change = (
            sa.update(AlchemyCustomer)
            .where(AlchemyCustomer.id == self.customers.target(number).key)
            .values(name=f"Name {number}")
        )
        with self._session(number) as session:
            return session.execute(change)

    def bulk(self, number: int) -> object:
        with self._session(number) as session:
            rows = [self._values(number) for _ in range(BULK_ROWS)]
            return session.execute(sa.insert(AlchemyCustomer), rows)

    def _values(self, number: int) -> dict[str, Any]:
        tenant = self.customers.target(number).tenant
        return _named() | {"id": new_id(), "tenant_id": tenant}


@contextmanager
def contenders(customers: Customers, mode: str) -> Iterator[dict[str, Contender]]:
    """Yield everyone by name, ours with the context `mode` ("plain" or "sealed").

    SQLAlchemy's recipe can only name the plain context's setting, so it is missing in the other.
    """
    settings = customers.modes[mode]
    database = peewee.PostgresqlDatabase(customers.bare_url)
    database.bind([PlainCustomer])
    installation = open_installation(settings)
    everyone: dict[str, Contender] = {
        "psycopg2": Psycopg2(customers, customers.bare_url),
        "statement": Statements(customers, settings),
        "peewee": Peewee(customers, database),
        "model": Models(customers, installation),
    }
    if mode == "plain":
        everyone["SQLAlchemy"] = SqlAlchemy(customers, settings.role_url("tenure_app"))
    try:
        yield everyone
    finally:
        installation.close()
        database.close()
