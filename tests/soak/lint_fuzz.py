"""The differential fuzz: what the prover calls scoped is run with and without security."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from lint_constructs import constructs
from lint_grammar import SOURCE, grow
from lint_shrink import mutated, shrunk
from lint_support import SOURCES, catalog, prover
from lint_weakened import edits, watch, weaken
from lint_world import NOBODY, Difference, World
from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.prover import Prover
from lint.text.lexer import statements
from lint.text.parser import parse
from lint.text.prepare import Prepared, prepare
from lint.verdicts import SCOPED, Verdict

# Of the statements, how many are changed by their tree after they were grown.
_MUTATED = 0.3
# Statements up to this length are kept with their trees.
_SHORT = 220
# Statements to a round trip.
_BATCH = 48


@dataclass
class Find:
    """A statement that is called scoped and is not."""

    sql: str
    smallest: str
    verdict: str
    difference: Difference

    def __str__(self) -> str:
        return (
            f"the prover says {self.verdict}; it leaks:\n{self.sql}\n{self.difference}\n"
            f"as a case:\n-- unscoped: found by the fuzz\n{self.smallest};"
        )


@dataclass
class Report:
    """`errors` are those of statements that are called scoped, by SQLSTATE."""

    statements: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    constructs: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)

    def share(self, name: str) -> float:
        return self.counts[name] / max(1, self.statements)

    @property
    def witnessed(self) -> float:
        """The share of statements seen to leak, where not all were looked at by their sample."""
        rest = self.statements - self.counts[SCOPED]
        return (
            rest / max(1, self.statements) * self.counts["witnessed"] / max(1, self.counts["asked"])
        )


def leak(world: World, sql: str, verdict: Verdict) -> Difference | None:
    """A data set in which a statement that is called scoped gives two answers."""
    return world.ask([(sql, bound(sql, verdict))])[0].difference


def bound(sql: str, verdict: Verdict) -> int | None:
    """The tenant a scoped statement is bounded to; None if it is the current one."""
    for occurrence in verdict.occurrences:
        value = _value(occurrence.value or "")
        if value == "source":
            return None
        if re.fullmatch(r"-?\d+", value):
            return int(value)
    return meant(sql)


def _value(key: str) -> str:
    """What a value's key says: `number:1`, `cast:number:10:varchar(1)`, `coalesce:source,number:0`.

    The grammar makes no more than these of values.
    """
    kind, _, rest = key.partition(":")
    if kind == "cast":
        inner, _, goal = rest.rpartition(":")
        value = _value(inner)
        length = re.fullmatch(r"varchar\((\d+)\)", goal)
        if length is not None:
            return value[: int(length.group(1))]
        return str(round(float(value))) if "." in value else value
    if kind in ("coalesce", "nullif"):
        return _value(rest.partition(",")[0])
    return rest if kind in ("number", "string") else key


def meant(sql: str) -> int | None:
    """The tenant a statement of the grammar is about, whether or not it keeps to it."""
    return None if SOURCE in sql else 1


def fuzz(
    world: World,
    *,
    seed: str,
    statements: int,
    judge: Prover | None = None,
    stop_at: int = 3,
    witness: float = 1.0,
) -> Report:
    """Grow statements, and run those that are called scoped; stop after `stop_at` finds.

    `witness`: the share of the others that are run, to see whether they leak.
    """
    judge = judge or prover()
    rng = random.Random(seed)
    report = Report()
    counts = report.counts
    pool: list[str] = []
    while report.statements < statements and len(report.finds) < stop_at:
        size = min(_BATCH, statements - report.statements)
        grown = [
            mutated(rng.choice(pool), rng) if pool and rng.random() < _MUTATED else grow(rng)
            for _ in range(size)
        ]
        judged = [(sql, judge.prove_text(sql)) for sql in grown]
        report.statements += size
        asked: list[tuple[str, Verdict, int | None]] = []
        for sql, verdict in judged:
            counts[verdict.verdict] += 1
            report.constructs.update(constructs(sql))
            if verdict.verdict != SCOPED:
                asked += [(sql, verdict, meant(sql))] if rng.random() < witness else []
            else:
                asked.append((sql, verdict, bound(sql, verdict)))
        told = world.ask([(sql, tenant) for sql, _, tenant in asked])
        for (sql, verdict, _), answer in zip(asked, told, strict=True):
            if verdict.verdict != SCOPED:
                counts["asked"] += 1
                counts["witnessed"] += answer.difference is not None
                counts[f"witnessed {verdict.verdict}"] += answer.difference is not None
            elif answer.difference is not None:
                smallest = _smallest(world, judge, sql)
                report.finds.append(Find(sql, smallest, verdict.reason, answer.difference))
            else:
                counts["scoped and answered"] += answer.answered
                counts["scoped, answered with rows or changes"] += answer.telling
                report.errors.update(set(answer.errors))
                # Only what has an answer is worth changing.
                pool = [*pool[-400:], sql] if answer.answered else pool
    counts["several answers"] += world.unstable
    counts["runs"] += world.runs
    world.unstable = world.runs = 0
    return report


def _smallest(world: World, judge: Prover, sql: str) -> str:
    def leaks(candidate: str) -> bool:
        again = judge.prove_text(candidate)
        return again.verdict == SCOPED and leak(world, candidate, again) is not None

    return shrunk(sql, leaks)


@dataclass(frozen=True)
class Grown:
    """A statement, and the places of the table of faults that its proof comes past: a fault
    elsewhere changes nothing. `read` is its tree, of a short one."""

    sql: str
    past: frozenset[str]
    read: tuple[exp.Expr, Prepared] | None

    def scoped(self, judge: Prover) -> bool:
        """What another prover says of it."""
        if self.read is None:
            return judge.prove_text(self.sql).scoped
        try:
            return judge.proof(*self.read).scoped
        except CannotProve:
            return False


class Corpus:
    """Statements that the prover, as it is, does not call scoped; grown as far as asked for."""

    def __init__(self, seed: str) -> None:
        self._rng = random.Random(seed)
        self._judge = prover()
        self._pool: list[str] = []
        self._parts: list[list[Grown]] = []

    def parts(self) -> Iterator[tuple[int, list[Grown]]]:
        """Without end: how many statements were grown so far, and what is new of them."""
        index = 0
        while True:
            if index == len(self._parts):
                self._grow()
            yield (index + 1) * _BATCH, self._parts[index]
            index += 1

    def _grow(self) -> None:
        called: set[str] = set()
        with pytest.MonkeyPatch.context() as patch:
            watch(patch, called)
            self._parts.append(self._grown(called))

    def _grown(self, called: set[str]) -> list[Grown]:
        part = []
        for _ in range(_BATCH):
            called.clear()
            old = self._pool and self._rng.random() < _MUTATED
            sql = mutated(self._rng.choice(self._pool), self._rng) if old else grow(self._rng)
            if self._judge.prove_text(sql).scoped:
                self._pool = [*self._pool[-400:], sql]
            else:
                part.append(Grown(sql, frozenset(called), _read(sql)))
        return part


def _read(sql: str) -> tuple[exp.Expr, Prepared] | None:
    """A short statement's tree, so that each prover need not read it again."""
    if len(sql) > _SHORT:
        return None
    try:
        prepared = prepare(next(statements(sql, psql=False)).tokens)
        return parse(prepared), prepared
    except CannotProve:
        return None


def noticed(world: World, corpus: Corpus, fault: str, *, within: int) -> tuple[int, Find | None]:
    """Run what only the prover with a fault calls scoped, until a statement tells; how many
    statements it took."""
    places = {edit.place for edit in edits(fault)}
    for grown, part in corpus.parts():
        with pytest.MonkeyPatch.context() as patch:
            weaken(patch, fault)
            judge = Prover(catalog(), SOURCES)
            new = [one.sql for one in part if one.past & places and one.scoped(judge)]
            judged = [(sql, judge.prove_text(sql)) for sql in new]
        told = world.ask([(sql, bound(sql, verdict)) for sql, verdict in judged]) if new else []
        for (sql, verdict), answer in zip(judged, told, strict=True):
            if answer.difference is not None:
                return grown, Find(sql, sql, verdict.reason, answer.difference)
        if grown >= within:
            return grown, None
    raise AssertionError("a corpus has no end")


@dataclass
class Precision:
    """Of statements that no data set refutes, how many are called scoped. `shy` are the others.

    Only those count that gave a row or changed one in some data set: of `empty` ones, scoped or
    not, nothing can be told. Nor of the `unsettled`, which give several answers without security,
    too (the first of rows in no order, one match of several).
    """

    statements: int
    scoped: int
    refuted: int
    empty: int
    unsettled: int
    shy: list[tuple[str, Verdict]]

    @property
    def share(self) -> float:
        return self.scoped / max(1, self.scoped + len(self.shy))


def precision(world: World, *, seed: str, statements: int, datasets: int = 150) -> Precision:
    """Look for a witness against every statement that is not called scoped, and for a row or a
    change of those that are."""
    rng = random.Random(seed)
    judge = prover()
    waiting = [(sql, judge.prove_text(sql)) for sql in (grow(rng) for _ in range(statements))]
    telling: set[str] = set()
    unsettled: set[str] = set()
    refuted = scoped = 0
    for number in range(-(-datasets // world.datasets)):
        world.fill(f"{seed} {number}")
        # In one data set out of five there is no current tenant: a source is null.
        absent = NOBODY if number % 5 == 4 else None
        left = []
        for at in range(0, len(waiting), _BATCH):
            part = waiting[at : at + _BATCH]
            told = world.ask(
                [
                    (sql, bound(sql, verdict) if verdict.scoped else meant(sql) or absent)
                    for sql, verdict in part
                ]
            )
            for (sql, verdict), answer in zip(part, told, strict=True):
                if answer.telling:
                    telling.add(sql)
                if answer.unsettled:
                    unsettled.add(sql)
                if verdict.scoped and answer.telling:
                    scoped += 1
                elif answer.difference is not None:
                    refuted += 1
                else:
                    left.append((sql, verdict))
        waiting = left
    shy = [(s, v) for s, v in waiting if s in telling and s not in unsettled]
    return Precision(
        statements,
        scoped,
        refuted,
        empty=sum(sql not in telling for sql, _ in waiting),
        unsettled=sum(sql in telling and sql in unsettled for sql, _ in waiting),
        shy=shy,
    )
