"""The tables of a schema script, as they grow by CREATE TABLE and ALTER TABLE."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from lint.errors import CatalogError
from lint.schema.catalog import Column, ForeignKey, Key, Name, Table
from lint.schema.ddl import Cursor, split_parts, type_text
from lint.text.prepare import fold
from lint.text.words import words

_COLUMN_WORDS = words(
    "NOT NULL DEFAULT PRIMARY UNIQUE REFERENCES CHECK CONSTRAINT GENERATED COLLATE STORAGE "
    "COMPRESSION DEFERRABLE INITIALLY OPTIONS"
)
_TABLE_WORDS = words("PRIMARY UNIQUE FOREIGN CHECK CONSTRAINT EXCLUDE LIKE")


@dataclass
class Draft:
    name: Name
    columns: list[Column] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    # Referenced columns are None where the script leaves them to the parent's primary key.
    foreign_keys: list[tuple[tuple[str, ...], Name, tuple[str, ...] | None]] = field(
        default_factory=list
    )
    primary: tuple[str, ...] = ()
    inherited: bool = False
    unchecked: list[Name] = field(default_factory=list)


class Drafts:
    """Tables by name, in the making. Raises CatalogError for what it does not understand."""

    def __init__(self) -> None:
        self.schema = "public"  # of names that are not qualified
        self.tables: dict[Name, Draft] = {}

    def name(self, at: Cursor) -> Name:
        """The next name, in the schema the script has set if it is not qualified."""
        name = at.name()
        return name if name.schema else Name(self.schema, name.name)

    def named(self, name: Name) -> Draft:
        found = self.tables.get(name)
        if found is None:
            raise CatalogError(f"table {name} is not defined before")
        return found

    # -- CREATE TABLE -----------------------------------------------------------------------

    def create(self, at: Cursor) -> None:
        if_missing = at.skip("IF", "NOT", "EXISTS")
        name = self.name(at)
        if name in self.tables:
            if if_missing:
                return
            raise CatalogError(f"{name} is defined twice")
        draft = Draft(name)
        if at.skip("PARTITION", "OF"):
            self._inherit(draft, self.name(at))
        elif not at.opens():
            raise CatalogError(f"the columns of {name} are not written out")
        else:
            for part in split_parts(at.group()):
                self._element(draft, Cursor(part))
            if at.skip("INHERITS"):
                for part in split_parts(at.group()):
                    parent = self.name(Cursor(part))
                    self._inherit(draft, parent)
                    self.named(parent).inherited = True
            elif at.word() == "AS":
                raise CatalogError(f"the columns of {name} have no types")
        self.tables[name] = draft

    def _inherit(self, draft: Draft, parent_name: Name) -> None:
        parent = self.named(parent_name)
        own = {column.name for column in draft.columns}
        inherited = [column for column in parent.columns if column.name not in own]
        draft.columns = [*inherited, *draft.columns]

    def _element(self, draft: Draft, at: Cursor) -> None:
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

    def _column_constraints(self, draft: Draft, name: str, at: Cursor) -> None:
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
            elif at.skip("GENERATED", "ALWAYS", "AS") and at.opens():
                draft.columns[index] = replace(draft.columns[index], generated=_text(at))
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

    def _constraint(self, draft: Draft, at: Cursor) -> None:
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
            self._inherit(draft, self.name(at))
        elif at.skip("NOT", "NULL"):
            self._change(draft, at.identifier(), nullable=False)

    @staticmethod
    def _key_columns(at: Cursor) -> tuple[str, ...] | None:
        if at.skip("USING", "INDEX"):
            return None
        return at.columns()

    @staticmethod
    def _key(draft: Draft, columns: tuple[str, ...], name: str | None, at: Cursor) -> None:
        # A deferrable key may be violated while a statement reads.
        after = [token.word for token in at.rest()]
        if not _is_deferrable(after) and "OVERLAPS" not in after:
            draft.keys.append(Key(columns, name))

    def _references(self, draft: Draft, columns: tuple[str, ...], at: Cursor) -> None:
        table = self.name(at)
        references = at.columns() if at.opens() else None
        after = [token.word for token in at.rest()]
        # Until its transaction ends a deferrable key of several columns may name another's row.
        late = len(columns) > 1 and _is_deferrable(after)
        if late or {("NOT", "VALID"), ("NOT", "ENFORCED")} & set(pairwise(after)):
            draft.unchecked.append(table)
            return
        draft.foreign_keys.append((columns, table, references))

    @staticmethod
    def _change(draft: Draft, column: str, **changes: bool | str | None) -> None:
        for index, known in enumerate(draft.columns):
            if known.name == column:
                draft.columns[index] = replace(known, **changes)  # type: ignore[arg-type]  # keys are Column's fields
                return
        raise CatalogError(f"{draft.name} has no column {column}")

    # -- ALTER TABLE ------------------------------------------------------------------------

    def alter(self, draft: Draft, at: Cursor) -> None:
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
        elif at.skip("RENAME"):
            self._rename(draft, at)
        elif at.skip("INHERIT"):
            self.named(self.name(at)).inherited = True
        else:
            raise CatalogError(f"ALTER TABLE .. {at.word()} is not supported")

    def _rename(self, draft: Draft, at: Cursor) -> None:
        if at.skip("TO"):
            old, draft.name = draft.name, Name(draft.name.schema, at.identifier())
            if draft.name in self.tables:
                raise CatalogError(f"{draft.name} is defined twice")
            self.tables = {held.name: held for held in self.tables.values()}
            for held in self.tables.values():
                held.foreign_keys = [
                    (columns, draft.name if parent == old else parent, references)
                    for columns, parent, references in held.foreign_keys
                ]
                held.unchecked = [draft.name if to == old else to for to in held.unchecked]
            return
        constraint = at.skip("CONSTRAINT")
        at.skip("COLUMN")
        before = at.identifier()
        if not at.skip("TO"):
            raise CatalogError("RENAME without TO")
        after = at.identifier()
        if constraint:
            draft.keys = [replace(k, name=after) if k.name == before else k for k in draft.keys]
        else:
            self._rename_column(draft, before, after)

    def _rename_column(self, draft: Draft, before: str, after: str) -> None:
        def new(columns: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(after if column == before else column for column in columns)

        draft.columns = [
            replace(column, name=after) if column.name == before else column
            for column in draft.columns
        ]
        if any(before in fold(column.generated or "") for column in draft.columns):
            raise CatalogError("renaming what a generated column may read is not supported")
        draft.keys = [replace(key, columns=new(key.columns)) for key in draft.keys]
        draft.primary = new(draft.primary)
        for held in self.tables.values():
            held.foreign_keys = [
                (
                    new(columns) if held is draft else columns,
                    parent,
                    new(references) if references and parent == draft.name else references,
                )
                for columns, parent, references in held.foreign_keys
            ]

    def rename_key(self, before: str, after: str) -> None:
        """A unique index has another name."""
        for draft in self.tables.values():
            draft.keys = [replace(k, name=after) if k.name == before else k for k in draft.keys]

    def _alter_column(self, draft: Draft, column: str, at: Cursor) -> None:
        if at.skip("SET", "NOT", "NULL"):
            self._change(draft, column, nullable=False)
        elif at.skip("DROP", "NOT", "NULL"):
            self._change(draft, column, nullable=True)
        elif at.skip("SET", "DEFAULT"):
            self._change(draft, column, default=self._expression(at))
        elif at.skip("DROP", "DEFAULT"):
            self._change(draft, column, default=None)
        elif at.skip("SET", "EXPRESSION", "AS"):
            self._change(draft, column, generated=_text(at))
        elif at.skip("DROP", "EXPRESSION"):
            self._change(draft, column, generated=None)
        elif at.skip("TYPE") or at.skip("SET", "DATA", "TYPE"):
            kept: list[str] = []
            while (token := at.peek()) is not None and token.word not in ("USING", "COLLATE"):
                kept.append(fold(token.text) if token.kind == "word" else token.text)
                at.at += 1
            self._change(draft, column, type=type_text(kept))

    @staticmethod
    def _drop_part(draft: Draft, at: Cursor) -> None:
        if at.skip("CONSTRAINT"):
            at.skip("IF", "EXISTS")
            name = at.identifier()
            known = [key for key in draft.keys if key.name != name]
            if len(known) == len(draft.keys):
                # It may have been a foreign key, whose name is not kept: believe none of them.
                draft.unchecked += [parent for _, parent, _ in draft.foreign_keys]
                draft.foreign_keys = []
            draft.keys = known
            return
        at.skip("COLUMN")
        at.skip("IF", "EXISTS")
        column = at.identifier()
        draft.columns = [known for known in draft.columns if known.name != column]
        draft.keys = [key for key in draft.keys if column not in key.columns]
        draft.foreign_keys = [key for key in draft.foreign_keys if column not in key[0]]

    # -- result ------------------------------------------------------------------------------

    def finished(self) -> list[Table]:
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
                else:
                    draft.unchecked.append(parent.name)
            tables.append(
                Table(
                    name=draft.name,
                    columns=tuple(draft.columns),
                    keys=tuple(draft.keys),
                    foreign_keys=tuple(foreign_keys),
                    inherited=draft.inherited,
                    unchecked=tuple(dict.fromkeys(draft.unchecked)),
                )
            )
        return tables


def _is_deferrable(words: list[str]) -> bool:
    return any(b == "DEFERRABLE" and a != "NOT" for a, b in pairwise(["", *words]))


def _text(at: Cursor) -> str:
    """What stands in the parentheses that begin here."""
    return " ".join(token.text for token in at.group())
