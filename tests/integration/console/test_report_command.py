"""`tenure report` has the pages' figures; `tenure record` keeps what a gate said, to the byte."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import command
from retention.reports.index import REPORTS

from .conftest import NOW, Console


@pytest.fixture
def tenure(console: Console):
    """Run a command on the console's installation."""

    def run(*arguments: str, code: int = 0, text: str | None = None) -> Result:
        settings = console.installation.settings
        done = CliRunner().invoke(
            command, arguments, input=text, env=environment(settings), catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done

    return run


def environment(settings) -> dict[str, str]:
    secrets = {
        f"TENURE_{name.upper()}": value.get_secret_value()
        for name, value in settings
        if hasattr(value, "get_secret_value")
    }
    return {
        **secrets,
        "DATABASE_URL": settings.database_url,
        "TENURE_DOMAIN": settings.domain,
        "TENURE_DOMAIN_PATH": str(settings.domain_path),
    }


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_has_the_figures_of_its_page(console: Console, tenure, name: str):
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    evidence.policy("p")
    evidence.batch(evidence.run(), tenant, "p", 7)
    evidence.verification(("overdue", "p", tenant, 5, 0, NOW))
    evidence.hold(tenant)
    evidence.read()
    shown = json.loads(tenure("report", name, "--format", "json").stdout)
    page = console.pages.json(f"/console/{name}?size=1000")
    for moment in (shown, page):
        del moment["generated_at"]
        moment.pop("query", None)  # it carries its trace id
        moment.get("population", {}).pop("until", None)
    # Clocks go on between two readings.
    assert without_clocks(shown) == without_clocks(page)
    assert REPORTS[name].title in tenure("report", name).stdout
    assert "tenant" in tenure("report", name, "--format", "csv").stdout.partition("\r\n")[0] or (
        name not in ("holds", "changes")
    )


def without_clocks(value):
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if k not in
                ("in_force_s", "ends_in_s", "lasted_s", "longest_gap_s")}  # fmt: skip
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def test_a_pdf_goes_to_a_file(tenure, tmp_path: Path):
    file = tmp_path / "schedule.pdf"
    tenure("report", "schedule", "--format", "pdf", "--output", str(file))
    assert file.read_bytes().startswith(b"%PDF-")


def test_what_cannot_be_asked_is_refused(tenure):
    assert "installation's" in tenure("report", "alerts", "--tenant", "acme", code=2).output
    assert "nobody" in tenure("report", "runs", "--tenant", "nobody", code=2).output
    dates = ("--from", "2026-02-01", "--until", "2026-01-01")
    assert "no period" in tenure("report", "runs", *dates, code=2).output
    wrong = ("--format", "csv", "--table", "nothing")
    assert "has runs, gaps" in tenure("report", "runs", *wrong, code=2).output


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("holds --table events", "--table says of what a CSV is"),
        ("runs --daily", "--daily is for verifications"),
        ("samples --proofs folder", "--proofs are of samples"),
        ("runs --from 2099-01-01", "the period begins in the future"),
        ("reads --page 999", "there is no page 999 of 1000 lines"),
        ("reads --page 3 --size 2", "there is no page 3 of 2 lines"),
        ("schedule --page 2", "there is no page 2 of 1000 lines"),
    ],
)
def test_what_would_be_ignored_is_refused(console: Console, tenure, asked: str, said: str):
    for _ in range(4):
        console.evidence.read()
    assert said in tenure("report", *asked.split(), code=2).output
    tenure("report", "reads", "--page", "2", "--size", "2")


def test_what_is_not_shown_is_said(console: Console, tenure):
    for _ in range(3):
        console.evidence.read()
    whole = ("report", "reads", "--size", "2")
    for form in ("text", "json"):
        done = tenure(*whole, "--format", form, code=1)
        assert "there is more: --page 2" in done.stderr
        # Whoever has but the file is told as well.
        assert ("There is more: --page 2" if form == "text" else '"next": 2') in done.stdout
    assert "there is more: --page 2" in tenure(*whole, "--page", "1").stderr
    assert "there is more" not in tenure(*whole, "--page", "2").stderr


def test_a_csv_has_all_lines_or_those_of_the_page_that_was_asked_for(
    console: Console, tenure, tmp_path: Path
):
    for number in range(7):
        console.evidence.read(reason=f"ticket {number}")
        run = console.evidence.run()
    tenant = console.evidence.tenant("umbrella")
    console.evidence.hold(tenant, matter="m")
    file = tmp_path / "reads.csv"
    form = ("--format", "csv", "--size", "3", "--output", str(file))
    tenure("report", "reads", *form)
    lines = file.read_text().splitlines()
    assert sorted(line.split("ticket ")[1][0] for line in lines[1:]) == list("0123456")
    assert lines[0].startswith("id,")
    tenure("report", "reads", *form, "--page", "3")
    assert len(file.read_text().splitlines()) == 1 + 1
    # What is no list of pages stands there once.
    console.evidence.policy("p")
    tenure("report", "runs", *form, "--table", "next")
    assert len(file.read_text().splitlines()) == 1 + 2
    tenure("report", "runs", *form)
    assert file.read_text().count(run[1]) == 1
    assert len(file.read_text().splitlines()) == 1 + 7


@pytest.mark.parametrize("table", ["missed", "stops"])
def test_a_list_without_pages_that_is_cut_says_so(console: Console, tenure, table: str):
    console.evidence.sql(
        {
            "missed": "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed)"
            " SELECT 'policy p', now() - n * interval '1 h', now(), 1"
            " FROM generate_series(1, 1000) n",
            "stops": "INSERT INTO tenure.interventions (action, actor, reason)"
            " SELECT CASE n & 1 WHEN 1 THEN 'stop' ELSE 'start' END, 'ada', 'fire'"
            " FROM generate_series(1, 1000) n",
        }[table]
    )
    form = ("report", "runs", "--format", "csv", "--table", table)
    assert len(tenure(*form).stdout.splitlines()) == 1001
    assert console.pages.json("/console/runs")["cut"] == {"missed": False, "stops": False}
    console.evidence.sql(
        "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed)"
        " SELECT 'policy p', now() + interval '1 s', now(), 1;"
        " INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'ada', 'fire')"
    )
    said = "the latest 1,000 alone: ask for a shorter period"
    done = tenure(*form, code=1)
    assert f"{table}: {said}" in done.stderr
    assert len(done.stdout.splitlines()) == 1001
    assert console.pages.json("/console/runs")["cut"][table] is True
    assert said in console.pages.html("/console/runs")
    assert said in tenure("report", "runs", code=1).stdout


def test_a_gates_result_is_kept_as_it_was_printed(console: Console, tenure, tmp_path: Path):
    sql = tmp_path / "q.sql"
    sql.write_text("SELECT * FROM shop.notes;\n")
    catalog = Path(__file__).parents[3] / "migrations" / "catalog.json"
    linted = tenure("lint", "--catalog", str(catalog), "--format", "json", str(sql), code=1).stdout
    tenure("record", "-", "--of", "revision 3f2a1b0", text=linted)
    [kept] = console.pages.json("/console/inspections")["inspections"]
    assert (kept["kind"], kept["subject"], kept["passed"], kept["findings"]) == (
        "lint", "revision 3f2a1b0", False, 1,
    )  # fmt: skip
    assert kept["digest_matches"] is True
    assert kept["digest"] == hashlib.sha256(linted.encode()).hexdigest()
    answer = console.pages.client.get(f"/console/inspections/{kept['id']}.json")
    assert answer.data == linted.encode()


def test_gates_keep_their_own_results_when_told_to(console: Console, tenure, tmp_path: Path):
    sql = tmp_path / "q.sql"
    sql.write_text("SELECT 1;\n")
    catalog = Path(__file__).parents[3] / "migrations" / "catalog.json"
    tenure("lint", "--catalog", str(catalog), "--record", "revision 2", str(sql))
    url = console.installation.settings.database_url
    tenure("posture", "--database-url", url, "--record", "production", code=1)
    found = console.pages.json("/console/inspections")
    assert {(i["kind"], i["subject"], i["passed"]) for i in found["latest"]} == {
        ("lint", "revision 2", True), ("posture", "production", False),
    }  # fmt: skip
    assert all(i["recorded_by"].startswith("command:") for i in found["latest"])
    [(entered,)] = console.evidence.sql(
        "SELECT count(*) FROM tenure.ledger_entries WHERE kind = 'inspection'"
    )
    assert entered == 2


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"findings": 1, "statements": [], "summary": {}}', '{"findings": []}',
     '{"findings": [], "assumed": [], "checked": "\\u0000"}'],
)  # fmt: skip
def test_what_is_no_result_is_not_kept(console: Console, tenure, text: str):
    tenure("record", "-", "--of", "x", text=text, code=2)
    assert console.pages.json("/console/inspections")["inspections"] == []


def test_a_result_without_a_subject_is_not_kept(tenure):
    result = '{"findings": [], "assumed": [], "checked": 1}'
    assert "what was looked at" in tenure("record", "-", "--of", " ", text=result, code=2).output
