"""Objects, cursors and queries remember whose they are; a version refuses a stale write."""

# ruff: noqa: PLW0108 - a case is made when its turn comes, on the database bound then

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import Load, Table, fn, prefetch
from playhouse.postgres_ext import ServerSide

from tenants.errors import (
    NestedTenantError,
    NoTenantError,
    StaleObjectError,
    TenantError,
    TenantMismatchError,
    UnscopableError,
)
from tenants.models import VersionField

from .graph import (
    TENANTS,
    Article,
    Comment,
    Measure,
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


@pytest.fixture(autouse=True)
def _crowd(world: World) -> Iterator[None]:
    with using(world.crowd):
        yield


def _prefetched() -> Any:
    return prefetch(
        Person.select().where(Person.id.in_(Membership.select(Membership.person))),
        Membership.select(),
        Team.select(),
    )[0]


def _loaded() -> Any:
    people = Person.select().where(Person.id.in_(Membership.select(Membership.person)))
    return next(iter(people.with_related(Load(Person.memberships))))


def _followed() -> Any:
    membership = Membership.get()
    assert membership.person
    return membership


def _joined() -> Any:
    return Membership.select(Membership, Person).join(Person).get()


def _joined_from_behind() -> Any:
    return Person.select(Person, Membership).join(Membership).get()


def _joined_values() -> Any:
    passports = Table("passports", schema="atlas").alias("p")
    return (
        Person.select(Person, passports.c.number)
        .join(passports, on=(passports.c.holder_id == Person.id), attr="most")
        .get()
    )


def _global_prefetched() -> Any:
    return prefetch(Unit.select().order_by(Unit.code), Measure.select())[0]


def _global_loaded() -> Any:
    return next(iter(Unit.select().order_by(Unit.code).with_related(Load(Unit.measures))))


def _global_joined() -> Any:
    return Unit.select(Unit, Measure).join(Measure).order_by(Measure.amount).get()


def _global_counted() -> Any:
    total = fn.SUM(Measure.amount).alias("total")
    return Unit.select(Unit, total).join(Measure).group_by(Unit).order_by(Unit.code).get()


def _global_constructed() -> Any:
    total = fn.SUM(Measure.amount).alias("_total")
    return Unit.select(Unit, total).join(Measure).group_by(Unit).objects().get()


def _global_beside() -> Any:
    most = Measure.select(Measure.unit, fn.MAX(Measure.amount).alias("most")).group_by(Measure.unit)
    most = most.alias("beside")
    return Unit.select(Unit, most.c.most).join(most, on=most.c.unit_id == Unit.id).get()


#: How an object is come by, and what of it is read then.
RELATIONS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a foreign key": (lambda: Membership.get(), lambda m: m.person),
    "a foreign key that was followed": (_followed, lambda m: m.person),
    "a foreign key that was joined": (_joined, lambda m: m.person),
    "a foreign key to itself": (lambda: Team.get(Team.parent.is_null(False)), lambda t: t.parent),
    "a backref": (lambda: Person.get(), lambda p: p.memberships),
    "a backref that was prefetched": (_prefetched, lambda p: p.memberships),
    "what a prefetched one refers to": (lambda: _prefetched().memberships[0], lambda m: m.team),
    "a backref that was loaded": (_loaded, lambda p: p.memberships),
    "many": (lambda: Person.get(), lambda p: p.teams),
    "many, from behind": (lambda: Team.get(), lambda t: t.people),
    "many that were prefetched": (_prefetched, lambda p: p.teams),
    "a copy's": (lambda: copy.copy(Membership.get()), lambda m: m.person),
    "a deep copy's": (lambda: copy.deepcopy(_joined()), lambda m: m.person),
    "a clone's": (lambda: Membership.get().clone(), lambda m: m.person),
    "a pickled one's": (lambda: pickle.loads(pickle.dumps(_joined())), lambda m: m.person),
    "a pickled prefetched one's": (
        lambda: pickle.loads(pickle.dumps(_prefetched())),
        lambda p: p.memberships,
    ),
    "a row that was joined from behind": (_joined_from_behind, lambda p: p.membership),
    "values that were joined": (_joined_values, lambda p: p.most),
    "a copy's joined row": (lambda: copy.copy(_joined_from_behind()), lambda p: p.membership),
    "a pickled one's joined row": (
        lambda: pickle.loads(pickle.dumps(_joined_from_behind())),
        lambda p: p.membership,
    ),
    "a global's prefetched backref": (_global_prefetched, lambda u: u.measures),
    "a global's loaded backref": (_global_loaded, lambda u: u.measures),
    "a global's joined row": (_global_joined, lambda u: u.measure),
    "a global's joined values": (_global_beside, lambda u: u.measure.most),
    "what was computed beside a global": (_global_counted, lambda u: u.total),
    "what a global was constructed with": (_global_constructed, lambda u: u._total),
    "a copied global's": (lambda: copy.copy(_global_prefetched()), lambda u: u.measures),
    "a deep copied global's": (lambda: copy.deepcopy(_global_joined()), lambda u: u.measure),
    "a pickled global's": (
        lambda: pickle.loads(pickle.dumps(_global_joined())),
        lambda u: u.measure,
    ),
    "a pickled prefetched global's": (
        lambda: pickle.loads(pickle.dumps(_global_prefetched())),
        lambda u: u.measures,
    ),
    "a new one's": (lambda: Membership(person=Person.get()), lambda m: m.person),
}


@pytest.mark.parametrize("how", RELATIONS)
def test_a_relation_is_read_under_its_own_tenant_only(how: str) -> None:
    make, read = RELATIONS[how]
    with serving(A):
        instance = make()
        read(instance)
    with serving(B), pytest.raises(TenantMismatchError):
        read(instance)
    with pytest.raises(NoTenantError):
        read(instance)
    with serving(A):
        read(instance)


@pytest.mark.parametrize("name", ["select", "exemplary"])
def test_what_came_under_a_tenant_has_a_name_that_the_class_has_not(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the class's would be read in its place, or it in the class's, whoever asks."""
    for model in (Unit, Person):
        monkeypatch.setattr(model, "exemplary", None, raising=False)
    with serving(A):
        with pytest.raises(UnscopableError, match=rf"Unit\.{name} is the class's"):
            setattr(Unit.get(), name, 5)
        joined = Person.select(Person, Membership).join(Membership, attr=name).order_by(Person.id)
        if name == "select":
            with pytest.raises(UnscopableError, match=r"Person\.select is a method"):
                joined.get()
            return
        person = joined.get()
        assert person.exemplary is not None
    with serving(B), pytest.raises(TenantMismatchError):
        _ = person.exemplary


@pytest.mark.parametrize(
    "selected",
    [
        lambda: fn.SUM(Measure.amount).alias("factor"),
        lambda: fn.MAX(Unit.factor + Measure.amount).alias("code"),
        lambda: (fn.SUM(Measure.amount) + 0).alias("factor"),
        lambda: Measure.select(fn.MIN(Measure.amount)).alias("factor"),
        lambda: fn.SUM(Measure.amount).alias("factor").bind_to(Unit),
    ],
)
def test_what_is_selected_under_a_tenant_does_not_take_the_place_of_a_globals_column(
    selected: Callable[[], Any],
) -> None:
    """Its columns are everybody's: under the name of one, a tenant's sum would be, too."""
    with serving(A):
        query = Unit.select(Unit.id, selected()).join(Measure).group_by(Unit.id)
        with pytest.raises(UnscopableError, match=r"Unit\.(factor|code)"):
            list(query)
        assert list(query.dicts())
        free = Unit.select(Unit.id, fn.SUM(Measure.amount).alias("total"), Unit.code, Unit.factor)
        assert list(free.join(Measure).group_by(Unit.id))


def test_a_global_serves_everybody_with_what_is_its_own() -> None:
    with serving(A):
        unit = _global_prefetched()
        unit.note = "A's"
        assert len(unit.measures) == 2
        assert unit.note == "A's"
    unit.remark = "nobody's"
    with serving(B):
        with pytest.raises(TenantMismatchError):
            _ = unit.note
        assert (unit.code, unit.remark) == ("g", "nobody's")
        unit.note = "B's"
        unit.measures = []
        assert (unit.note, unit.measures) == ("B's", [])
    assert unit.code == "g"
    with serving(A):
        with pytest.raises(TenantMismatchError):
            _ = unit.note
        with pytest.raises(TenantMismatchError):
            _ = unit.measures
        with pytest.raises(AttributeError, match="nothing"):
            _ = unit.nothing


def test_an_object_that_was_not_joined_has_nothing_there() -> None:
    with serving(A):
        assert _joined_from_behind().membership.person
        assert not hasattr(Person.get(), "membership")
        assert not hasattr(Person, "membership")


def test_rows_put_into_anothers_backref_are_not_read() -> None:
    """Under B, into an object of A's: A must not find them."""
    with serving(A):
        person = Person.get()
    with serving(B):
        theirs = list(Membership.select())
        person.memberships = theirs
    with serving(A), pytest.raises(TenantMismatchError):
        _ = person.memberships


def test_a_relation_cannot_be_followed_by_an_object_of_no_tenant() -> None:
    with serving(A):
        person = Person.get()
    homeless = Passport(holder_id=person.id)
    with serving(A), pytest.raises(NoTenantError):
        _ = homeless.holder
    with serving(A), pytest.raises(NoTenantError):
        homeless.save()


@pytest.mark.parametrize(
    "how",
    [
        lambda p: p.save(),
        lambda p: p.save(only=["rank"]),
        lambda p: p.save(force_insert=True),
        lambda p: p.delete_instance(),
        lambda p: p.delete_instance(recursive=True),
    ],
)
@pytest.mark.parametrize("of", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copy_is_its_tenants_too(how: Callable[[Any], Any], of: Callable[[Any], Any]) -> None:
    with serving(A):
        person = of(Person.get())
    with serving(B), pytest.raises(TenantMismatchError):
        how(person)
    with pytest.raises(NoTenantError):
        how(person)


ROWS: dict[str, Callable[[], Any]] = {
    "objects": lambda: Person.select(),
    "tuples": lambda: Person.select(Person.name).tuples(),
    "dicts": lambda: Person.select(Person.name).dicts(),
    "namedtuples": lambda: Person.select(Person.name).namedtuples(),
    "joined": lambda: Membership.select(Membership, Person).join(Person),
    "a union": lambda: Person.select(Person.name) | Team.select(Team.name),
    "returned": lambda: Person.update(rank=1).where(Person.name == "").returning(Person),
    "returned to a Table": lambda: peewee.Update(
        Person._meta.table, {Person.rank: Person.rank}
    ).returning(Person.name),
}


@pytest.mark.parametrize("how", ROWS)
def test_rows_left_in_a_cursor_are_not_handed_to_another(world: World, how: str) -> None:
    def cursor() -> Any:
        with serving(A):
            return ROWS[how]().execute(world.crowd)

    for read in (list, iter, len, lambda rows: list(rows.iterator()), lambda rows: rows[0]):
        with serving(B), pytest.raises(TenantMismatchError):
            next(iter(rows)) if hasattr(rows := read(cursor()), "__next__") else rows
        with pytest.raises(NoTenantError):
            next(iter(rows)) if hasattr(rows := read(cursor()), "__next__") else rows


@pytest.mark.parametrize("how", ROWS)
def test_rows_that_a_cursor_has_kept_are_not_handed_to_another(world: World, how: str) -> None:
    with serving(A):
        rows = ROWS[how]().execute(world.crowd)
        kept = list(rows)
        begun = iter(rows)
    reads = (list, len, lambda r: r[0], lambda r: r[:1], lambda r: r[-1], lambda _: next(begun))
    for read in reads:
        with serving(B), pytest.raises(TenantMismatchError):
            read(rows)
        with pytest.raises(NoTenantError):
            read(rows)
    with serving(A):
        assert list(rows) == kept


def test_an_iteration_does_not_go_on_under_another() -> None:
    with serving(A):
        people = iter(Person.select().execute())
        next(people)
        lazily = Person.select().iterator()
        next(lazily)
    with serving(B):
        with pytest.raises(TenantMismatchError):
            next(people)
        with pytest.raises(TenantMismatchError):
            next(lazily)


def test_a_server_side_cursor_ends_with_its_transaction(world: World) -> None:
    with serving(A), world.crowd.atomic():
        rows = ServerSide(Person.select().order_by(Person.name), array_size=2)
        assert next(rows).name == "name 0"
    with serving(A), pytest.raises(peewee.InterfaceError):
        list(rows)
    with serving(A), world.crowd.atomic():
        left = ServerSide(Person.select().order_by(Person.name), array_size=2)
        next(left)
    # The connection may be another's by now: nothing is sent on it, not even to close.
    with serving(B), world.crowd.atomic():
        with pytest.raises((TenantMismatchError, peewee.InterfaceError)):
            list(left)
        assert Person.select().count() == 7


def test_another_tenants_statement_does_not_join_a_transaction(world: World) -> None:
    def rows() -> Iterator[int]:
        with serving(A), world.crowd.atomic():
            yield Person.select().count()
            yield Person.select().count()

    with serving(B):
        suspended = rows()
        assert next(suspended) == 5
        # The generator's transaction is this thread's.
        with pytest.raises(NestedTenantError):
            Person.select().count()
        assert next(suspended) == 5
        suspended.close()
        assert Person.select().count() == 7


# -- versions --------------------------------------------------------------------------


@pytest.fixture
def article(world: World) -> Iterator[Any]:
    with serving(A), world.crowd.atomic() as transaction:
        yield Article.get_by_id(key(Article, 0))
        transaction.rollback(False)


def _number() -> Any:
    return Article.get_by_id(key(Article, 0)).version


def test_each_change_counts_the_version_up(article: Any) -> None:
    first = article.version
    article.words = 1
    article.save()
    assert (article.version, _number()) == (first + 1, first + 1)
    article.save(only=["words"])
    assert (article.version, _number()) == (first + 2, first + 2)
    Article.update(words=2).execute()
    Article.update({Article.version: 77, Article.words: 3}).execute()
    Article.set_by_id(article.id, {"words": 4})
    assert _number() == first + 5
    with pytest.raises(StaleObjectError):
        article.save()


def test_an_upsert_counts_the_version_up(article: Any) -> None:
    first = article.version
    for how in (
        {"update": {Article.words: 5}},
        {"preserve": [Article.words]},
        {"preserve": [Article.words, Article.version]},
        {"update": {Article.words: 6, Article.version: 1}},
    ):
        Article.insert(title="title 0", words=9).on_conflict(
            conflict_target=[Article.title], **how
        ).execute()
        first += 1
        assert _number() == first


@pytest.mark.parametrize(
    "write",
    [
        lambda a: a.save(),
        lambda a: a.save(only=["words"]),
        lambda a: a.save(only=[Article.words]),
        lambda a: a.delete_instance(),
        lambda a: a.delete_instance(recursive=True),
    ],
)
def test_a_stale_write_is_refused(article: Any, write: Callable[[Any], Any]) -> None:
    other = Article.get_by_id(article.id)
    other.words = 100
    other.save()
    article.words = 7
    Comment.delete().execute()
    with pytest.raises(StaleObjectError, match="changed since it was read"):
        write(article)
    now = Article.get_by_id(article.id)
    assert (now.words, now.version) == (100, other.version)
    write(now)


def test_a_fresh_object_has_version_one_and_can_be_saved_again(article: Any) -> None:
    made = Article.create(title="new")
    assert made.version == 1
    made.words = 3
    made.save()
    assert made.version == 2
    assert made.delete_instance() == 1


def test_an_object_that_was_read_without_its_version_is_not_written(article: Any) -> None:
    partial = Article.select(Article.id, Article.title).where(Article.id == article.id).get()
    partial.title = "x"
    for write in (partial.save, partial.delete_instance):
        with pytest.raises(StaleObjectError, match="without its version"):
            write()


def test_bulk_updates_of_versions_are_refused(article: Any) -> None:
    with pytest.raises(UnscopableError, match="one by one"):
        Article.bulk_update([article], ["words"])


def test_a_model_has_one_version(article: Any) -> None:
    class Twice(Article):
        second = VersionField()

        class Meta:
            schema = "atlas"
            table_name = "articles"

    with pytest.raises(TenantError, match="two version fields"):
        Twice.update(words=1).execute()


def test_a_recursive_delete_that_is_stale_deletes_nothing(article: Any) -> None:
    """The rows that refer to it go first; they come back."""
    Comment.create(article=article, body="stays")
    before = Comment.select().count()
    Article.update(words=100).execute()
    with pytest.raises(StaleObjectError):
        article.delete_instance(recursive=True)
    assert Comment.select().count() == before
    assert Article.get_by_id(article.id).delete_instance(recursive=True) == 1
    assert Comment.select().count() < before


def test_saving_nothing_that_is_dirty_is_no_stale_write() -> None:
    class Careful(Comment):
        class Meta:
            schema = "atlas"
            table_name = "comments"
            only_save_dirty = True

    with serving(A):
        assert Careful.get().save() is False
