"""The defences of the scoping layer, taken away one at a time; a plugin of pytest.

`python -m pytest -p scoping_weakened ..` with SCOPING_WEAKENED=NAME runs tests without one of
them: some test must fail. `WEAKENED` says which tests those are looked for in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import peewee
from peewee import SCOPE_SOURCE
from psycopg2 import extensions

from tenants import (
    context,
    database,
    fetched,
    kept_rows,
    models,
    parameters,
    relations,
    scoping,
    server_side,
    stamping,
)
from tenants.scoping import ScopedContext

CONSTRUCTS = "integration/tenants/test_every_construct.py"
REFUSALS = "integration/tenants/test_refusals.py"
OBJECTS = "integration/tenants/test_objects.py"
TEXTS = "integration/tenants/test_text_in_nodes.py"
RAW = "integration/tenants/test_raw_sql.py"
CACHED = "integration/tenants/test_cached_rows.py"
CONTEXT = "unit/tenants/test_context.py"
HELPERS = "integration/tenants/test_helpers_of_peewee.py"
PARAMETERS = "unit/tenants/test_parameters.py"

Weakening = Callable[[], None]
WEAKENED: dict[str, tuple[str, Weakening]] = {}


def weakening(tests: str) -> Callable[[Weakening], Weakening]:
    """Register a function that takes a defence away, and the tests that must notice."""

    def register(function: Weakening) -> Weakening:
        WEAKENED[function.__name__.strip("_").replace("_", " ")] = (tests, function)
        return function

    return register


def _unhandled(kind: type) -> Weakening:
    def apply() -> None:
        _handle(kind, lambda ctx, node: node.__sql__(ctx))

    return apply


def _handle(kind: type, handler: Any) -> None:
    scoping._HANDLERS = ((kind, handler), *scoping._HANDLERS)
    scoping._BY_TYPE.clear()


for _kind, _tests in (
    (peewee.Table, CONSTRUCTS),
    (peewee.ModelAlias, CONSTRUCTS),
    (peewee.Select, CONSTRUCTS),
    (peewee.Update, CONSTRUCTS),
    (peewee.Insert, CONSTRUCTS),
    (peewee.Delete, CONSTRUCTS),
    (peewee.Join, TEXTS),
    (peewee.CTE, REFUSALS),
    (peewee.RawQuery, REFUSALS),
    (peewee.SQL, REFUSALS),
    (peewee.Model, REFUSALS),
    (peewee.Context, TEXTS),
    (peewee.Function, TEXTS),
    (peewee.Expression, TEXTS),
    (peewee.NodeList, TEXTS),
    (peewee.Cast, TEXTS),
    (peewee.Ordering, TEXTS),
    (peewee.ForUpdate, TEXTS),
    (peewee.CompoundSelectQuery, TEXTS),
    (peewee.NamespaceAttribute, REFUSALS),
    (peewee.BitwiseNegated, REFUSALS),
    (peewee.ValueLiterals, REFUSALS),
):
    WEAKENED[f"{_kind.__name__} is not looked at"] = (_tests, _unhandled(_kind))


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


# -- compiling -------------------------------------------------------------------------


@weakening(REFUSALS)
def _nodes_of_ones_own_are_trusted() -> None:
    scoping.is_peewees = lambda _cls: True


@weakening(REFUSALS)
def _a_model_may_call_itself_global() -> None:
    kind = ScopedContext.kind

    def declared(ctx: Any, table: Any) -> Any:
        meta = getattr(table._model, "_meta", SimpleNamespace())
        return getattr(meta, "tenure_kind", None) or kind(ctx, table)

    ScopedContext.kind = declared  # type: ignore[method-assign]


@weakening(REFUSALS)
def _an_unknown_table_is_global() -> None:
    kind = ScopedContext.kind

    def lenient(ctx: Any, table: Any) -> Any:
        try:
            return kind(ctx, table)
        except scoping.UnscopableError:
            return "global"

    ScopedContext.kind = lenient  # type: ignore[method-assign]


@weakening(REFUSALS)
def _a_table_may_be_named_anywhere() -> None:
    def table(ctx: Any, node: Any) -> Any:
        if ctx.scope == SCOPE_SOURCE:
            return original(ctx, node)
        return node.__sql__(ctx)

    original = scoping._table
    _handle(peewee.Table, table)


@weakening(REFUSALS)
def _any_wrapper_may_stand_in_FROM() -> None:
    original = scoping._source
    scoping._source = lambda s: s if isinstance(s, peewee.WrappedNode) else original(s)


@weakening(REFUSALS)
def _a_condition_of_a_join_is_not_enclosed() -> None:
    def join(ctx: Any, node: Any) -> Any:
        ctx.sql(scoping._source(node.lhs)).literal(f" {node.join_type} ")
        ctx.sql(scoping._source(node.rhs))
        return ctx if node._on is None else ctx.literal(" ON ").sql(node._on)

    _handle(peewee.Join, join)


@weakening(RAW)
def _values_without_a_place_pass() -> None:
    text = scoping.fragment_text
    _handle(
        peewee.SQL,
        scoping._carrier(lambda node: text(SimpleNamespace(sql=node.sql, params=None))),
    )


@weakening(REFUSALS)
def _a_nest_is_compiled_at_each_level() -> None:
    ScopedContext.as_new = peewee.Context.as_new  # type: ignore[method-assign]


@weakening(REFUSALS)
def _no_tenant_is_a_tenant() -> None:
    ScopedContext.tenant = lambda ctx: ctx.tenant_id or stamping.uuid.UUID(int=0)  # type: ignore[method-assign]


@weakening(CONSTRUCTS)
def _sources_are_not_scoped() -> None:
    def source(ctx: Any, path: Any) -> None:
        ctx.sql(peewee.Entity(*path))

    ScopedContext.scoped_source = source  # type: ignore[method-assign]


@weakening(CONSTRUCTS)
def _targets_gain_no_predicate() -> None:
    scoping._and_tenant = lambda _ctx, _table, query: query._where


@weakening(CONSTRUCTS)
def _the_predicate_stands_beside_an_OR() -> None:
    def beside(_ctx: Any, table: Any, query: Any) -> Any:
        predicate = scoping._TenantPredicate(table)
        if query._where is None:
            return predicate
        return peewee.Expression(predicate, peewee.OP.OR, query._where)

    scoping._and_tenant = beside


@weakening(CONSTRUCTS)
def _a_condition_stands_as_it_is() -> None:
    scoping._enclosed = lambda condition: condition


# -- writing ---------------------------------------------------------------------------


@weakening(REFUSALS)
def _objects_of_others_pass() -> None:
    scoping.require_own = stamping.require_own = _nothing


@weakening(REFUSALS)
def _rows_of_others_pass() -> None:
    stamping._require_same = _nothing


@weakening(CONSTRUCTS)
def _the_arbiter_lacks_the_tenant() -> None:
    stamping._with_arbiter = lambda conflict, *_: conflict


@weakening(REFUSALS)
def _names_that_hide_pass() -> None:
    stamping._column_name = lambda table, key: stamping._name_or_none(table, key) or ""


@weakening(REFUSALS)
def _a_column_by_another_name_passes() -> None:
    original = stamping._name_or_none

    def by_attribute(table: Any, key: Any) -> Any:
        if isinstance(key, peewee.Field):
            return key.name
        return key if isinstance(key, str) else original(table, key)

    stamping._name_or_none = by_attribute


@weakening(REFUSALS)
def _any_target_will_do() -> None:
    original = stamping.table_of

    def lenient(target: Any) -> Any:
        try:
            return original(target)
        except stamping.UnscopableError:
            return target._meta.table

    scoping.table_of = stamping.table_of = lenient


@weakening(OBJECTS)
def _changes_are_not_counted() -> None:
    stamping._counted = lambda _table, changes: changes


# -- sending ---------------------------------------------------------------------------


@weakening(TEXTS)
def _values_may_write_themselves() -> None:
    database.refuse_verbatim = parameters.refuse_verbatim = _nothing


@weakening(PARAMETERS)
def _an_adapter_may_write_anything() -> None:
    parameters._ADAPTERS = frozenset((*parameters._ADAPTERS, extensions.AsIs))


@weakening(PARAMETERS)
def _the_bounds_of_a_range_may_be_text() -> None:
    parameters._NUMBERS = frozenset((*parameters._NUMBERS, str))


@weakening(REFUSALS)
def _a_name_may_hold_a_place() -> None:
    database.require_place = _nothing


@weakening(RAW)
def _a_place_may_stand_in_quotes() -> None:
    database.refuse_quoted_places = _nothing


@weakening(RAW)
def _raw_SQL_is_not_proven() -> None:
    database.TenantDatabase._require_proof = _nothing  # type: ignore[method-assign]


@weakening(RAW)
def _a_cursor_is_the_drivers() -> None:
    database.TenantDatabase.cursor = peewee.Database.cursor  # type: ignore[method-assign]
    database.TenantDatabase._execute_cursor = (  # type: ignore[method-assign]
        lambda self, sql, params, **_: peewee.Database._execute_cursor(self, sql, params)
    )


@weakening(RAW)
def _a_vouched_cursor_is_lent_to_anybody() -> None:
    lent = database.TenantDatabase.cursor

    def cursor(self: Any, named_cursor: Any = None, *, vouched: bool = False) -> Any:
        if vouched and not self.is_closed():
            return self._state.conn.cursor()
        return lent(self, named_cursor, vouched=vouched)

    database.TenantDatabase.cursor = cursor  # type: ignore[method-assign]


@weakening(RAW)
def _rows_that_were_left_are_everybodys() -> None:
    fetched.require_rows_of = _nothing


@weakening(RAW)
def _rows_come_with_their_cursor() -> None:
    database.TenantRows = lambda rows, _tenant: rows  # type: ignore[assignment,misc]


@weakening(OBJECTS)
def _a_statement_joins_any_transaction() -> None:
    database.require_transaction_of = _nothing


@weakening(OBJECTS)
def _a_server_side_cursor_outlives_its_transaction() -> None:
    original = server_side.ServerCursor.__init__

    def forever(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, "alive": lambda: True})

    server_side.ServerCursor.__init__ = forever  # type: ignore[method-assign]


# -- rows and objects ------------------------------------------------------------------


@weakening(CACHED)
def _rows_are_kept_for_everybody() -> None:
    kept_rows._KeptRows.__get__ = (  # type: ignore[method-assign]
        lambda _self, query, _owner=None: query.__dict__["_kept_rows"].get(
            threading.get_ident(), (None, None)
        )[1]
    )


@weakening(OBJECTS)
def _a_cursor_hands_rows_to_everybody() -> None:
    kept_rows.require_rows_of = _nothing


@weakening(OBJECTS)
def _objects_forget_their_tenant() -> None:
    models.TenantModel.require_own_tenant = _nothing  # type: ignore[method-assign]


@weakening(OBJECTS)
def _a_foreign_key_is_followed_by_anybody() -> None:
    del relations.ForeignKeyAccessor.get_rel_instance


@weakening(HELPERS)
def _relations_of_peewees_own_are_not_guarded() -> None:
    add = models._Metadata.add_field

    def only_ours(meta: Any, name: Any, field: Any, set_attribute: bool = True) -> None:
        ours = type(field).__module__ == "tenants.models"
        (add if ours else peewee.Metadata.add_field)(meta, name, field, set_attribute)

    models._Metadata.add_field = only_ours  # type: ignore[method-assign]


@weakening(REFUSALS)
def _anybodys_object_may_be_assigned() -> None:
    relations.ForeignKeyAccessor.__set__ = peewee.ForeignKeyAccessor.__set__  # type: ignore[method-assign]


@weakening(OBJECTS)
def _a_backref_is_followed_by_anybody() -> None:
    models._Model.require_own_tenant = _nothing  # type: ignore[method-assign]
    get = relations.BackrefAccessor.__get__

    def anybody(accessor: Any, instance: Any, owner: Any = None) -> Any:
        if instance is not None and accessor._slot in instance.__dict__:
            return instance.__dict__[accessor._slot][1]
        return get(accessor, instance, owner)

    relations.BackrefAccessor.__get__ = anybody  # type: ignore[method-assign]


@weakening(OBJECTS)
def _what_came_under_a_tenant_is_everybodys() -> None:
    required = relations.require_scope_of

    def of_objects_alone(tenant: Any, what: str) -> None:
        if what.startswith("this "):
            required(tenant, what)

    models.require_scope_of = relations.require_scope_of = of_objects_alone


@weakening(OBJECTS)
def _what_is_joined_is_everybodys() -> None:
    peewee.ModelCursorWrapper.initialize = kept_rows._initialize


@weakening(OBJECTS)
def _what_is_put_on_a_global_stays_there() -> None:
    del models.GlobalModel.__setattr__


@weakening(REFUSALS)
def _anybodys_objects_may_be_added() -> None:
    del relations._ManyToManyQuery._id_list


@weakening(OBJECTS)
def _a_version_is_not_compared() -> None:
    del models.TenantModel._pk_expr


@weakening(REFUSALS)
def _a_stale_write_goes_unnoticed() -> None:
    models.TenantModel.save = peewee.Model.save  # type: ignore[method-assign]


@weakening(OBJECTS)
def _a_recursive_delete_is_many() -> None:
    models.TenantModel.delete_instance = (  # type: ignore[method-assign]
        lambda self, recursive=False, delete_nullable=False: (
            self.require_own_tenant()
            or self._delete(recursive=recursive, delete_nullable=delete_nullable)
        )
    )


# -- contexts --------------------------------------------------------------------------


@weakening(CONTEXT)
def _a_generators_scope_is_everybodys() -> None:
    context._generator_of = lambda _frame: None


@weakening(CONTEXT)
def _a_scope_goes_along_to_threads() -> None:
    context.threading = SimpleNamespace(  # type: ignore[assignment]
        get_ident=lambda: 0, local=context.threading.local
    )


@weakening(CONTEXT)
def _a_closed_scope_holds() -> None:
    class Open(context._Entry):
        __slots__ = ()
        is_open = property(lambda _self: True, lambda _self, _value: None)  # type: ignore[assignment]

    context._Entry = Open  # type: ignore[misc]


@weakening(CONTEXT)
def _a_resumed_generator_is_passed_over() -> None:
    original = context._in_force

    def topmost(entry: Any) -> Any:
        while entry is not None:
            if entry.is_open and (
                entry.generator is None or context._depth(entry.generator) is not None
            ):
                return entry
            entry = entry.below
        return original(entry) if entry else None

    context._in_force = topmost


@weakening(CONTEXT)
def _another_tenant_may_be_served_inside_a_transaction() -> None:
    context._transactions = type(  # type: ignore[assignment]
        "None_", (), {"tenants": property(lambda _self: [])}
    )()


@weakening(CONTEXT)
def _a_forked_process_keeps_the_scope() -> None:
    context._forget = _nothing


@weakening(CONTEXT)
def _a_body_runs_under_its_consumers_scope() -> None:
    context._LATER = ()  # type: ignore[assignment]
    context.inspect = SimpleNamespace(  # type: ignore[assignment]
        isasyncgenfunction=_nothing, iscoroutinefunction=_nothing, isgeneratorfunction=_nothing
    )


@weakening(CONTEXT)
def _nothing_is_carried_over() -> None:
    context.propagate = lambda function: function  # type: ignore[assignment]


def pytest_configure() -> None:
    """Take the defence away, before the tests are imported."""
    name = os.environ.get("SCOPING_WEAKENED")
    if name:
        WEAKENED[name][1]()
