"""Recognising values that are fixed for a statement, and casts that keep values apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from sqlglot import exp

from lint.declared import Sources
from lint.errors import CannotProve, ConfigError
from lint.prover.facts import Const, Term
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import Parameter, fold, prepare
from lint.text.words import words

_FAMILIES = {
    "smallint": "integer", "int2": "integer", "integer": "integer", "int": "integer",
    "int4": "integer", "bigint": "integer", "int8": "integer", "serial": "integer",
    "bigserial": "integer", "smallserial": "integer", "serial4": "integer", "serial8": "integer",
    "text": "text", "varchar": "text", "character varying": "text", "uuid": "uuid",
    "numeric": "numeric", "decimal": "numeric", "dec": "numeric",
    "char": "bpchar", "character": "bpchar", "bpchar": "bpchar",
}  # fmt: skip
# Types beside these whose values are not made of others.
_SCALAR = words(
    "any boolean bool date time timetz timestamp timestamptz interval bytea json jsonb inet cidr "
    "money oid name xml bit varbit real float4 float8 float citext"
) | frozenset(('"char"', "double precision", "bit varying"))
_PARSED_FAMILIES = {
    exp.DataType.Type.SMALLINT: "integer",
    exp.DataType.Type.INT: "integer",
    exp.DataType.Type.BIGINT: "integer",
    exp.DataType.Type.TEXT: "text",
    exp.DataType.Type.VARCHAR: "text",
    exp.DataType.Type.UUID: "uuid",
}
# Casts under which two different values stay different.
_INJECTIVE = {("integer", "integer"), ("integer", "text"), ("uuid", "text"), ("uuid", "uuid"),
              ("text", "text")}  # fmt: skip
# The type of a declared source is not known; it is what the tenant is compared with.
ANY = "any"
# Whole numbers of fewer digits are bigint at most.
_DIGITS = 19
_INEXACT = ("real", "float", "double precision", "money")


@lru_cache(maxsize=1024)
def family(type_name: str) -> str | None:
    """A name for types whose `=` agrees on what is equal. None: comparing proves nothing."""
    plain = type_name.partition("(")[0].strip().removeprefix("pg_catalog.")
    if plain in _FAMILIES:
        return _FAMILIES[plain]
    if not plain or plain.startswith(_INEXACT):
        return None
    return type_name


def is_scalar(of: str | None) -> bool:
    """Whether a family's values are not made of others, as those of a row are."""
    if of is None:
        return False
    plain = of.partition("(")[0].partition(" with")[0].strip().removeprefix("pg_catalog.")
    return of.endswith("[]") or plain in _SCALAR or plain in _FAMILIES.values()


def comparable(left: str | None, right: str | None) -> bool:
    """Whether `=` of these two families tells that the values are the same."""
    if left is None or right is None:
        return False
    return left == right or ANY in (left, right) or {left, right} == {"integer", "numeric"}


def alike(one: tuple[Term, str | None], other: tuple[Term, str | None]) -> bool:
    """Whether `=` of two terms of these families tells that they are one value."""
    if one[1] is None or other[1] is None:
        typed = [family for _, family in (one, other) if family is not None]
        untyped = [term for term, family in (one, other) if family is None]
        return bool(typed) and all(isinstance(term, Const) for term in untyped)
    return comparable(one[1], other[1])


def cast_family(source: str | None, target: exp.DataType) -> str | None:
    """The family after an injective cast, or None if two values may fall together."""
    if target.expressions:  # varchar(3) cuts
        return None
    goal = _PARSED_FAMILIES.get(target.this)
    if goal is None or source is None or (source, goal) not in _INJECTIVE:
        return None
    return goal


def source_forms(sources: Sources) -> dict[str, type[exp.Expr]]:
    """Canonical form of each declared expression -> its node class.

    Raises ConfigError for one that cannot be read.
    """
    return dict(_source_form(text) for text in sources.expressions)


# What a value may be written as, or stand in, beside the declared sources.
_FORMS = (exp.Literal, exp.Neg, exp.Parameter, exp.Anonymous)
_VALUES = frozenset(
    (
        *_FORMS, exp.Paren, exp.Subquery, exp.Select, exp.Values, exp.Nullif, exp.Coalesce,
        exp.Cast, exp.TryCast,
    )
)  # fmt: skip
# Without a context it may be null: then `IS NOT DISTINCT FROM` it proves nothing.
SOURCE = Const("source", "source", "the current tenant", alone=ANY)


class Values:
    """Recognises values in one statement."""

    def __init__(self, forms: Mapping[str, type[exp.Expr]], names: Sequence[str]) -> None:
        self._forms = frozenset(forms)
        self._classes = frozenset(forms.values())
        self._may_be = self._classes | _VALUES
        self._names = frozenset(names)

    def read(  # noqa: PLR0911 - one return per kind of value
        self, node: exp.Expr, parameters: Mapping[int, Parameter]
    ) -> Const | None:
        """The value `node` is, or None if it is not fixed or not known to be so."""
        if type(node) not in self._may_be:
            return None
        node = _bare(node)
        if type(node) in self._classes and canonical(node) in self._forms:
            return SOURCE
        if isinstance(node, exp.Nullif | exp.Coalesce):
            return self._chosen(node, parameters)
        if isinstance(node, exp.Cast):
            inner = self.read(node.this, parameters)
            return None if inner is None else _cast(inner, node.to)
        if isinstance(node, exp.Parameter):
            return self._parameter(node, parameters)
        if isinstance(node, exp.Literal):
            return _literal(node.this, bool(node.is_string))
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return Const("parameter", f"number:-{node.this.this}", f"-{node.this.this}", None, True)
        return _setting(node)

    def argument(self, name: str, number: int) -> Const:
        """The value of a routine's argument, which its body may also write as `$number`."""
        if name in self._names:
            return SOURCE
        return Const("parameter", f"param:{number}", f"argument {name}")

    def _chosen(
        self, node: exp.Nullif | exp.Coalesce, parameters: Mapping[int, Parameter]
    ) -> Const | None:
        """One of several values: a value of its own, but the tenant or nothing is the tenant."""
        if isinstance(node, exp.Nullif):
            parts = [node.this, node.expression]
        else:
            parts = [node.this, *node.expressions]
        values = [self.read(part, parameters) for part in parts]
        first = values[0]
        if isinstance(node, exp.Nullif) and first == SOURCE and _is_literal(node.expression):
            return first
        if None in values:
            return None
        known = [value for value in values if value is not None]
        families = {value.family for value in known if value.family is not None}
        if len(families) > 1:
            return None
        key = f"{node.key}:{','.join(value.key for value in known)}"
        return Const("parameter", key, node.sql(dialect="postgres"), next(iter(families), None))

    def _parameter(self, node: exp.Parameter, parameters: Mapping[int, Parameter]) -> Const | None:
        number = node.this
        if not isinstance(number, exp.Literal) or number.is_string:
            return None
        known = parameters.get(int(number.this))
        if known is None:
            return None
        if known.name is not None and known.name in self._names:
            return SOURCE
        return _numbered(known.number, known.label)


# A value is met several times in one statement, and the first parameters in each.
@lru_cache(maxsize=1024)
def _literal(said: str, is_string: bool) -> Const:
    kind = "string" if is_string and not _is_integer(said) else "number"
    text = str(int(said)) if kind == "number" and said.isdecimal() else said
    shown = f"'{said}'" if is_string else said
    whole = not is_string and said.isdecimal() and len(said) < _DIGITS
    alone = "integer" if whole else None
    return Const("parameter", f"{kind}:{text}", shown, None, True, alone)


@lru_cache(maxsize=1024)
def _numbered(number: int, label: str) -> Const:
    return Const("parameter", f"param:{number}", label)


def is_said(value: Const) -> bool:
    """Whether a value stands in the statement as it is, and so is the same at any time."""
    return value.key.startswith(("number:", "string:"))


def _cast(inner: Const, to: exp.DataType) -> Const | None:
    """A value of another type: the same where no two fall together, else one of its own.

    None where it is of a type to whose value several of another type may be equal, and for the
    current tenant: what is cut off it may be another's.
    """
    goal = _PARSED_FAMILIES.get(to.this)
    if goal is not None and not to.expressions and not _rounds(inner):
        return replace(inner, family=goal)
    name = to.sql(dialect="postgres").lower()
    goal = family(name)
    if goal is None or inner == SOURCE:
        return None
    return Const("parameter", f"cast:{inner.key}:{name}", f"{inner.label}::{name}", goal)


def _setting(node: exp.Expr) -> Const | None:
    """An undeclared setting: one value, whoever's it is. Only this function, nothing inside."""
    called = isinstance(node, exp.Anonymous) and function_name(node) == "current_setting"
    if not called or not all(_is_literal(argument) for argument in node.expressions):
        return None
    return Const("parameter", f"setting:{canonical(node)}", node.sql(dialect="postgres"))


def _rounds(value: Const) -> bool:
    return value.key.startswith("number:") and not value.key[7:].lstrip("-").isdigit()


def _is_integer(text: str) -> bool:
    """Whether a string is spelled as the number would be: '1' is 1 to a column of numbers."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _is_literal(node: exp.Expr | None) -> bool:
    return isinstance(node, (exp.Literal, exp.Boolean))


def _bare(node: exp.Expr) -> exp.Expr:
    """Without parentheses, and out of `(SELECT value)`."""
    while True:
        if isinstance(node, exp.Paren):
            node = node.this
            continue
        if not isinstance(node, (exp.Subquery, exp.Select, exp.Values)):
            return node
        present = {key for key, value in node.args.items() if value}
        if isinstance(node, exp.Subquery) and present == {"this"}:
            node = node.this
        elif (
            isinstance(node, exp.Select)
            and present == {"expressions"}
            and len(node.expressions) == 1
        ):
            only = node.expressions[0]
            node = only.this if isinstance(only, exp.Alias) else only
        elif isinstance(node, exp.Values) and [len(r.expressions) for r in node.expressions] == [1]:
            node = node.expressions[0].expressions[0]
        else:
            return node


def function_name(node: exp.Anonymous) -> str:
    """The name of a function as the server folds it."""
    if isinstance(node.this, exp.Identifier):
        name = str(node.this.this)
        return name if node.this.args.get("quoted") else fold(name)
    return fold(str(node.this))


def canonical(node: exp.Expr) -> str:
    """One spelling for equal expressions; a source's casts and `missing_ok` do not matter."""
    if isinstance(node, exp.Paren):
        return canonical(node.this)
    if isinstance(node, exp.Identifier):
        return str(node.this) if node.args.get("quoted") else fold(str(node.this))
    if isinstance(node, exp.Dot):
        return f"{canonical(node.this)}.{canonical(node.expression)}"
    if isinstance(node, exp.Column):
        return ".".join(canonical(part) for part in node.parts)
    if isinstance(node, exp.Anonymous):
        name = function_name(node)
        arguments = node.expressions
        if name == "current_setting" and all(map(_is_literal, arguments)):
            arguments = arguments[:1]
        return f"{name}({', '.join(canonical(argument) for argument in arguments)})"
    return node.sql(dialect="postgres")


def _source_form(text: str) -> tuple[str, type[exp.Expr]]:
    try:
        raw = next(statements(text, psql=False))
        tree = parse(prepare(raw.tokens))
    except (StopIteration, CannotProve) as error:
        raise ConfigError(f"tenant source {text!r} is not an SQL expression") from error
    node = _bare(tree)
    while isinstance(node, exp.Cast):
        if node.to.expressions:
            raise ConfigError(f"tenant source {text!r}: a cast with a length is not supported")
        node = _bare(node.this)
    if isinstance(node, exp.Column):
        raise ConfigError(f"tenant source {text!r} is a column, not a value")
    return canonical(node), type(node)
