"""The pages are what the rules say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tenants.posture.pages import documents, page
from tenants.posture.rules import all_rules, rule_named
from tenants.posture.suppressions import load_suppressions

FOLDER = Path(__file__).parents[3] / "docs" / "posture"
WRITE = (
    "write them anew: python -c 'from pathlib import Path; from tenants.posture.pages import write;"
    ' from tenants.posture.rules import all_rules; write(Path("docs/posture"), all_rules())\''
)


def test_every_rule_has_its_page_and_no_page_is_left_over() -> None:
    expected = documents(all_rules(), (FOLDER / "README.md").read_text())
    assert {file.name for file in FOLDER.glob("*.md")} == {*expected, "field-notes.md"}
    for name, text in expected.items():
        assert (FOLDER / name).read_text() == text, f"{name} is old; {WRITE}"


def test_the_number_of_rules_is_right() -> None:
    text = (FOLDER / "README.md").read_text()
    assert f" {len(all_rules())} rules: " in text
    assert f'"rules": {len(all_rules())},' in text


def test_every_module_is_one_rule_under_its_own_name() -> None:
    folder = Path(__file__).parents[3] / "tenants" / "posture" / "rules"
    modules = {f.stem.replace("_", "-") for f in folder.glob("*.py") if f.stem != "__init__"}
    assert {rule.name for rule in all_rules()} == modules
    assert len(modules) >= 30


def test_every_rule_says_what_why_and_where_from() -> None:
    for rule in all_rules():
        assert len(rule.why) > 60
        assert rule.sources
        assert all(re.match(r"https://|CVE-\d{4}-\d+$", source) for source in rule.sources)
        assert not rule.title.endswith(".")
        assert "".join(rule.why.split()) in "".join(page(rule).split())
        # Without an example there is a unit test, and a reason.
        assert bool(rule.bad) == bool(rule.good)
        assert rule.bad or rule.manual


def test_the_suppression_shown_is_one(tmp_path: Path) -> None:
    shown = re.findall(r"```toml\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    (tmp_path / "tenure.toml").write_text(shown[0])
    assert tomllib.loads(shown[0])
    loaded = load_suppressions(tmp_path / "tenure.toml", [rule.name for rule in all_rules()])
    assert [s.rule for s in loaded] == ["policy-true"]


def test_a_rule_is_found_by_name() -> None:
    found = rule_named("rls-off")
    assert found is not None
    assert rule_named("no-such-rule") is None
