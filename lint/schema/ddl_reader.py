"""Reading the DDL of a file, statement by statement, into what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from lint.errors import CatalogError
from lint.prover.functions import SAFE, SYNTAX
from lint.schema.catalog import Catalog, Name
from lint.schema.ddl import Cursor, invoker, is_invoker, split_parts
from lint.schema.ddl_elements import (
    TABLE_WORDS,
    Places,
    column,
    constraint,
    element,
    generates,
    index,
    pair,
    policy_clauses,
    table_name,
)
from lint.schema.ddl_script import (
    Hidden,
    MadeColumn,
    MadeFunction,
    MadeKey,
    MadePolicy,
    MadeTable,
    MadeView,
    Place,
    Script,
)
from lint.text.lexer import Token
from lint.text.prepare import fold
from lint.text.words import words

DDL_WORDS = words("CREATE ALTER DROP GRANT REVOKE DO")
# Dynamic SQL that asks these goes over tables that it does not name.
_CATALOGS = re.compile(
    r"\b(?:PG_CLASS|PG_TABLES|PG_NAMESPACE|PG_ATTRIBUTE|INFORMATION_SCHEMA|REGCLASS)\b"
)
_BEFORE_NAME = words("TABLE ONLY EXISTS ON")
_Key = TypeVar("_Key")
_Made = TypeVar("_Made", MadeTable, MadeView, MadeFunction, MadePolicy, MadeKey)


def read_script(
    statements: Sequence[tuple[Token, ...]],
    catalog: Catalog,
    tenant_columns: tuple[str, ...],
    parts: Sequence[str | None] = (),
) -> Script:
    """Apply the DDL among `statements`, whose indices become the places' statements.

    `parts` names the function that each runs in. When functions run is not known, so nothing is
    gone that another one drops. A statement whose part is None is the way back, and left out.
    """
    script = Script(catalog, tenant_columns)
    reader = _Reader(script, parts)
    for number, tokens in enumerate(statements):
        if not tokens or (parts and parts[number] is None):
            continue
        # Not psql's `:"name"`: nobody says that something is put in there.
        holes = [n for n, t in enumerate(tokens) if t.kind == "hole" and t.text[:1] != ":"]
        following = statements[number + 1] if number + 1 < len(statements) else ()
        if holes or _runs_text(tokens, following):
            # Format strings in a DO block, templates of a loop: they may mend what is missing.
            text = " ".join(token.value for token in tokens).upper()
            named = all(tokens[at - 1].word not in _BEFORE_NAME if at else False for at in holes)
            script.hidden.append(Hidden(text, not named or _CATALOGS.search(text) is not None))
        elif tokens[0].word in DDL_WORDS:
            reader.take(number, tokens)
    return script


def _runs_text(tokens: tuple[Token, ...], following: tuple[Token, ...]) -> bool:
    """Whether a text in it may be run: a DO block, a function that is not PostgreSQL's, or a
    SELECT whose rows psql's \\gexec runs."""
    if tokens[0].word == "DO":
        return True
    if tokens[0].word != "SELECT":
        return False
    if following and following[0].text.startswith("\\gexec"):
        return True
    names = (token for token, mark in pairwise(tokens) if mark.text == "(")
    return any(
        token.kind == "quoted" or (token.kind == "word" and fold(token.text) not in SAFE | SYNTAX)
        for token in names
    )


class _Reader:
    def __init__(self, script: Script, parts: Sequence[str | None]) -> None:
        self.script = script
        self._parts = parts
        self._number = 0
        self._places = Places(0)

    def take(self, number: int, tokens: tuple[Token, ...]) -> None:
        self._number = number
        self._places = Places(number)
        at = Cursor(tokens)
        first = at.word()
        at.at = 1
        readers: dict[str, Callable[[Cursor], None]] = {
            "CREATE": self._create,
            "ALTER": self._alter,
            "DROP": self._drop,
            "GRANT": self._grant,
        }
        try:
            if first in readers:
                readers[first](at)
        except CatalogError:
            return  # the statement is judged by the prover; no rule of the schema builds on it

    def _table(self, name: Name, token: Token) -> MadeTable:
        found = self.script.tables.get(name)
        if found is None:
            found = self.script.tables[name] = MadeTable(name, self._places(token))
        return found

    # -- CREATE ------------------------------------------------------------------------------

    def _create(self, at: Cursor) -> None:
        at.skip("OR", "REPLACE")
        temporary = False
        while at.word() in ("GLOBAL", "LOCAL", "TEMPORARY", "TEMP", "UNLOGGED", "RECURSIVE"):
            temporary |= at.word() in ("TEMPORARY", "TEMP")
            at.at += 1
        if at.skip("TABLE"):
            self._create_table(at, temporary=temporary)
        elif at.skip("UNIQUE", "INDEX"):
            self._create_index(at, "unique")
        elif at.skip("INDEX"):
            self._create_index(at, "index")
        elif at.skip("POLICY"):
            self._create_policy(at)
        elif at.skip("VIEW"):
            self._create_view(at, materialized=False)
        elif at.skip("MATERIALIZED", "VIEW"):
            self._create_view(at, materialized=True)
        elif at.skip("FUNCTION") or at.skip("PROCEDURE"):
            self._create_function(at)

    def _create_table(self, at: Cursor, *, temporary: bool) -> None:
        at.skip("IF", "NOT", "EXISTS")
        name, token = table_name(at)
        table = MadeTable(name, self._places(token), created=True, temporary=temporary)
        if at.skip("PARTITION", "OF"):
            table.partition_of = table_name(at)[0]
            parent = self.script.tables.get(table.partition_of)
            if parent is not None:
                table.columns = dict(parent.columns)
        elif at.opens():
            for part in split_parts(at.group()):
                element(table, Cursor(part), self._places)
        self.script.tables[name] = table

    def _create_index(self, at: Cursor, kind: str) -> None:
        found = index(at, kind, self._places)
        if found is not None:
            on, token, key = found
            self._table(on, token).keys.append(key)

    def _create_policy(self, at: Cursor) -> None:
        first = at.peek()
        name = at.identifier()
        if first is None or not at.skip("ON"):
            return
        on, token = table_name(at)
        table = self._table(on, token)
        policy = MadePolicy(name, True, "ALL", (), None, None, self._places(first))
        if at.skip("AS"):
            policy.permissive = at.word() != "RESTRICTIVE"
            at.at += 1
        if at.skip("FOR"):
            policy.command = at.word()
            at.at += 1
        policy_clauses(policy, at)
        table.policies[name] = policy

    def _create_view(self, at: Cursor, *, materialized: bool) -> None:
        at.skip("IF", "NOT", "EXISTS")
        name, token = table_name(at)
        asks_as_user = is_invoker(at)
        self.script.views[name] = MadeView(
            name, self._places(token), materialized, asks_as_user, tuple(at.rest())
        )

    def _create_function(self, at: Cursor) -> None:
        name, token = table_name(at)
        arguments = " ".join(part.text for part in at.group()) if at.opens() else ""
        rest = at.rest()
        definer = pair(rest, "SECURITY", "DEFINER")
        self.script.functions[name, arguments] = MadeFunction(
            name, self._places(token), definer, pair(rest, "SET", "SEARCH_PATH")
        )

    # -- ALTER -------------------------------------------------------------------------------

    def _alter(self, at: Cursor) -> None:
        if at.skip("TABLE"):
            self._alter_table(at)
        elif at.skip("POLICY"):
            self._alter_policy(at)
        elif at.skip("FUNCTION") or at.skip("PROCEDURE") or at.skip("ROUTINE"):
            name, _ = table_name(at)
            rest = at.rest()
            for function in self._functions(name):
                function.fixed |= pair(rest, "SET", "SEARCH_PATH")
                function.definer |= pair(rest, "SECURITY", "DEFINER")
                function.definer &= not pair(rest, "SECURITY", "INVOKER")
        elif at.skip("VIEW"):
            at.skip("IF", "EXISTS")
            view = self.script.views.get(table_name(at)[0])
            if view is not None and at.skip("SET") and at.opens():
                said = invoker(at.group())
                view.invoker = view.invoker if said is None else said
            elif view is not None and at.skip("RESET") and at.opens():
                view.invoker &= invoker(at.group()) is None

    def _functions(self, name: Name) -> list[MadeFunction]:
        """The functions of a name: which of them is meant, its arguments may say in other words."""
        return [made for key, made in self.script.functions.items() if key[0] == name]

    def _alter_table(self, at: Cursor) -> None:
        at.skip("IF", "EXISTS")
        at.skip("ONLY")
        name, token = table_name(at)
        at.symbol("*")
        if at.skip("RENAME", "TO"):
            made = self.script.tables.pop(name, None)
            if made is not None:
                renamed = replace(name, name=at.identifier())
                made.name = renamed
                self.script.tables[renamed] = made
            return
        table = self._table(name, token)
        for part in split_parts(at.rest()):
            self._action(table, Cursor(part))

    def _action(self, table: MadeTable, at: Cursor) -> None:
        place = self._places(*at.tokens)
        if at.skip("ENABLE", "ROW", "LEVEL", "SECURITY"):
            table.security, table.security_place = True, place
        elif at.skip("DISABLE", "ROW", "LEVEL", "SECURITY"):
            table.security, table.security_place = False, place
        elif at.skip("FORCE", "ROW", "LEVEL", "SECURITY"):
            table.forced = True
        elif at.skip("NO", "FORCE", "ROW", "LEVEL", "SECURITY"):
            table.forced, table.security_place = False, place
        elif at.skip("ATTACH", "PARTITION"):
            child, token = table_name(at)
            self._table(child, token).partition_of = table.name
        elif at.skip("ADD"):
            if at.word() in TABLE_WORDS:
                constraint(table, at, self._places)
            else:
                at.skip("COLUMN")
                at.skip("IF", "NOT", "EXISTS")
                column(table, at, self._places)
        elif at.skip("DROP", "CONSTRAINT"):
            at.skip("IF", "EXISTS")
            name = at.identifier()
            table.keys = [key for key in table.keys if key.name != name]
            table.foreign_keys = [key for key in table.foreign_keys if key.name != name]
        elif at.skip("DROP"):
            at.skip("COLUMN")
            at.skip("IF", "EXISTS")
            gone = at.identifier()
            table.columns.pop(gone, None)
            table.keys = [key for key in table.keys if gone not in key.columns]
            table.foreign_keys = [key for key in table.foreign_keys if gone not in key.columns]
        elif at.skip("ALTER"):
            at.skip("COLUMN")
            self._alter_column(table, at, place)

    def _alter_column(self, table: MadeTable, at: Cursor, place: Place) -> None:
        name = at.identifier()
        made = table.columns.get(name)
        if at.skip("SET", "NOT", "NULL"):
            if made is not None:
                made.nullable = False
        elif at.skip("DROP", "NOT", "NULL"):
            if made is None:
                made = table.columns[name] = MadeColumn(name, "", True, False, place)
            made.nullable, made.place = True, place
        elif made is not None and generates(at.rest()):
            made.generated = True

    def _alter_policy(self, at: Cursor) -> None:
        name = at.identifier()
        if not at.skip("ON"):
            return
        table = self.script.tables.get(table_name(at)[0])
        policy = table.policies.get(name) if table is not None else None
        if policy is not None:
            policy_clauses(policy, at)

    # -- DROP and GRANT ----------------------------------------------------------------------

    def _drop(self, at: Cursor) -> None:
        kind = at.word()
        at.at += 1
        if kind == "MATERIALIZED":
            at.at += 1
        at.skip("CONCURRENTLY")
        at.skip("IF", "EXISTS")
        if kind == "POLICY":
            name = at.identifier()
            if at.skip("ON"):
                table = self.script.tables.get(table_name(at)[0])
                if table is not None:
                    self._gone(table.policies, name)
            return
        for part in split_parts(at.rest()):
            name_of, _ = table_name(Cursor(part))
            if kind == "TABLE":
                self._gone(self.script.tables, name_of)
            elif kind in ("VIEW", "MATERIALIZED"):
                self._gone(self.script.views, name_of)
            elif kind in ("FUNCTION", "PROCEDURE"):
                for gone in [key for key in self.script.functions if key[0] == name_of]:
                    self._gone(self.script.functions, gone)
            elif kind == "INDEX":
                for made in self.script.tables.values():
                    made.keys = [k for k in made.keys if k.name != name_of.name or self._apart(k)]

    def _gone(self, held: dict[_Key, _Made], name: _Key) -> None:
        made = held.get(name)
        if made is not None and not self._apart(made):
            del held[name]

    def _apart(self, made: _Made) -> bool:
        """Whether another function has made it than the one that drops it."""
        here, there = self._number, made.place.statement
        return bool(self._parts) and self._parts[here] != self._parts[there]

    def _grant(self, at: Cursor) -> None:
        while at.peek() is not None and not at.skip("ON"):
            at.at += 1
        whole = at.skip("ALL", "TABLES", "IN", "SCHEMA")
        if not whole and at.word() in words("SCHEMA SEQUENCE FUNCTION DATABASE TYPE ALL DOMAIN"):
            return
        at.skip("TABLE")
        names: list[tuple[Name, Token]] = [table_name(at)]
        while at.symbol(","):
            names.append(table_name(at))
        if not at.skip("TO"):
            return
        roles = ", ".join(token.value for token in at.rest() if token.kind in ("word", "quoted"))
        for name, token in names:
            if not whole:
                self._table(name, token).granted.append((roles, self._places(token)))
                continue
            schema = "" if name.name == "public" else name.name
            for table in self.script.tables.values():
                if table.name.schema == schema:
                    table.granted.append((roles, self._places(token)))
