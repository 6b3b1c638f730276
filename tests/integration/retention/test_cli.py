"""The commands, as a user runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Installation
from api.workshop import workshop_of
from config import clock as clocks
from config.trace import new_trace_id
from retention.executor import Options
from retention.jobs import run_once
from tenants.context import TenantId

from .conftest import Tenure
from .shop_rows import plant_invoices


def test_plan_run_verify_from_the_command_line(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    assert tenure("verify").exit_code == 1

    planned = tenure("retention", "plan")
    assert planned.exit_code == 0
    assert "acme: 6 due, 12 of shop.invoice_lines go, 6 of shop.invoices go" in planned.stdout
    dry = tenure("retention", "run", "--dry-run")
    assert dry.exit_code == 0
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(6,)]
    assert owner_sql("SELECT count(*) FROM tenure.runs") == [(0,)]

    done = tenure("retention", "run", "--batch-size", "4")
    assert done.exit_code == 0, done.output
    assert "succeeded: 18 rows" in done.stdout
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(0,)]
    assert owner_sql("SELECT count(*) FROM tenure.batches") == [(2,)]
    verified = tenure("verify", "--format", "json")
    assert verified.exit_code == 0
    assert json.loads(verified.stdout)["findings"] == 0

    status = tenure("retention", "status", "--format", "json")
    (run,) = json.loads(status.stdout)["runs"]
    assert (run["state"], run["rows"], run["batches"]) == ("succeeded", 18, 2)
    assert run["started_by"].startswith("command:")
    assert "succeeded" in tenure("retention", "status").stdout


def test_a_plan_in_a_file_is_what_runs(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
) -> None:
    for slug in ("acme", "globex"):
        plant_invoices(owner_sql, make_tenant(slug))
    plan = tenure("retention", "plan", "--tenant", "acme", "--format", "json").stdout
    (tmp_path / "plan.json").write_text(plan)
    # The policies are recorded by the run, and the plan's are the same.
    done = tenure("retention", "run", "--plan", "plan.json", "--format", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["deleted"] == {"shop.invoices": 6, "shop.invoice_lines": 12}
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(6,)]
    (tmp_path / "plan.json").write_text(plan.replace('"due": 6', '"due": 7'))
    changed = tenure("retention", "run", "--plan", "plan.json")
    assert changed.exit_code == 2
    assert "was changed after it was made" in changed.stderr
    assert tenure("retention", "run", "--plan", "plan.json", "--tenant", "acme").exit_code == 2


def test_holds_from_the_command_line(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    placed = tenure("hold", "place", "--tenant", "acme", "--matter", "M-1", "--reason", "why")
    assert placed.exit_code == 0, placed.output
    hold_id = placed.stdout.strip()
    assert "6 kept: held" in tenure("retention", "plan").stdout
    assert "succeeded_with_skips: 0 rows" in tenure("retention", "run").stdout
    (listed,) = json.loads(tenure("hold", "list", "--format", "json").stdout)
    assert (listed["id"], listed["tenant"], listed["matter"]) == (hold_id, "acme", "M-1")
    assert (listed["scope"], listed["in_force"], listed["keys_kept"]) == ("tenant", True, True)
    assert "M-1" in tenure("hold", "list", "--tenant", "acme").stdout
    preview = tenure("hold", "preview", hold_id).stdout
    assert "6 of shop.invoices would go under invoices-10-years" in preview
    assert "18 rows would go." in preview
    released = tenure("hold", "release", hold_id, "--reason", "settled")
    assert f"tenure hold take-back {hold_id}" in released.stdout
    assert "in force until" in tenure("hold", "list").stdout
    assert "succeeded_with_skips: 0 rows" in tenure("retention", "run").stdout
    assert tenure("hold", "take-back", hold_id, "--reason", "an appeal").exit_code == 0
    assert tenure("hold", "take-back", hold_id).exit_code == 2
    assert "released" in tenure("hold", "release", hold_id, "--grace", "P0D").stdout
    assert tenure("hold", "release", hold_id).exit_code == 2
    assert hold_id not in tenure("hold", "list").stdout
    assert hold_id in tenure("hold", "list", "--all").stdout
    assert "It is not in force any more" in tenure("hold", "preview", hold_id).stdout
    shown = tenure("hold", "show", hold_id).stdout
    assert [line.split()[0] for line in shown.splitlines()[3:]] == [
        "placed", "released", "taken", "released",
    ]  # fmt: skip
    assert "settled" in shown
    assert "an appeal" in shown
    assert "succeeded: 18 rows" in tenure("retention", "run").stdout


def test_holds_on_less_than_a_tenant_from_the_command_line(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    ids = [str(i) for (i,) in owner_sql("SELECT id FROM shop.invoices ORDER BY number")]
    (tmp_path / "ids.txt").write_text(f"{ids[3]}\n\n{ids[4]}\n")
    place = ("hold", "place", "--tenant", "acme", "--matter", "M", "--reason", "r")
    on = ("--table", "shop.invoices")
    dry = tenure(*place, *on, "--subject", ids[0], "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.splitlines()[1:] == ["  1 of shop.invoices", "  2 of shop.invoice_lines"]
    assert owner_sql("SELECT count(*) FROM tenure.holds") == [(0,)]
    json_ = ("--format", "json")
    assert json.loads(tenure(*place, *on, "--subject", ids[0], "--dry-run", *json_).stdout) == {
        "scope": f"shop.invoices {ids[0]} and all that refers to it",
        "rows": 3,
        "tables": {"shop.invoices": 1, "shop.invoice_lines": 2},
    }
    by_subject = json.loads(tenure(*place, *on, "--subject", ids[0], *json_).stdout)
    assert (by_subject["scope"], by_subject["subject_id"]) == ("subject", ids[0])
    condition = f"r.id = '{ids[1]}'"
    by_condition = json.loads(tenure(*place, *on, "--where", condition, *json_).stdout)
    assert (by_condition["condition"], by_condition["rows_then"]) == (condition, 1)
    by_key = json.loads(tenure(*place, *on, "--row", ids[2], "--rows", "ids.txt", *json_).stdout)
    assert (by_key["scope"], by_key["rows_then"]) == ("rows", 3)
    assert "5 kept: held" in tenure("retention", "plan").stdout
    assert "succeeded_with_skips: 3 rows" in tenure("retention", "run").stdout
    assert condition in tenure("hold", "list").stdout
    assert tenure("verify").exit_code == 0
    owner_sql("DELETE FROM shop.invoice_lines WHERE invoice_id = %s", (ids[0],))
    missing = tenure("verify")
    assert missing.exit_code == 1
    assert ["held_missing", "shop.invoice_lines", "acme", "2"] in [
        line.split()[:4] for line in missing.stdout.splitlines()
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--where", "true"), "need --table"),
        (("--table", "shop.invoices"), "give one of"),
        (("--table", "shop.invoices", "--where", "true", "--row", str(UUID(int=1))), "give one of"),
        (("--table", "invoices", "--where", "true"), "not a qualified table name"),
        (("--table", "shop.nothing", "--where", "true"), "there is no table"),
        (("--table", "shop.invoices", "--where", "now() > r.issued_at"), "condition is refused"),
        (("--table", "shop.invoices", "--where", "r.total = 'x'"), "the database says"),
        (("--table", "shop.invoices", "--row", str(UUID(int=1))), "has no row"),
        (("--table", "shop.invoices", "--rows", "ids.txt"), "ids.txt: line 1: "),
        (("--table", "shop.invoices", "--subject", "x"), "not a valid UUID"),
    ],
)
def test_a_hold_that_is_asked_for_wrongly_is_refused(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
    *,
    options: tuple[str, ...],
    message: str,
) -> None:
    make_tenant("acme")
    (tmp_path / "ids.txt").write_text("one\n")
    place = ("hold", "place", "--tenant", "acme", "--matter", "M", "--reason", "r")
    for more in ((), ("--dry-run",)):
        refused = tenure(*place, *options, *more)
        assert refused.exit_code == 2
        assert message in refused.stderr
    assert owner_sql("SELECT count(*) FROM tenure.holds") == [(0,)]


def test_holds_and_states_as_json(tenure: Tenure, make_tenant: Callable[..., TenantId]) -> None:
    acme = make_tenant("acme")
    json_ = ("--format", "json")
    placed = json.loads(
        tenure("hold", "place", "--tenant", "acme", "--matter", "M", "--reason", "r", *json_).stdout
    )
    assert (placed["tenant"], placed["matter"], placed["reason"]) == ("acme", "M", "r")
    released = json.loads(tenure("hold", "release", placed["id"], "--grace", "P0D", *json_).stdout)
    assert (released["id"], released["tenant_id"]) == (placed["id"], str(acme))
    assert released["released_at"] == released["effective_at"] is not None
    assert released["in_force"] is False
    events = json.loads(tenure("hold", "show", placed["id"], *json_).stdout)["events"]
    assert [event["event"] for event in events] == ["placed", "released"]
    assert json.loads(tenure("hold", "preview", placed["id"], *json_).stdout)["freed"] == []
    paused = tenure("retention", "pause", "invoices-10-years", "--tenant", "acme", *json_)
    assert json.loads(paused.stdout) == {
        "policy": "invoices-10-years",
        "tenant": "acme",
        "state": "paused",
    }


def test_a_pause_shows_in_the_verification(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    tenure("retention", "pause", "invoices-10-years", "--tenant", "acme")
    shown = tenure("verify")
    assert shown.exit_code == 0
    header, line = (text.split() for text in shown.stdout.splitlines()[:2])
    assert header[:7] == ["kind", "subject", "tenant", "found", "held", "undeletable", "paused"]
    assert line == ["overdue", "invoices-10-years", "acme", "0", "0", "0", "6"]
    books = shown.stdout.splitlines()[3:6]
    assert [text.split() for text in books][1] == ["invoices-10-years", *"0600000060", "0"]
    assert books[2] == "account 1: 0 batches counted, the books come out even"
    report = json.loads(tenure("verify", "--format", "json").stdout)
    assert sum(r["paused"] for r in report["results"]) == 6


def test_a_row_deleted_behind_our_back_fails_the_verification(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    tenure("retention", "pause", "invoices-10-years", "--tenant", "acme")
    assert tenure("verify").exit_code == 0
    owner_sql("DELETE FROM shop.invoice_lines")
    owner_sql("DELETE FROM shop.invoices WHERE number = '0'")
    shown = tenure("verify")
    assert shown.exit_code == 1
    assert "due, and gone without a record: 1" in shown.stdout
    assert "1 books do not come out even" in shown.stdout
    report = json.loads(tenure("verify", "--format", "json").stdout)
    assert (report["findings"], report["account"]) == (0, 3)
    (entry,) = report["reconciliation"]
    assert (entry["opening"], entry["paused"], entry["difference"]) == (5, 5, 0)


def test_many_tenants_that_differ_are_counted_and_named_when_asked(
    tenure: Tenure, make_tenant: Callable[..., TenantId], installation: Installation
) -> None:
    for number in range(5):
        make_tenant(f"shop-{number}")
        tenure("retention", "pause", "invoices-10-years", "--tenant", f"shop-{number}")
    tenure("retention", "activate", "invoices-10-years", "--tenant", "shop-4")
    short = tenure("retention", "status").stdout
    assert "4 paused" in short
    assert "shop-1" not in short
    whole = tenure("retention", "status", "--verbose").stdout
    assert "shop-0: paused, shop-1: paused, shop-2: paused, shop-3: paused" in whole
    assert "shop-4" not in whole  # activated again: it does not differ
    policies = json.loads(tenure("retention", "status", "--format", "json").stdout)["policies"]
    own = next(p["overrides"] for p in policies if p["policy"] == "invoices-10-years")
    assert own["shop-4"] == "active"
    assert len(own) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not JSON: Expecting value: line 1"),
        (b"\xff\xfe", "not a text in UTF-8"),
        (b"[1]", "it is not a JSON object"),
        (b"{}", "'format' is missing"),
        (b'{"format": 99}', "the plan has format 99"),
        (b'{"units": []}', "'format' is missing"),
    ],
)
def test_a_file_that_is_no_plan_is_named_with_what_is_wrong(
    tenure: Tenure, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "wrong.json").write_bytes(content)
    result = tenure("retention", "run", "--plan", "wrong.json")
    assert result.exit_code == 2
    assert "wrong.json: " in result.stderr
    assert said in result.stderr


def test_a_plan_without_one_of_its_parts_says_which(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    whole = json.loads(tenure("retention", "plan", "--format", "json").stdout)
    for part in ("as_of", "units", "digest"):
        (tmp_path / "wrong.json").write_text(
            json.dumps({key: value for key, value in whole.items() if key != part})
        )
        result = tenure("retention", "run", "--plan", "wrong.json")
        assert (result.exit_code, f"'{part}' is missing" in result.stderr) == (2, True)
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(6,)]


def test_a_policy_is_paused_and_activated_for_a_tenant(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    policy = ("invoices-10-years", "--tenant", "acme")
    assert tenure("retention", "pause", *policy).exit_code == 0
    assert "acme: paused" in tenure("retention", "status").stdout
    assert "succeeded: 0 rows" in tenure("retention", "run").stdout
    assert tenure("retention", "activate", *policy).exit_code == 0
    assert "succeeded: 18 rows" in tenure("retention", "run").stdout


def test_wrong_usage_is_said_in_a_line(
    tenure: Tenure, make_tenant: Callable[..., TenantId]
) -> None:
    make_tenant("acme")
    for arguments, said in (
        (("retention", "plan", "--as-of", "2999-01-01"), "in the future"),
        (("retention", "plan", "--as-of", "2020-01-01T00:00:00"), "no offset from UTC"),
        (("retention", "plan", "--policy", "nope"), "there is no policy 'nope'"),
        (("retention", "plan", "--tenant", "nope"), "there is no tenant 'nope'"),
        (("retention", "pause", "nope", "--tenant", "acme"), "there is no policy 'nope'"),
        (("verify", "--as-of", "2999-01-01"), "in the future"),
        (("hold", "release", "nonsense"), "is not a valid UUID"),
        (("hold", "place", "--tenant", "acme", "--matter", " ", "--reason", "r"), "a matter"),
    ):
        result = tenure(*arguments)
        assert result.exit_code == 2, arguments
        assert said in result.stderr


def test_a_run_is_paused_resumed_and_cancelled_by_its_trace_id(
    tenure: Tenure,
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    shop = workshop_of(installation, actor="test")
    shop.record()
    trace = new_trace_id()
    shop.open(shop.plan(), trace_id=trace)
    why = ("--reason", "month-end")
    assert tenure("retention", "pause-run", trace[:8], *why).stdout == "the run is paused\n"
    (run,) = json.loads(tenure("retention", "status", "--format", "json").stdout)["open_runs"]
    assert (run["state"], run["units"], run["done"], run["planned"]) == ("paused", 1, 0, 18)
    assert tenure("retention", "pause-run", trace, *why).exit_code == 2
    assert tenure("worker", "--idle-exit").exit_code == 0
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(6,)]
    assert tenure("retention", "resume-run", trace, *why).stdout == "the run goes on\n"
    assert "1 waiting; 0 of 18 rows" in tenure("retention", "status").stdout
    done = tenure("retention", "cancel-run", trace, *why, "--format", "json")
    assert json.loads(done.stdout)["action"] == "cancel"
    shown = tenure("retention", "status").stdout
    assert "cancelled by command:" in shown
    assert "open run" not in shown
    missing = tenure("retention", "cancel-run", "0" * 32, *why)
    assert (missing.exit_code, "there is no run" in missing.stderr) == (2, True)


def test_all_is_stopped_and_started_again(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    assert tenure("retention", "stop").exit_code == 2  # nobody said why
    assert tenure("retention", "stop", "--reason", "a fire").exit_code == 0
    refused = tenure("retention", "run")
    assert (refused.exit_code, "retention is stopped" in refused.stderr) == (2, True)
    assert tenure("worker", "--once").exit_code == 0
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(6,)]
    shown = tenure("retention", "status").stdout
    assert shown.startswith("STOPPED by command:")
    assert "a fire" in shown
    assert tenure("retention", "start", "--reason", "it is out").exit_code == 0
    assert tenure("retention", "start", "--reason", "once more").exit_code == 2
    assert "STOPPED" not in tenure("retention", "status").stdout
    assert tenure("worker", "--once").exit_code == 0
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(0,)]


def test_status_shows_who_works_on_what(
    tenure: Tenure,
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    seen: list[tuple[Any, str]] = []

    def look(_progress: Any) -> None:
        as_json = json.loads(tenure("retention", "status", "--format", "json").stdout)
        seen.append((as_json["open_runs"][0], tenure("retention", "status").stdout))

    options = Options(batch_size=2, on_progress=look)
    shop = workshop_of(installation, actor="test", options=options)
    report = run_once(shop, shop.plan)
    run, text = seen[0]
    assert (run["trace_id"], run["state"]) == (report.trace_id, "running")
    assert (run["working"], run["rows"], run["planned"], run["batches"]) == (1, 6, 18, 1)
    assert 0 < run["rate"] <= 6  # less than a second counts as one
    assert run["seconds_left"] >= 2
    (unit,) = run["held"]
    assert (unit["tenant"], unit["rows"], unit["in_force"]) == ("acme", 6, True)
    assert unit["holder"] in text
    assert re.search(r"6 of 18 rows, [0-9.]+ rows/s, .* left", text)


def test_workers_once_and_until_idle(
    tenure: Tenure,
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    assert tenure("worker", "--idle-exit").exit_code == 0
    assert owner_sql("SELECT count(*) FROM tenure.runs") == [(0,)]
    shop = workshop_of(installation, actor="test")
    shop.record()
    shop.open(shop.plan(), trace_id=new_trace_id())
    assert tenure("worker", "--idle-exit").exit_code == 0
    assert owner_sql("SELECT state, started_by FROM tenure.runs") == [("succeeded", "test")]
    assert owner_sql("SELECT count(*) FROM tenure.verifications") == [(0,)]
    plant_invoices(owner_sql, make_tenant("globex"))
    assert tenure("worker", "--once").exit_code == 0
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(0,)]
    assert owner_sql("SELECT findings FROM tenure.verifications") == [(0,)]
    assert tenure("worker", "--once", "--idle-exit").exit_code == 2


def test_every_command_shows_an_example(tenure: Tenure) -> None:
    for path in (
        ("retention",), ("retention", "plan"), ("retention", "run"), ("retention", "status"),
        ("retention", "pause"), ("retention", "activate"), ("verify",), ("worker",),
        *(("retention", f"{what}-run") for what in ("pause", "resume", "cancel")),
        ("retention", "stop"), ("retention", "start"),
        ("hold",), ("hold", "place"), ("hold", "release"), ("hold", "list"),
    ):  # fmt: skip
        result = tenure(*path, "--help")
        assert result.exit_code == 0
        assert f"tenure {' '.join(path)}" in result.stdout.partition("Example:")[2], path


def test_check_says_what_the_database_lacks_with_the_mend(
    tenure: Tenure, owner_sql: Callable[..., Any]
) -> None:
    fine = tenure("retention", "check")
    assert fine.exit_code == 0
    policies, subjects, ours = fine.stdout.splitlines()
    assert (policies, subjects) == ("3 policies fit the database.", "1 subjects fit the database.")
    assert ours.endswith("tables of ours say how long they keep their rows.")
    owner_sql("DROP INDEX shop.invoices_issued_at_idx")
    found = tenure("retention", "check", "--format", "json")
    assert found.exit_code == 1
    ((problem),) = json.loads(found.stdout)["problems"]
    assert "CREATE INDEX CONCURRENTLY ON shop.invoices (tenant_id, issued_at)" in problem
    refused = tenure("retention", "run")
    assert refused.exit_code == 2
    assert "no valid index" in refused.output


@pytest.mark.parametrize("command", ["explain", "status", "restore", "report"])
def test_commands_go_by_the_databases_clock_and_not_by_the_machines(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine woke up in another decade: nothing is due by that, nor kept until then."""
    plant_invoices(owner_sql, make_tenant("acme"))
    owner_sql("UPDATE shop.invoices SET issued_at = now()")
    ((invoice,),) = owner_sql("SELECT id::text FROM shop.invoices ORDER BY id LIMIT 1")
    assert tenure("retention", "run").exit_code == 0
    monkeypatch.setattr(clocks, "utc_now", lambda: datetime(9500, 1, 1, tzinfo=UTC))
    if command == "explain":
        assert "decides; due 20" in tenure("retention", "explain", "invoices", invoice).stdout
    elif command == "status":
        owner_sql("ALTER TABLE tenure.policy_versions DISABLE TRIGGER USER")
        owner_sql(
            "UPDATE tenure.policy_versions SET definition = definition || %s",
            ('{"schedule": "0 2 * * *"}',),
        )
        said = json.loads(tenure("retention", "status", "--format", "json").stdout)
        assert {p["next_run"][:2] for p in said["policies"]} == {"20"}
        assert all(p["next_run"] < "3" for p in said["policies"])
    elif command == "restore":
        found = tenure("retention", "restore", "0" * 32, "--reason", "r", "--keep", "P1000Y")
        assert "no batch of run" in found.stderr, "a thousand years from 9500 on are none"
    else:
        nightly = {"TENURE_VERIFY_SCHEDULE": "0 2 * * *"}
        said = json.loads(tenure("report", "runs", "--format", "json", env=nightly).stdout)
        assert "02:00:00" in json.dumps(said["next"])
        assert "9500" not in json.dumps(said["next"])


def test_a_row_of_which_nobody_can_say_when_it_is_due_is_explained(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    ((invoice,),) = owner_sql("SELECT id::text FROM shop.invoices ORDER BY id LIMIT 1")
    owner_sql("UPDATE shop.invoices SET issued_at = '9999-12-31' WHERE id = %s", (invoice,))
    said = tenure("retention", "explain", "shop.invoices", invoice)
    assert said.exit_code == 0
    assert "invoices-10-years decides; nobody can say when it is due" in said.stdout


def test_a_row_is_explained_before_and_after_it_went(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    ((invoice,),) = owner_sql("SELECT id::text FROM shop.invoices ORDER BY id LIMIT 1")
    ((line,),) = owner_sql("SELECT id::text FROM shop.invoice_lines ORDER BY id LIMIT 1")
    before = tenure("retention", "explain", "shop.invoices", invoice)
    assert before.exit_code == 0
    assert "invoices-10-years decides; due since" in before.stdout
    assert tenure("retention", "run").exit_code == 0
    after = tenure("retention", "explain", "invoices", invoice, "--format", "json")
    (row,) = json.loads(after.stdout)["rows"]
    assert (row["there"], row["tenant"]) == (False, "acme")
    assert row["deletions"][0]["policy"] == "invoices-10-years"
    said = tenure("retention", "explain", "invoices", invoice).stdout
    began, due = "2001-01-01T00:00:00+00:00", "2011-01-01T00:00:00+00:00"
    assert f"its period began {began}; due {due}" in said
    said = tenure("retention", "explain", "invoice_lines", line).stdout
    assert f"period began between {began} and {began}; due at the latest {due}" in said
    owner_sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER append_only")
    owner_sql("UPDATE tenure.deleted_keys SET starts = NULL")
    said = tenure("retention", "explain", "invoices", invoice).stdout
    assert "when its period began was not kept: before the cutoff" in said
    nobody = tenure("retention", "explain", "invoices", str(UUID(int=0)))
    assert nobody.exit_code == 1
    assert "no tenant has or had" in nobody.stdout
    unknown = tenure("retention", "explain", "shop.bills", invoice)
    assert unknown.exit_code == 2
    assert "there is no table shop.bills" in unknown.output


def test_a_tenants_period_keeps_to_the_policys_bounds(
    tenure: Tenure, make_tenant: Callable[..., TenantId]
) -> None:
    make_tenant("acme")
    asked = ("retention", "period", "invoices-10-years", "--tenant", "acme")
    refused = tenure(*asked, "P9Y")
    assert refused.exit_code == 2
    assert "lies between P10Y and P10Y" in refused.output
    assert tenure(*asked, "P10Y").exit_code == 0
    assert "acme: P10Y" in tenure("retention", "status").stdout
    assert tenure(*asked, "--reset").exit_code == 0
    assert "acme: P10Y" not in tenure("retention", "status").stdout
    assert tenure(*asked).exit_code == 2


def test_a_run_that_archived_nothing_has_nothing_to_restore(
    tenure: Tenure, make_tenant: Callable[..., TenantId], owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    assert tenure("retention", "run").exit_code == 0
    ((trace,),) = owner_sql("SELECT trace_id FROM tenure.runs")
    found = tenure("retention", "restore", trace, "--reason", "ticket")
    assert found.exit_code == 2
    assert "archived anything" in found.output
    assert tenure("retention", "restore", trace, "--reason", "x", "--keep", "soon").exit_code == 2


def test_how_long_our_own_rows_are_kept_is_shown(
    tenure: Tenure, owner_sql: Callable[..., Any]
) -> None:
    owner_sql(
        "INSERT INTO tenure.alerts (id, kind, subject, detail, resolved_at)"
        " VALUES (gen_random_uuid(), 'run', 's', 'd', now() - interval '400 days')"
    )
    owner_sql("DELETE FROM tenure.alerts")
    shown = tenure("retention", "leftovers").stdout
    alerts, batches = (
        next(line for line in shown.splitlines() if line.startswith(f"tenure.{table} "))
        for table in ("alerts", "batches")
    )
    assert alerts.split()[1:5] == ["P1Y", "from", "resolved_at", "1"]
    assert batches.split()[1:3] == ["for", "good"]
    listed = json.loads(tenure("retention", "leftovers", "--format", "json").stdout)
    (entry,) = (entry for entry in listed if entry["table"] == "tenure.alerts")
    assert (entry["period"], entry["deleted"]) == ("P1Y", 1)
    assert "tables of ours say how long" in tenure("retention", "check").stdout
    owner_sql("CREATE TABLE tenure.forgotten (id uuid)")
    found = tenure("retention", "check")
    assert found.exit_code == 1
    assert "tenure.forgotten: add it to retention/leftovers.toml" in found.stdout
