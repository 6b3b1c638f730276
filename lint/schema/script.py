"""A catalog from a schema script: pg_dump's output, or hand-written DDL.

Every statement that defines or changes a relation is understood or refused by name. Statements
that cannot define one (grants, policies, functions, comments, data) are passed over.
"""

from __future__ import annotations

import re

from lint.errors import CatalogError
from lint.schema.catalog import Catalog, Key, Name, View
from lint.schema.ddl import Cursor, split_parts
from lint.schema.script_tables import Drafts
from lint.text.lexer import RawStatement, statements
from lint.text.words import words

# First words of statements that define no relation a query could name.
_HARMLESS = words(
    "SET RESET SELECT COMMENT GRANT REVOKE INSERT UPDATE DELETE MERGE WITH COPY BEGIN START COMMIT "
    "END ROLLBACK SAVEPOINT RELEASE ANALYZE VACUUM REINDEX CLUSTER SECURITY TRUNCATE REFRESH LOCK "
    "NOTIFY LISTEN UNLISTEN DISCARD SHOW EXPLAIN VALUES CHECKPOINT REASSIGN CALL"
)
_HARMLESS_OBJECTS = words(
    "SCHEMA EXTENSION TYPE DOMAIN FUNCTION PROCEDURE AGGREGATE OPERATOR TRIGGER POLICY SEQUENCE "
    "ROLE USER GROUP DATABASE CAST COLLATION CONVERSION EVENT LANGUAGE PUBLICATION SUBSCRIPTION "
    "SERVER STATISTICS TEXT TRANSFORM DEFAULT ACCESS CONSTRAINT LARGE SYSTEM TABLESPACE "
    "ROUTINE"
)
_DEFINES = re.compile(r"\b(create|alter|drop)\s+(\w+\s+)*(table|view)\b", re.IGNORECASE)


def load_schema(text: str, *, origin: str = "schema") -> Catalog:
    """Raises CatalogError, naming `origin` and the statement, for one that is not understood."""
    script = _Script(origin)
    for raw in statements(text):
        if raw.tokens:
            script.take(raw)
    return script.catalog()


class _Script:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.drafts = Drafts()
        self.views: dict[Name, View] = {}
        self._last = ""

    def take(self, raw: RawStatement) -> None:
        try:
            self._take(raw)
            self._last = " ".join(token.value for token in raw.tokens)
        except CatalogError as error:
            shown = " ".join(token.text for token in raw.tokens[:8])
            raise CatalogError(f"{self.origin}: {error}, in: {shown} ..") from error

    def _take(self, raw: RawStatement) -> None:
        word = raw.tokens[0].word
        if word == "CREATE":
            self._create(raw)
        elif word == "ALTER":
            self._alter(raw)
        elif word == "DROP":
            self._drop(raw)
        elif word == "DO":
            if _DEFINES.search(" ".join(token.value for token in raw.tokens)):
                raise CatalogError("a DO block may define a relation")
        elif raw.tokens[0].text.startswith("\\gexec"):
            if _DEFINES.search(self._last):
                raise CatalogError("what \\gexec runs may define a relation")
        elif word not in _HARMLESS:
            raise CatalogError("it is not known what this defines")
        elif word == "SET" and raw.tokens[1].word == "SEARCH_PATH":
            self._search_path(raw)

    def _search_path(self, raw: RawStatement) -> None:
        names = [t for t in raw.tokens[2:] if t.kind in ("word", "quoted", "string")]
        names = [t for t in names if t.word not in ("TO", "DEFAULT")]
        if names and names[0].value:
            self.drafts.schema = names[0].value

    # -- CREATE ------------------------------------------------------------------------------

    def _create(self, raw: RawStatement) -> None:
        at = Cursor(raw.tokens)
        at.skip("CREATE")
        at.skip("OR", "REPLACE")
        for noise in ("GLOBAL", "LOCAL", "TEMPORARY", "TEMP", "UNLOGGED", "RECURSIVE", "FOREIGN"):
            if noise == "FOREIGN" and at.word(1) == "DATA":
                return
            at.skip(noise)
        if at.skip("TABLE"):
            self.drafts.create(at)
        elif at.skip("VIEW"):
            self._view(at)
        elif at.skip("MATERIALIZED", "VIEW"):
            self._view(at, materialized=True)
        elif at.skip("UNIQUE", "INDEX"):
            self._unique_index(at)
        elif at.word() == "RULE":
            raise CatalogError("rules rewrite queries and are not supported")
        elif at.word() not in _HARMLESS_OBJECTS | {"INDEX", "TRUSTED", "PROCEDURAL"}:
            raise CatalogError("it is not known what this creates")

    def _view(self, at: Cursor, *, materialized: bool = False) -> None:
        at.skip("IF", "NOT", "EXISTS")
        name = self.drafts.name(at)
        columns = at.columns() if at.opens() else ()
        while at.peek() is not None and not at.skip("AS"):
            at.at += 1
        body = at.rest()
        words = [token.word for token in body]
        for tail in (
            ["WITH", "NO", "DATA"],
            ["WITH", "DATA"],
            ["WITH", "CHECK", "OPTION"],
            ["WITH", "LOCAL", "CHECK", "OPTION"],
            ["WITH", "CASCADED", "CHECK", "OPTION"],
        ):
            if words[-len(tail) :] == tail:
                body = body[: -len(tail)]
                break
        if not body:
            raise CatalogError(f"view {name} has no query")
        if name in self.drafts.tables:
            raise CatalogError(f"{name} is defined twice")
        query = " ".join(token.text for token in body)
        self.views[name] = View(name, query, columns, materialized)

    def _unique_index(self, at: Cursor) -> None:
        at.skip("CONCURRENTLY")
        at.skip("IF", "NOT", "EXISTS")
        index = None if at.word() == "ON" else at.identifier()
        if not at.skip("ON"):
            raise CatalogError("ON is missing")
        at.skip("ONLY")
        table = self.drafts.name(at)
        if at.skip("USING"):
            at.identifier()
        parts = split_parts(at.group())
        partial = any(token.word == "WHERE" for token in at.rest())
        plain = all(
            part[0].kind in ("word", "quoted")
            and all(token.word in ("ASC", "DESC", "NULLS", "FIRST", "LAST") for token in part[1:])
            for part in parts
        )
        if table in self.views:
            return
        draft = self.drafts.named(table)
        if plain and not partial:
            columns = tuple(Cursor(part).identifier() for part in parts)
            draft.keys.append(Key(columns, index))

    # -- ALTER and DROP ----------------------------------------------------------------------

    def _alter(self, raw: RawStatement) -> None:
        at = Cursor(raw.tokens)
        at.skip("ALTER")
        if at.skip("INDEX"):
            at.skip("IF", "EXISTS")
            index = at.name().name
            if at.skip("RENAME", "TO"):
                self.drafts.rename_key(index, at.identifier())
            return
        if at.skip("VIEW") or at.skip("MATERIALIZED", "VIEW"):
            if "RENAME" in [token.word for token in at.rest()] or at.word(2) == "SCHEMA":
                raise CatalogError("renaming a view is not supported")
            return
        at.skip("FOREIGN")
        if not at.skip("TABLE"):
            if at.word() not in _HARMLESS_OBJECTS:
                raise CatalogError("it is not known what this alters")
            return
        may_be_missing = at.skip("IF", "EXISTS")
        at.skip("ONLY")
        name = self.drafts.name(at)
        if name in self.views or (may_be_missing and name not in self.drafts.tables):
            return
        at.symbol("*")
        if at.word() == "RENAME" and at.word(1) != "CONSTRAINT" and self.views:
            raise CatalogError("renaming what a view may read is not supported")
        for part in split_parts(at.rest()):
            self.drafts.alter(self.drafts.named(name), Cursor(part))

    def _drop(self, raw: RawStatement) -> None:
        at = Cursor(raw.tokens)
        at.skip("DROP")
        if at.skip("INDEX"):
            at.skip("CONCURRENTLY")
            at.skip("IF", "EXISTS")
            gone = {Cursor(part).name().name for part in split_parts(at.rest())}
            for draft in self.drafts.tables.values():
                draft.keys = [key for key in draft.keys if key.name not in gone]
            return
        if at.skip("SCHEMA"):
            at.skip("IF", "EXISTS")
            schemas = {Cursor(part).identifier() for part in split_parts(at.rest())}
            self.drafts.tables = {
                k: v for k, v in self.drafts.tables.items() if k.schema not in schemas
            }
            self.views = {k: v for k, v in self.views.items() if k.schema not in schemas}
            return
        if not (at.skip("TABLE") or at.skip("VIEW") or at.skip("MATERIALIZED", "VIEW")):
            return
        at.skip("IF", "EXISTS")
        for part in split_parts(at.rest()):
            name = self.drafts.name(Cursor(part))
            self.drafts.tables.pop(name, None)
            self.views.pop(name, None)

    # -- result ------------------------------------------------------------------------------

    def catalog(self) -> Catalog:
        return Catalog(self.drafts.finished(), self.views.values())
