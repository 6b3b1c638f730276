"""Rows that refer to rows of their own table, and tables that refer in a circle."""

from __future__ import annotations

from typing import Any

from retention.executor import Options
from tenants.context import TenantId


def test_a_tree_goes_as_a_whole_even_over_many_batches(lab: Any, acme: TenantId) -> None:
    root = lab.node(acme)
    for _ in range(4):
        child = lab.node(acme, parent_id=root)
        for _ in range(4):
            lab.node(acme, parent_id=child)
    assert lab.shop().plan().rows == 21
    report = lab.run()
    assert report.state == "succeeded", report.detail
    assert lab.ids("nodes") == set()
    assert lab.recorded() == {"lab.nodes": 21}


def test_a_long_chain_goes_leaf_first(lab: Any, acme: TenantId) -> None:
    above = None
    for _ in range(30):
        above = lab.node(acme, parent_id=above)
    report = lab.run(lab.shop(options=Options(batch_size=2)))
    assert report.state == "succeeded", report.detail
    assert lab.ids("nodes") == set()


def test_a_young_leaf_keeps_its_ancestors_and_no_others(lab: Any, acme: TenantId) -> None:
    root = lab.node(acme)
    branch = lab.node(acme, parent_id=root)
    leaf = lab.node(acme, made_at=lab.lately, parent_id=branch)
    lab.node(acme, parent_id=root)
    (unit,) = lab.shop().plan().units
    assert (unit.due, unit.rows) == (3, 1)
    assert [(k.reason, k.rows) for k in unit.kept] == [("referenced", 2)]
    report = lab.run()
    assert report.rows == 1
    assert lab.ids("nodes") == {root, branch, leaf}
    assert lab.verify().findings == 0


def test_an_undated_row_keeps_what_it_refers_to(lab: Any, acme: TenantId) -> None:
    root = lab.node(acme)
    child = lab.node(acme, made_at=None, parent_id=root)
    assert lab.run().rows == 0
    assert lab.ids("nodes") == {root, child}
    assert lab.verify().findings == 0


def test_rows_that_refer_to_each_other_go_together(lab: Any, acme: TenantId) -> None:
    pairs = [(lab.node(acme), lab.node(acme)) for _ in range(3)]
    # The partners stand far apart in the order of the index.
    for (a, _), (_, b) in zip(pairs, reversed(pairs), strict=True):
        lab.sql("UPDATE lab.nodes SET partner_id = %s WHERE id = %s", (a, b))
        lab.sql("UPDATE lab.nodes SET partner_id = %s WHERE id = %s", (b, a))
    report = lab.run(lab.shop(options=Options(batch_size=1)))
    assert report.state == "succeeded", report.detail
    assert lab.ids("nodes") == set()


def test_a_row_that_refers_to_itself_goes(lab: Any, acme: TenantId) -> None:
    node = lab.node(acme)
    lab.sql("UPDATE lab.nodes SET parent_id = id WHERE id = %s", (node,))
    assert lab.run().rows == 1


def test_tables_in_a_circle_go_in_one_statement(lab: Any, acme: TenantId) -> None:
    lab.case(acme, files=3)
    assert lab.run().deleted() == {"lab.cases": 1, "lab.files": 3, "lab.pages": 6}


def test_a_young_row_of_the_table_keeps_a_row_that_would_go_along(lab: Any, acme: TenantId) -> None:
    old = lab.case(acme, files=1)
    young = lab.case(acme, opened=lab.lately)
    (file,) = lab.ids("files")
    lab.sql("UPDATE lab.cases SET main_file_id = %s WHERE id = %s", (file, young))
    (unit,) = lab.shop().plan().units
    assert unit.rows == 0
    assert lab.run().rows == 0
    assert lab.ids("cases") == {old, young}
    assert lab.verify().findings == 0


def test_what_keeps_a_row_is_found_many_times_around_the_circle(lab: Any, acme: TenantId) -> None:
    alone = lab.case(acme)
    file = None
    for _ in range(4):
        case = lab.case(acme)
        lab.sql("UPDATE lab.cases SET main_file_id = %s WHERE id = %s", (file, case))
        file = lab.add("files", acme, case_id=case)
    page = lab.add("pages", acme, file_id=file)
    lab.add("citations", acme, page_id=page, cited_at=lab.lately)
    report = lab.run()
    assert report.rows == 1
    assert alone not in lab.ids("cases")
    assert lab.verify().findings == 0
    lab.sql("DELETE FROM lab.citations")
    assert lab.verify().overdue()["cases"] == 4


def test_a_subtree_that_is_kept_from_outside_of_the_batch_does_not_stop_the_rest(
    lab: Any, acme: TenantId
) -> None:
    kept = lab.node(acme)
    lab.node(acme, made_at=lab.lately, parent_id=kept)
    for _ in range(10):
        lab.node(acme, parent_id=lab.node(acme))
    report = lab.run(lab.shop(options=Options(batch_size=2)))
    assert report.rows == 20
    assert len(lab.ids("nodes")) == 2
