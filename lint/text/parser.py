"""The parser, made once per thread: to make one costs as much as to parse a short statement."""

from __future__ import annotations

import threading

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError, SqlglotError

from lint.errors import CannotProve
from lint.text.prepare import Prepared


class _Parser(threading.local):
    def __init__(self) -> None:
        self.parser = Postgres().parser()


_LOCAL = _Parser()


def parse(prepared: Prepared) -> exp.Expr:
    """The tree of a statement. Raises CannotProve, of the kind `unparsed`."""
    try:
        trees = _LOCAL.parser.parse(prepared.parsed, "")
    except RecursionError as error:
        raise CannotProve("nested too deeply for the parser", kind="unparsed") from error
    except SqlglotError as error:
        raise CannotProve(_told(error, prepared), kind="unparsed") from error
    if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Command):
        raise CannotProve("the parser does not know this statement", kind="unparsed")
    return trees[0]


def _told(error: SqlglotError, prepared: Prepared) -> str:
    """Where the parser stops. Its own words name its own classes, and lines of no file."""
    said = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    offset = said.get("col")
    if offset is None:
        return "the parser cannot read it"
    start, end = prepared.span(offset)
    token = next(t for t in prepared.tokens if (t.start, t.end) == (start, end))
    return f"the parser cannot read on at {token.text[:40]!r}"
