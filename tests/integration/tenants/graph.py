"""A graph of models that has every kind of relation, and worlds to ask the same query in.

`crowd` holds three tenants and has no row-level security, so that the query layer alone is
judged; `alone` are databases that hold one tenant's rows each, asked by peewee without any
scoping. The tenants' rows have the same keys and overlapping values: whatever is not scoped
shows.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import peewee
import psycopg2
from peewee import BaseQuery, DeferredThroughModel, Model

from tenants.catalog import Catalog, SoftReference, TableName, catalog_of
from tenants.connections import connect_role
from tenants.context import TenantId, tenant_scope
from tenants.database import TenantDatabase
from tenants.models import (
    ForeignKeyField,
    GlobalModel,
    IntegerField,
    ManyToManyField,
    TenantModel,
    TextField,
    UUIDField,
    VersionField,
    database,
)
from tenants.schema import _create_table, _foreign_keys, _indexes
from tenants.seal import Sealer

TENANTS = tuple(TenantId(uuid.UUID(int=n << 120 | 7)) for n in (1, 2, 3))


class _Atlas(TenantModel):
    class Meta:
        schema = "atlas"


_through: Any = DeferredThroughModel()


class Unit(GlobalModel):
    """Belongs to no tenant: nothing is to be added to it."""

    code = TextField(unique=True)
    factor = IntegerField()

    class Meta:
        schema = "atlas"
        table_name = "units"
        exemption = "units of measurement are everybody's"


class Team(_Atlas):
    name = TextField()
    parent = ForeignKeyField("self", backref="children", null=True)
    size = IntegerField(default=0)

    class Meta:
        table_name = "teams"
        indexes = ((("name",), True),)


class Person(_Atlas):
    name = TextField()
    nick = TextField(null=True)
    rank = IntegerField()
    unit = TextField(default="kg")
    teams = ManyToManyField(Team, backref="people", through_model=_through)

    class Meta:
        table_name = "people"
        indexes = ((("name",), True),)


class Passport(_Atlas):
    """One to one."""

    holder = ForeignKeyField(Person, backref="passports", unique=True)
    number = TextField()

    class Meta:
        table_name = "passports"


class Membership(_Atlas):
    """Many to many."""

    person = ForeignKeyField(Person, backref="memberships")
    team = ForeignKeyField(Team, backref="memberships")
    since = IntegerField(default=2000, null=True)

    class Meta:
        table_name = "memberships"
        indexes = ((("person", "team"), True),)


_through.set_model(Membership)


class Remark(_Atlas):
    """Soft reference."""

    subject_type = TextField()
    subject_id = UUIDField()
    body = TextField()

    class Meta:
        table_name = "remarks"
        soft_references = (
            SoftReference(
                column="subject_id",
                kind_column="subject_type",
                targets=(
                    ("person", TableName("atlas", "people")),
                    ("team", TableName("atlas", "teams")),
                ),
            ),
        )


class Article(_Atlas):
    """With a version."""

    title = TextField()
    words = IntegerField(default=0)
    version = VersionField()

    class Meta:
        table_name = "articles"
        indexes = ((("title",), True),)


class Comment(_Atlas):
    """Refers to what has a version."""

    article = ForeignKeyField(Article, backref="comments")
    body = TextField()

    class Meta:
        table_name = "comments"


class Measure(_Atlas):
    """Refers to what belongs to no tenant."""

    unit = ForeignKeyField(Unit, backref="measures")
    amount = IntegerField()

    class Meta:
        table_name = "measures"


MODELS: tuple[Any, ...] = (
    *(Unit, Team, Person, Passport, Membership, Remark, Article, Comment, Measure),
)
ATLAS: Catalog = catalog_of(MODELS)


def key(model: type[Model], number: int) -> uuid.UUID:
    """The key of a row: the same for every tenant."""
    return uuid.UUID(int=MODELS.index(model) << 64 | number)


Row = Mapping[str, Any]


def rows_of(tenant: TenantId) -> dict[str, list[Row]]:
    """What a tenant has: the same keys as the others, other and fewer or more rows."""
    rng = random.Random(f"atlas {tenant}")
    place = TENANTS.index(tenant)
    rows: dict[str, list[Row]] = {model.__name__: [] for model in MODELS}

    def add(model: Any, n: int, /, **values: Any) -> None:
        rows[model.__name__].append({"id": key(model, n), "tenant_id": tenant, **values})

    teams, people = 4 + place, 5 + 2 * place
    for n in range(teams):
        parent = key(Team, rng.randrange(n)) if n else None
        add(Team, n, name=f"team {n}", parent_id=parent, size=rng.randrange(4))
    for n in range(people):
        nick = rng.choice((None, f"nick {place}", f"nick {n}"))
        add(Person, n, name=f"name {n}", nick=nick, rank=rng.randrange(4), unit=rng.choice("gkx"))
        if rng.random() < 0.7:
            add(Passport, n, holder_id=key(Person, n), number=f"{place}-{n}")
        for team in rng.sample(range(teams), rng.randrange(3)):
            add(
                Membership,
                n * 100 + team,
                person_id=key(Person, n),
                team_id=key(Team, team),
                since=2000 + rng.randrange(4),
            )
        kind, about = rng.choice((("person", Person), ("team", Team)))
        subject = key(about, rng.randrange(4))
        add(Remark, n, subject_type=kind, subject_id=subject, body=f"by {place}")
        add(Article, n, title=f"title {n}", words=rng.randrange(9), version=1 + rng.randrange(3))
        add(Comment, n, article_id=key(Article, rng.randrange(n + 1)), body=f"comment {n}")
        add(Measure, n, unit_id=key(Unit, n % 4), amount=100 * place + n)
    return rows


UNITS = [{"id": key(Unit, n), "code": code, "factor": n + 1} for n, code in enumerate("gkmx")]


def serving(tenant: TenantId) -> Any:
    """Open the tenant's scope."""
    return tenant_scope(tenant, actor="test", trace_id="0" * 32)


class World:
    """`crowd`: all tenants, scoped by the query layer alone. `alone`: one tenant each.

    No dataclass: hypothesis would show all of it.
    """

    def __init__(
        self, crowd: TenantDatabase, alone: Mapping[TenantId, peewee.PostgresqlDatabase]
    ) -> None:
        self.crowd = crowd
        self.alone = alone
        self.sent: list[str] = []

    def ask(self, tenant: TenantId, what: Callable[[], Any]) -> tuple[Any, Any]:
        """What the tenant is told in the crowd, and what alone; each with what is there then.

        Both run in a transaction that is rolled back.
        """
        with using(self.crowd), serving(tenant):
            told = _tried(self.crowd, tenant, what)
        with using(self.alone[tenant]), serving(tenant):
            wanted = _tried(self.alone[tenant], tenant, what)
        return told, wanted


def _tried(db: Any, tenant: TenantId, what: Callable[[], Any]) -> Any:
    with db.atomic() as transaction:
        before = _others(db, tenant)
        try:
            answer = plain(what())
        except peewee.DatabaseError as error:
            transaction.rollback(False)
            return type(error), str(error).partition("\n")[0]
        assert _others(db, tenant) == before, "others' rows were changed"
        found = _contents(db, tenant)
        transaction.rollback(False)
    return answer, found


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _contents(db: Any, tenant: TenantId) -> list[Any]:
    """All rows of a tenant, as text; keys that were made meanwhile are all the same."""
    parts = [
        f"SELECT '{model._meta.table_name}', t::text FROM atlas.{model._meta.table_name} t"
        + ("" if model is Unit else f" WHERE tenant_id = '{tenant}'")
        for model in MODELS
    ]
    cursor = db._state.conn.cursor()
    cursor.execute(" UNION ALL ".join(parts))
    return sorted((table, _UUID.sub(_known, row)) for table, row in cursor.fetchall())


def _known(found: re.Match[str]) -> str:
    text = found.group()
    return text if uuid.UUID(text) in _KNOWN_KEYS or uuid.UUID(text) in TENANTS else "new"


def _others(db: Any, tenant: TenantId) -> list[Any]:
    parts = [
        f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM"
        f" atlas.{model._meta.table_name} t WHERE tenant_id <> '{tenant}'"
        for model in MODELS
        if model is not Unit
    ]
    cursor = db._state.conn.cursor()
    cursor.execute(" UNION ALL ".join(parts))
    return list(cursor.fetchall())


_KNOWN_KEYS = frozenset(key(model, n) for model in MODELS for n in range(2000))


def plain(value: Any) -> Any:
    """The answer as values that can be compared; rows without an order are sorted."""
    if isinstance(value, uuid.UUID):
        return value if value in _KNOWN_KEYS or value in TENANTS else "new"
    if isinstance(value, Model):
        data = value.__data__
        related = {name: plain(rel) for name, rel in value.__rel__.items()}
        return type(value).__name__, {k: plain(v) for k, v in data.items()}, related
    if isinstance(value, BaseQuery):
        rows = [plain(row) for row in value]
        return rows if getattr(value, "_order_by", None) else sorted(rows, key=repr)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, list | set | frozenset | peewee.CursorWrapper | Iterator):
        return sorted(map(plain, value), key=repr)
    return value


@contextmanager
def using(db: Any) -> Iterator[None]:
    """Bind the models to a database."""
    before = database.obj
    database.initialize(db)
    try:
        yield
    finally:
        database.initialize(before)


def _fill(url: str, tenants: list[TenantId]) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE SCHEMA atlas")
    for table in ATLAS:
        cursor.execute(_create_table(table))
        for statement in _indexes(table):
            cursor.execute(statement)
            if len(tenants) == 1 and "UNIQUE" in statement:
                # Plain peewee arbitrates without a tenant.
                cursor.execute(statement.replace('"tenant_id", ', "").replace('_key"', '_own"'))
        if len(tenants) == 1:
            cursor.execute(f"ALTER TABLE {table.name} ALTER id SET DEFAULT gen_random_uuid()")
            if table.kind == "tenant":
                cursor.execute(
                    f"ALTER TABLE {table.name} ALTER tenant_id SET DEFAULT '{tenants[0]}'"
                )
    everything = {"Unit": UNITS}
    for tenant in tenants:
        for name, rows in rows_of(tenant).items():
            everything.setdefault(name, [])
            everything[name] = [*everything[name], *rows]
    for model in MODELS:
        for row in everything[model.__name__]:
            columns = ", ".join(row)
            places = ", ".join(["%s"] * len(row))
            cursor.execute(
                f"INSERT INTO atlas.{model._meta.table_name} ({columns}) VALUES ({places})",
                [str(v) if isinstance(v, uuid.UUID) else v for v in row.values()],
            )
    for table in ATLAS:
        for statement in _foreign_keys(table):
            cursor.execute(statement)
    connection.close()


@contextmanager
def open_world(cluster: Any, name: str) -> Iterator[World]:
    """Make the databases, and drop them at the end."""
    before = database.obj
    with ExitStack() as stack:

        def make(which: str, tenants: list[TenantId]) -> str:
            made = f"{name}_{which}"
            cluster.create_database(made)
            stack.callback(cluster.drop_database, made)
            _fill(cluster.url(made), tenants)
            return str(cluster.url(made))

        connections = connect_role(
            "tenure_app", make("crowd", list(TENANTS)), Sealer("plain", bytes(32))
        )
        # No policies, no roles: nothing but the query layer.
        connections.in_transaction = lambda *_: "SELECT 1"  # type: ignore[method-assign]
        stack.callback(connections.pool.close)
        crowd = TenantDatabase(connections, ATLAS)
        alone = {}
        for number, tenant in enumerate(TENANTS):
            parts = urlsplit(make(f"alone_{number}", [tenant]))
            alone[tenant] = peewee.PostgresqlDatabase(
                parts.path[1:],
                host=parts.hostname,
                port=parts.port,
                user=parts.username,
                password=parts.password,
                options="-c search_path=pg_catalog,pg_temp -c timezone=UTC",
            )
            stack.callback(alone[tenant].close)
        world = World(crowd, alone)
        crowd.query_hooks.append(lambda event: world.sent.append(event.sql))
        try:
            yield world
        finally:
            database.initialize(before)
