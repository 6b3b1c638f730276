"""A suppression is not of the form `tenure: allow CODE because REASON`."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS010",
    name="bad-suppression",
    group="Suppressions",
    what="A suppression is not of the form `tenure: allow CODE because REASON`.",
    why=("Whoever reads it later has to know why it is allowed; a wrong code suppresses nothing."),
    bad=("-- tenure: allow TS001\nSELECT count(*) FROM invoice"),
    good=(
        "-- tenure: allow TS001 because the nightly count covers all tenants on purpose\n"
        "SELECT count(*) FROM invoice"
    ),
    mend="name the code and the reason.",
)
