"""Names in the bodies of functions, and what they mean as far as one can tell."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TypeVar

from tenants.posture.bodies import calls_named, tables_named
from tenants.posture.facts import Facts
from tenants.posture.records import Function, Relation

_Named = TypeVar("_Named", Relation, Function)


class Names:
    """The relations and functions of a database by name, with their schema and without."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def bare(self, function: Function) -> frozenset[str]:
        """The relations that a body names without their schema."""
        return frozenset(
            name
            for name in tables_named(function.body)
            if "." not in name and self.relations(name, function)
        )

    def bare_calls(self, function: Function) -> frozenset[str]:
        """The functions of the database's own that a body calls without their schema."""
        return frozenset(
            name
            for name in calls_named(function.body)
            if "." not in name and self.functions(name, function)
        )

    def relations(self, name: str, function: Function) -> list[Relation]:
        """What a function may mean by the name of a relation."""
        return self._resolved(self.all_relations.get(name, []), name, function)

    def functions(self, name: str, function: Function) -> list[Function]:
        """What a function may mean by the name of a function; of overloads all."""
        return self._resolved(self.all_functions.get(name, []), name, function)

    def _resolved(self, found: list[_Named], name: str, function: Function) -> list[_Named]:
        """Of things of one name those that a function means by it, as far as one can tell."""
        if "." in name or len(found) < 2:
            return found
        path = function.settings.get("search_path", function.schema)
        for schema in (part.strip(' "') for part in path.split(",")):
            there = [one for one in found if one.schema == schema]
            if there:
                return there
        return found

    @cached_property
    def all_relations(self) -> dict[str, list[Relation]]:
        """Relations but sequences by `name` and by `schema.name`."""
        return _by_name(r for r in self.facts.relations.values() if r.kind != "sequence")

    @cached_property
    def all_functions(self) -> dict[str, list[Function]]:
        """Functions by `name` and by `schema.name`."""
        return _by_name(self.facts.functions.values())


def _by_name(things: Iterable[_Named]) -> dict[str, list[_Named]]:
    found: dict[str, list[_Named]] = {}
    for thing in things:
        found.setdefault(thing.name, []).append(thing)
        found.setdefault(f"{thing.schema}.{thing.name}", []).append(thing)
    return found
