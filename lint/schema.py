"""A catalog from a schema script: pg_dump's output, or hand-written DDL.

Every statement that defines or changes a relation is understood or refused by name. Statements
that cannot define one (grants, policies, functions, comments, data) are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise

from lint.catalog import Catalog, Column, ForeignKey, Key, Name, Table, View
from lint.ddl import Cursor, split_parts, type_text
from lint.errors import CatalogError
from lint.lexer import RawStatement, statements
from lint.prepare import fold
from lint.words import words

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
_COLUMN_WORDS = words(
    "NOT NULL DEFAULT PRIMARY UNIQUE REFERENCES CHECK CONSTRAINT GENERATED COLLATE STORAGE "
    "COMPRESSION DEFERRABLE INITIALLY OPTIONS"
)
_TABLE_WORDS = words("PRIMARY UNIQUE FOREIGN CHECK CONSTRAINT EXCLUDE LIKE")

_DEFINES = re.compile(r"\b(create|alter|drop)\s+(\w+\s+)*(table|view)\b", re.IGNORECASE)


def load_schema(text: str, *, origin: str = "schema") -> Catalog:
    """Raises CatalogError, naming `origin` and the statement, for one that is not understood."""
    script = _Script(origin)
    for raw in statements(text):
        if raw.tokens:
            script.take(raw)
    return script.catalog()


@dataclass
class _Draft:
    name: Name
    columns: list[Column] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    # Referenced columns are None where the script leaves them to the parent's primary key.
    foreign_keys: list[tuple[tuple[str, ...], Name, tuple[str, ...] | None]] = field(
        default_factory=list
    )
    primary: tuple[str, ...] = ()
    inherited: bool = False


class _Script:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.schema = "public"
        self.tables: dict[Name, _Draft] = {}
        self.views: dict[Name, View] = {}

    def take(self, raw: RawStatement) -> None:
        try:
            self._take(raw)
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
        elif word not in _HARMLESS:
            raise CatalogError("it is not known what this defines")
        elif word == "SET" and raw.tokens[1].word == "SEARCH_PATH":
            self._search_path(raw)

    def _search_path(self, raw: RawStatement) -> None:
        names = [t for t in raw.tokens[2:] if t.kind in ("word", "quoted", "string")]
        names = [t for t in names if t.word not in ("TO", "DEFAULT")]
        if names and names[0].value:
            self.schema = names[0].value

    def _name(self, at: Cursor) -> Name:
        """The next name, in the schema the script has set if it is not qualified."""
        name = at.name()
        return name if name.schema else Name(self.schema, name.name)

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
            self._table(at)
        elif at.skip("VIEW") or at.skip("MATERIALIZED", "VIEW"):
            self._view(at)
        elif at.skip("UNIQUE", "INDEX"):
            self._unique_index(at)
        elif at.word() == "RULE":
            raise CatalogError("rules rewrite queries and are not supported")
        elif at.word() not in _HARMLESS_OBJECTS | {"INDEX", "TRUSTED", "PROCEDURAL"}:
            raise CatalogError("it is not known what this creates")

    def _table(self, at: Cursor) -> None:
        if_missing = at.skip("IF", "NOT", "EXISTS")
        name = self._name(at)
        if name in self.tables or name in self.views:
            if if_missing:
                return
            raise CatalogError(f"{name} is defined twice")
        draft = _Draft(name)
        if at.skip("PARTITION", "OF"):
            self._inherit(draft, self._name(at))
        elif not at.opens():
            raise CatalogError(f"the columns of {name} are not written out")
        else:
            for part in split_parts(at.group()):
                self._element(draft, Cursor(part))
            if at.skip("INHERITS"):
                for part in split_parts(at.group()):
                    parent = self._name(Cursor(part))
                    self._inherit(draft, parent)
                    self._table_named(parent).inherited = True
            elif at.word() == "AS":
                raise CatalogError(f"the columns of {name} have no types")
        self.tables[name] = draft

    def _inherit(self, draft: _Draft, parent_name: Name) -> None:
        parent = self._table_named(parent_name)
        own = {column.name for column in draft.columns}
        inherited = [column for column in parent.columns if column.name not in own]
        draft.columns = [*inherited, *draft.columns]

    def _element(self, draft: _Draft, at: Cursor) -> None:
        if at.word() in _TABLE_WORDS and at.peek(1) is not None:
            self._constraint(draft, at)
            return
        name = at.identifier()
        type_tokens: list[str] = []
        depth = 0
        while (token := at.peek()) is not None:
            if depth == 0 and token.word in _COLUMN_WORDS:
                break
            if token.kind == "punct":
                depth += {"(": 1, ")": -1}.get(token.text, 0)
            type_tokens.append(fold(token.text) if token.kind == "word" else token.text)
            at.at += 1
        draft.columns.append(Column(name, type_text(type_tokens)))
        self._column_constraints(draft, name, at)

    def _column_constraints(self, draft: _Draft, name: str, at: Cursor) -> None:
        index = len(draft.columns) - 1
        if draft.columns[index].type in ("serial", "bigserial", "smallserial"):
            draft.columns[index] = replace(draft.columns[index], nullable=False)
        while at.peek() is not None:
            constraint = at.identifier() if at.skip("CONSTRAINT") else None
            if at.skip("NOT", "NULL"):
                draft.columns[index] = replace(draft.columns[index], nullable=False)
            elif at.skip("PRIMARY", "KEY"):
                draft.columns[index] = replace(draft.columns[index], nullable=False)
                draft.primary = (name,)
                self._key(draft, (name,), constraint or f"{draft.name.name}_pkey", at)
            elif at.skip("UNIQUE"):
                at.skip("NULLS", "NOT", "DISTINCT")
                self._key(draft, (name,), constraint or f"{draft.name.name}_{name}_key", at)
            elif at.skip("REFERENCES"):
                self._references(draft, (name,), at)
            elif at.skip("DEFAULT"):
                draft.columns[index] = replace(draft.columns[index], default=self._expression(at))
            else:
                at.at += 1

    def _expression(self, at: Cursor) -> str:
        parts: list[str] = []
        depth = 0
        while (token := at.peek()) is not None:
            if depth == 0 and parts and token.word in _COLUMN_WORDS:
                break
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "punct" else 0
            parts.append(token.text)
            at.at += 1
        return " ".join(parts)

    def _constraint(self, draft: _Draft, at: Cursor) -> None:
        name = at.identifier() if at.skip("CONSTRAINT") else None
        if at.skip("PRIMARY", "KEY"):
            columns = self._key_columns(at)
            if columns is None:
                return
            draft.primary = columns
            for column in columns:
                self._change(draft, column, nullable=False)
            self._key(draft, columns, name or f"{draft.name.name}_pkey", at)
        elif at.skip("UNIQUE"):
            at.skip("NULLS", "NOT", "DISTINCT")
            columns = self._key_columns(at)
            if columns is not None:
                default = "_".join((draft.name.name, *columns, "key"))
                self._key(draft, columns, name or default, at)
        elif at.skip("FOREIGN", "KEY"):
            columns = at.columns()
            if not at.skip("REFERENCES"):
                raise CatalogError("REFERENCES is missing")
            self._references(draft, columns, at)
        elif at.skip("LIKE"):
            self._inherit(draft, self._name(at))
        elif at.skip("NOT", "NULL"):
            self._change(draft, at.identifier(), nullable=False)

    @staticmethod
    def _key_columns(at: Cursor) -> tuple[str, ...] | None:
        if at.skip("USING", "INDEX"):
            return None
        return at.columns()

    @staticmethod
    def _key(draft: _Draft, columns: tuple[str, ...], name: str | None, at: Cursor) -> None:
        # A deferrable key may be violated while a statement reads.
        after = ["", *(token.word for token in at.rest())]
        deferrable = any(b == "DEFERRABLE" and a != "NOT" for a, b in pairwise(after))
        if not deferrable and "OVERLAPS" not in after:
            draft.keys.append(Key(columns, name))

    def _references(self, draft: _Draft, columns: tuple[str, ...], at: Cursor) -> None:
        table = self._name(at)
        references = at.columns() if at.opens() else None
        after = [token.word for token in at.rest()]
        if ("NOT", "VALID") in pairwise(after):
            return
        draft.foreign_keys.append((columns, table, references))

    @staticmethod
    def _change(draft: _Draft, column: str, **changes: bool | str | None) -> None:
        for index, known in enumerate(draft.columns):
            if known.name == column:
                draft.columns[index] = replace(known, **changes)  # type: ignore[arg-type]  # keys are Column's fields
                return
        raise CatalogError(f"{draft.name} has no column {column}")

    def _view(self, at: Cursor) -> None:
        at.skip("IF", "NOT", "EXISTS")
        name = self._name(at)
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
        if name in self.tables:
            raise CatalogError(f"{name} is defined twice")
        self.views[name] = View(name, " ".join(token.text for token in body), columns)

    def _unique_index(self, at: Cursor) -> None:
        at.skip("CONCURRENTLY")
        at.skip("IF", "NOT", "EXISTS")
        index = None if at.word() == "ON" else at.identifier()
        if not at.skip("ON"):
            raise CatalogError("ON is missing")
        at.skip("ONLY")
        table = self._name(at)
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
        draft = self._table_named(table)
        if plain and not partial:
            columns = tuple(Cursor(part).identifier() for part in parts)
            draft.keys.append(Key(columns, index))

    # -- ALTER and DROP ----------------------------------------------------------------------

    def _alter(self, raw: RawStatement) -> None:
        at = Cursor(raw.tokens)
        at.skip("ALTER")
        if at.skip("VIEW") or at.skip("MATERIALIZED", "VIEW") or at.skip("INDEX"):
            if "RENAME" in [token.word for token in at.rest()] or at.word(2) == "SCHEMA":
                raise CatalogError("renaming is not supported")
            return
        at.skip("FOREIGN")
        if not at.skip("TABLE"):
            if at.word() not in _HARMLESS_OBJECTS:
                raise CatalogError("it is not known what this alters")
            return
        at.skip("IF", "EXISTS")
        at.skip("ONLY")
        name = self._name(at)
        if name in self.views:
            return
        at.symbol("*")
        for part in split_parts(at.rest()):
            self._action(self._table_named(name), Cursor(part))

    def _action(self, draft: _Draft, at: Cursor) -> None:
        if at.skip("ADD"):
            if at.word() in _TABLE_WORDS:
                self._constraint(draft, at)
            else:
                at.skip("COLUMN")
                missing = at.skip("IF", "NOT", "EXISTS")
                name = at.identifier()
                if missing and any(column.name == name for column in draft.columns):
                    return
                at.at -= 1
                self._element(draft, at)
        elif at.skip("ALTER"):
            at.skip("COLUMN")
            self._alter_column(draft, at.identifier(), at)
        elif at.skip("DROP"):
            self._drop_part(draft, at)
        elif (
            at.skip("ATTACH", "PARTITION")
            or at.word()
            in (
                "OWNER",
                "ENABLE",
                "DISABLE",
                "FORCE",
                "NO",
                "CLUSTER",
                "REPLICA",
                "VALIDATE",
                "DETACH",
            )
            or (at.word() in ("SET", "RESET") and at.word(1) != "SCHEMA")
        ):
            return
        elif at.skip("INHERIT"):
            self._table_named(self._name(at)).inherited = True
        else:
            raise CatalogError(f"ALTER TABLE .. {at.word()} is not supported")

    def _alter_column(self, draft: _Draft, column: str, at: Cursor) -> None:
        if at.skip("SET", "NOT", "NULL"):
            self._change(draft, column, nullable=False)
        elif at.skip("DROP", "NOT", "NULL"):
            self._change(draft, column, nullable=True)
        elif at.skip("SET", "DEFAULT"):
            self._change(draft, column, default=self._expression(at))
        elif at.skip("DROP", "DEFAULT"):
            self._change(draft, column, default=None)
        elif at.skip("TYPE") or at.skip("SET", "DATA", "TYPE"):
            kept: list[str] = []
            while (token := at.peek()) is not None and token.word not in ("USING", "COLLATE"):
                kept.append(fold(token.text) if token.kind == "word" else token.text)
                at.at += 1
            self._change(draft, column, type=type_text(kept))

    @staticmethod
    def _drop_part(draft: _Draft, at: Cursor) -> None:
        if at.skip("CONSTRAINT"):
            at.skip("IF", "EXISTS")
            name = at.identifier()
            known = [key for key in draft.keys if key.name != name]
            if len(known) == len(draft.keys):
                # It may have been a foreign key, whose name is not kept: believe none of them.
                draft.foreign_keys = []
            draft.keys = known
            return
        at.skip("COLUMN")
        at.skip("IF", "EXISTS")
        column = at.identifier()
        draft.columns = [known for known in draft.columns if known.name != column]
        draft.keys = [key for key in draft.keys if column not in key.columns]
        draft.foreign_keys = [key for key in draft.foreign_keys if column not in key[0]]

    def _drop(self, raw: RawStatement) -> None:
        at = Cursor(raw.tokens)
        at.skip("DROP")
        if at.skip("INDEX"):
            at.skip("CONCURRENTLY")
            at.skip("IF", "EXISTS")
            gone = {Cursor(part).name().name for part in split_parts(at.rest())}
            for draft in self.tables.values():
                draft.keys = [key for key in draft.keys if key.name not in gone]
            return
        if at.skip("SCHEMA"):
            at.skip("IF", "EXISTS")
            schemas = {Cursor(part).identifier() for part in split_parts(at.rest())}
            self.tables = {k: v for k, v in self.tables.items() if k.schema not in schemas}
            self.views = {k: v for k, v in self.views.items() if k.schema not in schemas}
            return
        if not (at.skip("TABLE") or at.skip("VIEW") or at.skip("MATERIALIZED", "VIEW")):
            return
        at.skip("IF", "EXISTS")
        for part in split_parts(at.rest()):
            name = self._name(Cursor(part))
            self.tables.pop(name, None)
            self.views.pop(name, None)

    # -- result ------------------------------------------------------------------------------

    def _table_named(self, name: Name) -> _Draft:
        found = self.tables.get(name)
        if found is None:
            raise CatalogError(f"table {name} is not defined before")
        return found

    def catalog(self) -> Catalog:
        tables = []
        for draft in self.tables.values():
            foreign_keys = []
            for columns, parent_name, references in draft.foreign_keys:
                parent = self.tables.get(parent_name)
                if parent is None:
                    continue  # a key into a table the script leaves out proves nothing
                target = references or parent.primary
                if len(target) == len(columns):
                    foreign_keys.append(ForeignKey(columns, parent.name, target))
            tables.append(
                Table(
                    name=draft.name,
                    columns=tuple(draft.columns),
                    keys=tuple(draft.keys),
                    foreign_keys=tuple(foreign_keys),
                    inherited=draft.inherited,
                )
            )
        return Catalog(tables, self.views.values())
