"""The policy file: TOML beside a domain's models, checked against the catalog as a whole.

Every problem is one line of one error, with what would mend it. The format:

    [[policy]]
    name = "invoices"                  # unique
    table = "shop.invoices"            # or "invoices", where only one schema has it
    starts = "issued_at"               # starting point: a timestamptz or date column, of the row
                                       # or ("contract_id.ended_at") of one it refers to
    period = "P10Y"                    # ISO 8601 duration
    with = ["shop.invoice_lines"]      # rows that go along with the row they refer to
    legal_basis = "..."
    class = "accounting records"       # deletion class (DIN 66398)
    state = "active"                   # or "paused"

and, where it is wanted (`retention.policy_options`):

    condition = "r.status = 'paid'"    # SQL over the row r
    action = "delete"                  # "archive", "anonymise", "pseudonymise"
    archive = "shop_archive"           # the schema to archive to
    columns = { email = "null" }       # what becomes of a column: "null", "hash",
                                       # { constant = "gone" }, { generalise = "year" }
    minimum = "P6Y"                    # no rule takes a row away earlier; a tenant's own period
    maximum = "P15Y"                   # lies between the two
    window = "22:00-06:00"             # of the day, UTC
    rate = 5000                        # rows a second at most
    batch = [100, 5000]                # fewest and most rows of a batch
    schedule = "0 2 * * *"             # cron, UTC
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retention import policy_options as options
from retention.errors import PolicyError
from retention.graph import Edge, edges_of, family_of, is_indexed, unreached
from retention.policies import STATES, Period, Policy, StartingPoint, starting_point
from retention.policy_options import Prove
from tenants.catalog import Catalog, Table, TableName
from tenants.errors import CatalogError

_KEYS = (
    "name", "table", "starts", "period", "with", "legal_basis", "class", "state", "action",
    "columns", "archive", "condition", "minimum", "maximum", "window", "rate", "batch", "schedule",
)  # fmt: skip
#: What policies and subjects may be called.
SLUG = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_STARTS_TYPES = ("timestamp with time zone", "date")


def load_policies(
    path: Path, catalog: Catalog, *, prove: Prove | None = None
) -> tuple[Policy, ...]:
    """Read and check a policy file; raises PolicyError with a line per problem.

    `prove` proves conditions; without it, none may stand in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"cannot read {path}: {error}") from error
    return parse_policies(text, catalog, source=str(path), prove=prove)


def parse_policies(
    text: str,
    catalog: Catalog,
    *,
    source: str = "policies.toml",
    prove: Prove | None = None,
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
        reader = _Reader(entry, catalog, prove)
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

    def __init__(
        self, entry: Mapping[str, Any], catalog: Catalog, prove: Prove | None = None
    ) -> None:
        self.entry = entry
        self.catalog = catalog
        self.prove = prove
        self.problems: list[str] = []

    def read(self) -> Policy | None:
        """Return the policy, or None when it is not one."""
        for key in self.entry:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(_KEYS)}"
                self.problem(key, f"unknown key; {hint}")
        name = self.text("name")
        if name is not None and not SLUG.fullmatch(name):
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
            or legal_basis is None or deletion_class is None
        ):  # fmt: skip
            return None
        entry, problem = self.entry, self.problem
        action = options.action(entry, problem)
        minimum = options.bound(entry, "minimum", problem)
        maximum = options.bound(entry, "maximum", problem)
        options.check_bounds(minimum, period, maximum, problem)
        policy = Policy(
            name=name,
            table=table.name,
            starts=starts,
            period=period,
            along=along,
            legal_basis=legal_basis,
            deletion_class=deletion_class,
            state=state,
            action=action,
            treatments=options.treatments(entry, action, table, starts, problem),
            archive=options.archive(entry, action, (table.name, *along), self.catalog, problem),
            condition=options.condition(entry, table, self.prove, problem),
            minimum=minimum,
            maximum=maximum,
            window=options.window(entry, problem),
            rate=options.rate(entry, problem),
            batch=options.batch(entry, problem),
            schedule=options.schedule(entry, problem),
        )
        return None if self.problems else policy

    def check_beside(self, policy: Policy, others: Sequence[Policy]) -> None:
        """Check a policy against those before it."""
        for other in others:
            if other.name == policy.name:
                self.problem("name", "another policy has it; names are unique")
            elif (other.table, other.removes) == (policy.table, policy.removes) and (
                other.condition == policy.condition
            ):
                self.problem(
                    "table",
                    f"policy {other.name!r} is on {policy.table} already, for the same rows; make "
                    "one of the two, or give one a condition",
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
            table = self.catalog.table(qualified(self.catalog, text))
        except CatalogError as error:
            self.problem(key, str(error))
            return None
        if table.kind != "tenant":
            self.problem(key, f"{table.name} is a global table; policies are on tenants' tables")
            return None
        return table

    def starts(self, table: Table | None) -> str | None:
        name = self.text("starts")
        if name is None or table is None:
            return None
        try:
            point = starting_point(self.catalog, table.name, name)
        except CatalogError as error:
            self.problem("starts", str(error))
            return None
        column = point.column
        if column.type not in _STARTS_TYPES:
            self.problem(
                "starts",
                f"{point.table}.{column.name} is {column.type}; a starting point is a timestamptz "
                "(InstantField) or a date (DateField)",
            )
            return None
        return name if self._reached(table, point) else None

    def _reached(self, table: Table, point: StartingPoint) -> bool:
        """Check that the starting point, and the way to it, are indexed."""
        name = point.column.name
        parent = self.catalog.table(point.table)
        if not any(i.columns[:2] == ("tenant_id", name) for i in parent.indexes):
            self.problem(
                "starts",
                f"{parent.name} has no index led by (tenant_id, {name}); add (({name!r},), False) "
                f"to the model's Meta.indexes, and CREATE INDEX ON {parent.name} "
                f"(tenant_id, {name}) in a migration",
            )
            return False
        for edge in edges_of(self.catalog):
            if (edge.child, edge.column) == (table.name, point.via) and not is_indexed(table, edge):
                self.problem("starts", f"{edge} is not indexed; {_index(edge)}")
                return False
        return True

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
                    f"{edge} is not indexed, and every batch looks rows up by it; {_index(edge)}",
                )
        return found


def qualified(catalog: Catalog, text: str) -> TableName:
    """Return the name of a table that is written with its schema, or without where only one
    has it; raises CatalogError."""
    if "." in text:
        return TableName.parse(text)
    found = [t.name for t in catalog if t.name.name == text]
    if len(found) > 1:
        raise CatalogError(f"{text!r} is in several schemas: {', '.join(map(str, found))}")
    if not found:
        known = ", ".join(str(t.name) for t in catalog)
        raise CatalogError(f"there is no table {text!r}; known are: {known}")
    return found[0]


def _index(edge: Edge) -> str:
    return f"CREATE INDEX ON {edge.child} (tenant_id, {edge.column}), and add it to Meta.indexes"
