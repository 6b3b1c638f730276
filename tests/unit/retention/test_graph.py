"""The graph: families, order, circles."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retention.graph import Edge, deletion_order, edges_of, family_of, unreached
from tenants.catalog import Catalog, TableName


def t(text: str) -> TableName:
    return TableName("s", text)


def edge(child: str, parent: str) -> Edge:
    return Edge(t(child), f"{parent}_id", t(parent))


def test_children_come_first() -> None:
    order = deletion_order([t("a"), t("b"), t("c")], [edge("b", "a"), edge("c", "b")])
    assert order == ((t("c"),), (t("b"),), (t("a"),))


def test_a_circle_is_one_group_in_its_place() -> None:
    edges = [edge("a", "b"), edge("b", "a"), edge("c", "b"), edge("a", "d")]
    order = deletion_order([t(x) for x in "abcd"], edges)
    assert order == ((t("c"),), (t("a"), t("b")), (t("d"),))


def test_a_reference_to_itself_is_no_circle() -> None:
    assert deletion_order([t("a")], [edge("a", "a")]) == ((t("a"),),)


def test_a_deep_schema_does_not_exhaust_the_stack() -> None:
    names = [f"t{number:05}" for number in range(5000)]
    edges = [edge(child, parent) for parent, child in pairwise(names)]
    order = deletion_order([t(n) for n in names], edges)
    assert order[0] == (t("t04999"),)
    assert order[-1] == (t("t00000"),)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=14))
def test_of_two_tables_the_one_that_refers_comes_first_or_they_share_a_group(
    pairs: list[tuple[str, str]],
) -> None:
    names = [t(x) for x in "abcdef"]
    order = deletion_order(names, [edge(c, p) for c, p in pairs])
    place = {name: number for number, group in enumerate(order) for name in group}
    assert sorted(place) == names
    reach = {(t(c), t(p)) for c, p in pairs}
    for _ in names:
        reach |= {(a, d) for a, b in reach for c, d in reach if b == c}
    for a, b in reach:
        assert place[a] <= place[b]
    for group in order:
        for a in group:
            for b in group:
                assert a == b or ((a, b) in reach and (b, a) in reach)


def test_the_family_of_a_policy(catalog: Catalog) -> None:
    invoices, lines = catalog.table("shop.invoices").name, catalog.table("shop.lines").name
    family = family_of(catalog, invoices, [lines])
    assert [str(e) for e in family.along] == ["shop.lines.invoices_id -> shop.invoices"]
    assert [str(e) for e in family.keeping] == [
        "shop.remarks.subject_id -> shop.invoices where about = 'invoice'"
    ]
    assert family.outer == family.keeping
    assert family.order == ((lines,), (invoices,))
    assert unreached(family) == ()
    customers = catalog.table("shop.customers").name
    assert unreached(family_of(catalog, invoices, [customers])) == (customers,)


def test_references_out_of_global_tables_and_to_them_are_no_edges(catalog: Catalog) -> None:
    assert {str(e.child) for e in edges_of(catalog)} == {
        "shop.invoices",
        "shop.lines",
        "shop.remarks",
    }
