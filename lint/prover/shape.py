"""The allow-list of structural syntax.

The parser reads more than PostgreSQL: clauses of other dialects would sit in a node's arguments
without being asked for. Each structural node may carry only the arguments named here.
"""

from __future__ import annotations

from sqlglot import exp

from lint.errors import CannotProve
from lint.text.words import words

_ALLOWED: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: words(
        "with_ expressions distinct from_ joins where group having windows order limit offset locks"
    ),
    exp.Union: words("with_ this expression distinct order limit offset"),
    exp.Intersect: words("with_ this expression distinct order limit offset"),
    exp.Except: words("with_ this expression distinct order limit offset"),
    exp.Subquery: words("with_ this alias joins order limit offset"),
    exp.Values: words("expressions alias joins"),
    exp.Table: words("this db alias joins only"),
    exp.TableAlias: words("this columns"),
    exp.Lateral: words("this alias joins"),
    exp.Unnest: words("expressions alias offset joins"),
    exp.Join: words("this side kind method on using"),
    exp.From: frozenset(("this",)),
    exp.With: words("expressions recursive"),
    exp.CTE: words("this alias materialized"),
    exp.Group: frozenset(("expressions",)),
    exp.Having: frozenset(("this",)),
    exp.Where: frozenset(("this",)),
    exp.Distinct: words("expressions on"),
    exp.Window: words("this partition_by order spec alias over"),
    exp.Order: words("expressions this"),
    exp.Ordered: words("this desc nulls_first"),
    exp.Limit: frozenset(("expression",)),
    exp.Offset: frozenset(("expression",)),
    exp.Fetch: words("direction count limit_options"),
    exp.Star: frozenset(),
    exp.Insert: words("with_ this expression conflict returning default"),
    exp.OnConflict: words("expressions action conflict_keys index_predicate constraint where"),
    exp.Returning: frozenset(("expressions",)),
    exp.Update: words("with_ this expressions from_ where returning"),
    exp.Delete: words("with_ this using where returning"),
    exp.Merge: words("with_ this using on whens returning"),
    exp.Whens: frozenset(("expressions",)),
    exp.When: words("matched source condition then"),
    exp.Schema: words("this expressions"),
}
# Half of a tree's nodes, with nothing below them.
_TEXT = frozenset((exp.Identifier, exp.Literal))


def check_shape(node: exp.Expr) -> None:
    """Raises CannotProve if a structural node carries something unexpected."""
    allowed = _ALLOWED.get(type(node))
    if allowed is None:
        raise CannotProve(f"{type(node).__name__} is not supported")
    if allowed.issuperset(node.args):
        return
    for key, value in node.args.items():
        if value and key not in allowed:
            raise CannotProve(f"{key.strip('_').upper()} of {type(node).__name__} is not supported")


def check_tree(tree: exp.Expr) -> list[exp.Table]:
    """Check every structural node below, wherever it stands. Returns the tables among them,
    without those of FOR UPDATE OF, which stand in FROM, too.

    The nodes are cut off from their parents, which nobody asks for: so the tree is no circle, and
    is gone with its last reader instead of at the next collection of garbage.
    """
    tables: list[exp.Table] = []
    locked: set[int] = set()
    nodes = [tree]
    for node in nodes:  # which grow meanwhile: sqlglot's own walk takes twice the time
        node.parent = None
        kind, args = type(node), node.args
        if kind in _TEXT:
            continue
        allowed = _ALLOWED.get(kind)
        if allowed is not None:
            if not allowed.issuperset(args):
                check_shape(node)
            if isinstance(node, exp.Table) and id(node) not in locked:
                tables.append(node)
        elif kind is exp.Lock:
            locked.update(id(table) for table in node.expressions)
        for value in args.values():
            if isinstance(value, exp.Expr):
                nodes.append(value)
            elif isinstance(value, list):
                nodes += [child for child in value if isinstance(child, exp.Expr)]
    return tables
