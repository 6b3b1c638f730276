"""An installation in which nothing has happened yet says so, and claims nothing."""

from __future__ import annotations

import pytest

LISTS = {
    "/console/runs": "No retention run is recorded",
    "/console/verifications": "No verification has run",
    "/console/holds": "No legal hold was ever placed",
    "/console/reads": "No read across tenants is recorded",
}


def test_overview_says_what_has_not_happened(console):
    html = console.pages.html("/console")
    for words in (
        "No policy has been recorded",
        "No retention run is recorded",
        "No verification has run: whether rows are overdue or orphaned is not known",
        "No legal hold is in force",
        "No read across tenants is recorded",
    ):
        assert words in html
    assert "not known" in html
    assert "<table" not in html


def test_overview_as_json_has_null_for_what_is_not_known(console):
    report = console.pages.json("/console")
    assert report["verification"] is None
    assert report["totals"] is None
    assert report["runs"] == report["policies"] == report["checks"] == []


@pytest.mark.parametrize("path", LISTS)
def test_lists_say_that_they_are_empty(console, path):
    assert LISTS[path] in console.pages.html(path)


def test_csv_without_rows_still_has_its_header(console):
    answer = console.pages.client.get("/console/runs.csv")
    assert answer.text.splitlines() == [
        "id,trace_id,state,detail,as_of,started_by,started_at,finished_at,seconds,planned,done,"
        "actions,batches"
    ]
