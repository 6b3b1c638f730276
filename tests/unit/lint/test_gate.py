"""From statements to findings: codes, places, suppressions, configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lint_support import prover

from lint.codes import CODE_OF_KIND, CODES, explain
from lint.config import Config, find_config, load_config
from lint.errors import ConfigError
from lint.formats.json import as_json
from lint.formats.text import as_text
from lint.gate import Report, judge
from lint.inputs.python_source import python_source
from lint.inputs.sources import sql_source


def sql(text: str) -> Report:
    return judge([sql_source("a.sql", text)], prover())


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT * FROM t", "TS001"),
        ("DELETE FROM t WHERE id = $1", "TS002"),
        ("SELECT * FROM t, s WHERE t.org = $1 AND s.org = $2", "TS003"),
        ("DO $$ BEGIN END $$", "TS004"),
        ("SELECT f(x) FROM t WHERE org = 1", "TS005"),
        ("SELEC 1", "TS006"),
    ],
)
def test_each_kind_has_its_code(text: str, code: str) -> None:
    assert codes(sql(text)) == [code]


def test_every_kind_that_fails_has_an_explained_code() -> None:
    assert set(CODE_OF_KIND.values()) <= set(CODES)
    for code, entry in CODES.items():
        page = explain(code)
        assert page is not None
        for part in (entry.what, entry.why, entry.bad.splitlines()[0], entry.good):
            assert part in page


def test_a_finding_stands_at_the_table() -> None:
    (finding,) = sql("SELECT 1;\nSELECT *\n  FROM t JOIN s ON s.org = 1\n WHERE t.x = 2").findings
    place = (finding.line, finding.column, finding.end_line, finding.end_column)
    assert place == (3, 8, 3, 9)


def test_one_bad_statement_hides_none() -> None:
    assert codes(sql("SELECT * FROM t;\nSELEC;\nSELECT * FROM s;")) == ["TS001", "TS006", "TS001"]


@pytest.mark.parametrize(
    "text",
    [
        "-- tenure: allow TS001 because it counts all\nSELECT * FROM t",
        "-- tenure: allow TS001 because it counts all\n-- more\nSELECT * FROM t",
        "SELECT * -- tenure: allow TS001 because it counts all\nFROM t",
        "SELECT * FROM t -- tenure: allow TS001 because it counts all\n",
        "SELECT * FROM t; -- tenure: allow TS001 because it counts all\n",
        "/* tenure: allow TS001, TS002 because both */ SELECT * FROM t; SELECT * FROM s WHERE id=1",
    ],
)
def test_a_suppression_with_a_reason_allows(text: str) -> None:
    report = sql(text)
    assert codes(report) == []
    assert report.summary()["suppressed"] >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- tenure: allow TS001\nSELECT * FROM t", ["TS010", "TS001"]),
        ("-- tenure: allow because of it\nSELECT * FROM t", ["TS010", "TS001"]),
        ("-- tenure: allow TS999 because of it\nSELECT * FROM t", ["TS010", "TS001"]),
        ("-- tenure: allow TS010 because of it\nSELECT 1", ["TS010"]),
        ("-- tenure: allow TS002 because of it\nSELECT * FROM t", ["TS011", "TS001"]),
        ("-- tenure: allow TS001 because of it\nSELECT 1", ["TS011"]),
        ("-- tenure: allow TS001 because of it\n\nSELECT * FROM t", ["TS011", "TS001"]),
        (
            "SELECT * FROM t; -- tenure: allow TS001 because of it\nSELECT * FROM s;",
            ["TS001"],
        ),
        ("SELECT '-- tenure: allow TS001 because of it' FROM t", ["TS001"]),
    ],
)
def test_a_suppression_that_does_not_allow_is_itself_a_finding(
    text: str, expected: list[str]
) -> None:
    assert sorted(codes(sql(text))) == sorted(expected)


def test_python_comments_suppress_on_the_lines_of_the_call() -> None:
    code = (
        "c.execute(\n"
        "    'SELECT * FROM t',  # tenure: allow TS001 because the report covers all\n"
        ")\n"
        "# tenure: allow TS004 because the planner proves it\n"
        "c.execute(q)\n"
    )
    report = judge([python_source("a.py", code)], prover())
    assert codes(report) == []


def test_text_shows_the_line_with_a_caret() -> None:
    text = as_text(sql("SELECT *\n\tFROM t"), colour=False, verdicts=True)
    lines = text.splitlines()
    shown = next(i for i, line in enumerate(lines) if line.endswith("FROM t"))
    assert lines[shown + 1].index("^") == lines[shown].rindex("t")
    assert "a.sql:1: unscoped (open)" in text
    assert "\x1b[" not in text
    assert "\x1b[" in as_text(sql("SELECT * FROM t"), colour=True, verdicts=False)


def test_json_has_the_documented_form() -> None:
    document = json.loads(as_json(sql("SELECT * FROM t a WHERE org = :tenant_id; TRUNCATE t")))
    assert set(document) == {"statements", "findings", "summary"}
    first = document["statements"][0]
    assert (first["path"], first["line"], first["verdict"]) == ("a.sql", 1, "scoped")
    assert first["occurrences"] == [
        {
            "table": "public.t",
            "alias": "a",
            "verdict": "scoped",
            "kind": "source",
            "reason": "a.org is the current tenant",
        }
    ]
    assert set(document["findings"][0]) == {
        "path",
        "line",
        "column",
        "end_line",
        "end_column",
        "code",
        "message",
    }
    assert document["summary"]["findings"] == 1


# -- configuration ---------------------------------------------------------------------------


def config(tmp_path: Path, text: str, name: str = "tenure.toml") -> Config:
    file = tmp_path / name
    file.write_text(text)
    found = load_config(file)
    assert found is not None
    return found


def test_every_key_is_read(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        """
        [tool.tenure.lint]
        tenant_columns = ["org"]
        tenants_table = "orgs"
        sources = ["current_setting('app.org')::int"]
        parameters = ["org"]
        search_path = ["shop"]
        schema = "schema.sql"
        [tool.tenure.lint.exempt]
        country = "the same for all"
        [tool.tenure.lint.parents]
        items = "gid -> g.id"
        [tool.tenure.lint.tenant_column_of]
        odd = "owner"
        [tool.tenure.lint.functions]
        "tenure.set_tenant" = "sets the context"
        [tool.tenure.lint.exclude]
        "old" = "not used any more"
        "*_pb2.py" = "generated"
        """,
        "pyproject.toml",
    )
    assert found.tenancy.tenant_columns == ("org",)
    assert found.tenancy.tenants_table == "orgs"
    assert found.tenancy.exempt == {"country": "the same for all"}
    assert found.tenancy.parents == {"items": "gid -> g.id"}
    assert found.tenancy.columns_by_table == {"odd": "owner"}
    assert found.sources.parameters == ("org",)
    assert found.sources.functions == ("tenure.set_tenant",)
    assert found.schema == tmp_path / "schema.sql"
    assert found.search_path == ("shop",)
    excluded = [found.excluded(tmp_path / p) for p in ("old/a.sql", "x/a_pb2.py", "new/a.sql")]
    assert excluded == [True, True, False]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[lint]\ntenant_column = 'org'", "tenant_column"),
        ("[lint]\ntenant_columns = 'org'", "tenant_columns"),
        ("[lint.exempt]\ncountry = ' '", "exempt.country"),
        ("[lint.exclude]\nold = 1", "exclude"),
        ("[lint]\nstrict_source = 'yes'", "strict_source"),
        ("[lint.suppress]\npath = 'a'", "suppress"),
        ("[[lint.suppress]]\npath = 'a'\ncodes = ['TS001']", "reason"),
        ("[[lint.suppress]]\npath = 'a'\nreason = 'so'", "codes"),
        ("[[lint.suppress]]\npath = 'a'\ncodes = ['TS999']\nreason = 'so'", "TS999"),
        ("[[lint.suppress]]\npath = 'a'\ncodes = ['TS011']\nreason = 'so'", "TS011"),
        ("[[lint.suppress]]\nfile = 'a'", "file"),
        ("[[lint.suppress]]\npath = 'a'\ncodes = ['TS001']\nreason = 'b'\nexpires = 1", "date"),
        ("[lint\n", "TOML"),
        ("[other]\n", "lint"),
    ],
)
def test_a_wrong_configuration_names_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert named in str(caught.value)


def test_the_nearest_configuration_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.tenure.lint]\ntenant_columns = ['a']")
    inner = tmp_path / "x" / "y"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[tool.other]\n")
    assert find_config(inner).tenancy.tenant_columns == ("a",)
    (inner / "tenure.toml").write_text("[lint]\ntenant_columns = ['b']")
    assert find_config(inner).tenancy.tenant_columns == ("b",)
