"""The policy file: TOML beside a domain's models, checked against the catalog as a whole.

Every problem is one line of one error, with what would mend it. The format:

    [[policy]]
    name = "invoices"                  # unique
    table = "shop.invoices"            # or "invoices", where only one schema has it
    starts = "issued_at"               # starting point: a timestamptz or date column
    period = "P10Y"                    # ISO 8601 duration
    with = ["shop.invoice_lines"]      # rows that go along with the row they refer to
    legal_basis = "..."
    class = "accounting records"       # deletion class (DIN 66398)
    state = "active"                   # or "paused"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retention.errors import PolicyError
from retention.graph import family_of, is_indexed, unreached
from retention.policies import STATES, Period, Policy
from tenants.catalog import Catalog, Table, TableName
from tenants.errors import CatalogError

_KEYS = ("name", "table", "starts", "period", "with", "legal_basis", "class", "state")
_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_STARTS_TYPES = ("timestamp with time zone", "date")


def load_policies(path: Path, catalog: Catalog) -> tuple[Policy, ...]:
    """Read and check a policy file; raises PolicyError with a line per problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"cannot read {path}: {error}") from error
    return parse_policies(text, catalog, source=str(path))


def parse_policies(
    text: str, catalog: Catalog, *, source: str = "policies.toml"
) -> tuple[Policy, ...]:
    """Check policies written as TOML; raises PolicyError with a line per problem."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{source} is not TOML: {error}") from error
    problems = [f"{source}: unknown key {k!r}; write [[policy]]" for k in content if k != "policy"]
    entries = content.get("policy", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise PolicyError(f"{source}: policies are written as [[policy]]")
    policies: list[Policy] = []
    for number, entry in enumerate(entries, 1):
        reader = _Reader(entry, catalog)
        policy = reader.read()
        if policy is not None:
            reader.check_beside(policy, policies)
            policies.append(policy)
        named = entry.get("name")
        label = (
            f"{source}: policy {named!r}"
            if isinstance(named, str)
            else f"{source}: policy {number}"
        )
        problems += [f"{label}, {problem}" for problem in reader.problems]
    if problems:
        raise PolicyError("\n".join(problems))
    return tuple(policies)


class _Reader:
    """Reads one entry; `problems` collects "key: what is wrong, and the mend"."""

    def __init__(self, entry: Mapping[str, Any], catalog: Catalog) -> None:
        self.entry = entry
        self.catalog = catalog
        self.problems: list[str] = []

    def read(self) -> Policy | None:
        """Return the policy, or None when it is not one."""
        for key in self.entry:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(_KEYS)}"
                self.problem(key, f"unknown key; {hint}")
        name = self.text("name")
        if name is not None and not _NAME.fullmatch(name):
            self.problem("name", f"{name!r} must be lower-case letters, digits, - and _")
        table = self.table("table", self.text("table"))
        starts = self.starts(table)
        period = self.period()
        along = self.along(table)
        legal_basis = self.text("legal_basis")
        deletion_class = self.text("class")
        state = self.entry.get("state", "active")
        if state not in STATES:
            self.problem("state", f"{state!r} must be one of {', '.join(STATES)}")
        if (
            name is None or table is None or starts is None or period is None or along is None
            or legal_basis is None or deletion_class is None or self.problems
        ):  # fmt: skip
            return None
        return Policy(name, table.name, starts, period, along, legal_basis, deletion_class, state)

    def check_beside(self, policy: Policy, others: Sequence[Policy]) -> None:
        """Check a policy against those before it."""
        for other in others:
            if other.name == policy.name:
                self.problem("name", "another policy has it; names are unique")
            elif other.table == policy.table:
                self.problem(
                    "table",
                    f"policy {other.name!r} is on {policy.table} already; make one of the two",
                )

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{key}: {text}")

    def text(self, key: str) -> str | None:
        """Return a text that is not empty."""
        if key not in self.entry:
            self.problem(key, "missing")
            return None
        value = self.entry[key]
        if not isinstance(value, str) or not value.strip():
            self.problem(key, f"{value!r} must be a text that is not empty")
            return None
        return value

    def table(self, key: str, text: str | None) -> Table | None:
        """Return a tenant table, by its qualified name or by a name only one schema has."""
        if text is None:
            return None
        try:
            table = self.catalog.table(self.qualified(text))
        except CatalogError as error:
            self.problem(key, str(error))
            return None
        if table.kind != "tenant":
            self.problem(key, f"{table.name} is a global table; policies are on tenants' tables")
            return None
        return table

    def qualified(self, text: str) -> TableName:
        if "." in text:
            return TableName.parse(text)
        found = [t.name for t in self.catalog if t.name.name == text]
        if len(found) > 1:
            raise CatalogError(f"{text!r} is in several schemas: {', '.join(map(str, found))}")
        if not found:
            known = ", ".join(str(t.name) for t in self.catalog)
            raise CatalogError(f"there is no table {text!r}; known are: {known}")
        return found[0]

    def starts(self, table: Table | None) -> str | None:
        name = self.text("starts")
        if name is None or table is None:
            return None
        try:
            column = table.column(name)
        except CatalogError as error:
            self.problem("starts", str(error))
            return None
        if column.type not in _STARTS_TYPES:
            self.problem(
                "starts",
                f"{table.name}.{name} is {column.type}; a starting point is a timestamptz "
                "(InstantField) or a date (DateField)",
            )
            return None
        if not any(i.columns[:2] == ("tenant_id", name) for i in table.indexes):
            self.problem(
                "starts",
                f"{table.name} has no index led by (tenant_id, {name}); add (({name!r},), False) "
                f"to the model's Meta.indexes, and CREATE INDEX ON {table.name} "
                f"(tenant_id, {name}) in a migration",
            )
            return None
        return name

    def period(self) -> str | None:
        text = self.text("period")
        if text is None:
            return None
        try:
            Period.parse(text)
        except ValueError as error:
            self.problem("period", str(error))
            return None
        return text

    def along(self, table: Table | None) -> tuple[TableName, ...] | None:
        names = self.entry.get("with", [])
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            self.problem("with", f"{names!r} must be a list of table names")
            return None
        tables = [self.table("with", name) for name in names]
        found = tuple(t.name for t in tables if t is not None)
        if table is None or len(found) < len(tables):
            return None
        if len(set(found)) < len(found) or table.name in found:
            self.problem("with", f"names a table twice, or {table.name} itself; take it out")
            return None
        family = family_of(self.catalog, table.name, found)
        for stranger in unreached(family):
            self.problem(
                "with",
                f"{stranger} refers neither to {table.name} nor to another table of `with`; take "
                "it out, or declare the reference (ForeignKeyField, Meta.soft_references)",
            )
        for edge in (*family.along, *family.keeping):
            if not is_indexed(self.catalog.table(edge.child), edge):
                self.problem(
                    "with" if edge.child in found else "table",
                    f"{edge} is not indexed, and every batch looks rows up by it; CREATE INDEX ON "
                    f"{edge.child} (tenant_id, {edge.column}), and add it to Meta.indexes",
                )
        return found
