"""Scoping at compile time: every occurrence of a tenant table, however it got there.

peewee compiles a query tree by handing each node to `Context.sql`; this subclass sees
them all. A tenant table in FROM becomes `(SELECT * FROM t WHERE tenant_id = ..) AS t1`,
which keeps outer joins outer and which PostgreSQL flattens; targets of UPDATE and DELETE
gain the predicate; rows are stamped (`tenants.stamping`). What cannot be scoped raises before
a byte is sent; a node whose SQL is not peewee's own is raw SQL (`tenants.node_text`).

Row-level security stands behind this and does not rely on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import peewee
from peewee import (
    CTE,
    SQL,
    Alias,
    Column,
    Context,
    Delete,
    Entity,
    Expression,
    Field,
    Function,
    Insert,
    Join,
    Model,
    ModelAlias,
    Node,
    NodeList,
    Select,
    SelectQuery,
    Table,
    Update,
    Value,
    ValuesList,
)

from tenants.catalog import Kind
from tenants.errors import NoTenantError, UnscopableError
from tenants.node_classes import is_peewees
from tenants.node_text import TEXTS, fragment_text, join_text
from tenants.stamping import (
    TENANT_COLUMN,
    require_own,
    stamped_insert,
    stamped_update,
    table_of,
)

__all__ = ["TENANT_COLUMN", "KindOf", "ScopedContext"]

#: Tells whether the table at a path (schema, name) is a tenant's or global; None if unknown.
KindOf = Callable[[tuple[str, ...]], Kind | None]


class _EmptinessProbe(Context):
    """Answers peewee's question whether the right side of IN is `()`.

    peewee compiles the operand a second time to find out, at every level of nesting, which is
    exponential. Only an empty list in parentheses is `()`.
    """

    def parse(self, node: Any) -> Any:
        while isinstance(node, peewee.WrappedNode):
            node = node.node
        return "()" if isinstance(node, NodeList) and not node.nodes else "", []


class ScopedContext(Context):
    """Compiles a tree for one tenant. `fragments` collects the caller's raw SQL texts."""

    def __init__(
        self,
        *,
        tenant_id: uuid.UUID | None = None,
        kind_of: KindOf = lambda _path: None,
        tenant_as_source: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.tenant_id = tenant_id
        self.kind_of = kind_of
        self.tenant_as_source = tenant_as_source
        self.fragments: list[str] = []
        # The tables being written to, outermost first: they stand in the text as they are.
        self.targets: list[Any] = []

    def as_new(self) -> Context:
        return _EmptinessProbe()

    def sql(self, obj: Any) -> Any:
        handler = _BY_TYPE.get(obj.__class__, _unknown)
        return obj.__sql__(self) if handler is None else handler(self, obj)

    def tenant(self) -> uuid.UUID:
        """Return the tenant compiled for; raises NoTenantError when there is none."""
        if self.tenant_id is None:
            raise NoTenantError("a tenant's table was queried without a tenant in context")
        return self.tenant_id

    def tenant_literal(self) -> ScopedContext:
        """Write the tenant: as a value, or, for the prover, as the source it stands for."""
        tenant = self.tenant()
        if self.tenant_as_source:
            self.literal("(SELECT tenure.current_tenant())")
        else:
            # False: no converter of the column being compared may touch it.
            self.value(str(tenant), converter=False)
        return self

    def kind(self, table: Any) -> Kind:
        """Return whether the table is a tenant's; an unknown one raises UnscopableError.

        The catalog decides. A model may say of itself that it is a tenant's, but not that it
        is global: the rows under it may be another model's. Nor may one that says nothing stand
        for a tenant's table: its objects would not remember whose they are.
        """
        model = table._model
        if model is not None and getattr(model._meta, "tenure_kind", None) == "tenant":
            return "tenant"
        found = self.kind_of(table._path)
        if found is None:
            raise UnscopableError(
                f"table {'.'.join(table._path)} is in no catalog: whose rows it holds is unknown"
            )
        if found == "tenant" and model is not None:
            raise UnscopableError(
                f"{model.__name__} is no TenantModel, and {'.'.join(table._path)} holds tenants' "
                "rows: its objects would not remember whose they are"
            )
        return found

    def scoped_source(self, path: tuple[str, ...]) -> None:
        """Write the tenant's rows of a table, in place of the table."""
        self._sql.append(_scoped_head(path))  # type: ignore[attr-defined]  # not in the stubs
        self.tenant_literal().literal(")")


# Queries are Any below: peewee's stubs leave out the attributes a tree is made of.
Handler = Callable[[ScopedContext, Any], Any]
_heads: dict[tuple[str, ...], str] = {}


def _scoped_head(path: tuple[str, ...]) -> str:
    try:
        return _heads[path]
    except KeyError:
        name = ".".join(_quoted(part) for part in path)
        head = "".join(("(SELECT * FROM ", name, ' WHERE "', TENANT_COLUMN, '" = '))
        return _heads.setdefault(path, head)


# -- sources ---------------------------------------------------------------------------


def _table(ctx: ScopedContext, table: Any) -> Any:
    scope = ctx.state.scope
    if scope == peewee.SCOPE_SOURCE:
        # In a projection it is a reference; peewee compiles both in the same scope.
        if ctx.state.in_projection or ctx.kind(table) == "global":
            return table.__sql__(ctx)
        if table._alias:
            ctx.alias_manager[table] = table._alias
        ctx.scoped_source(table._path)
        return table.apply_alias(ctx)
    if scope == peewee.SCOPE_VALUES and not any(table is target for target in ctx.targets):
        raise UnscopableError(
            f"table {'.'.join(table._path)} is named where no query reads or writes it; "
            "to create, change, empty or drop tables is the migrations' business"
        )
    return table.__sql__(ctx)


def _model_class(ctx: ScopedContext, model: Any) -> Any:
    return _table(ctx, model._meta.table)


def _model_alias(ctx: ScopedContext, alias: ModelAlias) -> Any:
    if ctx.scope == peewee.SCOPE_VALUES:
        return _table(ctx, alias.model._meta.table)
    table = alias.model._meta.table
    if ctx.scope != peewee.SCOPE_SOURCE or ctx.state.in_projection or ctx.kind(table) == "global":
        return alias.__sql__(ctx)
    if alias.alias:
        ctx.alias_manager[alias] = alias.alias
    ctx.scoped_source(table._path)
    return ctx.literal(" AS ").sql(Entity(ctx.alias_manager[alias]))


def _select(ctx: ScopedContext, query: Any) -> Any:
    if query._from_list:
        query = _with_sources(query, "_from_list")
    return query.__sql__(ctx)


def _with_sources(query: Any, attribute: str) -> Any:
    given = getattr(query, attribute)
    sources = [_source(source) for source in given]
    if any(new is not old for new, old in zip(sources, given, strict=True)):
        query = query.clone()
        setattr(query, attribute, sources)
    return query


def _source(source: Any) -> Any:
    """Return a FROM item that the handlers scope; raises UnscopableError for any other."""
    if isinstance(source, Entity):
        path: Any = source._path
        if len(path) != 2:
            raise UnscopableError(f"{'.'.join(path)} in FROM is not schema-qualified")
        return Table(path[1], schema=path[0]).alias(path[1])
    if isinstance(source, type) and issubclass(source, Model):
        return source
    # An alias keeps the scope in which it stands; of the other wrappers some change it.
    node = source
    while isinstance(node, Alias):
        node = node.node
    # SQL is refused later unless the prover clears the whole statement.
    if isinstance(
        node, Table | ModelAlias | Join | SelectQuery | CTE | ValuesList | Function | SQL
    ):
        return source
    raise UnscopableError(f"cannot scope {type(source).__name__} in FROM")


def _join(ctx: ScopedContext, join: Any) -> Any:
    _note(ctx, join_text(join.join_type))
    ctx.sql(_source(join.lhs)).literal(f" {join.join_type} ").sql(_source(join.rhs))
    on = join._on
    if on is None:
        return ctx
    # In parentheses, or the condition's own text might go on with further sources.
    return ctx.literal(" ON ").sql(_enclosed(on))


def _cte(ctx: ScopedContext, cte: Any) -> Any:
    # Where WITH does not declare it, the name would be looked up among the system's catalogs.
    if cte._alias.lower().startswith("pg_"):
        raise UnscopableError(f"a common table expression must not be named {cte._alias}")
    return cte.__sql__(ctx)


# -- references ------------------------------------------------------------------------
# Most nodes of a query are columns. These two write what peewee writes for one, at once: it
# would go through four more nodes.


def _column(ctx: ScopedContext, column: Any) -> Any:
    if column.source.__class__ is Table and column.name:
        return _reference(ctx, column.source, column.name) or column.__sql__(ctx)
    return column.__sql__(ctx)


def _field(ctx: ScopedContext, field: Any) -> Any:
    return _reference(ctx, field.model._meta.table, field.column_name) or field.__sql__(ctx)


def _reference(ctx: Any, table: Any, name: str) -> Any:
    """Write `"t1"."name"`; return None where the name stands alone, in what is written."""
    if ctx.state.scope == peewee.SCOPE_VALUES:
        return None
    aliases = ctx.alias_manager
    if table._alias:
        aliases[table] = table._alias
    ctx._sql.append(_quoted(aliases[table]) + "." + _quoted(name))
    return ctx


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# -- writes ----------------------------------------------------------------------------


def _update(ctx: ScopedContext, query: Any) -> Any:
    if query._from:
        query = _with_sources(query, "_from")
    table = table_of(query.table)
    if ctx.kind(table) == "tenant":
        query = stamped_update(query, ctx.tenant())
        query._where = _and_tenant(ctx, table, query)
    return _written(ctx, query, table)


def _delete(ctx: ScopedContext, query: Any) -> Any:
    table = table_of(query.table)
    if ctx.kind(table) == "tenant":
        query = query.clone()
        query._where = _and_tenant(ctx, table, query)
    return _written(ctx, query, table)


def _insert(ctx: ScopedContext, query: Any) -> Any:
    table = table_of(query.table)
    if ctx.kind(table) == "tenant":
        query = stamped_insert(query, ctx.tenant())
    return _written(ctx, query, table)


def _written(ctx: ScopedContext, query: Any, table: Any) -> Any:
    if isinstance(query.table, type) and not isinstance(query, peewee._ModelWriteQueryHelper):
        # A bare query on a model: its columns are the table's.
        query = query.clone()
        query.table = table
    ctx.targets.append(table)
    try:
        return query.__sql__(ctx)
    finally:
        ctx.targets.pop()


def _and_tenant(ctx: ScopedContext, table: Any, query: Any) -> Any:
    predicate = _TenantPredicate(table)
    # Raised here, as nothing has been written yet.
    ctx.tenant()
    if query._where is None:
        return predicate
    # In parentheses, or an OR of the condition's would let every tenant's rows pass.
    return Expression(predicate, peewee.OP.AND, _enclosed(query._where))


def _enclosed(condition: Any) -> Any:
    """Return a condition that stands in parentheses."""
    return (
        condition if type(condition) is Expression and not condition.flat else _Enclosed(condition)
    )


class _Enclosed(Node):
    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def __sql__(self, ctx: Any) -> Any:
        return ctx.literal("(").sql(self.condition).literal(")")


class _TenantPredicate(Node):
    """`"t"."tenant_id" = ..`, for the target of a write."""

    def __init__(self, table: Table) -> None:
        self.column = Column(table, TENANT_COLUMN)

    def __sql__(self, ctx: Any) -> Any:
        with ctx(parentheses=True):
            ctx.sql(self.column).literal(" = ")
            return ctx.tenant_literal()


# -- everything else -------------------------------------------------------------------


def _model_instance(ctx: ScopedContext, instance: Model) -> Any:
    if ctx.tenant_id is not None:
        require_own(instance, ctx.tenant_id)
    return instance.__sql__(ctx)


def _carrier(text_of: Callable[[Any], str | None]) -> Handler:
    """Return the handler of nodes whose text may be the caller's own."""

    def handler(ctx: ScopedContext, node: Any) -> Any:
        text = text_of(node)
        if text is not None:
            ctx.fragments.append(text)
        return node.__sql__(ctx)

    return handler


def _note(ctx: ScopedContext, text: str | None) -> None:
    if text is not None:
        ctx.fragments.append(text)


def _compiled(ctx: ScopedContext, tree: Context) -> Any:
    # Compiled elsewhere, by somebody who may not have scoped it.
    ctx.fragments.append("".join(tree._sql))  # type: ignore[attr-defined]  # not in the stubs
    return tree.__sql__(ctx)


def _value(ctx: ScopedContext, value: Any) -> Any:
    return Value(value).__sql__(ctx)


def _strange(handler: Handler | None) -> Handler:
    """Return the handler of a class that may write whatever it likes: its SQL is raw."""

    def handle(ctx: ScopedContext, node: Any) -> Any:
        ctx.fragments.append(type(node).__name__)
        return node.__sql__(ctx) if handler is None else handler(ctx, node)

    return handle


# Most specific first; the first match along this list is the handler.
_HANDLERS: tuple[tuple[type, Handler], ...] = (
    (Table, _table),
    (ModelAlias, _model_alias),
    (Select, _select),
    (Join, _join),
    (CTE, _cte),
    (Update, _update),
    (Insert, _insert),
    (Delete, _delete),
    (peewee.RawQuery, _carrier(lambda query: query._sql)),
    (Model, _model_instance),
    (SQL, _carrier(fragment_text)),
    (Context, _compiled),
    *((kind, _carrier(text_of)) for kind, text_of in TEXTS),
)


def _handler_of(cls: type) -> Handler | None:
    if issubclass(cls, type):
        return _model_class_or_value
    if not issubclass(cls, Node | Context):
        return _value
    handler = next((h for kind, h in _HANDLERS if issubclass(cls, kind)), None)
    if handler is None:
        handler = _of_columns(cls)
    ours = cls in (_TenantPredicate, _Enclosed)
    return handler if ours or is_peewees(cls) else _strange(handler)


def _of_columns(cls: type) -> Handler | None:
    if cls is Column:
        return _column
    # An alias of a field inherits its methods, and asks its field for the rest.
    plain = issubclass(cls, Field) and not issubclass(cls, peewee.FieldAlias)
    return _field if plain and _SAME(cls) == _SAME(Field) else None


_SAME = attrgetter("__sql__", "column")


def _model_class_or_value(ctx: ScopedContext, cls: type) -> Any:
    return _model_class(ctx, cls) if issubclass(cls, Model) else _value(ctx, cls)


def _unknown(ctx: ScopedContext, obj: Any) -> Any:
    cls = obj.__class__
    handler = _handler_of(cls)
    # peewee makes a class for each field of each alias: those would pile up.
    if not issubclass(cls, peewee.FieldAlias):
        _BY_TYPE[cls] = handler
    return obj.__sql__(ctx) if handler is None else handler(ctx, obj)


#: By class; None where nothing is to be done but to let the node write itself.
_BY_TYPE: dict[type, Handler | None] = {}
