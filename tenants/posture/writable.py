"""Views that PostgreSQL writes through: which table and columns a write to one ends in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from tenants.policy_sql import parsed
from tenants.policy_sql.trees import bare, label
from tenants.posture.records import Relation

if TYPE_CHECKING:
    from tenants.posture.subject import Subject

# With any of these a view is not written through.
_NEITHER = ("distinct", "group", "having", "with_", "limit", "offset", "joins", "windows")


@dataclass(frozen=True, slots=True)
class Through:
    """A view, and what a write to it writes: `columns` are the target's by those of the view."""

    view: Relation
    target: Relation
    columns: Mapping[str, str]

    @property
    def checked(self) -> str:
        """`local`, `cascaded`, or "" where nothing of what is written is compared with WHERE."""
        return self.view.options.get("check_option", "")


def written_through(subject: Subject, view: Relation) -> Iterator[Through]:
    """The way of a write from a view down to its table; nothing if it cannot be written.

    A view with INSTEAD OF triggers is theirs, not written through.
    """
    seen: set[int] = set()
    while view.kind == "view" and view.oid not in seen:
        seen.add(view.oid)
        step = _step(subject, view)
        if step is None:
            return
        yield step
        view = step.target


def _step(subject: Subject, view: Relation) -> Through | None:
    facts = subject.facts
    if any(trigger.relation == view.oid for trigger in facts.triggers):
        return None
    tree = parsed(view.definition.rstrip().rstrip(";"))
    if not isinstance(tree, exp.Select) or any(tree.args.get(key) for key in _NEITHER):
        return None
    source = tree.args["from_"].this if tree.args.get("from_") else None
    if source is None or source.args.get("joins") or any(tree.find_all(exp.AggFunc)):
        return None
    name = label(source)
    read = (facts.relations.get(use.target) for use in facts.uses_by(view.oid))
    target = next((r for r in read if r is not None and r.label == name), None)
    if target is None:
        return None
    names = (column.name for column in view.columns)
    columns = {
        own: inner.name
        for own, value in zip(names, tree.expressions, strict=False)
        if isinstance(inner := bare(value.unalias()), exp.Column) and inner is value.unalias()
    }
    return Through(view, target, columns)
