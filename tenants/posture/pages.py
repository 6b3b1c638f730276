"""A rule's page: `--explain` prints it, `docs/posture/<rule>.md` is it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from tenants.posture.examples import BASE
from tenants.posture.rule import Rule


def page(rule: Rule) -> str:
    """The page of a rule, in Markdown."""
    lines = [f"# {rule.name}", "", f"{rule.title}. *{rule.severity}*, {rule.group.lower()}.", ""]
    lines += [*wrap(rule.why, 100), ""]
    for heading, sql in (("Bad", rule.bad), ("Good", rule.good)):
        if sql.strip():
            lines += [f"{heading}:", "", "```sql", sql.strip(), "```", ""]
    if rule.manual:
        lines += wrap(f"No statement mends it by itself: {rule.manual}.", 100)
    else:
        lines.append("A finding's `fix_sql` mends it.")
    lines += ["", *(f"- {source}" for source in rule.sources), ""]
    return "\n".join(lines)


def base_page() -> str:
    """The page of the schema that the examples stand on."""
    return "\n".join(
        (
            "# The examples' schema",
            "",
            "The bad and good statements of each rule are run on top of this schema, by the tests.",
            "",
            "```sql",
            BASE.strip(),
            "```",
            "",
        )
    )


def index(rules: Sequence[Rule]) -> str:
    """The table of all rules, by group."""
    lines: list[str] = []
    grouped = groupby(sorted(rules, key=lambda r: (r.group, r.name)), key=lambda r: r.group)
    for group, members in grouped:
        lines += [f"### {group}", "", "| rule | severity | what |", "|---|---|---|"]
        lines += [f"| [{r.name}]({r.name}.md) | {r.severity} | {r.title} |" for r in members]
        lines.append("")
    return "\n".join(lines)


BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->"


def documents(rules: Sequence[Rule], readme: str) -> dict[str, str]:
    """The files of the rules' folder by name; in the README the table between its marks."""
    head, _, rest = readme.partition(BEGIN)
    pages = {f"{rule.name}.md": page(rule) for rule in rules}
    table = f"{head}{BEGIN}\n{index(rules)}\n{END}{rest.partition(END)[2]}"
    return {**pages, "examples.md": base_page(), "README.md": table}


def write(folder: Path, rules: Sequence[Rule]) -> None:
    """Write the rules' folder anew. Pages of rules that are gone are removed by hand."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for name, text in documents(rules, readme).items():
        (folder / name).write_text(text, encoding="utf-8")
