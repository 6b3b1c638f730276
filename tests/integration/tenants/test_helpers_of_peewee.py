"""What comes with peewee beside its queries (playhouse's helpers, names, second-hand fields) and
carries objects or text from one tenant to another's query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import CTE, Case, Select, Table, Tuple, Window, fn
from playhouse.shortcuts import dict_to_model, model_to_dict, update_model_from_dict

from tenants.errors import TenantError
from tenants.models import TenantModel, TextField, database

from .graph import TENANTS, Article, Passport, Person, Team, World, serving, using

A, B, _ = TENANTS


@pytest.fixture(autouse=True)
def _crowd(world: World) -> Iterator[None]:
    with using(world.crowd):
        yield


def first(model: Any) -> Any:
    return model.select().order_by(model.id).get()


# -- dictionaries ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"recurse": True},
        {"recurse": True, "backrefs": True, "manytomany": True},
    ],
)
def test_an_object_is_not_unfolded_under_another(how: dict[str, bool]) -> None:
    with serving(A):
        passport, person = first(Passport), first(Person)
        assert model_to_dict(passport, **how)
    with serving(B), pytest.raises(TenantError):
        model_to_dict(person if "backrefs" in how else passport, **how)


def test_a_dictionary_of_another_makes_no_row(sent: list[str]) -> None:
    with serving(A):
        data = model_to_dict(first(Person), recurse=False)
    with serving(B):
        for made in (dict_to_model(Person, data), Person(**data)):
            sent.clear()
            with pytest.raises(TenantError):
                made.save(force_insert=True)
            assert sent == []
        mine = first(Person)
        update_model_from_dict(mine, {"tenant_id": A})
        sent.clear()
        with pytest.raises(TenantError):
            mine.save()
        assert sent == []


# -- names -----------------------------------------------------------------------------

BREAKS_OUT = 'x" CROSS JOIN "atlas"."people" AS "y'

NAMES: dict[str, Callable[[], Any]] = {
    "an alias of a model": lambda: Person.alias(BREAKS_OUT).select(),
    "an alias of a column": lambda: Person.select(Person.name.alias(BREAKS_OUT)),
    "an alias of a query": lambda: Select((Person.select().alias(BREAKS_OUT),), [fn.COUNT(1)]),
    "an alias of a Table": lambda: (
        Table("people", schema="atlas", alias=BREAKS_OUT).bind(database.obj).select(fn.COUNT(1))
    ),
    "a common table expression": lambda: _cte(CTE(BREAKS_OUT, Person.select(Person.name))),
    "its column": lambda: _cte(CTE("t", Person.select(Person.name), columns=(BREAKS_OUT,))),
    "a window": lambda: _window(Window(partition_by=[Person.rank]).alias(BREAKS_OUT)),
    "a column of a Table": lambda: (
        Table("people", [BREAKS_OUT], schema="atlas").bind(database.obj).select()
    ),
    "a constraint": lambda: Person.insert(name="x", rank=1).on_conflict(
        conflict_constraint=BREAKS_OUT, preserve=(Person.rank,)
    ),
}


def _cte(cte: Any) -> Any:
    return Select([cte], [fn.COUNT(1)]).with_cte(cte).bind(database.obj)


def _window(window: Any) -> Any:
    return Person.select(fn.ROW_NUMBER().over(window)).window(window)


@pytest.mark.parametrize("where", NAMES)
def test_a_name_stays_within_its_quotes(where: str) -> None:
    with serving(A):
        try:
            text, _values = NAMES[where]().sql()
        except TenantError:
            return
    outside = text.replace('""', "").split('"')[::2]
    assert "CROSS JOIN" not in "".join(outside)


# -- nodes that hold others ------------------------------------------------------------

HOLDERS: dict[str, Callable[[Any], Any]] = {
    "a Tuple": lambda inner: Person.select().where(
        Tuple(Person.id, Person.name).in_([Tuple(inner, "x")])
    ),
    "an EnclosedNodeList": lambda inner: Person.select(peewee.EnclosedNodeList((inner,))),
    "Case": lambda inner: Person.select(Case(None, [(Person.rank > 0, inner)], None)),
    "a default of Case": lambda inner: Person.select(Case(None, [(Person.rank < 0, 1)], inner)),
    "a filter": lambda inner: Person.select(fn.COUNT(Person.id).filter(Person.id == inner)),
    "an order of an aggregate": lambda inner: Person.select(
        fn.ARRAY_AGG(Person.name).order_by(inner)
    ),
    "a partition": lambda inner: Person.select(fn.SUM(Person.rank).over(partition_by=[inner])),
    "coalesce": lambda inner: Person.select(fn.COALESCE(None, inner)),
    "a cast": lambda inner: Person.select(peewee.Cast(inner, "text")),
    "an update": lambda inner: Person.update(name=peewee.Cast(inner, "text")).where(
        Person.rank == -1
    ),
    "RETURNING": lambda inner: Person.delete().where(Person.rank == -1).returning(inner),
    "a limit": lambda inner: Person.select().limit(fn.LENGTH(peewee.Cast(inner, "text"))),
    "DISTINCT ON": lambda inner: Person.select().distinct([inner]),
    "a conflict": lambda inner: Person.insert(name="x", rank=1).on_conflict(
        conflict_target=(Person.id,), update={Person.name: peewee.Cast(inner, "text")}
    ),
    "a join's condition": lambda inner: Person.select().join(Team, on=(Team.id == inner)),
}


@pytest.mark.parametrize("where", HOLDERS)
def test_a_query_is_scoped_in_whatever_holds_it(where: str) -> None:
    with serving(A):
        text, values = HOLDERS[where](Article.select(Article.id).limit(1)).sql()
    assert '"atlas"."articles"' in text
    for part in text.split('"atlas"."articles"')[1:]:
        assert part.startswith(' WHERE "tenant_id" = ')
    assert str(A) in values
    assert str(B) not in values


# -- fields of peewee's own ------------------------------------------------------------


# The graph's models are left alone: what refers to them is deleted along with their rows.
class _Before(TenantModel):
    name = TextField()

    class Meta:
        schema = "atlas"


class _Plain(TenantModel):
    before = peewee.ForeignKeyField(_Before, backref="+", null=True)
    later = peewee.DeferredForeignKey("_Later", backref="earlier", null=True)

    class Meta:
        schema = "atlas"


class _Later(TenantModel):
    name = TextField()

    class Meta:
        schema = "atlas"


_through = peewee.DeferredThroughModel()


class _Many(TenantModel):
    later = peewee.ManyToManyField(_Later, through_model=_through, backref="many")

    class Meta:
        schema = "atlas"


class _Between(TenantModel):
    many = peewee.ForeignKeyField(_Many)
    later = peewee.ForeignKeyField(_Later, backref="+")

    class Meta:
        schema = "atlas"


_through.set_model(_Between)


@pytest.mark.parametrize(
    "follow",
    [
        lambda plain, later, many: plain.before,
        lambda plain, later, many: plain.later,
        lambda plain, later, many: list(later.earlier),
        lambda plain, later, many: list(many.later),
        lambda plain, later, many: list(later.many),
    ],
    ids=["a foreign key", "a deferred one", "its backref", "many", "many, from behind"],
)
def test_a_relation_of_peewees_own_kind_is_its_tenants_too(
    follow: Callable[..., Any], sent: list[str]
) -> None:
    with serving(A):
        later = _Later(name="x")
        plain = _Plain(before=_Before(name="x"), later=later)
        many = _Many()
        sent.clear()
    with serving(B), pytest.raises(TenantError):
        follow(plain, later, many)
    assert sent == []


def test_an_object_of_another_is_not_assigned_to_a_field_of_peewees_own() -> None:
    with serving(A):
        later = _Later(name="x")
    with serving(B), pytest.raises(TenantError):
        _Plain(later=later)
