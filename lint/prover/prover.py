"""The prover: is every base table in a statement restricted to the one current tenant?

Invariant: `scoped` is said only of a statement whose result, and whose effect, is the same if
every tenant table is cut down to the rows of one tenant first. If that breaks, the gate passes a
leak. So whatever is not understood ends as `undecidable`: the node classes that are read are
listed, and a table in the tree that nobody read is an error here, not an omission.

What is assumed: there is a current tenant; built-in operators, types and functions mean what they
mean in PostgreSQL, and no function or type of the user's own takes the place of one; collations
tell apart what is not the same to the byte; triggers, rules, operators, casts and defaults of the
user's own read no tables, and keys that cascade stay within the tenant; the catalog is the
database's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlglot import exp

from lint.declared import Sources
from lint.errors import CannotProve, CatalogError
from lint.prover.block import Statics
from lint.prover.env import Env
from lint.prover.facts import NEVER, Const
from lint.prover.ledger import Instance, Ledger
from lint.prover.nodes import name_of
from lint.prover.query import StatementReader
from lint.prover.relation import Standing
from lint.prover.shape import check_tree
from lint.prover.trace import partners, trace
from lint.prover.values import Values, source_forms
from lint.prover.writes import write
from lint.schema.catalog import Catalog, Name, Table, View
from lint.schema.siblings import Siblings
from lint.schema.views import Views
from lint.text.carriers import Payload, cascades, payload, split_names
from lint.text.lexer import Token, statements
from lint.text.parser import parse
from lint.text.prepare import Prepared, clip, fold, prepare
from lint.text.routines import Routine
from lint.verdicts import (
    SCOPED,
    UNDECIDABLE,
    UNSCOPED,
    Occurrence,
    Verdict,
    together,
    worse,
    worst,
)

_NO_TENANT = "no tenant column is known: exempt the table with a reason, or declare its parent"


class Prover:
    """Proves statements against one catalog and one set of tenant sources. Thread-safe."""

    def __init__(self, catalog: Catalog, sources: Sources | None = None) -> None:
        self._sources = sources or Sources()
        self._views = Views(catalog)
        self._catalog = catalog
        self._siblings = Siblings(catalog)
        self._values = Values(source_forms(self._sources), self._sources.parameters)
        self._functions = frozenset(fold(name) for name in self._sources.functions)

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    @property
    def sources(self) -> Sources:
        return self._sources

    def prove_text(self, text: str) -> Verdict:
        """The verdict of a text; of several statements the worst."""
        return together(
            [self.prove(raw.tokens) for raw in statements(text, psql=False) if raw.tokens]
        )

    def prove(self, tokens: Sequence[Token]) -> Verdict:
        """The verdict of one statement, cut by `lint.text.lexer.statements`."""
        part = payload(tokens)
        if part.kind == "query":
            return self._query(part.tokens)
        if part.kind == "routine" and part.body is not None:
            return self._routine(part.body)
        if part.kind == "opaque":
            return Verdict(UNDECIDABLE, "opaque", part.reason)
        if part.kind == "unparsed":
            return Verdict(UNDECIDABLE, "unparsed", part.reason)
        if part.kind in ("whole", "loaded"):
            return self._whole(part)
        return Verdict(SCOPED, "none", "no rows are touched")

    # -- tables taken whole ------------------------------------------------------------------

    def _whole(self, part: Payload) -> Verdict:
        occurrences = []
        for name in split_names(part.tokens):
            words = [token for token in name if token.text != "."]
            if not all(token.kind in ("word", "quoted") for token in words) or len(words) > 2:
                return Verdict(UNDECIDABLE, "opaque", "the table is not known")
            parts = [clip(fold(t.text) if t.kind == "word" else t.value) for t in words]
            try:
                found = self._catalog.find(parts[0] if len(parts) > 1 else None, parts[-1])
            except CatalogError as error:
                return Verdict(UNDECIDABLE, "unsupported", str(error))
            verdict, kind, reason = UNSCOPED, "open", part.reason
            shown = ".".join(parts) if found is None else str(found.name)
            if found is None:
                verdict, kind = UNDECIDABLE, "unsupported"
                reason = f"table {shown} is not in the schema"
            elif isinstance(found, View):
                verdict, kind, reason = UNDECIDABLE, "unsupported", f"{found.name} is a view"
            elif found.exempt is not None and found.inherited:
                verdict, kind = UNDECIDABLE, "unsupported"
                reason = f"other tables inherit from {found.name}"
            elif found.exempt is not None:
                verdict, kind, reason = SCOPED, "exempt", found.exempt
            elif part.kind == "loaded":
                verdict, kind = UNDECIDABLE, "opaque"
            place = words[0].start, words[-1].end
            occurrences.append(Occurrence(shown, parts[-1], verdict, kind, reason, *place))
            if found is not None and part.kind == "whole" and cascades(part.tokens):
                occurrences += self._reached(found.name, place)
        return worst(tuple(occurrences))

    def _reached(self, name: Name, place: tuple[int, int]) -> Iterator[Occurrence]:
        """The tables to which TRUNCATE .. CASCADE goes on."""
        for table in self._catalog.pointing_at((name,)):
            said = str(table.name)
            if table.exempt is not None:
                yield Occurrence(said, table.name.name, SCOPED, "exempt", table.exempt, *place)
            else:
                reason = f"CASCADE empties {said} for all tenants: its foreign key leads to {name}"
                yield Occurrence(said, table.name.name, UNSCOPED, "open", reason, *place)

    # -- queries and writes ------------------------------------------------------------------

    def _routine(self, body: Routine) -> Verdict:
        """A routine in SQL: all its statements, in which its arguments have names."""
        arguments = {
            name: self._values.argument(name, number)
            for number, name in enumerate(body.arguments, 1)
            if name
        }
        found = []
        for tokens in body.statements:
            part = payload(tokens)
            read = part.kind == "query"
            found.append(self._query(part.tokens, arguments) if read else self.prove(tokens))
        return together(found)

    def _query(
        self, tokens: Sequence[Token], arguments: Mapping[str, Const] | None = None
    ) -> Verdict:
        try:
            prepared = prepare(tokens)
            tree = parse(prepared)
        except CannotProve as reason:
            return Verdict(UNDECIDABLE, reason.kind, reason.reason)
        try:
            return self.proof(tree, prepared, arguments)
        except CannotProve as reason:
            return self._unproven(tree, prepared, reason.reason, reason.kind)
        except RecursionError:
            return self._unproven(tree, prepared, "nested too deeply", "unsupported")

    def proof(
        self, tree: exp.Expr, prepared: Prepared, arguments: Mapping[str, Const] | None = None
    ) -> Verdict:
        """The verdict of a statement that was parsed. Raises CannotProve, RecursionError."""
        tables = check_tree(tree)
        ledger = Ledger(self._siblings)
        statics = Statics(
            self._values, prepared.parameters, self._functions, ledger, arguments or {}
        )
        reader = StatementReader(statics, self._views, write)
        env = Env(top=True)
        if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
            output = write(reader, tree, env)
        else:
            output = reader.query(tree, env)
        ledger.settle_for_good(output.standings)
        reader.read_unused()
        _check_complete(tables, reader)
        reader.defined.clear()  # each holds the reader: no circle is left to the collector
        return worst(self._occurrences(tables, prepared, ledger))

    def _occurrences(
        self, tables: Sequence[exp.Table], prepared: Prepared, ledger: Ledger
    ) -> tuple[Occurrence, ...]:
        owned = {
            number: standing
            for number, standing in ledger.final.items()
            if number in ledger.instances and ledger.instances[number].table.exempt is None
        }
        tenant = _one_tenant(owned.values())
        nodes = {id(node): node for node in tables}
        found: dict[tuple[int, ...], Occurrence] = {}
        for number, standing in ledger.final.items():
            instance = ledger.instances.get(number)
            if instance is None:
                continue
            place = _place(nodes.get(instance.key[0]), prepared)
            occurrence = _judge(ledger, instance, standing, tenant=tenant, place=place)
            known = found.get(instance.key)
            found[instance.key] = occurrence if known is None else worse(known, occurrence)
        return tuple(sorted(found.values(), key=lambda occurrence: occurrence.start))

    def _unproven(self, tree: exp.Expr, prepared: Prepared, reason: str, kind: str) -> Verdict:
        """Nothing is proven: every table that may be a tenant's is in doubt."""
        occurrences = []
        locked = {id(table) for lock in tree.find_all(exp.Lock) for table in lock.expressions}
        for node in tree.find_all(exp.Table):
            if not isinstance(node.this, exp.Identifier) or id(node) in locked:
                continue
            name = name_of(node.this)
            schema = name_of(node.args["db"]) if node.args.get("db") else None
            try:
                table = self._catalog.find(schema, name)
            except CatalogError:
                table = None
            if not isinstance(table, Table) or table.exempt is not None:
                continue
            start, end = _place(node, prepared)
            alias = node.alias or name
            occurrences.append(
                Occurrence(str(table.name), alias, UNDECIDABLE, kind, reason, start, end)
            )
        return Verdict(UNDECIDABLE, kind, reason, tuple(occurrences))


def prove(statement: str, catalog: Catalog, sources: Sources | None = None) -> Verdict:
    """The verdict of one SQL text. Raises ConfigError if a source is not an expression."""
    return Prover(catalog, sources).prove_text(statement)


def _check_complete(tables: Sequence[exp.Table], reader: StatementReader) -> None:
    for node in tables:
        if isinstance(node.this, exp.Identifier) and id(node) not in reader.seen:
            raise CannotProve(f"table {name_of(node.this)} stands where it is not looked for")
    final = reader.ledger.final
    read = {i.key for n, i in reader.ledger.instances.items() if n in final}
    for instance in reader.ledger.instances.values():
        if instance.key not in read:
            raise CannotProve(f"table {instance.table.name} was read and then lost")


def _one_tenant(standings: Iterable[Standing]) -> Const | None:
    """The value that bounds most occurrences; of equals, a declared source."""
    counted: dict[Const, int] = {}
    for standing in standings:
        for value in standing.values if NEVER not in standing.values else ():
            counted[value] = counted.get(value, 0) + 1
    if len(counted) < 2:
        return next(iter(counted), None)
    return max(counted, key=lambda value: (counted[value], value.kind == "source", value.key))


def _judge(  # noqa: PLR0911 - one return per kind
    ledger: Ledger,
    instance: Instance,
    standing: Standing,
    *,
    tenant: Const | None,
    place: tuple[int, int],
) -> Occurrence:
    table = instance.table

    def say(verdict: str, kind: str, reason: str, value: str = "") -> Occurrence:
        name = str(table.name)
        return Occurrence(name, instance.alias, verdict, kind, reason, *place, value)

    if table.exempt is not None:
        return say(SCOPED, "exempt", table.exempt)
    if instance.tenant is None:
        return say(UNDECIDABLE, "unsupported", f"{table.name}: {_NO_TENANT}")
    subject = f"{instance.alias}.{table.tenant_column}"
    if table.tenant_column is None:
        subject = f"the tenant of {instance.alias}, which is its {_parent(table)}'s,"
    if tenant is not None and tenant in standing.values:
        steps = trace(ledger, instance, tenant)
        why = f" ({steps})" if steps else ""
        return say(SCOPED, tenant.kind, f"{subject} is {tenant.label}{why}", tenant.key)
    if NEVER in standing.values:
        kind = "source" if tenant is None else tenant.kind
        return say(SCOPED, kind, f"no row of {instance.alias} is left")
    if standing.values and tenant is not None:
        own = min(standing.values, key=lambda value: value.key).label
        return say(
            UNSCOPED, "two-tenants", f"{subject} is {own}, but another table's is {tenant.label}"
        )
    if hint := ledger.hint(instance):
        return say(UNDECIDABLE, "opaque", f"{subject}: {hint}")
    if instance.by_key or ledger.by_key(instance):
        return say(
            UNSCOPED, "by-key", f"{subject} is not restricted; only a key of its own fixes its rows"
        )
    equal = partners(ledger, instance)
    why = instance.lost or (f"nor is {equal}, which it equals" if equal else "")
    return say(UNSCOPED, "open", f"{subject} is not restricted" + _because(why))


def _parent(table: Table) -> str:
    return "parent" if table.parent is None else table.parent.table.name


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _place(node: exp.Expr | None, prepared: Prepared) -> tuple[int, int]:
    identifier = node.this if node is not None else None
    start = identifier.meta.get("start") if isinstance(identifier, exp.Identifier) else None
    if start is None:
        return prepared.tokens[0].start, prepared.tokens[0].end
    return prepared.span(start)
