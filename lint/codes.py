"""The codes of findings, and what each means: gathered from the rules."""

from __future__ import annotations

from lint.pages import page
from lint.rule import Rule
from lint.rules import all_rules

CODES: dict[str, Rule] = {rule.code: rule for rule in all_rules()}

# The code of each kind of verdict that is reported.
CODE_OF_KIND: dict[str, str] = {kind: rule.code for rule in all_rules() for kind in rule.kinds}


def explain(code: str) -> str | None:
    """The page of a code, or None if there is no such code."""
    found = CODES.get(code.upper())
    return None if found is None else page(found).rstrip("\n")
