"""Treatments: what becomes of a column when a row is kept and the person in it is not.

A value that was treated can be told from one that was not, by looking at it: so a row is
due once, whoever looks, and a row that was written to again is due again. A keyed hash
(`hash`) is pseudonymisation, not anonymisation: who has the tenant's key can find the value
again (GDPR 4(5)). The key stands in the database, where the functions' owner alone reads it.
A `random` value says nothing of what it stands for, and is another in each row: for what must
not be empty, and be unique.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg2 import sql

from tenants.catalog import Column, Table

Kind = Literal["null", "constant", "generalise", "hash", "random"]
Value = str | int | float | bool

_INSTANT = "timestamp with time zone"
_UNITS = ("year", "month", "day")
_WHOLE = ("smallint", "integer", "bigint")
_TEXT = ("text", "character varying")
_TOKEN = 36
_HOW = '"null", "hash", "random", { constant = .. } or { generalise = .. }'


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to one column. `value` is the constant, or how far to generalise."""

    column: str
    kind: Kind
    value: Value | None = None

    def definition(self) -> str | dict[str, Value]:
        """Return it as the policy file writes it."""
        if self.kind in ("null", "hash", "random") or self.value is None:
            return self.kind
        return {self.kind: self.value}

    @classmethod
    def read(cls, column: str, written: Any) -> Treatment:
        """Read what a policy file says of a column; raises ValueError that says how to write."""
        if written == "null":
            return cls(column, "null")
        if written == "hash":
            return cls(column, "hash")
        if written == "random":
            return cls(column, "random")
        if isinstance(written, Mapping) and len(written) == 1:
            ((kind, value),) = written.items()
            if isinstance(value, str | int | float | bool):
                if kind == "constant":
                    return cls(column, "constant", value)
                if kind == "generalise":
                    return cls(column, "generalise", value)
        raise ValueError(f"{written!r} is no treatment; write {_HOW}")

    def problem(self, table: Table) -> str:
        """Return why the table's column cannot be treated so, or ""."""
        column = table.column(self.column)
        if self.column in table.primary_key:
            return "is part of the key"
        if any(self.column in key.columns for key in table.foreign_keys) and self.kind != "null":
            return "is a foreign key, and can only become null"
        if self.kind == "null":
            return "" if column.nullable else "is NOT NULL; give a constant instead"
        if self.kind in ("hash", "random"):
            return _token_problem(self.kind, column)
        unique = any(i.unique and self.column in i.columns for i in table.indexes)
        if unique:
            return (
                "is unique, and several rows would come to have one value; use null, hash or random"
            )
        return (
            _constant_problem(self.value, column)
            if self.kind == "constant"
            else _coarse_problem(self.value, column)
        )

    def new_value(self, column: Column, alias: str) -> sql.Composable:
        """Return the SQL of the treated value of the row `alias`."""
        name = sql.Identifier(alias, self.column)
        if self.kind == "null":
            return sql.SQL("NULL")
        if self.kind == "hash":
            return sql.SQL("tenure.pseudonym({})").format(name)
        if self.kind == "random":
            return sql.SQL(
                "CASE WHEN {} IS NOT NULL"
                " THEN 'an1_' || replace(gen_random_uuid()::text, '-', '') END"
            ).format(name)
        if self.kind == "constant":
            return sql.SQL("{}::{}").format(sql.Literal(self.value), sql.SQL(column.type))
        return self._coarse(column, name)

    def _coarse(self, column: Column, name: sql.Composable) -> sql.Composable:
        value = sql.Literal(self.value)
        if column.type == _INSTANT:
            return sql.SQL("date_trunc({}, {}, 'UTC')").format(value, name)
        if column.type == "date":
            return sql.SQL("date_trunc({}, {}::timestamp)::date").format(value, name)
        if _is_text(column):
            return sql.SQL("left({}, {})").format(name, value)
        # In numeric: the division of integers rounds towards zero, which is not coarser but wrong.
        return sql.SQL("(floor({}::numeric / {step}) * {step})::{type}").format(
            name, step=value, type=sql.SQL(column.type)
        )

    def is_done(self, column: Column, alias: str) -> sql.Composable:
        """Return the SQL of "this column of the row `alias` is as it should be"; never NULL."""
        name = sql.Identifier(alias, self.column)
        if self.kind == "null":
            return sql.SQL("{} IS NULL").format(name)
        if self.kind == "hash":
            return sql.SQL("({name} IS NULL OR {name} ~ '^pn1_[0-9a-f]{{32}}$')").format(name=name)
        if self.kind == "random":
            return sql.SQL("({name} IS NULL OR {name} ~ '^an1_[0-9a-f]{{32}}$')").format(name=name)
        return sql.SQL("{} IS NOT DISTINCT FROM {}").format(name, self.new_value(column, alias))


def _is_text(column: Column) -> bool:
    return column.type.partition("(")[0] in _TEXT


def _token_problem(kind: Kind, column: Column) -> str:
    what = "a hash" if kind == "hash" else "a random value"
    if not _is_text(column):
        return f"is {column.type}; {what} is a text"
    limit = column.type.partition("(")[2].rstrip(")")
    fits = not limit or int(limit) >= _TOKEN
    return "" if fits else f"is {column.type}; {what} has {_TOKEN} letters"


def _is_number(column: Column) -> bool:
    return column.type in _WHOLE or column.type.startswith("numeric")


def _constant_problem(value: Value | None, column: Column) -> str:
    if _is_text(column):
        fits = isinstance(value, str)
    elif column.type == "boolean":
        fits = isinstance(value, bool)
    elif column.type in _WHOLE:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif _is_number(column):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        return f"is {column.type}, of which there is no constant here; use null or generalise"
    return "" if fits else f"is {column.type}, and {value!r} is not"


def _coarse_problem(value: Value | None, column: Column) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if column.type in (_INSTANT, "date"):
        fits, wanted = value in _UNITS, ", ".join(_UNITS)
    elif _is_text(column):
        fits, wanted = number and isinstance(value, int), "so many first letters"
    elif _is_number(column):
        fits, wanted = number, "multiples of a positive number"
    else:
        return f"is {column.type}, which cannot be generalised"
    return "" if fits else f"is {column.type}; generalise it to {wanted}, not {value!r}"
