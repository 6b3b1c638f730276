"""What a role may see and write of a table under its policies, as a judgement of `policy_sql`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import exp

from tenants.policy_sql import (
    NOTHING,
    Judgement,
    Knowledge,
    Routine,
    Row,
    body_of,
    calls_of,
    conjuncts,
    judge,
    narrower,
    parsed,
    tables_of,
    wider,
)
from tenants.posture.records import Column, Function, Policy, Relation, Role, quote

if TYPE_CHECKING:
    from tenants.posture.subject import Subject

# Between these a cast changes nothing, and an index serves as before.
_TEXTS = (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR)
_READING = ("SELECT", "UPDATE", "DELETE")
_EXEMPT = Judgement("open", "the role is exempt from every policy")
_OFF = Judgement("open", "row-level security is off")
_OWNER = Judgement("open", "it is the owner, and row-level security is not forced")


@dataclass
class Policies:
    """The policies of a subject, judged; what was judged once is remembered."""

    subject: Subject
    _judged: dict[tuple[object, ...], Judgement] = field(default_factory=dict)
    _known: dict[tuple[int, bool], Knowledge] = field(default_factory=dict)
    _read: dict[tuple[str | None, ...], tuple[frozenset[str], tuple[Function, ...]]] = field(
        default_factory=dict
    )

    def admits(
        self, role: Role, relation: Relation, command: str, *, check: bool = False
    ) -> Judgement:
        """Which rows a role's `command` (SELECT, INSERT, UPDATE, DELETE) reaches in a table.

        `check` asks for the rows that it may leave behind (WITH CHECK): INSERT, UPDATE. Grants
        are another matter.
        """
        if not self.subject.facts.bound_by(role.oid, relation):
            if role.exempt:
                return _EXEMPT
            return _OWNER if relation.row_security else _OFF
        return self._under(role, relation, command, check=check, informed=True)

    def _under(
        self, role: Role, relation: Relation, command: str, *, check: bool, informed: bool
    ) -> Judgement:
        applying = [
            (policy, self._judge(role, relation, expression_of(policy, check=check), informed))
            for policy in self.subject.facts.policies_for(role.oid, relation)
            if policy.command in ("ALL", command)
        ]
        permitted = wider(judgement for policy, judgement in applying if policy.permissive)
        return narrower([permitted, *(j for policy, j in applying if not policy.permissive)])

    def of(
        self, policy: Policy, relation: Relation, role: Role, *, check: bool = False
    ) -> Judgement:
        """What one policy admits for a role, by itself."""
        return self._judge(role, relation, expression_of(policy, check=check), True)

    def _judge(
        self, role: Role, relation: Relation, expression: str | None, informed: bool
    ) -> Judgement:
        if expression is None:
            return NOTHING
        key = (relation.oid, role.oid, expression, informed)
        if key not in self._judged:
            self._judged[key] = self._judge_alike(role, relation, expression, informed)
        return self._judged[key]

    def _judge_alike(
        self, role: Role, relation: Relation, expression: str, informed: bool
    ) -> Judgement:
        # Only what the expression can mention, so that like tables share a judgement.
        not_null = frozenset(
            c.name for c in relation.columns if c.not_null and c.name in expression
        )
        column = self.subject.tenant_column(relation)
        row = Row(frozenset({column} if column else ()), not_null)
        key = (expression, row, role.oid, informed)
        if key not in self._judged:
            self._judged[key] = judge(expression, row, self._knowledge(role, informed))
        return self._judged[key]

    def _knowledge(self, role: Role, informed: bool) -> Knowledge:
        key = (role.oid, informed)
        if key not in self._known:
            guarded = self._guarded(role) if informed else frozenset()
            self._known[key] = Knowledge(self._routines, guarded, self._columns, role.name)
        return self._known[key]

    @cached_property
    def unguarded(self) -> Knowledge:
        """What is known where no policy binds: in a view or function of an exempt owner."""
        return Knowledge(self._routines, frozenset(), self._columns)

    def _guarded(self, role: Role) -> frozenset[str]:
        """Tables of which a role sees no more than is its tenant's, whoever else's may be there."""
        facts = self.subject.facts
        return frozenset(
            relation.label
            for relation in facts.relations.values()
            if relation.is_table
            and facts.bound_by(role.oid, relation)
            and self._under(role, relation, "SELECT", check=False, informed=False).at_most("keyed")
        )

    @cached_property
    def _columns(self) -> dict[str, frozenset[str]]:
        return {
            relation.label: frozenset(column.name for column in relation.columns)
            for relation in self.subject.facts.relations.values()
        }

    @cached_property
    def _routines(self) -> dict[tuple[str, int], Routine]:
        """What a call must mean. Which of several overloads it is, nobody here can tell."""
        return {
            key: _routine(named[0])
            for key, named in self._functions.items()
            if "." in key[0] and len(named) == 1
        }

    @cached_property
    def _functions(self) -> dict[tuple[str, int], list[Function]]:
        """By name, with its schema and without as a body may write it, and number of arguments."""
        found: dict[tuple[str, int], list[Function]] = {}
        for function in self.subject.facts.functions.values():
            most = len(function.arguments)
            for count in range(most - function.optional, most + 1):
                for name in (f"{function.schema}.{function.name}", function.name):
                    found.setdefault((name, count), []).append(function)
        return found

    def reads(self, policy: Policy) -> tuple[frozenset[str], tuple[Function, ...]]:
        """The tables and the functions of a policy, those that its functions read included."""
        texts = (policy.using, policy.check)
        if texts not in self._read:
            self._read[texts] = self._reads(texts)
        return self._read[texts]

    def _reads(self, texts: tuple[str | None, ...]) -> tuple[frozenset[str], tuple[Function, ...]]:
        tables: set[str] = set()
        functions: dict[int, Function] = {}
        trees = [parsed(text) for text in texts if text is not None]
        while trees:
            tree = trees.pop()
            if tree is None:
                continue
            tables |= tables_of(tree)
            for call in calls_of(tree):
                for function in self._functions.get(call, ()):
                    if function.oid not in functions:
                        functions[function.oid] = function
                        trees.append(body(function))
        return frozenset(tables), tuple(functions.values())

    @cached_property
    def _usual(self) -> dict[tuple[str, str], str]:
        counted: dict[tuple[str, str], Counter[str]] = {}
        for policy, relation in self.subject.policies:
            name = self.subject.tenant_column(relation)
            column = relation.column(name) if name else None
            if column is None or policy.using is None or not policy.permissive:
                continue
            tree = parsed(policy.using)
            if tree is None or tables_of(tree) or casts_of(tree, column):
                continue
            if any(self.of(policy, relation, r).kind == "bound" for r in self.subject.app_roles):
                key = (column.name, column.type)
                counted.setdefault(key, Counter())[policy.using] += 1
        return {key: counter.most_common(1)[0][0] for key, counter in counted.items()}

    def usual(self, relation: Relation) -> str | None:
        """The condition that policies on tables with the same tenant column have, if any."""
        name = self.subject.tenant_column(relation)
        column = relation.column(name) if name else None
        return None if column is None else self._usual.get((column.name, column.type))

    def rests_on(
        self, policy: Policy, relation: Relation, role: Role, tables: Collection[str]
    ) -> bool:
        """Whether a policy no longer keeps a role to what is its own without what reads these.

        A condition that only narrows further what the others bound is not believed.
        """
        for check in (False, True):
            text = expression_of(policy, check=check)
            if text is None:
                continue
            left = [
                self._judge(role, relation, part, True)
                for part in conjuncts(text)
                if not self._reads((part,))[0] & frozenset(tables)
            ]
            if not narrower(left).at_most("keyed"):
                return True
        return False

    def wide(self) -> Iterator[tuple[Policy, Relation, Role, Judgement]]:
        """Permissive policies by which a role of the app reads more than its tenant's rows."""
        for policy, relation in self.subject.policies:
            if not policy.permissive or policy.command == "INSERT":
                continue
            for role in self.subject.app_roles:
                facts = self.subject.facts
                if not facts.bound_by(role.oid, relation) or policy not in facts.policies_for(
                    role.oid, relation
                ):
                    continue
                alone = self.of(policy, relation, role)
                commands = _READING if policy.command == "ALL" else (policy.command,)
                if not alone.at_most("unknown") and any(
                    not self.admits(role, relation, command).at_most("unknown")
                    for command in commands
                ):
                    yield policy, relation, role, alone

    def beside(self, policy: Policy, relation: Relation, role: Role) -> Policy | None:
        """Another permissive policy for the same role and command that bounds, if there is one."""
        for other in self.subject.facts.policies_for(role.oid, relation):
            commands = {policy.command, other.command}
            if other is policy or not other.permissive:
                continue
            if len(commands) > 1 and "ALL" not in commands:
                continue
            if self.of(other, relation, role).kind in ("bound", "keyed", "fixed", "shared"):
                return other
        return None


def _routine(function: Function) -> Routine:
    return Routine(
        function.language,
        function.arguments,
        function.body,
        function.definer,
        function.name,
        function.defaults,
    )


def body(function: Function) -> exp.Expr | None:
    """What a function in SQL returns, as a tree; None if it is not read."""
    return body_of(_routine(function))


def expression_of(policy: Policy, *, check: bool) -> str | None:
    """USING, or what WITH CHECK is: USING where it is not written."""
    if not check:
        return policy.using
    return policy.check if policy.check is not None else policy.using


def casts_of(tree: exp.Expr, column: Column) -> list[exp.Cast]:
    """The casts of a column in an expression that hide it from its index."""
    alike = _TEXTS if column.type.partition("(")[0] in ("text", "character varying") else ()
    return [
        cast
        for cast in tree.find_all(exp.Cast)
        if isinstance(inner := cast.this.unnest(), exp.Column)
        and inner.name == column.name
        and cast.to.this not in alike
    ]


def label_of(policy: Policy, relation: Relation) -> str:
    """`policy app on shop.invoices`: how findings name it."""
    return f"policy {policy.name} on {relation.label}"


def alter(policy: Policy, relation: Relation, clause: str) -> str:
    """An ALTER POLICY with a clause."""
    return f"ALTER POLICY {quote(policy.name)} ON {relation.sql} {clause};"
