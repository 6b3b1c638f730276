"""All that was read of a database, and what follows from it at once: who acts as whom, who holds
what, which policies hold for a role. No judgement here, and no connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from tenants.posture.records import (
    PUBLIC,
    Constraint,
    Extension,
    Function,
    Grant,
    Index,
    Membership,
    ObjectClass,
    Policy,
    Publication,
    Relation,
    Role,
    Schema,
    Server,
    Trigger,
    Use,
    quote,
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Facts:
    """Everything a rule may know of the database."""

    server: Server
    roles: Mapping[int, Role] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    schemas: Mapping[int, Schema] = field(default_factory=dict)
    relations: Mapping[int, Relation] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    functions: Mapping[int, Function] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    grants: tuple[Grant, ...] = ()
    publications: tuple[Publication, ...] = ()
    extensions: tuple[Extension, ...] = ()

    def role_name(self, oid: int) -> str:
        """Return a role's name; `PUBLIC` for 0."""
        if oid == PUBLIC:
            return "PUBLIC"
        return self.roles[oid].name if oid in self.roles else f"role {oid}"

    def role_sql(self, oid: int) -> str:
        """Return a role's name, quoted for SQL."""
        return "PUBLIC" if oid == PUBLIC else quote(self.role_name(oid))

    @cached_property
    def _members(self) -> dict[int, list[Membership]]:
        found: dict[int, list[Membership]] = {}
        for membership in self.memberships:
            found.setdefault(membership.member, []).append(membership)
        return found

    @cached_property
    def _owning(self) -> int:
        """pg_database_owner, or the owner itself where there is none."""
        named = (role.oid for role in self.roles.values() if role.name == "pg_database_owner")
        return next(named, self.server.database_owner)

    @cached_property
    def _closures(self) -> dict[tuple[int, bool], frozenset[int]]:
        return {}

    def _closure(self, role: int, *, setting: bool) -> frozenset[int]:
        known = self._closures.get((role, setting))
        if known is not None:
            return known
        seen, todo = {role}, [role]
        while todo:
            at = todo.pop()
            if at == self.server.database_owner and self._owning not in seen:
                seen.add(self._owning)  # a member of it without being granted it
            for step in self._members.get(at, ()):
                if step.role not in seen and (step.set_role if setting else step.inherit):
                    seen.add(step.role)
                    todo.append(step.role)
        return self._closures.setdefault((role, setting), frozenset(seen))

    def acts_as(self, role: int) -> frozenset[int]:
        """The roles whose privileges, policies and ownership a role has at once; itself too."""
        return self._closure(role, setting=False)

    def may_become(self, role: int) -> frozenset[int]:
        """The roles that it may SET ROLE to, directly or step by step; itself too."""
        return self._closure(role, setting=True)

    @cached_property
    def _grants_on(self) -> dict[tuple[ObjectClass, int], list[Grant]]:
        found: dict[tuple[ObjectClass, int], list[Grant]] = {}
        for grant in self.grants:
            found.setdefault((grant.object_class, grant.object), []).append(grant)
        return found

    def grants_on(self, object_class: ObjectClass, oid: int) -> list[Grant]:
        """The grants on one object."""
        return self._grants_on.get((object_class, oid), [])

    @cached_property
    def _policies_on(self) -> dict[int, list[Policy]]:
        found: dict[int, list[Policy]] = {}
        for policy in self.policies:
            found.setdefault(policy.relation, []).append(policy)
        return found

    def policies_on(self, relation: int) -> list[Policy]:
        """The policies of one table."""
        return self._policies_on.get(relation, [])

    @cached_property
    def _constraints_on(self) -> dict[int, list[Constraint]]:
        return _grouped(self.constraints, lambda constraint: constraint.relation)

    def constraints_on(self, relation: int) -> list[Constraint]:
        """The constraints of one table."""
        return self._constraints_on.get(relation, [])

    @cached_property
    def _references_to(self) -> dict[int, list[Constraint]]:
        return _grouped(self.constraints, lambda constraint: constraint.target)

    def references_to(self, relation: int) -> list[Constraint]:
        """The foreign keys onto one table."""
        return self._references_to.get(relation, [])

    @cached_property
    def _indexes_on(self) -> dict[int, list[Index]]:
        return _grouped(self.indexes, lambda index: index.relation)

    def indexes_on(self, relation: int) -> list[Index]:
        """The indexes of one table."""
        return self._indexes_on.get(relation, [])

    @cached_property
    def _uses_by(self) -> dict[int, list[Use]]:
        return _grouped(self.uses, lambda use: use.relation)

    def uses_by(self, relation: int) -> list[Use]:
        """What a view reads, and what the rules of a relation read and write."""
        return self._uses_by.get(relation, [])

    @cached_property
    def children(self) -> Mapping[int, tuple[int, ...]]:
        """Partitions and inheriting tables by parent."""
        found: dict[int, list[int]] = {}
        for relation in self.relations.values():
            for parent in relation.parents:
                found.setdefault(parent, []).append(relation.oid)
        return {parent: tuple(oids) for parent, oids in found.items()}

    def ancestors(self, relation: Relation) -> tuple[Relation, ...]:
        """What a table inherits from, at any depth; of a partition the partitioned tables."""
        found: dict[int, Relation] = {}
        todo = list(relation.parents)
        while todo:
            above = self.relations.get(todo.pop(0))
            if above is not None and above.oid not in found:
                found[above.oid] = above
                todo += above.parents
        return tuple(found.values())

    @cached_property
    def _schema_oids(self) -> dict[str, int]:
        return {schema.name: schema.oid for schema in self.schemas.values()}

    def privileges(self, role: int, relation: Relation) -> frozenset[str]:
        """What a role may do with a relation, by grant, by membership or as its owner.

        A privilege on some columns counts as one on the relation. Without USAGE on the schema
        there is none.
        """
        key = (role, relation.oid)
        if key not in self._privileges:
            self._privileges[key] = self._held(role, relation)
        return self._privileges[key]

    @cached_property
    def _privileges(self) -> dict[tuple[int, int], frozenset[str]]:
        return {}

    def _held(self, role: int, relation: Relation) -> frozenset[str]:
        known = self.roles.get(role)
        if known is not None and known.superuser:
            return ALL_PRIVILEGES
        acting = self.acts_as(role)
        if relation.owner in acting:
            return ALL_PRIVILEGES
        schema = self._schema_oids.get(relation.schema)
        if schema is not None and "USAGE" not in self.schema_privileges(role, schema):
            return frozenset()
        held: set[str] = set()
        for grant in (
            *self.grants_on("relation", relation.oid),
            *self.grants_on("column", relation.oid),
        ):
            if grant.grantee == PUBLIC or grant.grantee in acting:
                held |= grant.privileges
        return frozenset(held)

    def privileges_on(
        self, role: int, relation: Relation, columns: Collection[int]
    ) -> frozenset[str]:
        """What a role may do with at least one of these columns, by grant or as the owner."""
        held = self.privileges(role, relation)
        acting = self.acts_as(role)
        if held == ALL_PRIVILEGES or not held:
            return held
        return frozenset().union(
            *(
                grant.privileges
                for grant in (
                    *self.grants_on("relation", relation.oid),
                    *self.grants_on("column", relation.oid),
                )
                if grant.grantee == PUBLIC or grant.grantee in acting
                if not grant.column or grant.column in columns
            )
        )

    def schema_privileges(self, role: int, schema: int) -> frozenset[str]:
        """What a role may do with a schema: USAGE, CREATE."""
        acting = self.acts_as(role)
        if self.schemas[schema].owner in acting or self.roles[role].superuser:
            return frozenset({"USAGE", "CREATE"})
        held: set[str] = set()
        for grant in self.grants_on("schema", schema):
            if grant.grantee == PUBLIC or grant.grantee in acting:
                held |= grant.privileges
        return frozenset(held)

    def may_execute(self, role: int, function: Function) -> bool:
        """Whether a role may call a function."""
        acting = self.acts_as(role)
        if function.owner in acting or self.roles[role].superuser:
            return True
        return any(
            "EXECUTE" in grant.privileges
            for grant in self.grants_on("function", function.oid)
            if grant.grantee == PUBLIC or grant.grantee in acting
        )

    def bound_by(self, role: int, relation: Relation) -> bool:
        """Whether row-level security of a table holds for a role at all.

        Not if it is off, the role is exempt, or acts as the owner of a table that is not forced.
        """
        if not relation.row_security or self.roles[role].exempt:
            return False
        return relation.forced or relation.owner not in self.acts_as(role)

    def policies_for(self, role: int, relation: Relation) -> list[Policy]:
        """The policies that apply to a role, permissive and restrictive."""
        key = (role, relation.oid)
        if key not in self._applying:
            acting = self.acts_as(role)
            self._applying[key] = [
                policy
                for policy in self.policies_on(relation.oid)
                if any(r == PUBLIC or r in acting for r in policy.roles)
            ]
        return self._applying[key]

    @cached_property
    def _applying(self) -> dict[tuple[int, int], list[Policy]]:
        return {}


def _grouped(items: Iterable[_T], key: Callable[[_T], int]) -> dict[int, list[_T]]:
    found: dict[int, list[_T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


DML = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
ALL_PRIVILEGES = DML | {"TRUNCATE", "REFERENCES", "TRIGGER"}
