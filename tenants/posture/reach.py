"""What views and functions show that run as their owner, whom policies may not bind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tenants.policy_sql import Knowledge
from tenants.posture.bodies import calls_named, tables_named, without_comments
from tenants.posture.dynamic import Dynamic, dynamic, passes_on
from tenants.posture.excuses import Excuse, excuse
from tenants.posture.facts import DML
from tenants.posture.names import Names
from tenants.posture.reads import Found, is_limited, unlimited
from tenants.posture.records import Function, Relation, Role

if TYPE_CHECKING:
    from tenants.posture.subject import Subject

INVOKER_VIEWS = 150000  # security_invoker came with 15
_COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_ASKS = re.compile(r"\b(current_setting|session_user)\b|\bauth\s*\.\s*\w+\s*\(", re.IGNORECASE)
Shows = Literal["open", "unknown", "limited"]


@dataclass(frozen=True, slots=True)
class ViewReach:
    """A view that reads tenants' rows as its owner, and that the app can read or write through.

    `relations` are the tables and materialized views behind it that are open to the owner;
    `shows` says whether the view's own query limits them to the caller's rows.
    """

    view: Relation
    relations: tuple[Relation, ...]
    shows: Shows


@dataclass(frozen=True, slots=True)
class FunctionReach:
    """A function that runs as its owner, and the tenant tables it names that are open to it.

    `shows` is "unknown" where the body asks for the session's context in a way that is not
    followed. `excuse`: "secret", a column that is one by its name is compared with something;
    and for tables on which the app holds no grant, so that the function is the way that was
    meant, "lookup", an argument is compared with a column, and "quiet", nothing that the body
    reads leaves it. `dynamic` says whether it runs SQL that it puts together, which may name
    any table: "argument" where its caller has a hand in that.
    """

    function: Function
    tables: tuple[Relation, ...]
    shows: Shows
    excuse: Excuse
    dynamic: Dynamic = ""


class Reach:
    """The views and functions of a subject, judged."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.facts = subject.facts
        self.names = Names(subject.facts)

    # Views

    def invokes(self, view: Relation) -> bool:
        """Whether a view reads as whoever asks."""
        return self.facts.server.version_num >= INVOKER_VIEWS and is_on(
            view.options.get("security_invoker", "off")
        )

    def holds_tenants(self, relation: Relation) -> bool:
        """Whether a table, view or materialized view has tenants' rows in it or behind it."""
        return self._holding(relation.oid, frozenset())

    def filled_with_tenants(self, view: Relation) -> bool:
        """Whether a materialized view holds tenants' rows, be it by way of a function."""
        asked = (
            self.facts.functions[use.target]
            for use in self.facts.uses_by(view.oid)
            if use.target_class == "function" and use.target in self.facts.functions
        )
        return self.holds_tenants(view) or any(
            next(self._tables(tables_named(part.body), part), None) is not None
            for function in asked
            for part in self._with_callees(function)
        )

    def _holding(self, oid: int, above: frozenset[int]) -> bool:
        known = self._held.get(oid)
        if known is not None:
            return known
        relation = self.facts.relations.get(oid)
        if relation is None or oid in above:
            return False
        found = self.subject.tenant_column(relation) is not None or any(
            self._holding(use.target, above | {oid})
            for use in self.facts.uses_by(oid)
            if use.target_class == "relation" and use.event == "SELECT"
        )
        self._held[oid] = found
        return found

    @cached_property
    def _held(self) -> dict[int, bool]:
        return {}

    @cached_property
    def views(self) -> tuple[ViewReach, ...]:
        """The app's views that read tenants' rows as an owner to whom they are open.

        A view within a view reads as its own owner, or as the caller where it invokes; that
        of a view that limits its rows is limited with it.
        """
        todo = [
            view
            for view in self.facts.relations.values()
            if view.kind == "view" and self.subject.apps_that(view, *DML)
        ]
        found: dict[int, ViewReach] = {}
        seen: set[int] = set()
        while todo:
            view = todo.pop()
            if view.oid in seen or not self.holds_tenants(view):
                continue
            seen.add(view.oid)
            if self.invokes(view):
                continue
            shown, itself = self._shown(view), self._of_query(view.definition)
            behind = [
                self.facts.relations[use.target]
                for use in self.facts.uses_by(view.oid)
                if use.target_class == "relation" and use.target in self.facts.relations
            ]
            views = [v for v in behind if v.kind == "view"]
            todo += [v for v in views if self._kind(itself, v) != "limited"]
            owner = self.facts.roles[view.owner]
            open_ones = [r for r in behind if r.kind != "view" and self._opens(owner, r)]
            kinds: set[Shows] = {self._kind(shown, r) for r in open_ones}
            # What a view within it leaves open, it limits itself.
            within = {
                r
                for v in views
                if self._kind(itself, v) == "limited"
                for r in self._left_open(v, frozenset({view.oid}))
            }
            if within:
                open_ones = [*open_ones, *(self.facts.relations[oid] for oid in sorted(within))]
                kinds.add("limited")
            if open_ones:
                worst: Shows = next(k for k in ("open", "unknown", "limited") if k in kinds)
                if worst != "limited":
                    open_ones = [
                        r
                        for r in open_ones
                        if r.oid not in within and self._kind(shown, r) == worst
                    ]
                found[view.oid] = ViewReach(view, tuple(open_ones), worst)
        return tuple(sorted(found.values(), key=lambda reach: reach.view.label))

    def _left_open(self, view: Relation, above: frozenset[int]) -> frozenset[int]:
        """The tables of which a view shows its owner's rows without a condition of its own."""
        if self.invokes(view) or view.oid in above:
            return frozenset()
        shown, owner = self._shown(view), self.facts.roles[view.owner]
        found: set[int] = set()
        for use in self.facts.uses_by(view.oid):
            target = self.facts.relations.get(use.target)
            if use.target_class != "relation" or target is None:
                continue
            if self._kind(shown, target) == "limited":
                continue
            if target.kind == "view":
                found |= self._left_open(target, above | {view.oid})
            elif self._opens(owner, target):
                found.add(target.oid)
        return frozenset(found)

    def _opens(self, owner: Role, relation: Relation) -> bool:
        """Whether an owner sees rows of all tenants in a relation, and the app does not anyway."""
        if relation.kind == "matview":
            return self.holds_tenants(relation) and not self.subject.apps_that(relation, "SELECT")
        return (
            self.subject.tenant_column(relation) is not None
            and self.open_to(owner, relation)
            and not any(
                "SELECT" in self.facts.privileges(app.oid, relation) and self.open_to(app, relation)
                for app in self.subject.app_roles
            )
        )

    def open_to(self, role: Role, relation: Relation) -> bool:
        """Whether some command of a role reaches rows of all tenants, or may."""
        return any(not self.subject.admits(role, relation, c).at_most("unknown") for c in _COMMANDS)

    def _of_query(
        self, text: str, guarded: frozenset[str] = frozenset()
    ) -> dict[str, Found] | None:
        known = replace(self._knowledge, guarded=guarded)
        return unlimited(text, frozenset(self.subject.tenant_columns), known)

    def _shown(self, view: Relation) -> dict[str, Found] | None:
        """What a view's query leaves open: what it joins with a limited view is limited."""
        return self._of_query(view.definition, self._limited_views(view, frozenset()))

    def _limited_views(self, view: Relation, above: frozenset[int]) -> frozenset[str]:
        """The views in a view that show none but the caller's rows."""
        behind = (self.facts.relations.get(use.target) for use in self.facts.uses_by(view.oid))
        return frozenset(
            inner.label
            for inner in behind
            if inner is not None
            and inner.kind == "view"
            and inner.oid not in above
            and not self.invokes(inner)
            and is_limited(
                inner.definition,
                frozenset(self.subject.tenant_columns),
                replace(
                    self._knowledge,
                    guarded=self._limited_views(inner, above | {view.oid}),
                ),
            )
        )

    def _kind(self, shown: dict[str, Found] | None, relation: Relation) -> Shows:
        return "unknown" if shown is None else shown.get(relation.label, "limited")

    # Functions

    @cached_property
    def functions(self) -> tuple[FunctionReach, ...]:
        """The SECURITY DEFINER functions whose owner sees all tenants in tables they name."""
        found = (self._of_function(f) for f in self.facts.functions.values() if f.definer)
        return tuple(sorted((r for r in found if r), key=lambda reach: reach.function.label))

    def _of_function(self, function: Function) -> FunctionReach | None:
        owner = self.facts.roles[function.owner]
        parts = self._with_callees(function)
        tables = {
            table.oid: table
            for part in parts
            for table in self._tables(tables_named(part.body), part)
            if self.open_to(owner, table)
        }
        made = self._dynamic(function, parts) if self._sees_all(owner) else ""
        if not tables and not made:
            return None
        kinds = {self._shows(part, tables.values(), parts) for part in parts}
        worst: Shows = next(k for k in ("open", "unknown", "limited") if k in kinds)
        ordered = tuple(sorted(tables.values(), key=lambda table: table.label))
        return FunctionReach(function, ordered, worst, self._excuse(function, ordered), made)

    def _sees_all(self, owner: Role) -> bool:
        """Whether a role reaches every tenant's rows in some table."""
        if owner.oid not in self._seeing:
            tables = self.subject.tenant_tables
            self._seeing[owner.oid] = any(self.open_to(owner, table) for table in tables)
        return self._seeing[owner.oid]

    @cached_property
    def _seeing(self) -> dict[int, bool]:
        return {}

    def _dynamic(self, function: Function, parts: list[Function]) -> Dynamic:
        """Whether a function, or what it calls, runs SQL that is no constant."""
        rows = ("new", "old") if function.returns == "trigger" else None
        found = {dynamic(function, tainted=rows)}
        for part in parts[1:]:
            made = dynamic(part)
            if made == "argument" and not passes_on(function, part.name):
                made = "other"
            found.add(made)
        order: tuple[Dynamic, ...] = ("argument", "other", "")
        return next(kind for kind in order if kind in found)

    def _excuse(self, function: Function, tables: tuple[Relation, ...]) -> Excuse:
        # The tenants themselves are joined for their names.
        others = [table for table in tables if table.oid != self.subject.registry]
        reached = not others or any(self.subject.apps_that(table, *DML) for table in others)
        return excuse(function, only_way=not reached)

    def _with_callees(self, function: Function) -> list[Function]:
        """A function and those it calls that run as its owner with it."""
        found = {function.oid: function}
        todo = [function]
        while todo:
            part = todo.pop()
            for name in calls_named(part.body):
                for called in self.names.functions(name, part):
                    if not called.definer and called.oid not in found:
                        found[called.oid] = called
                        todo.append(called)
        return list(found.values())

    def _shows(self, part: Function, tables: Iterable[Relation], together: list[Function]) -> Shows:
        own = {t.oid for t in self._tables(tables_named(part.body), part)} & {t.oid for t in tables}
        if not own:
            return "limited"
        found = None
        if part.language == "sql":
            found = self._of_query(_queries(part))
        if found is None:
            return "unknown" if any(self.asks(f) for f in together) else "open"
        kinds = {
            kind
            for name, kind in found.items()
            if any(t.oid in own for t in self.names.relations(name, part))
        }
        return "open" if "open" in kinds else "unknown" if kinds else "limited"

    def asks(self, function: Function) -> bool:
        """Whether a body asks for the session's context, itself or by what it calls."""
        return self._asking(function, frozenset())

    def _asking(self, function: Function, above: frozenset[int]) -> bool:
        if function.oid in above:
            return False
        if _ASKS.search(without_comments(function.body)):
            return True
        return any(
            self._asking(called, above | {function.oid})
            for name in calls_named(function.body)
            for called in self.names.functions(name, function)
        )

    def _tables(self, names: Iterable[str], function: Function) -> Iterator[Relation]:
        """The tenant tables of these names, and those behind views of these names."""
        for name in names:
            for relation in self.names.relations(name, function):
                yield from self._behind(relation, frozenset())

    def _behind(self, relation: Relation, above: frozenset[int]) -> Iterator[Relation]:
        if relation.kind != "view":
            if self.subject.tenant_column(relation) is not None:
                yield relation
            return
        for use in self.facts.uses_by(relation.oid):
            target = self.facts.relations.get(use.target)
            if use.target_class == "relation" and target is not None and target.oid not in above:
                yield from self._behind(target, above | {relation.oid})

    @cached_property
    def _knowledge(self) -> Knowledge:
        """With the names that are unambiguous without their schema, as bodies write them."""
        known = self.subject.policies_judged.unguarded
        functions = {(name.partition(".")[2], n): f for (name, n), f in known.functions.items()}
        columns = {
            name: known.columns[found[0].label]
            for name, found in self.names.all_relations.items()
            if len(found) == 1
        }
        return replace(
            known, functions={**functions, **known.functions}, columns={**columns, **known.columns}
        )


def _queries(function: Function) -> str:
    """The body of a function in SQL as plain statements, with `$1` as an unknown column."""
    text = function.body.strip()
    if text.lower().startswith("begin atomic"):
        text = text[len("begin atomic") :].strip().removesuffix("END")
    elif text.lower().startswith("return "):
        text = f"SELECT {text[len('return ') :]}"
    return re.sub(r"\$\d+", '"$argument"', text)


def is_on(option: str) -> bool:
    """Whether an option of a relation is set, as PostgreSQL reads booleans."""
    return option.lower() in ("true", "on", "yes", "1", "t", "y")
