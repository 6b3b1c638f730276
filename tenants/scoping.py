"""Scoping at compile time: every occurrence of a tenant table, however it got there.

peewee compiles a query tree by handing each node to `Context.sql`; this subclass sees
them all. A tenant table in FROM becomes `(SELECT * FROM t WHERE tenant_id = ..) AS t1`,
which keeps outer joins outer and which PostgreSQL flattens; targets of UPDATE and DELETE
gain the predicate; INSERT is stamped. What cannot be scoped raises before a byte is sent.

Row-level security stands behind this and does not rely on it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import peewee
from peewee import (
    CTE,
    SQL,
    Cast,
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
    Select,
    SelectQuery,
    Table,
    Update,
    Value,
    ValuesList,
)

from tenants.catalog import Kind
from tenants.errors import NoTenantError, TenantMismatchError, UnscopableError
from tenants.node_text import TEXTS, join_text

TENANT_COLUMN = "tenant_id"

#: Tells whether the table at a path (schema, name) is a tenant's or global; None if unknown.
KindOf = Callable[[tuple[str, ...]], Kind | None]

# The fragments peewee itself puts into a tree. Any other SQL() is the caller's text. (FROM, of
# EXTRACT, is not among them: with an Entity behind it, it would read a table.)
_PEEWEE_FRAGMENTS = frozenset(
    {
        *("*", "1", "=", "AND", "ESCAPE", "DISTINCT", "NULL", "OVER", "ORDER BY", "PARTITION BY"),
        *("CURRENT ROW", "GROUP", "TIES", "NO OTHERS", "EXCLUDE", "WHERE", "interval"),
        *("UNBOUNDED FOLLOWING", "UNBOUNDED PRECEDING", "CASE", "WHEN", "THEN", "ELSE", "END"),
        *("INSERT", "ON CONFLICT", "ON CONFLICT ON CONSTRAINT", "EXCLUDED", "DO UPDATE SET"),
        *("DO NOTHING", "ROWS BETWEEN", "RANGE BETWEEN", "GROUPS BETWEEN"),
        *("ROWS UNBOUNDED PRECEDING", "RANGE UNBOUNDED PRECEDING", "GROUPS UNBOUNDED PRECEDING"),
    }
)
_PEEWEE_PATTERN = re.compile(r"\d+ (FOLLOWING|PRECEDING)")


class _EmptinessProbe(Context):
    """Answers peewee's question whether the right side of IN is `()`.

    peewee compiles the operand a second time to find out, at every level of nesting, which
    is exponential; a query never compiles to `()`.
    """

    def parse(self, node: Any) -> Any:
        if isinstance(node, SelectQuery):
            return "(SELECT)", []
        return super().parse(node)  # type: ignore[no-untyped-call]  # peewee's stubs


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

    def as_new(self) -> Context:
        return _EmptinessProbe(**self.state.settings)

    def sql(self, obj: Any) -> Any:
        if isinstance(obj, type) and issubclass(obj, Model):
            obj = obj._meta.table
        handler = _handler_of(type(obj))
        if handler is not None:
            return handler(self, obj)
        return super().sql(obj)  # type: ignore[no-untyped-call]  # peewee's stubs

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
        """Return whether the table is a tenant's; an unknown one raises UnscopableError."""
        table = _table_of(table)
        if table._model is not None and hasattr(table._model._meta, "tenure_kind"):
            kind: Kind = table._model._meta.tenure_kind
            return kind
        found = self.kind_of(tuple(table._path))
        if found is None:
            raise UnscopableError(
                f"table {'.'.join(table._path)} is in no catalog: whose rows it holds is unknown"
            )
        return found

    def is_from_item(self) -> bool:
        """True where a source is being defined (FROM, JOIN), not projected or referred to."""
        return bool(self.scope == peewee.SCOPE_SOURCE and not self.state.in_projection)

    def scoped_source(self, entity: Entity) -> None:
        """Write the tenant's rows of a table, in place of the table."""
        self.literal("(SELECT * FROM ").sql(entity)
        self.literal(f' WHERE "{TENANT_COLUMN}" = ')
        self.tenant_literal()
        self.literal(")")


# Queries are Any below: peewee's stubs leave out the attributes a tree is made of.
Handler = Callable[[ScopedContext, Any], Any]


def _table(ctx: ScopedContext, table: Any) -> Any:
    if not ctx.is_from_item() or ctx.kind(table) == "global":
        return table.__sql__(ctx)
    if table._alias:
        ctx.alias_manager[table] = table._alias
    ctx.scoped_source(Entity(*table._path))
    return table.apply_alias(ctx)


def _model_alias(ctx: ScopedContext, alias: ModelAlias) -> Any:
    table = alias.model._meta.table
    if not ctx.is_from_item() or ctx.kind(table) == "global":
        return alias.__sql__(ctx)
    if alias.alias:
        ctx.alias_manager[alias] = alias.alias
    ctx.scoped_source(Entity(*table._path))
    return ctx.literal(" AS ").sql(Entity(ctx.alias_manager[alias]))


def _select(ctx: ScopedContext, query: Any) -> Any:
    if query._from_list:
        sources = [_source(ctx, source) for source in query._from_list]
        if any(new is not old for new, old in zip(sources, query._from_list, strict=True)):
            query = query.clone()
            query._from_list = sources
    return query.__sql__(ctx)


def _source(ctx: ScopedContext, source: Any) -> Any:
    """Return a FROM item that the handlers scope; raises UnscopableError for any other."""
    if isinstance(source, Join):
        _note(ctx, join_text(source.join_type))
        left, right = _source(ctx, source.lhs), _source(ctx, source.rhs)
        if left is source.lhs and right is source.rhs:
            return source
        joined = source.clone()
        joined.lhs, joined.rhs = left, right
        return joined
    if isinstance(source, Entity):
        path: Any = source._path
        return Table(path[-1], schema=path[0] if len(path) == 2 else None).alias(path[-1])
    if isinstance(source, type) and issubclass(source, Model):
        return source
    if isinstance(source, SQL):
        # Refused later unless the prover clears the whole statement.
        return source
    node = source.unwrap() if isinstance(source, peewee.WrappedNode) else source
    if isinstance(node, (Table, ModelAlias, SelectQuery, CTE, ValuesList, Function)):
        return source
    raise UnscopableError(f"cannot scope {type(source).__name__} in FROM")


def _update(ctx: ScopedContext, query: Any) -> Any:
    _check_sources(ctx, query._from or ())
    if ctx.kind(query.table) == "global":
        return query.__sql__(ctx)
    tenant = ctx.tenant()
    changes = {}
    for key, value in query._update.items():
        if _column_name(key) == TENANT_COLUMN:
            # save() sends every field; the unchanged tenant is dropped, another one refused.
            _require_same(value, tenant)
            continue
        _check_value(value, tenant)
        changes[key] = value
    if not changes:
        raise UnscopableError(f"UPDATE of {_table_of(query.table).__name__} changes nothing")
    query = query.clone()
    query._update = changes
    query._where = _and_tenant(ctx, query)
    return query.__sql__(ctx)


def _delete(ctx: ScopedContext, query: Any) -> Any:
    if ctx.kind(query.table) == "tenant":
        query = query.clone()
        query._where = _and_tenant(ctx, query)
    return query.__sql__(ctx)


def _and_tenant(ctx: ScopedContext, query: Any) -> Any:
    predicate = _TenantPredicate(query.table, ctx.tenant())
    if query._where is None:
        return predicate
    return Expression(predicate, peewee.OP.AND, query._where)


class _TenantPredicate(peewee.Node):
    """`"t"."tenant_id" = ..`, for the target of a write."""

    def __init__(self, table: Table, tenant_id: uuid.UUID) -> None:
        self.column = Column(_table_of(table), TENANT_COLUMN)
        self.tenant_id = tenant_id

    def __sql__(self, ctx: Any) -> Any:
        with ctx(parentheses=True):
            ctx.sql(self.column).literal(" = ")
            return ctx.tenant_literal()


def _insert(ctx: ScopedContext, query: Any) -> Any:
    if ctx.kind(query.table) == "global":
        return query.__sql__(ctx)
    tenant = ctx.tenant()
    query = query.clone()
    columns = list(query._columns) if query._columns else None
    if query._on_conflict is not None:
        query._on_conflict = _with_arbiter(query._on_conflict, tenant)
    if isinstance(query._insert, SQL) or (
        isinstance(query._insert, SelectQuery) and columns is None
    ):
        raise UnscopableError("INSERT .. SELECT must name its columns and be built as a query")
    if isinstance(query._insert, SelectQuery):
        _stamp_query(query, columns or [], tenant)
    elif isinstance(query._insert, Mapping) and columns is None:
        query._insert = _stamp_row(query.table, query._insert, tenant)
    elif columns is not None:
        query._columns, query._insert = _stamp_tuples(query, columns, tenant)
    else:
        query._insert = _stamp_mappings(query.table, query._insert, tenant)
    return query.__sql__(ctx)


def _stamp_query(query: Any, columns: list[Any], tenant: uuid.UUID) -> None:
    if any(_column_name(c) == TENANT_COLUMN for c in columns):
        raise UnscopableError("INSERT .. SELECT must leave the tenant out: it is stamped")
    rows = query._insert.alias("tenure_rows")
    stamp = Cast(Value(str(tenant), converter=False), "uuid")
    query._columns = [*columns, _tenant_key(query.table)]
    query._insert = Select((rows,), (rows.__star__, stamp))


def _stamp_row(table: Any, row: Mapping[Any, Any], tenant: uuid.UUID) -> dict[Any, Any]:
    stamped = {}
    for key, value in row.items():
        if _column_name(key) == TENANT_COLUMN:
            _require_same(value, tenant)
            continue
        _check_value(value, tenant)
        stamped[key] = value
    stamped[_tenant_key(table)] = tenant
    return stamped


def _stamp_mappings(table: Any, rows: Any, tenant: uuid.UUID) -> Iterator[dict[Any, Any]]:
    for row in rows:
        if not isinstance(row, Mapping):
            raise UnscopableError("rows given as tuples must come with the names of their columns")
        yield _stamp_row(table, row, tenant)


def _stamp_tuples(
    query: Any, columns: list[Any], tenant: uuid.UUID
) -> tuple[list[Any], Iterator[Any]]:
    at = next((i for i, c in enumerate(columns) if _column_name(c) == TENANT_COLUMN), None)
    if at is None:
        columns = [*columns, _tenant_key(query.table)]

    def rows() -> Iterator[Any]:
        for row in query_rows:
            if isinstance(row, Mapping):
                yield _stamp_row(query.table, row, tenant)
                continue
            for value in row:
                _check_value(value, tenant)
            if at is None:
                yield (*row, tenant)
            else:
                _require_same(row[at], tenant)
                yield (*row[:at], tenant, *row[at + 1 :])

    query_rows = query._insert
    return columns, rows()


def _with_arbiter(conflict: Any, tenant: uuid.UUID) -> Any:
    """Return the ON CONFLICT clause with the tenant among the arbiter's columns."""
    conflict = conflict.clone()
    target = conflict._conflict_target
    if target and not any(_column_name(c) == TENANT_COLUMN for c in target):
        conflict._conflict_target = (TENANT_COLUMN, *target)
    for key, value in (conflict._update or {}).items():
        if _column_name(key) == TENANT_COLUMN:
            raise TenantMismatchError("ON CONFLICT DO UPDATE must not set the tenant")
        _check_value(value, tenant)
    if any(_column_name(c) == TENANT_COLUMN for c in conflict._preserve or ()):
        raise TenantMismatchError("ON CONFLICT DO UPDATE must not set the tenant")
    return conflict


def _model_instance(ctx: ScopedContext, instance: Model) -> Any:
    if ctx.tenant_id is not None:
        _check_value(instance, ctx.tenant_id)
    return instance.__sql__(ctx)


def _fragment(ctx: ScopedContext, fragment: SQL) -> Any:
    text = fragment.sql
    if text not in _PEEWEE_FRAGMENTS and not _PEEWEE_PATTERN.fullmatch(text):
        ctx.fragments.append(text)
    return fragment.__sql__(ctx)


def _carrier(text_of: Callable[[Any], str | None]) -> Handler:
    """Return the handler of nodes whose text may be the caller's own."""

    def handler(ctx: ScopedContext, node: Any) -> Any:
        _note(ctx, text_of(node))
        return node.__sql__(ctx)

    return handler


def _note(ctx: ScopedContext, text: str | None) -> None:
    if text is not None:
        ctx.fragments.append(text)


def _compiled(ctx: ScopedContext, tree: Context) -> Any:
    # Compiled elsewhere, by somebody who may not have scoped it.
    ctx.fragments.append("".join(tree._sql))  # type: ignore[attr-defined]  # not in the stubs
    return tree.__sql__(ctx)


def _raw(ctx: ScopedContext, query: Any) -> Any:
    ctx.fragments.append(query._sql)
    return query.__sql__(ctx)


def _check_sources(ctx: ScopedContext, sources: Any) -> None:
    for source in sources:
        if _source(ctx, source) is not source:
            raise UnscopableError("UPDATE .. FROM takes models, tables and queries, no Entity")


def _check_value(value: Any, tenant: uuid.UUID) -> None:
    """Refuse an object of another tenant as a value."""
    if isinstance(value, Value):
        value = value.value
    owner = getattr(value, "tenure_tenant", None) if isinstance(value, Model) else None
    if owner is not None and owner != tenant:
        raise TenantMismatchError(
            f"a {type(value).__name__} of tenant {owner} cannot be used under tenant {tenant}"
        )


def _require_same(value: Any, tenant: uuid.UUID) -> None:
    if isinstance(value, Value):
        value = value.value
    if value is not None and str(value) != str(tenant):
        raise TenantMismatchError(f"the row names tenant {value}, the scope is {tenant}'s")


def _table_of(target: Any) -> Any:
    """Return the Table of a write's target, which may be a model."""
    return target if isinstance(target, Table) else target._meta.table


def _tenant_key(target: Any) -> Any:
    table = _table_of(target)
    if table._model is not None:
        return table._model._meta.fields[TENANT_COLUMN]
    return Column(table, TENANT_COLUMN)


def _column_name(key: Any) -> str | None:
    if isinstance(key, str):
        return key
    if isinstance(key, Field):
        return str(key.column_name)
    if isinstance(key, Column):
        return str(key.name)
    if isinstance(key, Entity):
        return str(key._path[-1])
    return None


# Most specific first; the first match along this list is the handler.
_HANDLERS: tuple[tuple[type, Handler], ...] = (
    (Table, _table),
    (ModelAlias, _model_alias),
    (Select, _select),
    (Update, _update),
    (Insert, _insert),
    (Delete, _delete),
    (peewee.RawQuery, _raw),
    (Model, _model_instance),
    (SQL, _fragment),
    (Context, _compiled),
    *((kind, _carrier(text_of)) for kind, text_of in TEXTS),
)
_by_type: dict[type, Handler | None] = {}


def _handler_of(node_type: type) -> Handler | None:
    try:
        return _by_type[node_type]
    except KeyError:
        handler = next((h for cls, h in _HANDLERS if issubclass(node_type, cls)), None)
        _by_type[node_type] = handler
        return handler
