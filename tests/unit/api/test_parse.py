"""The query dialect's parser, on what clients send and on what attackers send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Problem
from api.query.parse import MAX_CONDITIONS, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, parse_query
from api.query.tree import (
    OPERATORS,
    Group,
    In,
    IsTruth,
    Matches,
    Negated,
    OrderTerm,
    ParsedQuery,
    SelectItem,
    Test,
)


def one(key: str, value: str):
    """Return the only condition of a query of one parameter."""
    (condition,) = parse_query([(key, value)]).conditions
    return condition


def problem(*parameters: tuple[str, str]) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_query(parameters)
    return caught.value


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("a", "eq.1", Test("a", "eq", "1")),
        ("a", "gte.", Test("a", "gte", "")),
        ("a", "eq.b.c,d(e)", Test("a", "eq", "b.c,d(e)")),
        ("a", 'eq."x"', Test("a", "eq", '"x"')),
        ("a", "eq.eq.1", Test("a", "eq", "eq.1")),
        ("a", "not.lt.5", Negated(Test("a", "lt", "5"))),
        ("a", "eq.not.lt.5", Test("a", "eq", "not.lt.5")),
        ("a", "like.x*", Matches("a", "like", "x*")),
        ("a", "ilike.%_", Matches("a", "ilike", "%_")),
        ("a", "in.(1,2)", In("a", ("1", "2"))),
        ("a", "in.()", In("a", ())),
        ("a", "in.(,)", In("a", ("", ""))),
        ("a", "in.(x(y,z)", In("a", ("x(y", "z"))),
        ("a", r'in.("a,b","c\"d","e\\f",")")', In("a", ("a,b", 'c"d', "e\\f", ")"))),
        ("a", "is.null", IsTruth("a", "null")),
        ("a", "is.NOT_NULL", IsTruth("a", "not_null")),
        ("a", "not.is.true", Negated(IsTruth("a", "true"))),
        ("a-b c", "eq.1", Test("a-b c", "eq", "1")),
        ('"a.b,\\"c"', "eq.1", Test('a.b,"c', "eq", "1")),
        ("größe", "eq.☃", Test("größe", "eq", "☃")),
        ("and", "(a.eq.1)", Group("and", (Test("a", "eq", "1"),))),
        (
            "or",
            "(a.eq.1,and(b.gt.2,c.is.null),not.or(d.in.(1,2),e.not.like.x*))",
            Group(
                "or",
                (
                    Test("a", "eq", "1"),
                    Group("and", (Test("b", "gt", "2"), IsTruth("c", "null"))),
                    Negated(
                        Group("or", (In("d", ("1", "2")), Negated(Matches("e", "like", "x*"))))
                    ),
                ),
            ),
        ),
        ("not.and", "(a.eq.1)", Negated(Group("and", (Test("a", "eq", "1"),)))),
        ("or", "(a.eq.1, b.eq.)", Group("or", (Test("a", "eq", "1"), Test("b", "eq", "")))),
        ("or", r'(a.eq."x,y)\"z")', Group("or", (Test("a", "eq", 'x,y)"z'),))),
        ("or", '("a.b".eq.1)', Group("or", (Test("a.b", "eq", "1"),))),
        ("or", "(and.eq.1)", Group("or", (Test("and", "eq", "1"),))),
    ],
)  # fmt: skip
def test_conditions(key, value, expected) -> None:
    assert one(key, value) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", ""),
        ("a", "1"),
        ("a", "eq"),
        ("a", "EQ.1"),
        ("a", "eqq.1"),
        ("a", "not.1"),
        ("a", "not.not.eq.1"),
        ("a", "in.1"),
        ("a", "in.(1"),
        ("a", "in.(1)x"),
        ("a", 'in.("x"y)'),
        ("a", 'in.("x'),
        ("a", "is.maybe"),
        ("a", "is.nullx"),
        ("a", "is."),
        ("a", "cs.{1}"),
        ("a", "eq(any).{1}"),
        ("", "eq.1"),
        ("1a", "eq.1"),
        ("a->b", "eq.1"),
        ("a->>b", "eq.1"),
        ("a::text", "eq.1"),
        ("a.b", "eq.1"),
        ("a.or", "(b.eq.1)"),
        ('"a', "eq.1"),
        ("or", ""),
        ("or", "()"),
        ("or", "a.eq.1"),
        ("or", "(a.eq.1"),
        ("or", "(a.eq.1))"),
        ("or", "(a.eq.1)b"),
        ("or", "(a.eq.1,)"),
        ("or", "(,a.eq.1)"),
        ("or", "(a)"),
        ("or", "(or(a.eq.1)"),
        ("or", '(a.eq."x"y)'),
        ("not.not.or", "(a.eq.1)"),
        ("order", ""),
        ("order", "a."),
        ("order", "a.up"),
        ("order", "a.desc.nulls"),
        ("order", "a,,b"),
        ("order", "a->b"),
        ("limit", ""),
        ("limit", "1.5"),
        ("limit", "1e3"),
        ("limit", "٣"),
        ("limit", "99999999999999999999999"),
        ("select", ","),
        ("select", "a,"),
        ("select", "a b:c:d"),
        ("select", "a-b:c"),
        ("select", "x:a,x:b"),
        ("select", "a::int"),
        ("select", "a.sum()"),
        ("select", "a->b"),
        ("select", "*,a"),
        ("columns", ""),
        ("columns", "a(b)"),
        ("on_conflict", "id"),
    ],
)
def test_what_is_not_in_the_dialect_is_pgrst100_and_says_where(key, value) -> None:
    found = problem((key, value))
    assert (found.status, found.code) == (400, "PGRST100"), found
    assert found.details


def test_an_error_names_the_place_and_what_could_stand_there() -> None:
    found = problem(("or", "(a.eq.1,b.foo.2)"))
    assert found.message == "failed to parse logic tree or ((a.eq.1,b.foo.2)) at character 11"
    assert found.details is not None
    assert found.details.startswith("unexpected 'foo.2)', expecting an operator (eq, neq,")


@pytest.mark.parametrize("text", ["customers(*)", "a,customers(id)", "c:customers!fk(id)", "a!x"])
def test_embedding_is_refused_by_name(text) -> None:
    assert problem(("select", text)).code == "PGRST200"


@pytest.mark.parametrize("key", ["limit", "offset"])
def test_numbers_below_zero_are_out_of_range(key) -> None:
    found = problem((key, "-1"))
    assert (found.status, found.code) == (416, "PGRST103")


def test_select_order_and_the_rest() -> None:
    parsed = parse_query(
        [
            ("select", 'id,label:"weird col",id'),
            ("order", "a.desc.nullslast,b,c.nullsfirst,d.asc"),
            ("limit", "0"),
            ("offset", "7"),
            ("columns", '"a","b",a'),
            ("x", "eq.1"),
            ("x", "eq.2"),
        ]
    )
    assert parsed == ParsedQuery(
        conditions=(Test("x", "eq", "1"), Test("x", "eq", "2")),
        select=(SelectItem("id", "id"), SelectItem("weird col", "label")),
        order=(
            OrderTerm("a", True, "last"),
            OrderTerm("b", False, None),
            OrderTerm("c", False, "first"),
            OrderTerm("d", False, None),
        ),
        limit=0,
        offset=7,
        columns=("a", "b"),
    )
    assert parse_query([("select", "*")]).select is None
    assert parse_query([("select", "")]).select is None
    assert parse_query([]) == ParsedQuery()


@pytest.mark.parametrize("key", ["select", "order", "limit", "offset", "columns"])
def test_parameters_of_the_page_are_given_once(key) -> None:
    assert problem((key, "1a"), (key, "1a")).code == "PGRST100"


def nested(depth: int) -> str:
    return "(" + "and(" * (depth - 1) + "a.eq.1" + ")" * depth


def test_sizes_are_limited_and_the_limits_can_be_reached() -> None:
    parse_query([("or", nested(MAX_DEPTH))])
    assert problem(("or", nested(MAX_DEPTH + 1))).code == "PGRST100"
    assert problem(("or", nested(10_000))).code == "PGRST100"
    parse_query([("a", "eq.1")] * MAX_CONDITIONS)
    assert problem(*[("a", "eq.1")] * (MAX_CONDITIONS + 1)).code == "PGRST100"
    many = ",".join(["a.eq.1"] * (MAX_CONDITIONS + 1))
    assert problem(("or", f"({many})")).code == "PGRST100"
    items = ",".join("1" * MAX_ITEMS)
    assert len(one("a", f"in.({items})").texts) == MAX_ITEMS
    assert problem(("a", f"in.({items},1)")).code == "PGRST100"
    assert problem(("a", "eq." + "x" * MAX_TEXT)).code == "PGRST100"


def test_what_is_repeated_to_the_client_is_short() -> None:
    found = problem(("a" * 5000, "x" * 5000))
    assert len(found.message) + len(found.details or "") < 400


_token = st.sampled_from(
    [*OPERATORS, *'().,"\\*:%-> ', "not.", "and(", "or(", "a", "é", "\0", "null", "1", "::", "!"]
)
_soup = st.lists(_token, max_size=30).map("".join) | st.text(max_size=40)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "or", "not.and", "select", "order"]) | _soup, _soup),
        max_size=4,
    )
)
def test_any_text_is_parsed_or_refused_with_a_problem(parameters) -> None:
    code = None
    try:
        parse_query(parameters)
    except Problem as refused:
        code = refused.code
    assert code in (None, "PGRST100", "PGRST103", "PGRST200")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_quoting_carries_any_text(texts) -> None:
    assert one("a", f"in.({','.join(map(quoted, texts))})") == In("a", tuple(texts))
    group = one("or", f"({','.join(f'a.eq.{quoted(text)}' for text in texts)})")
    assert group == Group("or", tuple(Test("a", "eq", text) for text in texts))
