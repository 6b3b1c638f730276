"""`tenure posture` as a user meets it: exit codes, formats, refusals, and what it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from api.cli.posture import command
from tenants.posture.errors import ConnectError
from tenants.posture.examples import BASE
from tenants.posture.reader import read_database, read_facts, transaction
from tenants.posture.rules import all_rules

from ...conftest import Cluster
from .conftest import CLOSED, Bench

# Roles of this module's own: others make and roll back `shop_app` on the same server.
ROLES = ("cli_app", "cli_owner", "cli_reader")
SCHEMA = BASE.replace("shop_app", "cli_app").replace("shop_owner", "cli_owner")


@pytest.fixture(scope="module")
def urls(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Committed databases by what is in them, and a login without any power."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    names = {kind: f"posture_{kind}_{worker}_{os.getpid()}" for kind in ("good", "bad", "empty")}
    admin = psycopg2.connect(cluster.admin_url)
    admin.autocommit = True
    found: dict[str, str] = {}
    try:
        for kind, name in names.items():
            cluster.create_database(name)
            found[kind] = cluster.url(name)
            if kind == "empty":
                continue
            with psycopg2.connect(found[kind]) as connection, connection.cursor() as cursor:
                if kind == "bad":
                    # The roles are there by now.
                    cursor.execute(CLOSED + re.sub(r"CREATE ROLE .*;", "", SCHEMA))
                    cursor.execute(
                        "ALTER TABLE shop.invoices DISABLE ROW LEVEL SECURITY;"
                        "GRANT REFERENCES ON shop.customers TO cli_app"
                    )
                else:
                    cursor.execute(CLOSED + SCHEMA)
                    cursor.execute("CREATE ROLE cli_reader LOGIN PASSWORD 'sesame-42'")
            connection.close()
        parts = re.sub(r"//[^@]*@", "//cli_reader:sesame-42@", found["bad"])
        found["reader"] = parts
        yield found
    finally:
        for name in names.values():
            cluster.drop_database(name)
        for role in ROLES:
            admin.cursor().execute(f"DROP ROLE IF EXISTS {role}")
        admin.close()


def posture(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": "", **environment})


def test_a_finding_fails_and_says_what_mends_it(urls: dict[str, str]) -> None:
    done = posture("--database-url", urls["bad"])
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0].startswith("error[rls-dormant] shop.invoices: policies (app, owner)")
    assert lines[1] == (
        "    ALTER TABLE shop.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    )
    assert "assumed app roles: cli_app" in done.output
    assert "assumed tenants table: shop.tenants (2 tenant columns refer to it)" in done.output
    assert lines[-1].startswith(f"2 tenant tables, {len(all_rules())} rules: 1 error")
    assert "\x1b" not in done.output


def test_a_good_database_passes_and_warnings_fail_only_when_asked(urls: dict[str, str]) -> None:
    assert posture(DATABASE_URL=urls["good"]).exit_code == 0
    only = ("--database-url", urls["bad"], "--app-role", "cli_reader")
    assert posture(*only).exit_code == 1  # policies that do nothing are so for everybody
    strict = posture("--database-url", urls["good"], "--fail-on", "warning")
    warned = "warning[" in strict.output
    assert strict.exit_code == (1 if warned else 0)


def test_warnings_fail_when_asked(urls: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "tenure.toml"
    config.write_text(
        '[[posture.suppress]]\nrule = "rls-dormant"\nobject = "shop.*"\nreason = "a test"\n'
    )
    given = ("--database-url", urls["bad"], "--config", str(config))
    assert posture(*given).exit_code == 0
    done = posture(*given, "--fail-on", "warning")
    assert done.exit_code == 1
    assert "warning[grant-references-trigger] shop.customers" in done.output


def test_json_has_the_promised_shape(urls: dict[str, str]) -> None:
    done = posture("--database-url", urls["bad"], "--format", "json")
    document = json.loads(done.output)
    assert list(document)[:3] == ["findings", "assumed", "checked"]
    first = document["findings"][0]
    assert list(first) == ["rule", "severity", "object", "message", "fix_sql"]
    assert (first["rule"], first["severity"]) == ("rls-dormant", "error")
    assert document["assumed"]["app_roles"]["names"] == ["cli_app"]
    assert document["assumed"]["tenant_columns"]["names"] == ["tenant_id"]
    assert document["checked"]["tenant_tables"] == 2
    assert document["checked"]["rules"] == len(all_rules())
    assert done.exit_code == 1


def test_sarif_names_the_object_and_marks_what_is_suppressed(
    urls: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "pyproject.toml"
    config.write_text(
        '[[tool.tenure.posture.suppress]]\nrule = "rls-dormant"\nobject = "shop.invoices"\n'
        'reason = "being migrated"\nexpires = 2999-01-01\n'
    )
    given = ("--database-url", urls["bad"], "--config", str(config), "--format")
    run: Any = json.loads(posture(*given, "sarif").output)["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.name for rule in all_rules()]
    by_rule = {result["ruleId"]: result for result in run["results"]}
    dormant = by_rule["rls-dormant"]
    assert rules[dormant["ruleIndex"]]["id"] == "rls-dormant"
    assert dormant["level"] == "error"
    place = dormant["locations"][0]["logicalLocations"][0]
    assert place["fullyQualifiedName"] == "shop.invoices"
    assert dormant["suppressions"][0]["justification"] == "being migrated"
    assert "suppressions" not in by_rule["grant-references-trigger"]
    assert by_rule["grant-references-trigger"]["level"] == "warning"
    suppressed = json.loads(posture(*given, "json").output)["suppressed"]
    assert [(s["rule"], s["reason"], s["expires"]) for s in suppressed] == [
        ("rls-dormant", "being migrated", "2999-01-01")
    ]


def test_an_expired_suppression_and_an_unused_one_are_reported(
    urls: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "tenure.toml"
    config.write_text(
        '[[posture.suppress]]\nrule = "rls-dormant"\nobject = "shop.*"\nreason = "long ago"\n'
        "expires = 2001-01-01\n"
        '[[posture.suppress]]\nrule = "rls-off"\nobject = "nowhere"\nreason = "never"\n'
    )
    done = posture("--database-url", urls["bad"], "--config", str(config))
    assert done.exit_code == 1
    assert "note: the suppression of rls-dormant on 'shop.*' expired on 2001-01-01" in done.output
    assert "note: the suppression of rls-off on 'nowhere' matches no finding" in done.output


def test_a_database_without_tenants_has_nothing_to_check(urls: dict[str, str]) -> None:
    done = posture("--database-url", urls["empty"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        0,
        "nothing to check: no table has a tenant column",
    )
    document = json.loads(posture("--database-url", urls["empty"], "--format", "json").output)
    assert document["findings"] == []
    assert document["checked"]["nothing_to_check"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tenant-column", "nobody_id"), "no table has a column 'nobody_id'"),
        (("--app-role", "nobody"), "there is no role 'nobody'"),
        (("--config", "/nowhere.toml"), "/nowhere.toml: No such file"),
    ],
)
def test_a_wrong_name_is_a_failure_and_no_finding(
    urls: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    done = posture("--database-url", urls["good"], *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_what_is_named_is_taken_as_given(urls: dict[str, str]) -> None:
    given = ("--tenant-column", "email", "--app-role", "cli_reader", "--format", "json")
    document = json.loads(posture("--database-url", urls["good"], *given).output)
    assert document["assumed"]["tenant_columns"] == {"names": ["email"], "why": "given"}
    assert document["assumed"]["app_roles"] == {"names": ["cli_reader"], "why": "given"}
    assert document["checked"]["tenant_tables"] == 1


def test_a_password_is_in_no_output(urls: dict[str, str]) -> None:
    for wrong in (
        urls["reader"].replace("sesame-42", "open%20sesame"),
        urls["reader"].replace("sesame-42", "secret'quote"),
    ):
        done = posture("--database-url", wrong)
        assert "sesame" not in done.output
        assert "secret" not in done.output
    for nowhere in (
        re.sub(r"@[^/]*/", "@127.0.0.1:1/", urls["reader"]),
        "postgresql://someone:hunter2@[::1",
        "postgresql://someone:hunter2/more@127.0.0.1:1/shop",
        "host=127.0.0.1 port=1 password=hunter2",
        "nonsense=hunter2",
    ):
        done = posture("--database-url", nowhere)
        assert done.exit_code == 2
        assert done.output.startswith("Error: cannot connect")
        assert "sesame" not in done.output
        assert "hunter2" not in done.output


def test_no_database_is_wrong_usage() -> None:
    done = posture()
    assert done.exit_code == 2
    assert "--database-url or DATABASE_URL" in done.output


def test_any_role_that_may_connect_can_audit(urls: dict[str, str]) -> None:
    """It sees what a superuser sees, but for who it is."""

    def findings(url: str) -> Any:
        return json.loads(posture("--database-url", url, "--format", "json").output)["findings"]

    assert findings(urls["reader"]) == findings(urls["bad"])


def test_it_reads_and_cannot_do_else(urls: dict[str, str]) -> None:
    def create() -> None:
        with transaction(urls["good"]) as cursor:
            cursor.execute("CREATE TABLE made_by_the_audit ()")

    with pytest.raises(ConnectError, match="read-only transaction"):
        create()
    assert read_database(urls["good"]).server.user


def test_the_number_of_queries_does_not_grow_with_the_database(bench: Bench) -> None:
    class Counting:
        def __init__(self) -> None:
            self.sent = 0

        def execute(self, statement: str) -> None:
            self.sent += 1
            bench.cursor.execute(statement)

        def fetchall(self) -> list[Any]:
            return list(bench.cursor.fetchall())

    small = Counting()
    read_facts(small)
    bench.execute(
        "DO $$ BEGIN FOR i IN 1..40 LOOP"
        " EXECUTE format('CREATE TABLE shop.t%s (tenant_id uuid NOT NULL PRIMARY KEY)', i);"
        " END LOOP; END $$"
    )
    large = Counting()
    facts = read_facts(large)
    assert len(facts.relations) > 40
    assert small.sent == large.sent <= 18


def test_a_rule_is_explained_without_a_database() -> None:
    done = posture("--explain", "rls-off")
    assert done.exit_code == 0
    assert done.output.startswith("# rls-off\n")
    wrong = posture("--explain", "rls-of")
    assert wrong.exit_code == 2
    assert "rls-off" in wrong.output


def test_it_starts_without_the_server() -> None:
    code = (
        "import sys, api.cli.posture\n"
        "from tenants.posture.rules import all_rules\n"
        "all_rules()\n"
        "heavy = {'flask', 'peewee', 'pydantic', 'structlog', 'psycopg2', 'config.settings'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
