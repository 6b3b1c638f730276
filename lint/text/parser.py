"""The parser, made once per thread: to make one costs as much as to parse a short statement."""

from __future__ import annotations

import threading

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres


class _Parser(threading.local):
    def __init__(self) -> None:
        dialect = Postgres()
        self.tokenizer = dialect.tokenizer()
        self.parser = dialect.parser()


_LOCAL = _Parser()


def parse(sql: str) -> list[exp.Expr | None]:
    """The trees of a text, None for an empty statement. Raises SqlglotError, RecursionError."""
    return _LOCAL.parser.parse(_LOCAL.tokenizer.tokenize(sql), sql)
