"""Those who do the same five things to customers, each as its users would write it.

Each is a context manager and has: `page` (50 rows), `single` (one row by id), `insert` (one
row), `update` (one row by id, in a transaction of its own), `bulk` (1,000 rows in one
transaction). All take the number of the round, so that all ask for the same things.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
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

    table, column, scope = "customers", "tenant", ""

    def __init__(self, customers: Customers, connection: Any) -> None:
        self.customers = customers
        self.connection = connection
        self.cursor = connection.cursor()
        names = {"table": self.table, "scope": self.scope}
        self._page, self._single = _PAGE.format(**names), _SINGLE.format(**names)
        self._update = _UPDATE.format(**names)
        self._into = f"INSERT INTO {self.table} ({_INSERTED.format(tenant=self.column)}) VALUES %s"

    def before(self, _tenant: UUID) -> str:
        """Return what the message of a lone statement begins with."""
        return ""

    def begin(self, _tenant: UUID) -> str:
        """Return what begins a transaction."""
        return "BEGIN"

    def _scope(self, tenant: UUID) -> tuple[str, ...]:
        # As text: so the query layer sends it, too.
        return (str(tenant),) if self.scope else ()

    def page(self, number: int) -> object:
        tenant = self.customers.target(number).tenant
        values = (*self._scope(tenant), page_start(number))
        self.cursor.execute(self.before(tenant) + self._page, values)
        return self.cursor.fetchall()

    def single(self, number: int) -> object:
        target = self.customers.target(number)
        values = (*self._scope(target.tenant), target.key)
        self.cursor.execute(self.before(target.tenant) + self._single, values)
        return _found(self.cursor.fetchone())

    def insert(self, number: int) -> None:
        self._insert(self.customers.target(number).tenant, 1)

    def update(self, number: int) -> None:
        target = self.customers.target(number)
        self.cursor.execute(self.begin(target.tenant))
        values = (f"Name {number}", *self._scope(target.tenant), target.key)
        self.cursor.execute(self._update, values)
        self.cursor.execute("COMMIT")

    def bulk(self, number: int) -> None:
        self._insert(self.customers.target(number).tenant, BULK_ROWS)

    def _insert(self, tenant: UUID, rows: int) -> None:
        into = self.before(tenant) + self._into
        execute_values(self.cursor, into, [_row(tenant) for _ in range(rows)], page_size=rows)


class Keyed(Psycopg2):
    """The same on a table whose keys begin with the tenant, as ours do: and nothing more."""

    table, column, scope = "keyed", "tenant_id", "tenant_id = %s AND "


class Statements(Keyed):
    """The same on ours, sent as the application sends a statement."""

    table = "shop.customers"

    def __init__(self, customers: Customers, settings: Settings) -> None:
        self.connections = connections_of(settings, "tenure_app", size=1)
        super().__init__(customers, self.connections.pool.acquire())

    def before(self, tenant: UUID) -> str:
        return self.connections.before_statement(self.connection, TenantId(tenant))

    def begin(self, tenant: UUID) -> str:
        return f"BEGIN; {self.connections.in_transaction(self.connection, TenantId(tenant))}"


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
        self.engine = sa.create_engine(
            url.replace("postgresql://", "postgresql+psycopg2://", 1), pool_size=1
        )
        self.session_of = orm.sessionmaker(self.engine, expire_on_commit=False)
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


def _connected(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


@contextmanager
def contenders(customers: Customers, mode: str) -> Iterator[dict[str, Contender]]:
    """Yield everyone by name, ours with the context `mode` ("plain" or "sealed").

    SQLAlchemy's recipe can only name the plain context's setting, so it is missing in the other.
    """
    settings = customers.modes[mode]
    with ExitStack() as opened:
        database = peewee.PostgresqlDatabase(customers.bare_url)
        database.bind([PlainCustomer])
        opened.callback(database.close)
        installation = opened.enter_context(closing(open_installation(settings)))
        by_hand = [
            Psycopg2(customers, _connected(customers.bare_url)),
            Keyed(customers, _connected(customers.bare_url)),
            Statements(customers, settings),
        ]
        for one in by_hand:
            opened.callback(one.connection.close)
        everyone: dict[str, Contender] = dict(
            zip(("psycopg2", "keyed", "statement"), by_hand, strict=True)
        )
        everyone["peewee"] = Peewee(customers, database)
        everyone["model"] = Models(customers, installation)
        if mode == "plain":
            alchemy = SqlAlchemy(customers, settings.role_url("tenure_app"))
            opened.callback(alchemy.engine.dispose)
            everyone["SQLAlchemy"] = alchemy
        yield everyone
