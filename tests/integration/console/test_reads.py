"""A read across tenants, as it was done, is what auditors are shown of it."""

from __future__ import annotations

import csv
import io

from config.trace import new_trace_id
from tenants.crossing import cross_tenant

from .conftest import Console

STATEMENT = "SELECT count(*) FROM shop.customers WHERE name <> %s"


def test_who_read_why_where_and_what_is_on_the_page_in_json_and_in_csv(console: Console) -> None:
    trace = new_trace_id()
    with cross_tenant(
        console.installation.verifier,
        console.installation.retention,
        reason="monthly count <b>for billing</b>",
        actor="command:ada",
        trace_id=trace,
    ) as reader:
        reader.read(STATEMENT, ("a value that is nobody's business",))
    (line,) = console.pages.json("/console/reads")["reads"]
    assert (line["actor"], line["reason"], line["statement"], line["trace_id"]) == (
        *("command:ada", "monthly count <b>for billing</b>", STATEMENT, trace),
    )
    assert line["place"].startswith("test_reads.py:")
    (row,) = csv.DictReader(io.StringIO(console.pages.client.get("/console/reads.csv").text))
    assert {key: row[key] for key in line} == {
        key: value if isinstance(value, str) else str(value) for key, value in line.items()
    }
    for path in ("/console/reads", "/console"):
        page = console.pages.html(path)
        assert "monthly count &lt;b&gt;for billing&lt;/b&gt;" in page
        assert STATEMENT.replace("<>", "&lt;&gt;") in page
        for shown in ("command:ada", line["place"], trace[:12]):
            assert shown in page
        assert "nobody" not in page
