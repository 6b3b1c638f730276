"""What a run did of what its plan had: per policy and tenant, per table, and in sum.

Pure: plan and records come in, judgements come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from retention.plan import Plan, Unit

Outcome = Literal["as planned", "kept", "fewer", "more", "beyond due", "not planned", "other terms"]


@dataclass(frozen=True, slots=True)
class KeptLine:
    """Due rows that were to stay, and why (`detail` names the tables that refer to them)."""

    reason: str
    rows: int
    detail: str


@dataclass(frozen=True, slots=True)
class UnitLine:
    """One policy in one tenant: planned, and done.

    `action` is what is done: delete, archive, anonymise or pseudonymise; of a unit that is not
    planned, all that was. `due` rows of the policy's own table are `due_done` or `due_left`;
    `kept` says why rows were to stay, and `unexplained` is how many more are left. `planned` and
    `done` are of all its tables together; `undated` rows have no starting point.

    Outcomes: `as planned`; `kept`: nothing was to go and nothing went; `fewer` or `more` than
    planned went, and of the policy's table not more than was due; `beyond due`: more than was
    due, or in spite of a hold or pause; `not planned`: the plan does not have it;
    `other terms`: another version or cutoff than the plan's.

    `state` is the unit's (`open` while it is not done with), None in runs from before there
    were any; `worker` has it now; `reasons` say what it left or ran into.
    """

    policy: str
    action: str
    version: int | None
    cutoff: datetime | None
    tenant: str
    tenant_name: str
    due: int
    due_done: int
    due_left: int
    kept: tuple[KeptLine, ...]
    unexplained: int
    planned: int
    done: int
    undated: int
    batches: int
    outcome: Outcome
    state: str | None
    worker: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableLine:
    """Rows of one table, planned and done, all units together; `actions` says what was done to how
    many of them."""

    table: str
    planned: int
    done: int
    actions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over all units; `due` is `due_done` and `due_left` together, `actions` says what was
    done to how many rows.

    `counted` is `done` once more, from the batches' counts per table; `adds_up`: the two
    are the same.
    """

    due: int
    due_done: int
    due_left: int
    held: int
    paused: int
    referenced: int
    unexplained: int
    planned: int
    done: int
    actions: Mapping[str, int]
    counted: int
    undated: int
    batches: int
    adds_up: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What the batches of one unit recorded; `actions` are its rows by what was done to them."""

    rows: int
    batches: int
    versions: tuple[int, ...]
    cutoffs: tuple[datetime, ...]
    actions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worked:
    """What the row of one unit says: its state, who has it, what it left or ran into."""

    state: str | None
    worker: str | None
    reasons: tuple[str, ...]


_NOTHING = Done(0, 0, (), ())
_UNKNOWN = Worked(None, None, ())
UnitKey = tuple[str, str]  # policy, tenant id


def unit_lines(
    plan: Plan | None,
    done: Mapping[UnitKey, Done],
    counted: Mapping[tuple[str, str, str], int],
    tenants: Mapping[str, tuple[str, str]],
    worked: Mapping[UnitKey, Worked] | None = None,
) -> tuple[UnitLine, ...]:
    """Return the plan's units in its order, then what was done that it does not have.

    `done` is what batches recorded, `counted` the rows per (policy, tenant id, table) by
    their counts, `tenants` gives slug and name by tenant id, `worked` what the units' rows say.
    """
    lines = []
    worked = worked or {}
    units = () if plan is None else plan.units
    for unit in units:
        assert plan is not None  # noqa: S101 - it has units
        tenant_id = str(unit.tenant_id)
        key = (unit.policy, tenant_id)
        was = done.get(key, _NOTHING)
        pinned = plan.planned(unit.policy)
        roots = counted.get((*key, str(pinned.policy.table)), 0)
        same_terms = set(was.cutoffs) <= {pinned.cutoff} and (
            pinned.version is None or set(was.versions) <= {pinned.version}
        )
        slug, name = tenants.get(tenant_id, (unit.tenant, unit.tenant))
        lines.append(
            UnitLine(
                policy=unit.policy,
                action=pinned.policy.action,
                version=pinned.version or max(was.versions, default=None),
                cutoff=pinned.cutoff,
                tenant=slug,
                tenant_name=name,
                due=unit.due,
                due_done=roots,
                due_left=max(0, unit.due - roots),
                kept=tuple(_still_kept(unit, max(0, unit.due - roots))),
                unexplained=max(0, unit.due - roots - sum(k.rows for k in unit.kept)),
                planned=unit.rows,
                done=was.rows,
                undated=unit.undated,
                batches=was.batches,
                outcome=outcome(unit, was.rows, roots, same_terms=same_terms),
                state=worked.get(key, _UNKNOWN).state,
                worker=worked.get(key, _UNKNOWN).worker,
                reasons=worked.get(key, _UNKNOWN).reasons,
            )
        )
    planned = {(unit.policy, str(unit.tenant_id)) for unit in units}
    for policy, tenant_id in sorted(done.keys() - planned):
        was = done[policy, tenant_id]
        slug, name = tenants.get(tenant_id, (tenant_id, tenant_id))
        lines.append(
            UnitLine(
                policy=policy,
                action=", ".join(sorted(was.actions)),
                version=max(was.versions),
                cutoff=max(was.cutoffs),
                tenant=slug,
                tenant_name=name,
                due=0,
                due_done=0,
                due_left=0,
                kept=(),
                unexplained=0,
                planned=0,
                done=was.rows,
                undated=0,
                batches=was.batches,
                outcome="not planned",
                state=None,
                worker=None,
                reasons=(),
            )
        )
    return tuple(lines)


def _still_kept(unit: Unit, left: int) -> Iterator[KeptLine]:
    """Yield why the `left` rows were kept, by the plan's reasons.

    A row that the plan kept because another referred to it goes all the same once an earlier
    policy of the run has taken that other one; so this reason comes last.
    """
    for kept in sorted(unit.kept, key=lambda k: k.reason == "referenced"):
        rows = min(kept.rows, left)
        left -= rows
        if rows:
            yield KeptLine(kept.reason, rows, kept.detail)


def outcome(unit: Unit, done: int, roots: int, *, same_terms: bool) -> Outcome:
    """Judge what was done of a unit: `done` rows, `roots` of them of the policy's table."""
    if not same_terms:
        return "other terms"
    if roots > unit.due or (done and not unit.may_run):
        return "beyond due"
    if done == unit.rows:
        return "as planned" if done else "kept"
    return "fewer" if done < unit.rows else "more"


def table_lines(
    units: Sequence[Unit],
    counted: Mapping[tuple[str, str, str], int],
    actions: Mapping[tuple[str, str], int] | None = None,
) -> tuple[TableLine, ...]:
    """Return the rows planned and done per table, by its name; `actions` are those by (table,
    action)."""
    by_table: dict[str, dict[str, int]] = {}
    for (table, action), rows in sorted((actions or {}).items()):
        by_table.setdefault(table, {})[action] = rows
    planned: dict[str, int] = {}
    done: dict[str, int] = {}
    for unit in units:
        for table, rows in unit.goes:
            planned[table] = planned.get(table, 0) + rows
    for (_, _, table), rows in counted.items():
        done[table] = done.get(table, 0) + rows
    return tuple(
        TableLine(table, planned.get(table, 0), done.get(table, 0), by_table.get(table, {}))
        for table in sorted(planned.keys() | done.keys())
    )


def run_totals(
    units: Sequence[UnitLine], counted: Iterable[int], actions: Mapping[str, int] | None = None
) -> RunTotals:
    """Return the sums; `counted` are the rows by the batches' counts per table, `actions` the rows
    by what was done to them."""

    def kept(reason: str) -> int:
        return sum(k.rows for unit in units for k in unit.kept if k.reason == reason)

    done, counted_rows = sum(u.done for u in units), sum(counted)
    return RunTotals(
        due=sum(u.due for u in units),
        due_done=sum(u.due_done for u in units),
        due_left=sum(u.due_left for u in units),
        held=kept("held"),
        paused=kept("paused"),
        referenced=kept("referenced"),
        unexplained=sum(u.unexplained for u in units),
        planned=sum(u.planned for u in units),
        done=done,
        actions=dict(actions or {}),
        counted=counted_rows,
        undated=sum(u.undated for u in units),
        batches=sum(u.batches for u in units),
        adds_up=done == counted_rows,
    )
