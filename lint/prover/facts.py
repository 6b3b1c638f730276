"""What is known of every row of a relation: which terms are equal, which are not null.

A fact must hold in every database the schema allows, whatever its rows. Everything that is
discharged later rests on that: a fact too many is a leak accepted, a fact too few a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lint.value import value


@value
class Const:
    """A value fixed for the whole statement: a tenant source, a parameter or a literal.

    `key` tells two apart; two of one key are the same value. `family` is the type where it is
    known, `alone` the one it has where nothing else decides it; `not_null` is true for literals.
    """

    kind: str  # "source" or "parameter"; "never" for NEVER
    key: str
    label: str
    family: str | None = None
    not_null: bool = False
    alone: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


# A column instance of one relation instance (an int, unique in a proof), or a value.
Term = int | Const


# A column that is null in every row: what is in one class with it is null.
NULL = 0


@value
class Guarded:
    """Facts that hold once a column out of every witness set is known not to be null, and one
    of `absent`, if there are any, to be null."""

    witnesses: tuple[frozenset[int], ...]
    facts: Facts
    absent: frozenset[int] = frozenset()

    @property
    def alone(self) -> frozenset[int]:
        """The column that alone decides, if it is one."""
        first = self.witnesses[0] if len(self.witnesses) == 1 else frozenset()
        return first if len(first) == 1 and not self.absent else frozenset()


@value
class Rule:
    """A dependency the schema guarantees: if all premises are equal, so are the conclusions,
    as far as the columns `filled` are not null."""

    premises: tuple[tuple[int, int], ...]
    conclusions: tuple[tuple[int, int], ...]
    filled: frozenset[int] = frozenset()


@value
class Facts:
    """Equivalence classes of two or more terms, disjoint; columns known not null.

    Terms of one class are the same value, or all of them null (IS NOT DISTINCT FROM).
    `impossible`: no row satisfies what was assumed, so every fact holds.
    """

    classes: tuple[frozenset[Term], ...] = ()
    not_null: frozenset[int] = frozenset()
    guarded: tuple[Guarded, ...] = ()
    impossible: bool = False

    def both(self, *others: Facts) -> Facts:
        """What holds where all of them hold."""
        informative: list[Facts] = []
        for facts in (self, *others):
            if facts.impossible:
                return IMPOSSIBLE
            if facts.classes or facts.not_null or facts.guarded:
                informative.append(facts)
        if len(informative) < 2:
            return informative[0] if informative else NOTHING
        groups = [group for facts in informative for group in facts.classes]
        classes = _merge(groups) if len(groups) > 1 else tuple(groups)
        filled = frozenset().union(*[facts.not_null for facts in informative])
        for group in classes:
            if _contradicts(group) or (NULL in group and _has_value(group, filled)):
                return IMPOSSIBLE
        return Facts(
            classes,
            filled,
            tuple(dict.fromkeys([g for facts in informative for g in facts.guarded])),
        )

    def either(self, other: Facts) -> Facts:
        """What holds where at least one of them holds; guards are forgotten."""
        if self.impossible:
            return other
        if other.impossible:
            return self
        where = {term: index for index, group in enumerate(other.classes) for term in group}
        common: dict[tuple[int, int], set[Term]] = {}
        for index, group in enumerate(self.classes):
            for term in group:
                if term in where:
                    common.setdefault((index, where[term]), set()).add(term)
        return Facts(
            tuple(frozenset(group) for group in common.values() if len(group) > 1),
            self.not_null & other.not_null,
        )

    def closed(self, rules: Sequence[Rule]) -> Facts:
        """The same facts with guards opened and the schema's dependencies applied."""
        if self.impossible:
            return self
        facts = self
        while True:
            opened = [
                guard
                for guard in facts.guarded
                if all(witness & facts.not_null for witness in guard.witnesses)
                and (not guard.absent or guard.absent & facts.columns(NULL))
            ]
            added = facts._followed(rules) if facts.classes else []
            if not opened and not added:
                return facts
            rest = tuple(guard for guard in facts.guarded if guard not in opened)
            facts = Facts(facts.classes, facts.not_null, rest).both(
                *(guard.facts for guard in opened), Facts(tuple(added))
            )
            if facts.impossible:
                return facts

    def _followed(self, rules: Iterable[Rule]) -> list[frozenset[Term]]:
        """The conclusions of rules whose premises hold, as far as they are new."""
        where = {term: index for index, group in enumerate(self.classes) for term in group}
        found: list[frozenset[Term]] = []
        for rule in rules:
            if not rule.filled <= self.not_null:
                continue
            for left, right in rule.premises:
                if left != right and (
                    (index := where.get(left)) is None
                    or index != where.get(right)
                    or not _has_value(self.classes[index], self.not_null)
                ):
                    break
            else:
                found += [
                    frozenset(pair)
                    for pair in rule.conclusions
                    if pair[0] != pair[1]
                    and ((index := where.get(pair[0])) is None or index != where.get(pair[1]))
                ]
        return found

    def equal(self, left: Term, right: Term) -> bool:
        return left == right or any(left in group and right in group for group in self.classes)

    def never_null(self, term: Term) -> bool:
        if isinstance(term, Const) and term.not_null:
            return True
        return _has_value(self.group(term), self.not_null)

    def group(self, term: Term) -> frozenset[Term]:
        """Every term equal to `term`, itself included."""
        for group in self.classes:
            if term in group:
                return group
        return frozenset((term,))

    def values(self, term: Term) -> frozenset[Const]:
        """The values that `term` is; what is null is none."""
        for group in self.classes:
            if term in group:
                if NULL in group:
                    return frozenset()
                return frozenset([other for other in group if isinstance(other, Const)])
        return frozenset((term,)) if isinstance(term, Const) else frozenset()

    def columns(self, term: Term) -> frozenset[int]:
        for group in self.classes:
            if term in group:
                return frozenset([other for other in group if isinstance(other, int)])
        return frozenset((term,)) if isinstance(term, int) else frozenset()


# Bounds an occurrence none of whose rows is left, by whatever tenant.
NEVER = Const("never", "never", "nobody's")
NOTHING = Facts()
IMPOSSIBLE = Facts(impossible=True)


def equality(left: Term, right: Term) -> Facts:
    """The comparison of the two is TRUE: equal, and neither is null."""
    columns = frozenset([term for term in (left, right) if isinstance(term, int)])
    if left == right:
        return Facts((), columns)
    group = frozenset((left, right))
    return IMPOSSIBLE if _contradicts(group) else Facts((group,), columns)


def not_null(columns: Iterable[int]) -> Facts:
    return Facts(not_null=frozenset(columns))


def null(term: Term) -> Facts:
    """The value is null."""
    return Facts((frozenset((term, NULL)),))


def guarded(
    witnesses: Iterable[frozenset[int]], facts: Facts, absent: frozenset[int] = frozenset()
) -> Facts:
    """`facts`, to be believed only where each witness set has a column that is not null, and
    `absent`, if not empty, one that is."""
    if facts == NOTHING:
        return NOTHING
    return Facts(guarded=(Guarded(tuple(witnesses), facts, absent),))


def translate(facts: Facts, copies: dict[int, list[int]], keep: Iterable[int]) -> Facts:
    """The facts over other columns: each column stands for its copies, `keep` for themselves.

    Columns that are neither are forgotten. Guards are forgotten too.
    """
    kept = frozenset(keep)

    def image(term: Term) -> list[Term]:
        if isinstance(term, Const):
            return [term]
        found: list[Term] = list(copies.get(term, ()))
        return [*found, term] if term in kept else found

    groups = [frozenset(new for term in group for new in image(term)) for group in facts.classes]
    grouped = {term for group in facts.classes for term in group}
    groups += [frozenset(image(column)) for column in copies if column not in grouped]
    return Facts(
        _merge([group for group in groups if len(group) > 1]),
        frozenset(
            new for column in facts.not_null for new in image(column) if isinstance(new, int)
        ),
        impossible=facts.impossible,
    )


def _has_value(group: frozenset[Term], filled: frozenset[int]) -> bool:
    """Whether a class is known not to be that of null: one of its terms is not."""
    return not group.isdisjoint(filled) or any(
        isinstance(term, Const) and term.not_null for term in group
    )


def _contradicts(group: frozenset[Term]) -> bool:
    """Whether two whole numbers that differ are in one class.

    One at least is written without quotes: to some types '10' and '11' are the same.
    """
    numbers = [t for t in group if isinstance(t, Const) and t.key[:7] == "number:"]
    if len(numbers) < 2 or all(term.alone is None for term in numbers):
        return False
    return len({int(t.key[7:]) for t in numbers if t.key[7:].isdecimal()}) > 1


def _merge(groups: list[frozenset[Term]]) -> tuple[frozenset[Term], ...]:
    if len(frozenset().union(*groups)) == sum(map(len, groups)):
        return tuple(groups)  # as they are: no two share a term
    merged: list[set[Term]] = []
    for group in groups:
        touching = [known for known in merged if not known.isdisjoint(group)]
        if not touching:
            merged.append(set(group))
            continue
        first, *others = touching
        first |= group
        for other in others:
            first |= other
            merged.remove(other)
    return tuple(frozenset(group) for group in merged)
