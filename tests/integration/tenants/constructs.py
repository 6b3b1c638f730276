"""Every construct of peewee by which a tenant's table can be reached, over the graph's models.

Each is asked in a crowd of tenants and alone (`graph.World`): the answers must be equal.
"""

# ruff: noqa: PLW0108 - a case is made when its turn comes, on the database bound then

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import peewee
from peewee import (
    DQ,
    EXCLUDED,
    JOIN,
    OP,
    PREFETCH_TYPE,
    Case,
    Entity,
    Expression,
    Load,
    Select,
    Table,
    Value,
    ValuesList,
    Window,
    fn,
    prefetch,
)
from playhouse.postgres_ext import ServerSide

from tenants.models import database, new_id

from .graph import Article, Measure, Membership, Passport, Person, Remark, Team, Unit, key

Ask = Callable[[], Any]


def _db() -> Any:
    return database.obj


def _table(model: Any) -> Any:
    return Table(model._meta.table_name, schema="atlas").bind(_db())


def _person(number: int = 0) -> Any:
    return Person.get_by_id(key(Person, number))


def _on(left: Any, right: Any) -> Any:
    return left.rank == right.size


def _flat_or(left: Any, right: Any) -> Any:
    """As peewee writes it, without parentheses around it."""
    return Expression(left, OP.OR, right, flat=True)


def _recursive() -> Any:
    roots = Team.select(Team.id, Team.name, Value(0).alias("depth")).where(Team.parent.is_null())
    base = roots.cte("tree", recursive=True, columns=("id", "name", "depth"))
    child = Team.alias("child")
    steps = child.select(child.id, child.name, base.c.depth + 1).join(
        base, on=(child.parent == base.c.id)
    )
    tree = base.union_all(steps)
    return tree.select_from(tree.c.id, tree.c.name, tree.c.depth).tuples()


def _lateral(join: str) -> Any:
    best = (
        Membership.select(Membership.since)
        .where(Membership.person == Person.id)
        .order_by(Membership.since, Membership.id)
        .limit(1)
        .alias("best")
    )
    return Person.select(Person.id, best.c.since).join(best, join, on=True).tuples()


def _values() -> Any:
    return ValuesList([(0, "a"), (1, "b"), (2, "c")], columns=["n", "letter"]).alias("v")


def _attributes(instance: Any, *path: str) -> Any:
    for name in path:
        instance = getattr(instance, name)
    return instance


READS: dict[str, Ask] = {
    # -- one table
    "plain": lambda: Person.select(),
    "where": lambda: Person.select().where(Person.rank > 1),
    "or": lambda: Person.select().where((Person.rank == 1) | (Person.rank == 2)),
    "orwhere": lambda: Person.select().where(Person.rank == 1).orwhere(Person.rank == 3),
    "orwhere true": lambda: Person.select().where(Person.rank == 1).orwhere(Value(True)),
    "not": lambda: Person.select().where(~(Person.rank == 1)),
    "alias": lambda: (p := Person.alias("p")).select(p.name, p.rank).tuples(),
    "alias without a name": lambda: (p := Person.alias()).select(p.name).where(p.rank > 0).tuples(),
    "bare Select": lambda: Select([Person], [Person.name]).bind(_db()).tuples(),
    "bare Select of an alias": lambda: (
        (p := Person.alias("p")) and Select([p], [p.name]).bind(_db()).tuples()
    ),
    "bare Table": lambda: (t := _table(Person)).select(t.c.name, t.c.rank).tuples(),
    "bare Table, all columns": lambda: _table(Team).select().tuples(),
    "Table with an alias": lambda: (
        (t := _table(Person).alias("x")) and Select([t], [t.c.name]).bind(_db()).tuples()
    ),
    "two Tables": lambda: (
        (a := _table(Person))
        and (b := _table(Team))
        and Select([a, b], [a.c.name, b.c.name]).where(a.c.rank == b.c.size).bind(_db()).tuples()
    ),
    "Entity in FROM": lambda: (
        Select([Entity("atlas", "people")], [Entity("people", "name")]).bind(_db()).tuples()
    ),
    "from_": lambda: Person.select(Person.name, Team.name).from_(Person, Team).tuples(),
    "global": lambda: Unit.select(),
    "a global's backref": lambda: Unit.get_by_id(key(Unit, 0)).measures,
    "a global's backref, counted": lambda: Unit.get_by_id(key(Unit, 0)).measures.count(),
    "prefetch of a global's": lambda: [
        (unit.code, [measure.amount for measure in unit.measures])
        for unit in prefetch(Unit.select().order_by(Unit.code), Measure.select())
    ],
    "load of a global's": lambda: [
        (unit.code, [measure.amount for measure in unit.measures])
        for unit in Unit.select().order_by(Unit.code).with_related(Load(Unit.measures))
    ],
    "rows joined to a global": lambda: [
        (unit.code, unit.measure.amount) for unit in Unit.select(Unit, Measure).join(Measure)
    ],
    "global, left joined": lambda: (
        Unit.select(Unit.code, Measure.amount).join(Measure, JOIN.LEFT_OUTER).tuples()
    ),
    "a sum beside a global": lambda: [
        (unit.code, unit.total)
        for unit in Unit.select(Unit, fn.sum(Measure.amount).alias("total"))
        .join(Measure, JOIN.LEFT_OUTER)
        .group_by(Unit)
    ],
    "lazy foreign key to a global": lambda: [measure.unit.code for measure in Measure.select()],
    "join to a global": lambda: [
        (measure.amount, measure.unit.code) for measure in Measure.select(Measure, Unit).join(Unit)
    ],
    "rows joined from behind": lambda: [
        (person.name, person.membership.since)
        for person in Person.select(Person, Membership).join(Membership)
    ],
    "global and tenant": lambda: (
        Person.select(Person.name, Unit.factor).join(Unit, on=(Unit.code == Person.unit)).tuples()
    ),
    "filter": lambda: Person.filter(rank__gt=0, name__ilike="name%"),
    "filter over a relation": lambda: Membership.filter(person__rank__gte=1, team__size__lt=3),
    "filter by DQ": lambda: Person.filter(DQ(rank=1) | ~DQ(rank=2)),
    "order, limit, offset": lambda: Person.select().order_by(Person.name).limit(2).offset(1),
    "paginate": lambda: Person.select().order_by(Person.name.desc()).paginate(2, 2),
    "distinct": lambda: Person.select(Person.rank).distinct().tuples(),
    "distinct on": lambda: (
        Person.select(Person.rank, Person.name)
        .distinct(Person.rank)
        .order_by(Person.rank, Person.name)
        .tuples()
    ),
    "case": lambda: Person.select(Case(Person.rank, ((0, "low"), (1, "mid")), "high")).tuples(),
    "for update": lambda: Person.select().where(Person.rank == 1).for_update(),
    "for share of": lambda: (
        Person.select(Person.name).join(Passport).for_update("FOR SHARE", of=Person).tuples()
    ),
    "like and escapes": lambda: Person.select().where(Person.name.contains("e_1")),
    "soft reference": lambda: (
        Remark.select(Remark.body, Person.name)
        .join(Person, on=((Remark.subject_id == Person.id) & (Remark.subject_type == "person")))
        .tuples()
    ),
    "dicts": lambda: Person.select(Person.name, Person.rank).dicts(),
    "namedtuples": lambda: [tuple(r) for r in Person.select(Person.name).namedtuples()],
    "objects": lambda: [
        r.name for r in Person.select(Person.name).objects(lambda **k: SimpleNamespace(**k))
    ],
    "iterator": lambda: list(Person.select().iterator()),
    "server side": lambda: list(ServerSide(Person.select(), array_size=2)),
    "server side, tuples": lambda: list(
        ServerSide(Person.select(Person.name, Team.name).join(Team, on=_on(Person, Team)).tuples())
    ),
    "noop": lambda: Person.noop(),
    # -- one row
    "get": lambda: Person.get(Person.name == "name 1"),
    "get_by_id": lambda: _person(2),
    "get_or_none": lambda: Person.get_or_none(Person.name == "name 10"),
    "a key that others have": lambda: [Person.get_or_none(id=key(Person, n)) for n in range(12)],
    "item": lambda: Person[key(Person, 1)],
    "contains": lambda: [key(Person, n) in Person for n in range(12)],
    "iter of a model": lambda: list(Person),
    "first": lambda: Person.select().order_by(Person.name.desc()).first(),
    "peek": lambda: Person.select().order_by(Person.name.desc()).peek(n=2),
    "scalar": lambda: Person.select(fn.max(Person.name)).scalar(),
    "scalars": lambda: list(Person.select(Person.name).scalars()),
    "slice": lambda: Person.select().order_by(Person.name)[1:3],
    # -- numbers
    "count": lambda: Person.select().count(),
    "count of a limit": lambda: Person.select().limit(100).count(),
    "count distinct": lambda: Person.select(Person.rank).distinct().count(),
    "len of a model": lambda: len(Person),
    "exists": lambda: [Person.select().where(Person.rank == n).exists() for n in range(5)],
    "aggregates": lambda: Person.select(
        fn.count(Person.id), fn.sum(Person.rank), fn.max(Person.nick)
    ).tuples(),
    "group by": lambda: (
        Person.select(Person.rank, fn.count(Person.id)).group_by(Person.rank).tuples()
    ),
    "having": lambda: (
        Person.select(Person.rank, fn.count(Person.id).alias("n"))
        .group_by(Person.rank)
        .having(fn.count(Person.id) > 1)
        .tuples()
    ),
    "having a subquery": lambda: (
        Person.select(Person.rank)
        .group_by(Person.rank)
        .having(fn.count(Person.id) >= Team.select(fn.max(Team.size)))
        .tuples()
    ),
    "aggregate with filter and order": lambda: Person.select(
        fn.array_agg(Person.name).order_by(Person.name),
        fn.count(Person.id).filter(Person.rank > 1),
    ).tuples(),
    "window": lambda: Person.select(
        Person.name,
        fn.rank().over(partition_by=[Person.rank], order_by=[Person.name]),
        fn.sum(Person.rank).over(),
    ).tuples(),
    "named window": lambda: (
        (w := Window(order_by=[Person.name], start=Window.preceding(1)))
        and Person.select(Person.name, fn.sum(Person.rank).over(w)).window(w).tuples()
    ),
    # -- joins
    "join": lambda: (
        Membership.select(Person.name, Team.name)
        .join(Person)
        .switch(Membership)
        .join(Team)
        .tuples()
    ),
    "join to objects": lambda: (
        Membership.select(Membership, Person, Team).join(Person).switch(Membership).join(Team)
    ),
    "left join": lambda: (
        Person.select(Person.name, Passport.number).join(Passport, JOIN.LEFT_OUTER).tuples()
    ),
    "left join with a condition in ON": lambda: (
        Person.select(Person.name, Team.name)
        .join(Team, JOIN.LEFT_OUTER, on=((Team.size == Person.rank) & (Team.size > 1)))
        .tuples()
    ),
    "anti join": lambda: (
        Person.select(Person.name)
        .join(Passport, JOIN.LEFT_OUTER)
        .where(Passport.id.is_null())
        .tuples()
    ),
    "right join": lambda: (
        Passport.select(Person.name, Passport.number).join(Person, JOIN.RIGHT_OUTER).tuples()
    ),
    "full join": lambda: (
        Person.select(Person.name, Team.name)
        .join(Team, JOIN.FULL_OUTER, on=_on(Person, Team))
        .tuples()
    ),
    "cross join": lambda: Person.select(Person.name, Team.name).join(Team, JOIN.CROSS).tuples(),
    "join of aliases": lambda: (
        (a := Person.alias("a"))
        and (b := Person.alias("b"))
        and a.select(a.name, b.name).join(b, on=(a.rank < b.rank)).tuples()
    ),
    "self join": lambda: (
        (up := Team.alias("up"))
        and Team.select(Team.name, up.name).join(up, JOIN.LEFT_OUTER, on=(Team.parent == up.id))
    ).tuples(),
    "join of Joins": lambda: (
        (inner := peewee.Join(Person, Passport, on=(Passport.holder == Person.id)))
        and Select([peewee.Join(inner, Team, JOIN.CROSS)], [Person.name, Team.name])
        .bind(_db())
        .tuples()
    ),
    "operators of Table": lambda: (
        (a := _table(Person))
        and (b := _table(Passport))
        and Select([(a + b).on(a.c.id == b.c.holder_id)], [a.c.name, b.c.number])
        .bind(_db())
        .tuples()
    ),
    "join of a query": lambda: (
        (q := Team.select(Team.size, fn.count(Team.id).alias("n")).group_by(Team.size).alias("q"))
        and Person.select(Person.name, q.c.n).join(q, on=(q.c.size == Person.rank)).tuples()
    ),
    "join of values": lambda: (
        (v := _values())
        and Person.select(Person.name, v.c.letter).join(v, on=(v.c.n == Person.rank)).tuples()
    ),
    "function in FROM": lambda: (
        (g := fn.generate_series(0, 2).alias("g"))
        and Select([Person, g], [Person.name, Entity("g")]).bind(_db()).tuples()
    ),
    # -- subqueries
    "subquery in FROM": lambda: (
        (q := Person.select(Person.name.alias("n"), Person.rank).alias("q"))
        and q.select_from(q.c.n, q.c.rank).tuples()
    ),
    "scalar subquery": lambda: Person.select(
        Person.name,
        Passport.select(fn.max(Passport.number)).where(Passport.holder == Person.id),
    ).tuples(),
    "scalar subquery, not correlated": lambda: Unit.select(
        Unit.code, Person.select(fn.count(Person.id))
    ).tuples(),
    "in": lambda: Person.select().where(Person.rank.in_(Team.select(Team.size))),
    "not in": lambda: Person.select().where(Person.id.not_in(Passport.select(Passport.holder))),
    "in a union": lambda: Person.select().where(
        Person.rank.in_(Team.select(Team.size) | Membership.select(Membership.since - 2000))
    ),
    "in, nested": lambda: Person.select().where(
        Person.id.in_(
            Membership.select(Membership.person).where(
                Membership.team.in_(Team.select(Team.id).where(Team.size > 0))
            )
        )
    ),
    "exists, correlated": lambda: Person.select().where(
        fn.EXISTS(Passport.select().where(Passport.holder == Person.id))
    ),
    "not exists": lambda: Person.select().where(
        ~fn.EXISTS(Passport.select().where(Passport.holder == Person.id))
    ),
    "exists of what only others have": lambda: Unit.select().where(
        fn.EXISTS(Person.select().where(Person.name == "name 8"))
    ),
    "any": lambda: Person.select().where(Person.rank == fn.ANY(Team.select(Team.size))),
    "all": lambda: Person.select().where(Person.rank >= fn.ALL(Team.select(Team.size))),
    "array of a query": lambda: Unit.select(
        fn.ARRAY(Person.select(Person.name).order_by(Person.name))
    ).tuples(),
    "subquery in ORDER BY": lambda: (
        Person.select(Person.name)
        .order_by(
            Passport.select(fn.max(Passport.number)).where(Passport.holder == Person.id),
            Person.name,
        )
        .tuples()
    ),
    "subquery in LIMIT": lambda: (
        Person.select(Person.name)
        .order_by(Person.name)
        .limit(Team.select(fn.count(Team.id)))
        .tuples()
    ),
    "subquery in ON": lambda: (
        Person.select(Person.name, Team.name)
        .join(Team, on=(Team.size == Person.select(fn.max(Person.rank))))
        .tuples()
    ),
    "subquery in CASE": lambda: Person.select(
        Person.name,
        Case(None, ((Person.id.in_(Passport.select(Passport.holder)), "yes"),), "no"),
    ).tuples(),
    "subquery in a function": lambda: Person.select(
        fn.coalesce(Passport.select(fn.max(Passport.number)), "none")
    ).tuples(),
    "subquery in a window": lambda: Person.select(
        Person.name,
        fn.row_number().over(order_by=[Team.select(fn.count(Team.id)), Person.name]),
    ).tuples(),
    # -- CTE
    "cte": lambda: (
        (c := Person.select(Person.name, Person.rank).cte("c"))
        and c.select_from(c.c.name, c.c.rank).tuples()
    ),
    "cte joined": lambda: (
        (c := Team.select(Team.size, fn.count(Team.id).alias("n")).group_by(Team.size).cte("c"))
        and Person.select(Person.name, c.c.n)
        .join(c, on=(c.c.size == Person.rank))
        .with_cte(c)
        .tuples()
    ),
    "cte twice": lambda: (
        (a := Person.select(Person.rank.alias("n")).cte("a"))
        and (b := Team.select(Team.size.alias("n")).cte("b"))
        and Select([a, b], [a.c.n, b.c.n]).where(a.c.n == b.c.n).with_cte(a, b).bind(_db()).tuples()
    ),
    "cte with the table's name": lambda: (
        (c := Person.select(Person.name).where(Person.rank == 1).cte("people"))
        and c.select_from(c.c.name).tuples()
    ),
    "cte, materialized": lambda: (
        (c := Person.select(Person.name).cte("c", materialized=True))
        and c.select_from(c.c.name).tuples()
    ),
    "cte, recursive": _recursive,
    "cte that inserts": lambda: (
        (c := Team.insert(name="new").returning(Team.name).cte("c"))
        and Select([c], [c.c.name]).with_cte(c).bind(_db()).tuples()
    ),
    "cte that updates": lambda: (
        (c := Person.update(rank=9).where(Person.rank == 1).returning(Person.name).cte("c"))
        and Select([c], [c.c.name]).with_cte(c).bind(_db()).tuples()
    ),
    "cte that deletes": lambda: (
        (c := Remark.delete().where(Remark.subject_type == "team").returning(Remark.body).cte("c"))
        and Select([c], [c.c.body]).with_cte(c).bind(_db()).tuples()
    ),
    # -- sets
    "union": lambda: (Person.select(Person.rank) | Team.select(Team.size)).tuples(),
    "union all": lambda: (Person.select(Person.rank) + Team.select(Team.size)).tuples(),
    "intersect": lambda: (Person.select(Person.rank) & Team.select(Team.size)).tuples(),
    "except": lambda: (Person.select(Person.rank) - Team.select(Team.size)).tuples(),
    "union of three, ordered": lambda: (
        (
            Person.select(Person.name.alias("n"))
            | Team.select(Team.name)
            | Passport.select(Passport.number)
        )
        .order_by(Entity("n"))
        .limit(5)
        .tuples()
    ),
    "union in FROM": lambda: (
        (u := (Person.select(Person.rank.alias("n")) | Team.select(Team.size)).alias("u"))
        and Select([u], [fn.sum(u.c.n)]).bind(_db()).tuples()
    ),
    "count of a union": lambda: (Person.select(Person.rank) | Team.select(Team.size)).count(),
    # -- lateral
    "lateral": lambda: _lateral(JOIN.LATERAL),
    "left lateral": lambda: _lateral(JOIN.LEFT_LATERAL),
    # -- relations
    "lazy foreign key": lambda: [_attributes(m, "person", "name") for m in Membership.select()],
    "lazy foreign key to itself": lambda: [t.parent for t in Team.select()],
    "backref": lambda: [list(p.memberships) for p in Person.select()],
    "backref, further": lambda: [
        p.memberships.join(Team).where(Team.size > 0).count() for p in Person.select()
    ],
    "one to one": lambda: [p.passports.get_or_none() for p in Person.select()],
    "children": lambda: [[c.name for c in t.children] for t in Team.select()],
    "many to many": lambda: [[t.name for t in p.teams] for p in Person.select()],
    "many to many, back": lambda: [[p.name for p in t.people] for t in Team.select()],
    "many to many, joined": lambda: (
        Person.select(Person.name, Team.name).join(Membership).join(Team).tuples()
    ),
    "prefetch": lambda: [
        (p.name, [m.since for m in p.memberships], [x.number for x in p.passports])
        for p in prefetch(Person.select(), Membership.select(), Passport.select())
    ],
    "prefetch, join": lambda: [
        (p.name, [m.since for m in p.memberships])
        for p in prefetch(Person.select(), Membership.select(), prefetch_type=PREFETCH_TYPE.JOIN)
    ],
    "prefetch of the parent": lambda: [
        (m.since, m.person.name, m.team.name)
        for m in prefetch(Membership.select(), Person.select(), Team.select())
    ],
    "prefetch of a limit": lambda: [
        (p.name, [m.since for m in p.memberships])
        for p in Person.select().order_by(Person.name).limit(3).prefetch(Membership.select())
    ],
    "prefetch, then many to many": lambda: [
        (p.name, sorted(t.name for t in p.teams))
        for p in prefetch(Person.select(), Membership.select(), Team.select())
    ],
    "load": lambda: [
        (p.name, sorted(m.since for m in p.memberships))
        for p in Person.select().with_related(Load(Person.memberships))
    ],
    "load, nested": lambda: [
        (t.name, [(m.since, m.person.name) for m in t.memberships])
        for t in Team.select().with_related(Load(Team.memberships).then(Load(Membership.person)))
    ],
    # -- JSON made by the database
    "json of a query": lambda: (
        (q := Person.select(Person.name).order_by(Person.name).alias("q"))
        and Select([q], [fn.json_agg(fn.row_to_json(Entity("q")))]).bind(_db()).tuples()
    ),
}


def _saved(instance: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(instance, name, value)
    return instance.save(only=list(values))


def _did(*steps: Any) -> Any:
    return [step for step in steps if not isinstance(step, list | type(None))]


def _insert(model: Any, **values: Any) -> Any:
    return model.insert(values)


def _upsert(*, where: bool = False) -> Any:
    query = Person.insert(name="name 1", rank=7, nick="up")
    how: dict[str, Any] = {"conflict_target": [Person.name], "preserve": [Person.nick]}
    if where:
        how |= {"update": {Person.rank: Person.rank + 10}, "where": Person.rank > 0}
        how["where"] &= fn.EXISTS(Team.select().where(Team.size == Person.rank))
    return query.on_conflict(**how)


WRITES: dict[str, Ask] = {
    "create": lambda: Person.create(name="new", rank=1),
    "insert": lambda: _insert(Person, name="new", rank=1).as_rowcount().execute(),
    "insert by fields": lambda: Person.insert({Person.name: "new", Person.rank: 1}).execute(),
    "insert returning": lambda: list(
        Person.insert(name="new", rank=1).returning(Person.name, Person.tenant_id).tuples()
    ),
    "insert returning objects": lambda: list(Person.insert(name="n", rank=1).returning(Person)),
    "insert with a subquery": lambda: Person.insert(
        name="new", rank=Team.select(fn.max(Team.size))
    ).execute(),
    "insert of a reference": lambda: Passport.insert(
        number="x", holder=Person.create(name="new", rank=1)
    ).execute(),
    "insert into a Table": lambda: (
        (t := _table(Team))
        and t.insert({t.c.id: new_id(), t.c.name: "new", t.c.size: 1}).execute()
        and None
    ),
    "insert into a Table by keyword": lambda: (
        _table(Team).insert(id=new_id(), name="new", size=1).execute() and None
    ),
    "insert of nothing": lambda: Person.insert_many([]).execute(),
    "insert of a reference to a global": lambda: Measure.create(
        unit=Unit.get_by_id(key(Unit, 1)), amount=5
    ),
    "update from a global": lambda: (
        Measure.update(amount=Unit.factor).from_(Unit).where(Unit.id == Measure.unit).execute()
    ),
    "insert into a global table": lambda: Unit.insert(code="z", factor=1).execute(),
    "insert_many": lambda: Person.insert_many(
        [{"name": "a", "rank": 1}, {"name": "b", "rank": 2}]
    ).execute(),
    "insert_many, tuples": lambda: Person.insert_many(
        [("a", 1), ("b", 2)], fields=[Person.name, Person.rank]
    ).execute(),
    "insert_many, short tuples": lambda: Person.insert_many(
        [("a", 1, "g"), ("b", 2)], fields=[Person.name, Person.rank, Person.unit]
    ).execute(),
    "insert_many, names": lambda: Person.insert_many([("a", 1)], fields=["name", "rank"]).execute(),
    "insert_many of a generator": lambda: Person.insert_many(
        {"name": f"g{n}", "rank": n} for n in range(3)
    ).execute(),
    "insert_many with subqueries": lambda: Person.insert_many(
        [{"name": "a", "rank": Team.select(fn.count(Team.id))}, {"name": "b", "rank": 2}]
    ).execute(),
    "insert_from": lambda: Team.insert_from(
        Person.select(Person.name, Person.rank), [Team.name, Team.size]
    ).execute(),
    "insert_from, ids given": lambda: Team.insert_from(
        Person.select(fn.gen_random_uuid(), Person.name, Person.rank),
        [Team.id, Team.name, Team.size],
    ).execute(),
    "insert_from, literals": lambda: Article.insert_from(
        Person.select(fn.gen_random_uuid(), Person.name, Value(None), Value(1)).where(
            Person.rank == 99
        ),
        [Article.id, Article.title, Article.words, Article.version],
    ).execute(),
    "insert_from, null of no type": lambda: Team.insert_from(
        Person.select(fn.gen_random_uuid(), Person.name, Value(None), Value(3)),
        [Team.id, Team.name, Team.parent, Team.size],
    ).execute(),
    "insert_from, distinct": lambda: Team.insert_from(
        Person.select(Person.unit, fn.length(Person.unit)).distinct(), [Team.name, Team.size]
    ).execute(),
    "insert_from, union": lambda: Team.insert_from(
        Person.select(Person.unit, Value(1)) | Unit.select(Unit.code, Value(1)),
        [Team.name, Team.size],
    ).execute(),
    "insert_from, union with ids": lambda: (
        Passport.insert_from(
            Person.select(Person.id, Person.id, Person.name).where(Person.rank == 0)
            + Person.select(Person.id, Person.id, Person.unit).where(Person.rank == 1),
            [Passport.id, Passport.holder, Passport.number],
        )
        .on_conflict_ignore()
        .execute()
    ),
    "insert_from, grouped": lambda: Team.insert_from(
        Person.select(Person.unit, fn.count(Person.id)).group_by(Person.unit),
        [Team.name, Team.size],
    ).execute(),
    "insert_from, ordered and limited": lambda: Team.insert_from(
        Person.select(Person.name, Person.rank).order_by(Person.name).limit(2),
        ["name", "size"],
    ).execute(),
    "insert_from, cte": lambda: (
        (c := Person.select(Person.name, Person.rank).where(Person.rank > 1).cte("c"))
        and Team.insert_from(Select([c], [c.c.name, c.c.rank]), [Team.name, Team.size])
        .with_cte(c)
        .execute()
    ),
    "bulk_create": lambda: Person.bulk_create(
        [Person(name=f"b{n}", rank=n) for n in range(5)], batch_size=2
    ),
    "bulk_create, then save": lambda: (
        (made := [Person(name="b1", rank=1)])
        and Person.bulk_create(made) is None
        and _saved(made[0], rank=8)
    ),
    "bulk_update": lambda: (
        (people := list(Person.select()))
        and [setattr(p, "rank", n) for n, p in enumerate(people)]
        and Person.bulk_update(people, [Person.rank], batch_size=2)
        and len(people)
    ),
    "get_or_create, there": lambda: Person.get_or_create(name="name 1", defaults={"rank": 3}),
    "get_or_create, not there": lambda: Person.get_or_create(name="new", defaults={"rank": 3}),
    "get_or_create of what others have": lambda: Person.get_or_create(
        name="name 8", defaults={"rank": 3}
    ),
    "save": lambda: _saved(_person(1), rank=8),
    "save of everything": lambda: (p := _person(1)) and setattr(p, "rank", 9) is None and p.save(),
    "save of a new one with a key": lambda: Person(id=key(Person, 100), name="new", rank=1).save(),
    "save of a reference": lambda: _saved(Passport.get(), number="new"),
    "set_by_id": lambda: Person.set_by_id(key(Person, 1), {"rank": 8}),
    "set_by_id of what only others have": lambda: Person.set_by_id(key(Person, 8), {"rank": 8}),
    "set item": lambda: Person.__class__.__setitem__(Person, key(Person, 1), {"rank": 8}),
    "delete_by_id": lambda: Remark.delete_by_id(key(Remark, 1)),
    "delete item": lambda: Remark.__class__.__delitem__(Remark, key(Remark, 1)),
    # -- conflicts
    "on conflict do nothing": lambda: (
        Person.insert(name="name 1", rank=7).on_conflict_ignore().as_rowcount().execute()
    ),
    "on conflict do nothing, of what others have": lambda: (
        Person.insert(name="name 8", rank=7).on_conflict_ignore().as_rowcount().execute()
    ),
    "on conflict, target and nothing": lambda: (
        Person.insert(name="name 1", rank=7)
        .on_conflict("IGNORE", conflict_target=[Person.name])
        .as_rowcount()
        .execute()
    ),
    "on conflict preserve": lambda: _upsert().execute() and None,
    "on conflict update where": lambda: _upsert(where=True).execute() and None,
    "on conflict update by EXCLUDED": lambda: (
        Person.insert(name="name 1", rank=7)
        .on_conflict(
            conflict_target=[Person.name],
            update={Person.rank: EXCLUDED.rank + Person.rank, Person.nick: "x"},
        )
        .execute()
        and None
    ),
    "on conflict update with a subquery": lambda: (
        Person.insert(name="name 1", rank=7)
        .on_conflict(conflict_target=["name"], update={"rank": Team.select(fn.count(Team.id))})
        .execute()
        and None
    ),
    "on conflict, many": lambda: (
        Person.insert_many([{"name": f"name {n}", "rank": 50 + n} for n in range(12)])
        .on_conflict(conflict_target=[Person.name], preserve=[Person.rank])
        .execute()
        and None
    ),
    "on conflict, returning": lambda: sorted(
        Person.insert_many([{"name": f"name {n}", "rank": 50 + n} for n in range(12)])
        .on_conflict(conflict_target=[Person.name], preserve=[Person.rank])
        .returning(Person.name, Person.rank)
        .tuples()
    ),
    "on conflict of a query": lambda: (
        Team.insert_from(Person.select(Person.unit, Person.rank), [Team.name, Team.size])
        .on_conflict_ignore()
        .execute()
        and None
    ),
    # -- updates
    "update": lambda: Person.update(rank=9).execute(),
    "update where": lambda: Person.update(rank=9).where(Person.rank == 1).execute(),
    "update orwhere": lambda: (
        Person.update(rank=9).where(Person.rank == 1).orwhere(Person.rank == 2).execute()
    ),
    "update by itself": lambda: Person.update({Person.rank: Person.rank + 1}).execute(),
    "update with a subquery": lambda: Person.update(
        rank=Team.select(fn.count(Team.id)), nick=None
    ).execute(),
    "update with a correlated subquery": lambda: Person.update(
        nick=Passport.select(fn.max(Passport.number)).where(Passport.holder == Person.id)
    ).execute(),
    "update where in": lambda: (
        Person.update(rank=9).where(Person.id.in_(Membership.select(Membership.person))).execute()
    ),
    "update from": lambda: (
        Person.update(nick=Passport.number)
        .from_(Passport)
        .where(Passport.holder == Person.id)
        .execute()
    ),
    "update from an alias": lambda: (
        (t := Team.alias("t"))
        and Team.update(size=t.size + 5).from_(t).where(Team.parent == t.id).execute()
    ),
    "update from a query": lambda: (
        (q := Team.select(fn.max(Team.size).alias("top")).alias("q"))
        and Person.update(rank=q.c.top).from_(q).execute()
    ),
    "update from a cte": lambda: (
        (c := Team.select(fn.max(Team.size).alias("top")).cte("c"))
        and Person.update(rank=c.c.top).from_(c).with_cte(c).execute()
    ),
    "update from an Entity": lambda: (
        Person.update(rank=9)
        .from_(Entity("atlas", "passports"))
        .where(Entity("passports", "holder_id") == Person.id)
        .execute()
    ),
    "update where a flat OR": lambda: (
        Person.update(rank=9).where(_flat_or(Person.rank == 1, Person.rank == 2)).execute()
    ),
    "update from, where a flat OR": lambda: (
        Person.update(rank=9)
        .from_(Passport)
        .where(_flat_or(Passport.holder == Person.id, Person.rank == 1))
        .execute()
    ),
    "update returning": lambda: sorted(
        Person.update(rank=Person.rank + 1).returning(Person.name, Person.rank).tuples()
    ),
    "update returning objects": lambda: list(
        Person.update(rank=9).where(Person.rank == 1).returning(Person)
    ),
    "update returning a subquery": lambda: sorted(
        Person.update(rank=9).returning(Person.name, Team.select(fn.count(Team.id))).tuples()
    ),
    "update of a Table": lambda: (
        (t := _table(Person)) and t.update({t.c.rank: 9}).where(t.c.rank == 1).execute()
    ),
    "bare Update of a model": lambda: (
        peewee.Update(Person._meta.table, {Person.rank: 9}).bind(_db()).execute()
    ),
    "update of a global table": lambda: Unit.update(factor=9).where(Unit.code == "g").execute(),
    "update of a global table by a tenant's": lambda: Unit.update(
        factor=Person.select(fn.count(Person.id))
    ).execute(),
    # -- deletes
    "delete": lambda: Remark.delete().execute(),
    "delete where": lambda: Remark.delete().where(Remark.subject_type == "team").execute(),
    "delete orwhere": lambda: (
        Remark.delete()
        .where(Remark.subject_type == "team")
        .orwhere(Remark.body == "by 1")
        .execute()
    ),
    "delete where a flat OR": lambda: (
        Remark.delete()
        .where(_flat_or(Remark.subject_type == "team", Remark.body == "by 1"))
        .execute()
    ),
    "delete of a Table where a flat OR": lambda: (
        (t := _table(Remark))
        and t.delete().where(_flat_or(t.c.subject_type == "team", t.c.body == "by 1")).execute()
    ),
    "delete where in": lambda: (
        Membership.delete()
        .where(Membership.team.in_(Team.select(Team.id).where(Team.size > 1)))
        .execute()
    ),
    "delete where exists": lambda: (
        Passport.delete()
        .where(fn.EXISTS(Person.select().where((Person.id == Passport.holder) & (Person.rank > 1))))
        .execute()
    ),
    "delete of a limit": lambda: (
        Remark.delete()
        .where(Remark.id.in_(Remark.select(Remark.id).order_by(Remark.id).limit(2)))
        .execute()
    ),
    "delete with a cte": lambda: (
        (c := Team.select(Team.id).where(Team.size > 1).cte("c"))
        and Membership.delete()
        .where(Membership.team.in_(Select([c], [c.c.id])))
        .with_cte(c)
        .execute()
    ),
    "delete returning": lambda: sorted(Remark.delete().returning(Remark.body).tuples()),
    "delete returning objects": lambda: list(Remark.delete().returning(Remark)),
    "delete of a Table": lambda: (
        (t := _table(Remark)) and t.delete().where(t.c.subject_type == "team").execute()
    ),
    "delete_instance": lambda: Remark.get_by_id(key(Remark, 1)).delete_instance(),
    "delete_instance, recursive": lambda: _person(1).delete_instance(recursive=True),
    "delete_instance, recursive, nullable are emptied": lambda: Team.get_by_id(
        key(Team, 0)
    ).delete_instance(recursive=True),
    # -- many to many
    "add": lambda: (
        _person(0).teams.clear() is None or _person(0).teams.add([Team.get_by_id(key(Team, 1))])
    ),
    "add a query": lambda: (
        _person(0).teams.clear() is None or _person(0).teams.add(Team.select().where(Team.size > 0))
    ),
    "add by key, from behind": lambda: (
        Team.get_by_id(key(Team, 1)).people.clear() is None
        or Team.get_by_id(key(Team, 1)).people.add([key(Person, 0), key(Person, 1)])
    ),
    "remove": lambda: _person(0).teams.remove([Team.get_by_id(key(Team, 1))]),
    "remove a query": lambda: _person(1).teams.remove(Team.select().where(Team.size >= 0)),
    "clear": lambda: Team.get_by_id(key(Team, 1)).people.clear(),
    "assign": lambda: setattr(_person(2), "teams", [Team.get_by_id(key(Team, 0))]),
}
