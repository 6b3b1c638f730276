"""What the rules judge: the facts, and who and what in them is a tenant's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tenants.policy_sql import Judgement
from tenants.posture.facts import Facts
from tenants.posture.policies import Policies
from tenants.posture.reach import Reach
from tenants.posture.records import Policy, Relation, Role


@dataclass(frozen=True)
class Subject:
    """`tenant_columns` are the columns' names, `tables` which column of a table holds the tenant.

    `tables` has tables, partitioned and foreign tables by oid, no partitions; `registry` is the
    table whose rows are the tenants (0 if none is known), `registry_key` its key. `apps` are
    the oids of the roles that serve. `assumed` says what was assumed, and why.
    """

    facts: Facts
    tenant_columns: tuple[str, ...] = ()
    tables: Mapping[int, str] = field(default_factory=dict)
    registry: int = 0
    registry_key: str = ""
    apps: tuple[int, ...] = ()
    assumed: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def policies_judged(self) -> Policies:
        """What the policies come to, per role."""
        return Policies(self)

    def admits(
        self, role: Role, relation: Relation, command: str, *, check: bool = False
    ) -> Judgement:
        """As `Policies.admits`."""
        return self.policies_judged.admits(role, relation, command, check=check)

    @cached_property
    def reach(self) -> Reach:
        """What views and functions show that run as their owner."""
        return Reach(self)

    @cached_property
    def tenant_tables(self) -> tuple[Relation, ...]:
        """The tables that hold tenants' rows: top level, in order of their names."""
        found = [self.facts.relations[oid] for oid in self.tables]
        return tuple(sorted(found, key=lambda relation: relation.label))

    @cached_property
    def app_roles(self) -> tuple[Role, ...]:
        """The roles that serve."""
        return tuple(self.facts.roles[oid] for oid in self.apps)

    @cached_property
    def parts(self) -> tuple[tuple[Relation, Relation], ...]:
        """Partitions and inheriting tables of tenant tables, at any depth: (part, top)."""
        found: list[tuple[Relation, Relation]] = []
        for top in self.tenant_tables:
            todo = list(self.facts.children.get(top.oid, ()))
            while todo:
                oid = todo.pop(0)
                found.append((self.facts.relations[oid], top))
                todo += self.facts.children.get(oid, ())
        return tuple(found)

    def tenant_column(self, relation: Relation) -> str | None:
        """The column that holds the tenant, of a tenant table, a part of one, or the registry."""
        if relation.oid in self.tables:
            return self.tables[relation.oid]
        if relation.oid == self.registry:
            return self.registry_key
        return self._columns_of_parts.get(relation.oid)

    @cached_property
    def _columns_of_parts(self) -> dict[int, str]:
        return {part.oid: self.tables[top.oid] for part, top in self.parts}

    def apps_that(self, relation: Relation, *privileges: str) -> tuple[Role, ...]:
        """The app's roles that hold any of these privileges on a relation."""
        return tuple(
            role
            for role in self.app_roles
            if self.facts.privileges(role.oid, relation) & set(privileges)
        )

    @cached_property
    def policies(self) -> tuple[tuple[Policy, Relation], ...]:
        """The policies on tenant tables, their parts and the registry."""
        return tuple(
            (policy, relation)
            for policy in self.facts.policies
            if (relation := self.facts.relations.get(policy.relation)) is not None
            and self.tenant_column(relation) is not None
        )


def listed(names: list[str] | tuple[str, ...]) -> str:
    """`a`, `a and b`, `a, b and c`; of many the first five and how many more."""
    shown = list(names)
    if len(shown) > 6:
        shown = [*shown[:5], f"{len(shown) - 5} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def roles_named(roles: tuple[Role, ...]) -> str:
    """The roles' names, as `listed`."""
    return listed([role.name for role in roles])
