"""A request checked against a resource: columns exist, values have their types, sizes fit.

Pure. What comes out holds no text of the client's but values; it can be run as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from api.errors import Problem, bad_query, bad_value
from api.query.tree import Condition, Group, In, IsTruth, Matches, Negated, ParsedQuery, Test
from api.requests import ApiRequest
from api.resources import ResourceView
from tenants.filters import AllOf, AnyOf, Compare, Filter, Is, Like, Not, OneOf, Order, all_of
from tenants.repository import Columns, PageQuery

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@dataclass(frozen=True)
class Insert:
    """Rows to insert, and what to show of them: nothing, unless they are asked for."""

    rows: tuple[Mapping[str, object], ...]
    columns: Columns


@dataclass(frozen=True)
class Change:
    """Rows to change or delete: `changes` is empty for a delete, `columns` as in `Insert`."""

    where: Filter
    changes: Mapping[str, object]
    columns: Columns


@dataclass(frozen=True)
class Window:
    """Which rows of a list: `limit` of them, from number `offset` on, which counts from 0; and
    whether to count all."""

    limit: int
    offset: int
    with_total: bool


def plan_page(request: ApiRequest, view: ResourceView) -> PageQuery:
    """Return the page to read; raises Problem."""
    query = request.query
    _refuse(query, "columns")
    window = _window(request)
    return PageQuery(
        columns=plan_columns(query, view),
        where=plan_where(query, view),
        order=plan_order(query, view),
        limit=window.limit,
        offset=window.offset,
        with_total=window.with_total,
    )


def plan_list(request: ApiRequest) -> Window:
    """Return the page to read of a list beside the resources, which has an order of its own and
    no filters; raises Problem."""
    _refuse(request.query, "conditions", "select", "order", "columns")
    return _window(request)


def _window(request: ApiRequest) -> Window:
    query = request.query
    offset = query.offset or 0
    limit = DEFAULT_LIMIT if query.limit is None else min(query.limit, MAX_LIMIT)
    if request.rows is not None:
        first, last = request.rows
        offset = max(offset, first)
        asked = MAX_LIMIT if last is None else max(last - offset + 1, 0)
        limit = min(asked, MAX_LIMIT if query.limit is None else limit)
    return Window(limit, offset, request.prefer.count)


def plan_single(request: ApiRequest, view: ResourceView) -> Columns:
    """Return what to show of a row that is named by its id; raises Problem."""
    query = request.query
    _refuse(query, "conditions", "order", "limit", "offset", "columns")
    return plan_columns(query, view)


def plan_insert(request: ApiRequest, view: ResourceView, body: object) -> Insert:
    """Return the rows to insert; raises Problem."""
    query = request.query
    _refuse(query, "conditions", "order", "limit", "offset")
    return Insert(tuple(view.new_rows(_picked(query, body))), _answered(request, view))


def plan_update(request: ApiRequest, view: ResourceView, body: object) -> Change:
    """Return what to change where; raises Problem, also without any filter."""
    where = _plan_change(request.query, view, "UPDATE")
    return Change(where, view.changes(body), _answered(request, view))


def plan_delete(request: ApiRequest, view: ResourceView) -> Change:
    """Return what to delete; raises Problem, also without any filter."""
    where = _plan_change(request.query, view, "DELETE")
    return Change(where, {}, _answered(request, view))


def plan_columns(query: ParsedQuery, view: ResourceView) -> Columns:
    """Return (label, column) for what `select` names, or for all there is to see."""
    if query.select is None:
        return tuple((column, column) for column in view.columns)
    return tuple((item.label, view.attribute(item.column).name) for item in query.select)


def _answered(request: ApiRequest, view: ResourceView) -> Columns:
    columns = plan_columns(request.query, view)
    return columns if request.prefer.returns == "representation" else ()


def plan_where(query: ParsedQuery, view: ResourceView) -> Filter | None:
    """Return the conjunction of the conditions; None without any."""
    return all_of(_filter(condition, view) for condition in query.conditions)


def plan_order(query: ParsedQuery, view: ResourceView) -> tuple[Order, ...]:
    """Return the order, made total by the key: pages neither overlap nor leave out."""
    orders: dict[str, Order] = {}
    for term in query.order:
        attribute = view.attribute(term.column)
        if not attribute.form.comparable:
            raise bad_query("order parameter", f"{attribute.type} has no order")
        orders.setdefault(term.column, Order(term.column, term.descending, term.nulls))
    orders.setdefault("id", Order("id"))
    return tuple(orders.values())


def _filter(condition: Condition, view: ResourceView) -> Filter:
    match condition:
        case Matches(column, operator, text):
            attribute = view.attribute(column)
            if not attribute.form.textual:
                raise bad_value(column, attribute.type, f"{operator} is for texts")
            pattern = str(view.value(column, text)).replace("*", "%")
            if _ends_in_escape(pattern):
                raise bad_value(column, attribute.type, "the pattern ends in its escape")
            return Like(column, pattern, operator == "ilike")
        case Test(column, comparison, text):
            return Compare(column, comparison, view.value(column, text))
        case In(column, texts):
            view.attribute(column)
            return OneOf(column, tuple(view.value(column, text) for text in texts))
        case IsTruth(column, truth):
            attribute = view.attribute(column)
            if truth in ("true", "false") and attribute.type != "boolean":
                raise bad_value(column, attribute.type, f"is.{truth} is for booleans")
            return Is(column, truth)
        case Negated(part):
            return Not(_filter(part, view))
        case Group(kind, parts):
            filters = tuple(_filter(part, view) for part in parts)
            return AllOf(filters) if kind == "and" else AnyOf(filters)


def _ends_in_escape(pattern: str) -> bool:
    return (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1


def _plan_change(query: ParsedQuery, view: ResourceView, verb: str) -> Filter:
    _refuse(query, "order", "limit", "offset", "columns")
    where = plan_where(query, view)
    if where is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "21000",
            f"{verb} requires a filter",
            "Without one, every row would be meant.",
            "To mean every row, say so: id=not.is.null",
        )
    return where


def _picked(query: ParsedQuery, body: object) -> object:
    """Apply `columns`: of each object only those keys are taken."""
    columns = query.columns
    if columns is None:
        return body

    def picked(row: object) -> object:
        return {k: row[k] for k in columns if k in row} if isinstance(row, dict) else row

    return [picked(row) for row in body] if isinstance(body, list) else picked(body)


def _refuse(query: ParsedQuery, *parameters: str) -> None:
    for parameter in parameters:
        if getattr(query, parameter) not in (None, ()):
            name = "a filter" if parameter == "conditions" else parameter
            raise bad_query("the query string", f"{name} has no meaning for this request")


def expect_single(rows: int) -> None:
    """Raise Problem PGRST116 unless there is exactly one row."""
    if rows != 1:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            "PGRST116",
            "Cannot coerce the result to a single JSON object",
            f"The result contains {rows} rows",
        )


def expect_at_most(most: int, rows: int) -> None:
    """Raise Problem PGRST124 when more rows are affected than the client allows."""
    if rows > most:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
            f"The query affects {rows} rows",
        )
