"""The pages of the rules: what `--explain` prints, and what stands in `docs/lint`.

`python -m lint.pages docs/lint` writes them; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lint.example import SCHEMA
from lint.rule import GROUPS, Rule
from lint.rules import all_rules


def page(rule: Rule) -> str:
    """The page of one rule, as Markdown."""
    return "\n".join(
        (
            f"# {rule.code} ({rule.name})",
            "",
            rule.what,
            "",
            rule.why,
            "",
            "Bad:",
            "",
            f"```{rule.language}",
            rule.bad,
            "```",
            "",
            "Good:",
            "",
            f"```{rule.language}",
            rule.good,
            "```",
            "",
            f"To mend it: {rule.mend}",
            "",
        )
    )


def index() -> str:
    """The list of all rules, and the schema of their examples, as Markdown."""
    lines = [
        "# Rules",
        "",
        "`tenure lint --explain CODE` prints a rule's page. A rule's finding is suppressed like "
        "any other: `-- tenure: allow CODE because REASON`.",
        "",
        "Rules of the schema look at all the DDL of a file together: what is created and mended "
        "in the same file is no finding. Where a file sets row-level security or policies by "
        "dynamic SQL, their absence is not reported.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| code | name | finding |", "|---|---|---|"]
        for rule in all_rules():
            if rule.group == group:
                lines.append(f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.what} |")
    lines += [
        "",
        "## The schema of the examples",
        "",
        "`tenants` is the tenants table, `tenure.current_tenant()` the declared source.",
        "",
        "```sql",
        SCHEMA.strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def documents() -> dict[str, str]:
    """All pages by file name."""
    return {"rules.md": index(), **{f"{rule.code}.md": page(rule) for rule in all_rules()}}


def main(folder: Path) -> None:
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
