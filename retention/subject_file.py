"""The file of subjects: TOML beside a domain's policies, checked against the catalog as a whole.

Every problem is one line of one error, with what would mend it. The format:

    [subjects.customer]
    table = "shop.customers"           # or "customers", where only one schema has it
    key = "id"                         # the tables' primary key, by which rows refer to one
    lookup = ["number", "email"]       # columns by which a person is found
    cut = ["customers.referrer_id"]    # references that are not followed: other people's rows
    follow = ["messages.reply_to_id"]  # references to the same table that are

    [[subjects.customer.tables]]       # one for each table that is reached
    table = "shop.customers"
    action = "anonymise"               # "delete", "anonymise", "pseudonymise", "keep"
    columns = { email = "null", number = "random" }    # as in policies
    basis = "..."                      # on what legal basis rows are kept; mandatory with "keep"
                                       # and with "pseudonymise", which keeps whose they are

A table is reached when its rows refer to the subject's row, or to another that is reached, by
a foreign key or a declared soft reference; the archives of such tables are reached, too.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retention import policy_options as options
from retention.errors import SubjectError
from retention.graph import Edge, archives_in, edges_of, is_indexed
from retention.policy_file import SLUG, qualified
from retention.subjects import (
    ACTIONS,
    Action,
    Reach,
    Subject,
    SubjectTable,
    reach_of,
    reference,
)
from retention.treatments import Treatment
from tenants.catalog import Catalog, Table, TableName
from tenants.errors import CatalogError

_KEYS = ("table", "key", "lookup", "cut", "follow", "tables")
_TABLE_KEYS = ("table", "action", "columns", "basis")
_LOOKUP = ("text", "character varying", "uuid", "date", "smallint", "integer", "bigint")


def load_subjects(path: Path, catalog: Catalog) -> tuple[Subject, ...]:
    """Read and check a file of subjects; none where there is no file.

    Raises SubjectError with a line per problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError(f"cannot read {path}: {error}") from error
    return parse_subjects(text, catalog, source=str(path))


def parse_subjects(
    text: str, catalog: Catalog, *, source: str = "subjects.toml"
) -> tuple[Subject, ...]:
    """Check subjects written as TOML; raises SubjectError with a line per problem."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SubjectError(f"{source} is not TOML: {error}") from error
    problems = [
        f"{source}: unknown key {key!r}; write [subjects.NAME]"
        for key in content
        if key != "subjects"
    ]
    entries = content.get("subjects", {})
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise SubjectError(f"{source}: subjects are written as [subjects.NAME]")
    found = []
    for name, entry in entries.items():
        reader = _Reader(name, entry, catalog)
        subject = reader.read()
        if subject is not None:
            found.append(subject)
        problems += [f"{source}: subject {name!r}, {problem}" for problem in reader.problems]
    if problems:
        raise SubjectError("\n".join(problems))
    return tuple(found)


class _Reader:
    """Reads one subject; `problems` collects "key: what is wrong, and the mend"."""

    def __init__(self, name: str, entry: Mapping[str, Any], catalog: Catalog) -> None:
        self.name = name
        self.entry = entry
        self.catalog = catalog
        self.problems: list[str] = []

    def read(self) -> Subject | None:
        """Return the subject, or None when it is not one."""
        self._known(self.entry, _KEYS, "")
        if not SLUG.fullmatch(self.name):
            self.problem("name", f"{self.name!r} must be lower-case letters, digits, - and _")
        table = self._table(self.entry.get("table"), "table")
        if self.entry.get("key", "id") != "id":
            self.problem(
                "key",
                f'{self.entry["key"]!r}: rows refer to each other by id; write key = "id", and '
                "by what else a person is known in lookup",
            )
        if table is None:
            return None
        lookup = tuple(self._lookup(table))
        edges = edges_of(self.catalog)
        cut = self._references("cut", edges)
        follow = self._references("follow", edges)
        reach = reach_of(self.catalog, table.name, cut)
        declared = self._declared()
        self._check_reach(reach, declared)
        self._check_edges(reach, cut, follow)
        self._check_actions(reach, declared)
        subject = Subject(
            self.name, table.name, lookup, tuple(declared.values()), tuple(cut), tuple(follow)
        )
        return None if self.problems else subject

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{key}: {text}")

    # -- what is written --------------------------------------------------------------------

    def _known(self, entry: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
        for key in entry:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(keys)}"
                self.problem(f"{where}{key}", f"unknown key; {hint}")

    def _table(self, written: Any, key: str) -> Table | None:
        if not isinstance(written, str) or not written:
            self.problem(
                key, "missing: name a table" if written is None else f"{written!r} is none"
            )
            return None
        try:
            table = self.catalog.table(qualified(self.catalog, written))
        except CatalogError as error:
            self.problem(key, str(error))
            return None
        if table.kind != "tenant":
            self.problem(key, f"{table.name} is a global table; subjects are tenants' rows")
            return None
        return table

    def _texts(self, key: str) -> list[str]:
        written = self.entry.get(key, [])
        if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
            self.problem(key, f"{written!r} must be a list of names")
            return []
        return list(dict.fromkeys(written))

    def _lookup(self, table: Table) -> Iterator[str]:
        for name in self._texts("lookup"):
            try:
                column = table.column(name)
            except CatalogError as error:
                self.problem("lookup", str(error))
                continue
            if column.type.partition("(")[0] not in _LOOKUP:
                self.problem(
                    "lookup",
                    f"{table.name}.{name} is {column.type}, by which nobody is looked up; "
                    f"it may be {', '.join(_LOOKUP)}",
                )
            yield name

    def _references(self, key: str, edges: tuple[Edge, ...]) -> list[str]:
        known = {reference(edge) for edge in edges}
        found = []
        for written in self._texts(key):
            name, _, column = written.rpartition(".")
            try:
                full = f"{qualified(self.catalog, name)}.{column}"
            except CatalogError as error:
                self.problem(key, str(error))
                continue
            if full not in known:
                self.problem(
                    key, f"{written!r} is no reference; there are {', '.join(sorted(known))}"
                )
                continue
            found.append(full)
        return found

    def _declared(self) -> dict[TableName, SubjectTable]:
        entries = self.entry.get("tables", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            self.problem("tables", f"write [[subjects.{self.name}.tables]] for each")
            return {}
        found: dict[TableName, SubjectTable] = {}
        for number, entry in enumerate(entries, 1):
            table = self._table(entry.get("table"), f"tables, {number}, table")
            if table is None:
                continue
            where = f"{table.name}, "
            if table.name in found:
                self.problem(f"{where}table", "declared twice; take one out")
            self._known(entry, _TABLE_KEYS, where)
            found[table.name] = self._of_table(table, entry, where)
        return found

    def _of_table(self, table: Table, entry: Mapping[str, Any], where: str) -> SubjectTable:
        def problem(key: str, text: str) -> None:
            self.problem(f"{where}{key}", text)

        action = _action(entry, problem)
        treatments: tuple[Treatment, ...] = ()
        columns = {"columns": entry.get("columns", {})}
        if action != "keep":
            treatments = options.treatments(columns, action, table, "", problem)
        elif columns["columns"]:
            problem("columns", "says nothing of rows that are kept as they are; take it out")
        basis = entry.get("basis")
        if basis is not None and (not isinstance(basis, str) or not basis.strip()):
            problem("basis", f"{basis!r} must be a text that is not empty")
        if action in ("keep", "pseudonymise") and not basis:
            how = " in pseudonymised form" if action == "pseudonymise" else ""
            problem(
                "basis",
                f"missing: what is kept{how} of a person who asks to be erased is kept on a legal "
                'basis (GDPR 17(3)); write basis = "§ 147 AO", or another action',
            )
        return SubjectTable(table.name, action, treatments, basis)

    # -- what it comes to -------------------------------------------------------------------

    def _check_reach(self, reach: Reach, declared: Mapping[TableName, SubjectTable]) -> None:
        for name in sorted(set(reach.tables) - set(declared)):
            ways = [str(edge) for edge in reach.edges if edge.child == name] or ["it is its own"]
            self.problem(
                "tables",
                f"{name} is reached ({', '.join(ways)}) and not declared; add "
                f'[[subjects.{self.name}.tables]] with table = "{name}" and its action',
            )
        for name in sorted(set(declared) - set(reach.tables)):
            self.problem(
                "tables",
                f"{name} is not reached from {reach.top}; take it out, or declare the reference "
                "(ForeignKeyField, Meta.soft_references)",
            )

    def _check_edges(self, reach: Reach, cut: list[str], follow: list[str]) -> None:
        archives = _archives_of(self.catalog)
        looping = []
        for edge in reach.edges:
            if {edge.child, edge.parent} & archives:
                continue
            if edge.child in (edge.parent, reach.top):
                looping.append(reference(edge))
            if not is_indexed(self.catalog.table(edge.child), edge):
                self.problem(
                    "tables",
                    f"{edge} is not indexed, and a subject's rows are found by it; CREATE INDEX ON "
                    f"{edge.child} (tenant_id, {edge.column}), and add it to Meta.indexes",
                )
        for one in looping:
            if one not in follow:
                self.problem(
                    "tables",
                    f"{one} leads from people to others of their kind, whose rows would be taken "
                    "for theirs; put it into cut, or into follow if they are",
                )
        for one in follow:
            if one not in looping:
                self.problem("follow", f"{one} is followed anyway, or cut; take it out")
        known = {reference(edge) for edge in reach.cut}
        for one in cut:
            if one not in known:
                self.problem("cut", f"{one} refers to nothing that is reached; take it out")

    def _check_actions(self, reach: Reach, declared: Mapping[TableName, SubjectTable]) -> None:
        archives = _archives_of(self.catalog)  # nothing guards what they refer to
        for edge in (*reach.edges, *reach.cut):
            parent, child = declared.get(edge.parent), declared.get(edge.child)
            if parent is None or parent.action != "delete" or {edge.child, edge.parent} & archives:
                continue
            if edge in reach.cut:
                if not self.catalog.table(edge.child).column(edge.column).nullable:
                    self.problem(
                        "cut",
                        f"{edge.child}.{edge.column} is NOT NULL, and would refer to a row that is "
                        f"gone; anonymise {edge.parent}, or follow the reference",
                    )
            elif child is not None and child.action != "delete" and not _lets_go(child, edge):
                self.problem(
                    f"{edge.child}, action",
                    f"its rows stay and refer by {edge.column} to {edge.parent}, whose rows are "
                    f'deleted; delete them, too, write columns = {{ {edge.column} = "null" }}, or '
                    f"anonymise {edge.parent}",
                )


def _archives_of(catalog: Catalog) -> set[TableName]:
    return {name for found in archives_in(catalog).values() for name in found}


def _lets_go(child: SubjectTable, edge: Edge) -> bool:
    return any((t.column, t.kind) == (edge.column, "null") for t in child.treatments)


def _action(entry: Mapping[str, Any], problem: Callable[[str, str], None]) -> Action:
    written = entry.get("action")
    for known in ACTIONS:
        if written == known:
            return known
    said = "missing" if written is None else f"{written!r}"
    problem("action", f"{said}: it must be one of {', '.join(ACTIONS)}")
    return "delete"
