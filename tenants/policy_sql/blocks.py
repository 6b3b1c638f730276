"""FROM and WHERE of a query: which of its sources are tied together, and what is asked of them.

Sources that equalities link are one component; what is asked of one source limits the rows of
its component, and of no other. An EXISTS or IN that WHERE demands is a join like others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from tenants.policy_sql.aggregates import collapses
from tenants.policy_sql.scale import Knowledge
from tenants.policy_sql.trees import flattened, label

# Operators by which rows of two sources find one another, and what may stand around the columns.
_FINDS = (exp.EQ, exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps)
# Comparisons by which they do not.
APART = (exp.NEQ, exp.NullSafeNEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_PLAIN = (
    exp.Column, exp.Identifier, exp.Paren, exp.Cast, exp.DataType, exp.Collate, exp.Any, exp.Array,
    exp.Tuple, exp.Lower, exp.Upper,
)  # fmt: skip


@dataclass
class Block:
    """The sources of a query by alias, what all its rows meet, and what links its sources.

    `doubtful` are sources between which there is something that may link them or not;
    `missing` those that an outer join may leave without a row.
    """

    known: Knowledge
    sources: dict[str, exp.Expr] = field(default_factory=dict)
    parts: list[exp.Expr] = field(default_factory=list)
    doubtful: list[frozenset[str]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    # (the source that LEFT JOIN adds, what its ON links): worth something where a row is there.
    outer: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    added: list[tuple[str, exp.Expr]] = field(default_factory=list)  # the same, as conditions
    _links: list[frozenset[str]] = field(default_factory=list)

    @classmethod
    def of(cls, query: exp.Select, known: Knowledge, asked: Iterable[exp.Expr] = ()) -> Block:
        """Read a query, with further conditions on its rows."""
        block = cls(known)
        block._enter(query)
        block.parts += [block.named(part) for part in flattened(asked)]
        while block._take_in():
            pass
        block._find()
        return block

    def names(self) -> Mapping[str, str]:
        """The tables of the sources by alias; "" for what is none."""
        return {alias: label(source) for alias, source in self.sources.items()}

    def components(self) -> Iterator[frozenset[str]]:
        """The sources, put together as they are linked."""
        left = list(self.sources)
        while left:
            found = self.linked({left[0]})
            yield found
            left = [alias for alias in left if alias not in found]

    def linked(self, aliases: Iterable[str]) -> frozenset[str]:
        """These sources, and those that equalities lead to."""
        found = set(aliases)
        while new := {a for link in self._links if link & found for a in link} - found:
            found |= new
        return frozenset(found)

    def aliases(self, part: exp.Expr) -> frozenset[str]:
        """The sources that a condition is about, its subqueries included."""
        return frozenset(
            column.table for column in part.find_all(exp.Column) if column.table in self.sources
        )

    # Reading

    def _enter(self, query: exp.Select) -> None:
        own: list[exp.Expr] = []
        first = query.args.get("from_")
        if first is not None:
            self._source(first.this, own)
        for join in query.args.get("joins") or ():
            self._join(join, own)
        where = query.args.get("where")
        if where is not None:
            own.append(where.this)
        self.parts += [self.named(part) for part in flattened(own)]

    def _source(self, node: exp.Expr, own: list[exp.Expr]) -> None:
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Subquery | exp.Table):
            self._source(node.this, own)  # (a JOIN b ON ..)
        else:
            self.sources[node.alias_or_name] = node
        for join in node.args.get("joins") or ():
            self._join(join, own)

    def _join(self, join: exp.Expr, own: list[exp.Expr]) -> None:
        before = list(self.sources)
        self._source(join.this, own)
        added = [alias for alias in self.sources if alias not in before]
        on, side = join.args.get("on"), join.args.get("side")
        if side in ("LEFT", "FULL"):
            self.missing.update(added)
        if side in ("RIGHT", "FULL"):
            self.missing.update(before)
        links = [frozenset((*added, a)) for a in self.aliases(join.this) if a in before]
        links += self._same_names(join, before, added)
        if on is not None and not side:
            own.append(on)
        elif on is not None:
            parts = [self.named(part) for part in flattened([on])]
            links += [self.aliases(part) for part in parts if _finds(part)]
            if side == "LEFT" and len(added) == 1:
                self.added += [(added[0], part) for part in parts]
        if not side:
            self._links += links
        elif side == "LEFT" and len(added) == 1:
            self.outer += [(added[0], link) for link in links]
        else:
            self.doubtful.append(frozenset((*before, *added)))

    def _same_names(
        self, join: exp.Expr, before: list[str], added: list[str]
    ) -> Iterator[frozenset[str]]:
        """What USING and NATURAL link."""
        names = frozenset(column.name for column in join.args.get("using") or ())
        if not names and join.args.get("method") != "NATURAL":
            return
        known = not any(self._hides(alias) for alias in (*before, *added))
        if names and len(before) == len(added) == 1:
            yield frozenset((*before, *added))
        elif known and len(added) == 1:
            shared = names or self._columns(added[0])
            yield from (frozenset((a, added[0])) for a in before if shared & self._columns(a))
        else:
            self.doubtful.append(frozenset((*before, *added)))

    def _columns(self, alias: str) -> frozenset[str]:
        return self.known.columns.get(label(self.sources[alias])) or frozenset()

    def _hides(self, alias: str) -> bool:
        """Whether it is not known which columns a source has."""
        return not self._columns(alias)

    def named(self, part: exp.Expr) -> exp.Expr:
        """A condition with the names of sources before the columns, where there is no doubt."""

        def name(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and not node.table and not _within(node):
                owners = self._owners(node.name)
                if owners and self.linked(owners[:1]) >= set(owners):
                    return exp.column(node.this.copy(), table=exp.to_identifier(owners[0]))
            return node

        return part.transform(name, copy=True)

    def _owners(self, name: str) -> list[str]:
        """The sources that have a column of this name, as far as it is known."""
        sure = [alias for alias in self.sources if name in self._columns(alias)]
        return sure or [alias for alias in self.sources if self._hides(alias)]

    def _take_in(self) -> bool:
        """Make the sources of an EXISTS or IN that has to hold sources of the block."""
        for place, part in enumerate(self.parts):
            inner, equal = _demanded(part)
            if inner is None or collapses(inner, self.known):
                continue
            block = Block(self.known)
            block._enter(inner)
            if not block.sources or set(block.sources) & set(self.sources):
                continue
            del self.parts[place]
            if equal is not None:
                value = block.named(inner.expressions[0].unalias())
                block.parts.append(exp.EQ(this=equal.copy(), expression=value.copy()))
            self.parts += [self.named(inside) for inside in block.parts]
            self.sources |= block.sources
            self.missing |= block.missing
            self.doubtful += block.doubtful
            self._links += block._links
            self.outer += block.outer
            self.added += block.added
            return True
        return False

    def _find(self) -> None:
        there: set[str] = set()
        for part in self.parts:
            found = self.aliases(part)
            if isinstance(part, exp.EQ):
                there |= found
            if len(found) > 1 and not isinstance(part, APART):
                (self._links if _finds(part) else self.doubtful).append(found)
        for added, link in self.outer:
            (self._links if added in there else self.doubtful).append(link)
        self.missing -= there


def _finds(part: exp.Expr) -> bool:
    """Whether a condition is that columns are equal, or one among the others."""
    return isinstance(part, _FINDS) and all(
        isinstance(node, _PLAIN) for side in (part.this, part.expression) for node in side.walk()
    )


def _within(node: exp.Expr) -> bool:
    """Whether it stands in a subquery of the condition that is looked at."""
    return node.find_ancestor(exp.Select) is not None


def _demanded(part: exp.Expr) -> tuple[exp.Select | None, exp.Expr | None]:
    """The query of `EXISTS (query)` or `x IN (query)`, and x; None for others."""
    inner, value = None, None
    if isinstance(part, exp.Exists):
        inner = part.this
    elif isinstance(part, exp.In) and not part.args.get("negate"):
        inner, value = part.args.get("query"), part.this
    while isinstance(inner, exp.Subquery):
        inner = inner.this
    if not isinstance(inner, exp.Select) or inner.args.get("with_"):
        return None, None
    if value is not None and len(inner.expressions) != 1:
        return None, None
    return inner, value
