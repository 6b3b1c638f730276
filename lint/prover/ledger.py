"""The books of one proof: an entry per base-table occurrence, and what ties them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lint.errors import CannotProve
from lint.prover.facts import Const, Facts, Rule, Term
from lint.prover.relation import Standing, Standings, keep
from lint.schema.catalog import ForeignKey, Name, Table
from lint.schema.siblings import TENANT, Sibling, Siblings

# A statement that needs more instances than this is not worth the proof.
MAX_INSTANCES = 400


@dataclass(slots=True)
class Instance:
    """One reading of one table occurrence (a CTE used twice is read twice).

    `key` is the occurrence's place in the text: the node's id, led by those of the views it was
    reached through. `tenant` is the column that has to equal the current tenant; for a table
    scoped through its parent it is a column nobody sees.
    """

    number: int
    key: tuple[int, ...]
    table: Table
    alias: str
    tenant: int | None
    columns: Mapping[str, int]
    # The materialized views it was read through: its rows are those of their refresh.
    snapshot: tuple[Name, ...] = ()
    # A row that is written under a parent which is given, not read.
    by_key: bool = False
    lost: str = ""


@dataclass
class Ledger:
    siblings: Siblings
    instances: dict[int, Instance] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    # Columns compared with something whose value is not known to be one: column -> why.
    hints: dict[int, str] = field(default_factory=dict)
    # Columns compared with a list of values: keys, if not tenants.
    bound: set[int] = field(default_factory=set)
    # What was settled outside the result: targets of writes, data-modifying CTEs.
    final: dict[int, Standing] = field(default_factory=dict)
    observed: list[tuple[Standings, Facts]] = field(default_factory=list)
    # Equalities as the statement writes them, whether or not they hold of all rows.
    said: list[tuple[Term, Term]] = field(default_factory=list)
    _next: int = 1

    def column(self) -> int:
        self._next += 1
        return self._next - 1

    def columns(self, number: int) -> int:
        """The first of so many columns, numbered one after the other."""
        self._next += number
        return self._next - number

    def mark(self) -> int:
        """Columns made from here on have this number or a higher one."""
        return self._next

    def open_instance(
        self,
        key: tuple[int, ...],
        table: Table,
        alias: str,
        columns: Mapping[str, int],
        *,
        snapshot: tuple[Name, ...] = (),
    ) -> Instance:
        if len(self.instances) >= MAX_INSTANCES:
            raise CannotProve(f"more than {MAX_INSTANCES} readings of tables")
        number = self.column()
        tenant: int | None = None
        if table.tenant_column is not None:
            tenant = columns[table.tenant_column]
        elif table.parent is not None:
            tenant = self.column()
        instance = Instance(number, key, table, alias, tenant, columns, snapshot)
        # Keys hold among the rows that are there at one time.
        for other in [i for i in self.instances.values() if i.snapshot == snapshot]:
            self.rules += [*_rules(instance, other), *_rules(other, instance)]
            for sibling in self.siblings.of(table, other.table):
                self.rules.append(_brothers(instance, other, sibling))
        self.rules += _rules(instance, instance)
        self.instances[number] = instance
        return instance

    def close(self, facts: Facts) -> Facts:
        return facts.closed(self.rules)

    def unsure(self) -> frozenset[int]:
        """Columns that decide about a dependency by not being null."""
        return frozenset().union(*[rule.filled for rule in self.rules if rule.filled])

    def settle_for_good(self, standings: Standings) -> None:
        """These are executed as they stand; nothing outside can bound them."""
        for number, standing in standings.items():
            self.final[number] = Standing(standing.values)

    def observe(self, standings: Standings, facts: Facts) -> None:
        """Remember what is known of occurrences, for the wording of a verdict."""
        self.observed.append((standings, facts))

    def by_key(self, instance: Instance) -> bool:
        """Whether an occurrence's rows are fixed by a key of its own."""
        keys = _own_keys(instance.table)
        return any(
            instance.number in standings
            and any(self._bound(columns, instance, facts) for columns in keys)
            for standings, facts in self.observed
        )

    def hint(self, instance: Instance) -> str:
        """What is compared with an occurrence's tenant and may be a tenant; or nothing."""
        for standings, facts in self.observed:
            standing = standings.get(instance.number)
            found = "" if standing is None else self._hint(standing, facts)
            if found:
                return found
        return ""

    def _bound(self, columns: Iterable[str], instance: Instance, facts: Facts) -> bool:
        terms = [instance.columns[column] for column in columns if column in instance.columns]
        return bool(terms) and all(
            facts.values(term) or facts.columns(term) & self.bound for term in terms
        )

    def _hint(self, standing: Standing, facts: Facts) -> str:
        near = {column for carrier in standing.carriers for column in facts.columns(carrier)}
        for column in near:
            if column in self.hints:
                return self.hints[column]
        for other in self.instances.values():
            # The tenants table: its tenant column is a key by itself.
            single = any(key.columns == (other.table.tenant_column,) for key in other.table.keys)
            if single and other.tenant in near:
                for name, column in other.columns.items():
                    if column != other.tenant and facts.values(column):
                        return f"the tenant is looked up by {other.table.name}.{name}"
        return ""

    def determined(self, keys: Iterable[Term], facts: Facts, low: int) -> frozenset[int]:
        """The columns in which two rows are equal if they are equal in the keys.

        Those that equal a key or, whatever the row, a value or an outer column (below `low`);
        and all of a table's, where a unique key of it is among them.
        """
        fixed = (g for g in facts.classes if any(isinstance(t, Const) or t < low for t in g))
        found = {term for group in fixed for term in group} | {
            term for key in keys for term in facts.group(key)
        }
        ways = [way for instance in self.instances.values() for way in _ways(instance)]
        while True:
            more = {c for given, gives in ways if given <= found for c in gives} - found
            if not more:
                return frozenset(term for term in found if isinstance(term, int))
            found |= {term for column in more for term in facts.group(column)}

    def narrow(self, before: Standings, kept: Callable[[int], bool], why: str) -> Standings:
        """Drop the carriers that do not survive an operation; note why, where it was the last."""
        after = keep(before, kept)
        for number, standing in after.items():
            instance = self.instances.get(number)
            stuck = not standing.carriers and not standing.values
            if instance is not None and stuck and before[number].carriers:
                instance.lost = instance.lost or why
        return after


def _ways(instance: Instance) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
    """What of a row determines what else of it."""
    table, columns = instance.table, instance.columns
    tenant = frozenset(() if instance.tenant is None else (instance.tenant,))
    if not table.inherited:
        # Several rows may hold the same key if there is a null in it.
        filled = {column.name for column in table.columns if not column.nullable}
        for key in table.keys:
            if set(key.columns) <= filled:
                yield (
                    frozenset(columns[name] for name in key.columns),
                    tenant | frozenset(columns.values()),
                )
    if table.parent is not None:
        yield frozenset(columns[name] for name in table.parent.columns), tenant


def _own_keys(table: Table) -> list[tuple[str, ...]]:
    tenant = table.tenant_column
    keys = [tuple(c for c in key.columns if c != tenant) for key in table.keys]
    keys += [tuple(c for c in key.columns if c != tenant) for key in table.foreign_keys]
    return [key for key in keys if key]


def _rules(child: Instance, parent: Instance) -> list[Rule]:
    """What the schema says of two rows: foreign keys, unique keys, and the tenant's way down.

    Each holds for any subset of the rows as well, as a fact must. Keys of a table that others
    inherit from do not hold for the rows of those.
    """
    rules: list[Rule] = []
    same = child.table is parent.table and child is not parent and not child.table.inherited
    if same and child.tenant is not None and parent.tenant is not None:
        for key in child.table.keys:
            premises = tuple((child.columns[c], parent.columns[c]) for c in key.columns)
            rules.append(Rule(premises, ((child.tenant, parent.tenant),)))
    if parent.table.inherited:
        return rules
    for foreign_key in child.table.foreign_keys:
        if foreign_key.table == parent.table.name and not child.table.inherited:
            rules += _followed(child, parent, foreign_key)
    through = child.table.parent
    if (
        through is not None
        and through.table == parent.table.name
        and child.tenant is not None
        and parent.tenant is not None
    ):
        for premises in _premises(child, parent, through):
            rules.append(Rule(premises, ((child.tenant, parent.tenant),)))
    return rules


def _brothers(one: Instance, other: Instance, sibling: Sibling) -> Rule:
    """Two rows with one parent."""

    def terms(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
        found = [(_term(one, left), _term(other, right)) for left, right in pairs]
        return tuple((a, b) for a, b in found if a is not None and b is not None)

    mine, theirs = sibling.filled
    filled = [*(one.columns[name] for name in mine), *(other.columns[name] for name in theirs)]
    return Rule(terms(sibling.key), terms(sibling.equal), frozenset(filled))


def _term(instance: Instance, name: str) -> int | None:
    return instance.tenant if name == TENANT else instance.columns[name]


def _premises(
    child: Instance, parent: Instance, way: ForeignKey
) -> list[tuple[tuple[int, int], ...]]:
    pairs = dict(zip(way.references, way.columns, strict=True))
    return [
        tuple((child.columns[pairs[column]], parent.columns[column]) for column in key.columns)
        for key in parent.table.keys
        if set(key.columns) <= set(way.references)
    ]


def _followed(child: Instance, parent: Instance, way: ForeignKey) -> list[Rule]:
    """A row whose key columns are all filled points at one parent, equal in every column."""
    if child is parent:
        return []
    own = dict(zip(way.references, way.columns, strict=True))
    conclusions = tuple(
        (child.columns[mine], parent.columns[theirs]) for theirs, mine in own.items()
    )
    rules = []
    for premises in _premises(child, parent, way):
        compared = {mine for mine, _ in premises}
        # With a null in it the key is not checked; what is compared is not null.
        others = [name for name in way.columns if child.columns[name] not in compared]
        filled = frozenset(child.columns[name] for name in others)
        rules.append(Rule(premises, conclusions, filled))
    return rules
