"""A run while it is worked on: who has which unit, what waits, what was left, who interfered."""

from __future__ import annotations

from api.workshop import workshop_of
from config.trace import new_trace_id
from retention import units
from retention.interventions import intervene
from retention.plan import catalog_digest
from tests.integration.retention.shop_rows import plant_invoices

from .conftest import Console


def test_open_run_shows_who_works_on_what_and_who_paused_it(console: Console, make_tenant):
    for slug in ("busy", "waiting"):
        plant_invoices(console.evidence.sql, make_tenant(slug))
    shop = workshop_of(console.installation, actor="tester")
    shop.record()
    trace = new_trace_id()
    run_id = shop.open(shop.plan(), trace_id=trace)
    claimant = units.Claimant("machine:1:ab", catalog_digest(shop.catalog), 60)
    with shop.retention.transaction(None) as cursor:
        assert units.claim(cursor, claimant) is not None
    intervene(shop.retention, run_id, "pause", actor="<op>", reason="month-end & more")
    path = f"/console/runs/{trace}"
    report = console.pages.json(path)
    shown = {u["tenant"]: (u["state"], u["worker"], u["reasons"]) for u in report["units"]}
    assert shown == {
        "busy": ("open", "machine:1:ab", []),
        "waiting": ("open", None, []),
    }
    tables = console.pages.tables(path)
    outcomes = {row["Tenant"].text: row["Outcome"].text for row in tables["units"]}
    assert "worked on by machine:1:ab" in outcomes["Busy"]
    assert "waits" in outcomes["Waiting"]
    (line,) = tables["interventions"]
    assert [line[k].text for k in ("What", "By", "Why")] == ["pause", "<op>", "month-end & more"]
    (row,) = console.pages.csv(path, "interventions")
    assert (row["action"], row["reason"]) == ("pause", "month-end & more")
    assert "it is paused" in console.pages.html(path)


def test_what_a_unit_left_and_ran_into_stands_beside_it(console: Console, make_tenant):
    plant_invoices(console.evidence.sql, make_tenant("acme-2"))
    shop = workshop_of(console.installation, actor="tester")
    shop.record()
    trace = new_trace_id()
    shop.open(shop.plan(), trace_id=trace)
    console.evidence.sql(
        "UPDATE tenure.units SET state = 'failed', finished_at = now(), detail = 'a <b>fault</b>',"
        ' skips = \'[{"reason": "locked by others", "rows": 2}, {"reason": "held"}]\''
    )
    (unit,) = console.pages.json(f"/console/runs/{trace}")["units"]
    assert unit["state"] == "failed"
    assert unit["reasons"] == ["a <b>fault</b>", "locked by others (2 rows)", "held"]
    html = console.pages.html(f"/console/runs/{trace}")
    assert "a &lt;b&gt;fault&lt;/b&gt;" in html
    assert "<b>fault" not in html
