"""Each command works with the passwords that docs/operator.md lists for it, and wants those."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tenants.context import TenantId
from tests.integration.shop.conftest import HEADER
from tests.unit.test_cli import ALL, leaf

from .conftest import Tenure
from .shop_rows import ROOT, plant_invoices

TABLE = (ROOT / "docs" / "operator.md").read_text().partition("<!-- roles: begin -->\n")[2]
ROLES = ("owner", "app", "retention", "verifier", "auditor")
LISTED = {
    command: () if cells[1] == "nobody" else tuple(cells[1].partition(":")[0].split(", "))
    for cells in re.findall(r"^\| (`.*) \| ([a-z].*) \|$", TABLE.partition("<!--")[0], re.MULTILINE)
    for command in re.findall(r"`([^`]+)`", cells[0])
}


def line_of(words: tuple[str, ...]) -> str | None:
    """The line of the table that a command is under: the longest whose words are all its own."""
    fits = [
        line
        for line in LISTED
        if words[: len(named := [w for w in line.split() if w[0] != "-"])] == tuple(named)
        and set(line.split()) <= set(words)
    ]
    return max(fits, key=lambda line: len(line.split()), default=None)


def test_every_command_is_in_the_table() -> None:
    assert all(set(roles) <= set(ROLES) for roles in LISTED.values())
    assert [path for path in ALL if leaf(path) and line_of(path) is None] == []


def test_each_needs_what_is_listed_for_it_and_no_more(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """One after the other, each on what those before it left; a password that is listed is
    wanted by one of the commands of its line."""
    acme = make_tenant("acme")
    plant_invoices(owner_sql, acme)
    ((customer,),) = owner_sql(
        "INSERT INTO shop.customers (tenant_id, id, number, name, country, created_at)"
        " VALUES (%s, gen_random_uuid(), 'C1', 'Ada', 'France', now()) RETURNING id::text",
        (str(acme),),
    )
    (tmp_path / "lint.json").write_text(
        json.dumps({"statements": [], "summary": {}, "findings": []})
    )
    (tmp_path / "sales.csv").write_text(
        f"{HEADER}536365,85123A,HOLDER,6,01/12/2010 08:26,2.55,17850,France\n"
    )
    (tmp_path / "ledger").mkdir()
    ledger = {
        "TENURE_LEDGER_ORIGIN": "example.com/ledger",
        "TENURE_LEDGER_KEY_FILE": str(tmp_path / "key"),
        "TENURE_LEDGER_DIR": str(tmp_path / "ledger"),
        "TENURE_ERASURE_APPROVAL": "single",
    }
    wanted: dict[str, set[str]] = {}

    def run(asked: str, **more: Any) -> None:
        words = tuple(asked.replace("--reason why", "--reason=why").split())
        line = line_of(tuple(word.partition("=")[0] for word in words))
        assert line is not None
        roles = LISTED[line]
        needed = wanted.setdefault(line, set())

        def attempt(without: str | None) -> Result:
            unset = {
                f"TENURE_{role.upper()}_PASSWORD": ""
                for role in ROLES
                if role not in roles or role == without
            }
            return tenure(*words, env=ledger | unset, **more)

        for role in roles:
            done = attempt(role)
            missing = set(re.findall(r"TENURE_(\w+)_PASSWORD", done.output))
            if not missing:
                break  # It is listed for another one of its line; and this one has been done.
            assert (done.exit_code, missing) == (2, {role.upper()}), asked
            needed.add(role)
        else:
            done = attempt(None)
        assert done.exit_code in (0, 1), f"{asked}: {done.output}"

    def one(table: str) -> str:
        return str(owner_sql(f"SELECT id::text FROM tenure.{table} ORDER BY id LIMIT 1")[0][0])

    run("migrate up")
    run("migrate up --no-roles")
    run("migrate status")
    run("migrate catalog --output catalog.json")
    run("tenants create Globex")
    run("users create a@acme.example --tenant acme --role owner --password-stdin",
        input="correct horse battery")  # fmt: skip
    run("tokens issue --tenant acme --email a@acme.example --name n --days 3")
    run("context acme")
    run("context rotate")
    run("import online-retail sales.csv")
    run("ledger keys new")
    run("retention check")
    run("retention plan")
    run("retention pause old-notes --tenant acme")
    run("retention activate old-notes --tenant acme")
    run("retention run")
    ((trace,),) = owner_sql("SELECT trace_id FROM tenure.runs")
    run("retention status")
    run("retention stop --reason why")
    run("retention start --reason why")
    run(f"retention explain shop.customers {customer}")
    run("retention leftovers")
    run("retention replay")
    run("verify")
    run("ledger publish")
    run("ledger status")
    run("ledger verify")
    run("ledger prove 0")
    run("ledger export --output ledger.jsonl")
    run("ledger export --tenant acme --output acme.jsonl")
    run("ledger keys show")
    run("ledger verify --export ledger.jsonl")
    run("ledger keys rotate")
    run("ledger forget ask --text command: --parts --reason why")
    run(f"ledger forget do {one('forgettings')} --text command:")
    run("ledger forget list")
    run(f"certificate {trace}")
    run(f"certificate {trace} --tenant acme")
    run("hold place --tenant acme --matter m --reason why")
    run("hold list")
    run(f"hold show {one('holds')}")
    run(f"hold preview {one('holds')}")
    run(f"hold release {one('holds')} --reason why --grace P0D")
    run("connectors check")
    run("connectors requests")
    run("connectors deliver")
    run("subject export --tenant acme --subject customer --key " + customer
        + " --output person.zip --reason why")  # fmt: skip
    run("subject exports --tenant acme")
    run(f"erasure request --tenant acme --subject customer --key {customer} --requester Ada")
    erasure = one("erasures")
    run("erasure list")
    run(f"erasure confirm {erasure} --how letter")
    run(f"erasure plan {erasure}")
    run(f"erasure approve {erasure}")
    run(f"erasure run {erasure}")
    run(f"erasure letter {erasure}")
    run("tenants offboard request acme --reason why --output acme.zip")
    run("tenants offboard show acme")
    run("tenants offboard list")
    run("tenants offboard take-back acme --reason why")
    run("record lint.json --of x")
    (tmp_path / "one.sql").write_text("SELECT 1;\n")
    run("lint one.sql --catalog catalog.json --no-cache --record=x")
    run("posture --record=x")
    run("report runs")
    run("report holds --tenant acme")
    run("worker --idle-exit")
    for line, needed in wanted.items():
        assert needed == set(LISTED[line]), f"{line}: wants {needed}"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ledger", "verify", "--export", "x"), "ledger verify --export"),
        (("ledger", "verify"), "ledger verify"),
        (("hold", "place"), "hold"),
        (("hold", "list"), "hold list"),
        (("migrate", "down"), "migrate"),
        (("migrate", "up", "--no-roles"), "migrate up --no-roles"),
    ],
)
def test_the_longer_line_holds(words: tuple[str, ...], line: str) -> None:
    assert line_of(words) == line
