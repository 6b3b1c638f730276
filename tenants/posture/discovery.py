"""Finding out what the tenant column is, which tables it makes tenants', and who serves.

What is assumed is said, with the reason; what is named from outside is taken as given.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlglot import exp

from tenants.policy_sql import Row, judge, parsed
from tenants.posture.errors import AssumptionError
from tenants.posture.facts import DML, WRITES, Facts
from tenants.posture.grants import grantees_of
from tenants.posture.records import PUBLIC, ObjectClass, Relation, Role
from tenants.posture.subject import Subject, listed

# In order of how surely the name is a tenant's, without underscores and in lower case: one schema
# may spell it tenant_id and "tenantId". Names of the later tiers have other meanings, too (in a
# shop that is not shared, a customer is no tenant): they need other evidence.
TIERS: tuple[tuple[str, ...], ...] = (
    ("tenantid", "tenant", "tenantuuid", "tenantkey", "tenantpk"),
    ("orgid", "organizationid", "organisationid", "workspaceid"),
    ("accountid", "companyid", "teamid", "businessid", "clubid", "schoolid", "siteid"),
    ("customerid", "clientid", "shopid", "storeid"),
)
_ASKED = TIERS[:3]  # names for which a policy's question to a function is evidence
_SURE = 2  # tiers whose name is enough, if two tables have it
_SHARE = 0.5  # of all tables, for a name of the others
# Columns that tie a row to a person: a border only where there is no other.
_PERSON = re.compile(r".*(user|owner|profile|author|createdby)(id)?|id")

_GRANTED: tuple[ObjectClass, ...] = ("relation", "column")


def discover(
    facts: Facts, *, tenant_columns: Sequence[str] = (), app_roles: Sequence[str] = ()
) -> Subject:
    """Return what is to be judged. Raises AssumptionError for a name that is not there."""
    columns, why = _given_columns(facts, tenant_columns), "given"
    if not columns:
        columns, why = _columns(facts)
    assumed: dict[str, object] = {"tenant_columns": {"names": list(columns), "why": why}}
    tables = {
        table.oid: next(name for name in columns if table.column(name))
        for table in _candidates(facts)
        if any(table.column(name) for name in columns)
        # A tenant column that is inherited makes a part of the table that it comes from.
        and not any(above.column(name) for above in facts.ancestors(table) for name in columns)
    }
    registry, key, why = _registry(facts, tables)
    if registry:
        tables.pop(registry, None)
        assumed["tenants_table"] = {"name": facts.relations[registry].label, "why": why}
    subject = Subject(facts, columns, tables, registry, key)
    roles, why = _given_roles(facts, app_roles), "given"
    if not roles:
        roles, why = _apps(subject) if tables else ((), "there is nothing to serve")
    assumed["app_roles"] = {"names": [facts.role_name(oid) for oid in roles], "why": why}
    return Subject(facts, columns, tables, registry, key, roles, assumed)


def _candidates(facts: Facts) -> list[Relation]:
    """Tables that may stand for themselves: no partitions."""
    return [
        relation
        for relation in facts.relations.values()
        if relation.kind in ("table", "partitioned", "foreign") and not relation.is_partition
    ]


def _own_columns(facts: Facts, relation: Relation) -> frozenset[str]:
    """The names of a table's columns that it does not inherit."""
    inherited = {column.name for above in facts.ancestors(relation) for column in above.columns}
    return frozenset(column.name for column in relation.columns) - inherited


def _given_columns(facts: Facts, names: Sequence[str]) -> tuple[str, ...]:
    present = {column.name for table in _candidates(facts) for column in table.columns}
    for name in names:
        if name not in present:
            raise AssumptionError(f"no table has a column {name!r} (--tenant-column)")
    return tuple(dict.fromkeys(names))


def _given_roles(facts: Facts, names: Sequence[str]) -> tuple[int, ...]:
    known = {role.name: role.oid for role in facts.roles.values()}
    for name in names:
        if name not in known:
            raise AssumptionError(f"there is no role {name!r} (--app-role)")
    return tuple(dict.fromkeys(known[name] for name in names))


def _columns(facts: Facts) -> tuple[tuple[str, ...], str]:
    """The tenant columns, and why it is they: what policies compare, else names."""
    owned = [own for table in _candidates(facts) if (own := _own_columns(facts, table))]
    counted = Counter(name for own in owned for name in own)
    spelled: dict[str, list[str]] = {}
    for name, _ in counted.most_common():
        spelled.setdefault(_normal(name), []).append(name)
    found, why = _names(len(owned), spelled, counted, _compared(facts), _handed(facts))
    # However else the same name is spelled, on tables without a policy it may be.
    same = [name for first in found for name in (first, *spelled.get(_normal(first), ()))]
    return tuple(dict.fromkeys(same)), why


def _normal(name: str) -> str:
    return name.replace("_", "").lower()


def _names(
    tables: int,
    spelled: Mapping[str, list[str]],
    counted: Counter[str],
    compared: Counter[str],
    handed: frozenset[str],
) -> tuple[list[str], str]:
    found = [
        name
        for tier in TIERS
        for normal in tier
        for name in spelled.get(normal, ())
        if compared[name] or (name in handed and tier in _ASKED)
    ]
    if found:
        return found, "policies compare it with the session, or ask a function about it"
    total = {normal: sum(counted[name] for name in names) for normal, names in spelled.items()}
    sure = [normal for normal in TIERS[0] if normal in spelled]
    if sure:
        sure.sort(key=lambda normal: -total[normal])
        # Beside them what two tables call so: one sure name does not hide the others.
        sure += [normal for normal in TIERS[1] if total.get(normal, 0) >= _SURE]
        names = [name for normal in sure for name in spelled[normal]]
        return names, f"by its name, in {_tables(sum(counted[name] for name in names))}"
    for tier, least in ((TIERS[1], 2.0), *((t, max(2, _SHARE * (tables - 1))) for t in TIERS[2:])):
        if tier is TIERS[_SURE]:
            others = [n for n, _ in compared.most_common() if not _PERSON.fullmatch(_normal(n))]
            if others:
                return others[:1], "policies compare it with the session"
        named = [normal for normal in tier if total.get(normal, 0) >= least]
        if named:
            best = max(named, key=lambda normal: total[normal])
            return spelled[best], f"by its name, in {total[best]} of {tables} tables"
    persons = [name for name, _ in compared.most_common() if name != "id"]
    if persons:
        return persons[:1], "policies compare it, and no other column, with the session"
    return [], "no table has a column that looks like a tenant's"


def _handed(facts: Facts) -> frozenset[str]:
    """Columns about which a policy asks a function or a subquery: `is_member(org_id)`."""
    return frozenset(
        column.name
        for expression in {policy.using or policy.check or "" for policy in facts.policies}
        if (tree := parsed(expression)) is not None
        for asked in tree.find_all(exp.Anonymous, exp.In)
        for column in (
            [asked.this]
            if isinstance(asked, exp.In) and asked.args.get("query")
            else asked.expressions
            if isinstance(asked, exp.Anonymous)
            else []
        )
        if isinstance(column, exp.Column)
    )


def _tables(count: int) -> str:
    return "one table" if count == 1 else f"{count} tables"


def _compared(facts: Facts) -> Counter[str]:
    """In how many policies each column decides, by comparison with the session."""
    found: Counter[str] = Counter()
    bound: dict[tuple[str, str], bool] = {}
    for policy in facts.policies:
        relation = facts.relations.get(policy.relation)
        expression = policy.using or policy.check
        if relation is None or expression is None:
            continue
        for column in relation.columns:
            key = (expression, column.name)
            if column.name not in expression:
                continue
            if key not in bound:
                row = Row(frozenset({column.name}))
                # By hand-written escapes (`IS NULL OR ..`) as well: it is what is meant.
                bound[key] = any(judge(part, row).kind == "bound" for part in _parts(expression))
            found[column.name] += bound[key]
    return +found


def _parts(expression: str) -> list[str]:
    """An expression's alternatives."""
    tree = parsed(expression)
    plain = tree.unnest() if tree is not None else None
    if not isinstance(plain, exp.Or):
        return [expression]
    return [part.sql(dialect="postgres") for part in plain.flatten()]


def _registry(facts: Facts, tables: dict[int, str]) -> tuple[int, str, str]:
    """The table that most tenant columns refer to: (oid, key, why); (0, "", "") if none."""
    targets: Counter[tuple[int, int]] = Counter()
    for constraint in facts.constraints:
        if constraint.kind != "foreign" or len(constraint.columns) != 1 or constraint.inherited:
            continue
        column = tables.get(constraint.relation)
        relation = facts.relations.get(constraint.relation)
        if column and relation and relation.names(constraint.columns) == (column,):
            targets[constraint.target, constraint.target_columns[0]] += 1
    for (target, number), count in targets.most_common(1):
        found = facts.relations.get(target)
        if found is not None:
            return target, found.names([number])[0], f"{count} tenant columns refer to it"
    return 0, "", ""


def _apps(subject: Subject) -> tuple[tuple[int, ...], str]:
    """The roles that serve, and why it is they."""
    facts, tables = subject.facts, subject.tenant_tables
    owners = {table.owner for table in tables}
    writers = grantees_of(facts, tables, WRITES)
    served = [
        role
        for role in _connecting(facts)
        if not role.predefined
        and not owners & facts.acts_as(role.oid)
        and _holds(facts, role, tables, WRITES, writers)
    ]
    kept = _without_operators(subject, served)
    if kept:
        found, why = kept, "may write tenant tables and does not own them"
        left = [role.name for role in served if role not in kept]
        if left:
            why += f"; {listed(left)} may, too, but is made to see all tenants"
    else:
        found, why = _unserved(subject, owners)
    beside, said = _beside(subject, found, served)
    return tuple(role.oid for role in (*found, *beside)), why + said


def _unserved(subject: Subject, owners: Collection[int]) -> tuple[list[Role], str]:
    """Whom to judge where no login but the owner may write."""
    facts, tables = subject.facts, subject.tenant_tables
    readers = grantees_of(facts, tables, DML)
    groups = [
        role
        for role in facts.roles.values()
        if not (role.login or role.exempt or role.predefined or role.oid in owners)
        and _holds(facts, role, tables, DML, readers)
    ]
    if groups:
        return groups, "no login role may write tenant tables; to these it is granted"
    owning = [facts.roles[oid] for oid in sorted(owners)]
    names = listed([role.name for role in owning])
    return owning, f"only {names} may write, as owner: owner and app are the same role"


def _beside(
    subject: Subject, found: Sequence[Role], served: Sequence[Role]
) -> tuple[list[Role], str]:
    """Who serves beside those that write: who reads, and what else their login may become."""
    facts, tables = subject.facts, subject.tenant_tables
    owners = {table.owner for table in tables}
    readers = grantees_of(facts, tables, frozenset({"SELECT"}))
    shared = _siblings(facts, found)
    reading = [
        role
        for role in _connecting(facts)
        if role not in served
        and role not in found
        and not (role.predefined or owners & facts.acts_as(role.oid))
        and (
            _holds(facts, role, tables, frozenset({"SELECT"}), readers)
            or (role.oid in shared and not role.exempt and _handed_something(subject, role))
            or (role.login and not role.exempt and _handed_rows(subject, role))
        )
    ]
    told = [role for role in reading if not _operates(subject, role)]
    said = f"; {listed([role.name for role in told])} may read" if told else ""
    if left := [role.name for role in reading if role not in told]:
        said += f"; {listed(left)} may read and is made to see all tenants"
    return told, said


def _siblings(facts: Facts, roles: Sequence[Role]) -> frozenset[int]:
    """What a login may become beside one of these roles: visitor beside member."""
    serving = {role.oid for role in roles}
    found: set[int] = set()
    for login in (role for role in facts.roles.values() if role.login and not role.superuser):
        becomes = facts.may_become(login.oid) - facts.acts_as(login.oid)
        if serving & becomes:
            found |= becomes
    return frozenset(found)


def _handed_something(subject: Subject, role: Role) -> bool:
    """Whether a role was granted a view of tenants' rows, or a function that runs as its owner."""
    facts = subject.facts
    acting = facts.acts_as(role.oid)
    return _handed_rows(subject, role) or any(
        grant.grantee in acting and "EXECUTE" in grant.privileges
        for function in facts.functions.values()
        if function.definer
        for grant in facts.grants_on("function", function.oid)
    )


def _handed_rows(subject: Subject, role: Role) -> bool:
    """Whether a role was granted a view, or a materialized one, of tenants' rows."""
    facts = subject.facts
    acting = facts.acts_as(role.oid)
    return any(
        grant.grantee in acting and grant.privileges & DML
        for relation in facts.relations.values()
        if relation.kind in ("view", "matview") and subject.reach.holds_tenants(relation)
        for kind in ("relation", "column")
        for grant in facts.grants_on(kind, relation.oid)
    )


def _connecting(facts: Facts) -> list[Role]:
    """Roles that sessions act as: who may connect, and whom they may become."""
    logins = [
        role
        for role in facts.roles.values()
        if role.login and not role.superuser and _may_connect(facts, role)
    ]
    becomes = {
        oid
        for login in logins
        for oid in facts.may_become(login.oid) - facts.acts_as(login.oid)
        if not facts.roles[oid].exempt
    }
    return [*logins, *(facts.roles[oid] for oid in sorted(becomes) if not facts.roles[oid].login)]


def _may_connect(facts: Facts, role: Role) -> bool:
    acting = facts.acts_as(role.oid)
    return facts.server.database_owner in acting or any(
        "CONNECT" in grant.privileges and (grant.grantee == PUBLIC or grant.grantee in acting)
        for grant in facts.grants_on("database", 0)
    )


def _without_operators(subject: Subject, roles: Sequence[Role]) -> list[Role]:
    """Leave out who is made to see all tenants, if somebody else is bound to one."""
    bound = [role for role in roles if _bound(subject, role)]
    if not bound:
        return list(roles)
    return [role for role in roles if role in bound or not _operates(subject, role)]


def _bound(subject: Subject, role: Role) -> bool:
    facts = subject.facts
    return any(
        facts.bound_by(role.oid, table)
        and facts.privileges(role.oid, table) & WRITES
        and subject.admits(role, table, "SELECT").at_most("unknown")
        for table in subject.tenant_tables
    )


def _operates(subject: Subject, role: Role) -> bool:
    """Whether it is exempt, or a policy names it that is open."""
    facts = subject.facts
    acting = facts.acts_as(role.oid)
    return role.exempt or any(
        acting & set(policy.roles)
        and subject.policies_judged.of(policy, relation, role).kind == "open"
        for policy, relation in subject.policies
    )


def _holds(
    facts: Facts,
    role: Role,
    tables: Iterable[Relation],
    privileges: frozenset[str],
    grantees: Collection[int],
) -> bool:
    if PUBLIC not in grantees and not facts.acts_as(role.oid) & frozenset(grantees):
        return False  # most roles of a large cluster
    return any(facts.privileges(role.oid, table) & privileges for table in tables)
