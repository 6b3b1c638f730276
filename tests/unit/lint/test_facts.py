"""The algebra of facts: what holds of both, of either, and under guards."""

from __future__ import annotations

from lint.prover.facts import (
    IMPOSSIBLE,
    NOTHING,
    Const,
    Facts,
    Rule,
    equality,
    guarded,
    not_null,
    translate,
)

ONE = Const("parameter", "number:1", "1")


def test_both_merges_classes_transitively() -> None:
    facts = equality(1, 2).both(equality(3, 4), equality(2, 3))
    assert facts.equal(1, 4)


def test_either_keeps_what_both_sides_imply_through_different_terms() -> None:
    left = equality(1, 2).both(equality(2, ONE))
    right = equality(1, 3).both(equality(3, ONE))
    assert left.either(right).equal(1, ONE)
    assert not left.either(right).equal(1, 2)


def test_an_impossible_side_says_nothing_about_the_other() -> None:
    assert IMPOSSIBLE.either(equality(1, 2)) == equality(1, 2)
    assert IMPOSSIBLE.both(equality(1, 2)).impossible
    assert NOTHING.either(equality(1, 2)) == NOTHING


def test_a_guard_opens_only_when_every_witness_is_known() -> None:
    facts = guarded([frozenset((1,)), frozenset((2, 3))], equality(4, ONE))
    assert not facts.both(not_null([1])).closed(()).equal(4, ONE)
    assert facts.both(not_null([1, 3])).closed(()).equal(4, ONE)


def test_a_guard_that_opens_may_open_another() -> None:
    inner = guarded([frozenset((2,))], equality(3, ONE))
    outer = guarded([frozenset((1,))], not_null([2]))
    assert inner.both(outer, not_null([1])).closed(()).equal(3, ONE)


def test_a_rule_needs_all_its_premises() -> None:
    rule = Rule(((1, 2), (3, 4)), ((5, 6),))
    assert not equality(1, 2).closed([rule]).equal(5, 6)
    assert equality(1, 2).both(equality(3, 4)).closed([rule]).equal(5, 6)


def test_a_comparison_that_holds_rejects_null() -> None:
    assert equality(1, ONE).not_null == {1}


def test_translation_forgets_what_is_not_carried_over() -> None:
    facts = equality(1, ONE).both(equality(1, 2), not_null([3]))
    moved = translate(facts, {1: [10, 11]}, keep=())
    assert moved == Facts((frozenset((10, 11, ONE)),), frozenset((10, 11)))
