"""A team's own domain, written into an empty folder; no file of the product knows of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from ..conftest import Cluster
from .conftest import serving, tenure

FILES = {
    "__init__.py": '"""Things that people must remember."""\n',
    "models.py": """\
from config.clock import utc_now
from tenants.models import InstantField, TenantModel, TextField


class Reminder(TenantModel):
    text = TextField()
    due_at = InstantField(default=utc_now)

    class Meta:
        schema = "reminders"
        table_name = "reminders"
        indexes = ((("due_at",), False),)


MODELS = (Reminder,)
""",
    "resources.py": """\
from reminders.models import Reminder
from tenants.resource import Resource

RESOURCES = (Resource(Reminder, "reminders"),)
""",
    "policies.toml": """\
[[policy]]
name = "reminders"
table = "reminders.reminders"
starts = "due_at"
period = "P1Y"
legal_basis = "GDPR Art. 5(1)(e)"
class = "reminders"
state = "active"
""",
    "migrations/0001_initial.py": """\
from tenants.models import InstantField, TenantModel, TextField
from tenants.schema import create_tables


class Reminder(TenantModel):
    text = TextField()
    due_at = InstantField()

    class Meta:
        schema = "reminders"
        table_name = "reminders"
        indexes = ((("due_at",), False),)


def up(migrator, db):
    create_tables(db, [Reminder])
""",
}


@pytest.fixture
def environment(cluster: Cluster, tmp_path: Path, request: Any) -> Any:
    """A folder with the domain, and an empty database; the environment that joins the two."""
    for name, content in FILES.items():
        path = tmp_path / "domains" / "reminders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    name = f"second_domain_{tmp_path.name}"
    cluster.create_database(name)
    yield {
        **cluster.environment,
        "DATABASE_URL": cluster.url(name),
        "TENURE_DOMAIN": "reminders",
        "TENURE_DOMAIN_PATH": str(tmp_path / "domains"),
    }
    cluster.drop_database(name)


def token_of(environment: dict[str, str], tenant: str) -> dict[str, str]:
    tenure("tenants", "create", tenant, environment=environment)
    email = f"ada@{tenant}.example"
    tenure(
        *("users", "create", email, "--tenant", tenant, "--role", "owner", "--password-stdin"),
        environment=environment,
        stdin="correct horse battery\n",
    )
    issued = tenure(
        *("tokens", "issue", "--tenant", tenant, "--email", email, "--name", "test"),
        *("--format", "json"),
        environment=environment,
    )
    return {"Authorization": f"Bearer {json.loads(issued.stdout)['token']}"}


def test_it_takes_at_most_sixty_lines() -> None:
    assert sum(content.count("\n") for content in FILES.values()) <= 60


def test_it_is_migrated_served_isolated_retained_and_linted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    migrated = tenure("migrate", "up", environment=environment)
    assert "applied reminders/0001_initial" in migrated.stdout
    tenure("migrate", "status", environment=environment)

    acme, zeta = token_of(environment, "acme"), token_of(environment, "zeta")
    with serving(environment, tmp_path) as base_url:
        url = f"{base_url}/v1/reminders"
        for text, due in (("old", "2001-02-03T04:05:06Z"), ("new", None)):
            body = {"text": text} | ({"due_at": due} if due else {})
            assert httpx.post(url, json=body, headers=acme).status_code == 201
        assert httpx.post(url, json={"text": "theirs"}, headers=zeta).status_code == 201

        mine = httpx.get(url, headers=acme).json()
        assert {row["text"] for row in mine} == {"old", "new"}
        [theirs] = httpx.get(url, headers=zeta).json()
        assert httpx.get(f"{url}/{theirs['id']}", headers=acme).status_code == 404
        assert httpx.delete(f"{url}/{theirs['id']}", headers=acme).status_code == 404
        assert "/v1/reminders" in httpx.get(f"{base_url}/openapi.json").json()["paths"]

        ran = tenure("retention", "run", "--format", "json", environment=environment)
        assert json.loads(ran.stdout)["state"] == "succeeded"
        assert {row["text"] for row in httpx.get(url, headers=acme).json()} == {"new"}
        tenure("verify", environment=environment)

    connection = psycopg2.connect(environment["DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(rows_deleted) FROM tenure.batches")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_the_gate_finds_unscoped_sql_in_it(environment: dict[str, str], tmp_path: Path) -> None:
    package = tmp_path / "domains" / "reminders"
    (tmp_path / "schema.sql").write_text(
        "CREATE TABLE reminders.reminders (tenant_id uuid NOT NULL, id uuid NOT NULL,"
        " text text, PRIMARY KEY (tenant_id, id));\n"
    )
    schema = ("--schema", str(tmp_path / "schema.sql"), "--tenant-column", "tenant_id")
    tenure("lint", str(package), *schema, environment=environment, cwd=tmp_path)
    (package / "report.py").write_text(
        "def report(cursor):\n    cursor.execute('SELECT text FROM reminders.reminders')\n"
    )
    found = tenure("lint", str(package), *schema, environment=environment, cwd=tmp_path, expect=1)
    assert "report.py:2" in found.stdout


ARCHIVE = {
    "models.py": FILES["models.py"].replace(
        "MODELS = (Reminder,)",
        """\
from tenants.archive import archive_of

MODELS = (Reminder, archive_of(Reminder, schema="reminders_archive"))
""",
    ),
    "policies.toml": FILES["policies.toml"]
    + """\
action = "archive"
archive = "reminders_archive"

[[policy]]
name = "archived-reminders"
table = "reminders_archive.reminders"
starts = "archived_at"
period = "P5Y"
legal_basis = "GDPR Art. 5(1)(e)"
class = "reminders"
state = "active"
""",
    "migrations/0002_archive.py": """\
from reminders.models import MODELS, Reminder
from tenants.archive import create_archives, restorable_statements
from tenants.schema import execute


def up(migrator, db):
    create_archives(db, MODELS[1:])
    execute(db, *restorable_statements([Reminder]))
""",
}


def test_it_archives_into_a_schema_beside_its_own_and_restores(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for name, content in ARCHIVE.items():
        (tmp_path / "domains" / "reminders" / name).write_text(content)
    tenure("migrate", "up", environment=environment)
    acme = token_of(environment, "acme")
    with serving(environment, tmp_path) as base_url:
        url = f"{base_url}/v1/reminders"
        body = {"text": "old", "due_at": "2001-02-03T04:05:06Z"}
        assert httpx.post(url, json=body, headers=acme).status_code == 201
        checked = tenure("retention", "check", environment=environment)
        assert "2 policies fit the database" in checked.stdout
        ran = tenure("retention", "run", "--format", "json", environment=environment)
        trace = json.loads(ran.stdout)["trace_id"]
        assert httpx.get(url, headers=acme).json() == []
        with psycopg2.connect(environment["DATABASE_URL"]) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT text FROM reminders_archive.reminders")
            assert cursor.fetchall() == [("old",)]
        connection.close()
        catalog = tenure("migrate", "catalog", environment=environment)
        assert "reminders_archive" in catalog.stdout
        tenure("verify", environment=environment)
        tenure("retention", "restore", trace, "--reason", "asked for", environment=environment)
        assert [row["text"] for row in httpx.get(url, headers=acme).json()] == ["old"]
