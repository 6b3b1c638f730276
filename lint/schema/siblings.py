"""What two rows that point at one parent have in common.

A foreign key over more columns than the parent's own key needs (`(tenant, order) -> (tenant, id)`
of a table whose key is `id`) says that rows with one order have one tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lint.schema.catalog import Catalog, ForeignKey, Key, Name, Table

Pairs = tuple[tuple[str, str], ...]


# Stands for the tenant of a table that has it from its parent, and no column of it.
TENANT = ""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Rows of two tables that agree in `key` agree in `equal`, once no column of `filled` (of the
    one, of the other) is null."""

    key: Pairs
    equal: Pairs
    filled: tuple[tuple[str, ...], tuple[str, ...]]


class Siblings:
    """The dependencies between the tables of one catalog, each looked up once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[Name, Name], tuple[Sibling, ...]] = {}

    def of(self, one: Table, other: Table) -> tuple[Sibling, ...]:
        pair = one.name, other.name
        if pair not in self._known:
            self._known[pair] = tuple(self._find(one, other))
        return self._known[pair]

    def _find(self, one: Table, other: Table) -> Iterator[Sibling]:
        # Keys of a table that others inherit from do not hold for the rows of those.
        if one.inherited or other.inherited:
            return
        for mine in (*one.foreign_keys, *_parent(one)):
            for theirs in (*other.foreign_keys, *_parent(other)):
                parent = self._catalog.lookup(mine.table) if mine.table == theirs.table else None
                if isinstance(parent, Table) and not parent.inherited:
                    yield from _shared(parent, one, mine, other, theirs)


def _parent(table: Table) -> tuple[ForeignKey, ...]:
    return () if table.parent is None or table.parent in table.foreign_keys else (table.parent,)


def _shared(
    parent: Table, one: Table, mine: ForeignKey, other: Table, theirs: ForeignKey
) -> Iterator[Sibling]:
    left, right = _known(parent, one, mine), _known(parent, other, theirs)
    for key in parent.keys:
        if not set(key.columns) <= set(mine.references) & set(theirs.references):
            continue
        more = [name for name in left if name in right and name not in key.columns]
        if more:
            yield Sibling(
                tuple((left[name], right[name]) for name in key.columns),
                tuple((left[name], right[name]) for name in more),
                # With a null in it a key is not checked; what is compared is not null.
                (_rest(mine, key), _rest(theirs, key)),
            )


def _known(parent: Table, child: Table, way: ForeignKey) -> dict[str, str]:
    """The parent's columns that a child repeats: theirs -> its own."""
    known = dict(zip(way.references, way.columns, strict=True))
    if way == child.parent:
        known.setdefault(parent.tenant_column or TENANT, TENANT)
    return known


def _rest(way: ForeignKey, key: Key) -> tuple[str, ...]:
    pairs = zip(way.references, way.columns, strict=True)
    return tuple(own for theirs, own in pairs if theirs not in key.columns)
