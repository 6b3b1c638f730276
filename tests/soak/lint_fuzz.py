"""The differential fuzz: what the prover calls scoped is run with and without security."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from lint_grammar import grow
from lint_shrink import mutated, shrunk
from lint_support import prover
from lint_world import Difference, World

from lint.prover import Prover
from lint.verdicts import SCOPED, Verdict

_TENANT = re.compile(r" is (?:'?(\d)'?|(the current tenant))$")
# Of the statements, how many are changed by their tree after they were grown.
_MUTATED = 0.35


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
    finds: list[Find] = field(default_factory=list)

    def share(self, name: str) -> float:
        return self.counts[name] / max(1, self.statements)


def tenant_of(verdict: Verdict, dataset: int) -> int | None:
    """The tenant a scoped statement is about; the current one is another in each data set."""
    for occurrence in verdict.occurrences:
        match = _TENANT.search(occurrence.reason)
        if match:
            return int(match[1]) if match[1] else 1 + dataset % 3
    return None


def leak(world: World, sql: str, verdict: Verdict) -> Difference | None:
    """A data set in which a statement that is called scoped gives two answers."""
    for dataset in range(world.datasets):
        tenant = tenant_of(verdict, dataset)
        if tenant is None:
            return None
        found = world.difference(sql, dataset, tenant)
        if found is not None:
            return found
    return None


def fuzz(
    world: World,
    *,
    seed: str,
    statements: int,
    judge: Prover | None = None,
    stop_at: int = 3,
    thorough: bool = True,
) -> Report:
    """Grow, judge and run `statements` statements. Stops early after `stop_at` finds.

    Unless `thorough`, finds are not made smaller, and what is not scoped is not run.
    """
    judge = judge or prover()
    rng = random.Random(seed)
    report = Report()
    counts = report.counts
    pool: list[str] = []
    while report.statements < statements and len(report.finds) < stop_at:
        sql = mutated(rng.choice(pool), rng) if pool and rng.random() < _MUTATED else grow(rng)
        verdict = judge.prove_text(sql)
        report.statements += 1
        counts[verdict.verdict] += 1
        world.seen.clear()
        if verdict.verdict == SCOPED:
            if _holds(world, judge, sql, verdict, report, shrink=thorough):
                # Only what has an answer is worth changing.
                pool = [*pool[-400:], sql]
        elif thorough and _witnessed(world, sql):
            counts["witnessed"] += 1
            counts[f"witnessed {verdict.verdict}"] += 1
    counts["several answers"] += world.unstable
    counts["runs"] += world.runs
    world.unstable = world.runs = 0
    return report


def _witnessed(world: World, sql: str) -> bool:
    """Whether a statement that is not called scoped is seen to leak, to one tenant or another."""
    return any(
        world.difference(sql, dataset, 1 + dataset % 3) is not None
        for dataset in range(world.datasets)
    )


def _holds(
    world: World, judge: Prover, sql: str, verdict: Verdict, report: Report, *, shrink: bool
) -> bool:
    """Whether the statement has answers, and under security the same ones."""
    if tenant_of(verdict, 0) is None:
        report.counts["scoped without a tenant's table"] += 1
        return False
    found = leak(world, sql, verdict)
    if found is None:
        errors = {error for outcome in world.seen if (error := outcome.error)}
        answered = any(not outcome.error for outcome in world.seen)
        telling = any(outcome.rows or outcome.changed for outcome in world.seen)
        report.counts["scoped and answered"] += answered
        report.counts["scoped, answered with rows or changes"] += telling
        report.errors.update(errors)
        return answered

    def leaks(candidate: str) -> bool:
        again = judge.prove_text(candidate)
        return again.verdict == SCOPED and leak(world, candidate, again) is not None

    smallest = shrunk(sql, leaks) if shrink else sql
    report.finds.append(Find(sql, smallest, verdict.reason, found))
    return False
