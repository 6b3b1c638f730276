"""What a batch is given, what it comes to, and how it asks the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, get_args

from psycopg2 import sql

from config.trace import new_span_id
from retention.graph import Edge
from retention.hold_records import RowHold
from retention.policies import Policy
from retention.statements import Params, Statements
from retention.units import Claim
from tenants.catalog import Column, TableName
from tenants.connections import Cursor
from tenants.context import TenantId
from tenants.models import new_id

Step = Literal[
    "gate", "checked", "selected", "locked", "children_deleted", "deleted", "recorded", "committed"
]
STEPS: tuple[Step, ...] = get_args(Step)
# For now: the unit is given back, and goes on later, or ends with its run.
Interruption = Literal["stopped", "run paused", "run ended", "window closed"]
INTERRUPTIONS: tuple[Interruption, ...] = get_args(Interruption)
# For this run.
Forbidden = Literal["held", "paused", "policy changed"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a batch resumes: behind this starting point (as text) and id."""

    starts: str
    id: str


class Gone(NamedTuple):
    """Rows of one table that a batch deleted or changed; `sha256` is over the hashes of their
    keys, `starts_sha256` over their starting points, None where they went along."""

    rows: int
    sha256: str
    starts_sha256: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as the batch's record has it; what is not there is left out."""
        return {name: value for name, value in self._asdict().items() if value is not None}


@dataclass(frozen=True)
class Task:
    """What the batches of one unit have in common.

    `versions` are of the policies that the run was opened under, `period` is the tenant's own,
    `columns` are those of each table of the family, `edges` all by which a row is held.
    """

    run_id: str
    trace_id: str
    tenant_id: TenantId
    policy: Policy
    versions: Mapping[str, int]
    period: str | None
    cutoff: datetime
    cutoff_value: datetime | date
    columns: Mapping[TableName, tuple[Column, ...]]
    statements: Statements
    edges: tuple[Edge, ...]
    claim: Claim
    lock_timeout_ms: int
    on_step: Callable[[Step], None]


@dataclass
class Attempt:
    """What one batch came to; filled in as it goes, so that a failed one can be told apart.

    `walk` is what else the unit keeps about its pass, beside the position; `held` counts those
    of its due rows that stay because of a hold on less than the tenant. With `careful`, rows
    are locked before they are deleted even where a sweep would do; `swept` says that a sweep
    was tried. `passed_over` counts rows that sweeps let be in this pass, before and with this
    batch; None when not all its batches were sweeps.
    """

    limit: int
    waiting: bool
    after: Position | None
    walk: Mapping[str, Any] = field(default_factory=dict)
    careful: bool = False
    passed_over: int | None = 0
    swept: bool = False
    span_id: str = field(default_factory=new_span_id)
    forbidden: Forbidden | Interruption | None = None
    last: Position | None = None
    candidates: int = 0
    held: int = 0
    at_end: bool = False
    left: int | None = None
    deleted: dict[str, int] = field(default_factory=dict)
    round_trips: int = 0

    @property
    def rows(self) -> int:
        """Rows deleted, all tables together."""
        return sum(self.deleted.values())


class Session:
    """Asks the database within one batch; knows the task, and counts round trips."""

    def __init__(self, cursor: Cursor, task: Task, attempt: Attempt) -> None:
        self.cursor = cursor
        self.task = task
        self.attempt = attempt
        self.sql = task.statements
        self.family = task.statements.family
        self.root = self.family.root
        self.batch_id = str(new_id())
        self.holds: tuple[RowHold, ...] = ()

    def run(self, statement: sql.Composable, params: Params) -> None:
        """Send a statement; lists and sets of ids go as arrays."""
        self.attempt.round_trips += 1
        self.cursor.execute(
            statement,
            {
                "tenant": str(self.task.tenant_id),
                "cutoff": self.task.cutoff_value,
                "run": self.task.run_id,
                "batch": self.batch_id,
                **{key: _array(v) if isinstance(v, _IDS) else v for key, v in params.items()},
            },
        )

    def ask(self, statement: sql.Composable, params: Params) -> list[tuple[Any, ...]]:
        """Send a query; return its rows."""
        self.run(statement, params)
        return self.cursor.fetchall()

    def ids(self, statement: sql.Composable, params: Params) -> list[str]:
        """Return the first column of what a query finds."""
        return [row[0] for row in self.ask(statement, params)]

    def by_member(self, statement: sql.Composable, params: Params) -> dict[TableName, set[str]]:
        """Return the ids that a statement returns with their member's number."""
        found: dict[TableName, set[str]] = defaultdict(set)
        for number, row_id in self.ask(statement, params):
            found[self.family.members[number]].add(row_id)
        return found

    def members(self, prefix: str, ids: Mapping[TableName, Collection[str]]) -> Params:
        """Return members' ids as parameters: %(m0)s those of the first, and so on."""
        return {f"{prefix}{self.sql.number(name)}": set(of) for name, of in ids.items()}


_IDS = (list, set)


def _array(ids: Collection[str]) -> str:
    """Return ids as the text of an array: a list would be adapted one by one, and slowly."""
    return "{" + ",".join(ids) + "}"
