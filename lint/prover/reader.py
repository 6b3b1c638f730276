"""What the parts of the prover ask of the whole.

FROM, WITH and the writes hold queries, and queries hold them: each of them gets the reader of
the statement handed in, and knows of it what stands here. `lint.prover.query` has it.
"""

from __future__ import annotations

from typing import Protocol

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.env import CommonTable, Env
from lint.prover.ledger import Ledger
from lint.prover.relation import Output
from lint.schema.catalog import View
from lint.schema.views import Views


class Reader(Protocol):
    """The reading of one statement. All methods raise CannotProve."""

    ledger: Ledger
    views: Views
    # Table nodes that were read, by id: the statement's others would have been overlooked.
    seen: set[int]
    # WITH queries that were met.
    defined: list[CommonTable]

    def block(self, env: Env, low: int) -> Block:
        """A new query level."""

    def query(self, node: exp.Expr, env: Env) -> Output:
        """Read a query expression."""

    def parenthesis(self, node: exp.Subquery, env: Env) -> Output:
        """Read `(query)` in FROM, without its alias and joins."""

    def values(self, node: exp.Values, env: Env) -> Output:
        """Read VALUES, without its alias and joins."""

    def view(self, view: View, node: int, env: Env) -> Output:
        """Read a view's query, for the table node with this id."""

    def with_of(self, node: exp.Expr, env: Env) -> Env:
        """The environment with the WITH queries that `node` carries."""

    def write(self, node: exp.Expr, env: Env) -> Output:
        """Read a data-modifying statement; the output is what RETURNING gives."""
