"""Suppressions say what, where, why and until when, or are refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tenants.posture.errors import SuppressionError
from tenants.posture.rule import Finding
from tenants.posture.suppressions import Suppression, load_suppressions

RULES = ["rls-off", "policy-true"]
TODAY = datetime.date(2030, 6, 15)
FINDING = Finding("rls-off", "error", "shop.invoices", "..", None)


def load(folder: Path, text: str) -> tuple[Suppression, ...]:
    file = folder / "tenure.toml"
    file.write_text(text)
    return load_suppressions(file, RULES)


@pytest.mark.parametrize(
    ("suppression", "covers"),
    [
        (Suppression("rls-off", "shop.invoices", "so"), True),
        (Suppression("rls-off", "shop.*", "so"), True),
        (Suppression("rls-off", "*", "so", datetime.date(2030, 6, 15)), True),
        (Suppression("rls-off", "*", "so", datetime.date(2030, 6, 14)), False),
        (Suppression("policy-true", "shop.*", "so"), False),
        (Suppression("rls-off", "shop.invoice", "so"), False),
        (Suppression("rls-off", "SHOP.*", "so"), False),
    ],
)
def test_a_suppression_covers_one_rule_a_glob_of_objects_and_some_days(
    suppression: Suppression, covers: bool
) -> None:
    assert suppression.covers(FINDING, TODAY) is covers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[posture.suppress]]\nrule = 'rls-off'\nobject = '*'", "number 1: reason must be a text"),
        ("[[posture.suppress]]\nrule = 'rls-off'\nobject = '*'\nreason = ' '", "reason must be"),
        ("[[posture.suppress]]\nrule = 'rls-of'\nobject = '*'\nreason = 'x'", "no rule 'rls-of'"),
        (
            "[[posture.suppress]]\nrule = 'rls-off'\nobject = '*'\nreason = 'x'\nexpires = 'soon'",
            "expires must be a date",
        ),
        (
            "[[posture.suppress]]\nrule = 'rls-off'\nobject = '*'\nreason = 'x'\nuntil = 1",
            "unknown key 'until'",
        ),
        ("[posture.suppress]\nrule = 'rls-off'", "with two brackets"),
        ("[posture]\nfail_on = 'warning'", "nothing else"),
        ("[[posture.suppress", "not TOML"),
    ],
)
def test_a_wrong_suppression_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SuppressionError, match=said) as refused:
        load(tmp_path, text)
    assert "tenure.toml" in str(refused.value)


def test_a_file_about_other_things_suppresses_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "pool_size = 4\n[lint]\nexclude = {}\n") == ()
