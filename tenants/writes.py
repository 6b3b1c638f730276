"""What a write says of itself before it is made, so that rows under legal hold can be kept."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tenants.catalog import TableName, name_of
from tenants.models import TenantModel


@dataclass(frozen=True, slots=True)
class Write:
    """A change of `columns` of rows that are there, or with None their deletion, soft or not.

    `rows` locks the rows meant and returns their ids; it is called when it matters which they
    are. A guard that called it returns the ids, and no other row may then be written.
    """

    table: TableName
    rows: Callable[[], Collection[UUID]]
    columns: frozenset[str] | None

    @classmethod
    def changing(
        cls, model: type[TenantModel], ids: Collection[UUID], columns: Collection[str]
    ) -> Write:
        """Return the change of some columns of the model's rows with these ids; of no rows,
        what a guard is handed so that the gate is passed first."""
        return cls(name_of(model), lambda: _locked(model, ids), frozenset(columns))

    @classmethod
    def deleting(cls, model: type[TenantModel], ids: Collection[UUID]) -> Write:
        """Return the deletion of the model's rows with these ids."""
        return cls(name_of(model), lambda: _locked(model, ids), None)


def _locked(model: type[TenantModel], ids: Collection[UUID]) -> list[UUID]:
    if not ids:
        return []
    found = model.select(model.id).where(model.id.in_(sorted(ids))).order_by(model.id)
    return [row[0] for row in found.for_update().tuples()]


class Guard(Protocol):
    """Called in the transaction, before the rows are written; raises where they are held.

    Without a write it raises where anything of the tenant is held. Returns None where the write
    may touch any row, else the ids it was judged for, and no others may be written.
    """

    def __call__(self, write: Write | None = None, /) -> Collection[UUID] | None:
        """Let the write through, or raise."""
        ...


def unguarded(_write: Write | None = None, /) -> None:
    """The guard where nothing is held: lets every write through."""
