"""The auditors' pages on a real database, with logins, and a reader of their tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.auth.passwords import hash_password
from api.wiring import Installation, owner_of
from config.trace import new_trace_id
from retention.holds import pass_gate
from retention.policies import digest_of
from tenants import registry
from tenants.connections import Cursor, RoleConnections
from tenants.models import new_id

PASSWORD = "look, do not touch"
AUDITOR = "auditor@audit.example"
MEMBER = "member@acme.example"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

# -- the application ---------------------------------------------------------------------


def console_app(installation: Installation) -> Flask:
    """Return the application, with the console."""
    return create_app(installation, write_guard=partial(pass_gate, installation.app))


@cache
def _hashed() -> str:
    return hash_password(PASSWORD)  # a hash takes its time; once is enough


def add_logins(owner: RoleConnections) -> None:
    """Make an auditor, and a member of the new tenant acme."""
    hashed = _hashed()
    with owner.transaction(None) as cursor:
        registry.create_login(cursor, email=AUDITOR, password_hash=hashed, is_auditor=True)
        member = registry.create_login(cursor, email=MEMBER, password_hash=hashed)
        tenant_id = registry.create_tenant(cursor, slug="acme", name="Acme")
        registry.add_member(cursor, tenant_id=tenant_id, login_id=member, role="owner")


def log_in(app: Flask, email: str) -> FlaskClient:
    """Return a client with the login's session."""
    client = app.test_client()
    token = client.get("/login", headers={"Accept": "application/json"}).get_json()["csrf_token"]
    answer = client.post(
        "/login",
        json={"email": email, "password": PASSWORD},
        headers={"X-CSRFToken": token, "Referer": "https://localhost/"},
    )
    assert answer.status_code == 200, answer.text
    return client


class WatchedConnections(RoleConnections):
    """The auditor's connections; counts what pages ask and read, and can act in between."""

    def __init__(self, inner: RoleConnections) -> None:
        super().__init__(inner.role, inner.pool, inner.sealer)
        self.statements = 0
        self.rows = 0
        self.after: dict[int, Callable[[], object]] = {}

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Cursor]:
        with super().transaction(*args, **kwargs) as cursor:
            yield _Watched(self, cursor)  # type: ignore[misc]


class _Watched:
    def __init__(self, watcher: WatchedConnections, cursor: Cursor) -> None:
        self._watcher = watcher
        self._cursor = cursor

    def execute(self, *args: Any) -> None:
        self._cursor.execute(*args)
        self._watcher.statements += 1
        self._watcher.after.pop(self._watcher.statements, lambda: None)()

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows = self._cursor.fetchall()
        self._watcher.rows += len(rows)
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


# -- reading pages -----------------------------------------------------------------------


@dataclass
class Cell:
    """A cell: its text, and the values that are marked for machines."""

    text: str = ""
    values: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The cell's one number."""
        return int(self.values[0])


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[dict[str, Cell]]] = {}
        self._rows: list[dict[str, Cell]] | None = None
        self._cell: Cell | None = None
        self._foot = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._rows = self.tables.setdefault(given.get("id") or "", [])
        elif tag == "tfoot":
            self._rows = self.tables.setdefault("totals of the last", [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append({})
        elif tag in ("td", "th") and self._rows:
            self._cell = Cell()
            self._rows[-1][given.get("data-label") or ""] = self._cell
        elif self._cell is not None and tag in ("data", "time"):
            self._cell.values.append(given.get("value") or given.get("datetime") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = None
        elif tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.text += data


def tables_of(html: str) -> dict[str, list[dict[str, Cell]]]:
    """Return a page's tables by id: rows as cells by their column's name, without headers."""
    parser = _Tables()
    parser.feed(html)
    return {name: [row for row in rows if set(row) - {""}] for name, rows in parser.tables.items()}


@dataclass(frozen=True)
class Pages:
    """A client, and the three forms of a page."""

    client: FlaskClient

    def html(self, path: str) -> str:
        """Return a page."""
        answer = self.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        assert answer.mimetype == "text/html"
        return answer.text

    def tables(self, path: str) -> dict[str, list[dict[str, Cell]]]:
        """Return a page's tables."""
        return tables_of(self.html(path))

    def json(self, path: str) -> Any:
        """Return a page as JSON."""
        answer = self.client.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        assert answer.mimetype == "application/json"
        return json.loads(answer.data)

    def csv(self, path: str, table: str) -> list[dict[str, str]]:
        """Return a table of a page, from CSV."""
        answer = self.client.get(path, query_string={"format": "csv", "table": table})
        assert answer.status_code == 200, answer.text
        assert answer.mimetype == "text/csv"
        return list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))


# -- evidence ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """Inserts evidence as the owner, as nobody else could."""

    owner: RoleConnections

    def sql(self, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the owner."""
        with self.owner.transaction(None) as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def tenant(self, slug: str, name: str | None = None) -> UUID:
        """Make a tenant."""
        with self.owner.transaction(None) as cursor:
            return registry.create_tenant(cursor, slug=slug, name=name or slug.title())

    def policy(self, name: str, version: int = 1, **definition: Any) -> None:
        """Record a version of a policy, its digest right unless given."""
        digest = definition.pop("digest", None)
        whole = {
            "name": name, "table": "shop.invoices", "starts": "issued_at", "period": "P10Y",
            "with": [], "legal_basis": "the law", "class": "accounting", "state": "active",
            **definition,
        }  # fmt: skip
        self.sql(
            "INSERT INTO tenure.policy_versions (policy, version, definition, digest, recorded_by)"
            " VALUES (%s, %s, %s, %s, 'somebody')",
            (name, version, json.dumps(whole), digest or digest_of(whole)),
        )

    def run(self, *, plan: Any = None, state: str = "succeeded", **columns: Any) -> tuple[str, str]:
        """Insert a run; return its id and trace id."""
        row = {
            "id": str(new_id()), "trace_id": str(new_trace_id()), "as_of": NOW,
            "plan": json.dumps({} if plan is None else plan), "state": state, "detail": None,
            "started_by": "scheduler", "started_at": NOW,
            "finished_at": None if state == "running" else NOW + timedelta(seconds=2),
            **columns,
        }  # fmt: skip
        self._insert("runs", row)
        return row["id"], row["trace_id"]

    def batch(self, run: tuple[str, str], tenant_id: UUID, policy: str, rows: int, **columns: Any):
        """Insert a batch of a run."""
        row = {
            "run_id": run[0], "id": str(new_id()), "trace_id": run[1],
            "tenant_id": str(tenant_id), "policy": policy, "policy_version": 1,
            "cutoff": NOW - timedelta(days=3650), "rows_deleted": rows,
            "counts": json.dumps({"shop.invoices": {"rows": rows, "sha256": "ab" * 32}}),
            "progress": "{}", "started_at": NOW, "recorded_at": NOW + timedelta(seconds=1),
            **columns,
        }  # fmt: skip
        self._insert("batches", row)

    def verification(self, *results: tuple[Any, ...], findings: int | None = None) -> UUID:
        """Insert a verification, an account, with results: kind, subject, tenant, found, held,
        oldest, and paused, if any."""
        verification_id = new_id()
        [(last,)] = self.sql("SELECT coalesce(max(account), 0) FROM tenure.verifications")
        total = sum(r[3] for r in results if r[0] != "undated")
        self._insert(
            "verifications",
            {
                "id": str(verification_id), "trace_id": str(new_trace_id()), "as_of": NOW,
                "started_by": "scheduler", "started_at": NOW,
                "finished_at": NOW + timedelta(seconds=3),
                "findings": total if findings is None else findings, "account": last + 1,
            },
        )  # fmt: skip
        for kind, subject, tenant, found, held, oldest, *paused in results:
            self._insert(
                "verification_results",
                {
                    "verification_id": str(verification_id), "id": str(new_id()), "kind": kind,
                    "subject": subject, "tenant_id": tenant and str(tenant), "found": found,
                    "held": held, "oldest": oldest, "paused": sum(paused),
                    "query": f"SELECT count(*) -- {subject}",
                },
            )  # fmt: skip
        return verification_id

    def read(self, **columns: Any) -> None:
        """Insert a read across tenants."""
        row = {
            "id": str(new_id()), "actor": "command:support", "reason": "ticket 1",
            "place": "api.cli.report:1", "statement": "SELECT 1", "trace_id": "ab" * 16, **columns,
        }  # fmt: skip
        self._insert("cross_tenant_reads", row)

    def hold(self, tenant_id: UUID, **columns: Any) -> None:
        """Insert a hold."""
        row = {
            "tenant_id": str(tenant_id), "id": str(new_id()), "matter": "a matter",
            "reason": "a reason", "placed_by": "counsel", **columns,
        }  # fmt: skip
        self._insert("holds", row)

    def restored(self, run: tuple[str, str], **columns: Any) -> None:
        """Insert that the first batch of a run came back."""
        [(tenant, batch, rows)] = self.sql(
            "SELECT tenant_id::text, id::text, rows_deleted FROM tenure.batches WHERE run_id = %s"
            " ORDER BY id LIMIT 1",
            (run[0],),
        )
        row = {
            "tenant_id": tenant, "id": str(new_id()), "run_id": run[0], "batch_id": batch,
            "counts": json.dumps({"shop.invoices": rows}), "reason": "archived by mistake",
            "restored_by": "command:ops", "kept_until": NOW + timedelta(days=36500), **columns,
        }  # fmt: skip
        self._insert("restorations", row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        columns = ", ".join(row)
        places = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO tenure.{table} ({columns}) VALUES ({places})", list(row.values()))


# -- fixtures ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Console:
    """The application on a database of its own, with an auditor logged in."""

    app: Flask
    installation: Installation
    auditor: WatchedConnections
    pages: Pages
    evidence: Evidence


@contextmanager
def open_console(installation: Installation) -> Iterator[Console]:
    """Make logins, and log the auditor in."""
    with owner_of(installation.settings) as owner:
        add_logins(owner)
        auditor = WatchedConnections(installation.auditor)
        app = console_app(replace(installation, auditor=auditor))
        pages = Pages(log_in(app, AUDITOR))
        yield Console(app, installation, auditor, pages, Evidence(owner))


@pytest.fixture
def console(installation: Installation) -> Iterator[Console]:
    """The console on a database without evidence."""
    with open_console(installation) as opened:
        yield opened
