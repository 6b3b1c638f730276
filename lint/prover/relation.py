"""Relations as the prover sees them: columns, facts, and how each base table stands.

For each base-table occurrence o inside a relation E a `Standing` claims, for every database:

- for each value v in `values`: E is unchanged if o is restricted to the rows of tenant v;
- for each column c in `carriers`: the rows of E with c = T are unchanged if o is restricted to
  the rows of tenant T. (c may be a column of an enclosing query.)

An occurrence with neither is stuck: nothing that encloses E can bound it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace

from lint.errors import CannotProve
from lint.prover.facts import (
    NEVER,
    NOTHING,
    NULL,
    Const,
    Facts,
    Term,
    equality,
    guarded,
    not_null,
)
from lint.prover.values import comparable
from lint.value import value


@value
class Standing:
    values: frozenset[Const] = frozenset()
    carriers: frozenset[int] = frozenset()


Standings = Mapping[int, Standing]


@value
class Col:
    """A column of a relation. `name` is None where PostgreSQL makes one up."""

    name: str | None
    term: Term
    family: str | None

    def again(self, term: Term) -> Col:
        """The same column of another row, or of the row at another time."""
        return Col(self.name, term, self.family)

    def under(self, term: Term) -> Col:
        """The same column under another term; what was a value now is of a type."""
        alone = self.term.alone if isinstance(self.term, Const) else None
        return Col(self.name, term, self.family or alone)


@value
class Entry:
    """One item of FROM. `open`: it may have columns that are not listed."""

    alias: str | None
    columns: tuple[Col, ...]
    schema: str | None = None
    open: bool = False
    base: bool = False


@value
class Relation:
    """A FROM clause or a part of one. `visible` is what unqualified names and `*` see."""

    entries: tuple[Entry, ...] = ()
    visible: tuple[Col, ...] = ()
    facts: Facts = NOTHING
    standings: Standings = field(default_factory=dict)
    low: int = 0
    """Columns with a number below this one belong to somebody else."""

    @property
    def open(self) -> bool:
        return any(entry.open for entry in self.entries)

    def terms(self) -> frozenset[int]:
        columns = (*self.visible, *(col for entry in self.entries for col in entry.columns))
        return frozenset(col.term for col in columns if isinstance(col.term, int))


@value
class Output:
    """The result of a query. `wide`: it has further columns, so positions mean nothing."""

    columns: tuple[Col, ...]
    facts: Facts
    standings: Standings
    low: int
    wide: bool = False


def settle(standings: Standings, facts: Facts) -> dict[int, Standing]:
    """Use what holds of every row: more carriers, and values where a carrier has one."""
    settled = {}
    for occurrence, standing in standings.items():
        values, carriers = standing.values, standing.carriers
        if facts.impossible:
            values |= {NEVER}
        for carrier in standing.carriers:
            values |= facts.values(carrier)
            near = facts.columns(carrier)
            # What is null in every row carries nothing to another column that is.
            carriers |= near if NULL not in near else frozenset()
        settled[occurrence] = Standing(values, carriers)
    return settled


def widen(standings: Standings, facts: Facts, fits: Callable[[int], bool]) -> dict[int, Standing]:
    """More carriers that fit, and no values: rows without a partner are kept on both sides."""
    return {
        number: Standing(old.values, old.carriers | {new for new in settled.carriers if fits(new)})
        for number, settled in settle(standings, facts).items()
        for old in (standings[number],)
    }


def carry(standings: Standings, column: int, facts: Facts) -> dict[int, Standing]:
    """Add a column as a carrier where it is one as far as it is not null.

    `facts` hold of the rows in which it is not. A carrier speaks of rows in which it is T, and
    so not null: if in those it equals another, the rows with T in it are among the other's.
    """
    near = facts.columns(column)
    return {
        number: replace(s, carriers=s.carriers | {column})
        if facts.impossible or not near.isdisjoint(s.carriers)
        else s
        for number, s in standings.items()
    }


def keep(standings: Standings, kept: Callable[[int], bool]) -> dict[int, Standing]:
    """Drop the carriers that do not survive an operation."""
    return {
        occurrence: Standing(s.values, frozenset([c for c in s.carriers if kept(c)]))
        for occurrence, s in standings.items()
    }


def cross(left: Relation, right: Relation) -> Relation:
    """Both side by side. Raises CannotProve if a name is taken twice."""
    return Relation(
        _entries(left, right),
        left.visible + right.visible,
        left.facts.both(right.facts),
        {**left.standings, **right.standings},
        left.low,
    )


def _entries(left: Relation, right: Relation) -> tuple[Entry, ...]:
    taken = {(entry.schema, entry.alias) for entry in left.entries if entry.alias is not None}
    for entry in right.entries:
        if (entry.schema, entry.alias) in taken:
            raise CannotProve(f"table name {entry.alias} is used twice")
    return left.entries + right.entries


def nullable(relation: Relation, new_column: Callable[[], int]) -> tuple[Relation, Facts]:
    """The relation as the side of an outer join that may be filled with nulls.

    A column that is a value or somebody else's column becomes one of its own, since in a filled
    row it is null. The facts returned hold of rows that are not filled, and tie it to what it was.
    """
    copies: dict[Term, int] = {}
    ties = relation.facts

    def own(col: Col) -> Col:
        nonlocal ties
        if isinstance(col.term, int) and col.term >= relation.low:
            return col
        if col.term not in copies:
            copies[col.term] = new_column()
            ties = ties.both(Facts((frozenset((copies[col.term], col.term)),)))
        return col.under(copies[col.term])

    owned = replace(
        relation,
        entries=tuple(
            replace(entry, columns=tuple(own(col) for col in entry.columns))
            for entry in relation.entries
        ),
        visible=tuple(own(col) for col in relation.visible),
        facts=NOTHING,
    )
    return owned, ties


@value
class Merge:
    """A column that USING or NATURAL makes out of two."""

    name: str
    left: Col
    right: Col


def merges(left: Relation, right: Relation, names: Iterable[str]) -> list[Merge]:
    """Raises CannotProve where a side lacks the column or has it twice."""
    return [Merge(name, _only(left, name), _only(right, name)) for name in names]


def common_names(left: Relation, right: Relation) -> list[str]:
    if left.open or right.open or any(c.name is None for c in (*left.visible, *right.visible)):
        raise CannotProve("NATURAL JOIN of a relation whose columns are not all known")
    names = [col.name for col in left.visible if col.name is not None]
    there = {col.name for col in right.visible}
    return [name for name in dict.fromkeys(names) if name in there]


def merge_facts(merged: Iterable[Merge]) -> Facts:
    facts = NOTHING
    for merge in merged:
        if same_family(merge.left, merge.right):
            facts = facts.both(equality(merge.left.term, merge.right.term))
    return facts


def same_family(left: Col, right: Col) -> bool:
    if isinstance(left.term, Const) and left.family is None:
        return right.family is not None or isinstance(right.term, Const)
    if isinstance(right.term, Const) and right.family is None:
        return left.family is not None
    return comparable(left.family, right.family)


def _only(relation: Relation, name: str) -> Col:
    found = [col for col in relation.visible if col.name == name]
    if len(found) != 1:
        raise CannotProve(f"column {name} of USING is not known to be one on each side")
    return found[0]


def join(
    left: Relation,
    right: Relation,
    *,
    side: str,
    on: Facts,
    inside: Standings,
    merged: list[Merge],
    new_column: Callable[[], int],
    close: Callable[[Facts], Facts],
    unsure: frozenset[int],
) -> Relation:
    """Join two relations. `on`: what the condition implies; `inside`: its subqueries' standings.

    side is "", LEFT, RIGHT or FULL. `unsure`: columns of which it would tell more if they were
    not null.
    """
    condition = on.both(merge_facts(merged))
    matched = close(left.facts.both(right.facts, condition))
    if side == "":
        visible = _visible(left, right, merged, [merge.left for merge in merged])
        standings = settle({**left.standings, **right.standings, **inside}, matched)
        return Relation(_entries(left, right), visible, matched, standings, left.low)
    left_filled, right_filled = side in ("RIGHT", "FULL"), side in ("LEFT", "FULL")
    facts = NOTHING
    witnesses: list[frozenset[int]] = []
    filled_ties: list[Facts] = []
    sides: list[Relation] = []
    for relation, filled in ((left, left_filled), (right, right_filled)):
        if not filled:
            sides.append(relation)
            facts = facts.both(relation.facts)
            continue
        owned, ties = nullable(relation, new_column)
        witness = frozenset(term for term in owned.terms() if term >= relation.low)
        witnesses.append(witness)
        filled_ties.append(ties)
        facts = facts.both(guarded([witness], ties))
        sides.append(owned)
    facts = facts.both(guarded(witnesses, condition))
    if side == "FULL":
        facts = facts.both(_one_is_there(left, right, witnesses, filled_ties))
        met = close(matched.both(*filled_ties))
        standings, hidden = _full(left, right, inside, met, own=witnesses, new_column=new_column)
        facts = facts.both(hidden)
    else:
        kept, filled_side = (left, right) if side == "LEFT" else (right, left)
        standings = {
            **kept.standings,
            **settle({**filled_side.standings, **inside}, matched),
        }
    unsure |= frozenset([column for guard in matched.guarded for column in guard.alone])
    for kept, other, filled in (left, right, right_filled), (right, left, left_filled):
        for column in unsure & kept.terms() - matched.not_null if filled else ():
            surely = close(matched.both(not_null([column])))
            standings |= carry({n: standings[n] for n in other.standings}, column, surely)
    columns: list[Col] = []
    for merge in merged:
        if side != "FULL":
            columns.append(merge.left if side == "LEFT" else merge.right)
            continue
        column = new_column()
        columns.append(Col(merge.name, column, merge.left.family))
        if not same_family(merge.left, merge.right):
            continue
        facts = facts.both(_coalesced(column, merge, left, right))
        # COALESCE(left, right): what carries must be the column of the table's own side.
        own: dict[int, Term] = dict.fromkeys(right.standings, merge.right.term)
        own.update(dict.fromkeys((*left.standings, *inside), merge.left.term))
        standings = {
            occurrence: replace(s, carriers=s.carriers | {column})
            if own[occurrence] in s.carriers
            else s
            for occurrence, s in standings.items()
        }
    one_side, other_side = sides
    visible = _visible(one_side, other_side, merged, columns)
    return Relation(_entries(one_side, other_side), visible, facts, standings, left.low)


def _coalesced(column: int, merge: Merge, left: Relation, right: Relation) -> Facts:
    """What holds of the column that USING makes of two in a FULL JOIN, of which one is there."""
    facts = NOTHING
    if left.facts.never_null(merge.left.term) and right.facts.never_null(merge.right.term):
        facts = not_null([column])
    for one, relation in ((merge.left, left), (merge.right, right)):
        if isinstance(one.term, int) and one.term >= relation.low:
            tie = Facts((frozenset((column, one.term)),))
            facts = facts.both(guarded([frozenset((one.term,))], tie))
    return facts


def _full(
    left: Relation,
    right: Relation,
    inside: Standings,
    matched: Facts,
    *,
    own: list[frozenset[int]],
    new_column: Callable[[], int],
) -> tuple[dict[int, Standing], Facts]:
    """How the tables of a FULL JOIN stand, and facts. `own`: the columns of each side.

    A row of one side without a partner satisfies nothing that ON says: only a column of the other
    side tells that there was one. Nothing depends on the pairs of which ON is not TRUE, whatever
    the restriction.
    """
    ours, theirs = own
    standings = {
        **widen(left.standings, matched, lambda new: new >= right.low and new not in ours),
        **widen(
            right.standings,
            matched,
            lambda new: new not in theirs and (left.low <= new < right.low or new in ours),
        ),
        **settle(inside, matched),
    }
    facts = NOTHING
    for relation, there in ((left, theirs), (right, ours)):
        for number, settled in settle(relation.standings, matched).items():
            values = settled.values - relation.standings[number].values
            if values:
                # Where the other side is there, this one is matched, or filled since none of its
                # rows matches, which would have that value: a column that has it there, and else
                # is null, carries.
                hidden = new_column()
                known = standings[number]
                standings[number] = replace(known, carriers=known.carriers | {hidden})
                tie = Facts((frozenset((hidden, *values)),))
                facts = facts.both(guarded([there], tie))
    return standings, facts


def _one_is_there(
    left: Relation, right: Relation, witnesses: list[frozenset[int]], ties: list[Facts]
) -> Facts:
    """Of a FULL JOIN's row not both sides are filled.

    What is never null on its side is null only where that side is filled: then the other has a
    row, and its facts hold.
    """
    facts = NOTHING
    for relation, witness, of_other in (
        (left, witnesses[0], ties[1]),
        (right, witnesses[1], ties[0]),
    ):
        absent = relation.facts.not_null & witness
        facts = facts.both(guarded([], of_other, absent)) if absent else facts
    return facts


def _visible(
    left: Relation, right: Relation, merged: list[Merge], columns: list[Col]
) -> tuple[Col, ...]:
    names = {merge.name for merge in merged}
    rest = [col for col in (*left.visible, *right.visible) if col.name not in names]
    front = [replace(col, name=m.name) for col, m in zip(columns, merged, strict=True)]
    return (*front, *rest)
