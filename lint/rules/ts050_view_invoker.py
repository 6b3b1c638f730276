"""A view that reads as its owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.catalog import Name
from lint.schema.ddl_script import Script
from lint.text.lexer import Token, statements
from lint.text.prepare import fold


def check(script: Script) -> Iterator[Problem]:
    """Yield views over tenants' tables without security_invoker."""
    for view in script.views.values():
        if view.invoker:
            continue
        table = _tenants_table_in(script, view.body, set())
        if table is None:
            continue
        message = f"{view.name} reads {table} as its owner: security_invoker is missing"
        if view.materialized:
            message = f"{view.name} keeps rows of {table} where no policy binds them"
        yield problem(view.place, message)


def _tenants_table_in(script: Script, body: Iterable[Token], seen: set[str]) -> str | None:
    """The first tenant's table that a query reads, itself or through another view.

    A view with security_invoker that is read by one without asks for the rights of its owner.
    """
    before = ""
    for token in body:
        if token.kind in ("word", "quoted") and before in ("FROM", "JOIN", ",", ".", "ONLY"):
            name = fold(token.text) if token.kind == "word" else token.value
            made = [n for n in script.tables if n.name == name] or [Name("", name)]
            if any(script.tenant_of(n) or script.parent_of(n) for n in made):
                return name
            if name not in seen:
                seen.add(name)
                for inner in _bodies(script, name):
                    found = _tenants_table_in(script, inner, seen)
                    if found is not None:
                        return found
        before = token.word or token.text
    return None


def _bodies(script: Script, name: str) -> Iterator[tuple[Token, ...]]:
    """The queries of the views of a name, those that the file makes first."""
    made = [view.body for view in script.views.values() if view.name.name == name]
    yield from made
    known = [view for view in script.catalog.views if view.name.name == name and not made]
    for view in known:
        yield from (raw.tokens for raw in statements(view.query, psql=False))


RULE = Rule(
    code="TS050",
    name="view-invoker",
    group="Schema",
    what="A view over a tenant's table is without security_invoker.",
    why=(
        "A view reads with its owner's rights: the policies of whoever queries it are not asked. "
        "A materialized view keeps the rows, and has no row-level security at all."
    ),
    bad="CREATE VIEW open_invoice AS SELECT tenant_id, id FROM invoice WHERE status = 'open'",
    good=(
        "CREATE VIEW open_invoice WITH (security_invoker = true) AS\n"
        "    SELECT tenant_id, id FROM invoice WHERE tenant_id = tenure.current_tenant()"
    ),
    mend=(
        "add `WITH (security_invoker = true)` (PostgreSQL 15). Keep the tenant in a materialized "
        "view's rows, and grant it to no application, only a view over it that asks for the tenant."
    ),
    check_script=check,
)
