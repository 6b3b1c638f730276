"""Which fields of a resource a refused write is about, from the constraint that refused it.

Only constraints that the resource's own table declares are known here, and only columns that
the resource shows are named: what the database says of values, rows and other tables stays
with it. Foreign and missing rows are one to a foreign key, and so to what is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from api.errors import FieldError
from api.resources import ResourceView
from tenants.catalog import Table, table_of
from tenants.errors import MissingParentError

_NAME_BYTES = 63  # PostgreSQL cuts longer names of constraints
_MESSAGES: Mapping[str, str] = {
    "23502": "is missing",
    "23503": "refers to a row that does not exist",
    "23505": "is there already, with the other fields named here if there are",
    "23514": "is not one of the values allowed",
}


class Constraints:
    """The constraints of the resources' tables, by the columns they are over."""

    def __init__(self, views: Mapping[str, ResourceView]) -> None:
        self._visible = {name: set(view.columns) for name, view in views.items()}
        self._tables = {name: table_of(view.resource.model) for name, view in views.items()}
        self._columns = {name: dict(_constraints(table)) for name, table in self._tables.items()}

    def errors(self, resource: str | None, error: BaseException) -> tuple[FieldError, ...]:
        """Return an entry per field that a write to `resource` was refused for; none if unknown.

        For the parent's side of a foreign key (another row still refers to this one) there is
        none: no field of the request is wrong.
        """
        if resource not in self._tables:
            return ()
        if isinstance(error, MissingParentError):
            return self._named(resource, (error.column,), "23503")
        raised = getattr(error, "orig", None) or error
        state: str = getattr(raised, "pgcode", None) or ""
        diag: Any = getattr(raised, "diag", None)
        if state not in _MESSAGES or diag is None:
            return ()
        table = self._tables[resource].name
        if (diag.schema_name, diag.table_name) != (table.schema, table.name):
            return ()
        columns: tuple[Any, ...] = (diag.column_name,)
        if diag.constraint_name is not None:
            columns = self._columns[resource].get(diag.constraint_name, ())
        return self._named(resource, columns, state)

    def _named(self, resource: str, columns: tuple[Any, ...], state: str) -> tuple[FieldError, ...]:
        return tuple(
            FieldError(column, _MESSAGES[state], state)
            for column in columns
            if column in self._visible[resource]
        )


def _constraints(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield _cut(f"{table.name.name}_pkey"), table.primary_key
    for index in table.indexes:
        if index.unique:
            yield _cut(index.name), index.columns
    for key in table.foreign_keys:
        yield _cut(key.name), key.columns
    names = {column.name for column in table.columns}
    for name, condition in table.checks:
        words = re.findall(r"\w+", re.sub(r"'[^']*'", "''", condition))
        yield _cut(name), tuple(word for word in dict.fromkeys(words) if word in names)


def _cut(name: str) -> str:
    return name.encode()[:_NAME_BYTES].decode(errors="ignore")
