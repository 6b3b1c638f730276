"""Keys and constraints that look past row-level security, and their mended forms.

PostgreSQL checks foreign keys, uniqueness and exclusion against all rows, whoever asks, and
runs ON DELETE and ON UPDATE actions as the owner of the table that refers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tenants.posture.bodies import SECRET
from tenants.posture.records import Constraint, Index, Relation, quote
from tenants.posture.subject import Subject

# As pg_get_constraintdef prints a foreign key.
_FOREIGN = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES (.+?)\((.+?)\)(.*)", re.DOTALL)
_INCLUDED = re.compile(r" INCLUDE \([^)]*\)")  # kept in the index, and not compared
_SETS = re.compile(r"(ON DELETE SET (?:NULL|DEFAULT))(?! \()")
_COLUMN_LISTS = 150000  # ON DELETE SET NULL (columns) came with 15
_ACTIONS = {"c": "deletes", "n": "sets to NULL the keys of", "d": "sets to a default the keys of"}
_INTEGERS = ("smallint", "integer", "bigint")
_GENERATED = ("id", "uuid", "guid", "ulid", "cuid", "pk")  # of primary keys, whatever their type


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key onto a tenant table that does not carry the tenant.

    `effect` says what an app's DELETE or UPDATE of the target's row does to rows that refer to
    it, whose ever they are: ("DELETE", "deletes"); None where it is refused.
    """

    constraint: Constraint
    child: Relation
    target: Relation
    effect: tuple[str, str] | None

    @property
    def label(self) -> str:
        """`constraint invoices_customer_fkey on shop.invoices`."""
        return f"constraint {self.constraint.name} on {self.child.label}"


@dataclass(frozen=True, slots=True)
class GlobalKey:
    """A unique index of a tenant table without the tenant; with its constraint if it has one.

    `relation` is the table, or a part of it that has the index alone: then `top` is the table.
    """

    relation: Relation
    index: Index
    constraint: Constraint | None
    top: Relation

    @property
    def written(self) -> tuple[tuple[Relation, frozenset[int]], ...]:
        """The tables by whose names its columns are written, and the numbers they have there."""
        names = set(self.relation.names(self.index.columns))
        expressions = {0} & set(self.index.columns)
        return tuple(
            (table, frozenset(c.number for c in table.columns if c.name in names) | expressions)
            for table in (self.relation, self.top)
        )

    @property
    def label(self) -> str:
        """`constraint customers_email_key on shop.customers`, or `index ..`."""
        kind = "constraint" if self.constraint else "index"
        return f"{kind} {self.index.name} on {self.relation.label}"


def may_set(
    subject: Subject, relation: Relation, columns: Collection[int], *privileges: str
) -> bool:
    """Whether one of the app's roles holds one of these privileges on one of these columns."""
    return any(
        subject.facts.privileges_on(role.oid, relation, columns) & set(privileges)
        for role in subject.app_roles
    )


def is_tenants(subject: Subject, relation: Relation, column: str) -> bool:
    """Whether a column of a table holds a tenant: its own, or another of the tenant columns."""
    return column in subject.tenant_columns or column == subject.tenant_column(relation)


def tenantless_foreign_keys(subject: Subject) -> Iterator[ForeignKey]:
    """Foreign keys onto tenant tables in which no pair of columns is the tenant on both sides.

    References to the table of tenants and to tables that are no tenant's are left out, and those
    that are not enforced: of them PostgreSQL checks nothing.
    """
    facts = subject.facts
    for constraint in facts.constraints:
        if constraint.kind != "foreign" or constraint.inherited or not constraint.enforced:
            continue
        child = facts.relations.get(constraint.relation)
        target = facts.relations.get(constraint.target)
        if child is None or target is None or target.oid == subject.registry:
            continue
        if subject.tenant_column(target) is None:
            continue
        pairs = zip(
            child.names(constraint.columns), target.names(constraint.target_columns), strict=True
        )
        if any(is_tenants(subject, child, c) and is_tenants(subject, target, t) for c, t in pairs):
            continue
        yield ForeignKey(constraint, child, target, _effect(subject, constraint, target))


def _effect(subject: Subject, key: Constraint, target: Relation) -> tuple[str, str] | None:
    if key.on_delete in _ACTIONS and subject.apps_that(target, "DELETE"):
        return "DELETE", _ACTIONS[key.on_delete]
    if key.on_update in _ACTIONS and may_set(subject, target, key.target_columns, "UPDATE"):
        return "UPDATE", "changes" if key.on_update == "c" else _ACTIONS[key.on_update]
    return None


def composite(subject: Subject, key: ForeignKey) -> str | None:
    """The statements that make a foreign key carry the tenant; None if a side has no column, or
    periods are compared: what that takes of the target's key is no plain index.

    The target gets the unique index that such a key needs, where it has none.
    """
    own, other = subject.tenant_column(key.child), subject.tenant_column(key.target)
    printed = _FOREIGN.fullmatch(key.constraint.definition)
    if own is None or other is None or printed is None or key.constraint.temporal:
        return None
    columns, target, target_columns, rest = printed.groups()
    rest = rest.replace(" MATCH FULL", "")
    if _SETS.search(rest):
        if subject.facts.server.version_num < _COLUMN_LISTS:
            rest = _SETS.sub("", rest)
        else:
            rest = _SETS.sub(rf"\1 ({columns})", rest)
    lines = []
    wanted = {c.number for c in key.target.columns if c.name == other}
    wanted |= set(key.constraint.target_columns)
    if not any(
        i.unique and i.valid and not i.partial and set(i.columns) == wanted
        for i in subject.facts.indexes_on(key.target.oid)
    ):
        name = quote("_".join((key.target.name, *key.target.names(sorted(wanted)), "key"))[:63])
        lines.append(
            f"CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {key.target.sql}"
            f" ({quote(other)}, {target_columns});"
        )
    constraint = quote(key.constraint.name)
    lines.append(
        f"ALTER TABLE {key.child.sql} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint}"
        f" FOREIGN KEY ({quote(own)}, {columns})"
        f" REFERENCES {target}({quote(other)}, {target_columns}){rest};"
    )
    return "\n".join(lines)


def global_keys(subject: Subject) -> Iterator[GlobalKey]:
    """Unique indexes of tenant tables in whose columns, expressions or condition no tenant is."""
    whole = ((table, table) for table in subject.tenant_tables)
    for table, top in (*whole, *subject.parts):
        constraints = {
            c.name: c
            for c in subject.facts.constraints_on(table.oid)
            if c.kind in ("primary", "unique")
        }
        for index in subject.facts.indexes_on(table.oid):
            if index.inherited or not index.unique or _tied(subject, table, index):
                continue
            yield GlobalKey(table, index, constraints.get(index.name), top)


def _tied(subject: Subject, table: Relation, index: Index) -> bool:
    """Whether a unique index compares rows of one tenant only."""
    if any(is_tenants(subject, table, name) for name in table.names(index.columns)):
        return True
    column = subject.tenant_column(table) or ""
    said = _INCLUDED.sub("", index.definition.partition("(")[2])
    said = re.sub(rf"\b{re.escape(column)} IS NOT NULL", "", said)
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", said) is not None


def _without(included: str, column: str) -> str:
    """` INCLUDE (a, b)` without a column that the key has now."""
    names = [n for n in re.split(r"\s*,\s*", included[len(" INCLUDE (") : -1]) if n != column]
    return f" INCLUDE ({', '.join(names)})" if names else ""


def is_opaque(subject: Subject, key: GlobalKey) -> bool:
    """Whether the key's values say nothing of a row but that it exists: ids, not emails."""
    linked = {
        number
        for c in subject.facts.constraints_on(key.relation.oid)
        if c.kind == "foreign"
        for number in c.columns
    }
    primary = key.constraint is not None and key.constraint.kind == "primary"
    columns = {c.number: c for c in key.relation.columns}
    # Of several columns one is enough: there is no conflict without it.
    return any(
        number in columns
        and (
            columns[number].type == "uuid"
            or (
                columns[number].type in _INTEGERS
                and (primary or columns[number].identity or number in linked)
            )
            or (primary and columns[number].name.lower() in _GENERATED)
        )
        for number in key.index.columns
    )


def has_random(key: GlobalKey) -> bool:
    """Whether what nobody guesses is among the key's columns: a uuid, or a secret by its name."""
    columns = {c.number: c for c in key.relation.columns}
    return any(
        n in columns and (columns[n].type == "uuid" or SECRET.search(columns[n].name))
        for n in key.index.columns
    )


def led_by_tenant(subject: Subject, key: GlobalKey) -> str | None:
    """The statements that put the tenant into a unique key; None while foreign keys need it."""
    if any(
        set(c.target_columns) == set(key.index.columns)
        for c in subject.facts.references_to(key.relation.oid)
    ):
        return None
    column = quote(subject.tenant_column(key.relation) or "")
    name = quote(key.index.name)
    if key.constraint is not None:
        mended = key.constraint.definition.replace("(", f"({column}, ", 1)
        change = f"DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {mended}"
        return f"ALTER TABLE {key.relation.sql} {change};"
    mended = re.sub(
        r" ON (?:ONLY )?(.+?) USING (\w+) \(",
        lambda m: f" ON {m[1]} USING {m[2]} ({column}, ",
        _INCLUDED.sub(lambda m: _without(m[0], column), key.index.definition),
        count=1,
    )
    return f"DROP INDEX {quote(key.relation.schema)}.{name};\n{mended};"
