"""What is written under a tenant carries that tenant: rows of INSERT are stamped, no assignment
changes a tenant or refers to another's object, an upsert arbitrates within the tenant.

Each function takes a query of peewee's and returns one that is safe to compile, or raises; none
sends anything. If one of them let a row pass that names another tenant, row-level security
would still refuse it, but not a reference that was copied from one tenant into another.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import peewee
from peewee import (
    SQL,
    Cast,
    Column,
    CompoundSelectQuery,
    Entity,
    Field,
    Model,
    Select,
    SelectQuery,
    Table,
    Value,
    fn,
)

from tenants.errors import TenantMismatchError, UnscopableError

TENANT_COLUMN = "tenant_id"


# Queries are Any here: peewee's stubs leave out the attributes a tree is made of.
def stamped_update(query: Any, tenant: uuid.UUID) -> Any:
    """Return the UPDATE without its assignment of the tenant, its version counted up.

    Raises TenantMismatchError where it names another tenant or another's object, and
    UnscopableError where nothing is left to change or a column is named in an odd way.
    """
    table = table_of(query.table)
    changes = _without_tenant(table, query._update, tenant)
    if not changes:
        raise UnscopableError(f"UPDATE of {table.__name__} changes nothing")
    query = query.clone()
    query._update = _counted(table, changes)
    return query


def stamped_insert(query: Any, tenant: uuid.UUID) -> Any:
    """Return the INSERT with the tenant in every row and among the arbiter's columns."""
    table = table_of(query.table)
    query = query.clone()
    columns = list(query._columns) if query._columns else None
    if query._on_conflict is not None:
        query._on_conflict = _with_arbiter(query._on_conflict, table, tenant)
    if isinstance(query._insert, SelectQuery) and columns is not None:
        query._columns, query._insert = _stamp_query(table, query._insert, columns, tenant)
    elif isinstance(query._insert, SQL | SelectQuery):
        raise UnscopableError("INSERT .. SELECT must name its columns and be built as a query")
    elif isinstance(query._insert, Mapping) and columns is None:
        query._insert = _stamp_row(table, query._insert, tenant)
    elif columns is not None:
        query._columns, query._insert = _stamp_tuples(table, query._insert, columns, tenant)
    else:
        query._insert = _stamp_mappings(table, query._insert or (), tenant)
    return query


def table_of(target: Any) -> Any:
    """Return the Table of a write's target, which may be a model."""
    if isinstance(target, type) and issubclass(target, Model):
        target = target._meta.table
    if not isinstance(target, Table) or target._alias:  # type: ignore[attr-defined]  # stubs
        raise UnscopableError(
            f"cannot write to {type(target).__name__}: a write goes to a model or a plain Table"
        )
    return target


def require_own(value: Any, tenant: uuid.UUID) -> None:
    """Raise TenantMismatchError where the value is an object of another tenant."""
    if isinstance(value, Value):
        value = value.value
    owner = getattr(value, "tenure_tenant", None) if isinstance(value, Model) else None
    if owner is not None and owner != tenant:
        raise TenantMismatchError(
            f"a {type(value).__name__} of tenant {owner} cannot be used under tenant {tenant}"
        )


def version_of(model: Any) -> Any:
    """Return the field that counts a row's versions, or None where the model has none."""
    meta = model._meta
    try:
        return meta.tenure_version
    except AttributeError:
        found = [f for f in meta.sorted_fields if getattr(f, "tenure_counts", False)]
        if len(found) > 1:
            raise UnscopableError(f"{model.__name__} has two version fields") from None
        meta.tenure_version = found[0] if found else None
        return meta.tenure_version


def _without_tenant(table: Any, assigned: Mapping[Any, Any], tenant: uuid.UUID) -> dict[Any, Any]:
    changes = {}
    for key, value in assigned.items():
        if _column_name(table, key) == TENANT_COLUMN:
            # save() sends every field; the unchanged tenant is dropped, another one refused.
            _require_same(value, tenant)
            continue
        require_own(value, tenant)
        changes[key] = value
    return changes


def _counted(table: Any, changes: dict[Any, Any]) -> dict[Any, Any]:
    version = None if table._model is None else version_of(table._model)
    if version is None:
        return changes
    kept = {k: v for k, v in changes.items() if _column_name(table, k) != version.column_name}
    return {**kept, version: version + 1}


def _stamp_query(
    table: Any, query: SelectQuery, columns: list[Any], tenant: uuid.UUID
) -> tuple[list[Any], SelectQuery]:
    names = [_column_name(table, c) for c in columns]
    if TENANT_COLUMN in names:
        raise UnscopableError("INSERT .. SELECT must leave the tenant out: it is stamped")
    stamp = Cast(Value(str(tenant), converter=False), "uuid")
    columns = [*columns, _tenant_key(table)]
    key = _made_key(table, names)
    if key is None:
        # Beside the query's own columns, so that PostgreSQL still sees what type those are for.
        return columns, _with_column(query, stamp)
    rows: Any = query.alias("tenure_rows")  # type: ignore[attr-defined]  # not in the stubs
    return [*columns, key], Select((rows,), (rows.__star__, stamp, fn.gen_random_uuid()))


def _made_key(table: Any, names: list[str]) -> Any:
    """Return the key's field where rows of a query need one: the client cannot make these."""
    key = None if table._model is None else table._model._meta.primary_key
    if not isinstance(key, peewee.UUIDField) or key.default is None or key.column_name in names:
        return None
    return key


def _with_column(query: Any, column: Any) -> SelectQuery:
    query = query.clone()
    if isinstance(query, CompoundSelectQuery):
        query.lhs = _with_column(query.lhs, column)
        query.rhs = _with_column(query.rhs, column)
    else:
        query._returning = (*query._returning, column)
    return query  # type: ignore[no-any-return]  # Any goes in


def _stamp_row(table: Any, row: Mapping[Any, Any], tenant: uuid.UUID) -> dict[Any, Any]:
    return {**_without_tenant(table, row, tenant), _tenant_key(table): tenant}


def _stamp_mappings(table: Any, rows: Iterable[Any], tenant: uuid.UUID) -> Iterator[Any]:
    for row in rows:
        if not isinstance(row, Mapping):
            raise UnscopableError("rows given as tuples must come with the names of their columns")
        yield _stamp_row(table, row, tenant)


def _stamp_tuples(
    table: Any, given: Iterable[Any], columns: list[Any], tenant: uuid.UUID
) -> tuple[list[Any], Iterator[Any]]:
    """The tenant comes first: a row may be short, and take defaults for what it leaves out."""
    names = [_column_name(table, c) for c in columns]
    at = names.index(TENANT_COLUMN) if TENANT_COLUMN in names else len(names)

    def rows() -> Iterator[Any]:
        for row in given:
            if isinstance(row, Mapping):
                yield _stamp_row(table, row, tenant)
                continue
            values = tuple(row)
            for value in values:
                require_own(value, tenant)
            if at < len(values):
                _require_same(values[at], tenant)
            yield (tenant, *values[:at], *values[at + 1 :])

    return [_tenant_key(table), *columns[:at], *columns[at + 1 :]], rows()


def _with_arbiter(conflict: Any, table: Any, tenant: uuid.UUID) -> Any:
    """Return the ON CONFLICT clause with the tenant among the arbiter's columns.

    Raises UnscopableError for an arbiter by the name of a constraint: its columns are not known.
    """
    if conflict._conflict_constraint:
        raise UnscopableError(
            f"ON CONFLICT ON CONSTRAINT {conflict._conflict_constraint}: name its columns "
            "(conflict_target), so that the tenant is among them"
        )
    conflict = conflict.clone()
    target = conflict._conflict_target
    # An expression of an index may stand here; only columns have names.
    if target and TENANT_COLUMN not in (_name_or_none(table, c) for c in target):
        conflict._conflict_target = (TENANT_COLUMN, *target)
    assigned = {_column_name(table, key): key for key in conflict._update or {}}
    preserved = {_column_name(table, key): key for key in conflict._preserve or ()}
    if TENANT_COLUMN in assigned or TENANT_COLUMN in preserved:
        raise TenantMismatchError("ON CONFLICT DO UPDATE must not set the tenant")
    for value in (conflict._update or {}).values():
        require_own(value, tenant)
    if assigned or preserved:
        version = None if table._model is None else version_of(table._model)
        if version is not None:
            conflict._update = _counted(table, dict(conflict._update or {}))
            conflict._preserve = tuple(
                key for name, key in preserved.items() if name != version.column_name
            )
    return conflict


def _require_same(value: Any, tenant: uuid.UUID) -> None:
    if isinstance(value, Value):
        value = value.value
    # By class first: to compare an expression makes another, which is true.
    if value is None or (isinstance(value, uuid.UUID | str) and str(value) == str(tenant)):
        return
    raise TenantMismatchError(f"the row names tenant {value}, the scope is {tenant}'s")


def _tenant_key(table: Any) -> Any:
    if table._model is not None:
        return table._model._meta.fields[TENANT_COLUMN]
    return Column(table, TENANT_COLUMN)


def _column_name(table: Any, key: Any) -> str:
    """Return the column that is written; raises UnscopableError for a key that hides it."""
    name = _name_or_none(table, key)
    if name is None:
        raise UnscopableError(f"a column to write is named by a field, not a {type(key).__name__}")
    return name


def _name_or_none(table: Any, key: Any) -> str | None:
    if isinstance(key, str):
        field = None if table._model is None else table._model._meta.combined.get(key)
        return key if field is None else str(field.column_name)
    if isinstance(key, Field):
        return str(key.column_name)
    if isinstance(key, Column):
        return str(key.name)
    if isinstance(key, Entity):
        return str(key._path[-1])
    return None
