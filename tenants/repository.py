"""Create, read, update, delete for a resource's rows, as JSON made by PostgreSQL.

Two things hold for every write that changes or removes rows: `guard` runs first inside its
transaction (rows under legal hold are not touched), and rows deleted softly are out of reach.
Isolation is not done here: the database under it scopes every query to the tenant in context.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from peewee import Cast, Select, fn

from config.clock import Clock
from tenants.catalog import name_of
from tenants.errors import MissingParentError, TooMuchError
from tenants.filters import Compare, Filter, Is, OneOf, Order, all_of, expression_of, ordering_of
from tenants.resource import Resource
from tenants.writes import Guard, Write

#: Called last in a transaction that deletes rows for good, with their table and ids.
Removed = Callable[[str, Sequence[uuid.UUID]], None]
#: What to show: (label in the JSON, column).
Columns = Sequence[tuple[str, str]]
# A column whose values may be of any length: label, column, field.
_Wide = tuple[str, str, peewee.Field]

DELETED_AT = "deleted_at"
#: Characters of JSON that are taken from the database at once; beyond, TooMuchError is raised.
MAX_JSON = 32 * 1024 * 1024
#: Rows that are not weighed before they are put together.
SMALL_PAGE = 100
#: Rows that one write may change or delete; beyond, TooMuchError is raised, and none is.
MAX_WRITTEN = 10_000


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A page of rows. `order` must end in a unique column for pages to be stable."""

    columns: Columns
    where: Filter | None
    order: tuple[Order, ...]
    limit: int
    offset: int = 0
    with_total: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """`json` is the text of an array of `count` objects; `total` is known where asked for.

    Raises TooMuchError for a text that was cut off at MAX_JSON.
    """

    json: str
    count: int
    total: int | None = None

    def __post_init__(self) -> None:
        if len(self.json) > MAX_JSON:
            raise TooMuchError(f"the rows come to more than {MAX_JSON} characters of JSON")


@dataclass(frozen=True, slots=True)
class Row:
    """`json` is the text of one object; `version` changes whenever any shown column does."""

    json: str
    version: str


class Repository:
    """The rows of one resource, of the tenant in context.

    `visible` are the columns that a version covers. `neighbours` are the other resources,
    needed to know which parents can be deleted softly.
    """

    def __init__(
        self,
        resource: Resource,
        database: peewee.Database,
        *,
        visible: Sequence[str],
        clock: Clock,
        guard: Guard,
        removed: Removed,
        neighbours: Sequence[Resource] = (),
    ) -> None:
        self._database = database
        self._model: Any = resource.model
        self._soft_delete = resource.soft_delete
        self._visible = tuple((column, column) for column in visible)
        self._clock = clock
        self._guard = guard
        self._removed = removed
        meta: Any = self._model._meta
        self._fields: dict[str, peewee.Field] = {f.column_name: f for f in meta.sorted_fields}
        soft = {r.model for r in (resource, *neighbours) if r.soft_delete}
        self._soft_parents: dict[str, Any] = {
            f.column_name: f.rel_model
            for f in meta.sorted_fields
            if isinstance(f, peewee.ForeignKeyField) and f.rel_model in soft
        }

    # -- reading -----------------------------------------------------------------------

    def page(self, query: PageQuery) -> Rows:
        """Return a page, in one round trip."""
        page = (
            self._select(query.columns, query.where)
            .order_by(*ordering_of(query.order, self._fields))
            .limit(query.limit)
            .offset(query.offset)
        )
        wide = self._wide(query.columns)
        if query.limit > SMALL_PAGE and wide:
            source = page.cte("page", materialized=True)
            shown = [(label, label) for label, _ in query.columns]
            array, made = _weighed_array(source, shown, wide)
            found = [array, fn.count(1)]
        else:
            source = page.alias("page")
            found = [_array(fn.row_to_json(peewee.Entity("page"))), fn.count(1)]
        if query.with_total:
            matching = self._select((("id", "id"),), query.where).alias("matching")
            found.append(Select((matching,), (fn.count(1),)))
        asked = Select((source,), found)
        if isinstance(source, peewee.CTE):
            asked = asked.with_cte(source, *made)
        text, count, *total = self._one(asked)
        return Rows(_whole(text), count, total[0] if total else None)

    def get(self, row_id: uuid.UUID, columns: Columns) -> Row | None:
        """Return one row, or None where the tenant has no such row."""
        return self._get(row_id, columns, lock=False)

    def _get(self, row_id: uuid.UUID, columns: Columns, *, lock: bool) -> Row | None:
        where = Compare("id", "eq", row_id)
        whole = self._select(self._visible, where).alias("whole")
        found: list[Any] = [Cast(fn.row_to_json(peewee.Entity("whole")), "text")]
        partial = tuple(columns) != self._visible
        if partial:
            # A second reading of the same row: the statement has one snapshot.
            part = self._select(columns, where).alias("part")
            found.append(Select((part,), (Cast(fn.row_to_json(peewee.Entity("part")), "text"),)))
        query = Select((whole,), found)
        row = self._one(query.for_update() if lock else query)
        if row is None:
            return None
        return Row(row[-1], hashlib.sha256(row[0].encode()).hexdigest()[:32])

    # -- writing -----------------------------------------------------------------------

    def insert(self, rows: Sequence[Mapping[str, object]], columns: Columns) -> Rows:
        """Insert rows, given by column name; what a row leaves out takes the model's default.

        Raises MissingParentError, or peewee.IntegrityError.
        """
        complete = [self._complete(row) for row in rows]
        inserted = self._model.insert_many(complete)
        if not self._soft_parents:
            return self._written(inserted, columns)
        with self._database.atomic():
            self._require_parents(rows)
            return self._written(inserted, columns)

    def update(
        self,
        where: Filter | None,
        changes: Mapping[str, object],
        columns: Columns,
        *,
        expect: Callable[[int], None] = lambda _count: None,
    ) -> Rows:
        """Change the rows that match; `expect` may raise on their number, which undoes it."""
        with self._database.atomic():
            where = self._guarded(where, frozenset(changes))
            self._require_parents([changes])
            written = self._written(self._update(where, changes), columns)
            expect(written.count)
            return written

    def delete(
        self,
        where: Filter | None,
        columns: Columns,
        *,
        expect: Callable[[int], None] = lambda _count: None,
    ) -> Rows:
        """Delete the rows that match, softly where the resource says so."""
        with self._database.atomic():
            where = self._guarded(where, None)
            written = self._delete(where, columns)
            expect(written.count)
            return written

    def update_one(
        self,
        row_id: uuid.UUID,
        changes: Mapping[str, object],
        columns: Columns,
        *,
        require: Callable[[str], None] | None = None,
    ) -> Row | None:
        """Change one row; None where there is none. `require` may raise on its version."""
        with self._database.atomic():
            where = self._guarded(Compare("id", "eq", row_id), frozenset(changes))
            if require is not None and not self._require_version(row_id, require):
                return None
            self._require_parents([changes])
            if self._written(self._update(where, changes), (("id", "id"),)).count == 0:
                return None
            return self._get(row_id, columns, lock=False)

    def delete_one(
        self, row_id: uuid.UUID, *, require: Callable[[str], None] | None = None
    ) -> bool:
        """Delete one row; False where there is none. `require` may raise on its version."""
        with self._database.atomic():
            where = self._guarded(Compare("id", "eq", row_id), None)
            if require is not None and not self._require_version(row_id, require):
                return False
            return self._delete(where, ()).count == 1

    # -- parts -------------------------------------------------------------------------

    def _guarded(self, where: Filter | None, columns: frozenset[str] | None) -> Filter | None:
        """Pass the guard; return the filter, narrowed to the rows it was asked about if any."""

        def locked() -> list[uuid.UUID]:
            found = self._select((("id", "id"),), where).order_by(self._fields["id"])
            rows = self._all(found.limit(MAX_WRITTEN + 1).for_update())
            _require_few(len(rows))
            return [row[0] for row in rows]

        judged = self._guard(Write(name_of(self._model), locked, columns))
        return where if judged is None else all_of((where, OneOf("id", tuple(judged))))

    def _matching(self, where: Filter | None) -> Any:
        alive = Is(DELETED_AT, "null") if self._soft_delete else None
        condition = all_of((alive, where))
        return None if condition is None else expression_of(condition, self._fields)

    def _select(self, columns: Columns, where: Filter | None) -> Any:
        query = self._model.select(*self._labelled(columns))
        condition = self._matching(where)
        return query if condition is None else query.where(condition)

    def _labelled(self, columns: Columns) -> list[Any]:
        return [
            self._fields[column] if label == column else self._fields[column].alias(label)
            for label, column in columns
        ]

    def _update(self, where: Filter | None, changes: Mapping[str, object]) -> Any:
        query = self._model.update({self._fields[c]: value for c, value in changes.items()})
        condition = self._matching(where)
        return query if condition is None else query.where(condition)

    def _delete(self, where: Filter | None, columns: Columns) -> Rows:
        if self._soft_delete:
            return self._written(self._update(where, {DELETED_AT: self._clock.now()}), columns)
        query = self._model.delete()
        condition = self._matching(where)
        ids: list[uuid.UUID] = []
        deleted = self._written(
            query if condition is None else query.where(condition), columns, ids
        )
        meta = self._model._meta
        self._removed(f"{meta.schema}.{meta.table_name}", ids)
        return deleted

    def _complete(self, row: Mapping[str, object]) -> dict[peewee.Field, object]:
        """Return a value for every column but the tenant's, which is stamped below."""
        complete: dict[peewee.Field, object] = {}
        for column, field in self._fields.items():
            if column == "tenant_id":
                continue
            default = field.default() if callable(field.default) else field.default
            complete[field] = row.get(column, default)
        return complete

    def _written(self, write: Any, columns: Columns, ids: list[uuid.UUID] | None = None) -> Rows:
        """Run a write and return its rows as JSON, in the same statement; without columns
        only their number. Their ids are added to `ids`."""
        names = list(dict.fromkeys(("id", *(column for _, column in columns))))
        changed = write.returning(*(self._fields[name] for name in names)).cte("changed")
        found: list[Any] = [fn.count(1)]
        made: Sequence[peewee.CTE] = ()
        if columns:
            wide = {column: field for _, column, field in self._wide(columns)}
            named = [(column, column, field) for column, field in wide.items()]
            array, made = _weighed_array(changed, columns, named, most=MAX_WRITTEN)
            found.append(array)
        if ids is not None:
            some = Select((changed,), (peewee.Column(changed, "id"),)).limit(MAX_WRITTEN + 1)
            some = some.alias("some")
            keys = fn.array_agg(Cast(peewee.Column(some, "id"), "text"))
            found.append(Select((some,), (keys,)))
        count, *rest = self._one(Select((changed,), found).with_cte(changed, *made))
        _require_few(count)
        if ids is not None:
            ids += map(uuid.UUID, rest.pop() or ())
        return Rows(_whole(rest[0]) if rest else "[]", count)

    def _wide(self, columns: Columns) -> list[_Wide]:
        """Return those columns whose values may be of any length."""
        found = [(label, column, self._fields[column]) for label, column in columns]
        return [wide for wide in found if isinstance(wide[2], peewee.TextField | peewee.JSONField)]

    def _require_version(self, row_id: uuid.UUID, require: Callable[[str], None]) -> bool:
        current = self._get(row_id, self._visible, lock=True)
        if current is None:
            return False
        require(current.version)
        return True

    def _require_parents(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Lock the parents that may have been deleted softly: a foreign key still sees those.

        FOR SHARE: a soft delete is an UPDATE of no key, which FOR KEY SHARE lets pass.
        """
        for column, parent in self._soft_parents.items():
            wanted = {row[column] for row in rows if row.get(column) is not None}
            if not wanted:
                continue
            fields = {"id": parent.id, DELETED_AT: parent.deleted_at}
            condition = all_of((OneOf("id", tuple(wanted)), Is(DELETED_AT, "null")))
            assert condition is not None  # noqa: S101 - two parts are never nothing
            alive = (
                parent.select(parent.id)
                .where(expression_of(condition, fields))
                .for_update("FOR SHARE")
            )
            if len(self._all(alive)) < len(wanted):
                raise MissingParentError(
                    f"{column} refers to a row that does not exist", column=column
                )

    def _one(self, query: Any) -> Any:
        rows = self._all(query)
        return rows[0] if rows else None

    def _all(self, query: Any) -> list[Any]:
        # tenure: allow TS004 because this is a query tree, which the database scopes
        cursor: Any = self._database.execute(query)
        rows: list[Any] = cursor.fetchall()
        return rows


def _require_few(count: int) -> None:
    if count > MAX_WRITTEN:
        raise TooMuchError(f"one write changes at most {MAX_WRITTEN} rows: choose fewer")


def _whole(text: str | None) -> str:
    if text is None:
        raise TooMuchError(f"the rows come to more than {MAX_JSON} bytes")
    return text


def _weighed_array(
    rows: peewee.CTE, columns: Columns, wide: Sequence[_Wide], *, most: int | None = None
) -> tuple[Any, list[peewee.CTE]]:
    """Return `_array` of a CTE's rows, or NULL where they are more than `most`, or their `wide`
    columns (by label, which is theirs in the CTE) come to more than MAX_JSON bytes; and the CTEs
    that it needs beside.

    PostgreSQL makes the whole array in memory, and only then cuts it off. What a long text weighs
    is known without reading it. What JSON weighs is not, before it is printed, which is most of
    the work: the rows are printed once, into a CTE that may go to disk, and weighed there.
    """
    shown = Select(
        (rows,), [peewee.Column(rows, column).alias(label) for label, column in columns]
    ).alias("shown")
    row: Any = fn.row_to_json(peewee.Entity("shown"))
    too_much = []
    texts = [label for label, _, field in wide if not isinstance(field, peewee.JSONField)]
    if texts:
        weight = sum(
            fn.coalesce(fn.octet_length(peewee.Column(rows, name)), 0)
            for name in dict.fromkeys(texts)
        )
        too_much.append(_weight(rows, weight))
    if most is not None:
        too_much.append(Select((rows,), (fn.count(1),)) > most)
    made = []
    source: Any = shown
    if len(texts) < len(wide):
        source = Select((shown,), (row.alias("row"),)).cte("made", materialized=True)
        made.append(source)
        row = peewee.Column(source, "row")
        too_much.append(_weight(source, fn.octet_length(Cast(row, "text"))))
    array = Select((source,), (_array(row),))
    return peewee.Case(None, [(condition, None) for condition in too_much], array), made


def _weight(rows: peewee.CTE, weight: Any) -> Any:
    return Select((rows,), (fn.coalesce(fn.sum(weight), 0),)) > MAX_JSON


def _array(row: Any) -> Any:
    """Return a JSON array of rows, in their order, as text, cut off beyond MAX_JSON."""
    rows = fn.json_agg(row)
    text = Cast(fn.coalesce(rows, Cast(peewee.Value("[]", False), "json")), "text")
    return fn.left(text, MAX_JSON + 1)
