"""What the prover knows about a database: tables, columns, keys, views, and who is tenant-owned.

A catalog is a value: loaded from JSON or from a script (`lint.schema.script`), completed once by
the configuration (`Catalog.with_tenancy`), never changed afterwards.

The JSON form (`docs/lint/README.md` shows one whole)::

    {"version": 1,
     "tables": [{"schema": "shop", "name": "invoice",
                 "columns": [{"name": "tenant_id", "type": "uuid", "nullable": false,
                              "default": null}],
                 "keys": [{"name": "invoice_pkey", "columns": ["tenant_id", "id"]}],
                 "foreign_keys": [{"columns": ["tenant_id", "customer_id"],
                                   "schema": "shop", "table": "customer",
                                   "references": ["tenant_id", "id"]}],
                 "tenant_column": "tenant_id"}],
     "views": [{"schema": "shop", "name": "open_invoice", "columns": ["id"], "query": "SELECT .."}]}

`keys` are primary keys and unique constraints over plain columns, checked at once (neither
partial nor deferrable). A table has `tenant_column`, or `exempt` with the reason as its text, or
`parent`, which looks like a foreign key: its tenant is that of the row it points at.

Said only where it is so: a column's `"generated": "<its expression>"`, a table's
`"inherited": true` and `"unchecked": [{"schema": .., "name": ..}]` (tables at which a foreign key
points that the server does not check, or did not), a view's `"materialized": true`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lint.errors import CatalogError


@dataclass(frozen=True, slots=True)
class Name:
    """A relation's name. `schema` is empty where a script does not say."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    generated: str | None = None
    """The expression of which the server makes its values."""


@dataclass(frozen=True, slots=True)
class Key:
    """Columns that are unique together, immediately and for every row."""

    columns: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    columns: tuple[str, ...]
    table: Name
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A base table. At most one of `tenant_column`, `exempt` (a reason) and `parent` is set."""

    name: Name
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    tenant_column: str | None = None
    exempt: str | None = None
    parent: ForeignKey | None = None
    inherited: bool = False
    """Other tables inherit from this one: its keys do not hold for their rows."""
    unchecked: tuple[Name, ...] = ()
    """Where a foreign key points that is not, or was not always, checked: it proves nothing."""

    def __hash__(self) -> int:
        return hash(self.name)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class View:
    """A view: its defining query and, if named, its columns.

    `materialized`: it holds the rows that the query gave to whoever refreshed it, then.
    """

    name: Name
    query: str
    columns: tuple[str, ...] = ()
    materialized: bool = False


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What the configuration adds to a schema.

    Table names are written `schema.table`, or `table` if it is one of a kind.
    `exempt` maps a table to the reason, `parents` maps a table to `"columns -> table.columns"`.
    """

    tenant_columns: tuple[str, ...] = ("tenant_id",)
    tenants_table: str | None = None
    exempt: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    columns_by_table: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    """Somebody wrote `tenant_columns`: then one that no table has is a mistake."""


class Catalog:
    """Relations by name. Two relations of one name in one schema are refused."""

    def __init__(
        self,
        tables: Iterable[Table] = (),
        views: Iterable[View] = (),
        *,
        search_path: tuple[str, ...] = (),
    ) -> None:
        self.tables: tuple[Table, ...] = tuple(tables)
        self.views: tuple[View, ...] = tuple(views)
        self.search_path = search_path
        self._by_name: dict[str, dict[str, Table | View]] = {}
        relations: list[Table | View] = [*self.tables, *self.views]
        for relation in relations:
            schemas = self._by_name.setdefault(relation.name.name, {})
            if relation.name.schema in schemas:
                raise CatalogError(f"{relation.name} is defined twice")
            schemas[relation.name.schema] = relation

    def find(self, schema: str | None, name: str) -> Table | View | None:
        """The relation a statement means, or None if unknown.

        Without a schema the name must be unique, or the first in the search path.
        Raises CatalogError if several schemas have it and no search path decides.
        """
        schemas = self._by_name.get(name, {})
        if schema is not None:
            return schemas.get(schema)
        for candidate in self.search_path:
            if candidate in schemas:
                return schemas[candidate]
        if len(schemas) > 1:
            listed = ", ".join(sorted(schemas))
            raise CatalogError(f"{name} exists in several schemas ({listed}); qualify it")
        return next(iter(schemas.values()), None)

    def lookup(self, name: Name) -> Table | View | None:
        """The relation a script means by `name`, or None if it is unknown or not one."""
        try:
            return self.find(name.schema or None, name.name)
        except CatalogError:
            return None

    def pointing_at(self, names: Iterable[Name]) -> list[Table]:
        """The tables whose foreign keys lead to one of `names`, at once or by way of others."""
        reached = set(names)
        found: list[Table] = []
        while True:
            more = [
                table
                for table in self.tables
                if table.name not in reached
                and not reached.isdisjoint(
                    (*(key.table for key in table.foreign_keys), *table.unchecked)
                )
            ]
            if not more:
                return found
            found += more
            reached.update(table.name for table in more)

    def named(self, text: str) -> Table:
        """The table the configuration means by `schema.table` or `table`."""
        schema, _, name = text.rpartition(".")
        relation = self.find(schema or None, name)
        if not isinstance(relation, Table):
            raise CatalogError(f"there is no table {text} in the schema")
        return relation

    def with_tenancy(self, tenancy: Tenancy) -> Catalog:
        """The same catalog, each table completed with its tenant column, exemption or parent."""
        for name in tenancy.tenant_columns if tenancy.named else ():
            if not any(table.column(name) for table in self.tables):
                raise CatalogError(f"no table has a column {name}")
        tables = {table.name: _own(table, tenancy.tenant_columns) for table in self.tables}

        def update(text: str, **changes: Any) -> None:
            name = self.named(text).name
            cleared = replace(tables[name], tenant_column=None, exempt=None, parent=None)
            tables[name] = replace(cleared, **changes)

        for text, column in tenancy.columns_by_table.items():
            if self.named(text).column(column) is None:
                raise CatalogError(f"table {text} has no column {column}")
            update(text, tenant_column=column)
        for text, reason in tenancy.exempt.items():
            update(text, exempt=reason)
        for text, parent in tenancy.parents.items():
            update(text, parent=self._parent(text, parent))
        if tenancy.tenants_table:
            tenants = self.named(tenancy.tenants_table)
            single = [key.columns for key in tenants.keys if len(key.columns) == 1]
            if not single:
                raise CatalogError(f"tenants table {tenants.name} has no key of one column")
            update(tenancy.tenants_table, tenant_column=single[0][0])
        return Catalog(_adopt(tables), self.views, search_path=self.search_path)

    def _parent(self, text: str, written: str) -> ForeignKey:
        left, arrow, right = written.partition("->")
        table, dot, column_text = right.strip().rpartition(".")
        columns = tuple(part.strip() for part in left.split(","))
        references = tuple(part.strip() for part in column_text.strip("()").split(","))
        if not arrow or not dot or len(columns) != len(references):
            raise CatalogError(f"parent of {text}: expected 'column -> table.column': {written!r}")
        parent, child = self.named(table), self.named(text)
        for owner, names in ((child, columns), (parent, references)):
            for name in names:
                if owner.column(name) is None:
                    raise CatalogError(f"parent of {text}: {owner.name} has no column {name}")
        if not _unique(parent, references):
            raise CatalogError(f"parent of {text}: {right.strip()} is not unique")
        return ForeignKey(columns, parent.name, references)

    # -- JSON --------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The catalog in the form the module's docstring shows, keys in a fixed order."""
        document = {
            "version": 1,
            "search_path": list(self.search_path),
            "tables": [_table_out(table) for table in self.tables],
            "views": [
                {
                    "schema": view.name.schema,
                    "name": view.name.name,
                    "columns": list(view.columns),
                    "query": view.query,
                    **({"materialized": True} if view.materialized else {}),
                }
                for view in self.views
            ],
        }
        return json.dumps(document, indent=1)

    @staticmethod
    def from_json(text: str, *, origin: str = "catalog") -> Catalog:
        """Raises CatalogError, naming `origin`, where the document has another form."""
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise CatalogError(f"{origin}: not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("version") != 1:
            raise CatalogError(f'{origin}: expected an object with "version": 1')
        try:
            return Catalog(
                [_table_in(entry) for entry in document.get("tables", [])],
                [
                    View(
                        Name(entry.get("schema", ""), entry["name"]),
                        entry["query"],
                        tuple(entry.get("columns", ())),
                        bool(entry.get("materialized", False)),
                    )
                    for entry in document.get("views", [])
                ],
                search_path=tuple(document.get("search_path", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CatalogError(f"{origin}: wrong form: {type(error).__name__}: {error}") from error


def _own(table: Table, tenant_columns: tuple[str, ...]) -> Table:
    if table.tenant_column or table.exempt is not None or table.parent:
        return table
    found = next((name for name in tenant_columns if table.column(name)), None)
    return replace(table, tenant_column=found)


def _adopt(tables: Mapping[Name, Table]) -> list[Table]:
    """Give each table without a tenant the parent its one foreign key points at.

    Of several keys, the one that every row has: the others are references beside it.
    """
    done = dict(tables)
    while any(_adopt_once(done, always_set=always_set) for always_set in (True, False)):
        pass
    return list(done.values())


def _adopt_once(tables: dict[Name, Table], *, always_set: bool) -> bool:
    changed = False
    for name, table in list(tables.items()):
        if table.tenant_column or table.exempt is not None or table.parent:
            continue
        ways = [
            key
            for key in table.foreign_keys
            if _leads_to_tenant(name, key, tables) and (not always_set or _always_set(table, key))
        ]
        if len(ways) == 1:
            tables[name] = replace(table, parent=ways[0])
            changed = True
    return changed


def _always_set(table: Table, key: ForeignKey) -> bool:
    columns = [table.column(name) for name in key.columns]
    return all(column is not None and not column.nullable for column in columns)


def _leads_to_tenant(child: Name, key: ForeignKey, tables: Mapping[Name, Table]) -> bool:
    parent = tables.get(key.table)
    if parent is None or parent.name == child:
        return False
    owned = parent.tenant_column is not None or parent.parent is not None
    return owned and _unique(parent, key.references)


def _unique(table: Table, columns: tuple[str, ...]) -> bool:
    return not table.inherited and any(set(key.columns) <= set(columns) for key in table.keys)


def _table_out(table: Table) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "schema": table.name.schema,
        "name": table.name.name,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "nullable": column.nullable,
                "default": column.default,
                **({"generated": column.generated} if column.generated is not None else {}),
            }
            for column in table.columns
        ],
        "keys": [{"name": key.name, "columns": list(key.columns)} for key in table.keys],
        "foreign_keys": [_foreign_key_out(key) for key in table.foreign_keys],
    }
    if table.tenant_column:
        entry["tenant_column"] = table.tenant_column
    if table.exempt is not None:
        entry["exempt"] = table.exempt
    if table.parent:
        entry["parent"] = _foreign_key_out(table.parent)
    if table.inherited:
        entry["inherited"] = True
    if table.unchecked:
        entry["unchecked"] = [{"schema": n.schema, "name": n.name} for n in table.unchecked]
    return entry


def _foreign_key_out(key: ForeignKey) -> dict[str, Any]:
    return {
        "columns": list(key.columns),
        "schema": key.table.schema,
        "table": key.table.name,
        "references": list(key.references),
    }


def _foreign_key_in(entry: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(
        tuple(entry["columns"]),
        Name(entry.get("schema", ""), entry["table"]),
        tuple(entry["references"]),
    )


def _table_in(entry: Mapping[str, Any]) -> Table:
    name = Name(entry.get("schema", ""), entry["name"])
    columns = tuple(
        Column(
            c["name"],
            c.get("type", ""),
            bool(c.get("nullable", True)),
            c.get("default"),
            c.get("generated"),
        )
        for c in entry["columns"]
    )
    tenant_column = entry.get("tenant_column")
    exempt = entry.get("exempt")
    parent = _foreign_key_in(entry["parent"]) if entry.get("parent") else None
    if sum(item is not None for item in (tenant_column, exempt, parent)) > 1:
        raise CatalogError(f"{name}: tenant_column, exempt and parent exclude one another")
    if exempt is not None and not str(exempt).strip():
        raise CatalogError(f"{name}: exempt needs a reason")
    known = {column.name for column in columns}
    if tenant_column is not None and tenant_column not in known:
        raise CatalogError(f"{name}: tenant_column {tenant_column} is not one of its columns")
    return Table(
        name=name,
        columns=columns,
        keys=tuple(Key(tuple(k["columns"]), k.get("name")) for k in entry.get("keys", ())),
        foreign_keys=tuple(_foreign_key_in(k) for k in entry.get("foreign_keys", ())),
        tenant_column=tenant_column,
        exempt=exempt,
        parent=parent,
        inherited=bool(entry.get("inherited", False)),
        unchecked=tuple(
            Name(to.get("schema", ""), to["name"]) for to in entry.get("unchecked", ())
        ),
    )
