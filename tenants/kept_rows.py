"""Rows that peewee keeps are there for the tenant under whom they were read, and for no other.

A query keeps its rows and does not ask the database again; a cursor hands out rows as they are
asked for. Either may outlive a request, and must not serve the next tenant. The guards are in
peewee's own base classes, because every kind of query has them: unions, aliases, raw ones,
writes that return rows. Outside of any tenant nothing changes.
"""

from __future__ import annotations

from contextlib import suppress
from threading import get_ident
from typing import Any

import peewee

from tenants.context import TenantId, scope_or_none
from tenants.fetched import require_rows_of


def _tenant_or_none() -> TenantId | None:
    scope = scope_or_none()
    return None if scope is None else scope.tenant_id


class _KeptRows:
    """What a query keeps, for each thread: a new tenant finds nothing there, and asks the database.

    For each thread, because peewee looks here again after it has executed: the rows of another
    one, who asked meanwhile, would be nobody's here.
    """

    def __get__(self, query: Any, _owner: Any = None) -> Any:
        if query is None:
            return self
        tenant, rows = query.__dict__["_kept_rows"].get(get_ident(), _NOTHING)
        return rows if tenant == _tenant_or_none() else None

    def __set__(self, query: Any, rows: Any) -> None:
        if rows is None:
            # A dictionary of its own: a clone has been given its original's.
            query.__dict__["_kept_rows"] = {}
        else:
            query.__dict__["_kept_rows"][get_ident()] = (_tenant_or_none(), rows)


_NOTHING = (None, None)

_peewee: Any = peewee
_init = _peewee.CursorWrapper.__init__
_initialize = _peewee.ModelCursorWrapper.initialize


def _init_for_tenant(wrapper: Any, cursor: Any) -> None:
    _init(wrapper, cursor)
    wrapper.tenure_tenant = _tenant_or_none()


def _iter_for_tenant(wrapper: Any) -> Any:
    # Not over the list of rows: they would come unasked.
    return _peewee.ResultIterator(wrapper)


def _next_for_tenant(rows: Any) -> Any:
    """Return the next row: of those that were kept, or from the cursor, which asks itself."""
    wrapper, index = rows.cursor_wrapper, rows.index
    if wrapper.populated or index < wrapper.count:
        # By identity first, as in `TenantRows`.
        scope = scope_or_none()
        if scope is None or scope.tenant_id is not wrapper.tenure_tenant:
            require_rows_of(wrapper.tenure_tenant)
        if index >= wrapper.count:
            raise StopIteration
    else:
        wrapper.iterate()
    rows.index = index + 1
    return wrapper.row_cache[index]


def _fill_for_tenant(wrapper: Any, n: float = 0) -> None:
    """Have `n` rows kept, or all: before one is taken by its number, and before they are counted
    (which list() does, too)."""
    require_rows_of(wrapper.tenure_tenant)
    n = n or float("inf")
    if n < 0:
        raise ValueError("Negative values are not supported.")
    with suppress(StopIteration):
        while not wrapper.populated and wrapper.count < n:
            wrapper.iterate()


def _initialize_for_objects(wrapper: Any) -> None:
    """Tell models which attributes a join fills beside their columns, and what fills those."""
    _initialize(wrapper)
    for source, name, _, _, _, is_foreign_key in wrapper.src_to_dest:
        constructor, is_model = wrapper.key_to_constructor.get(source, (None, False))
        if is_model and not is_foreign_key and hasattr(constructor, "guard_joined"):
            constructor.guard_joined(name)
    for number, source, name, _ in wrapper._row_spec:
        constructor, _ = wrapper.key_to_constructor.get(source, (None, False))
        if hasattr(constructor, "guard_selected"):
            constructor.guard_selected(name, wrapper.fields[number])


def guard() -> None:
    """Put the guards in place; doing so again changes nothing."""
    _peewee.BaseQuery._cursor_wrapper = _KeptRows()
    _peewee.CursorWrapper.__init__ = _init_for_tenant
    _peewee.CursorWrapper.__iter__ = _iter_for_tenant
    _peewee.CursorWrapper.fill_cache = _fill_for_tenant
    _peewee.ResultIterator.next = _peewee.ResultIterator.__next__ = _next_for_tenant
    _peewee.ModelCursorWrapper.initialize = _initialize_for_objects
