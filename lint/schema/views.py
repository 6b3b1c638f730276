"""View definitions, parsed once per catalog."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.shape import check_tree
from lint.schema.catalog import Catalog, Name, View
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import prepare


@dataclass(eq=False)
class Views:
    """The catalog, with the trees of its views. Trees are read, never changed."""

    catalog: Catalog
    _trees: dict[Name, exp.Expr] = field(default_factory=dict)

    def tree(self, view: View) -> exp.Expr:
        """Raises CannotProve if the definition cannot be read."""
        known = self._trees.get(view.name)
        if known is not None:
            return known
        found = [raw for raw in statements(view.query, psql=False) if raw.tokens]
        if len(found) != 1:
            raise CannotProve(f"view {view.name} is not one query")
        prepared = prepare(found[0].tokens)
        if prepared.parameters:
            raise CannotProve(f"view {view.name} has parameters")
        try:
            tree = parse(prepared)
        except CannotProve as error:
            raise CannotProve(f"view {view.name} cannot be parsed") from error
        if not isinstance(tree, exp.Query):
            raise CannotProve(f"view {view.name} is not a query")
        check_tree(tree)
        self._trees[view.name] = tree
        return tree
