"""One rule, one module, one value `RULE`; a module here is a rule, there is no list."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from lint.rule import Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, by code. Raises TypeError for a module without one, or with a code twice."""
    found: dict[str, Rule] = {}
    for module in pkgutil.iter_modules(__path__):
        rule = importlib.import_module(f"{__name__}.{module.name}").RULE
        if not isinstance(rule, Rule) or rule.code in found:
            raise TypeError(f"{__name__}.{module.name}: RULE is no rule, or its code is taken")
        found[rule.code] = rule
    return tuple(found[code] for code in sorted(found))
