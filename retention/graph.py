"""Who refers to whom: the graph of foreign keys and declared soft references.

Pure: made from the catalog. The planner and the executor ask it what goes along with a
row, what keeps a row, and in which order tables are emptied. (Verification has queries of
its own and does not use this.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tenants.catalog import Catalog, Table, TableName

#: What tells an archive (`tenants.archive`) from the table whose name it has.
_ARCHIVE = {"archived_at", "archived_batch"}


@dataclass(frozen=True, order=True, slots=True)
class Edge:
    """Rows of `child` refer to rows of `parent` by `column`, which holds the parent's id.

    A soft reference with a kind column refers to `parent` only where that column has the
    value `kind`. `constraint` is the foreign key's name, None for a soft reference. `archived`:
    it is no reference, but says what a row belonged to that is in an archive, or refers to one.
    """

    child: TableName
    column: str
    parent: TableName
    constraint: str | None = None
    kind_column: str | None = None
    kind: str | None = None
    archived: bool = False

    @property
    def is_copy(self) -> bool:
        """True where it leads from an archive's row to the one that it was."""
        return self.archived and self.column == "id"

    def __str__(self) -> str:
        kind = f" where {self.kind_column} = {self.kind!r}" if self.kind_column else ""
        return f"{self.child}.{self.column} -> {self.parent}{kind}"


def edges_of(catalog: Catalog) -> tuple[Edge, ...]:
    """Return every reference between tenant tables, in a stable order."""
    edges: list[Edge] = []
    for table in catalog:
        if table.kind != "tenant":
            continue
        for key in table.foreign_keys:
            if catalog.table(key.target).kind == "tenant":
                edges.append(Edge(table.name, key.column, key.target, key.name))
        for reference in table.soft_references:
            for kind, target in reference.targets:
                if catalog.table(target).kind == "tenant":
                    edges.append(
                        Edge(
                            table.name,
                            reference.column,
                            target,
                            kind_column=reference.kind_column,
                            kind=kind if reference.kind_column else None,
                        )
                    )
    return tuple(sorted(edges, key=_edge_key))


def held_edges(catalog: Catalog) -> tuple[Edge, ...]:
    """Return all by which a row is a subject's, and under a hold on it: every reference, and what
    archived rows belonged to."""
    edges = edges_of(catalog)
    archives = archives_in(catalog)
    return (*edges, *archived_edges(edges, archives, archives))


def archives_in(catalog: Catalog) -> Mapping[TableName, tuple[TableName, ...]]:
    """Return the archives of each table that has any: what has its name in another schema, all
    its columns, and says when and by which batch a row came."""
    found: dict[TableName, list[TableName]] = {}
    for archive in catalog:
        columns = {c.name for c in archive.columns}
        if not columns >= _ARCHIVE:
            continue
        for table in catalog:
            alike = table.name.name == archive.name.name and table.name != archive.name
            if alike and columns == {c.name for c in table.columns} | _ARCHIVE:
                found.setdefault(table.name, []).append(archive.name)
    return {name: tuple(sorted(archives)) for name, archives in found.items()}


def archived_edges(
    edges: Iterable[Edge],
    archives: Mapping[TableName, tuple[TableName, ...]],
    tops: Iterable[TableName],
) -> list[Edge]:
    """Return the ways over archived rows: from what was archived of `tops` to the row that it was,
    and along `edges` (every reference, or some). An archive has no foreign keys; its columns still
    say what a row belonged to, which may be archived, too, or still be there."""
    found = [
        Edge(archive, "id", top, archived=True)
        for top in sorted(tops)
        for archive in archives.get(top, ())
    ]
    for edge in edges:
        children = (edge.child, *archives.get(edge.child, ()))
        parents = (edge.parent, *archives.get(edge.parent, ()))
        found += [
            Edge(child, edge.column, parent, None, edge.kind_column, edge.kind, archived=True)
            for child in children
            for parent in parents
            if (child, parent) != (edge.child, edge.parent)
            # What a foreign key refers to is there.
            and not (child == edge.child and edge.constraint)
        ]
    return found


def _edge_key(edge: Edge) -> tuple[str, ...]:
    return (str(edge.child), edge.column, str(edge.parent), edge.kind or "")


@dataclass(frozen=True, slots=True)
class Family:
    """The tables one policy empties together.

    `members[0]` is the policy's table, the others are its `with`. `along` are the edges by
    which a row goes along: its child is one of the others, its parent any member.
    `keeping` are the edges by which a row that stays keeps what it refers to: from tables
    outside, and from rows of the policy's own table. `order` lists the members children
    first; tables that refer to each other in a circle stand in one group, to be emptied
    in one statement.
    """

    members: tuple[TableName, ...]
    along: tuple[Edge, ...]
    keeping: tuple[Edge, ...]
    order: tuple[tuple[TableName, ...], ...]

    @property
    def root(self) -> TableName:
        """The policy's own table."""
        return self.members[0]

    @property
    def inner(self) -> tuple[Edge, ...]:
        """All edges between members."""
        return (*self.along, *(e for e in self.keeping if e.child == self.root))

    @property
    def outer(self) -> tuple[Edge, ...]:
        """The edges from tables outside."""
        return tuple(e for e in self.keeping if e.child != self.root)


def family_of(catalog: Catalog, root: TableName, others: Iterable[TableName]) -> Family:
    """Return the family of a policy on `root` with the tables `others`."""
    others = tuple(dict.fromkeys(others))
    members = (root, *others)
    edges = edges_of(catalog)
    along = tuple(e for e in edges if e.child in others and e.parent in members)
    keeping = tuple(e for e in edges if e.child not in others and e.parent in members)
    inner = (*along, *(e for e in keeping if e.child == root))
    return Family(members, along, keeping, deletion_order(members, inner))


def unreached(family: Family) -> tuple[TableName, ...]:
    """Return the members whose rows refer, even over others, to no row of the root."""
    reached = {family.root}
    while True:
        more = {e.child for e in family.along if e.parent in reached} - reached
        if not more:
            return tuple(t for t in family.members if t not in reached)
        reached |= more


def deletion_order(
    tables: Collection[TableName], edges: Iterable[Edge]
) -> tuple[tuple[TableName, ...], ...]:
    """Return the tables children first, in groups; a group of several is a circle.

    Tarjan's strongly connected components (doi:10.1137/0201010) on the edges from parent
    to child: a component is emitted after everything it reaches, that is, children first.
    """
    wanted = sorted(tables)
    children: dict[TableName, list[TableName]] = {t: [] for t in wanted}
    for edge in sorted(edges, key=_edge_key):
        if edge.parent in children and edge.child in children and edge.child != edge.parent:
            children[edge.parent].append(edge.child)
    return tuple(_components(wanted, children))


def _components(
    tables: Iterable[TableName], children: Mapping[TableName, list[TableName]]
) -> Iterator[tuple[TableName, ...]]:
    index: dict[TableName, int] = {}
    low: dict[TableName, int] = {}
    stack: list[TableName] = []
    stacked: set[TableName] = set()
    for start in tables:
        if start in index:
            continue
        # Without recursion: a schema may be deeper than Python's stack.
        walk: list[tuple[TableName, Iterator[TableName]]] = []
        index[start] = low[start] = len(index)
        stack.append(start)
        stacked.add(start)
        walk.append((start, iter(children[start])))
        while walk:
            table, rest = walk[-1]
            child = next(rest, None)
            if child is None:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[table])
                if low[table] == index[table]:
                    group: list[TableName] = []
                    while not group or group[-1] != table:
                        group.append(stack.pop())
                    stacked.difference_update(group)
                    yield tuple(sorted(group))
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                stacked.add(child)
                walk.append((child, iter(children[child])))
            elif child in stacked:
                low[table] = min(low[table], index[child])


def is_indexed(table: Table, edge: Edge) -> bool:
    """Tell whether the rows of `table` that refer to a given row are found by an index."""
    wanted = {edge.column}
    if edge.kind_column:
        wanted.add(edge.kind_column)
    for columns in (table.primary_key, *(i.columns for i in table.indexes)):
        if columns[:1] != ("tenant_id",) or len(columns) < 2:
            continue
        if columns[1] == edge.column or set(columns[1 : 1 + len(wanted)]) == wanted:
            return True
    return False
