"""A domain of the tests' own, with every shape a reference can have, and a workshop on it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import pytest
from click.testing import CliRunner, Result
from psycopg2 import sql

from api.cli import command
from api.lint_catalog import lint_catalog
from api.wiring import Installation
from config.clock import FixedClock
from config.trace import new_trace_id
from lint.row_condition import make_row_check
from retention import holds
from retention import lease as leases
from retention.executor import Options, RunReport
from retention.hold_scopes import TENANT, Ground, Scope
from retention.jobs import run_once
from retention.policies import Policy
from retention.policy_file import parse_policies
from retention.workshop import Workshop
from tenants.catalog import Catalog, SoftReference, TableName, catalog_of
from tenants.context import TenantId
from tenants.models import (
    DateField,
    ForeignKeyField,
    InstantField,
    TenantModel,
    TextField,
    UUIDField,
    new_id,
)
from tenants.schema import create_tables

from .shop_rows import environment_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=4000)
LATELY = NOW - timedelta(days=1)


class _Lab(TenantModel):
    class Meta:
        schema = "lab"


class Node(_Lab):
    """A tree, and pairs: two references to its own table."""

    parent = ForeignKeyField("self", null=True)
    partner = ForeignKeyField("self", null=True, backref="partners")
    made_at = InstantField(null=True)

    class Meta:
        table_name = "nodes"
        indexes = ((("made_at",), False),)


class Case(_Lab):
    """Names its main file, which belongs to it: a circle of two tables."""

    opened = DateField(null=True)
    main_file = peewee.DeferredForeignKey("File", null=True)

    class Meta:
        table_name = "cases"
        indexes = ((("opened",), False),)


class File(_Lab):
    case = ForeignKeyField(Case)

    class Meta:
        table_name = "files"


class Page(_Lab):
    file = ForeignKeyField(File)

    class Meta:
        table_name = "pages"


class Citation(_Lab):
    """Goes along with nothing: it keeps the page it refers to."""

    page = ForeignKeyField(Page)
    cited_at = InstantField(null=True)

    class Meta:
        table_name = "citations"
        indexes = ((("cited_at",), False),)


class Remark(_Lab):
    """Refers softly to a case or a file."""

    about = TextField()
    subject_id = UUIDField(null=True)

    class Meta:
        table_name = "remarks"
        indexes = ((("subject_id",), False),)
        soft_references = (
            SoftReference(
                column="subject_id",
                kind_column="about",
                targets=(("case", TableName("lab", "cases")), ("file", TableName("lab", "files"))),
            ),
        )


MODELS = (Node, Case, File, Page, Citation, Remark)
CATALOG = catalog_of(MODELS)
GROUND = Ground(CATALOG, make_row_check(lint_catalog(CATALOG)))

POLICIES = """
[[policy]]
name = "nodes"
table = "lab.nodes"
starts = "made_at"
period = "P1Y"
legal_basis = "test"
class = "trees"

[[policy]]
name = "cases"
table = "lab.cases"
starts = "opened"
period = "P1Y"
with = ["lab.files", "lab.pages", "lab.remarks"]
legal_basis = "test"
class = "files"

[[policy]]
name = "citations"
table = "lab.citations"
starts = "cited_at"
period = "P5Y"
legal_basis = "test"
class = "files"
"""


@dataclass
class Lab:
    """The workshop of an installation with the lab's tables, and ways to arrange rows."""

    installation: Installation
    owner: Any
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    catalog: Catalog = CATALOG
    policies: tuple[Policy, ...] = ()
    now: datetime = NOW
    long_ago: datetime = LONG_AGO
    lately: datetime = LATELY

    def shop(self, **changes: Any) -> Workshop:
        options = changes.pop("options", Options(batch_size=3, lock_timeout_ms=300))
        return Workshop(
            retention=self.installation.retention,
            verifier=self.installation.verifier,
            catalog=self.catalog,
            policies=changes.pop("policies", self.policies),
            clock=self.clock,
            actor="test",
            options=options,
            **changes,
        )

    def run(self, shop: Workshop | None = None, *, as_of: datetime | None = None) -> RunReport:
        shop = shop or self.shop()
        return run_once(shop, lambda: shop.plan(as_of=as_of), trace_id=new_trace_id())

    def verify(self, shop: Workshop | None = None) -> Any:
        return (shop or self.shop()).verify(trace_id=new_trace_id())

    def sql(self, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the owner, who sees all rows."""
        with self.owner, self.owner.cursor() as cursor:
            cursor.execute(statement, params)
            return list(cursor.fetchall()) if cursor.description else []

    def add(self, table: str, tenant: TenantId, **values: Any) -> str:
        """Insert a row into lab.`table`; return its id."""
        row = {"id": str(new_id()), "tenant_id": str(tenant), **values}
        with self.owner, self.owner.cursor() as cursor:
            cursor.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier("lab", table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(map(sql.Literal, row.values())),
                )
            )
        return str(row["id"])

    def case(self, tenant: TenantId, *, opened: datetime | None = LONG_AGO, files: int = 0) -> str:
        """Add a case with files of two pages each; its main file is the first."""
        case = self.add("cases", tenant, opened=opened.date() if opened else None)
        for number in range(files):
            file = self.add("files", tenant, case_id=case)
            self.add("pages", tenant, file_id=file)
            self.add("pages", tenant, file_id=file)
            if number == 0:
                self.sql("UPDATE lab.cases SET main_file_id = %s WHERE id = %s", (file, case))
        return case

    def node(self, tenant: TenantId, made_at: datetime | None = LONG_AGO, **values: Any) -> str:
        return self.add("nodes", tenant, made_at=made_at, **values)

    def hold(self, tenant: TenantId, scope: Scope = TENANT, *, matter: str = "M-1") -> UUID:
        """Place a hold; return its id."""
        return holds.place(
            self.installation.retention,
            tenant,
            scope,
            matter=matter,
            reason="litigation",
            actor="test",
            ground=GROUND,
        )

    def release(self, hold_id: UUID, grace: str = "P0D") -> Any:
        installation = self.installation
        return holds.release(
            installation.retention, installation.verifier, hold_id, actor="judge", grace=grace
        )

    def sleep(self, long: timedelta) -> None:
        """Let it be that all ticks so far came so much earlier."""
        self.sql(
            "UPDATE tenure.watches SET began_at = began_at - %s, last_at = last_at - %s",
            (long, long),
        )

    def wait_for_a_waiter(self) -> None:
        """Return once somebody waits for a lock in this database."""
        pause = threading.Event()
        for _ in range(1000):
            ((waiting,),) = self.sql(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE NOT l.granted AND a.datname = current_database()"
            )
            if waiting:
                return
            pause.wait(0.01)
        raise AssertionError("nobody waits for a lock")

    def ids(self, table: str) -> set[str]:
        query = sql.SQL("SELECT id::text FROM {}").format(sql.Identifier("lab", table))
        return {row[0] for row in self.sql(query)}  # type: ignore[arg-type]  # Composable is fine

    def recorded(self, trace_id: str | None = None) -> dict[str, int]:
        """Sum the counts of all batches, or those of one run, per table."""
        rows = self.sql(
            "SELECT counts FROM tenure.batches WHERE %s IS NULL OR trace_id = %s",
            (trace_id, trace_id),
        )
        total: dict[str, int] = {}
        for (counts,) in rows:
            value: Mapping[str, Any] = counts if isinstance(counts, dict) else json.loads(counts)
            for table, entry in value.items():
                total[table] = total.get(table, 0) + entry["rows"]
        return total


def create_lab(installation: Installation) -> None:
    """Create the lab's tables as the owner."""
    db = peewee.PostgresqlDatabase(installation.settings.role_url("tenure_owner"))
    with db.atomic():
        create_tables(db, MODELS)
    db.close()


@pytest.fixture
def lab(installation: Installation) -> Iterator[Lab]:
    """The lab on a fresh database."""
    create_lab(installation)
    owner = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    try:
        yield Lab(installation, owner, policies=parse_policies(POLICIES, CATALOG))
    finally:
        owner.close()


@pytest.fixture
def acme(lab: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def globex(lab: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("globex")


@pytest.fixture
def lease(lab: Lab) -> leases.Lease:
    """The lease, taken."""
    taken = leases.acquire(lab.installation.retention, ttl_s=60)
    assert taken is not None
    return taken


Tenure = Callable[..., Result]


@pytest.fixture
def tenure(installation: Installation, tmp_path: Path) -> Iterator[Tenure]:
    """`tenure("verify", "--help")` runs a command on the installation, in a folder of its own;
    `env` are further variables."""
    settled = environment_of(installation) | {"TENURE_LOG_LEVEL": "critical"}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            runner = CliRunner(env=settled | dict(env or {}))
            return runner.invoke(command, arguments, catch_exceptions=False, **more)

    yield run
    root.handlers[:], root.level = handlers, level
