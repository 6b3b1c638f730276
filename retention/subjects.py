"""Subjects: whose data a person may ask for, or ask to be erased (GDPR 15, 17), as values.

A subject is a row of one table, its *person*; its data is that row and all that refers to it,
over any number of references, softly or by foreign key, and what was archived of either. What
becomes of each table that is reached is declared (`retention.subject_file`); nothing is left to
be forgotten: a table that is reached and not declared is an error.

Pure: made from the catalog. `retention.subject_rows` asks the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from retention.errors import SubjectError
from retention.graph import Edge, archived_edges, archives_in, deletion_order, edges_of
from retention.hold_scopes import below
from retention.policies import digest_of
from retention.treatments import Treatment
from tenants.catalog import Catalog, TableName

Action = Literal["delete", "anonymise", "pseudonymise", "keep"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class SubjectTable:
    """What becomes of a subject's rows in one table when the subject is erased.

    `basis` is the legal basis on which they are kept; `treatments` is what is done to which
    columns where they are changed.
    """

    table: TableName
    action: Action
    treatments: tuple[Treatment, ...] = ()
    basis: str | None = None

    def definition(self) -> dict[str, Any]:
        """Return it as the file's keys and values; what is not set is left out."""
        columns = {t.column: t.definition() for t in self.treatments}
        return {
            "table": str(self.table),
            "action": self.action,
            **({"columns": columns} if columns else {}),
            **({"basis": self.basis} if self.basis else {}),
        }

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> SubjectTable:
        """Read what `definition` wrote; it is not checked against a catalog."""
        return cls(
            TableName.parse(definition["table"]),
            definition["action"],
            tuple(
                Treatment.read(column, written)
                for column, written in sorted(definition.get("columns", {}).items())
            ),
            definition.get("basis"),
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """A checked declaration. `lookup` are columns of `table` by which a person is found.

    `cut` are references that are not followed (`schema.table.column`): rows that refer by them
    to the subject's are other people's, and lose the reference where what they refer to goes.
    `follow` are references from a table to itself, or back to the subject's own, that are.
    """

    name: str
    table: TableName
    lookup: tuple[str, ...]
    tables: tuple[SubjectTable, ...]
    cut: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()

    def definition(self) -> dict[str, Any]:
        """Return the subject as the file's keys and values, canonical."""
        return {
            "name": self.name,
            "table": str(self.table),
            "key": "id",
            "lookup": list(self.lookup),
            **({"cut": sorted(self.cut)} if self.cut else {}),
            **({"follow": sorted(self.follow)} if self.follow else {}),
            "tables": [t.definition() for t in sorted(self.tables, key=lambda t: t.table)],
        }

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical definition, as hex."""
        return digest_of(self.definition())

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> Subject:
        """Read what `definition` wrote; it is not checked against a catalog."""
        return cls(
            name=definition["name"],
            table=TableName.parse(definition["table"]),
            lookup=tuple(definition["lookup"]),
            tables=tuple(map(SubjectTable.from_definition, definition["tables"])),
            cut=tuple(definition.get("cut", ())),
            follow=tuple(definition.get("follow", ())),
        )

    def of(self, table: TableName) -> SubjectTable:
        """Return what is declared of a table; raises KeyError for one that is not reached."""
        return {t.table: t for t in self.tables}[table]

    def reach(self, catalog: Catalog) -> Reach:
        """Return the tables that hold the subject's rows, and the way to them."""
        return reach_of(catalog, self.table, self.cut)


@dataclass(frozen=True, slots=True)
class Reach:
    """How a subject's rows are found, from the row of `top` on.

    `edges` lead from parents to children, archives included; `cut` are references to reached
    tables that are not followed. `order` lists the tables children first, circles in one group.
    """

    top: TableName
    edges: tuple[Edge, ...]
    cut: tuple[Edge, ...]
    order: tuple[tuple[TableName, ...], ...]

    @property
    def tables(self) -> tuple[TableName, ...]:
        """All tables reached, children first; the subject's own is the last but for circles."""
        return tuple(name for group in self.order for name in group)

    def numbers(self) -> dict[TableName, int]:
        """Return a number for every table, as queries over several name them."""
        return {name: number for number, name in enumerate(self.tables)}


def named(subjects: Iterable[Subject], name: str) -> Subject:
    """Return the subject of this name; raises SubjectError that lists those declared."""
    by_name = {subject.name: subject for subject in subjects}
    if name not in by_name:
        known = ", ".join(by_name) or "none"
        raise SubjectError(f"there is no subject {name!r}; declared are: {known}")
    return by_name[name]


def reach_of(catalog: Catalog, top: TableName, cut: Collection[str] = ()) -> Reach:
    """Return what is reached from a row of `top`, but over the references in `cut`."""
    every = edges_of(catalog)
    followed = [edge for edge in every if reference(edge) not in cut]
    followed += archived_edges(followed, archives_in(catalog), (top,))
    reached = below(followed, top)
    edges = tuple(edge for edge in followed if edge.parent in reached)
    return Reach(
        top,
        edges,
        tuple(edge for edge in every if reference(edge) in cut and edge.parent in reached),
        deletion_order(reached, edges),
    )


def reference(edge: Edge) -> str:
    """Return how a declaration names a reference: `schema.table.column`."""
    return f"{edge.child}.{edge.column}"
