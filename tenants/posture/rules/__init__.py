"""One rule, one module, one value `RULE`; a module here is a rule, there is no list."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from tenants.posture.rule import SEVERITIES, Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, the gravest first, then by name."""
    found: list[Rule] = []
    for module in pkgutil.iter_modules(__path__):
        rule = importlib.import_module(f"{__name__}.{module.name}").RULE
        if not isinstance(rule, Rule):
            raise TypeError(f"{__name__}.{module.name}.RULE is no Rule")
        found.append(rule)
    return tuple(sorted(found, key=lambda rule: (SEVERITIES.index(rule.severity), rule.name)))


def rule_named(name: str) -> Rule | None:
    """The rule of a name, or None."""
    return next((rule for rule in all_rules() if rule.name == name), None)
