"""The DDL of one file, applied: what it leaves behind, and where each thing is said.

Rules of the schema look at the outcome. So what a file creates and mends itself is no fault, and
what it drops is gone. Nothing here raises: a statement that is not understood changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lint.schema.catalog import Catalog, Name, Table
from lint.text.lexer import Token

# So long a chain of parents nobody has; one that goes in a circle ends.
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets in the text of the statement with this index."""

    statement: int
    start: int
    end: int


@dataclass(slots=True)
class MadeColumn:
    name: str
    type: str
    nullable: bool
    generated: bool
    """Its values are made up: identity, serial, a default that makes UUIDs. They do not collide."""
    place: Place


@dataclass(slots=True)
class MadeKey:
    """kind: `primary`, `unique`, `exclude` or `index`. A column is None for an expression."""

    kind: str
    name: str | None
    columns: tuple[str | None, ...]
    place: Place
    method: str = "btree"


@dataclass(slots=True)
class MadeForeignKey:
    name: str | None
    columns: tuple[str, ...]
    target: Name
    place: Place


@dataclass(slots=True)
class MadePolicy:
    name: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None
    place: Place


@dataclass(slots=True)
class MadeTable:
    """What a file says of a table: all of it if `created`, else what it adds.

    `security` and `forced` are None where the file does not say.
    """

    name: Name
    place: Place
    created: bool = False
    temporary: bool = False
    columns: dict[str, MadeColumn] = field(default_factory=dict)
    keys: list[MadeKey] = field(default_factory=list)
    foreign_keys: list[MadeForeignKey] = field(default_factory=list)
    policies: dict[str, MadePolicy] = field(default_factory=dict)
    security: bool | None = None
    forced: bool | None = None
    security_place: Place | None = None
    partition_of: Name | None = None
    granted: list[tuple[str, Place]] = field(default_factory=list)


@dataclass(slots=True)
class MadeView:
    name: Name
    place: Place
    materialized: bool
    invoker: bool
    body: tuple[Token, ...]


@dataclass(slots=True)
class MadeFunction:
    """`fixed`: its search_path is."""

    name: Name
    place: Place
    definer: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is said in a text that is not followed, in upper case.

    `any_table`: it goes over tables that it does not name.
    """

    text: str
    any_table: bool

    def names(self, name: Name) -> bool:
        return re.search(rf"\b{re.escape(name.name.upper())}\b", self.text) is not None


@dataclass(slots=True)
class Script:
    """All that a file leaves behind. `hidden` is what DO blocks and dynamic SQL say."""

    catalog: Catalog
    tenant_columns: tuple[str, ...]
    tables: dict[Name, MadeTable] = field(default_factory=dict)
    views: dict[Name, MadeView] = field(default_factory=dict)
    functions: dict[tuple[Name, str], MadeFunction] = field(default_factory=dict)
    hidden: list[Hidden] = field(default_factory=list)

    def hides(self, name: Name, *words: str) -> bool:
        """Whether text that is not followed says `words`, in this order, and may mean a table."""
        return any(
            _speaks(hidden.text, words) and (hidden.any_table or hidden.names(name))
            for hidden in self.hidden
        )

    def owned_tables(self) -> Iterable[tuple[MadeTable, str | None, str]]:
        """The tables that hold tenants' rows by a column or through their parent.

        With the column, and with what says so.
        """
        for table in self.tables.values():
            if table.temporary:
                continue
            column, parent = self.tenant_of(table.name), self.parent_of(table.name)
            if column is not None:
                yield table, column, f"has {column} and"
            elif parent is not None:
                yield table, None, f"belongs to the tenant of {parent} and has"

    def tenant_tables(self) -> Iterable[tuple[MadeTable, str]]:
        """The tables of the file that hold tenants' rows, with their tenant column."""
        for table in self.tables.values():
            column = self.tenant_of(table.name)
            if column is not None and not table.temporary:
                yield table, column

    def tenant_of(self, name: Name) -> str | None:
        """The tenant column of a table, by the catalog or by its name; None if it has none."""
        known = self.known(name)
        if known is not None and (known.tenant_column or known.exempt is not None):
            return known.tenant_column  # an exempted table has none
        made = self.tables.get(name)
        if made is None:
            return None
        return next((column for column in self.tenant_columns if column in made.columns), None)

    def parent_of(self, name: Name, *, depth: int = 0) -> Name | None:
        """The table whose tenant is that of a table without a column of its own.

        By the catalog; of a table that is new, by its foreign keys.
        """
        known = self.known(name)
        if known is not None:
            return None if known.parent is None else known.parent.table
        made = self.tables.get(name)
        if made is None or depth > _DEEPEST:
            return None
        for key in made.foreign_keys:
            owned = self.tenant_of(key.target) or self.parent_of(key.target, depth=depth + 1)
            if owned is not None and key.target != name:
                return key.target
        return None

    def known(self, name: Name) -> Table | None:
        """The table in the catalog."""
        found = self.catalog.lookup(name)
        return found if isinstance(found, Table) else None

    def one_row_each(self, table: MadeTable, column: str) -> bool:
        """Whether a table has one row for a tenant, as the tenants table: the column is a key."""
        known = self.known(table.name)
        keys = [key.columns for key in table.keys if key.kind in ("primary", "unique")]
        keys += [key.columns for key in known.keys] if known is not None else []
        return (column,) in keys


def _speaks(text: str, words: Sequence[str]) -> bool:
    at = 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True
