"""A suppression matches no finding."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS011",
    name="unused-suppression",
    group="Suppressions",
    what="A suppression matches no finding.",
    why="It would silently allow the next finding that comes to stand there.",
    bad=("-- tenure: allow TS001 because of the count\nSELECT 1"),
    good="SELECT 1",
    mend="delete the comment.",
)
