"""What cannot be scoped, or names another tenant, raises before anything is sent."""

# ruff: noqa: PLW0108 - a case is made when its turn comes, on the database bound then

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import (
    CTE,
    EXCLUDED,
    SQL,
    Alias,
    CommaNodeList,
    Entity,
    Function,
    Join,
    Model,
    Node,
    NodeList,
    QualifiedNames,
    Select,
    Table,
    Value,
    ValueLiterals,
    fn,
)
from playhouse.postgres_ext import ServerSide, ServerSideQuery
from psycopg2 import extensions
from psycopg2.extras import NumericRange

from tenants.errors import (
    NoTenantError,
    StaleObjectError,
    TenantError,
    TenantMismatchError,
    UnprovenSqlError,
    UnscopableError,
)
from tenants.models import (
    GlobalModel,
    ManyToManyField,
    TenantModel,
    TextField,
    database,
    new_id,
)

from .graph import (
    TENANTS,
    Article,
    Membership,
    Passport,
    Person,
    Team,
    Unit,
    World,
    key,
    serving,
    using,
)

A, B, _ = TENANTS
PEOPLE = Entity("atlas", "people")


def db() -> Any:
    return database.obj


class _Evil(Node):
    """A node of one's own may write whatever it likes."""

    def __sql__(self, ctx: Any) -> Any:
        return ctx.literal("(SELECT max(name) FROM atlas.people)")


class _EvilSelect(peewee.ModelSelect):
    def _apply_ordering(self, ctx: Any) -> Any:
        return ctx.literal(" UNION SELECT name FROM atlas.people")


class _EvilAlias(Alias):
    def unwrap(self) -> Any:
        return Person._meta.table


class _Shadow(GlobalModel):
    """Says it is global; the table is a tenant's."""

    name = TextField()

    class Meta:
        schema = "atlas"
        table_name = "people"
        exemption = "a lie"


class _Unknown(GlobalModel):
    name = TextField()

    class Meta:
        schema = "pg_catalog"
        table_name = "pg_stat_activity"
        exemption = "a lie"


class _Itself:
    """A value that tells the driver how to write it."""

    def __conform__(self, _protocol: Any) -> Any:
        return self

    def getquoted(self) -> bytes:
        return b"(SELECT max(name) FROM atlas.people)"


UNSCOPABLE: dict[str, Callable[[], Any]] = {
    "an arbiter that is a constraint's name": lambda: Person.insert(name="x", rank=1).on_conflict(
        conflict_constraint="people_tenant_name", preserve=[Person.rank]
    ),
    "a table in no catalog": lambda: Table("secrets", schema="atlas").bind(db()).select(),
    "a table without a schema": lambda: Table("people").bind(db()).select(),
    "an Entity without a schema": lambda: Select([Entity("people")], [SQL("*")]).bind(db()),
    "an Entity with a database": lambda: Select([Entity("x", *PEOPLE._path)], [SQL("*")]).bind(
        db()
    ),
    "a system's table": lambda: _Unknown.select(),
    "a common table expression that is a system's table": lambda: Select(
        [CTE("pg_stat_activity", Person.select())], [SQL("*")]
    ).bind(db()),
    "a name that changes its scope": lambda: Select(
        [QualifiedNames(Person._meta.table, peewee.SCOPE_VALUES)], [SQL("*")]
    ).bind(db()),
    "an alias that lies": lambda: Select([_EvilAlias(PEOPLE, "x")], [SQL("*")]).bind(db()),
    "an aliased Entity": lambda: Select([Alias(PEOPLE, "x")], [SQL("*")]).bind(db()),
    "a list in FROM": lambda: Select([NodeList((PEOPLE,))], [SQL("*")]).bind(db()),
    "a string in FROM": lambda: Select(["atlas.people"], [SQL("*")]).bind(db()),
    "a table in a list of columns": lambda: peewee.Update(
        Unit._meta.table, {Unit.factor: Person._meta.table}
    ).bind(db()),
    "an update of an Entity": lambda: peewee.Update(PEOPLE, {"rank": 1}).bind(db()),
    "an update of an alias": lambda: peewee.Update(Person.alias("p"), {Person.rank: 1}).bind(db()),
    "an update of an aliased Table": lambda: (
        (t := Table("people", schema="atlas").alias("x")) and t.update({t.c.rank: 1}).bind(db())
    ),
    "an update of a query": lambda: peewee.Update(Person.select(), {Person.rank: 1}).bind(db()),
    "an update of nothing but the tenant": lambda: Person.update(tenant_id=A),
    "an update by a hidden name": lambda: peewee.Update(
        Person._meta.table, {Alias(Person.name, "tenant_id"): str(B)}
    ).bind(db()),
    "a delete from an Entity": lambda: peewee.Delete(PEOPLE).bind(db()),
    "an insert into an Entity": lambda: peewee.Insert(PEOPLE, {"name": "x"}).bind(db()),
    "an upsert by a hidden name": lambda: Person.insert(name="name 1", rank=1).on_conflict(
        conflict_target=[Person.name], update={Alias(Person.name, "tenant_id"): str(B)}
    ),
    "insert_from with the tenant": lambda: Team.insert_from(
        Person.select(Person.tenant_id, Person.name), [Team.tenant_id, Team.name]
    ),
    "insert_from without columns": lambda: peewee.Insert(Team._meta.table, Person.select()).bind(
        db()
    ),
    "insert_from of SQL": lambda: Team.insert_from(SQL("SELECT 1"), [Team.name]),
    "tuples without columns": lambda: Table("teams", schema="atlas").bind(db()).insert([(1, 2)]),
    "a % in an alias": lambda: Person.select(Person.name.alias("%s")),
    "a % in a name": lambda: Person.select(Entity("t1", "na%sme")),
    "a server-side cursor outside of a transaction": lambda: ServerSide(Person.select()),
    "bulk_update of versions": lambda: Article.bulk_update([Article()], ["words"]),
    "truncate": lambda: Person.truncate_table(),
    "drop": lambda: Person.drop_table(safe=False),
    "create": lambda: Person.create_table(safe=False),
    "an index": lambda: db().execute(Person.index(Person.name)),
    "manual_commit": lambda: db().manual_commit(),
    "session_start": lambda: db().session_start(),
    "session_commit": lambda: db().session_commit(),
    "session_rollback": lambda: db().session_rollback(),
}

UNPROVEN: dict[str, Callable[[], Any]] = {
    "SQL": lambda: Person.select(SQL("(SELECT max(name) FROM atlas.people)")),
    "raw": lambda: Person.raw("SELECT * FROM atlas.people"),
    "execute_sql": lambda: db().execute_sql("SELECT * FROM atlas.people"),
    "delete using": lambda: db().execute_sql("DELETE FROM atlas.people p USING atlas.teams t"),
    "copy": lambda: db().execute_sql("COPY atlas.people TO STDOUT"),
    "values without a place": lambda: Person.select(SQL("*", ["x"]), Person.name.alias("%s")),
    "a node of one's own": lambda: Person.select(_Evil()),
    "a query of one's own": lambda: _EvilSelect(Person, [Person.name]),
    "a server-side query as a node": lambda: db().execute(
        ServerSideQuery(Select([PEOPLE], [SQL("*")]))
    ),
    "ONLY": lambda: Select([fn.ONLY(PEOPLE)], [SQL("*")]).bind(db()),
    "FROM as a function": lambda: Select(
        columns=[NodeList((Entity("name"), fn.FROM(Join(PEOPLE, PEOPLE, "CROSS JOIN"))))]
    ).bind(db()),
    "TABLE as a function": lambda: Select([fn.TABLE(PEOPLE)], [SQL("*")]).bind(db()),
    "a namespace": lambda: Person.select(
        peewee.NamespaceAttribute(peewee._Namespace("1 FROM atlas.people x, x"), "y")
    ),
    "a collation that is a comment": lambda: Person.update(
        {Person.name: Value("x").asc(collation="C--")}
    ),
    "an operator of a negation": lambda: (
        (n := peewee.BitwiseNegated(Value(1)))
        and setattr(n, "op", "1 FROM atlas.people --") is None
        and Person.select(n)
    ),
    "nulls": lambda: (
        (o := Person.name.asc())
        and setattr(o, "nulls", "FIRST, 1") is None
        and Person.select().order_by(o)
    ),
    "a literal in the text": lambda: Person.select(ValueLiterals(Value("%s"))),
    "a value's place in quotes": lambda: Person.select(SQL("'%s'", ["x"])),
    "a value's place in a name": lambda: Person.select(SQL('"%s"', ["x"])),
    "a value that writes itself": lambda: Person.select(fn.upper(_Itself())),
    "AsIs": lambda: Person.select(fn.upper(extensions.AsIs("now()"))),
    "a range whose bounds are SQL": lambda: Person.select(
        fn.lower(NumericRange(" || (SELECT max(name) FROM atlas.people) || ", None))
    ),
    "a far-reaching function": lambda: Person.select(fn.query_to_xml("SELECT 1", True, True, "")),
}

ANOTHERS: dict[str, Callable[[], Any]] = {
    "insert": lambda: Person.insert(tenant_id=B, name="x", rank=1),
    "insert as text": lambda: Person.insert(tenant_id=str(B), name="x", rank=1),
    "insert as a Value": lambda: Person.insert(tenant_id=Value(B), name="x", rank=1),
    "insert as an expression": lambda: Person.insert(
        {Person.tenant_id: fn.gen_random_uuid(), Person.name: "x"}
    ),
    "insert by a hidden name": lambda: Person.insert(
        {Alias(Person.name, "tenant_id"): str(B), Person.rank: 1}
    ),
    "insert into a Table": lambda: (
        (t := Table("teams", schema="atlas").bind(db())) and t.insert({t.c.tenant_id: B})
    ),
    "insert_many": lambda: Person.insert_many([{"tenant_id": B, "name": "x", "rank": 1}]),
    "insert_many, the second": lambda: Person.insert_many(
        [{"name": "x", "rank": 1}, {"name": "y", "rank": 1, "tenant_id": B}]
    ),
    "insert_many, tuples": lambda: Person.insert_many(
        [("x", 1, B)], fields=[Person.name, Person.rank, Person.tenant_id]
    ),
    "insert_many, tuples and names": lambda: Person.insert_many(
        [("x", B)], fields=["name", "tenant_id"]
    ),
    "create": lambda: Person.create(tenant_id=B, name="x", rank=1),
    "a new object": lambda: Person(tenant_id=B, name="x", rank=1).save(),
    "bulk_create": lambda: Person.bulk_create([Person(tenant_id=B, name="x", rank=1)]),
    "get_or_create": lambda: Person.get_or_create(name="new", defaults={"tenant_id": B, "rank": 1}),
    "update": lambda: Person.update(tenant_id=B),
    "update by a subquery": lambda: Person.update(tenant_id=Team.select(Team.tenant_id).limit(1)),
    "update of a Table": lambda: (
        (t := Table("people", schema="atlas").bind(db())) and t.update({t.c.tenant_id: str(B)})
    ),
    "set_by_id": lambda: Person.set_by_id(key(Person, 1), {"tenant_id": B}),
    "upsert": lambda: Person.insert(name="x", rank=1).on_conflict(
        conflict_target=[Person.name], update={Person.tenant_id: B}
    ),
    "upsert, its own tenant": lambda: Person.insert(name="x", rank=1).on_conflict(
        conflict_target=[Person.name], update={"tenant_id": EXCLUDED.tenant_id}
    ),
    "upsert, preserve": lambda: Person.insert(name="x", rank=1).on_conflict(
        conflict_target=[Person.name], preserve=[Person.tenant_id]
    ),
}


@pytest.fixture
def foreign(world: World) -> Any:
    """Another tenant's person, whose key is also one of ours."""
    with using(world.crowd), serving(B):
        return Person.get_by_id(key(Person, 1))


def _run(what: Callable[[], Any]) -> None:
    query = what()
    if isinstance(query, peewee._WriteQuery):
        query.execute()
    elif query is not None:
        list(query)


@pytest.mark.parametrize("how", UNSCOPABLE)
def test_what_cannot_be_scoped_is_not_sent(sent: list[str], how: str) -> None:
    with serving(A), pytest.raises(UnscopableError):
        _run(UNSCOPABLE[how])
    assert sent == []


@pytest.mark.parametrize(
    "how",
    [
        lambda: Person.replace(name="name 0", rank=9),
        lambda: Person.replace_many([{"name": "name 0", "rank": 9}]),
        lambda: Person.insert(name="name 0", rank=9).on_conflict("REPLACE"),
        lambda: Table("people", schema="atlas").bind(db()).replace(name="name 0", rank=9),
    ],
)
def test_what_postgresql_has_not_is_not_sent(sent: list[str], how: Callable[[], Any]) -> None:
    """REPLACE deletes whatever row is in the way: an upsert names its columns."""
    with serving(A), pytest.raises(ValueError, match="only supported actions"):
        how().execute()
    assert sent == []


@pytest.mark.parametrize("how", UNPROVEN)
def test_what_is_not_proven_is_not_sent(sent: list[str], how: str) -> None:
    with serving(A), pytest.raises(UnprovenSqlError):
        _run(UNPROVEN[how])
    assert sent == []


@pytest.mark.parametrize("how", ANOTHERS)
def test_a_row_of_another_tenant_is_not_sent(sent: list[str], how: str) -> None:
    with serving(A), pytest.raises(TenantMismatchError):
        _run(ANOTHERS[how])
    assert [s for s in sent if "SELECT" not in s.partition("; ")[2] and "BEGIN" not in s] == []


WITH_ANOTHERS_OBJECT: dict[str, Callable[[Any], Any]] = {
    "compared": lambda o: Passport.select().where(Passport.holder == o),
    "compared with a key": lambda o: Person.select().where(Person.id == o),
    "in": lambda o: Passport.select().where(Passport.holder.in_([o])),
    "in a function": lambda o: Person.select(fn.coalesce(Person.id, o)),
    "in ON": lambda o: Person.select().join(Passport, on=(Passport.holder == o)),
    "inserted": lambda o: Passport.insert(holder=o, number="x"),
    "inserted as a Value": lambda o: Passport.insert(holder=Value(o), number="x"),
    "inserted in many": lambda o: Passport.insert_many([{"holder": o, "number": "x"}]),
    "inserted in tuples": lambda o: Passport.insert_many([(o,)], fields=[Passport.holder]),
    "inserted in an expression": lambda o: Passport.insert(holder=fn.coalesce(None, o), number="x"),
    "upserted": lambda o: Passport.insert(holder=key(Person, 1), number="x").on_conflict(
        conflict_target=[Passport.holder], update={Passport.holder: o}
    ),
    "created": lambda o: Passport.create(holder=o, number="x"),
    "made": lambda o: Passport(holder=o),
    "updated": lambda o: Passport.update(holder=o),
    "updated in CASE": lambda o: Passport.update(
        holder=peewee.Case(None, ((Passport.number == "x", o),), None)
    ),
    "assigned": lambda o: setattr(Passport.get(), "holder", o),
    "added": lambda o: Team.get().people.add([o]),
    "removed": lambda o: Team.get().people.remove([o]),
    "filtered": lambda o: Passport.filter(holder=o),
    "saved": lambda o: o.save(),
    "deleted": lambda o: o.delete_instance(),
    "deleted with what refers to it": lambda o: o.delete_instance(recursive=True),
    "updated in bulk": lambda o: Person.bulk_update([o], [Person.rank]),
    "created in bulk": lambda o: Person.bulk_create([o]),
    "its relation is read": lambda o: o.passports,
    "its many are read": lambda o: o.teams,
}


@pytest.mark.parametrize("how", WITH_ANOTHERS_OBJECT)
def test_another_tenants_object_is_not_used(sent: list[str], foreign: Any, how: str) -> None:
    sent.clear()
    with serving(A), pytest.raises(TenantMismatchError):
        _run(lambda: WITH_ANOTHERS_OBJECT[how](foreign))
    # At most an object of our own was read, to do something to it.
    assert [s for s in sent if 'SELECT "t1"' not in s] == []


class _Plain(Model):
    """peewee's own: its objects know nothing of tenants."""

    id = peewee.UUIDField(primary_key=True)
    name = peewee.TextField()

    class Meta:
        database = database
        schema = "atlas"
        table_name = "people"


WITH_A_MODEL_THAT_FORGETS: dict[str, Callable[[Any], Any]] = {
    "selected": lambda m: m.select(m.name),
    "aliased": lambda m: (a := m.alias()).select(a.name),
    "bare": lambda m: Select([m], [m.name]).bind(db()),
    "its table": lambda m: Select([m._meta.table], [m.name]).bind(db()),
    "joined": lambda m: Passport.select(Passport, m).join(m, on=(m.id == Passport.holder)),
    "counted": lambda m: Unit.select(m.select(fn.count(m.id))),
    "inserted": lambda m: m.insert(id=key(Person, 99), name="x"),
    "updated": lambda m: m.update(name="x"),
    "deleted": lambda m: m.delete(),
}


@pytest.mark.parametrize("how", WITH_A_MODEL_THAT_FORGETS)
@pytest.mark.parametrize("model", [_Shadow, _Plain])
def test_a_model_whose_objects_forget_their_tenant_reads_no_tenants_table(
    sent: list[str], how: str, model: type[Model]
) -> None:
    """Its rows would be scoped, but an object of A's would be served under B."""
    with serving(A), pytest.raises(UnscopableError, match="TenantModel"):
        WITH_A_MODEL_THAT_FORGETS[how](model).execute()
    assert sent == []


def test_an_on_clause_cannot_go_on_with_further_sources(world: World) -> None:
    """It is written in parentheses, where a list of sources is no condition."""
    with using(world.crowd), serving(A):
        for on in (
            CommaNodeList((Passport.holder == Person.id, PEOPLE)),
            Join(Passport.holder == Person.id, PEOPLE, "CROSS JOIN"),
        ):
            with pytest.raises((peewee.ProgrammingError, TenantError)):
                list(Select([Join(Person, Passport, on=on)], [Entity("people", "name")]).bind(db()))


def test_without_a_scope_nothing_is_sent(sent: list[str]) -> None:
    for what in (
        lambda: list(Person.select()),
        lambda: list(Unit.select()),
        lambda: Person.get_or_none(),
        lambda: len(Person),
        lambda: Person.create(name="x", rank=1),
        lambda: Person.insert_many([{"name": "x", "rank": 1}]).execute(),
        lambda: Person.bulk_create([Person(name="x", rank=1)]),
        lambda: Person.update(rank=1).execute(),
        lambda: Person.delete().execute(),
        lambda: Person.raw("SELECT 1").execute(),
        lambda: list(ServerSide(Person.select())),
        lambda: db().execute_sql("SELECT 1"),
        lambda: db().atomic().__enter__(),
        lambda: Person.select().sql(),
        lambda: Person.update(rank=1).sql(),
        lambda: Person.delete().sql(),
        lambda: Person.insert(name="x", rank=1).sql(),
    ):
        with pytest.raises(NoTenantError):
            what()
    assert sent == []


def test_many_to_many_names_its_model() -> None:
    with pytest.raises(TenantError, match="through_model"):
        ManyToManyField(Team)


def test_a_column_under_another_name_is_still_the_tenants(sent: list[str]) -> None:
    class Renamed(TenantModel):
        owner = peewee.UUIDField(column_name="tenant_id")
        name = TextField()

        class Meta:
            schema = "atlas"
            table_name = "people"

    with serving(A):
        for write in (
            Renamed.update(owner=B),
            Renamed.insert(owner=B, name="x"),
            Renamed.insert(name="x").on_conflict(conflict_target=["name"], update={"owner": B}),
        ):
            with pytest.raises(TenantMismatchError):
                write.execute()
    assert sent == []


@pytest.mark.parametrize("wrapped", [lambda q: q, lambda q: peewee.EnclosedNodeList([q])])
def test_deep_nests_compile_in_linear_time(world: World, wrapped: Callable[[Any], Any]) -> None:
    """peewee compiles the right side of IN twice: at a depth of ten 1,024 times."""
    written = []

    def converter(value: int) -> int:
        written.append(value)
        return value

    query: Any = Person.select(Person.id).where(Person.rank > Value(1, converter))
    for _ in range(10):
        query = Person.select(Person.id).where(Person.id.in_(wrapped(query)))
    with using(world.crowd), serving(A):
        assert query.sql()[0].count('"tenant_id" = %s') == 11
        assert written == [1]


def test_an_empty_list_is_recognised(world: World) -> None:
    with using(world.crowd), serving(A):
        for nothing in ([], (), peewee.EnclosedNodeList([])):
            assert Person.select().where(Person.id.in_(nothing)).count() == 0
            assert Person.select().where(Person.id.not_in(nothing)).count() == 5


def test_the_classes_that_peewee_makes_for_aliases_do_not_pile_up(world: World) -> None:
    from tenants.scoping import _BY_TYPE

    with using(world.crowd), serving(A):
        (p := Person.alias()).select(p.name).where(p.rank > 0).sql()
        before = len(_BY_TYPE)
        for _ in range(20):
            (p := Person.alias()).select(p.name).where(p.rank > 0).sql()
        assert len(_BY_TYPE) == before


def test_a_stale_row_is_noticed(world: World) -> None:
    with using(world.crowd), serving(A), world.crowd.atomic() as transaction:
        gone = Person.create(id=new_id(), name="gone", rank=1)
        Person.delete().where(Person.id == gone.id).execute()
        for what in (gone.save, gone.delete_instance, lambda: Person.bulk_update([gone], ["rank"])):
            with pytest.raises(StaleObjectError):
                what()
        assert Membership.select().count() > 0
        transaction.rollback(False)


def test_a_function_named_by_the_caller_is_raw_sql(sent: list[str]) -> None:
    with serving(A), pytest.raises(UnprovenSqlError):
        list(Person.select(Function("max(name) FROM atlas.people --", ())))
    assert sent == []
