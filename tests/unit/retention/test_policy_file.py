"""The policy file: what is read, and what an error says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from retention.errors import PolicyError
from retention.policy_file import load_policies, parse_policies
from tenants.catalog import Catalog, Index, TableName

GOOD = """
[[policy]]
name = "invoices"
table = "shop.invoices"
starts = "issued_at"
period = "P10Y"
with = ["shop.lines"]
legal_basis = "law"
class = "accounting"
state = "paused"
"""


def indexed(catalog: Catalog) -> Catalog:
    """Return the catalog with remarks indexed, so that invoices may have a policy."""
    remarks = catalog.table("shop.remarks")
    index = Index("i", ("tenant_id", "about", "subject_id"), False)
    fixed = replace(remarks, indexes=(index,))
    return Catalog({**catalog.tables, fixed.name: fixed})


def test_a_policy_is_read(catalog: Catalog) -> None:
    (policy,) = parse_policies(GOOD, indexed(catalog))
    assert policy.name == "invoices"
    assert policy.table == TableName("shop", "invoices")
    assert policy.along == (TableName("shop", "lines"),)
    assert policy.state == "paused"
    assert policy.deletion_class == "accounting"


def test_a_table_may_go_by_its_name_alone_where_only_one_schema_has_it(catalog: Catalog) -> None:
    short = GOOD.replace("shop.", "")
    assert parse_policies(short, indexed(catalog)) == parse_policies(GOOD, indexed(catalog))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "invoices"', "", "policy 1, name: missing"),
        ('name = "invoices"', 'name = "In voices"', "name: 'In voices' must be lower-case"),
        ("shop.invoices", "shop.invoice", "table: there is no table shop.invoice; known are"),
        ("shop.invoices", "shop.countries", "table: shop.countries is a global table"),
        ('"issued_at"', '"issued"', "starts: table shop.invoices has no column 'issued'; it has"),
        ('"issued_at"', '"note"', "starts: shop.invoices.note is text; a starting point is"),
        ('"issued_at"', '"seen_at"', "no index led by (tenant_id, seen_at); add (('seen_at',)"),
        ('"P10Y"', '"10 years"', "period: '10 years' is no ISO 8601 duration"),
        ('"P10Y"', "10", "period: 10 must be a text"),
        ('"P10Y"', '"-P1Y"', "period: '-P1Y' is not longer than nothing"),
        ('["shop.lines"]', '["shop.line"]', "with: there is no table shop.line"),
        ('["shop.lines"]', '["shop.customers"]', "shop.customers refers neither to shop.invoices"),
        ('["shop.lines"]', '["shop.invoices"]', "with: names a table twice, or shop.invoices"),
        ('["shop.lines"]', '"shop.lines"', "with: 'shop.lines' must be a list"),
        ('legal_basis = "law"', "", "legal_basis: missing"),
        ('legal_basis = "law"', 'legal_basis = " "', "legal_basis: ' ' must be a text"),
        ('class = "', 'klass = "', "klass: unknown key; did you mean 'class'?"),
        ('"paused"', '"asleep"', "state: 'asleep' must be one of active, paused"),
    ],
)
def test_what_is_wrong_is_said_with_policy_key_and_mend(
    catalog: Catalog, old: str, new: str, said: str
) -> None:
    assert old in GOOD
    with pytest.raises(PolicyError) as caught:
        parse_policies(GOOD.replace(old, new), indexed(catalog), source="p.toml")
    message = str(caught.value)
    assert said in message
    assert message.startswith("p.toml: policy ")


def test_a_reference_without_an_index_is_refused_with_the_index_to_make(catalog: Catalog) -> None:
    with pytest.raises(PolicyError, match=r"CREATE INDEX ON shop.remarks \(tenant_id, subject_id"):
        parse_policies(GOOD, catalog)


def test_all_problems_are_said_at_once(catalog: Catalog) -> None:
    bad = GOOD.replace("P10Y", "x").replace("issued_at", "y")
    with pytest.raises(PolicyError) as caught:
        parse_policies(bad + GOOD.replace('"law"', '""'), indexed(catalog))
    assert len(str(caught.value).splitlines()) == 3


def test_names_are_unique_and_a_table_has_one_policy(catalog: Catalog) -> None:
    with pytest.raises(PolicyError, match="another policy has it"):
        parse_policies(GOOD + GOOD, indexed(catalog))
    renamed = GOOD.replace('"invoices"', '"more"')
    with pytest.raises(PolicyError, match=r"policy 'invoices' is on shop\.invoices already"):
        parse_policies(GOOD + renamed, indexed(catalog))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[policy", "is not TOML"),
        ("policy = 3", r"written as \[\[policy\]\]"),
        ("[policy]\nname = 'x'", r"written as \[\[policy\]\]"),
        ("[[policies]]\nname = 'x'", "unknown key 'policies'"),
    ],
)
def test_what_is_no_policy_file_is_refused(catalog: Catalog, text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policies(text, catalog)


def test_a_file_that_is_not_there_is_named(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.toml"):
        load_policies(tmp_path / "none.toml", catalog)


def test_an_empty_file_has_no_policies(catalog: Catalog) -> None:
    assert parse_policies("", catalog) == ()
